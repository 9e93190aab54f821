"""Evaluate a live model, one round of questions at a time: ask, get the answers from anywhere, tell, estimate.

    session = Session(factors, model="my-model", budget="5%")
    while questions := session.ask():
        for question in questions:
            session.tell(question, grade(question))
    print(session.estimate())

With a budget, questions come in growing rounds, whose sizes follow from it: fewer questions for the same width than
any policy that asks one at a time. Without one, faq-mix asks any number of questions at any time; only its intervals
may be watched (`watch`), so that one may stop as soon as they are narrow enough.

What a session has asked and heard is written by `save` and taken up again by `Session.resume`; the same questions
follow.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..arguments import whole
from ..errors import InputError
from ..files import atomic, read_json
from ..parallel import one_thread_each
from ..randomness import stream
from ..scores.score_values import score_of
from .diagnosis import HistoryDiagnosis
from .factors import Factors
from .policies import ANY_TIME_POLICY, DEFAULT_POLICY, Policy, named
from .session_engines import Drawn, Estimated, Evaluation, InRounds, OneAtATime
from .setting import ALPHA

FORMAT = 3  # of a saved session
LEAST_ALPHA = 1e-9  # below it quantiles, of shares of α too, are lost to rounding
_SHARE = re.compile(r"\s*([0-9]{1,9})(?:\.([0-9]{0,9}))?\s*%\s*")


@dataclass(frozen=True, repr=False)
class Finding:
    """What the answers say of an accuracy.

    theta      the estimate, clipped to [0, 1]. It is not moved into the interval, which ends where the answers exclude
               values, so that it stays unbiased.
    low, high  the ends of its interval
    asked      the number of answered questions it rests on
    history    how well the history has served (`diagnosis`); None of tasks, and of policies without rounds
    """

    theta: float
    low: float
    high: float
    asked: int
    history: HistoryDiagnosis | None = None

    def __repr__(self) -> str:
        outside = "" if self.low <= self.theta <= self.high else ", outside of which the answers leave nothing"
        misled = f"; {self.history.sentence}" if self.history and self.history.sentence else ""
        return (f"Finding({self.theta:.4f}, {self.low:.4f} to {self.high:.4f}{outside}, "
                f"from {self.asked:,} questions{misled})")

    def to_dict(self) -> dict[str, object]:
        """Plain numbers by name, as JSON takes them."""
        return asdict(self)


class Session:
    """One model under evaluation.

    factors  of the history; questions go by its names
    model    its name, which with `seed` keys the random numbers: stream("session", model, seed)
    tasks    (N,) names of the questions' tasks, for `sub_scores`; optional
    budget   questions to be asked in all, or a share of the bank ("5%"). It cannot be raised later: who does so because
             of what the answers said no longer has an unbiased estimate.
    costs    (N,) > 0 of asking each question: growing rounds then choose by information per cost
    policy   a name in `policies`: "rounds" where there is a budget, else "faq-mix"
    own_order  whether growing rounds draw from questions that look alike in an order of this model and seed: without a
             history any questions may then come together. False: in one that all sessions on banks of this size share
    autosave  a file that is written, as by `save`, before `ask` and `tell` return; `resume(…, autosave=True)` goes on

    Raises InputError for what cannot be, and for a file to save to that is there already.
    """

    def __init__(self, factors: Factors, model: str, seed: int = 0, tasks: Sequence[str] | np.ndarray | None = None, *,
                 budget: int | str | None = None, costs: Sequence[float] | np.ndarray | None = None,
                 policy: str | Policy | None = None, autosave: Path | str | None = None, own_order: bool = True):
        if autosave is not None and not isinstance(autosave, str | os.PathLike):
            raise InputError(f"autosave {autosave!r}: the path of a file is needed")
        if autosave is not None and Path(autosave).exists():
            raise InputError(f"{autosave} is there already: Session.resume(…, autosave=True) goes on with it, or take "
                             "another name")
        if not isinstance(factors, Factors):
            raise InputError(f"factors: a {type(factors).__name__}, where Factors are needed (by Factors.fit or load)")
        if problem := factors.problem():
            raise InputError(f"factors: {problem}")
        if not isinstance(model, str) or not model.strip():
            raise InputError(f"model {model!r}: a name is needed")
        self.factors, self.model, self.seed = factors, model, whole("seed", seed)
        self._autosave = autosave
        self.n_questions, self.rank = factors.V.shape
        self.policy = named(policy or (ANY_TIME_POLICY if budget is None else DEFAULT_POLICY))
        self.budget = None if budget is None else questions_of(budget, self.n_questions)
        self.rounds: list[int] = []
        self.tasks, self._task_of = _tasks(tasks, self.n_questions)
        self._costs = None if costs is None else _costs(costs, self.n_questions)
        self._stream = stream("session", model, seed)
        self._own_order = own_order
        self._engine = self._begun()
        self._answers: dict[int, float] = {}
        self._outstanding: dict[str, int] = {}  # names and numbers, in the order in which they were asked

    def _begun(self) -> Evaluation:
        if self.policy.rounds is not None:
            if self.budget is None:
                raise InputError(f'policy {self.policy.name!r} needs a budget to plan its rounds: say budget="5%"')
            alike = stream("ties", self.model, self.seed).permutation(self.n_questions) if self._own_order else None
            return InRounds(self.factors, self.budget, self.policy, self._task_of, len(self.tasks), self._costs, alike)
        if self.policy.knows is not None:
            raise InputError(f"policy {self.policy.name!r} is given what only a simulation knows; choose another")
        if self._costs is not None:
            raise InputError(f'policy {self.policy.name!r} does not weigh costs; policy="rounds" does')
        return OneAtATime(self.factors, self.budget or self.n_questions, self.policy, self._task_of, len(self.tasks))

    def __repr__(self) -> str:
        return f"Session({self.model}: {len(self._answers):,} of {self.n_questions:,} questions answered)"

    @property
    def asked(self) -> list[int]:
        """Numbers of the questions asked so far."""
        return list(self._engine.asked)

    @property
    def outstanding(self) -> list[str]:
        """Names of the questions asked and not answered yet."""
        return list(self._outstanding)

    def _names(self, questions: Sequence[int]) -> list[str]:
        return [str(self.factors.questions[j]) for j in questions]

    def ask(self, batch: int | None = None) -> list[str]:
        """The names of the next questions; none when the budget, or the bank, is used up.

        batch  how many, for policies that ask one at a time (by default one); growing rounds know themselves

        Raises InputError while answers to the last round are outstanding.
        """
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1):
            raise InputError(f"a batch of {batch!r}: give a number of questions")
        if outstanding := self.outstanding:
            raise InputError(f"{len(outstanding)} questions are not answered yet, {outstanding[0]} first")
        with one_thread_each("cpu"):  # last digits, and with them questions, must not depend on the number of cores
            questions = self._engine.ask(batch, self._stream)
        if questions:
            self.rounds.append(len(questions))
        self._outstanding = dict(zip(self._names(questions), questions, strict=True))
        self._saved()
        return self.outstanding

    def tell(self, question: str, score: float) -> None:
        """Take the score in [0, 1], or True or False, of a question asked; the last answer of a round is when the
        session learns.

        Raises InputError for a question that is not outstanding or anything but a score in [0, 1].
        """
        j = self._outstanding.get(question)
        if j is None:
            raise InputError(f"question {question!r} has not been asked, or its answer is there already")
        value = score_of(question, score)
        with one_thread_each("cpu"):
            self._engine.answer(j, value)
        self._answers[j] = value
        del self._outstanding[question]
        self._saved()

    # --- what is known -----------------------------------------------------------------------------

    def estimate(self, alpha: float = ALPHA) -> Finding:
        """Accuracy on the whole bank: from the complete rounds, or the questions answered so far without a gap."""
        check_alpha(alpha)
        return _finding(self._engine.estimate(), alpha, len(self._engine.answered()), self._engine.history())

    def watch(self, alpha: float = ALPHA, exact: bool = False, planned: int | None = None) -> Finding:
        """The same with an interval that may be looked at after every answer, see `confidence_sequence`. exact: by
        betting, which claims its α at any number of answers and any accuracy. planned: the number of answers that its
        bets are sized for, the same at every look. Not for growing rounds."""
        check_alpha(alpha)
        low, theta, high = self._engine.watch(alpha, exact, planned)
        return Finding(float(np.clip(theta, 0, 1)), low, high, len(self._engine.answered()))

    def sub_scores(self, alpha: float = ALPHA, simultaneous: bool = False) -> dict[str, Finding]:
        """Accuracy by task. simultaneous: all intervals and that of `estimate(alpha / (number of tasks + 1))` hold
        together (Bonferroni). A task that has been asked whole has its mean."""
        check_alpha(alpha)
        alpha = alpha / (len(self.tasks) + 1) if simultaneous else alpha
        answered, found = self._engine.answered(), {}
        for g, task in enumerate(self.tasks):
            inside = answered[self._task_of[answered] == g]
            if len(inside) == (self._task_of == g).sum():
                mean = float(np.mean([self._answers[j] for j in inside]))
                found[task] = Finding(mean, mean, mean, len(inside))
            else:
                found[task] = _finding(self._engine.part(g), alpha, len(inside))
        return found

    def gain(self) -> float | None:
        """As many times more random questions would have been needed for the interval of `estimate`, by the same
        answers; None where they cannot say."""
        return self._engine.gain()

    @property
    def drawn(self) -> Drawn:
        """The questions of the last `ask`, with what was expected of them and how probable it was to ask them."""
        return self._engine.drawn()

    @property
    def trace(self):
        """What the estimate of a policy that asks one at a time is computed from, `trace.Trace`."""
        if not isinstance(self._engine, OneAtATime):
            raise InputError(f"policy {self.policy.name!r} has rounds, not a trace")
        return self._engine.trace

    # --- kept ----------------------------------------------------------------------------------------

    def _saved(self) -> None:
        if self._autosave is not None:
            self.save(self._autosave)

    def save(self, path: Path | str) -> None:
        """Write what was asked and answered as JSON, whole or not at all."""
        asked = self._engine.asked
        record = {"format": FORMAT, "model": self.model, "seed": int(self.seed), "policy": self.policy.name,
                  "budget": self.budget, "own order": self._own_order, "made of": self._fingerprints,
                  "rounds": self.rounds, "asked": self._names(asked), "answers": [self._answers.get(j) for j in asked]}
        with atomic(path, "w") as stream_:
            json.dump(record | {"checksum": checksum(record)}, stream_, indent=1)

    @staticmethod
    def resume(path: Path | str, factors: Factors, tasks: Sequence[str] | np.ndarray | None = None,
               costs: Sequence[float] | np.ndarray | None = None, autosave: bool = False) -> Session:
        """The session as it was saved, with the factors, tasks and costs it began with; autosave: to this file again.

        Raises InputError if the file is not a session's or was edited, or if something else is given, saying what.
        """
        try:
            record = read_json(path)
        except InputError as error:
            raise InputError(f"{path}: not a saved session ({error})") from None
        if not isinstance(record, dict) or "asked" not in record:
            raise InputError(f"{path}: not a saved session")
        if record.get("format") != FORMAT:
            raise InputError(f"{path}: saved by another version of this library, which cannot be checked; begin anew")
        if record.pop("checksum", None) != checksum(record):
            raise InputError(f"{path}: edited or damaged since it was saved; take a copy that is whole, or begin anew")
        session = Session(factors, record["model"], record["seed"], tasks, budget=record["budget"], costs=costs,
                          policy=record["policy"], own_order=record.get("own order", False))
        changed = [name for name, print_ in session._fingerprints.items() if print_ != record["made of"].get(name)]
        if changed:
            raise InputError(f"{path}: not what the session began with: {', '.join(changed)} changed; resume with the "
                             "same, or begin anew")
        asked, answers = record["asked"], record["answers"]
        for size in record["rounds"]:
            start = len(session.asked)
            again = session.ask(None if session.policy.rounds else size)
            if again != asked[start : start + size]:
                raise InputError(f"{path}: other questions follow on this machine; continue where it began")
            for name, answer in zip(again, answers[start : start + size], strict=True):
                if answer is not None:
                    session.tell(name, answer)
        session._autosave = path if autosave else None
        return session

    @cached_property
    def _fingerprints(self) -> dict[str, str | None]:
        """Of all that the questions and the estimates follow from, by the name that a message gives it."""
        return {"the questions' names": fingerprint(np.asarray(self.factors.questions, str)),
                "the factors V of the questions": fingerprint(self.factors.V),
                "the factors U of the history": fingerprint(self.factors.U),
                "what is believed of a new model": fingerprint(self.factors.prior.mean, self.factors.prior.covariance),
                "the tasks": fingerprint(np.asarray(self.tasks, str), self._task_of) if self.tasks else None,
                "the costs": None if self._costs is None else fingerprint(self._costs)}


def questions_of(budget: int | str, n_questions: int) -> int:
    """A number of questions, or a share such as "5%", rounded down but to no less than one question, as a number of
    questions.

    Raises InputError unless it is one from 1 to N.
    """
    share = _SHARE.fullmatch(budget) if isinstance(budget, str) else None
    if share:  # ⌊N · share⌋ in integers: 2.5% is 25 / 1000
        digits = share[2] or ""
        parts, of = int(share[1] + digits), 100 * 10 ** len(digits)
        if not 0 < parts <= of:
            raise InputError(f"budget {budget!r}: a share of the bank lies above 0% and up to 100%")
        number = max(1, n_questions * parts // of)
    elif isinstance(budget, int | np.integer) and not isinstance(budget, bool):
        number = int(budget)
    else:
        raise InputError(f'budget {str(budget)[:40]!r}: give a number of questions (300) or a share of the bank ("5%")')
    if number < 1:
        raise InputError(f"budget {budget!r}: at least one question is asked")
    if number > n_questions:
        raise InputError(f"budget {budget!r}: the bank has {n_questions:,} questions")
    return number


def budget_of(text: str | int, n_questions: int = 10**15) -> int:
    """A command line's budget as a number of questions; without N, only what is wrong for every bank is refused.

    Raises InputError as `questions_of` does.
    """
    written = isinstance(text, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,15}\s*", text)
    return questions_of(int(text) if written else text, n_questions)


def _tasks(tasks: Sequence[str] | np.ndarray | None, n_questions: int) -> tuple[list[str], np.ndarray]:
    """(names, of each question the number of its task)."""
    if tasks is None:
        return [], np.zeros(n_questions, int)
    given = np.asarray(tasks, object)
    if given.ndim != 1 or len(given) != n_questions:
        count = f"{len(given):,}" if given.ndim == 1 else f"an array of shape {given.shape} as"
        raise InputError(f"{count} tasks for {n_questions:,} questions: give one each, in the factors' order")
    if not all(isinstance(name, str | int | np.integer) for name in given.tolist()):
        raise InputError("tasks: a name each is needed, a text or a whole number")
    names, of = np.unique(given.astype(str), return_inverse=True)
    return [str(name) for name in names], of


def _costs(costs: Sequence[float] | np.ndarray, n_questions: int) -> np.ndarray:
    numbers = np.asarray(costs)
    if numbers.dtype.kind not in "iuf":
        raise InputError(f"costs: one number above 0 for each of the {n_questions:,} questions is needed")
    numbers = numbers.astype(float)
    if numbers.shape != (n_questions,) or not (np.isfinite(numbers) & (numbers > 0)).all():
        raise InputError(f"costs: one number above 0 for each of the {n_questions:,} questions is needed")
    return numbers


def check_alpha(alpha: float) -> None:
    """Raises InputError for what is no error rate, naming what may have been meant: 5, 95 and .95 are .05."""
    if isinstance(alpha, int | float | np.integer | np.floating) and LEAST_ALPHA <= alpha < 0.5:
        return
    meant = ""
    if isinstance(alpha, int | float | np.integer | np.floating) and not isinstance(alpha, bool) and 0.5 < alpha < 100:
        share = alpha if alpha < 1 else alpha / 100
        meant = f"; did you mean {min(share, 1 - share):.3g}?"
    raise InputError(f"alpha {alpha!r}: the error rate of an interval, above 0 (at least {LEAST_ALPHA:g}) and below "
                     f".5{meant}")


def _finding(found: Estimated, alpha: float, asked: int, history: HistoryDiagnosis | None = None) -> Finding:
    band = found.interval(alpha)
    return Finding(float(np.clip(found.theta[0], 0, 1)), float(band.low[0]), float(band.high[0]), asked, history)


def fingerprint(*arrays: np.ndarray) -> str:
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(f"{array.dtype.kind}{array.shape}".encode())
        found.update("\0".join(array.tolist()).encode() if array.dtype.kind == "U" else
                     np.ascontiguousarray(array, "<f8").tobytes())
    return found.hexdigest()


def checksum(record: Mapping[str, object]) -> str:
    return hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16).hexdigest()
