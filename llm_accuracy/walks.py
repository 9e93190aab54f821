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


class _Sums:
    """Running sums of θ̂ and its variance for several predictions at once."""

    def __init__(self, n_predictions: int, n_rows: tuple[int, int]):
        self.theta = np.zeros((n_predictions, *n_rows))
        self.variance = np.zeros((n_predictions, *n_rows))
        self.labels = np.zeros(n_rows)

    def add(self, coin: np.ndarray, pi: np.ndarray, z: np.ndarray, predictions: Sequence) -> None:
        weight = coin / pi
        spread = weight * (1 - pi) / pi
        for i, f in enumerate(predictions):
            residual = z - f
            self.theta[i] += f + weight * residual
            self.variance[i] += spread * residual**2
        self.labels += coin

    def result(self, n_questions: int, pi: np.ndarray | None) -> WalkResult:
        return WalkResult(self.theta / n_questions, np.sqrt(self.variance) / n_questions, self.labels, pi)


def walk(scores: np.ndarray, history_mean: np.ndarray, walks: Sequence[Walk], uniforms: np.ndarray | None = None,
         coins: np.ndarray | None = None, record: bool = False) -> WalkResult:
    """Walk the bank with every policy, τ and budget at once.

    scores (models, N); history_mean (N,) p̂; uniforms (models, N) in [0, 1), shared by the walks of a model;
    or coins (models, walks, N) 0/1 of finished walks, to replay them.
    """
    n_models, n = scores.shape
    weights = np.stack([WALKING[w.policy](history_mean) for w in walks], axis=1)  # (N, walks)
    budgets = np.array([w.budget for w in walks], dtype=float)
    wanted = budgets * weights / np.maximum(weights.sum(0), np.finfo(float).tiny)  # η u_t
    exempt = np.array([w.exempt for w in walks])
    # An exempt walk asks with n_b/N, which is η u_t for u = 1: no count holds it back, no share is mixed in.
    taus = np.where(exempt, 0.0, [w.tau for w in walks])
    sums = _Sums(2, (n_models, len(walks)))
    pis = np.empty((n_models, len(walks), n)) if record else None
    for t in range(n):
        left = np.where(exempt, np.inf, (t + 1) * budgets / n - sums.labels)
        pi = (1 - taus) * np.clip(np.minimum(wanted[t], left), 0, 1) + taus * budgets / n
        coin = uniforms[:, t, None] < pi if coins is None else coins[:, :, t]
        sums.add(coin, np.maximum(pi, np.finfo(float).tiny), scores[:, t, None], (0.0, history_mean[t]))
        if record:
            pis[:, :, t] = pi
    return sums.result(n, pis)


def factor_walk(scores: np.ndarray, bank: Bank, prior: Prior, walks: Sequence[Walk],
                uniforms: np.ndarray | None = None, coins: np.ndarray | None = None,
                record: bool = False) -> WalkResult:
    """Active inference with the factor model: u_t = 2 min(p_t, 1−p_t) from the online beliefs, η_t = n_b / Σ_j u_j
    over all N questions at the current beliefs, f_t = p_t, and an update whenever a question is asked.

    Arguments as for `walk`; rows of the beliefs are models × walks. Costs N steps whatever the budget, but only
    the rows that asked are updated.
    """
    n_models, n = scores.shape
    shape = (n_models, len(walks))
    beliefs = Beliefs(bank, prior, n_models * len(walks))
    budgets, taus = (np.array([getattr(w, name) for w in walks], dtype=float) for name in ("budget", "tau"))
    uncertain = _uncertainty(beliefs.logits)
    sums = _Sums(1, shape)
    pis = np.empty((*shape, n)) if record else None
    for t in range(n):
        p = torch.sigmoid(beliefs.logits[:, t].to(torch.float64)).clamp(P_FLOOR, 1 - P_FLOOR)
        p_t = p.cpu().numpy().reshape(shape)
        wanted = budgets * 2 * np.minimum(p_t, 1 - p_t) / uncertain.cpu().numpy().reshape(shape)
        pi = np.clip(np.minimum(wanted, (t + 1) * budgets / n - sums.labels), 0, 1)
        pi = (1 - taus) * pi + taus * budgets / n
        coin = (uniforms[:, t, None] < pi) if coins is None else coins[:, :, t].astype(bool)
        sums.add(coin, pi, scores[:, t, None], (p_t,))
        if record:
            pis[:, :, t] = pi
        if coin.any():
            rows = torch.as_tensor(np.flatnonzero(coin), device=bank.V.device)
            z = torch.as_tensor(np.repeat(scores[:, t], len(walks)), device=bank.V.device)[rows]
            beliefs.update_some(rows, t, z.to(bank.V.dtype), p[rows].to(bank.V.dtype))
            uncertain[rows] = _uncertainty(beliefs.logits[rows])
    return sums.result(n, pis)


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
