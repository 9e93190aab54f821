"""Which questions to ask: one record per policy.

A *drawing policy* asks one question at a time: it scores the questions from what is believed about many models, and
the engine (`querier`) mixes the scores with a uniform share τ and draws. Or it asks in growing rounds (`rounds`). A
record registered here is known to faq_final.py (--policies), to the logs, and so to tables and figures:

    register(Policy("confident", "confident", lambda beliefs, moment: (2 * beliefs.p - 1).abs()))

A *walking policy* gives every question of a walk over the bank a weight; `walks` turns it into coin probabilities;
it is known to baselines_all.py.

The module is light: what needs torch is named as ".module:name" and imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..lazy import given
from .estimators import estimator
from .setting import DEFAULT_SETTING, MIXTURE_SETTING, ROUNDS_SETTING, Setting

if TYPE_CHECKING:
    import torch

    from .beliefs import Beliefs
    from .scorings import Evaluated, Moment

    Scoring = Callable[[Beliefs, Moment], torch.Tensor]

SAMPLING = ("with", "without", "naive-without", "rounds")
ONE_AT_A_TIME = SAMPLING[:3]
FAQ = ".scorings:faq"


@dataclass(frozen=True)
class GrowingRounds:
    """Rounds of first, first·growth, … questions; the draw goes through as many kinds of questions (`designs`)."""

    first: int = 8
    growth: float = 1.5
    kinds: int = 6


@dataclass(frozen=True)
class Policy:
    """A drawing policy, and how it is used unless the command line says otherwise.

    name      on the command line and in the logs
    label     in tables and figures
    scores    what is drawn from, one question at a time: (beliefs, moment) → (rows, N), see `scorings`
    believe   how it learns: a class of beliefs, (bank, prior, rows, keep_variance, passes) → Beliefs; its prior may be
              one of its own
    rounds    instead of both, for a policy that asks in growing rounds
    sampling  "with" replacement, "without", or "naive-without"; "rounds" for those that ask in rounds, and only them
    setting   None: tuned by faq_val.py
    variance_as_published  of the paper that introduced it, for the audits that show what it does
    knows     what an oracle is given: board (`scorings.Evaluated`) → (models, N) logits. Such a policy learns nothing.

    scores, believe and knows are given themselves or as ".module:name" of this room.

    Raises InputError for ways of sampling or variances that do not exist, or do not go together.
    """

    name: str
    label: str
    scores: Scoring | str | None = None
    believe: type[Beliefs] | str = ".beliefs:Beliefs"
    rounds: GrowingRounds | None = None
    sampling: str = "without"
    setting: Setting | None = DEFAULT_SETTING
    variance_as_published: str | None = None
    knows: Callable[[Evaluated], np.ndarray] | str | None = None

    def __post_init__(self):
        if (self.scores is None) == (self.rounds is None):
            raise InputError(f"policy {self.name!r}: give either scores, to ask one question at a time, or rounds")
        self.check(self.sampling)
        estimator(self.sampling, self.variance_as_published)

    @property
    def samplings(self) -> tuple[str, ...]:
        """The ways of sampling it may be used with."""
        return ("rounds",) if self.rounds else ONE_AT_A_TIME

    def check(self, sampling: str) -> None:
        """Raises InputError for a way of sampling that does not exist, or is not one of this policy's."""
        check_sampling(sampling)
        if sampling not in self.samplings:
            raise InputError(f"policy {self.name!r} is asked {' or '.join(self.samplings)}, not {sampling!r}")

    @property
    def batch(self) -> int:
        """How many questions are asked at a time, or the first time, unless something else is asked for."""
        return self.rounds.first if self.rounds else 1

    @property
    def streamed(self) -> bool:
        """Whether the scores are the paper's, which the engine sums by the block without storing them."""
        return self.scores == FAQ

    def function(self, field: str):
        """What one of the fields scores, believe or knows is, imported where it was named."""
        return given(getattr(self, field), __package__)


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

# The paper's scores, but of other beliefs, solved for anew as answers come in; needs no tuning. Asking one question
# at a time, it can stop at any time: the intervals that may be watched rest on it.
register(Policy("faq-mix", "FAQ-mix", FAQ, ".beliefs:HistoryBeliefs", setting=MIXTURE_SETTING))
# The paper's.
register(Policy("faq", "FAQ", FAQ, sampling="with", setting=None, variance_as_published="published"))
register(Policy("rounds", "growing rounds", rounds=GrowingRounds(), sampling="rounds", setting=ROUNDS_SETTING))
register(Policy("uniform+factors", "uniform + factors", ".scorings:uniform", setting=Setting(tau=1.0)))
# References for the figures, what is left to gain and by what: the factors that fit all answers of each new model
# best, or the probabilities with which a simulated board answers. Nobody knows these.
register(Policy("oracle-factors", "oracle (factors)", FAQ, setting=MIXTURE_SETTING,
                knows=".scorings:logits_of_best_factors"))
register(Policy("oracle", "oracle", FAQ, setting=MIXTURE_SETTING, knows=".scorings:true_logits"))
DEFAULT_POLICY = "rounds"  # for a budget that is known beforehand
ANY_TIME_POLICY = "faq-mix"  # for none: sessions that may be watched and stopped at will


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
