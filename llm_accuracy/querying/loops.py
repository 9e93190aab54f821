"""Loops in C for what PyTorch and NumPy go over ten times, built by the machine's own compiler where a run gains by it.

The passes of one-at-a-time policies (`passes`) take a tenth of the time, to rounding, and baseline walks (`walks`) a
fifth, to the last bit. The loops take a quarter of a second to build and are built anew by every process that wants
them, so no file of an earlier run can be wrong. Without a compiler PyTorch and NumPy do the same.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

from .. import cli

BLOCK = 128  # questions per block of a pass
STEPS = 64   # questions of a walk that are summed up together
P_FLOOR = 1e-12
LOGIT_CAP = math.log((1 - P_FLOOR) / P_FLOOR)  # p is kept in [1e-12, 1 − 1e-12]

PAYS_FROM = 1e7  # coins tossed, or rows × questions × steps; with fewer, all is done before the loops are built
SECONDS = 60.0   # that a compiler may take
SOURCE = Path(__file__).with_name("loops.c")
# Products and sums must not be contracted: they would round otherwise than NumPy's, and on some machines only.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC",
         f"-DQUESTIONS={BLOCK}", f"-DSTEPS={STEPS}", f"-DCAP={LOGIT_CAP!r}f", f"-DP_FLOOR={P_FLOOR!r}")
FLOATS, NUMBER = ctypes.c_void_p, ctypes.c_size_t


class Loops:
    """The functions of loops.c. Python's lock is released while one runs, on the thread that calls it.

    Those named as passes take and return float32 tensors on the CPU, shaped as `passes` says.
    """

    def __init__(self, library: ctypes.CDLL):
        self._library = library
        for name, numbers, tables in (("oracle_pass", 2, 4), ("weights", 1, 2), ("learning_pass", 1, 6),
                                      ("mixed_pass", 2, 7), ("shrink_pass", 1, 2), ("uncertainty_pass", 2, 2),
                                      ("draw", 2, 16), ("learn", 2, 8), ("walk", 3, 10)):
            function = getattr(library, name)
            function.argtypes, function.restype = [NUMBER] * numbers + [FLOATS] * tables, None

    def oracle_pass(self, logits: torch.Tensor, beta: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        rows, blocks, _ = logits.shape
        sums, p_sums = (logits.new_empty(rows, blocks) for _ in range(2))
        self._library.oracle_pass(rows, blocks, *_places(logits, beta, sums, p_sums))
        return sums, p_sums

    def weights(self, logits: torch.Tensor) -> torch.Tensor:
        found = torch.empty_like(logits)
        self._library.weights(logits.numel(), *_places(logits, found))
        return found

    def learning_pass(self, logits: torch.Tensor, toward: torch.Tensor,
                      variance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows, blocks, _ = logits.shape
        found = tuple(logits.new_empty(rows, blocks) for _ in range(3))
        self._library.learning_pass(rows * blocks, *_places(logits, toward, variance, *found))
        return found

    def mixed_pass(self, logits: torch.Tensor, toward: torch.Tensor, variance: torch.Tensor, oracle: torch.Tensor,
                   learning: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        rows, blocks, _ = logits.shape
        sums = logits.new_empty(rows, blocks)
        self._library.mixed_pass(rows, blocks, *_places(logits, toward, variance, oracle, learning, beta, sums))
        return sums

    def shrink_pass(self, variance: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        self._library.shrink_pass(variance.numel(), *_places(variance, change))
        return variance

    def uncertainty_pass(self, logits: torch.Tensor) -> torch.Tensor:
        sums = logits.new_empty(len(logits))
        self._library.uncertainty_pass(*logits.shape, *_places(logits, sums))
        return sums

    def draw(self, scoring: tuple[torch.Tensor | None, ...], sums: torch.Tensor, p_sums: torch.Tensor,
             open_: torch.Tensor, tau: torch.Tensor, uniforms: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A question for every row, by inverse CDF: asked (rows,) int64, q, p, and Σ p of the open questions, float64.

        scoring  what scores are made of: logits, toward, variance (rows, blocks, BLOCK), oracle, learning, β (rows);
                 toward None for those of `oracle_pass`, β None for 1
        sums, p_sums, open_  (rows, blocks) float64, open_ the numbers of questions that may be asked
        tau, uniforms        (rows) float64
        """
        rows, blocks = sums.shape
        asked = torch.empty(rows, dtype=torch.int64)
        q, p, expected = (sums.new_empty(rows) for _ in range(3))
        tables = (sums, p_sums, open_, tau, uniforms, torch.empty_like(sums))
        self._library.draw(rows, blocks, *_places(*scoring), *_places(*tables, dtype=torch.float64),
                           asked.data_ptr(), *_places(q, p, expected, dtype=torch.float64))
        return asked, q, p, expected

    def learn(self, V: torch.Tensor, asked: torch.Tensor, answers: torch.Tensor, p: torch.Tensor, u: torch.Tensor,
              sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`beliefs.gain`, and u and Σ after it; returns (step, y), (rows, K) each."""
        step, shrink = torch.empty_like(u), torch.empty_like(u)
        questions, scores, predicted = (one.contiguous() for one in (asked, answers, p))  # columns of what was asked
        self._library.learn(*u.shape, *_places(V), *_places(questions, dtype=torch.int64),
                            *_places(scores, predicted, u, sigma, step, shrink))
        return step, shrink

    def walk(self, uniforms: np.ndarray, scores: np.ndarray, wanted: np.ndarray, predictions: np.ndarray,
             least: np.ndarray, allowance: np.ndarray, kept: np.ndarray, left: np.ndarray, labels: np.ndarray,
             sums: np.ndarray) -> None:
        """Arrays of the shapes that loops.c names, float64 and contiguous; left, labels and sums are updated.

        Raises ValueError for any other.
        """
        (models, questions), walks = uniforms.shape, len(left)
        tables = {"uniforms": (uniforms, (models, questions)), "scores": (scores, (models, questions)),
                  "wanted": (wanted, (questions, walks)), "predictions": (predictions, (questions,)),
                  "least": (least, (walks,)), "allowance": (allowance, (walks,)), "kept": (kept, (walks,)),
                  "left": (left, (walks, models)), "labels": (labels, (walks, models)),
                  "sums": (sums, (4, walks, models))}
        for name, (table, shape) in tables.items():  # C would read whatever lies there
            if table.dtype != np.float64 or table.shape != shape or not table.flags.c_contiguous:
                raise ValueError(f"{name}: needs contiguous float64 of shape {shape}, not {table.dtype} {table.shape}")
        self._library.walk(models, questions, walks, *(table.ctypes.data for table, _ in tables.values()))


def _places(*tensors: torch.Tensor | None, dtype: torch.dtype = torch.float32) -> list[int | None]:
    """Where tensors begin. Raises ValueError for what C would misread."""
    for one in tensors:
        if one is not None and not (one.dtype == dtype and one.is_contiguous() and one.device.type == "cpu"):
            raise ValueError(f"needs contiguous {dtype} on the CPU, not {one.dtype} on {one.device}, {one.stride()}")
    return [None if one is None else one.data_ptr() for one in tensors]


def for_work(cells: float) -> Loops | None:
    """The loops, where a run of so many coins, or rows × questions × steps, gains by them and they can be built."""
    return built() if cells >= PAYS_FROM else None


@cache
def built() -> Loops | None:
    """The loops; None without a compiler or where it fails, which a line says."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return None
    failed = ""
    for machine in (("-march=native",), ()):  # which not every compiler knows
        try:
            return _built(compiler, *machine)
        except subprocess.TimeoutExpired:
            failed = f"not done after {SECONDS:g} seconds"
            break
        except (OSError, subprocess.SubprocessError, AttributeError) as error:
            failed = failed or _reason(error)
    cli.note(f"the loops in C cannot be built with {compiler}, so PyTorch and NumPy do the same in several times as "
             f"long ({failed[:160]})")
    return None


def _built(compiler: str, *machine: str) -> Loops:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "loops.so"
        subprocess.run([compiler, *FLAGS, *machine, str(SOURCE), "-o", str(library), "-lm"], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SECONDS)
        return Loops(ctypes.CDLL(str(library)))


def _reason(error: Exception) -> str:
    """The compiler's first line that names an error, or what the system says."""
    lines = str(getattr(error, "stderr", "") or "").splitlines()
    return next((line.strip() for line in lines if "error" in line), " ".join(str(error).split()))
