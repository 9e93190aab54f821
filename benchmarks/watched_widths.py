"""How much wider is an interval that may be watched (`evaluate --half-width`) than that of a budget (`--budget`)?

    python benchmarks/watched_widths.py MATRIX.csv.gz …                            seven boards: about ten minutes
    python benchmarks/watched_widths.py MATRIX.csv.gz … --seeds 2 --budgets 100 --models 2

Each matrix is split by date, or in the order of the file; newer models that lack no score are asked with factors of the
older ones, in growing rounds to the end of the bank. By planned number of questions T: the half-width after the round
that ends nearest T in those of a budget of as many; how often all looks of a run cover at once, and the last, where the
run ends once the half-width is 1.25 times the mean one of a budget of T; how many questions that takes. Beside it the
half-width of `--exact` after T questions, of --models newer models. A row a board.
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
from llm_accuracy.querying.looks import levels
from llm_accuracy.querying.policies import named
from llm_accuracy.querying.round_estimates import RoundEstimate, estimate
from llm_accuracy.querying.session import Session, budget_of
from llm_accuracy.randomness import stream
from llm_accuracy.scores.matrix import Responses, read_matrix, split_by_date

ALPHA, ENOUGH = 0.05, 1.25
BUDGETS = ["50", "100", "10%", "25%"]


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "budgets", "seeds")
    parser.set_defaults(budgets=BUDGETS, seeds=10)
    parser.add_argument("--models", type=cli.at_least(1), default=3, metavar="M", help="asked with --exact too")
    parser.add_argument("matrices", nargs="+", type=Path, metavar="MATRIX", help="wide CSV files")
    args = parser.parse_args(argv)
    print("| board | T | wider | all looks cover | the last covers | questions / T | exact, wider | runs |\n"
          "|---|---|---|---|---|---|---|---|")
    for path in args.matrices:
        older, newer = split_by_date(read_matrix(path, cache=False))
        newer = newer.take(newer.complete)
        factors = forecasting.fitting(forecasting.default_rank(older.n_models))(older)
        sizes, rounds, truth = in_rounds(factors, newer, args.seeds)
        for budget in args.budgets:
            planned = budget_of(budget, newer.n_questions)
            wider, every, last, asked = looked_at(sizes, rounds, truth, planned)
            exact = [exactly(factors, name, scores, planned)
                     for name, scores in list(zip(newer.models, newer.scores, strict=True))[: args.models]]
            print(f"| {path.name.partition('.')[0]} | {planned} | {wider:.2f} | {every:.3f} | {last:.3f} | "
                  f"{asked:.2f} | {np.exp(np.mean(np.log(exact))):.2f} | {len(truth)} |", flush=True)


def in_rounds(factors: Factors, newer: Responses, seeds: int) -> tuple[list[int], list[RoundEstimate], np.ndarray]:
    """(sizes of the rounds of the whole bank, the estimate after each but the last, (rows,) the truth)."""
    policy, bank, prior, n = named("rounds"), Bank.of(factors.V), factors.prior, newer.n_questions
    assert policy.rounds is not None and policy.setting is not None
    scores = np.tile(newer.scores.astype(np.float64), (seeds, 1))
    sizes = schedule(n, n, policy.rounds.first, policy.rounds.growth)
    ends = np.cumsum(sizes)[:-1].tolist()
    draws = stream("watched widths", *scores.shape).random((len(scores), len(sizes) + 1))
    trace = evaluate_in_rounds(bank, prior, policy.rounds, policy.setting.tau, ends, draws, scores,
                               kinds_of(bank, prior, policy.rounds))
    return sizes, [estimate(trace.by_budget[end]) for end in ends], scores.mean(1)


def looked_at(sizes: list[int], rounds: list[RoundEstimate], truth: np.ndarray,
              planned: int) -> tuple[float, float, float, float]:
    """(ratio of half-widths near T, share of runs all of whose looks cover, whose last covers, mean questions / T)."""
    ends, level = np.cumsum(sizes), levels(sizes, planned, ALPHA)
    nearest = int(np.abs(np.log(ends[:-1] / planned)).argmin())
    fixed = rounds[nearest].interval(ALPHA).width.mean()
    every, last = np.ones(len(truth), bool), np.ones(len(truth), bool)
    asked = np.full(len(truth), ends[-1])
    for end, found, alpha in zip(ends, rounds, level, strict=False):
        if alpha == 0:
            continue
        band = found.interval(alpha)
        covers, now = band.covers(truth), (band.width <= ENOUGH * fixed) & (asked == ends[-1])
        every &= covers
        last[now], asked[now] = covers[now], end
    wider = rounds[nearest].interval(level[nearest]).width.mean() / fixed
    return float(wider), float(every.mean()), float(last.mean()), float(asked.mean() / planned)


def exactly(factors: Factors, name: str, scores: np.ndarray, planned: int) -> float:
    """The width of the exact interval after T questions, in that of a budget of T."""
    answers = dict(zip(factors.questions, scores.tolist(), strict=True))
    fixed, watched = Session(factors, name, budget=planned), Session(factors, name)
    while questions := fixed.ask():
        for question in questions:
            fixed.tell(question, answers[question])
    while len(watched.asked) < planned:
        for question in watched.ask(min(8, planned - len(watched.asked))):
            watched.tell(question, answers[question])
    narrow, wide = fixed.estimate(), watched.watch(ALPHA, True, planned)
    return (wide.high - wide.low) / (narrow.high - narrow.low)


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
