"""Growing rounds that may end after any round: how the error rate is shared out among the looks.

After round k, n_k questions in all, the interval is the one of a budget of n_k at level α_k. With Σ α_k = α all of
them hold together (union bound), so one may stop by any rule; the shares are fixed before the first question.
Most goes to the rounds near the number T of questions that are planned, α_k ∝ (min(n_k, T) / max(n_k, T))^SHARPNESS;
none to the first few questions, after which no normal limit is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHARPNESS = 1.5  # 1 to 2 differ by a twentieth in width where T is right to a factor of two
FEWEST = 20      # questions before the first look; so are a tenth of those planned


def levels(sizes: Sequence[int], planned: int, alpha: float) -> np.ndarray:
    """α_k (rounds,) of rounds of these sizes; they sum to α. 0: nothing is claimed after that round."""
    ends = np.cumsum(sizes)
    near = (np.minimum(ends, planned) / np.maximum(ends, planned)) ** SHARPNESS
    near[ends < min(max(FEWEST, planned / 10), ends[-1])] = 0
    return alpha * near / near.sum()
