"""Trials: questions about new models, the judgement of what an estimate says of them, and the logs of both."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .. import cli
from ..errors import InputError
from ..querying import intervals
from ..querying.beliefs import Bank
from ..querying.designs import schedule
from ..querying.estimates import Estimate
from ..querying.evaluation import evaluate, evaluate_in_rounds, kinds_of
from ..querying.factors import Factors, Prior, history_mean
from ..querying.passes import Passes
from ..querying.policies import GrowingRounds, Policy
from ..querying.rival_estimates import History
from ..querying.round_estimates import RoundEstimate
from ..querying.rounds import RoundTrace
from ..querying.setting import ALPHA, Setting
from ..querying.trace import Trace
from ..randomness import stream, uniforms
from ..scores.dataset import Dataset
from ..scores.matrix import Responses
from . import fingerprints, grids
from .columns import ABOVE, BELOW, COVERED, TRIAL, UNUSED
from .factor_fits import FITTING, factors_path, largest_rank, seen_history
from .grids import Cell, train_rows
from .ledger import OTHERWISE, Ledger

ROWS_AT_ONCE = 512  # evaluations side by side: bounds memory at rows × N floats


@dataclass
class Task:
    """Everything a trial on one dataset in one scenario needs.

    new      the models to be evaluated, complete
    factors  the history's factor model
    dataset  where a simulated board keeps its true probabilities, for the policy "oracle"
    """

    cell: Cell
    new: Responses
    factors: Factors
    device: str
    dataset: Dataset

    def __post_init__(self):
        if not np.array_equal(self.new.questions, self.factors.questions):
            raise InputError(f"factor model of {self.cell.dataset} {self.cell.scenario}: fitted to other questions "
                             f"than those of {self.new.source}; run the factor_models scripts again")
        self.bank = Bank.of(self.factors.V, self.device)
        self.prior: Prior = self.factors.prior
        self.scores = self.new.scores.astype(np.float32)
        self.truth = self.scores.mean(1, dtype=np.float64)
        self.mean_square = (self.scores.astype(np.float64) ** 2).mean(1)

    @property
    def n_questions(self) -> int:
        return self.new.n_questions

    @cached_property
    def made_from(self) -> dict[str, str] | None:
        """The fingerprints of a row that this task's trials leave in a log; None of made-up factors."""
        about = self.factors.about
        if about.get("made up"):
            return None
        return {"history": fingerprints.short(about["history"]),
                "new_models": fingerprints.short(fingerprints.digest(self.new)),
                "factors": fingerprints.of_factors(self.factors),
                "protocol": fingerprints.of_engine(*(str(about.get(name)) for name in FITTING))}

    @cached_property
    def made_without_factors(self) -> dict[str, str] | None:
        """The same for trials that know the history's mean scores and no factors."""
        return self.made_from and self.made_from | {"factors": UNUSED, "protocol": fingerprints.of_engine()}

    @cached_property
    def history(self) -> History:
        """The scores that the factors were fitted to.

        Raises InputError if those of the dataset are others by now.
        """
        seen = self.dataset.history(self.cell.scenario)
        if self.factors.about.get("history", digest := fingerprints.digest(seen)) != digest:
            raise InputError(f"factor model of {self.cell.dataset} {self.cell.scenario}: fitted to another history "
                             f"than {seen.source}; run factor_models_final.py again")
        return History(np.where(seen.observed, seen.scores, np.nan), self.factors.history_mean)

    def budgets(self, args: argparse.Namespace) -> tuple[int, ...]:
        return grids.budgets(args, self.n_questions, self.cell.dataset)

    def draws(self, seed: int, steps: int) -> np.ndarray:
        """(models, steps): the uniform numbers of a seed."""
        return uniforms(self.cell.dataset, self.cell.scenario, seed, self.new.models, steps)

    def traces(self, jobs: Sequence[Job], budget: int, sampling: str, policy: Policy,
               batch: int = 1) -> Iterator[tuple[Job, Trace]]:
        """One trajectory of `budget` steps per job and new model, as many side by side as memory allows."""
        at_once, known = max(1, ROWS_AT_ONCE // len(self.scores)), self.known(policy)
        passes = self.passes()
        for start in range(0, len(jobs), at_once):
            some = jobs[start : start + at_once]
            draws = np.concatenate([self.draws(job.seed, budget) for job in some])
            settings = [job.setting for job in some for _ in self.truth]
            trace = evaluate(self.bank, self.prior, settings, draws, np.tile(self.scores, (len(some), 1)), sampling,
                             policy, passes=passes, batch=batch, together=len(self.truth),
                             known=None if known is None else np.tile(known, (len(some), 1)))
            for i, job in enumerate(some):
                rows = slice(i * len(self.truth), (i + 1) * len(self.truth))
                yield job, Trace(*(column[rows] for column in trace))

    def round_traces(self, jobs: Sequence[Job], budgets: Sequence[int],
                     plan: GrowingRounds) -> Iterator[tuple[Job, RoundTrace]]:
        """The rounds of every job and new model at all budgets, one uniform number a round."""
        at_once, strata = max(1, ROWS_AT_ONCE // len(self.scores)), kinds_of(self.bank, self.prior, plan)
        rounds = max(len(schedule(budget, self.n_questions, plan.first, plan.growth)) for budget in budgets)
        for tau, of_tau in itertools.groupby(jobs, key=lambda job: job.setting.tau):
            together = list(of_tau)
            for start in range(0, len(together), at_once):
                some = together[start : start + at_once]
                draws = np.concatenate([self.draws(job.seed, rounds) for job in some])
                trace = evaluate_in_rounds(self.bank, self.prior, plan, tau, budgets, draws,
                                           np.tile(self.scores, (len(some), 1)), strata, together=len(self.truth))
                for i, job in enumerate(some):
                    yield job, trace.of_rows(slice(i * len(self.truth), (i + 1) * len(self.truth)))

    def passes(self) -> Passes:
        """Compiled where a trial is long: by the data alone, so that no trial depends on what is run beside it."""
        return Passes.for_work(self.scores.size * self.n_questions / 4, self.device)

    def known(self, policy: Policy) -> np.ndarray | None:
        """(models, N) logits that an oracle is given, None for the other policies."""
        return policy.function("knows")(self) if policy.knows else None

    def judge(self, budget: int, found: Estimate | RoundEstimate, labels: np.ndarray, clip: bool = True,
              band: intervals.Interval | None = None) -> Judged:
        """Compare an estimate and its interval (by default θ̂ ± t·SE) with the truth; labels (models,) unique
        questions asked."""
        band = band or found.interval(ALPHA, clip)
        error = found.theta - self.truth
        covered = band.covers(self.truth)
        ratio = np.divide(error, found.se, out=np.zeros_like(error), where=found.se > 0)
        n = self.n_questions
        row = {
            "share": f"{budget / n:.4f}", "models": len(error), "mean_width": band.width.mean(),
            "coverage": covered.mean(), "mse": (error**2).mean(), "mean_se2": (found.se**2).mean(),
            "unique": labels.mean(), "half_width_factor": intervals.half_width_factor(error, found.se),
            "width_at_equal_coverage": intervals.width_at_equal_coverage(error, found.se),
            "srs_width": intervals.srs_width(self.truth, self.mean_square, n, budget, ALPHA).mean(),
            "srs_variance": intervals.srs_variance(self.truth, self.mean_square, n, budget).mean(),
        }
        sides = np.where(covered, COVERED, np.where(self.truth > band.high, ABOVE, BELOW))
        per_model = {"models": len(error), "covered": "".join(sides),
                     "error_over_se": " ".join(f"{r:.2f}" for r in np.clip(ratio, -99, 99))}
        return Judged(row, per_model)


class Job(NamedTuple):
    """One trajectory of every new model."""

    setting: Setting
    seed: int


class Judged(NamedTuple):
    """One trial's row of results, and its row of the per-model log."""

    row: dict
    per_model: dict


def trial_key(cell: Cell, budget: int, method: str, sampling: str, variance: str, setting: str, seed: int,
              batch: int = 1) -> dict:
    return dict(zip(TRIAL, (cell.dataset, cell.scenario, budget, method, sampling, variance, setting, batch, seed),
                    strict=True))


class TrialLog:
    """The log of a script and the per-model log beside it (who was covered, error in standard errors)."""

    def __init__(self, args: argparse.Namespace, script: str, restart: bool | None = None):
        restart = args.restart if restart is None else restart
        self.rows = Ledger.of_run(args, script, restart)
        self.per_model = Ledger.of_run(args, f"{script}_models", restart)

    def lacks(self, key: dict, models: int, made_from: dict[str, str] | None) -> bool:
        """Whether a trial must be run; made_from: None of a dry run before the factors are there.

        Raises InputError if it is there but computed from other models, data, factors or constants, or nobody knows
        from what: its rows would not compare.
        """
        known = self.rows.get(key)
        if made_from is None:
            return known is None
        if (others := self.rows.models_beside(key)) not in (None, str(models)):
            raise InputError(f"{self.rows.path}: trials like {', '.join(map(str, key.values()))} are there with "
                             f"{others} models, this run has {models}; {OTHERWISE}")
        self.per_model.find(key, made_from)
        if self.rows.find(key, made_from) is not None:
            return False
        for log in (self.rows, self.per_model):
            log.refuse_mixing({**key, "models": models, **made_from})
        return True

    def add(self, trials: Iterable[tuple[dict, Judged, dict]], made_from: dict[str, str] | None) -> None:
        """Append trials (key, judged, extra results). The per-model rows go first: a kill between the two
        writes leaves a row there that the repeated trial finds already written."""
        assert made_from is not None, "made-up factors are for dry runs"
        trials = list(trials)
        self.per_model.append({**key, **judged.per_model, **made_from} for key, judged, _ in trials
                              if key not in self.per_model)
        self.rows.append({**key, **judged.row, **extra, **made_from} for key, judged, extra in trials)


# --- from the command line to work ---------------------------------------------------------------------

def fitted(args: argparse.Namespace, cell: Cell, which: str) -> Factors:
    """The stored factors "val" or "final" of a cell; in a dry run before they are there, made-up ones of the tier's
    largest rank, by which it can be priced.

    Raises InputError if they are not there, or were fitted to another history than the dataset now has.
    """
    path, script = factors_path(args, cell, which), f"factor_models_{which}.py"
    if args.dry_run and not path.is_file():
        history = seen_history(args, cell, which)
        rank = largest_rank(args, history.n_models)
        cli.note(f"{path}: not there yet, so priced with made-up factors of rank {rank}")
        U, V = (0.3 * stream("priced", size).standard_normal((size, rank), dtype=np.float32)
                for size in history.scores.shape)
        return Factors(U, V, history.questions, history_mean(history.scores, history.observed), {"made up": True})
    factors = Factors.load(path, script)
    if (about := factors.about.get("history")) is None:
        raise InputError(f"{path}: does not say to which history it was fitted, so nobody knows whether it is that of "
                         f"{cell.dataset} {cell.scenario}; run {script} again, into another --factors-dir to keep both")
    if about != (now := fingerprints.digest(seen_history(args, cell, which))):
        before = fingerprints.short(str(about))
        raise InputError(f"{path}: fitted to another history ({before}) than {cell.dataset} {cell.scenario} has now "
                         f"({fingerprints.short(now)}); run {script} again, into another --factors-dir to keep both")
    return factors


def final_tasks(args: argparse.Namespace, of: Iterable[Cell]) -> Iterator[Task]:
    """The new models of every cell with the factors of all of its history."""
    device = cli.device(args.device)
    for cell in of:
        dataset = Dataset(args.data_dir, cell.dataset)
        factors = fitted(args, cell, "final")
        yield Task(cell, dataset.new_models(args.models), factors, device, dataset)


def val_tasks(args: argparse.Namespace, of: Iterable[Cell]) -> Iterator[Task]:
    """The last fifth of every cell's history as if new, with the factors of its first four fifths.

    They answer from the complete history whatever the scenario hides of it: a model that exists can be asked.
    Models whose scores are not complete even there are left out.

    Raises InputError if none is complete.
    """
    device = cli.device(args.device)
    for cell in of:
        dataset = Dataset(args.data_dir, cell.dataset)
        new = held_out(dataset, args.models)
        if not new.n_models:
            raise InputError(f"{new.source}: none of the last fifth of its models is complete, so there is "
                             "nothing to tune on; faq_final.py runs with its default setting")
        yield Task(cell, new, fitted(args, cell, "val"), device, dataset)


def held_out(dataset: Dataset, models: int | None = None) -> Responses:
    """The last fifth of a history, of it the complete ones, of those the first `models`: what is tuned on."""
    history = dataset.history()
    last = history.take(slice(train_rows(history.n_models), None))
    return last.take(last.complete).take(slice(models))
