"""Imports put off until they are needed: the public names of a package, and functions that records name as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names_of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package: {public name: the module of the package that defines it}."""

    def get(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f".{homes[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get


def given(what: Any, room: str | None) -> Any:
    """`what` itself, or, where it is a text ".module:name", that name of a module of the room (a package).

    So a table whose records name their functions costs no import until one of them is called.
    """
    if not isinstance(what, str):
        return what
    module, _, name = what.partition(":")
    return getattr(import_module(module, room), name)
