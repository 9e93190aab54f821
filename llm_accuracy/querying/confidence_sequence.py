"""Intervals that may be watched: valid at every step after a burn-in, so that one may stop once they are tight enough.

The fixed-budget interval has 95 % coverage at a budget chosen in advance, but not if one looks after every answer and
stops at will. The interval here is an asymptotic confidence sequence (arXiv 2103.06476, theorem 2.2 in its Lyapunov
form for martingale differences): with fixed weights ω_s, S_t = Σ_{s≤t} ω_s (φ_s − Nθ) is a martingale, and with its
estimated variance V_t and r_t = V_t / V_b,

    |S_t| ≤ √V_t · √( 2 (1 + 1/(ρ² r_t)) log( √(1 + ρ² r_t) / α ) )   at all t ≥ b,

b the burn-in. ρ is such that the boundary is tightest where V_t is TIGHTEST times its value at the burn-in. Before the
burn-in the interval is [0, 1]. Once fewer questions than BURN_IN are open, the weights are concentrated on a few
answers, and the last interval is kept, narrowed only by what is certain. Its α is asymptotic: accuracies must not be
closer to 0 or 1 than .05, and the history must not be confidently wrong about the model (docs/without_replacement.md
measures both).

`betting` is exact instead, at any sample size and accuracy, and with bets sized in advance (`planned`) also at all
steps at once, at the price of a wider interval. Let x_s = φ_s/N and c_s = total_s/N; as q is at least τ over the open
questions n_s, |x_s − c_s| ≤ r_s = n_s/(τN). For every m the wealths Π (1 + λ_s (x_s − m)) and Π (1 − λ'_s (x_s − m)),
with bets fixed before step s and small enough that no factor can be negative (λ_s ≤ 1/(1 − c_s + r_s),
λ'_s ≤ 1/(c_s + r_s)), are martingales at m = θ, so that each ever exceeds 2/α with probability at most α/2 (Ville). The
interval consists of the m at which neither has (arXiv 2010.09686), without those that the known answers rule out.
"""

from __future__ import annotations

import math

import numpy as np

from .estimates import HALF_A_SURPRISE, contributions, raw_weights
from .intervals import Interval
from .setting import ALPHA
from .trace import Trace

BURN_IN = 100
TIGHTEST = 4.0
BOLDEST = 0.9  # of the bet that could lose everything
HALVINGS = 24  # of [0, 1], in the search for the ends of an interval


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
    low, high = theta - half, theta + half
    last = min(max(n_questions - burn_in - 1, begin), len(steps) - 1)
    low[:, last + 1 :], high[:, last + 1 :] = low[:, last, None], high[:, last, None]
    least, most = _certain(trace, n_questions)
    return np.clip(low, least, most), theta, np.clip(high, least, most)


def _certain(trace: Trace, n_questions: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, T) each: the accuracy if every question still open were answered wrongly, or rightly."""
    known = trace.answers.cumsum(1)
    return known / n_questions, (known + n_questions - np.arange(1, known.shape[1] + 1)) / n_questions


def betting(trace: Trace, n_questions: int, tau: float, alpha: float = ALPHA,
            planned: int | None = None) -> Interval:
    """The exact interval, (rows,) each end, after the last step of evaluations without replacement.

    tau      the uniform share with which questions were drawn
    planned  the number of questions for which the bets are sized; by default the trace's length, and the interval then
             holds at that length only. To watch it, use the same number at every look.
    """
    x, bets = _bets(trace, n_questions, tau, alpha, planned or trace.q.shape[1])
    low, beyond = (_least_fair(*side, math.log(2 / alpha)) for side in ((x, bets[0]), (1 - x, bets[1])))
    least, most = (ends[:, -1] for ends in _certain(trace, n_questions))
    low, high = np.clip(low, least, most), np.clip(1 - beyond, least, most)
    # Ends can cross, but with probability at most alpha.
    return Interval(np.minimum(low, high), np.maximum(low, high))


def _bets(trace: Trace, n_questions: int, tau: float, alpha: float,
          planned: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """x (rows, T) and the bets on x being above and below m: √(2 log(2/α) / Σ_r V_r⁻¹) / V_s, with the variance
    V_s ∝ n_s² estimated from the previous steps."""
    x, centre = contributions(trace) / n_questions, trace.total / n_questions
    step = np.arange(x.shape[1])
    shrunk = n_questions / (n_questions - step)
    before = (0.5 + np.cumsum(x, 1) - x) / (step + 1)
    deviation = ((x - np.clip(before, 0, 1)) * shrunk) ** 2
    spread = (0.25 + np.cumsum(deviation, 1) - deviation) / (step + 1)
    information = ((n_questions / (n_questions - np.arange(min(planned, n_questions)))) ** 2).sum()
    aim = np.sqrt(2 * math.log(2 / alpha) / (spread * information)) * shrunk**2
    reach = 1 / (tau * shrunk)
    return x, (np.minimum(aim, BOLDEST / (1 - centre + reach)), np.minimum(aim, BOLDEST / (centre + reach)))


def _least_fair(x: np.ndarray, bets: np.ndarray, limit: float) -> np.ndarray:
    """(rows,) the least m at which the log wealth of bets on x > m has never reached the limit; it falls with m."""
    low, high = np.zeros(len(x)), np.ones(len(x))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rich = np.log1p(bets * (x - middle[:, None])).cumsum(1).max(1) >= limit
        low, high = np.where(rich, middle, low), np.where(rich, high, middle)
    return low


def _running(trace: Trace, n_questions: int, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """θ̂ and its variance after every step (rows, T), and Σ_{s≤t} ω_s (T,)."""
    draws = trace.q.shape[1]
    step = np.arange(draws, dtype=float)
    omega = n_questions**2 * raw_weights(n_questions, draws, rank)
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
