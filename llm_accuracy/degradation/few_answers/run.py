"""The candidate is asked in rounds: unequal draws without replacement, on what is expected of every question's d.

A *row* is one run of the design; a live run has one row, a simulation many. In round r, from all answers before it,

    weights of the curves      ∝ prior · likelihood of the answers                               (`curves`)
    p_j                        the mean that they expect of d_j, each weighted by 1/Σ_j of its standard deviations
    h_j                        the average of their best draws: each curve's standard deviation of d_j, of sum 1
    w_j                        (1 − s) h_j + s/n over the n open questions, s the uniform share

and B questions are drawn one after another, each open j with probability q_t(j) = w_j/Σ_open w: those with the B least
E_j/w_j, E standard exponential, in that order. So for every draw, given all before it and the answers to them,

    φ_t = Σ_asked d + Σ_open p + (d_I − p_I)/q_t(I)      has mean Σ_j d_j.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ...errors import InputError
from .curves import Curves, Known

SHARE = 0.3  # uniform share of every draw
FIRST, GROWTH = 8, 1.2  # questions of the first round, and how many times larger each next one is
SAME = 1e-12  # scores that differ by less are one
LEAST_VARIANCE = 1e-6  # of any d: what the curves take for certain is drawn all the same


@dataclass
class Drawn:
    """One round of every row; arrays (rows, B) in the order of the draws unless said.

    asked    the questions; d their differences, NaN until they are answered; x the baseline's scores
    p, q     what was expected of d, and the probability of this draw given those before
    known    Σ_asked d + Σ_open p at this draw (filled in when the round is answered)
    low, high  the least and the most that φ_t could have been, whatever the open questions' d are
    spread   (rows, B) the variance expected of φ_t
    reach    (rows, B) Σ_open 1/q: by how much flips that depend on nothing would make φ_t vary
    farthest (rows, B) the largest 1/q of an open question
    certain_low, certain_high  Σ d_j of the whole bank lies between them, by the answers before this draw
    weights  (rows, K) of the curves when it was drawn
    """

    asked: np.ndarray
    d: np.ndarray
    p: np.ndarray
    q: np.ndarray
    known: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray
    reach: np.ndarray
    farthest: np.ndarray
    certain_low: np.ndarray
    certain_high: np.ndarray
    weights: np.ndarray

    @property
    def phi(self) -> np.ndarray:
        """(rows, B) φ_t."""
        return self.known + (self.d - self.p) / self.q


@dataclass
class Run:
    """Runs side by side, asked in rounds: `ask(size)` draws a round of every row, `answer(d)` takes the differences.

    known   of the bank's N questions
    curves  the library that expects flips
    rows    runs
    rng     where draws come from
    share   the uniform share, in (0, 1]

    Raises InputError for a share outside (0, 1]: without one, a question could have no chance of being asked.
    """

    known: Known
    curves: Curves
    rows: int
    rng: np.random.Generator
    share: float = SHARE
    rounds: list[Drawn] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"the uniform share is {self.share:g}: it must lie above 0, and be at most 1")
        x, down, up = self.known.scores, self.curves.down, self.curves.up
        self._mean = x * down - (1 - x) * up
        self._second = x**2 * down + (1 - x) ** 2 * up
        spread = np.sqrt(np.maximum(self._second - self._mean**2, LEAST_VARIANCE))
        self._size = spread.sum(1)  # of each curve: as φ_t varies by its own best draws, if it is right
        self._best = spread / self._size[:, None]  # those draws
        self._log = np.log(self.curves.prior) + np.zeros((self.rows, 1))
        self._open = np.ones((self.rows, x.size), bool)
        self._sum, self._flips = np.zeros(self.rows), np.zeros(self.rows, int)
        self._least = np.full(self.rows, float((x - 1).sum()))  # Σ of the open questions' least d
        self._most = np.full(self.rows, float(x.sum()))

    @property
    def asked(self) -> int:
        """Questions asked of every row."""
        return sum(one.asked.shape[1] for one in self.rounds)

    @property
    def weights(self) -> np.ndarray:
        """(rows, K) of the curves, by the answers so far."""
        relative = np.exp(self._log - self._log.max(1, keepdims=True))
        return relative / relative.sum(1, keepdims=True)

    @property
    def flips(self) -> np.ndarray:
        """(rows,) questions seen to differ."""
        return self._flips

    @property
    def total(self) -> np.ndarray:
        """(rows,) Σ d over the questions asked."""
        return self._sum

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """(p, E (d − p)²), (rows, N) each, of every question's d.

        p is what errors relative to each curve's own size make best. The plain mean would be that of the curves with
        many flips, and what p then adds to φ_t can be more than all that varies by the flips of a gentle candidate.
        """
        weights = self.weights
        relative = weights / self._size
        p = relative / relative.sum(1, keepdims=True) @ self._mean
        return p, np.maximum(weights @ self._second - 2 * p * (weights @ self._mean) + p**2, LEAST_VARIANCE)

    def ask(self, size: int) -> np.ndarray:
        """(rows, B) the questions of the next round, in the order of the draws.

        Raises InputError while a round is unanswered, or where fewer than `size` questions are open.
        """
        n = self.known.size - self.asked
        if self.rounds and np.isnan(self.rounds[-1].d).any():
            raise InputError("the last round is not answered yet")
        if not 1 <= size <= n:
            raise InputError(f"a round of {size} questions: {n} are open")
        p, variance = self.expected()
        w = self._chances(self.weights, self._open)
        with np.errstate(divide="ignore"):
            race = self.rng.standard_exponential(w.shape) / w
        first = np.argpartition(race, size - 1, axis=1)[:, :size] if size < race.shape[1] else np.argsort(race, axis=1)
        order = np.take_along_axis(race, first, 1).argsort(1)
        asked = np.take_along_axis(first, order, 1)
        self.rounds.append(self._drawn(asked, p, variance, w))
        return asked

    def _chances(self, weights: np.ndarray, is_open: np.ndarray) -> np.ndarray:
        """(rows, N) w_j of a round, adding up to 1; 0 where a question is not open."""
        h = np.where(is_open, weights @ self._best, 0.0)
        return np.where(is_open, (1 - self.share) * h / h.sum(1, keepdims=True)
                        + self.share / is_open.sum(1, keepdims=True), 0.0)

    def as_drawn(self) -> Iterator[tuple[Drawn, np.ndarray, np.ndarray]]:
        """(round, what was open, w) of every round, (rows, N) each, as it was when it was drawn."""
        is_open = np.ones(self._open.shape, bool)
        for one in self.rounds:
            yield one, is_open.copy(), self._chances(one.weights, is_open)
            np.put_along_axis(is_open, one.asked, False, 1)

    def _drawn(self, asked: np.ndarray, p: np.ndarray, variance: np.ndarray, w: np.ndarray) -> Drawn:
        """The round; what depends on its own answers is left for `answer`."""
        mine, expects = np.take_along_axis(w, asked, 1), np.take_along_axis(p, asked, 1)
        left = w.sum(1, keepdims=True) - np.cumsum(mine, 1) + mine  # Σ w over what is open at each draw
        left = np.maximum(left, mine)
        open_p = np.where(self._open, p, 0.0).sum(1, keepdims=True) - np.cumsum(expects, 1) + expects
        x, safe = self.known.scores, np.where(self._open, w, 1.0)
        most = np.where(self._open, (x - p) / safe, -np.inf).max(1, keepdims=True)
        least = np.where(self._open, (x - 1 - p) / safe, np.inf).min(1, keepdims=True)
        spread = np.where(self._open, variance / safe, 0.0).sum(1, keepdims=True) * left - np.where(
            self._open, variance, 0.0).sum(1, keepdims=True)
        reach = np.where(self._open, 1 / safe, 0.0).sum(1, keepdims=True) * left
        farthest = np.where(self._open, 1 / safe, 0.0).max(1, keepdims=True) * left
        blank = np.full(asked.shape, np.nan)
        return Drawn(asked, blank.copy(), expects, mine / left, open_p, open_p + least * left, open_p + most * left,
                     np.maximum(spread, 0.0), reach, farthest, blank.copy(), blank.copy(), self.weights)

    def answer(self, d: np.ndarray) -> None:
        """The differences (rows, B) of the round in flight, in the order of its draws.

        Raises InputError where one is impossible beside the baseline's score.
        """
        one = self.rounds[-1]
        x = self.known.scores[one.asked]
        if d.shape != one.asked.shape or not ((d >= x - 1 - 1e-12) & (d <= x + 1e-12)).all():
            raise InputError("a difference that the baseline's score rules out: candidate scores lie between 0 and 1")
        one.d[:] = d
        before = np.cumsum(d, 1) - d + self._sum[:, None]
        one.known = one.known + before
        one.low, one.high = one.low + before, one.high + before
        one.certain_low = before + self._least[:, None] - np.cumsum(x - 1, 1) + (x - 1)
        one.certain_high = before + self._most[:, None] - np.cumsum(x, 1) + x
        self._sum = self._sum + d.sum(1)
        self._flips = self._flips + (np.abs(d) > SAME).sum(1)
        self._least, self._most = self._least - (x - 1).sum(1), self._most - x.sum(1)
        np.put_along_axis(self._open, one.asked, False, 1)
        self._learn(one.asked, x, d)

    def _learn(self, asked: np.ndarray, x: np.ndarray, d: np.ndarray) -> None:
        """Bayes' rule; partial credit counts as a share of a flip."""
        lost = np.divide(np.maximum(d, 0), x, out=np.zeros(d.shape), where=x > 0)
        gained = np.divide(np.maximum(-d, 0), 1 - x, out=np.zeros(d.shape), where=x < 1)
        for k in range(len(self.curves.prior)):
            down, up = self.curves.down[k][asked], self.curves.up[k][asked]
            self._log[:, k] += (x * (lost * np.log(down) + (1 - lost) * np.log1p(-down))
                                + (1 - x) * (gained * np.log(up) + (1 - gained) * np.log1p(-up))).sum(1)

    def flipped(self) -> np.ndarray:
        """(rows, T) 1 for every answer that differs from the baseline's, by however little, else 0."""
        return (np.abs(self.column("d")) > SAME).astype(float)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows,) each: the least and the largest Σ d that the answers leave possible."""
        return self._sum + self._least, self._sum + self._most

    def column(self, name: str) -> np.ndarray:
        """(rows, T) one column of all rounds (`phi`, `q`, …)."""
        return np.concatenate([getattr(one, name) for one in self.rounds], 1)


def round_sizes(budget: int, n_questions: int, first: int = FIRST, growth: float = GROWTH) -> list[int]:
    """Sizes of the rounds of a budget, each `growth` times the one before; the last takes what is left."""
    sizes: list[int] = []
    left, size = min(budget, n_questions), float(first)
    while left:
        take = min(left, max(1, int(size)))
        if left - take < take / 2:
            take = left
        sizes.append(take)
        left, size = left - take, size * growth
    return sizes
