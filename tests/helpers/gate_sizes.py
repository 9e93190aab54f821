"""How often verdicts err on nulls designed to hurt, by simulation with fixed seeds.

    python tests/helpers/gate_sizes.py                             half an hour
    python tests/helpers/gate_sizes.py --share .1 --page docs/degradation.md

A cell is a test, a population, and a number of trials. `held` cells are those in which the stated null of an exact test
is true; in the others the null is not true although the means are equal, or the test is approximate, and the table says
how often it errs. `judged` asks whether any held cell errs more often than α: one-sided binomial tests, Holm over
the cells, at an error rate of 1 in 1,000 for the whole table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from llm_accuracy import cli  # noqa: E402
from llm_accuracy.degradation import e_values, intervals, mcnemar, reruns, suite, unconditional  # noqa: E402
from llm_accuracy.degradation.bounded_means import Units  # noqa: E402
from llm_accuracy.degradation.sign_flips import sign_flip_test  # noqa: E402
from llm_accuracy.files import around, put_between  # noqa: E402
from llm_accuracy.scores import drawn  # noqa: E402

ALPHA, MARK, ERROR = 0.05, "gate sizes", 1e-3
DRAWS = 999


@dataclass(frozen=True)
class Cell:
    """`errors(trials, rng)` is how many of the trials reject at ALPHA; `held`, whether that must be at most ALPHA."""

    test: str
    population: str
    trials: int
    errors: Callable[[int, np.random.Generator], int]
    held: bool = True


# ---- "safe" of units that are not single 0/1 answers: Gaffke's p, at a drop of the margin --------------------


def _of_outcomes(rows: np.ndarray, p_value: Callable[[tuple[int, ...]], float]) -> int:
    """How many of the outcomes, integers (trials, k), have p ≤ ALPHA; each distinct one is computed once."""
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    return int(sum(count for row, count in zip(distinct, counts, strict=True) if p_value(tuple(row.tolist())) <= ALPHA))


def safe_clusters(groups: int, size: int, largest: int, drop: float, flip: float):
    """`groups` clusters of `size` items and, if `largest` > 0, one of that many, each lost or gained as a whole."""
    chances = [(flip + drop) / 2, (flip - drop) / 2, 1 - flip]
    sizes = np.array([size] * groups + [largest] * (largest > 0), float)

    def p_value(outcome: tuple[int, ...]) -> float:
        lost, gained, large = outcome
        signs = np.repeat([1.0, -1.0, 0.0], [lost, gained, groups - lost - gained])
        return Units(np.append(signs, [large] * (largest > 0)) * sizes, sizes, 1.0).p_drop_excluded(drop)

    def errors(trials: int, rng: np.random.Generator) -> int:
        counts = rng.multinomial(groups, chances, size=trials)[:, :2]
        large = rng.choice([1, -1, 0], size=trials, p=chances)
        return _of_outcomes(np.column_stack([counts, large]), p_value)

    return errors


def safe_reruns(n: int, runs: int, drop: float, unstable: float):
    """Averages of `runs` answers to n items: all right in the baseline; in the candidate a share `unstable` of them
    is wrong with probability drop/unstable."""
    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for _ in range(trials):
            share = np.where(rng.random(n) < unstable, drop / unstable, 0.0)
            sums = rng.binomial(runs, share) / runs
            found += Units(sums, np.ones(n), 1.0).p_drop_excluded(drop) <= ALPHA
        return found

    return errors


# ---- "worse": reruns, skewed scores --------------------------------------------------------------------------


def unequal_runs(n: int, accuracy: float, runs: tuple[int, int], equal: bool):
    """Equally good models with different numbers of runs: as `pair` tests them (`equal`), or all runs averaged."""
    names = np.array([f"q{i}" for i in range(n)])

    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for _ in range(trials):
            answers = [(rng.random((n, number)) < accuracy).astype(float) for number in runs]
            if equal:
                (one, other), _ = reruns.equal_means(names, *answers)
            else:
                one, other = (each.mean(axis=1) for each in answers)
            found += sign_flip_test(one - other, DRAWS).p <= ALPHA
        return found

    return errors


def skewed(n: int, p_value: Callable[[Units], float | None], worse_tail: bool = True, sigma: float = 1.0,
           cut: float = 20.0):
    """Differences that are lognormal (σ = `sigma`), cut and centred, so that their mean is 0; with `worse_tail` large
    gains are rare, so that a sample without them looks worse."""
    # The mean of min(X, cut): e^(σ²/2)·Φ(ln(cut)/σ − σ) + cut·(1 − Φ(ln(cut)/σ))
    at = np.log(cut) / sigma
    mean = float(np.exp(sigma**2 / 2) * stats.norm.cdf(at - sigma) + cut * stats.norm.sf(at))

    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for _ in range(trials):
            sums = np.minimum(rng.lognormal(sigma=sigma, size=n), cut) - mean
            p = p_value(Units(-sums if worse_tail else sums, np.ones(n), cut))
            found += p is not None and p <= ALPHA
        return found

    return errors


# ---- limits and intervals: how often they leave out the truth; samples; clusters of random sizes ----------------


def at_least(n: int, chance: float, loss: float, exact: bool):
    """The lower limit of the drop of n items, each gained whole with this chance and else a `loss` worse."""
    drop = loss * (1 - chance) - chance

    def above(gains: int) -> bool:
        sums = np.r_[np.full(gains, -1.0), np.full(n - gains, loss)]
        if exact:
            return -Units(sums, np.ones(n), 1.0).mirrored().upper_limit(ALPHA) > drop
        return intervals.mean_drop(sums, None, 1.0).limit(ALPHA) > drop

    def errors(trials: int, rng: np.random.Generator) -> int:
        gains, counts = np.unique(rng.binomial(n, chance, trials), return_counts=True)
        return int(sum(count for gained, count in zip(gains, counts, strict=True) if above(int(gained))))

    return errors


def new_answers(n: int, runs: tuple[int, int], wrong: float):
    """The 95 % interval for new answers: a baseline that is always right, a candidate that errs this often."""
    def errors(trials: int, rng: np.random.Generator) -> int:
        found, known = 0, {}
        baseline = np.ones((n, runs[0]))
        for _ in range(trials):
            right = (rng.random((n, runs[1])) >= wrong).astype(float)
            kind = tuple(np.bincount(right.sum(axis=1).astype(int), minlength=runs[1] + 1))
            if kind not in known:
                known[kind] = reruns.answers_interval(baseline, right, 1.0, ALPHA)
            low, high = known[kind]
            found += not low <= wrong <= high
        return found

    return errors


def drawn_samples(tasks: int, items: int, n: int, drop: float):
    """"Safe" by a sample of n items, drawn by task as `plan --write-samples` does, of a bank whose losses, exactly
    `drop` of its items, all lie in the later half of the tasks."""
    banks = {f"t{i:03d}": [str(j) for j in range(items)] for i in range(tasks)}
    later = [(task, item) for task in list(banks)[tasks // 2 :] for item in banks[task]]

    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for seed in range(trials):
            lost = {later[i] for i in rng.choice(len(later), round(drop * tasks * items), replace=False)}
            b = sum((task, item) in lost for task, drawn_ in drawn.draw(banks, n, seed).items() for item in drawn_)
            found += unconditional.p_drop_excluded(n, b, 0, drop) <= ALPHA
        return found

    return errors


def random_sizes(groups: int, share: float, size: int, drop: float):
    """Clusters of 1 item and, rarely, of `size`, of which alone some are lost: a sample without one knows nothing."""
    lost = drop * (1 - share + share * size) / (share * size)

    def errors(trials: int, rng: np.random.Generator) -> int:
        large = rng.binomial(groups, share, trials)
        rows = np.column_stack([large, rng.binomial(large, lost)])

        def p_value(row: tuple[int, ...]) -> float:
            sizes = np.r_[np.full(row[0], float(size)), np.ones(groups - row[0])]
            return Units(np.where(np.arange(groups) < row[1], sizes, 0.0), sizes, 1.0).p_drop_excluded(drop)

        return _of_outcomes(rows, p_value)

    return errors


# ---- e-values at any time, and suites --------------------------------------------------------------------------


def peeking(items: int, flip: float, drop: float, safe: bool):
    """`watch` looks after each item and stops at 1/ALPHA."""
    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for start in range(0, trials, 500):
            u = rng.random((min(500, trials - start), items))
            b = (u < (flip + drop) / 2).cumsum(axis=1)
            c = ((u >= (flip + drop) / 2) & (u < flip)).cumsum(axis=1)
            if safe:
                log_e = e_values.log_e_safe(np.arange(1, items + 1), b, c, drop)
            else:
                losses, gains = np.meshgrid(np.arange(b.max() + 1), np.arange(c.max() + 1), indexing="ij")
                log_e = e_values.log_e_worse(losses, gains)[b, c]
            found += int((log_e.max(axis=1) >= -np.log(ALPHA)).sum())
        return found

    return errors


def best_seed(items: int, flip: float, seeds: int):
    """`watch` of the same items in several orders, until one says "degraded"."""
    orders = np.stack([np.random.default_rng(seed).permutation(items) for seed in range(seeds)])
    most = np.arange(items // 2)  # of either kind; so many never flip
    stops = e_values.log_e_worse(*np.meshgrid(most, most, indexing="ij")) >= -np.log(ALPHA)

    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for _ in range(trials):
            d = rng.choice([1, -1, 0], size=items, p=[flip / 2, flip / 2, 1 - flip])
            b, c = ((d[orders] == sign).cumsum(axis=1) for sign in (1, -1))
            found += bool(stops[b, c].any())
        return found

    return errors


def equal_suites(tasks: int, flips: int, test: str):
    """A suite of equally good models; `test` is one of the three, or the combined one that decides."""
    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for number in range(trials):
            total = rng.poisson(flips, size=tasks)
            b = rng.binomial(total, 0.5)
            p = {"pooled": float(mcnemar.p_exact(int(b.sum()), int((total - b).sum())))}
            if test != "pooled":
                p["max-drop"] = suite.p_max_drop(b, total - b)
                p["Fisher"] = suite.p_fisher(b, total - b, DRAWS, number)
            found += (suite.p_combined(*p.values()) if test == "combined" else p[test]) <= ALPHA
        return found

    return errors


def shared_suites(groups: int, tasks: int):
    """Nested tasks: every item of one occurs in all others, too, so that all flip together."""
    units, codes = np.tile(np.arange(groups), tasks), np.repeat(np.arange(tasks), groups)

    def errors(trials: int, rng: np.random.Generator) -> int:
        found = 0
        for number in range(trials):
            signs = rng.choice([1.0, -1.0, 0.0], size=groups, p=[0.1, 0.1, 0.8])
            drawn = suite.sign_draw_tests(np.tile(signs, tasks), units, codes, DRAWS, number)
            pooled = sign_flip_test(tasks * signs, DRAWS).p
            found += suite.p_combined(pooled, drawn.p_max_drop, drawn.p_fisher) <= ALPHA
        return found

    return errors


CELLS = (
    Cell("safe, Gaffke", "40 clusters of 10, 15 % lost or gained whole, drop 5 points", 100_000,
         safe_clusters(40, 10, 0, 0.05, 0.15)),
    Cell("safe, Gaffke", "200 clusters of 5, 3 % lost or gained whole, drop 2 points", 100_000,
         safe_clusters(200, 5, 0, 0.02, 0.03)),
    Cell("safe, Gaffke", "100 single items and one cluster of 50, a third of all, drop 5 points", 100_000,
         safe_clusters(100, 1, 50, 0.05, 0.15)),
    Cell("safe, Gaffke", "4 reruns, n = 391, 2 % of items lose half their answers, drop 1 point", 100_000,
         safe_reruns(391, 4, 0.01, 0.02)),
    Cell("worse, sign flips", "1 against 16 runs, p = .95, n = 30, equal numbers drawn", 100_000,
         unequal_runs(30, 0.95, (1, 16), True)),
    Cell("worse, sign flips", "the same, all runs averaged (what `pair` does not do)", 20_000,
         unequal_runs(30, 0.95, (1, 16), False), held=False),
    Cell("worse, sign flips", "lognormal differences of mean 0 (σ = 1, cut at 20), n = 50", 20_000,
         skewed(50, lambda units: sign_flip_test(units.sums, DRAWS).p), held=False),
    Cell("mean, bootstrap t", "the same, n = 50", 20_000, skewed(50, Units.p_bootstrap), held=False),
    Cell("mean, bootstrap t", "the same, n = 200", 20_000, skewed(200, Units.p_bootstrap), held=False),
    Cell("mean, betting", "the same, n = 50, in a known range", 100_000, skewed(50, Units.p_betting)),
    Cell("mean, betting", "skewed the other way, n = 50", 100_000, skewed(50, Units.p_betting, worse_tail=False)),
    Cell("watch, worse", "400 items, 20 % flip, a look after each", 100_000, peeking(400, 0.2, 0.0, False)),
    Cell("watch, safe", "400 items, 20 % flip, drop 5 points, a look after each", 100_000,
         peeking(400, 0.2, 0.05, True)),
    Cell("watch, safe", "400 items, losses only, drop 5 points", 100_000, peeking(400, 0.05, 0.05, True)),
    Cell("suite, pooled", "6 tasks of about 8 flips", 100_000, equal_suites(6, 8, "pooled")),
    Cell("suite, max-drop", "6 tasks of about 8 flips", 100_000, equal_suites(6, 8, "max-drop")),
    Cell("suite, Fisher", "6 tasks of about 8 flips", 100_000, equal_suites(6, 8, "Fisher")),
    Cell("suite, combined", "6 tasks of about 8 flips", 100_000, equal_suites(6, 8, "combined")),
    Cell("suite, combined", "3 nested tasks of the same 100 items", 100_000, shared_suites(100, 3)),
    Cell("worse, sign flips", "lognormal differences of mean 0, n = 50, σ = 1.6 and not cut", 20_000,
         skewed(50, lambda units: sign_flip_test(units.sums, DRAWS).p, sigma=1.6, cut=1e12), held=False),
    Cell("at least, Gaffke", "80 items, 10 % gained, all others a quarter worse", 100_000,
         at_least(80, 0.1, 0.25, True)),
    Cell("at least, Bonett–Price t", "the same (what `pair` does not do)", 100_000, at_least(80, 0.1, 0.25, False),
         held=False),
    Cell("new answers, interval", "100 items, 2 runs each, 1 % of the candidate's answers wrong", 20_000,
         new_answers(100, (2, 2), 0.01)),
    Cell("new answers, interval", "300 items, 2 against 8 runs, 3 % wrong", 10_000, new_answers(300, (2, 8), 0.03)),
    Cell("safe, `--samples`", "100 of 200 tasks of one item, drop 5 points, in the later half", 2_000,
         drawn_samples(200, 1, 100, 0.05)),
    Cell("safe, `--samples`", "150 of 100 tasks of 3 items, drop 5 points, in the later half", 2_000,
         drawn_samples(100, 3, 150, 0.05)),
    Cell("safe, Gaffke", "100 clusters of 1 item, 2 % of 20, which alone are lost, drop 5 points: larger than seen",
         20_000, random_sizes(100, 0.02, 20, 0.05), held=False),
    Cell("watch, worse", "400 items, 20 % flip, the best of 20 seeds", 2_000, best_seed(400, 0.2, 20), held=False),
)


def measured(share: float = 1.0, least: int = 200) -> list[tuple[Cell, int, int]]:
    """(cell, trials, errors) of every cell, each with its own seed; `share` of the trials, at least `least`."""
    found = []
    for number, cell in enumerate(CELLS):
        trials = max(min(least, cell.trials), int(share * cell.trials))
        found.append((cell, trials, int(cell.errors(trials, np.random.default_rng([14, number])))))
    return found


def judged(results: list[tuple[Cell, int, int]]) -> list[str]:
    """The held cells that err more often than ALPHA, with Holm over them at ERROR."""
    holding = [(cell, trials, errors) for cell, trials, errors in results if cell.held]
    p = suite.holm([stats.binomtest(errors, trials, ALPHA, alternative="greater").pvalue
                    for _, trials, errors in holding])
    return [f"{cell.test}, {cell.population}: {errors} of {trials}"
            for (cell, trials, errors), adjusted in zip(holding, p, strict=True) if adjusted <= ERROR]


def table(results: list[tuple[Cell, int, int]]) -> str:
    lines = ["| test | population | held to .05 | trials | errs |", "|---|---|---|---:|---:|"]
    for cell, trials, errors in results:
        rate = f"{errors / trials:.4f}".removeprefix("0")
        lines.append(f"| {cell.test} | {cell.population} | {'yes' if cell.held else 'no'} | {trials:,} | {rate} |")
    over = judged(results)
    none = "Of those held to .05, none errs more often (binomial tests, Holm over the rows, at .001)."
    return "\n".join([*lines, "", "Above .05 though held to it: " + "; ".join(over) if over else none])


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the trials (default: all)")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"with <!-- {MARK} --> and <!-- /{MARK} -->")
    args = parser.parse_args(argv)
    if args.page:
        around(args.page, MARK)  # said before the work, not after it
    body = table(measured(args.share))
    print(body)
    if args.page:
        share = "all" if args.share == 1 else f"{args.share:g}"
        put_between(args.page, MARK, f"`tests/helpers/gate_sizes.py`, {share} of its trials:\n\n{body}\n")


if __name__ == "__main__":
    cli.run(main)
