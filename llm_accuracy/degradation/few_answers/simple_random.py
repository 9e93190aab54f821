"""Paired simple random sampling: n of a bank's N questions, drawn without replacement, one look, an exact test.

Of the bank, L questions are lost and G gained, D = (L − G)/N; of the n asked, b and c (multivariate hypergeometric). H0:
D ≥ δ is rejected where Tango's score T(δ) of (n, b, c) is at most t, the largest t with P[T ≤ t | L, G] ≤ α for every
L − G = ⌈δN⌉, over numbers of flips L + G from none to all (a grid dense where they are few). Used for plans, and as the yardstick of designs
that choose their questions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from ..intervals import tango_score

FLIP_COUNTS = 60  # numbers of flips at which the error is computed, spread geometrically above the margin's own
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

    def critical(self, alpha: float) -> float:
        """The largest score that rejects; −∞ where none may."""
        need = math.ceil(self.margin * self.n_questions - 1e-9)
        most = self.n_questions - need
        found = np.inf
        for gained in np.unique(np.r_[0, np.geomspace(1, max(most / 2, 1), FLIP_COUNTS).astype(int)]):
            if 2 * gained + need > self.n_questions:
                continue
            scores, chances = self.cells(need + int(gained), int(gained))
            order = np.argsort(scores, kind="stable")
            scores, reached = scores[order], np.cumsum(chances[order]) + TAIL
            last = np.append(scores[1:] > scores[:-1] + SLACK, True)  # ties reject together
            allowed = scores[last & (reached <= alpha)]
            found = min(found, float(allowed[-1]) if allowed.size else -np.inf)
        return found

    def power(self, lost: int, gained: int, alpha: float, critical: float | None = None) -> float:
        """The chance that the margin is excluded on a bank with these flips."""
        limit = self.critical(alpha) if critical is None else critical
        scores, chances = self.cells(lost, gained)
        return float(chances[scores <= limit + SLACK].sum())


def _window(population: int, marked: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of marked ones among n of a population, and their probabilities; those beyond 1e-9 in all left out."""
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
    low, high = 0, n_questions
    if Sampled(n_questions, n_questions, margin).power(lost, gained, alpha, np.inf) and (lost - gained) / n_questions >= margin:
        return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        enough = Sampled(n_questions, middle, margin).power(lost, gained, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high
