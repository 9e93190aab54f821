"""Intervals for what a search for the best has found, valid whenever it ends: accuracies, and how far behind the best.

As in `best`, with T_i the draws that model i was asked; all α are those of the search.

* *Accuracies*, all together: φ_t = Σ_asked z + Σ_open p_t + (z_I − p_t)/q_t(I) has mean Nθ given all before it for any
  p_t fixed before the draw (the model's mean so far), and x_t = φ_t/N lies in [low_t, high_t] whatever the answer is.
  Against "θ ≥ m" bets the capital Π (1 + λ_t (m − x_t)), λ_t ≤ BOLDEST/(high_t − m) fixed beforehand, a
  supermartingale from 1 while that holds. At any stopping time it is 1/δ with probability δ at most, and each factor
  rises with m, so the m that it excludes are those above one upper limit. Downwards the same of 1 − x. δ = α/(2K): each
  model twice.

* *Behind the best*: L_i = θ_b − θ_i, b the best of all (the first of several). b is among the models S that are left
  with probability 1 − DROPS α at least (`best`). The same bets on y_t = the difference of b and i on each draw, at
  δ = (1 − DROPS) α/(2 (K − 1)), bound D_bi for all i together, with probability 1 − (1 − DROPS) α. No correction for
  not knowing b: only the row of the best must hold. So with probability 1 − α all of

      L_i ∈ ∪ {[max(0, low_b'i), high_b'i] : b' ∈ S, b' ≠ i},  and 0 where i ∈ S

  hold, less the b' that their own row contradicts (some high_b'i below 0: then b' is not the best). The winner's upper
  limit is no more than the tolerance, which is the search's own claim and not a part of the 1 − α.

* *New questions* (`best_population`): half of α goes to the bank's accuracy, the other half to how far it lies from the
  population's (`populations.nearby`). How far behind the best of them a model is, is not bounded: NaN.

λ is the bet that is best after a number of draws that is planned (`confidence_sequence`), for several of them with an
equal part of the capital each, since nobody knows when a search ends. What the answers leave no room for is excluded
for certain: when everything is asked of a model its interval is a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..populations import nearby
from .best import DROPS, PRIOR, Search
from .best_population import PopulationSearch

BOLDEST = 0.95  # of the bet that could lose everything
PLANNED = (1 / 64, 1 / 16, 1 / 4, 3 / 4)  # of the bank, the draws for which bets are sized
HALVINGS = 20  # in the search for a limit


@dataclass(frozen=True)
class Limits:
    """(K,) each, NaN before the first round: accuracy, the mean of all answers; behind, how much less than the best's;
    all in [0, 1]. Each of the two holds for all models together with probability 1 − α at least."""

    low: np.ndarray
    accuracy: np.ndarray
    high: np.ndarray
    behind_low: np.ndarray
    behind: np.ndarray
    behind_high: np.ndarray


@dataclass(frozen=True)
class _Draws:
    """Of several means at once, (rows, T) each: x, the least and the most it could have been, and what was bet of each
    plan, (rows, plans, T); rows that have fewer draws are filled up with ones on which nothing is bet. (rows,) between
    which two values the answers leave each mean."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bets: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def mirrored(self) -> _Draws:
        return _Draws(-self.x, -self.high, -self.low, self.bets, -self.most, -self.least)


_Row = tuple[np.ndarray, np.ndarray, np.ndarray, float, float]  # x, low, high, least, most


def limits(search: Search) -> Limits:
    """Of a search whose rounds are all answered.

    Raises ValueError for one that was told what to expect of answers: those bets are other ones.
    """
    k = search.n_models
    if search.expects:
        raise ValueError("limits are for a search without expected answers")
    if not search.asked:
        return Limits(*np.full((6, k), np.nan))
    of_new = isinstance(search, PopulationSearch)
    n, alpha = search.n_questions, search.alpha / (2 * k if of_new else k)
    ends = _intervals([_of_model(search, i) for i in range(k)], alpha / 2, n)
    if of_new:
        ends = np.array([nearby(low, high, n, alpha) for low, high in ends])
    accuracy = np.clip(search.estimates, ends[:, 0], ends[:, 1])
    return Limits(ends[:, 0], accuracy, ends[:, 1], *(np.full((3, k), np.nan) if of_new else _behind(search)))


def _behind(search: Search) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K,) each: low, estimate and high of how far behind the best every model is."""
    k, left, leader = search.n_models, np.flatnonzero(search.left).tolist(), search.leader
    delta = (1 - DROPS) * search.alpha / (2 * (k - 1))
    rows = {}  # of each model that may be the best, (K, 2) how far the others are behind it
    for best in left:
        found = _intervals([_of_pair(search, best, i) for i in range(k) if i != best], delta, search.n_questions)
        rows[best] = np.insert(found, best, 0.0, axis=0)
    possible = [best for best in left if (rows[best][:, 1] >= 0).all()] or left
    low, high = (chosen([np.maximum(rows[best][:, end], 0) for best in possible], axis=0)
                 for end, chosen in ((0, np.min), (1, np.max)))
    if search.winner is not None:
        low[search.winner], high[search.winner] = 0.0, min(high[search.winner], search.tolerance)
    seen = [_of_pair(search, leader, i)[0].mean() if i != leader else 0.0 for i in range(k)]
    return low, np.clip(seen, low, high), high


# --- what was drawn --------------------------------------------------------------------------------------

def _of_model(search: Search, i: int) -> _Row:
    """Of model i's accuracy."""
    n, draws = search.n_questions, search.asked_of(i)
    z, q, farthest = search.scores[i, :draws], search.chances[:draws], search.farthest[:draws]
    step = np.arange(draws)
    # What is expected of every open question: the mean so far, each answer counting as its draw was unlikely.
    weight = 1 / (q * (n - step))
    p = (0.5 * PRIOR + np.cumsum(z * weight) - z * weight) / (PRIOR + np.cumsum(weight) - weight)
    known = np.cumsum(z) - z + (n - step) * p
    return (known + (z - p) / q) / n, (known - p * farthest) / n, (known + (1 - p) * farthest) / n, *_certain(search, i)


def _of_pair(search: Search, one: int, other: int) -> _Row:
    """Of the difference of two models, one less other, on what both were asked."""
    n, draws = search.n_questions, min(search.asked_of(one), search.asked_of(other))
    d = search.scores[one, :draws] - search.scores[other, :draws]
    q, farthest = search.chances[:draws], search.farthest[:draws]
    known = np.cumsum(d) - d
    (low, high), (other_low, other_high) = _certain(search, one), _certain(search, other)
    return (known + d / q) / n, (known - farthest) / n, (known + farthest) / n, low - other_high, high - other_low


def _certain(search: Search, i: int) -> tuple[float, float]:
    """Model i's accuracy if every question that it was not asked were answered wrongly, and rightly."""
    draws = search.asked_of(i)
    total = float(search.scores[i, :draws].sum())
    return total / search.n_questions, (total + search.n_questions - draws) / search.n_questions


# --- limits ----------------------------------------------------------------------------------------------

def _intervals(rows: list[_Row], delta: float, n: int) -> np.ndarray:
    """(rows, 2) both limits of each, each wrong with probability delta at most."""
    most = max(row[0].size for row in rows)

    def filled(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.zeros((*values.shape[:-1], most - values.shape[-1]))], -1)

    parts = zip(*(row[:3] for row in rows), strict=True)
    x, low, high = (np.array([filled(one) for one in part]) for part in parts)
    least = np.array([max(row[3], row[1].max()) for row in rows])
    up_to = np.array([min(row[4], row[2].min()) for row in rows])
    draws = _Draws(x, low, high, np.array([filled(_bets(row[0], delta, n)) for row in rows]), least, up_to)
    ends = np.stack([-_upper(draws.mirrored(), delta), _upper(draws, delta)], axis=1)
    return np.sort(ends, axis=1)  # they can cross, but with probability 2 delta at most


def _bets(x: np.ndarray, delta: float, n: int) -> np.ndarray:
    """(plans, T) the bets that make a limit tightest after as many draws as each plan has, by what was seen before
    each draw: √(2 ln(1/δ) / Σ_r V_r⁻¹) / V_t, V ∝ (open questions)²."""
    shrunk = n / (n - np.arange(n))
    now, step = shrunk[: x.size], np.arange(x.size)
    before = (np.cumsum(x) - x) / (step + 1)
    deviation = ((x - before) * now) ** 2
    spread = (0.25 * PRIOR + np.cumsum(deviation) - deviation) / (PRIOR + step)
    information = np.array([(shrunk[: max(1, int(share * n))] ** 2).sum() for share in PLANNED])[:, None]
    return np.sqrt(2 * math.log(1 / delta) / (spread * information)) * now**2


def _upper(draws: _Draws, delta: float) -> np.ndarray:
    """(rows,) the least m that the capital excludes, at most what the answers leave room for."""
    low, high = draws.least.copy(), draws.most.copy()
    enough = math.log(len(PLANNED) / delta)
    for _ in range(HALVINGS):
        m = ((low + high) / 2)[:, None]
        bet = np.minimum(draws.bets, BOLDEST / np.maximum(draws.high - m, 1e-12)[:, None])
        capital = np.log1p(np.maximum(bet * (m - draws.x)[:, None], 1e-12 - 1)).sum(2)
        excluded = np.logaddexp.reduce(capital, axis=1) >= enough
        low, high = np.where(excluded, low, m[:, 0]), np.where(excluded, m[:, 0], high)
    return high
