"""The command `llm-accuracy best`: flags and printing; `best` does it."""

from __future__ import annotations

import argparse
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import claims, cli
from ..errors import InputError
from ..outward import at_least, at_most, points
from ..visible import columns, ending, padded, visible

if TYPE_CHECKING:
    from .best import Search

WIDTH = 80  # of what is printed

DESCRIPTION = """Which of several models is best, from few of their answers?

    llm-accuracy best MATRIX.csv.gz --k MODEL MODEL …            a replay: all answers are there
    llm-accuracy best MATRIX.csv.gz --k MODEL MODEL … --history M1.csv

All models that are left are asked the same questions, round by round; the beaten are dropped. The answer is wrong (the
winner worse than the best by more than the tolerance) with probability at most alpha, whatever the history says and
whenever it ends. With --about questions that is said of new questions like the bank's, as far as the bank allows.
MATRIX is a wide CSV of scores in [0, 1]; of its answers only those are looked at that are asked for, so what is printed
is what a live search would have cost."""


def build_parser(prog: str = "llm-accuracy") -> argparse.ArgumentParser:
    parser = cli.parser(DESCRIPTION)
    parser.prog = f"{prog} best"
    parser.add_argument("matrix", type=Path, metavar="MATRIX", help="wide CSV, plain or gzip")
    parser.add_argument("--k", nargs="+", metavar="MODEL", help="the candidates (default: all rows)")
    parser.add_argument("--history", type=Path, metavar="FILE",
                        help="a matrix of other models: which questions tell models apart")
    parser.add_argument("--tolerance", default="0.5pt", metavar="T",
                        help="a model that is worse by no more may win: 0.5pt (default), .005, or 0")
    claims.add_flag(parser)
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="error rate (default .05)")
    parser.add_argument("--seed", type=cli.at_least(0), default=0, metavar="S", help="seed of the draws (default 0)")
    return parser


def replayed(options: argparse.Namespace) -> dict[str, Any]:
    """The search by flags that are parsed, of a matrix.

    Raises InputError for what cannot be used.
    """
    tolerance, about = tolerance_of(options.tolerance), claims.chosen(options.about)

    import numpy as np

    from ..randomness import stream
    from ..scores.matrix import read_matrix
    from .best import Search, search
    from .best_population import PopulationSearch

    matrix = read_matrix(options.matrix)
    names = options.k or matrix.models.tolist()
    rows = {name: i for i, name in enumerate(matrix.models.tolist())}
    for name in names:
        if name not in rows:
            raise InputError(f"{options.matrix}: no model {name}; --k names rows of the matrix")
    part = matrix.take(np.array([rows[name] for name in names]))
    blank = np.argwhere(~part.observed)
    if blank.size:
        model, question = blank[0]
        raise InputError(f"{options.matrix}: {names[model]} has no score on {part.questions[question]} ({len(blank):,} "
                         "blanks): every candidate must have an answer to whatever is asked")
    scores, useful, said = part.scores.astype(float), None, []
    if options.history is not None:
        useful, said = _from_history(options.history, part.questions, names)
    found = search(lambda left, asked: scores[np.ix_(left, asked)], len(names), part.n_questions,
                   stream("best", options.seed, part.n_questions),
                   PopulationSearch if about == claims.QUESTIONS else Search, usefulness=useful, alpha=options.alpha,
                   tolerance=tolerance)
    full = len(names) * part.n_questions
    return {"winner": None if found.winner is None else names[found.winner],
              "leader": names[found.leader], "about": about, "claim": claims.WORDS[about], "alpha": options.alpha,
              "tolerance": tolerance, "seed": options.seed,
              "answers": found.calls, "of": full, "questions": found.asked, "questions_of_bank": part.n_questions,
              "models": {name: one | {"mean_of_all_answers": float(scores[i].mean())}
                         for i, (name, one) in enumerate(models_of(found, names).items())},
              "notes": said}


def _from_history(path: Path, questions, names: list[str]):
    """(usefulness of every question, notes). Raises InputError where the history has none of them."""
    import numpy as np
    import pandas as pd

    from ..scores.matrix import read_matrix
    from .best import usefulness

    history = read_matrix(path)
    at = pd.Index(history.questions).get_indexer(pd.Index(questions))
    if not (at >= 0).any():
        raise InputError(f"--history {path}: it has none of the {len(questions):,} questions, first {questions[0]}")
    candidates = {name.lower() for name in names}  # as for live models
    kept = np.array([str(name).lower() not in candidates for name in history.models])
    scores = np.where(history.observed & kept[:, None], history.scores.astype(float), np.nan)[kept]
    columns = np.where(at >= 0, scores[:, at], np.nan)
    notes = [f"history: {int(kept.sum()):,} models say which questions tell models apart"] if kept.any() else []
    if left_out := int((~kept).sum()):
        notes.append(f"history: {left_out:,} of its models are candidates; their answers there are not used")
    if not kept.any():
        return None, [*notes, "history: no other model is left; questions are drawn at random"]
    if unknown := int((at < 0).sum()):
        notes.append(f"history: {unknown:,} questions are unknown to it and are taken for useful")
    return usefulness(columns), notes


def models_of(search: Search, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of every model what became of it, and its numbers (`best_limits`): all in [0, 1], None where there is none."""
    from .best_limits import limits

    found = limits(search)
    numbers = {"estimate": found.accuracy, "low": found.low, "high": found.high, "behind": found.behind,
               "behind_low": found.behind_low, "behind_high": found.behind_high}
    return {name: {"left": bool(search.left[i]), "dropped_after": int(search.dropped_after[i]) or None,
                   "asked": search.asked_of(i),
                   **{what: None if math.isnan(values[i]) else float(values[i]) for what, values in numbers.items()}}
            for i, name in enumerate(names)}


def lines(result: dict) -> list[str]:
    """The result in words."""
    share = result["answers"] / result["of"]
    best = result["models"].get(result["winner"])
    sure = best is not None and best["behind_high"] == 0  # all others are dropped, or have answered everything
    within = "" if sure or not result["tolerance"] else f", or worse by no more than {points(result['tolerance'], 6)}"
    left = [name for name, one in result["models"].items() if one["left"]]
    said = (f"{result['winner']} is best{within}" if result["winner"] else
            f"UNDECIDED: {len(left)} models are left that may be best{within}, {result['leader']} ahead")
    out = [f"{said} (error rate {100 * result['alpha']:g} %)",
           f"{result['answers']:,} of {result['of']:,} answers ({100 * share:.1f} %), of those left "
           f"{result['questions']:,} of {result['questions_of_bank']:,} questions"]
    return [*map(visible, out), "", *table(result), "", *(_wrapped(f"note: {note}") for note in result["notes"]),
            _wrapped(interval_text(result)), _wrapped(about_text(result))]


def _wrapped(text: str) -> str:
    return textwrap.fill(visible(text), WIDTH, break_on_hyphens=False, break_long_words=False)


def columns_of(result: dict) -> tuple[str, ...]:
    """What `rows` has."""
    replayed = any("mean_of_all_answers" in one for one in result["models"].values())
    return ("model", "", "asked", "right, %", "behind best, points", *(["all, %"] if replayed else []))


def rows(result: dict) -> list[tuple[str, ...]]:
    """A row for each model, the winner first, then those that were left longest; in a replay with the mean of all its
    answers."""
    ranked = sorted(result["models"].items(), key=lambda item: (
        item[0] != result["winner"], -(item[1]["dropped_after"] or 10**15), -(item[1]["estimate"] or 0)))
    made: list[tuple[str, ...]] = []
    for name, one in ranked:
        state = "winner" if name == result["winner"] else "dropped" if one["dropped_after"] else "left"
        row = (name, state, f"{one['asked']:,}", interval(one["estimate"], one["low"], one["high"]),
               interval(one["behind"], one["behind_low"], one["behind_high"]))
        made.append((*row, f"{100 * one['mean_of_all_answers']:.1f}") if "mean_of_all_answers" in one else row)
    return made


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """An estimate and its interval in hundredths, its ends rounded outward: 73.4 (70.1 to 76.5)."""
    if value is None or low is None or high is None:
        return "–"
    ends = "" if high - low < 1e-9 else f" ({at_least(100 * low, 1)} to {at_most(100 * high, 1)})"
    return f"{100 * value:.1f}{ends}"


def table(result: dict) -> list[str]:
    """The rows as they are printed, WIDTH columns at most; a name that is too long stands above its row."""
    found: list[tuple[str, ...]] = [columns_of(result), *rows(result)]
    widths = [max(columns(row[i]) for row in found) for i in range(1, len(found[0]))]
    names = [visible(row[0]) for row in found]
    first = min(max(8, WIDTH - 2 - sum(width + 2 for width in widths)), max(map(columns, names)))
    out = []
    for name, row in zip(names, found, strict=True):
        if columns(name) > first:
            out.append("  " + (name if columns(name) <= WIDTH - 2 else "…" + ending(name, WIDTH - 3)))
            name = ""
        cells = [padded(name, first), *map(padded, row[1:], widths)]
        out.append(("  " + "  ".join(cells)).rstrip())
    return out


def interval_text(result: dict) -> str:
    """What the intervals promise."""
    level = f"{100 * (1 - result['alpha']):g} %"
    if result["about"] == claims.QUESTIONS:
        return (f"intervals: those of what is right hold for all models together with probability {level}, whenever "
                "the search ends; how far behind the best of new questions a model is, is not bounded")
    best = result["models"].get(result["winner"])
    winner = ("; the winner's own distance is the tolerance at most, which is what naming it claims"
              if best and best["behind_high"] else "")
    return (f"intervals: those of either column hold for all models together with probability {level}, whenever the "
            f"search ends{winner}")


def about_text(result: dict) -> str:
    """What the winner is best at, and what of the other claims can be had; of live models (`live.several`), too."""
    here = "a run" if "kind" in result else "a matrix"
    if result["about"] == claims.BANK:
        return (f"about {result['claim']}; not about {claims.WORDS[claims.QUESTIONS]} (--about questions). On "
                f"{claims.NO_ANSWERS}: {here} has one")
    return (f"about {result['claim']}, the bank's taken as independent draws of them ({here} does not say what ties "
            f"questions, such as a passage), and about {claims.WORDS[claims.ANSWERS]} if every question's answers are "
            f"independent of the others'; narrower on {claims.NO_ANSWERS}: {here} has one")


def tolerance_of(text: str) -> float:
    """"0.5pt" or ".005" → .005. Raises InputError for anything else, and for half of the scale or more."""
    found = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*(pts?)?", text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else float("nan")
    if not 0 <= value < 0.5:
        raise InputError(f"--tolerance {text}: write 0.5pt (points of the scale), .005 (a share of it) or 0, less than "
                         "half of it")
    return value
