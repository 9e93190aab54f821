"""--workers N: one script's trials shared out to N processes of this machine, each a shard with a part of its own.

Trials are the same to the last digit whatever is computed beside them, so the gathered log holds the rows that one
process would have written, in another order. Each process uses its share of the cores and no more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
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


def _by_workers(args: argparse.Namespace, names: Iterable[str]) -> None:
    if args.part_dir is not None:
        raise InputError("--workers with --part-dir: the parts of workers are gathered into --logs-dir; give one")
    script = Path(sys.argv[0]).stem
    folder = args.logs_dir / "parts" / f"{script}-workers"
    with ExitStack() as alone:
        for name in names:
            alone.enter_context(locks.writing(args.logs_dir / f"{name}.csv"))
        _gather(args.logs_dir, folder)  # of a run that was killed
        for path in (args.logs_dir / f"{name}.csv" for name in names if args.restart):
            if path.is_file():
                print(f"{path}: put aside as {ledger.aside(path)}", file=sys.stderr)
        try:
            failed = _run(args, folder)
        finally:
            _gather(args.logs_dir, folder)
    if failed:
        raise InputError(f"a worker failed: {failed}; what is finished is kept, the same command goes on")


def _run(args: argparse.Namespace, folder: Path) -> str:
    """Run this command as so many shards; returns the last words of the first that fails."""
    words = [word for word in sys.argv[1:] if not word.startswith("--res")]  # --restart, however short
    index, count = args.shard
    env = threads(max(1, cores() // args.workers))
    workers: list[subprocess.Popen] = []
    listeners: list[tuple[threading.Thread, list[str]]] = []
    try:
        for number in range(args.workers):
            shard = f"{index + count * number}/{count * args.workers}"
            worker = subprocess.Popen(
                [sys.executable, sys.argv[0], *words, "--workers", "1", "--shard", shard, "--part-dir",
                 str(folder / str(number))], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            said: list[str] = []
            listener = threading.Thread(target=_listen, args=(worker.stderr, number + 1, said), daemon=True)
            listener.start()
            workers.append(worker)
            listeners.append((listener, said))
        codes = [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
    for (listener, said), code in zip(listeners, codes, strict=True):
        listener.join()
        if code:
            return said[-1].removeprefix("error: ") if said else f"exit code {code}"
    return ""


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
