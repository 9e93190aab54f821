"""The subcommands of the degradation tests: one table, used by mcnemar_tests.py and by any other program.

A command is a record in its own file; to add one, add it to COMMANDS.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from ... import cli
from . import audit_gate, flips, pair, plan, run_examples, suite, watch
from .command import Command

COMMANDS = (pair.COMMAND, suite.COMMAND, plan.COMMAND, watch.COMMAND, flips.COMMAND, run_examples.COMMAND,
            audit_gate.COMMAND)


def build_parser(prog: str | None = None, description: str | None = None,
                 commands: Iterable[Command] = COMMANDS) -> argparse.ArgumentParser:
    """A parser of these commands; the parsed options have the chosen one's function as `run`."""
    parser = cli.parser(description)
    parser.prog = prog or parser.prog
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands:
        own = added.add_parser(command.name, help=command.help, description=command.description)
        command.add(own)
        own.set_defaults(run=command.run)
    return parser


def main(argv: list[str] | None = None, prog: str | None = None, description: str | None = None,
         commands: Iterable[Command] = COMMANDS) -> int:
    """Run the command of a command line (sys.argv by default) and return the exit code."""
    options = build_parser(prog, description, commands).parse_args(argv)
    return options.run(options)
