"""--workers N: one script's trials shared out to N processes of this machine, each a shard with a part of its own.

Trials are the same to the last digit whatever is computed beside them, so the gathered log holds the rows that one
process would have written, in another order. Each process uses its share of the cores and no more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, Any, TypeVar

from .. import cli, locks
from ..errors import InputError
from . import ledger, tables

Run = TypeVar("Run", bound=Callable[..., Any])


def shared_out(*names: str) -> Callable[[Run], Run]:
    """A decorator of what takes a script's arguments and appends to these logs: with --workers, other processes do the
    work first, and what is decorated finds it done.

    Raises InputError where a worker fails, with its last words; what they all have finished is kept.
    """
    def decorate(run: Run) -> Run:
        @wraps(run)
        def shared(args: argparse.Namespace) -> object:
            if args.workers > 1 and not args.dry_run:
                _by_workers(args, names)
                args.restart = False  # the old logs are aside by now
            return run(args)
        return shared  # type: ignore[return-value]
    return decorate


def threads(count: int) -> dict[str, str]:
    """The environment of a process that may use so many cores, whichever library asks."""
    return {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(count))}


@contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM is an exit like any other meanwhile, so that processes started here are stopped and nothing is lost."""
    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only there may a signal be asked for
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def held() -> Iterator[None]:
    """SIGTERM and Ctrl-C wait until the block has ended, so that no process is begun of which nobody has noted it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number))
              for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


def _by_workers(args: argparse.Namespace, names: Iterable[str]) -> None:
    if args.part_dir is not None:
        raise InputError("--workers with --part-dir: the parts of workers are gathered into --logs-dir; give one")
    script = Path(sys.argv[0]).stem
    folder = args.logs_dir / "parts" / f"{script}-workers"
    logs = [args.logs_dir / f"{name}.csv" for name in names]
    with ExitStack() as alone:
        alone.enter_context(ended_in_order())
        for path in logs:
            alone.enter_context(locks.writing(path))
        _gather(args.logs_dir, folder)  # of a run that was killed
        moved = {path: ledger.aside(path) for path in logs if args.restart and path.is_file()}
        try:
            failed = _run(args, folder)
        finally:
            _gather(args.logs_dir, folder)
            begun_anew = _settle(moved)
    if failed:
        again = "the same command without --restart" if begun_anew else "the same command"
        raise InputError(f"a worker failed: {failed}; what is finished is kept, {again} goes on")


def _settle(moved: dict[Path, Path]) -> bool:
    """Say which logs were put aside; where nothing has come into their place, put them back. Whether any is aside."""
    if not any(path.is_file() for path in moved):
        for path, old in moved.items():
            ledger.put_back(old, path)
        return False
    for path, old in moved.items():
        print(f"{path}: put aside as {old}", file=sys.stderr)
    return True


def _run(args: argparse.Namespace, folder: Path) -> str:
    """Run this command as so many shards; returns the last words of the first that fails."""
    words = [word for word in sys.argv[1:] if len(word) < 3 or not "--restart".startswith(word)]  # --r is --restart
    index, count = args.shard
    env = threads(max(1, cores() // args.workers))
    workers: list[subprocess.Popen] = []
    listeners: list[tuple[threading.Thread, list[str]]] = []
    try:
        for number in range(args.workers):
            shard = f"{index + count * number}/{count * args.workers}"
            with held():
                worker = subprocess.Popen(
                    [sys.executable, sys.argv[0], *words, "--workers", "1", "--shard", shard, "--part-dir",
                     str(folder / str(number))], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                workers.append(worker)
            said: list[str] = []
            listener = threading.Thread(target=_listen, args=(worker.stderr, number + 1, said), daemon=True)
            listener.start()
            listeners.append((listener, said))
        codes = [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    for (listener, said), code in zip(listeners, codes, strict=True):
        listener.join()
        if code:
            return last_words(said, code)
    return ""


def last_words(said: Sequence[str], code: int) -> str:
    """Why a process failed: its error, or the signal that ended it, of which it has said nothing."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"ended by {name}" + (", as where memory runs out" if -code == signal.SIGKILL else "")
    return [f"exit code {code}", *said, *errors_in(said)][-1]


def errors_in(said: Sequence[str]) -> list[str]:
    """The errors among the lines that one of our commands has said, as `cli.refuse` prints them."""
    return [line.removeprefix("error: ") for line in said if line.startswith("error: ")]


def _listen(stream: IO[str], number: int, said: list[str]) -> None:
    for line in stream:
        said.append(line.strip())
        if not line.startswith("error: "):
            cli.note(f"worker {number}: {line.strip()}")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gather(logs_dir: Path, folder: Path) -> None:
    for _ in tables.gather(logs_dir, sorted(folder.glob("*/"))):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
