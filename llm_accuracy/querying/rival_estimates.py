"""What the rivals of `rivals` estimate, and how uncertain they are.

Every function takes scores (rows, N) of which it looks at the questions it asks, the budget T, uniform numbers
(rows, N) that choose them, and the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import NamedTuple

import numpy as np
import torch
from scipy import special

from ..parallel import even_slices, one_thread_each, side_by_side
from .estimates import Estimate
from .setting import ALPHA

COMPONENTS = 32  # of the history that a regression may use
PENALTIES = np.array([1, 3, 10, 30, 100, 300, 1000, 1e9])  # of a ridge, in variances of a component
NOTHING = 1e-12  # share of the largest component's variance: less is rounding
ROWS_AT_ONCE, CELLS_AT_ONCE = 64, 1 << 20  # of a regression: rows; rows × questions asked × components, for the caches


@dataclass
class History:
    """What rivals know beforehand: scores (M, N), NaN where unknown; mean (N,) of each question."""

    scores: np.ndarray
    mean: np.ndarray

    @cached_property
    def components(self) -> np.ndarray:
        """(N, ≤ COMPONENTS) leading principal components of the questions over the history's models, each question's
        mean taken out, scaled as the scores are."""
        # By the eigenvectors of the smaller of the two products: a twentieth of the time of a singular value
        # decomposition, whose other components nobody needs.
        centred = torch.as_tensor(np.nan_to_num(self.scores - self.mean))
        wide = centred.shape[0] <= centred.shape[1]
        values, vectors = torch.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
        keep = min(COMPONENTS, int((values > NOTHING * values[-1]).sum()))
        values, vectors = values.flip(0)[:keep], vectors.flip(1)[:, :keep]
        scaled = centred.T @ vectors if wide else vectors * values.sqrt()
        return scaled.numpy() / np.sqrt(len(centred))

    @property
    def unit(self) -> float:
        """Mean square of the components: what a ridge's penalty is measured in."""
        return float((self.components**2).mean()) if self.components.size else 1.0

    def order(self, shape: tuple[int, int]) -> np.ndarray:
        """(rows, N) the questions by their mean, for every row the same."""
        return np.broadcast_to(np.argsort(self.mean, kind="stable"), shape)


class Found(NamedTuple):
    """An estimate (rows,), and the questions it rests on, (rows, T)."""

    estimate: Estimate
    asked: np.ndarray


def _smallest(uniforms: np.ndarray, size: int) -> np.ndarray:
    """(rows, size) the places of each row's smallest numbers: a random sample without replacement."""
    if size == uniforms.shape[1]:
        return np.broadcast_to(np.arange(size), (len(uniforms), size))
    return np.argpartition(uniforms, size - 1, axis=1)[:, :size]


def _take(table: np.ndarray, questions: np.ndarray) -> np.ndarray:
    return np.take_along_axis(table, questions, 1).astype(np.float64)


def difference(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Unbiased; variance (1 − T/N) s²/T of the differences; T − 1 degrees of freedom."""
    asked = _smallest(uniforms, budget)
    y = _take(scores, asked) - history.mean[asked]
    n = scores.shape[1]
    se = np.sqrt((1 - budget / n) * y.var(1, ddof=1) / budget)
    return Found(Estimate(history.mean.mean() + y.mean(1), se, budget - 1), asked)


# --- strata --------------------------------------------------------------------------------------------

class _Strata(NamedTuple):
    """mean of y and its variance (rows,), asked (rows, T)."""

    mean: np.ndarray
    variance: np.ndarray
    asked: np.ndarray


def _alike(order: np.ndarray, budget: int) -> Iterator[tuple[np.ndarray, int]]:
    """An order (rows, n) of the questions cut into T/2 strata whose lengths differ by one at most, those together that
    are alike: (rows, strata, length), and how many questions each is asked. Three, where T is odd, of the last of the
    longest."""
    rows, n = order.shape
    count = max(1, budget // 2)
    longer = n % count
    edge, last = longer * (n // count + 1), budget - 2 * (count - 1)
    for part, strata, has_last in ((order[:, :edge], longer, True), (order[:, edge:], count - longer, not longer)):
        within = part.reshape(rows, strata, -1) if strata else part[:, None][:, :0]
        cut = strata - 1 if has_last else strata
        for some, size in ((within[:, :cut], 2), (within[:, cut:], last)):
            if some.shape[1]:
                yield some, size


def _stratified(y: np.ndarray, order: np.ndarray, budget: int, uniforms: np.ndarray,
                fresh: np.ndarray | None = None) -> _Strata:
    """Two random questions of each of T/2 strata, three of the largest where T is odd.

    y (rows, N), looked at where asked; order (rows, n) of the questions there are, by which the strata are cut.
    fresh  (rows, N), filled with uniform numbers of the questions that were not asked, independent of which ones were
    """
    means, variances, asked = [], [], []
    for strata, size in _alike(order, budget):
        rows, count, length = strata.shape
        flat = strata.reshape(rows, -1)
        draws = np.take_along_axis(uniforms, flat, 1).reshape(strata.shape)
        smallest = np.argpartition(draws, size - 1, axis=2)[..., :size] if size < length else np.broadcast_to(
            np.arange(size), (rows, count, size))
        chosen = np.take_along_axis(strata, smallest, 2)
        of = _take(y, chosen.reshape(rows, -1)).reshape(chosen.shape)
        share = length / order.shape[1]
        means.append(share * of.mean(2))
        variances.append(share**2 * (1 - size / length) * of.var(2, ddof=1) / size)
        asked.append(chosen.reshape(rows, -1))
        if fresh is not None:  # above the largest number that was chosen the others are uniform, whatever it is
            top = np.take_along_axis(draws, smallest, 2).max(2, keepdims=True)
            np.put_along_axis(fresh, flat, ((draws - top) / (1 - top)).reshape(rows, -1), 1)
    # Added up one after another, so that the sums do not depend on how many strata are looked at together.
    mean, variance = (np.concatenate(parts, 1).cumsum(1)[:, -1] for parts in (means, variances))
    return _Strata(mean, variance, np.concatenate(asked, 1))


def _freedom(budget: int) -> int:
    return max(budget - max(1, budget // 2), 1)


def stratified(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Unbiased; variance Σ (N_h/N)² (1 − n_h/N_h) s_h²/n_h, unbiased; degrees of freedom T − strata. Equal history
    means are put in the order of the questions."""
    found = _stratified(scores, history.order(scores.shape), budget, uniforms)
    return Found(Estimate(found.mean, np.sqrt(found.variance), _freedom(budget)), found.asked)


# --- regression on the history -------------------------------------------------------------------------

class _Ridge(NamedTuple):
    """coefficient (rows, C), centre (rows, C), level (rows,) and left_out (rows, T), the errors each answer would have
    had, had it not been seen."""

    coefficient: np.ndarray
    centre: np.ndarray
    level: np.ndarray
    left_out: np.ndarray

    def predict(self, components: np.ndarray) -> np.ndarray:
        """(rows, N) what is to be added to the history's means."""
        offset = self.level - (self.coefficient * self.centre).sum(1)
        return self.coefficient @ components.T + offset[:, None]


def _ridge(y: np.ndarray, x: np.ndarray, unit: float) -> _Ridge:
    """y (rows, T) on x (rows, T, C) with an intercept; of PENALTIES·unit the one with the least left-out error."""
    known, of = torch.as_tensor(y), torch.as_tensor(x)
    centre, level = of.mean(1, keepdim=True), known.mean(1, keepdim=True)
    centred, of = (known - level)[:, :, None], of - centre
    values, vectors = torch.linalg.eigh(of.mT @ of)
    turned = of @ vectors
    shrunk = 1 / (values.clamp_min(0)[:, :, None] + torch.as_tensor(PENALTIES * unit))  # (rows, C, penalties)
    shrunken = (turned.mT @ centred) * shrunk
    leverage = 1 / y.shape[1] + turned**2 @ shrunk
    errors = (centred - turned @ shrunken) / (1 - leverage).clamp_min(1e-3)
    best = (errors**2).mean(1).argmin(1)[:, None, None]
    coefficient = vectors @ shrunken.take_along_dim(best, 2)
    return _Ridge(*(found.numpy() for found in (coefficient[:, :, 0], centre[:, 0], level[:, 0],
                                                errors.take_along_dim(best, 2)[:, :, 0])))


Estimating = Callable[[np.ndarray, int, np.ndarray, History], Found]


def _by_rows(run: Estimating) -> Estimating:
    """The same, a part of the rows on each core: regressions are small, and cores that shared one out would wait for
    one another. Parts do not depend on the number of cores, since last digits depend on the parts."""

    @wraps(run)
    def in_parts(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
        with one_thread_each("cpu"):
            components = history.components  # computed once, before the parts ask for them
        at_once = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // max(1, budget * components.shape[1])))
        slices = even_slices(len(scores), -(-len(scores) // at_once))
        parts = list(side_by_side(lambda rows: run(scores[rows], budget, uniforms[rows], history), slices, "cpu"))
        theta, se = (np.concatenate([getattr(part.estimate, name) for part in parts]) for name in ("theta", "se"))
        return Found(Estimate(theta, se, parts[0].estimate.df), np.concatenate([part.asked for part in parts]))

    return in_parts


@_by_rows
def greg(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Generalised regression: nearly unbiased (of order 1/T). Variance from the left-out errors, which allow for the
    fit; T − 1 degrees of freedom."""
    asked, n, components = _smallest(uniforms, budget), scores.shape[1], history.components
    y = _take(scores, asked) - history.mean[asked]
    fit = _ridge(y, components[asked], history.unit)
    # The mean of the differences is 0 by the intercept.
    theta = history.mean.mean() + fit.level + ((components.mean(0) - fit.centre) * fit.coefficient).sum(1)
    variance = (1 - budget / n) * (fit.left_out**2).sum(1) / (budget * (budget - 1))
    return Found(Estimate(theta, np.sqrt(variance), budget - 1), asked)


@_by_rows
def two_batch(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Half of the questions stratified by the history's mean; they teach a regression, by which the other half is
    stratified and corrected.

    Each half's estimate is unbiased given all before it, so they are uncorrelated, and weights fixed in advance leave
    their sum unbiased; variance as of strata.
    """
    rows, n = scores.shape
    half, fresh = budget // 2, np.empty((rows, n))
    first = _stratified(scores - history.mean, history.order(scores.shape), half, uniforms, fresh)
    answers = _take(scores, first.asked)
    fit = _ridge(answers - history.mean[first.asked], history.components[first.asked], history.unit)
    f = np.clip(history.mean + fit.predict(history.components), 0, 1)
    is_open = np.ones((rows, n), bool)
    np.put_along_axis(is_open, first.asked, False, 1)
    # Rounded, so that another machine's last digits do not draw other questions.
    order = np.argsort(np.where(is_open, f.round(9), np.inf), axis=1, kind="stable")[:, : n - half]
    second = _stratified(scores - f, order, budget - half, fresh)
    left = (n - half) / n
    given = (answers.sum(1) + np.where(is_open, f, 0).sum(1)) / n
    weight = later_weight(budget, n)
    theta = (1 - weight) * (history.mean.mean() + first.mean) + weight * (given + left * second.mean)
    se = np.sqrt((1 - weight) ** 2 * first.variance + (weight * left) ** 2 * second.variance)
    return Found(Estimate(theta, se, _freedom(half) + _freedom(budget - half)),
                 np.concatenate([first.asked, second.asked], 1))


def later_weight(budget: int, n: int) -> float:
    """Of the second half: each in proportion to the reciprocal variance that equally uncertain questions would give its
    sum, B/(n (n − B)) with B of n asked; 1 where nothing is left open."""
    half = budget // 2
    if budget == n:
        return 1.0
    sizes, n_open = np.array([half, budget - half]), np.array([n, n - half])
    weights = sizes / (n_open * (n_open - sizes))
    return float(weights[1] / weights.sum())


def ppi(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Prediction-powered inference, by ppi_py as it stands: the labels are the answers to T random questions, the
    predictions the history's means, the unlabelled data the N − T other questions; the package tunes λ.

    Its interval is for a population of which all N questions are a sample, so it knows no 1 − T/N; its quantile is the
    normal one. λ makes a bias of order 1/T. Of a question that is the only one left nothing can vary: λ is 0 then.
    """
    from ppi_py import ppi_mean_ci

    rows, n = scores.shape
    asked = _smallest(uniforms, budget)
    y, f = _take(scores, asked), history.mean[asked]
    if budget == n:
        return Found(Estimate(y.mean(1), np.zeros(rows), np.inf), asked)
    others = np.ones((rows, n), bool)
    np.put_along_axis(others, asked, False, 1)
    ends = np.array([np.ravel(ppi_mean_ci(y[row], f[row], history.mean[others[row]], alpha=ALPHA,
                                          lam=0 if budget == n - 1 or not np.ptp(f[row]) else None))
                     for row in range(rows)])
    return Found(Estimate(ends.mean(1), (ends[:, 1] - ends[:, 0]) / (2 * special.ndtri(1 - ALPHA / 2)), np.inf), asked)
