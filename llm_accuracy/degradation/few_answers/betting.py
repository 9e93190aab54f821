"""Verdicts and exact limits from few answers, by betting: valid whenever one stops, whatever the curves say.

Let y_t = φ_t/N, so that E[y_t | past] = D, and low_t ≤ y_t ≤ high_t whatever the answer is (`run`). For H0: D ≥ m

    E_t = E_{t−1} · (1 + g_t (m − y_t)/(high_t − m)),        0 ≤ g_t < 1 fixed before draw t,

is never negative and does not grow in the mean while H0 holds, so it ever reaches 1/α with probability at most α
(Ville). It rises with m at every draw, so the m at which it has reached 1/α have a least one: the exact upper limit.
The capital is shared by several bettors: one, with a share of LEADS, bets what the curves make the best bet against the
margin, the others fixed shares g. H0: D ≤ m is the mirror image. What the answers leave no room for is excluded for
certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from .run import Run

BOLDEST = 0.98  # of the bet that could lose everything
FIXED = (0.9, 0.5, 0.25, 0.12, 0.06, 0.02)  # shares g of the bettors who do not look at the curves
LEADS = 0.6  # share of the capital of the one who does
TINY, ROUNDING = 1e-12, 1e-10
LEAST_GAP = 0.8  # in margins: how much less than the margin a drop is taken to be, at least
HALVINGS = 40  # in the search for a limit


@dataclass(frozen=True, eq=False)
class Draws:
    """What a bettor sees of every draw, (rows, T) each and on the scale of the mean difference: y, the least and the
    most it could have been, the mean and the variance expected of it, and between which values the answers up to and
    with this one leave the drop."""

    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    floor: np.ndarray
    ceiling: np.ndarray

    @staticmethod
    def of(run: Run) -> Draws:
        n = run.known.size
        column = run.column
        last_low, last_high = (bound[:, None] / n for bound in run.bounds())
        floor, ceiling = (np.concatenate([column(name)[:, 1:] / n, last], 1)
                          for name, last in (("certain_low", last_low), ("certain_high", last_high)))
        return Draws(column("phi") / n, column("low") / n, column("high") / n, column("known") / n,
                     np.maximum(column("spread") / n**2, TINY), floor, ceiling)

    @staticmethod
    def of_flips(run: Run) -> Draws:
        """The same of 1 for a flip, else 0, in the place of d, with nothing expected: the share of the bank that flips.
        """
        n, flipped = run.known.size, run.flipped()
        before = np.cumsum(flipped, 1) - flipped
        step = np.arange(flipped.shape[1])
        rate = (before + 0.5) / (step + 1)
        ceiling = (before + flipped + n - step - 1) / n
        return Draws((before + flipped / run.column("q")) / n, before / n, (before + run.column("farthest")) / n, rate,
                     np.maximum(rate * run.column("reach") / n**2, TINY), (before + flipped) / n, ceiling)

    def mirrored(self) -> Draws:
        """Of −d: bets that D is larger become bets that it is smaller."""
        return Draws(-self.y, -self.high, -self.low, -self.mean, self.variance, -self.ceiling, -self.floor)


def against(draws: Draws, margin: float) -> np.ndarray:
    """(rows, T) the bet g against H0: D ≥ margin, which the expected mean and variance make best (Kelly, to second
    order), if the drop is what the answers say but clearly less than the margin."""
    gap = np.clip(margin - draws.mean, LEAST_GAP * abs(margin), 1.5 * abs(margin))
    return _share(gap / (draws.variance + gap**2), draws, margin)


def for_worse(mirror: Draws, margin: float) -> np.ndarray:
    """(rows, T) the bet against H0: D ≤ 0, on mirrored draws, for the drop expected or half the margin, the larger."""
    gap = np.clip(-mirror.mean, margin / 2, None)
    return _share(gap / (mirror.variance + gap**2), mirror, 0.0)


def planned_bets(draws: Draws, alpha: float, planned: int) -> np.ndarray:
    """(rows, T) bets that make an interval narrowest after `planned` draws: c_t = √(2 ln(1/α)/Σ_s V_s⁻¹)/V_t."""
    information = np.cumsum(1 / draws.variance, 1)
    step = np.arange(1, draws.y.shape[1] + 1)
    rest = np.maximum(planned - step, 0) / draws.variance
    c = np.sqrt(2 * np.log(1 / alpha) / (information + rest)) / draws.variance
    return _share(c, draws, draws.mean)


def _share(c: np.ndarray, draws: Draws, m) -> np.ndarray:
    """A bet of c on m − y, as a share of the largest."""
    return np.clip(c * np.maximum(draws.high - m, TINY), 0, BOLDEST)


def log_capital(draws: Draws, m: np.ndarray | float, bets: np.ndarray) -> np.ndarray:
    """(rows, T) ln E_t of H0: D ≥ m, (rows, 1) or a number; infinite from where the answers exclude it for certain."""
    room = draws.high - m
    # Where φ cannot reach m, H0 is false. Where it just may, by no more than rounding, nothing is bet: φ may well lie
    # below m by more than its highest value lies above it, and H0 be true.
    sure = np.where(room < -ROUNDING, 1 / TINY, 0.0)
    odds = np.where(room > ROUNDING, np.maximum((m - draws.y) / np.maximum(room, ROUNDING), -1.0), sure)
    total = np.log(LEADS) + np.cumsum(np.log1p(bets * odds), 1)
    each = np.log((1 - LEADS) / len(FIXED))
    for share in FIXED:
        total = np.logaddexp(total, each + np.cumsum(np.log1p(share * odds), 1))
    return np.where(draws.ceiling < m - TINY, np.inf, total)


def log_e_safe(draws: Draws, margin: float) -> np.ndarray:
    """(rows, T) ln of the capital against "the drop is the margin or more"; the margin may be any number below 1."""
    return log_capital(draws, margin, against(draws, margin))


def log_e_worse(draws: Draws, margin: float) -> np.ndarray:
    """(rows, T) ln of the capital against "the drop is 0 or less"; `margin` says which drops matter."""
    mirror = draws.mirrored()
    return log_capital(mirror, 0.0, for_worse(mirror, margin))


def evidence(draws: Draws, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) ln of the largest capitals so far against "the margin or more" and "0 or less"; −∞ against a null that
    the answers by now leave no doubt of, whatever was won before."""
    floor, ceiling = draws.floor[:, -1], draws.ceiling[:, -1]
    return (np.where(floor >= margin - TINY, -np.inf, log_e_safe(draws, margin).max(1)),
            np.where(ceiling <= TINY, -np.inf, log_e_worse(draws, margin).max(1)))


def upper_limit(draws: Draws, alpha: float, bets: np.ndarray) -> np.ndarray:
    """(rows,) the least m at which the capital of these bets has reached 1/α: above it, every drop is excluded. 1 − α,
    whenever one stops."""
    if not 0 < alpha < 1:
        raise InputError(f"alpha = {alpha:g} must lie between 0 and 1")
    low, high = draws.floor[:, -1].copy(), draws.ceiling[:, -1].copy()
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        out = log_capital(draws, middle[:, None], bets).max(1) >= -np.log(alpha)
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    return high


def most_unseen(run: Run, alpha: float, planned: int) -> np.ndarray:
    """(rows,) at most so many of the questions not asked flip, by however little; exact, 1 − α, whenever one stops, if
    `planned` questions, after which it is narrowest, was fixed before the first."""
    draws = Draws.of_flips(run)
    limit = upper_limit(draws, alpha, planned_bets(draws, alpha, planned))
    return np.floor(limit * run.known.size - run.flipped().sum(1) + 1e-6)


def exact_interval(draws: Draws, alpha: float, planned: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) each end of the exact 1 − α interval of the drop, narrowest when `planned` questions are asked; it may be
    watched if `planned` stays the same."""
    mirror = draws.mirrored()
    high = upper_limit(draws, alpha / 2, planned_bets(draws, alpha / 2, planned))
    low = -upper_limit(mirror, alpha / 2, planned_bets(mirror, alpha / 2, planned))
    # Ends can cross, but with probability at most alpha.
    return np.minimum(low, high), np.maximum(low, high)


def excludes(draws: Draws, drop: float, alpha: float, planned: int) -> np.ndarray:
    """(rows,) whether `exact_interval` leaves `drop` out, without searching for its ends."""
    mirror, limit = draws.mirrored(), -np.log(alpha / 2)
    above = log_capital(draws, drop, planned_bets(draws, alpha / 2, planned)).max(1) >= limit
    below = log_capital(mirror, -drop, planned_bets(mirror, alpha / 2, planned)).max(1) >= limit
    return above | below
