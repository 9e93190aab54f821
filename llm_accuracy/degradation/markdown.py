"""Names as Markdown that a job page shows: nothing that a file or a model is called becomes markup. Imports
next to nothing."""

from __future__ import annotations

import re

from ..visible import visible

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")


def escaped(text: str) -> str:
    """Text in one line without meaning as Markdown or HTML."""
    return _MARKUP.sub(r"\\\1", visible(" ".join(text.split())).replace("&", "&amp;")).replace("\\<", "&lt;").replace(
        "\\>", "&gt;").replace("@", "&#64;")


def code(text: str) -> str:
    """Text as a code span, fenced by more backticks than it holds."""
    text = visible(" ".join(text.split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    room = " " if "`" in text else ""
    return f"{fence}{room}{text}{room}{fence}"
