"""The drop, estimated from few answers: exactly unbiased, with an interval where flips enough were seen.

θ̂ = Σ a_t φ_t/N with weights fixed in advance, a_t ∝ 1/(n_t (n_t − 1)) over the n_t questions open at draw t, which is
the reciprocal variance of φ_t when questions are alike; whatever the curves say, E θ̂ = D after a number of questions
that was fixed in advance. Its variance V̂ = Σ a_t² (φ_t/N − θ̂)²/(1 − a_t) is pooled with the curves' own expectation
of it. All N asked: the drop itself.

Most draws show no flip, and one where q is small can outweigh all that were seen. So besides asking for FLIPS_NEEDED of
them, the variance is lifted by what UNSEEN flips more among the T draws would add if they depended on nothing,
Σ a_t² (UNSEEN/T) Σ_open 1/q / N². No verdict rests on this interval (`betting`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from .run import Run

FLIPS_NEEDED = 10  # seen, for an interval by a normal limit to be given at all
UNSEEN = 1.0  # flips by which the variance is lifted
PRIOR_DRAWS = 10  # what the curves' variance is worth beside the empirical one


class Estimate(NamedTuple):
    """(rows,) each: the drop, its standard error, the asymptotic interval (NaN where fewer than FLIPS_NEEDED flips were
    seen), and the flips seen."""

    drop: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    flips: np.ndarray


def weights(n_questions: int, draws: int) -> np.ndarray:
    """(T,) a_t, adding up to 1; all on the last draw where every question is asked."""
    n = n_questions - np.arange(draws, dtype=float)
    if n[-1] <= 1:
        return np.eye(draws)[-1]
    raw = 1 / (n * (n - 1))
    return raw / raw.sum()


def estimate(run: Run, alpha: float = 0.05) -> Estimate:
    """Of every row, from all answers so far."""
    n = run.known.size
    phi, spread = run.column("phi") / n, run.column("spread") / n**2
    a = weights(n, phi.shape[1])
    drop = phi @ a
    expected = spread @ a**2
    seen = ((phi - drop[:, None]) ** 2) @ (a**2 / np.maximum(1 - a, 1e-12))
    draws = phi.shape[1]
    variance = (PRIOR_DRAWS * expected + draws * np.maximum(seen, 0)) / (PRIOR_DRAWS + draws)
    variance = variance + run.column("reach") @ a**2 * (UNSEEN / draws) / n**2
    if run.asked == n:
        variance = np.zeros_like(drop)
    se = np.sqrt(variance)
    low, high = (bound / n for bound in run.bounds())
    freedom = 1 / (a**2).sum() - 1
    half = stats.t.ppf(1 - alpha / 2, max(freedom, 1.0)) * se
    enough = (run.flips >= FLIPS_NEEDED) | (run.asked == n)
    return Estimate(drop, se, np.where(enough, np.clip(drop - half, low, high), np.nan),
                    np.where(enough, np.clip(drop + half, low, high), np.nan), run.flips)
