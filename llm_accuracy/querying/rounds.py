"""Growing rounds: fixed-size systematic samples whose probabilities learn from every answer so far.

A *row* is one evaluation: one new model under one stream of uniform numbers. Round r has n open questions and asks B of
them. With what the predictor expects of every question (mean p, variance w),

    q ∝ √w, mixed with a uniform share τ            π: Σπ = B, no π above 1                     (`designs`)
    the open questions are put in an order and a systematic sample of them is drawn: B questions, j with probability π_j

    φ_r = Σ_{answered before} z + Σ_{open} p + Σ_{asked now} (z − p)/π,       E[φ_r | all before] = N θ exactly

and θ̂ = Σ a_r φ_r / N with weights a_r that are fixed in advance (`round_estimates`), so that E θ̂ = θ whatever p, q and
the order are. docs/rounds.md derives it and says why it beats one question at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..errors import InputError
from ..randomness import stream
from .designs import TINY, Ranking, choosing, inclusion, schedule, systematic
from .predictors import SCORES, OfScores, Prediction, Predictor

TAU = 0.1
CELLS_AT_ONCE = 1 << 16  # rows × questions of a round that is drawn: the caches hold a dozen such arrays


class Round(NamedTuple):
    """One round of every row, as estimates need it; arrays (rows, B) in the order of the draw, float64 unless said.

    asked     int64, the questions
    answers   their outcomes
    p, pi     the outcome predicted beforehand, and the probability of being asked
    variance  the variance expected of it
    known     (rows, G) Σ z over the answered and Σ p over the open, before the round; over each column of `groups`
    spread    (rows, G) the variance expected of the round's sum, Σ_open w (1 − π)/π
    third     (rows, G) its third central moment
    fourth    (rows, G) how uncertain the variance is that its residuals show: Σ_open E(z − p)⁴ (1 − π)²/π³
    n_open    questions open before the round
    """

    asked: np.ndarray
    answers: np.ndarray
    p: np.ndarray
    pi: np.ndarray
    variance: np.ndarray
    known: np.ndarray
    spread: np.ndarray
    third: np.ndarray
    fourth: np.ndarray
    n_open: int


class Rounds:
    """Evaluations side by side, asked in rounds: `ask_batch` draws a round for every row, `answer` takes the outcomes.

    predictor  what is expected of every question (`predictors.Predictor`), of as many rows
    rows       evaluations
    n_questions  N
    tau        uniform share of every q
    costs      (N,) > 0 of asking each question, by default all alike
    strata     (N,) int, questions that are alike: the order goes through them one after another
    groups     (N, G) 0/1, the subsets whose sums are kept; by default one column, the whole bank
    draw       (π, order, uniform, size) → questions; by default `designs.systematic`
    device     where the predictor's predictions are, and everything is computed
    alike      (N,) permutation, the order among questions that look alike; by default one that depends on N alone. Over
               seeds, then, only so many samples of them are possible: a live session gives one of its own

    Raises InputError for a τ outside (0, 1]: without a uniform share a question could have no chance of being asked.

    The steps of a round are named by numbers, as many as it has questions; their answers may come in any order, and the
    predictor learns when the last one is there.
    """

    def __init__(self, predictor: Predictor, rows: int, n_questions: int, tau: float = TAU,
                 costs: np.ndarray | None = None, strata: np.ndarray | None = None, groups: np.ndarray | None = None,
                 draw: Callable | None = None, device: torch.device | str = "cpu", alike: np.ndarray | None = None):
        if not 0 < tau <= 1:
            raise InputError(f"the uniform share tau is {tau:g}: needs 0 < tau <= 1")
        self.predictor, self.rows, self.n_questions, self.tau = predictor, rows, n_questions, tau
        self.draw, self.device = draw or systematic, device
        self.costs = None if costs is None else self._here(costs, torch.float64)
        self.strata = None if strata is None else self._here(strata)
        self.groups = self._here(np.ones((n_questions, 1)) if groups is None else groups, torch.float64)
        self.rounds: list[Round] = []
        # Questions that look alike are drawn from in an order that has nothing to do with the file's: a file may be
        # periodic, and a systematic sample has a period of its own.
        self._mixed = self._here(stream("ties", n_questions).permutation(n_questions) if alike is None else alike)
        self._ranking = Ranking.of(self._mixed, self.strata)
        self._open = torch.ones(rows, n_questions, dtype=torch.bool, device=device)
        self._values = torch.zeros(rows, n_questions, dtype=torch.float64, device=device)  # z where it is known
        self._asked = torch.zeros(rows, 0, dtype=torch.int64, device=device)
        self._outstanding: set[int] = set()

    def _here(self, array: np.ndarray | torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.as_tensor(array, dtype=dtype, device=self.device)

    @property
    def steps_taken(self) -> int:
        """Questions asked of every row."""
        return self._asked.shape[1]

    def ask_batch(self, uniform: torch.Tensor, size: int) -> range:
        """Draw a round of `size` questions for every row from one uniform number each (rows,); returns its steps.

        Raises InputError while answers are outstanding, or where fewer than `size` questions are open.
        """
        if self._outstanding:
            raise InputError(f"{len(self._outstanding)} questions asked are not answered yet")
        return self.ask(self.drawn(uniform, size)[0])

    def ask(self, drawn: Round) -> range:
        """Ask a round that `drawn` has drawn since the last answer; returns its steps."""
        self.rounds.append(drawn)
        first, asked = self.steps_taken, self._here(drawn.asked)
        self._asked = torch.cat([self._asked, asked], 1)
        self._open.scatter_(1, asked, False)
        self._outstanding = set(range(first, self.steps_taken))
        return range(first, self.steps_taken)

    def drawn(self, uniform: torch.Tensor, *sizes: int) -> list[Round]:
        """The rounds, one of each size, that `ask_batch` would ask now, answers NaN; looking at them asks nothing.

        Raises InputError where fewer questions are open than a round has.
        """
        n_open = self.n_questions - self.steps_taken
        for size in sizes:
            if not 1 <= size <= n_open:
                raise InputError(f"a round of {size} questions: {n_open} are open")
        expected = self.predictor.predict()
        at_once = self.rows if self._mixed.is_cuda else max(1, CELLS_AT_ONCE // self.n_questions)
        chunks = [self._drawn_of(slice(start, start + at_once), expected, uniform, sizes)
                  for start in range(0, self.rows, at_once)]
        return [Round._make([np.concatenate(column) for column in zip(*parts, strict=True)] + [n_open])
                for parts in zip(*chunks, strict=True)]

    def _drawn_of(self, rows: slice, expected: Prediction | OfScores, uniform: torch.Tensor,
                  sizes: Sequence[int]) -> list[list[np.ndarray]]:
        """Of every size, the columns of `drawn` for some of the rows."""
        mean, variance, third, fourth = expected.of_rows(rows)
        q = choosing(variance.sqrt(), self._open[rows], self.tau, self.costs)
        order = self._order(mean, rows)
        known = torch.where(self._open[rows], mean.to(torch.float64), self._values[rows]) @ self.groups
        of_sizes = []
        for size in sizes:
            pi = inclusion(q, size)
            asked = self.draw(pi, order, uniform[rows], size)
            divisor = pi.clamp_min(TINY)
            odds = torch.where(pi > 0, (1 - pi).div_(divisor), 0.0)  # E (I/π − 1)²
            # E (I/π − 1)³ = odds (1 − 2π)/π = odds (odds − 1)
            sums = [array @ self.groups for array in (
                variance * odds, third * odds * (odds - 1),
                torch.where(pi > 0, (fourth * odds**2).div_(divisor), 0.0))]
            chosen = [array.gather(1, asked).to(torch.float64) for array in (mean, pi, variance)]
            unknown = torch.full_like(chosen[0], torch.nan)
            of_sizes.append([column.cpu().numpy() for column in (asked, unknown, *chosen, known, *sums)])
        return of_sizes

    def _order(self, mean: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        """(rows, N), of some of the rows: the open questions by predicted outcome, stratum by stratum, up and down by
        turns so that neighbours are alike across strata as well; equals in an order mixed beforehand; the others
        last."""
        is_open = self._open[rows]
        if self._ranking is not None and mean.dtype == torch.float32 and self.predictor.outcomes == SCORES:
            return self._mixed[self._ranking.order(mean, is_open)]
        key = mean.to(torch.float64)
        if self.strata is not None:
            key = 2 * self.strata + torch.where(self.strata % 2 == 0, key, -key)
        key = torch.where(is_open, key, torch.inf)[:, self._mixed]
        return self._mixed[key.argsort(dim=1, stable=True)]

    def question(self, step: int) -> torch.Tensor:
        """(rows,) the questions asked at a step."""
        return self._asked[:, step]

    def answer(self, step: int, outcomes: torch.Tensor) -> None:
        """Take the outcomes (rows,) of a step, in any order; after the last of a round the predictor learns.

        Raises InputError for a step that is not outstanding, or outcomes outside the predictor's range.
        """
        if step not in self._outstanding:
            raise InputError(f"step {step}: no question of it is waiting for an answer")
        low, high = self.predictor.outcomes
        if not ((outcomes >= low) & (outcomes <= high)).all():
            raise InputError(f"step {step}: an outcome outside [{low:g}, {high:g}]")
        self._hear(slice(step, step + 1), outcomes.unsqueeze(1))

    def answer_batch(self, outcomes: torch.Tensor) -> None:
        """Take all outcomes of the round in flight at once, (rows, B)."""
        self._hear(slice(self.steps_taken - outcomes.shape[1], self.steps_taken), outcomes)

    def _hear(self, steps: slice, outcomes: torch.Tensor) -> None:
        asked, last, outcomes = self._asked[:, steps], self.rounds[-1], self._here(outcomes)
        self._values.scatter_(1, asked, outcomes.to(torch.float64))
        begin = self.steps_taken - last.asked.shape[1]
        last.answers[:, steps.start - begin : steps.stop - begin] = outcomes.cpu().numpy()
        self._outstanding -= set(range(steps.start, steps.stop))
        if not self._outstanding:
            self.predictor.learn(self._asked, self._values.gather(1, self._asked))


class RoundTrace:
    """Evaluations at one or several budgets: their rounds, budget by budget.

    The schedules of two budgets differ in their last rounds only (`designs.schedule`), so the others are shared.
    """

    def __init__(self, by_budget: dict[int, list[Round]]):
        self.by_budget = by_budget

    def first(self, budget: int) -> RoundTrace:
        """The evaluation with this budget, which must be one of those asked for."""
        return RoundTrace({budget: self.by_budget[budget]})

    @staticmethod
    def together(parts: Sequence[RoundTrace]) -> RoundTrace:
        """Evaluations of different rows at the same budgets, as one."""
        return RoundTrace({budget: [_joined(rounds) for rounds in zip(*(part.by_budget[budget] for part in parts),
                                                                      strict=True)] for budget in parts[0].by_budget})

    def of_rows(self, rows: slice) -> RoundTrace:
        """Some of the rows."""
        return RoundTrace({budget: [Round._make(column[rows] if isinstance(column, np.ndarray) else column
                                                for column in one) for one in rounds]
                           for budget, rounds in self.by_budget.items()})

    @property
    def rounds(self) -> list[Round]:
        """Of the largest budget."""
        return self.by_budget[max(self.by_budget)]

    @property
    def asked(self) -> np.ndarray:
        """(rows, T) questions, in the order in which they were asked."""
        return np.concatenate([one.asked for one in self.rounds], 1)


def _joined(rounds: Sequence[Round]) -> Round:
    return Round._make(np.concatenate(column) if isinstance(column[0], np.ndarray) else column[0]
                       for column in zip(*rounds, strict=True))


def evaluate_rounds(engine: Rounds, budgets: Sequence[int], first: int, growth: float, uniforms: np.ndarray,
                    scores: np.ndarray) -> RoundTrace:
    """Ask rows whose answers are all known at several budgets.

    first, growth  of `designs.schedule`
    uniforms       (rows, ≥ rounds) in [0, 1), one number a round, whatever the budget
    scores         (rows, N)
    """
    known, draws = (torch.as_tensor(array, device=engine.device) for array in (scores, uniforms))
    longest = schedule(engine.n_questions, engine.n_questions, first, growth)
    ends: dict[int, dict[int, int]] = {}  # after so many rounds, {budget: the size of its last}
    for budget in sorted(set(budgets)):
        *before, last = schedule(budget, engine.n_questions, first, growth)
        ends.setdefault(len(before), {})[budget] = last
    by_budget = {}
    for number in range(max(ends) + 1):
        here, goes_on = ends.get(number, {}), number < max(ends)
        drawn = engine.drawn(draws[:, number], *here.values(), *longest[number : number + goes_on])
        for budget, final in zip(here, drawn, strict=False):
            answers = np.take_along_axis(scores, final.asked, 1).astype(np.float64)
            by_budget[budget] = [*engine.rounds, final._replace(answers=answers)]
        if goes_on:
            engine.ask(drawn[-1])
            engine.answer_batch(known.gather(1, torch.as_tensor(drawn[-1].asked, device=engine.device)))
    return RoundTrace(by_budget)
