"""Hiding parts of a dataset's history, scenario by scenario, and measuring how much remains visible."""

from __future__ import annotations

import numpy as np

from ..randomness import stream
from .dataset import Dataset
from .matrix import Responses, write_matrix
from .scenario import ALL_OBSERVED, Scenario, mask, write_mask


def hide(dataset: Dataset, scenario: Scenario, full: Responses) -> str:
    """Draw and write a scenario's mask if it has neither a mask nor a CSV of its own; returns where its data come from.

    full  the whole history, M1
    """
    path = dataset.mask_path(scenario)
    if scenario == ALL_OBSERVED:
        return "M1.csv"
    if dataset.has_table(scenario):
        return f"M1_{scenario.key}.csv"
    if not path.is_file():
        rng = stream("missingness", dataset.name, scenario.key)
        write_mask(path, mask(full.scores.shape, scenario, rng))
    return "mask"


def write_table(dataset: Dataset, scenario: Scenario, seen: Responses) -> None:
    """Write M1 as seen in a scenario to a CSV of its own, if there is none yet."""
    path = dataset.folder / f"M1_{scenario.key}.csv"
    if not path.is_file():
        write_matrix(path, seen)


def shares(full: Responses, seen: Responses, scenario: Scenario) -> tuple[float, float, float]:
    """(observed, expected, z): the share of M1's entries that is seen, the expected share, and their difference in
    standard errors; only entries outside the fully seen rows are random."""
    known = full.observed
    n_full = full.n_models if scenario == ALL_OBSERVED else min(scenario.n_full or 0, full.n_models)
    expected = (n_full + (full.n_models - n_full) * scenario.p) / full.n_models
    observed = seen.observed[known].mean()
    error = np.sqrt((1 - n_full / full.n_models) * scenario.p * (1 - scenario.p) / known.sum())
    return float(observed), expected, float((observed - expected) / error) if error > 0 else 0.0
