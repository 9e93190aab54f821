"""Migration of logs that older versions wrote to the columns of today."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..files import atomic
from .columns import LOGS, TABLES, UNKNOWN, Columns

_METHOD = re.compile(r"[^:]+(:B[1-9]\d*)?")


@dataclass(frozen=True)
class Migrated:
    """One file: its rows, header included, as they will be written; None if they already are so. `repeated` rows that
    are there before, alike in every column, are left out: two runs had written them at once."""

    path: Path
    lines: list[list[str]] | None
    count: int
    repeated: int = 0

    def write(self) -> None:
        if self.lines is not None:
            with atomic(self.path, "w") as out:
                csv.writer(out, lineterminator="\n").writerows(self.lines)


def migrate(folder: Path) -> list[Migrated]:
    """Every log and table of a folder that has old columns, or the new ones already; nothing is written.

    Raises InputError if there is none, or if one is half old and half new, or neither.
    """
    known = LOGS | TABLES
    if not (paths := there(folder)):
        raise InputError(f"{folder}: holds none of {', '.join(f'{name}.csv' for name in known)}")
    return [_migrated(path, known[path.stem]) for path in paths]


def there(folder: Path) -> list[Path]:
    """The logs and tables of a folder."""
    return [path for name in LOGS | TABLES if (path := folder / f"{name}.csv").is_file()]


def _migrated(path: Path, columns: Columns) -> Migrated:
    header, *rows = _lines(path)
    if tuple(header) not in (columns.header, columns.before):
        strange = sorted(set(header) - set(columns.header)) or sorted(set(columns.header) - set(header))
        raise InputError(f"{path}: its columns are neither the old nor the new ones ({', '.join(strange)}); it was "
                         "changed by hand or by half, bring back the original")
    old = tuple(header) == columns.before
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}: line {number} has {len(row)} fields, the header {len(header)}: old and new rows "
                             "in one file, or a damaged one; bring back the original")
        named = dict(zip(header, row, strict=True))
        if "method" in named and not (_METHOD.fullmatch(named["method"]) and (old or ":" not in named["method"])):
            raise InputError(f"{path}: line {number}: method {named['method']!r} beside the header "
                             f"{'without' if old else 'with'} a column batch; bring back the original")
    kept = _once(rows, path, len(columns.key))
    if not old and len(kept) == len(rows):
        return Migrated(path, None, len(rows))
    new = [_row(dict(zip(header, row, strict=True)), columns) for row in kept] if old else kept
    return Migrated(path, [list(columns.header), *new], len(kept), len(rows) - len(kept))


def _once(rows: list[list[str]], path: Path, keys: int) -> list[list[str]]:
    """The rows without repetitions. Raises InputError for two of one key that differ: nobody knows which counts."""
    kept: dict[tuple[str, ...], list[str]] = {}
    for number, row in enumerate(rows, start=2):
        if kept.setdefault(tuple(row[:keys]), row) != row:
            raise InputError(f"{path}: line {number} repeats the trial {', '.join(row[:keys])} with other results; "
                             "bring back the original, or delete the rows that are not to count")
    return list(kept.values())


def _lines(path: Path) -> Iterator[list[str]]:
    """Header and rows; a last line that a kill has torn is left out, as the ledger would cut it off."""
    try:
        whole, end, _ = path.read_bytes().decode().rpartition("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a result log ({error})") from None
    if not end:
        raise InputError(f"{path}: its first line is not complete, so it holds no rows; delete it")
    return csv.reader(io.StringIO(whole))


def _row(old: dict[str, str], columns: Columns) -> list[str]:
    """faq-mix:B64 → faq-mix in batches of 64; what a row was made from is no longer known."""
    new = dict.fromkeys(columns.made_from, UNKNOWN)
    if "method" in old:
        method, _, batch = old["method"].partition(":B")
        new |= {"method": method, "batch": batch or "1"}
    return [(old | new)[name] for name in columns.header]
