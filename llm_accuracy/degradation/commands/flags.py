"""What the commands share: flags, the objects made from them, and output. Imports nothing slow."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ... import cli, files
from ...errors import InputError
from ...files import check_new, write_whole
from ...scores.flags import add_choice_flags, choices_of
from ...streams import Patient
from ..defaults import ALPHA, INTERVALS, MARGIN, MAX_EXCLUDED, largest_excluded
from ..verdicts import CONDITIONS

if TYPE_CHECKING:
    from ...scores.task_scores import Choices
    from ..reading import Source


def add_test_flags(to: argparse.ArgumentParser, draws: int) -> None:
    """All flags of pair and suite."""
    add_decision_flags(to)
    to.add_argument("--allow-same", action="store_true",
                    help="do not refuse a candidate that is the baseline's own content")
    to.add_argument("--items", type=Path, metavar="FILE",
                    help="only the items of this selection.json, see the subcommand flips")
    to.add_argument("--samples", type=Path, metavar="FILE",
                    help="what was asked: the sample that plan --write-samples drew; what is missing of it counts "
                         "against the candidate, other items are left out")
    to.add_argument("--missing-at-random", action="store_true",
                    help="leave items that only one of the two answered out of \"safe\" (default: count them against "
                         "the candidate)")
    to.add_argument("--interval", choices=INTERVALS, default="tango",
                    help="method of the two-sided 95%% interval of 0/1 scores")
    add_reading_flags(to)
    to.add_argument("--draws", type=cli.at_least(999), default=draws, metavar="R",
                    help=f"random draws where no exact null distribution is available (default {draws})")
    to.add_argument("--seed", type=cli.at_least(0), default=0, metavar="S", help="seed of those draws (default 0)")
    to.add_argument("--report", type=Path, metavar="FILE", help="write a page report.html that needs no network")
    to.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a CI system's job page")
    to.add_argument("--junit", type=Path, metavar="FILE", help="write the verdicts as JUnit XML")
    add_output_flags(to)


def share(text: str) -> float:
    """An argument of --max-excluded; nan, negative numbers and those above 1 are refused."""
    try:
        return largest_excluded(float(text))
    except (ValueError, InputError):
        raise argparse.ArgumentTypeError(f"{text} is not a share of the items: give a number from 0 to 1") from None


def add_decision_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--margin", default=str(MARGIN), metavar="M",
                    help="the smallest drop that matters: 1pt (points of the scale), .01 (share of the scale; the "
                         "default) or recovery=99%% (of the baseline's score)")
    to.add_argument("--alpha", type=float, default=ALPHA, metavar="A", help="error rate (default .05)")
    to.add_argument("--fail-on", choices=CONDITIONS, help="exit 1 on this outcome")


def add_reading_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--matrix", type=Path, metavar="FILE",
                    help="models are rows of this models × questions table, or those in this folder of logs")
    add_choice_flags(to)
    to.add_argument("--max-excluded", type=share, metavar="SHARE",
                    help=f"largest share of items without partner or score (default {MAX_EXCLUDED}, but at most half "
                         "the margin)")


def add_output_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--json", metavar="FILE",
                    help="write the result as JSON; - is standard output, prose to stderr")
    to.add_argument("--overwrite", action="store_true", help="replace output files that exist")


def check_unused(options: argparse.Namespace, why: str, but: Sequence[str] = ()) -> None:
    """Raise InputError, with the reason, for a flag of `add_reading_flags` that was given, except those named."""
    blank = argparse.ArgumentParser()
    add_reading_flags(blank)
    for action in blank._actions:
        if action.dest not in (*but, "help") and getattr(options, action.dest, action.default) != action.default:
            raise InputError(f"{action.option_strings[0]}: {why}")


# ---- objects made from them --------------------------------------------------------------------------------


def choices(options: argparse.Namespace, items: Path | None = None, tasks: Sequence[str] | None = None,
            skip: Sequence[str] = (), samples: Path | None = None) -> Choices:
    """What logs leave open, as these options settle it, and the chosen items or those of a sample."""
    from ...scores.drawn import Drawn
    from ...scores.task_scores import Selection

    if items and samples:
        raise InputError("--items and --samples: give one or the other")
    only = Selection.read(items) if items else Drawn.read(samples) if samples else None
    return replace(choices_of(options, tasks, skip), selection=only)


def source(options: argparse.Namespace, tasks: Sequence[str] | None = None, skip: Sequence[str] = ()) -> Source:
    """Where models come from."""
    from ..reading import Source

    # plan has neither --items nor --samples
    return Source(options.matrix, choices(options, getattr(options, "items", None), tasks, skip,
                                          getattr(options, "samples", None)))


def command_line() -> str:
    """The command line, quoted for a shell, without keys and tokens."""
    return shown([*program(), *sys.argv[1:]])


def shown(words: Sequence[str]) -> str:
    """A command as it is shown, quoted for a shell: without keys and tokens, also where one is a flag's next word."""
    from ...redaction import redacted

    flags = ["", *words]
    return shlex.join([redacted(word, flag.lstrip("-") if flag.startswith("--") and not word.startswith("-") else "")
                       for flag, word in zip(flags, words, strict=False)])


def program() -> list[str]:
    """How this program is started."""
    name = Path(sys.argv[0]).name
    return ["python", name] if name.endswith(".py") else [name]


# ---- where results go --------------------------------------------------------------------------------------


def prose(json: str | None):
    """Where text goes: standard output, unless that is reserved for JSON. The end of its reader is not ours."""
    return Patient(sys.stderr if json == "-" else sys.stdout)


def check_targets(json: str | None, overwrite: bool, *others: Path | None, inputs: Iterable[Path] = (),
                  folder: Path | None = None, names: Iterable[str] = ()) -> None:
    """Raise InputError if an output file exists already, is one of the `inputs` or another output, or if its folder
    does not exist. `names` are outputs in a `folder` that is created if necessary."""
    if folder and folder.exists() and not folder.is_dir():
        raise InputError(f"--output-dir {folder} is a file; name a folder")
    inside = [folder / name for name in names] if folder else []
    for target in inside:
        check_new(target, overwrite, make_parent=True)
    named = [target for target in (*others, None if json in (None, "-") else Path(json)) if target]
    for target in named:
        check_new(target, overwrite)
    check_apart([*inside, *named], inputs)


def check_apart(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise InputError where two outputs are one file, or an output is a file that is read: one of the `inputs`, or a
    log in a folder of them."""
    inputs = list(inputs)
    own = files.check_apart(targets, inputs)
    for given in inputs:
        if os.path.isdir(given) and (log := _log_in(os.path.realpath(given), own)):
            raise InputError(f"{own[log]} is one of the files in {given}, which is read, and would be overwritten: "
                             "choose another name")


def _log_in(folder: str, places: Iterable[str]) -> str | None:
    """The first of these files that is there, in a folder, and that a reader takes for scores."""
    there = [place for place in places if place.startswith(os.path.join(folder, "")) and os.path.isfile(place)]
    if not there:
        return None
    from ...scores.readers import READERS

    # lm-evaluation-harness takes whatever no other reader does; what it writes itself has one of two names.
    readers = [reader.function("recognises") for name, reader in READERS.items() if reader.recognises
               and name != "lm-eval"]
    return next((place for place in there if os.path.basename(place).startswith(("results_", "samples_"))
                 or any(recognises(Path(place)) for recognises in readers)), None)


def inputs_of(options: argparse.Namespace) -> list[Path]:
    """The files and folders that these options name to be read; of NAME=PATH both readings."""
    found: list[Path] = []
    for name in _INPUTS:
        given = getattr(options, name, None) or []
        for one in given if isinstance(given, list) else [given]:
            found += [Path(one), *([Path(str(one).partition("=")[2])] if "=" in str(one) else [])]
    return found


_INPUTS = ("baseline", "candidate", "models", "runs", "pilot", "bank", "few", "gates", "matrix", "items", "samples",
           "task_metrics", "replay", "earlier", "history")


def files_of(runs: Iterable[Path]) -> list[Path]:
    """The files by which folders of live runs are read, audited and shown."""
    named = [run / name for run in runs for name in OF_A_RUN]
    return named + [file for run in runs for folder in FOLDERS_OF_A_RUN for file in (run / folder).rglob("*")]


OF_A_RUN = ("manifest.json", "questions.csv", "factors.npz", "baseline.npz", "useful.npy", "queries.jsonl",
            "responses.jsonl", "result.json", "report.html", "lock", "ask.csv", "answers.csv", "harness.log")
FOLDERS_OF_A_RUN = ("inspect", "eee", "models")


def write_json(text: str, json: str | None) -> None:
    if json == "-":
        Patient(sys.stdout).write(text)
    elif json:
        write_whole(Path(json), text)
