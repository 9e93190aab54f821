"""The ablations' trials: FAQ with and without replacement, and active inference with the factor model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from .. import cli
from ..querying.estimates import Estimate
from ..querying.estimators import variances
from ..querying.policies import named
from ..querying.setting import Setting
from ..querying.walks import Walk, factor_walk
from .columns import NOT_PUBLISHED
from .flags import announce
from .grids import TIERS, my_units, seeds
from .ledger import writes
from .plans import Method, Plan, run_plans, tuned_on
from .prices import price
from .trials import Judged, Task, TrialLog, final_tasks, trial_key
from .workers import shared_out

COMPARED_SAMPLING = ("with", "naive-without", "without")
OPERATIONS_AT_ONCE = 4e12  # about half a minute on two cores
Unit = tuple[Task, int, dict[Walk, dict]]  # task, seed, walks that go together with their keys


@shared_out("ablations_all", "ablations_all_models")
@writes("ablations_all", "ablations_all_models")
def run(args: argparse.Namespace) -> None:
    """Both arms, without the trials that are already in their log or in that of faq_final.py."""
    log = TrialLog(args, "ablations_all")
    walks: list[Unit] = []
    plans: list[Plan] = []
    shares = my_units(args, seeds(args, TIERS[args.tier].ablation_seeds))
    for task in final_tasks(args, shares):
        mine = shares[task.cell]
        if "active+factors" in args.arms:
            walks += [(task, seed, keys) for seed in mine
                      for keys in _by_the_handful(task, _wanted_walks(args, task, seed, log))]
        if "replacement" in args.arms:
            plans += _replacement_plans(args, task, mine, log)
    if args.dry_run:
        trials = sum(plan.trials for plan in plans) + sum(len(keys) for *_, keys in walks)
        parts = {(task.cell, seed) for task, seed, _ in walks} | {
            (cell, seed) for plan in plans for cell, _, seed in plan.parts}
        announce(trials, "trial", sum(plan.seconds() for plan in plans) + _walk_seconds(walks), len(parts))
        return
    if plans:
        run_plans(plans, "with and without replacement", dry_run=False)
    if not walks:
        return
    with cli.Progress(sum(len(keys) for *_, keys in walks), "active inference + factors") as progress:
        for task, seed, keys in walks:
            log.add(_judge_walks(task, seed, keys), task.made_from)
            progress.advance(len(keys))


# --- FAQ with and without replacement ------------------------------------------------------------------

def _replacement_plans(args: argparse.Namespace, task: Task, mine: list[int], log: TrialLog) -> Iterator[Plan]:
    """One plan per way of sampling, without the trials that faq_final.py has run already."""
    final = TrialLog(args, "faq_final", restart=False)
    if args.setting:
        chosen = dict.fromkeys(task.budgets(args), Setting.parse(args.setting))
    else:
        tuned = tuned_on(args, task, "variance", "with")
        chosen = {budget: tuned.setting(task.cell, budget, task.n_questions)[0] for budget in task.budgets(args)}
    for sampling in COMPARED_SAMPLING:
        method = Method(named("faq"), sampling, variances(sampling)[0])
        every = [(setting, budget, seed) for budget, setting in chosen.items() for seed in mine]
        wanted = [(setting, budget, seed) for setting, budget, seed in every
                  if final.lacks(trial_key(task.cell, budget, method.policy.name, sampling, method.variance,
                                           setting.key, seed), len(task.truth), task.made_from)]
        if there := len(every) - len(wanted):
            print(f"{task.cell.dataset} {task.cell.scenario}: {there} of {len(every)} trials of FAQ, {sampling} "
                  "(replacement), are in faq_final.csv, which the tables read too: they are not run again")
        yield Plan(task, log, method, wanted)


# --- active inference with the factor model ------------------------------------------------------------

def _wanted_walks(args: argparse.Namespace, task: Task, seed: int, log: TrialLog) -> dict[Walk, dict]:
    """{walk: key} of the trials that the log lacks."""
    keys = {}
    for budget in task.budgets(args):
        for tau in args.taus or TIERS[args.tier].taus:
            key = trial_key(task.cell, budget, "active+factors", "walk", "horvitz-thompson", f"tau={tau}", seed)
            if log.lacks(key, len(task.truth), task.made_from):
                keys[Walk("active+factors", budget, tau)] = key
    return keys


def _by_the_handful(task: Task, keys: dict[Walk, dict]) -> list[dict[Walk, dict]]:
    """The walks in groups that are walked together; a kill loses the group in flight."""
    groups: list[dict[Walk, dict]] = []
    operations = OPERATIONS_AT_ONCE
    for walk, key in keys.items():
        own = 2 * task.bank.V.numel() * len(task.truth) * walk.budget  # one product with V per question asked
        if operations + own > OPERATIONS_AT_ONCE:
            groups.append({})
            operations = 0
        groups[-1][walk] = key
        operations += own
    return groups


def _judge_walks(task: Task, seed: int, keys: dict[Walk, dict]) -> Iterator[tuple[dict, Judged, dict]]:
    """Budgets and shares τ of one seed in one walk; all of a seed's share the uniform numbers of its coins."""
    found = factor_walk(task.scores, task.bank, task.prior, list(keys), task.draws(seed, task.n_questions))
    for i, (walk, key) in enumerate(keys.items()):
        estimate = Estimate(found.theta[0, :, i], found.se[0, :, i], np.inf)
        yield key, task.judge(walk.budget, estimate, found.labels[:, i]), NOT_PUBLISHED


def _walk_seconds(units: list[Unit]) -> float:
    """About how long: the first unit's walk past its first questions, times the whole."""
    if not units:
        return 0.0
    task, seed, keys = units[0]
    few = min(40, task.n_questions)
    # Without the uniform share the coins of a shortened walk are as frequent as those of the whole one.
    walks = [Walk(walk.policy, walk.budget) for walk in keys]
    one = price(lambda: factor_walk(task.scores[:, :few], task.bank, task.prior, walks, task.draws(seed, few)))
    return one.times(sum(task.n_questions for task, *_ in units) / few)
