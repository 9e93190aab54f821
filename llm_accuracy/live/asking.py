"""One evaluation: its session, and the log that every question and answer goes through before it is used.

    begun → [a round is drawn → "ask" is on disk → the driver asks → each "answer" is on disk, then told to the session]
          → "look" (the estimate after the round) → … → "end"

`Asking` is always made from the log: what the log has is drawn again and compared, so a run that was killed anywhere
goes on as if it had not been, and an audit is the same thing without a driver.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..querying.factors import Factors
from ..querying.session import Finding, Session, score_of
from .bank import Bank
from .plans import EXACT, Plan
from .query_log import QueryLog

NEAR = 1e-9  # logged and recomputed probabilities differ by no more: the same numbers, to rounding
MOST_SUB_SCORES = 1 << 27  # questions × tasks: more are not kept by task


class Asking:
    """The evaluation that a log has recorded, ready to go on.

    session  what is known; log  what has happened; `round` the number of the last round asked
    audit    whether the estimates in the log are computed again, too

    Raises InputError where the log was not made of this bank, these factors and this plan.
    """

    def __init__(self, bank: Bank, factors: Factors, plan: Plan, model: str, log: QueryLog, audit: bool = False):
        self.bank, self.factors, self.plan, self.log = bank, factors, plan, log
        n_tasks = 0 if bank.tasks is None else len(np.unique(bank.tasks))
        tasks = bank.tasks if 1 < n_tasks and n_tasks * bank.size <= MOST_SUB_SCORES else None
        self.session = Session(factors, model, plan.seed, tasks, budget=plan.budget, costs=bank.costs,
                               policy=plan.policy())
        self.sizes = plan.sizes(bank.size)
        self.round = 0
        self.answers: dict[str, float] = {}
        self.logged: list[dict[str, Any]] = []  # the ask records
        self.spent = 0.0  # seconds on rounds that earlier processes have finished
        self._replay(audit)

    # --- from the log -------------------------------------------------------------------------------

    def _replay(self, audit: bool) -> None:
        for record in self.log.records:
            if record["kind"] == "ask":
                self._same(record, self._draw())
                self.logged.append(record)
            elif record["kind"] == "answer":
                self._told(record["question"], record["score"])
            elif record["kind"] == "look":
                self.spent = record["seconds"]
                if audit:
                    self._same_look(record)

    def _same(self, logged: dict[str, Any], drawn: dict[str, Any]) -> None:
        """Raises InputError where the log's questions or probabilities are not those that follow here."""
        where = f"{self.log.path}: round {logged['round']}"
        if logged["questions"] != drawn["questions"]:
            raise InputError(f"{where}: other questions follow from these factors on this machine; go on where it "
                             "began")
        for name in ("p", "probability", "expected"):
            for question, one, other in zip(drawn["questions"], logged[name], drawn[name], strict=True):
                if not math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR):
                    raise InputError(f"{where}, question {question}: {name} is {one:.12g} in the log, {other:.12g} by "
                                     "the factors and answers")

    def _same_look(self, logged: dict[str, Any]) -> None:
        """Raises InputError where the estimate after a round does not follow from the log."""
        found = self.finding()
        for name in ("theta", "low", "high", "asked"):
            value = math.nan if found is None else getattr(found, name)
            if not math.isclose(logged[name], value, rel_tol=NEAR, abs_tol=NEAR):
                raise InputError(f"{self.log.path}: after round {logged['round']}, {name} is {logged[name]:.12g} in "
                                 f"the log, {value:.12g} by its answers")

    def _told(self, question: str, score: float) -> None:
        self.session.tell(question, score)
        self.answers[question] = score

    # --- going on ----------------------------------------------------------------------------------

    def _draw(self) -> dict[str, Any]:
        size = self.sizes[self.round] if self.plan.watched and self.round < len(self.sizes) else None
        done = self.round >= len(self.sizes)
        questions = [] if done else self.session.ask(size)
        if not questions:
            return {"questions": []}
        self.round += 1
        drawn = self.session.drawn
        return {"round": self.round, "questions": questions, "p": drawn.predicted, "probability": drawn.probability,
                "expected": drawn.expected}

    def ask(self) -> list[str]:
        """The next round's questions, in the log; none where the budget is used up."""
        record = self._draw()
        if record["questions"]:
            self.log.append("ask", [record])
            self.logged.append(record)
        return record["questions"]

    @property
    def outstanding(self) -> list[str]:
        return self.session.outstanding

    def take(self, answers: Iterable[tuple[str, object, dict[str, Any]]]) -> int:
        """Record answers, (question, score, whatever else is known of it), and learn from them; how many were new.

        An answer that is there already counts as it was first recorded. Raises InputError, before anything is
        recorded, for a question that was never asked and for anything but a score in [0, 1].
        """
        outstanding, new = set(self.session.outstanding), {}
        for question, score, more in answers:
            value = score_of(question, score)
            if question in outstanding and question not in new:
                new[question] = {"question": question, "score": value, **more}
            elif question not in self.answers and question not in new:
                raise InputError(f"an answer to {question!r}, which has not been asked; only what is asked may be "
                                 "answered")
        if new:
            self.log.append("answer", new.values())
            for question, record in new.items():
                self._told(question, record["score"])
        return len(new)

    # --- what is known -----------------------------------------------------------------------------

    def finding(self) -> Finding | None:
        """The estimate by the plan's interval; None while there is none."""
        if not self.answers or (not self.plan.watched and not self._a_round_is_complete):
            return None
        if self.plan.watched:
            return self.session.watch(self.plan.alpha, self.plan.interval == EXACT, self.plan.planned)
        return self.session.estimate(self.plan.alpha)

    @property
    def _a_round_is_complete(self) -> bool:
        return bool(self.logged) and all(question in self.answers for question in self.logged[0]["questions"])

    @property
    def unseen(self) -> bool:
        """Whether a round is complete whose estimate is not in the log."""
        if not self.round or self.outstanding:
            return False
        return all(record["round"] != self.round for record in self.log.of("look"))

    @property
    def complete(self) -> bool:
        """Whether the whole budget is answered."""
        return len(self.answers) >= self.plan.budget

    def narrow(self) -> bool:
        """Whether the plan's half-width is reached."""
        if self.plan.half_width is None or (found := self.finding()) is None:
            return False
        return (found.high - found.low) / 2 <= self.plan.half_width

    def look(self, seconds: float) -> Finding | None:
        """Log the estimate after a round."""
        found = self.finding()
        if found is not None:
            self.log.append("look", [{"round": self.round, "asked": found.asked, "theta": found.theta, "low": found.low,
                                      "high": found.high, "seconds": round(seconds, 3)}])
        return found

    @property
    def ended(self) -> str | None:
        """Why it has ended, where it has."""
        return next((record["reason"] for record in self.log.of("end")), None)

    def end(self, reason: str) -> None:
        if self.ended is None:
            self.log.append("end", [{"reason": reason}])

    def other_prompts(self) -> str | None:
        """A sentence where questions were put otherwise than in the history, by the fingerprints of both."""
        if self.bank.prompts is None:
            return None
        before = dict(zip(self.bank.questions.tolist(), self.bank.prompts.tolist(), strict=True))
        pairs = [(record["prompt"], before[record["question"]]) for record in self.log.of("answer")
                 if record.get("prompt") and before[record["question"]]]
        other = sum(here != there for here, there in pairs)
        return (f"{other} of {len(pairs)} questions of the first round were put in other words than in the history "
                "(shots, template or chat format): predictions may be off, the estimate stays unbiased"
                if other else None)

    def note(self, text: str) -> None:
        """Log a note, once."""
        if all(record["text"] != text for record in self.log.of("note")):
            self.log.append("note", [{"text": text}])


class Clock:
    """Seconds since it was made, on top of those that earlier processes have spent."""

    def __init__(self, before: float):
        self.before, self.start = before, time.monotonic()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start


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
