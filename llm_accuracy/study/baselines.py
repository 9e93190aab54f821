"""The baselines' trials: simple random sampling, walks that know the history's means, rivals from survey sampling."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from .. import cli
from ..querying.estimates import Estimate
from ..querying.loops import Loops, for_work
from ..querying.policies import WALKING
from ..querying.rivals import RIVALS, SRS, installed
from ..querying.walks import Walk, simple_random_sampling, walk
from .flags import announce
from .grids import TIERS, Tier, my_units, seeds
from .ledger import writes
from .plans import unique_questions
from .prices import price
from .trials import Judged, Task, TrialLog, final_tasks, trial_key
from .workers import shared_out

PREDICTIONS = ("f=zero", "f=mean")
Unit = tuple[Task, int, dict[tuple[str, int, float, int], dict]]  # task, seed, what `_wanted` finds


@shared_out("baselines_all", "baselines_all_models")
@writes("baselines_all", "baselines_all_models")
def run(args: argparse.Namespace) -> None:
    """Every budget, policy, share τ, prediction and seed that the log lacks."""
    for name in filter(RIVALS.__contains__, _policies(args)):
        RIVALS[name].check()
    for name in () if args.policies else RIVALS.keys() - installed():
        print(f"{name} is left out: it {RIVALS[name].lacks}")
    tier, log = TIERS[args.tier], TrialLog(args, "baselines_all")
    mine = my_units(args, seeds(args, tier.seeds))
    tasks = list(final_tasks(args, mine))
    for line in _too_few(args, tasks):
        print(line)
    units = [(task, seed, _wanted(args, tier, task, seed, log)) for task in tasks
             for seed in mine[task.cell]]
    units = [unit for unit in units if unit[2]]
    trials = sum(len(keys) for *_, keys in units)
    loops = for_work(sum(task.scores.size * len(_walks(keys)) for task, _, keys in units))
    if args.dry_run:
        announce(trials, "trial", _seconds(units, loops), len(units))
        return
    with cli.Progress(trials, "baselines") as progress:
        for task, seed, keys in units:
            log.add(_judge(task, seed, keys, loops), task.made_without_factors)
            progress.advance(len(keys))


def _policies(args: argparse.Namespace) -> list[str]:
    return args.policies or [SRS, *WALKING, *installed()]


def _too_few(args: argparse.Namespace, tasks: Iterable[Task]) -> Iterator[str]:
    """What is said of budgets that a rival cannot judge."""
    for task, name in itertools.product(tasks, filter(RIVALS.__contains__, _policies(args))):
        least = RIVALS[name].least
        if skipped := [str(budget) for budget in task.budgets(args) if budget < least]:
            yield (f"{task.cell.dataset} {task.cell.scenario}: {name} needs at least {least} questions, so budgets of "
                   f"{', '.join(skipped)} are left out")


def _wanted(args: argparse.Namespace, tier: Tier, task: Task, seed: int,
            log: TrialLog) -> dict[tuple[str, int, float, int], dict]:
    """{(policy, budget, tau, prediction index): key} of the trials the log lacks."""
    keys = {}
    for budget in task.budgets(args):
        for policy in _policies(args):
            if policy in RIVALS and budget < RIVALS[policy].least:
                continue
            for tau, which in _variants(policy, tier.taus):
                key = trial_key(task.cell, budget, policy, *_label(policy, tau, which), seed)
                if log.lacks(key, len(task.truth), task.made_without_factors):
                    keys[policy, budget, tau, which] = key
    return keys


def _variants(policy: str, taus: tuple[float, ...]) -> list[tuple[float, int]]:
    """(tau, prediction index) of a policy; tau means nothing where coins or draws are uniform anyway."""
    if policy not in WALKING:
        return [(0.0, 0)]
    return [(tau, which) for tau in ([0.0] if policy == "unif" else taus) for which in range(len(PREDICTIONS))]


def _label(policy: str, tau: float, which: int) -> tuple[str, str, str]:
    """(sampling, variance, setting) as they stand in the log."""
    if policy == SRS:
        return "without", "empirical", "none"
    if policy in RIVALS:
        return "without", RIVALS[policy].variance, "none"
    return "walk", "horvitz-thompson", PREDICTIONS[which] + (f"_tau={tau}" if policy != "unif" else "")


def _walks(keys: dict) -> list[tuple[str, int, float]]:
    """(policy, budget, tau) of the walks among trials; each serves both predictions."""
    return sorted({(policy, budget, tau) for policy, budget, tau, _ in keys if policy in WALKING})


def _judge(task: Task, seed: int, keys: dict, loops: Loops | None) -> Iterator[tuple[dict, Judged, dict]]:
    """All trials of one seed: every walk at once, each question's probabilities shared by its models."""
    draws, walks, walked = task.draws(seed, task.n_questions), _walks(keys), None
    if walks:
        walked = walk(task.scores, task.factors.history_mean, [Walk(*w) for w in walks], draws, loops=loops)
    for (policy, budget, tau, which), key in keys.items():
        if policy in RIVALS:
            found, asked = RIVALS[policy].of(task.scores, budget, draws, task.history)
            labels = unique_questions(asked)
        elif policy == SRS:
            found, labels = simple_random_sampling(task.scores, draws, budget), np.full(len(task.truth), budget)
        elif walked is not None:
            i = walks.index((policy, budget, tau))
            found = Estimate(walked.theta[which, :, i], walked.se[which, :, i], np.inf)
            labels = walked.labels[:, i]
        yield key, task.judge(budget, found, labels), {}


def _seconds(units: list[Unit], loops: Loops | None) -> float:
    """About how long: the first unit's share of a walk over 100 questions, and its rivals on a few models, each times
    the whole."""
    if not units:
        return 0.0
    task, seed, keys = units[0]
    few, total = min(100, task.n_questions), 0.0
    # As many coins fall, a question, as in the whole walk.
    walks = [Walk(policy, max(1, budget * few // task.n_questions), tau) for policy, budget, tau, _ in keys
             if policy in WALKING]
    if walks:
        one = price(lambda: walk(task.scores[:, :few], task.factors.history_mean[:few], walks, task.draws(seed, few),
                                 loops=loops))
        total += one.times(sum(task.n_questions for task, *_ in units) / few)
    asked = [(policy, budget) for policy, budget, *_ in keys if policy in RIVALS]
    if asked:
        some, draws = task.scores[:256], task.draws(seed, task.n_questions)[:256]

        def rivals() -> None:
            for policy, budget in asked:
                RIVALS[policy].of(some, budget, draws, task.history)

        total += price(rivals).times(sum(task.scores.size for task, *_ in units) / some.size)
    return total
