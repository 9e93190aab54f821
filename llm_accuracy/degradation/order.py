"""The order in which items arrive: e-values hold for a random one, and most files are in another.

Finished files are shuffled. What is still growing cannot be: there the order of arrival is looked at. Items in blocks
(of tasks, or of names such as algebra/1, algebra/2) are in no random order, and ids that only go up are in the order
of the data set, which is random only if someone shuffled it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..errors import InputError

LEAST = 20  # items, below which no order is judged
CERTAIN = 6.0  # standard errors below the number of runs that a random order has


def shuffled(names: Sequence[str], seed: int) -> np.ndarray:
    """Positions of the names (all different) in a random order that depends on the names and the seed alone, not on the
    order in which they are given."""
    by_name = np.array(sorted(range(len(names)), key=lambda i: names[i]), dtype=int)
    return by_name[np.random.default_rng(seed).permutation(len(names))]


def block_of(name: str) -> str:
    """What an item's name says it belongs to: what precedes the last slash, or else the number at its end."""
    before, slash, _ = name.rpartition("/")
    return before if slash else re.sub(r"[\W_]*\d+$", "", name)


def grouped(names: Sequence[str]) -> str | None:
    """What says that these items, in order of arrival, come in blocks; None where nothing does.

    CERTAIN standard errors too few runs of equal blocks, against random orders.
    """
    blocks = [block_of(name) for name in names]
    n, sizes = len(blocks), np.array(list(Counter(blocks).values()), dtype=float)
    if n < LEAST or sizes.size < 2 or sizes.max() < 2:
        return None
    mean, variance = runs_at_random(sizes)
    runs = 1 + sum(one != other for one, other in pairwise(blocks))
    if mean - runs <= max(CERTAIN * max(variance, 0.0) ** 0.5, 2):
        return None
    return (f"{n:,} items of {sizes.size:,} groups ({blocks[0]}, …) arrived in {runs:,} runs of one group "
            f"each, where a random order has about {mean:,.0f}")


def runs_at_random(sizes: np.ndarray) -> tuple[float, float]:
    """(mean, variance) over random orders of the number of runs of items of one group, groups of these sizes (Barton
    and David 1957)."""
    n, squares, cubes = sizes.sum(), (sizes**2).sum(), (sizes**3).sum()
    return (float(n + 1 - squares / n),
            float((squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n**2 * (n - 1))))


def check_not_grouped(names: Sequence[str], remedy: str) -> None:
    """Raise InputError, with the remedy, for items that come in blocks."""
    found = grouped(names)
    if found:
        raise InputError(f"{found}: in blocks an error rate means nothing; {remedy}")


def ascending(names: Sequence[str]) -> bool:
    """Whether every name is above the one before it, numbers in it read as numbers."""
    keys = [[(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]
            for name in names]
    return len(keys) >= LEAST and all(one < other for one, other in pairwise(keys))
