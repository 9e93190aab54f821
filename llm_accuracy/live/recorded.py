"""One run's log, which every question and answer goes through before it is used, and what is drawn again from it.

    begun → [a round is drawn → "ask" is on disk → the driver asks → each "answer" is on disk, then told to the engine]
          → "look" (what is known after the round) → … → "end"

A `Recorded` is always made from the log: what the log has is drawn again and compared, so a run that was killed
anywhere goes on as if it had not been, and an audit is the same thing without a driver. What draws and learns is the
subclass's: `asking.Asking` (how good is it?), `paired.PairedAsking` (did it get worse?), `several.Several` (which of
several models is best?). An answer belongs to a key: a question, or, of several models, (model, question).
"""

from __future__ import annotations

import math
import time
from collections.abc import Container, Iterable
from typing import Any, Protocol

from ..errors import InputError
from ..scores.score_values import score_of
from ..visible import shortened
from .bank import Bank
from .query_log import QueryLog

NEAR = 1e-9  # logged and recomputed numbers differ by no more: the same numbers, to rounding


CONTRADICTED = "a question was answered twice, differently"


def same_value(one: Any, other: Any) -> bool:
    """Whether two plain values are the same: numbers to rounding, all else exactly."""
    if isinstance(other, dict):
        return isinstance(one, dict) and one.keys() == other.keys() and all(same_value(one[k], other[k]) for k in other)
    if isinstance(other, list | tuple):
        return (isinstance(one, list | tuple) and len(one) == len(other)
                and all(same_value(a, b) for a, b in zip(one, other, strict=True)))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other)):
        return math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR)
    return type(one) is type(other) and one == other


class AnyPlan(Protocol):
    """What was fixed before the first question, as far as the log and the loop look at it."""

    @property
    def budget(self) -> int:
        """Questions at most."""
    @property
    def watched(self) -> bool:
        """Whether the answers may end it."""
    @property
    def max_minutes(self) -> float | None:
        """After which no further round is begun."""


class Recorded:
    """A run that a log has recorded, ready to go on; see the module.

    log   what has happened; `round` the number of the last round asked
    audit whether what was known after every round is computed again, too

    Raises InputError where the log was not made of this bank and this plan.
    """

    plan: AnyPlan
    numbers: tuple[str, ...] = ("p", "probability", "expected")  # that an "ask" has of each of its questions
    unit, answered = "question", "asked"  # what is counted, and what it is counted as, in the live line
    elsewhere = "in the history"  # where else the questions were put, as messages call it
    other_words = "predictions may be off, the estimate stays unbiased"  # and what they do

    def __init__(self, bank: Bank, plan: AnyPlan, log: QueryLog):
        self.bank, self.plan, self.log = bank, plan, log
        self.round = 0
        self.answers: dict[Any, float] = {}
        self.logged: list[dict[str, Any]] = []  # the ask records
        self.spent = 0.0  # seconds on rounds that earlier processes have finished
        self.looked = False  # at the round asked last
        self.ended_with: str | None = None
        self.news: list[str] = []  # notes that nobody has been told yet
        self._contradicted = any(str(record.get("text")).startswith(CONTRADICTED) for record in log.of("note"))

    # --- the subclass's ----------------------------------------------------------------------------

    def key(self, record: dict[str, Any]) -> Any:
        """What an answer's record is the answer to."""
        return record["question"]

    def record(self, key: Any, score: float, more: dict[str, Any]) -> dict[str, Any]:
        """The record of an answer."""
        return {"question": key, "score": score, **more}

    @property
    def outstanding(self) -> list[Any]:
        """Keys of what was asked and not answered yet."""
        raise NotImplementedError

    def waiting(self) -> Container[Any]:
        """The same, to look keys up in."""
        return set(self.outstanding)

    def draw(self) -> dict[str, Any]:
        """The next round: round, questions and, for each, p, probability and expected; questions [] where the budget is
        used up."""
        raise NotImplementedError

    def told(self, key: Any, score: float) -> None:
        """Learn from an answer, which is among the answers already."""
        raise NotImplementedError

    def seen(self) -> dict[str, Any] | None:
        """What a look after a round records; None while there is nothing to record."""
        raise NotImplementedError

    def enough(self) -> str | None:
        """Why the answers end the run, if they do; looks at them only where the plan allows it."""
        raise NotImplementedError

    # --- from the log -------------------------------------------------------------------------------

    def _replay(self, audit: bool) -> None:
        for number, record in enumerate(self.log.records, start=1):
            try:
                self._again(record, audit)
            except InputError as error:
                where = "" if str(error).startswith(str(self.log.path)) else f"{self.log.path}: line {number}: "
                raise InputError(f"{where}{error}") from None
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
                raise InputError(f"{self.log.path}: line {number} is no record that a run writes there; restore the "
                                 "file") from None

    def _again(self, record: dict[str, Any], audit: bool) -> None:
        """One record of the log: drawn or told again; an audit compares what it says with what follows from those
        before."""
        kind = record["kind"]
        if self.ended_with is not None and kind != "note":
            raise InputError(f"{self.log.path}: goes on after its end; restore the file")
        if kind == "ask":
            if audit and self.round and not self.looked:
                raise InputError(f"{self.log.path}: no estimate after round {self.round}; restore the file")
            self._same(record, self.draw())
            self.logged.append(record)
            self.looked = False
        elif kind == "answer":
            key = self.key(record)
            if key in self.answers:
                raise InputError(f"{self.log.path}: {shortened(in_words(key))} is answered twice, of which a run "
                                 "records the first; restore the file")
            self._told(key, _number(record["score"], 1.0))
        elif kind == "look":
            self.spent = _number(record["seconds"])
            if audit:
                self._same_look(record)
            self.looked = True
        elif kind == "end":
            self.ended_with = str(record["reason"])
            if audit and (follows := self.reason(math.inf)) != record["reason"]:
                raise InputError(f"{self.log.path}: ended because {shortened(record['reason'])}; by its answers "
                                 f"{follows or 'it goes on'}")
        elif kind != "note":
            raise InputError(f"{self.log.path}: {shortened(kind)} is no kind of record of a run; restore the file")

    def _same(self, logged: dict[str, Any], drawn: dict[str, Any]) -> None:
        """Raises InputError where the log's questions or probabilities are not those that follow here."""
        where = f"{self.log.path}: round {logged['round']}"
        if not drawn["questions"] or logged["round"] != self.round:
            raise InputError(f"{where} is not the next one of this run's; restore the file")
        if any(logged.get(name) != drawn.get(name) for name in ("questions", "models")):
            raise InputError(f"{where}: other questions follow from what is known beforehand on this machine; go on "
                             "where it began")
        for name in self.numbers:
            for question, one, other in zip(drawn["questions"], logged[name], drawn[name], strict=True):
                if not math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR):
                    raise InputError(f"{where}, question {question}: {name} is {one:.12g} in the log, {other:.12g} by "
                                     "what is known beforehand and the answers")

    def _same_look(self, logged: dict[str, Any]) -> None:
        """Raises InputError where what was known after a round does not follow from the log."""
        seen = self.seen()
        if seen is None or self.looked or self.outstanding or logged["round"] != self.round:
            raise InputError(f"{self.log.path}: an estimate after round {logged['round']}, where none belongs; restore "
                             "the file")
        for name, value in seen.items():
            if name not in logged:
                raise InputError(f"{self.log.path}: after round {logged['round']}, {name} is missing; restore the file")
            if not same_value(logged[name], value):
                raise InputError(f"{self.log.path}: after round {logged['round']}, {name} is {logged[name]} in the "
                                 f"log, {value} by its answers")

    def _told(self, key: Any, score: float) -> None:
        self.answers[key] = score
        self.told(key, score)

    # --- going on ----------------------------------------------------------------------------------

    def ask(self) -> list[str]:
        """The next round's questions, in the log; none where the budget is used up."""
        record = self.draw()
        if record["questions"]:
            self.log.append("ask", [record])
            self.logged.append(record)
            self.looked = False
        return record["questions"]

    def take(self, answers: Iterable[tuple[Any, object, dict[str, Any]]]) -> int:
        """Record answers, (key, score, whatever else is known of it), and learn from them; how many were new.

        An answer that is there already counts as it was first recorded. Raises InputError, before anything is
        recorded, for a question that was never asked and for anything but a score in [0, 1].
        """
        outstanding, new = self.waiting(), {}
        again: list[str] = []
        for key, score, more in answers:
            value = score_of(in_words(key), score)
            if key in outstanding and key not in new:
                new[key] = self.record(key, value, more)
            elif key in self.answers or key in new:
                first = new[key]["score"] if key in new else self.answers[key]
                if first != value:
                    again.append(f"{in_words(key)} was {first:g} first and {value:g} later")
            else:
                raise InputError(f"an answer to {shortened(in_words(key))}, which has not been asked; only what is "
                                 "asked may be answered")
        if new:
            self.log.append("answer", new.values())
            for key, record in new.items():
                self._told(key, record["score"])
        if again and not self._contradicted:
            self._contradicted = True
            self.note(f"{CONTRADICTED}: {again[0]}; what is recorded first counts, of other questions, too")
        return len(new)

    @property
    def unseen(self) -> bool:
        """Whether a round is complete that the log has no look after."""
        return bool(self.round) and not self.outstanding and not self.looked

    @property
    def at_most(self) -> int:
        """Answers that there will be at most."""
        return self.plan.budget

    @property
    def complete(self) -> bool:
        """Whether the whole budget is answered."""
        return len(self.answers) >= self.plan.budget

    @property
    def used_up(self) -> str:
        """Why it ends when the budget is answered."""
        if len(self.answers) == self.bank.size:
            return "all questions are asked"
        return "the largest budget is used up" if self.plan.watched else "the budget is used up"

    def look(self, seconds: float) -> None:
        """Log what is known after a round."""
        seen = self.seen()
        if seen is not None:
            self.log.append("look", [{"round": self.round, **seen, "seconds": round(seconds, 3)}])
            self.looked = True

    @property
    def ended(self) -> str | None:
        """Why it has ended, where it has."""
        return self.ended_with

    def end(self, reason: str) -> None:
        if self.ended_with is None:
            self.log.append("end", [{"reason": reason}])
            self.ended_with = reason

    def reason(self, seconds: float) -> str | None:
        """Why no further round is asked after so many seconds, or None."""
        if self.outstanding:
            return None
        if reason := self.enough():
            return reason
        if self.complete:
            return self.used_up
        if self.plan.max_minutes is not None and self.round and seconds >= 60 * self.plan.max_minutes:
            return f"{self.plan.max_minutes:g} minutes are over"
        return None

    def other_prompts(self) -> str | None:
        """A sentence where questions were put otherwise than elsewhere, by the fingerprints of both."""
        if self.bank.prompts is None:
            return None
        before = dict(zip(self.bank.questions.tolist(), self.bank.prompts.tolist(), strict=True))
        pairs = [(record["prompt"], before[record["question"]]) for record in self.log.of("answer")
                 if record.get("prompt") and before[record["question"]]]
        other = sum(here != there for here, there in pairs)
        return (f"{other} of {len(pairs)} questions of the first round were put in other words than {self.elsewhere} "
                f"(shots, template or chat format): {self.other_words}" if other else None)

    def note(self, text: str) -> None:
        """Log a note, once."""
        if all(record["text"] != text for record in self.log.of("note")):
            self.log.append("note", [{"text": text}])
            self.news.append(text)


def _number(value: object, most: float = math.inf) -> float:
    """A record's number from 0 to `most`. Raises ValueError for anything else, nan and true among it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or math.isinf(value):
        raise ValueError
    return value


def counted(n: int, what: str) -> str:
    """1 question, 1,200 questions."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def in_words(key: Any) -> str:
    """A question, or model: question."""
    return key if isinstance(key, str) else ": ".join(key)


class Clock:
    """Seconds since it was made, on top of those that earlier processes have spent."""

    def __init__(self, before: float):
        self.before, self.start = before, time.monotonic()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.start
