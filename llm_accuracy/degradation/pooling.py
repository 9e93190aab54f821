"""The items of all tasks of a suite as one pair, and the units that tie them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .paired import PairedResult, judge_pair, judge_pairs
from .pairing import Completed, Pairs


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
    return judge_pair(pool([p.baseline for p in suite]), pool([p.candidate for p in suite]), clusters=units,
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


def units_of(suite: Sequence[Pairs | Completed]) -> tuple[np.ndarray, bool]:
    """(codes 0 … U−1 of the units over all items, whether every item is its own unit).

    Items of one cluster are one unit, and so are items of one content, in whatever tasks they occur, and items of
    several tasks that ask with the same prompt: a benchmark and its extended version are one set of questions with
    other tests.
    """
    if all(pairs.units is None and not pairs.also for pairs in suite):
        return np.arange(sum(pairs.size for pairs in suite)), True
    sizes = [pairs.size for pairs in suite]
    task = np.repeat(np.arange(len(suite)), sizes)
    columns = [_labels([pairs.units for pairs in suite], sizes)]
    if any("content" in pairs.also for pairs in suite):
        columns.append(_labels([pairs.also.get("content") for pairs in suite], sizes))
    units = _components(columns)
    if len(suite) > 1 and any("prompt_hash" in pairs.also for pairs in suite):
        prompts = _labels([pairs.also.get("prompt_hash") for pairs in suite], sizes)
        # A prompt that several questions of one task share, such as an empty one, says nothing of which question it is.
        asked = pd.DataFrame({"prompt": prompts, "task": task, "unit": units})
        most = asked.groupby(["prompt", "task"])["unit"].nunique().groupby("prompt").max()
        vague = ~pd.Series(prompts).map(most).eq(1).to_numpy()
        prompts[vague] = prompts.max() + 1 + np.arange(int(vague.sum()))
        units = _components([units, prompts])
    return units, int(units.max(initial=-1)) + 1 == len(units)


def _labels(parts: list[np.ndarray | None], sizes: list[int]) -> np.ndarray:
    """Codes of labels over all items; an item about which nothing is known gets a code of its own."""
    known = np.concatenate([np.full(size, None) if part is None else np.asarray(part, object)
                            for part, size in zip(parts, sizes, strict=True)])
    codes = pd.factorize(pd.Series(known, dtype=object))[0]
    own = codes < 0
    codes[own] = codes.max(initial=-1) + 1 + np.arange(int(own.sum()))
    return codes


def _components(columns: list[np.ndarray]) -> np.ndarray:
    """Codes of the items that are connected by a shared label in any column, in order of first appearance."""
    if len(columns) == 1:
        return pd.factorize(columns[0])[0]
    n, graphs, at = len(columns[0]), [], len(columns[0])
    for codes in columns:
        graphs.append(np.stack([np.arange(n), at + codes]))
        at += int(codes.max(initial=-1)) + 1
    rows, cells = np.concatenate(graphs, axis=1)
    graph = coo_array((np.ones(len(rows), bool), (rows, cells)), shape=(at, at))
    found = connected_components(graph, directed=False)[1]
    return pd.factorize(found[:n])[0]
