"""A random share of a folder's trials, run again: the rows must come out as they stand in the logs."""

from __future__ import annotations

import argparse
import io
import math
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import cli
from ..errors import InputError
from .cluster import run_here
from .columns import ACTIVE, LOGS, UNKNOWN
from .ledger import Ledger

SCRIPTS = ("faq_val", "faq_final", "baselines_all", "ablations_all")


@dataclass(frozen=True)
class Compared:
    """One trial: its key and the columns in which the row run now differs, (name, logged, now) each; `lost` where the
    trial did not run."""

    log: str
    key: tuple[str, ...]
    differences: tuple[tuple[str, str, str], ...]
    lost: bool = False

    @property
    def same(self) -> bool:
        return not (self.differences or self.lost)


def compare(args: argparse.Namespace) -> list[Compared]:
    """Run args.share of every log's trials again (at least one of each), chosen at random by args.seed.

    Raises InputError where no log is there, or where data or factors are missing.
    """
    chosen = [(name, row) for name in SCRIPTS for row in _some(args, name)]
    if not chosen:
        raise InputError(f"{args.logs_dir}: holds no trials ({', '.join(f'{name}.csv' for name in SCRIPTS)})")
    found = []
    with cli.Progress(len(chosen), "run again") as progress:
        for name, row in chosen:
            with tempfile.TemporaryDirectory() as folder:
                found.append(_again(args, name, row, Path(folder)))
            progress.advance()
    return found


def _some(args: argparse.Namespace, name: str) -> list[dict[str, str]]:
    rows = list(Ledger.named(args.logs_dir, name))
    if not rows:
        return []
    rng = np.random.default_rng([args.seed, SCRIPTS.index(name)])
    count = max(1, math.ceil(args.share * len(rows)))
    return [rows[i] for i in sorted(rng.choice(len(rows), count, replace=False))]


def _again(args: argparse.Namespace, name: str, row: dict[str, str], folder: Path) -> Compared:
    columns = LOGS[name]
    key = tuple(row[column] for column in columns.key)
    words = [*_flags(name, row), "--tier", args.tier, "--datasets", row["dataset"], "--scenarios", row["scenario"],
             "--budgets", row["budget"], "--models", row["models"], "--seeds", str(int(row["seed"]) + 1), "--shard",
             f"{row['seed']}/{int(row['seed']) + 1}", "--data-dir", str(args.data_dir), "--logs-dir", str(folder),
             "--factors-dir", str(args.factors_dir or args.logs_dir / "factor_models"), "--device", args.device]
    said = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said):
            run_here(f"{name}.py", words)
    except SystemExit:  # a flag is refused: what stands in the log is no trial of ours
        raise InputError(f"{args.logs_dir / name}.csv: the trial {', '.join(key)} cannot be run: "
                         f"{said.getvalue().strip().removeprefix('error: ')}") from None
    differences: list[tuple[str, str, str]] = []
    for log in (name, f"{name}_models"):  # the second may not be there: it is not committed
        now = Ledger.named(folder, log).get(row)
        logged = row if log == name else Ledger.named(args.logs_dir, log).get(row)
        if now is None:
            return Compared(name, key, (), lost=True)
        differences += [(column, logged[column], now[column]) for column in LOGS[log].header
                        if logged is not None and logged[column] not in (now[column], UNKNOWN)]
    return Compared(name, key, tuple(dict.fromkeys(differences)))


def not_run(logs_dir: Path) -> list[str]:
    """The logs and tables of a folder that `compare` leaves alone."""
    run = {f"{name}{end}.csv" for name in SCRIPTS for end in ("", "_models")}
    return sorted(path.name for path in logs_dir.glob("*.csv") if path.name not in run)


def _flags(name: str, row: dict[str, str]) -> Iterator[str]:
    """What makes a script run one trial: its own flags. Of a walk, it runs the others of the seed beside it."""
    if name == "baselines_all":
        yield from ("--policies", row["method"])
    elif name == "ablations_all" and row["method"] == ACTIVE:
        yield from ("--arms", ACTIVE, "--taus", row["setting"].removeprefix("tau="))
    elif name == "ablations_all":
        yield from ("--arms", "replacement", "--setting", row["setting"])
    else:
        policy, setting = ("--policy", "--settings") if name == "faq_val" else ("--policies", "--setting")
        yield from (policy, row["method"], setting, row["setting"], "--sampling", row["sampling"], "--variance",
                    row["variance"], "--batch", row["batch"])
