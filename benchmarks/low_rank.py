"""Low-rank doubly robust elimination: a re-implementation of ours, from descriptions, of the idea of PULSE, by
Tolochinsky, Tenzer and Romano (arXiv 2605.10405), as a rival in `best.py`. No code or settings of theirs were at hand.

What the descriptions say: answers that are missing are predicted by a low-rank factorisation of those that were seen;
a doubly robust estimate of every model's mean corrects the predictions by the answers, so that it stays unbiased; its
intervals hold at any stopping time with questions drawn without replacement; models that are clearly not the best are
asked no more. With p fixed before a round and n questions of a model open, a uniform draw I gives

    y = (Σ_asked z + Σ_open p + n (z_I − p_I))/N      of mean θ given all before it.

Left to us: rounds as the search's; limits by betting, of every model at α/(2K) on either side; the rank; ridge.

A second form is stronger than described: all models are asked the same questions, and pairs are judged by the capitals
of `best` on the difference of their y. It tells what predictions add where all else is ours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llm_accuracy.querying.best import FIRST, GROWTH, Search
from llm_accuracy.querying.designs import schedule

RANK_WITHOUT, RANK_WITH = 2, 8  # of the factorisation, without and with a history
RIDGE = 2.0  # answers that a question's or a model's factors are shrunk by, without a history
SWEEPS = 4  # of alternating least squares, each round
CELLS = 1000  # of the grid that limits lie on
BOLD = (0.5, 1.0, 2.0)  # bettors: multiples of the bet that is best for an interval
MOST = 0.9  # of the bet that could lose everything
LEAST = 1e-4  # variance of a residual, at least

Predict = Callable[[np.ndarray], np.ndarray]  # (K, N) scores, NaN where unseen → (K, N) predictions in [0, 1]


def without_history(seen: np.ndarray) -> np.ndarray:
    """A model's mean, a question's deviation and factors of rank RANK_WITHOUT, by ridge regression in turn."""
    there = ~np.isnan(seen)
    z = np.where(there, seen, 0.0)
    if not there.any():
        return np.full(seen.shape, 0.5)
    rows = (z.sum(1) + 1) / (there.sum(1) + 2)
    left = np.where(there, z - rows[:, None], 0.0)
    columns = left.sum(0) / (there.sum(0) + RIDGE)
    left = np.where(there, left - columns, 0.0)
    u = np.linalg.eigh(left @ left.T)[1][:, -RANK_WITHOUT:]
    for _ in range(SWEEPS):
        v = _ridge(u, left.T, there.T)
        u = _ridge(v, left, there)
    return np.clip(rows[:, None] + columns + u @ v.T, 0, 1)


def _ridge(of: np.ndarray, left: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Factors of every row of `left` on those `of` its columns, over what is there."""
    size = max(float((of**2).mean()), 1e-6)  # ridge in answers, whatever the factors' scale
    gram = np.einsum("ij,jk,jl->ikl", there.astype(float), of, of) + RIDGE * size * np.eye(of.shape[1])
    return np.linalg.solve(gram, (left @ of)[:, :, None])[:, :, 0]


def with_history(history: np.ndarray) -> Predict:
    """Principal components of a complete history (models, N); a model's factors by Bayes' rule from its answers, with
    the history's factors as the prior."""
    mean = history.mean(0)
    centred = history - mean
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    rank = min(RANK_WITH, int((s > 1e-9).sum()))
    axes = vt[:rank] * s[:rank, None] / np.sqrt(len(history))  # prior of the factors: standard normal
    noise = float(((centred - (u[:, :rank] * s[:rank]) @ vt[:rank]) ** 2).mean()) + LEAST

    def predict(seen: np.ndarray) -> np.ndarray:
        there = ~np.isnan(seen)
        left = np.where(there, seen - mean, 0.0)
        gram = np.einsum("ij,kj,lj->ikl", there.astype(float), axes, axes) / noise + np.eye(rank)
        factors = np.linalg.solve(gram, (left @ axes.T / noise)[:, :, None])[:, :, 0]
        return np.clip(mean + factors @ axes, 0, 1)

    return predict


class Limits:
    """Limits of one model's mean that hold at any stopping time, on a grid: which means are left."""

    def __init__(self, alpha: float):
        self._grid = np.linspace(0, 1, CELLS + 1)
        self._log = np.zeros((2, len(BOLD), CELLS + 1))  # ln of the capitals against "θ ≤ m" and against "θ ≥ m"
        self._left = np.ones(CELLS + 1, bool)
        self._level = np.log(2 / alpha)
        self._seen, self._squares = 0, 0.0
        self.low, self.high = 0.0, 1.0

    def update(self, y: np.ndarray, low: np.ndarray, high: np.ndarray, residuals: np.ndarray, share: np.ndarray
               ) -> None:
        """Of a round: y, the least and most it could have been, z − p, and open questions over N, (B,) each."""
        at = np.flatnonzero(self._left)
        if not at.size:
            return
        m = self._grid[at][:, None]
        variance = (self._squares + 0.25) / (self._seen + 1) * share**2 + LEAST * share**2
        t = self._seen + np.arange(1, y.size + 1)
        best = np.sqrt(2 * self._level / (variance * t * np.log1p(t)))
        worth = np.log(len(BOLD))
        for side, (gain, room) in enumerate(((y - m, m - low), (m - y, high - m))):
            total = []
            for k, bold in enumerate(BOLD):
                c = np.minimum(bold * best, MOST / np.maximum(room, 1e-9))
                grown = np.cumsum(np.log1p(np.maximum(c * gain, -MOST)), 1) + self._log[side, k, at][:, None]
                self._log[side, k, at] = grown[:, -1]
                total.append(grown)
            out = (np.logaddexp.reduce(total, axis=0) - worth >= self._level).any(1)
            # What is left is an interval: a bet against "θ ≤ m" is one against all smaller means.
            cut = at[out]
            if cut.size:
                self._left[slice(cut.min(), None) if side else slice(cut.max() + 1)] = False
        self._seen += y.size
        self._squares += float((residuals**2).sum())
        left = np.flatnonzero(self._left)
        if left.size:
            self.low = max(self.low, self._grid[max(left[0] - 1, 0)])
            self.high = min(self.high, self._grid[min(left[-1] + 1, CELLS)])


def own_questions(z: np.ndarray, rng: np.random.Generator, alpha: float, tolerance: float, predict: Predict
                  ) -> tuple[int, int]:
    """(winner, answers): each model has an order of its own, limits of its own."""
    k, n = z.shape
    orders = np.array([rng.permutation(n) for _ in range(k)])
    seen, total, left = np.full((k, n), np.nan), np.zeros(k), np.arange(k)
    limits, t = [Limits(alpha / k) for _ in range(k)], 0
    for size in schedule(n, n, FIRST, GROWTH):
        p = predict(seen)
        for i in left:
            now = orders[i, t : t + size]
            _one_round(limits[i], z[i, now], p[i, orders[i, t:]], total[i], n)
            seen[i, now] = z[i, now]
            total[i] += z[i, now].sum()
        t += size
        if t == n:
            return int(left[np.argmax(total[left])]), int((~np.isnan(seen)).sum())
        low, high = (np.array([getattr(one, end) for one in limits]) for end in ("low", "high"))
        ahead = left[np.argmax(low[left])]
        left = left[high[left] >= low[ahead]] if ahead in left else left
        others = left[left != ahead]
        if (high[others] <= low[ahead] + tolerance).all():
            return int(ahead), int((~np.isnan(seen)).sum())
    raise AssertionError("the last round asks all")


def _one_round(limits: Limits, z: np.ndarray, p: np.ndarray, total: float, n: int) -> None:
    """p (open,) of the open questions, those that are asked first, in their order; z (B,) the answers."""
    asked, open_now = z.size, p.size - np.arange(z.size)
    rest = p.sum() - np.cumsum(p[:asked]) + p[:asked]
    before = total + np.cumsum(z) - z
    known = before + rest
    # Least and most over the questions that are open when the round begins, a little more than at each draw.
    low, high = known + open_now * -p.max(), known + open_now * (1 - p.min())
    residuals = z - p[:asked]
    limits.update((known + open_now * residuals) / n, low / n, high / n, residuals, open_now / n)


def same_questions(z: np.ndarray, rng: np.random.Generator, alpha: float, tolerance: float, predict: Predict,
                   useful: np.ndarray | None = None) -> tuple[int, int]:
    """(winner, answers): one order for all, pairs by the capitals of `best`, predictions in both."""
    found = Search(*z.shape, rng, usefulness=useful, alpha=alpha, tolerance=tolerance)
    seen = np.full(z.shape, np.nan)
    while found.winner is None:
        asked = found.ask(predict(seen))
        cells = np.ix_(np.flatnonzero(found.left), asked)
        found.tell(z[cells])
        seen[cells] = z[cells]
    return found.winner, found.calls
