"""How good is it, from few questions: which to ask, and what the answers say, and how surely."""

from importlib import import_module

_HOMES = {"Session": "session", "Finding": "session", "Factors": "factors", "Policy": "policies"}
__all__ = list(_HOMES)


def __getattr__(name: str):
    """The public names, each imported when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
