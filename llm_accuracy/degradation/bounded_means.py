"""Is a mean drop of the margin or more excluded? Means of bounded differences: reruns, scores in a range, clusters.

A unit (an item or a cluster) has a sum x of differences of its s items, each at most `largest`. Three tests:

    Gaffke    p = P[Σ_g E_g·(x_g − δ·s_g) + E_0·s_max·(largest − δ) ≥ 0], E independent standard exponentials, for
              H0: the mean drop is δ or more. Unit 0, as large as the largest and lost entirely, stands for the losses
              that were not seen: with n units that do not differ p is (1 − δ)ⁿ, and on 0/1 losses without gains it is
              Clopper & Pearson's. Its error is at most α in everything enumerated and simulated (Gaffke 2005; Learned-
              Miller & Thomas 2019); a proof for every distribution is not known.
    betting   p = 1/E, E the capital Π(1 + λ·x_g/s_max) averaged over bets λ, for H0: the mean drop is 0 or less. By
              Markov's inequality its error is at most α, whatever the distribution.
    bootstrap t, for the same H0: approximate, since resampled units know nothing of losses that were not seen.

Units are independent, and the population they come from has none larger than the largest here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

LEVELS = 4_096  # more distinct values than that are split between two neighbouring levels, which keeps their mean
BETS = 0.5 ** np.arange(1, 13)  # λ as shares of the largest bet that cannot lose everything
RESAMPLES = 1_999
MOST_RESAMPLED = 20_000  # units; with more, a bootstrap has nothing to correct


@dataclass(frozen=True)
class Units:
    """Independent units: `sums` of the differences (positive: worse) of `sizes` items, shapes (G,), each difference at
    most `largest`."""

    sums: np.ndarray
    sizes: np.ndarray
    largest: float

    def mirrored(self) -> Units:
        """Of the same units with baseline and candidate exchanged."""
        return Units(-self.sums, self.sizes, self.largest)

    @property
    def effective(self) -> float:
        """(Σs)²/Σs²: the number of equal units that would be as informative."""
        return float(self.sizes.sum() ** 2 / np.square(self.sizes).sum())

    @property
    def _bounded(self) -> bool:
        """Whether it is known how much an item can differ; not of scores that never vary, on an unknown scale."""
        return 0 < self.largest < np.inf

    def p_drop_excluded(self, drop: float) -> float:
        """Gaffke's p of H0: the mean drop is `drop` or more; `drop` < `largest`."""
        if not self._bounded:  # what an unseen loss could be is not known: nothing is excluded
            return 1.0
        if drop >= self.largest:
            return 0.0
        sums, sizes, counts = self._distinct
        unseen = self.sizes.max() * (self.largest - drop)
        return exponential_tail(np.append(sums - drop * sizes, unseen), np.append(counts, 1.0))

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(sums, sizes, how many units have them) of the distinct units."""
        if (self.sizes == self.sizes[0]).all():
            sums, counts = _levels(self.sums)
            return sums, np.full(sums.size, float(self.sizes[0])), counts
        rows, numbers = np.unique(np.column_stack([self.sums, self.sizes]), axis=0, return_counts=True)
        return rows[:, 0], rows[:, 1], numbers.astype(float)

    def p_none_differs(self, drop: float) -> float:
        """The same p if no item had differed: unless it is small, the units are too few to exclude `drop`."""
        return Units(np.zeros_like(self.sums), self.sizes, self.largest).p_drop_excluded(drop)

    def upper_limit(self, alpha: float) -> float:
        """The drop at which Gaffke's p is alpha; infinite where the largest difference is not known."""
        if not self._bounded:
            return float("inf")
        mean = float(self.sums.sum() / self.sizes.sum())
        if self.p_drop_excluded(mean) <= alpha:  # no unit differs from the mean but the one that was not seen
            return mean
        high = self.largest
        return float(brentq(lambda drop: self.p_drop_excluded(drop) - alpha, mean, high, xtol=1e-10 * high))

    def log_capital(self) -> float:
        """ln of the betting e-value of H0: the mean drop is 0 or less; no bet without a known bound."""
        if not self._bounded:
            return 0.0
        bound = self.sizes.max() * self.largest
        values, counts = _levels(self.sums / bound)
        return float(logsumexp([counts @ np.log1p(bet * values) for bet in BETS]) - np.log(BETS.size))

    def p_betting(self) -> float:
        return float(np.exp(-max(self.log_capital(), 0.0)))

    def p_bootstrap(self, seed: int = 0) -> float | None:
        """Bootstrap-t p of H0: the mean drop is 0 or less; None for too few or too many units, or no variation."""
        groups = self.sums.size
        if not 2 <= groups <= MOST_RESAMPLED or not (self.sums != self.sums[0]).any():
            return None
        values, counts = np.unique(self.sums, return_counts=True)
        drawn = np.random.default_rng([seed, groups]).multinomial(groups, counts / groups, size=RESAMPLES)
        mean, error = _mean_and_error(counts[None], values)
        means, errors = _mean_and_error(drawn, values)
        # A resample without variation says nothing of its error: it counts against.
        reached = np.where(errors > 0, (means - mean) * error >= mean * errors, True)
        return float((1 + np.count_nonzero(reached)) / (RESAMPLES + 1))


def _mean_and_error(counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = counts[0].sum()
    mean = counts @ values / n
    square = np.maximum(counts @ np.square(values) / n - mean**2, 0.0)
    square = np.where(square < 1e-12 * np.square(values).max(), 0.0, square)
    return mean, np.sqrt(square / n)


def _levels(values: np.ndarray, numbers: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(distinct values, how many units have them); of very many, a grid of levels with shares of units.

    `numbers` of units for each of the values, if it is not one each.
    """
    distinct, at = np.unique(values, return_inverse=True)
    counts = np.bincount(at, weights=numbers)
    if distinct.size <= LEVELS:
        return distinct, counts.astype(float)
    grid = np.linspace(distinct[0], distinct[-1], LEVELS)
    place = (distinct - grid[0]) / (grid[1] - grid[0])
    below = np.minimum(place.astype(np.int64), LEVELS - 2)
    share = place - below
    weights = np.bincount(below, weights=counts * (1 - share), minlength=LEVELS)
    weights += np.bincount(below + 1, weights=counts * share, minlength=LEVELS)
    return grid[weights > 0], weights[weights > 0]


def exponential_tail(values: np.ndarray, numbers: np.ndarray | None = None) -> float:
    """P[Σ_j a_j E_j ≥ 0] for independent standard exponentials E_j and coefficients a, (n,), each occurring once or as
    often as `numbers` says.

    (1/2πi) ∫ exp(K(s))/s ds, K(s) = −Σ ln(1 − a_j s), along the vertical line through its saddle point, by the
    trapezoidal rule in u, s = c + i·σ·sinh(u): right to 1e-12.
    """
    values = np.asarray(values, float)
    scale = np.abs(values).max()
    a, counts = _levels(values / scale if scale > 0 else values, numbers)
    if a[-1] <= 0:
        return 1.0 if a[0] == 0 else 0.0
    if a[0] >= 0:
        return 1.0
    if counts @ a > 0:
        return 1.0 - _right_tail(-a[::-1], counts[::-1])
    return _right_tail(a, counts)


def _right_tail(a: np.ndarray, counts: np.ndarray) -> float:
    """The same where the mean of the sum is at most 0; a ascending, the last one positive."""
    def slope(c: float) -> float:
        return float(counts @ (a / (1 - a * c))) - 1 / c

    edge = 1 / a[-1]
    low, high = 1e-8 * edge, (1 - 1e-9) * edge
    while slope(low) > 0:
        low *= 1e-3
    c = float(brentq(slope, low, high, xtol=1e-12 * edge)) if slope(high) > 0 else high
    sigma = (counts @ np.square(a / (1 - a * c)) + 1 / c**2) ** -0.5
    u = np.arange(0, 20, 1 / 16)
    y = sigma * np.sinh(u)
    weights = sigma * np.cosh(u) / 16
    weights[0] /= 2
    total = 0.0
    for start in range(0, u.size, 16):
        s = c + 1j * y[start : start + 16]
        exponent = -(np.log(1 - np.multiply.outer(s, a)) @ counts) - np.log(s)
        terms = np.exp(exponent) * weights[start : start + 16]
        total += float(terms.real.sum())
        if np.abs(terms).max() < 1e-17 * max(abs(total), 1e-300):
            break
    return float(min(max(total / np.pi, 0.0), 1.0))
