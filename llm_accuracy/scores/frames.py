"""Tables of pandas → arrays of scores, or an error that names the first bad cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api.types import is_complex_dtype, is_numeric_dtype

from ..errors import InputError
from .score_values import MATRIX

MISSING = -1
NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


def scores_of_frame(frame: pd.DataFrame, source: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(models (M,) str, questions (N,) str, scores (M, N) int8 with -1 or float32 with NaN for missing).

    Raises InputError as `Responses.from_frame` says.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"{source}: a DataFrame of models × questions is needed, not a {type(frame).__name__}")
    if frame.empty:
        raise InputError(f"{source}: the table has {len(frame)} models and {frame.shape[1]} questions: none to read")
    if "model" in frame.columns and frame.index.name is None:
        raise InputError(f"{source}: the models must be the index: frame.set_index('model')")
    models, questions = _names(frame.index, "model", source), _names(frame.columns, "question", source)
    scores = np.empty(frame.shape, np.float32)
    for j in range(frame.shape[1]):
        scores[:, j] = _column(frame.iloc[:, j], models, str(questions[j]), source)
    if np.isin(scores[~np.isnan(scores)], (0, 1)).all():
        return models, questions, np.where(np.isnan(scores), MISSING, scores).astype(np.int8)
    return models, questions, scores


def _names(index: pd.Index, what: str, source: str) -> np.ndarray:
    if index.nlevels > 1:
        raise InputError(f"{source}: the {what}s have {index.nlevels} levels of names; join them into one")
    if index.hasnans or "" in index:
        raise InputError(f"{source}: a {what} without a name; name every one")
    return index.astype(str).to_numpy(str)


def _column(column: pd.Series, models: np.ndarray, question: str, source: str) -> np.ndarray:
    """One question's scores, (M,) float64, NaN = missing."""
    given = np.flatnonzero(column.notna())
    values = np.full(len(column), np.nan)
    if is_numeric_dtype(column.dtype) and not is_complex_dtype(column.dtype):
        values[given] = column.iloc[given].to_numpy(float)
    else:
        for i in given:
            value = column.iloc[i]
            is_score = isinstance(value, NUMBERS) and MATRIX.low <= value <= MATRIX.high
            values[i] = value if is_score else np.inf
    fits = (values[given] >= MATRIX.low) & (values[given] <= MATRIX.high)
    if not fits.all():
        i = given[~fits][0]
        value = column.iloc[i]
        shown = repr(value.item() if isinstance(value, np.generic) else value)
        raise InputError(f"{source}: {models[i]}, column {question}: {shown:.60} is not a score: a number in [0, 1], a "
                         "boolean or a missing value is needed")
    return values
