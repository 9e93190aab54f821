"""The command `llm-accuracy forecast`: flags and printing; `forecasting` does it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import cli
from ..errors import InputError

DESCRIPTION = """How narrow will intervals be, and how many questions does that take? Nothing is asked.

    llm-accuracy forecast HISTORY.csv.gz                          20, 50, 100, 200, 500 questions; 428 models: 15 s
    llm-accuracy forecast HISTORY.csv.gz --budgets 200 5% --half-widths 2 1
    llm-accuracy forecast HISTORY.csv.gz --accuracy 0.9           for a model better than the history's
    llm-accuracy forecast --questions 1319                        without a history: random sampling

HISTORY is a matrix model[,created_date,sha,family],question… of scores in [0, 1], blanks allowed. Its models are left
out in turn, families whole, and evaluated as if they were new (growing rounds). Printed by number of questions: the
half-width expected, in percentage points; between which most models' lie (the middle 80 %); how many random questions
one of these is worth, by width and by error; how many random questions the same half-width needs. Then the number of
questions that each half-width takes."""
BUDGETS = ["20", "50", "100", "200", "500"]


def build_parser(prog: str = "llm-accuracy") -> argparse.ArgumentParser:
    parser = cli.parser(DESCRIPTION)
    parser.prog = f"{prog} forecast"
    parser.add_argument("history", type=Path, nargs="?", metavar="HISTORY", help="wide CSV, plain or gzip")
    parser.add_argument("--questions", type=cli.at_least(1), metavar="N", help="without a history")
    parser.add_argument("--budgets", nargs="+", metavar="B", help="numbers of questions, or shares such as 5%% "
                        f"(default: {' '.join(BUDGETS)}, as far as there are so many)")
    parser.add_argument("--half-widths", nargs="+", type=_points, metavar="POINTS", default=[5.0, 2.0, 1.0],
                        help="in percentage points (default: 5 2 1)")
    parser.add_argument("--accuracy", type=_share, metavar="SHARE", help="that the new model is expected to have, in "
                        "place of those of the history's models")
    parser.add_argument("--rank", type=cli.at_least(1), metavar="K",
                        help="of the factors (default: 4, or a quarter of the models)")
    parser.add_argument("--weight-decay", type=_decay, metavar="L", default=2.0, help="(default: 2)")
    parser.add_argument("--evaluations", type=cli.at_least(1), metavar="E",
                        help="how many to try, at least (default: 400, fewer of large banks)")
    return parser


def main(argv: list[str]) -> int:
    """argv: the command's name and its arguments."""
    options = build_parser().parse_args(argv[1:])
    if (options.history is None) == (options.questions is None):
        raise InputError("give either a HISTORY or --questions N")
    try:
        from ..scores.matrix import read_matrix
        from . import forecasting
        from .session import budget_of
    except ModuleNotFoundError as missing:
        raise InputError(f"{missing.name} is not installed: pip install 'llm-accuracy[study]'") from None
    history = None if options.history is None else read_matrix(options.history)
    n = options.questions if history is None else history.n_questions
    texts = options.budgets or [text for text in BUDGETS if int(text) < n] or [str(n)]
    budgets = sorted({budget_of(text, n) for text in texts})
    if options.rank and history is not None and options.rank > history.n_models:
        raise InputError(f"--rank {options.rank}: the history has {history.n_models} models, and carries ranks from 1 "
                         "to that many")
    rank = options.rank or (forecasting.default_rank(history.n_models) if history is not None else 1)
    found = forecasting.forecast(history, budgets, n, forecasting.fitting(rank, options.weight_decay),
                                 options.evaluations, accuracy=options.accuracy)
    print(*forecasting.lines(found, budgets, [points / 100 for points in options.half_widths]), sep="\n")
    return 0


def _points(text: str) -> float:
    value = _number(text)
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of percentage points above 0")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1, such as 0.8")
    return value


def _decay(text: str) -> float:
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
