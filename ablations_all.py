"""Step 10: two ablations: active inference with the factor model, and FAQ with and without replacement.

    python ablations_all.py                                      laptop tier, about 3 minutes on two cores
    python ablations_all.py --arms replacement --seeds 20
    python ablations_all.py --tier paper --shard 3/32            one of 32 parts of the full grid

active+factors: the walk of the baselines, with coins and predictions from the factor model as it learns,
2 min(p, 1−p), mixed with a uniform share τ. replacement: FAQ drawing with replacement (the paper's method),
naive-without (the paper's ablation: asked questions are not drawn again but the estimator does not know it; it
covers too rarely at large budgets) and without, all at the setting that faq_val.py chose for drawing with replacement.
Appends to LOGS_DIR/ablations_all.csv; trials that stand there or in LOGS_DIR/faq_final.csv are not repeated.
"""

import time

import numpy as np

from llm_accuracy import cli
from llm_accuracy.querying.estimates import Estimate
from llm_accuracy.querying.estimators import variances
from llm_accuracy.querying.policies import named
from llm_accuracy.querying.setting import Setting
from llm_accuracy.querying.walks import Walk, factor_walk
from llm_accuracy.study import grids, tuning
from llm_accuracy.study import trials as study

ARMS = ("active+factors", "replacement")
COMPARED_SAMPLING = ("with", "naive-without", "without")
OPERATIONS_AT_ONCE = 4e12  # about half a minute on two cores
NOT_PUBLISHED = dict.fromkeys(study.PUBLISHED_COLUMNS, "")


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--setting", metavar="KEY", help="FAQ's setting in the replacement ablation, everywhere")
    parser.add_argument("--taus", nargs="+", type=float, metavar="TAU", help="uniform shares of active+factors")
    args = parser.parse_args(argv)
    log = study.TrialLog(args, "ablations_all", study.PUBLISHED_COLUMNS)
    walks, plans = [], []
    for task in study.final_tasks(args):
        seeds = study.my_share(study.seeds(args, grids.TIERS[args.tier].ablation_seeds), args)
        if "active+factors" in args.arms:
            walks += [(task, seed, keys) for seed in seeds
                      for keys in by_the_handful(task, wanted_walks(args, task, seed, log))]
        if "replacement" in args.arms:
            plans += replacement_plans(args, task, seeds, log)
    if args.dry_run:
        trials = sum(plan.trials for plan in plans) + sum(len(keys) for *_, keys in walks)
        study.announce(trials, "trial", sum(plan.seconds() for plan in plans) + walk_seconds(walks))
        return
    if plans:
        study.run_plans(plans, "with and without replacement", dry_run=False)
    if not walks:
        return
    with cli.Progress(sum(len(keys) for *_, keys in walks), "active inference + factors") as progress:
        for task, seed, keys in walks:
            log.add(judge_walks(task, seed, keys))
            progress.advance(len(keys))


# --- FAQ with and without replacement ------------------------------------------------------------------

def replacement_plans(args, task, seeds, log):
    """One plan per way of sampling, without the trials that faq_final.py has run already."""
    final = study.TrialLog(args, "faq_final", study.PUBLISHED_COLUMNS)
    tuned = tuning.Tuned(args.logs_dir / "faq_val.csv", "variance", "with")
    chosen = {budget: Setting.parse(args.setting) if args.setting
              else tuned.setting(task.cell, budget, task.n_questions)[0] for budget in study.task_budgets(args, task)}
    for sampling in COMPARED_SAMPLING:
        method = study.Method(named("faq"), sampling, variances(sampling)[0])
        wanted = [(setting, budget, seed) for budget, setting in chosen.items() for seed in seeds
                  if final.lacks(study.trial_key(task.cell, budget, method.name, sampling, method.variance,
                                                 setting.key, seed), len(task.truth))]
        yield study.Plan(task, log, method, wanted)


# --- active inference with the factor model ------------------------------------------------------------

def wanted_walks(args, task, seed, log):
    """{walk: key} of the trials that the log lacks."""
    keys = {}
    for budget in study.task_budgets(args, task):
        for tau in args.taus or grids.TIERS[args.tier].taus:
            key = study.trial_key(task.cell, budget, "active+factors", "walk", "horvitz-thompson", f"tau={tau}", seed)
            if log.lacks(key, len(task.truth)):
                keys[Walk("active+factors", budget, tau)] = key
    return keys


def by_the_handful(task, keys):
    """The walks in groups that are walked together; a kill loses the group in flight."""
    groups, operations = [], OPERATIONS_AT_ONCE
    for walk, key in keys.items():
        own = 2 * task.bank.V.numel() * len(task.truth) * walk.budget  # one product with V per question asked
        if operations + own > OPERATIONS_AT_ONCE:
            groups.append({})
            operations = 0
        groups[-1][walk] = key
        operations += own
    return groups


def judge_walks(task, seed, keys):
    """Budgets and shares τ of one seed in one walk; all of a seed's share the uniform numbers of its coins."""
    found = factor_walk(task.scores, task.bank, task.prior, list(keys), task.draws(seed, task.n_questions))
    for i, (walk, key) in enumerate(keys.items()):
        estimate = Estimate(found.theta[0, :, i], found.se[0, :, i], np.inf)
        yield key, task.judge(walk.budget, estimate, found.labels[:, i]), NOT_PUBLISHED


def walk_seconds(units):
    """About how long: the first unit's walk past its first questions, times the whole."""
    if not units:
        return 0.0
    task, seed, keys = units[0]
    few = min(40, task.n_questions)
    # Without the uniform share the coins of a shortened walk are as frequent as those of the whole one.
    walks = [Walk(walk.policy, walk.budget) for walk in keys]
    start = time.perf_counter()
    factor_walk(task.scores[:, :few], task.bank, task.prior, walks, task.draws(seed, few))
    return (time.perf_counter() - start) / few * sum(task.n_questions for task, *_ in units)


if __name__ == "__main__":
    cli.run(main)
