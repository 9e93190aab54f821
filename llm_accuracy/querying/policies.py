"""Which question to ask next: one record per policy.

A *drawing policy* scores the questions from what is believed about many models; the engine (`querier`) mixes the
scores with a uniform share τ and draws. A record registered here is known to faq_final.py (--policies), to the logs,
and so to tables and figures:

    register(Policy("confident", "confident", lambda beliefs, moment: (2 * beliefs.p - 1).abs()))

A *walking policy* gives every question of a walk over the bank a weight; `walks` turns it into coin probabilities;
it is known to baselines_all.py.

Scores of questions that may not be asked again are set to zero by the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ..errors import InputError
from .beliefs import Bank, Beliefs, HistoryBeliefs
from .estimators import estimator
from .factors import Prior
from .mixture import best_factors
from .passes import learning_scores
from .setting import DEFAULT_SETTING, MIXTURE_SETTING, Setting

SAMPLING = ("with", "without", "naive-without")


class Moment(NamedTuple):
    """Where a schedule stands: α_s and β_s (rows, 1) of the coming step, and whether some α_s may be positive."""

    alpha: torch.Tensor
    beta: torch.Tensor
    exploring: bool


class Evaluated(Protocol):
    """New models with all their answers, on which an oracle is evaluated: their scores (models, N), the names, the
    board they come from, and the history's factors."""

    new: object
    dataset: object
    scores: np.ndarray
    bank: Bank
    prior: Prior


# (beliefs, moment) → scores (rows, N) ≥ 0, any positive scale per row
Scoring = Callable[[Beliefs, Moment], torch.Tensor]


@dataclass(frozen=True)
class Policy:
    """A drawing policy, and how it is used unless the command line says otherwise.

    name      on the command line and in the logs
    label     in tables and figures
    scores    what is drawn from
    believe   how it learns: (bank, prior, rows, keep_variance, passes) → Beliefs; its prior may be one of its own
    sampling  "with" replacement, "without", or "naive-without"
    setting   None: tuned by faq_val.py
    variance_as_published  of the paper that introduced it, for the audits that show what it does
    knows     what an oracle is given: (models, N) logits. Such a policy learns nothing.
    """

    name: str
    label: str
    scores: Scoring
    believe: Callable[..., Beliefs] = Beliefs
    sampling: str = "without"
    setting: Setting | None = DEFAULT_SETTING
    variance_as_published: str | None = None
    knows: Callable[[Evaluated], np.ndarray] | None = None

    def __post_init__(self):
        check_sampling(self.sampling)
        if self.variance_as_published is not None:
            estimator(self.sampling, self.variance_as_published)

    @property
    def streamed(self) -> bool:
        """Whether the scores are the paper's, which the engine sums by the block without storing them."""
        return self.scores is faq


POLICIES: dict[str, Policy] = {}
WALKING: dict[str, Callable[[np.ndarray], np.ndarray]] = {}


def register(policy: Policy) -> Policy:
    """Make a policy known everywhere. Raises InputError if one of that name is known already."""
    if policy.name in POLICIES or policy.name in WALKING:
        raise InputError(f"policy {policy.name!r} is registered already")
    POLICIES[policy.name] = policy
    return policy


def named(name: str | Policy) -> Policy:
    """The record of a name. Raises InputError for an unknown one, listing those that exist."""
    return name if isinstance(name, Policy) else _known(POLICIES, name, "policy")


def check_sampling(sampling: str) -> None:
    """Raises InputError for an unknown way of sampling."""
    _known(dict.fromkeys(SAMPLING, True), sampling, "sampling")


def _known(among: Mapping, name: str, what: str):
    if name not in among:
        raise InputError(f"{what} {name!r}: there are {', '.join(among)}")
    return among[name]


def walking(name: str) -> Callable:
    """Register a walking policy: the history's mean score of each question (N,) → weights u (N,) ≥ 0."""

    def register_(policy: Callable) -> Callable:
        WALKING[name] = policy
        return policy

    return register_


# --- drawing -------------------------------------------------------------------------------------------

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


def _true_logits(board: Evaluated) -> np.ndarray:
    return board.dataset.truth(board.new)


def _logits_of_best_factors(board: Evaluated) -> np.ndarray:
    V = board.bank.V[: board.bank.n_questions]
    return (best_factors(V, board.prior, torch.as_tensor(board.scores, device=V.device)) @ V.T).cpu().numpy()


# The default: the same scores of other beliefs, solved for anew as answers come in; needs no tuning.
register(Policy("faq-mix", "FAQ-mix", faq, HistoryBeliefs, setting=MIXTURE_SETTING))
# The paper's.
register(Policy("faq", "FAQ", faq, sampling="with", setting=None, variance_as_published="published"))
register(Policy("uniform+factors", "uniform + factors", uniform, setting=Setting(tau=1.0)))
# References for the figures, what is left to gain and by what: the probabilities with which a simulated board
# answers, or the factors that fit all answers of each new model best. Nobody knows these.
register(Policy("oracle", "oracle", faq, setting=MIXTURE_SETTING, knows=_true_logits))
register(Policy("oracle-factors", "oracle (factors)", faq, setting=MIXTURE_SETTING, knows=_logits_of_best_factors))
DEFAULT_POLICY = "faq-mix"


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
