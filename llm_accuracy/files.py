"""Files: read or refused, written whole or not at all, and never over one that is there unless that was asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


@contextmanager
def atomic(path: Path, mode: str = "wb"):
    """Open a file that takes its name only when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open(mode, **({} if "b" in mode else {"newline": ""})) as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees all of it or none; its folder is made."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def refuse_existing(targets: Iterable[Path], overwrite: bool) -> None:
    """Raise InputError if a file that is about to be written is there already and was not to be replaced."""
    there = [str(path) for path in targets if path.exists()]
    if there and not overwrite:
        raise InputError(f"{', '.join(there)}: already there; choose another name, or pass --overwrite")


def check_new(path: Path, overwrite: bool, make_parent: bool = False) -> None:
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another place or add --overwrite")
    if not make_parent and not path.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder {path.absolute().parent} does not exist; make it first")


def read_json(path: Path | str):
    """The content of a JSON file. Raises InputError where it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error})") from None


def _load_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error})") from None
