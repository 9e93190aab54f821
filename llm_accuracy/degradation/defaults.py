"""The defaults of the tests, and checks of the values given instead. Imports next to nothing."""

from __future__ import annotations

from numbers import Real

from ..errors import InputError

ALPHA = 0.05  # error rate
MARGIN = 0.01  # the smallest drop that matters, in score units
INTERVALS = ("tango", "melded-exact")  # two-sided ones of 0/1 scores of independent items
MAX_EXCLUDED = 0.005  # share of the items that may lack a partner or a score; at most half the margin, see below
DRAWS_OF_A_PAIR = 99_999  # sign flips of one pair, where its test is not exact
DRAWS_OF_A_SUITE = 19_999  # of Fisher's null, and of the sign draws of a suite that is judged
DRAWS_PER_SIMULATED_SUITE = 999  # of Fisher's null in each of the many suites that a plan simulates
LARGEST_N = 10**8  # items of a plan
MOST_COUNTED = 10**12  # items of which only the counts are given
LEAST_ALPHA = 1e-12  # limits at rarer errors are lost in the rounding of 1 - alpha


def check_alpha(alpha: float) -> None:
    if not isinstance(alpha, Real):
        raise InputError(f"alpha = {alpha!r}: a number is needed")
    if not LEAST_ALPHA <= alpha < 0.5:
        raise InputError(f"alpha = {alpha} must lie between {LEAST_ALPHA:g} and .5")


def check_margin(margin: float) -> None:
    if not isinstance(margin, Real):
        raise InputError(f"margin = {margin!r}: a number in units of the scores is needed here")
    if not margin > 0:
        raise InputError(f"margin = {margin} must be positive: the largest drop that would not matter")


def largest_excluded(given: float | None, margin: float = MARGIN) -> float:
    """The share of items that may be left out: what was given, or else `MAX_EXCLUDED`, but at most half the margin, so
    that what is missing alone cannot make up a drop of the margin. Raises InputError unless it lies in [0, 1]."""
    if given is None:
        return min(MAX_EXCLUDED, margin / 2)
    if not 0 <= given <= 1:
        raise InputError(f"--max-excluded {given:g}: the share of items that may be left out lies between 0 and 1")
    return given


def check_share(margin: float) -> None:
    """Check the margin of 0/1 scores."""
    if not 0 < margin < 0.5:
        raise InputError(f"margin = {margin} must lie between 0 and .5, half of the scale")


def check_numbers(n: float = 1, flip: float = 1.0, drop: float = 0.0, target: float = 0.5,
                  alpha: float = ALPHA) -> None:
    """Check the numbers of a plan: items, flip rate, drop, and the power to reach."""
    if not 0 <= n <= LARGEST_N:
        raise InputError(f"n = {n} items: give 0 to {LARGEST_N:,}")
    if not 0 <= flip <= 1:
        raise InputError(f"flip rate = {flip:g} must lie between 0 and 1")
    if not 0 <= drop <= flip:
        raise InputError(f"drop = {drop:g} must lie between 0 and the flip rate, {flip:g}: every item that gets "
                         "worse has flipped")
    if not 0 < target < 1:
        raise InputError(f"power = {target:g} must lie between 0 and 1")
    check_alpha(alpha)


def check_plan(n: float | None, flip: float | None, drop: float | None, power: float | None, alpha: float) -> None:
    """Check the known numbers of a plan; None stands for the one to be computed."""
    lost = drop or 0.0
    check_numbers(n=n or 1, flip=max(lost, 1e-9) if flip is None else flip, drop=lost,
                  target=0.5 if power is None else power, alpha=alpha)
    if drop == 0 and (n is None or flip is None):
        raise InputError("drop = 0 cannot be detected: give the smallest drop that should be")
