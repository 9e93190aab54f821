"""Step 9: the baselines on the same new models: uniform sampling and active inference from history means.

    python baselines_all.py                                      laptop tier, about 2 minutes on two cores
    python baselines_all.py --tier paper --shard 3/32            one of 32 parts of the full grid
    python baselines_all.py --datasets twin --budgets 5% --seeds 2 --models 100

srs: simple random sampling without replacement, no predictions. unif, sqrt, 2min: walks over the bank with
coins proportional to 1, √(p̂(1−p̂)), 2 min(p̂, 1−p̂) of the history's means p̂, mixed with a uniform share τ,
estimating with f = 0 and f = p̂ (the published "uniform" is unif with f = 0). Appends to
LOGS_DIR/baselines_all.csv. Finished trials are not repeated.
"""

import time

import numpy as np

from llm_accuracy import cli
from llm_accuracy.querying import policies
from llm_accuracy.querying.estimates import Estimate
from llm_accuracy.querying.walks import Walk, simple_random_sampling, walk
from llm_accuracy.study import grids
from llm_accuracy.study import trials as study

PREDICTIONS = ("f=zero", "f=mean")


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__))
    parser.add_argument("--policies", nargs="+", choices=["srs", *policies.WALKING], metavar="NAME",
                        default=["srs", *policies.WALKING])
    args = parser.parse_args(argv)
    tier = grids.TIERS[args.tier]
    log = study.TrialLog(args, "baselines_all")
    units = [(task, seed, wanted(args, tier, task, seed, log)) for task in study.final_tasks(args)
             for seed in study.my_share(study.seeds(args, tier.seeds), args)]
    units = [unit for unit in units if unit[2]]
    trials = sum(len(keys) for *_, keys in units)
    if args.dry_run:
        study.announce(trials, "trial", seconds(units))
        return
    with cli.Progress(trials, "baselines") as progress:
        for task, seed, keys in units:
            log.add(judge(task, seed, keys))
            progress.advance(len(keys))


def wanted(args, tier, task, seed, log):
    """{(policy, budget, tau, prediction index): key} of the trials the log lacks."""
    keys = {}
    for budget in study.task_budgets(args, task):
        for policy in args.policies:
            for tau, which in variants(policy, tier.taus):
                key = study.trial_key(task.cell, budget, policy, *label(policy, tau, which), seed)
                if log.lacks(key, len(task.truth)):
                    keys[policy, budget, tau, which] = key
    return keys


def variants(policy, taus):
    """(tau, prediction index) of a policy; tau means nothing where coins or draws are uniform anyway."""
    if policy == "srs":
        return [(0.0, 0)]
    return [(tau, which) for tau in ([0.0] if policy == "unif" else taus) for which in range(len(PREDICTIONS))]


def label(policy, tau, which):
    """(sampling, variance, setting) as they stand in the log."""
    if policy == "srs":
        return "without", "empirical", "none"
    return "walk", "horvitz-thompson", PREDICTIONS[which] + (f"_tau={tau}" if policy != "unif" else "")


def judge(task, seed, keys):
    """All trials of one seed: every walk at once, each question's probabilities shared by its models."""
    draws = task.draws(seed, task.n_questions)
    walks = sorted({(policy, budget, tau) for policy, budget, tau, _ in keys if policy != "srs"})
    walked = walk(task.scores, task.factors.history_mean, [Walk(*w) for w in walks], draws) if walks else None
    for (policy, budget, tau, which), key in keys.items():
        if policy == "srs":
            found, labels = simple_random_sampling(task.scores, draws, budget), np.full(len(task.truth), budget)
        else:
            i = walks.index((policy, budget, tau))
            found = Estimate(walked.theta[which, :, i], walked.se[which, :, i], np.inf)
            labels = walked.labels[:, i]
        yield key, task.judge(budget, found, labels), {}


def seconds(units):
    """About how long: the first unit's share of a walk over 100 questions, times the whole."""
    if not units:
        return 0.0
    task, seed, keys = units[0]
    few = min(100, task.n_questions)
    walks = [Walk(policy, min(budget, few), tau) for policy, budget, tau, _ in keys if policy != "srs"]
    start = time.perf_counter()
    if walks:
        walk(task.scores[:, :few], task.factors.history_mean[:few], walks, task.draws(seed, few))
    return (time.perf_counter() - start) / few * sum(task.n_questions for task, *_ in units)


if __name__ == "__main__":
    cli.run(main)
