"""Several models, asked the same questions: each through a driver of its own, one after the other, or all by two files.

What is asked is named by pairs (model, question). A harness that runs one evaluation at a time in a process is closed
after its turn and opened again in the next round, its model being kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..bank import Bank
from .driver import Answer, Driver, Request, Round, Take
from .files import Files

Key = tuple[str, str]  # model, question


class Panel:
    """`members`: {name: its driver}; `folders`: {name: where it keeps what is its own}. See the module.

    Raises InputError where the models' questions are not the same.
    """

    def __init__(self, members: Mapping[str, Driver], folders: Mapping[str, Path]):
        self.members, self.folders = dict(members), dict(folders)
        self.model = ", ".join(members)
        self.settings: dict[str, Any] = {name: driver.settings for name, driver in members.items()}
        self.versions = {program: version for driver in members.values() for program, version in
                         driver.versions.items()}
        self.limits: str | None = None  # each model's own
        self._bank = _common(self.members)

    def bank(self) -> Bank | None:
        return self._bank

    def ask(self, asked: Round, bank: Bank, take: Take) -> None:
        of_model: dict[str, list[str]] = defaultdict(list)
        for model, question in asked.questions:
            of_model[model].append(question)
        before = 0
        for model, questions in of_model.items():
            driver = self.members[model]
            self.folders[model].mkdir(parents=True, exist_ok=True)
            driver.ask(Round(asked.number, questions, _part(asked, before, len(questions))), bank, _of(model, take))
            if getattr(driver, "one_at_a_time", False):
                driver.close({})
            before += len(questions)

    def close(self, result: dict[str, Any]) -> None:
        for name, driver in self.members.items():
            driver.close(result.get("models", {}).get(name, {}))


class PanelFiles(Files):
    """Models that are asked by hand: RUN/ask.csv has model,question,task,round, RUN/answers.csv
    model,question,score."""

    columns = ("model", "question")

    def __init__(self, request: Request, models: list[str]):
        super().__init__(request)
        self._models = set(models)
        self.model = ", ".join(models)
        self.settings = {name: {} for name in models}
        self.limits: str | None = None

    def key(self, row: dict[str, str]) -> Any:
        model = row["model"]
        return model if model in self._models else model.strip(), self._named(row["question"])

    def cells(self, key: Any) -> tuple[str, ...]:
        return key


def _part(asked: Round, before: int, size: int):
    """The progress of one model's part of a round, in questions of the whole round."""
    return lambda done, of: asked.progress(before + done * size // max(of, 1), len(asked.questions))


def _of(model: str, take: Take) -> Take:
    """`take` of a model's own answers."""
    def taken(answers: Iterable[Answer]) -> int:
        return take(_named(model, answers))

    return taken


def _named(model: str, answers: Iterable[Answer]) -> Iterator[Any]:
    for question, score, more in answers:
        yield (model, question), score, more


def _common(members: Mapping[str, Driver]) -> Bank | None:
    """The questions of all models. Raises InputError where one's are not the others'."""
    banks = {name: own for name, driver in members.items() if (own := driver.bank()) is not None}
    first = next(iter(banks), None)
    if first is None:
        return None
    bank = banks[first]
    for name, own in banks.items():
        if own.questions.tolist() != bank.questions.tolist():
            differ = sorted({*own.questions.tolist()} ^ {*bank.questions.tolist()})
            which = f"; {len(differ):,} are one's only, first {differ[0]}" if differ else ": their order differs"
            raise InputError(f"{name} and {first} have other questions{which}: all models must be asked the same tasks")
        if type(members[name]) is type(members[first]) and own.contents is not None and bank.contents is not None:
            other = (own.contents != bank.contents).nonzero()[0]
            if len(other):
                raise InputError(f"{name} and {first}: {len(other):,} questions have other contents, first "
                                 f"{bank.questions[other[0]]}: all models must be asked the same version of a task")
    return bank
