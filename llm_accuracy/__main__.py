"""The command `llm-accuracy` (or `python -m llm_accuracy`): the tool. The numbered scripts are the study, on the same
code.

A command is one row of COMMANDS: a module with `main(argv)`, which receives the command's name and the arguments
after it and returns an exit code. The module is imported only when its command is called, so --help and a misspelt
name cost no import.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from . import __version__, cli

_DEGRADATION = "llm_accuracy.degradation.commands"
COMMANDS = {
    "evaluate": ("llm_accuracy.live.command", "how good is it? a live model, from few of a benchmark's questions"),
    "forecast": ("llm_accuracy.querying.forecast_command", "how many questions an accuracy takes, with a history"),
    "compare": ("llm_accuracy.live.compare_command", "how do models differ that were each asked few questions?"),
    "best": ("llm_accuracy.live.best", "which of several models is best? The beaten are dropped early"),
    "pair": (_DEGRADATION, "did it get worse? one task, two models"),
    "suite": (_DEGRADATION, "did it get worse? many tasks, one or many candidates"),
    "plan": (_DEGRADATION, "how many questions such a test needs"),
    "watch": (_DEGRADATION, "such a test while the answers come in"),
    "ask": ("llm_accuracy.live.ask", "such a test from few answers of the candidate, chosen where it may have changed"),
    "flips": (_DEGRADATION, "which questions several runs of one model disagree on"),
    "run-examples": (_DEGRADATION, "run lm-evaluation-harness on several models and seeds"),
    "audit-gate": (_DEGRADATION, "what a threshold gate is worth, beside a paired one"),
}


def build_parser() -> argparse.ArgumentParser:
    parser = cli.parser("How good is a language model, and did it get worse: few questions, with guarantees.")
    parser.prog = "llm-accuracy"
    parser.add_argument("--version", action="version", version=f"llm-accuracy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, help_text) in COMMANDS.items():
        commands.add_parser(name, help=help_text)
    parser.epilog = "llm-accuracy COMMAND --help lists what a command takes."
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] not in COMMANDS:
        arguments = [build_parser().parse_args(arguments).command]  # nearly always prints and exits here
    return import_module(COMMANDS[arguments[0]][0]).main(arguments)


def console() -> None:
    sys.argv[0] = "llm-accuracy"  # so that usage lines and reports name the command, not a path
    cli.run(main)


if __name__ == "__main__":
    console()
