"""The loop of baseline walks in C, built with the machine's own compiler when a run is long enough to gain by it.

NumPy goes over the models some ten times at every question; one loop in C, which keeps a few models' numbers in the
cache, takes a third of the time and rounds alike to the last bit. It takes a quarter of a second to build and is built
anew by every process that wants it, so no file of an earlier run can be wrong. Without a compiler NumPy does the same.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from .. import cli

PAYS_FROM = 1e8  # coins tossed in all; with fewer, NumPy is done before the loop is built
SECONDS = 60.0   # that a compiler may take
SOURCE = Path(__file__).with_name("walk_loop.c")
# Products and sums must not be contracted: they would round otherwise than NumPy's.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-shared", "-fPIC")


class Loop:
    """`walk` of walk_loop.c, built for blocks of so many questions. Python's lock is released while it runs."""

    def __init__(self, library: ctypes.CDLL, block: int):
        self._walk, self.block = library.walk, block
        self._walk.restype = None

    def walk(self, uniforms: np.ndarray, scores: np.ndarray, wanted: np.ndarray, predictions: np.ndarray,
             least: np.ndarray, allowance: np.ndarray, kept: np.ndarray, left: np.ndarray, labels: np.ndarray,
             sums: np.ndarray) -> None:
        """Arrays of the shapes that walk_loop.c names, float64 and contiguous; left, labels and sums are updated."""
        (models, questions), walks = uniforms.shape, len(left)
        tables = {"uniforms": (uniforms, (models, questions)), "scores": (scores, (models, questions)),
                  "wanted": (wanted, (questions, walks)), "predictions": (predictions, (questions,)),
                  "least": (least, (walks,)), "allowance": (allowance, (walks,)), "kept": (kept, (walks,)),
                  "left": (left, (walks, models)), "labels": (labels, (walks, models)),
                  "sums": (sums, (4, walks, models))}
        for name, (table, shape) in tables.items():  # C would read whatever lies there
            if table.dtype != np.float64 or table.shape != shape or not table.flags.c_contiguous:
                raise ValueError(f"{name}: needs contiguous float64 of shape {shape}, not {table.dtype} {table.shape}")
        self._walk(*map(ctypes.c_size_t, (models, questions, walks)),
                   *(table.ctypes.data_as(ctypes.c_void_p) for table, _ in tables.values()))


def for_coins(coins: float, block: int) -> Loop | None:
    """The loop, where a run of so many coins gains by it and it can be built; a line says so where it cannot."""
    return built(block) if coins >= PAYS_FROM else None


@cache
def built(block: int) -> Loop | None:
    """The loop for blocks of so many questions; None without a compiler or where it fails, which a line says."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return None
    failed = ""
    for machine in (("-march=native",), ()):  # which not every compiler knows
        try:
            return _built(compiler, block, machine)
        except subprocess.TimeoutExpired:
            failed = f"not done after {SECONDS:g} seconds"
            break
        except (OSError, subprocess.SubprocessError) as error:
            failed = failed or _reason(error)
    cli.note(f"the loop of the baselines' walks cannot be built with {compiler}, so NumPy does the same in three times "
             f"as long ({failed[:160]})")
    return None


def _built(compiler: str, block: int, machine: tuple[str, ...]) -> Loop:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "walk_loop.so"
        subprocess.run([compiler, *FLAGS, *machine, f"-DBLOCK={block}", str(SOURCE), "-o", str(library)], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS)
        return Loop(ctypes.CDLL(str(library)), block)


def _reason(error: Exception) -> str:
    """The compiler's first line that names an error, or what the system says."""
    lines = str(getattr(error, "stderr", "") or "").splitlines()
    return next((line.strip() for line in lines if "error" in line), " ".join(str(error).split()))
