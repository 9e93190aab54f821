"""Which design decides soonest on a baseline's own questions: simulated candidates, questions to "not degraded"."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ...claims import BANK, QUESTIONS, WORDS
from ...errors import InputError
from ...outward import points
from ..e_values import log_e_safe
from ..words import WIDTH, percent
from . import population, simulation
from .curves import Known, default_library
from .replay import GROWTH
from .run import Run, round_sizes
from .simple_random import questions_needed, threshold_passes

ROWS, ROWS_OF_NEW = 100, 40  # simulated runs of a design, about the bank and about new questions
POPULATION = 1_000_000  # questions of a bank of which a few thousand are as good as independent draws
FIXED, WATCHED, CHOSEN = ("simple random, one look", "simple random, stop when decided",
                          "chosen by margins, stop when decided")


@dataclass(frozen=True)
class Designs:
    """For one flip rate: {design: questions, infinite where it never gets there}, the best of them and why; beside them
    a plain threshold gate on as many random questions as the best takes, {"questions": n, "passes": this candidate,
    "passes_at_margin": one whose drop is the margin}, chances; about: what "not degraded" is said of."""

    flip: float
    drop: float
    margin: float
    power: float
    questions: dict[str, float]
    best: str
    why: str
    threshold: dict[str, float]
    about: str = BANK

    def content(self) -> dict:
        """As JSON."""
        return asdict(self)


def designs(known: Known, flip: float, drop: float, margin: float, alpha: float, power: float, seed: int,
            about: str = BANK) -> Designs:
    """Questions to "not degraded" with this power by each design; the flips fall as noise beside the margins would
    have it where margins are known, else anywhere. About new questions the bank is taken for draws of them in which the
    rates are just these, and no design has more questions than it.

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
    size = known.size if about == BANK else POPULATION
    fixed = questions_needed(size, *_flips(d, size), margin, alpha, power)
    found = {FIXED: math.inf if fixed is None or fixed > known.size else float(fixed)}
    plain = Known(known.scores)
    found[WATCHED] = (_decided(plain, candidate, margin, alpha, power, seed) if about == BANK else
                      _watched(d, margin, alpha, power, seed))
    if known.margins is not None:
        decided = _decided if about == BANK else _decided_of_new
        found[CHOSEN] = decided(known, candidate, margin, alpha, power, seed)
    best = min(found, key=lambda name: found[name])
    n = int(min(found[best], known.size))
    at_margin = simulation.candidate_like(known, max(flip, margin), margin, np.random.default_rng([seed, 1]))
    passes = {"questions": float(n)}
    for name, differences in (("passes", d), ("passes_at_margin", known.scores - at_margin)):
        passes[name] = threshold_passes(size, n, *_flips(differences, size), margin)
    return Designs(flip, drop, margin, power, found, best, _why(best, found, about), passes, about)


def _flips(d: np.ndarray, size: int) -> tuple[int, int]:
    """(lost, gained) of a bank of so many questions, with the rates of d."""
    return round((d > 0).sum() * size / d.size), round((d < 0).sum() * size / d.size)


def _decided(known: Known, candidate: np.ndarray, margin: float, alpha: float, power: float, seed: int) -> float:
    """Questions after which this share of simulated runs, in the rounds that `ask` takes, has said "not degraded";
    infinite where never."""
    return simulation.decisions(known, candidate, default_library(known), ROWS, seed, margin=margin, alpha=alpha,
                                enough=power, growth=GROWTH).questions(power)


def _decided_of_new(known: Known, candidate: np.ndarray, margin: float, alpha: float, power: float, seed: int
                    ) -> float:
    """The same of new questions."""
    run = Run(known, default_library(known), ROWS_OF_NEW, np.random.default_rng([seed, known.size]))
    said = np.full(ROWS_OF_NEW, np.inf)
    for size in round_sizes(known.size, known.size, growth=GROWTH):
        run.answer((known.scores - candidate)[run.ask(size)])
        sure = population.log_e(population.Rounds(run), margin) >= -math.log(alpha)
        said = np.where(sure & np.isinf(said), run.asked, said)
        if np.isfinite(said).mean() >= power:
            break
    return _quantile(said, power)


def _watched(d: np.ndarray, margin: float, alpha: float, power: float, seed: int) -> float:
    """The same by `watch`, whose questions come in random order."""
    rng, said = np.random.default_rng([seed, d.size]), []
    n = np.arange(1, d.size + 1)
    for _ in range(ROWS):
        order = rng.permutation(d)
        sure = log_e_safe(n, np.cumsum(order > 0), np.cumsum(order < 0), margin) >= -math.log(alpha)
        said.append(float(n[sure.argmax()]) if sure.any() else math.inf)
    return _quantile(np.array(said), power)


def _quantile(said: np.ndarray, power: float) -> float:
    return float(np.sort(said)[math.ceil(power * said.size) - 1])


def _why(best: str, found: dict[str, float], about: str) -> str:
    if math.isinf(found[best]):
        return "no design gets there on this bank: state a larger margin"
    if about == QUESTIONS and best == WATCHED:
        return "stopping early saves more than one look is worth: compare with watch, in a random order"
    if best == FIXED and about == QUESTIONS:
        return "a random sample is one of new questions, too: draw it with plan --write-samples, compare with pair"
    if best == FIXED:
        return "looking again and again costs more here than it gains; but a bad candidate is not stopped early"
    if best == CHOSEN and math.isinf(found[FIXED]):
        return "flips are expected at thin margins: one look at random ones never gets there"
    if best == CHOSEN:
        fewer = percent(round(1 - found[best] / found[FIXED], 2))
        return f"flips are expected at thin margins: {fewer} fewer than one look"
    return "stopping early saves more than one look is worth"


def table(rows: Sequence[Designs]) -> pd.DataFrame:
    """One row for each flip rate and design."""
    return pd.DataFrame([{"flip": row.flip, "drop": row.drop, "margin": row.margin, "power": row.power, "design": name,
                          "questions": count, "best": name == row.best}
                         for row in rows for name, count in row.questions.items()])


def lines(rows: Sequence[Designs], known: Known) -> list[str]:
    """The designs side by side, in words."""
    first = rows[0]
    sure = " (all of them leave nothing to chance)" if first.about == BANK else ""
    out = [_wrapped(f"questions of {known.size:,}{sure} to \"not degraded by {points(first.margin)}\" with "
                    f"{percent(first.power)} power, true drop {points(first.drop)}"), ""]
    for row in rows:
        out.append(f"{percent(row.flip)} of the questions flip")
        for name, count in row.questions.items():
            said = f"{count:,.0f}" if math.isfinite(count) else "never"
            out.append(f"  {name:<38}{said:>8}{'  <- best' if name == row.best and math.isfinite(count) else ''}")
        out.append(_wrapped(row.why, "  "))
        if row.best == CHOSEN and math.isfinite(row.questions[CHOSEN]):
            n = row.questions[CHOSEN]
            out.append(f"  ask takes so many at most with --budget {n:.0f} ({percent(round(n / known.size, 3))} of the "
                       "bank)")
        gate = row.threshold
        out.append(_wrapped(f"a threshold on {gate['questions']:,.0f} random ones passes this candidate in "
                            f"{percent(round(gate['passes'], 3))}, one at the margin in "
                            f"{percent(round(gate['passes_at_margin'], 3))}", "  "))
    out.append(_wrapped(f"about {WORDS[BANK]}; about {WORDS[QUESTIONS]} (--about questions) it takes more"
                        if first.about == BANK else f"about {WORDS[QUESTIONS]}, of which the bank's are independent "
                        "draws, and no more are to be had"))
    return out


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
