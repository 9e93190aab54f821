"""The three verdicts, and when a gate fails. Imports nothing.

"Not significantly worse" is not "as good": besides "degraded" and "not degraded beyond the margin", which both require
evidence, there is "undecided".
"""

DEGRADED, NOT_DEGRADED, UNDECIDED = "degraded", "not degraded beyond the margin", "undecided"
CONDITIONS = ("degraded", "not-shown-safe")  # under which a gate fails


def verdict(p: float, p_noninferiority: float, alpha: float) -> tuple[str, bool]:
    """(verdict, within_margin). "Degraded" wins; an insignificant p alone decides nothing."""
    safe = p_noninferiority <= alpha
    if p <= alpha:
        return DEGRADED, safe
    return (NOT_DEGRADED if safe else UNDECIDED), False


def fails(verdict: str, within_margin: bool, condition: str | None) -> bool:
    """Whether the condition holds: one of CONDITIONS, or None for never."""
    if condition == "degraded":
        return verdict == DEGRADED
    if condition == "not-shown-safe":
        return verdict == UNDECIDED or (verdict == DEGRADED and not within_margin)
    return False
