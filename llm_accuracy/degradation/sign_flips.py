"""Sign-flip tests: averaged reruns, continuous scores, clustered items.

Under the null each unit's difference is as likely to have either sign, so the observed sum is compared with the sums
under random sign flips. On 0/1 scores of independent items this is the exact test of `mcnemar`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from scipy import fft
from scipy.optimize import brentq

from .defaults import DRAWS_OF_A_PAIR
from .mcnemar import SMALLEST_FLOAT, positive

ENUMERATED_UNITS = 20  # up to 2^20 sign patterns are enumerated
LARGEST_DENOMINATOR = 10_000  # of one difference on a grid: averages over up to 100 × 100 reruns, or four decimals
MOST_DISTINCT = 2_000  # sizes on a grid
LARGEST_TRANSFORM = 30_000_000  # distinct sizes × window: a second or two
AS_ONE_OF_A_TRANSFORM = 25  # units that a convolution takes in the time of one size of a transform
LARGEST_CONVOLUTION = 0.2  # units × window for every squared draw: a second or two for a pair, .1 for a suite's task
LARGEST_SAMPLE = 5_000_000_000  # random signs at most: a few seconds; never fewer than 999 draws


@dataclass(frozen=True)
class SignFlip:
    """A sign-flip test of Σd: p-values of both tails (never 0), log10 of the first, and how they were computed."""

    p: float
    p_improvement: float
    log10_p: float
    smallest_p: float  # of the most extreme data of this size
    method: str  # "exact" or "99,999 random sign flips"


def sign_flip_test(differences: np.ndarray, draws: int = DRAWS_OF_A_PAIR, seed: int = 0) -> SignFlip:
    """p = P[Σ s_i d_i ≥ Σ d_i] over independent signs s_i = ±1, d of shape (units,); ties count against.

    Exact where the |d_i| lie on a common grid (averages of 0/1 reruns, cluster sums) or few d_i differ from
    0; otherwise (1 + #{S* ≥ S})/(draws + 1) from random signs. On d_i ∈ {−1, 0, 1} it is `p_exact`.
    """
    differences = np.asarray(differences, dtype=np.float64)
    differences = differences[differences != 0]
    units = differences.size
    if units == 0:
        return SignFlip(1.0, 1.0, 0.0, 1.0, "exact")
    if (grid := _grid(np.abs(differences))) is not None:
        found = _on_grid(differences, *grid, most_cells=LARGEST_CONVOLUTION * draws**2)
        if found is not None:
            return found
    method, smallest = "exact", 0.5**units
    if units <= ENUMERATED_UNITS:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums - difference, sums + difference])
    else:
        draws = min(draws, max(999, LARGEST_SAMPLE // units))
        sums = random_sign_sums(differences[:, None], draws, generator_of(seed, np.sort(differences)))[:, 0]
        sums = np.append(sums, differences.sum())  # the observed signs are one of the draws: p is never 0
        method, smallest = f"{draws:,} random sign flips", max(smallest, 1 / (draws + 1))
    # Sums that are equal in exact arithmetic may differ in the last bits: the slack counts them as ties.
    observed, slack = differences.sum(), 1e-10 * np.abs(differences).sum()
    p = float(np.mean(sums >= observed - slack))
    better = (np.count_nonzero(sums <= observed + slack)) / sums.size
    return SignFlip(p, float(better), float(np.log10(p)), smallest, method)


def generator_of(seed: int, *data: np.ndarray) -> np.random.Generator:
    """Random numbers fixed by a seed and the data. By the seed alone, all data of one size would meet the same draws,
    and a test of few draws err more often than its level at some sizes and seeds, always."""
    digest = hashlib.sha256()
    for one in data:
        digest.update(np.ascontiguousarray(one, dtype=np.float64).tobytes())
    return np.random.default_rng([seed, *np.frombuffer(digest.digest(), dtype=np.uint32).tolist()])


def _grid(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, float] | None:
    """(steps, counts, unit): the distinct sizes as whole multiples of a unit; None if there is no grid."""
    values, counts = np.unique(sizes.round(12), return_counts=True)
    if values.size > MOST_DISTINCT or values[0] <= 0:
        return None
    fractions = []
    for value in values.tolist():
        fractions.append(Fraction(value).limit_denominator(LARGEST_DENOMINATOR))
        if not fractions[-1] or abs(float(fractions[-1]) - value) > 1e-11 * max(1.0, value):
            return None
    denominator = lcm(*(fraction.denominator for fraction in fractions))
    steps = [int(fraction * denominator) for fraction in fractions]
    common = gcd(*steps)
    if max(steps) // common > 10**7:
        return None
    return np.array([step // common for step in steps]), counts, common / denominator


def _on_grid(differences: np.ndarray, steps: np.ndarray, counts: np.ndarray, step: float,
             most_cells: float) -> SignFlip | None:
    """The test on a grid; None where that takes more than LARGEST_TRANSFORM and `most_cells`.

    The distribution of Σ_v steps_v·Bin(counts_v, ½) is first tilted so that its mean is the observed sum: so that the
    tail is as accurate, relatively, at 1e-300 as at .1. It is then computed modulo the length of a window of ± 9.5
    standard deviations, which suffices, as each tilted term is sub-Gaussian with its untilted variance (Hoeffding).
    """
    units, total = int(counts.sum()), int(steps @ counts)
    lost = round(float(differences[differences > 0].sum()) / step)
    half_window = min(total, int(9.5 * (steps.astype(float) ** 2 @ counts) ** 0.5 / 2) + 1)
    length = fft.next_fast_len(2 * half_window + 1, real=True)
    may_transform, may_convolve = length * steps.size <= LARGEST_TRANSFORM, length * units <= most_cells
    if may_convolve and not (may_transform and AS_ONE_OF_A_TRANSFORM * steps.size <= units):
        probabilities = _by_convolution
    elif may_transform:
        probabilities = _by_transform
    else:
        return None
    tails = _log_tails(steps, counts, max(lost, total - lost), half_window, length, probabilities)
    worse, better = tails if 2 * lost >= total else tails[::-1]
    return SignFlip(positive(np.exp(worse)), positive(np.exp(better)), float(worse / np.log(10)),
                    positive(0.5**units), "exact")


def _log_tails(steps: np.ndarray, counts: np.ndarray, sum_: int, half_window: int, length: int,
               probabilities: Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]) -> tuple[float, float]:
    """ln P[S ≥ sum_] and ln P[S ≤ sum_] of S = Σ_v steps_v·Bin(counts_v, ½), which is at most sum_ on average."""
    if sum_ >= int(steps @ counts):
        return -float(counts.sum()) * np.log(2), 0.0

    def excess(tilt: float) -> float:
        return (steps * counts) @ (1 / (1 + np.exp(-tilt * steps))) - sum_

    highest, tilt = 40 / steps.min(), 0.0
    if excess(tilt) < 0:
        tilt = highest if excess(highest) < 0 else brentq(excess, 0, highest)
    up = 1 / (1 + np.exp(-tilt * steps))  # P(this unit stays positive) under the tilt
    at = np.arange(sum_, sum_ + half_window + 1)
    terms = probabilities(steps, counts, up, length)[at % length] * np.exp(-tilt * (at - sum_))
    # ln Σ_v E[exp(tilt·steps_v·Bernoulli)] − tilt·sum_ undoes the tilt.
    undo = counts @ (np.logaddexp(0, tilt * steps) - np.log(2)) - tilt * sum_
    at_least, above = (min(np.log(max(some.sum(), SMALLEST_FLOAT)) + undo, 0.0) for some in (terms, terms[1:]))
    return float(at_least), float(np.log1p(-min(np.exp(above), 0.5)))


def _by_transform(steps: np.ndarray, counts: np.ndarray, up: np.ndarray, length: int) -> np.ndarray:
    """(length,) probabilities of Σ_v steps_v·Bin(counts_v, up_v) modulo `length`, from the characteristic function by
    one inverse FFT: for few distinct sizes."""
    transform = np.ones(length // 2 + 1, dtype=complex)
    frequency = np.arange(length // 2 + 1)
    for step, count, q in zip(steps.tolist(), counts.tolist(), up, strict=True):
        # The integer remainder keeps the phase exact however large step × frequency is.
        transform *= (1 - q + q * np.exp(-2j * np.pi * (step * frequency % length) / length)) ** count
    return fft.irfft(transform, n=length)


def _by_convolution(steps: np.ndarray, counts: np.ndarray, up: np.ndarray, length: int) -> np.ndarray:
    """The same unit by unit, as sums of positive terms only: for many distinct sizes. The smallest go first, while only
    the sums that they can reach are not 0."""
    now, after, moved = np.zeros((3, length))
    now[0], reached = 1.0, 1
    for unit, (step, q) in enumerate(zip(np.repeat(steps, counts).tolist(), np.repeat(up, counts).tolist(),
                                         strict=True)):
        if unit % 16 == 15:  # arithmetic below 1e-308 is several times as slow, and no tail under the tilt is as small
            now[:reached][now[:reached] < 1e-200] = 0
        np.multiply(now[:reached], 1 - q, out=after[:reached])
        np.multiply(now[:reached], q, out=moved[:reached])
        start = step % length
        if reached + start <= length:
            after[reached : reached + start] = 0
            after[start : reached + start] += moved[:reached]
            reached += start
        else:
            after[reached:] = 0
            after[start:] += moved[: length - start]
            after[: reached + start - length] += moved[length - start : reached]
            reached = length
        now, after = after, now
    now[reached:] = 0
    return now


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
    """Σ of the values in each cluster, (G,); clusters are codes 0 … G−1, or None if every item is one."""
    return np.asarray(values, float) if clusters is None else np.bincount(clusters, weights=values)
