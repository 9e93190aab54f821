"""What a row was computed from, as short fingerprints: it changes whenever names, scores, factors or constants do."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from ..querying import confidence_sequence, estimates, mixture, recalibration, round_estimates
from ..querying.factors import Factors
from ..querying.protocols import PROTOCOLS
from ..querying.setting import ALPHA
from ..scores.matrix import Responses

ENGINE = 1  # raised when a trial of the same key would come out otherwise and no constant below says so
DIGITS = 8  # hexadecimal, in the logs


def digest(responses: Responses) -> str:
    """Changes whenever the names or the scores do; 16 digits."""
    return _of(responses.models, responses.questions, responses.scores)


def short(fingerprint: str) -> str:
    return fingerprint[:DIGITS]


def of_factors(factors: Factors) -> str:
    return short(_of(factors.U, factors.V, factors.questions, factors.history_mean))


def of_engine(*how: object) -> str:
    """The engine's constants, and `how` else something was made."""
    return short(_of_text(how, ENGINE, ALPHA, _constants()))


def of_fitting(protocol: str, epochs: int, *how: object) -> str:
    return short(_of_text(repr(PROTOCOLS[protocol]), epochs, how))


def _constants() -> list[object]:
    return [mixture.BANDWIDTH, mixture.TEMPER, mixture.GROWTH, mixture.W_FLOOR, mixture.NEAR, estimates.PSEUDO,
            estimates.HALF_A_SURPRISE, confidence_sequence.BURN_IN, confidence_sequence.TIGHTEST,
            confidence_sequence.BOLDEST, round_estimates.PRIOR_DF, round_estimates.EXTRA_DF, round_estimates.SKEW,
            round_estimates.MOST, round_estimates.LEAST, recalibration.LEVEL, recalibration.SLOPE,
            recalibration.FADING, recalibration.LONGEST]


def _of(*arrays: np.ndarray) -> str:
    parts = hashlib.blake2b(digest_size=8)
    for array in arrays:
        parts.update(np.ascontiguousarray(array).tobytes())
    return parts.hexdigest()


def _of_text(*words: object) -> str:
    return hashlib.blake2b(json.dumps(words).encode(), digest_size=8).hexdigest()
