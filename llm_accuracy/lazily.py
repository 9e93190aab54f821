"""Functions that records name instead of holding: a registry then costs no import until one of them is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def given(what: Any, room: str | None) -> Any:
    """`what` itself, or, where it is a text ".module:name", that name of a module of the room (a package)."""
    if not isinstance(what, str):
        return what
    module, _, name = what.partition(":")
    return getattr(import_module(module, room), name)
