"""Where something stands in a CSV, for messages."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from pathlib import Path

from ..files import reading


def line_of(path: Path, record: int) -> int:
    """The line on which a table's record begins, as a text editor numbers them; the first below the header is 0."""
    with reading(path) as stream:
        rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=""))
        before, filled = 0, -2
        with suppress(csv.Error):  # a cell too long for it
            for row in rows:
                filled += bool(row)  # pandas passes over blank lines
                if filled == record and row:
                    return before + 1
                before = rows.line_num
    return record + 2


def undecodable(path: Path) -> int:
    """The first line, from 1, that is not UTF-8; 0 where all are."""
    with reading(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 0
