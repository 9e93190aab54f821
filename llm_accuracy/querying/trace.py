"""The record of an evaluation: everything its estimate is computed from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch


class Trace(NamedTuple):
    """Everything an evaluation's estimate is computed from; arrays (rows, steps), float64 unless noted.

    asked    int64, the question drawn at each step
    answers  its score
    q, p     the probability with which it was drawn and the predicted score, both before the answer
    total    Σ_j p_j over the bank; without replacement Σ_{asked before} z_j + Σ_{others} p_j
    """

    asked: np.ndarray
    answers: np.ndarray
    q: np.ndarray
    p: np.ndarray
    total: np.ndarray

    def first(self, steps: int) -> Trace:
        """The same evaluation, stopped after `steps` steps."""
        return Trace(*(column[:, :steps] for column in self))


class Step(NamedTuple):
    """One question asked of every row; arrays (rows,), float64 unless noted.

    asked     int64, the question
    q, p      its drawing probability and its predicted score
    expected  Σ_j p_j over the questions that could have been asked, including this one
    """

    asked: torch.Tensor
    q: torch.Tensor
    p: torch.Tensor
    expected: torch.Tensor
