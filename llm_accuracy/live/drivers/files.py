"""Questions out, answers in, by two files, as often as needed.

RUN/ask.csv (question,task,round) lists what is to be answered now. RUN/answers.csv (question,score) may hold any part
of it, and whatever was answered earlier; a blank score is not an answer yet.
"""

from __future__ import annotations

import os
from typing import Any

from ...errors import InputError
from ...files import atomic, check_size
from ...scores.score_values import decimal
from ...visible import shortened
from ..bank import Bank, csv_writer, read_rows
from ..recorded import in_words
from .driver import Request, Round, Take


class Files:
    """See the module."""

    columns: tuple[str, ...] = ("question",)  # that name what is asked

    def __init__(self, request: Request):
        self.folder = request.folder
        self.model = request.model or request.folder.absolute().name
        self.settings: dict[str, Any] = {}
        self.versions: dict[str, str] = {}
        self._names: set[str] = set()  # names of the bank's questions

    def bank(self) -> None:
        return None

    def ask(self, asked: Round, bank: Bank, take: Take) -> None:
        answers = self.folder / "answers.csv"
        self._names = set(bank.questions.tolist())
        if not os.path.lexists(answers):
            return
        if not answers.is_file():  # a pipe would be waited for
            raise InputError(f"{answers}: not a file; write {','.join(self.columns)},score to a file of that name")
        check_size(answers.stat().st_size, str(answers))
        found = self._read()
        try:
            take([(key, score, {}) for key, score in found])
        except InputError as error:
            raise InputError(f"{answers}: {error}") from None

    def key(self, row: dict[str, str]) -> Any:
        """What a row of RUN/answers.csv answers."""
        return self._named(row["question"])

    def cells(self, key: Any) -> tuple[str, ...]:
        """The first cells of its row in RUN/ask.csv, the question last."""
        return (key,)

    def write(self, asked: Round, bank: Bank) -> str:
        """List what is to be answered; returns what to do."""
        tasks = {} if bank.tasks is None else dict(zip(bank.questions.tolist(), bank.tasks.tolist(), strict=True))
        with atomic(self.folder / "ask.csv", "w") as stream:
            writer = csv_writer(stream, bank.questions, bank.tasks)
            writer.writerow((*self.columns, "task", "round"))
            writer.writerows((*cells, tasks.get(cells[-1], ""), asked.number) for cells in
                             map(self.cells, asked.questions))
        n = len(asked.questions)
        return (f"{n:,} question{'s are' if n != 1 else ' is'} in {self.folder / 'ask.csv'}: write "
                f"{','.join(self.columns)},score to {self.folder / 'answers.csv'} and add --resume")

    def _read(self) -> list[tuple[Any, float]]:
        """The answers that have a score. Raises InputError, with the line, for one that is no score in [0, 1], and for
        a question with two."""
        path = self.folder / "answers.csv"
        found: dict[Any, tuple[float, int]] = {}
        for line, row in read_rows(path, (*self.columns, "score")):
            text, key = row["score"].strip(), self.key(row)
            if not text:
                continue
            where = f"{path}: line {line}: {shortened(in_words(key))}"
            score = {"true": 1.0, "false": 0.0}.get(text.lower(), decimal(text))
            if not 0 <= score <= 1:
                raise InputError(f"{where}: score {shortened(text)}; scores lie in [0, 1]")
            before, there = found.setdefault(key, (score, line))
            if before != score:
                raise InputError(f"{where} has score {score:g}, and {before:g} in line {there}; leave one")
        return [(key, score) for key, (score, _) in found.items()]

    def _named(self, cell: str) -> str:
        """The question that a cell names: as it is where it is one, else without blanks around it."""
        return cell if cell in self._names else cell.strip()

    def close(self, result: dict[str, Any]) -> None:
        (self.folder / "ask.csv").unlink(missing_ok=True)
