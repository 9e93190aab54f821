"""A policy's scores of all questions at one moment: their sums by block, and the scores inside any block.

Nothing else is needed to draw a question by inverse CDF from one uniform number, so the paper's scores are never
stored.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from .beliefs import Beliefs
from .passes import BLOCK, mixed_scores, oracle_scores, power, root_w_and_p


class Survey:
    """sums, p_sums  (rows, blocks) of the scores and of p
    inside        block index (rows,) → scores (rows, BLOCK)
    stored        (rows, N) scores, if `inside` reads them instead of the logits
    scoring       what the scores of any question are made of, as `loops.draw` takes it; None of stored ones
    """

    def __init__(self, sums: torch.Tensor, p_sums: torch.Tensor, inside: Callable[[torch.Tensor], torch.Tensor],
                 stored: torch.Tensor | None = None, scoring: tuple[torch.Tensor | None, ...] | None = None):
        self.stored, self.scoring = stored, scoring
        self.sums, self.p_sums, self.inside = sums.to(torch.float64), p_sums.to(torch.float64), inside

    def drop(self, asked: torch.Tensor, p: torch.Tensor) -> None:
        """Take the asked questions, which `inside` now scores 0, and their p (rows,) out of the sums.

        The block's scores are summed again: a rounding error left by a subtraction could be drawn from an empty block.
        """
        block = asked // BLOCK
        if self.stored is not None:
            self.stored.scatter_(1, asked.unsqueeze(1), 0)
        left = self.inside(block).sum(1, keepdim=True, dtype=torch.float64)
        self.sums.scatter_(1, block.unsqueeze(1), left)
        self.p_sums.scatter_add_(1, block.unsqueeze(1), -p.unsqueeze(1)).clamp_min_(0)


def blocks(array: torch.Tensor) -> torch.Tensor:
    """(rows, N) → (rows, blocks, BLOCK)."""
    return array.view(len(array), -1, BLOCK)


def survey_oracle(beliefs: Beliefs, beta: torch.Tensor | None, row: torch.Tensor) -> Survey:
    """h = √w^β: only the sums are stored."""
    logits = blocks(beliefs.logits)
    sums, p_sums = beliefs.passes.oracle_pass(logits, None if beta is None else beta.unsqueeze(2))
    return Survey(sums, p_sums, lambda block: oracle_scores(logits[row, block], beta),
                  scoring=(logits, None, None, None, None, beta))


def survey_exploring(beliefs: Beliefs, alpha: torch.Tensor, beta: torch.Tensor | None, row: torch.Tensor) -> Survey:
    """h = ((1−α) h_o + α h_a)^β with h_o and h_a normalised: one pass for their sums, and a second one if β ≠ 1.

    Compiled passes compute √w anew, as that is cheaper than writing it down; plain ones share it.
    """
    compiled = beliefs.passes.compiled
    if compiled:
        arrays = [blocks(array) for array in (beliefs.logits, beliefs.toward_mean(), beliefs.variance)]
        oracle, learning, p_sums = beliefs.passes.learning_pass(*arrays)
    else:
        root_w, p = root_w_and_p(beliefs.logits)
        w = root_w * root_w
        arrays = [blocks(array) for array in (beliefs.logits, beliefs.toward_mean(w), beliefs.variance)]
        h_o, p_sums = blocks(root_w), blocks(p).sum(2)
        h_a = (blocks(w) * arrays[1]).mul_(arrays[1]).div_((blocks(w) * arrays[2]).add_(1))
        oracle, learning = h_o.sum(2), h_a.sum(2)
    tiny = torch.finfo(oracle.dtype).tiny
    total = learning.sum(1, keepdim=True)
    alpha = torch.where(total > 0, alpha, 0.0)  # with a certain posterior there is nothing to learn
    factors = ((1 - alpha) / oracle.sum(1, keepdim=True).clamp_min(tiny), alpha / total.clamp_min(tiny))
    wide = [factor.unsqueeze(2) for factor in factors]
    if beta is None:  # the mixture's sums are the mixture of the sums
        sums = factors[0] * oracle + factors[1] * learning
    elif compiled:
        sums = beliefs.passes.mixed_pass(*arrays, *wide, beta.unsqueeze(2))
    else:
        sums = power(h_a.mul_(wide[1]).add_(h_o.mul_(wide[0])), beta.unsqueeze(2)).sum(2)

    def inside(block: torch.Tensor) -> torch.Tensor:
        logits, toward, variance = (array[row, block] for array in arrays)
        return mixed_scores(logits, toward, variance, *factors, beta)

    return Survey(sums, p_sums, inside, scoring=(*arrays, *factors, beta))


def survey_stored(scores: torch.Tensor, beliefs: Beliefs, row: torch.Tensor) -> Survey:
    """Scores that a policy has stored, (rows, N)."""
    by_block = blocks(scores)
    return Survey(by_block.sum(2), blocks(beliefs.p).sum(2), lambda block: by_block[row, block], scores)
