"""What the subcommands of the degradation tests share: flags, what they read, where results go."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from ... import cli
from ...errors import InputError
from ...files import check_new, write_whole
from ...scores.readers import read_matrix_models, read_model
from ...scores.task_scores import Choices, Selection, TaskScores
from ..paired import DEGRADED, UNDECIDED
from ..pairing import MAX_EXCLUDED, Pairs, pair_up


def add_test_flags(to: argparse.ArgumentParser, draws: int) -> None:
    """All flags of pair and suite."""
    add_decision_flags(to)
    to.add_argument("--items", type=Path, metavar="FILE",
                    help="only the items of this selection.json, see the subcommand flips")
    to.add_argument("--interval", choices=("tango", "melded-exact"), default="tango",
                    help="method of the two-sided 95%% interval of 0/1 scores")
    add_reading_flags(to)
    to.add_argument("--draws", type=cli.at_least(999), default=draws, metavar="R",
                    help=f"random draws where no exact null is at hand (default {draws})")
    to.add_argument("--seed", type=cli.at_least(0), default=0, metavar="S", help="of those draws (default 0)")
    to.add_argument("--report", type=Path, metavar="FILE", help="write a page report.html that needs no network")
    add_output_flags(to)


def add_decision_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--margin", type=float, default=0.01, metavar="M",
                    help="the smallest drop that matters, in score units (default .01: one point)")
    to.add_argument("--alpha", type=float, default=0.05, metavar="A", help="error rate (default .05)")
    to.add_argument("--fail-on", choices=("degraded", "not-shown-safe"), help="exit 1 on this outcome")


def add_reading_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--matrix", type=Path, metavar="FILE",
                    help="models are rows of this models × questions table")
    add_harness_flags(to)
    to.add_argument("--max-excluded", type=float, default=MAX_EXCLUDED, metavar="SHARE",
                    help=f"largest share of items without partner or score (default {MAX_EXCLUDED})")


def add_harness_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--task-metrics", type=Path, metavar="FILE",
                    help='JSON {"task": "metric"} or {"task": {"metric": …, "filter": …}} for harness logs')
    to.add_argument("--item-field", metavar="FIELD",
                    help="document field that names a question across tasks (harness logs; else its hash)")


def add_output_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--json", metavar="FILE",
                    help="write the result as JSON; - is standard output, prose to stderr")
    to.add_argument("--overwrite", action="store_true", help="replace output files that exist")


def harness_choices(options: argparse.Namespace) -> Choices:
    choices = Choices(item_field=options.item_field)
    if options.task_metrics:
        choices = Choices.read(options.task_metrics, options.item_field)
    return replace(choices, selection=selection(options))


def selection(options: argparse.Namespace) -> Selection | None:
    items = getattr(options, "items", None)
    return Selection.read(items) if items else None


def read_rows(options: argparse.Namespace, names: list[str] | None) -> dict[str, dict[str, TaskScores]]:
    """Models from the rows of --matrix."""
    models, chosen = read_matrix_models(options.matrix, names), selection(options)
    return models if chosen is None else {name: chosen.restrict(tasks, name) for name, tasks in models.items()}


def read_pair(options: argparse.Namespace) -> Pairs:
    names = [options.baseline, options.candidate]
    if options.matrix:
        models = read_rows(options, names)
        read = [models[name] for name in names]
    else:
        choices = harness_choices(options)
        read = [read_model(name, choices, options.task) for name in names]
    task = one_task(read, names, options.task)
    return pair_up(read[0][task], read[1][task], task, options.max_excluded)


def one_task(read: list[dict[str, TaskScores]], names: list[str], wanted: str | None) -> str:
    for tasks, name in zip(read, names, strict=True):
        if wanted and wanted not in tasks:
            raise InputError(f"{name}: no task {wanted}; it has {', '.join(tasks)}")
    if wanted:
        return wanted
    common = [task for task in read[0] if task in read[1]]
    if len(common) != 1 or len(read[0]) + len(read[1]) != 2:
        has = [", ".join(tasks) for tasks in read]
        raise InputError(f"{names[0]} has the tasks {has[0]} and {names[1]} has {has[1]}: choose one of both "
                         "with --task, or test all of them with suite")
    return common[0]


def fails(verdict: str, within_margin: bool, condition: str | None) -> int:
    """1 where the --fail-on condition holds."""
    if condition == "degraded":
        return int(verdict == DEGRADED)
    if condition == "not-shown-safe":
        return int(verdict == UNDECIDED or (verdict == DEGRADED and not within_margin))
    return 0


def prose(options: argparse.Namespace):
    """Where text goes: standard output, unless that is for JSON only."""
    return sys.stderr if options.json == "-" else sys.stdout


def command_line() -> str:
    """The command as a shell takes it."""
    return shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])


def check_targets(options: argparse.Namespace) -> None:
    if getattr(options, "report", None):
        check_new(options.report, options.overwrite)
    if options.json and options.json != "-":
        check_new(Path(options.json), options.overwrite)


def write_json(text: str, options: argparse.Namespace) -> None:
    if not options.json:
        return
    if options.json == "-":
        sys.stdout.write(text)
    else:
        write_whole(Path(options.json), text)
