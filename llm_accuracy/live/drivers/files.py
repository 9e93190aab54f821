"""Questions out, answers in, by two files, as often as needed.

RUN/ask.csv (question,task,round) lists what is to be answered now. RUN/answers.csv (question,score) may hold any part
of it, and whatever was answered earlier; a blank score is not an answer yet.
"""

from __future__ import annotations

import csv
from typing import Any

from ...errors import InputError
from ...files import atomic
from ..bank import Bank, read_rows
from .driver import Request, Round, Take


class Files:
    """See the module."""

    columns: tuple[str, ...] = ("question",)  # that name what is asked

    def __init__(self, request: Request):
        self.folder = request.folder
        self.model = request.model or request.folder.absolute().name
        self.settings: dict[str, Any] = {}
        self.versions: dict[str, str] = {}

    def bank(self) -> None:
        return None

    def ask(self, asked: Round, bank: Bank, take: Take) -> None:
        answers = self.folder / "answers.csv"
        if answers.exists():
            take([(key, score, {}) for key, score in self._read()])

    def key(self, row: dict[str, str]) -> Any:
        """What a row of RUN/answers.csv answers."""
        return row["question"].strip()

    def cells(self, key: Any) -> tuple[str, ...]:
        """The first cells of its row in RUN/ask.csv, the question last."""
        return (key,)

    def write(self, asked: Round, bank: Bank) -> str:
        """List what is to be answered; returns what to do."""
        tasks = {} if bank.tasks is None else dict(zip(bank.questions.tolist(), bank.tasks.tolist(), strict=True))
        with atomic(self.folder / "ask.csv", "w") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow((*self.columns, "task", "round"))
            writer.writerows((*cells, tasks.get(cells[-1], ""), asked.number) for cells in
                             map(self.cells, asked.questions))
        n = len(asked.questions)
        return (f"{n:,} question{'s are' if n != 1 else ' is'} in {self.folder / 'ask.csv'}: write "
                f"{','.join(self.columns)},score to {self.folder / 'answers.csv'} and add --resume")

    def _read(self) -> list[tuple[Any, float]]:
        """The answers that have a score. Raises InputError, with the line, for one that is no score in [0, 1]."""
        path, found = self.folder / "answers.csv", []
        for line, row in read_rows(path, (*self.columns, "score")):
            text = row["score"].strip()
            if not text:
                continue
            try:
                score = {"true": 1.0, "false": 0.0}.get(text.lower())
                score = float(text) if score is None else score
            except ValueError:
                score = float("nan")
            if not 0 <= score <= 1:
                raise InputError(f"{path}: line {line}: {row['question']}: score {text!r}; scores lie in [0, 1]")
            found.append((self.key(row), score))
        return found

    def close(self, result: dict[str, Any]) -> None:
        (self.folder / "ask.csv").unlink(missing_ok=True)
