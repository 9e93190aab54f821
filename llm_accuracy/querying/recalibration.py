"""Predictions that yield when answers contradict them.

A history can mislead: its weak models are sure of questions that a strong one gets right. So from every answer so far
and the probability p that was predicted before it came, a logistic line is fitted,

    logit p' = a + b logit p,       a ~ N(0, LEVEL²), b ~ N(1, SLOPE²),

and p' is what the design is given. An answer counts half as much with every round after its own: the predictor beneath
has learned from it by then. Every p' is made of answers that are there before its questions are asked, so the estimate
stays exactly unbiased (`rounds`).

On the five development boards ESS by width is what it is without on random halves (+ .5 %), 3 to 6 % more from weak to
strong models and 5 to 12 % more from strong to weak (`python benchmarks/misleading_history.py`, docs/own_data.md).
"""

from __future__ import annotations

import torch

from .predictors import OfScores, Predictor

LEVEL, SLOPE = 0.5, 0.15  # prior standard deviations of a and b
FADING = 0.5              # an answer's weight with every later round
LONGEST = 6.0             # |logit| of a prediction beyond this is taken as this: one surprise must not say all
NEWTON_STEPS = 5


class Recalibrated:
    """A predictor of scores in [0, 1] whose predictions are recalibrated by the answers of each row."""

    def __init__(self, predictor: Predictor):
        self.predictor, self.outcomes = predictor, predictor.outcomes
        self._predicted: torch.Tensor | None = None  # (rows, N) logits of the one beneath, until it learns
        self._line: torch.Tensor | None = None  # (rows, 2): a, b
        self._logits: list[torch.Tensor] = []  # a round each, (rows, B)

    def predict(self) -> OfScores:
        logits = self._beneath()
        if self._line is not None:
            line = self._line.to(logits)
            logits = line[:, :1] + line[:, 1:] * logits
        return OfScores(torch.sigmoid(logits))

    def learn(self, asked: torch.Tensor, answers: torch.Tensor) -> None:
        known = sum(logits.shape[1] for logits in self._logits)
        if asked.shape[1] > known:
            self._logits.append(self._beneath().gather(1, asked[:, known:]).to(torch.float64).clamp(-LONGEST, LONGEST))
            self._line = self._fitted(answers.to(torch.float64))
        self.predictor.learn(asked, answers)
        self._predicted = None

    def _beneath(self) -> torch.Tensor:
        if self._predicted is None:
            self._predicted = torch.logit(self.predictor.predict().mean, eps=1e-6)
        return self._predicted

    def _fitted(self, answers: torch.Tensor) -> torch.Tensor:
        logits = torch.cat(self._logits, 1)
        like = {"dtype": logits.dtype, "device": logits.device}
        weight = torch.cat([torch.full((one.shape[1],), FADING**age, **like)
                            for age, one in zip(range(len(self._logits) - 1, -1, -1), self._logits, strict=True)])
        x = torch.stack([torch.ones_like(logits), logits], 2)
        centre = torch.tensor([0.0, 1.0], **like)
        precision = torch.diag(torch.tensor([LEVEL**-2, SLOPE**-2], **like))
        line = centre.repeat(len(logits), 1) if self._line is None else self._line
        for _ in range(NEWTON_STEPS):
            p = torch.sigmoid((x @ line.unsqueeze(2)).squeeze(2))
            curvature = precision + (x * (weight * p * (1 - p)).unsqueeze(2)).transpose(1, 2) @ x
            slope = ((weight * (answers - p)).unsqueeze(1) @ x).squeeze(1) - (line - centre) @ precision
            line = line + torch.linalg.solve(curvature, slope.unsqueeze(2)).squeeze(2)
        return torch.stack([line[:, 0], line[:, 1].clamp_min(0)], 1)
