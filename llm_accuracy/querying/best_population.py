"""Which of K models is best of new questions like a bank's, the bank's N being independent draws of them.

As `best`, with other capitals. For models l and i and d_j = z_l,j − z_i,j let D* be the mean of d in the population. "i
is best" says D* ≤ 0 for every l, and "i is better than l by ε or more" says D* ≤ −ε. With m = 0 or ε and a share s,

    e(bank) = Π_j (1 + s (d_j + m)/(1 − m)) = exp V,      V = Σ_j v_j,      E e(bank) ≤ 1 where that is true,

and V is learned from the questions that both were asked, φ_t = Σ_asked v + v_I/q_t(I), so min_w e^w M_t(w) is an
e-value at every stopping time; the proof is in `degradation/few_answers/population.py`. i is dropped when its e-value
against some l has reached (K − 1)/α (one share of the capital for each l), a pair is tied at (K − 1)/α as in `best`.
Only the leader is looked at. When all questions are asked and several models are left, each of them may be best: the
bank is too small.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..populations import TINY, least_evidence
from .best import BOLDEST, DROPS, PRIOR, Search

SHARES = (0.7, 0.3, 0.12, 0.05)  # s, each with the same part of the capital
AIMS = (2.0, 0.0, -4.0)  # the w that half of the capital bets against
FIXED = (0.5, 0.2, 0.06, 0.02)  # shares g of the bettors who do not look at the answers
OWNED = np.r_[np.full(len(FIXED), 0.3 / len(FIXED)), np.full(len(AIMS), 0.5 / len(AIMS))]
IDLE = 0.2


class PopulationSearch(Search):
    """`Search` whose winner is best, within the tolerance, of new questions; None when all are asked and it is open."""

    def ask(self, expected: np.ndarray | None = None) -> np.ndarray:
        if expected is not None:
            raise InputError("a search about new questions expects no answers")
        return super().ask()

    def _judged(self, alive: np.ndarray, scores: np.ndarray, *_) -> tuple[np.ndarray, np.ndarray]:
        draws = self._draws + scores.shape[1]
        leader = self.leader
        d = self.scores[leader, :draws] - self.scores[alive, :draws]
        others = alive != leader
        covered = np.zeros((self.n_models, self.n_models), bool)
        beaten = np.zeros(alive.size, bool)
        beaten[others] = self._log_e(d[others], 0.0) >= np.log((self.n_models - 1) / (DROPS * self.alpha))
        if self.tolerance > 0:
            level = np.log((self.n_models - 1) / ((1 - DROPS) * self.alpha))
            covered[leader, alive[others]] = self._log_e(d[others], self.tolerance) >= level
        return beaten, covered

    def _log_e(self, d: np.ndarray, margin: float) -> np.ndarray:
        """(pairs,) ln of the e-value against a mean of −margin or less, of d (pairs, T) in the order of asking."""
        if not len(d):
            return np.zeros(0)
        q, farthest, rest = self.chances[: d.shape[1]], self.farthest[: d.shape[1]], self.n_questions - d.shape[1]
        draws = np.arange(d.shape[1])
        open_now = self.n_questions - draws
        each = []
        for share in SHARES:
            v = np.log1p(share * (d + margin) / (1 - margin))
            least, same, most = (float(np.log1p(share * (end + margin) / (1 - margin))) for end in (-1, 0, 1))
            known = np.cumsum(v, 1) - v
            # p = v of no difference, for all open questions
            phi, low = known + open_now * same + (v - same) / q, known + open_now * same + (least - same) * farthest
            mean = (np.cumsum(phi, 1) - phi) / (draws + PRIOR)
            varied = ((v - same) / q) ** 2
            prior = PRIOR * 0.25 * (share * self.n_questions) ** 2
            variance = (np.cumsum(varied, 1) - varied + prior) / (draws + PRIOR)
            bets = [np.full(phi.shape, g) for g in FIXED]
            for aim in AIMS:
                gap = np.maximum(mean - aim, 0.5)
                bets.append(np.clip(gap / (variance + gap**2) * np.maximum(aim - low, TINY), 0, BOLDEST))
            total = v.sum(1)
            each.append(least_evidence(phi, low, np.stack(bets), OWNED, IDLE, total + rest * least,
                                       total + rest * most))
        return np.logaddexp.reduce(each, axis=0) - np.log(len(SHARES))

    def _settled(self, alive: np.ndarray) -> bool:
        return False  # which questions are in the bank is still chance
