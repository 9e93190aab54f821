"""Evaluate a live model, one round of questions at a time: ask, get the answers from anywhere, tell, estimate.

    session = Session(factors, model="my-model")
    for _ in range(10):
        for question in session.ask(64):
            session.tell(question, grade(question))
    print(session.estimate())

What a session has asked and heard is written by `save` and taken up again by `Session.resume`; the same questions
follow. Stopping as soon as a width is reached needs an interval that may be watched (`watch`): the fixed-budget
one of `estimate` covers at a number of questions chosen beforehand.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..errors import InputError
from ..files import atomic
from ..randomness import stream
from .beliefs import Bank
from .confidence_sequence import betting, watched
from .estimates import Estimate, sub_score, without_replacement
from .factors import Factors
from .intervals import interval
from .querier import Querier
from .setting import ALPHA, MIXTURE_SETTING
from .trace import Trace


class _Asked(NamedTuple):
    """One question: its number, drawing probability and predicted score, and Σ p of the questions that might have been
    asked, over the bank and by task (tasks,)."""

    question: int
    q: float
    p: float
    expected: float
    by_task: np.ndarray


@dataclass(frozen=True, repr=False)
class Finding:
    """What the answers say of an accuracy.

    theta      the estimate, clipped to [0, 1]
    low, high  the ends of its interval
    asked      the number of answered questions it rests on
    """

    theta: float
    low: float
    high: float
    asked: int

    def __repr__(self) -> str:
        return f"Finding({self.theta:.4f}, {self.low:.4f} to {self.high:.4f}, from {self.asked:,} questions)"

    def to_dict(self) -> dict[str, float | int]:
        """Plain numbers by name, as JSON takes them."""
        return asdict(self)


class Session:
    """One model under evaluation: faq-mix without replacement, its untuned setting.

    factors  of the history; questions go by its names
    model    its name, which with `seed` keys the random numbers
    tasks    (N,) names of the questions' tasks, for `sub_scores`; optional
    """

    def __init__(self, factors: Factors, model: str, seed: int = 0, tasks: np.ndarray | None = None):
        self.factors, self.model, self.seed = factors, model, seed
        self.n_questions, self.rank = factors.V.shape
        self._number = {str(name): i for i, name in enumerate(factors.questions)}
        names, of = ([], np.zeros(self.n_questions, int)) if tasks is None else np.unique(tasks, return_inverse=True)
        self.tasks, self._task_of = [str(name) for name in names], of
        self._querier = Querier(Bank.of(factors.V), factors.prior, [MIXTURE_SETTING], self.n_questions, "without",
                                "faq-mix")
        self._stream = stream("session", model, seed)
        self.rounds: list[int] = []
        self._steps: list[_Asked] = []
        self._step_of: dict[int, int] = {}  # of a question asked, the step
        self._answers: dict[int, float] = {}

    @property
    def asked(self) -> list[int]:
        """Numbers of the questions asked so far."""
        return [step.question for step in self._steps]

    def __repr__(self) -> str:
        return f"Session({self.model}: {len(self._answers):,} of {self.n_questions:,} questions answered)"

    @property
    def outstanding(self) -> list[str]:
        """Names of the questions asked and not answered yet."""
        return [str(self.factors.questions[j]) for j in self.asked if j not in self._answers]

    def ask(self, batch: int = 1) -> list[str]:
        """The names of the next `batch` questions, fewer at the end of the bank.

        Raises InputError while answers to the last round are outstanding.
        """
        if self.outstanding:
            raise InputError(f"{len(self.outstanding)} questions are not answered yet, {self.outstanding[0]} first")
        batch = min(batch, self.n_questions - len(self._steps))
        by_task = self._expected_by_task()
        for number in self._querier.ask_batch(torch.as_tensor(self._stream.random(batch)[None])):
            step = self._querier.step(number)
            question, p = int(step.asked[0]), float(step.p[0])
            self._steps.append(_Asked(question, float(step.q[0]), p, float(step.expected[0]), by_task.copy()))
            self._step_of[question] = number
            by_task[self._task_of[question]] -= p
        self.rounds.append(batch)
        return [str(self.factors.questions[step.question]) for step in self._steps[len(self._steps) - batch :]]

    def _expected_by_task(self) -> np.ndarray:
        open_p = self._querier.beliefs.p[0, : self.n_questions].to(torch.float64).cpu().numpy()
        return np.bincount(self._task_of, open_p, max(1, len(self.tasks)))

    def tell(self, question: str, score: float) -> None:
        """Take the score in [0, 1] of a question asked; the last answer of a round is when the session learns.

        Raises InputError for a question that is not outstanding or a score outside [0, 1].
        """
        j = self._number.get(question)
        if j not in self._step_of or j in self._answers:
            raise InputError(f"question {question!r} has not been asked, or its answer is there already")
        if not 0 <= score <= 1:
            raise InputError(f"question {question!r}: score {score}; scores lie in [0, 1]")
        self._answers[j] = float(score)
        self._querier.answer(self._step_of[j], torch.tensor([float(score)]))

    # --- what is known -----------------------------------------------------------------------------

    @property
    def trace(self) -> Trace:
        """Of one row and as many steps as are answered without a gap."""
        steps = list(itertools.takewhile(lambda step: step.question in self._answers, self._steps))
        if not steps:
            raise InputError("nothing has been answered yet, so there is nothing to estimate")
        asked, q, p, expected, _ = (np.array(column) for column in zip(*steps, strict=True))
        answers = np.array([self._answers[j] for j in asked])
        total = np.cumsum(answers) - answers + expected
        return Trace(asked[None], answers[None], q[None], p[None], total[None])

    def estimate(self, alpha: float = ALPHA) -> Finding:
        """Accuracy on the whole bank, from the questions answered so far."""
        trace = self.trace
        return _finding(without_replacement(trace, self.n_questions, self.rank, lifted=True), alpha,
                        trace.asked.shape[1])

    def watch(self, alpha: float = ALPHA, exact: bool = False) -> Finding:
        """The same with an interval that may be looked at after every answer, see `confidence_sequence`. exact: by
        betting, which claims its α at any number of answers and any accuracy, and is wider."""
        trace = self.trace
        if exact:
            theta = without_replacement(trace, self.n_questions, self.rank, lifted=True).theta[0]
            # Sized for a tenth of the bank, whatever the number of answers: else every look would be another bet.
            band = betting(trace, self.n_questions, MIXTURE_SETTING.tau, alpha, self.n_questions // 10 + 1)
            low, high = band.low[0], band.high[0]
        else:
            low, theta, high = (column[0, -1] for column in watched(trace, self.n_questions, self.rank, alpha))
        return Finding(float(np.clip(theta, 0, 1)), float(low), float(high), trace.asked.shape[1])

    def sub_scores(self, alpha: float = ALPHA, simultaneous: bool = False) -> dict[str, Finding]:
        """Accuracy by task. simultaneous: all intervals and that of `estimate(alpha / (number of tasks + 1))` hold
        together (Bonferroni)."""
        trace, found = self.trace, {}
        asked = trace.asked[0]
        alpha = alpha / (len(self.tasks) + 1) if simultaneous else alpha
        for g, task in enumerate(self.tasks):
            inside = self._task_of[asked] == g
            right = np.where(inside, trace.answers[0], 0)
            totals = np.cumsum(right) - right + [step.by_task[g] for step in self._steps[: len(asked)]]
            size = int((self._task_of == g).sum())
            found[task] = _finding(sub_score(trace, totals[None], inside[None], size, self.n_questions, self.rank),
                                   alpha, int(inside.sum()))
        return found

    # --- kept ----------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write what was asked and answered as JSON, whole or not at all."""
        names = [str(self.factors.questions[j]) for j in self.asked]
        record = {"model": self.model, "seed": self.seed, "rounds": self.rounds, "asked": names,
                  "answers": [self._answers.get(j) for j in self.asked]}
        with atomic(path, "w") as stream_:
            json.dump(record, stream_, indent=1)

    @staticmethod
    def resume(path: Path, factors: Factors, tasks: np.ndarray | None = None) -> Session:
        """Raises InputError if the file is not a session's, or other questions follow from these factors."""
        try:
            record = json.loads(Path(path).read_text())
            session = Session(factors, record["model"], record["seed"], tasks)
            asked, answers = record["asked"], record["answers"]
            for size in record["rounds"]:
                start = len(session.asked)
                if session.ask(size) != asked[start : start + size]:
                    raise InputError(f"{path}: these factors ask other questions; resume with those it began with")
                for name, answer in zip(asked[start : start + size], answers[start : start + size], strict=True):
                    if answer is not None:
                        session.tell(name, answer)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a saved session ({error})") from None
        return session


def _finding(found: Estimate, alpha: float, asked: int) -> Finding:
    band = interval(found.theta, found.se, alpha, found.df)
    return Finding(float(np.clip(found.theta[0], 0, 1)), float(band.low[0]), float(band.high[0]), asked)
