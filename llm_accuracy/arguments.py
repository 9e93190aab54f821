"""What callers of the library give where a number is needed: refused in one line where it is none."""

from __future__ import annotations

import math

import numpy as np

from .errors import InputError


def whole(name: str, value: object, least: int = 0) -> int:
    """A whole number of at least `least`. Raises InputError for anything else, True and 2.0 included."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} {_shown(value)}: a whole number of {least} or more is needed")
    return int(value)


def real(name: str, value: object, least: float = 0.0) -> float:
    """A finite number of at least `least`. Raises InputError for anything else, texts and True included."""
    if (isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating)
            or not math.isfinite(value) or value < least):
        raise InputError(f"{name} {_shown(value)}: a finite number of {least:g} or more is needed")
    return float(value)


def _shown(value: object) -> str:
    return " ".join((str(value) if isinstance(value, int | float | np.number) else repr(value)).split())[:40]
