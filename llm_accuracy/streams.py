"""The standard streams: closed ones, readers that leave, and terminals that cannot show everything."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TextIO


class Patient:
    """A stream that goes on where its reader (head, less) has left, so that a gate's exit code is still its verdict."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            no_reader(self.stream)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            no_reader(self.stream)


def no_reader(stream: TextIO) -> None:
    """What is still written to it goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


# What is printed beyond ASCII, as it is spelt where that cannot be shown.
_SPELT = {"±": "+-", "−": "-", "–": "-", "—": "-", "×": "x", "·": "*", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
          "²": "2", "α": "alpha", "β": "beta", "γ": "gamma", "θ": "theta", "λ": "lambda", "ρ": "rho", "σ": "sigma",
          "τ": "tau", "Σ": "Sigma", "√": "sqrt", "½": "1/2", "÷": "/", "“": '"', "”": '"', "’": "'", "‘": "'", "≈": "~"}


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    spelt = (_SPELT.get(letter, letter.encode("ascii", "backslashreplace").decode()) for letter in letters)
    return "".join(spelt), error.end


def open_closed() -> None:
    """Let standard streams that were closed (`>&-`) lead nowhere: otherwise the next file to be opened takes the number
    of one, and what is printed ends up in it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))


def plain_where_needed() -> None:
    """Let standard output and standard error spell what their encoding lacks, instead of failing after the work."""
    codecs.register_error("spelt", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelt")
