"""What scraping would cost, in bytes and hours, estimated from at most five models."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from .. import cli
from ..errors import InputError
from . import suites
from .hub import File, Hub, Unavailable
from .scraping import Model
from .suites import Task

SPEED_SAMPLE = 4 << 20  # bytes


def price(hub: Hub, suite: str, models: list[Model], parquet: bool, jobs: int) -> Iterator[str]:
    """Lines of text: the sampled models that cannot be read, then the bytes and hours that `models` would cost.

    Raises InputError if none of the sampled models can be read.
    """
    tasks = suites.SUITES[suite]
    sample = [models[i] for i in sorted({int(i) for i in np.linspace(0, len(models) - 1, 5)})]
    streamed, fetched, speeds = [], [], []
    for model in sample:
        try:
            whole, needed, speed = price_model(hub, model, tasks, parquet)
        except Unavailable as error:
            yield f"  {model.name}: {error}"
            continue
        streamed.append(whole)
        fetched.append(needed)
        speeds.append(speed)
    if not streamed:
        raise InputError(f"{suite}: none of the {len(sample)} models looked at can be read")
    times = len(models) / len(sample)
    size, fetch, speed = times * sum(streamed), times * sum(fetched), float(np.median(speeds))
    yield f"{suite}: {len(models)} models ({len(streamed)} of {len(sample)} looked at can be read)"
    yield f"  about {in_bytes(size)} of sample files, of which about {in_bytes(fetch)} would be transferred"
    yield f"  about {cli.duration(fetch / speed / jobs)} at {speed / 1e6:.1f} MB/s a connection, {jobs} at a time"
    yield f"  about {in_bytes(len(models) * 1.1 * sum(task.size for task in tasks))} kept"


def price_model(hub: Hub, model: Model, tasks: tuple[Task, ...], parquet: bool) -> tuple[int, int, float]:
    """(bytes of the sample files, bytes that would be transferred, bytes per second of a short read)."""
    repo = suites.dataset_of(model.name)
    listed = {file.path: file for file in hub.files(repo, hub.revision(repo))}
    converted = hub.converted(repo) if parquet else []
    chosen: list[File] = []
    needed = 0
    for task in tasks:
        path = suites.newest_file(task, listed)
        if path is None:
            raise Unavailable(f"no samples file of {task.name}")
        chosen.append(listed[path])
        parts = next((parts for folder in suites.parquet_folders(model.name, task, path)
                      if (parts := [f for f in converted if f.path.startswith(folder)])), None)
        needed += sum(hub.column_bytes(f, task.columns) for f in parts) if parts else chosen[-1].size
    start, read = time.monotonic(), 0
    for _, read in hub.lines(chosen[-1]):
        if read > SPEED_SAMPLE or time.monotonic() - start > 5:
            break
    return sum(file.size for file in chosen), needed, read / (time.monotonic() - start)


def in_bytes(n: float) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"
