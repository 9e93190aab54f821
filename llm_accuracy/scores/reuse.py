"""Is a run one of those that a selection of items was made from, or made of them?

Items were chosen because R runs of one model disagreed on them; k of the R runs were right on an item, 0 < k < R. A
test of those runs, of parts or of combinations of them on the chosen items means nothing.

*One or some of the runs.* If the runs are exchangeable, then given the k, each item's k rights lie on any of the R runs
alike, independently of other items and of whatever a new run x did. So for every set A of runs the sum over items of
x times (rights in A) has a known null: hypergeometric counts. It holds for any new run, of a better, worse or greedy
model. Its tail is bounded by Chernoff's inequality, so that no approximation refuses a new run.

*All of the runs* (their mean, their majority, right where at least j are): a function of k, on which the above is
silent. Such a rule is right on an item as often as a new run agrees with it: about max(k, R − k)/R where k speaks for
the item, so half-way from there to 1 is taken as more than chance explains. That a deterministic run, or one that fails
everywhere, is refused as well is the price; the error says what to do.
"""

from __future__ import annotations

import itertools
from math import comb

import numpy as np

BEYOND = ", beyond what chance explains"
LEVEL = 1e-3  # chance of refusing a new run, over all that is looked at
ALL_SETS = 8  # up to so many runs every set of them is looked at; else sets of one, of two, and what these leave
_TILTS = np.r_[0.0, np.geomspace(1e-3, 1e3, 500)]  # θ of Chernoff's bound, every one of which is valid


def reused(scores: np.ndarray, made_from: np.ndarray) -> str | None:
    """What a run of `scores` (n,), NaN where missing, agrees with beyond chance of the runs `made_from` (n, R), 0 or 1,
    that the n items were chosen on; None for a run that is new by all that can be seen."""
    there = ~np.isnan(scores)
    x, s = scores[there], made_from[there]
    n, runs = s.shape
    if n == 0 or runs < 2:
        return None
    right = s.sum(axis=1).astype(int)
    for run in range(runs):
        if np.array_equal(x, s[:, run]):
            chance = float(np.log(np.maximum(right, runs - right) / runs).sum())
            how = BEYOND if chance < np.log(LEVEL) else ", which are too few to tell whether it is another one"
            return f"run {run + 1} of {runs}, on all {n:,} items{how}"
    found = _of_some(x, s, right) or _of_all(x, right, runs)
    return found and found + BEYOND


def _of_some(x: np.ndarray, s: np.ndarray, right: np.ndarray) -> str | None:
    runs = s.shape[1]
    weights = x - _means(x, right)
    largest = np.abs(weights).max()
    if largest < 1e-12:
        return None
    weights = np.round(weights / largest, 12)
    (k, w), count = _distinct(right, weights)
    sets = _sets(runs)
    for size in sorted({len(some) for some in sets}):
        mean, cumulants = _hypergeometric(k, w, count, size, runs)
        for some in (one for one in sets if len(one) == size):
            seen = float(weights @ s[:, list(some)].sum(axis=1))
            if seen > mean and (cumulants - _TILTS * seen).min() < np.log(LEVEL / 2 / len(sets)):
                return f"run{'s' if size > 1 else ''} {', '.join(str(run + 1) for run in some)} of {runs}"
    return None


def _means(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of x over the items of the same group, for every item."""
    return (np.bincount(groups, x) / np.maximum(np.bincount(groups), 1))[groups]


def _distinct(right: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k and weight, (2, g)) of the different kinds of items, and how many items are of each."""
    kinds, count = np.unique(np.stack([right, weights]), axis=1, return_counts=True)
    return kinds, count


def _sets(runs: int) -> list[tuple[int, ...]]:
    if runs <= ALL_SETS:
        return [some for size in range(1, runs) for some in itertools.combinations(range(runs), size)]
    small = [*itertools.combinations(range(runs), 1), *itertools.combinations(range(runs), 2)]
    return small + [tuple(run for run in range(runs) if run not in one) for one in small]


def _hypergeometric(k, w, count, size: int, runs: int) -> tuple[float, np.ndarray]:
    """(mean, ln E exp(θ·sum) for every tilt θ) of the sum of w·H over items, H of `size` runs' rights of k in all."""
    cumulants, mean = np.zeros(_TILTS.size), 0.0
    for rights, weight, items in zip(k.astype(int), w, count, strict=True):
        h = np.arange(max(0, size + rights - runs), min(size, rights) + 1)
        chance = np.array([comb(rights, int(one)) * comb(runs - rights, size - int(one)) for one in h]) / comb(
            runs, size)
        cumulants += items * np.logaddexp.reduce(np.log(chance)[:, None] + weight * h[:, None] * _TILTS, axis=0)
        mean += items * weight * float(chance @ h)
    return mean, cumulants


def _of_all(x: np.ndarray, right: np.ndarray, runs: int) -> str | None:
    # Half of what a new run would get wrong.
    rate = (1 + np.maximum(right, runs - right) / runs) / 2
    cumulants = np.log1p(rate[:, None] * np.expm1(np.minimum(_TILTS, 500))).sum(axis=0)
    rules = {f"right where at least {j} of {runs} runs are": (right >= j).astype(float) for j in range(1, runs + 1)}
    rules[f"the mean of all {runs} runs"] = right / runs
    for said, rule in rules.items():
        same = int(np.isclose(x, rule, atol=1e-6).sum())
        if same > rate.sum() and (cumulants - np.minimum(_TILTS, 500) * same).min() < np.log(LEVEL / 2 / len(rules)):
            return f"\"{said}\", on {same:,} of {x.size:,} items"
    return None
