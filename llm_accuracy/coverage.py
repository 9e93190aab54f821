"""Who is covered: every model's share of covering intervals, smoothed over its neighbours, and what luck does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from .errors import InputError
from .responses import Responses
from .settings import ALPHA

ARM = ["dataset", "scenario", "budget", "method", "sampling", "variance"]
PUBLISHED_NEIGHBOURS, PUBLISHED_MODELS = 501, 2213  # the window of arXiv 2601.20251 and its new models


def per_model(log: pd.DataFrame, new: Responses) -> pd.DataFrame:
    """One row per arm and new model: its coverage over the seeds, release date and accuracy.

    log  rows of a per-model log, all of one dataset; several settings of one arm are told apart by `setting`
    Raises InputError if the log was made with other models than `new`.
    """
    accuracy = new.accuracy()
    tables = []
    for key, rows in log.groupby([*ARM, "setting"], sort=False):
        covered = np.array([[character == "1" for character in bits] for bits in rows["covered"]])  # (seeds, models)
        if covered.shape[1] > new.n_models:
            raise InputError(f"the log knows {covered.shape[1]} new models of {key[0]}, {new.source} has "
                             f"{new.n_models}: they are not the same models")
        models = slice(covered.shape[1])
        tables.append(pd.DataFrame({
            **dict(zip([*ARM, "setting"], key, strict=True)), "model": new.models[models],
            "created_date": new.dates[models], "accuracy": accuracy[models], "seeds": len(covered),
            "coverage": covered.mean(0)}))
    return pd.concat(tables, ignore_index=True)


def neighbours(models: int) -> int:
    """The published window holds 501 of 2,213 models; of fewer models the same share, an odd number, at least 5."""
    scaled = round(PUBLISHED_NEIGHBOURS * min(1.0, models / PUBLISHED_MODELS))
    return max(5, scaled + 1 - scaled % 2)


def smooth(values: np.ndarray, window: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of every value's neighbours in the given order, Gaussian weights of their rank
    distance with standard deviation window/6, window values wide and cut off at the ends.

    values (M,) → (M,), (M,); window defaults to `neighbours(M)`.
    """
    window = window or neighbours(len(values))
    distance = np.subtract.outer(np.arange(len(values)), np.arange(len(values)))
    weight = np.where(abs(distance) <= window // 2, np.exp(-0.5 * (distance / (window / 6)) ** 2), 0.0)
    weight /= weight.sum(1, keepdims=True)
    mean = weight @ values
    return mean, np.sqrt(np.maximum(weight @ values**2 - mean**2, 0))


def luck(models: int, seeds: int, share: float = 0.5, alpha: float = ALPHA) -> float:
    """The coverage that the worst of `models` models has over `seeds` intervals if every interval covers with
    probability 1−α: its quantile `share` (½: the median).

    The worst of M independent binomial counts is at most k with probability 1 − (1 − F(k))^M.
    """
    counts = np.arange(seeds + 1)
    at_most = -np.expm1(models * np.log1p(-np.minimum(stats.binom.cdf(counts, seeds, 1 - alpha), 1 - 1e-16)))
    return float(counts[np.searchsorted(at_most, share)]) / seeds
