"""From a bank of questions to the population that it is a random sample of: what holds of both chances.

`least_evidence` is the step that `degradation/few_answers/population.py` derives: a total V = Σ_j v_j over a bank, with
E exp V ≤ 1 over banks under a null, learned from draws φ_t of mean V given all before; min_w e^w M(w) is then an
e-value. `nearby` bounds how far a bank's mean lies from its population's: of N independent scores in [0, 1], alike or
not,

    P(mean ≥ μ and N kl(mean, μ) ≥ c) ≤ e^−c,   either side; kl(q, p) = q ln(q/p) + (1 − q) ln((1 − q)/(1 − p))

(Hoeffding 1963, theorem 1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEPS, NEAR = 60, 0.01  # of the search for the least w + ln M; how near to it its lower bound must come
TINY = 1e-9
HALVINGS = 60

Convex = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def least_evidence(phi: np.ndarray, low: np.ndarray, bets: np.ndarray, owned: np.ndarray, idle: float,
                   least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """(rows,) min_w of w + ln M(w), from below, M(w) = idle + Σ_k owned_k Π_t (1 + g_k,t (φ_t − w)/(w − low_t)).

    phi, low     (rows, T) draws of mean V, and the least that each could have been
    bets         (k, rows, T) g in [0, 1), fixed before the draw and whatever w is
    owned, idle  (k,) parts of the capital, and the part that bets nothing; they add up to 1
    least, most  (rows,) V lies between them, by the answers

    Each factor is (1 − g) + g (φ − low)/(w − low), log-convex in w, and so is a sum of products of such; so w + ln M is
    convex, and tangents bound it from below.
    """
    shares = np.log(np.r_[owned, idle])[:, None]
    won = np.maximum(phi - low, 0.0) * bets
    none = np.zeros((1, len(phi)))

    def f(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        room = np.maximum(w[:, None] - low, TINY)
        kept = (1 - bets) * room + won
        each = np.concatenate([np.log(kept / room).sum(2), none]) + shares
        slopes = np.concatenate([(won / (room * kept)).sum(2), none])
        whole = np.logaddexp.reduce(each, axis=0)
        return w + whole, 1 - (np.exp(each - whole) * slopes).sum(0)

    start = np.maximum(least, low.max(1))
    return _least(f, start, np.maximum(most, start))


def _least(f: Convex, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(rows,) a lower bound of a convex function between low and high, at most NEAR from its least value there.

    f gives values and derivatives. Tangents at both ends bound it from below; where they meet, it is asked next.
    """
    (at_low, falls), (at_high, rises) = f(low), f(high)
    for _ in range(STEPS):
        width = np.maximum(high - low, 0.0)
        meet = np.clip((at_low - at_high + rises * width) / np.maximum(rises - falls, TINY), 0.0, width)
        # A minimum at an end: the function rises from low on, or falls up to high.
        bound = np.where(falls >= 0, at_low, np.where(rises <= 0, at_high, at_low + falls * meet))
        if (np.minimum(at_low, at_high) - bound <= NEAR).all():
            break
        new = low + np.clip(meet, 0.1 * width, 0.9 * width)
        at_new, slope = f(new)
        up = slope > 0
        low, at_low, falls = np.where(up, low, new), np.where(up, at_low, at_new), np.where(up, falls, slope)
        high, at_high, rises = np.where(up, new, high), np.where(up, at_new, at_high), np.where(up, slope, rises)
    return bound


def nearby(low: float, high: float, n: int, alpha: float) -> tuple[float, float]:
    """A bank of n independent questions has a mean score between low and high, in [0, 1]: between which values lies its
    population's, each side with probability 1 − alpha/2."""
    reach = np.log(2 / alpha) / n
    return 1 - _farthest(1 - low, reach), _farthest(high, reach)


def _farthest(q: float, reach: float) -> float:
    """The largest p ≥ q with kl(q, p) ≤ reach."""
    q = min(max(q, 0.0), 1.0)
    inside, outside = q, 1.0
    for _ in range(HALVINGS):
        p = (inside + outside) / 2
        if _kl(q, p) <= reach:
            inside = p
        else:
            outside = p
    return outside


def _kl(q: float, p: float) -> float:
    if p >= 1:
        return 0.0 if q >= 1 else float("inf")
    return (q * np.log(q / p) if q > 0 else 0.0) + ((1 - q) * np.log((1 - q) / (1 - p)) if q < 1 else 0.0)
