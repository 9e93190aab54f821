"""Paired simple random sampling: n of a bank's N questions, drawn without replacement, one look, an exact test.

Of the bank, L questions are lost and G gained, D = (L − G)/N; of the n asked, b and c (multivariate hypergeometric).
H0: D ≥ δ has the p-value of Berger & Boos (1994), with Tango's score T(δ) of (n, b, c) as the order of the outcomes:

    p = γ + max P[T ≤ T(observed) | L, G],  L − G = ⌈δN⌉,  over the flips F = L + G for which b + c is no surprise
                                            (a two-sided exact 1 − γ set of F).

The maximum is taken over all L and G with G up to EVERY, and a geometric grid beyond. Used for plans, and as the
yardstick of designs that choose their questions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln
from scipy.stats import hypergeom

from ..intervals import tango_score

GAMMA = 1e-4  # the number of flips may lie outside its range with this probability
EVERY = 60  # numbers of gained questions up to this are all tried,
STEP = 0.04  # and beyond, their logarithms at this distance
TAIL = 1e-9  # more than the windows of b and c leave out
SLACK = 1e-9  # scores that differ by less are tied


@dataclass(frozen=True)
class Sampled:
    """n questions of N; `margin` is δ."""

    n_questions: int
    n: int
    margin: float

    def cells(self, lost: int, gained: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(T, P, b + c) of the outcomes that matter for a bank with these flips, (cells,) each."""
        b, c = (_window(self.n_questions, marked, self.n) for marked in (lost, gained))
        losses, gains = (grid.ravel() for grid in np.meshgrid(b, c, indexing="ij"))
        rest = self.n - losses - gains
        there = (rest >= 0) & (rest <= self.n_questions - lost - gained)
        losses, gains, rest = losses[there], gains[there], rest[there]
        chances = np.exp(_choose(lost, losses) + _choose(gained, gains)
                         + _choose(self.n_questions - lost - gained, rest) - _choose(self.n_questions, self.n))
        likely = chances > 1e-16
        losses, gains = losses[likely].astype(float), gains[likely].astype(float)
        return tango_score(self.margin, self.n, losses, gains), chances[likely], (losses + gains).astype(int)

    def critical(self, alpha: float, fewest: int, most: int) -> np.ndarray:
        """(most − fewest + 1,) of so many flips seen among the n, the largest score that rejects: −∞ where none does, ∞
        where the number of flips itself rules H0 out (p = γ)."""
        need = math.ceil(self.margin * self.n_questions - 1e-9)
        top = (self.n_questions - need) // 2
        gained = np.arange(top + 1) if top <= EVERY else np.unique(
            np.r_[0:EVERY, np.geomspace(EVERY, top, 1 + math.ceil(math.log(top / EVERY) / STEP)).astype(int)])
        t = np.full(most - fewest + 1, np.inf)
        laws = hypergeom(self.n_questions, 2 * gained + need, self.n)
        for count, first, last in zip(gained.tolist(), laws.ppf(GAMMA / 2), laws.isf(GAMMA / 2), strict=True):
            first, last = max(int(first), fewest), min(int(last), most)
            if first <= last:
                here = t[first - fewest : last - fewest + 1]
                np.minimum(here, self._quantile(need + count, count, alpha - GAMMA), out=here)
        return t

    def _quantile(self, lost: int, gained: int, level: float) -> float:
        """The largest t with P[T ≤ t] ≤ level; −∞ where there is none."""
        scores, chances, _ = self.cells(lost, gained)
        order = np.argsort(scores, kind="stable")
        scores, reached = scores[order], np.cumsum(chances[order]) + TAIL
        last = np.append(scores[1:] > scores[:-1] + SLACK, True)  # ties reject together
        allowed = scores[last & (reached <= level)]
        return float(allowed[-1]) if allowed.size else -np.inf

    def power(self, lost: int, gained: int, alpha: float) -> float:
        """The chance that the margin is excluded on a bank with these flips."""
        scores, chances, seen = self.cells(lost, gained)
        fewest = int(seen.min())
        limits = self.critical(alpha, fewest, int(seen.max()))
        return float(chances[scores <= limits[seen - fewest] + SLACK].sum())


def _window(population: int, marked: int, n: int) -> np.ndarray:
    """The numbers of marked ones among n of a population, but the unlikeliest (7 standard deviations off, and 20)."""
    mean = n * marked / population
    reach = 7 * math.sqrt(mean * (1 - marked / population)) + 20
    low, high = max(0, n - (population - marked)), min(n, marked)
    return np.arange(max(low, math.floor(mean - reach)), min(high, math.ceil(mean + reach)) + 1)


def _choose(n, k):
    return gammaln(n + 1.0) - gammaln(np.asarray(k, float) + 1) - gammaln(n - np.asarray(k, float) + 1)


def threshold_passes(n_questions: int, n: int, lost: int, gained: int, margin: float) -> float:
    """The chance that a plain threshold gate, "the drop measured on n random questions is below the margin", passes a
    bank with these flips."""
    b, c = (_window(n_questions, marked, n) for marked in (lost, gained))
    losses, gains = (grid.ravel() for grid in np.meshgrid(b, c, indexing="ij"))
    rest = n - losses - gains
    there = (rest >= 0) & (rest <= n_questions - lost - gained) & (losses - gains < margin * n - 1e-9)
    losses, gains, rest = losses[there], gains[there], rest[there]
    return float(np.exp(_choose(lost, losses) + _choose(gained, gains)
                        + _choose(n_questions - lost - gained, rest) - _choose(n_questions, n)).sum())


def questions_needed(n_questions: int, lost: int, gained: int, margin: float, alpha: float = 0.05,
                     power: float = 0.8) -> int | None:
    """The least n (to about 1 %) at which the margin is excluded with this probability; None where no sample does."""
    if (lost - gained) / n_questions >= margin:
        return None
    low, high = 0, n_questions
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        enough = Sampled(n_questions, middle, margin).power(lost, gained, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high
