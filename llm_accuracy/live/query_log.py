"""An append-only file of JSON lines, each on disk before what it says is used.

Every record is numbered and carries a checksum of itself and of the one before, so that an edited, lost or repeated
line is found. A process that was killed while writing leaves part of a last line behind: it is cut off when the log is
opened again, and nothing that was reported as written is in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError

Record = dict[str, Any]


class QueryLog:
    """The records of one file, `records`, and `append` for more.

    Raises InputError, with the line, for a file that was edited or damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        self.records: list[Record] = []
        self.torn = 0  # bytes of an unfinished last line that were cut off
        self._last = ""
        self._whole = 0
        self._read()

    def _read(self) -> None:
        if not self.path.exists():
            return
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror})") from None
        self._whole = content.rfind(b"\n") + 1
        self.torn = len(content) - self._whole
        for number, line in enumerate(content[: self._whole].split(b"\n")[:-1]):
            self.records.append(self._checked(number, line))

    def _checked(self, number: int, line: bytes) -> Record:
        try:
            record = json.loads(line)
            known = record.pop("check")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            raise InputError(f"{self.path}: line {number + 1} is not a record of this log; restore the file") from None
        if record.get("n") != number or not isinstance(record.get("kind"), str) or known != self._check(record):
            raise InputError(f"{self.path}: line {number + 1} was edited, or lines before it are missing; restore the "
                             "file")
        self._last = known
        return record

    def _check(self, record: Record) -> str:
        text = self._last + json.dumps(record, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def of(self, kind: str) -> Iterator[Record]:
        """The records of one kind."""
        return (record for record in self.records if record["kind"] == kind)

    def append(self, kind: str, records: Iterable[Record], sync: bool = True) -> None:
        """Write records, all of them on disk when this returns; without `sync` they survive this process, not a failure
        of power.

        Raises InputError where the disk does not take them; what was written before stays whole.
        """
        new: list[Record] = []
        text: list[str] = []
        before = self._last
        for given in records:
            record = {"n": len(self.records) + len(new), "kind": kind,
                      "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **given}
            self._last = self._check(record)
            new.append(record)
            text.append(json.dumps(record | {"check": self._last}, ensure_ascii=True) + "\n")
        try:
            self._write("".join(text).encode(), sync)
        except OSError as error:
            self._last = before
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); make room and add --resume: nothing "
                             "that was answered is lost") from None
        self.records += new

    def _write(self, content: bytes, sync: bool) -> None:
        """At the end of the last whole line: what a failed write has left is overwritten."""
        new = sync and not self.path.exists()
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if new:
                _sync_folder(self.path.parent)
            os.ftruncate(handle, self._whole)
            os.lseek(handle, self._whole, os.SEEK_SET)
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            if sync:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._whole)
            raise
        finally:
            os.close(handle)
        self._whole += len(content)


def _sync_folder(folder: Path) -> None:
    """So that the name of a new file in it survives a failure of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
