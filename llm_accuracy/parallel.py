"""Sharing a CPU's cores between jobs instead of within every operation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_each(device: str):
    """On the CPU, PyTorch's operations use one thread each: for jobs that run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def even_slices(length: int, count: int) -> list[slice]:
    """0 … length cut into `count` pieces (at most `length`, at least one) whose lengths differ by at most one."""
    count = max(1, min(length, count))
    edges = [length * i // count for i in range(count + 1)]
    return [slice(*pair) for pair in itertools.pairwise(edges)]


def workers(jobs: int, device: str) -> int:
    """How many of so many jobs go on at a time in `side_by_side`."""
    return max(1, min(jobs, torch.get_num_threads())) if device == "cpu" else 1


def side_by_side(job: Callable, works: Sequence, device: str) -> Iterator:
    """job(work) for every work, in order. On the CPU as many run at a time as there are threads, each on one of them:
    there are no barriers between cores, which on a busy machine cost more than they gain."""
    threads = torch.get_num_threads()
    if len(works) == 1 or device != "cpu":
        with one_thread_each(device):
            yield from map(job, works)
        return
    with one_thread_each(device), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(job, works)
