"""The difference of models that were each asked few questions: intervals, verdicts and ranks, from their runs.

Runs are of one bank. Each has θ̂ and, at any level, an interval of its own, which is all that is combined:

* two runs whose intervals hold by a normal limit, that have seen SEEN_NEEDED right and as many wrong answers each, and
  whose draws are independent (their streams have different keys):
  [D̂ − √((θ̂₁ − l₁)² + (u₂ − θ̂₂)²), D̂ + √((u₁ − θ̂₁)² + (θ̂₂ − l₂)²)] of the two 1 − α intervals ("MOVER", Zou and
  Donner 2008): for symmetric ones, the usual √(h₁² + h₂²);
* else [l₁ − u₂, u₁ − l₂] of the two 1 − α/2 intervals: no independence and nothing asymptotic is added. Of few rare
  answers an interval is too short on the side on which they are missing, and at a share of α by far.

That is about this bank. About new questions like these, of which the bank's N are taken as independent draws, half of α
goes to the interval of the bank and half to how far its mean lies from the population's (`populations.nearby`), of a
score in [0, 1] or of a difference in [−1, 1]: the two models were asked different questions, so how their answers vary
together is not known, and the worst is allowed for.

Of m runs all m(m − 1)/2 differences hold together, each at α over their number. A run's rank is at least one more than
the number of runs surely above it.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..claims import ANSWERS, BANK, NO_ANSWERS, QUESTIONS, WORDS
from ..degradation.few_answers import betting
from ..degradation.verdicts import DEGRADED, NOT_DEGRADED, UNDECIDED
from ..degradation.words import WIDTH, sure
from ..errors import InputError
from ..outward import at_least, at_most
from ..populations import nearby
from .bank import Bank, digest
from .run_folder import ACCURACY, COMPARISON, RunFolder

SAME = 1e-9  # means of whole banks that differ by no more are one: they were added up in another order
SEEN_NEEDED = 10  # right, and wrong answers, for two runs to be combined as of independent normal estimates


@dataclass(frozen=True)
class Side:
    """One run: where it is, its model, θ̂, the interval at any alpha, whether that holds by a normal limit at one
    number of questions (else exactly or at every look), what its draws are keyed by, and questions asked."""

    path: Path
    model: str
    estimate: float
    interval: Callable[[float], tuple[float, float]]
    normal: bool
    key: tuple[str, ...]
    asked: int
    of: int
    bank: dict[str, Any]
    repeated: int = 0  # questions whose content others have, too
    rarer: float = math.inf  # right or wrong answers seen, whichever are fewer; of partial credit their sum

    def about(self, claim: str, alpha: float) -> tuple[float, float]:
        """The interval of what is claimed."""
        return (self.interval(alpha) if claim == BANK else
                nearby(*self.interval(alpha / 2), self.of, alpha / 2))


@dataclass(frozen=True)
class Difference:
    """θ_one − θ_other with its interval, and how that was made."""

    one: str
    other: str
    difference: float
    low: float
    high: float
    how: str


def read_side(path: Path) -> Side:
    """A run that can be compared. Raises InputError for one that cannot be opened, that has no estimate yet, or whose
    interval holds at its end and that has not ended."""
    manifest = RunFolder(path).manifest()
    return _of_comparison(path) if manifest.get("kind", ACCURACY) == COMPARISON else _of_accuracy(path)


def _of_accuracy(path: Path) -> Side:
    from .evaluate import reopen
    from .plans import FIXED

    run = reopen(RunFolder(path))
    asking, plan = run.asking, run.asking.plan
    if plan.interval == FIXED and asking.ended is None:
        raise InputError(f"{path}: the evaluation has not ended, and its interval holds at its end; --resume it first")
    found = asking.finding()
    if found is None:
        raise InputError(f"{path}: no estimate yet; --resume it first")

    def interval(alpha: float) -> tuple[float, float]:
        one = asking.finding(alpha)
        if one is None:
            raise InputError(f"{path}: no interval at alpha {alpha:g}")
        return one.low, one.high

    return Side(path, run.manifest["model"], found.theta, interval, plan.interval == FIXED,
                ("accuracy", run.manifest["model"], str(plan.seed)), found.asked, asking.bank.size,
                _prints(asking.bank), _repeated(asking.bank), _rarer(asking.answers.values(), asking.bank.size))


def _rarer(answers: Collection[float], n_questions: int) -> float:
    """Infinite where all is known."""
    right = math.fsum(answers)
    return math.inf if len(answers) == n_questions else min(right, len(answers) - right)


def _of_comparison(path: Path) -> Side:
    from .paired_run import reopen

    run = reopen(RunFolder(path))
    asking, mean = run.asking, run.manifest["baseline"]["mean"]
    found = asking.finding()
    if found is None or asking.outstanding:
        raise InputError(f"{path}: a round is not answered yet; --resume it first")
    draws = betting.Draws.of(asking.paired)
    higher = asking.baseline.higher_is_better

    def interval(alpha: float) -> tuple[float, float]:
        low, high = betting.exact_interval(draws, alpha, asking.plan.budget)
        return mean - float(high[0]), mean - float(low[0])

    if not higher:
        raise InputError(f"{path}: a comparison by a metric of which lower is better has no accuracy to compare")
    return Side(path, run.manifest["model"], mean - found["drop"], interval, False,
                ("comparison", str(asking.plan.seed)), found["asked"], asking.bank.size, _prints(asking.bank),
                _repeated(asking.bank))


def _prints(bank: Bank) -> dict[str, str | None]:
    """Fingerprints of a bank's questions, whatever their order: a baseline's and a history's differ in it."""
    order = np.argsort(bank.questions)
    return {"the questions' names": digest(bank.questions[order]),
            "the questions' contents": None if bank.contents is None else digest(bank.contents[order])}


def _repeated(bank: Bank) -> int:
    known = [] if bank.contents is None else [content for content in bank.contents.tolist() if content]
    return len(known) - len(set(known))


def check_one_bank(sides: Sequence[Side]) -> None:
    """Raises InputError where runs are of different questions, or are one run."""
    for one, other in itertools.combinations(sides, 2):
        if one.path.resolve() == other.path.resolve():
            raise InputError(f"{other.path} is named twice; a run does not differ from itself")
    for first, other in itertools.combinations(sides, 2):
        for part in ("the questions' names", "the questions' contents"):
            here, there = first.bank.get(part), other.bank.get(part)
            if here != there and (part == "the questions' names" or (here and there)):
                raise InputError(f"{other.path}: {part} are not those of {first.path}: only runs on the same questions "
                                 "can be compared")


def difference(one: Side, other: Side, alpha: float, claim: str = BANK) -> Difference:
    """Of two runs on one bank, at level 1 − alpha."""
    if claim == QUESTIONS:
        found = difference(one, other, alpha / 2)
        low, high = nearby((1 + found.low) / 2, (1 + found.high) / 2, one.of, alpha / 2)
        return replace(found, low=2 * low - 1, high=2 * high - 1,
                       how=f"{found.how}; half the error rate for which questions are in the bank")
    d = one.estimate - other.estimate
    rare = [side for side in (one, other) if side.rarer < SEEN_NEEDED]
    if one.normal and other.normal and one.key != other.key and not rare:
        (l1, u1), (l2, u2) = one.interval(alpha), other.interval(alpha)
        low = d - math.hypot(one.estimate - l1, u2 - other.estimate)
        high = d + math.hypot(u1 - one.estimate, other.estimate - l2)
        how = "independent draws, each interval by a normal limit at its budget"
    else:
        (l1, u1), (l2, u2) = one.interval(alpha / 2), other.interval(alpha / 2)
        low, high, how = l1 - u2, u1 - l2, "each interval at half the error rate"
        if rare and (one.normal or other.normal):
            how += (f"; {' and '.join(side.model for side in rare)} gave fewer than {SEEN_NEEDED} right or wrong "
                    "answers, of which no normal limit is sure")
    return Difference(one.model, other.model, d, max(low, -1.0), min(high, 1.0), how)


def compared(paths: Sequence[Path], margin: float, alpha: float, claim: str = BANK) -> dict[str, Any]:
    """Everything about these runs, the first of which is the baseline: as plain values. `claim`: `claims.ABOUT`.

    Raises InputError where runs cannot be compared, or are of questions that are no independent draws and the claim is
    about new ones.
    """
    sides = [read_side(path) for path in paths]
    check_one_bank(sides)
    names = [side.model for side in sides]
    sides = [replace(side, model=f"{side.model} ({side.path})") if names.count(side.model) > 1 else side
             for side in sides]  # two runs of one name are told apart by where they are
    if claim == QUESTIONS and (repeated := max(side.repeated for side in sides)):
        raise InputError(f"{sides[0].path}: {repeated:,} questions repeat the content of others, so they are no "
                         "independent draws: --about bank needs none")
    pairs = list(itertools.combinations(range(len(sides)), 2))
    together = {pair: difference(sides[pair[0]], sides[pair[1]], alpha / len(pairs), claim)
                for pair in pairs}
    above = [[_above(together, i, j) for j in range(len(sides))] for i in range(len(sides))]
    runs = []
    for i, side in enumerate(sides):
        low, high = side.about(claim, alpha)
        best = 1 + sum(above[j][i] for j in range(len(sides)))
        worst = len(sides) - sum(above[i][j] for j in range(len(sides)))
        runs.append({"run": str(side.path), "model": side.model, "estimate": side.estimate, "low": low, "high": high,
                     "asked": side.asked, "of": side.of, "rank_low": best, "rank_high": worst})
    verdicts = [_verdict(sides[0], side, margin, alpha, len(sides) - 1, claim) for side in sides[1:]]
    return {"alpha": alpha, "margin": margin, "about": claim, "claim": WORDS[claim], "runs": runs, "verdicts": verdicts,
            "differences": [vars(found) for found in together.values()]}


def _above(together: dict[tuple[int, int], Difference], i: int, j: int) -> bool:
    """Whether run i is surely better than run j."""
    if i == j:
        return False
    return together[i, j].low > SAME if i < j else together[j, i].high < -SAME


def _verdict(baseline: Side, side: Side, margin: float, alpha: float, candidates: int, claim: str) -> dict[str, Any]:
    """One-sided limits of the drop, at alpha over the number of candidates; "degraded" wins."""
    found = difference(baseline, side, min(2 * alpha / candidates, 0.49), claim)
    within = found.high < margin - SAME
    said = DEGRADED if found.low > SAME else NOT_DEGRADED if within else UNDECIDED
    return {"model": side.model, "run": str(side.path), "verdict": said, "within_margin": within,
            "drop": found.difference, "drop_lower": found.low, "drop_upper": found.high, "how": found.how}


def lines(result: dict[str, Any]) -> list[str]:
    """The result in words."""
    level, runs = sure(result["alpha"]), result["runs"]
    width = max(len(run["model"]) for run in runs)
    out = [f"{run['model']:<{width}}  {100 * run['estimate']:.1f} %, {level} interval {at_least(100 * run['low'], 1)} "
           f"to {at_most(100 * run['high'], 1)}; {run['asked']:,} of {run['of']:,} questions; rank {_rank(run)}"
           for run in runs]
    out.append(f"differences, in points; all {len(result['differences'])} hold together ({level}):"
               if len(result["differences"]) > 1 else f"difference, in points ({level}):")
    out += [f"  {one['one']} − {one['other']}: {100 * one['difference']:+.2f} "
            f"({_signed(at_least(100 * one['low']))} to {_signed(at_most(100 * one['high']))})"
            for one in result["differences"]]
    for one in result["verdicts"]:
        out.append(f"{one['model']} against {runs[0]['model']}: {one['verdict'].upper()}; the drop is at least "
                   f"{at_least(100 * one['drop_lower'])}, at most {at_most(100 * one['drop_upper'])} points, margin "
                   f"{100 * result['margin']:.10g}")
        out.append(f"  ({one['how']})")
    return [*out, *textwrap.wrap(about_text(result), WIDTH)]


def about_text(result: dict[str, Any]) -> str:
    """What intervals, ranks and verdicts are about, and what of the other claims can be had."""
    if result["about"] == BANK:
        return (f"about {WORDS[BANK]}; not about {WORDS[QUESTIONS]} (--about questions). On {NO_ANSWERS}, which runs "
                "do not keep")
    return (f"about {WORDS[QUESTIONS]}, the bank's taken as independent draws of them (a run does not keep what ties "
            f"questions, such as a passage), and about {WORDS[ANSWERS]} if every answer is independent of the others; "
            f"narrower on {NO_ANSWERS}, which runs do not keep")


def _signed(number: str) -> str:
    return number if number.startswith("-") else f"+{number}"


def _rank(run: dict[str, Any]) -> str:
    return str(run["rank_low"]) if run["rank_low"] == run["rank_high"] else f"{run['rank_low']} to {run['rank_high']}"
