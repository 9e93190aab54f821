"""Drawing a whole round of questions at once: fixed size, unequal probabilities, no question twice.

All functions work on rows side by side: q, π (rows, N) float64, `size` the same number of questions in every row.
"""

from __future__ import annotations

import numpy as np
import torch

TINY = torch.finfo(torch.float64).tiny


KINDS = 6           # of questions, by the factors
MOST_POINTS = 20_000  # that kinds are formed from; of larger banks every second, third … question
CHUNK = 65_536      # questions that are assigned to kinds at once


def kinds_of_questions(V: np.ndarray, covariance: np.ndarray, count: int = KINDS) -> np.ndarray:
    """(N,) int: questions in `count` kinds that models get right together; neighbouring numbers are neighbouring kinds.

    V (N, K) the questions' factors, covariance (K, K) of the models'. k-means on V Σ^½, started from slices along its
    first principal component, by which the kinds are numbered: nothing is random, and one thread computes it, since
    k-means adds up what several have found in the order in which they end. Of banks larger than MOST_POINTS the kinds
    are those of evenly spaced questions, and every question belongs to the nearest.
    """
    from threadpoolctl import threadpool_limits  # which scikit-learn needs, too

    with threadpool_limits(1):
        return _kinds(V, covariance, count)


def _kinds(V: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    values, vectors = np.linalg.eigh(covariance)
    axes = vectors * np.sqrt(np.maximum(values, 0))
    step = -(-len(V) // MOST_POINTS)
    points = V[::step].astype(np.float64) @ axes
    centred = points - points.mean(0)
    direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    direction = direction * np.sign(direction[np.abs(direction).argmax()])
    along = centred @ direction
    if len(points) <= count or np.ptp(along) == 0:
        return np.zeros(len(V), int)
    start = np.stack([points[part].mean(0) for part in np.array_split(np.argsort(along, kind="stable"), count)])
    found = KMeans(count, init=start, n_init=1).fit(points)
    number = np.argsort(np.argsort((found.cluster_centers_ - points.mean(0)) @ direction))
    return number[found.labels_ if step == 1 else _nearest(V, axes, found.cluster_centers_)]


def _nearest(V: np.ndarray, axes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N,) of each row of V · axes the nearest centre; the row's own length does not matter."""
    slopes, offsets = -2 * axes @ centres.T, (centres**2).sum(1)
    return np.concatenate([(V[at : at + CHUNK] @ slopes + offsets).argmin(1) for at in range(0, len(V), CHUNK)])


def schedule(budget: int, n_questions: int, first: int = 8, growth: float = 1.5) -> list[int]:
    """Sizes of the rounds that make up a budget: 8, 12, 18, 27, …, each `growth` times the one before, rounded down.

    What is left at the end is a round of its own, or joins the one before if it is less than half a round. So the
    schedules of two budgets differ in their last rounds only.
    """
    sizes: list[int] = []
    left, size = min(budget, n_questions), first
    while left:
        take = min(left, size)
        if sizes and take < size / 2:
            sizes[-1] += take
        else:
            sizes.append(take)
        left -= take
        size = max(size + 1, int(size * growth)) if growth > 1 else size
    return sizes


def choosing(spread: torch.Tensor, is_open: torch.Tensor, tau: float,
             costs: torch.Tensor | None = None) -> torch.Tensor:
    """q (rows, N), 0 where a question is not open: (1 − τ) h/Σh + τ e/Σe with h = σ/√cost and e = 1/√cost.

    spread  (rows, N) σ, the standard deviation expected of each outcome. The choice that makes the variance smallest at
            a given cost is π ∝ σ/√cost (Neyman); the share τ bounds 1/π. Where nothing is expected to vary, q is even.
    costs   (N,) > 0, by default all alike
    """
    even = is_open.to(torch.float64)
    if costs is not None:
        even /= costs.sqrt()
    chosen = spread * even
    even /= even.sum(1, keepdim=True)
    total = chosen.sum(1, keepdim=True)
    chosen /= total.clamp_min(TINY)
    torch.where(total > 0, chosen, even, out=chosen)
    return chosen.mul_(1 - tau).add_(even.mul_(tau))


class Ranking:
    """Sorts questions by 2 s ± p, s the stratum (− where it is odd) and p a float32 in [0, 1], as whole numbers: the
    bits of the float in the place of p (of floats ≥ 0 they are in the order of the floats) and below them the
    question's place among equals, in one int64. All differ, so any sort is stable, and NumPy's of whole numbers takes
    a thirtieth of the time of a stable one of floats.
    """

    ONE = 0x3F80_0000  # the bits of 1
    CLOSED = 1 << 62   # beyond every open question

    def __init__(self, slope: torch.Tensor, offset: torch.Tensor, mask: int):
        self._slope, self._offset, self._mask = slope, offset, mask

    @staticmethod
    def of(mixed: torch.Tensor, strata: torch.Tensor | None) -> Ranking | None:
        """mixed (N,) the questions in the order in which equals stand; strata (N,) int, falling in those that are odd.
        None where the numbers would not fit."""
        width = max(1, (len(mixed) - 1).bit_length())
        place = torch.empty_like(mixed).scatter_(0, mixed, torch.arange(len(mixed), device=mixed.device))
        strata = torch.zeros_like(mixed) if strata is None else strata.to(torch.int64)
        if int(strata.min()) < 0 or (2 * int(strata.max()) + 1) * Ranking.ONE << width >= Ranking.CLOSED:
            return None
        slope = (1 - 2 * (strata % 2)) << width
        return Ranking(slope, (2 * strata * Ranking.ONE << width) + place, (1 << width) - 1)

    def order(self, values: torch.Tensor, is_open: torch.Tensor) -> torch.Tensor:
        """(rows, N): of float32 values in [0, 1] and bool, the places in order, those of closed questions last."""
        key = values.contiguous().view(torch.int32).to(torch.int64).mul_(self._slope).add_(self._offset)
        key.add_(~is_open, alpha=self.CLOSED)
        if key.is_cuda:
            key = key.sort(dim=1).values
        else:
            key.numpy().sort(axis=1)
        return key.bitwise_and_(self._mask)


def inclusion(q: torch.Tensor, size: int) -> torch.Tensor:
    """π with Σπ = size: min(1, size·q), the excess of those at 1 shared out among the others in proportion to q.

    At least `size` entries of each row must be positive.
    """
    certain = torch.zeros_like(q, dtype=torch.bool)
    rest = q.clone()
    while True:
        left = size - certain.sum(1, keepdim=True)
        pi = rest * (left / rest.sum(1, keepdim=True).clamp_min(TINY))
        new = pi >= 1 - 1e-12
        if not new.any():
            return pi.masked_fill_(certain, 1.0)
        certain |= new
        rest.masked_fill_(new, 0.0)


def systematic(pi: torch.Tensor, order: torch.Tensor, uniform: torch.Tensor, size: int) -> torch.Tensor:
    """Draw exactly `size` questions a row, each with its probability π; (rows, size) questions, in the given order.

    order    (rows, N) permutations of the questions
    uniform  (rows,) in [0, 1)
    With C the cumulated π in that order, a question is asked when an integer lies in (C_before − U, C − U]. Questions
    with π = 1 are asked without being counted, which changes no probability and spares them the rounding.
    """
    ordered = pi.gather(1, order)
    certain = ordered >= 1
    left = size - certain.sum(1, keepdim=True)
    cumulated = ordered.masked_fill_(certain, 0.0).cumsum(1)
    # The last ones are made exact, whatever rounding has done.
    last = cumulated[:, -1:].clone()
    at_end = cumulated >= last * (1 - 1e-12)
    cumulated *= left / last.clamp_min(TINY)
    ticks = torch.where(at_end, left.to(pi.dtype), cumulated).sub_(uniform.unsqueeze(1)).floor_()
    certain[:, :1] |= ticks[:, :1] > torch.floor(-uniform).unsqueeze(1)
    certain[:, 1:] |= ticks[:, 1:] > ticks[:, :-1]
    return order[certain].view(len(pi), size)
