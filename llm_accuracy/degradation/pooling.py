"""The items of all tasks of a suite as one pair."""

from __future__ import annotations

from typing import Any

import numpy as np

from .paired import PairedResult, judge_matched, judge_pairs
from .pairing import Completed, Pairs
from .units import units_of


def pooled_pair(suite: list[Pairs], units: np.ndarray | None, **settings: Any) -> PairedResult:
    """The items of all tasks as one; a lower-is-better score s in [0, 1] counts as 1 − s, as pooling needs one
    direction."""
    if len(suite) == 1:
        return judge_pairs(suite[0], **settings)

    def pool(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([s if p.higher_is_better else 1 - s for p, s in zip(suite, parts, strict=True)])

    completed = None
    if any(pairs.completed is not None for pairs in suite):
        filled = [_completion(pairs) for pairs in suite]
        tied, alone = units_of(filled)
        completed = Completed((pool([f.worst[0] for f in filled]), pool([f.worst[1] for f in filled])),
                              (pool([f.best[0] for f in filled]), pool([f.best[1] for f in filled])),
                              None if alone else tied)
    return judge_matched(pool([p.baseline for p in suite]), pool([p.candidate for p in suite]), clusters=units,
                         completed=completed, answers=_pooled_answers(suite), **settings)


def _completion(pairs: Pairs) -> Completed:
    """The pairs as they are, where nothing is missing."""
    scores = pairs.baseline, pairs.candidate
    return pairs.completed or Completed(scores, scores, pairs.units, pairs.also)


def _pooled_answers(suite: list[Pairs]) -> tuple[np.ndarray, np.ndarray] | None:
    """(items, runs) of both models over all tasks, NaN where a task has fewer runs; None if all are single runs."""
    if all(pairs.answers is None for pairs in suite):
        return None
    parts = [pairs.answers or (pairs.baseline[:, None], pairs.candidate[:, None]) for pairs in suite]
    pooled = []
    for which in (0, 1):
        width = max(part[which].shape[1] for part in parts)
        rows = [part[which] if pairs.higher_is_better else 1 - part[which]
                for part, pairs in zip(parts, suite, strict=True)]
        pooled.append(np.concatenate([np.pad(one, ((0, 0), (0, width - one.shape[1])), constant_values=np.nan)
                                      for one in rows]))
    return pooled[0], pooled[1]
