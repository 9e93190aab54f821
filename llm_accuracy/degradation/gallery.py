"""The figures of degradation.ipynb, each a function in one table; those of single pairs, plans and reports are drawn by
`figures` alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..errors import InputError
from ..files import read_csv
from ..gallery import Drawn, Figures, Log
from . import figures as plots
from .paired import judge_counts
from .verdicts import verdict

POWER = tuple(Log(f"degradation_power_{damage}.csv", "make degradation-logs LOGS={}") for damage in ("all", "one"))
PAIRS = Log("degradation_pairs.csv", "make degradation-logs LOGS={} PAIRS=FOLDER")
FEW = Log("few_answers_questions.csv", "make few-answers-logs LOGS={} MARGINS=FILE")
# b and c of 25,282 questions, published (arXiv 2602.10144): Llama-3.1-8B-Instruct on six benchmarks.
PUBLISHED = {"rerun": (163, 168), "FP8": (1095, 1106), "KV-cache FP8": (1241, 1042)}


class PairLogs:
    """The logs of a folder, read when a figure asks for them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, log: Log) -> pd.DataFrame:
        """Raises InputError if it is not there, naming the command that makes it."""
        path = self.folder / log.name
        if not path.is_file():
            raise InputError(f"{path}: no such file; {log.made_by.format(self.folder)} makes it")
        return read_csv(path, "a log of pairs")


FIGURES = Figures(PairLogs)


@FIGURES.add("degradation_1_introduction", "What two accuracies with error bars miss")
def introduction(logs: PairLogs) -> Iterator[Drawn]:
    yield Drawn(plots.introduction(10_000, 0.7, 300, 220))


@FIGURES.add("degradation_2_power", "What a number of items can show")
def power(logs: PairLogs) -> Iterator[Drawn]:
    yield Drawn(plots.power_map([1_000, 12_032]))


@FIGURES.add("degradation_3_p_values", "The same counts, three p-values")
def p_values(logs: PairLogs) -> Iterator[Drawn]:
    yield Drawn(plots.p_value_maps(1_000, 0.7))


@FIGURES.add("degradation_4_tasks", "Many tasks: which test finds which damage", POWER, ["figures/degradation_logs.py"])
def tasks(logs: PairLogs) -> Iterator[Drawn]:
    yield Drawn(plots.power_against_tasks([logs.read(log) for log in POWER]))


@FIGURES.add("degradation_5_peeking", "Looking at every item")
def peeking(logs: PairLogs) -> Iterator[Drawn]:
    yield Drawn(plots.peeking(3_000, 0.1, 500))


@FIGURES.add("degradation_6_real_pairs", "Real pairs", [PAIRS], ["figures/degradation_logs.py --pairs FOLDER"])
def real_pairs(logs: PairLogs) -> Iterator[Drawn]:
    pairs = logs.read(PAIRS)
    rows = []
    for pair in pairs[pairs["task"] != "ALL"].to_dict("records"):
        decided, _ = verdict(pair["p"], pair["p_noninferiority"], pair["alpha"])
        drawn = replace(judge_counts(pair["n"], pair["b"], pair["c"], alpha=pair["alpha"], margin=pair["margin"]),
                        drop=pair["drop"], ci_low=pair["ci_low"], ci_high=pair["ci_high"])
        rows.append((f"{pair['task']} ({pair['n']:,})", drawn, decided))
    for name, (b, c) in PUBLISHED.items():
        result = judge_counts(25_282, b, c)
        rows.append((f"Llama-3.1-8B-Instruct, six benchmarks, {name} (25,282)", result, result.verdict))
    yield Drawn(plots.forest(rows, plots.verdicts_point(rows)))


@FIGURES.add("degradation_7_few_answers", "From few answers of the candidate", [FEW],
             ["benchmarks/few_answers.py questions FILE"])
def few_answers(logs: PairLogs) -> Iterator[Drawn]:
    yield Drawn(plots.few_answers(logs.read(FEW)))
