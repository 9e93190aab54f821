"""What the numbered scripts have in common: from a command line to trials, and from trials to rows of a log."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import cli
from ..errors import InputError
from ..querying import factors, intervals
from ..querying.beliefs import Bank
from ..querying.estimates import Estimate
from ..querying.estimators import estimate, estimator, variances
from ..querying.evaluation import evaluate
from ..querying.factors import Factors, Prior
from ..querying.policies import POLICIES, SAMPLING, Policy
from ..querying.setting import ALPHA, Setting
from ..querying.trace import Trace
from ..randomness import stream, uniforms
from ..scores.dataset import Dataset
from ..scores.matrix import Responses
from . import ledger
from .grids import TIERS, Cell, budgets, cells, train_rows

KEY = ("dataset", "scenario", "budget", "method", "sampling", "variance", "setting", "seed")
RESULTS = ("share", "models", "mean_width", "coverage", "mse", "mean_se2", "unique", "half_width_factor",
           "width_at_equal_coverage", "srs_width", "srs_variance")
PER_MODEL = ("models", "covered", "error_over_se")
LOG_NAMES = ("factor_models_cv", *(f"{name}{kind}" for kind in ("", "_models")
                                   for name in ("faq_val", "faq_final", "baselines_all", "ablations_all")))
ROWS_AT_ONCE = 512  # evaluations side by side: bounds memory at rows × N floats


# --- questions about new models ------------------------------------------------------------------------

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

    def draws(self, seed: int, steps: int) -> np.ndarray:
        """(models, steps): the uniform numbers of a seed."""
        return uniforms(self.cell.dataset, self.cell.scenario, seed, self.new.models, steps)

    def traces(self, jobs: Sequence[Job], budget: int, sampling: str, policy: Policy,
               batch: int = 1) -> Iterator[tuple[Job, Trace]]:
        """One trajectory of `budget` steps per job and new model, as many side by side as memory allows."""
        at_once, known = max(1, ROWS_AT_ONCE // len(self.scores)), self.known(policy)
        for start in range(0, len(jobs), at_once):
            some = jobs[start : start + at_once]
            draws = np.concatenate([self.draws(job.seed, budget) for job in some])
            settings = [job.setting for job in some for _ in self.truth]
            trace = evaluate(self.bank, self.prior, settings, draws, np.tile(self.scores, (len(some), 1)), sampling,
                             policy, batch=batch, known=None if known is None else np.tile(known, (len(some), 1)))
            for i, job in enumerate(some):
                rows = slice(i * len(self.truth), (i + 1) * len(self.truth))
                yield job, Trace(*(column[rows] for column in trace))

    def known(self, policy: Policy) -> np.ndarray | None:
        """(models, N) logits that an oracle is given, None for the other policies."""
        return policy.knows(self) if policy.knows else None

    def judge(self, budget: int, found: Estimate, labels: np.ndarray, clip: bool = True,
              band: intervals.Interval | None = None) -> Judged:
        """Compare an estimate and its interval (by default θ̂ ± t·SE) with the truth; labels (models,) unique
        questions asked."""
        band = band or intervals.interval(found.theta, found.se, ALPHA, found.df, clip)
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
        per_model = {"models": len(error), "covered": "".join("1" if inside else "0" for inside in covered),
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


def trial_key(cell: Cell, budget: int, method: str, sampling: str, variance: str, setting: str, seed: int) -> dict:
    return dict(zip(KEY, (cell.dataset, cell.scenario, budget, method, sampling, variance, setting, seed),
                    strict=True))


def unique_questions(asked: np.ndarray) -> np.ndarray:
    """(models,) how many different questions stand in each row of `asked` (models, T)."""
    ordered = np.sort(asked, axis=1)
    return 1 + (np.diff(ordered, axis=1) != 0).sum(1)


class TrialLog:
    """The log of a script and the per-model log beside it (who was covered, error in standard errors)."""

    def __init__(self, args: argparse.Namespace, script: str, extra: Sequence[str] = ()):
        self.rows = ledger.Ledger(args.logs_dir / f"{script}.csv", KEY, (*RESULTS, *extra))
        self.per_model = ledger.Ledger(args.logs_dir / f"{script}_models.csv", KEY, PER_MODEL)

    def lacks(self, key: dict, models: int) -> bool:
        """Whether a trial must be run.

        Raises InputError if it is there with another number of models: its rows would not compare.
        """
        known = self.rows.get(key)
        if known is not None and int(known["models"]) != models:
            raise InputError(f"{self.rows.path}: trial {', '.join(map(str, key.values()))} is there with "
                             f"{known['models']} models, this run has {models}; choose another --logs-dir")
        return known is None

    def add(self, trials: Iterable[tuple[dict, Judged, dict]]) -> None:
        """Append trials (key, judged, extra results). The per-model rows go first: a kill between the two
        writes leaves a row there that the repeated trial finds already written."""
        trials = list(trials)
        self.per_model.append({**key, **judged.per_model} for key, judged, _ in trials
                              if key not in self.per_model)
        self.rows.append({**key, **judged.row, **extra} for key, judged, extra in trials)


# --- from the command line to work ---------------------------------------------------------------------

def factors_path(args: argparse.Namespace, cell: Cell, which: str) -> Path:
    root = args.factors_dir or args.logs_dir / "factor_models"
    return root / cell.dataset / f"{cell.scenario}_{which}.npz"


def final_tasks(args: argparse.Namespace) -> Iterator[Task]:
    """The new models of every cell with the factors of all of its history."""
    device = cli.device(args.device)
    for cell in cells(args):
        dataset = Dataset(args.data_dir, cell.dataset)
        factors = Factors.load(factors_path(args, cell, "final"), "factor_models_final.py")
        yield Task(cell, dataset.new_models(args.models), factors, device, dataset)


def val_tasks(args: argparse.Namespace) -> Iterator[Task]:
    """The last fifth of every cell's history as if new, with the factors of its first four fifths.

    They answer from the complete history whatever the scenario hides of it: a model that exists can be asked.
    Models whose scores are not complete even there are left out.

    Raises InputError if none is complete.
    """
    device = cli.device(args.device)
    for cell in cells(args):
        dataset = Dataset(args.data_dir, cell.dataset)
        history = dataset.history()
        held_out = history.take(slice(train_rows(history.n_models), None))
        held_out = held_out.take(held_out.complete).take(slice(args.models))
        if not held_out.n_models:
            raise InputError(f"{history.source}: none of the last fifth of its models is complete, so there is "
                             "nothing to tune on; faq_final.py runs with its default setting")
        factors = Factors.load(factors_path(args, cell, "val"), "factor_models_val.py")
        yield Task(cell, held_out, factors, device, dataset)


def task_budgets(args: argparse.Namespace, task: Task) -> tuple[int, ...]:
    return budgets(args, task.n_questions, task.cell.dataset)


def seeds(args: argparse.Namespace, default: int) -> range:
    return range(args.seeds or default)


def my_share(units: Iterable, args: argparse.Namespace) -> list:
    """The shard's part of a list of work units."""
    index, count = args.shard
    return [unit for i, unit in enumerate(units) if i % count == index]


def announce(units: int, unit: str, seconds: float | None) -> None:
    """What --dry-run prints."""
    about = f", about {cli.duration(seconds)} on this machine" if seconds is not None else ""
    print(f"{units} {unit}s to run{about}")


# --- factor models -------------------------------------------------------------------------------------

def digest(responses: Responses) -> str:
    """Changes whenever the names or the scores do."""
    parts = hashlib.blake2b(digest_size=8)
    for array in (responses.models, responses.questions, responses.scores):
        parts.update(np.ascontiguousarray(array).tobytes())
    return parts.hexdigest()


def fit_factors_main(doc: str | None, which: str, argv: list[str] | None) -> None:
    """factor_models_val.py and factor_models_final.py: fit at the settings chosen by cross-validation."""
    parser = cli.add_study_flags(cli.parser(doc), "tier", "datasets", "scenarios", "data-dir", "logs-dir",
                                 "factors-dir", "device", "shard", "dry-run")
    parser.add_argument("--rank", type=cli.at_least(1), metavar="K", help="rank, instead of the one chosen by CV")
    parser.add_argument("--weight-decay", metavar="L", help="weight decay, instead of the one chosen by CV")
    add_protocol_flags(parser)
    args = parser.parse_args(argv)
    if (args.rank is None) != (args.weight_decay is None):
        raise InputError("--rank and --weight-decay: give both or neither")
    device = cli.device(args.device)
    work = [job for job in (_fit_job(args, cell, which) for cell in my_share(cells(args), args)) if job]
    if args.dry_run:
        announce(len(work), "fit", sum(fit_seconds(job.scores, [job.rank], job.protocol, job.epochs, device)
                                          for job in work))
        return
    with cli.Progress(sum(job.epochs for job in work), f"fit {which}", "epoch") as progress:
        for job in work:
            job.run(device, progress)
            progress.note(f"{job.path}: rank {job.rank}, weight decay {job.weight_decay}, training loss "
                          f"{job.about['train_loss']:.4f}, accuracy {job.about['train_acc']:.4f}")


def add_protocol_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--protocol", choices=sorted(factors.PROTOCOLS), help="how to fit (default: the tier's)")
    parser.add_argument("--epochs", type=cli.at_least(1), metavar="E", help="(default: the protocol's)")


def protocol_of(args: argparse.Namespace) -> str:
    return args.protocol or TIERS[args.tier].protocol


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
        loss, accuracy = factors.loss_and_accuracy(self.scores, seen, U, V)
        self.about |= {"train_loss": loss, "train_acc": accuracy}
        Factors(U, V, self.history.questions, factors.history_mean(self.scores, seen), self.about).save(self.path)


def _fit_job(args: argparse.Namespace, cell: Cell, which: str) -> FitJob | None:
    """The fit of one cell, or None if the very same one is there."""
    history = Dataset(args.data_dir, cell.dataset).history(cell.scenario)
    if which == "val":
        history = history.take(slice(train_rows(history.n_models)))
    rank, weight_decay = args.rank, args.weight_decay
    if rank is None:
        rank, weight_decay = chosen_by_cv(args, cell)
    protocol = protocol_of(args)
    epochs = args.epochs or factors.PROTOCOLS[protocol].epochs
    about = {"dataset": cell.dataset, "scenario": cell.scenario, "which": which, "protocol": protocol, "rank": rank,
             "weight_decay": weight_decay, "epochs": epochs, "rows": history.n_models, "history": digest(history)}
    path = factors_path(args, cell, which)
    if path.is_file():
        known = Factors.load(path, f"factor_models_{which}.py").about
        if all(known.get(name) == value for name, value in about.items()):
            return None
    return FitJob(cell, which, path, history, protocol, rank, weight_decay, epochs, about)


def chosen_by_cv(args: argparse.Namespace, cell: Cell) -> tuple[int, str]:
    """(rank, weight decay) by the one-standard-error rule.

    Raises InputError if the cell has not been cross-validated.
    """
    path, protocol = args.logs_dir / "factor_models_cv.csv", protocol_of(args)
    cv = ledger.read(path, "factor_models_cv.py")
    cv = cv[(cv["dataset"] == cell.dataset) & (cv["scenario"] == cell.scenario) & (cv["protocol"] == protocol)]
    if cv.empty:
        raise InputError(f"{path}: no {protocol} fits of {cell.dataset} {cell.scenario}; run factor_models_cv.py on "
                         "it, or give --rank and --weight-decay")
    chosen = factors.one_standard_error(cv, TIERS[args.tier].select_factors_by).iloc[0]
    return int(chosen["rank"]), str(chosen["weight_decay"])


def fit_seconds(scores: np.ndarray, ranks: Sequence[int], protocol: str, epochs: int, device: str) -> float:
    """About how long fits of these ranks take here, from a few epochs of each rank."""
    seen = np.ones(scores.shape, bool)

    def spent(rank: int, epochs: int) -> float:
        start = time.perf_counter()
        one = factors.Fit(rank, 0.1, stream("timing"), seen)
        factors.fit(scores, [one], factors.PROTOCOLS[protocol], epochs, device)
        return time.perf_counter() - start

    total = 0.0
    for rank in sorted(set(ranks)):
        # The least of three: another process in between must not count hundreds of times.
        set_up, some = (min(spent(rank, epochs) for _ in range(3)) for epochs in (1, 9))
        total += (set_up + max(some - set_up, 0.0) / 8 * epochs) * list(ranks).count(rank)
    return total


# --- FAQ trials ----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Method:
    """A drawing policy with its way of sampling and of estimating the variance, asked in batches of `batch`."""

    policy: Policy
    sampling: str
    variance: str
    batch: int = 1

    @property
    def name(self) -> str:
        """As in the logs: faq-mix, or faq-mix:B64 in batches of 64."""
        return self.policy.name if self.batch == 1 else f"{self.policy.name}:B{self.batch}"

    @staticmethod
    def chosen(args: argparse.Namespace, name: str) -> Method:
        """What the command line asks for, the policy's own way of sampling where it does not say.

        Raises InputError for a variance that does not go with it.
        """
        policy = POLICIES[name]
        sampling = args.sampling or policy.sampling
        estimator(sampling, args.variance)
        return Method(policy, sampling, args.variance or variances(sampling)[0], args.batch)


class Plan:
    """The trials of one task that a log lacks, grouped into trajectories.

    A setting whose schedules do not depend on the budget needs one trajectory per seed, which serves every
    budget as a prefix; the others need one per budget.
    """

    def __init__(self, task: Task, log: TrialLog, method: Method, wanted: Iterable[tuple[Setting, int, int]]):
        """wanted: (setting, budget, seed)."""
        self.task, self.log, self.method = task, log, method
        self.groups: dict[tuple[bool, int], dict[Job, list[int]]] = {}
        missing: dict[Job, list[int]] = {}
        for setting, budget, seed in wanted:
            if log.lacks(self.key(setting, budget, seed), len(task.truth)):
                missing.setdefault(Job(setting, seed), []).append(budget)
        for job, budgets_of_job in missing.items():
            separate = ([b] for b in budgets_of_job) if job.setting.depends_on_budget else [budgets_of_job]
            for group in separate:
                self.groups.setdefault((job.setting.rho > 0, max(group)), {})[job] = group

    @property
    def trials(self) -> int:
        return sum(len(budgets) for jobs in self.groups.values() for budgets in jobs.values())

    def key(self, setting: Setting, budget: int, seed: int) -> dict:
        return trial_key(self.task.cell, budget, self.method.name, self.method.sampling, self.method.variance,
                         setting.key, seed)

    def seconds(self) -> float:
        """About how long the trials take here, from a few steps of each kind of trajectory."""
        total = 0.0
        for (_, steps), jobs in self.groups.items():
            rows = min(ROWS_AT_ONCE, len(jobs) * len(self.task.truth))
            if not self.method.policy.believe.stepwise:  # learns now and then: no step is like the others
                total += self._seconds_of_mixture(next(iter(jobs)).setting, steps) * len(jobs)
                continue
            some, known = np.arange(rows) % len(self.task.truth), self.task.known(self.method.policy)
            settings = [next(iter(jobs)).setting] * rows
            per_step = []
            for _ in range(3):
                start = time.perf_counter()
                evaluate(self.task.bank, self.task.prior, settings, np.full((rows, 1), 0.5), self.task.scores[some],
                         self.method.sampling, self.method.policy, known=None if known is None else known[some])
                per_step.append(time.perf_counter() - start)
            total += min(per_step) * steps * len(jobs) * len(self.task.truth) / rows
        return total

    def _seconds_of_mixture(self, setting: Setting, steps: int) -> float:
        # Few rows at a time cost more each; on large banks they are too slow for more of them.
        scores = self.task.scores[: int(np.clip(2e9 / steps / self.task.n_questions, 24, 128))]
        start = time.perf_counter()
        evaluate(self.task.bank, self.task.prior, [setting] * len(scores), np.full((len(scores), steps), 0.5), scores,
                 self.method.sampling, self.method.policy, batch=self.method.batch)
        return (time.perf_counter() - start) * len(self.task.truth) / len(scores)

    def run(self, progress: cli.Progress) -> None:
        for (_, steps), jobs in self.groups.items():
            for job, trace in self.task.traces(list(jobs), steps, self.method.sampling, self.method.policy,
                                                self.method.batch):
                self.log.add(self._judge(job, budget, trace) for budget in jobs[job])
                progress.advance(len(jobs[job]))

    def _judge(self, job: Job, budget: int, trace: Trace) -> tuple[dict, Judged, dict]:
        """One row: with replacement the published variance's width and coverage, unclipped, stand beside."""
        n, sampling = self.task.n_questions, self.method.sampling
        labels = unique_questions(trace.asked[:, :budget])
        beside = {"width_published": "", "coverage_published": ""}
        if sampling != "without":
            published = self.task.judge(budget, estimate(trace, budget, n, sampling, "published"), labels, clip=False)
            beside = {"width_published": published.row["mean_width"], "coverage_published": published.row["coverage"]}
        rank = 0 if self.method.policy.knows else self.task.prior.mean.size  # an oracle has no factors to learn
        first, one = trace.first(budget), estimator(sampling, self.method.variance)
        found = one.estimate(first, n, rank)
        band = one.interval(first, n, job.setting.tau, found)
        return self.key(job.setting, budget, job.seed), self.task.judge(budget, found, labels, band=band), beside


PUBLISHED_COLUMNS = ("width_published", "coverage_published")


def run_plans(plans: list[Plan], what: str, dry_run: bool) -> None:
    """Run the plans behind one progress bar, or say what they would cost."""
    trials = sum(plan.trials for plan in plans)
    if dry_run:
        announce(trials, "trial", sum(plan.seconds() for plan in plans))
        return
    with cli.Progress(trials, what) as progress:
        for plan in plans:
            plan.run(progress)


def add_method_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sampling", choices=SAMPLING,
                        help="draw without replacement, with (the paper), or naive-without (the published ablation); "
                        "default: the policy's own")
    parser.add_argument("--batch", type=cli.at_least(1), default=1, metavar="B",
                        help="ask B questions at a time and learn from all B answers at once (default 1)")
    parser.add_argument("--variance", help="unbiased or published (with replacement); pooled, empirical, or betting "
                        "which is exact (without)")
