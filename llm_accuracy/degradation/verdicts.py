"""The three verdicts, and when a gate is to fail. Imports nothing.

"Not significantly worse" is not "as good": beside "degraded" and "not degraded beyond the margin", both of which are
shown, there is "undecided".
"""

DEGRADED, NOT_DEGRADED, UNDECIDED = "degraded", "not degraded beyond the margin", "undecided"
CONDITIONS = ("degraded", "not-shown-safe")  # of a failing gate


def verdict(p: float, p_noninferiority: float, alpha: float) -> tuple[str, bool]:
    """(verdict, within_margin). "Degraded" wins; an insignificant p alone decides nothing."""
    safe = p_noninferiority <= alpha
    if p <= alpha:
        return DEGRADED, safe
    return (NOT_DEGRADED if safe else UNDECIDED), False


def fails(verdict: str, within_margin: bool, condition: str | None) -> bool:
    """Does the condition, one of CONDITIONS or None for never, hold?"""
    if condition == "degraded":
        return verdict == DEGRADED
    if condition == "not-shown-safe":
        return verdict == UNDECIDED or (verdict == DEGRADED and not within_margin)
    return False
