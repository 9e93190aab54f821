"""Which of several models is best? One search of `querying.best`, made from its log: all models that are left are
asked the same questions, and the beaten are dropped."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..claims import BANK, QUESTIONS, check_about
from ..degradation.defaults import check_alpha
from ..errors import InputError
from ..querying.best import Search
from ..querying.best_population import PopulationSearch
from ..randomness import stream
from .bank import Bank
from .query_log import QueryLog
from .recorded import Recorded

Key = tuple[str, str]  # model, question
FOUND = "the best is found"


@dataclass(frozen=True)
class SeveralPlan:
    """models     their names, in the order in which they are asked
    questions  at most, of each model that is left
    tolerance  a model that is worse by no more may win
    alpha, seed, about  see `querying.best` and `claims`
    max_minutes  after which no further round is begun
    """

    models: tuple[str, ...]
    questions: int
    tolerance: float = 0.005
    alpha: float = 0.05
    seed: int = 0
    about: str = BANK
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a claim that there is not."""
        check_about(self.about)

    def check(self, n_questions: int) -> None:
        """Raises InputError for what no command line gives, of a bank of so many questions."""
        check_alpha(self.alpha)
        if not (1 <= self.questions <= n_questions and 0 <= self.tolerance < 0.5 and self.seed >= 0
                and (self.max_minutes or 0) >= 0 and len(set(self.models)) == len(self.models) >= 2):
            raise InputError(f"no plan of a search on {n_questions:,} questions: {self}")

    @property
    def budget(self) -> int:
        """Answers at most, of all models."""
        return len(self.models) * self.questions

    @property
    def watched(self) -> bool:
        """The error rate holds whenever it ends."""
        return True


class Several(Recorded):
    """The search that a log has recorded, ready to go on; `search` is what is known.

    useful  (N,) above 0, how much each question is expected to tell; None without a history

    Raises InputError where the log was not made of this bank, this history and this plan.
    """

    plan: SeveralPlan
    numbers = ("probability",)
    unit, answered = "answer", "answers"
    elsewhere = "in the history"
    other_words = "which questions tell models apart may be another matter, the error rate holds"

    def __init__(self, bank: Bank, useful: np.ndarray | None, plan: SeveralPlan, log: QueryLog, audit: bool = False):
        super().__init__(bank, plan, log)
        kind = PopulationSearch if plan.about == QUESTIONS else Search
        self.search = kind(len(plan.models), bank.size, stream("best", plan.seed, bank.size), usefulness=useful,
                           alpha=plan.alpha, tolerance=plan.tolerance, budget=plan.questions)
        self._asked: list[str] = []  # the questions of the round in flight
        self._waiting: dict[Key, None] = {}  # what of it is not answered, in the order of asking
        self._replay(audit)

    def key(self, record: dict[str, Any]) -> Key:
        return record["model"], record["question"]

    def record(self, key: Key, score: float, more: dict[str, Any]) -> dict[str, Any]:
        return {"model": key[0], "question": key[1], "score": score, **more}

    def draw(self) -> dict[str, Any]:
        if self.search.ended:
            return {"questions": []}
        at = self.search.ask()
        self.round += 1
        self._asked = self.bank.questions[at].tolist()
        self._waiting = dict.fromkeys((model, question) for model in self.left for question in self._asked)
        return {"round": self.round, "models": self.left, "questions": list(self._asked),
                "probability": self.search.probabilities.tolist()}

    @property
    def left(self) -> list[str]:
        """The models that are not dropped."""
        return [name for name, left in zip(self.plan.models, self.search.left, strict=True) if left]

    @property
    def outstanding(self) -> list[Key]:
        return list(self._waiting)

    def waiting(self) -> Container[Key]:
        return self._waiting

    def told(self, key: Key, score: float) -> None:
        """Answers count when their round is answered by all models."""
        if key not in self._waiting:
            raise InputError(f"{self.log.path}: an answer of {key[0]!r} to {key[1]!r}, which its round has not asked")
        del self._waiting[key]
        if not self._waiting:
            self.search.tell(np.array([[self.answers[model, question] for question in self._asked]
                                       for model in self.left]))

    # --- what is known -----------------------------------------------------------------------------

    def seen(self) -> dict[str, Any] | None:
        if not self.search.asked:
            return None
        return {"asked": self.search.asked, "leader": self.plan.models[self.search.leader], "left": self.left,
                "winner": self.winner, "estimates": [float(value) for value in self.search.estimates]}

    @property
    def winner(self) -> str | None:
        return None if self.search.winner is None else self.plan.models[self.search.winner]

    def enough(self) -> str | None:
        return FOUND if self.winner is not None else None

    @property
    def at_most(self) -> int:
        """Answers at most, now that some models are dropped."""
        drawn = self.search.asked + (len(self._asked) if self._waiting else 0)
        return len(self.answers) + len(self._waiting) + len(self.left) * (self.plan.questions - drawn)

    @property
    def complete(self) -> bool:
        return self.search.ended

    @property
    def used_up(self) -> str:
        return ("all questions are asked of the models that are left" if self.search.asked == self.bank.size else
                "the budget is used up")


def by_hand(several: Several) -> dict[str, float]:
    """Each model's mean from nothing but the log: T⁻¹ N⁻¹ Σ_t (Σ_asked z + z/q) over the draws of the rounds that are
    answered; the mean of its answers where all were asked. {} where no round is answered."""
    totals = {name: (0.0, 0.0, 0) for name in several.plan.models}  # Σ φ, Σ z, draws
    for record in several.logged:
        keys = [(model, question) for model in record["models"] for question in record["questions"]]
        if any(key not in several.answers for key in keys):
            break
        for model in record["models"]:
            phi, known, draws = totals[model]
            for question, q in zip(record["questions"], record["probability"], strict=True):
                z = several.answers[model, question]
                phi, known, draws = phi + known + z / q, known + z, draws + 1
            totals[model] = phi, known, draws
    size = several.bank.size
    return {name: min(max(known / size if draws == size else phi / draws / size, 0.0), 1.0)
            for name, (phi, known, draws) in totals.items() if draws}
