"""What the study's steps cost beside the same work done one thing at a time, or by a library: about three minutes.

    python benchmarks/study.py [--quick] [--only sweep]

The tuning sweep of faq_val.py, trial by trial in plain PyTorch; the rivals of baselines_all.py, by RidgeCV of
scikit-learn and a full singular value decomposition; cross-validation, fit by fit. Made-up scores; ratios are yardstick
time over ours in this process, the same results on both sides, which is checked.
"""

import itertools
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli, parallel
from llm_accuracy.querying import factors, rival_estimates
from llm_accuracy.querying.estimators import variances
from llm_accuracy.querying.evaluation import evaluate
from llm_accuracy.querying.factors import PROTOCOLS, Factors, Fit
from llm_accuracy.querying.passes import Passes
from llm_accuracy.querying.policies import named
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import Responses
from llm_accuracy.study.factor_fits import CELLS_AT_ONCE
from llm_accuracy.study.grids import TIERS, Cell, tier_budgets
from llm_accuracy.study.plans import Method, Plan
from llm_accuracy.study.trials import Job, Task

ITEMS = {}


def item(function):
    ITEMS[function.__name__] = function
    return function


def board(models, questions, rank, seed=0):
    """(U, V, 0/1 scores) of a logistic factor model."""
    rng = np.random.default_rng(seed)
    U, V = (rng.standard_normal((size, rank)).astype(np.float32) for size in (models, questions))
    return U, V, (rng.random((models, questions)) < 1 / (1 + np.exp(-1.5 * U @ V.T / rank**0.5))).astype(np.int8)


def timed(function, turns=1):
    """(median seconds, what it returned last)."""
    spent = []
    for _ in range(turns):
        start = time.perf_counter()
        found = function()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent), found


# --- faq_val.py ----------------------------------------------------------------------------------------

class _EmptyLog:
    """Lacks every trial and keeps none."""

    def lacks(self, *_):
        return True


@item
def sweep(quick):
    """The laptop tier's settings, budgets and seeds on one cell: 30 models held out of a history of 150."""
    U, V, scores = board(150, 1_000 if quick else 2_000, 16)
    names, history = [f"m{i}" for i in range(150)], scores[:120]
    one = Factors(U[:120], V, np.array([f"q{j}" for j in range(len(V))]), history.mean(0), {"made up": True})
    task = Task(Cell("made up", "complete"), Responses(names[120:], one.questions, scores[120:]), one, "cpu", None)
    tier, method = TIERS["laptop"], Method(named("faq"), "with", variances("with")[0])
    wanted = [(setting, budget, seed) for setting in tier.val_settings for budget in tier_budgets(tier, len(V))
              for seed in range(1 if quick else tier.val_seeds)]

    def ours():
        plan = Plan(task, _EmptyLog(), method, wanted)
        return {(job.setting, budget, job.seed): plan._judge(job, budget, trace)[1].row["mean_width"]
                for (_, steps), jobs in plan.groups.items() for job, trace in plan._traces(jobs, steps)
                for budget in jobs[job]}

    def one_by_one():
        found = {}
        for setting, budget, seed in wanted:
            trace = evaluate(task.bank, task.prior, [setting] * 30, task.draws(seed, budget), task.scores, "with",
                             passes=Passes(compiled=False))
            row = Plan(task, _EmptyLog(), method, [])._judge(Job(setting, seed), budget, trace)[1].row
            found[setting, budget, seed] = row["mean_width"]
        return found

    (mine, a), (theirs, b) = timed(ours), timed(one_by_one)
    assert a.keys() == b.keys() and np.allclose([a[key] for key in a], [b[key] for key in a], rtol=0.02)
    yield f"tuning sweep, {len(wanted)} trials", mine, theirs, f"30 models x {len(V)} questions; trial by trial"


# --- baselines_all.py ----------------------------------------------------------------------------------

@item
def rivals(quick):
    """At the sizes of the MMLU-Pro study, 25 % asked."""
    rows, n, models = (150, 3_008, 400) if quick else (443, 12_032, 1_769)
    *_, scores = board(rows + models, n, 16, seed=1)
    old, new = scores[rows:].astype(float), scores[:rows]
    known, budget = rival_estimates.History(old, old.mean(0)), n // 4
    uniforms = np.random.default_rng(2).random((rows, n))
    size = f"{rows} models x {n} questions, {budget} asked"

    mine, components = timed(lambda: known.components)
    theirs, (_, sizes, directions) = timed(lambda: torch.linalg.svd(torch.as_tensor(old - known.mean),
                                                                    full_matrices=False))
    assert np.allclose(np.abs(components), (directions[:32].T * sizes[:32]).abs().numpy() / models**0.5, atol=1e-9)
    yield "components of the history", mine, theirs, f"{models} models x {n} questions; all of the decomposition"

    mine, found = timed(lambda: rival_estimates.greg(new, budget, uniforms, known), 3)
    theirs, mean = timed(lambda: by_ridge(new, found.asked, known))
    assert np.abs(found.estimate.theta - mean).max() < 1e-6
    yield "regression", mine, theirs, f"{size}; RidgeCV, model by model"

    for name in ("stratified", "two_batch"):
        mine, _ = timed(lambda: getattr(rival_estimates, name)(new, budget, uniforms, known), 3)  # noqa: B023
        yield name.replace("_", "-"), mine, None, size


def by_ridge(scores, asked, history):
    """(rows,) the estimate of `rival_estimates.greg`."""
    from sklearn.linear_model import RidgeCV

    found, penalties = [], rival_estimates.PENALTIES * history.unit
    for row, questions in zip(scores, asked, strict=True):
        fit = RidgeCV(penalties).fit(history.components[questions], row[questions] - history.mean[questions])
        found.append(history.mean.mean() + fit.predict(history.components).mean())
    return np.array(found)


# --- factor_models_cv.py -------------------------------------------------------------------------------

@item
def cross_validation(quick):
    """The laptop tier's weight decays and folds at three ranks."""
    *_, scores = board(80 if quick else 214, 2_191, 8, seed=3)
    tier, folds = TIERS["laptop"], factors.entry_folds(np.ones(scores.shape, bool), 5, stream("benchmark"))
    ranks = (8, 16, 32)

    def fits(rank):
        return [Fit(rank, decay, stream("benchmark", rank, decay, fold), folds != fold)
                for decay, fold in itertools.product(tier.weight_decays, range(tier.folds))]

    def side_by_side():
        at_once = CELLS_AT_ONCE["cpu"] // scores.size
        batches = [every[start : start + at_once] for every in map(fits, ranks)
                   for start in range(0, len(every), at_once)]
        found = parallel.side_by_side(lambda batch: factors.fit(scores, batch, PROTOCOLS["map"]), batches, "cpu")
        return [V for of_batch in found for _, V in of_batch]

    mine, a = timed(side_by_side)
    theirs, b = timed(lambda: [factors.fit(scores, [one], PROTOCOLS["map"])[0][1]
                               for rank in ranks for one in fits(rank)])
    assert all(np.allclose(one, other, atol=1e-3) for one, other in zip(a, b, strict=True))
    yield (f"cross-validation, {len(a)} fits", mine, theirs,
           f"{len(scores)} models x 2191 questions, K = 8, 16, 32; fit by fit")


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller boards: half a minute")
    parser.add_argument("--only", choices=sorted(ITEMS), nargs="+", default=list(ITEMS))
    args = parser.parse_args(argv)
    print(f"{torch.get_num_threads()} threads\n{'what':<28} {'ours':>8} {'yardstick':>9} {'ratio':>6}  n; yardstick")
    for name in args.only:
        for what, mine, theirs, size in ITEMS[name](args.quick):
            beside = f"{theirs:>7.2f} s {theirs / mine:>6.1f}" if theirs else f"{'':>9} {'':>6}"
            print(f"{what:<28} {mine:>6.2f} s {beside}  {size}", flush=True)


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
