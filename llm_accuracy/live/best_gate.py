"""What `best` hands to a CI job: on which outcome it fails, and the result as JSON, Markdown and JUnit."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..degradation.commands import flags
from ..errors import InputError
from ..files import write_whole
from ..querying.best_command import about_text, columns_of, interval_text, rows

OPEN, NOT_BEST = "open", "not-best"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fail-on", nargs="+", metavar=("open|not-best", "MODEL"),
                        help="exit 1 while several models may be best (open), or unless MODEL is found to be the best "
                             "(not-best MODEL)")


@dataclass(frozen=True)
class Gate:
    """On which outcome the exit code is 1: OPEN, NOT_BEST of a model, or None."""

    condition: str | None = None
    model: str | None = None

    @staticmethod
    def of(words: list[str] | None) -> Gate:
        """Raises InputError for words that are no condition."""
        match words:
            case None:
                return Gate()
            case ["open"]:
                return Gate(OPEN)
            case ["not-best", model]:
                return Gate(NOT_BEST, model)
        raise InputError(f"--fail-on {' '.join(words)}: write open, or not-best and one of the models; a MATRIX stands "
                         "before it")

    def check(self, names: Collection[str]) -> None:
        """Raises InputError where its model is none of these."""
        if self.model is not None and self.model not in names:
            raise InputError(f"--fail-on not-best {self.model}: the models are {', '.join(names)}")

    def fails(self, result: dict[str, Any]) -> bool:
        return (self.condition == OPEN and result["winner"] is None) or (
            self.condition == NOT_BEST and result["winner"] != self.model)

    def text(self, result: dict[str, Any]) -> list[str]:
        """What it decided, in a line; none without a condition."""
        if self.condition is None:
            return []
        asked = OPEN if self.condition == OPEN else f"{NOT_BEST} {self.model}"
        found = f"{result['winner']} is best" if result["winner"] else "it is open which is best"
        return [f"--fail-on {asked}: {'FAILED' if self.fails(result) else 'passed'}, {found}"]


@dataclass(frozen=True)
class Outputs:
    """Where the result goes besides standard output."""

    gate: Gate
    json: str | None = None
    junit: Path | None = None
    markdown: Path | None = None

    @staticmethod
    def of(options: argparse.Namespace, inputs: list[Path]) -> Outputs:
        """Raises InputError where a file is in the way, or is what is read."""
        flags.check_targets(options.json, options.overwrite, options.markdown, options.junit, inputs=inputs)
        return Outputs(Gate.of(options.fail_on), options.json, options.junit, options.markdown)

    def write(self, result: dict[str, Any], said: list[str], more: list[str]) -> int:
        """Print what was said and `more`, write the files; returns the exit code."""
        from ..degradation.words import as_json
        from ..visible import visible

        said = [*said, *map(visible, self.gate.text(result))]
        made = {}
        if self.junit:
            made[self.junit] = self._junit(result, said)
        if self.markdown:
            made[self.markdown] = self._markdown(result, said[0])
        for path, content in made.items():
            write_whole(path, content)
        print(*said, *more, sep="\n", file=flags.prose(self.json), flush=True)
        flags.write_json(as_json(result), self.json)
        return int(self.gate.fails(result))

    def _junit(self, result: dict[str, Any], said: list[str]) -> str:
        from ..degradation.junit import Outcome, written

        failed = self.gate.fails(result)
        case = Outcome(self.gate.model or f"best of {len(result['models'])} models", failed,
                       result["winner"] is None and not failed, self.gate.condition or OPEN, said[0], "\n".join(said))
        return written("llm-accuracy best", [case])


    def _markdown(self, result: dict[str, Any], headline: str) -> str:
        """The headline, a row for each model, and what is printed below the table."""
        from ..degradation.markdown import code, escaped

        head, *body = columns_of(result), *rows(result)
        table = [head, ("---",) * len(head), *((code(row[0]), *map(escaped, row[1:])) for row in body)]
        below = [*self.gate.text(result), *(f"note: {note}" for note in result["notes"]), interval_text(result),
                 about_text(result)]
        return "\n".join([f"**{escaped(headline)}**", "", *(f"| {' | '.join(row)} |" for row in table), "",
                          *(f"* {escaped(line)}" for line in below), ""])
