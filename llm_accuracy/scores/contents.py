"""Whether two models' scores come from the same contents, under whatever names: the same file, or a copy of it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from .task_scores import TaskScores


def identical(one: TaskScores, other: TaskScores, task: str) -> bool:
    """Whether what two models' scores on a task were read from is the same: the same files, or files with the same
    rows, in any order and format of numbers and line ends. Equal scores in files that differ elsewhere (another answer,
    another time) are not. Scores that were read from no file are the same where they come from the same source.
    """
    if not _equal_scores(one, other):
        return False
    if sorted(one.read_from) == sorted(other.read_from):
        return True
    if not all(Path(file).is_file() for file in (*one.read_from, *other.read_from)):
        return False
    return sorted(digest(Path(file), task) for file in one.read_from) == sorted(
        digest(Path(file), task) for file in other.read_from)


def in_both(one: TaskScores, other: TaskScores, task: str) -> str | None:
    """A file that is among those of both models, under whatever name, where one of them has several."""
    if len(one.read_from) == len(other.read_from) == 1 or not any(
            first.equals(second) for first in _columns(one) for second in _columns(other)):
        return None
    files = [file for file in (*one.read_from, *other.read_from) if Path(file).is_file()]
    digests = {file: digest(Path(file), task) for file in dict.fromkeys(files)}
    theirs = {digests[file] for file in other.read_from if file in digests}
    return next((file for file in one.read_from if digests.get(file) in theirs), None)


def _columns(log: TaskScores) -> list[pd.Series]:
    """The scores of every run, sorted by item, without items that it lacks."""
    table = log.frame[["score"]] if log.answers is None else log.answers
    return [table.iloc[:, at].dropna().sort_index().rename(None) for at in range(table.shape[1])]


def one_task_twice(one: TaskScores, other: TaskScores) -> bool:
    """Whether two tasks of a model were read from the same rows of whole files, under two names."""
    if not all(Path(file).is_file() for file in (*one.read_from, *other.read_from)):
        return False
    found = [[_digests(Path(file), stat.st_mtime_ns, stat.st_size) for file in log.read_from
              for stat in (Path(file).stat(),)] for log in (one, other)]
    whole = all(of_tasks is None for log in found for _, of_tasks in log)
    return whole and sorted(every for every, _ in found[0]) == sorted(every for every, _ in found[1])


def same_files(one: str, other: str, task: str | None) -> bool:
    """Whether two files have the same rows (of one task, or at all)."""
    return Path(one).samefile(other) or digest(Path(one), task) == digest(Path(other), task)


def _equal_scores(one: TaskScores, other: TaskScores) -> bool:
    """The cheap part, first: hardly any two models have the same score on every item."""
    first, second = (np.sort(log.frame["score"].to_numpy(float)) for log in (one, other))
    if not np.array_equal(first, second, equal_nan=True):
        return False
    left, right = one.frame[["score", "runs"]], other.frame[["score", "runs"]]
    if left.index.equals(right.index):
        return left.equals(right)
    return left.sort_index().equals(right.sort_index())


def digest(file: Path, task: str | None) -> str:
    """Of a file's rows, sorted: of a score file its rows of this task (None: of all), with numbers by value; else its
    lines."""
    stat = file.stat()
    every, of_tasks = _digests(file, stat.st_mtime_ns, stat.st_size)
    return every if task is None or of_tasks is None else of_tasks.get(task, _hashed([]))


@lru_cache(maxsize=1_000)  # a suite asks for every task of the same few files; a file that was changed is read again
def _digests(file: Path, _changed: int, _size: int) -> tuple[str, dict[str, str] | None]:
    """Of all rows of a file, and of those of each task of a score file that has tasks."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    text = content.decode("utf-8-sig", errors="replace")
    if not file.name.removesuffix(".gz").endswith(".csv"):
        return _hashed([line.strip() for line in text.splitlines() if line.strip()]), None
    header, *rows = csv.reader(io.StringIO(text))
    names = [name.strip().lower() for name in header]
    lines = [("\x1f".join(map(_by_value, row)), row) for row in rows if row]
    every = _hashed([line for line, _ in lines])
    if "task" not in names:
        return every, None
    tasks: dict[str, list[str]] = {}
    for line, row in lines:
        tasks.setdefault(row[names.index("task")], []).append(line)
    return every, {task: _hashed(found) for task, found in tasks.items()}


def _hashed(lines: list[str]) -> str:
    return hashlib.sha256("\x1e".join(sorted(lines)).encode("utf-8", errors="replace")).hexdigest()


def _by_value(cell: str) -> str:
    cell = cell.strip()
    try:
        return repr(float(cell))
    except ValueError:
        return {"true": "1.0", "false": "0.0"}.get(cell.lower(), cell)
