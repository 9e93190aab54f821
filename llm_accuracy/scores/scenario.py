"""Scenarios of missingness: how much of a history is seen, and the masks that hide the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import DAMAGED, atomic, check_zip


@dataclass(frozen=True)
class Scenario:
    """How much of the history is seen: `n_full` rows in full, every other entry with probability `p`."""

    n_full: int | None
    p: float

    @property
    def key(self) -> str:
        """Its name in files, logs and flags: nfobs=50_p=0.1."""
        return f"nfobs={self.n_full}_p={self.p}"

    @staticmethod
    def parse(key: str) -> Scenario:
        """The scenario of a key. Raises InputError unless `key` is written like nfobs=50_p=0.1 or nfobs=None_p=1.0."""
        match = re.fullmatch(r"nfobs=(None|\d+)_p=([0-9.e+-]+)", key)
        try:
            if match is None:
                raise ValueError
            scenario = Scenario(None if match[1] == "None" else int(match[1]), float(match[2]))
        except ValueError:
            raise InputError(f"scenario {key!r}: write it as nfobs=50_p=0.1 or nfobs=None_p=1.0") from None
        if not 0 < scenario.p <= 1:
            raise InputError(f"scenario {key!r}: p must lie in (0, 1]")
        if (scenario.n_full is None) != (scenario.p == 1):
            raise InputError(f"scenario {key!r}: nfobs=None goes with p=1.0 (all observed), and only with it")
        if scenario.key != key:
            raise InputError(f"scenario {key!r}: write it as {scenario.key}")
        return scenario


ALL_OBSERVED = Scenario(None, 1.0)


def mask(shape: tuple[int, int], scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    """(M, N) bool, True = seen: all of `n_full` random rows, the other entries independently with probability p."""
    if scenario == ALL_OBSERVED:
        return np.ones(shape, bool)
    seen = rng.random(shape, dtype=np.float32) < scenario.p
    seen[rng.permutation(shape[0])[: scenario.n_full]] = True
    return seen


def write_mask(path: Path, seen: np.ndarray) -> None:
    """Write a mask (M, N), True = seen, as packed bits."""
    with atomic(path) as stream:
        np.savez_compressed(stream, shape=seen.shape, bits=np.packbits(seen))


def read_mask(path: Path) -> np.ndarray:
    """(M, N) bool. Raises InputError if the file is incomplete."""
    check_zip(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            shape = tuple(stored["shape"])
            return np.unpackbits(stored["bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    except DAMAGED as error:
        raise InputError(f"{path}: not a complete mask ({error}); delete it and run "
                         "python data/simulate_missingness.py again") from None
