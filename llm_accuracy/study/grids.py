"""Datasets, scenarios and grids of both tiers: the only place a grid is written."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import InputError
from ..querying.setting import Setting
from ..scores.scenario import Scenario

# --- tiers ---------------------------------------------------------------------------------------------

Unit = TypeVar("Unit")


@dataclass(frozen=True)
class Tier:
    """One grid of experiments. `shares` are numerators over 40: T = N·k // 40 (floats would go wrong)."""

    datasets: tuple[str, ...]
    scenarios: tuple[str, ...]
    shares: tuple[int, ...]
    seeds: int
    ranks: tuple[int, ...]
    weight_decays: tuple[float, ...]
    folds: int
    protocol: str
    select_factors_by: str
    val_settings: tuple[Setting, ...]
    val_seeds: int
    taus: tuple[float, ...]
    ablation_seeds: int
    ranks_grow_with_rows: bool

    def rank_grid(self, rows: int) -> tuple[int, ...]:
        """K to try with a history of `rows` models: small histories cannot carry K > rows/4."""
        if not self.ranks_grow_with_rows:
            return self.ranks
        return tuple(rank for rank in self.ranks if rank <= max(1, rows // 4))


def _faq_grid(betas: Sequence[float], rhos: Sequence[float], gammas: Sequence[float],
              taus: Sequence[float]) -> tuple[Setting, ...]:
    return tuple(Setting(*values) for values in itertools.product(betas, rhos, gammas, taus))


TIERS = {
    "laptop": Tier(
        datasets=("simulated",),
        scenarios=("nfobs=None_p=1.0", "nfobs=50_p=0.1", "nfobs=0_p=0.001", "nfobs=0_p=1e-05"),
        shares=(1, 2, 4, 10),
        seeds=20,
        ranks=(1, 2, 4, 8, 16, 32, 64),
        weight_decays=(32.0, 16.0, 8.0, 4.0, 2.0),
        folds=5,
        protocol="map",
        select_factors_by="loss",
        val_settings=_faq_grid((0.5, 1.0), (0.0, 0.25), (0.0,), (0.05, 0.25, 0.75)),
        val_seeds=3,
        taus=(0.05, 0.5),
        ablation_seeds=5,
        ranks_grow_with_rows=True,
    ),
    "paper": Tier(
        datasets=("mmlu-pro", "bbh+gpqa+ifeval+math+musr"),
        scenarios=("nfobs=None_p=1.0", "nfobs=50_p=0.1", "nfobs=200_p=0.1", "nfobs=800_p=0.1",
                   "nfobs=0_p=0.01", "nfobs=0_p=0.001", "nfobs=0_p=0.0001", "nfobs=0_p=1e-05"),
        shares=tuple(range(1, 11)),
        seeds=100,
        ranks=(8, 16, 32, 64),
        weight_decays=(10.0, 1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001),
        folds=5,
        protocol="adamw",
        select_factors_by="accuracy",
        val_settings=_faq_grid((0.25, 0.5, 0.75, 1.0), (0.0, 0.05, 0.25, 0.5, 0.75),
                               (0.0, 0.05, 0.25, 0.5, 0.75), (0.05, 0.25, 0.5, 0.75)),
        val_seeds=5,
        taus=(0.05, 0.25, 0.5, 0.75),
        ablation_seeds=100,
        ranks_grow_with_rows=False,
    ),
}

SHARE_DENOMINATOR = 40
DEFAULT_SCENARIO = "nfobs=None_p=1.0"
TRAIN_SHARE = (4, 5)  # "val" factors see the first 80 % of the history's rows


def train_rows(rows: int) -> int:
    """How many of the history's rows the "val" factors are fitted to: ⌊80 %⌋."""
    return rows * TRAIN_SHARE[0] // TRAIN_SHARE[1]


def tier_budgets(tier: Tier, n_questions: int) -> tuple[int, ...]:
    """T = N·k // 40 for the tier's k; at least one question each, each once."""
    return tuple(sorted({max(1, n_questions * k // SHARE_DENOMINATOR) for k in tier.shares}))


def parse_budgets(texts: Sequence[str], n_questions: int, dataset: str) -> tuple[int, ...]:
    """Integers, or shares like `5%`, → numbers of questions, ascending.

    Raises InputError for anything else, and for a budget below 1 or above N.
    """
    return tuple(sorted({_budget(text, n_questions, dataset) for text in texts}))


def _budget(text: str, n_questions: int, dataset: str) -> int:
    integer = re.fullmatch(r"[+-]?[0-9]{1,15}", text)
    share = re.fullmatch(r"([0-9]{1,9})(?:\.([0-9]{0,9}))?%", text)
    if integer:
        budget = int(text)
    elif share:
        decimals = share[2] or ""
        # ⌊N · share⌋ in integers: 2.5% is 25 / 1000.
        parts, of = int(share[1] + decimals), 100 * 10 ** len(decimals)
        if parts > of:  # rounded down, it may be all of a small bank
            raise InputError(f"--budgets {text}: a share of the bank is 100% at most")
        budget = n_questions * parts // of
    else:
        raise InputError(f"--budgets {text!r}: give a number of questions (300) or a share (5%)")
    if not 1 <= budget <= n_questions:
        raise InputError(f"--budgets {text}: {budget} questions; {dataset} has {n_questions}, so a budget "
                         f"must lie between 1 and {n_questions}")
    return budget


# --- the grid a command line asks for ------------------------------------------------------------------

@dataclass(frozen=True)
class Cell:
    """One dataset in one scenario."""

    dataset: str
    scenario: str


def cells(args: argparse.Namespace) -> Iterator[Cell]:
    """Datasets × scenarios: those given, else the tier's.

    Raises InputError for a scenario that cannot be read.
    """
    tier = TIERS[args.tier]
    scenarios = [Scenario.parse(key).key for key in getattr(args, "scenarios", None) or tier.scenarios]
    for dataset, scenario in itertools.product(args.datasets or tier.datasets, scenarios):
        yield Cell(dataset, scenario)


def budgets(args: argparse.Namespace, n_questions: int, dataset: str) -> tuple[int, ...]:
    if args.budgets:
        return parse_budgets(args.budgets, n_questions, dataset)
    return tier_budgets(TIERS[args.tier], n_questions)


def seeds(args: argparse.Namespace, default: int) -> range:
    return range(args.seeds or default)


def my_share(units: Iterable[Unit], args: argparse.Namespace) -> list[Unit]:
    """The shard's part of a list of work units: of all of them, finished or not, so that a shard that is run again
    takes up its own."""
    index, count = args.shard
    return [unit for i, unit in enumerate(units) if i % count == index]


def my_units(args: argparse.Namespace, of_each: Iterable[Unit]) -> dict[Cell, list[Unit]]:
    """The shard's part of all pairs of a cell and one of `of_each`, by cell; cells without any are left out."""
    shares: dict[Cell, list[Unit]] = {}
    for cell, unit in my_share(itertools.product(cells(args), list(of_each)), args):
        shares.setdefault(cell, []).append(unit)
    return shares


def protocol(args: argparse.Namespace) -> str:
    return args.protocol or TIERS[args.tier].protocol
