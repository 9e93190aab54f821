"""Is a drop of the margin or more excluded? The exact unconditional test on 0/1 scores of independent items.

Of n items b are lost and c gained by the candidate, m = b + c: a trinomial with drop D = P(lost) − P(gained) and flip
rate ψ = P(lost) + P(gained). H0: D ≥ δ. Outcomes are ordered by Tango's score T(δ), and the p-value of Berger & Boos
(1994) is

    p = γ + max P[T ≤ T(observed) | D = δ, ψ]   over ψ in the Clopper–Pearson 1 − γ range of m of n, ψ ≥ δ.

P(p ≤ α) ≤ α for every (D, ψ) of H0: at D = δ by their lemma; above it because, at a given number m of flips, the
rejected b lie below some k_m, and a larger D at the same ψ makes b stochastically larger.

As T falls with every further gain and rises with every further loss, the boundary k_m rises by 0 or 1 with m, and

    P = Σ_m P[M = m]·F_m,  M ~ Bin(n, ψ),  F_m = P[Bin(m, s) ≤ k_m],  s = (1 + δ/ψ)/2

follows from one cumulative sum, since F_{m+1} − F_m is P[Bin(m, s) = k_m] times −s, or, where k_m rises,
s(m − k_m)/(k_m + 1). Windows too wide for that are summed in blocks that bound P from above, never from below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, gammaln, ndtr, xlog1py, xlogy

from .intervals import tango_interval, tango_score

GAMMA = 1e-6  # of Berger and Boos: the flip rate may lie outside its range with this probability
POINTS = 257  # of the nuisance flip rate; its local maxima are refined
SMOOTH_POINTS = 257  # where at least MANY flips are expected at every one of them: 257 and 1,025 agree to 1e-7 there
MANY = 1_000
FEW_POINTS = 49  # while a limit is being searched for; what is found is checked with all of them
NEAR = 2  # losses between a guess of the boundary and the first looks for it
CHUNK = 64  # flip rates that share a window of m
SMALL = 400_000  # flip rates times window up to which all of them share one, which saves calls
WIDEST = 40_000  # values of m in a window that are summed one by one
BLOCKS = 1_500  # in a wider one
LARGE = 1e5  # counts from which binomial tails come from a normal approximation
DEVIATIONS = 7.5  # half of a window, in standard deviations of m: it leaves out less than 1e-12


@dataclass(frozen=True)
class Region:
    """The outcomes at least as extreme as the observed one, {b ≤ k_m} for each m, with n items at D = `drop`."""

    n: int
    drop: float
    score: float
    _known: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def _between(self, low: int, high: int) -> np.ndarray:
        """k_m of m = low … high. The first grid of flip rates spans all later ones, which look its boundary up."""
        start, found = self._known.get("boundary", (0, np.empty(0)))
        if not start <= low <= high < start + found.size:
            start, found = low, self.boundary(np.arange(low, high + 1, dtype=float))
            self._known["boundary"] = start, found
        return found[low - start : high + 1 - start]

    def boundary(self, m: np.ndarray) -> np.ndarray:
        """k_m, the most losses among m flips with T ≤ score; −1 where there are none. Ties count."""
        slack = 1e-9 * (1 + abs(self.score))
        low, high = np.full(m.size, -1.0), np.asarray(m, float)
        guess = np.floor((m + self.n * self.drop + self.score * np.sqrt(np.maximum(m - self.n * self.drop**2, 0))) / 2)
        looks = [guess - NEAR, guess + NEAR]  # around where it is if the flip rate is m/n; then halving
        while (high > low).any():
            middle = np.clip(looks.pop(), low + 1, high) if looks else np.ceil((low + high) / 2)
            inside = tango_score(self.drop, self.n, middle, m - middle) <= self.score + slack
            low, high = np.where(inside, middle, low), np.where(inside, high, middle - 1)
        # Rounding must not break the two rules of the boundary; mended, it can only enclose more.
        low = np.maximum.accumulate(low)
        return np.maximum.accumulate((low - m)[::-1])[::-1] + m

    def probability(self, flip: np.ndarray) -> np.ndarray:
        """P[T ≤ score | D = drop, ψ] for flip rates `flip` > drop in ascending order, (points,)."""
        found = np.empty(flip.size)
        low, high = self._window(flip)
        together = flip.size if flip.size * (high - low) < SMALL else CHUNK
        for start in range(0, flip.size, together):
            rates = flip[start : start + together]
            low, high = self._window(rates)
            sums = self._one_by_one if high - low < WIDEST else self._in_blocks
            found[start : start + together] = sums(rates, low, high)
        return np.minimum(found, 1.0)

    def _window(self, rates: np.ndarray) -> tuple[int, int]:
        """The values of m that matter at any of these flip rates."""
        spread = DEVIATIONS * np.sqrt(self.n * rates * (1 - rates)) + 40
        return (max(0, int((self.n * rates - spread).min())),
                min(self.n, int((self.n * rates + spread).max()) + 1))

    def _one_by_one(self, flip: np.ndarray, low: int, high: int) -> np.ndarray:
        k = self._between(low, high)
        if k[-1] < 0:
            return np.zeros(flip.size)
        worth = flip.size >= FEW_POINTS and flip.size * (high - low) < SMALL
        weights, total = (_weights_of_grid(self.n, low, high, flip.tobytes()) if worth
                          else _weights(self.n, low, high, flip))
        first = int(np.argmax(k >= 0))  # before it nothing is in the region
        m, k, weights = np.arange(low + first, high + 1, dtype=float), k[first:], weights[:, first:]
        share = (1 + self.drop / flip) / 2
        below = np.empty_like(weights)
        below[:, 0] = at_most(k[0], m[0], share)
        if m.size > 1:
            self._growth(m, k, share, out=below[:, 1:])
            np.cumsum(below, axis=1, out=below)
        np.clip(below, 0.0, 1.0, out=below)
        return np.einsum("ij,ij->i", weights, below) / total

    @staticmethod
    def _growth(m: np.ndarray, k: np.ndarray, share: np.ndarray, out: np.ndarray) -> None:
        """F_{m+1} − F_m along the boundary, into `out`, (points, len(m) − 1)."""
        m, rises, k = m[:-1], np.diff(k) > 0, k[:-1]
        # ln C(m, k) along the boundary, from its first point.
        steps = np.log((m[:-1] + 1) / np.where(rises[:-1], k[:-1] + 1, m[:-1] + 1 - k[:-1]))
        log_choose = np.r_[0.0, np.cumsum(steps)]
        start = _log_pmf(k[0], m[0], share)
        gained = (m - k) - (m[0] - k[0])
        np.multiply.outer(np.log(share), k - k[0], out=out)
        out += np.multiply.outer(np.log1p(-share), gained)
        out += log_choose
        out += (start + np.log(share))[:, None]
        np.exp(out, out=out)
        out *= np.where(rises, (m - k) / (k + 1), -1.0)

    def _in_blocks(self, flip: np.ndarray, low: int, high: int) -> np.ndarray:
        """An upper bound: in each block of m, the largest k with the smallest m."""
        edges = np.unique(np.linspace(low, high + 1, BLOCKS + 1).astype(np.int64)).astype(float)
        first, last = edges[:-1], edges[1:] - 1
        k = self.boundary(last)
        mass = np.diff(at_most(edges - 1, float(self.n), flip[:, None]), axis=1)
        share = (1 + self.drop / flip[:, None]) / 2
        below = np.where(k < 0, 0.0, np.where(k >= first, 1.0, at_most(np.clip(k, 0, first), first, share)))
        return (mass * below).sum(axis=1)


@lru_cache(maxsize=4)  # one grid serves the margin and most steps of the search for a limit
def _weights_of_grid(n: int, low: int, high: int, rates: bytes) -> tuple[np.ndarray, np.ndarray]:
    return _weights(n, low, high, np.frombuffer(rates))


def _weights(n: int, low: int, high: int, flip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P[M = m] up to a factor, (points, m = low … high), and its sum over m, (points,)."""
    m = np.arange(low, high + 1, dtype=float)
    steps = np.r_[0.0, np.cumsum(np.log((n - m[:-1]) / (m[:-1] + 1)))]
    weights = np.multiply.outer(np.log(flip) - np.log1p(-np.minimum(flip, 1 - 1e-16)), m - low)
    weights += steps
    weights -= weights.max(axis=1, keepdims=True)
    np.exp(weights, out=weights)
    return weights, weights.sum(axis=1)


def _log_pmf(k: float, n: float, share: np.ndarray) -> np.ndarray:
    """ln P[Bin(n, share) = k]; by logarithms of factorials where these are right to 1e-10, as they are quicker."""
    if n > LARGE:
        from scipy.stats import binom  # takes a second to import

        return binom.logpmf(k, n, share)
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, share) + xlog1py(n - k, -share)


def at_most(k, n, share):
    """P[Bin(n, share) ≤ k] for −1 ≤ k ≤ n, elementwise, in floats: integers of this size overflow elsewhere.

    Where k and n − k exceed `LARGE`, where the incomplete beta function takes √n steps near its middle, by the normal
    approximation of Peizer & Pratt (1968), then right to 1e-9.
    """
    k, n, share = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float), np.asarray(share, float))
    large = np.minimum(k, n - k) > LARGE
    found = np.empty(k.shape)
    k_, n_, share_ = k[~large], n[~large], share[~large]
    inside = betainc(np.maximum(n_ - k_, 1e-300), np.maximum(k_, 0) + 1, 1 - share_)
    found[~large] = np.where(k_ < 0, 0.0, np.where(k_ >= n_, 1.0, inside))
    found[large] = _peizer_pratt(k[large], n[large], share[large])
    return found


def _peizer_pratt(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    q, middle = 1 - p, k + 0.5 - n * p
    distance = k + 2 / 3 - (n + 1 / 3) * p + 0.02 * (q / (k + 1) - p / (n - k) + (q - 0.5) / (n + 1))
    deviance = (k + 0.5) * np.log1p(middle / (n * p)) + (n - k - 0.5) * np.log1p(-middle / (n * q))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = distance / np.abs(middle) * np.sqrt(2 * np.maximum(deviance, 0) / (1 + 1 / (6 * n)))
    near = np.abs(middle) < 1e-4 * np.sqrt(n * p * q)  # 0/0 in the middle: its limit
    return ndtr(np.where(near, distance / np.sqrt(n * p * q), z))


def flip_range(m: int, n: int) -> tuple[float, float]:
    """The two-sided Clopper–Pearson 1 − γ range of the flip rate, m of n items."""
    low = 0.0 if m == 0 else float(betaincinv(m, n - m + 1, GAMMA / 2))
    high = 1.0 if m == n else float(betaincinv(m + 1, n - m, 1 - GAMMA / 2))
    return low, high


@lru_cache(maxsize=100_000)  # many tasks of a suite have the same few counts
def p_drop_excluded(n: int, b: int, c: int, drop: float, points: int | None = None, enough: float = 1.0) -> float:
    """The exact p-value of H0: the drop is `drop` or more, −1 < drop < 1; never below γ.

    `points` of the flip rate, instead of as many as needed: a quick look, which may be too small by 1e-3. A p-value
    above `enough` may be too small, too, but is above it.
    """
    low, high = flip_range(b + c, n)
    low = max(low, abs(drop) * (1 + 1e-12), 1e-300)  # ψ = |drop| itself would leave logarithms of 0
    if high <= low:
        return GAMMA
    region = Region(n, drop, float(tango_score(drop, n, b, c)))
    dense = points or (SMOOTH_POINTS if n * low >= MANY else POINTS)
    flip = low + (high - low) * np.linspace(0, 1, dense) ** 2
    if enough < 1:  # some of the points may do
        best = float(region.probability(flip[::16]).max())
        if best + GAMMA > enough:
            return min(1.0, best + GAMMA)
    reached = region.probability(flip)
    best = float(reached.max())
    in_blocks = n * high >= WIDEST**2 / 300  # those are bounds, whose maxima mean nothing
    if points is None and best + GAMMA <= enough and not in_blocks:
        best = max(best, _refined(region, flip, reached))
    return min(1.0, best + GAMMA)


def _refined(region: Region, flip: np.ndarray, reached: np.ndarray) -> float:
    """The largest probability at the tops of the parabolas through every local maximum of a grid and its neighbours."""
    padded = np.r_[-1.0, reached, -1.0]
    peaks = np.flatnonzero((reached > padded[:-2]) & (reached >= padded[2:]))
    middle = np.clip(peaks, 1, flip.size - 2)  # at an end of the grid, the last parabola there is
    before, after = flip[middle] - flip[middle - 1], flip[middle + 1] - flip[middle]
    rise, fall = (reached[middle] - reached[middle - 1]) / before, (reached[middle] - reached[middle + 1]) / after
    with np.errstate(invalid="ignore", divide="ignore"):
        top = flip[middle] + (rise * after - fall * before) / (2 * (rise + fall))
    top = np.clip(top[np.isfinite(top)], flip[0], flip[-1])
    return float(region.probability(np.sort(top)).max()) if top.size else 0.0


@lru_cache(maxsize=100_000)
def upper_limit(n: int, b: int, c: int, alpha: float, known: tuple[float, float] | None = None) -> float:
    """The one-sided 1 − alpha upper limit for the drop: there, a drop is excluded (p ≤ alpha); 1 if none is.

    `known` (a drop, its p-value) places the limit on the right side of that drop. The root is found with few flip
    rates and then raised, a little at a time, until the p-value over all of them is at most alpha.
    """
    floor, ceiling = (b - c) / n, 1.0
    if known is not None:
        below = float(np.nextafter(known[0], -1))  # of an excluded drop, so that the two can be told apart
        floor, ceiling = (floor, below) if known[1] <= alpha else (max(floor, known[0]), 1.0)
    error = (b + c + 2) ** 0.5 / n
    limit = max(_rough_limit(n, b, c, alpha, error), floor + 1e-3 * error)
    step = 2e-3 * error
    while limit < ceiling:
        if p_drop_excluded(n, b, c, limit, enough=alpha) <= alpha:
            return limit
        limit, step = limit + step, 2 * step
    return ceiling


def _rough_limit(n: int, b: int, c: int, alpha: float, error: float) -> float:
    """Where the p-value over few flip rates is alpha, sought from Tango's limit outwards."""
    def excess(drop: float) -> float:
        return p_drop_excluded(n, b, c, drop, FEW_POINTS) - alpha

    most = 1 - 1e-9
    at = min(max(tango_interval(n, b, c, 2 * alpha)[1], -most), most)
    rising, step = excess(at) > 0, error / 64  # where too many outcomes are as extreme, the limit is higher
    while True:
        after = min(at + step, most) if rising else max(at - step, -most)
        if after == at:
            return at
        if (excess(after) > 0) != rising:
            return float(brentq(excess, min(at, after), max(at, after), xtol=2e-4 * error))
        at, step = after, 2 * step
