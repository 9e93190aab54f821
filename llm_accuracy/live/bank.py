"""The questions of an evaluation: their names, tasks and, where they are known, fingerprints of their contents."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError
from ..files import atomic, reading
from ..scores.score_values import decimal
from ..visible import shortened

LONGEST = 10_000  # letters of a name
DEAREST = 1e9     # times the cheapest cost: dearer questions would never be asked
COLUMNS = ("question", "task", "content", "cost", "prompt")


@dataclass(frozen=True, eq=False)
class Bank:
    """questions (N,) str, unique; tasks (N,) str or None; contents (N,) str, "" = unknown, or None; costs (N,) or None;
    prompts (N,) str or None: fingerprints of how the history put the questions, "" = unknown.

    A column that is blank in all rows is None.

    Raises InputError for no question at all, or one that is there twice.
    """

    questions: np.ndarray
    tasks: np.ndarray | None = None
    contents: np.ndarray | None = None
    costs: np.ndarray | None = None
    prompts: np.ndarray | None = None

    def __post_init__(self):
        if not len(self.questions):
            raise InputError("there are no questions to ask")
        for name in ("tasks", "contents", "prompts"):
            column = getattr(self, name)
            if column is not None and not (column != "").any():  # as a file of it is read again
                object.__setattr__(self, name, None)
        for array in (self.questions, self.tasks):
            if array is not None:
                _check_names(array)
        if not all(map(str.strip, self.questions.tolist())):
            raise InputError("a question's name is blank; give each a name of its own")
        names, counts = np.unique(self.questions, return_counts=True)
        if (counts > 1).any():
            raise InputError(f"question {names[counts > 1][0]!r} is there twice; give each its own name")

    @staticmethod
    def of(questions: Sequence[str] | np.ndarray, tasks: np.ndarray | None = None,
           contents: np.ndarray | None = None) -> Bank:
        """A bank; where no tasks are given and every name is written task/question, those."""
        names = np.asarray(questions, str)
        if tasks is None:
            listed = names.tolist()
            if all(name.find("/") > 0 for name in listed):
                tasks = np.array([name.rpartition("/")[0] for name in listed])
        return Bank(names, None if tasks is None else np.asarray(tasks, str), contents)

    @staticmethod
    def listed(path: Path) -> Bank:
        """The bank that a CSV question[,task] lists. Raises InputError for one that cannot be read."""
        from ..scores.tables import read_bank

        table = read_bank(path)
        assert table is not None
        return Bank.of(table["question"].to_numpy(str), table["task"].to_numpy(str) if "task" in table else None)

    @property
    def size(self) -> int:
        """N"""
        return len(self.questions)

    def priced(self, path: Path) -> Bank:
        """With costs from a CSV question,cost that names every question.

        Raises InputError, with the line, for a cost that is not a number above 0, or a question without one.
        """
        given: dict[str, float] = {}
        for line, row in read_rows(path, ("question", "cost")):
            cost = decimal(row["cost"])
            if not 0 < cost < np.inf:
                raise InputError(f"{path}: line {line}: cost {row['cost']!r} of {row['question']}: a number above 0 is "
                                 "needed")
            if row["question"] in given:
                raise InputError(f"{path}: line {line}: {row['question']} is there twice")
            given[row["question"]] = cost
        lacking = [name for name in self.questions.tolist() if name not in given]
        if lacking:
            raise InputError(f"{path}: {len(lacking):,} questions have no cost, first {lacking[0]}; name every one")
        costs = np.array([given[name] for name in self.questions.tolist()])
        least, most = float(costs.min()), float(costs.max())
        if most / DEAREST > least or not 1e-30 <= least <= most <= 1e30:
            raise InputError(f"{path}: costs from {least:g} to {most:g}: the dearest question may cost {DEAREST:,.0f} "
                             "times as much as the cheapest, in a unit in which both lie between 1e-30 and 1e30")
        return replace(self, costs=costs)

    def prompted(self, prompts: dict[str, str]) -> Bank:
        """With the fingerprints of the history's prompts, where it has any."""
        names = self.questions.tolist()
        return replace(self, prompts=np.array([prompts.get(name, "") for name in names])) if prompts else self

    def fingerprints(self) -> dict[str, str | None]:
        """Of its parts, by the name that a message gives them."""
        return {"the questions' names": digest(self.questions), "the questions' tasks": digest(self.tasks),
                "the questions' contents": digest(self.contents), "the costs": digest(self.costs),
                "the history's prompts": digest(self.prompts)}

    def save(self, path: Path) -> None:
        columns = [self.questions, *(column if column is not None else [""] * self.size
                                     for column in (self.tasks, self.contents, self.costs, self.prompts))]
        with atomic(path, "w") as stream:
            writer = csv_writer(stream, self.questions, self.tasks)
            writer.writerow(COLUMNS)
            writer.writerows(zip(*(column.tolist() if isinstance(column, np.ndarray) else column
                                   for column in columns), strict=True))

    @staticmethod
    def load(path: Path) -> Bank:
        rows = [row for _, row in read_rows(path, COLUMNS)]
        columns = {name: np.array([row[name] for row in rows], str) for name in COLUMNS}
        known = {name: column for name, column in columns.items() if (column != "").any()}
        costs = known["cost"].astype(float) if "cost" in known else None
        return Bank(columns["question"], known.get("task"), known.get("content"), costs, known.get("prompt"))


def _check_names(names: np.ndarray) -> None:
    """Raises InputError for names that a file could not hold, or not give back."""
    if (longest := names.dtype.itemsize // 4) > LONGEST:
        raise InputError(f"a name of a question or task has {longest:,} letters; {LONGEST:,} at most")
    try:
        "\n".join(names.tolist()).encode()
    except UnicodeEncodeError as error:
        part = shortened(error.object[max(0, error.start - 20) : error.end])
        raise InputError(f"a name of a question or task is not text: …{part}") from None


def csv_writer(stream: IO[str], *names: np.ndarray | None):
    """A writer of rows with such names: csv quotes a line feed in one, but not a carriage return."""
    quoted = any("\r" in "".join(column.tolist()) for column in names if column is not None)
    return csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)


def digest(array: np.ndarray | None) -> str | None:
    """A fingerprint of names or numbers; None of None."""
    if array is None:
        return None
    content = "\0".join(array.tolist()).encode() if array.dtype.kind == "U" else np.ascontiguousarray(array).tobytes()
    return hashlib.blake2b(f"{array.dtype.kind}{array.shape}".encode() + content, digest_size=16).hexdigest()


def read_rows(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV whose header has at least the columns `needed`; other columns are kept as they are.

    Raises InputError for a file that cannot be read or lacks a column, and, with the line, for a row with a cell too
    many or too few.
    """
    try:
        with io.TextIOWrapper(reading(path, "CSV"), "utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            if twice := [name for name in header if header.count(name) > 1 and name in needed]:
                raise InputError(f"{path}: line 1: the header names {twice[0]} twice; which one counts?")
            for name in needed:
                if name not in header:
                    raise InputError(f"{path}: line 1: the header must name {','.join(needed)}, not "
                                     f"{','.join(header)!r:.80}")
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{path}: line {reader.line_num}: {len(header)} cells are needed, as in the "
                                     "header")
                rows.append((reader.line_num, row))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    return rows
