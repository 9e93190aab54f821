"""Which of K models is best? All that are left are asked the same questions, round by round, and the beaten dropped.

Of models i and l and question j let d_j = z_l,j − z_i,j, D = Σ d_j / N. Questions are drawn one after another without
replacement, question j of the open ones with probability q_t(j); weights of a round are made of earlier rounds and of
what a history knows of the questions. Then y_t = (Σ_asked d + d_I/q_t(I)) / N has mean D given all before it, and
y_t ≥ low_t = (Σ_asked d − max_open 1/q_t) / N.

* *Dropped*. If i is best, D ≤ 0 for every l. So C_t = C_{t−1} (1 + g_t y_t/(−low_t)), l the leader when the round was
  drawn and 0 ≤ g_t < 1 fixed beforehand, is a supermartingale, whichever l is; it reaches 1/α with probability at most
  α (Ville). A model whose capital has is dropped. The best one is dropped with probability at most α, over all rounds.
* *Tied*. For a tolerance ε a second set of capitals bets on y_t + ε for every pair. The search ends when the leader l
  has excluded "i is better than l by more than ε" for all i that are left, at α/(K − 1) each: what was dropped is worse
  than something left (or dropped by it), so l is best within ε.
* All N asked: nothing is left to chance.

α is shared: DROPS of it for the first, the rest for the second. Neither needs a history; weights by it only make the
end come sooner. Scores lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from .designs import schedule

DROPS = 0.8    # share of alpha for dropping models
SHARE = 0.3    # uniform share of every draw
FIRST, GROWTH = 16, 1.15  # questions of the first round, and how many times larger each next one is
FIXED = (0.6, 0.3, 0.15, 0.07, 0.03)  # shares g of the bettors who do not look at the answers
LEADS = 0.6    # share of the capital of the one who does
BOLDEST = 0.95
ROUNDING = 1e-9
PRIOR = 8.0    # draws that what is believed beforehand is worth

Answers = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (models left, questions) → (models, questions) scores


@dataclass
class Search:
    """A search that goes on: `ask` draws a round, `tell` takes its answers, `winner` is there when it has ended.

    n_models, n_questions
    usefulness  (N,) above 0: how much each question is expected to tell, such as √(p(1 − p)) by a history; or None
    alpha       chance that the winner is worse than the best by more than the tolerance
    tolerance   ε, in [0, 1)
    budget      questions at most; None: all. When they are asked and several models are left, it stays open

    Raises InputError for fewer than two models, and for alpha or a tolerance that are none.
    """

    n_models: int
    n_questions: int
    rng: np.random.Generator
    usefulness: np.ndarray | None = None
    alpha: float = 0.05
    tolerance: float = 0.0
    share: float = SHARE
    budget: int | None = None
    left: np.ndarray = field(init=False)  # (K,) bool: not dropped
    calls: int = field(init=False, default=0)  # answers taken, of all models
    dropped_after: np.ndarray = field(init=False)  # (K,) questions; 0 where it is left
    winner: int | None = field(init=False, default=None)
    expects: bool = field(init=False, default=False)  # whether a round had expected answers
    scores: np.ndarray = field(init=False)    # (K, N) answers in the order of asking, NaN where there is none
    chances: np.ndarray = field(init=False)   # (N,) that each question had when it was drawn, in that order
    farthest: np.ndarray = field(init=False)  # (N,) 1 over the least of any question that was open then

    def __post_init__(self) -> None:
        if self.n_models < 2:
            raise InputError("which is best? Two models are needed, or more")
        if not (0 < self.alpha < 0.5 and 0 <= self.tolerance < 1 and 0 < self.share <= 1):
            raise InputError(f"alpha {self.alpha:g}, tolerance {self.tolerance:g}, uniform share {self.share:g}: alpha "
                             "lies above 0 and below .5, the tolerance in [0, 1), the share above 0 up to 1")
        k, n = self.n_models, self.n_questions
        useful = np.ones(n) if self.usefulness is None else np.asarray(self.usefulness, float)
        if useful.shape != (n,) or not (useful > 0).all():
            raise InputError("every question needs a usefulness above 0")
        self._useful = useful
        self.left = np.ones(k, bool)
        self.dropped_after = np.zeros(k, int)
        self.scores = np.full((k, n), np.nan)
        self.chances, self.farthest = np.full(n, np.nan), np.full(n, np.nan)
        self._open = np.ones(n, bool)
        self._sum = np.zeros(k)        # Σ of scores over what was asked
        self._estimate = np.zeros(k)   # Σ_t of (Σ_asked z + z/q), for the leader
        self._disagree = np.full((k, k), PRIOR * 0.25)  # Σ_t of weighted disagreement
        self._draws = 0
        self._capital = np.zeros((k, 1 + len(FIXED)))        # ln, against "i is best"
        self._tied = np.zeros((k, k, 1 + len(FIXED)))        # ln, [l, i] against "i is better than l by more than ε"
        self._covered = np.zeros((k, k), bool)  # [l, i]: "i is better than l by more than ε" was excluded
        self._sizes = schedule(n if self.budget is None else self.budget, n, FIRST, GROWTH)
        self._round = 0
        self._drawn: tuple[np.ndarray, ...] | None = None

    @property
    def asked(self) -> int:
        """Questions asked of those that are left."""
        return self._draws

    def asked_of(self, model: int) -> int:
        """Questions that a model has answered: the first so many."""
        return self._draws if self.left[model] else int(self.dropped_after[model])

    @property
    def leader(self) -> int:
        """The model that is ahead among those left."""
        return int(np.argmax(np.where(self.left, self._estimate, -np.inf)))

    @property
    def ended(self) -> bool:
        """Whether nothing more is asked."""
        return self.winner is not None or (self._drawn is None and self._round >= len(self._sizes))

    @property
    def estimates(self) -> np.ndarray:
        """(K,) the mean of each model's answers to all questions, unbiased after any number of rounds that is fixed
        beforehand, clipped to [0, 1]; of a dropped one by what it was asked. NaN before the first round."""
        asked = np.array([self.asked_of(model) for model in range(self.n_models)])
        with np.errstate(invalid="ignore"):
            drawn = self._estimate / asked / self.n_questions
        return np.clip(np.where(asked == self.n_questions, self._sum / self.n_questions, drawn), 0, 1)

    @property
    def probabilities(self) -> np.ndarray:
        """(B,) that each question of the round that is being asked had when it was drawn."""
        assert self._drawn is not None
        return self._drawn[1]

    def ask(self, expected: np.ndarray | None = None) -> np.ndarray:
        """(B,) the questions of the next round, for all models that are left.

        expected  (K, N) p in [0, 1]: what is expected of every answer, by anything but the answers of this round

        Raises InputError while a round is unanswered, when the search has ended, and for another shape.
        """
        if self._drawn is not None or self.ended:
            raise InputError("the last round is not answered yet" if self._drawn is not None else "it has ended")
        size, n = self._sizes[self._round], int(self._open.sum())
        h = np.where(self._open, self._useful, 0.0)
        w = np.where(self._open, (1 - self.share) * h / h.sum() + self.share / n, 0.0)
        with np.errstate(divide="ignore"):
            race = self.rng.standard_exponential(w.size) / w
        first = np.argpartition(race, size - 1)[:size] if size < w.size else np.arange(w.size)
        asked = first[race[first].argsort()]
        mine = w[asked]
        total = np.maximum(1 - np.cumsum(mine) + mine, mine)  # Σ_open w at each draw
        left = np.flatnonzero(self.left)
        p = np.zeros((left.size, w.size)) if expected is None else expected[left]
        if expected is not None and (expected.shape != (self.n_models, w.size) or not ((p >= 0) & (p <= 1)).all()):
            raise InputError(f"{self.n_models} × {w.size} expected answers between 0 and 1 are needed")
        # A little less than the least (d − p_l + p_i)/q of an open question.
        least = np.array([((-1 - p[[i]] + p) / np.where(self._open, w, 1.0))[:, self._open].min(1)
                          for i in range(left.size)])[:, :, None] * total
        rest = p[:, self._open].sum(1, keepdims=True) - np.cumsum(p[:, asked], 1) + p[:, asked]  # (L, B) Σ_open p
        # How much y varies for each unit of disagreement, if models disagree where the usefulness says.
        squares = h[self._open] ** 2
        spread = float((squares / w[self._open]).sum() / squares.sum()) * total
        self._drawn = asked, mine / total, least, rest, p[:, asked], spread
        now = slice(self._draws, self._draws + asked.size)
        self.chances[now], self.farthest[now] = mine / total, total / w[self._open].min()
        self.expects |= expected is not None
        self._round += 1
        return asked

    def tell(self, scores: np.ndarray) -> None:
        """The answers (models left, B), models in their order, questions as they were asked.

        Raises InputError for another shape, or scores outside [0, 1].
        """
        assert self._drawn is not None
        asked, q, least, rest, p, spread = self._drawn
        alive = np.flatnonzero(self.left)
        if scores.shape != (alive.size, asked.size) or not ((scores >= 0) & (scores <= 1)).all():
            raise InputError(f"{alive.size} × {asked.size} scores between 0 and 1 are needed")
        self.calls += scores.size
        self.scores[alive, self._draws : self._draws + asked.size] = scores
        n = self.n_questions
        known = np.cumsum(scores, 1) - scores + self._sum[alive][:, None] + rest  # (L, B) Σ_asked z + Σ_open p
        phi = known + (scores - p) / q
        d = (scores - p)[:, None, :] - (scores - p)[None, :, :]             # [l, i]
        low = (known[:, None, :] - known[None, :, :] + least) / n
        y = phi[:, None, :] / n - phi[None, :, :] / n
        beaten, covered = self._judged(alive, scores, y, low, *self._expected(alive, spread))
        self._sum[alive] += scores.sum(1)
        self._estimate[alive] += phi.sum(1)
        self._disagree[np.ix_(alive, alive)] += (d**2 / q / n).sum(2)
        self._open[asked] = False
        self._draws += asked.size
        self._drawn = None
        self._after(alive, beaten, covered)

    def _judged(self, alive: np.ndarray, scores: np.ndarray, y: np.ndarray, low: np.ndarray, mean: np.ndarray,
                variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """((L,) who is beaten, (K, K) [l, i] for which "i is better than l by more than ε" is excluded) by a round:
        scores (L, B), y and its least value (L, L, B), what `_expected` says of it."""
        leader = self.leader
        for_best = self._grown(y[alive == leader][0], low[alive == leader][0], mean[alive == leader][0],
                               variance[alive == leader][0], 0.0)
        beaten = self._update(self._capital, (alive,), for_best, 1 / (DROPS * self.alpha))
        covered = np.zeros((self.n_models, self.n_models), bool)
        if self.tolerance > 0:
            grown = self._grown(y, low, mean, variance, self.tolerance)
            level = (self.n_models - 1) / ((1 - DROPS) * self.alpha)
            covered[np.ix_(alive, alive)] = self._update(self._tied, np.ix_(alive, alive), grown, level)
        return beaten, covered

    def _expected(self, alive: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(L, L, 1) what D is taken to be, and (L, L, B) the variance of y, by the rounds before."""
        of_each = self._estimate[alive] / (self._draws + PRIOR) / self.n_questions
        ahead = of_each[:, None] - of_each[None, :]
        rate = self._disagree[np.ix_(alive, alive)] / (self._draws + PRIOR)
        variance = rate[:, :, None] * spread / self.n_questions + 1e-9
        return ahead[:, :, None], variance

    @staticmethod
    def _grown(y: np.ndarray, low: np.ndarray, mean: np.ndarray, variance: np.ndarray, shift: float) -> np.ndarray:
        """(bettors, …, B) ln of the factors of each draw: 1 + g (y + shift)/(−low − shift)."""
        gain, room = y + shift, -(low + shift)
        gap = np.maximum(mean + shift, 0.25 * np.sqrt(variance / 500))
        sure = room < -ROUNDING  # the null is false, as y > −shift whatever the answer is
        none = np.abs(room) <= ROUNDING  # and here it may be true, with nothing to bet but rounding
        safe = np.where(sure | none, 1.0, room)
        kelly = np.clip(gap / (variance + gap**2) * safe, 0, BOLDEST)
        bets = np.stack([kelly, *(np.full(kelly.shape, share) for share in FIXED)])
        return np.where(sure, 50.0, np.where(none, 0.0, np.log1p(bets * np.maximum(gain / safe, -1.0))))

    @staticmethod
    def _update(capital: np.ndarray, at, grown: np.ndarray, level: float) -> np.ndarray:
        """Let capitals grow by a round; whether they reached `level` at any draw of it."""
        begun = np.moveaxis(capital[at], -1, 0)[..., None] + np.cumsum(grown, -1)
        share = np.log(np.r_[LEADS, np.full(len(FIXED), (1 - LEADS) / len(FIXED))])
        total = np.logaddexp.reduce(begun + share.reshape(-1, *([1] * (begun.ndim - 1))), axis=0)
        capital[at] = np.moveaxis(begun[..., -1], 0, -1)
        return (total >= np.log(level)).any(-1)

    def _after(self, alive: np.ndarray, beaten: np.ndarray, covered: np.ndarray) -> None:
        self._covered |= covered
        if not self._open.any() and self._settled(alive):
            return
        leader = self.leader
        for model, out in zip(alive, beaten, strict=True):
            if out and model != leader:
                self.left[model] = False
                self.dropped_after[model] = self._draws
        rest = [model for model in np.flatnonzero(self.left) if model != leader]
        if all(self._covered[leader, model] for model in rest):
            self.winner = leader

    def _settled(self, alive: np.ndarray) -> bool:
        """Whether it is, now that all is asked of `alive`: then nothing is left to chance."""
        self.winner = int(alive[np.argmax(self._sum[alive])])
        return True


def search(answers: Answers, n_models: int, n_questions: int, rng: np.random.Generator,
           kind: type[Search] = Search, **settings) -> Search:
    """Ask until the winner is known; of a `kind` about new questions (`best_population`) it may not be when all are
    asked."""
    made = kind(n_models, n_questions, rng, **settings)
    while not made.ended:
        asked = made.ask()
        made.tell(answers(np.flatnonzero(made.left), asked))
    return made


def usefulness(scores: np.ndarray) -> np.ndarray:
    """(N,) √(p(1 − p)) by a history's scores (models, N), NaN where missing: how often two models may differ.

    p is shrunk towards ½ by two answers, so that nothing is taken for certain.
    """
    seen = ~np.isnan(scores)
    p = (np.nansum(scores, 0) + 1) / (seen.sum(0) + 2)
    return np.sqrt(p * (1 - p))
