"""Intervals and margins for the drop: score and melded exact ones from counts, a t interval for means.

From counts (n items, b lost and c gained by the candidate): Tango's score (1998) and the melded exact interval (Fay &
Lumbard 2021). For averaged reruns, continuous scores and clusters: a t interval for the mean difference with
cluster-robust errors and two added clusters (Bonett & Price 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import (
    betainc,
    betaincc,
    betainccinv,
    betaincinv,
    betaln,
    ndtr,
    ndtri,
    stdtrit,
    xlog1py,
    xlogy,
)

from ..errors import InputError
from .mcnemar import p_exact
from .sign_flips import cluster_sums

TWO_SIDED_LEVEL = 0.05  # ci_low … ci_high is always a two-sided 95 % interval
_NODES, _WEIGHTS = (np.polynomial.legendre.leggauss(120) + np.array([[1], [0]])) / 2  # on (0, 1)


# ---- from counts -------------------------------------------------------------------------------------------


def tango_score(drop, n, b, c):
    """Tango's score statistic T(D) for H0: drop = D, elementwise; it falls from +∞ to −∞ as D goes from −1 to 1.

    T(D) = (b − c − nD)/√(n(2q + D(1 − D))), q = (√(B² − 4AC) − B)/(2A) the restricted estimate of P(only the
    candidate right), A = 2n, B = −b − c + (2n − b + c)D, C = −cD(1 − D) (Tango 1998); 0 where the numerator is 0.
    """
    n, b, c = np.asarray(n, float), np.asarray(b, float), np.asarray(c, float)
    numerator = b - c - n * drop
    a, b1, c1 = 2 * n, -b - c + (2 * n - b + c) * drop, -c * drop * (1 - drop)
    root = np.sqrt(np.maximum(b1 * b1 - 4 * a * c1, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # The same root of the quadratic, written so that nothing cancels.
        q = np.where(b1 > 0, -2 * c1 / (b1 + root), (root - b1) / (2 * a))
        score = numerator / np.sqrt(np.maximum(n * (2 * q + drop * (1 - drop)), 0.0))
    return np.where(numerator == 0, 0.0, score)


@lru_cache(maxsize=100_000)  # many tasks of a suite have the same few counts
def tango_interval(n: int, b: int, c: int, level: float = TWO_SIDED_LEVEL) -> tuple[float, float]:
    """Two-sided 1 − level interval: T(lower) = z, T(upper) = −z; one-sided limits are those at twice the level."""
    z = -float(ndtri(level / 2))

    def solve(target: float) -> float:
        # Clipping keeps brentq's interpolation finite at the ends; |z| is far below 100.
        return float(brentq(lambda drop: float(np.clip(tango_score(drop, n, b, c), -100, 100)) - target, -1, 1,
                            xtol=1e-15))

    return (-1.0 if c == n else solve(z)), (1.0 if b == n else solve(-z))


def melded_interval(n: int, b: int, c: int, level: float = TWO_SIDED_LEVEL) -> tuple[float, float]:
    """Two-sided 1 − level melded interval for the drop (Fay & Lumbard 2021); it leaves out 0 exactly where
    the exact test rejects at level/2 on that side."""
    return melded_lower(n, b, c, level / 2), -melded_lower(n, c, b, level / 2)


@lru_cache(maxsize=100_000)
def melded_lower(n: int, b: int, c: int, level: float) -> float:
    """One-sided lower 1 − level melded limit for the drop: positive ⟺ `p_exact` < level.

    The level-quantile of ΘW, W = 2B − 1, with B (the share of flips that are losses) Be(b, c + 1) and Θ (the
    flip rate) Be(m, n − m + 1) or Be(m + 1, n − m), whichever gives the lower limit. The upper limit is the
    mirror image, with b and c exchanged.
    """
    m = b + c
    theta = (m, n - m + 1) if p_exact(b, c) < level else (m + 1, n - m)
    return _product_quantile(level, theta, (b, c + 1))


def _product_quantile(prob: float, theta: tuple[int, int], share: tuple[int, int]) -> float:
    """The quantile of ΘW, Θ ~ Be(*theta), W = 2B − 1, B ~ Be(*share); Be(0, ·) is 0 and Be(·, 0) is 1."""
    if theta[0] == 0:
        return 0.0
    if share[0] == 0 or (share[1] > 0 and prob < betainc(*share, 0.5)):
        return -_product_quantile(1 - prob, theta, share[::-1])  # a negative quantile: mirror B
    if share[1] == 0:
        return 1.0 if theta[1] == 0 else float(betaincinv(*theta, prob))
    if theta[1] == 0:
        return 2 * float(betaincinv(*share, prob)) - 1

    # P[ΘW > x] for x > 0, by quadrature over the relatively narrower variable, where the other's tail is
    # smooth.
    over_theta = _beta_error(*theta) / _beta_mean(*theta) < 2 * _beta_error(*share) / max(
        2 * _beta_mean(*share) - 1, 1e-300)
    integrand = theta if over_theta else share
    ends = {shape: betainccinv(*shape, 1e-17) for shape in (theta, share)}
    low, high = betaincinv(*integrand, 1e-17), ends[integrand]

    def tail(x: float) -> float:
        start = max(low, x if over_theta else (1 + x) / 2)
        at = start + _NODES * max(high - start, 0.0)
        beyond = betaincc(*share, (1 + x / at) / 2) if over_theta else betaincc(*theta, x / (2 * at - 1))
        return max(high - start, 0.0) * float(_WEIGHTS @ (_beta_density(at, *integrand) * beyond))

    if tail(1e-300) <= 1 - prob:  # all so near to 1 that the quadrature is lost in rounding: two quantiles are a bound
        return float(betaincinv(*theta, prob / 2) * (2 * betaincinv(*share, prob / 2) - 1))
    largest = float(ends[theta] * (2 * ends[share] - 1))
    return brentq(lambda x: tail(x) - (1 - prob), 1e-300, largest, xtol=1e-14)


def _beta_density(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """The density of Be(a, b), a and b ≥ 1; by logarithms, fifty times as quick, where these are right to 1e-12."""
    if a + b > 2_000:
        from scipy.stats import beta  # takes a second to import

        return beta.pdf(x, a, b)
    return np.exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))


def _beta_mean(a: float, b: float) -> float:
    return a / (a + b)


def _beta_error(a: float, b: float) -> float:
    """The standard deviation of Be(a, b), in floats: SciPy's multiplies integers, which overflow from 2 million on."""
    return (_beta_mean(a, b) * _beta_mean(b, a) / (a + b + 1.0)) ** 0.5


def p_noninferiority(n: int, b: int, c: int, margin: float) -> float:
    """Φ(T(margin)), H0: drop ≥ margin: approximate, and too small where few flips are expected (`unconditional` has
    the exact test, which decides)."""
    return float(ndtr(tango_score(margin, n, b, c)))


def p_equivalence(n: int, b: int, c: int, margin: float) -> float:
    """Two one-sided tests: max(Φ(T(margin)), 1 − Φ(T(−margin))), H0: |drop| ≥ margin."""
    return max(p_noninferiority(n, b, c, margin), float(ndtr(-tango_score(-margin, n, b, c))))


# ---- of means: reruns, continuous scores, clusters ---------------------------------------------------------


def cluster_standard_error(differences: np.ndarray, clusters: np.ndarray) -> float:
    """√(Σ_g (Σ_{i∈g} (d_i − d̄))²)/n·√(G/(G − 1)): cluster-robust standard error of the mean (CR1)."""
    differences = np.asarray(differences, float)
    sums = cluster_sums(differences - differences.mean(), clusters)
    return float((sums @ sums) ** 0.5 / differences.size * (sums.size / (sums.size - 1)) ** 0.5)


@dataclass(frozen=True)
class MeanDrop:
    """A t distribution for the mean difference: centre, standard error, degrees of freedom."""

    centre: float
    error: float
    freedom: int

    def limit(self, prob: float) -> float:
        return float(self.centre + self.error * stdtrit(self.freedom, prob))


def mean_drop(differences: np.ndarray, clusters: np.ndarray | None, largest: float) -> MeanDrop:
    """The mean difference of n items in G clusters with a cluster-robust error.

    Two more clusters of average size are added, one all +largest and one all −largest, the most that an item
    can lose or gain. On 0/1 scores this is the adjusted Wald interval of Bonett & Price (2012); its width
    stays positive where no item differs, and the effect of the two clusters vanishes as G grows. Without any range
    (`largest` 0) the error is infinite.
    """
    sums = cluster_sums(differences, clusters)
    sizes = np.ones(sums.size) if clusters is None else np.bincount(clusters)
    groups = sums.size
    if groups < 2:
        what = "there is a single item" if sums.size == differences.size else "all items belong to one cluster"
        raise InputError(f"{what}, and nothing to estimate the noise from: ask more, or leave it out")
    if largest == 0:  # one score everywhere, outside [0, 1]: what else could have been scored is unknown
        return MeanDrop(0.0, float("inf"), groups - 1)
    extra = largest * differences.size / groups
    n = differences.size * (1 + 2 / groups)
    centre = sums.sum() / n
    rest = sums - sizes * centre
    extra_rest = [extra - centre * differences.size / groups, -extra - centre * differences.size / groups]
    squares = rest @ rest + np.square(extra_rest).sum()
    return MeanDrop(float(centre), float((squares * (groups + 2) / (groups + 1)) ** 0.5 / n), groups - 1)


def in_unit_range(*scores: np.ndarray) -> bool:
    """Whether all scores lie in [0, 1]."""
    return all(s.min() >= 0 and s.max() <= 1 for s in scores)


def largest_difference(baseline: np.ndarray, candidate: np.ndarray) -> float:
    """The most that one item can differ by: 1 if all scores lie in [0, 1], else the observed range."""
    if in_unit_range(baseline, candidate):
        return 1.0
    return float(max(baseline.max(), candidate.max()) - min(baseline.min(), candidate.min()))
