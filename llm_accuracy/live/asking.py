"""One evaluation: its session, made from its log (`recorded`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np

from ..querying.factors import Factors
from ..querying.session import Finding, Session
from .bank import Bank
from .plans import Plan
from .query_log import QueryLog
from .recorded import Recorded

MOST_SUB_SCORES = 1 << 27  # questions × tasks: more are not kept by task


class Asking(Recorded):
    """The evaluation that a log has recorded, ready to go on; `session` is what is known.

    Raises InputError where the log was not made of this bank, these factors and this plan.
    """

    plan: Plan

    def __init__(self, bank: Bank, factors: Factors, plan: Plan, model: str, log: QueryLog, audit: bool = False):
        super().__init__(bank, plan, log)
        self.factors = factors
        n_tasks = 0 if bank.tasks is None else len(np.unique(bank.tasks))
        tasks = bank.tasks if 1 < n_tasks and n_tasks * bank.size <= MOST_SUB_SCORES else None
        self.session = Session(factors, model, plan.seed, tasks, budget=plan.budget, costs=bank.costs,
                               policy=plan.policy(), own_order=plan.own_order)
        self.sizes = plan.sizes(bank.size)
        self._replay(audit)

    def draw(self) -> dict[str, Any]:
        done = self.round >= len(self.sizes)
        questions = [] if done else self.session.ask(None if self.plan.in_rounds else self.sizes[self.round])
        if not questions:
            return {"questions": []}
        self.round += 1
        drawn = self.session.drawn
        return {"round": self.round, "questions": questions, "p": drawn.predicted, "probability": drawn.probability,
                "expected": drawn.expected}

    @property
    def outstanding(self) -> list[str]:
        return self.session.outstanding

    def told(self, question: str, score: float) -> None:
        self.session.tell(question, score)

    # --- what is known -----------------------------------------------------------------------------

    def finding(self, alpha: float | None = None) -> Finding | None:
        """The estimate by the plan's interval; None while there is none. alpha: another than the plan's."""
        plan = self.plan if alpha is None else replace(self.plan, alpha=alpha)
        if not plan.in_rounds:  # of a question whose forerunners are not all answered nothing is known yet
            if not self.logged or self.logged[0]["questions"][0] not in self.answers:
                return None
            return self.session.watch(plan.alpha, True, plan.planned)
        if not (rounds := self.complete_rounds):
            return None
        if level := plan.level(self.bank.size, rounds):
            return self.session.estimate(level)
        return self.claiming_nothing(self.session.estimate(self.plan.alpha))

    def claiming_nothing(self, found: Finding, task: str | None = None) -> Finding:
        """An estimate, of the bank or of a task, between what all open questions wrong and all right would give."""
        tasks, questions = self.bank.tasks, self.bank.questions.tolist()
        of = questions if task is None or tasks is None else [
            question for question, name in zip(questions, tasks.tolist(), strict=True) if name == task]
        known = [self.answers[question] for question in of if question in self.answers]
        return replace(found, low=sum(known) / len(of), high=(sum(known) + len(of) - len(known)) / len(of))

    @property
    def complete_rounds(self) -> int:
        """Rounds from the first on whose questions are all answered."""
        done = (all(question in self.answers for question in record["questions"]) for record in self.logged)
        return sum(takewhile(bool, done))

    def seen(self) -> dict[str, Any] | None:
        found = self.finding()
        return None if found is None else {"asked": found.asked, "theta": found.theta, "low": found.low,
                                           "high": found.high}

    def enough(self) -> str | None:
        """Whether the plan's half-width is reached."""
        if self.plan.half_width is None or (found := self.finding()) is None:
            return None
        if (found.high - found.low) / 2 > self.plan.half_width:
            return None
        return f"the half-width of {100 * self.plan.half_width:g} points is reached"


def plain_estimate(logged: Sequence[dict[str, Any]], answers: dict[str, float], n_questions: int) -> float | None:
    """θ̂ of growing rounds by hand, from nothing but the log: N⁻¹ Σ a_r [Σ z + Σ_open p + Σ (z − p)/π] over the rounds
    that are answered, a_r ∝ B_r/(n_r (n_r − B_r)). None where no round is."""
    weights, totals, known, n_open = [], [], 0.0, n_questions
    for record in logged:
        if any(question not in answers for question in record["questions"]):
            break
        z = np.array([answers[question] for question in record["questions"]])
        p, pi = np.array(record["p"]), np.array(record["probability"])
        totals.append(known + record["expected"][0] + float(((z - p) / pi).sum()))
        size = len(z)
        weights.append(math.inf if size == n_open else size / (n_open * (n_open - size)))
        known, n_open = known + float(z.sum()), n_open - size
    if not weights:
        return None
    if math.isinf(weights[-1]):
        return totals[-1] / n_questions
    return float(np.dot(weights, totals) / sum(weights) / n_questions)
