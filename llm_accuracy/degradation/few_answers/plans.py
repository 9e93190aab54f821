"""Which design decides soonest on a baseline's own questions: simulated candidates, questions to "not degraded"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ...claims import BANK, QUESTIONS, WORDS
from ...errors import InputError
from ..words import percent
from . import simulation
from .curves import Known, default_library
from .simple_random import questions_needed, threshold_passes

ROWS = 100  # simulated runs of a design
FIXED, WATCHED, CHOSEN = ("simple random, one look", "simple random, stop when decided",
                          "chosen by margins, stop when decided")


@dataclass(frozen=True)
class Designs:
    """For one flip rate: {design: questions, infinite where it never gets there}, the best of them and why; beside them
    a plain threshold gate on as many random questions as the best takes, {"questions": n, "passes": this candidate,
    "passes_at_margin": one whose drop is the margin}, chances."""

    flip: float
    drop: float
    margin: float
    power: float
    questions: dict[str, float]
    best: str
    why: str
    threshold: dict[str, float]

    def content(self) -> dict:
        """As JSON."""
        return asdict(self)


def designs(known: Known, flip: float, drop: float, margin: float, alpha: float, power: float, seed: int) -> Designs:
    """Questions to "not degraded" with this power by each design; the flips fall as noise beside the margins would
    have it where margins are known, else anywhere.

    Raises InputError for a baseline of partial credit, a drop that is the margin or more, or impossible flips.
    """
    if not np.isin(known.scores, (0.0, 1.0)).all():
        raise InputError("plans of few answers are for baselines scored 0 or 1")
    if not 0 <= drop < margin:
        raise InputError(f"--drop {drop:g}: a drop of the margin ({margin:g}) or more is never \"not degraded\"; give "
                         "less than that")
    if not (drop <= flip <= 1 and 0 < power < 1):
        raise InputError(f"flip rate {flip:g} and power {power:g}: flips are the drop ({drop:g}) at least, and the "
                         "power lies between 0 and 1")
    where = simulation.EVEN if known.margins is None else simulation.THIN
    candidate = simulation.candidate_like(known, flip, drop, np.random.default_rng([seed, known.size]), where)
    d = known.scores - candidate
    fixed = questions_needed(known.size, int((d > 0).sum()), int((d < 0).sum()), margin, alpha, power)
    found = {FIXED: math.inf if fixed is None else float(fixed)}
    plain = Known(known.scores)
    for name, what in ((WATCHED, plain), *(((CHOSEN, known),) if known.margins is not None else ())):
        found[name] = simulation.decisions(what, candidate, default_library(what), ROWS, seed, margin=margin,
                                           alpha=alpha, enough=power).questions(power)
    best = min(found, key=lambda name: found[name])
    n = int(min(found[best], known.size))
    at_margin = simulation.candidate_like(known, max(flip, margin), margin, np.random.default_rng([seed, 1]))
    passes = {"questions": float(n)}
    for name, differences in (("passes", d), ("passes_at_margin", known.scores - at_margin)):
        passes[name] = threshold_passes(known.size, n, int((differences > 0).sum()), int((differences < 0).sum()),
                                        margin)
    return Designs(flip, drop, margin, power, found, best, _why(best, found), passes)


def _why(best: str, found: dict[str, float]) -> str:
    if math.isinf(found[best]):
        return "no design gets there on this bank: state a larger margin"
    if best == FIXED:
        return "looking again and again costs more here than it gains; but a bad candidate is not stopped early"
    if best == CHOSEN:
        return f"flips are expected at thin margins: {percent(1 - found[best] / found[FIXED])} fewer than one look"
    return "stopping early saves more than one look is worth"


def table(rows: Sequence[Designs]) -> pd.DataFrame:
    """One row for each flip rate and design."""
    return pd.DataFrame([{"flip": row.flip, "drop": row.drop, "margin": row.margin, "power": row.power, "design": name,
                          "questions": count, "best": name == row.best}
                         for row in rows for name, count in row.questions.items()])


def lines(rows: Sequence[Designs], known: Known) -> list[str]:
    """The designs side by side, in words."""
    first = rows[0]
    out = [f"questions of {known.size:,} (all of them leave nothing to chance) to \"not degraded by "
           f"{100 * first.margin:g} points\" with {percent(first.power)} power, true drop "
           f"{100 * first.drop:g} points", ""]
    for row in rows:
        out.append(f"{percent(row.flip)} of the questions flip")
        for name, count in row.questions.items():
            said = f"{count:,.0f}" if math.isfinite(count) else "never"
            out.append(f"  {name:<38}{said:>8}{'  <- best' if name == row.best else ''}")
        out.append(f"  {row.why}")
        gate = row.threshold
        out.append(f"  a threshold on {gate['questions']:,.0f} random ones passes this candidate in "
                   f"{percent(round(gate['passes'], 3))}, one at the margin in "
                   f"{percent(round(gate['passes_at_margin'], 3))}")
    out.append(f"about {WORDS[BANK]}; about {WORDS[QUESTIONS]} (ask --about questions) it takes more")
    return out
