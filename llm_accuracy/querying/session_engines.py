"""What a session needs of the engine beneath it, and the two there are: growing rounds, and one question at a time.

An engine has one row, knows questions by their numbers and is told answers; names, files and messages are `session`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ..errors import InputError
from .beliefs import Bank
from .confidence_sequence import betting, watched
from .designs import kinds_of_questions, schedule
from .diagnosis import HistoryDiagnosis, Promise, diagnose
from .estimates import sub_score, without_replacement
from .factors import Factors
from .intervals import Interval
from .passes import Passes
from .policies import Policy
from .predictors import FactorPredictor
from .querier import Querier
from .recalibration import Recalibrated
from .round_estimates import RoundEstimate, estimate
from .rounds import Round, Rounds
from .setting import DEFAULT_SETTING, Setting
from .trace import Trace
from .unseen import Allowing, alike

NOTHING_YET = "nothing has been answered yet, so there is nothing to estimate"


class Estimated(Protocol):
    """An estimate of one row, by either engine."""

    @property
    def theta(self) -> np.ndarray: ...

    def interval(self, alpha: float) -> Interval: ...


class Drawn(NamedTuple):
    """The questions that were asked together, and all that an estimate needs of them but their answers; (B,) each.

    questions    numbers
    predicted    p, the outcome expected beforehand
    probability  of being asked: π of a round, or q at its step where one is asked after the other
    expected     Σ p of the open questions of the bank before each was drawn
    """

    questions: list[int]
    predicted: list[float]
    probability: list[float]
    expected: list[float]


class Evaluation(Protocol):
    """One model being asked."""

    @property
    def asked(self) -> list[int]:
        """Questions, in the order in which they were asked."""

    def ask(self, size: int | None, random: np.random.Generator) -> list[int]:
        """The next questions, none where there are no more; `size` of them, where it is the caller who says."""

    def answer(self, question: int, score: float) -> None:
        """Of a question asked and not answered yet."""

    def answered(self) -> np.ndarray:
        """The questions that estimates rest on now. Raises InputError while there are none."""

    def estimate(self) -> Estimated:
        """Of the accuracy on the bank. Raises InputError while nothing has been answered."""

    def part(self, task: int) -> Estimated:
        """The same of one task."""

    def watch(self, alpha: float, exact: bool, planned: int | None) -> tuple[float, float, float]:
        """(low, θ̂, high), valid at every look. Raises InputError where the engine has none."""

    def drawn(self) -> Drawn:
        """The last questions asked."""

    def history(self) -> HistoryDiagnosis | None:
        """How well the history has served, where that is known."""

    def gain(self) -> float | None:
        """The variance of as many random questions, by the same answers, over that of the estimate."""


class InRounds:
    """Growing rounds, whose sizes follow from the budget. Estimates rest on the rounds whose answers are all there."""

    def __init__(self, factors: Factors, budget: int, policy: Policy, task_of: np.ndarray, n_tasks: int,
                 costs: np.ndarray | None, alike: np.ndarray | None):
        assert policy.rounds is not None
        self.policy, self.task_of = policy, task_of
        self.asked: list[int] = []
        n_questions, prior = len(factors.V), factors.prior
        self._sizes = schedule(budget, n_questions, policy.rounds.first, policy.rounds.growth)
        groups = np.column_stack([np.ones(n_questions), *(task_of == g for g in range(n_tasks))])
        # Stated factors tell no kinds apart but the tasks themselves.
        strata = task_of if factors.stated is not None else kinds_of_questions(
            factors.V, prior.covariance, policy.rounds.kinds)
        predictor = Recalibrated(FactorPredictor(Bank.unpadded(factors.V), prior, 1))
        tau = (policy.setting or DEFAULT_SETTING).tau
        self._rounds = Rounds(predictor, 1, n_questions, tau, costs, strata, groups, alike=alike)
        self._promise, self._told = Promise.of(factors), factors.told
        self._step_of: dict[int, int] = {}

    def ask(self, size: int | None, random: np.random.Generator) -> list[int]:
        if size is not None:
            raise InputError("the sizes of growing rounds follow from the budget: call ask() without a number")
        if len(self._rounds.rounds) == len(self._sizes):
            return []
        # Of a whole bank's last round nothing is chosen, but its number is drawn: other budgets' rounds stay the same.
        steps = self._rounds.ask_batch(torch.tensor([random.random()], dtype=torch.float64),
                                       self._sizes[len(self._rounds.rounds)])
        questions = [int(self._rounds.question(step)[0]) for step in steps]
        self._step_of |= dict(zip(questions, steps, strict=True))
        self.asked.extend(questions)
        return questions

    def answer(self, question: int, score: float) -> None:
        self._rounds.answer(self._step_of[question], torch.tensor([score], dtype=torch.float64))

    def _complete(self) -> list[Round]:
        rounds = [one for one in self._rounds.rounds if not np.isnan(one.answers).any()]
        if not rounds:
            raise InputError(NOTHING_YET if not self._rounds.rounds else
                             "the first round is not complete, so there is nothing to estimate")
        return rounds

    def answered(self) -> np.ndarray:
        return np.concatenate([one.asked[0] for one in self._complete()])

    def estimate(self) -> Allowing:
        return Allowing(self._complete(), self._told)

    def part(self, task: int) -> RoundEstimate:
        return estimate(self._complete(), task + 1, self.task_of == task)

    def drawn(self) -> Drawn:
        *before, last = self._rounds.rounds
        expected = float(last.known[0, 0]) - sum(float(one.answers.sum()) for one in before)
        return Drawn(last.asked[0].tolist(), last.p[0].tolist(), last.pi[0].tolist(), [expected] * last.asked.shape[1])

    def watch(self, alpha: float, exact: bool, planned: int | None) -> tuple[float, float, float]:
        raise InputError(f"policy {self.policy.name!r}: its intervals hold at the end of a round chosen beforehand; "
                         'one that may be watched needs policy="faq-mix"')

    def history(self) -> HistoryDiagnosis:
        rounds = self._complete()
        return HistoryDiagnosis.of(diagnose(rounds, estimate(rounds), self._promise), self._promise, told=self._told)

    def gain(self) -> float | None:
        return self.history().gain


class _Asked(NamedTuple):
    """One question: its number, drawing probability and predicted score, and Σ p of the questions that might have been
    asked, over the bank and by task (tasks,)."""

    question: int
    q: float
    p: float
    expected: float
    by_task: np.ndarray


class OneAtATime:
    """A drawing policy without replacement, in batches of any size. Estimates rest on as many questions as are answered
    without a gap."""

    def __init__(self, factors: Factors, budget: int, policy: Policy, task_of: np.ndarray, n_tasks: int):
        self.policy, self.task_of, self._n_tasks = policy, task_of, n_tasks
        self._n_questions, self._rank = factors.V.shape
        self._left, self._last = budget, 0
        self.setting: Setting = policy.setting or DEFAULT_SETTING
        # Plain passes: what is asked must not depend on whether a machine has a compiler.
        self._querier = Querier(Bank.of(factors.V), factors.prior, [self.setting], budget, "without", policy,
                                Passes(compiled=False))
        self._steps: list[_Asked] = []
        self._step_of: dict[int, int] = {}  # of a question asked, the step
        self._answers: dict[int, float] = {}

    @property
    def asked(self) -> list[int]:
        return [step.question for step in self._steps]

    def ask(self, size: int | None, random: np.random.Generator) -> list[int]:
        batch = min(1 if size is None else size, self._left)
        self._left -= batch
        self._last = batch
        by_task = self._expected_by_task()
        for number in self._querier.ask_batch(torch.as_tensor(random.random(batch)[None])):
            step = self._querier.step(number)
            question, p = int(step.asked[0]), float(step.p[0])
            self._steps.append(_Asked(question, float(step.q[0]), p, float(step.expected[0]), by_task.copy()))
            self._step_of[question] = number
            by_task[self.task_of[question]] -= p
        return self.asked[len(self._steps) - batch :]

    def _expected_by_task(self) -> np.ndarray:
        open_p = self._querier.beliefs.p[0, : self._n_questions].to(torch.float64).cpu().numpy()
        return np.bincount(self.task_of, open_p, max(1, self._n_tasks))

    def answer(self, question: int, score: float) -> None:
        self._answers[question] = score
        self._querier.answer(self._step_of[question], torch.tensor([score]))

    @property
    def trace(self) -> Trace:
        """Of one row and as many steps as are answered without a gap."""
        steps = self._complete()
        asked, q, p, expected = (np.array(column) for column in list(zip(*steps, strict=True))[:4])
        answers = np.array([self._answers[j] for j in asked])
        total = np.cumsum(answers) - answers + expected
        return Trace(asked[None], answers[None], q[None], p[None], total[None])

    def _complete(self) -> Sequence[_Asked]:
        steps = list(itertools.takewhile(lambda step: step.question in self._answers, self._steps))
        if not steps:
            raise InputError(NOTHING_YET)
        return steps

    def answered(self) -> np.ndarray:
        return np.array([step.question for step in self._complete()])

    def estimate(self) -> Estimated:
        return without_replacement(self.trace, self._n_questions, self._rank, lifted=True)

    def part(self, task: int) -> Estimated:
        trace = self.trace
        inside = self.task_of[trace.asked[0]] == task
        right = np.where(inside, trace.answers[0], 0)
        totals = np.cumsum(right) - right + [step.by_task[task] for step in self._complete()]
        size = int((self.task_of == task).sum())
        return sub_score(trace, totals[None], inside[None], size, self._n_questions, self._rank)

    def drawn(self) -> Drawn:
        last = self._steps[-self._last :]
        return Drawn([step.question for step in last], [step.p for step in last], [step.q for step in last],
                     [step.expected for step in last])

    def watch(self, alpha: float, exact: bool, planned: int | None) -> tuple[float, float, float]:
        if not exact:
            low, theta, high = (column[0, -1] for column in watched(self.trace, self._n_questions, self._rank, alpha))
            return float(low), float(theta), float(high)
        # Sized for one number of answers, by default a tenth of the bank: else every look would be another bet.
        band = betting(self.trace, self._n_questions, self.setting.tau, alpha, planned or self._n_questions // 10 + 1)
        return float(band.low[0]), float(self.estimate().theta[0]), float(band.high[0])

    def history(self) -> None:
        return None

    def gain(self) -> float | None:
        trace, found = self.trace, self.estimate()
        (answers,), (q,), variance = trace.answers, trace.q, float(found.se[0]) ** 2  # type: ignore[attr-defined]
        if not 0 < variance < np.inf or alike(trace.answers)[0]:
            return None
        mean, open_ = np.clip(found.theta[0], 0, 1), self._n_questions - np.arange(len(answers))
        # Of partial credit the mean of z(1 − z) is missing from S²; a draw stands for 1/(q n) of the open questions.
        graded = np.average(answers * (1 - answers), weights=1 / (q * open_))
        spread = max(mean * (1 - mean) - graded, 0)
        return float((1 - len(answers) / self._n_questions) * spread / len(answers) / variance)
