"""Which of ten models is best, from how few answers?

    python benchmarks/best.py MATRIX.csv.gz                   slices of ten of the newer half, 20 seeds: 40 minutes
    python benchmarks/best.py MATRIX.csv.gz --seeds 5 --rows 10 --only low-rank

The matrix is halved in the order of its file; the first half is the history. Slices of `rows` consecutive models of the
second half are the candidates. By method: the share of all answers that it took (mean over slices and seeds, and the
worst slice's), how often the winner was worse than the best by more than half a point (with the slice where that was
most frequent), and how often none was named, all by `--alpha`; with `--slices` the cost of each slice.

Rivals: successive elimination on uniform samples, with intervals for every model after Hoeffding and Serfling, and with
empirical ones for every pair after Bernstein and Serfling, both drawn without replacement, error spent over rounds as
α/(r (r + 1)); ended within the same tolerance. And low-rank doubly robust elimination, a re-implementation of ours from
descriptions of PULSE (`low_rank.py`), as described (every model its own questions) and, stronger, on the same ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import low_rank
import memory

from llm_accuracy import cli
from llm_accuracy.querying.best import Search, search, usefulness
from llm_accuracy.querying.best_population import PopulationSearch
from llm_accuracy.querying.designs import schedule
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import read_matrix

TOLERANCE = 0.005
FIRST, GROWTH = 16, 1.15  # as the search's


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("matrix", type=Path, metavar="MATRIX", help="wide CSV, complete")
    parser.add_argument("--rows", type=cli.at_least(2), default=10, help="models in a slice")
    parser.add_argument("--seeds", type=cli.at_least(1), default=20)
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--only", default="", metavar="TEXT", help="methods with this in their names")
    parser.add_argument("--slices", action="store_true", help="the share of answers of every slice, too")
    args = parser.parse_args(argv)
    matrix = read_matrix(args.matrix, cache=False)
    scores = matrix.scores.astype(float)
    half = len(scores) // 2
    history, newer = scores[:half], scores[half:]
    slices = [newer[i : i + args.rows] for i in range(0, len(newer) - args.rows + 1, args.rows)]
    useful, by_history = usefulness(history), low_rank.with_history(history)
    methods = {
        "betting, questions by the history": lambda z, rng: ours(z, rng, args.alpha, useful),
        "betting, no history": lambda z, rng: ours(z, rng, args.alpha, None),
        "about new questions, by the history": lambda z, rng: ours(z, rng, args.alpha, useful, PopulationSearch),
        "successive elimination, every pair": lambda z, rng: elimination(z, rng, args.alpha, pairs=True),
        "successive elimination, every model": lambda z, rng: elimination(z, rng, args.alpha, pairs=False),
        "low-rank, own questions, no history": lambda z, rng: low_rank.own_questions(
            z, rng, args.alpha, TOLERANCE, low_rank.without_history),
        "low-rank, own questions, history": lambda z, rng: low_rank.own_questions(
            z, rng, args.alpha, TOLERANCE, by_history),
        "low-rank, same questions, history": lambda z, rng: low_rank.same_questions(
            z, rng, args.alpha, TOLERANCE, by_history),
        "both: history's questions, low-rank": lambda z, rng: low_rank.same_questions(
            z, rng, args.alpha, TOLERANCE, by_history, useful),
    }
    print(f"{len(slices)} slices of {args.rows} models, {matrix.n_questions:,} questions, {args.seeds} seeds")
    print(f"| {'method':<36} | % of answers | worst slice | wrong, % | worst slice | open, % |\n"
          "|---|---|---|---|---|---|")
    for name, method in methods.items():
        if args.only not in name:
            continue
        cost, wrong, undecided = np.zeros((3, len(slices), args.seeds))
        for i, z in enumerate(slices):
            means = z.mean(1)
            for seed in range(args.seeds):
                winner, calls = method(z, stream("which is best", i, seed))
                cost[i, seed], undecided[i, seed] = calls / z.size, winner is None
                wrong[i, seed] = winner is not None and means[winner] < means.max() - TOLERANCE - 1e-12
        print(f"| {name:<36} | {100 * cost.mean():.1f} | {100 * cost.mean(1).max():.1f} | {100 * wrong.mean():.2f} | "
              f"{100 * wrong.mean(1).max():.1f} | {100 * undecided.mean():.1f} |", flush=True)
        if args.slices:
            print("|   by slice | " + " ".join(f"{100 * share:.0f}" for share in cost.mean(1)) + " |", flush=True)


def ours(z: np.ndarray, rng: np.random.Generator, alpha: float, useful: np.ndarray | None,
         kind: type[Search] = Search) -> tuple[int | None, int]:
    """(winner, answers) of the search."""
    found = search(lambda left, asked: z[np.ix_(left, asked)], *z.shape, rng, usefulness=useful, alpha=alpha,
                   tolerance=TOLERANCE, kind=kind)
    return found.winner, found.calls


def elimination(z: np.ndarray, rng: np.random.Generator, alpha: float, pairs: bool) -> tuple[int, int]:
    """(winner, answers) of successive elimination on a uniform sample."""
    k, n = z.shape
    order, left, t, calls = rng.permutation(n), np.arange(k), 0, 0
    for r, size in enumerate(schedule(n, n, FIRST, GROWTH), start=1):
        t, calls = t + size, calls + size * left.size
        seen = z[np.ix_(left, order[:t])]
        means = seen.mean(1)
        leader = int(means.argmax())
        if t == n:
            break
        spent = alpha / (r * (r + 1))
        if pairs:
            d = seen[leader] - seen
            beyond = bernstein_serfling(d.std(1), 2.0, t, n, spent / (k * (k - 1)))
            gap = d.mean(1)
        else:
            gap, beyond = means[leader] - means, 2 * hoeffding_serfling(t, n, spent / (2 * k))
        stays = gap <= beyond
        stays[leader] = True
        close = gap >= beyond - TOLERANCE
        close[leader] = True
        left, done = left[stays], bool(close[stays].all())
        if done or left.size == 1:
            return int(left[np.argmax(means[stays])]), calls
    return int(left[leader]), calls


def hoeffding_serfling(t: int, n: int, delta: float) -> float:
    """Of the mean of t of n scores in [0, 1]: it is off by more with probability delta, one side."""
    rho = 1 - (t - 1) / n if t <= n / 2 else (1 - t / n) * (1 + 1 / t)
    return float(np.sqrt(rho * np.log(1 / delta) / (2 * t)))


def bernstein_serfling(deviation: np.ndarray, width: float, t: int, n: int, delta: float) -> np.ndarray:
    """The same by the sample's standard deviation; Bardenet and Maillard (2015), theorem 4."""
    rho = 1 - (t - 1) / n if t <= n / 2 else (1 - t / n) * (1 + 1 / t)
    log = np.log(5 / delta)
    return deviation * np.sqrt(2 * rho * log / t) + (7 / 3 + 3 / np.sqrt(2)) * width * log / t


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
