"""Did it get worse: two models on the same items, task by task and over a suite."""

from importlib import import_module

_HOMES = {"pair_up": "pairing", "judge_pair": "paired", "judge_suite": "suite"}
__all__ = list(_HOMES)


def __getattr__(name: str):
    """The public names, each imported when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
