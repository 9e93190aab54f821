"""What counts as a score: the words for right, wrong and missing, and the values that evaluation tools log."""

from __future__ import annotations

import json

import numpy as np

from ..errors import InputError

MISSING = ("", "nan", "null", "none", "na")
_WORDS = {"true": 1.0, "false": 0.0, "": np.nan, "nan": np.nan, "null": np.nan, "none": np.nan}
# Logged per item as [log-likelihood, words or bytes]; the item score becomes the log-likelihood per unit.
PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


def score_number(value, where: str) -> float:
    """One score from a CSV cell or a JSON value: a number, true/false, or NaN where it is missing."""
    if isinstance(value, str) and value.strip().lower() in MISSING:
        return float("nan")
    number = _value(value, "score", where)
    if not isinstance(number, float):
        raise InputError(f"{where}: a list is not one score")
    return number


def _value(value, metric: str, where: str):
    """One logged metric value → float (NaN where missing), a list of floats (one per instruction), or, for a
    perplexity, the pair (log-likelihood, weight). Raises InputError for what has no mean over items."""
    if value is None:
        return np.nan
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("true", "false"):
            return float(text == "true")
        try:
            return float(text)
        except ValueError:
            raise InputError(f"{where}: {metric} = {value!r} is not a number") from None
    if isinstance(value, (bool, int, float)):
        return float(value)
    numbers = isinstance(value, list) and all(isinstance(v, (int, float)) for v in value)
    if metric in PERPLEXITIES and numbers and len(value) == 2:
        return tuple(map(float, value))
    truths = {True: 1.0, False: 0.0, "True": 1.0, "False": 0.0}
    if isinstance(value, list) and value and all(isinstance(v, (bool, str)) and v in truths for v in value):
        return [truths[v] for v in value]
    raise InputError(f"{where}: {metric} = {json.dumps(value)[:60]} is not a score of one item: {metric} is "
                     "computed over the whole corpus, choose a metric that is a mean over items")
