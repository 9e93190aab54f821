"""CSV files: one model's scores, item by item (`prompt_id,score`); many models' answers, one a line
(`model,question,score`); and the accompanying lists of questions and of models."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import first_line, reading
from .answers import AnswerTable, Wanted
from .columns import crashed, direction, fingerprints, one_of, one_value, refuse_many, unread
from .contract import plain
from .matrix import Responses
from .places import line_of, undecodable
from .score_values import RULES
from .task_scores import ONLY_TASK, Choices, TaskScores, average_runs

_OF_MANY = {"model", "question", "score", "record", "task", "category", "created_date", "sha", "family", "metric",
            "split", "error", "higher_is_better", "lower_is_better"}  # what `read_long` reads
_OURS = ("prompt_id", "score", "run", "cluster", "task", "model", "question", "category", "created_date", "sha",
         "family")


# ---- one model, one score an item --------------------------------------------------------------------------

def read_csv(path: Path | str, choices: Choices | None = None) -> dict[str, TaskScores]:
    """A score file `prompt_id,score[,run][,cluster][,task]`, plain or gzipped; what other columns say is in columns.py,
    and the rest is a line.

    Scores are numbers or true/false; an empty score is missing. Raises InputError, with the row as numbered
    by a text editor, for anything else and for an item given twice.
    """
    path, notes = Path(path), list[str]()
    table = _csv_table(path, choices, notes)
    models = _by_task(table, path, choices, notes)
    if "run" not in table:
        return models
    return {str(task): replace(models[str(task)], answers=_answers(rows))
            for task, rows in table.groupby("task", sort=False)}


def _by_task(table: pd.DataFrame, path: Path, choices: Choices | None, notes: list[str]) -> dict[str, TaskScores]:
    model = one_value(table, "model", path, "the rows of one model are needed; of many models, model,question,score is "
                                            "read by data/split_history.py --from long")
    models = {}
    for task, rows in table.groupby("task", sort=False):
        metric = plain(rows["metric"].iloc[0].strip() or "score") if "metric" in rows else "score"
        said = None if choices is None else next((way for name in (metric, "score")
                                                  if (way := choices.direction(name)) is not None), None)
        models[str(task)] = TaskScores(_one_row_per_item(rows, path), str(path), direction(rows, path, said), None,
                                       tuple(notes), model or "", metric=metric)
    return models


def recognises(path: Path) -> bool:
    """Whether a path is a score file or a folder that holds one."""
    return bool(_score_files(path))


def read_scores(path: Path, choices: Choices, only: str | None) -> dict[str, TaskScores]:
    """{task: TaskScores} of one model: a score file, or a folder of them, which are averaged as runs."""
    files = _score_files(path)
    runs = [read_csv(file, choices) for file in files]
    known: dict[tuple[str, str], tuple[str, str]] = {}
    for file, run in zip(files, runs, strict=True):
        for (task, log), what in product(run.items(), ("model", "metric")):
            name = getattr(log, what) or "none"
            before, other = known.setdefault((task, what), (name, file.name))
            if name != before:
                raise InputError(f"{path}: a folder of CSVs is several runs of one model, and column {what} says "
                                 f"{before} in {other} and {name} in {file.name}: name one file, or put each {what} "
                                 "into a folder of its own")
    return average_runs(runs, [file.name for file in files])


def read_score_runs(path: Path, choices: Choices, only: str | None, latest: bool) -> dict[str, dict[str, TaskScores]]:
    """{name of the run: {task: TaskScores}}: every file of a folder and every value of a column run separately."""
    return {name: run for file in _score_files(path) for name, run in _csv_runs(file, choices).items()}


def _score_files(path: Path) -> list[Path]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if file.name.endswith((".csv", ".csv.gz"))]


def _csv_runs(path: Path, choices: Choices) -> dict[str, dict[str, TaskScores]]:
    """{name of the run: {task: TaskScores}} of one score file."""
    notes: list[str] = []
    table = _csv_table(path, choices, notes)
    if "run" not in table:
        return {str(path): read_csv(path, choices)}
    return {f"{path}: run {run}": _by_task(one.drop(columns="run"), path, choices, notes)
            for run, one in table.groupby("run", sort=False)}


def _csv_table(path: Path, choices: Choices | None, notes: list[str]) -> pd.DataFrame:
    table = _text_table(path)
    table.columns = [str(column).strip().lower() for column in table.columns]
    for needed in ("prompt_id", "score"):
        if list(table.columns).count(needed) != 1:
            raise InputError(f"{path}: row 1: needs one column {needed}, has {','.join(table.columns)}")
    if table.empty:
        raise InputError(f"{path}: no rows below the header")
    blank = table["prompt_id"].str.strip() == ""
    if blank.any():
        raise InputError(f"{path}: row {_row(blank, path)}: prompt_id is empty; every score needs its item")
    for name in ("task", "run"):
        if name in table and (blank := table[name].str.strip() == "").any():
            raise InputError(f"{path}: row {_row(blank, path)}: {name} is empty; name one, or drop the column")
    table["score"] = _numbers(table["score"], path, choices)
    if "task" not in table:
        table["task"] = ONLY_TASK
    chosen = choices or Choices()
    for name in ("split", "metric"):
        table = one_of(name, table, path, chosen, notes)
    table = crashed(table, chosen, notes)
    notes += unread(list(table.columns))
    key = ["task", "prompt_id"] + (["run"] if "run" in table else [])
    twice = table.duplicated(key)
    if twice.any():
        at = table[twice].iloc[0]
        run = f" of run {at['run']}" if "run" in table else ""
        hint = "" if "run" in table else "; if it is a second run, add a column run"
        raise InputError(f"{path}: row {_row(twice, path)}: prompt_id {at['prompt_id']}{run} is given twice{hint}")
    return table


def _one_row_per_item(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    if not {"run", "cluster", "margin"} & set(rows):
        frame = pd.DataFrame({"score": rows["score"].to_numpy(), "runs": 1}, index=pd.Index(rows["prompt_id"]))
        return _with(fingerprints(rows, path), frame)
    grouped = rows.groupby("prompt_id", sort=False)
    if "run" not in rows:
        frame = rows.set_index("prompt_id")[["score"]].assign(runs=1)
    else:
        frame = grouped["score"].agg(score="mean", runs="count")
    if "margin" in rows:
        margins = pd.to_numeric(rows["margin"].replace("", np.nan), errors="coerce")
        bad = margins.isna() & (rows["margin"].str.strip() != "")
        if bad.any():
            raise InputError(f"{path}: row {_row(bad, path)}: margin {rows['margin'][bad].iloc[0]!r} is not a number")
        frame["margin"] = margins.groupby(rows["prompt_id"], sort=False).mean()
    if "cluster" in rows:
        blank = rows["cluster"].str.strip() == ""
        if blank.any():
            raise InputError(f"{path}: row {_row(blank, path)}: cluster is empty; name one, or drop the column")
        several = grouped["cluster"].transform("nunique") > 1
        if several.any():
            item = rows["prompt_id"][several].iloc[0]
            raise InputError(f"{path}: row {_row(several, path)}: prompt_id {item} has more than one cluster")
        frame["cluster"] = grouped["cluster"].first()
    return _with(fingerprints(rows, path), frame)


def _with(prints: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    return frame if prints.empty else frame.join(prints)


def _answers(rows: pd.DataFrame) -> pd.DataFrame | None:
    """(items, runs) scores in the order of the items; None without a column run."""
    if "run" not in rows:
        return None
    return rows.pivot(index="prompt_id", columns="run", values="score").reindex(rows["prompt_id"].unique())


def _numbers(text: pd.Series, path: Path, choices: Choices | None) -> pd.Series:
    scores, bad = RULES["csv"].numbers(text, choices.values if choices else None)
    if bad.any():
        raise InputError(f"{path}: row {_row(bad, path)}: score {text[bad].iloc[0]!r} is not a number, true, "
                         "false or a word for missing; --value WORD=SCORE says what a word is worth")
    return scores


def _row(where: pd.Series, path: Path) -> int:
    """The line of the first marked row; the header is line 1."""
    return line_of(path, int(where[where].index[0]))


# ---- many models, one answer a line ------------------------------------------------------------------------

def read_long(path: Path, wanted: Wanted, notes: list[str]) -> Iterator[AnswerTable]:
    """`model,question,score[,task][,category][,created_date][,sha][,family]`, one answer a line. Raises InputError,
    with the line, for a blank name and for an invalid score."""
    rows = _read_table(path, ("model", "question", "score"))
    for name in ("model", "question"):
        if (blank := rows[name].str.strip() == "").any():
            raise InputError(f"{path}: line {_row(blank, path)}: {name} is blank; every answer needs one")
    scores, bad = RULES["long"].numbers(rows["score"], wanted.values)
    if bad.any():
        raise InputError(f"{path}: line {_row(bad, path)}: {rows['score'][bad].iloc[0]!r} is not a score: a "
                         "number in [0, 1], true, false or a blank is needed; --value WORD=SCORE says what a word is "
                         "worth")
    if wanted.scale is not None:
        low, high = wanted.scale
        if (outside := (scores < low) | (scores > high)).any():
            raise InputError(f"{path}: line {_row(outside, path)}: score {scores[outside].iloc[0]:g} is not in --range "
                             f"{low:g} {high:g}")
        scores = (scores - low) / (high - low)
        notes.append(f"{path}: scores are shares of {low:g} to {high:g} (--range)")
    refuse_many(rows, path)
    if wanted.errors == "wrong" and "error" not in rows:
        raise InputError(f"--errors wrong: --from long: {path} has no column error, so there is nothing to count")
    lines: list[str] = []
    rows = crashed(rows.assign(score=scores, record=np.arange(len(rows))), Choices(errors=wanted.errors), lines)
    notes += [f"{path}: {line}" for line in (*lines, *unread(list(rows), _OF_MANY))]
    yield AnswerTable.of(rows, path)


# ---- of questions and models -------------------------------------------------------------------------------

def read_bank(path: Path | None) -> pd.DataFrame | None:
    """All valid questions, from a CSV question[,task][,category]; None without a path.

    Raises InputError for a question that is listed twice.
    """
    if path is None:
        return None
    bank = _read_table(path, ("question",))
    if (twice := bank["question"].duplicated()).any():
        raise InputError(f"{path}: line {_row(twice, path)}: question {bank['question'][twice].iloc[0]!r} "
                         "is listed twice")
    return bank[[name for name in ("question", "task", "category") if name in bank]]


def with_info(responses: Responses, path: Path) -> Responses:
    """Dates, revisions and families from a CSV model[,created_date][,sha][,family]; models that it does not
    list keep theirs.

    Raises InputError if a model is listed twice, or if no model of the matrix is listed.
    """
    info = _read_table(path, ("model",))
    if (twice := info["model"].duplicated()).any():
        model = info["model"][twice].iloc[0]
        raise InputError(f"{path}: line {_row(twice, path)}: model {model!r} is listed twice")
    info = info.set_index("model").reindex(responses.models)
    if info.isna().all(axis=None):
        raise InputError(f"{path}: lists none of the models, such as {responses.models[0]!r}")
    fields = {"created_date": "dates", "sha": "shas", "family": "families"}
    return replace(responses, **{
        field: np.where(info[name].notna(), info[name].fillna(""), getattr(responses, field)).astype(str)
        for name, field in fields.items() if name in info})


def _text_table(path: Path) -> pd.DataFrame:
    """A CSV, plain or gzipped, as text; blanks are "". Raises InputError for anything else, and beyond the limits."""
    with reading(path, "CSV") as stream:
        first_line(stream, str(path))
    try:
        with reading(path) as stream:
            table = pd.read_csv(stream, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: line {undecodable(path)} is not UTF-8: save the table as UTF-8") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: not a readable CSV ({str(error).strip()})") from None
    _refuse_twice(table, path)
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes one cell too many in every row for an index
        raise InputError(f"{path}: the rows have more cells than the header has names; name every column")
    if (short := table.isna().any(axis=1)).any():
        raise InputError(f"{path}: row {_row(short, path)}: fewer cells than the header has names; complete the row")
    return table


def _refuse_twice(table: pd.DataFrame, path: Path) -> None:
    """pandas calls the second of two columns of one name NAME.1. Raises InputError where that is a column of ours."""
    with reading(path) as stream:
        header = first_line(stream, str(path)).decode("utf-8-sig", "replace")
    names = next(csv.reader(header.splitlines()[:1]), [])
    plain_names = [name.strip().lower() for name in names]
    if twice := [name for name in plain_names if name in _OURS and plain_names.count(name) > 1]:
        raise InputError(f"{path}: row 1: {plain_names.count(twice[0])} columns are named {twice[0]}: keep one")


def _read_table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """A CSV as text; blanks are ""."""
    rows = _text_table(path)
    for name in needed:
        if name not in rows:
            raise InputError(f"{path}: the header must name {', '.join(needed)}, not {','.join(map(str, rows))!r:.80}")
    return rows
