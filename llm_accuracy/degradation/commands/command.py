"""What a command is: one record, from which the parser is built."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One subcommand.

    add  adds its flags to its own parser; it imports nothing slow, so that --help and mistakes are answered at once
    run  does it, from the parsed options, and returns the exit code; slow imports belong there
    """

    name: str
    help: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    description: str | None = None
