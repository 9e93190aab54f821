"""From the rounds of an evaluation to the estimate of its accuracy and an interval (docs/rounds.md derives both).

Weights are fixed in advance, a_r ∝ B_r/(n_r (n_r − B_r)): the reciprocal variance of a sum estimated from B of n
equally uncertain questions, so θ̂ = Σ a_r φ_r / N is exactly unbiased. Its variance comes from neighbours in the order
of the draw, moderated by what the predictor expects:

    v_r = B/(2(B−1)) Σ_i (e_{i+1} √(1−π_{i+1}) − e_i √(1−π_i))²,   e = (z − p)/π,       V̂ = Σ a_r² v_r / N²
    V_mod = Σ a_r² Σ_open w (1−π)/π / N²                            ν = Σ (B_r − 1)
    V = (k d V_mod + ν V̂)/(k + ν),                                  k = PRIOR_DF, d the dispersion

and, where surprises are rare, so that V̂ is small until the first one comes, no less than

    (d V_mod + ν_s V̂)/(1 + ν_s),      ν_s = (Σ a_r² Σ_open w (1−π)/π)² / Σ a_r⁴ Σ_open E(z−p)⁴ (1−π)²/π³,

the number of surprises that the predictor expects among the answers; with Student's quantile for ν + EXTRA_DF degrees
of freedom; of a subset, ν_g = Σ (B_rg − 1)₊ of the answers in it and ν_g + PRIOR_DF, and below two answers no more than
what they exclude.

The interval, not θ̂, is moved by SKEW √d κ₃/V_mod, κ₃ the third central moment that the predictor expects of θ̂ − θ:
where right answers are rare, θ̂ and V̂ are too small together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from .intervals import Interval
from .predictors import SCORES, Outcomes
from .rounds import Round, RoundTrace
from .setting import ALPHA

# Chosen on five real boards (docs/rounds.md), together: one setting for all boards and budgets.
PRIOR_DF = 5   # what the predictor's own variance is worth beside the neighbours', in degrees of freedom
EXTRA_DF = 40  # of Student's t beyond ν: the predictor's variance steadies V, and 0/1 residuals have light tails
SKEW = 0.4     # share of κ₃/V by which the interval's centre is moved,
MOST = 0.5     # and the most that is, in standard errors
TINY = np.finfo(float).tiny
LEAST = 0.05   # the dispersion of partial credit is taken to be no less


class RoundEstimate:
    """theta, se, shift (rows,) and df, one number or (rows,): the interval is theta + shift ± t·se; theta itself is not
    moved. An infinite SE means that nothing is known but what the answers exclude.

    known, n_open  (rows,) the sum of the outcomes known, and the number of questions that are not
    size           of the set whose mean is estimated
    slope          (rows,) √d κ₃/V_mod, by which the variance grows with the mean where surprises are rare
    surprises      (rows,) ν_s
    """

    def __init__(self, theta: np.ndarray, se: np.ndarray, df: np.ndarray | float, shift: np.ndarray, known: np.ndarray,
                 n_open: np.ndarray, size: int, slope: np.ndarray, surprises: np.ndarray):
        self.theta, self.se, self.df, self.shift = theta, se, df, shift
        self.known, self.n_open, self.size = known, n_open, size
        self.slope, self.surprises = slope, surprises

    def interval(self, alpha: float = ALPHA, clip: bool = True, outcomes: Outcomes = SCORES) -> Interval:
        """1 − α; no value in it that the answers exclude: those of the open questions lie between the ends of
        `outcomes`."""
        half, centre = special.stdtrit(self.df, 1 - alpha / 2) * self.se, self.theta + self.shift
        low, high = centre - half, centre + half
        if not clip:
            return Interval(low, high)
        least, most = ((self.known + end * self.n_open) / self.size for end in outcomes)
        return Interval(np.clip(low, least, most), np.clip(high, least, most))


def weights(rounds: Sequence[Round]) -> np.ndarray:
    """a_r (rounds,), summing to 1. A last round that asks all that is open knows the answer: it has all the weight."""
    n_open = np.array([one.n_open for one in rounds], float)
    size = np.array([one.asked.shape[1] for one in rounds], float)
    if size[-1] == n_open[-1]:
        return np.eye(len(size))[-1]
    raw = size / (n_open * (n_open - size))
    return raw / raw.sum()


def neighbours_variance(residual: np.ndarray, pi: np.ndarray) -> np.ndarray:
    """(rows,) variance of Σ e, e = (z − p)/π (rows, B) in the order of the draw, from what neighbours differ by; what
    was asked for sure adds nothing. One question alone: its square."""
    scaled, size = residual * np.sqrt(1 - pi), residual.shape[1]
    if size == 1:
        return scaled[:, 0] ** 2
    return size / (2 * (size - 1)) * (np.diff(scaled, axis=1) ** 2).sum(1)


def dispersion(rounds: Sequence[Round]) -> np.ndarray:
    """(rows,) how much less partial credit varies than 0/1 scores of the same p: 1 − Σ z(1−z)/Σ p(1−p) over the
    answers, as E(z − p)² = p(1−p) − E z(1−z) where p is right. Exactly 1 for 0/1 scores."""
    partial = sum((one.answers * (1 - one.answers)).sum(1) for one in rounds)
    expected = sum(one.variance.sum(1) for one in rounds)
    return 1 - np.clip(partial / np.maximum(expected, 1e-12), 0, 1 - LEAST)


def estimate(rounds: Sequence[Round], group: int = 0, members: np.ndarray | None = None,
             dispersed: np.ndarray | float | None = None) -> RoundEstimate:
    """The estimate of the bank's mean, or of a subset's.

    group, members  a sub-score: its column of `Rounds.groups` and the same column (N,) as bool
    dispersed       d, by default that of scores in [0, 1] (`dispersion`); 1 for a predictor of its own variance
    """
    first = rounds[0]
    size = first.n_open if members is None else int(members.sum())
    a = weights(rounds) / size
    inside = [1.0 if members is None else members[one.asked].astype(float) for one in rounds]
    residual = [(one.answers - one.p) / one.pi * here for one, here in zip(rounds, inside, strict=True)]
    theta = sum(w * (one.known[:, group] + e.sum(1)) for w, one, e in zip(a, rounds, residual, strict=True))
    observed = sum(w**2 * neighbours_variance(e, one.pi) for w, one, e in zip(a, rounds, residual, strict=True))
    expected = sum(w**2 * one.spread[:, group] for w, one in zip(a, rounds, strict=True))
    third = sum(w**3 * one.third[:, group] for w, one in zip(a, rounds, strict=True))
    fourth = sum(w**4 * one.fourth[:, group] for w, one in zip(a, rounds, strict=True))
    d = dispersion(rounds) if dispersed is None else dispersed
    df, extra, blind = _freedom(rounds, inside, members is not None)
    surprises = expected**2 / np.maximum(fourth, TINY)
    variance = np.maximum((PRIOR_DF * d * expected + df * observed) / (PRIOR_DF + df),
                          (d * expected + surprises * observed) / (1 + surprises))
    se = np.where(blind, np.inf, np.sqrt(variance))
    shift = SKEW * np.sqrt(d) * third / np.maximum(expected, TINY)
    reach = MOST * np.where(np.isfinite(se), se, 0)
    known = sum((one.answers * here).sum(1) for one, here in zip(rounds, inside, strict=True))
    asked = sum(np.broadcast_to(here, one.asked.shape).sum(1) for one, here in zip(rounds, inside, strict=True))
    return RoundEstimate(theta, se, extra + df, np.clip(shift, -reach, reach), known, size - asked, size,
                         shift / SKEW, surprises)


def _freedom(rounds: Sequence[Round], inside: Sequence[np.ndarray | float],
             part: bool) -> tuple[np.ndarray | float, float, np.ndarray | bool]:
    """(ν, degrees of freedom of Student's t beyond it, whether nothing can be estimated). A subset's ν, (rows,), counts
    the answers in it, as the others tell nothing of its spread, and of few answers the t gets PRIOR_DF more only."""
    if not part:
        df = sum(one.asked.shape[1] - 1 for one in rounds)
        return df, EXTRA_DF, not df and rounds[0].n_open > 1
    counts = [np.asarray(here).sum(1) for here in inside]
    df = sum(np.maximum(count - 1, 0) for count in counts)
    return df, PRIOR_DF, sum(counts) < 2


def of_trace(trace: RoundTrace, n_questions: int, rank: int = 0) -> RoundEstimate:
    """The estimate at the largest budget of a trace, of the whole bank."""
    return estimate(trace.rounds)
