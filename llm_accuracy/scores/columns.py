"""What the columns of a CSV say beside ids and scores: of which model and metric it is, which way is better, what was
asked, what crashed. The same names mean the same in JSONL (jsonl.py)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..redaction import redacted
from .contract import crashes, plain
from .places import line_of
from .score_values import MISSING_WORDS, decimal
from .task_scores import ONLY_TASK, Choices, _sha256

_DIRECTIONS = {"higher_is_better": True, "lower_is_better": False}  # whether "true" says that higher is
# What was asked, whatever the words around it; what is right; and the words.
PRINTS = {"doc_hash": ("doc", "input", "question"), "target_hash": ("target", "reference", "expected"),
          "prompt_hash": ("prompt",)}
FLAGS = {"split": "--filter", "metric": "--metric"}  # which choose among several
_READ = {"prompt_id", "score", "run", "cluster", "task", "margin", "model", "metric", "split", "error", *_DIRECTIONS,
         *chain(*PRINTS.values())}
NO_ERROR = {*MISSING_WORDS, "false", "0"}


def one_value(table: pd.DataFrame, name: str, path: Path, advice: str) -> str | None:
    """What a column says of the whole file; None where it is not there or blank. Raises InputError for two values."""
    if name not in table:
        return None
    found = list(table[name].str.strip().unique())
    if len(found) > 1:
        raise InputError(f"{path}: column {name} has several values ({', '.join(map(repr, found[:4]))}): {advice}")
    return plain(redacted(found[0])) or None


def direction(table: pd.DataFrame, path: Path, said: bool | None) -> bool:
    """Whether a higher score is better: what the user `said`, else the file, else it is."""
    if said is not None:
        return said
    told = {}
    for name, meaning in _DIRECTIONS.items():
        if name in table:
            words = set(table[name].str.strip().str.lower())
            if len(words) != 1 or not words <= {"true", "false", "1", "0"}:
                raise InputError(f"{path}: {name} is {', '.join(sorted(map(repr, words)))[:60]}: say it with "
                                 "--higher-is-better true or false")
            told[name] = (words <= {"true", "1"}) == meaning
    if len(set(told.values())) > 1:
        raise InputError(f"{path}: higher_is_better and lower_is_better contradict each other: say it with "
                         "--higher-is-better true or false")
    return next(iter(told.values()), True)


def rows_of_one(name: str, table: pd.DataFrame, choices: Choices, refused: Callable[[str, list[str], str | None], str],
                told: Callable[[str, int, str | None], None]) -> pd.DataFrame:
    """The rows of one split, or of one metric, of each task, where a table has such a column.

    refused  (task, those there are, the one asked for or None) → what is wrong, where none can be taken; told  (task,
    how many rows are left out, the one asked for)
    """
    if name not in table:
        return table
    kept = []
    for task, rows in table.groupby("task", sort=False):
        there, wanted = list(rows[name].unique()), choices.of(str(task))[name == "split"]
        if wanted not in there and (wanted is not None or len(there) > 1):
            raise InputError(refused(str(task), there, wanted))
        kept.append(rows[rows[name] == (there[0] if wanted is None else wanted)])
        if left := len(rows) - len(kept[-1]):
            told(str(task), left, wanted)
    return pd.concat(kept).sort_index()


def one_of(name: str, table: pd.DataFrame, path: Path, choices: Choices, notes: list[str]) -> pd.DataFrame:
    """The rows of one split, or of one metric, of each task; `--filter` or `--metric` chooses where there are
    several."""
    flag = FLAGS[name]

    def refused(task: str, there: list[str], wanted: str | None) -> str:
        return (f"{path}: {task} has the {name}s {', '.join(map(repr, there[:6]))}"
                + (f" and no {wanted}" if wanted else "") + f": choose one with {flag}")

    return rows_of_one(name, table, choices, refused, lambda task, left, wanted: notes.append(
        f"{task}: {left:,} left out: rows of other {name}s ({flag} {wanted})"))


def crashed(table: pd.DataFrame, choices: Choices, notes: list[str]) -> pd.DataFrame:
    """The table with the scores of rows that have an error replaced by what `--errors` says they are worth."""
    if "error" not in table:
        return table
    words = table["error"].str.strip()
    failed = ~words.str.lower().isin(NO_ERROR)
    if numbers := [word for word in words[failed].unique() if math.isfinite(decimal(word))]:
        notes.append(f"column error holds numbers ({numbers[0]}), which are no crashes, and is not read")
        return table
    tasks = table["task"] if "task" in table else pd.Series(ONLY_TASK, table.index)
    for task, count in failed.groupby(tasks, sort=False).sum().items():
        notes += crashes(str(task), int(count), choices, "rows have an error")
    return table.assign(score=table["score"].mask(failed, 0.0 if choices.errors == "wrong" else np.nan))


def fingerprints(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Fingerprints of what was asked, by item, in the columns of `TaskScores.frame`, as of the same texts in JSONL;
    empty where no column says it."""
    made = {}
    for column, names in PRINTS.items():
        if (name := next((name for name in names if name in rows), None)) is not None:
            made[column] = rows[name].map({text: _sha256(json.dumps(text)) if text.strip() else None
                                           for text in rows[name].unique()})
    if not made:
        return pd.DataFrame()
    prints = pd.DataFrame(made, index=rows.index)
    if "run" in rows:
        for column in set(made) - {"prompt_hash"}:
            if (several := prints.groupby(rows["prompt_id"])[column].transform("nunique") > 1).any():
                raise InputError(f"{path}: row {line_of(path, int(several.idxmax()))}: prompt_id "
                                 f"{rows['prompt_id'][several].iloc[0]} has more than one "
                                 f"{'document' if column == 'doc_hash' else 'target'}")
    prints = prints.groupby(rows["prompt_id"], sort=False).first()
    return prints.assign(content=prints["doc_hash"]) if "doc_hash" in prints else prints


def unread(names: list[str], read: Collection[str] = _READ) -> list[str]:
    """A line for columns that nothing is made of."""
    others = [name for name in names if name not in read]
    return [f"{len(others)} columns are not read: {', '.join(others[:6])}{' …' * (len(others) > 6)}"] if others else []


def refuse_many(rows: pd.DataFrame, path: Path) -> None:
    """Raise InputError for a table of many models that holds several metrics or splits, or scores of which less is
    better, none of which a matrix has."""
    for name in ("metric", "split"):
        one_value(rows, name, path, f"keep the rows of one {name}")
    if not direction(rows, path, None):
        raise InputError(f"{path}: lower scores are better, it says, and in a matrix higher is better: take another "
                         "metric")


