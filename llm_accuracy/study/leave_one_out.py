"""Small boards: every family of models is new in turn, with factors fitted to all the others."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import special

from .. import cli, locks
from ..errors import InputError
from ..files import atomic, reading
from ..querying import factors, intervals
from ..querying.beliefs import Bank
from ..querying.estimators import estimate, variances
from ..querying.evaluation import evaluate, evaluate_in_rounds, kinds_of
from ..querying.factors import Factors, Fit
from ..querying.passes import Passes
from ..querying.policies import DEFAULT_POLICY, named
from ..querying.setting import ALPHA, DEFAULT_SETTING, Setting
from ..randomness import stream, uniforms
from ..scores.matrix import Responses, family_of, read_matrix
from . import coverage, fingerprints
from .columns import FAMILIES, PARTS, PARTS_KEY
from .factor_fits import fit_seconds
from .flags import announce
from .grids import parse_budgets
from .ledger import Ledger

PARTS_LOG = "leave_one_family_out_parts.csv"
RATIO_STEP, RATIO_BINS = 0.01, 400
SEEDS_AT_ONCE = (100, 50, 20, 10, 5, 2, 1)
CELLS_OF_A_PART = 5e9    # most models × seeds × questions × steps of a part: some ten seconds
CELLS_OF_A_FIT = 1 << 20  # most models × questions × families fitted side by side, and
FITS_AT_ONCE = 8         # most families


def run(board: Board, logs_dir: Path, dry_run: bool) -> list[dict]:
    """Run the parts that the log lacks, and write the table; returns its rows of this board, none in a dry run."""
    if dry_run:
        missing = _missing(board, Ledger(logs_dir / PARTS_LOG, PARTS))
        announce(len(missing), "part", board.seconds(missing))
        return []
    with locks.writing(logs_dir / PARTS_LOG):
        return _run(board, logs_dir)


def _missing(board: Board, log: Ledger) -> list[Part]:
    return [part for part in board.parts() if any(board.key(part, budget) not in log for budget in board.budgets)]


def _run(board: Board, logs_dir: Path) -> list[dict]:
    table, log = Table(logs_dir / "leave_one_family_out.csv"), Ledger(logs_dir / PARTS_LOG, PARTS)
    missing = _missing(board, log)
    with cli.Progress(len(missing), "evaluate", "part") as progress:
        for group, model_of in board.fitted(list(dict.fromkeys(part.group for part in missing))):
            for part in (part for part in missing if part.group == group):
                log.append(row for row in board.run(part, model_of) if row not in log)
                progress.advance()
    rows = [board.summary(log, method, budget) for method in board.methods for budget in board.budgets]
    table.replace(rows)
    return rows


def usage(method: str) -> tuple[str, str, Setting]:
    """(sampling, variance, setting) with which a policy is judged: its own, the published variance where it has one."""
    policy = named(method)
    return (policy.sampling, policy.variance_as_published or variances(policy.sampling)[0],
            policy.setting or DEFAULT_SETTING)


# --- the board and its families ------------------------------------------------------------------------

class Group(NamedTuple):
    """Families start … stop−1, whose factors are fitted side by side."""

    start: int
    stop: int


class Part(NamedTuple):
    """What is run, logged and lost at once: some families, some seeds, one method, every budget."""

    group: Group
    method: str
    seeds: range


class Found(NamedTuple):
    """θ̂, half the width before clipping, and the interval; (seeds, models) each."""

    theta: np.ndarray
    half: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass
class Board:
    """A matrix, who is a sibling of whom, and what is to be run on it.

    family  (M,) str
    known   families with a complete model, in the matrix's order
    """

    name: str
    responses: Responses
    family: np.ndarray
    known: list[str]
    rank: int
    weight_decay: float
    protocol: str
    epochs: int
    methods: list[str]
    budgets: tuple[int, ...]
    seeds: int

    @staticmethod
    def read(path: Path, budgets: Sequence[str], seeds: int, methods: Sequence[str] | None = None,
             rank: int | None = None, weight_decay: float = 1.0, protocol: str = "map",
             epochs: int | None = None) -> Board:
        """A board from its matrix; rank defaults to 4, or a quarter of the models.

        Raises InputError if there are fewer than three families, no complete model, or a rank beyond what is fitted to.
        """
        responses, name = read_matrix(path), path.name.split(".")[0]
        family = np.array([given or family_of(model) for given, model in
                           zip(responses.families, responses.models, strict=True)])
        if (count := len(set(family))) < 3:
            raise InputError(f"{path}: {count} families ({', '.join(sorted(set(family)))}); at least 3 are needed to "
                             "leave one out; a column `family` says who belongs together")
        if not responses.complete.any():
            raise InputError(f"{path}: no model has all {responses.n_questions} scores, so none can be evaluated")
        left = responses.n_models - Counter(family.tolist()).most_common(1)[0][1]
        if rank is not None and rank > left:
            raise InputError(f"--rank {rank}: {path} without its largest family gives {left} models to fit to, which "
                             f"carry ranks from 1 to {left}")
        return Board(name, responses, family, list(dict.fromkeys(family[responses.complete])),
                     rank or min(4, max(1, responses.n_models // 4)), weight_decay, protocol,
                     epochs or factors.PROTOCOLS[protocol].epochs, list(dict.fromkeys(methods or [DEFAULT_POLICY])),
                     parse_budgets(budgets, responses.n_questions, name), seeds)

    def describe(self) -> Iterator[str]:
        """The families found, and who is not evaluated."""
        sizes = Counter(self.family.tolist())
        yield f"{self.name}: {self.responses.n_models} models of {len(sizes)} families (models in brackets):"
        yield _filled(", ".join(f"{family}\N{NO-BREAK SPACE}({size})" for family, size in sizes.items()))
        incomplete = self.responses.models[~self.responses.complete]
        if len(incomplete):
            yield _filled(f"{len(incomplete)} models lack scores and are history only: {', '.join(incomplete)}")

    @cached_property
    def matrix(self) -> str:
        """Changes whenever names, scores, families or constants do."""
        how = fingerprints.of_engine(repr(factors.PROTOCOLS[self.protocol]))
        parts = "\x1f".join([fingerprints.digest(self.responses), how, *self.family])
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()

    def new(self, family: str) -> Responses:
        """The models of a family that can be evaluated."""
        return self.responses.take((self.family == family) & self.responses.complete)

    def models(self, group: Group) -> list[Responses]:
        return [self.new(family) for family in self.known[slice(*group)]]

    # Parts: which there are depends on what is asked for and on nothing that has been done.

    @cached_property
    def groups(self) -> list[Group]:
        size = min(FITS_AT_ONCE, max(1, CELLS_OF_A_FIT // self.responses.scores.size))
        return [Group(start, min(start + size, len(self.known))) for start in range(0, len(self.known), size)]

    def parts(self) -> Iterator[Part]:
        for group in self.groups:
            for method in self.methods:
                yield from (Part(group, method, seeds) for seeds in self.seed_ranges(group))

    def seed_ranges(self, group: Group) -> list[range]:
        cells = sum(new.n_models for new in self.models(group)) * self.responses.n_questions * max(self.budgets)
        size = next((size for size in SEEDS_AT_ONCE if size * cells <= CELLS_OF_A_PART), 1)
        return [range(first, min(first + size, self.seeds)) for first in range(0, self.seeds, size)]

    def key(self, part: Part, budget: int) -> dict:
        sampling, variance, setting = usage(part.method)
        how = f"{self.protocol}_rank={self.rank}_decay={self.weight_decay}_epochs={self.epochs}"
        return dict(zip(PARTS_KEY, (self.name, self.matrix, how, budget, part.method, sampling, variance, setting.key,
                              f"{part.group.start}-{part.group.stop - 1}", f"{part.seeds[0]}-{part.seeds[-1]}"),
                        strict=True))

    # --- factors without a family, and evaluations with them

    def fitted(self, groups: list[Group]) -> Iterator[tuple[Group, dict[str, Factors]]]:
        """Per group, each of its families → the factors of all other models."""
        scores, observed = self.responses.scores, self.responses.observed
        for group in groups:
            families = self.known[slice(*group)]
            fits = [Fit(self.rank, self.weight_decay,
                        stream("leave-out", self.name, family, self.rank, self.weight_decay),
                        observed & (self.family != family)[:, None]) for family in families]
            made = factors.fit(scores, fits, factors.PROTOCOLS[self.protocol], self.epochs)
            yield group, {family: Factors(U[self.family != family], V, self.responses.questions,
                                          factors.history_mean(scores, fit.seen))
                          for family, fit, (U, V) in zip(families, fits, made, strict=True)}

    @cached_property
    def passes(self) -> Passes:
        """Compiled or not: the same for every part, so that a resumed run repeats an uninterrupted one exactly."""
        return Passes.for_work(float(self.responses.scores.size) * max(self.budgets) * self.seeds, "cpu")

    def run(self, part: Part, model_of: dict[str, Factors]) -> list[dict]:
        """One row of the log per budget."""
        news = self.models(part.group)
        every = [self.estimates(new, model, part.method, part.seeds)
                 for new, model in zip(news, model_of.values(), strict=True)]
        truth = np.concatenate([_moments(new)[0] for new in news])
        together = [Found._make(np.concatenate(arrays, 1) for arrays in zip(*of, strict=True))
                    for of in zip(*every, strict=True)]
        return [self.key(part, budget) | judge(found, truth, f"{budget / self.responses.n_questions:.4f}")
                for budget, found in zip(self.budgets, together, strict=True)]

    def estimates(self, new: Responses, model: Factors, method: str,
                  seeds: range) -> list[Found]:
        """Of every evaluation, per budget."""
        sampling, variance, setting = usage(method)
        draws = np.concatenate([uniforms(self.name, "leave-one-out", seed, new.models, max(self.budgets))
                                for seed in seeds])
        scores = np.tile(new.scores.astype(np.float32), (len(seeds), 1))
        bank, rounds = Bank.of(model.V), named(method).rounds
        trace = (evaluate_in_rounds(bank, model.prior, rounds, setting.tau, self.budgets, draws, scores,
                                    kinds_of(bank, model.prior, rounds)) if rounds else
                 evaluate(bank, model.prior, [setting] * len(draws), draws, scores, sampling, method,
                          passes=self.passes))
        found = [estimate(trace, budget, new.n_questions, sampling, variance, model.V.shape[1])
                 for budget in self.budgets]
        return [Found._make(array.reshape(len(seeds), new.n_models) for array in (
            one.theta, special.stdtrit(one.df, 1 - ALPHA / 2) * one.se, *one.interval())) for one in found]

    def seconds(self, parts: list[Part]) -> float:
        """About how long some parts take here, from a few epochs of a fit and one model's share of a part."""
        if not parts:
            return 0.0
        groups = {part.group for part in parts}
        fits = sum(group.stop - group.start for group in groups)
        total = fits * fit_seconds(self.responses.scores.shape, self.rank, self.protocol, self.epochs, "cpu")
        quick = replace(self, epochs=1)
        first, _ = self.known[parts[0].group.start], self.passes  # built before any is timed
        [(_, model_of)] = quick.fitted([Group(parts[0].group.start, parts[0].group.start + 1)])
        for method in dict.fromkeys(part.method for part in parts):
            mine = [part for part in parts if part.method == method]
            start = time.perf_counter()
            self.estimates(self.new(first).take(slice(1)), model_of[first], method, mine[0].seeds)
            rows = sum(len(part.seeds) * sum(new.n_models for new in self.models(part.group)) for part in mine)
            total += (time.perf_counter() - start) * rows / len(mine[0].seeds)
        return total

    # --- from the log to the table

    def _logged(self, log: Ledger, part: Part, budget: int) -> dict[str, str]:
        row = log.get(self.key(part, budget))
        assert row is not None, "every part has been run"
        return row

    def summary(self, log: Ledger, method: str, budget: int) -> dict:
        """One row of the table, from the parts' rows of the log and the truth."""
        parts = [[self._logged(log, Part(group, method, seeds), budget) for seeds in self.seed_ranges(group)]
                 for group in self.groups]
        rows = [row for of_group in parts for row in of_group]
        new = self.responses.take(np.concatenate([np.flatnonzero((self.family == family) & self.responses.complete)
                                                  for family in self.known]))
        truth, mean_square = _moments(new)
        intervals_made = self.seeds * new.n_models
        covered = np.concatenate([np.sum([_numbers(row["covered"]) for row in of_group], 0)
                                  for of_group in parts]) / self.seeds
        width, squared_error = (  # (seeds,) each: means over the models
            np.sum([np.concatenate([_numbers(row[name]) for row in of_group]) for of_group in parts], 0) / new.n_models
            for name in ("width", "squared_error"))
        half_width, zero_width = (sum(float(row[name]) for row in rows) / intervals_made
                                  for name in ("half_width", "zero_width"))
        factor = ratio_quantile(np.sum([_padded(_numbers(row["ratios"])) for row in rows], 0), 1 - ALPHA)
        n = new.n_questions
        srs_width = intervals.srs_width(truth, mean_square, n, budget, ALPHA).mean()
        equal = 2 * factor * half_width if np.isfinite([factor, half_width]).all() else math.inf
        ess = dict.fromkeys(("ess_width", "ess_width_se", "ess_equal_coverage", "ess_mse", "ess_mse_se"), math.nan)
        if budget < n:  # else all is known, and there is nothing to compare
            srs = np.full(self.seeds, intervals.srs_variance(truth, mean_square, n, budget).mean())
            ess = dict(zip(ess, (*intervals.mean_and_se((srs_width / width) ** 2), (srs_width / equal) ** 2,
                                 *intervals.ess_mse(srs, squared_error)), strict=True))
        mean = covered.mean()
        return {name: rows[0][name] for name in FAMILIES[:6]} | {
            "families": len(self.known), "models": new.n_models, "seeds": self.seeds, "coverage": mean,
            "coverage_se": intervals.binomial_se(mean, intervals_made), "worst": covered.min(),
            "worst_model": new.models[covered.argmin()], "worst_by_luck": coverage.luck(new.n_models, self.seeds),
            "zero_width": zero_width, "mean_width": width.mean()} | ess


def _filled(text: str) -> str:
    return textwrap.fill(text, 80, break_on_hyphens=False).replace("\N{NO-BREAK SPACE}", " ")


def _moments(new: Responses) -> tuple[np.ndarray, np.ndarray]:
    """(accuracy, mean square of the scores), (models,) each."""
    scores = new.scores.astype(np.float64)
    return scores.mean(1), (scores**2).mean(1)


# --- judging -------------------------------------------------------------------------------------------

def judge(found: Found, truth: np.ndarray, share: str) -> dict:
    """A part's results; truth (models,)."""
    band, half = intervals.Interval(found.low, found.high), found.half
    error = np.abs(found.theta - truth)
    ratio = np.divide(error, half, out=np.where(error > 1e-9, np.inf, 0.0), where=half > 0)
    bins = np.minimum(np.ceil(ratio / RATIO_STEP), RATIO_BINS).astype(int)
    return {"share": share, "models": len(truth), "covered": _text(band.covers(truth).sum(0)),
            "zero_width": int((band.width == 0).sum()), "half_width": half.sum(), "width": _text(band.width.sum(1)),
            "squared_error": _text((error**2).sum(1)), "ratios": _text(np.bincount(bins.ravel()))}


def ratio_quantile(counts: np.ndarray, share: float) -> float:
    """What half-widths must be multiplied with to cover `share` of the time, from the counts of |error| / half-width:
    within its bin a ratio's place is interpolated. ∞ beyond the last bin."""
    cumulative = np.cumsum(counts)
    order = math.ceil(share * cumulative[-1] - 1e-9)
    bin_ = int(np.searchsorted(cumulative, order))
    if bin_ in (0, RATIO_BINS):
        return math.inf if bin_ else 0.0
    return float(RATIO_STEP * (bin_ - 1 + (order - cumulative[bin_ - 1] - 0.5) / counts[bin_]))


def _text(values: np.ndarray) -> str:
    """Numbers between spaces, floats with five significant digits."""
    return " ".join(f"{value:.5g}" if values.dtype.kind == "f" else str(value) for value in values.tolist())


def _numbers(text: str) -> np.ndarray:
    return np.array(text.split(), dtype=float)


def _padded(counts: np.ndarray) -> np.ndarray:
    return np.pad(counts, (0, RATIO_BINS + 1 - len(counts)))


# --- the table -----------------------------------------------------------------------------------------

def _csv_lines(text: bytes, path: Path) -> list[tuple[str, ...]]:
    try:
        return [tuple(row) for row in csv.reader(io.StringIO(text.decode()))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of this script ({error}); move it away") from None


class Table:
    """The written table; rows of other matrices, factors, budgets and methods stay as they are.

    Raises InputError for a file with other columns.
    """

    def __init__(self, path: Path):
        self.path, self.rows = path, {}
        if path.is_file():
            with reading(path, "table") as stream:
                header, *rows = _csv_lines(stream.read(), path) or [()]
            if tuple(header) != FAMILIES or any(len(row) != len(FAMILIES) for row in rows):
                raise InputError(f"{path}: not a table of this script's columns; move it away or choose another "
                                 "--logs-dir")
            self.rows = {row[:5]: list(row) for row in rows}

    def replace(self, rows: list[dict]) -> None:
        for row in rows:
            texts = [f"{row[name]:.5g}" if isinstance(row[name], float) else str(row[name]) for name in FAMILIES]
            self.rows[tuple(texts[:5])] = texts
        ordered = sorted(self.rows.values(), key=lambda row: (*row[:3], row[4], int(row[3])))
        with atomic(self.path, "w") as out:
            csv.writer(out, lineterminator="\n").writerows([FAMILIES, *ordered])
