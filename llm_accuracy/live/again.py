"""A run that exists: where it stands, and whether flags that are given again are those that it began with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..cli import INTERRUPTED, is_given
from ..errors import InputError
from ..files import read_json
from . import paired_command
from .run_folder import ACCURACY, BEST, COMPARISON, NAMES, RunFolder, as_written

FIXED = ("budget", "half_width", "exact", "max_budget", "first_round", "growth", "alpha", "seed", "max_minutes", "cost",
         "questions", "factors", *paired_command.FIXED)  # by the first command of a run
KEPT = ("model", "metric", "filter")  # which are kept with the driver's words
READING = ("matrix", "task_metrics", "higher_is_better", "value", "range", "errors", "by_content", "may_differ", "id",
           "score", "item_field")  # of `ask`: how a baseline and earlier candidates are read
BY_DEFAULT = {"errors": "missing"}  # values that flags have which are not given


def fixed(options: argparse.Namespace, compares: bool | None = None) -> dict[str, str]:
    """{flag: value as it was written, of a file its place} of what the command line fixes, for the manifest.

    compares  whether it is of a comparison, by default one with --baseline: its history is fixed, too (an evaluation
              keeps its history's files)
    """
    compares = getattr(options, "baseline", None) is not None if compares is None else compares
    found = {}
    for name in (*FIXED, *READING, *(["history"] if compares else [])):
        value = getattr(options, name, None)
        if is_given(value) and value != BY_DEFAULT.get(name):
            found[name] = " ".join(str(one.absolute()) if isinstance(one, Path) else str(one)
                                   for one in (value if isinstance(value, list) else [value]))
    return found


def check_same(options: argparse.Namespace, manifest: dict[str, Any]) -> None:
    """Raises InputError for a flag with another value than the run began with. Given again with the same one it does no
    harm: whoever repeats a command adds --resume to it."""
    if manifest.get("kind", ACCURACY) == BEST:
        raise InputError(f"{options.run} holds {NAMES[BEST]}: give the same flag to llm-accuracy best --run "
                         f"{options.run}")
    check_kept(options, manifest, fixed(options, manifest.get("kind") == COMPARISON))


def check_kept(options: argparse.Namespace, manifest: dict[str, Any], given: dict[str, str]) -> None:
    """Raises InputError where one of the flags `given`, as `fixed` has them, or of KEPT differs from the manifest's."""
    asked = manifest["asked"]
    begun = asked.get("flags")
    for name, value in given.items():
        if begun is None or begun.get(name) != value:
            then = "" if begun is None else (f" ({begun[name]})" if name in begun else " (without it)")
            raise InputError(f"{_flag(name)}: fixed when the run began{then}; leave it away, or begin another run")
    for name in KEPT:
        value = getattr(options, name)
        if value is not None and value not in (asked[name], manifest["model"] if name == "model" else None):
            raise InputError(f"{_flag(name)} {value}: the run began with {asked[name] or manifest['model']}; leave it "
                             "away, or begin another run" if name == "model" or asked[name] else
                             f"{_flag(name)} {value}: the run began without it; leave it away, or begin another run")


def status(run: RunFolder) -> list[str]:
    """Where a run stands, by what it wrote after its last round; only looks."""
    manifest = run.manifest()
    path = run / "result.json"
    kind = manifest.get("kind", ACCURACY)
    name = _command(run.path, kind)
    with as_written(path, f"not the result of a run; {name} --report writes it again"):
        said, ended = _so_far(path, manifest, kind)
    working = run.locked_by()
    next_ = (f"process {working} is working on it" if working else
             f"it has ended; {name} --audit checks it, --export eee publishes it" if ended else
             f"{name} --resume goes on with it")
    return [*said, *([str(run / "report.html")] if (run / "report.html").exists() else []), next_]


def _so_far(path: Path, manifest: dict[str, Any], kind: str) -> tuple[list[str], bool]:
    """What result.json says, and whether the run has ended."""
    if not path.exists():
        model = manifest.get("model") or f"{len(manifest['models'])} models"
        return [f"{model}: begun {manifest['begun']}, no round is answered yet"], False
    result = read_json(path)
    if kind == BEST:
        from .several_report import text_of as winner_of

        return winner_of(result)[:1], bool(result["ended"])
    if kind == COMPARISON:
        from .paired_report import text_of

        return [f"{result['model']} against {result['baseline']}", text_of(result)[0]], bool(result["ended"])
    from .results import said_of

    return said_of(result), bool(result["stopped"])


def check_minutes(minutes: float | None, ways: Iterable[str]) -> None:
    """Raises InputError for a limit of time on models that somebody asks by hand."""
    if minutes is not None and "files" in ways:
        raise InputError("--max-minutes does not go with --files: what is asked waits while nothing runs")


def interrupted(run: Path | None) -> int:
    """Say what Ctrl-C has left; returns the exit code."""
    print(f"\n{_left(run)}", file=sys.stderr)
    return INTERRUPTED


def _left(run: Path | None) -> str:
    if run is not None and (folder := RunFolder(run)).begun:
        kind = folder.manifest().get("kind", ACCURACY)
        return f"interrupted; what was answered is kept: {_command(run, kind)} --resume goes on"
    return "interrupted; nothing had begun"


def _command(run: Path, kind: str) -> str:
    return f"llm-accuracy {'best --run' if kind == BEST else 'evaluate'} {run}"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
