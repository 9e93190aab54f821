"""The three verdicts, and when a gate fails. Imports nothing.

"Not significantly worse" is not "as good": besides "degraded" and "not degraded beyond the margin", which both require
evidence, there is "undecided".
"""

DEGRADED, NOT_DEGRADED, UNDECIDED = "degraded", "not degraded beyond the margin", "undecided"
CONDITIONS = ("degraded", "not-shown-safe")  # under which a gate fails
TOO_FEW = "too few independent units"  # why a verdict is undecided although the items at hand look safe
MISSING = "missing answers"


def verdict(p: float, p_safe: float, alpha: float) -> tuple[str, bool]:
    """(verdict, within_margin). `p` is of "not worse", `p_safe` of "worse by the margin or more". "Degraded" wins;
    within_margin says whether the margin is excluded, whatever the verdict; an insignificant p decides nothing."""
    safe = p_safe <= alpha
    if p <= alpha:
        return DEGRADED, safe
    return (NOT_DEGRADED if safe else UNDECIDED), safe


def fails(verdict: str, within_margin: bool, condition: str | None) -> bool:
    """Whether the condition holds: one of CONDITIONS, or None for never."""
    if condition == "degraded":
        return verdict == DEGRADED
    if condition == "not-shown-safe":
        return verdict == UNDECIDED or (verdict == DEGRADED and not within_margin)
    return False
