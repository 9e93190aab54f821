"""How much wider is an interval that may be watched (`evaluate --half-width`) than that of a budget (`--budget`)?

    python benchmarks/watched_widths.py MATRIX.csv.gz …                            ten models a board: about 5 minutes
    python benchmarks/watched_widths.py MATRIX.csv.gz … --models 3 --budgets 100

Each matrix is split by date, or in the order of the file; newer models that lack no score are asked by sessions with
factors of the older ones: one with the budget, and one that is watched, its interval chosen beforehand as `evaluate`
does for that many questions. A table: the watched half-width in those of the budget, geometric means (least to most
over boards), and how often each covers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from llm_accuracy import cli
from llm_accuracy.live.plans import ASYMPTOTIC, EXACT, interval_for
from llm_accuracy.querying import forecasting
from llm_accuracy.querying.factors import Factors
from llm_accuracy.querying.session import Session, questions_of
from llm_accuracy.scores.matrix import read_matrix, split_by_date

BUDGETS = ["100", "10%", "25%"]


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "budgets", "seeds")
    parser.set_defaults(budgets=BUDGETS, seeds=1)
    parser.add_argument("--models", type=cli.at_least(1), default=10, metavar="M", help="newer models of each board")
    parser.add_argument("matrices", nargs="+", type=Path, metavar="MATRIX", help="wide CSV files")
    args = parser.parse_args(argv)
    found: dict[str, list[tuple[str, np.ndarray]]] = {budget: [] for budget in args.budgets}
    for path in args.matrices:
        for budget, cell in measured(path, args.budgets, args.models, args.seeds).items():
            found[budget].append(cell)
        print(f"{path.name}: done", file=sys.stderr, flush=True)
    print("| budget | interval | wider | covered: watched, budget | runs |\n|---|---|---|---|---|")
    for budget, cells in found.items():
        for kind in (EXACT, ASYMPTOTIC):
            if rows := [rows for chosen, rows in cells if chosen == kind]:
                wider = [float(np.exp(np.log(board[:, 0]).mean())) for board in rows]
                every = np.concatenate(rows)
                mean = np.exp(np.log(wider).mean())
                print(f"| {budget} | {kind} | {mean:.2f} ({min(wider):.2f} to {max(wider):.2f}) | "
                      f"{every[:, 1].mean():.3f}, {every[:, 2].mean():.3f} | {len(every)} |")


def measured(path: Path, budgets: list[str], models: int, seeds: int) -> dict[str, tuple[str, np.ndarray]]:
    """{budget: (kind of the watched interval, rows of (ratio of widths, watched covers, budget's covers))}."""
    older, newer = split_by_date(read_matrix(path, cache=False))
    newer = newer.take(newer.complete)
    factors = forecasting.fitting(forecasting.default_rank(older.n_models))(older)
    n = newer.n_questions
    cells = {}
    for budget in budgets:
        size = questions_of(int(budget) if budget.isdigit() else budget, n)
        kind = interval_for(n, size)
        rows = [one(factors, name, scores, size, kind, seed) for seed in range(seeds)
                for name, scores in list(zip(newer.models, newer.scores, strict=True))[:models]]
        cells[budget] = kind, np.array(rows, float)
    return cells


def one(factors: Factors, name: str, scores: np.ndarray, size: int, kind: str, seed: int) -> tuple[float, bool, bool]:
    answers, truth = dict(zip(factors.questions, scores.tolist(), strict=True)), float(scores.mean())
    fixed, watched = Session(factors, name, seed, budget=size), Session(factors, name, seed)
    while questions := fixed.ask():
        for question in questions:
            fixed.tell(question, answers[question])
    while len(watched.asked) < size:
        for question in watched.ask(min(8, size - len(watched.asked))):
            watched.tell(question, answers[question])
    narrow, wide = fixed.estimate(), watched.watch(0.05, kind == EXACT, size)
    return ((wide.high - wide.low) / (narrow.high - narrow.low), wide.low <= truth <= wide.high,
            narrow.low <= truth <= narrow.high)


if __name__ == "__main__":
    cli.run(main)
