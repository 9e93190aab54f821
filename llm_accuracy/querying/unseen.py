"""What a live model's answers leave possible: the interval of growing rounds, widened where they have shown too little.

`round_estimates` learns of a variance from the answers and from what the predictor expects. Where both rest on the same
few answers, they can agree on far too little:

* All answers are alike, to ALIKE of the scale. Then nothing shows how the other questions differ, and a predictor that
  has learned from these answers expects no difference either. Of N questions T are known; with D others that would
  have come out otherwise, none of them is among T random ones with probability about (1 − D/(N − (T − 1)/2))^T, so

      D = (1 − α^(1/T)) (N − (T − 1)/2), at most N − T,

  are not ruled out (for small α T the rule of three), and each of them may have any score. The interval holds what that
  leaves possible. It is missed only if answers are alike that should not be, which has probability α: with D as it is
  no part of α is needed for the other side.

* There is no history. Then the variance is that of a proportion, smaller the rarer surprises seem to be, and the truth
  is where it would be larger. With κ₃/V the slope of the variance in θ, the θ' that are not rejected by their own
  variance, (θ̂ + shift − θ')² ≤ t² (V + SLOPE κ₃/V (θ' − θ̂)), are those of Wilson's interval; they are added. With a
  history κ₃ is a guess that real boards do not bear out (docs/rounds.md, The centre), and this is left out.

Both only widen. Measured in docs/rounds.md, Limits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from .intervals import Interval
from .round_estimates import RoundEstimate, estimate
from .rounds import Round
from .setting import ALPHA

ALIKE = 0.1  # of the scale: answers no further apart are taken to be the same
SLOPE = 0.5  # of κ₃/V: most of Wilson's widening, as the interval has been moved by SKEW of it already


class Allowing:
    """The estimate of a whole bank by growing rounds, its interval widened as the module says.

    plain  the estimate without that; told: whether there is a history
    alike  (rows,) bool, whether all answers are
    """

    def __init__(self, rounds: Sequence[Round], told: bool = True):
        self.plain: RoundEstimate = estimate(rounds)
        self.told, self.theta = told, self.plain.theta
        answers = np.concatenate([one.answers for one in rounds], 1)
        self.alike = alike(answers)
        self._common, self._asked = answers.mean(1), answers.shape[1]

    def interval(self, alpha: float = ALPHA) -> Interval:
        """1 − α; no value in it that the answers exclude."""
        band = self.plain.interval(alpha)
        if not self.told:
            band = _around(band, self._by_their_own_variance(alpha))
        possible = self._none_seen(alpha)
        return Interval(np.where(self.alike, np.minimum(band.low, possible.low), band.low),
                        np.where(self.alike, np.maximum(band.high, possible.high), band.high))

    def _none_seen(self, alpha: float) -> Interval:
        """What is left possible where all answers are alike."""
        size, asked = self.plain.size, self._asked
        share = min((1 - alpha ** (1 / asked)) * (size - (asked - 1) / 2), size - asked) / size
        return self._certain(Interval(self._common - self._common * share, self._common + (1 - self._common) * share))

    def _by_their_own_variance(self, alpha: float) -> Interval:
        plain = self.plain
        if not np.isfinite(plain.se).all():
            return plain.interval(alpha)
        quantile = special.stdtrit(plain.df, 1 - alpha / 2)
        move = quantile**2 * SLOPE * plain.slope / 2
        reach, centre = np.hypot(move, quantile * plain.se), plain.theta + plain.shift + move
        return self._certain(Interval(centre - reach, centre + reach))

    def _certain(self, band: Interval) -> Interval:
        least, most = self.plain.known / self.plain.size, (self.plain.known + self.plain.n_open) / self.plain.size
        return Interval(np.clip(band.low, least, most), np.clip(band.high, least, most))


def alike(answers: np.ndarray) -> np.ndarray:
    """(rows,) bool: whether all of (rows, T) are, to ALIKE of the scale."""
    return np.ptp(answers, axis=1) <= ALIKE


def _around(one: Interval, other: Interval) -> Interval:
    return Interval(np.minimum(one.low, other.low), np.maximum(one.high, other.high))
