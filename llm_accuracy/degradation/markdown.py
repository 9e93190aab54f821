"""Names and results as Markdown that a job page shows: nothing that a file or a model is called becomes markup. Imports
next to nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .words import shorten

if TYPE_CHECKING:
    from .report import PairReport

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")


def escaped(text: str) -> str:
    """Text in one line without meaning as Markdown or HTML."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;")).replace("\\<", "&lt;").replace(
        "\\>", "&gt;").replace("@", "&#64;")


def code(text: str) -> str:
    """Text as a code span, fenced by more backticks than it holds."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    room = " " if "`" in text else ""
    return f"{fence}{room}{' '.join(text.split())}{room}{fence}"


def pair_summary(report: PairReport, command: str) -> str:
    """The decision on a pair, the numbers behind it, and every note."""
    lines = [f"## {escaped(report.headline)}", "", "| | |", "|---|---|"]
    lines += [f"| {escaped(label)} | {escaped(shorten(text, 300))} |" for label, text in report.rows]
    if report.remarks:
        lines += ["", *(f"- note: {escaped(note)}" for note in report.remarks)]
    return "\n".join([*lines, "", code(command), ""])
