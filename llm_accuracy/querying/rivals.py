"""Strong rivals from survey sampling: what a history buys without choosing questions.

All of them draw without replacement, with probabilities that no answer changes, and have intervals of their own. A
record registered in RIVALS is known to baselines_all.py, to the logs, the tables and the figures.

With N questions, T asked, scores z, and m_j what the history makes of question j:

    stratified   T/2 strata of equal size by m, two questions of each:   θ̂ = Σ (N_h/N) z̄_h
    difference   T random questions:                                     θ̂ = m̄ + mean of (z − m)
    greg         T random questions teach a ridge regression f of z on the history's leading components:
                                                                         θ̂ = mean of f over the bank + mean of (z − f)
    two-batch    the first half of T stratified, teaching f; then the other half stratified by f, with the differences
                 to f; the two estimates weighed by their sizes

Sources: Cochran, Sampling Techniques (1977), chapters 5 and 7; Särndal, Swensson & Wretman, Model Assisted Survey
Sampling (1992), chapter 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from .estimates import Estimate

COMPONENTS = 32  # of the history that a regression may use
PENALTIES = np.array([1, 3, 10, 30, 100, 300, 1000, 1e9])  # of a ridge, in variances of a component
ROWS_AT_ONCE = 256


@dataclass
class History:
    """What rivals know beforehand: scores (M, N), NaN where unknown; mean (N,) of each question."""

    scores: np.ndarray
    mean: np.ndarray

    @cached_property
    def components(self) -> np.ndarray:
        """(N, ≤ COMPONENTS) leading principal components of the questions over the history's models, each question's
        mean taken out, scaled as the scores are."""
        centred = np.nan_to_num(self.scores - self.mean)
        _, size, directions = np.linalg.svd(centred, full_matrices=False)
        keep = min(COMPONENTS, int((size > 1e-9).sum()))
        return directions[:keep].T * size[:keep] / np.sqrt(len(centred))


class Found(NamedTuple):
    """An estimate (rows,), and the questions it rests on, (rows, T)."""

    estimate: Estimate
    asked: np.ndarray


# (scores (rows, N), T, uniforms (rows, N) in [0, 1), History) → Found
Estimating = Callable[[np.ndarray, int, np.ndarray, History], Found]


@dataclass(frozen=True)
class Rival:
    """name in logs and on the command line, label in tables and figures, least the fewest questions it can judge."""

    name: str
    label: str
    run: Estimating
    least: int = 2


RIVALS: dict[str, Rival] = {}


def register(rival: Rival) -> Rival:
    """Make a rival known everywhere. Raises InputError if one of that name is known already."""
    if rival.name in RIVALS:
        raise InputError(f"rival {rival.name!r} is registered already")
    RIVALS[rival.name] = rival
    return rival


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

def _strata(order: np.ndarray, budget: int) -> list[np.ndarray]:
    """T/2 slices of nearly equal length of an order (rows, N) of the questions."""
    return np.array_split(order, max(1, budget // 2), axis=1)


def _stratified(y: np.ndarray, order: np.ndarray, budget: int,
                uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean of y, its variance, asked): two questions of each stratum, three of the largest where T is odd.

    y (rows, n) known at the asked questions only, order (rows, n) by which the strata are cut.
    """
    strata, n = _strata(order, budget), order.shape[1]
    largest = max(range(len(strata)), key=lambda h: (strata[h].shape[1], h))
    mean, variance, asked = np.zeros(len(y)), np.zeros(len(y)), []
    for h, stratum in enumerate(strata):
        size, share = (budget - 2 * (len(strata) - 1) if h == largest else 2), stratum.shape[1] / n
        chosen = np.take_along_axis(stratum, _smallest(np.take_along_axis(uniforms, stratum, 1), size), 1)
        of = _take(y, chosen)
        mean += share * of.mean(1)
        if size > 1:
            variance += share**2 * (1 - size / stratum.shape[1]) * of.var(1, ddof=1) / size
        asked.append(chosen)
    return mean, variance, np.concatenate(asked, 1)


def _freedom(budget: int) -> int:
    return max(budget - max(1, budget // 2), 1)


def stratified(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Unbiased; variance Σ (N_h/N)² (1 − n_h/N_h) s_h²/n_h, unbiased; degrees of freedom T − strata. Equal history
    means are put in the order of the questions."""
    order = np.broadcast_to(np.argsort(history.mean, kind="stable"), scores.shape)
    mean, variance, asked = _stratified(scores, order, budget, uniforms)
    return Found(Estimate(mean, np.sqrt(variance), _freedom(budget)), asked)


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
    x_mean, y_mean = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
    centred = y - y_mean
    values, vectors = np.linalg.eigh((x - x_mean).transpose(0, 2, 1) @ (x - x_mean))
    turned = (x - x_mean) @ vectors
    target = (centred[:, None] @ turned)[:, 0]
    least = np.full(len(y), np.inf)
    coefficient, left_out = np.zeros_like(target), np.zeros_like(y)
    for penalty in PENALTIES * unit:
        shrunk = 1 / (np.maximum(values, 0) + penalty)
        fitted = (turned @ (target * shrunk)[:, :, None])[:, :, 0]
        leverage = 1 / y.shape[1] + (turned**2 @ shrunk[:, :, None])[:, :, 0]
        errors = (centred - fitted) / np.maximum(1 - leverage, 1e-3)
        better = (errors**2).mean(1) < least
        least = np.where(better, (errors**2).mean(1), least)
        coefficient[better] = (vectors @ (target * shrunk)[:, :, None])[better, :, 0]
        left_out[better] = errors[better]
    return _Ridge(coefficient, x_mean[:, 0], y_mean[:, 0], left_out)


def _by_rows(run: Estimating) -> Estimating:
    """The same, so many rows at a time as memory holds their regressions."""

    def in_parts(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
        parts = [run(scores[start : start + ROWS_AT_ONCE], budget, uniforms[start : start + ROWS_AT_ONCE], history)
                 for start in range(0, len(scores), ROWS_AT_ONCE)]
        theta, se = (np.concatenate([getattr(part.estimate, name) for part in parts]) for name in ("theta", "se"))
        return Found(Estimate(theta, se, parts[0].estimate.df), np.concatenate([part.asked for part in parts]))

    return in_parts


def greg(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Generalised regression: nearly unbiased (of order 1/T). Variance from the left-out errors, which allow for the
    fit; T − 1 degrees of freedom."""
    asked, n, components = _smallest(uniforms, budget), scores.shape[1], history.components
    y = _take(scores, asked) - history.mean[asked]
    fit = _ridge(y, components[asked], float((components**2).mean()))
    # The mean of the differences is 0 by the intercept.
    theta = history.mean.mean() + fit.level + ((components.mean(0) - fit.centre) * fit.coefficient).sum(1)
    variance = (1 - budget / n) * (fit.left_out**2).sum(1) / (budget * (budget - 1))
    return Found(Estimate(theta, np.sqrt(variance), budget - 1), asked)


def two_batch(scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
    """Half of the questions stratified by the history's mean; they teach a regression, by which the other half is
    stratified and corrected. Both halves are unbiased given what came before; weights T₁ and T₂, fixed in advance."""
    rows, n = scores.shape
    half = budget // 2
    order = np.broadcast_to(np.argsort(history.mean, kind="stable"), scores.shape)
    first, first_variance, asked = _stratified(scores - history.mean, order, half, uniforms)
    known = _take(scores, asked)
    fit = _ridge(known - history.mean[asked], history.components[asked], float((history.components**2).mean()))
    f = np.clip(history.mean + fit.predict(history.components), 0, 1)
    is_open = np.ones((rows, n), bool)
    np.put_along_axis(is_open, asked, False, 1)
    rest = np.argsort(np.where(is_open, f, np.inf), axis=1, kind="stable")[:, : n - half]
    mean, variance, later = _stratified(scores - f, rest, budget - half, uniforms)
    left = (n - half) / n
    second = known.sum(1) / n + np.where(is_open, f, 0).sum(1) / n + left * mean
    share = (budget - half) / budget
    theta = (1 - share) * (history.mean.mean() + first) + share * second
    se = np.sqrt((1 - share) ** 2 * first_variance + (share * left) ** 2 * variance)
    return Found(Estimate(theta, se, _freedom(half) + _freedom(budget - half)), np.concatenate([asked, later], 1))


register(Rival("stratified", "stratified on the history", stratified))
register(Rival("difference", "difference to the history", difference))
register(Rival("greg", "regression on the history", _by_rows(greg), least=3))
register(Rival("two-batch", "two batches, stratified", _by_rows(two_batch), least=6))
