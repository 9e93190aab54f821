"""One writer at a time: advisory locks on logs, which name their holder.

A lock is a file `.NAME.lock` beside the log, locked with flock: the kernel releases it when its process ends, however
that ends, so a lock that a killed run has left behind holds nobody up. Readers and dry runs take none.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

try:
    import fcntl
except ImportError:  # Windows: no flock, and nothing to lock with
    fcntl = None  # type: ignore[assignment]

_HELD: set[Path] = set()  # by this process: whoever holds a lock may enter it again
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def writing(log: Path | str) -> Iterator[None]:
    """Be the only writer of a log as long as the block lasts. Its folder is created, and removed again if it is empty
    at the end.

    Raises InputError, naming the holder, where another process writes it, and where nothing can be written there.
    """
    log = Path(log)
    path = log.with_name(f".{log.name}.lock")
    key = path.parent.resolve() / path.name
    if key in _HELD:
        yield
        return
    if log.is_dir():
        raise InputError(f"{log}: a folder is in the way; move it, or choose another place")
    made = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(path, log)
    except OSError as error:
        remove_empty(made)
        if os.path.lexists(path):  # a folder, a link, or another user's
            raise InputError(f"{path}: cannot be used as the lock of {log.name} ({error.strerror or error}); remove "
                             "it, or choose another folder") from None
        raise InputError(f"{log.parent}: cannot be written ({error.strerror or error}); choose another folder"
                         ) from None
    _HELD.add(key)
    try:
        yield
    finally:
        _HELD.discard(key)
        with suppress(OSError):
            path.unlink()  # while it is locked, so that nobody else has it by then
        os.close(handle)
        remove_empty(made)


def _locked(path: Path, log: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 1000, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(handle)
            raise InputError(f"{log}: is being written by {holder}; wait for it, stop it, or choose another folder"
                             ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(handle)
                raise
            print(f"{log}: this disk knows no locks, so nothing stops a second command from writing the same log: run "
                  "one at a time", file=sys.stderr)
        if is_still(path, handle):
            break
        os.close(handle)  # its holder removed it between our opening and locking it: another try
    words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]).replace("\n", " ")
    holder = f"process {os.getpid()} on {socket.gethostname()} ({words[:200]})\n"
    with suppress(OSError):  # on a full disk the lock holds without its holder's name
        os.ftruncate(handle, 0)
        os.pwrite(handle, holder.encode("utf-8", "replace"), 0)
    return handle


def is_still(path: Path, handle: int) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, up to one that holds something."""
    for folder in folders:  # the innermost first
        try:
            folder.rmdir()
        except OSError:
            return
