"""What few answers would have said of a candidate that has answered everything: one run, its verdict, and its words."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...claims import ANSWERS, BANK, NO_ANSWERS, QUESTIONS, WORDS, check_about
from ...outward import at_least, at_most, points
from ...randomness import stream
from ..defaults import check_alpha
from ..verdicts import DEGRADED, NOT_DEGRADED, UNDECIDED
from ..words import WIDTH, note_text, p_at_most, percent, sure
from . import betting, population, simulation
from .curves import Curves, Known
from .estimate import FLIPS_NEEDED, estimate
from .run import SAME, SHARE, Run, round_sizes

GROWTH = 1.1  # of the rounds
LABEL = 17  # columns
TRIALS = 20  # simulated runs without a flip, for the least number of questions that can say "safe"


@dataclass(frozen=True)
class Plan:
    """What was fixed before the first question: the most questions, whether to stop when decided, the margin (a share
    of the scale), alpha, the uniform share, the seed, and what is claimed (`claims.ABOUT`)."""

    budget: int
    stop: bool
    margin: float
    alpha: float = 0.05
    share: float = SHARE
    seed: int = 0
    about: str = BANK

    def __post_init__(self) -> None:
        """Raises InputError for a claim that there is not, and an error rate that is none."""
        check_about(self.about)
        check_alpha(self.alpha)


def least_questions(known: Known, library: Curves, plan: Plan) -> float:
    """Questions after which "not degraded" is first possible, no flip being seen; infinite where it never is."""
    found = simulation.decisions(known, known.scores, library, TRIALS, plan.seed, margin=plan.margin, alpha=plan.alpha,
                                 share=plan.share, growth=GROWTH)
    if plan.about == BANK or not np.isfinite(found.safe.min()):
        return float(found.safe.min())
    return population.least_questions(known, library, int(found.safe.min()), plan.margin, plan.alpha, plan.share)


def replay(known: Known, candidate: np.ndarray, library: Curves, plan: Plan) -> dict[str, Any]:
    """The result of a run on a candidate (N,) whose answers are all there, a missing one counted as wholly lost."""
    missing = np.isnan(candidate)
    d = known.scores - np.where(missing, 0.0, candidate)
    run = begun(known, library, plan)
    decided, now = None, None
    for size in sizes(plan, known.size):
        run.answer(d[run.ask(size)])
        now = judged(run, plan, now)
        decided = since(decided, run, now)
        if plan.stop and decided is not None:
            break
    assert now is not None
    return found_by(run, library, plan, now, decided) | {
        "missing_among_asked": int(missing[run.column("asked")[0].astype(int)].sum())}


def begun(known: Known, library: Curves, plan: Plan) -> Run:
    """The run of a plan: the same plan on the same bank and library asks the same, given the same answers."""
    return Run(known, library, 1, stream("few answers", plan.seed, known.size), plan.share)


def sizes(plan: Plan, n_questions: int) -> list[int]:
    """Of the rounds."""
    return round_sizes(plan.budget, n_questions, growth=GROWTH)


@dataclass(frozen=True, eq=False)
class Judged:
    """After a round: ln of the largest capitals so far against "the margin or more" and "0 or less", whether each null
    is rejected, the exact interval, and the one-sided limits."""

    safe: float
    worse: float
    is_safe: bool
    is_worse: bool
    interval: tuple[float, float]
    limits: tuple[float, float]

    @property
    def decided(self) -> bool:
        return self.is_safe or self.is_worse

    @property
    def verdict(self) -> str:
        """ "Degraded" wins."""
        return DEGRADED if self.is_worse else NOT_DEGRADED if self.is_safe else UNDECIDED


def judged(run: Run, plan: Plan, before: Judged | None) -> Judged:
    """A run after a round, `before` being how it was judged after the one before it (None: it is the first)."""
    return _of_bank(run, plan) if plan.about == BANK else _of_population(run, plan, before)


def since(decided: int | None, run: Run, now: Judged) -> int | None:
    """Questions after which it was decided, `decided` by the rounds before; None where it is not, or no longer, since
    the answers by now contradict what was decided."""
    return None if not now.decided else run.asked if decided is None else decided


def _of_bank(run: Run, plan: Plan) -> Judged:
    """The one-sided limits are of the very capitals that decide, so they never contradict the verdict."""
    draws = betting.Draws.of(run)
    safe, worse = (float(log_e[0]) for log_e in betting.evidence(draws, plan.margin))
    low, high = betting.exact_interval(draws, plan.alpha, plan.budget)
    mirror, limit = draws.mirrored(), -math.log(plan.alpha)
    upper = betting.upper_limit(draws, plan.alpha, betting.against(draws, plan.margin))[0]
    lower = -betting.upper_limit(mirror, plan.alpha, betting.for_worse(mirror, plan.margin))[0]
    return Judged(safe, worse, safe >= limit, worse >= limit, (float(low[0]), float(high[0])),
                  (float(lower), float(upper)))


def _of_population(run: Run, plan: Plan, before: Judged | None) -> Judged:
    """The tightest limits of all looks, which decide: whenever one stops they hold together."""
    look = population.Look(run, plan.margin)
    lower, upper = look.limits(plan.alpha)
    low, high = look.limits(plan.alpha / 2)
    known = (0.0, 0.0) if before is None else (before.safe, before.worse)
    safe, worse = look.against(plan.margin, 1, known[0]), look.against(0.0, -1, known[1])
    if before is not None:
        lower, upper = max(lower, before.limits[0]), min(upper, before.limits[1])
        low, high = max(low, before.interval[0]), min(high, before.interval[1])
    # Ends can cross, but with probability at most alpha.
    return Judged(safe, worse, upper <= plan.margin, lower >= 0, (min(low, high), max(low, high)), (lower, upper))


def found_by(run: Run, library: Curves, plan: Plan, now: Judged, decided: int | None) -> dict[str, Any]:
    """What a run has found, all its rounds being answered; `decided`: after how many questions it was."""
    found, d = estimate(run, plan.alpha), run.column("d")[0]
    (low, high), (lower, upper) = now.interval, now.limits
    weights = run.weights[0]
    of_bank = plan.about == BANK
    bank = (low, high) if of_bank else [
        float(end[0]) for end in betting.exact_interval(betting.Draws.of(run), plan.alpha, plan.budget)]
    return {
        "verdict": now.verdict, "within_margin": now.is_safe,
        "about": plan.about, "claim": WORDS[plan.about], "bank_low": bank[0], "bank_high": bank[1],
        "asked": run.asked, "of": run.known.size, "rounds": len(run.rounds), "decided_after": decided,
        "drop": float(found.drop[0]), "ci_low": low, "ci_high": high, "ci_method": "betting, exact",
        "drop_lower": lower, "drop_upper": upper,
        "asymptotic_low": _or_none(found.low[0]) if of_bank else None,
        "asymptotic_high": _or_none(found.high[0]) if of_bank else None,
        "p_safe": _p(now.safe), "p_worse": _p(now.worse),
        "lost": int((d > SAME).sum()), "gained": int((d < -SAME).sum()),
        "unseen_flips_at_most": int(betting.most_unseen(run, plan.alpha, plan.budget)[0]), "missing_among_asked": 0,
        "curve": library.names[int(weights.argmax())], "curve_weight": float(weights.max()),
        "margin": plan.margin, "alpha": plan.alpha, "share": plan.share, "seed": plan.seed, "budget": plan.budget,
        "stopped": bool(plan.stop and decided is not None),
    }


def _p(log_e: float) -> float:
    """1/E; 0 only where the answers leave the null no room."""
    return 0.0 if math.isinf(log_e) and log_e > 0 else math.exp(-min(max(log_e, 0.0), 700.0))


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def lines(result: dict[str, Any], least: float, whole: float | None) -> list[str]:
    """The result in words; `least` questions for "not degraded"; `whole`, the drop over all answers, in a replay."""
    margin, places = points(result["margin"], 10), _places(result["margin"])  # as it was tested
    said = {DEGRADED: "DEGRADED", NOT_DEGRADED: f"NOT DEGRADED by {margin} or more", UNDECIDED: "UNDECIDED"}
    within = ", but by less than the margin" if result["verdict"] == DEGRADED and result["within_margin"] else ""
    out = [f"{said[result['verdict']]}{within} ({result['claim']}): {result['asked']:,} of {result['of']:,} questions "
           f"asked ({percent(result['asked'] / result['of'])}), {result['rounds']} rounds",
           _row("drop", f"{points(result['drop'])}; exact {sure(result['alpha'])} interval "
                f"{at_least(100 * result['ci_low'], places)} to {at_most(100 * result['ci_high'], places)}"),
           _row("one-sided", f"at least {at_least(100 * result['drop_lower'], places)}, at most "
                f"{at_most(100 * result['drop_upper'], places)} points, each {sure(result['alpha'])}, "
                "whenever one stops"),
           _row("null", f"{_p_text(result['p_safe'])} against \"the drop is {margin} or more\""),
           _row("", f"{_p_text(result['p_worse'])} against \"the drop is 0 or less\""),
           _row("flips seen", f"{result['lost']:,} lost, {result['gained']:,} gained; of the questions not asked at "
                f"most {result['unseen_flips_at_most']:,} flip ({sure(result['alpha'])})")]
    if result["about"] == QUESTIONS:
        out.append(_row("by normality", "no interval is made for new questions"))
    elif result["asymptotic_low"] is None:
        out.append(_row("by normality", f"no interval: {result['lost'] + result['gained']} flips seen, {FLIPS_NEEDED} "
                        "are needed"))
    else:
        out.append(_row("by normality", f"{at_least(100 * result['asymptotic_low'])} to "
                        f"{at_most(100 * result['asymptotic_high'])} (asymptotic: no verdict rests on it)"))
    out.append(_row("about", result["claim"]))
    out.append(_row("flips expected", f"{result['curve']} ({percent(round(result['curve_weight'], 2))} of the belief)"))
    if whole is not None:
        out.append(_row("all answers", f"{points(whole)}: what the run did not see"))
    notes = []
    if result["asked"] < least and result["verdict"] == UNDECIDED:
        notes.append(_too_few(result, least))
    if result["missing_among_asked"]:
        notes.append(f"{result['missing_among_asked']:,} of the questions asked have no answer of the candidate; they "
                     "count as wrong")
    if result["stopped"]:
        notes.append("the run stopped when it was decided: the verdict and exact limits allow for that, the estimate "
                     "of the drop leans a little towards the decision")
    notes.append(about_text(result))
    return out + [note_text(note) for note in notes]


def _too_few(result: dict[str, Any], least: float) -> str:
    """Why it may be undecided: a candidate that is as good, and no better, cannot be told by so few."""
    if not math.isfinite(least):
        return (f"without a flip a bank of {result['of']:,} is too small to say \"not degraded\" about "
                f"{WORDS[result['about']]}: a larger bank, or a larger margin")
    plain = math.ceil(math.log(result["alpha"]) / math.log1p(-result["margin"]))
    return (f"{result['asked']:,} questions are too few to say \"not degraded\" without a single flip: this design "
            f"needs {least:,.0f} then (any design, where every question of a large bank can be lost: {plain:,}, about "
            "ln(1/alpha)/margin); ask more, or state a larger margin")


def _places(margin: float) -> int:
    """Decimals of limits in points: those of the margin, so that a limit below it is not shown above, and enough to
    tell a tenth of it."""
    _, _, after = f"{100 * margin:.9f}".rstrip("0").partition(".")
    return max(2, len(after), 1 - math.floor(math.log10(100 * margin)) if margin > 0 else 0)


def _p_text(p: float) -> str:
    return f"p = {p_at_most(p)}" if p else "ruled out by the answers themselves"


def _row(label: str, text: str) -> str:
    """A label in the first LABEL columns and its text beside it, wrapped as a terminal needs it."""
    return textwrap.fill(text, WIDTH, initial_indent=f"  {label}".ljust(LABEL), subsequent_indent=" " * LABEL,
                         break_on_hyphens=False)


def about_text(result: dict[str, Any]) -> str:
    """What the verdict, p-values and limits are about, and what is to be had of the other claims."""
    if result["about"] == BANK:
        return (f"this is about {WORDS[BANK]}: chance is in the draw of the questions alone, so those that belong "
                f"together need no correction. On {WORDS[QUESTIONS]}: begin with --about questions. On {NO_ANSWERS}")
    return (f"this is about {WORDS[QUESTIONS]}: the bank's are taken as drawn independently of one another, in the "
            f"tasks' proportions. Of {WORDS[BANK]} the {sure(result['alpha'])} interval is "
            f"{at_least(100 * result['bank_low'])} to {at_most(100 * result['bank_high'])}. If every answer is "
            f"independent of the others, verdict and limits hold for {WORDS[ANSWERS]}, too; narrower ones on "
            f"{NO_ANSWERS}")
