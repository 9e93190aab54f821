"""Did the candidate get worse on one task? Paired tests and intervals (arXiv 2602.10144, section 3).

Baseline and candidate answer the same n items. On b items only the baseline is right, on c items only the
candidate is, m = b + c. The drop is D = (b − c)/n, positive where the candidate is worse; the flip rate is
m/n.

The null hypothesis is P(baseline right | the two differ) ≤ ½, so given m the count b is at most Bin(m, ½) and
the test is exact (one-sided McNemar). Averaged reruns, continuous scores and clustered items use the same
idea: under the null each unit's difference is as likely to have either sign, so the observed sum is compared
with the sums under random sign flips. On 0/1 scores of independent items the two tests are one.

"Not significantly worse" is not "as good": a verdict is one of three, see `verdict`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

import numpy as np
from scipy import fft, stats
from scipy.optimize import brentq
from scipy.special import betainc, betaincc, betaincinv, logsumexp

from ..errors import InputError

DEGRADED, NOT_DEGRADED, UNDECIDED = "degraded", "not degraded beyond the margin", "undecided"
TWO_SIDED_LEVEL = 0.05  # ci_low … ci_high is always a two-sided 95 % interval
SMALLEST_FLOAT = sys.float_info.min  # what a p-value below it is given as; log10_p tells how far below
ENUMERATED_UNITS = 20  # up to 2^20 sign patterns are listed
LARGEST_DENOMINATOR = 1000  # of a grid: averages over up to 31 × 32 reruns, three decimals
LARGEST_TRANSFORM = 30_000_000  # distinct sizes × transform length, a second or two
LARGEST_SAMPLE = 5_000_000_000  # random signs drawn at most, a few seconds; never under 999 draws
DRAWS = 99_999
_NODES, _WEIGHTS = (np.polynomial.legendre.leggauss(120) + np.array([[1], [0]])) / 2  # on (0, 1)


# ---- exact test on 0/1 scores ------------------------------------------------------------------------------


def count_flips(baseline: np.ndarray, candidate: np.ndarray) -> tuple[int, int]:
    """(b, c): items only the baseline, and only the candidate, got right; scores 0/1 or boolean, (n,)."""
    baseline, candidate = np.asarray(baseline) == 1, np.asarray(candidate) == 1
    return int(np.count_nonzero(baseline & ~candidate)), int(np.count_nonzero(candidate & ~baseline))


def p_exact(b, c):
    """P[Bin(b + c, ½) ≥ b]: one-sided exact McNemar, small where the candidate is worse; 1 where b + c = 0.

    Swap b and c for the improvement test. Arrays are taken element by element.
    """
    return stats.binom.sf(np.subtract(b, 1), np.add(b, c), 0.5)


def p_mid(b, c):
    """P[X > b] + P[X = b]/2, X ~ Bin(b + c, ½): the mid-p version, less conservative, not guaranteed."""
    return (p_exact(b, c) + stats.binom.sf(b, np.add(b, c), 0.5)) / 2


def p_two_sided(b, c):
    """min(1, twice the smaller tail)."""
    return np.minimum(1.0, 2 * np.minimum(p_exact(b, c), p_exact(c, b)))


def log10_p_exact(b: int, c: int) -> float:
    """log10 of `p_exact`, also where the p-value itself is too small for a float."""
    p = p_exact(b, c)
    if p > 1e-280:
        return float(np.log10(p))
    # So far out each term of the tail is a fraction of the one before; these many reach double precision.
    m = b + c
    terms = stats.binom.logpmf(np.arange(b, min(m, b + 100 + int(4 * m**0.5)) + 1), m, 0.5)
    return float(logsumexp(terms) / np.log(10))


# ---- intervals and margins for the drop of 0/1 scores ------------------------------------------------------


def tango_score(drop: float, n: int, b: int, c: int) -> float:
    """Tango's score statistic T(D) for H0: drop = D; it falls from +∞ to −∞ as D goes from −1 to 1.

    T(D) = (b − c − nD)/√(n(2q + D(1 − D))), q = (√(B² − 4AC) − B)/(2A) the restricted estimate of P(only the
    candidate right), A = 2n, B = −b − c + (2n − b + c)D, C = −cD(1 − D) (Tango 1998).
    """
    numerator = b - c - n * drop
    if numerator == 0:
        return 0.0
    a, b1, c1 = 2 * n, -b - c + (2 * n - b + c) * drop, -c * drop * (1 - drop)
    root = max(b1 * b1 - 4 * a * c1, 0.0) ** 0.5
    # The same root of the quadratic, written so that nothing cancels.
    q = -2 * c1 / (b1 + root) if b1 > 0 else (root - b1) / (2 * a)
    variance = n * (2 * q + drop * (1 - drop))
    return numerator / variance**0.5 if variance > 0 else float(np.copysign(np.inf, numerator))


def tango_interval(n: int, b: int, c: int, level: float = TWO_SIDED_LEVEL) -> tuple[float, float]:
    """Two-sided 1 − level interval: T(lower) = z, T(upper) = −z; one-sided limits: those at twice it."""
    z = stats.norm.isf(level / 2)

    def solve(target: float) -> float:
        # Clipping keeps brentq's interpolation finite at the ends; |z| is far below 100.
        return brentq(lambda drop: np.clip(tango_score(drop, n, b, c), -100, 100) - target, -1, 1, xtol=1e-15)

    return (-1.0 if c == n else solve(z)), (1.0 if b == n else solve(-z))


def melded_interval(n: int, b: int, c: int, level: float = TWO_SIDED_LEVEL) -> tuple[float, float]:
    """Two-sided 1 − level melded interval for the drop (Fay & Lumbard 2021); it leaves out 0 exactly where
    the exact test rejects at level/2 on that side."""
    return melded_lower(n, b, c, level / 2), -melded_lower(n, c, b, level / 2)


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
    big_theta, big_b = stats.beta(*theta), stats.beta(*share)
    over_theta = big_theta.std() / big_theta.mean() < 2 * big_b.std() / max(2 * big_b.mean() - 1, 1e-300)
    integrand = big_theta if over_theta else big_b
    low, high = integrand.ppf(1e-17), integrand.isf(1e-17)

    def tail(x: float) -> float:
        start = max(low, x if over_theta else (1 + x) / 2)
        at = start + _NODES * max(high - start, 0.0)
        beyond = betaincc(*share, (1 + x / at) / 2) if over_theta else betaincc(*theta, x / (2 * at - 1))
        return max(high - start, 0.0) * float(_WEIGHTS @ (integrand.pdf(at) * beyond))

    largest = float(big_theta.isf(1e-17) * (2 * big_b.isf(1e-17) - 1))
    return brentq(lambda x: tail(x) - (1 - prob), 1e-300, largest, xtol=1e-14)


def p_noninferiority(n: int, b: int, c: int, margin: float) -> float:
    """Φ(T(margin)), H0: drop ≥ margin; small where the candidate is shown not to be worse by the margin."""
    return float(stats.norm.cdf(tango_score(margin, n, b, c)))


def p_equivalence(n: int, b: int, c: int, margin: float) -> float:
    """Two one-sided tests: max(Φ(T(margin)), 1 − Φ(T(−margin))), H0: |drop| ≥ margin."""
    return max(p_noninferiority(n, b, c, margin), float(stats.norm.sf(tango_score(-margin, n, b, c))))


# ---- sign flips: reruns, continuous scores, clusters -------------------------------------------------------


@dataclass(frozen=True)
class SignFlip:
    """A sign-flip test of Σd: p-values of both tails (never 0), log10 of the first, and how they were had."""

    p: float
    p_improvement: float
    log10_p: float
    smallest_p: float  # what the most extreme data of this size would give
    method: str  # "exact" or "99,999 random sign flips"


def sign_flip_test(differences: np.ndarray, draws: int = DRAWS, seed: int = 0) -> SignFlip:
    """p = P[Σ s_i d_i ≥ Σ d_i] over independent signs s_i = ±1, d of shape (units,); ties count against.

    Exact where the |d_i| lie on a common grid (averages of 0/1 reruns, cluster sums) or few d_i differ from
    0; otherwise (1 + #{S* ≥ S})/(draws + 1) from random signs. On d_i ∈ {−1, 0, 1} it is `p_exact`.
    """
    differences = np.asarray(differences, dtype=np.float64)
    differences = differences[differences != 0]
    units = differences.size
    if units == 0:
        return SignFlip(1.0, 1.0, 0.0, 1.0, "exact")
    grid = _grid(np.abs(differences))
    if grid is not None:
        steps, counts, step = grid
        kept = [round(float(differences[differences > 0].sum()) / step)]
        kept.append(int(steps @ counts) - kept[0])
        tails = [_log_tail_on_grid(steps, counts, k) for k in kept]
        if None not in tails:
            p, better = (positive(np.exp(tail)) for tail in tails)
            return SignFlip(p, better, tails[0] / np.log(10), positive(0.5**units), "exact")
    method, smallest = "exact", 0.5**units
    if units <= ENUMERATED_UNITS:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums - difference, sums + difference])
    else:
        draws = min(draws, max(999, LARGEST_SAMPLE // units))
        sums = random_sign_sums(differences[:, None], draws, np.random.default_rng([seed, units]))[:, 0]
        sums = np.append(sums, differences.sum())  # the observed signs are one of the draws: p is never 0
        method, smallest = f"{draws:,} random sign flips", max(smallest, 1 / (draws + 1))
    # Sums that are equal in exact arithmetic may differ in the last bits: the slack counts them as ties.
    observed, slack = differences.sum(), 1e-10 * np.abs(differences).sum()
    p = float(np.mean(sums >= observed - slack))
    better = (np.count_nonzero(sums <= observed + slack)) / sums.size
    return SignFlip(p, float(better), float(np.log10(p)), smallest, method)


def _grid(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
    """(steps, counts, unit): the distinct sizes as whole multiples of a unit; None where there is no grid."""
    values, counts = np.unique(sizes.round(12), return_counts=True)
    if values.size > 2 * LARGEST_DENOMINATOR or values[0] <= 0:
        return None
    fractions = []
    for value in values.tolist():
        fractions.append(Fraction(value).limit_denominator(LARGEST_DENOMINATOR))
        if abs(float(fractions[-1]) - value) > 1e-11 * max(1.0, value):
            return None
    denominator = lcm(*(fraction.denominator for fraction in fractions))
    steps = [int(fraction * denominator) for fraction in fractions]
    common = int(np.gcd.reduce(steps))
    if max(steps) // common > 10**7:
        return None
    return np.array(steps) // common, counts, common / denominator


def _log_tail_on_grid(steps: np.ndarray, counts: np.ndarray, gained: int) -> float | None:
    """ln P[Σ_v steps_v·Bin(counts_v, ½) ≥ gained]; None where the transform would be too long.

    The distribution comes from its characteristic function by one inverse FFT. It is first tilted so that its
    mean is the observed sum: the tail then keeps its relative accuracy at 1e-300 as at .1. A window of ± 9.5
    standard deviations suffices, as each tilted term is sub-Gaussian with its untilted variance (Hoeffding).
    """
    total = int(steps @ counts)
    if gained >= total:
        return -float(counts.sum()) * np.log(2)
    half_window = min(total, int(9.5 * (steps**2 @ counts) ** 0.5 / 2) + 1)
    length = fft.next_fast_len(2 * half_window + 1, real=True)
    if length * steps.size > LARGEST_TRANSFORM:
        return None
    tilt = 0.0
    if gained > total / 2:
        def excess(tilt: float) -> float:
            return (steps * counts) @ (1 / (1 + np.exp(-tilt * steps))) - gained

        highest = 40 / steps.min()
        tilt = highest if excess(highest) < 0 else brentq(excess, 0, highest)
    up = 1 / (1 + np.exp(-tilt * steps))  # P(this unit stays positive) under the tilt
    transform = np.ones(length // 2 + 1, dtype=complex)
    frequency = np.arange(length // 2 + 1)
    for step, count, q in zip(steps.tolist(), counts.tolist(), up, strict=True):
        # The integer remainder keeps the phase exact however large step × frequency is.
        transform *= (1 - q + q * np.exp(-2j * np.pi * (step * frequency % length) / length)) ** count
    probability = fft.irfft(transform, n=length)
    centre = max(gained, round(total / 2))
    at = np.arange(max(gained, centre - half_window), centre + half_window + 1)
    tail = probability[at % length] @ np.exp(-tilt * (at - gained))
    # ln Σ_v E[exp(tilt·steps_v·Bernoulli)] − tilt·gained undoes the tilt.
    undo = counts @ (np.logaddexp(0, tilt * steps) - np.log(2)) - tilt * gained
    return float(min(np.log(max(tail, SMALLEST_FLOAT)) + undo, 0.0))


def random_sign_sums(rows: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Σ_u s_u rows_u under random signs s_u = ±1, rows (units, k) → (draws, k).

    Units with the same values are drawn together, by how many of them stay positive; the others ten at a
    time, as one of the 1,024 sums that their signs can make.
    """
    rows = rows[np.any(rows != 0, axis=1)]
    if rows.shape[1] == 1:
        rows = np.abs(rows)
    rows, counts = np.unique(rows, axis=0, return_counts=True)
    sums = np.zeros((draws, rows.shape[1]))
    for row, count in zip(rows[counts > 8], counts[counts > 8].tolist(), strict=True):
        sums += (2 * rng.binomial(count, 0.5, size=draws) - count)[:, None] * row
    rest = np.repeat(rows[counts <= 8], counts[counts <= 8], axis=0)
    for start in range(0, len(rest), 10):
        table = np.zeros((1, rows.shape[1]))
        for row in rest[start : start + 10]:
            table = np.concatenate([table - row, table + row])
        sums += table[rng.integers(len(table), size=draws, dtype=np.uint16)]
    return sums


def cluster_sums(values: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Σ of the values in each cluster, (G,); clusters are codes 0 … G−1, or None where every item is one."""
    return np.asarray(values, float) if clusters is None else np.bincount(clusters, weights=values)


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
        return float(self.centre + self.error * stats.t.ppf(prob, self.freedom))

    def p_below(self, drop: float) -> float:
        """Small where the mean is shown to lie below `drop`."""
        return float(stats.t.cdf((self.centre - drop) / self.error, self.freedom))

    def p_above(self, drop: float) -> float:
        return float(stats.t.sf((self.centre - drop) / self.error, self.freedom))


def mean_drop(differences: np.ndarray, clusters: np.ndarray | None, largest: float) -> MeanDrop:
    """The mean difference of n items in G clusters with a cluster-robust error.

    Two more clusters of average size are added, one all +largest and one all −largest, the most that an item
    can lose or gain. On 0/1 scores this is the adjusted Wald interval of Bonett & Price (2012); it keeps a
    width where no item differs, and vanishes as G grows.
    """
    sums = cluster_sums(differences, clusters)
    sizes = np.ones(sums.size) if clusters is None else np.bincount(clusters)
    groups = sums.size
    if groups < 2:
        raise InputError("all items belong to one cluster: there is nothing to judge the noise by")
    extra = largest * differences.size / groups
    n = differences.size * (1 + 2 / groups)
    centre = sums.sum() / n
    rest = sums - sizes * centre
    extra_rest = [extra - centre * differences.size / groups, -extra - centre * differences.size / groups]
    squares = rest @ rest + np.square(extra_rest).sum()
    return MeanDrop(float(centre), float((squares * (groups + 2) / (groups + 1)) ** 0.5 / n), groups - 1)


# ---- one result --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairedResult:
    """Everything that is said about one pair of runs. p-values of tests that do not apply are None.

    `p` decides "degraded": `p_exact` on 0/1 scores of independent items, else `p_permutation`.
    `drop_lower` and `drop_upper` are one-sided 1 − alpha limits that always agree with the verdict:
    degraded ⟺ drop_lower > 0 (or = 0 at p = alpha), shown to be within the margin ⟺ drop_upper < margin.
    """

    n: int
    units: int  # independent units: clusters, or items
    n11: int | None  # both right (both 0 where lower is better); None where scores are not 0/1
    b: int  # items on which the candidate is worse
    c: int  # items on which it is better
    n00: int | None
    mean_baseline: float
    mean_candidate: float
    drop: float
    flip_rate: float
    p: float
    log10_p: float
    p_exact: float | None
    p_mid: float | None
    log10_p_exact: float | None
    p_improvement: float
    p_two_sided: float
    p_permutation: float
    permutation_method: str
    smallest_p: float
    can_reject: bool
    ci_low: float
    ci_high: float
    ci_method: str
    drop_lower: float
    drop_upper: float
    p_noninferiority: float
    p_equivalence: float
    alpha: float
    margin: float
    verdict: str
    within_margin: bool  # degraded, and shown to be so by less than the margin
    in_points: bool  # scores lie in [0, 1], so a drop of .01 is one point


def verdict(p: float, p_noninferiority: float, alpha: float) -> tuple[str, bool]:
    """(verdict, within_margin). "Degraded" wins; an insignificant p alone decides nothing."""
    safe = p_noninferiority <= alpha
    if p <= alpha:
        return DEGRADED, safe
    return (NOT_DEGRADED if safe else UNDECIDED), False


def positive(p: float) -> float:
    """A p-value is never 0: one too small for a float is given as the smallest one."""
    return max(float(p), SMALLEST_FLOAT)


def judge_counts(
    n: int, b: int, c: int, *, n11: int | None = None, alpha: float = 0.05, margin: float = 0.01,
    interval: str = "tango",
) -> PairedResult:
    """All of `PairedResult` from the counts alone: 0/1 scores of n independent items.

    `n11` (both right) only enters the two accuracies, which are NaN without it. `interval` names the method
    of ci_low and ci_high, "tango" or "melded-exact". Raises InputError for impossible counts.
    """
    _check_levels(alpha, margin)
    if min(n, b, c) < 0 or n == 0 or b + c + (n11 or 0) > n:
        raise InputError(f"n = {n}, b = {b}, c = {c} is impossible: of n > 0 items, b + c are different")
    both = float("nan") if n11 is None else n11
    p, p_safe = positive(p_exact(b, c)), positive(p_noninferiority(n, b, c, margin))
    decided, within = verdict(p, p_safe, alpha)
    low, high = {"tango": tango_interval, "melded-exact": melded_interval}[interval](n, b, c)
    smallest = positive(0.5 ** (b + c))
    return PairedResult(
        n=n, units=n, n11=n11, b=b, c=c, n00=None if n11 is None else n - n11 - b - c,
        mean_baseline=(both + b) / n, mean_candidate=(both + c) / n, drop=(b - c) / n, flip_rate=(b + c) / n,
        p=p, log10_p=log10_p_exact(b, c), p_exact=p, p_mid=positive(p_mid(b, c)),
        log10_p_exact=log10_p_exact(b, c), p_improvement=positive(p_exact(c, b)),
        p_two_sided=positive(p_two_sided(b, c)), p_permutation=p, permutation_method="exact",
        smallest_p=smallest, can_reject=smallest <= alpha, ci_low=low, ci_high=high, ci_method=interval,
        drop_lower=melded_lower(n, b, c, alpha), drop_upper=tango_interval(n, b, c, 2 * alpha)[1],
        p_noninferiority=p_safe, p_equivalence=positive(p_equivalence(n, b, c, margin)),
        alpha=alpha, margin=margin, verdict=decided, within_margin=within, in_points=True,
    )


def judge_pair(
    baseline: np.ndarray, candidate: np.ndarray, *, clusters: np.ndarray | None = None,
    higher_is_better: bool = True, alpha: float = 0.05, margin: float = 0.01, interval: str = "tango",
    draws: int = DRAWS, seed: int = 0,
) -> PairedResult:
    """Test one pair of score vectors, both of shape (n,), item by item the same questions.

    Scores may be 0/1, averages over reruns, or continuous, without missing values. `clusters` (n,) are
    integer codes 0 … G−1 of items that stand or fall together. `draws` and `seed` matter only where the
    sign-flip test is not exact. Raises InputError for unequal lengths, missing scores, or no items.
    """
    baseline, candidate = np.asarray(baseline), np.asarray(candidate)
    _check_levels(alpha, margin)
    if baseline.shape != candidate.shape or baseline.ndim != 1 or baseline.size == 0:
        raise InputError(f"need two score vectors of one length, got {baseline.shape} and {candidate.shape}")
    zero_one = _zero_one(baseline) and _zero_one(candidate)
    means = dict(mean_baseline=float(baseline.mean()), mean_candidate=float(candidate.mean()))
    if clusters is None and zero_one:
        b, c = count_flips(baseline, candidate)
        both = int(np.count_nonzero((baseline == 1) & (candidate == 1)))
        b, c, both = (b, c, both) if higher_is_better else (c, b, baseline.size - b - c - both)
        result = judge_counts(baseline.size, b, c, n11=both, alpha=alpha, margin=margin, interval=interval)
        return replace(result, **means)

    differences = np.subtract(baseline, candidate, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise InputError("scores must be finite numbers: drop missing items from both runs first")
    differences = differences if higher_is_better else -differences
    sums = cluster_sums(differences, clusters)
    flips = sign_flip_test(sums, draws, seed)
    t = mean_drop(differences, clusters, largest_difference(baseline, candidate))
    p_safe = positive(t.p_below(margin))
    decided, within = verdict(flips.p, p_safe, alpha)
    # The set of drops that are not rejected, with the sign-flip test at 0 and the t statistic elsewhere.
    lower = max(t.limit(alpha), 0.0) if decided == DEGRADED else min(t.limit(alpha), 0.0)
    count = np.count_nonzero
    b, c = int(count(differences > 0)), int(count(differences < 0))
    return PairedResult(
        n=differences.size, units=sums.size, b=b, c=c,
        n11=int(count((baseline == 1) & (candidate == 1))) if zero_one else None,
        n00=int(count((baseline == 0) & (candidate == 0))) if zero_one else None,
        **means, drop=float(differences.mean()), flip_rate=(b + c) / differences.size,
        p=flips.p, log10_p=flips.log10_p, p_exact=None, p_mid=None, log10_p_exact=None,
        p_improvement=flips.p_improvement, p_two_sided=min(1.0, 2 * min(flips.p, flips.p_improvement)),
        p_permutation=flips.p, permutation_method=flips.method,
        smallest_p=flips.smallest_p, can_reject=flips.smallest_p <= alpha,
        ci_low=t.limit(TWO_SIDED_LEVEL / 2), ci_high=t.limit(1 - TWO_SIDED_LEVEL / 2),
        ci_method="bonett-price t" if clusters is None else "bonett-price t, cluster-robust",
        drop_lower=lower, drop_upper=max(t.limit(1 - alpha), lower),
        p_noninferiority=p_safe, p_equivalence=max(p_safe, positive(t.p_above(-margin))),
        alpha=alpha, margin=margin, verdict=decided, within_margin=within,
        in_points=in_unit_range(baseline, candidate),
    )


def in_unit_range(*scores: np.ndarray) -> bool:
    """Do all scores lie in [0, 1]?"""
    return all(s.min() >= 0 and s.max() <= 1 for s in scores)


def largest_difference(baseline: np.ndarray, candidate: np.ndarray) -> float:
    """The most one item can differ: 1 where all scores lie in [0, 1], else the range that was seen."""
    if in_unit_range(baseline, candidate):
        return 1.0
    return float(max(baseline.max(), candidate.max()) - min(baseline.min(), candidate.min()))


def _zero_one(scores: np.ndarray) -> bool:
    return scores.dtype == bool or bool(((scores == 0) | (scores == 1)).all())


def _check_levels(alpha: float, margin: float) -> None:
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha = {alpha} must lie between 0 and .5")
    if not margin > 0:
        raise InputError(f"margin = {margin} must be positive: the largest drop that would not matter")
