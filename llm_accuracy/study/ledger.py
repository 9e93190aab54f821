"""Result logs: CSV files keyed by trial, to which finished trials are appended.

`kill -9` at any moment loses at most the rows in flight: a row is written in one piece, a torn last line is not read
and is cut off when rows are next appended, and trials whose key is present are not run again. What such a row was made
from (`columns`) is compared first: a run neither mistakes rows of other data for its own nor mixes them with its own.
Reading never writes. Whoever appends holds the log's lock (`writes`), and a log with two rows of one key is refused.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from .. import __version__, locks
from ..errors import InputError
from ..files import atomic, reading, sweep
from .columns import ARM, LOGS, TABLES, TEXT, UNKNOWN, Columns, refuse_old

_PACKAGES = ("numpy", "pandas", "torch", "scipy")
OTHERWISE = "choose another --logs-dir, or add --restart, which puts the old log aside"
Run = TypeVar("Run", bound=Callable[..., Any])


def writes(*names: str) -> Callable[[Run], Run]:
    """A decorator of what takes a script's arguments and appends to these logs of --logs-dir: it holds their locks
    meanwhile, and removes what killed runs have left half-written there. A dry run takes no lock.

    Raises InputError, naming the holder, where another process is at it.
    """
    def decorate(run: Run) -> Run:
        @wraps(run)
        def alone(args, *more, **named):
            with ExitStack() as stack:
                folder = getattr(args, "part_dir", None) or args.logs_dir
                for name in () if getattr(args, "dry_run", False) else names:
                    stack.enter_context(locks.writing(folder / f"{name}.csv"))
                    sweep(folder)
                return run(args, *more, **named)
        return alone  # type: ignore[return-value]
    return decorate


class Ledger:
    """One result log.

    Keys are compared as the text in the file, so no float is ever compared as a number.
    restart: rows that are there are not read, and put aside (`aside`) when the first row is appended
    known: another log, whose rows count as there but stay where they are

    Raises InputError if the file's header is another one, or two rows have one key.
    """

    def __init__(self, path: Path | str, columns: Columns, restart: bool = False, known: Ledger | None = None):
        self.path, self.columns = Path(path), columns
        self._rows: dict[tuple[str, ...], dict[str, str]] = {} if known is None else dict(known._rows)
        # a row of each group whose rows must come from the same
        self._made: dict[tuple[str | None, ...], dict[str, str]] = {} if known is None else dict(known._made)
        # how many models those have that are averaged
        self._models: dict[tuple[str, ...], str | None] = {} if known is None else dict(known._models)
        self._told, self.gathered_runs = False, list[object]()  # of parts, for the .json beside
        self._to_move = restart and self.path.is_file()
        self._size: int | None = None  # bytes of whole rows
        if self.path.is_dir():
            raise InputError(f"{self.path}: a folder is in the place of the log; move it or choose another --logs-dir")
        if self.path.is_file() and not restart:
            self._read()

    @staticmethod
    def named(folder: Path, name: str, restart: bool = False) -> Ledger:
        """The log of a name in `columns.LOGS`."""
        return Ledger(folder / f"{name}.csv", LOGS[name], restart)

    @staticmethod
    def of_run(args: argparse.Namespace, name: str, restart: bool = False) -> Ledger:
        """The log of a script's run: that of --logs-dir; with --part-dir, one there that lacks what that has.

        Raises InputError for --part-dir with `restart`: a part has nothing to put aside.
        """
        log = Ledger.named(args.logs_dir, name, restart)
        if args.part_dir is None:
            return log
        if restart:
            raise InputError("--restart with --part-dir: the log that is put aside is that of --logs-dir; run without "
                             "--part-dir, or with --workers")
        return Ledger(args.part_dir / f"{name}.csv", LOGS[name], known=log)

    def _read(self) -> None:
        with reading(self.path, "result log") as stream:
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        if not whole:
            if text and not _line(self.columns.header).startswith(text.decode(errors="replace")):
                raise InputError(f"{self.path}: not a result log: its first line is not complete; move it away")
            return
        lines = csv.reader(io.StringIO(_decoded(whole, self.path)))
        header = tuple(_next(lines, self.path) or ())
        if header != self.columns.header:
            refuse_old(self.path, header)
            changed = sorted(set(header) ^ set(self.columns.header)) or ["the order of the columns"]
            raise InputError(f"{self.path}: the header has changed ({', '.join(changed)[:300]}); move the file away "
                             "or choose another --logs-dir")
        line_of: dict[tuple[str, ...], int] = {}
        while (row := _next(lines, self.path)) is not None:
            number = lines.line_num
            if len(row) != len(self.columns.header):
                raise InputError(f"{self.path}: line {number} has {len(row)} fields, the header "
                                 f"{len(self.columns.header)}; delete that line")
            key = tuple(row[: len(self.columns.key)])
            if key in line_of:
                raise InputError(_repeated(self.path, number, line_of[key], key))
            line_of[key] = number
            self._remember(row)
        self._size = len(whole)

    def _remember(self, row: Sequence[str]) -> None:
        named = dict(zip(self.columns.header, row, strict=True))
        self._rows[tuple(row[: len(self.columns.key)])] = named
        for group, _ in self._groups(named):
            self._made.setdefault(group, named)
        self._models.setdefault(_beside(named), named.get("models"))

    def __contains__(self, key: Mapping[str, object]) -> bool:
        return self._key_of(key) in self._rows

    def __iter__(self) -> Iterator[dict[str, str]]:
        """The rows as text, in their order in the file."""
        return iter(self._rows.values())

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
                             f"drawn, not continued; {OTHERWISE}")
        raise InputError(f"{what} was computed from other data or in another way "
                         f"({differences(changed, row, made_from)}); {OTHERWISE}")

    def refuse_mixing(self, row: Mapping[str, object]) -> None:
        """Raise InputError if rows that `row` would be averaged or compared with were made from something else."""
        for group, names in self._groups(row):
            first = self._made.get(group, row)
            if changed := [name for name in names if first[name] != str(row[name])]:
                where = " ".join(str(row[name]) for name in ("dataset", "scenario") if name in row)
                raise InputError(f"{self.path}: its rows of {where} were computed from other data or in another way "
                                 f"({differences(changed, first, row)}); {OTHERWISE}")

    def models_beside(self, row: Mapping[str, object]) -> str | None:
        """How many models the trials have that `row` would be averaged with or chosen among; None where none is."""
        return self._models.get(_beside(row))

    def _key_of(self, row: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(str(row[name]) for name in self.columns.key)

    def _groups(self, row: Mapping[str, Any]) -> Iterator[tuple[tuple[str | None, ...], list[str]]]:
        """The groups that a row belongs to, and what all rows of such a group must have been made from."""
        way = row["protocol"] if "protocol" in self.columns.key else None
        cell = (*(str(row[name]) if name in row else None for name in ("dataset", "scenario")), way)
        yield cell, [name for name in self.columns.made_from if name != "new_models"]
        if "new_models" in self.columns.made_from:
            yield (*cell, str(row["models"])), ["new_models"]

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append whole rows in one write; a key that is there already is refused."""
        keys = len(self.columns.key)
        new = [[*self._key_of(row), *(_text(row[name]) for name in self.columns.header[keys:])] for row in rows]
        for row in new:
            if tuple(row[:keys]) in self._rows:
                raise ValueError(f"{self.path}: key {row[:keys]} is there already")
        if not new:
            return
        try:
            self._write(new)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror or error}); make room or choose another "
                             "--logs-dir: the same command continues") from None
        if not self._told:
            write_sidecar(self.path, self.gathered_runs)
            self._told = True
        for row in new:
            self._remember(row)

    def _write(self, new: list[list[str]]) -> None:
        """Append in one write, after what is whole; what could not be written whole is taken back."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._to_move:
            print(f"{self.path}: put aside as {aside(self.path)}", file=sys.stderr)
            self._to_move = False
        text = "".join(map(_line, ([] if self._size else [list(self.columns.header)]) + new)).encode()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        start = self._size or 0
        try:
            if os.fstat(handle).st_size < start:
                raise InputError(f"{self.path}: something else has changed it since it was read; run the same command "
                                 "again")
            os.ftruncate(handle, start)
            try:
                done = 0
                while done < len(text):
                    done += os.pwrite(handle, text[done:], start + done)
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, start)
                if not start:
                    self.path.unlink()
                raise
        finally:
            os.close(handle)
        self._size = start + len(text)


def _beside(row: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ARM if name in row and name != "setting")


def aside(path: Path) -> Path:
    """Move a log and the .json beside it to a free name, NAME.before.csv, NAME.before-2.csv …; returns it."""
    number = itertools.count(2)
    target = path.with_name(f"{path.stem}.before{path.suffix}")
    while target.exists():
        target = path.with_name(f"{path.stem}.before-{next(number)}{path.suffix}")
    path.rename(target)
    with suppress(FileNotFoundError):
        path.with_suffix(".json").rename(target.with_suffix(".json"))
    return target


def put_back(old: Path, path: Path) -> None:
    """Undo `aside`: `old` is what it returned for `path`."""
    for suffix in (path.suffix, ".json"):
        with suppress(FileNotFoundError):
            old.with_suffix(suffix).rename(path.with_suffix(suffix))


def _decoded(text: bytes, path: Path) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a result log (not UTF-8 at byte {error.start}); bring back the original"
                         ) from None


def _next(lines: Any, path: Path) -> list[str] | None:
    try:
        return next(lines, None)
    except csv.Error as error:
        raise InputError(f"{path}: not a result log (line {lines.line_num}: {error}); bring back the original"
                         ) from None


def _repeated(path: Path, line: int, first: int, key: Sequence[str]) -> str:
    return (f"{path}: line {line} repeats the trial of line {first} ({', '.join(key)}): two runs have written it; "
            f"python migrate_logs.py {path.parent} keeps one of rows that are alike")


def differences(changed: Iterable[str], before: Mapping[str, object], now: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {before[name]}, now {now[name]}" for name in changed)


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
    if path.is_dir():
        raise InputError(f"{path}: a folder is in the place of the log; move it")
    if not path.is_file():
        raise InputError(f"{path}: no such file; python {made_by} makes it")
    with reading(path, "result log") as stream:
        text = stream.read()
    text = text[: text.rfind(b"\n") + 1]  # without a last line that a kill, or a writer at work, has left torn
    try:
        header = pd.read_csv(io.BytesIO(text), nrows=0).columns
        refuse_old(path, tuple(header))
        missing = {name: ["", "nan"] for name in set(header) - set(TEXT)}
        table = pd.read_csv(io.BytesIO(text), dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=missing)
    except InputError:
        raise
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InputError(f"{path}: not a result log ({' '.join(str(error).split())})") from None
    _check_rows(table, path)
    return table


def _check_rows(table: pd.DataFrame, path: Path) -> None:
    """Raise InputError for a log of a known name without its columns, with text for a number, or with a key twice."""
    known = (LOGS | TABLES).get(path.stem)
    if known is None:
        return
    if lacking := [name for name in known.header if name not in table]:
        raise InputError(f"{path}: not a result log: it has no column {lacking[0]}; bring back the original")
    for name in (name for name in known.header if name not in (*TEXT, *known.free_text)):
        if not pd.api.types.is_numeric_dtype(table[name]):
            odd = table[name][pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()]
            if odd.empty:
                continue  # no row, or nothing but blanks
            raise InputError(f"{path}: line {odd.index[0] + 2}, column {name}: {odd.iloc[0]!r} is not a number; bring "
                             "back the original")
    key = list(known.key)
    if (again := table.duplicated(key)).any():
        row = table[again].iloc[0]
        first = (table[key] == row[key]).all(axis=1).idxmax()
        raise InputError(_repeated(path, row.name + 2, first + 2, [str(value) for value in row[key]]))


def merge(target: Ledger, parts: Iterable[Path]) -> int:
    """Append the rows of shards' logs that `target` lacks; returns how many.

    Raises InputError, before anything is written, if a shard's header differs, or if rows of one dataset and scenario
    were not all made from the same, or trials of one arm have different numbers of models.
    """
    gathered = dict(target._rows)
    made_from, models = dict(target._made), dict(target._models)
    for path in parts:
        for key, row in Ledger(path, target.columns)._rows.items():
            if changed := [name for group, names in target._groups(row) for name in names
                           if row[name] != made_from.setdefault(group, row)[name]]:
                where, what = f"{row.get('dataset')} {row.get('scenario')}", ", ".join(changed).replace("_", " ")
                raise InputError(f"{path}: {where}: not made from the same {what} as the rows gathered so far, so they "
                                 "must not stand in one log; merge them into another --logs-dir")
            if (others := models.setdefault(_beside(row), row.get("models"))) != row.get("models"):
                raise InputError(f"{path}: trials like {', '.join(key)} have {others} models among the rows gathered "
                                 f"so far, here {row['models']}, so they must not stand in one log; merge them into "
                                 "another --logs-dir")
            gathered.setdefault(key, row)
        target.gathered_runs += _runs(path)
    new = [row for key, row in gathered.items() if key not in target._rows]
    target.append(new)
    return len(new)


def _runs(log: Path) -> list[object]:
    """What the .json beside a log says of the runs that made it."""
    try:
        runs = json.loads(log.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []  # absent, or torn by a kill: the log itself is what counts
    return runs if isinstance(runs, list) else []


def write_sidecar(path: Path, others: Iterable[object] = ()) -> None:
    """Add this run, after `others`, to the list beside the log (.json) of what made it."""
    runs = [*_runs(path), *others]
    runs.append({
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "version": __version__,
        "commit": _commit(),
        "packages": {name: _installed(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "device": _device(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    })
    with atomic(path.with_suffix(".json"), "w") as stream:
        stream.write(json.dumps(runs, indent=1) + "\n")


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
