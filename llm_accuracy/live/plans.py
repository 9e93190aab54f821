"""What is decided before the first question: how many are asked, in which rounds, and by which interval it may end.

Two ways of stopping. A *budget*: growing rounds, whose interval holds at that number of questions and is the narrowest.
A *half-width*: the evaluation ends as soon as its interval is narrow enough, so the interval must be valid however
often it is looked at. Growing rounds share the error rate out among their ends (`querying.looks`). `--exact`, and a
width that so few questions are expected to give that no normal limit can be claimed, take the betting interval instead,
of questions drawn one after the other (faq-mix) in batches of the same sizes. Which one is chosen here, by the number T
of questions that the width is expected to take, and by nothing else: were it chosen by the answers, neither would hold.
"""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy import special

from ..errors import InputError
from ..querying.designs import schedule
from ..querying.diagnosis import Promise
from ..querying.factors import Factors
from ..querying.looks import FEWEST, levels
from ..querying.policies import GrowingRounds, Policy, named
from ..querying.session import budget_of, check_alpha
from ..querying.setting import ALPHA
from ..scores.score_values import decimal

FIXED, EVERY_ROUND, EXACT = "fixed", "every round", "exact"
# Half-widths of the intervals that may be watched, in those of a fixed budget (benchmarks/watched_widths.py).
WIDER = {EVERY_ROUND: 1.25, EXACT: 3.0}


@dataclass(frozen=True)
class Plan:
    """budget      questions at most (of a half-width: where it gives up)
    interval    FIXED, or one that may be watched: EVERY_ROUND or EXACT
    half_width  at which to stop; None of a budget
    planned     questions that the half-width is expected to take: where most of the error rate is spent, and what the
                exact interval's bets are sized for
    first, growth  of the rounds
    alpha, seed
    max_minutes  after which no further round is begun
    own_order   as `Session` has it; False of runs that began before it was there
    """

    budget: int
    interval: str = FIXED
    half_width: float | None = None
    planned: int | None = None
    first: int = 8
    growth: float = 1.5
    alpha: float = ALPHA
    seed: int = 0
    max_minutes: float | None = None
    own_order: bool = False

    def __post_init__(self):
        check_alpha(self.alpha)
        if not (isinstance(self.first, int) and self.first >= 1 and isinstance(self.budget, int) and self.budget >= 1):
            raise InputError(f"a first round of {self.first} questions, and {self.budget} in all: each is 1 or more")
        if self.interval not in WIDER | {FIXED: 1}:
            raise InputError(f"interval {self.interval!r}: there are {', '.join((FIXED, *WIDER))}")
        if not 1 <= self.growth <= 10:
            raise InputError(f"--growth {self.growth:g}: how many times larger each round is, from 1 to 10")

    @property
    def watched(self) -> bool:
        """Whether its interval holds at every look."""
        return self.interval != FIXED

    @property
    def in_rounds(self) -> bool:
        """Whether whole rounds are drawn at once, rather than one question after the other."""
        return self.interval != EXACT

    def level(self, n_questions: int, rounds: int) -> float:
        """α of the interval after so many rounds; 0 where nothing is claimed yet."""
        if self.interval == FIXED:
            return self.alpha
        return float(levels(self.sizes(n_questions), self.planned or self.budget, self.alpha)[rounds - 1])

    def policy(self) -> Policy:
        """The registered policy, with this plan's rounds."""
        if not self.in_rounds:
            return named("faq-mix")
        rounds = named("rounds")
        assert rounds.rounds is not None
        return replace(rounds, rounds=GrowingRounds(self.first, self.growth, rounds.rounds.kinds))

    def sizes(self, n_questions: int) -> list[int]:
        """Of the rounds."""
        return schedule(self.budget, n_questions, self.first, self.growth)

    def to_dict(self) -> dict:
        return asdict(self)


def half_width_of(text: str) -> float:
    """"1pt" or ".01" → .01, as shares of the scale.

    Raises InputError for a bare % (of what?), and for what is no half-width.
    """
    plain = text.strip().lower()
    points = plain.removesuffix("pt")
    value = decimal(points) / (100 if points != plain else 1)
    if not 0 < value < 0.5:
        raise InputError(f"--half-width {text}: write 1pt (one point of 100) or .01 (the share of the scale), less "
                         "than half of it")
    return value


def plan_of(n_questions: int, factors: Factors, *, budget: str | int | None, half_width: str | None,
            max_budget: str | int | None, exact: bool = False, priced: bool = False, **settings) -> Plan:
    """The plan of a command line; settings: first, growth, alpha, seed, max_minutes. priced: questions have costs,
    which only growing rounds weigh: they are taken for wide half-widths too, and claim none before FEWEST questions.

    Raises InputError as `stop_of` does.
    """
    most, width = stop_of(n_questions, budget=budget, half_width=half_width, max_budget=max_budget, exact=exact)
    settings = {"own_order": True, **settings}
    if width is None:
        return Plan(most, **settings)
    alpha = settings.get("alpha", ALPHA)
    planned = min(expected_questions(width, EVERY_ROUND, n_questions, factors, alpha), most)
    if not exact and (planned >= FEWEST or priced):
        return Plan(most, EVERY_ROUND, width, max(planned, min(FEWEST, most)), **settings)
    planned = min(expected_questions(width, EXACT, n_questions, factors, alpha), most)
    return Plan(most, EXACT, width, planned, **settings)


def few(plan: Plan, n_questions: int, n_models: int) -> list[str]:
    """A sentence where a budget asks so few questions that the answers cannot show whether the history is right."""
    if plan.interval != FIXED or not n_models or plan.budget >= min(FEWEST, n_questions):
        return []
    return [f"a budget of fewer than {FEWEST} questions: its interval rests on the history, and nothing would show "
            "if that predicts this model badly"]


def stop_of(n_questions: int | None, *, budget: str | int | None, half_width: str | None,
            max_budget: str | int | None, exact: bool = False) -> tuple[int, float | None]:
    """(questions at most, half-width or None). n_questions None: not known yet, only words are looked at.

    Raises InputError unless exactly one of budget and half_width is given, and for what cannot be.
    """
    if (budget is None) == (half_width is None):
        raise InputError("give either --budget (a number of questions or a share such as 5%, the tighter interval) or "
                         "--half-width (1pt: stop as soon as the interval is that narrow)")
    if budget is not None and exact:
        raise InputError("--exact goes with --half-width; the interval of a --budget is by normality")
    if budget is not None and max_budget is not None:
        raise InputError("--max-budget goes with --half-width; --budget is a budget already")
    width = None if half_width is None else half_width_of(half_width)
    most = max_budget if budget is None else budget
    if most is not None:
        return budget_of(most) if n_questions is None else budget_of(most, n_questions), width
    return sys.maxsize if n_questions is None else n_questions, width


def expected_questions(half_width: float, interval: str, n_questions: int, factors: Factors,
                       alpha: float = ALPHA) -> int:
    """About how many questions a half-width takes, by what the history promises, if its interval may be watched."""
    promise = Promise.of(factors)
    variance = max(promise.accuracy * (1 - promise.accuracy), 0.05) / max(promise.gain, 1.0)
    target = half_width / WIDER[interval] / float(special.ndtri(1 - alpha / 2))
    # target² = (1/T − 1/N) variance
    return int(np.clip(math.ceil(1 / (target**2 / variance + 1 / n_questions)), 1, n_questions))
