"""What a driver is: the way to a model that is being asked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import InputError
from ...redaction import hidden
from ...visible import shortened, visible

if TYPE_CHECKING:
    from ..bank import Bank

Answer = tuple[Any, object, dict[str, Any]]  # question, score, what else is known of it
Take = Callable[[Iterable[Answer]], int]


@dataclass
class Round:
    """number  from 1; questions  still to be answered; progress(done, of)  may be told how far it is

    Of several models (`panel`) questions are pairs (model, question)."""

    number: int
    questions: list[Any]
    progress: Callable[[int, int], None] = lambda done, of: None


@dataclass
class Request:
    """What the command line says of the model and of how to ask it, as the manifest keeps it.

    driver    name in DRIVERS
    words     what follows the driver's flag: the harness's arguments, a task file, a command
    model     the model's name, where the driver does not know it
    metric, filter  which score counts, where there are several
    folder    RUN
    show_questions  whether what a question asks is handed on with its answer, as `text`
    flags     what else the command line fixed, as it was written
    """

    driver: str
    words: str
    folder: Path
    model: str | None = None
    metric: str | None = None
    filter: str | None = None
    show_questions: bool = False
    flags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check_name(model: str) -> None:
    """Raises InputError for a model's name that cannot be shown in a line."""
    if not model.strip() or visible(model) != model:
        raise InputError(f"the model's name is {shortened(model)}: give one of visible characters, with --model")


def one_line(text: object) -> str:
    """In one line, and not a long one."""
    return " ".join(str(text).split())[:300]


@contextlib.contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Whatever goes wrong inside, in code of others too, is one line; the interruption of a person is not."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise InputError(hidden(f"{what}: it ended itself ({error.code})")) from None
    except BaseException as error:
        raise InputError(hidden(f"{what}: {one_line(f'{type(error).__name__}: {error}')}")) from error


def recent_version(flag: str, package: str, oldest: tuple[int, ...]) -> str:
    """The version of an installed package. Raises InputError for one older than `oldest`."""
    found = version(package)
    if tuple(int(part) for part in found.split(".")[:3] if part.isdigit()) < oldest:
        raise InputError(f"{flag}: {package} {found} is installed, {'.'.join(map(str, oldest))} or newer is needed: "
                         f"pip install --upgrade {package}")
    return found


def limits_of(given) -> str:
    """How answers are generated, in one form: of a dictionary, of JSON, of name=value,name=value, of None."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = dict(part.partition("=")[::2] for part in given.split(","))
    return ", ".join(f"{name.strip()} {str(value).strip()}" for name, value in sorted((given or {}).items()))


class Driver(Protocol):
    """model  the name of the model that is asked
    settings  plain values that say how it is asked, for the manifest
    versions  {program: version} of what asks it
    limits    how answers are generated, as `limits_of` writes it; None, or lacking, where it is not known
    """

    model: str
    settings: dict[str, Any]
    versions: dict[str, str]
    limits: str | None = None

    def bank(self) -> Bank | None:
        """The questions it can ask; None where it asks whatever the history names."""

    def ask(self, asked: Round, bank: Bank, take: Take) -> None:
        """Get the answers of a round and hand them on as they come. It may return before all are there (a person's
        turn); whatever it raises, what was handed on is kept.

        Raises InputError for answers that cannot be had or used.
        """

    def close(self, result: dict[str, Any]) -> None:
        """Nothing more will be asked; what has been found."""
