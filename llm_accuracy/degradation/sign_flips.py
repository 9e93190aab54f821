"""Sign-flip tests: averaged reruns, continuous scores, clustered items.

Under the null each unit's difference is as likely to have either sign, so the observed sum is compared with the sums
under random sign flips. On 0/1 scores of independent items this is the exact test of `mcnemar`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
from scipy import fft
from scipy.optimize import brentq

from .defaults import DRAWS_OF_A_PAIR
from .mcnemar import SMALLEST_FLOAT, positive

ENUMERATED_UNITS = 20  # up to 2^20 sign patterns are enumerated
LARGEST_DENOMINATOR = 1000  # of a grid: averages over up to 31 × 32 reruns, or three decimals
LARGEST_TRANSFORM = 30_000_000  # distinct sizes × transform length: a second or two
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
    grid = _grid(np.abs(differences))
    if grid is not None:
        steps, counts, step = grid
        lost = round(float(differences[differences > 0].sum()) / step)
        tail = _log_tail_on_grid(steps, counts, lost)
        other = _log_tail_on_grid(steps, counts, int(steps @ counts) - lost)
        if tail is not None and other is not None:
            return SignFlip(positive(np.exp(tail)), positive(np.exp(other)), float(tail / np.log(10)),
                            positive(0.5**units), "exact")
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
    """(steps, counts, unit): the distinct sizes as whole multiples of a unit; None if there is no grid."""
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
    """ln P[Σ_v steps_v·Bin(counts_v, ½) ≥ gained]; None if the transform would be too long.

    The distribution comes from its characteristic function by one inverse FFT. It is first tilted so that its
    mean is the observed sum: so that the tail is as accurate, relatively, at 1e-300 as at .1. A window of ± 9.5
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
    """Σ of the values in each cluster, (G,); clusters are codes 0 … G−1, or None if every item is one."""
    return np.asarray(values, float) if clusters is None else np.bincount(clusters, weights=values)
