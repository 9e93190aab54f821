"""What was answered: matrices of many models, and one model's scores by task, from any source."""

from importlib import import_module

_HOMES = {"read_matrix": "matrix", "read_model": "readers", "Dataset": "dataset"}
__all__ = list(_HOMES)


def __getattr__(name: str):
    """The public names, each imported when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
