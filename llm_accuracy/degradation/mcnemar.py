"""The exact test on 0/1 scores of independent items: one-sided McNemar (arXiv 2602.10144, section 3).

On b items only the baseline is right, on c items only the candidate is, m = b + c. The null hypothesis is
P(baseline right | the two differ) ≤ ½, so given m the count b is at most Bin(m, ½) and the test is exact.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.special import betainc, logsumexp

SMALLEST_FLOAT = sys.float_info.min  # smaller p-values are reported as this; log10_p has their magnitude


def count_flips(baseline: np.ndarray, candidate: np.ndarray) -> tuple[int, int]:
    """(b, c): items that only the baseline, and only the candidate, got right; scores 0/1 or boolean, (n,)."""
    baseline, candidate = np.asarray(baseline) == 1, np.asarray(candidate) == 1
    return int(np.count_nonzero(baseline & ~candidate)), int(np.count_nonzero(candidate & ~baseline))


def p_exact(b, c):
    """P[Bin(b + c, ½) ≥ b]: one-sided exact McNemar, small where the candidate is worse; 1 where b + c = 0.

    Swap b and c for the improvement test. Arrays are processed elementwise.
    """
    return at_least(b, c)


def p_mid(b, c):
    """P[X > b] + P[X = b]/2, X ~ Bin(b + c, ½): the mid-p version, less conservative, not guaranteed."""
    return (at_least(b, c) + at_least(np.add(b, 1), np.subtract(c, 1))) / 2


def at_least(b, c):
    """P[Bin(b + c, ½) ≥ b], by the incomplete beta function that scipy.stats, too, has it from."""
    b, c = np.asarray(b, float), np.asarray(c, float)
    tail = betainc(np.maximum(b, 1), np.maximum(c, 0) + 1, 0.5)
    return np.where(b <= 0, 1.0, np.where(c < 0, 0.0, tail))[()]


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
    from scipy.stats import binom  # takes a second to import

    terms = binom.logpmf(np.arange(b, min(m, b + 100 + int(4 * m**0.5)) + 1), m, 0.5)
    return float(logsumexp(terms) / np.log(10))


def positive(p: float) -> float:
    """A p-value is never reported as 0: one too small for a float becomes the smallest float."""
    return max(float(p), SMALLEST_FLOAT)
