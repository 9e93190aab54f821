"""Intervals and their evaluation: clipping, coverage, effective sample size.

Arrays are (models,) for one trial or (seeds, models) for many.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special


class Interval(NamedTuple):
    """A two-sided interval; both arrays have the shape of the estimate."""

    low: np.ndarray
    high: np.ndarray

    @property
    def width(self) -> np.ndarray:
        return self.high - self.low

    def covers(self, truth: np.ndarray) -> np.ndarray:
        """Whether the truth lies inside, ends included (up to rounding: a width of 0 can be right)."""
        slack = 1e-9
        return (self.low - slack <= truth) & (truth <= self.high + slack)


def interval(theta: np.ndarray, se: np.ndarray, alpha: float, df: np.ndarray | float = np.inf,
             clip: bool = True) -> Interval:
    """θ̂ ± q·SE, q the 1−α/2 quantile of Student's t with `df` degrees of freedom (∞: normal).

    Intervals of all methods are clipped to [0, 1] here and nowhere else; `clip=False` reproduces published widths.
    If SE is infinite (the variance of a single draw is unknown), the interval is [0, 1].
    """
    half = special.stdtrit(df, 1 - alpha / 2) * se
    low, high = theta - half, theta + half
    if clip:
        low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
    return Interval(low, high)


def binomial_se(share: float, n: int) -> float:
    """Standard error of a share of n independent trials."""
    return float(np.sqrt(share * (1 - share) / n)) if n else float("nan")


def srs_variance(mean: np.ndarray, mean_square: np.ndarray, n_questions: int, budget: int) -> np.ndarray:
    """Variance of the mean of T of N scores drawn without replacement, (1 − T/N) S²/T, with S² the population
    variance (N−1 denominator) of scores of the given mean and mean square (for 0/1 scores the same)."""
    s2 = np.maximum(mean_square - mean**2, 0) * n_questions / max(n_questions - 1, 1)
    return (1 - budget / n_questions) * s2 / budget


def srs_width(mean: np.ndarray, mean_square: np.ndarray, n_questions: int, budget: int, alpha: float) -> np.ndarray:
    """Width of the interval of simple random sampling without replacement by someone who knows the true
    variance: 2 z √((1 − T/N) S²/T), unclipped."""
    return 2 * special.ndtri(1 - alpha / 2) * np.sqrt(srs_variance(mean, mean_square, n_questions, budget))


def mean_and_se(values: np.ndarray) -> tuple[float, float]:
    """Mean over seeds and its standard error, which is NaN for a single seed."""
    values = np.asarray(values, dtype=float)
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 and np.isfinite(values).all() else np.nan
    return float(values.mean()), float(spread)


def ess_mse(srs: np.ndarray, squared_error: np.ndarray) -> tuple[float, float]:
    """Effective-sample-size multiplier by error: mean SRS variance / mean squared error, pooled over seeds,
    with the delta method's standard error over seeds.

    srs, squared_error (seeds,): each seed's mean over models.
    """
    ratio = float(np.mean(srs) / np.mean(squared_error))
    if len(squared_error) < 2:
        return ratio, float("nan")
    relative = np.std(squared_error, ddof=1) / np.sqrt(len(squared_error)) / np.mean(squared_error)
    return ratio, float(ratio * relative)


def half_width_factor(error: np.ndarray, se: np.ndarray, coverage: float = 0.95) -> float:
    """The half-width, in standard errors, that covers exactly `coverage` of the time: the quantile of |error|/SE.
    Widths scaled this way are widths at equal coverage."""
    ratio = np.divide(np.abs(error), se, out=np.where(np.abs(error) > 0, np.inf, 0.0), where=se > 0)
    return float(np.quantile(ratio, coverage, method="inverted_cdf"))


def width_at_equal_coverage(error: np.ndarray, se: np.ndarray, coverage: float = 0.95) -> float:
    """Mean width once half-widths are scaled to cover exactly `coverage` of the time: 2 · factor · mean SE,
    unclipped; ∞ if some SE or the factor is."""
    factor = half_width_factor(error, se, coverage)
    return float(2 * factor * se.mean()) if np.isfinite(factor) and np.isfinite(se).all() else float("inf")
