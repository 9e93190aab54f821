"""The passes over rows × questions: what a step needs from every question, summed block by block.

To draw a question by inverse CDF from one uniform number, only the scores' sums over blocks of questions are
needed, and then the scores inside the one block in which the draw falls. Where the policy allows, the scores
are therefore never stored: each pass below reads the logits once and writes sums. The functions are plain
PyTorch; where that pays, each is one loop, in C on the CPU (`loops`), by torch.compile on CUDA (`fused`), whose results
are the same up to rounding.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import TypeVar

import torch

from .. import cli
from .loops import BLOCK, LOGIT_CAP, P_FLOOR, built, for_work

__all__ = ["BLOCK", "LOGIT_CAP", "P_FLOOR", "Passes", "root_variance"]


def root_w_and_p(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """√(p(1−p)) and p from one exponential, both 0 where the logit is −∞.

    With e = e^{−|x|/2}: √(p(1−p)) = e/(1+e²), accurate where p rounds to 1; p = 1/(1+e²) or e²/(1+e²).
    """
    half, larger, closed = _halved(logits)
    smaller = (half * half).mul_(larger).masked_fill_(closed, 0.0)
    return half.mul_(larger).masked_fill_(closed, 0.0), torch.where(logits >= 0, larger, smaller)


def _halved(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """e^{−|x|/2}, the larger of p and 1 − p, and whether the logit is −∞."""
    half = logits.abs().clamp_max_(LOGIT_CAP).mul_(-0.5).exp_()
    return half, (half * half).add_(1).reciprocal_(), torch.isneginf(logits)


def root_variance(logits: torch.Tensor) -> torch.Tensor:
    """√w = √(p(1−p)), the shape of the logits."""
    half, larger, closed = _halved(logits)
    return half.mul_(larger).masked_fill_(closed, 0.0)


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


# --- one loop each -------------------------------------------------------------------------------------

COMPILING_PAYS_FROM = 5e9  # rows × questions × steps on CUDA; below, compiling takes longer than it saves
SECONDS_UNTIL_SAID = 3.0


def can_compile() -> bool:
    """Whether torch.compile has what it needs on CUDA: Triton, and a C compiler to build what Triton launches with."""
    from torch.utils._triton import has_triton

    return has_triton() and any(map(shutil.which, ("cc", "gcc", "clang")))


Pass = TypeVar("Pass", bound=Callable[..., object])


@cache
def fused(pass_: Pass) -> Pass:
    """The pass compiled into one loop. What can be compiled shows only at the first call; where it cannot, the plain
    pass is called, from then on for every pass."""
    worked = threading.Event()

    @cache
    def compiled() -> Callable[..., object]:
        return torch.compile(pass_, dynamic=True)

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
    _say_once("the passes cannot be compiled here, so plain ones are used, slower and with the same results "
              f"({type(error).__name__}: {reason[:160]})")


class Passes:
    """The passes, either all as one loop each or all plain; attributes have the names of the functions above.

    compiled  whether they are to be loops, which on the CPU take float32 only; afterwards whether they are: without a C
              compiler they are plain
    loops     those in C, which have more than the passes; None for all others
    """

    def __init__(self, compiled: bool, device: str = "cpu"):
        self.loops = built() if compiled and device == "cpu" else None
        self.compiled = self.loops is not None if device == "cpu" else compiled

        def one(pass_: Pass) -> Pass:
            if self.loops is not None:
                return getattr(self.loops, pass_.__name__)
            return fused(pass_) if self.compiled else pass_

        self.oracle_pass, self.weights = one(oracle_pass), one(weights)
        self.learning_pass, self.mixed_pass = one(learning_pass), one(mixed_pass)
        self.shrink_pass, self.uncertainty_pass = one(shrink_pass), one(uncertainty_pass)

    @staticmethod
    def for_work(cells: float, device: str, dtype: torch.dtype = torch.float32) -> Passes:
        """Loops if that is possible and `cells` (rows × questions × steps) make it worthwhile."""
        if device == "cpu":
            return Passes(dtype == torch.float32 and for_work(cells) is not None)
        return Passes(cells >= COMPILING_PAYS_FROM and can_compile(), device)
