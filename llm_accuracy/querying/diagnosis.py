"""Does the history mislead? What the answers of an evaluation say of the predictions that it was made with.

Intervals are valid whatever the history is; a bad one only makes them wide. Whether it does is seen in the answers:

    gain        (1 − T/N) Ŝ²/T ÷ V: as many times more random questions would have been needed for this interval, with
                Ŝ² the variance of the scores estimated from the same answers
    surprise    Σ (z − p) / √(d Σ w): the sum of right answers against the predictions; ± 1 where they are right
    dispersion  1 + Σ (z − p)(1 − 2p) / Σ w: the squared residuals against their expectation, 1 where predictions are
                right and more where they are too sure. For 0/1 scores it is Σ (z − p)² / Σ w.
    distance    of the estimate from the history's mean accuracy, in standard deviations of the history's models

The history is said to mislead when the gain is less than SHORT of what it promises (`Promise`) and the answers
contradict it: the estimate is beyond the accuracies of all its models and at a distance of more than FAR, or surprise
and standardised excess of the dispersion together are beyond CONTRADICTED, or the interval is wider than that of random
questions (a gain below HURTS, from SURE questions on). Else a small gain alone is no reason, as it varies from model to
model, nor is a contradiction alone, as large samples contradict every model.

Measured on the five development boards (`python benchmarks/misleading_history.py`, table in docs/own_data.md), means
over boards: it is set for 2.9–4.1 % of the models of random halves (at most 6.1 % on one board at one budget); with the
weakest third of the models as history of the strongest for 43 % at 20 questions and 57 % at 100, the other way round
for 49 % and 72 %; of models whose answers are dealt to other questions for 25 % and 80 %. It is meant for one look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from .factors import Factors
from .round_estimates import RoundEstimate, dispersion, weights
from .rounds import Round

# Chosen on random halves and thirds by accuracy of the five development boards.
SHORT = 0.75        # of the promised gain
FAR = 2.0           # standard deviations of the history's accuracies
CONTRADICTED = 5.0  # √(surprise² + excess²), standardised
HURTS, SURE = 0.9, 100
NARROWER = 1.2      # a gain below this is said to be none
LEAST = 20          # answers: before that nothing is said
SAMPLED = 10_000    # questions that a promise is computed from
TINY = np.finfo(float).tiny


class Promise(NamedTuple):
    """What the history's own models lead one to expect of a new one, by the factor model.

    accuracy, spread  mean and standard deviation of their accuracies
    least, most       of them
    gain              median over them of p̄ (1 − p̄) / (mean of √(p (1 − p)))²: random questions that one well-chosen
                      question is worth to somebody who knows p
    """

    accuracy: float
    spread: float
    least: float
    most: float
    gain: float

    @staticmethod
    def of(factors: Factors) -> Promise:
        """From all its models, on at most SAMPLED questions, evenly taken."""
        chosen = np.linspace(0, len(factors.V) - 1, min(SAMPLED, len(factors.V))).astype(int)
        p = special.expit(factors.U.astype(float) @ factors.V[chosen].T)
        accuracy, each = p.mean(1), np.sqrt(p * (1 - p)).mean(1)
        spread = accuracy.std(ddof=1) if len(accuracy) > 1 else np.inf
        return Promise(float(accuracy.mean()), float(spread), float(accuracy.min()), float(accuracy.max()),
                       float(np.median(accuracy * (1 - accuracy) / np.maximum(each**2, TINY))))


class Diagnoses(NamedTuple):
    """Of many evaluations, (rows,) each; NaN where nothing can be said. See the module.

    excess   of the dispersion, standardised
    beyond   whether the estimate is beyond the accuracies of all the history's models
    asked    questions
    """

    gain: np.ndarray
    surprise: np.ndarray
    dispersion: np.ndarray
    excess: np.ndarray
    distance: np.ndarray
    beyond: np.ndarray
    asked: int

    def misled(self, promise: Promise) -> np.ndarray:
        """(rows,) bool."""
        surprising = np.hypot(self.surprise, np.maximum(self.excess, 0)) > CONTRADICTED
        hurt = (self.gain < HURTS) & (self.asked >= SURE)
        contradicted = (self.beyond & (np.abs(self.distance) > FAR)) | surprising | hurt
        return (self.gain < SHORT * promise.gain) & contradicted & (self.asked >= LEAST)


def diagnose(rounds: Sequence[Round], found: RoundEstimate, promise: Promise) -> Diagnoses:
    """What the answers of rounds say, with the estimate that was made of them."""
    answers, p, variance = (np.concatenate([getattr(one, field) for one in rounds], 1)
                            for field in ("answers", "p", "variance"))
    asked, n_questions, d = answers.shape[1], rounds[0].n_open, dispersion(rounds)
    residual = answers - p
    total = np.maximum(variance.sum(1), TINY)
    excess, of_excess = (residual * (1 - 2 * p)).sum(1), np.maximum((variance * (1 - 2 * p) ** 2).sum(1), TINY)
    random = (1 - asked / n_questions) * _population_variance(rounds, found) / asked
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(np.isfinite(found.se), random / found.se**2, np.nan)
    distance = (found.theta - promise.accuracy) / np.hypot(promise.spread, np.where(np.isfinite(found.se), found.se,
                                                                                     np.inf))
    return Diagnoses(gain, residual.sum(1) / np.sqrt(d * total), 1 + excess / total, excess / np.sqrt(d * of_excess),
                     distance, (found.theta < promise.least) | (found.theta > promise.most), asked)


def _population_variance(rounds: Sequence[Round], found: RoundEstimate) -> np.ndarray:
    """(rows,) S² of the bank's scores: θ̂ (1 − θ̂) less the mean of z (1 − z), which is 0 for 0/1 scores; that mean from
    the answers known before each round and, of the open questions, the ratio Σ z(1−z)/π ÷ Σ 1/π of those asked."""
    n_questions = rounds[0].n_open
    mean = np.clip(found.theta, found.known / n_questions, (found.known + found.n_open) / n_questions)
    known, partial = 0.0, 0.0
    for weight, one in zip(weights(rounds), rounds, strict=True):
        graded = one.answers * (1 - one.answers)
        partial = partial + weight * (known + one.n_open * (graded / one.pi).sum(1) / (1 / one.pi).sum(1))
        known = known + graded.sum(1)
    return np.maximum(mean * (1 - mean) - partial / n_questions, 0) * n_questions / max(n_questions - 1, 1)


@dataclass(frozen=True)
class HistoryDiagnosis:
    """Of one evaluation: how its history has served it. None where nothing can be said.

    gain        as many times more random questions would have been needed; promised: what the history led to expect
    surprise, dispersion, distance  see the module
    misleads    whether it is said to mislead, and in one sentence why (or "")
    """

    gain: float | None
    promised: float
    surprise: float
    dispersion: float
    distance: float
    misleads: bool
    sentence: str = ""

    @staticmethod
    def of(found: Diagnoses, promise: Promise, row: int = 0) -> HistoryDiagnosis:
        gain = float(found.gain[row])
        misleads = bool(found.misled(promise)[row])
        return HistoryDiagnosis(gain if np.isfinite(gain) else None, promise.gain, float(found.surprise[row]),
                                float(found.dispersion[row]), float(found.distance[row]), misleads,
                                _sentence(gain, promise) if misleads else "")


def _sentence(gain: float, promise: Promise) -> str:
    worth = ("no narrower than with random questions" if gain < NARROWER else
             f"as narrow as with {gain:.1f} times as many random questions, not the promised {promise.gain:.1f}")
    return f"the history predicts this model badly: intervals are valid but {worth}"
