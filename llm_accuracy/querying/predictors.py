"""What is expected of every question's outcome before it is known: the seam between models of a model and designs.

A design (`rounds`) needs of a question only the mean and three central moments of its outcome. An
outcome is a score in [0, 1], or any bounded number: the difference of two models' scores lies in [−1, 1].
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch

from .beliefs import Bank
from .factors import Prior
from .mixture import HistoryMixture


class Outcomes(NamedTuple):
    """The range in which outcomes lie."""

    low: float = 0.0
    high: float = 1.0


SCORES = Outcomes()


class Prediction(NamedTuple):
    """Of every question's outcome, (rows, N): its mean, E(z − mean)², E(z − mean)³ and E(z − mean)⁴."""

    mean: torch.Tensor
    variance: torch.Tensor
    third: torch.Tensor
    fourth: torch.Tensor

    def of_rows(self, rows: slice) -> Prediction:
        """Of some of the rows."""
        return Prediction(*(column[rows] for column in self))


class OfScores:
    """A prediction of 0/1 scores: their mean says all. The other moments are made when they are asked for, so that
    those of all rows need never be there at once."""

    def __init__(self, mean: torch.Tensor):
        self.mean = mean

    def of_rows(self, rows: slice) -> Prediction:
        """Of some of the rows."""
        p = self.mean[rows]
        variance = p * (1 - p)
        return Prediction(p, variance, variance * (1 - 2 * p), variance * (1 - 3 * variance))

    @property
    def variance(self) -> torch.Tensor:
        return self.mean * (1 - self.mean)


class Predictor(Protocol):
    """Predicts the outcomes of `rows` evaluations, and learns from all that each has answered.

    outcomes  the range of what it predicts
    """

    outcomes: Outcomes

    def learn(self, asked: torch.Tensor, answers: torch.Tensor) -> None:
        """Take all questions asked so far and their outcomes, (rows, t) each."""

    def predict(self) -> Prediction | OfScores:
        """Of all N questions; those already asked may hold anything finite."""


class FactorPredictor:
    """The history's factor model: one Gaussian about a new model's factors, or a mixture around the history's models
    (`mixture`), solved for from all answers each time.

    bank, prior  of the history's factors (`Factors`); a prior without rows is a single Gaussian
    """

    outcomes = SCORES

    def __init__(self, bank: Bank, prior: Prior, rows: int):
        self.V = bank.V[: bank.n_questions]
        self._posterior = HistoryMixture(bank.V, prior)
        self._u = torch.as_tensor(prior.mean).to(bank.V).repeat(rows, 1)

    def learn(self, asked: torch.Tensor, answers: torch.Tensor) -> None:
        if asked.shape[1]:
            self._u = self._posterior.mean(self._u, asked, answers.to(self._u.dtype))

    def predict(self) -> OfScores:
        return OfScores(torch.sigmoid(self._u @ self.V.T))
