"""Does the history mislead? What the answers of an evaluation say of the predictions that it was made with.

Intervals are valid whatever the history is; a bad one only makes them wide. Whether it does is seen in the answers:

    gain        (1 − T/N) Ŝ²/T ÷ V: the variance with T random questions over that of the estimate, with Ŝ² the variance
                of the scores estimated from the same answers, and raised where surprises are rare as V is: else nothing
                seems worse than random questions to a model that has all right. Of a large bank as many times more
                random questions would have been needed for this interval; of any, T' with 1/T' − 1/N =
                (1/T − 1/N) / gain
    surprise    Σ (z − p) / √(d Σ w): the sum of right answers against the predictions; ± 1 where they are right
    dispersion  1 + Σ (z − p)(1 − 2p) / Σ w: the squared residuals against their expectation, 1 where predictions are
                right and more where they are too sure. For 0/1 scores it is Σ (z − p)² / Σ w.
    distance    of the estimate from the history's mean accuracy, in standard deviations of the history's models
    trust       the share of the bank of whose outcomes the predictor was SURE (`Trust`), and how many of those it was
                tried on

The history is said to mislead when the gain is less than SHORT of what it promises (`Promise`) and the answers
contradict it: the estimate is beyond the accuracies of all its models and at a distance of more than FAR, or surprise
and standardised excess of the dispersion together are beyond CONTRADICTED, or the interval is wider than that of random
questions (a gain below HURTS, from SURE questions on and where STEADY surprises were to be expected). Of answers
that are all alike neither gain nor distance says anything. Else a small gain alone is no reason, as it varies from
model to model, nor is a contradiction alone, as large samples contradict every model.

Something else is a history that is taken at its word. Where nearly all of the bank seems certain, few of its questions
are asked, and until one of them comes out otherwise nothing shows that others might; the interval covers as if none
did (docs/rounds.md, Limits). So where most of the bank is certain and the interval is narrower than what the answers
rule out, that is said (`Trust.rests`).

Measured on the five development boards (`python benchmarks/misleading_history.py`, table in docs/own_data.md), means
over boards: it is set for 2.7–3.7 % of the models of random halves (at most 6.3 % on one board at one budget); with the
weakest third of the models as history of the strongest for 40 % at 20 questions and 57 % at 100, the other way round
for 49 % and 71 %; of models whose answers are dealt to other questions for 23 % and 77 %. It is meant for one look.
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
from .unseen import alike

# Chosen on random halves and thirds by accuracy of the five development boards.
SHORT = 0.75        # of the promised gain
FAR = 2.0           # standard deviations of the history's accuracies
CONTRADICTED = 5.0  # √(surprise² + excess²), standardised
HURTS, SURE = 0.9, 100
STEADY = 4.0        # surprises expected among the answers: with fewer, a gain below HURTS may be chance
NARROWER = 1.2      # a gain below this is said to be none
LEAST = 20          # answers: before that nothing is said
SURE_OF = 0.01      # a prediction this close to 0 or 1 takes the outcome for certain
OTHERWISE = 0.1     # by as much an outcome that was taken for certain is another one
MOST_OF = 0.5       # of the bank, from which on what is taken for certain matters
RULED_OUT = 0.95    # with this confidence
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


class Trust(NamedTuple):
    """What an evaluation takes the history's word for, (rows,) each.

    share  of the bank's questions of whose outcomes the predictor was sure, estimated from those asked
    asked  of these, and those of them that came out otherwise
    rests  whether most of the bank is such, nothing came out otherwise, and what that leaves possible is more than the
           half-width: share · (1 − .05^(1/(asked + 1))), the rule of three
    """

    share: np.ndarray
    asked: np.ndarray
    otherwise: np.ndarray
    rests: np.ndarray

    @staticmethod
    def of(rounds: Sequence[Round], found: RoundEstimate) -> Trust:
        sure = [np.minimum(one.p, 1 - one.p) < SURE_OF for one in rounds]
        before, share = np.zeros(len(sure[0])), np.zeros(len(sure[0]))
        for weight, one, here in zip(weights(rounds), rounds, sure, strict=True):
            share += weight * (before + (here / one.pi).sum(1)) / rounds[0].n_open
            before = before + here.sum(1)
        share = np.clip(share, before / rounds[0].n_open, 1)
        otherwise = sum((here & (np.abs(one.answers - one.p) > OTHERWISE)).sum(1)
                        for one, here in zip(rounds, sure, strict=True))
        rests = (share > MOST_OF) & (otherwise == 0) & (share * possible(before) > found.interval().width / 2)
        return Trust(share, before, np.asarray(otherwise), rests)


def possible(asked: np.ndarray | float) -> np.ndarray | float:
    """The largest share of the others that none of so many answers rules out."""
    return 1 - (1 - RULED_OUT) ** (1 / (np.asarray(asked) + 1))


class Diagnoses(NamedTuple):
    """Of many evaluations, (rows,) each; NaN where nothing can be said. See the module.

    excess   of the dispersion, standardised
    beyond   whether the estimate is beyond the accuracies of all the history's models
    asked    questions
    trust    None where it was not looked at
    surprises  that the predictor expects among the answers, ν_s of `round_estimates`
    alike    whether all answers are (`unseen`): only the predictions can then be contradicted
    """

    gain: np.ndarray
    surprise: np.ndarray
    dispersion: np.ndarray
    excess: np.ndarray
    distance: np.ndarray
    beyond: np.ndarray
    asked: int
    trust: Trust | None = None
    surprises: np.ndarray | float = np.inf
    alike: np.ndarray | bool = False

    def misled(self, promise: Promise) -> np.ndarray:
        """(rows,) bool."""
        surprising = np.hypot(self.surprise, np.maximum(self.excess, 0)) > CONTRADICTED
        hurt = (self.gain < HURTS) & (self.asked >= SURE) & (self.surprises >= STEADY)
        far = self.beyond & (np.abs(self.distance) > FAR)
        contradicted = surprising | ((far | hurt) & ~np.asarray(self.alike))
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
                     distance, (found.theta < promise.least) | (found.theta > promise.most), asked,
                     Trust.of(rounds, found), found.surprises, alike(answers))


def _population_variance(rounds: Sequence[Round], found: RoundEstimate) -> np.ndarray:
    """(rows,) S² of the bank's scores: θ̂ (1 − θ̂) less the mean of z (1 − z), which is 0 for 0/1 scores; that mean from
    the answers known before each round and, of the open questions, the ratio Σ z(1−z)/π ÷ Σ 1/π of those asked.
    No less than if what the predictor expects counted for one surprise beside the ν_s expected among the answers."""
    n_questions = rounds[0].n_open
    mean = np.clip(found.theta, found.known / n_questions, (found.known + found.n_open) / n_questions)
    known, partial = 0.0, 0.0
    for weight, one in zip(weights(rounds), rounds, strict=True):
        graded = one.answers * (1 - one.answers)
        partial = partial + weight * (known + one.n_open * (graded / one.pi).sum(1) / (1 / one.pi).sum(1))
        known = known + graded.sum(1)
    variance = np.maximum(mean * (1 - mean) - partial / n_questions, 0)
    expected = rounds[-1].known[:, 0] / n_questions  # of the mean, before the last round
    lifted = (dispersion(rounds) * expected * (1 - expected) + found.surprises * variance) / (1 + found.surprises)
    return np.maximum(variance, lifted) * n_questions / max(n_questions - 1, 1)


@dataclass(frozen=True)
class HistoryDiagnosis:
    """Of one evaluation: how its history has served it. None where nothing can be said.

    gain        the variance with as many random questions over the estimate's; None where all answers are alike, of
                which random questions would say as little. promised: what the history led to expect
    surprise, dispersion, distance  see the module
    misleads    whether it is said to mislead
    trusted, trusted_asked  share of the bank that it is taken at its word for, and how many of those were asked
    on_trust    whether the interval rests on that (`Trust.rests`)
    sentence    why one or the other, or ""
    """

    gain: float | None
    promised: float
    surprise: float
    dispersion: float
    distance: float
    misleads: bool
    sentence: str = ""
    trusted: float = 0.0
    trusted_asked: int = 0
    on_trust: bool = False

    @staticmethod
    def of(found: Diagnoses, promise: Promise, row: int = 0, told: bool = True) -> HistoryDiagnosis:
        """told: whether there is a history, as nothing is said of none."""
        gain, misleads, trust = float(found.gain[row]), told and bool(found.misled(promise)[row]), found.trust
        share, tried, rests = (0.0, 0, False) if trust is None else (
            float(trust.share[row]), int(trust.asked[row]), told and bool(trust.rests[row]) and found.asked >= LEAST)
        sentences = [_sentence(gain, promise)] * misleads + [_trusting(share, tried)] * rests
        same = bool(np.broadcast_to(found.alike, found.gain.shape)[row])
        return HistoryDiagnosis(gain if np.isfinite(gain) and not same else None, promise.gain,
                                float(found.surprise[row]), float(found.dispersion[row]), float(found.distance[row]),
                                misleads, "; ".join(sentences), share, tried, rests)


def _sentence(gain: float, promise: Promise) -> str:
    worth = ("no narrower than with random questions" if gain < NARROWER else
             f"as narrow as with {gain:.1f} times as many random questions, not the promised {promise.gain:.1f}")
    return f"the history predicts this model badly: intervals are valid but {worth}"


def _trusting(share: float, asked: int) -> str:
    return (f"the history is taken at its word for {share:.0%} of the questions: {asked} of them were asked and came "
            f"out as expected, which leaves possible that up to {possible(asked):.0%} of the others do not; the "
            "interval does not allow for that")
