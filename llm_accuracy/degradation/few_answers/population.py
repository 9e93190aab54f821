"""New questions like these, from few answers to some of a bank's: exact e-values whenever one stops.

A claim about new questions takes the bank's N questions as N independent draws (or as independent draws within each of
its tasks, for new questions in the tasks' proportions): D* is the mean of d over the population, and H0 says D* ≥ m.
The candidate answers some of the bank, chosen by all that is known, the baseline's answers and margins included. Two
chances, one after the other: which questions are in the bank, and which of them are asked.

* *The bank.* For a share s in (0, 1) that was fixed before anything was seen, b = (d_1, …, d_N) and

      e(b) = Π_j (1 + s (m − d_j)/(1 − m)) = exp V,      V = Σ_j v_j,   v_j = ln(1 + s (m − d_j)/(1 − m)),

  E e(b) = Π_j (1 + s (m − E d_j)/(1 − m)) ≤ (1 + s (m − D*)/(1 − m))^N ≤ 1 under H0: by independence; by the concavity
  of the logarithm, which allows for tasks whose means differ; and because D* ≥ m.
* *The draws.* V is a sum over the bank as D is, so it is learned as D is (`run`): with p_j what the curves expect of
  v_j

      φ_t = Σ_asked v + Σ_open p + (v_I − p_I)/q_t(I)      has mean V given the bank and all before it,

  so for every number w the capital M_t(w) = Σ_k π_k Π_{u ≤ t} (1 + g_k,u (φ_u − w)/(w − low_u)), 0 ≤ g < 1 fixed before
  draw u, is a supermartingale of mean 1 at most *if V = w*; it need not be one otherwise.
* *Both.* S_t = min_w e^w M_t(w) ≤ e^V M_t(V), hence E[S_τ | bank] ≤ e(b) E[M_τ(V) | bank] ≤ e(b) at every stopping time
  τ, and E S_τ ≤ E e(b) ≤ 1. Further, P(S_t ≥ 1/α for some t | bank) ≤ min(1, α e(b)) (Ville), of mean α at most. So S
  is an e-process for H0 although the questions were chosen adaptively. The mean of several, one for each s, is another.

w + ln M is convex in w as long as no g depends on w, so its minimum is found for certain (`populations`). All asked: V
is known, and S is e(b) less what the bettor who bets nothing does not own.

The same holds for new answers to these very questions, if every answer is drawn independently of the others: then d_j
has a mean E d_j of its own, and the first step uses no more. Questions that belong together are not independent:
refused.

H0: D* ≤ m is the mirror image. Limits: H0 is tested for the values of a fixed list, from the largest down, and the
limit is the last that is rejected, all before it being, too; the first true one is rejected with probability α at most.
"""

from __future__ import annotations

import numpy as np

from ...populations import TINY, least_evidence
from .betting import BOLDEST
from .curves import Curves, Known
from .run import LEAST_VARIANCE, Run, round_sizes

SHARES = (0.9, 0.5, 0.2, 0.08)  # s, each with the same part of the capital
NOTHING = 0.2  # part of the capital of the bettor who bets nothing
LEADS = 0.5  # of those who bet on what the curves expect, shared by AIMS
AIMS = (2.0, 0.0, -4.0)  # the w that they bet against
FIXED = (0.6, 0.2, 0.06, 0.02)  # shares g of the bettors who do not look at the curves
LEAST_GAP = 0.3  # of N ln(1 + s m/(1 − m)), V without a flip: V is taken to be no less than that
ROWS = 4  # simulated runs without a flip
LIST = (0.5, 0.35, 0.25, 0.18, 0.13, 0.1, 0.08, 0.065, 0.055, 0.045, 0.038, 0.032, 0.027, 0.023, 0.02, 0.017, 0.014,
        0.012, 0.01, 0.0085, 0.007, 0.006, 0.005, 0.004, 0.003, 0.002, 0.001)  # of drops, down to none, for limits


def payoff(d: np.ndarray, margin: float, share: float | np.ndarray) -> np.ndarray:
    """v of differences d ≤ 1."""
    return np.log1p(share * (margin - d) / (1 - margin))


class Rounds:
    """A run's rounds as they were drawn, once for all margins. `each`: the round, what was open, P(lost | right) and
    P(gained | wrong) of every question, w and 1/w (0 where not open), (rows, N) each, w of what was asked and Σ_open w
    at each draw, (rows, B)."""

    def __init__(self, run: Run):
        self.run = run
        self.each = []
        for one, is_open, w in run.as_drawn():
            mine = np.take_along_axis(w, one.asked, 1)
            left = np.maximum(1 - np.cumsum(mine, 1) + mine, mine)
            inverse = np.divide(1, w, out=np.zeros_like(w), where=is_open)
            self.each.append((one, is_open, one.weights @ run.curves.down, one.weights @ run.curves.up, inverse, mine,
                              left))
        self.open = np.ones((run.rows, run.known.size), bool)
        np.put_along_axis(self.open, run.column("asked").astype(int), False, 1)


class Totals:
    """V of a run, for one margin, every share s, and one direction (1: H0 says the drop is `margin` or more; −1: of
    −d).

    phi, low, mean, variance  (shares, rows, T) φ_t, the least it could have been, its mean and variance as expected
    least, most               (shares, rows) V lies between them, by the answers
    """

    def __init__(self, rounds: Rounds, margin: float, sign: int):
        run = rounds.run
        x, shares = run.known.scores, np.array(SHARES)[:, None, None]
        same, lost, gained = (payoff(sign * d[None, None], margin, shares) for d in (np.zeros_like(x), x, x - 1))
        worst, best = np.minimum(lost, gained), np.maximum(lost, gained)
        columns: list[tuple[np.ndarray, ...]] = []
        total = np.zeros((len(SHARES), run.rows))
        for one, is_open, down, up, inverse, mine, left in rounds.each:
            p = same + down * (lost - same) + up * (gained - same)
            second = same**2 + down * (lost**2 - same**2) + up * (gained**2 - same**2)
            variance = np.where(is_open, np.maximum(second - p**2, LEAST_VARIANCE * shares**2), 0.0)
            expects = np.take_along_axis(p, one.asked[None], 2)
            rest = np.where(is_open, p, 0.0).sum(2, keepdims=True) - np.cumsum(expects, 2) + expects
            v = payoff(sign * one.d, margin, shares)
            known = total[:, :, None] + np.cumsum(v, 2) - v + rest
            # (worst − p)/w is 0 where a question is not open, and at most 0 where it is.
            least = ((worst - p) * inverse).min(2, keepdims=True) * left
            spread = (variance * inverse).sum(2, keepdims=True) * left - variance.sum(2, keepdims=True)
            columns.append((known + (v - expects) * left / mine, known + least, known, np.maximum(spread, TINY)))
            total = total + v.sum(2)
        self.phi, self.low, self.mean, self.variance = (np.concatenate(part, 2) for part in zip(*columns, strict=True))
        self.least, self.most = (total + np.where(rounds.open, end, 0.0).sum(2) for end in (worst, best))
        self._hope = np.maximum(LEAST_GAP * x.size * payoff(np.zeros(1), margin, shares), TINY)

    def bets(self) -> np.ndarray:
        """(bettors, shares, rows, T) bets g, none of which depends on w."""
        found = []
        for aim in AIMS:
            gap = np.maximum(np.maximum(self.mean, self._hope) - aim, 0.1 * self._hope)
            found.append(np.clip(gap / (self.variance + gap**2) * np.maximum(aim - self.low, TINY), 0, BOLDEST))
        return np.stack([*found, *(np.full(self.phi.shape, g) for g in FIXED)])

    def log_s(self) -> np.ndarray:
        """(shares, rows) min_w of w + ln M(w) after all draws, from below."""
        owned = np.r_[np.full(len(AIMS), LEADS / len(AIMS)), np.full(len(FIXED), (1 - NOTHING - LEADS) / len(FIXED))]
        draws, bets = self.phi.shape[2], self.bets()
        return least_evidence(self.phi.reshape(-1, draws), self.low.reshape(-1, draws),
                              bets.reshape(len(bets), -1, draws), owned, NOTHING, self.least.ravel(), self.most.ravel()
                              ).reshape(self.least.shape)


def log_e(rounds: Rounds, margin: float, sign: int = 1) -> np.ndarray:
    """(rows,) ln S after all answers of a run, against "the population's drop is `margin` or more" (sign 1), or "is
    −margin or less" (sign −1), margin in (−1, 1)."""
    return np.logaddexp.reduce(Totals(rounds, margin, sign).log_s(), axis=0) - np.log(len(SHARES))


class Look:
    """What is said of a run of one row after a round, at every drop of the list and the margin."""

    def __init__(self, run: Run, margin: float):
        self._rounds = Rounds(run)
        self._drops = sorted({*LIST, margin, 0.0, -margin, *(-drop for drop in LIST)}, reverse=True)
        self._known: dict[tuple[float, int], float] = {}

    def _log_e(self, drop: float, sign: int) -> float:
        if (drop, sign) not in self._known:
            self._known[drop, sign] = float(log_e(self._rounds, drop, sign)[0])
        return self._known[drop, sign]

    def against(self, drop: float, sign: int, known: float) -> float:
        """ln of the capital against "`drop` or more" (sign −1: of −D*) and against all larger drops of the list;
        `known` where it is no larger than that."""
        if self._log_e(drop, sign) <= known:
            return known
        return max(known, min(self._log_e(one, sign) for one in self._drops if one >= drop))

    def limits(self, alpha: float) -> tuple[float, float]:
        """Of D*, each 1 − alpha, whenever one stops; −1 and 1 where the list excludes nothing."""
        ends = []
        for sign in (1, -1):
            end = 1.0
            for drop in self._drops:
                if self._log_e(drop, sign) < -np.log(alpha):
                    break
                end = drop
            ends.append(end)
        return -ends[1], ends[0]


def least_questions(known: Known, library: Curves, first: int, margin: float, alpha: float, share: float) -> float:
    """Questions after which "not degraded" is first possible of new questions, no flip being seen, to about 6 %; none
    before `first`; infinite where it never is."""
    run = Run(known, library, ROWS, np.random.default_rng([1, known.size]), share)
    for size in round_sizes(known.size, known.size, growth=1.06):
        run.answer(np.zeros(run.ask(size).shape))
        if run.asked >= first and (log_e(Rounds(run), margin) >= -np.log(alpha)).any():
            return float(run.asked)
    return float("inf")
