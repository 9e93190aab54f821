"""Files: read or refused, written whole or not at all, and never overwritten unless that is requested.

Every failure of the disk (full, read-only, a folder in the way, a name too long) becomes one InputError, and no part
of a file that could not be written whole is left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import InputError

LONGEST_NAME = 255  # bytes, on every file system in use


@contextmanager
def atomic(path: Path | str, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that gets its name only once it is complete; its folder is created.

    mode   "wb", or "w" for text as UTF-8 with its line ends unchanged

    Raises InputError where it cannot be written; an error that names another file is passed on.
    """
    path = Path(path)
    part = _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        newline, encoding = (None, None) if "b" in mode else ("", "utf-8")
        with part.open(mode, newline=newline, encoding=encoding) as stream:
            yield stream
        part.replace(path)
    except BrokenPipeError:
        raise  # of what is printed meanwhile, not of a file
    except OSError as error:
        if error.filename is not None and not _is_ours(error.filename, path, part):
            raise
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(path: Path | str, content: str | bytes) -> None:
    """Write a file so that a reader sees all of it or none; its folder is created. Raises as `atomic` does."""
    with atomic(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


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


def read_json(path: Path | str):
    """The content of a JSON file (UTF-8). Raises InputError where it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error})") from None


def _partial(path: Path) -> Path:
    """The name a file has while it is being written: unique to this process and never too long."""
    end = f".{os.getpid()}.part"
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
    before, start, rest = page.read_text().partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    if not (start and end):
        raise InputError(f"{page}: needs the lines <!-- {mark} --> and <!-- /{mark} -->, between which tables go")
    return before + start, end + after
