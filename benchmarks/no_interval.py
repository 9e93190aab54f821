"""What do estimates without an interval err by, beside growing rounds and random sampling?

    python benchmarks/no_interval.py MATRIX.csv.gz …                        five development boards: 10 minutes
    python benchmarks/no_interval.py MATRIX.csv.gz … --page docs/boards.md  also into a page, between its marks
    python benchmarks/no_interval.py MATRIX.csv.gz … --seeds 2 --budgets 20 50

Each matrix is split by date, or in the order of the file; new models lacking scores are left out, blanks of the history
count as the question's mean. Three re-implementations (`llm_accuracy/study/no_interval.py`): maximum information in
the manner of Fluid, anchors in that of tinyBenchmarks, regression in that of metabench; growing rounds with 4 factors.
A table of root mean squared errors over new models and seeds: geometric mean over boards, and the worst board, as
multiples of those of growing rounds; a table of each board's as multiples of those of simple random sampling.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import around, atomic
from llm_accuracy.querying import forecasting
from llm_accuracy.querying.intervals import srs_variance
from llm_accuracy.querying.session import budget_of
from llm_accuracy.scores.matrix import Responses, read_matrix, split_by_date
from llm_accuracy.study import summaries
from llm_accuracy.study.no_interval import ESTIMATES

BUDGETS = ["20", "50", "100", "10%", "25%"]
ROUNDS, RANDOM = "growing rounds", "simple random sampling"
MARK = "no interval"


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "budgets", "seeds")
    parser.set_defaults(budgets=BUDGETS, seeds=5)
    parser.add_argument("matrices", nargs="+", type=Path, metavar="MATRIX", help="wide CSV files")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"with <!-- {MARK} --> and <!-- /{MARK} -->")
    args = parser.parse_args(argv)
    before, after = around(args.page, MARK) if args.page else ("", "")
    errors = {}
    for path in args.matrices:
        errors[path.name.split(".")[0]] = measured(path, args.budgets, args.seeds)
        print(f"{path.name}: done", file=sys.stderr, flush=True)
    body = "\n".join(summaries.markdown(table) for table in (against_rounds(errors, args.budgets),
                                                             by_board(errors, args.budgets)))
    print(body)
    if args.page:
        with atomic(args.page, "w") as out:
            out.write(f"{before}`python benchmarks/no_interval.py {' '.join(path.name for path in args.matrices)} "
                      f"--seeds {args.seeds}`\n\n{body}{after}")


def measured(path: Path, budgets: list[str], seeds: int) -> dict[str, dict[str, float]]:
    """{method: {budget as named: root mean squared error over that of random sampling}}."""
    older, newer = split_by_date(read_matrix(path, cache=False))
    newer = newer.take(newer.complete)
    if not newer.n_models:
        raise InputError(f"{path}: no new model has all scores")
    history, scores = filled(older), newer.scores.astype(float)
    truth, n = scores.mean(1), scores.shape[1]
    sizes = {name: budget_of(name, n) for name in budgets if not name.isdecimal() or int(name) <= n}
    sizes = {name: size for name, size in sizes.items() if size < n / 2}
    if not sizes:
        raise InputError(f"{path}: has {n} questions, and no budget is less than half of them")
    random = {size: srs_variance(truth, (scores**2).mean(1), n, size).mean() for size in sizes.values()}
    found = {}
    for name, (_, estimates, random_choice) in ESTIMATES.items():
        said = [estimates(history, scores, sorted(random), seed) for seed in range(seeds if random_choice else 1)]
        found[name] = {called: float(np.sqrt(np.mean([(one[size] - truth) ** 2 for one in said]) / random[size]))
                       for called, size in sizes.items()}
    rounds = forecasting.came(older, newer, list(random), evaluations=max(20 * newer.n_models, 600))
    return found | {ROUNDS: {called: rounds.tried[size].ess_error**-0.5 for called, size in sizes.items()}}


def filled(history: Responses) -> np.ndarray:
    """(M, N), blanks as the question's mean."""
    observed = history.observed
    known = np.where(observed, history.scores, 0).astype(float)
    return np.where(observed, known, known.sum(0) / np.maximum(observed.sum(0), 1))


def against_rounds(errors: dict[str, dict], budgets: list[str]) -> list[list[str]]:
    lines = [[f"RMSE ÷ that of {ROUNDS}: mean (worst board)", *budgets]]
    everyone = {name: {RANDOM: dict.fromkeys(found[ROUNDS], 1.0)} | found for name, found in errors.items()}
    for method in [*ESTIMATES, RANDOM]:
        cells = []
        for budget in budgets:
            ratios = {name: found[method][budget] / found[ROUNDS][budget] for name, found in everyone.items()
                      if budget in found[ROUNDS]}
            worst = max(ratios, key=lambda name: ratios[name], default="")
            cells.append(f"{np.exp(np.mean(np.log([*ratios.values()]))):.2f} ({ratios[worst]:.2f} {worst})"
                         if ratios else "")
        lines.append([label(method), *cells])
    return lines


def by_board(errors: dict[str, dict], budgets: list[str]) -> list[list[str]]:
    lines = [["board", f"RMSE ÷ that of {RANDOM}", *budgets]]
    for name, found in errors.items():
        lines += [[name, label(method), *(f"{found[method][budget]:.2f}" if budget in found[method] else ""
                                          for budget in budgets)] for method in [ROUNDS, *ESTIMATES]]
    return lines


def label(method: str) -> str:
    return ESTIMATES[method][0] if method in ESTIMATES else method


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
