"""A plan: of items, flip rate, drop and power three are given, and the fourth is computed, with a table around it.

The formulas are in `planning`; here one task and suites of equal tasks have the same interface.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from ..errors import InputError
from ..outward import points
from . import planning
from .defaults import ALPHA, LARGEST_N, check_plan
from .paired import judge_pair
from .pairing import Pairs
from .reruns import Noise
from .words import percent

NAMES = {"n": "items", "flip": "largest flip rate", "drop": "smallest drop", "power": "power"}
Known = dict[str, float | None]  # of each of NAMES
Plan = dict[str, float]  # all four


@dataclass(frozen=True)
class Setting:
    """How a plan is evaluated: `tasks` equal tasks, with the drop on all of them or, with `one`, on one; `seed` for the
    simulation of suites."""

    alpha: float = ALPHA
    tasks: int = 1
    one: bool = False
    seed: int = 0

    def answer(self, unknown: str, known: Known) -> float:
        """The unknown number, exactly, or simulated for a suite; NaN if no value suffices."""
        given = _given(known)
        if self.tasks > 1:
            return planning.suite_answer(unknown, given, tasks=self.tasks, one=self.one, alpha=self.alpha,
                                         seed=self.seed)
        if unknown == "n":
            return planning.sample_size(given["flip"], given["drop"], given["power"], self.alpha)
        n = int(given["n"])
        if unknown == "flip":
            return planning.highest_flip_rate(n, given["drop"], given["power"], self.alpha)
        if unknown == "drop":
            return planning.detectable_drop(n, given["flip"], given["power"], self.alpha)
        return planning.power(n, given["flip"], given["drop"], self.alpha)

    def normal(self, unknown: str, known: Known) -> float | None:
        """The same by the normal approximation; None if no value suffices."""
        return _number(planning.suite_normal(unknown, _given(known), tasks=self.tasks, one=self.one, alpha=self.alpha))


def solve(known: Known, unknown: str, setting: Setting) -> Plan:
    """All four numbers. Raises InputError for impossible ones, and if no value of the unknown one suffices."""
    check_plan(**known, alpha=setting.alpha)
    found = setting.answer(unknown, known)
    if _number(found) is None:
        what = {"n": "number of items", "flip": "flip rate", "drop": "drop"}[unknown]
        raise InputError(f"no {what} gives {percent(_given(known)['power'])} power with {told(known)}: "
                         f"{_change(known, unknown, setting)}")
    return {name: found if name == unknown else _given(known)[name] for name in NAMES}


def _change(known: Known, unknown: str, setting: Setting) -> str:
    """What to change where no value of the unknown number suffices: not even where each item that flips is lost."""
    otherwise = "or a lower power"
    if setting.tasks > 1 or unknown == "n":
        return f"take {'a larger drop, a lower flip rate' if unknown == 'n' else 'more items'} {otherwise}"
    given = _given(known)
    rate = given["drop"] if unknown == "flip" else given["flip"]
    least = planning.sample_size(rate, rate, given["power"], setting.alpha)
    what = f"a drop of {points(rate, 4)}" if unknown == "flip" else f"a flip rate of {percent(rate)}"
    return f"{what} needs at least {least:,} items, {otherwise}"


def _given(known: Mapping[str, float | None]) -> dict[str, float]:
    """Those that are known."""
    return {name: value for name, value in known.items() if value is not None}


def told(known: Known) -> str:
    given = _given(known)
    parts = {"n": lambda n: f"{n:,} items", "flip": lambda f: f"a flip rate of {percent(f)}",
             "drop": lambda d: f"a drop of {points(d, 4)}"}
    return ", ".join(say(given[name]) for name, say in parts.items() if name in given)


def _number(found: float) -> float | None:
    return None if math.isnan(found) else found


# ---- the flip rate of two runs -----------------------------------------------------------------------------


def pilot_of(pairs: Pairs, baseline: str, candidate: str) -> tuple[dict, list[str]]:
    """({n, flips, flip_rate, flip_low, flip_high}, notes) of two runs, with these names, on the same items.

    Raises InputError for scores other than 0 and 1.
    """
    scores = judge_pair(pairs.baseline, pairs.candidate)
    if scores.n11 is None:
        raise InputError(f"{baseline} and {candidate}: a plan needs single runs scored 0 or 1, "
                         "not averages; name one run of each")
    notes = list(pairs.notes)
    if pairs.clusters is not None:
        notes.append("the pilot's items come in clusters; the plan treats them as independent and so asks "
                     "for too few")
    flips = scores.b + scores.c
    low, high = planning.flip_rate_interval(flips, scores.n)
    if flips == 0:
        notes.append("the two runs never differ: planned with the largest flip rate that is compatible with them")
    rate = flips / scores.n if flips else high
    notes.append("two runs of one model give the noise floor: a changed model flips at least as often, so plan "
                 "with a pilot of the change where there is one")
    return dict(n=scores.n, flips=flips, flip_rate=rate, flip_low=low, flip_high=high), notes


def over_pilot(known: Known, unknown: str, setting: Setting, ends: tuple[float, float]) -> list[float | None]:
    """The answer at both ends of the flip rate's interval; None if there is no answer."""
    return [_number(setting.answer(unknown, {**known, "flip": max(flip, known["drop"] or 1e-9)})) for flip in ends]


# ---- tables ------------------------------------------------------------------------------------------------


def items_table(plan: Plan, setting: Setting) -> pd.DataFrame:
    """For numbers of items near the plan's: power, exact (simulated for a suite) and normal, and detectable drop."""
    rows = []
    near = {min(LARGEST_N, max(1, round(plan["n"] * times))) for times in (0.25, 0.5, 0.75, 1, 1.5, 2, 4)}
    for items in sorted(near):
        known: Known = {**plan, "n": items, "power": None}
        row = {"items": items, "power": setting.answer("power", known),
               "power_normal": setting.normal("power", known)}
        if setting.tasks == 1:
            wanted = {**plan, "n": items, "drop": None, "power": min(plan["power"], 0.999)}
            # Of so few items that nothing could be called degraded, no drop is found with the power that they have, 0.
            row["smallest_drop"] = setting.answer("drop", wanted) if plan["power"] > 0 else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


def tasks_table(plan: Plan, numbers: list[int], *, one: bool, alpha: float, seed: int) -> pd.DataFrame:
    """Power of each test of a suite against the number of tasks."""
    rows = []
    for tasks in numbers:
        drop = [plan["drop"]] + [0.0 if one else plan["drop"]] * (tasks - 1)
        found = planning.suite_power([plan["n"]] * tasks, [plan["flip"]] * tasks, drop, alpha, seed=seed)
        rows.append({"tasks": tasks, **found.power, "suites": found.suites, "damage": "one" if one else "all",
                     "items": plan["n"], "flip": plan["flip"], "drop": plan["drop"], "alpha": alpha})
    return pd.DataFrame(rows)


# ---- reruns ------------------------------------------------------------------------------------------------

RUNS = (1, 2, 4, 8, 16, 32)  # of each model and item, for which a plan with reruns is made


def reruns_table(known: Known, unknown: str, noise: Noise, alpha: float) -> pd.DataFrame:
    """The unknown number for several runs of each model on each item, by the normal approximation.

    A difference of means over r runs has variance items + answers/r over new questions, and answers/r over new answers
    to the same questions: the columns `questions` and `answers`. `known` has two of n, drop and power.
    """
    given = _given({name: value for name, value in known.items() if name != "flip"})
    z = float(stats.norm.isf(alpha))
    reach = z + float(stats.norm.ppf(given["power"])) if "power" in given else math.nan
    rows = []
    for runs in RUNS:
        row: dict[str, float] = {"runs": runs}
        for claim, variance in (("questions", noise.items + noise.answers / runs), ("answers", noise.answers / runs)):
            if unknown == "n":
                row[claim] = max(1, math.ceil((reach / given["drop"]) ** 2 * variance))
            elif unknown == "drop":
                row[claim] = reach * (variance / given["n"]) ** 0.5
            else:
                error = (variance / given["n"]) ** 0.5
                row[claim] = float(stats.norm.cdf(given["drop"] / error - z)) if error > 0 else 1.0
        rows.append(row)
    return pd.DataFrame(rows)
