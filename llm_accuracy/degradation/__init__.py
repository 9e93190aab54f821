"""Did it get worse: two models on the same items, task by task and over a suite."""

from ..lazy import names_of

_HOMES = {"pair_up": "pairing", "judge_pair": "paired", "judge_suite": "suite"}
__all__ = list(_HOMES)
__getattr__ = names_of(__name__, _HOMES)
