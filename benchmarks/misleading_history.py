"""How often is a history said to mislead, on random halves and under shift, and does recalibration help there?

    python benchmarks/misleading_history.py MATRIX.csv.gz …      about 5 minutes for the five development boards
    python benchmarks/misleading_history.py MATRIX.csv.gz … --rows 100

Each matrix is cut into history and new models: random halves (several), halves in the order of the file or of the
dates, thirds by accuracy, the weakest as history of the strongest and the other way round, and new models whose answers
are dealt to other questions at random. Each new model is evaluated in growing rounds, with recalibrated predictions and
with plain ones. Printed by board, split and number of questions: the shares of evaluations whose history is said to
mislead, and that are said to rest on its word; of both kinds of predictions coverage and ESS by width / by error. The
last lines are geometric means over the boards.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.designs import kinds_of_questions
from llm_accuracy.querying.diagnosis import Promise, diagnose
from llm_accuracy.querying.factors import Factors
from llm_accuracy.querying.intervals import srs_variance, srs_width
from llm_accuracy.querying.predictors import FactorPredictor
from llm_accuracy.querying.recalibration import Recalibrated
from llm_accuracy.querying.round_estimates import estimate
from llm_accuracy.querying.rounds import Rounds, RoundTrace, evaluate_rounds
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import read_matrix, split_by_date

RANK, WEIGHT_DECAY = 4, 2.0
BUDGETS, SHARES = (20, 50, 100), (0.1, 0.25)
CELLS = 1 << 18  # rows × questions side by side


class Measured(NamedTuple):
    """Of one board, split, budget and kind of predictions."""

    misled: float
    trusting: float
    coverage: float
    by_width: float
    by_error: float


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("matrices", nargs="+", type=Path, metavar="MATRIX", help="wide CSV files")
    parser.add_argument("--rows", type=int, default=400, help="evaluations per split, at least")
    parser.add_argument("--halves", type=int, default=4, help="random halves per board")
    args = parser.parse_args(argv)
    overall = defaultdict(list)
    print(f"{'board':26} {'split':16} {'T':>5}  misled  word    "
          "coverage, ESS by width / error: recalibrated      plain")
    for path in args.matrices:
        board = read_matrix(path, cache=False)
        board = board.take(board.observed.all(1))
        older, newer = split_by_date(board)
        scores = np.concatenate([older.scores, newer.scores]).astype(float)
        for split, parts in splits(scores, args.halves).items():
            found = [measured(parts, args.rows, recalibrated) for recalibrated in (True, False)]
            for budget in found[0]:
                ours, plain = (np.mean([Measured(*one) for one in each[budget]], 0) for each in found)
                print(f"{path.name.split('.')[0][:26]:26} {split:16} {budget[1]:5}  {ours[0]:.3f}   {ours[1]:.3f}    "
                      + "      ".join(
                    f"{one[2]:.3f}, {one[3]:.2f} / {one[4]:.2f}" for one in (ours, plain)), flush=True)
                overall[split, budget[0]].append((ours, plain))
    for (split, budget), cells in overall.items():
        ours, plain = np.moveaxis(np.array(cells), 1, 0)
        print(f"{'all':26} {split:16} {budget:>5}  {ours[:, 0].mean():.3f} (most {ours[:, 0].max():.3f})  "
              f"{ours[:, 1].mean():.3f} (most {ours[:, 1].max():.3f})  "
              + "      ".join(f"{one[:, 2].mean():.3f}, " + " / ".join(
                  f"{np.exp(np.log(one[:, i]).mean()):.3f}" for i in (3, 4)) for one in (ours, plain)))


def splits(scores: np.ndarray, halves: int) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """{name: [(history, new models)]}."""
    half, third = len(scores) // 2, len(scores) // 3
    dealt = [stream("misleading history", i).permutation(len(scores)) for i in range(halves)]
    ranked = scores[np.argsort(scores.mean(1), kind="stable")]
    scrambled = stream("misleading history", "scrambled").permuted(scores[half:], axis=1)
    return {"random halves": [(scores[order[:half]], scores[order[half:]]) for order in dealt],
            "file or dates": [(scores[:half], scores[half:])],
            "weak to strong": [(ranked[:third], ranked[-third:])],
            "strong to weak": [(ranked[-third:], ranked[:third])],
            "scrambled": [(scores[:half], scrambled)]}


def measured(parts: list[tuple[np.ndarray, np.ndarray]], rows: int,
             recalibrated: bool) -> dict[tuple[str, int], list[Measured]]:
    """{(budget as named, questions): one of each part}."""
    found = defaultdict(list)
    for history, new in parts:
        n_questions = new.shape[1]
        budgets = {str(budget): budget for budget in BUDGETS if budget < n_questions / 2}
        budgets |= {f"{share:.0%}": round(share * n_questions) for share in SHARES}
        factors = Factors.fit(history, min(RANK, len(history)), WEIGHT_DECAY)
        promise, truth = Promise.of(factors), np.tile(new, (-(-rows // len(new)), 1))
        trace = evaluated(factors, truth, sorted(set(budgets.values())), recalibrated)
        mean, square = truth.mean(1), (truth**2).mean(1)
        for name, budget in budgets.items():
            rounds = trace.by_budget[budget]
            one = estimate(rounds)
            band, error = one.interval(), one.theta - mean
            width = srs_width(mean, square, n_questions, budget, 0.05).mean() / band.width.mean()
            variance = srs_variance(mean, square, n_questions, budget).mean() / (error**2).mean()
            said = diagnose(rounds, one, promise)
            found[name, budget].append(Measured(said.misled(promise).mean(), said.trust.rests.mean(),
                                                band.covers(mean).mean(), width**2, variance))
    return found


def evaluated(factors: Factors, truth: np.ndarray, budgets: list[int], recalibrated: bool) -> RoundTrace:
    prior, bank, n_questions = factors.prior, Bank.of(factors.V), truth.shape[1]
    strata = kinds_of_questions(factors.V.astype(float), prior.covariance)
    uniforms = stream("misleading history", "draws").random((len(truth), 40))

    def part(rows: np.ndarray) -> RoundTrace:
        predictor = FactorPredictor(bank, prior, len(rows))
        engine = Rounds(Recalibrated(predictor) if recalibrated else predictor, len(rows), n_questions, strata=strata)
        return evaluate_rounds(engine, budgets, 8, 1.5, uniforms[rows], truth[rows])

    parts = max(1, truth.size // CELLS)
    return RoundTrace.together([part(rows) for rows in np.array_split(np.arange(len(truth)), parts)])


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
