"""Intervals that may be watched: valid at every step from a burn-in on, so that one may stop when tight enough.

The fixed-budget interval covers with 95 % at a budget chosen beforehand; whoever looks after every answer and stops
when it pleases sees it fail. The interval here is an asymptotic confidence sequence (arXiv 2103.06476, theorem 2.2
in its Lyapunov form for martingale differences): with fixed weights ω_s, S_t = Σ_{s≤t} ω_s (φ_s − Nθ) is a
martingale, and with its estimated variance V_t and r_t = V_t / V_b,

    |S_t| ≤ √V_t · √( 2 (1 + 1/(ρ² r_t)) log( √(1 + ρ² r_t) / α ) )   at all t ≥ b,

b the burn-in. ρ makes the boundary tightest where V_t is TIGHTEST times its value at the burn-in. Before the
burn-in the interval is [0, 1]. It claims its α for accuracies in [.05, .95]: nearer to 0 or 1 no asymptotic argument
holds at such sample sizes.
"""

from __future__ import annotations

import math

import numpy as np

from .estimates import HALF_A_SURPRISE, contributions
from .querying import Trace
from .settings import ALPHA

BURN_IN = 100
TIGHTEST = 4.0


def watched(trace: Trace, n_questions: int, rank: int = 0, alpha: float = ALPHA,
            burn_in: int = BURN_IN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(low, θ̂, high), (rows, T) each, of evaluations without replacement after every step.

    The variance is the larger of the empirical one and the model's expectation of it. All N asked: width 0.
    """
    theta, variance, total = _running(trace, n_questions, rank)
    steps = np.arange(1, theta.shape[1] + 1)
    begin = min(burn_in, len(steps)) - 1
    # total² · variance is V_t; its ratio to the one at the burn-in is the time of the boundary.
    clock = variance * total**2
    time = np.maximum(clock / np.maximum(clock[:, begin, None], np.finfo(float).tiny), np.finfo(float).tiny)
    rho2 = (2 * math.log(1 / alpha) + math.log(2 * math.log(1 / alpha)) + 1) / TIGHTEST
    half = np.sqrt(variance * 2 * (1 + 1 / (rho2 * time)) * np.log(np.sqrt(1 + rho2 * time) / alpha))
    half[:, steps < burn_in] = np.inf
    half[:, steps == n_questions] = 0
    low, high = (np.clip(theta + sign * half, 0, 1) for sign in (-1, 1))
    return low, theta, high


def stopping_time(low: np.ndarray, high: np.ndarray, half_width: float) -> np.ndarray:
    """(rows,) first step (from 1) at which the half-width is at most `half_width`; T where it never is."""
    tight = (high - low) / 2 <= half_width
    return np.where(tight.any(1), tight.argmax(1), tight.shape[1] - 1) + 1


def _running(trace: Trace, n_questions: int, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """θ̂ and its variance after every step (rows, T), and Σ_{s≤t} ω_s (T,)."""
    draws = trace.q.shape[1]
    step = np.arange(draws, dtype=float)
    n_open = n_questions - step
    omega = n_questions**2 / (n_open * np.maximum(n_open - 1, 0.5))
    if rank:
        omega = omega * (step + rank / 4) / (step + rank)
    total = omega.cumsum()
    phi = contributions(trace) / n_questions
    theta = (phi * omega).cumsum(1) / total
    if draws == n_questions:
        theta[:, -1] = trace.answers.mean(1)
    squares = [((phi**power) * omega**2).cumsum(1) for power in (2, 1, 0)]
    empirical = squares[0] - 2 * theta * squares[1] + theta**2 * squares[2]
    per_w = omega**2 * (1 - trace.q) / trace.q**2 / n_questions**2
    expected = (per_w * trace.p * (1 - trace.p)).cumsum(1) + per_w.cumsum(1) * HALF_A_SURPRISE / (step + 1)
    return theta, np.maximum(empirical, expected) / total**2, total
