"""Several runs of two models on the same items: equal numbers of runs, items that changed, where the noise comes from.

A sign-flip test needs the same number of runs of both models on an item: the mean of 1 answer and the mean of 16 are
not distributed alike even if the models are the same, and then their difference is not symmetric. So of the model that
has more runs of an item, as many are drawn as the other has; which ones is fixed by the scores themselves.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from .bounded_means import Units
from .sign_flips import generator_of

FOR_VARIANCE = 0.1  # share of the error rate of the interval for new answers that its variance takes
MOST_PERMUTED = 100_000_000  # scores that are permuted one by one, which takes seconds
SMALL = 200  # items up to which unlike models are warned of; see the size table


def equal_means(items: np.ndarray, *answers: np.ndarray) -> tuple[tuple[np.ndarray, ...], bool]:
    """Means (n,) of each model over an equal number of runs of each item, and whether runs had to be drawn for it.

    `items` (n,) are names, `answers` (n, runs) scores of one model, NaN = missing; every item has one of each model.
    The draw depends on the items' names and scores only: neither on the order of the items nor on that of the runs.
    """
    counts = np.array([np.isfinite(one).sum(axis=1) for one in answers])
    least = counts.min(axis=0)
    if (counts == least).all():
        return tuple(_mean(one) for one in answers), False
    order = np.argsort(items.astype(str), kind="stable")
    ranked = [np.sort(one[order], axis=1) for one in answers]  # NaN last
    digest = hashlib.sha256("\n".join(items[order].astype(str)).encode())
    for one in ranked:
        digest.update(np.ascontiguousarray(np.nan_to_num(one, nan=-1e300)).tobytes())
    rng = np.random.default_rng(np.frombuffer(digest.digest(), dtype=np.uint32))
    means = []
    for one in ranked:
        keys = np.where(np.isfinite(one), rng.random(one.shape), 2.0)
        drawn = np.take_along_axis(one, np.argsort(keys, axis=1), axis=1)
        kept = np.arange(one.shape[1]) < least[order][:, None]
        mean = np.empty(items.size)
        mean[order] = np.where(kept, drawn, 0.0).sum(axis=1) / least[order]
        means.append(mean)
    return tuple(means), True


def _mean(answers: np.ndarray) -> np.ndarray:
    """Mean over the runs there are, (n,); NaN for an item without any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(answers, axis=1)


def deterministic(answers: np.ndarray) -> bool:
    """Whether there are several runs and they agree on every item."""
    several = np.isfinite(answers).sum(axis=1) > 1
    if not several.any():
        return False
    rows = answers[several]
    return bool((np.nanmax(rows, axis=1) == np.nanmin(rows, axis=1)).all())


# ---- no item changed ---------------------------------------------------------------------------------------


def p_items_unchanged(baseline: np.ndarray, candidate: np.ndarray, draws: int, seed: int) -> float:
    """P of H0 "no item changed", against a lower mean of the candidate: the runs of each item are permuted.

    `baseline`, `candidate` (n, runs) scores, positive is better, NaN = missing. All runs count, whatever their numbers:
    if no item changed, those of both models are exchangeable. (1 + #{S* ≥ S})/(draws + 1), S the sum over items of the
    difference of means.
    """
    counts = [np.isfinite(one).sum(axis=1) for one in (baseline, candidate)]
    observed = float((_mean(baseline) - _mean(candidate)).sum())
    # Items with the same scores and numbers of runs are drawn together: how often each of their differences comes.
    pooled = np.sort(np.concatenate([baseline, candidate], axis=1), axis=1)
    kinds, items = np.unique(np.column_stack([*counts, np.nan_to_num(pooled, nan=np.inf)]), axis=0,
                             return_counts=True)
    if not np.isin(np.nan_to_num(pooled), (0.0, 1.0)).all():
        draws = max(999, min(draws, MOST_PERMUTED // pooled.size))
    rng = generator_of(seed, kinds, items, np.array([observed]))
    sums = np.zeros(draws)
    for kind, number in zip(kinds, items.tolist(), strict=True):
        first, second = int(kind[0]), int(kind[1])
        scores = kind[2 : 2 + first + second]
        if scores[0] == scores[-1]:
            continue
        if np.isin(scores, (scores[0], scores[-1])).all():
            high = int((scores == scores[-1]).sum())
            sums += _two_valued(scores[0], scores[-1], high, first, second, number, draws, rng)
        else:
            sums += _any_valued(scores, first, number, draws, rng)
    slack = 1e-10 * max(1.0, np.abs(pooled[np.isfinite(pooled)]).sum())
    return float((1 + np.count_nonzero(sums >= observed - slack)) / (draws + 1))


def _two_valued(low: float, top: float, high: int, first: int, second: int, items: int, draws: int,
                rng: np.random.Generator) -> np.ndarray:
    """Sums over `items` items of the difference of means, `high` of whose first + second scores are `top`."""
    if items > first + second:  # how many items have 0, 1, … of them among the first
        from scipy.stats import hypergeom

        there = np.arange(max(0, high - second), min(high, first) + 1)
        share = hypergeom.pmf(there, first + second, high, first)
        drawn = rng.multinomial(items, share / share.sum(), size=draws) @ there
    else:
        drawn = rng.hypergeometric(high, first + second - high, first, size=(draws, items)).sum(axis=1)
    total = high * items
    return (drawn / first - (total - drawn) / second) * (top - low)


def _any_valued(scores: np.ndarray, first: int, items: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    sums, total, second = np.zeros(draws), scores.sum(), scores.size - first
    for _ in range(items):
        order = np.argsort(rng.random((draws, scores.size)), axis=1)[:, :first]
        drawn = scores[order].sum(axis=1)
        sums += drawn / first - (total - drawn) / second
    return sums


# ---- answer noise and item noise ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """The variance of an item's difference, split: `answers`, of one answer each of both models, averaged over the
    items; `items`, of the items' true differences (0 where the estimate is negative); `error`, the standard error of
    the mean drop over new answers to the same items."""

    answers: float
    items: float
    error: float


def split_noise(baseline: np.ndarray, candidate: np.ndarray) -> Noise | None:
    """Answer noise and item noise of (n, runs) scores; None unless every item has two runs of both models."""
    counts = [np.isfinite(one).sum(axis=1) for one in (baseline, candidate)]
    if min(count.min() for count in counts) < 2:
        return None
    within = [np.nanvar(one, axis=1, ddof=1) for one in (baseline, candidate)]
    of_means = sum(var / count for var, count in zip(within, counts, strict=True))
    differences = _mean(baseline) - _mean(candidate)
    n = differences.size
    total = float(differences.var(ddof=1)) if n > 1 else float("nan")
    return Noise(float(sum(var.mean() for var in within)), max(0.0, total - float(np.mean(of_means))),
                 float(np.sum(of_means) ** 0.5 / n))


def answers_interval(baseline: np.ndarray, candidate: np.ndarray, width: float, level: float) -> tuple[float, float]:
    """(low, high) for the mean drop (baseline − candidate) that new answers to the same items would have on average,
    at confidence 1 − level; (n, runs) scores on a scale of this `width`, two runs or more of each.

    About the mean over all runs there are, by a normal limit with the variance at its upper confidence limit (Gaffke's,
    an item's variance being bounded by the scale): runs that agree everywhere have shown a variance of 0, which is not
    what they have. Approximate in that normal limit only.
    """
    n = len(baseline)
    bounds, terms = 0.0, np.zeros(n)  # an item's variance of the mean, at most, and as estimated
    for one in (baseline, candidate):
        runs = np.isfinite(one).sum(axis=1)
        terms += np.nanvar(one, axis=1, ddof=1) / runs
        half = runs // 2 * ((runs + 1) // 2)  # of r scores on a scale of width 1, Σ(x − x̄)² is at most half/r
        bounds += float((half / (runs**2 * (runs - 1.0))).max())
    most = Units(terms, np.ones(n), bounds * width**2).upper_limit(FOR_VARIANCE * level)
    reach = float(ndtri(1 - (1 - FOR_VARIANCE) * level / 2)) * (most / n) ** 0.5
    drop = float((_mean(baseline) - _mean(candidate)).mean())
    return drop - reach, drop + reach
