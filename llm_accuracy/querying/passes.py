"""The passes over rows × questions: what a step needs from every question, summed block by block.

To draw a question by inverse CDF from one uniform number, only the scores' sums over blocks of questions are
needed, and then the scores inside the one block in which the draw falls. Where the policy allows, the scores
are therefore never stored: each pass below reads the logits once and writes sums. The functions are plain
PyTorch; where that pays, `fused` compiles each into one loop, whose results are the same up to rounding.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import TypeVar

import torch

from .. import cli
from ..parallel import one_thread_each

BLOCK = 128  # questions per block
P_FLOOR = 1e-12
LOGIT_CAP = math.log((1 - P_FLOOR) / P_FLOOR)  # p is kept in [1e-12, 1 − 1e-12]


def root_w_and_p(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """√(p(1−p)) and p from one exponential, both 0 where the logit is −∞.

    With e = e^{−|x|/2}: √(p(1−p)) = e/(1+e²), accurate where p rounds to 1; p = 1/(1+e²) or e²/(1+e²).
    """
    half = logits.abs().clamp_max_(LOGIT_CAP).mul_(-0.5).exp_()
    square, closed = half * half, torch.isneginf(logits)
    larger = (square + 1).reciprocal_()
    smaller = square.mul_(larger).masked_fill_(closed, 0.0)
    return half.mul_(larger).masked_fill_(closed, 0.0), torch.where(logits >= 0, larger, smaller)


def root_variance(logits: torch.Tensor) -> torch.Tensor:
    """√w = √(p(1−p)), the shape of the logits."""
    return root_w_and_p(logits)[0]


def power(scores: torch.Tensor, beta: torch.Tensor | None) -> torch.Tensor:
    """scores^β, 0 where the score is 0; β None is 1."""
    if beta is None:
        return scores
    positive = scores.clamp_min(torch.finfo(scores.dtype).tiny).log_().mul_(beta).exp_()
    return positive.masked_fill_(scores <= 0, 0.0)


def oracle_scores(logits: torch.Tensor, beta: torch.Tensor | None) -> torch.Tensor:
    """h_o^β up to a factor: √w^β."""
    return power(root_variance(logits), beta)


def oracle_pass(logits: torch.Tensor, beta: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """logits (rows, blocks, BLOCK), β (rows, 1, 1) or None → sums of √w^β and of p, (rows, blocks) each."""
    root_w, p = root_w_and_p(logits)
    return power(root_w, beta).sum(2), p.sum(2)


def weights(logits: torch.Tensor) -> torch.Tensor:
    """w = p (1−p), the shape of the logits."""
    return root_variance(logits).square()


def learning_scores(logits: torch.Tensor, toward: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """h_a = w (vᵀΣg)² / (1 + w vᵀΣv), with toward = vᵀΣg and variance = vᵀΣv."""
    w = weights(logits)
    return w * toward * toward / (1 + w * variance)


def learning_pass(logits: torch.Tensor, toward: torch.Tensor,
                  variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(rows, blocks, BLOCK) each → sums of √w, of h_a and of p, (rows, blocks) each."""
    root_w, p = root_w_and_p(logits)
    w = root_w * root_w
    return root_w.sum(2), (w * toward * toward / (1 + w * variance)).sum(2), p.sum(2)


def mixed_scores(logits: torch.Tensor, toward: torch.Tensor, variance: torch.Tensor, oracle: torch.Tensor,
                 learning: torch.Tensor, beta: torch.Tensor | None) -> torch.Tensor:
    """(oracle·√w + learning·h_a)^β, the factors being (1−α)/Σh_o and α/Σh_a, (rows, 1, 1)."""
    return power(oracle * root_variance(logits) + learning * learning_scores(logits, toward, variance), beta)


def mixed_pass(*arguments: torch.Tensor) -> torch.Tensor:
    """Block sums of `mixed_scores`, (rows, blocks)."""
    return mixed_scores(*arguments).sum(2)


def shrink_pass(variance: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """diag(VΣVᵀ) after Σ ← Σ − y yᵀ, change = V y; in place, never below 0."""
    return variance.sub_(change * change).clamp_min_(0)


def uncertainty_pass(logits: torch.Tensor) -> torch.Tensor:
    """Σ_j 2 min(p_j, 1−p_j) = Σ_j 2 σ(−|x_j|); logits (rows, N) → (rows,)."""
    return 2 * torch.sigmoid(-logits.abs()).sum(1)


# --- compiled or not -----------------------------------------------------------------------------------

COMPILING_PAYS_FROM = 5e9  # rows × questions × steps; below, compiling takes longer than it saves


def can_compile(device: str) -> bool:
    """Whether torch.compile has what it needs: Triton on CUDA and a C compiler, which builds what Triton launches with;
    a C++ compiler elsewhere."""
    if device.startswith("cuda"):
        from torch.utils._triton import has_triton

        return has_triton() and any(map(shutil.which, ("cc", "gcc", "clang")))
    return any(map(shutil.which, ("c++", "g++", "clang++")))


Pass = TypeVar("Pass", bound=Callable[..., object])


@cache
def fused(pass_: Pass, threads: int, device: str = "cpu") -> Pass:
    """The pass compiled into one loop. Compiled code is specific to a number of threads, hence the key.

    On the CPU it is called from C++, because only that call releases Python's lock: the passes of evaluations that
    run side by side would otherwise run one after the other. What can be compiled shows only at the first call; where
    it cannot (a compiler without Python.h, a full TMPDIR), the plain pass is called, from then on for every pass.
    """
    worked = threading.Event()

    @cache
    def compiled() -> Callable[..., object]:
        return torch.compile(pass_, dynamic=True, options={"cpp_wrapper": True} if device == "cpu" else None)

    @wraps(pass_)
    def either(*arguments: torch.Tensor) -> object:
        if worked.is_set():
            return compiled()(*arguments)
        if _FAILED.is_set():
            return pass_(*arguments)
        kept = [argument.clone() if isinstance(argument, torch.Tensor) else argument for argument in arguments]
        slow = threading.Timer(SECONDS_UNTIL_SAID, _say_once, [
            "compiling for this machine, up to two minutes the first time; the next run finds it done"])
        slow.daemon = True
        try:
            slow.start()
            with _quiet():
                found = compiled()(*arguments)
        except Exception as error:  # of the compiler and of all that it calls: there is no common class
            _fall_back(error)
            for argument, before in zip(arguments, kept, strict=True):
                if isinstance(argument, torch.Tensor):
                    argument.copy_(before)  # a pass works in place: it must not be applied to half of its result
            return pass_(*arguments)
        finally:
            slow.cancel()
        worked.set()
        return found

    return either  # type: ignore[return-value]


_FAILED = threading.Event()
SECONDS_UNTIL_SAID = 3.0


@contextmanager
def _quiet() -> Iterator[None]:
    """What PyTorch logs of a damaged cache, which it goes round, is no concern of whoever runs a study."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.ERROR))
    try:
        yield
    finally:
        logging.disable(before)


@cache
def _say_once(text: str) -> None:
    cli.note(text)


def _fall_back(error: Exception) -> None:
    """Plain passes from now on. The reason is the compiler's first line that names an error."""
    _FAILED.set()
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "error:" in line or "No space" in line), lines[0] if lines else "")
    kept = os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")  # set by PyTorch where it was not
    _say_once("the passes cannot be compiled here, so plain ones are used, slower and with the same results "
              f"({type(error).__name__}: {reason[:160]})"
              + f"; if a compilation was cut off before, delete {kept}" * bool(kept))


class Passes:
    """The passes, either all compiled or none; attributes have the names of the functions above."""

    def __init__(self, compiled: bool, device: str = "cpu"):
        threads = torch.get_num_threads()

        def one(pass_: Pass) -> Pass:
            return fused(pass_, threads, device) if compiled else pass_

        self.compiled = compiled
        self.oracle_pass, self.weights = one(oracle_pass), one(weights)
        self.learning_pass, self.mixed_pass = one(learning_pass), one(mixed_pass)
        self.shrink_pass, self.uncertainty_pass = one(shrink_pass), one(uncertainty_pass)

    @staticmethod
    def for_work(cells: float, device: str) -> Passes:
        """Compiled if that is possible and `cells` (rows × questions × steps) make it worthwhile."""
        return Passes(cells >= COMPILING_PAYS_FROM and can_compile(device), device)

    @staticmethod
    def side_by_side(cells: float, device: str) -> Passes:
        """The same for jobs that run one per core (`parallel.side_by_side`): compiled for the one thread they have."""
        with one_thread_each(device):
            return Passes.for_work(cells, device)
