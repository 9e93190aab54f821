"""Counter-based random numbers: a trial's draws depend on its key and on nothing else.

Every model of a trial has its own Philox stream, keyed by (purpose, dataset, scenario, seed, model name); the
draw of step s is the stream's s-th number. So a draw does not depend on the budget, the settings, the other
models of the run, shards or batches, and the CPU and CUDA engines are fed the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def stream(*key: object) -> np.random.Generator:
    """The Philox stream of a key, whose parts are converted to text."""
    digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, np.uint64)))


def uniforms(dataset: str, scenario: str, seed: int, models: Sequence[str] | np.ndarray, steps: int,
             purpose: str = "draw") -> np.ndarray:
    """(M, steps) float64 in [0, 1): row i is the first `steps` numbers of model i's own stream."""
    return np.stack([stream(purpose, dataset, scenario, seed, model).random(steps) for model in models])
