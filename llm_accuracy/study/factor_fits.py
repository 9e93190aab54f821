"""Factor models of a history: cross-validated, chosen, fitted, and stored for the trials."""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .. import cli, locks, parallel
from ..errors import InputError
from ..querying import factors
from ..querying.factors import Factors
from ..randomness import stream
from ..scores.dataset import Dataset
from ..scores.matrix import Responses
from . import fingerprints, grids, ledger
from .columns import CV_KEY
from .flags import announce
from .grids import TIERS, Cell, cells, my_share, train_rows
from .provenance import refuse_stale
from .tuning import of_cell
from .workers import shared_out

FITTING = ("which", "protocol", "rank", "weight_decay", "epochs")  # of a stored model's `about`: how it was fitted
CELLS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 30}  # models × questions × fits side by side


def factors_path(args: argparse.Namespace, cell: Cell, which: str) -> Path:
    root = args.factors_dir or args.logs_dir / "factor_models"
    return root / cell.dataset / f"{cell.scenario}_{which}.npz"


def seen_history(args: argparse.Namespace, cell: Cell, which: str) -> Responses:
    """What the factor model "val" or "final" of a cell is fitted to: the first 80 % of the history, or all of it."""
    history = Dataset(args.data_dir, cell.dataset).history(cell.scenario)
    return history.take(slice(train_rows(history.n_models))) if which == "val" else history


# --- one fit per cell ----------------------------------------------------------------------------------

@dataclass
class FitJob:
    cell: Cell
    which: str
    path: Path
    history: Responses
    protocol: str
    rank: int
    weight_decay: str
    epochs: int
    about: dict
    replaces: bool  # a model of other settings or of another history

    @property
    def scores(self) -> np.ndarray:
        return self.history.scores

    def run(self, device: str, progress: cli.Progress) -> None:
        seen = self.history.observed
        rng = stream("factors", self.cell.dataset, self.cell.scenario, self.which, self.protocol, self.rank,
                     self.weight_decay)
        one = factors.Fit(self.rank, float(self.weight_decay), rng, seen)
        [(U, V)] = factors.fit(self.scores, [one], factors.PROTOCOLS[self.protocol], self.epochs, device,
                               progress.advance)
        loss, accuracy = factors.loss_and_accuracy(self.scores, seen, U, V, device)
        self.about |= {"train_loss": loss, "train_acc": accuracy}
        Factors(U, V, self.history.questions, factors.history_mean(self.scores, seen), self.about).save(self.path)


def fit(args: argparse.Namespace, which: str) -> None:
    """factor_models_val.py and factor_models_final.py: fit at the settings chosen by cross-validation."""
    device = cli.device(args.device)
    work = [job for job in (_fit_job(args, cell, which) for cell in my_share(cells(args), args)) if job]
    if args.dry_run:
        seconds = sum(fit_seconds(job.scores.shape, job.rank, job.protocol, job.epochs, device) for job in work)
        announce(len(work), "fit", seconds, parts=len(work))
        return
    with ExitStack() as alone:
        for job in work:  # refused before the work, where another process fits the same or nothing can be written
            alone.enter_context(locks.writing(job.path))
        with cli.Progress(sum(job.epochs for job in work), f"fit {which}", "epoch") as progress:
            for job in work:
                job.run(device, progress)
                progress.note(f"{job.path}: rank {job.rank}, weight decay {job.weight_decay}, training loss "
                              f"{job.about['train_loss']:.4f}, accuracy {job.about['train_acc']:.4f}"
                              + ", in the place of one of another history or other settings" * job.replaces)


def _fit_job(args: argparse.Namespace, cell: Cell, which: str) -> FitJob | None:
    """The fit of one cell, or None if the very same one is there."""
    history = seen_history(args, cell, which)
    rank, weight_decay = args.rank, args.weight_decay
    if rank is None and args.dry_run and not (args.logs_dir / "factor_models_cv.csv").is_file():
        rank = largest_rank(args, history.n_models)
        cli.note(f"{cell.dataset} {cell.scenario}: not cross-validated yet, so priced at the largest rank, {rank}")
    elif rank is None:
        rank, weight_decay = chosen_by_cv(args, cell)
    elif rank not in TIERS["paper"].ranks:  # on a small board too, so that the paper's settings can be run there
        _check_ranks("--rank", [rank], history)
    protocol = grids.protocol(args)
    epochs = args.epochs or factors.PROTOCOLS[protocol].epochs
    about = {"dataset": cell.dataset, "scenario": cell.scenario, "which": which, "protocol": protocol, "rank": rank,
             "weight_decay": weight_decay, "epochs": epochs, "rows": history.n_models,
             "history": fingerprints.digest(history)}
    path = factors_path(args, cell, which)
    if path.is_file():
        known = Factors.load(path, f"factor_models_{which}.py").about
        if all(known.get(name) == value for name, value in about.items()):
            return None
    return FitJob(cell, which, path, history, protocol, rank, weight_decay, epochs, about, path.is_file())


def largest_rank(args: argparse.Namespace, rows: int) -> int:
    """Of the tier's grid, for a history of so many models: what a fit costs at most."""
    return max(TIERS[args.tier].rank_grid(rows))


def chosen_by_cv(args: argparse.Namespace, cell: Cell) -> tuple[int, str]:
    """(rank, weight decay) by the one-standard-error rule.

    Raises InputError if the cell has not been cross-validated, or with another history than it has now.
    """
    path, protocol = args.logs_dir / "factor_models_cv.csv", grids.protocol(args)
    cv = of_cell(ledger.read(path, "factor_models_cv.py"), cell)
    cv = cv[cv["protocol"] == protocol]
    if cv.empty:
        raise InputError(f"{path}: no {protocol} fits of {cell.dataset} {cell.scenario}; run factor_models_cv.py on "
                         "it, or give --rank and --weight-decay")
    refuse_stale(cv, {"history": fingerprints.short(fingerprints.digest(seen_history(args, cell, "val")))}, path)
    folds = cv.groupby(["rank", "weight_decay"]).size()
    if (lacking := folds[folds < folds.max()]).size:
        cli.note(f"{path}: {len(lacking)} of {len(folds)} settings of {cell.dataset} {cell.scenario} lack folds: run "
                 "factor_models_cv.py to its end first, or the choice is from what is there")
    chosen = factors.one_standard_error(cv, TIERS[args.tier].select_factors_by).iloc[0]
    return int(chosen["rank"]), str(chosen["weight_decay"])


TIMED_CELLS = 1 << 22  # models × questions × fits that are timed for larger ones; time is about proportional to them
TIMED_EPOCHS = 4       # beyond the first


@cache
def fit_seconds(shape: tuple[int, int], rank: int, protocol: str, epochs: int, device: str, batch: int = 1,
                workers: int = 1) -> float:
    """About how long a fit takes here, one of `batch` that go side by side while as many go on as there are `workers`:
    from a few epochs on made-up scores, the same for all fits of a shape (models, questions)."""
    cells = shape[0] * shape[1] * batch
    share = min(1.0, TIMED_CELLS / cells)
    rng = stream("timing", rank)
    scores = rng.integers(0, 2, [max(rank, math.ceil(size * share**0.5)) for size in shape], np.int8)

    def job(epochs: int) -> None:
        folds = factors.entry_folds(np.ones(scores.shape, bool), 5, rng)
        fits = [factors.Fit(rank, 0.1, rng, folds > 0)] * batch
        for U, V in factors.fit(scores, fits, factors.PROTOCOLS[protocol], epochs, device):
            factors.loss_and_accuracy(scores, folds == 0, U, V, device)

    def spent(epochs: int) -> float:
        start = time.perf_counter()
        if workers == 1:
            job(epochs)
        else:
            list(parallel.side_by_side(job, [epochs] * workers, device))
        return (time.perf_counter() - start) / workers

    # The less of two: another process in between must not count hundreds of times.
    set_up, some = (min(spent(epochs) for _ in range(2)) for epochs in (1, 1 + TIMED_EPOCHS))
    per_epoch = max(some - set_up, 0.0) / TIMED_EPOCHS
    return (set_up + per_epoch * (epochs - 1)) * cells / (scores.size * batch) / batch


# --- cross-validation ----------------------------------------------------------------------------------

def _check_ranks(flag: str, ranks: Sequence[int], history: Responses) -> None:
    """Raise InputError for a rank that was asked for and that no history of so many models carries."""
    if max(ranks, default=0) > history.n_models:
        raise InputError(f"{flag} {max(ranks)}: {history.source} gives {history.n_models} models to fit to, which "
                         f"carry ranks from 1 to {history.n_models}")


@dataclass(frozen=True)
class Folds:
    """Fits of one cell and rank that go side by side: (weight decay, fold) each."""

    cell: Cell
    history: Responses
    rank: int
    fits: list[tuple[float, int]]
    made_from: dict[str, str]


@shared_out("factor_models_cv")
@ledger.writes("factor_models_cv")
def cross_validate(args: argparse.Namespace) -> ledger.Ledger:
    """factor_models_cv.py: every (rank, weight decay, fold) of the grid that the log lacks."""
    protocol, device = grids.protocol(args), cli.device(args.device)
    epochs, n_folds = args.epochs or factors.PROTOCOLS[protocol].epochs, args.folds or TIERS[args.tier].folds
    log = ledger.Ledger.of_run(args, "factor_models_cv", args.restart)
    fitting = fingerprints.of_fitting(protocol, epochs, n_folds)
    todo = list(_missing(args, protocol, device, log, fitting))
    count = sum(len(folds.fits) for folds in todo)
    if args.dry_run:
        workers = parallel.workers(len(todo), device)
        most = max((len(folds.fits) for folds in todo), default=1)
        seconds = sum(len(folds.fits) * fit_seconds(folds.history.scores.shape, folds.rank, protocol, epochs, device,
                                                    most, workers) for folds in todo)
        announce(count, "fit", seconds, parts=count)
        return log
    with cli.Progress(count, "cross-validation", "fit") as progress:
        def job(folds: Folds) -> list[dict]:
            return _fit_folds(folds, protocol, n_folds, epochs, device)

        for folds, rows in zip(todo, parallel.side_by_side(job, todo, device), strict=True):
            log.append(rows)
            progress.advance(len(folds.fits))
    return log


def _missing(args: argparse.Namespace, protocol: str, device: str, log: ledger.Ledger,
             fitting: str) -> Iterator[Folds]:
    """The shard's part of what is not in the log yet, as many fits side by side as memory allows."""
    tier = TIERS[args.tier]
    histories = {cell: seen_history(args, cell, "val") for cell in cells(args)}
    for history in histories.values():
        _check_ranks("--ranks", args.ranks or (), history)
    grid = [(cell, rank, decay, fold) for cell, history in histories.items()
            for rank in args.ranks or tier.rank_grid(history.n_models)
            for decay, fold in itertools.product(args.weight_decays or tier.weight_decays,
                                                 range(args.folds or tier.folds))]
    made_from = {cell: {"history": fingerprints.short(fingerprints.digest(history)), "fitting": fitting}
                 for cell, history in histories.items()}
    for (cell, rank), units in itertools.groupby(my_share(grid, args), key=lambda unit: unit[:2]):
        history = histories[cell]
        at_once = max(1, CELLS_AT_ONCE[device] // history.scores.size)
        wanted = [(decay, fold) for *_, decay, fold in units
                  if log.find(_cv_key(cell, protocol, rank, decay, fold), made_from[cell]) is None]
        if wanted:
            log.refuse_mixing(_cv_key(cell, protocol, rank, *wanted[0]) | made_from[cell])
        for start in range(0, len(wanted), at_once):
            yield Folds(cell, history, rank, wanted[start : start + at_once], made_from[cell])


def _cv_key(cell: Cell, protocol: str, rank: int, decay: float, fold: int) -> dict:
    return dict(zip(CV_KEY, (cell.dataset, cell.scenario, protocol, rank, float(decay), fold), strict=True))


def _fit_folds(work: Folds, protocol: str, n_folds: int, epochs: int, device: str) -> list[dict]:
    """Fit each (weight decay, fold) on all folds but its own, side by side, and judge on the one left out."""
    cell, history = work.cell, work.history
    folds = factors.entry_folds(history.observed, n_folds, stream("folds", cell.dataset, cell.scenario))
    fits = [factors.Fit(work.rank, decay, stream("factors", cell.dataset, cell.scenario, "cv", protocol, work.rank,
                                                 decay, fold), (folds >= 0) & (folds != fold))
            for decay, fold in work.fits]
    trained = factors.fit(history.scores, fits, factors.PROTOCOLS[protocol], epochs, device)
    rows = []
    for (decay, fold), one, (U, V) in zip(work.fits, fits, trained, strict=True):
        train_loss, train_acc = factors.loss_and_accuracy(history.scores, one.seen, U, V, device)
        val_loss, val_acc = factors.loss_and_accuracy(history.scores, folds == fold, U, V, device)
        rows.append(_cv_key(cell, protocol, work.rank, decay, fold) | {
            "rows": history.n_models, "epochs": epochs, "train_loss": train_loss, "val_loss": val_loss,
            "train_acc": train_acc, "val_acc": val_acc} | work.made_from)
    return rows


def print_choice(args: argparse.Namespace, log: ledger.Ledger) -> None:
    """The setting chosen for every cell that was asked for."""
    table = ledger.read(log.path, "factor_models_cv.py")
    wanted = set(cells(args))
    chosen = factors.one_standard_error(table[table["protocol"] == grids.protocol(args)],
                                        TIERS[args.tier].select_factors_by)
    print(f"{'dataset':<16} {'scenario':<18} {'K':>3} {'decay':>7} {'val loss':>9} {'val acc':>8}")
    for row in chosen.itertuples():
        if Cell(row.dataset, row.scenario) in wanted:
            print(f"{row.dataset:<16.16} {row.scenario:<18} {row.rank:>3} {row.weight_decay:>7} "
                  f"{row.val_loss:>9.4f} {row.val_acc:>8.4f}")
