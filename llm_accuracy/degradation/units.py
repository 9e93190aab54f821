"""The units of a suite: which items, of whatever tasks, are not independent of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .pairing import Completed, Pairs


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
