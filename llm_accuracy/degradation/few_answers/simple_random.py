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
TAIL = 1e-9  # probability that windows of b and c leave out on each side
SLACK = 1e-9  # scores that differ by less are tied


@dataclass(frozen=True)
class Sampled:
    """n questions of N; `margin` is δ."""

    n_questions: int
    n: int
    margin: float

    def cells(self, lost: int, gained: int) -> tuple[np.ndarray, np.ndarray]:
        """(T, P) of the outcomes (b, c) that matter for a bank with these flips, (cells,) each."""
        b, p_b = _window(self.n_questions, lost, self.n)
        scores, chances = [], []
        for losses, weight in zip(b, p_b, strict=True):
            c, p_c = _window(self.n_questions - lost, gained, self.n - losses)
            scores.append(tango_score(self.margin, self.n, np.full(c.size, float(losses)), c.astype(float)))
            chances.append(weight * p_c)
        return np.concatenate(scores), np.concatenate(chances)

    def critical(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """(m (M,), t (M,)): of m flips seen among the n, the largest score that rejects: −∞ where none does, ∞ where m
        itself rules H0 out (p = γ)."""
        need = math.ceil(self.margin * self.n_questions - 1e-9)
        most = (self.n_questions - need) // 2
        gained = np.arange(most + 1) if most <= EVERY else np.unique(
            np.r_[0:EVERY, np.geomspace(EVERY, most, 1 + math.ceil(math.log(most / EVERY) / STEP)).astype(int)])
        flips, scores = 2 * gained + need, np.array([self._quantile(need + g, int(g), alpha - GAMMA) for g in gained])
        m = np.arange(min(self.n, int(flips[-1])) + 1)
        t = np.full(m.size, np.inf)
        for total, score in zip(flips, scores, strict=True):
            law = hypergeom(self.n_questions, int(total), self.n)
            first, last = int(law.ppf(GAMMA / 2)), int(law.isf(GAMMA / 2))
            t[first : last + 1] = np.minimum(t[first : last + 1], score)
        return m, t

    def _quantile(self, lost: int, gained: int, level: float) -> float:
        """The largest t with P[T ≤ t] ≤ level; −∞ where there is none."""
        scores, chances = self.cells(lost, gained)
        order = np.argsort(scores, kind="stable")
        scores, reached = scores[order], np.cumsum(chances[order]) + TAIL
        last = np.append(scores[1:] > scores[:-1] + SLACK, True)  # ties reject together
        allowed = scores[last & (reached <= level)]
        return float(allowed[-1]) if allowed.size else -np.inf

    def power(self, lost: int, gained: int, alpha: float) -> float:
        """The chance that the margin is excluded on a bank with these flips."""
        _, limits = self.critical(alpha)
        b, p_b = _window(self.n_questions, lost, self.n)
        total = 0.0
        for losses, weight in zip(b, p_b, strict=True):
            c, p_c = _window(self.n_questions - lost, gained, self.n - losses)
            scores = tango_score(self.margin, self.n, np.full(c.size, float(losses)), c.astype(float))
            seen = np.minimum(losses + c, limits.size - 1)
            total += weight * p_c[scores <= limits[seen] + SLACK].sum()
        return float(total)


def _window(population: int, marked: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of marked ones among n of a population, and their probabilities; the unlikeliest are left out."""
    low, high = max(0, n - (population - marked)), min(n, marked)
    mean = n * marked / population
    reach = 7 * math.sqrt(mean * (1 - marked / population)) + 20
    low, high = max(low, math.floor(mean - reach)), min(high, math.ceil(mean + reach))
    k = np.arange(low, high + 1)
    log_p = (_choose(marked, k) + _choose(population - marked, n - k) - _choose(population, n))
    p = np.exp(log_p)
    keep = p > 1e-14
    return k[keep], p[keep]


def _choose(n, k):
    return gammaln(n + 1.0) - gammaln(np.asarray(k, float) + 1) - gammaln(n - np.asarray(k, float) + 1)


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
