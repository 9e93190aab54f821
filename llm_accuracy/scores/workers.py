"""Reading many files at once, each in one of several processes: in order, and with the same result as one by one.

A library that starts processes surprises those who call it, so one process is the default; the commands take as many
as there are cores (`--jobs`). Processes are started (spawned, so no state is copied) for more than `WORTH_IT` bytes and
kept for the next folder.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from ..cli import Progress
from ..files import limit_to, limits

WORTH_IT = 32 << 20  # bytes; a process takes half a second to start, in which one process reads about as much
_PACKED = 8  # times smaller than its content is a gzip file of answers, roughly
_jobs = 1


def cores() -> int:
    """How many processes can run at a time here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_with(jobs: int) -> None:
    """How many processes read from now on."""
    global _jobs
    _jobs = jobs


def in_order(job: Callable[..., Any], works: Sequence[tuple], files: Sequence[Path], what: str) -> Iterator[Any]:
    """job(*work) for every work, in order, with a progress bar if their files are large. `job` is a function of a
    module, and `works` and results can be pickled. What `job` raises is raised when its turn comes, as one by one."""
    size = sum(file.stat().st_size * (_PACKED if file.suffix == ".gz" else 1) for file in files)
    if size < WORTH_IT:
        yield from (job(*work) for work in works)
        return
    yield from _shared(job, works, Progress(len(works), f"reading {what}", "file"))


def judge_in_order(job: Callable[..., Any], works: Sequence[tuple], large: bool, alone: bool) -> Iterator[Any]:
    """job(*work) for every candidate, in order; if they are `large`, with a progress bar and, unless only this process
    can do them (`alone`), in the processes that read."""
    if not large:
        return (job(*work) for work in works)
    return _shared(job, works, Progress(len(works), "judging", "candidate"), alone)


def _shared(job: Callable[..., Any], works: Sequence[tuple], progress: Progress, alone: bool = False) -> Iterator[Any]:
    try:
        if _jobs == 1 or len(works) == 1 or alone:
            results: Iterator[Any] = (job(*work) for work in works)
        else:
            results = _pool(_jobs, limits().total).map(_apply, [(job, work) for work in works])
        for result in results:
            progress.advance()
            yield result
    finally:
        progress.close()


def _apply(task: tuple[Callable[..., Any], tuple]) -> Any:
    job, work = task
    return job(*work)


@cache
def _pool(jobs: int, limit: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (limit,))


def _begin(limit: int) -> None:
    """A worker has the limits of its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_to(limit)
