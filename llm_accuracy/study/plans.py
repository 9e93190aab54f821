"""Trials of drawing policies: which a log lacks, grouped into trajectories, run and judged."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .. import cli
from ..querying.estimators import estimate, estimator, variances
from ..querying.evaluation import evaluate
from ..querying.policies import DEFAULT_POLICY, Policy, named
from ..querying.rounds import RoundTrace
from ..querying.setting import Setting
from ..querying.trace import Trace
from . import fingerprints, grids, ledger, tuning
from .columns import NOT_PUBLISHED
from .factor_fits import seen_history
from .flags import announce
from .grids import TIERS, Cell, seeds
from .prices import Price, price
from .provenance import refuse_stale
from .trials import ROWS_AT_ONCE, Job, Judged, Task, TrialLog, final_tasks, held_out, trial_key, val_tasks
from .workers import shared_out

TIMED_STEPS = 16     # beyond the first, of trajectories whose steps are alike
TIMED_CELLS = 2e9    # rows × questions × steps that are timed of one whose steps are not


@dataclass(frozen=True)
class Method:
    """A drawing policy with its way of sampling and of estimating the variance, asked `batch` questions at a time (in
    growing rounds: the first time)."""

    policy: Policy
    sampling: str
    variance: str
    batch: int = 1

    @staticmethod
    def chosen(args: argparse.Namespace, name: str) -> Method:
        """What the command line asks for, the policy's own way of sampling where it does not say.

        Raises InputError for a way of sampling or a variance that does not go with it.
        """
        policy = named(name)
        sampling = args.sampling or policy.sampling
        policy.check(sampling)
        estimator(sampling, args.variance)
        batch = args.batch or policy.batch
        return Method(policy, sampling, args.variance or variances(sampling)[0], batch)


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
            if log.lacks(self.key(setting, budget, seed), len(task.truth), task.made_from):
                missing.setdefault(Job(setting, seed), []).append(budget)
        for job, budgets_of_job in missing.items():
            separate = ([b] for b in budgets_of_job) if job.setting.depends_on_budget else [budgets_of_job]
            for group in separate:
                self.groups.setdefault((job.setting.rho > 0, max(group)), {})[job] = group

    @property
    def trials(self) -> int:
        return sum(len(budgets) for jobs in self.groups.values() for budgets in jobs.values())

    @property
    def parts(self) -> set[tuple]:
        """What can be in different shards."""
        return {(self.task.cell, *job) for jobs in self.groups.values() for job in jobs}

    def key(self, setting: Setting, budget: int, seed: int) -> dict:
        return trial_key(self.task.cell, budget, self.method.policy.name, self.method.sampling, self.method.variance,
                         setting.key, seed, self.method.batch)

    def seconds(self) -> float:
        """About how long the trials take here, from a few steps of each kind of trajectory."""
        total = 0.0
        for (_, steps), jobs in self.groups.items():
            if self.method.policy.rounds:
                first = next(iter(jobs))
                total += price(lambda: next(self._in_rounds({first: jobs[first]}))).times(len(jobs))  # noqa: B023
            elif getattr(self.method.policy.function("believe"), "stepwise", True):
                total += self._seconds_of_steps(list(jobs), steps)
            else:  # its steps are not alike
                total += self._seconds_of_mixture(next(iter(jobs)).setting, steps, len(jobs))
        return total

    def _seconds_of_steps(self, jobs: list[Job], steps: int) -> float:
        some = jobs[: max(1, ROWS_AT_ONCE // len(self.task.truth))]

        def taking(steps: int) -> Price:
            return price(lambda: list(self.task.traces(some, steps, self.method.sampling, self.method.policy)))

        one, more = taking(1), taking(1 + TIMED_STEPS)
        per_step = max(more.again - one.again, 0.0) / TIMED_STEPS
        return one.once + (one.again + per_step * (steps - 1)) * len(jobs) / len(some)

    def _seconds_of_mixture(self, setting: Setting, steps: int, jobs: int) -> float:
        # Few rows at a time cost more each; on large banks they are too slow for more of them.
        scores = self.task.scores[: int(np.clip(TIMED_CELLS / steps / self.task.n_questions, 24, ROWS_AT_ONCE))]
        one = price(lambda: evaluate(
            self.task.bank, self.task.prior, [setting] * len(scores), np.full((len(scores), steps), 0.5), scores,
            self.method.sampling, self.method.policy, batch=self.method.batch))
        return one.times(jobs * len(self.task.truth) / len(scores))

    def _in_rounds(self, jobs: dict[Job, list[int]]) -> Iterator[tuple[Job, RoundTrace]]:
        rounds = self.method.policy.rounds
        assert rounds is not None
        plan = replace(rounds, first=self.method.batch)
        return self.task.round_traces(list(jobs), sorted(set().union(*jobs.values())), plan)

    def _traces(self, jobs: dict[Job, list[int]], steps: int) -> Iterator[tuple[Job, Trace | RoundTrace]]:
        if self.method.policy.rounds:
            return self._in_rounds(jobs)
        return self.task.traces(list(jobs), steps, self.method.sampling, self.method.policy, self.method.batch)

    def run(self, progress: cli.Progress) -> None:
        for (_, steps), jobs in self.groups.items():
            for job, trace in self._traces(jobs, steps):
                self.log.add((self._judge(job, budget, trace) for budget in jobs[job]), self.task.made_from)
                progress.advance(len(jobs[job]))

    def _judge(self, job: Job, budget: int, trace: Trace | RoundTrace) -> tuple[dict, Judged, dict]:
        """One row: with replacement, also the published variance's width and coverage, unclipped."""
        n, sampling = self.task.n_questions, self.method.sampling
        first = trace.first(budget)
        labels = unique_questions(first.asked)
        beside = NOT_PUBLISHED
        if "published" in variances(sampling):
            published = self.task.judge(budget, estimate(trace, budget, n, sampling, "published"), labels, clip=False)
            beside = {"width_published": published.row["mean_width"], "coverage_published": published.row["coverage"]}
        rank = 0 if self.method.policy.knows else self.task.prior.mean.size  # an oracle has no factors to learn
        one = estimator(sampling, self.method.variance)
        found = one.of(first, n, rank)
        band = one.interval(first, n, job.setting.tau, found)
        return self.key(job.setting, budget, job.seed), self.task.judge(budget, found, labels, band=band), beside


def unique_questions(asked: np.ndarray) -> np.ndarray:
    """(models,) how many different questions each row of `asked` (models, T) holds."""
    ordered = np.sort(asked, axis=1)
    return 1 + (np.diff(ordered, axis=1) != 0).sum(1)


def run_plans(plans: list[Plan], what: str, dry_run: bool, by_setting: bool = False) -> None:
    """Run the plans behind one progress bar, or say what they would cost.

    by_setting  shards are dealt settings and seeds, not seeds alone
    """
    trials = sum(plan.trials for plan in plans)
    if dry_run:
        parts = {(cell, seed, setting if by_setting else None) for plan in plans for cell, setting, seed in plan.parts}
        announce(trials, "trial", sum(plan.seconds() for plan in plans), len(parts))
        return
    with cli.Progress(trials, what) as progress:
        for plan in plans:
            plan.run(progress)


# --- faq_final.py, faq_val.py --------------------------------------------------------------------------

@shared_out("faq_final", "faq_final_models")
@ledger.writes("faq_final", "faq_final_models")
def evaluate_new_models(args: argparse.Namespace) -> None:
    """Every budget, policy and seed on the new models, at the setting given, the policy's own, or the tuned one."""
    methods = [Method.chosen(args, name) for name in dict.fromkeys(args.policies or [DEFAULT_POLICY])]
    log, plans = TrialLog(args, "faq_final"), []
    remarks: dict[str, None] = {}
    mine = grids.my_units(args, seeds(args, TIERS[args.tier].seeds))
    for task in final_tasks(args, mine):
        for method in methods:
            wanted, choose = [], _choice(args, task, method)
            for budget in task.budgets(args):
                setting, remark = choose(budget)
                remarks[remark] = None
                wanted += [(setting, budget, seed) for seed in mine[task.cell]]
            plans.append(Plan(task, log, method, wanted))
    for remark in filter(None, remarks):
        print(remark)
    run_plans(plans, "evaluate", args.dry_run)


def _choice(args: argparse.Namespace, task: Task, method: Method) -> Callable[[int], tuple[Setting, str]]:
    """A budget → (setting, remark): the one given, else the policy's own, else the one that faq_val.py found best."""
    given = Setting.parse(args.setting) if args.setting else method.policy.setting
    if given is not None:
        return lambda budget: (given, "")
    tuned = tuned_on(args, task, args.select_by, method.sampling, method.policy.name)
    return lambda budget: tuned.setting(task.cell, budget, task.n_questions)


def tuned_on(args: argparse.Namespace, task: Task, select_by: str, sampling: str, policy: str = "faq") -> tuning.Tuned:
    """What faq_val.py found best. Raises InputError where it was found on other data than the dataset has now."""
    found = tuning.Tuned(args.logs_dir / "faq_val.csv", select_by, sampling, policy)
    history = None
    for models, rows in found.rows_of(task.cell).groupby("models"):
        history = history or fingerprints.short(fingerprints.digest(seen_history(args, task.cell, "val")))
        new = fingerprints.short(fingerprints.digest(held_out(task.dataset, int(models))))
        refuse_stale(rows, {"history": history, "new_models": new}, found.path)
    return found


@shared_out("faq_val", "faq_val_models")
@ledger.writes("faq_val", "faq_val_models")
def tune(args: argparse.Namespace) -> None:
    """Every setting of the grid on held-out history; then print the best one of every cell and budget."""
    tier = TIERS[args.tier]
    grid = [Setting.parse(key) for key in args.settings] if args.settings else tier.val_settings
    method, log, plans = Method.chosen(args, args.policy), TrialLog(args, "faq_val"), []
    mine = grids.my_units(args, itertools.product(grid, seeds(args, tier.val_seeds)))
    for task in val_tasks(args, mine):
        budgets = task.budgets(args)
        plans.append(Plan(task, log, method, [(s, b, seed) for s, seed in mine[task.cell] for b in budgets]))
    run_plans(plans, f"tune {args.policy}", args.dry_run, by_setting=True)
    if not args.dry_run and args.part_dir is None:
        _print_choice(method, log, {plan.task.cell for plan in plans})


def _print_choice(method: Method, log: TrialLog, cells: set[Cell]) -> None:
    rows = tuning.of_method(ledger.read(log.rows.path, "faq_val.py"), method.policy.name, method.sampling, method.batch)
    print(f"{'dataset':<16} {'scenario':<18} {'budget':>6}  setting")
    for row in tuning.best_settings(rows, "variance").itertuples():
        if Cell(row.dataset, row.scenario) in cells:
            print(f"{row.dataset:<16.16} {row.scenario:<18} {row.budget:>6}  {row.setting}")
