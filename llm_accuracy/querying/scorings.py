"""What policies draw from: scores of all questions, made of what is believed about many models; and what oracles know.

Scores are (rows, N) ≥ 0, on any positive scale per row. The engine sets those of questions that may not be asked again
to zero.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch

from .beliefs import Bank, Beliefs
from .factors import Prior
from .mixture import best_factors
from .passes import learning_scores


class Moment(NamedTuple):
    """Where a schedule stands: α_s and β_s (rows, 1) of the coming step, and whether some α_s may be positive."""

    alpha: torch.Tensor
    beta: torch.Tensor
    exploring: bool


class Truths(Protocol):
    """A board that may know the probabilities with which its models answer."""

    def truth(self, new) -> np.ndarray:
        """(models, N) logits. Raises InputError where nobody knows them."""


class Evaluated(Protocol):
    """New models with all their answers, on which an oracle is evaluated: their scores (models, N), the models, the
    board they come from, and the history's factors."""

    new: object
    dataset: Truths
    scores: np.ndarray
    bank: Bank
    prior: Prior


def faq(beliefs: Beliefs, moment: Moment) -> torch.Tensor:
    """h = ((1−α_s) h_o + α_s h_a)^β_s, h_o ∝ √w, h_a ∝ w (vᵀΣg)² / (1 + w vᵀΣv), g = (1/N) Σ_k w_k v_k.

    h_o is the variance-minimising choice of an oracle with the same p; h_a asks for the question whose answer
    shrinks the posterior variance of the mean the most (arXiv 2601.20251). The engine knows these scores and sums
    them without storing them; this is the same thing, stored.
    """
    if not moment.exploring:
        return beliefs.root_w**moment.beta
    h_o = beliefs.root_w
    h_a = learning_scores(beliefs.logits, beliefs.toward_mean(), beliefs.variance)
    tiny = torch.finfo(h_o.dtype).tiny
    total = h_a.sum(1, keepdim=True)
    alpha = torch.where(total > 0, moment.alpha, 0.0)
    return ((1 - alpha) * h_o / h_o.sum(1, keepdim=True) + alpha * h_a / total.clamp_min(tiny)) ** moment.beta


def uniform(beliefs: Beliefs, moment: Moment) -> torch.Tensor:
    """Every question alike: what prediction gives without choosing."""
    return torch.ones_like(beliefs.logits)


def true_logits(board: Evaluated) -> np.ndarray:
    return board.dataset.truth(board.new)


def logits_of_best_factors(board: Evaluated) -> np.ndarray:
    V = board.bank.V[: board.bank.n_questions]
    return (best_factors(V, board.prior, torch.as_tensor(board.scores, device=V.device)) @ V.T).cpu().numpy()
