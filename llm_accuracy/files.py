"""Files: read or refused, written whole or not at all, and never overwritten unless that is requested.

Every failure of the disk (full, read-only, a folder in the way, a name too long) becomes one InputError, and no part
of a file that could not be written whole is left behind.

What is read is also limited, for every reader in this one place: a few kilobytes of gzip can unpack to gigabytes, and
one line of JSON can be nested deeper than a parser can follow. `reading`, `numbered_lines` and `read_json` look before
memory is taken, and `--max-size` (`limit_to`) moves the limits.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import socket
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import pandas as pd

LONGEST_NAME = 255  # bytes, on every file system in use
DEEPEST = 100  # lists and objects inside one another in JSON; logs of evaluations have about ten
# What numpy and zipfile raise for an archive that is cut off, was changed, or holds something else.
DAMAGED = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, MemoryError, OverflowError, RuntimeError,
           NotImplementedError, SyntaxError, struct.error, tokenize.TokenError, zlib.error, lzma.LZMAError,
           zipfile.BadZipFile)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}  # powers of two
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{\]}]")


@dataclass(frozen=True)
class Limits:
    """How large what is read may be.

    total  bytes of one file, unpacked; a line may have 1/64 of them, and a table one column for every 2 KiB of them
    """

    total: int = 4 << 30

    @property
    def line(self) -> int:
        """Bytes of one line: 64 MiB of 4 GiB."""
        return self.total // 64

    @property
    def columns(self) -> int:
        """Columns of a table: 2,097,152 of 4 GiB."""
        return self.total // 2048


_limits = Limits()


def limits() -> Limits:
    """The limits in force."""
    return _limits


def limit_to(size: str | int | None) -> None:
    """Set the limits of this process, in bytes or as text ("500M", "8G"); None is the default.

    Raises InputError for a text that is no size.
    """
    global _limits
    if size is None:
        _limits = Limits()
        return
    found = re.fullmatch(r"([0-9]{1,12})([KMGT]?)(?:i?B)?", str(size).strip(), re.IGNORECASE)
    total = int(found[1]) << _UNITS[found[2].upper()] if found else 0
    if not total:
        raise InputError(f"--max-size {size}: expected a size in bytes, such as 500M or 8G")
    _limits = Limits(total)


def size_text(size: int) -> str:
    """4294967296 → 4 GiB; 1500 → 1,500 bytes."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.3g} {unit}"
    return f"{size:,} bytes"


@contextmanager
def atomic(path: Path | str, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that gets its name only once it is complete; its folder is created.

    mode   "wb", or "w" for text as UTF-8 with its line ends unchanged

    Raises InputError where it cannot be written; an error that names another file is passed on.
    """
    path = Path(path)
    in_place = False
    with suppress(OSError):  # a name too long is told below
        in_place = path.exists() and not path.is_file()  # a device or a pipe, which is never replaced by a file
        if path.is_symlink() and not in_place:
            path = Path(os.path.realpath(path))  # the link stays one
    part = path if in_place else _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        newline, encoding = (None, None) if "b" in mode else ("", "utf-8")
        with part.open(mode, newline=newline, encoding=encoding) as stream:
            yield stream
        if not in_place:
            part.replace(path)
    except BrokenPipeError:
        raise  # of what is printed meanwhile, not of a file
    except OSError as error:
        if error.filename is not None and not _is_ours(error.filename, path, part):
            raise
        way_out = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another place"
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); {way_out}") from None
    finally:
        if not in_place:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def plain_name(name: str, flag: str) -> str:
    """The name of a dataset, as it becomes part of a path. Raises InputError for one that leads elsewhere."""
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name or not name.isprintable():
        raise InputError(f"{flag} {name!r}: a plain name is needed, without folders (those go to --data-dir)")
    if len(os.fsencode(name)) > LONGEST_NAME - len(".zip"):
        raise InputError(f"{flag} {name[:40]}…: a shorter name is needed, of up to {LONGEST_NAME - len('.zip')} bytes")
    return name


def write_whole(path: Path | str, content: str | bytes) -> None:
    """Write a file so that a reader sees all of it or none; its folder is created. Raises as `atomic` does."""
    with atomic(path) as stream:
        # What UTF-8 has no bytes for, halves of characters out of undecodable names, is spelt: \\udcff
        stream.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def check_new(targets: Path | Iterable[Path], overwrite: bool, make_parent: bool = False) -> None:
    """Raise InputError if a file that is about to be written exists and must not be replaced, if it cannot be written
    at all (a folder has its name, the name is too long), or, unless `make_parent`, if its folder does not exist."""
    targets = [targets] if isinstance(targets, (Path, str)) else list(targets)
    try:
        there = [path for path in map(Path, targets) if path.exists()]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written ({error.strerror}); choose another place") from None
    if folders := [str(path) for path in there if path.is_dir()]:
        raise InputError(f"{folders[0]}: a folder is in the way; choose another name")
    if there and not overwrite:
        names = f"{', '.join(map(str, there))} exist{'s' * (len(there) == 1)}"
        raise InputError(f"{names}; choose another name or add --overwrite")
    for path in map(Path, targets):
        if not make_parent and not path.absolute().parent.is_dir():
            raise InputError(f"{path}: the folder {path.absolute().parent} does not exist; make it first")


def check_apart(targets: Iterable[Path], inputs: Iterable[Path]) -> dict[str, Path]:
    """{real path: target}. Raises InputError where two outputs are one file, or one is a file that is read."""
    own: dict[str, Path] = {}
    for target in (one for one in targets if one.is_file() or not one.exists()):  # a device may be named twice
        place = os.path.realpath(target)
        if place in own:
            raise InputError(f"{own[place]} and {target} are one file: give every output a name of its own")
        own[place] = target
    for given in inputs:
        if (place := os.path.realpath(given)) in own:
            raise InputError(f"{own[place]} is what is read, and would be overwritten: choose another name")
    return own


# ---- reading, within limits --------------------------------------------------------------------------------

class _Unpacked(io.RawIOBase):
    """A binary stream that refuses to give more bytes than the limit, and tells a torn gzip file in one line."""

    def __init__(self, inner: IO[bytes], name: str):
        self.inner, self.name, self.given = inner, name, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[override]
        try:
            data = self.inner.read(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            kind = "zip" if isinstance(error, zipfile.BadZipFile) else "gzip"
            raise InputError(f"{self.name}: not a complete {kind} file ({error}); fetch it again") from None
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read ({error.strerror or error})") from None
        self.given += len(data)
        if self.given > _limits.total:
            raise InputError(f"{self.name}: unpacks to more than {size_text(_limits.total)}; if it is meant to be that "
                             "large, raise --max-size")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.inner.close()
        super().close()


def reading(path: Path | str, what: str = "file") -> IO[bytes]:
    """Open a file for reading, unpacked where its name ends in .gz. Raises InputError where it cannot be opened, and
    while it is read, where it is damaged or unpacks to more than the limit."""
    path = Path(path)
    check_regular(path, what)
    try:
        inner = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: not a readable {what} ({error.strerror or error})") from None
    try:
        check_size(size, str(path))
    except InputError:
        inner.close()
        raise
    return io.BufferedReader(_Unpacked(inner, str(path)), 1 << 18)  # type: ignore[arg-type]


def read_csv(path: Path | str, what: str, numbers: Sequence[str] = (), **how: Any) -> pd.DataFrame:
    """A CSV as pandas reads it; how: its arguments.

    what     what it should be, for the message
    numbers  columns that are there and hold finite numbers or blanks

    Raises InputError where it cannot be opened or read, or a column of `numbers` is missing or holds something else.
    """
    import pandas as pd

    try:
        with reading(path, what) as stream:
            table = pd.read_csv(stream, **how)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InputError(f"{path}: not {what} ({' '.join(str(error).split())[:300]})") from None
    for name in numbers:
        if name not in table:
            raise InputError(f"{path}: column {name} is missing; it is not {what}")
        values = pd.to_numeric(table[name], errors="coerce").replace([float("inf"), -float("inf")], float("nan"))
        if (wrong := table[name][values.isna() & table[name].notna()]).size:
            raise InputError(f"{path}: row {wrong.index[0] + 2}, column {name}: {str(wrong.iloc[0])[:60]!r} is not a "
                             f"finite number; it is not {what}")
        table[name] = values
    return table


def unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
    """Open one file of a zip archive, within the same limits."""
    if info.file_size > _limits.total:
        raise InputError(f"{name}: unpacks to {size_text(info.file_size)}, more than the {size_text(_limits.total)} "
                         "that are allowed; raise --max-size")
    return io.BufferedReader(_Unpacked(archive.open(info), name), 1 << 18)  # type: ignore[arg-type]


def check_regular(path: Path | str, what: str = "file") -> None:
    """Raise InputError for a pipe, a socket or a device, which may never end and cannot be read twice; what is not
    there is left to whoever opens it."""
    with suppress(OSError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{path}: a pipe, a socket or a device, not a {what}; write what it holds to a file first")


def check_zip(path: Path | str) -> None:
    """For archives that another program unpacks. Raises InputError for a pipe or a device, and where the files together
    unpack to more than the limit, by the archive's own directory."""
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # not a whole zip: its reader says what it makes of it
    if size > _limits.total:
        raise InputError(f"{path}: unpacks to {size_text(size)}, more than the {size_text(_limits.total)} that are "
                         "allowed; raise --max-size")


def numbered_lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """(number, line with its end) of a stream, none longer than the limit. Raises InputError for one that is."""
    number = 0
    while line := stream.readline(_limits.line + 1):
        number += 1
        check_line(len(line), f"{name}: line {number}")
        yield number, line


def check_size(size: int, name: str) -> None:
    """Raise InputError for a file of more bytes than the limit."""
    if size > _limits.total:
        raise InputError(f"{name}: has {size_text(size)}, more than the {size_text(_limits.total)} that are allowed; "
                         "raise --max-size")


def check_line(length: int, where: str) -> None:
    """Raise InputError for a line that is longer than the limit."""
    if length > _limits.line:
        raise InputError(f"{where} is longer than {size_text(_limits.line)}; is it what it is taken for? If so, raise "
                         "--max-size")


def first_line(stream: IO[bytes], name: str) -> bytes:
    """The first line of a table; b"" of an empty one. Raises InputError for a longer line, or more columns, than the
    limits allow."""
    _, line = next(numbered_lines(stream, name), (1, b""))
    if (columns := line.count(b",") + 1) > _limits.columns:
        raise InputError(f"{name}: {columns:,} columns, more than the {_limits.columns:,} that are allowed; raise "
                         "--max-size")
    return line


def check_depth(text: bytes, where: str) -> None:
    """Raise InputError for JSON that is nested deeper than `DEEPEST`."""
    if _too_deep(text):
        raise InputError(f"{where}: JSON nested deeper than {DEEPEST} levels is not read; is it what it is taken for?")


def _too_deep(text: bytes) -> bool:
    """Whether JSON is nested deeper than `DEEPEST`. Costs nothing where there are no more brackets."""
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(_STRING.sub(b"", text)):
        depth += 1 if bracket[0] in (b"[", b"{") else -1
        if depth > DEEPEST:
            return True
    return False


def parse_json(text: bytes, where: str):
    """The value of a JSON text (UTF-8, with or without a byte order mark). Raises InputError, with `where`, for
    anything else."""
    check_depth(text, where)
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); is the file complete?") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless it has a key twice: one of its values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice)[:60]} is given twice in one object")
    return found


def read_json(path: Path | str):
    """The content of a JSON file (UTF-8), plain or gzipped. Raises InputError where it cannot be read."""
    with reading(path, "JSON file") as stream:
        text = stream.read()
    if _too_deep(text):
        raise InputError(f"{path}: not a readable JSON file (nested deeper than {DEEPEST} levels)")
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error})") from None


_PART = re.compile(r"\..*\.([0-9a-f]{8})\.(\d+)\.part", re.DOTALL)


@cache
def _host() -> str:
    """This machine, in eight digits: on a shared disk, process numbers mean nothing without it."""
    return f"{zlib.crc32(os.fsencode(socket.gethostname())):08x}"


def sweep(folder: Path | str) -> None:
    """Remove what runs that were killed on this machine have left half-written in a folder."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            found = _PART.fullmatch(entry.name) if entry.name.endswith(".part") else None
            if found and found[1] == _host() and not _alive(int(found[2])):
                with suppress(OSError):
                    os.unlink(entry.path)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another user's
    return True


def _partial(path: Path) -> Path:
    """The name a file has while it is being written: unique to this process and never too long."""
    end = f".{_host()}.{os.getpid()}.part"
    name = os.fsencode(path.name)
    if len(name) + len(end) + 1 <= LONGEST_NAME:
        return path.with_name(f".{path.name}{end}")
    return path.with_name(f".{hashlib.blake2b(name, digest_size=16).hexdigest()}{end}")


def _is_ours(named: str | bytes, path: Path, part: Path) -> bool:
    """Whether an error names the file, its temporary name, or a folder above it."""
    return Path(os.fsdecode(named)) in {path, part, *path.parents}


def around(page: Path, mark: str) -> tuple[str, str]:
    """What stands before and after the place <!-- mark --> … <!-- /mark --> of a page, the marks included.

    Raises InputError for a page that is not there, or without the marks.
    """
    if not page.is_file():
        raise InputError(f"--page {page}: no such file")
    before, start, rest = page.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not (start and end):
        raise InputError(f"{page}: needs the lines <!-- {mark} --> and <!-- /{mark} -->, between which tables go")
    return before + start, end + after


def put_between(page: Path, mark: str, text: str) -> None:
    """Write `text` between the marks of a page. Raises InputError as `around` does."""
    before, after = around(page, mark)
    with atomic(page, "w") as out:
        out.write(f"{before}{text}{after}")
