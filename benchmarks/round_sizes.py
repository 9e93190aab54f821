"""What do larger rounds cost (`evaluate --first-round`, `--growth`)?

    python benchmarks/round_sizes.py MATRIX.csv.gz …            five development boards: about 5 minutes
    python benchmarks/round_sizes.py MATRIX.csv.gz … --seeds 2 --budgets 100 10%

Each matrix is split by date, or in the order of the file; the newer models that lack no score are asked in growing
rounds with 4 factors of the older ones, on the same random numbers whatever the rounds. A table: effective sample size
by width / by error and coverage, geometric means (coverage: means) over boards.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.querying import forecasting
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.designs import schedule
from llm_accuracy.querying.evaluation import evaluate_in_rounds, kinds_of
from llm_accuracy.querying.factors import Factors
from llm_accuracy.querying.policies import GrowingRounds, named
from llm_accuracy.querying.round_estimates import estimate
from llm_accuracy.querying.session import budget_of
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import Responses, read_matrix, split_by_date

SIZES = ((8, 1.5), (8, 2.0), (8, 3.0), (32, 1.5), (32, 2.0), (64, 2.0), (128, 2.0), (10**9, 1.5))
BUDGETS = ["50", "100", "10%", "25%"]


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "budgets", "seeds")
    parser.set_defaults(budgets=BUDGETS, seeds=5)
    parser.add_argument("matrices", nargs="+", type=Path, metavar="MATRIX", help="wide CSV files")
    args = parser.parse_args(argv)
    boards = []
    for path in args.matrices:
        boards.append(measured(path, args.budgets, args.seeds))
        print(f"{path.name}: done", file=sys.stderr, flush=True)
    print(f"| first round, growth | {' | '.join(args.budgets)} |\n|---|{'---|' * len(args.budgets)}")
    for first, growth in SIZES:
        cells = []
        for budget in args.budgets:
            width, error, covered = np.array([board[first, growth, budget] for board in boards]).T
            cells.append(f"{mean(width):.2f} / {mean(error):.2f}, {covered.mean():.3f}")
        name = "all at once" if first == SIZES[-1][0] else f"{first}, {growth:g}"
        print(f"| {name} | {' | '.join(cells)} |")


def mean(values: np.ndarray) -> float:
    return float(np.exp(np.log(values).mean()))


def measured(path: Path, budgets: list[str], seeds: int) -> dict[tuple[int, float, str], tuple[float, float, float]]:
    """{(first, growth, budget): (ESS by width, by error, coverage)} of a board."""
    older, newer = split_by_date(read_matrix(path, cache=False))
    newer = newer.take(newer.complete)
    factors = forecasting.fitting(forecasting.default_rank(older.n_models))(older)
    return {(first, growth, budget): one(factors, newer, budget_of(budget, newer.n_questions), first, growth, seeds)
        for first, growth in SIZES for budget in budgets}


def one(factors: Factors, newer: Responses, budget: int, first: int, growth: float,
        seeds: int) -> tuple[float, float, float]:
    policy, bank, prior = named("rounds"), Bank.of(factors.V), factors.prior
    plan, n = GrowingRounds(first, growth, policy.rounds.kinds), newer.n_questions
    scores = np.tile(newer.scores.astype(np.float64), (seeds, 1))
    draws = stream("round sizes", *scores.shape).random((len(scores), len(schedule(n, n)) + 1))
    trace = evaluate_in_rounds(bank, prior, plan, policy.setting.tau, [budget], draws, scores,
                               kinds_of(bank, prior, plan))
    found, truth = estimate(trace.by_budget[budget]), scores.mean(1)
    band, variance = found.interval(), scores.var(1, ddof=1) * (1 / budget - 1 / n)
    by_width = (2 * forecasting.Z * np.sqrt(variance).mean() / band.width.mean()) ** 2
    return by_width, variance.mean() / ((found.theta - truth) ** 2).mean(), band.covers(truth).mean()


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
