"""What callers of the Python functions give: scores, clusters, counts and settings, checked before anything is computed
from them. A mask, a word or a clustering that is not what it is taken for would be a verdict about something else."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..errors import InputError
from .defaults import INTERVALS, MOST_COUNTED, check_alpha, check_margin


def score_vector(given: Any, name: str) -> np.ndarray:
    """Numbers or truth values (n,) as an array. Raises InputError for anything else, and for missing scores."""
    if np.ma.isMaskedArray(given) and np.ma.getmaskarray(given).any():
        raise InputError(f"{name}: {int(np.ma.getmaskarray(given).sum()):,} scores are masked: give each a score (0 "
                         "where the model failed), or leave it out of both and say so")
    try:
        scores = np.asarray(given)
    except ValueError:
        raise InputError(f"{name}: lists of different lengths, where a number an item is needed") from None
    if scores.dtype.kind in "biuf":
        return scores
    if scores.dtype.kind == "O" and scores.ndim == 1:
        for at, score in enumerate(scores):
            if isinstance(score, (str, bytes, complex)) or score is None:
                raise InputError(f"{name}: item {at} is {score!r}: every score must be a number")
        try:
            return scores.astype(float)
        except (TypeError, ValueError):
            pass
    raise InputError(f"{name}: a vector of numbers is needed, found {type(given).__name__} of {scores.dtype}")


def cluster_codes(given: Any, n: int) -> np.ndarray:
    """Codes 0 … G−1 (n,) of any labels. Raises InputError for another number of labels, and for a missing one."""
    import pandas as pd

    labels = np.asarray(given)
    if labels.shape != (n,):
        raise InputError(f"need one cluster code for each of the {n} items, got {labels.shape}")
    codes = pd.factorize(labels)[0]
    if (codes < 0).any():
        raise InputError(f"clusters: item {int(np.argmax(codes < 0))} has none: give every item a label")
    return codes


def check_answers(answers: tuple[Any, Any] | None, n: int) -> None:
    """Raise InputError unless the scores of every run are two arrays (n, runs)."""
    if answers is None:
        return
    if not isinstance(answers, tuple | list):
        raise InputError(f"answers = {answers!r}: two arrays ({n}, runs) are needed")
    shapes = [np.shape(one) for one in answers]
    if len(shapes) != 2 or any(len(shape) != 2 or shape[0] != n or not shape[1] for shape in shapes):
        raise InputError(f"answers: two arrays ({n}, runs) are needed, got {', '.join(map(str, shapes))}")


def count(value: Any, name: str) -> int:
    """A whole number from 0 to MOST_COUNTED. Raises InputError for anything else."""
    try:
        whole = operator.index(value)
    except TypeError:
        whole = int(value) if isinstance(value, float) and value.is_integer() else -1
    if not 0 <= whole <= MOST_COUNTED:
        raise InputError(f"{name} = {value!r}: a whole number from 0 to {MOST_COUNTED:,} is needed")
    return whole


def check_settings(alpha: float, margin: float, interval: str, higher_is_better: bool = True, draws: int = 1,
                   seed: int = 0) -> None:
    """Raise InputError for a setting that is not of its kind, or out of range."""
    check_alpha(alpha)
    check_margin(margin)
    if interval not in INTERVALS:
        raise InputError(f"interval = {interval!r}: {' or '.join(INTERVALS)}")
    if not isinstance(higher_is_better, (bool, np.bool_)):
        raise InputError(f"higher_is_better = {higher_is_better!r}: True or False is needed")
    for name, value, least in (("draws", draws, 1), ("seed", seed, 0)):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} = {value!r}: a whole number of {least} or more is needed")
