"""Limits as text, rounded outward: what is printed never says more than holds; and shares of the scale in points.
Imports next to nothing."""

from __future__ import annotations

import math

LAST_PLACE = 1e-6  # of a last decimal: rounding of binary numbers, which moves no limit


def at_least(limit: float, digits: int = 2) -> str:
    """A lower limit to so many decimals, rounded down."""
    return f"{math.floor(limit * 10**digits + LAST_PLACE) / 10**digits + 0.0:.{digits}f}"


def at_most(limit: float, digits: int = 2) -> str:
    """An upper limit to so many decimals, rounded up."""
    return f"{math.ceil(limit * 10**digits - LAST_PLACE) / 10**digits + 0.0:.{digits}f}"


def points(share: float, digits: int = 3) -> str:
    """A share of the scale in words: 1 point, 0.5 points."""
    said = f"{100 * share:.{digits}g}"
    return f"{said} point" + ("" if said == "1" else "s")
