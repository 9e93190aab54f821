"""The command ask: of a candidate whose answers are all there (--replay), or of one that is asked (--run)."""

from __future__ import annotations

import argparse
from typing import Any

from .. import cli
from ..claims import BANK
from ..cli import is_given
from ..degradation import commands
from ..degradation.commands import ask as replayed
from ..degradation.commands import flags
from ..degradation.commands.command import Command
from ..errors import InputError
from ..redaction import hidden
from . import again, paired_command
from .drivers import DRIVERS, Request
from .run_folder import COMPARISON, RunFolder

HELD = ("history", "tasks", "no_margins", "need_margins", "allow_same", "max_minutes", *again.READING)  # since a run
# began; the rest of what is fixed is compared as the plan has it


def add(to: argparse.ArgumentParser) -> None:
    replayed.add(to)
    live = to.add_argument_group("a candidate that is asked")
    live.add_argument("--run", dest="folder", type=cli.path, metavar="RUN",
                      help="keep the comparison in this folder, as `evaluate RUN --baseline` does; the candidate is "
                           "asked by one of:")
    add_drivers(live.add_mutually_exclusive_group())
    live.add_argument("--model", metavar="NAME", help="the candidate's name (inspect: the model to load)")
    live.add_argument("--history", nargs="+", type=cli.path, metavar="PATH", help="models that have answered these "
                                                                            "questions: which may change")
    live.add_argument("--max-minutes", type=cli.number(), metavar="M", help="begin no further round after this time")
    live.add_argument("--resume", action="store_true", help="go on with RUN if it has begun")
    live.add_argument("--as-begun", action="store_true", help="resume although the baseline's files have changed")
    live.add_argument("--show-questions", action="store_true", help="the report shows what flipped questions ask")
    paired_command.add_files(live)


def add_drivers(to) -> None:
    """A flag for each way to a model."""
    for way in DRIVERS.values():
        if way.metavar:
            to.add_argument(f"--{way.name}", help=way.help, metavar=way.metavar)
        else:
            to.add_argument(f"--{way.name}", help=way.help, action="store_true")


def run(options: argparse.Namespace) -> int:
    chosen = [name for name in DRIVERS if is_given(getattr(options, name.replace("-", "_")))]
    if options.folder is None:
        if chosen:
            raise InputError(f"--{chosen[0]}: --run RUN names the folder that the comparison is kept in")
        if extra := paired_command.given(options, ("model", "history", "max_minutes", "resume", "as_begun",
                                                   "show_questions", "markdown", "junit")):
            raise InputError(f"{extra[0]} goes with --run")
        return replayed.run(options)
    replayed.check_unused(options)
    if options.replay:
        raise InputError("--replay has all answers, --run asks for them: give one or the other")
    if not chosen:
        raise InputError(f"how is the candidate asked? Give one of {', '.join('--' + name for name in DRIVERS)}")
    again.check_minutes(options.max_minutes, chosen)
    if options.model is not None and not options.model.strip():
        raise InputError("--model: a name is needed")
    try:
        return _asked(options, chosen[0])
    except KeyboardInterrupt:
        return again.interrupted(options.folder)
    except InputError as error:
        raise InputError(hidden(str(error))) from None


def _asked(options: argparse.Namespace, driver: str) -> int:
    outputs = paired_command.Outputs.of(options, options.folder)
    words = getattr(options, driver.replace("-", "_"))
    request = Request(driver, "" if words is True else words, options.folder, options.model, options.metric,
                      options.filter, options.show_questions, again.fixed(options))
    folder = RunFolder(options.folder)
    if options.resume and folder.begun:
        _as_begun(folder.manifest(COMPARISON), options)
        return paired_command.begin_or_resume(folder, None, request, outputs, as_begun=options.as_begun,
                                              show_questions=options.show_questions)
    if options.as_begun and not options.resume:
        raise InputError("--as-begun goes with --resume")
    wanted = paired_command.wanted(options, request, flags.source(options, options.tasks))
    return paired_command.begin_or_resume(folder, wanted, request, outputs, show_questions=options.show_questions)


def _as_begun(manifest: dict[str, Any], options: argparse.Namespace) -> None:
    """Raises InputError where a run began with other flags than these. What has no default may be left away."""
    given = again.fixed(options)
    again.check_kept(options, manifest, {name: given[name] for name in HELD if name in given})
    plan, before, wanted = manifest["plan"], manifest["baseline"], paired_command.wanted_plan(options)
    begun = {"baseline": before["name"], "--margin": before["stated_margin"], "--earlier": before["earlier"],
             "--budget": plan["budget"], "--alpha": plan["alpha"], "--seed": plan["seed"],
             "--uniform-share": plan["share"], "--keep-going": not plan["stop"],
             "--about": plan.get("about", BANK)}
    now = {"baseline": options.baseline, "--margin": options.margin, "--earlier": options.earlier,
           "--budget": replayed.budget_of(options.budget, manifest["bank"]["questions"]), "--alpha": wanted["alpha"],
           "--seed": wanted["seed"], "--uniform-share": wanted["share"], "--keep-going": not wanted["stop"],
           "--about": wanted["about"]}
    for name, value in now.items():
        if value != begun[name]:
            raise InputError(f"{options.folder}: the run began with {name} {begun[name]}, not {value}; resume with the "
                             "same, or begin another run")


COMMAND = Command(
    "ask", replayed.COMMAND.help, add, run,
    description="The baseline has answered everything; the candidate is asked where it may have changed. With --run, "
                "through a harness, a program or files; with --replay, a candidate whose answers are all there. The "
                "error rate holds whenever one stops.",
)
COMMANDS = tuple(COMMAND if command.name == "ask" else command for command in commands.COMMANDS)


def main(argv: list[str] | None = None, description: str | None = None) -> int:
    """Run a command of the degradation tests, this one among them, and return the exit code."""
    return commands.main(argv, description=description, commands=COMMANDS)
