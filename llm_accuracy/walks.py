"""The baselines: walk the bank once and toss a coin for every question (active inference, Zrnic & Candès).

At question t = 1 … N a walk with weight u_t and budget n_b asks with probability

    π_t = clip(min(η u_t, t n_b/N − asked before t), 0, 1),  η = n_b / Σ u,   π_t^τ = (1−τ) π_t + τ n_b/N

(the uniform policy asks with n_b/N, come what may) and estimates, with a prediction f_t,

    θ̂ = (1/N) Σ [f_t + ξ_t (z_t − f_t)/π_t^τ],   SE² = (1/N²) Σ ξ_t (1 − π_t^τ)/(π_t^τ)² (z_t − f_t)².

The coins do not depend on f, so each walk yields both f = 0 (Horvitz–Thompson) and f = p̂ (the history's mean).
The number of questions asked is random; mixed walks can exceed the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .estimates import Estimate
from .factors import Prior
from .policies import WALKING
from .querying import Bank, Beliefs
from .scoring import P_FLOOR


@dataclass(frozen=True)
class Walk:
    """One policy at one budget; tau is the uniform share of every coin (no meaning for "unif")."""

    policy: str
    budget: int
    tau: float = 0.0

    @property
    def exempt(self) -> bool:
        """Whether the coins ignore how many questions have been asked so far."""
        return self.policy == "unif"


@dataclass
class WalkResult:
    """theta, se (predictions, models, walks) for f = 0, then f = p̂ (or the one prediction of a factor walk);
    labels (models, walks) questions asked; pi (models, walks, N) only if recorded."""

    theta: np.ndarray
    se: np.ndarray
    labels: np.ndarray
    pi: np.ndarray | None = None


COLUMNS_AT_ONCE = 64  # questions whose columns are laid out for a walk at a time


def _columns(table: np.ndarray, start: int) -> np.ndarray:
    """(models, N) → the next questions' columns, (COLUMNS_AT_ONCE or fewer, models)."""
    return np.ascontiguousarray(table[:, start : start + COLUMNS_AT_ONCE].T)


class _Sums:
    """θ̂ and its variance, summed over the questions that were asked: a quarter of them at the most.

    Rows are walks × models, flat.
    """

    def __init__(self, scores: np.ndarray, n_walks: int, n_predictions: int):
        n_models, self.n_questions = scores.shape
        self.scores, self.columns, self.block = scores, np.empty((0, 0)), -1
        self.model = np.tile(np.arange(n_models), n_walks)
        self.shape = (n_walks, n_models)
        self.theta, self.variance = np.zeros((2, n_predictions, n_walks * n_models))
        self.labels = np.zeros(n_walks * n_models)

    def add(self, t: int, rows: np.ndarray, pi: np.ndarray, predictions: tuple) -> None:
        """Question t was asked in `rows` (distinct) with probabilities `pi`; predictions are numbers or arrays
        over `rows`."""
        if t // COLUMNS_AT_ONCE != self.block:
            self.block = t // COLUMNS_AT_ONCE
            self.columns = _columns(self.scores, self.block * COLUMNS_AT_ONCE).astype(np.float64)
        z = self.columns[t % COLUMNS_AT_ONCE].take(self.model.take(rows))
        spared = 1 - pi
        for k, f in enumerate(predictions):
            weighted = (z - f) / pi
            self.theta[k][rows] += weighted
            weighted *= weighted
            weighted *= spared
            self.variance[k][rows] += weighted
        self.labels[rows] += 1

    def result(self, prediction_sums: Sequence, pi: np.ndarray | None) -> WalkResult:
        """prediction_sums: Σ_t f_t of each prediction, a number or an array over the rows."""
        n = self.n_questions
        theta = [((sums + one) / n).reshape(self.shape).T
                 for sums, one in zip(prediction_sums, self.theta, strict=True)]
        se = [(np.sqrt(one) / n).reshape(self.shape).T for one in self.variance]
        return WalkResult(np.stack(theta), np.stack(se), self.labels.reshape(self.shape).T, pi)


def walk(scores: np.ndarray, history_mean: np.ndarray, walks: Sequence[Walk], uniforms: np.ndarray | None = None,
         coins: np.ndarray | None = None, record: bool = False) -> WalkResult:
    """Walk the bank with every policy, τ and budget at once.

    scores (models, N); history_mean (N,) p̂; uniforms (models, N) in [0, 1), shared by the walks of a model;
    or coins (models, walks, N) 0/1 of finished walks, to replay them.
    """
    n_models, n = scores.shape
    shape = (len(walks), n_models)  # inner loops run over the models
    weights = np.stack([WALKING[w.policy](history_mean) for w in walks], axis=1)  # (N, walks)
    budgets = np.array([w.budget for w in walks], dtype=float)
    exempt = np.array([w.exempt for w in walks])
    # An exempt walk asks with n_b/N, which is η u_t for u = 1: no count holds it back, no share is mixed in.
    taus = np.where(exempt, 0.0, [w.tau for w in walks])
    kept, floor = 1 - taus, taus * budgets / n
    # Everything is kept as π^τ = (1−τ) π + τ n_b/N, so that a step need not mix: η u_t, and what the count leaves.
    wanted = floor + kept * np.minimum(budgets * weights / np.maximum(weights.sum(0), np.finfo(float).tiny), 1)
    allowance = kept * np.where(exempt, np.inf, budgets / n)
    wanted, floor, allowance = wanted[..., None], floor[:, None], allowance[:, None]
    left, pi, coin = np.broadcast_to(floor, shape).copy(), np.empty(shape), np.empty(shape, bool)
    cost = np.repeat(kept, n_models)
    sums = _Sums(scores, len(walks), 2)
    pis = np.empty((n, *shape)) if record else None
    for t in range(n):
        left += allowance
        np.minimum(left, wanted[t], out=pi)
        np.maximum(pi, floor, out=pi)
        if coins is None:
            if t % COLUMNS_AT_ONCE == 0:
                columns = _columns(uniforms, t)
            np.less(columns[t % COLUMNS_AT_ONCE], pi, out=coin)
        else:
            coin[...] = coins[:, :, t].T
        rows = np.flatnonzero(coin)
        left.reshape(-1)[rows] -= cost.take(rows)
        sums.add(t, rows, pi.reshape(-1).take(rows), (0.0, history_mean[t]))
        if record:
            pis[t] = pi
    return sums.result((0.0, history_mean.sum()), None if pis is None else pis.transpose(2, 1, 0))


def factor_walk(scores: np.ndarray, bank: Bank, prior: Prior, walks: Sequence[Walk],
                uniforms: np.ndarray | None = None, coins: np.ndarray | None = None,
                record: bool = False, steps: int | None = None) -> WalkResult:
    """Active inference with the factor model: u_t = 2 min(p_t, 1−p_t) from the online beliefs, η_t = n_b / Σ_j u_j
    over all N questions at the current beliefs, f_t = p_t, and an update whenever a question is asked.

    Arguments as for `walk`; rows of the beliefs are models × walks. Costs N steps whatever the budget, but only
    the rows that asked are updated. `steps` stops the walk early, for timing.
    """
    n_models, n = scores.shape
    shape = (len(walks), n_models)
    beliefs = Beliefs(bank, prior, n_models * len(walks))
    budgets, taus = (np.array([[getattr(w, name)] for w in walks], dtype=float) for name in ("budget", "tau"))
    uncertain = _uncertainty(beliefs.logits).cpu().numpy()  # (rows,) Σ_j u_j
    answers = torch.as_tensor(scores, device=bank.V.device)
    sums, labels, predicted = _Sums(scores, len(walks), 1), np.zeros(shape), np.zeros(n_models * len(walks))
    pis = np.empty((n, *shape)) if record else None
    for t in range(steps or n):
        p = torch.sigmoid(beliefs.logits[:, t].to(torch.float64)).clamp(P_FLOOR, 1 - P_FLOOR)
        p_t = p.cpu().numpy()
        wanted = budgets * (2 * np.minimum(p_t, 1 - p_t) / uncertain).reshape(shape)
        pi = np.clip(np.minimum(wanted, (t + 1) * budgets / n - labels), 0, 1)
        pi = (1 - taus) * pi + taus * budgets / n
        coin = (uniforms[:, t] < pi) if coins is None else coins[:, :, t].T.astype(bool)
        labels += coin
        predicted += p_t
        if record:
            pis[t] = pi
        rows = np.flatnonzero(coin)
        if len(rows):
            sums.add(t, rows, pi.reshape(-1).take(rows), (p_t[rows],))
            at = torch.as_tensor(rows, device=bank.V.device)
            z = answers[at % n_models, t].to(bank.V.dtype)
            uncertain[rows] = _uncertainty(beliefs.update_some(at, t, z, p[at].to(bank.V.dtype))).cpu().numpy()
    return sums.result((predicted,), None if pis is None else pis.transpose(2, 1, 0))


def _uncertainty(logits: torch.Tensor) -> torch.Tensor:
    """Σ_j 2 min(p_j, 1−p_j) = Σ_j 2 σ(−|x_j|), (rows,) float64; the padding's −∞ adds nothing."""
    return torch.sigmoid(-logits.abs()).sum(1, dtype=torch.float64).mul_(2).clamp_min(P_FLOOR)


def simple_random_sampling(scores: np.ndarray, uniforms: np.ndarray, budget: int) -> Estimate:
    """T questions without replacement and the mean of their answers: SE² = (1 − T/N) s²/T, t quantile.

    scores, uniforms (models, N): a model's questions are those with its T smallest numbers.
    """
    n = scores.shape[1]
    chosen = np.argpartition(uniforms, budget - 1, axis=1)[:, :budget]
    answers = np.take_along_axis(scores, chosen, 1).astype(np.float64)
    if budget == 1:
        return Estimate(answers[:, 0], np.full(len(answers), 0.0 if n == 1 else np.inf), np.inf)
    se = answers.std(1, ddof=1) * np.sqrt((1 - budget / n) / budget)
    return Estimate(answers.mean(1), se, budget - 1)
