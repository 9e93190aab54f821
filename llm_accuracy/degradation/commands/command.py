"""A command is one record, from which its parser is built."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One subcommand.

    add  adds its flags to its own parser; it imports nothing slow, so that --help and errors appear at once
    run  runs it with the parsed options and returns the exit code; slow imports belong there
    """

    name: str
    help: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    description: str | None = None
