"""How many questions does a degradation test need? Power of the exact one-sided test (arXiv 2602.10144).

On n items a share `flip` differs between the models, and the accuracy falls by `drop` ≤ flip, so that of the
m ~ Bin(n, flip) flips a share q = (1 + drop/flip)/2 are losses. The test rejects from k_m losses on, the
least k with P[Bin(m, ½) ≥ k] ≤ α, and

    power = Σ_m Bin(n, flip)(m) · P[Bin(m, q) ≥ k_m].

Any one of n, flip, drop and power follows from the other three. The normal approximation is given next to the
exact answer; its n is too small. Power is roughly a function of √(n/flip)·drop alone.

A suite is judged by min(1, 3·min p) of the pooled, max-drop and Fisher tests; its power is simulated with the
tests themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from ..errors import InputError
from .defaults import ALPHA, DRAWS_PER_SIMULATED_SUITE, LARGEST_N, check_numbers
from .mcnemar import p_exact

SUITES = 1_000  # simulated
Numbers = Sequence[float] | np.ndarray | float
SUITE_TESTS = ("pooled", "max-drop", "Fisher", "combined")


# ---- one task ----------------------------------------------------------------------------------------------


def critical_losses(m, alpha: float):
    """k_m = least k with P[Bin(m, ½) ≥ k] ≤ alpha, elementwise; m + 1 where no outcome rejects."""
    m = np.asarray(m)
    # Rounding may move the quantile by one: the p-values that the test itself uses decide.
    k = stats.binom.isf(alpha, m, 0.5).astype(np.int64) + 1
    k = np.where((k > 0) & (p_exact(k - 1, m - k + 1) <= alpha), k - 1, k)
    return np.where(p_exact(k, m - k) > alpha, k + 1, k)


def power(n: int, flip: float, drop: float, alpha: float = ALPHA) -> float:
    """Exact power of the one-sided exact test: the sum in the module's docstring, to about 1e-15.

    Raises InputError unless n ≥ 0, 0 ≤ drop ≤ flip ≤ 1 and 0 < alpha < ½.
    """
    check_numbers(n=n, flip=flip, drop=drop, alpha=alpha)
    if flip == 0:
        return 0.0
    half_window = 9 * (n * flip * (1 - flip)) ** 0.5 + 40
    m = np.arange(max(0, int(n * flip - half_window)), min(n, int(n * flip + half_window) + 1) + 1)
    reached = stats.binom.sf(critical_losses(m, alpha) - 1, m, (1 + drop / flip) / 2)
    return float(min(1.0, stats.binom.pmf(m, n, flip) @ reached))


def sample_size(flip: float, drop: float, target: float = 0.8, alpha: float = ALPHA) -> int:
    """The least n from which on the exact power is at least `target`.

    Power is not quite monotone in n where almost every item flips: no larger n falls short either.
    Raises InputError if that takes more than 10^8 items, or if drop is 0.
    """
    check_numbers(flip=flip, drop=drop, target=target, alpha=alpha)
    if drop == 0:
        raise InputError("drop = 0 cannot be detected: give the smallest drop that should be")

    def enough(n: int) -> bool:
        # m varies over several values unless nearly all items flip: only then can n + 1 be worse than n.
        jagged = n * flip * (1 - flip) < 9
        ahead = range(n, n + 1 + (ceil(6 / flip) if jagged else 0))
        return all(power(k, flip, drop, alpha) >= target for k in ahead)

    low, high = 0, max(8, sample_size_normal(flip, drop, target, alpha))
    while high > LARGEST_N or not enough(high):
        low, high = high, high + high // 4 + 1
        if high > LARGEST_N:
            raise InputError(f"a drop of {drop:g} at a flip rate of {flip:g} takes more than {LARGEST_N:,} items")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable_drop(n: int, flip: float, target: float = 0.8, alpha: float = ALPHA) -> float:
    """The smallest drop found with probability `target`; NaN if even drop = flip is found less often."""
    check_numbers(n=n, flip=flip, target=target, alpha=alpha)
    if power(n, flip, flip, alpha) < target:
        return float("nan")
    if power(n, flip, 0.0, alpha) >= target:
        return 0.0
    return float(brentq(lambda drop: power(n, flip, drop, alpha) - target, 0, flip, xtol=1e-12))


def highest_flip_rate(n: int, drop: float, target: float = 0.8, alpha: float = ALPHA) -> float:
    """The largest flip rate at which the drop is found with probability `target`; NaN if there is none.

    With more flips the same drop is harder to see. At flip = drop, where no item got better, power need not be the
    highest: too few flips cannot reject.
    """
    check_numbers(n=n, drop=drop, target=target, alpha=alpha)
    return _largest(lambda flip: power(n, flip, drop, alpha), drop, target)


def _largest(power_of: Callable[[float], float], least: float, target: float) -> float:
    """The largest x in [least, 1] with power_of(x) ≥ target: bracketed on a grid from above, then bisected."""
    above = 1.0
    for x in np.r_[np.geomspace(1, max(least, 1e-9), 200)[:-1], max(least, 1e-9)]:
        if power_of(float(x)) >= target:
            return 1.0 if x == 1 else float(brentq(lambda f: power_of(f) - target, float(x), above, xtol=1e-12))
        above = float(x)
    return float("nan")


# ---- the normal approximation ------------------------------------------------------------------------------


def power_normal(n: float, flip: float, drop: float, alpha: float = ALPHA) -> float:
    """Φ((√n·drop − z_α√flip)/√(flip − drop²)) (Connor 1987)."""
    check_numbers(n=n, flip=flip, drop=drop, alpha=alpha)
    spread = (flip - drop**2) ** 0.5
    return float(stats.norm.cdf((n**0.5 * drop - stats.norm.isf(alpha) * flip**0.5) / max(spread, 1e-300)))


def sample_size_normal(flip: float, drop: float, target: float = 0.8, alpha: float = ALPHA) -> int:
    """⌈((z_α√flip + z_β√(flip − drop²))/drop)²⌉: a starting point; it is smaller than the exact answer."""
    z_alpha, z_beta = stats.norm.isf(alpha), stats.norm.ppf(target)
    return ceil(max(0.0, (z_alpha * flip**0.5 + z_beta * (flip - drop**2) ** 0.5) / drop) ** 2)


def detectable_drop_normal(n: float, flip: float, target: float = 0.8, alpha: float = ALPHA) -> float:
    """The drop at which `power_normal` is `target`; about (z_α + z_β)√(flip/n). NaN where flip is too small."""
    if power_normal(n, flip, flip, alpha) < target:
        return float("nan")
    return float(brentq(lambda drop: power_normal(n, flip, drop, alpha) - target, 0, flip, xtol=1e-12))


def highest_flip_rate_normal(n: float, drop: float, target: float = 0.8, alpha: float = ALPHA) -> float:
    return _largest(lambda flip: power_normal(n, flip, drop, alpha), drop, target)


# ---- the flip rate from a pilot ----------------------------------------------------------------------------


def flip_rate_interval(flips: int, n: int, level: float = 0.05) -> tuple[float, float]:
    """Two-sided exact (Clopper–Pearson) 1 − level interval of a flip rate seen as `flips` of n items."""
    interval = stats.binomtest(flips, n).proportion_ci(1 - level, method="exact")
    return float(interval.low), float(interval.high)


# ---- a suite -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SuitePower:
    """Power of each of SUITE_TESTS at level alpha, and the number of simulated suites it is estimated from."""

    power: dict[str, float]
    suites: int


def suite_power(
    n: Numbers, flip: Numbers, drop: Numbers, alpha: float = ALPHA, *, suites: int = SUITES,
    draws: int = DRAWS_PER_SIMULATED_SUITE, seed: int = 0,
) -> SuitePower:
    """Power of the pooled, max-drop and Fisher tests, each at alpha, and of min(1, 3·min p), by simulation.

    n, flip and drop are of shape (tasks,), or one number for all tasks; negative drops are improvements. Independent
    0/1 items. The p-values are those of `suite`, for all simulated suites at once, with Fisher's null from `draws`
    draws each.
    """
    n, flip, drop = np.broadcast_arrays(n, flip, drop)
    if (np.abs(drop) > flip).any():
        raise InputError("a drop larger than the flip rate is impossible")
    rng = np.random.default_rng([seed, n.size])
    m = rng.binomial(n, flip, size=(suites, n.size))
    q = (1 + np.divide(drop, flip, out=np.zeros(n.size), where=flip > 0)) / 2
    b = rng.binomial(m, q)
    p = {
        "pooled": p_exact(b.sum(1), (m - b).sum(1)),
        "max-drop": _p_max_drop(b, m),
        "Fisher": _p_fisher(b, m, draws, rng),
    }
    p["combined"] = p["pooled"] if n.size == 1 else np.minimum(1, 3 * np.min(list(p.values()), axis=0))
    return SuitePower({test: float(np.mean(p[test] <= alpha)) for test in SUITE_TESTS}, suites)


def _p_max_drop(b: np.ndarray, m: np.ndarray) -> np.ndarray:
    """`suite.p_max_drop` of every row of b, m (suites, tasks)."""
    x = 2 * b - m
    z = np.where(m > 0, x / np.sqrt(np.maximum(m, 1)), -np.inf).max(axis=1, keepdims=True)
    there = np.isfinite(z[:, 0])
    z = np.where(there[:, None], z, 0.0)
    # Exact ties can be unequal in floating point: a difference in the last bits is a tie.
    least = np.ceil((z * np.sqrt(m) + m) / 2 - 1e-9)
    tails = np.where(m > 0, stats.binom.sf(least - 1, m, 0.5), 0.0)
    with np.errstate(divide="ignore"):  # a tail of 1 makes the product 0
        return np.where(there, -np.expm1(np.log1p(-tails).sum(axis=1)), 1.0)


def _p_fisher(b: np.ndarray, m: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """`suite.p_fisher` of every row: (1 + #{drawn ≥ observed})/(draws + 1), given the row's m."""
    # ln p of every count that Bin(m, ½) can draw, once for each m: a table from `first` to 4.5 √m beyond m/2.
    values, at = np.unique(m, return_inverse=True)
    at = at.reshape(m.shape)
    first = np.maximum(0, (values - 9 * np.sqrt(values)) // 2).astype(np.int64)
    width = int((values - 2 * first).max()) + 1
    losses = np.minimum(first[:, None] + np.arange(width), values[:, None])
    table = np.where(values[:, None] > 0, np.log(p_exact(losses, values[:, None] - losses)), 0.0)
    observed = np.where(m > 0, np.log(np.maximum(p_exact(b, m - b), 1e-300)), 0.0).sum(axis=1)
    reached = np.zeros(len(m))
    batch = max(1, 4_000_000 // max(1, m.size))
    for start in range(0, draws, batch):
        shape = (min(batch, draws - start), *m.shape)
        drawn = np.clip(rng.binomial(m, 0.5, size=shape) - first[at], 0, width - 1)
        reached += (table[at, drawn].sum(axis=2) <= observed * (1 - 1e-9)).sum(axis=0)
    return (1 + reached) / (draws + 1)


def suite_answer(unknown: str, known: Mapping[str, float], *, tasks: int, one: bool, alpha: float,
                 seed: int = 0) -> float:
    """What the functions above compute for one task, for the combined test on a suite of equal tasks.

    unknown  one of n (items a task), flip, drop and power
    known    the other three, by their names

    The drop falls on every task, or on `one` of them. Found by bisection on simulated power with common random
    numbers; NaN if no value in range suffices.
    """
    def found(n: float, flip: float, drop: float) -> float:
        drops = np.r_[drop, np.zeros(tasks - 1)] if one else np.full(tasks, drop)
        return suite_power(np.full(tasks, n), np.full(tasks, flip), drops, alpha, seed=seed).power["combined"]

    if unknown == "power":
        return found(known["n"], known["flip"], known["drop"])
    target = known["power"]
    if unknown == "n":
        flip, drop = known["flip"], known["drop"]
        low, high = 0, max(8, ceil(suite_normal("n", known, tasks=tasks, one=one, alpha=alpha)))
        while high > LARGEST_N or found(high, flip, drop) < target:
            low, high = high, 2 * high
            if high > LARGEST_N:
                raise InputError(f"a drop of {drop:g} at a flip rate of {flip:g} takes more than {LARGEST_N:,} "
                                 "items a task")
        while high - low > max(1, high // 200):
            middle = (low + high) // 2
            low, high = (low, middle) if found(middle, flip, drop) >= target else (middle, high)
        return high
    n = known["n"]
    if unknown == "drop":
        flip = known["flip"]
        if found(n, flip, flip) < target:
            return float("nan")
        return _bisect(lambda x: found(n, flip, x) >= target, 0.0, flip)
    drop = known["drop"]
    if found(n, drop, drop) < target:
        return float("nan")
    if found(n, 1.0, drop) >= target:
        return 1.0
    return _bisect(lambda x: found(n, x, drop) < target, drop, 1.0)


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The point, to half a per cent, from which `holds` is true."""
    while high - low > 0.005 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def suite_normal(unknown: str, known: Mapping[str, float], *, tasks: int, one: bool, alpha: float) -> float:
    """The normal approximation: the pooled test at α/3 for a drop on all tasks, the damaged task at α/(3·tasks) for
    one. The combined test does a little better than either part of it. `known` as for `suite_answer`."""
    alpha = alpha if tasks == 1 else alpha / (3 * tasks) if one else alpha / 3
    times = 1 if one else tasks
    if unknown == "power":
        return power_normal(known["n"] * times, known["flip"], known["drop"], alpha)
    if unknown == "n":
        return ceil(sample_size_normal(known["flip"], known["drop"], known["power"], alpha) / times)
    if unknown == "drop":
        return detectable_drop_normal(known["n"] * times, known["flip"], known["power"], alpha)
    return highest_flip_rate_normal(known["n"] * times, known["drop"], known["power"], alpha)
