"""Result logs: CSV files keyed by trial, to which finished trials are appended.

`kill -9` at any moment loses at most the rows in flight: a row is written in one piece, a torn last line is
cut off when the file is next opened, and trials whose key is present are not run again.
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

_PACKAGES = ("numpy", "pandas", "torch", "scipy")


class Ledger:
    """One result log.

    key, columns  names of the key columns, and of the results that follow them
    Keys are compared as the text that stands in the file, so no float is ever compared as a number.

    Raises InputError if the file's header is another one.
    """

    def __init__(self, path: Path | str, key: Sequence[str], columns: Sequence[str]):
        self.path, self.key, self.columns = Path(path), tuple(key), tuple(columns)
        self.header = (*self.key, *self.columns)
        self._rows: dict[tuple[str, ...], dict[str, str]] = {}
        self._told = False
        if self.path.is_file():
            self._open_existing()

    def _open_existing(self) -> None:
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if not whole:
            if text and not _line(self.header).startswith(text.decode(errors="replace")):
                raise InputError(f"{self.path}: not a result log: its first line is not complete; move it away")
            self.path.unlink()
            return
        lines = csv.reader(io.StringIO(whole.decode()))
        header = tuple(next(lines))
        if header != self.header:
            changed = sorted(set(header) ^ set(self.header)) or ["the order of the columns"]
            raise InputError(f"{self.path}: the header has changed ({', '.join(changed)}); move the file away "
                             "or choose another --logs-dir")
        for number, row in enumerate(lines, start=2):
            if len(row) != len(self.header):
                raise InputError(f"{self.path}: line {number} has {len(row)} fields, the header "
                                 f"{len(self.header)}; delete that line")
            self._remember(row)
        if len(whole) < len(text):
            with self.path.open("r+b") as stream:
                stream.truncate(len(whole))

    def _remember(self, row: Sequence[str]) -> None:
        self._rows[tuple(row[: len(self.key)])] = dict(zip(self.header, row, strict=True))

    def __contains__(self, key: Mapping[str, object]) -> bool:
        return self._key_of(key) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: Mapping[str, object]) -> dict[str, str] | None:
        """The row of a key as text, or None."""
        return self._rows.get(self._key_of(key))

    def _key_of(self, row: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(str(row[name]) for name in self.key)

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append whole rows in one write; a key that is there already is refused."""
        new = [[*self._key_of(row), *(_text(row[name]) for name in self.columns)] for row in rows]
        for row in new:
            if tuple(row[: len(self.key)]) in self._rows:
                raise ValueError(f"{self.path}: key {row[: len(self.key)]} is there already")
        first = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(map(_line, ([list(self.header)] if first else []) + new))
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

    Raises InputError if it is not there, naming the script that makes it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; python {made_by} makes it")
    text = {"dataset": str, "scenario": str, "method": str, "sampling": str, "variance": str, "setting": str,
            "covered": str}
    try:
        numbers = set(pd.read_csv(path, nrows=0).columns) - set(text)
        missing = {name: ["", "nan"] for name in numbers}
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=missing)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a result log ({error})") from None


def columns_of(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(key columns, result columns) of a log on disk: a key ends with the seed, or the fold.

    Raises InputError for a file that is no such log.
    """
    with path.open(newline="") as stream:
        header = next(csv.reader(stream), [])
    ends = [i for i, name in enumerate(header, start=1) if name in ("seed", "fold")]
    if not ends:
        raise InputError(f"{path}: not a result log: its header has neither seed nor fold")
    return tuple(header[: ends[0]]), tuple(header[ends[0] :])


def merge(target: Ledger, parts: Iterable[Path]) -> int:
    """Append the rows of shards' logs that `target` lacks; returns how many.

    Raises InputError if a part's header differs.
    """
    added = 0
    for path in parts:
        part = Ledger(path, target.key, target.columns)
        rows = [row for key, row in part._rows.items() if key not in target._rows]
        target.append(rows)
        added += len(rows)
    return added


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
