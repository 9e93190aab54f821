"""Which question to ask next: one registered function per policy.

A *drawing policy* maps the current beliefs about many models to non-negative scores over the questions;
`querying` mixes them with a uniform share τ and draws. A *walking policy* gives every question of a walk over
the bank a weight; `walks` turns it into coin probabilities. A function registered here is known to
faq_final.py (--policies) or baselines_all.py (--policies), to their logs, and so to tables and figures:

    @drawing("confident")
    def confident(beliefs):
        return (2 * beliefs.p - 1).abs()

Scores of questions that may not be asked again are set to zero by the engine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .passes import learning_scores

DRAWING: dict[str, Callable] = {}
WALKING: dict[str, Callable] = {}


def drawing(name: str) -> Callable:
    """Register a drawing policy: `Beliefs` → scores (rows, questions), any positive scale per row."""

    def register(policy: Callable) -> Callable:
        DRAWING[name] = policy
        return policy

    return register


def walking(name: str) -> Callable:
    """Register a walking policy: the history's mean score of each question (N,) → weights u (N,) ≥ 0."""

    def register(policy: Callable) -> Callable:
        WALKING[name] = policy
        return policy

    return register


# --- drawing -------------------------------------------------------------------------------------------

@drawing("faq")
def faq(beliefs) -> torch.Tensor:
    """h = ((1−α_s) h_o + α_s h_a)^β_s, h_o ∝ √w, h_a ∝ w (vᵀΣg)² / (1 + w vᵀΣv), g = (1/N) Σ_k w_k v_k.

    h_o is the variance-minimising choice of an oracle with the same p; h_a asks for the question whose answer
    shrinks the posterior variance of the mean the most (arXiv 2601.20251). The engine knows these scores and sums
    them without storing them; this is the same thing, stored.
    """
    if not beliefs.exploring:
        return beliefs.root_w**beliefs.beta
    h_o = beliefs.root_w
    h_a = learning_scores(beliefs.logits, beliefs.toward_mean(), beliefs.variance)
    tiny = torch.finfo(h_o.dtype).tiny
    total = h_a.sum(1, keepdim=True)
    alpha = torch.where(total > 0, beliefs.alpha, 0.0)
    return ((1 - alpha) * h_o / h_o.sum(1, keepdim=True) + alpha * h_a / total.clamp_min(tiny)) ** beliefs.beta


drawing("faq-mix")(faq)  # the same scores of other beliefs: mixture.py's, solved for anew as answers come in
MIXTURE = ("faq-mix",)

# The same scores of what nobody knows: the probabilities with which a simulated board answers, or the factors that fit
# all answers of each new model best. References for the figures: what is left to gain, and by what.
drawing("oracle")(faq)
drawing("oracle-factors")(faq)
ORACLES = ("oracle", "oracle-factors")


@drawing("uniform+factors")
def uniform(beliefs) -> torch.Tensor:
    """Every question alike: what prediction gives without choosing."""
    return torch.ones_like(beliefs.logits)


# --- walking -------------------------------------------------------------------------------------------

@walking("unif")
def walk_uniform(history_mean: np.ndarray) -> np.ndarray:
    return np.ones_like(history_mean)


@walking("sqrt")
def walk_sqrt(history_mean: np.ndarray) -> np.ndarray:
    """u = √(p̂(1−p̂)), the history's standard deviation."""
    return np.sqrt(history_mean * (1 - history_mean))


@walking("2min")
def walk_2min(history_mean: np.ndarray) -> np.ndarray:
    """u = 2 min(p̂, 1−p̂), the history's error rate, doubled."""
    return 2 * np.minimum(history_mean, 1 - history_mean)
