"""Result logs: CSV files keyed by trial, to which finished trials are appended.

`kill -9` at any moment loses at most the rows in flight: a row is written in one piece, a torn last line is
cut off when the file is next opened, and trials whose key is present are not run again. What such a row was made from
(`columns`) is compared first: a run neither mistakes rows of other data for its own nor mixes them with its own.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from .. import __version__
from ..errors import InputError
from .columns import LOGS, TEXT, UNKNOWN, Columns, refuse_old

_PACKAGES = ("numpy", "pandas", "torch", "scipy")


class Ledger:
    """One result log.

    Keys are compared as the text in the file, so no float is ever compared as a number.

    Raises InputError if the file's header is another one.
    """

    def __init__(self, path: Path | str, columns: Columns):
        self.path, self.columns = Path(path), columns
        self._rows: dict[tuple[str, ...], dict[str, str]] = {}
        self._told = False
        if self.path.is_file():
            self._open_existing()

    @staticmethod
    def named(folder: Path, name: str) -> Ledger:
        """The log of a name in `columns.LOGS`."""
        return Ledger(folder / f"{name}.csv", LOGS[name])

    def _open_existing(self) -> None:
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if not whole:
            if text and not _line(self.columns.header).startswith(text.decode(errors="replace")):
                raise InputError(f"{self.path}: not a result log: its first line is not complete; move it away")
            self.path.unlink()
            return
        lines = csv.reader(io.StringIO(whole.decode()))
        header = tuple(next(lines))
        if header != self.columns.header:
            refuse_old(self.path, header)
            changed = sorted(set(header) ^ set(self.columns.header)) or ["the order of the columns"]
            raise InputError(f"{self.path}: the header has changed ({', '.join(changed)}); move the file away "
                             "or choose another --logs-dir")
        for number, row in enumerate(lines, start=2):
            if len(row) != len(self.columns.header):
                raise InputError(f"{self.path}: line {number} has {len(row)} fields, the header "
                                 f"{len(self.columns.header)}; delete that line")
            self._remember(row)
        if len(whole) < len(text):
            with self.path.open("r+b") as stream:
                stream.truncate(len(whole))

    def _remember(self, row: Sequence[str]) -> None:
        self._rows[tuple(row[: len(self.columns.key)])] = dict(zip(self.columns.header, row, strict=True))

    def __contains__(self, key: Mapping[str, object]) -> bool:
        return self._key_of(key) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Mapping[str, object]) -> dict[str, str] | None:
        """The row of a key as text, or None."""
        return self._rows.get(self._key_of(key))

    def find(self, key: Mapping[str, object], made_from: Mapping[str, str]) -> dict[str, str] | None:
        """As `get`, for a run that would take the row as done.

        Raises InputError if it was computed from something else than what this run has, or nobody knows from what.
        """
        row = self.get(key)
        if row is None:
            return None
        changed = [name for name in self.columns.made_from if row[name] != made_from[name]]
        if not changed:
            return row
        what = f"{self.path}: the row of {', '.join(self._key_of(row))}"
        if any(row[name] == UNKNOWN for name in changed):
            raise InputError(f"{what} comes from an older log, and what it was computed from is unknown: it can be "
                             "drawn, not continued; choose another --logs-dir")
        differences = ", ".join(f"{name.replace('_', ' ')} {row[name]}, now {made_from[name]}" for name in changed)
        raise InputError(f"{what} was computed from other data or in another way ({differences}); choose another "
                         "--logs-dir")

    def _key_of(self, row: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(str(row[name]) for name in self.columns.key)

    def _together(self, row: Mapping[str, str]) -> tuple[str | None, ...]:
        """Rows alike in this must have been made from the same."""
        way = row["protocol"] if "protocol" in self.columns.key else None
        return row.get("dataset"), row.get("scenario"), row.get("models"), way

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append whole rows in one write; a key that is there already is refused."""
        keys = len(self.columns.key)
        new = [[*self._key_of(row), *(_text(row[name]) for name in self.columns.header[keys:])] for row in rows]
        for row in new:
            if tuple(row[:keys]) in self._rows:
                raise ValueError(f"{self.path}: key {row[:keys]} is there already")
        first = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(map(_line, ([list(self.columns.header)] if first else []) + new))
        with self.path.open("ab") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        if not self._told:
            write_sidecar(self.path)
            self._told = True
        for row in new:
            self._remember(row)


def _line(fields: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue()


def _text(value: object) -> str:
    """Floats with seven significant digits, everything else as it prints."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.7g}"
    return str(value)


def read(path: Path | str, made_by: str) -> pd.DataFrame:
    """A log as a table, keys as text (None stays the text None), empty results as NaN.

    Raises InputError if it is not there, naming the script that makes it, or if an older version wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; python {made_by} makes it")
    try:
        header = pd.read_csv(path, nrows=0).columns
        refuse_old(path, tuple(header))
        missing = {name: ["", "nan"] for name in set(header) - set(TEXT)}
        return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=missing)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a result log ({error})") from None


def merge(target: Ledger, parts: Iterable[Path]) -> int:
    """Append the rows of shards' logs that `target` lacks; returns how many.

    Raises InputError, before anything is written, if a shard's header differs, or if rows of one dataset and scenario
    were not all made from the same.
    """
    gathered = dict(target._rows)
    made_from = {target._together(row): row for row in gathered.values()}
    for path in parts:
        for key, row in Ledger(path, target.columns)._rows.items():
            first = made_from.setdefault(target._together(row), row)
            if changed := [name for name in target.columns.made_from if row[name] != first[name]]:
                where, what = f"{row.get('dataset')} {row.get('scenario')}", ", ".join(changed).replace("_", " ")
                raise InputError(f"{path}: {where}: not made from the same {what} as the rows gathered so far, so they "
                                 "must not stand in one log; merge them into another --logs-dir")
            gathered.setdefault(key, row)
    new = [row for key, row in gathered.items() if key not in target._rows]
    target.append(new)
    return len(new)


def write_sidecar(path: Path) -> None:
    """Add this run to the list beside the log (.json) of what made it."""
    sidecar = path.with_suffix(".json")
    try:
        runs = json.loads(sidecar.read_text())
    except (OSError, ValueError):
        runs = []  # absent, or torn by a kill: the log itself is what counts
    runs.append({
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "version": __version__,
        "commit": _commit(),
        "packages": {name: _installed(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "device": _device(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    })
    sidecar.write_text(json.dumps(runs, indent=1) + "\n")


def _device() -> str:
    """The machine, and the GPU where this process uses one."""
    torch = sys.modules.get("torch")
    gpu = f", {torch.cuda.get_device_name()}" if torch and torch.cuda.is_initialized() else ""
    return f"{platform.machine()}, {os.cpu_count()} cores{gpu}"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit this tree is at, read from .git without running git; "" outside a checkout."""
    git = Path(__file__).resolve().parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        reference = head.removeprefix("ref: ")
        return head if reference == head else (git / reference).read_text().strip()
    except OSError:
        return ""
