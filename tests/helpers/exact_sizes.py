"""The size of the exact test of `unconditional`, by enumeration, beside an independent computation of its p-values.

    python tests/helpers/exact_sizes.py FILE.csv [--largest N]
    python tests/helpers/exact_sizes.py --tango 30 100 300   coverage of Tango's two-sided 95 % interval, by enumeration

`p_values` computes Berger and Boos's p of every outcome of n items by sorting all outcomes by Tango's score and adding
up trinomial probabilities, in float64: no recursion, no window, none of the library's formulas but the score (which has
its own test). `sizes` takes the library's p-values at the boundary of the rejection region.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import gammaln

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from llm_accuracy.degradation import unconditional

MARGINS = (0.005, 0.01, 0.02, 0.05)
ALPHAS = (0.01, 0.05, 0.1)
NEAR = 1e-3  # p-values this little below alpha are computed by the library, whose flip rates include both ends
SMALL, SPACED = range(1, 201), np.unique(np.geomspace(201, 1000, 60).astype(int))


def score(n, b, c, drop):
    """Tango's score from the restricted estimate, the textbook's root of the quadratic."""
    a, half, last = 2 * n, -b - c + (2 * n - b + c) * drop, -c * drop * (1 - drop)
    q = (np.sqrt(np.maximum(half * half - 4 * a * last, 0)) - half) / (2 * a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b - c == n * drop, 0.0, (b - c - n * drop) / np.sqrt(n * (2 * q + drop * (1 - drop))))


def p_values(n: int, drop: float, points: int = 1_000, highest: float = 0.15):
    """(b, c, p) of all outcomes with p up to about `highest`: those that score no more than Tango's quantile there."""
    b, c = (x.ravel() for x in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    inside = b + c <= n
    b, c = b[inside], c[inside]
    t = score(n, b, c, drop)
    order = np.argsort(t, kind="stable")
    order = order[t[order] <= stats.norm.ppf(highest) + 1.0]
    b, c, t = b[order], c[order], t[order]
    last = np.searchsorted(t, t + 1e-9 * (1 + np.abs(t)), side="right") - 1  # ties count
    m, gamma = b + c, 1e-6
    low = np.where(m == 0, 0.0, stats.beta.ppf(gamma / 2, np.maximum(m, 1), n - m + 1))
    high = np.where(m == n, 1.0, stats.beta.ppf(1 - gamma / 2, m + 1, np.maximum(n - m, 1)))
    choose = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - m + 1)
    largest = np.zeros(b.size)
    for flip in drop + (1 - drop) * np.linspace(1e-9, 1, points) ** 3:
        lost, gained, same = (flip + drop) / 2, (flip - drop) / 2, max(1 - flip, 1e-300)
        here = np.flatnonzero((low <= flip) & (flip <= high))
        if here.size == 0:
            continue
        pmf = np.exp(choose + b * np.log(lost) + c * np.log(max(gained, 1e-300)) + (n - m) * np.log(same))
        reached = np.cumsum(pmf)
        largest[here] = np.maximum(largest[here], reached[last[here]])
    return b, c, largest + gamma


def boundaries(n: int, drop: float, alphas=ALPHAS) -> np.ndarray:
    """(alphas, n + 1): the most losses among m flips that the library rejects, −1 where it rejects none."""
    b, c, p = p_values(n, drop)
    found = np.full((len(alphas), n + 1), -1)
    for row, alpha in zip(found, alphas, strict=True):
        near = (p <= alpha) & (p > alpha - NEAR)
        exact = p.copy()
        exact[near] = [unconditional.p_drop_excluded(n, x, y, drop)
                       for x, y in zip(b[near].tolist(), c[near].tolist(), strict=True)]
        rejected = exact <= alpha
        np.maximum.at(row, (b + c)[rejected], b[rejected])
    return found


def size_of(n: int, drop: float, boundary: np.ndarray, points: int = 2_001) -> float:
    """The largest probability of {b ≤ boundary[m]} at this drop, over flip rates; its highest maxima are refined."""
    m = np.arange(n + 1)

    def reached(flip):
        flip = np.atleast_1d(flip)[:, None]
        below = np.where(boundary < 0, 0.0, stats.binom.cdf(boundary, m, (1 + drop / flip) / 2))
        return (stats.binom.pmf(m, n, flip) * below).sum(axis=1)

    flips = drop + (1 - drop) * np.linspace(1e-6, 1, points) ** 3
    values = np.concatenate([reached(part) for part in np.array_split(flips, max(1, n * points // 400_000))])
    best = float(values.max())
    for peak in np.argsort(values)[-3:]:
        around = np.linspace(flips[max(peak - 1, 0)], flips[min(peak + 1, points - 1)], 41)
        best = max(best, float(reached(around).max()))
    return best


def row_of(n: int, margins=MARGINS, alphas=ALPHAS) -> dict:
    row = {"n": n}
    for margin in margins:
        for alpha, boundary in zip(alphas, boundaries(n, margin, alphas), strict=True):
            row[f"size_margin_{margin}_alpha_{alpha}"] = size_of(n, margin, boundary)
    return row


DROPS, FLIPS = np.linspace(0, 0.3, 31), np.linspace(0.02, 0.98, 49)


def tango_coverage(n: int, drops: np.ndarray = DROPS, flips: np.ndarray = FLIPS) -> tuple[float, float, float]:
    """(least and largest coverage, largest probability of a limit on the wrong side) of the two-sided 95 % interval,
    over drops and flip rates at least as large; by symmetry those of gains, too."""
    b, c = (x.ravel() for x in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    inside = b + c <= n
    b, c = b[inside], c[inside]
    choose = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - b - c + 1)
    z, covered, tails = stats.norm.isf(0.025), [], []
    for drop in drops:
        t = score(n, b, c, drop)
        for flip in flips[flips >= drop]:
            lost, gained = (flip + drop) / 2, max((flip - drop) / 2, 1e-300)
            pmf = np.exp(choose + b * np.log(lost) + c * np.log(gained) + (n - b - c) * np.log(1 - flip))
            below, above = pmf[t < -z].sum(), pmf[t > z].sum()
            covered.append(1 - below - above)
            tails += [below, above]
    return float(min(covered)), float(max(covered)), float(max(tails))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", help="where the table of sizes is written")
    parser.add_argument("--tango", type=int, nargs="+", metavar="N", help="instead: numbers of items")
    parser.add_argument("--largest", type=int, default=1000)
    options = parser.parse_args()
    if options.tango:
        for n in options.tango:
            low, high, tail = tango_coverage(n)
            print(f"n = {n}: coverage {low:.3f} to {high:.3f}, one tail up to {tail:.3f}", flush=True)
        return
    if options.file is None:
        parser.error("FILE.csv or --tango N")
    rows = []
    for n in [n for n in [*SMALL, *SPACED.tolist()] if n <= options.largest]:
        rows.append(row_of(n))
        pd.DataFrame(rows).to_csv(options.file, index=False, float_format="%.7f")
    table = pd.DataFrame(rows).set_index("n")
    for alpha in ALPHAS:
        columns = [column for column in table if column.endswith(f"alpha_{alpha}")]
        over = float(table[columns].max().max()) - alpha
        print(f"alpha {alpha}: largest size {alpha + over:.7f}, at n >= 100 from "
              f"{table.loc[100:, columns].min().min():.4f}")


if __name__ == "__main__":
    main()
