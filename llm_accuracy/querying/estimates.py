"""From the trace of an evaluation to the estimate of the accuracy and its standard error.

Let N be the number of questions, T the budget, q_s and p_s the drawing probability and the prediction of the
question drawn at step s, z_s its score, and

    φ_s = total_s + (z_s − p_s) / q_s,

whose mean given everything before step s is N θ exactly, whatever q and p are (arXiv 2601.20251, eq. for the
proactive active-inference estimator). Every prefix of a trace is an evaluation with a smaller budget, so
one trace serves all budgets of its setting unless the setting's schedules depend on the budget.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .intervals import Interval, interval
from .setting import ALPHA
from .trace import Trace

PSEUDO = 10            # the weight of the model's own variance, in expected surprises
HALF_A_SURPRISE = 0.5  # per T draws, added to the model's expectation, as nothing is certain


class Estimate(NamedTuple):
    """theta, se (rows,): the estimate, which can fall a little outside [0, 1], and its standard error; df: the degrees
    of freedom of the interval's t quantile (∞ = normal). An infinite SE means that the variance cannot be estimated."""

    theta: np.ndarray
    se: np.ndarray
    df: np.ndarray | float

    def interval(self, alpha: float = ALPHA, clip: bool = True) -> Interval:
        """θ̂ ± t·SE, see `intervals.interval`."""
        return interval(self.theta, self.se, alpha, self.df, clip)


def contributions(trace: Trace) -> np.ndarray:
    """φ_s, (rows, T)."""
    return trace.total + (trace.answers - trace.p) / trace.q


def with_replacement(trace: Trace, n_questions: int, rank: int = 0) -> Estimate:
    """θ̂ = Σφ_s / (T N), SE² = Σ(φ_s − φ̄)² / (T (T−1) N²).

    φ_s − Nθ are martingale differences with equal weights, so SE² is exactly unbiased for Var θ̂, for any q
    and p, and never negative.
    """
    phi = contributions(trace) / n_questions
    draws = phi.shape[1]
    if draws == 1:
        return Estimate(phi[:, 0], np.full(len(phi), np.inf), np.inf)
    return Estimate(phi.mean(1), phi.std(1, ddof=1) / np.sqrt(draws), draws - 1)


def published(trace: Trace, n_questions: int, rank: int = 0) -> Estimate:
    """θ̂ as above with the variance as published (arXiv 2601.20251), for replays and comparisons:

    V̂ = [Σ_s ((z_s−p_s)/q_s)² − Σ_s ((1/T) Σ_r z_r/q_r − Σ_j p_j^{(s)})²] / (T N²), floored at 0; SE = √(V̂/T).

    It is biased low (it also subtracts the variance of the inverse-probability mean) and can be zero.
    """
    draws = trace.q.shape[1]
    residual = (trace.answers - trace.p) / trace.q
    mean_weighted = (trace.answers / trace.q).mean(1, keepdims=True)
    v = ((residual**2).sum(1) - ((mean_weighted - trace.total) ** 2).sum(1)) / (draws * n_questions**2)
    theta = contributions(trace).mean(1) / n_questions
    return Estimate(theta, np.sqrt(np.maximum(v, 0) / draws), np.inf)


def pooled(trace: Trace, n_questions: int, rank: int = 0) -> Estimate:
    """`without_replacement` with the lifted variance, the default."""
    return without_replacement(trace, n_questions, rank, lifted=True)


def without_replacement(trace: Trace, n_questions: int, rank: int = 0, lifted: bool = False) -> Estimate:
    """θ̂ = Σ a_s φ_s / N with weights fixed in advance (`fixed_weights`): exactly unbiased. When every question has
    been asked θ̂ is the accuracy itself and SE = 0. The quantile is Student's with 1/Σa_s² − 1 degrees of freedom.

    Empirical variance: V̂ = Σ a_s² (φ_s − Nθ̂)² / (1 − a_s) / N². It is blind until the first surprise, so by
    default (lifted) it is raised towards what the model expects of it:

        V = V̂ + (V_mod − V̂)₊ k / (k + ν),   V_mod = N⁻² Σ a_s² m_s,   m_s = w̃_s (1 − q_s) / q_s²,

    w̃ = p(1−p) + ½/T, k = PSEUDO and ν = (Σ a_s² w̃_s/q_s²)² / Σ a_s⁴ w̃_s (1 − 3w̃_s)/q_s⁴, the number of equal
    surprises that would make V̂ as uncertain as the model expects it to be.
    """
    draws = trace.q.shape[1]
    if draws == n_questions:
        return Estimate(trace.answers.mean(1), np.zeros(len(trace.answers)), np.inf)
    phi = contributions(trace) / n_questions
    if draws == 1:
        return Estimate(phi[:, 0], np.full(len(phi), np.inf), np.inf)
    a = fixed_weights(n_questions, draws, rank)
    theta, variance = _weighted(phi, a)
    if lifted:
        variance = _lifted(variance, *_expected_variance(trace, a, n_questions))
    return Estimate(theta, np.sqrt(variance), 1 / (a**2).sum() - 1)


def sub_score(trace: Trace, totals: np.ndarray, inside: np.ndarray, size: int, n_questions: int,
              rank: int = 0) -> Estimate:
    """The estimate of the mean score on a subset G of the bank, from the same draws without replacement.

    totals (rows, T) `querying.group_totals` of G; inside (rows, T) bool, whether the question asked is in G; size |G|.
    φ_s = totals_s + 1[I_s ∈ G] (z_s − p_s)/q_s has mean |G| θ_G given the past, so Σ a_s φ_s / |G| is exactly unbiased.
    Where all of G has been asked, its mean is known and returned instead, without error; but as the draws decide where
    that happens, the two cases together are no longer exactly unbiased. Degrees of freedom: at most the subset's draws
    minus one; SE is infinite for fewer than two draws.
    """
    within = trace._replace(answers=np.where(inside, trace.answers, trace.p), total=totals)
    draws, count = trace.q.shape[1], inside.sum(1)
    a = fixed_weights(n_questions, draws, rank) if draws < n_questions else np.full(draws, 1 / draws)
    theta, variance = _weighted(contributions(within) / size, a)
    variance = _lifted(variance, *_expected_variance(trace, a, size, inside))
    exact = count == size
    theta = np.where(exact, np.where(inside, trace.answers, 0).sum(1) / size, theta)
    se = np.where(exact, 0.0, np.where(count < 2, np.inf, np.sqrt(variance)))
    df = np.where(exact, np.inf, np.clip(np.minimum(count, 1 / (a**2).sum()) - 1, 1, None))
    return Estimate(theta, se, df)


def _weighted(phi: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """θ̂ = Σ a_s φ_s and its empirical variance, (rows,) each; NaN of a single draw, which has none."""
    theta = phi @ a
    with np.errstate(divide="ignore", invalid="ignore"):
        return theta, ((phi - theta[:, None]) ** 2) @ (a**2 / (1 - a))


def _lifted(variance: np.ndarray, expected: np.ndarray, surprises: np.ndarray) -> np.ndarray:
    """The empirical variance, raised towards the model's expectation: the fewer surprises are expected, the more."""
    return variance + np.maximum(expected - variance, 0) * PSEUDO / (PSEUDO + surprises)


def _expected_variance(trace: Trace, a: np.ndarray, n_questions: int,
                       inside: np.ndarray | bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(V_mod, ν), (rows,) each: the second and fourth moments that the model expects for a_s (z − p) / q."""
    w = np.minimum(trace.p * (1 - trace.p) + HALF_A_SURPRISE / trace.q.shape[1], 0.25) * inside
    second, fourth = w / trace.q**2, w * (1 - 3 * w) / trace.q**4
    expected = (second * (1 - trace.q)) @ a**2 / n_questions**2
    return expected, (second @ a**2) ** 2 / np.maximum(fourth @ a**4, np.finfo(float).tiny)


def fixed_weights(n_questions: int, draws: int, rank: int = 0) -> np.ndarray:
    """a_s = ω_s / Σω, (T,), T < N: with n_s = N − s + 1 open questions and K = rank

        ω_s = 1/(n_s (n_s − 1)) · (s − 1 + K/4)/(s − 1 + K).

    The first factor makes uniform q and constant p the sample mean with its finite-population correction; the
    second gives less weight to the first answers, which are predicted before the model's K factors are known.
    """
    weights = raw_weights(n_questions, draws, rank)
    return weights / weights.sum()


def raw_weights(n_questions: int, draws: int, rank: int = 0) -> np.ndarray:
    """ω_s of `fixed_weights`, (T,); the last one for T = N, where nothing is left to weight, is finite."""
    step = np.arange(draws, dtype=float)
    n_open = n_questions - step
    weights = 1 / (n_open * np.maximum(n_open - 1, 0.5))
    if rank:
        weights *= (step + rank / 4) / (step + rank)
    return weights
