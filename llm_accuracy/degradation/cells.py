"""Text in tables that are made for people: a cell that a spreadsheet would run as a formula gets an apostrophe before
it. Numbers, and files that programs read back (ledgers, exchange files), stay as they are. Imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..visible import visible

if TYPE_CHECKING:
    import pandas as pd

_STARTS = ("=", "+", "-", "@", "\t", "\r")


def harmless_text(text: str) -> str:
    """The text, with an apostrophe before it if it starts like a formula and is no number, and nothing unseen."""
    text = visible(text, keep="\t\r")
    if not text.lstrip(" ").startswith(_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with harmless text in its cells and column names."""
    found = frame.rename(columns=lambda name: harmless_text(name) if isinstance(name, str) else name)
    for at, dtype in enumerate(found.dtypes):
        if str(dtype) in ("object", "str", "string"):
            column = found.iloc[:, at]
            found.isetitem(at, column.map(lambda cell: harmless_text(cell) if isinstance(cell, str) else cell))
    return found
