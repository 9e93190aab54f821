"""What does it cost a live run to allow for more than its answers show (`querying.unseen`), and what does it mend?

    python benchmarks/alike_answers.py MATRIX.csv.gz …      six boards: about two minutes

By board and budget, newer models with factors of the older ones: coverage and mean half-width without and with it.
Then runs without a history on 450 questions of which a share is right, nothing telling them apart: the same, and
whether all looks of a `--half-width` hold at once that is expected to take 100 questions.
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
from llm_accuracy.querying.few_models import few_models
from llm_accuracy.querying.looks import levels
from llm_accuracy.querying.policies import named
from llm_accuracy.querying.rounds import RoundTrace
from llm_accuracy.querying.unseen import Allowing
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import read_matrix, split_by_date

BUDGETS = (8, 20, 50, 100)
ACCURACIES = (0.5, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99)
N, PLANNED = 450, 100


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("matrices", nargs="+", type=Path, metavar="MATRIX", help="wide CSV files")
    parser.add_argument("--rows", type=cli.at_least(1), default=2400, help="evaluations a line, at least")
    args = parser.parse_args(argv)
    print("| board | questions | answers all alike | coverage without, with | half-width without, with |\n"
          "|---|---|---|---|---|")
    for path in args.matrices:
        older, newer = split_by_date(read_matrix(path, cache=False))
        newer = newer.take(newer.complete)
        factors = forecasting.fitting(forecasting.default_rank(older.n_models))(older)
        z = np.tile(newer.scores.astype(float), (-(-args.rows // newer.n_models), 1))
        lines(path.name.partition(".")[0], asked(factors, z, list(BUDGETS)), z, told=True)
    untold, sizes = few_models(None, np.arange(N).astype(str), None), schedule(N, N)
    ends = np.cumsum(sizes)[:-1].tolist()
    for accuracy in ACCURACIES:
        z = stream("alike answers", round(1000 * accuracy)).permuted(
            np.tile((np.arange(N) < round(accuracy * N)).astype(float), (args.rows, 1)), axis=1)
        lines(f"no history, {accuracy:g} right", asked(untold, z, list(BUDGETS)), z, told=False)
        trace, every = asked(untold, z, ends), np.ones((2, len(z)), bool)
        for end, level in zip(ends, levels(sizes, PLANNED, 0.05), strict=False):
            if level:
                found = Allowing(trace.by_budget[end], told=False)
                every[0] &= found.plain.interval(level).covers(z.mean(1))
                every[1] &= found.interval(level).covers(z.mean(1))
        print(f"| no history, {accuracy:g} right | all looks | | {every[0].mean():.3f}, {every[1].mean():.3f} | |",
              flush=True)


def asked(factors: Factors, z: np.ndarray, budgets: list[int]) -> RoundTrace:
    policy, bank = named("rounds"), Bank.of(factors.V)
    assert policy.rounds is not None and policy.setting is not None
    draws = stream("alike answers", *z.shape).random((len(z), 60))
    return evaluate_in_rounds(bank, factors.prior, policy.rounds, policy.setting.tau, budgets, draws, z,
                              kinds_of(bank, factors.prior, policy.rounds))


def lines(name: str, trace: RoundTrace, z: np.ndarray, told: bool) -> None:
    for budget in BUDGETS:
        found = Allowing(trace.by_budget[budget], told)
        bands = found.plain.interval(), found.interval()
        covered = ", ".join(f"{band.covers(z.mean(1)).mean():.3f}" for band in bands)
        half = ", ".join(f"{band.width.mean() / 2:.4f}" for band in bands)
        print(f"| {name} | {budget} | {found.alike.mean():.3f} | {covered} | {half} |", flush=True)


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
