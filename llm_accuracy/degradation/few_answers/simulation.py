"""Simulated candidates with a given number of flips, and how many questions a design takes to decide about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from ...errors import InputError
from .betting import Draws, log_e_safe, log_e_worse
from .curves import Curves, Known
from .run import SHARE, Run, round_sizes

THIN, EVEN, THICK, ONE_TASK = "thin margins", "anywhere", "losses on thick margins", "one task"
GROWTH = 1.06  # of the rounds, where nothing else is said
LOOK_EVERY = 10  # rounds between two looks of a simulation at who has decided; decisions are dated exactly


def candidate_like(known: Known, flip: float, drop: float, rng: np.random.Generator, where: str = EVEN,
                   task: np.ndarray | None = None) -> np.ndarray:
    """(N,) scores of a candidate that differs from a 0/1 baseline on round(flip N) questions; round(drop N) more are
    lost than gained.

    where  THIN: as normal noise beside the margins would have it; EVEN; THICK: losses only in the thicker half of the
           margins, gains anywhere; ONE_TASK: losses only among the questions of `task` (N,) bool

    Raises InputError where there are not so many questions to lose or gain.
    """
    x, n = known.scores, known.size
    flips, more = round(flip * n), round(drop * n)
    lost, gained = (flips + more + 1) // 2, (flips - more) // 2
    weight = np.ones(n)
    losing = np.ones(n, bool)
    if where in (THIN, THICK):
        if known.margins is None:
            raise InputError(f"{where}: this bank has no margins")
        margins = np.abs(known.margins)
        if where == THIN:
            size = brentq(lambda log: ndtr(-margins / np.exp(log)).mean() - max(min(flip, 0.45), 1e-4), -15, 15)
            weight = ndtr(-margins / np.exp(size))
        else:
            losing = margins > np.median(margins)
    elif where == ONE_TASK:
        if task is None:
            raise InputError("a bug in one task: which questions are its?")
        losing = task
    found = x.copy()
    for count, among, score in ((lost, (x == 1) & losing, 0.0), (gained, x == 0, 1.0)):
        there = np.flatnonzero(among)
        if count > there.size:
            raise InputError(f"{count:,} questions cannot flip where {there.size:,} could")
        race = rng.standard_exponential(there.size) / np.maximum(weight[there], 1e-300)
        found[there[np.argsort(race)[:count]]] = score
    return found


@dataclass(frozen=True, eq=False)
class Decided:
    """(rows,) questions asked when "safe" was decided, and "worse"; infinite where it was not by `asked` questions."""

    safe: np.ndarray
    worse: np.ndarray
    asked: int

    def questions(self, power: float = 0.8) -> float:
        """Questions after which this share of the runs has decided for "safe"."""
        return float(np.sort(self.safe)[int(np.ceil(power * self.safe.size)) - 1])


def decisions(known: Known, candidate: np.ndarray, library: Curves, rows: int, seed: int = 0, *, margin: float = 0.01,
              alpha: float = 0.05, share: float = SHARE, most: int | None = None, enough: float = 1.0,
              growth: float = GROWTH) -> Decided:
    """Runs of the design on a candidate whose answers are all known, up to `most` questions, or until a share `enough`
    of them has decided for "safe"; growth of its rounds."""
    d = known.scores - candidate
    run = Run(known, library, rows, np.random.default_rng([seed, known.size]), share)
    sizes = round_sizes(most or known.size, known.size, growth=growth)
    ends = np.cumsum(sizes)
    safe = worse = np.full(rows, np.inf)
    for number, size in enumerate(sizes, 1):
        run.answer(d[run.ask(size)])
        if number % LOOK_EVERY and number < len(sizes):
            continue
        draws = Draws.of(run)
        safe, worse = (_first(log_e(draws, margin) >= -np.log(alpha), ends) for log_e in (log_e_safe, log_e_worse))
        if np.isfinite(safe).mean() >= enough:
            break
    return Decided(safe, worse, run.asked)


def _first(reached: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(rows,) the end of the round in which a row first reached its limit; infinite where none did."""
    at = reached.argmax(1) + 1
    return np.where(reached.any(1), ends[np.searchsorted(ends, at)].astype(float), np.inf)
