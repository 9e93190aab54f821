"""What an evaluation has found, as plain values: for result.json, the report and the live line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..querying.diagnosis import HURTS, SURE
from ..querying.session import Finding
from ..visible import visible
from .asking import Asking
from .history import identical
from .plans import EVERY_ROUND, EXACT, FIXED

BINS = 10  # of predicted probability, in the calibration
ASIDE = 0.1  # of the half-width: an interval whose middle is further from the estimate is no ±
INTERVALS = {FIXED: "holds at the budget that was chosen beforehand (growing rounds)",
             EVERY_ROUND: "holds after every round at once (growing rounds; the error rate is shared out among them "
                          "beforehand)",
             EXACT: "holds at every look and any number of answers (betting)"}


def result_of(asking: Asking, manifest: dict[str, Any], responses=None) -> dict[str, Any]:
    """Everything that result.json says; `estimate` None while nothing can be estimated.

    responses  the history's scores on the bank's questions, to look for a model with the same answers
    """
    found, plan, session = asking.finding(), asking.plan, asking.session
    questions = np.array(session.asked, int)
    names = asking.bank.questions[questions].tolist()
    answered = [(int(j), asking.answers[name]) for j, name in zip(questions, names, strict=True)
                if name in asking.answers]
    result: dict[str, Any] = {
        "format": 1, "model": session.model, "estimate": None, "asked": len(asking.answers), "of": asking.bank.size,
        "budget": plan.budget, "alpha": plan.alpha, "interval": interval_of(asking),
        "stopped": asking.ended, "rounds": asking.round}
    if found is not None:
        result |= {"estimate": found.theta, "low": found.low, "high": found.high,
                   "half_width": (found.high - found.low) / 2, "rests_on": found.asked}
    result["provisional"] = asking.ended is None and plan.interval == FIXED
    result["sub_scores"] = sub_scores(asking) if found is not None else {}
    result["history"] = history_of(asking, found, manifest)
    if asking.bank.costs is not None:
        result["cost"] = cost_of(asking.bank.costs, [j for j, _ in answered], result["history"].get("gain"))
    result["same_answers"] = identical(responses, [j for j, _ in answered], [z for _, z in answered])
    result["notes"] = [*manifest["notes"], *(record["text"] for record in asking.log.of("note"))]
    result["notes"] += [same_of(name) for name in result["same_answers"]]
    result["log"] = {"records": len(asking.log.records), "version": __version__}
    return result


def interval_of(asking: Asking) -> str:
    """What its interval claims: "it …"."""
    fixed, answers = asking.plan.interval == FIXED, len(asking.answers)
    if fixed and answers == asking.bank.size:
        return "is the accuracy itself: every question of the bank is answered"
    if fixed and asking.ended is not None and not asking.complete:
        return ("holds at these questions where how long answers take has nothing to do with whether they are right "
                "(growing rounds, ended by --max-minutes)")
    return INTERVALS[asking.plan.interval]


def sub_scores(asking: Asking) -> dict[str, dict[str, Any]]:
    """Accuracy by task, with intervals of their own and, `low_all` and `high_all`, that hold together: at the budget,
    or after every round at once as the estimate's do. Of --exact, which has none by task, by normality for one look."""
    session, plan = asking.session, asking.plan
    if not session.tasks:
        return {}
    assert asking.bank.tasks is not None
    sizes = Counter(asking.bank.tasks.tolist())
    level = plan.level(asking.bank.size, asking.complete_rounds) if plan.in_rounds else plan.alpha
    alone = session.sub_scores(level or plan.alpha)
    together = session.sub_scores(level or plan.alpha, simultaneous=True)
    if not level:
        alone = together = {task: asking.claiming_nothing(one, task) for task, one in alone.items()}
    return {task: {"estimate": one.theta, "low": one.low, "high": one.high, "low_all": together[task].low,
                   "high_all": together[task].high, "asked": one.asked, "of": sizes[task]}
            for task, one in alone.items()}


def history_of(asking: Asking, found: Finding | None, manifest: dict[str, Any]) -> dict[str, Any]:
    """How the history has served: gain against random questions by the same answers, calibration, a sentence if it
    hurts."""
    known: dict[str, Any] = {"kind": manifest["history"]["kind"], "models": manifest["history"]["models"],
                             "calibration": calibration(asking.logged, asking.answers), "sentence": ""}
    if found is None:
        return known
    size = asking.bank.size
    diagnosis = asking.session.estimate(asking.plan.alpha).history
    if diagnosis is None:  # one question after the other: the gain by the fixed interval of the same answers
        gain = asking.session.gain()
        hurts = manifest["history"]["models"] > 0 and gain is not None and gain < HURTS and found.asked >= SURE
        return known | {"gain": gain, "random": random_questions(found.asked, size, gain), "misleads": hurts,
                        "sentence":
                        "the history predicts this model badly: intervals are valid but no narrower than with random "
                        "questions" if hurts else ""}
    return known | {"gain": diagnosis.gain, "random": random_questions(found.asked, size, diagnosis.gain),
                    "promised": diagnosis.promised, "surprise": diagnosis.surprise,
                    "dispersion": diagnosis.dispersion,
                    "distance": diagnosis.distance if math.isfinite(diagnosis.distance) else None,
                    "misleads": diagnosis.misleads, "sentence": diagnosis.sentence}


def cost_of(costs: np.ndarray, asked: Sequence[int], gain: float | None) -> dict[str, float | None]:
    """What was spent: asked, of the bank; mean cost of the questions asked and of all; random, how many random
    questions the same cost buys; and gain, as many times the cost random questions of the same interval take.

    gain  in questions: the variance of as many random questions over that of the estimate
    """
    n, t, spent, mean = len(costs), len(asked), float(costs[list(asked)].sum()), float(costs.mean())
    random = spent / mean
    by_cost = None
    if (same := random_questions(t, n, gain)) is not None and random < n:
        by_cost = same / random
    return {"asked": spent, "bank": float(costs.sum()), "each": spent / t if t else None, "each_of_bank": mean,
            "random": random, "gain": by_cost}


def random_questions(asked: int, of: int, gain: float | None) -> float | None:
    """How many random questions an interval as narrow takes, T': 1/T' − 1/N = (1/T − 1/N) / gain. Of a large bank that
    is gain · T; never more than the bank has. None where it is not known, and where all are asked."""
    if gain is None or gain <= 0 or not 0 < asked < of:
        return None
    return 1 / ((1 / asked - 1 / of) / gain + 1 / of)


def calibration(logged: Sequence[dict[str, Any]], answers: dict[str, float]) -> list[dict[str, float]]:
    """Of every tenth of predicted probability with answers in it: how many, the mean prediction, the mean answer and
    its standard error by the predictions. What is asked depends on earlier answers only, so no weights are needed."""
    pairs = np.array([(p, answers[name]) for record in logged for name, p in
                      zip(record["questions"], record["p"], strict=True) if name in answers]).reshape(-1, 2)
    bins = np.minimum((pairs[:, 0] * BINS).astype(int), BINS - 1)
    rows = []
    for number in range(BINS):
        p, z = pairs[bins == number].T
        if len(p):
            rows.append({"from": number / BINS, "to": (number + 1) / BINS, "answers": len(p),
                         "predicted": float(p.mean()), "answered": float(z.mean()),
                         "error": float(np.sqrt((p * (1 - p)).sum()) / len(p))})
    return rows


def surprises(asking: Asking) -> list[dict[str, Any]]:
    """Every answered question in the order of asking, with what was expected: round, question, p, probability, score,
    and surprise, −log₂ of the probability that the answer had (of partial credit, its expectation), in bits."""
    rows = []
    for record in asking.logged:
        for name, p, probability in zip(record["questions"], record["p"], record["probability"], strict=True):
            if (score := asking.answers.get(name)) is not None:
                sure = min(max(p, 1e-6), 1 - 1e-6)
                surprise = -(score * math.log2(sure) + (1 - score) * math.log2(1 - sure))
                rows.append({"round": record["round"], "question": name, "p": p, "probability": probability,
                             "score": score, "surprise": surprise})
    return rows


def further(asking: Asking, result: dict[str, Any]) -> list[tuple[int, float]]:
    """(questions, about how wide the half-width would be) at larger budgets, if further questions tell as much as those
    so far: half-widths fall with √(1/T − 1/N)."""
    asked, size = result.get("rests_on", 0), asking.bank.size
    if not asked or asked >= size:
        return []
    now = math.sqrt(1 / asked - 1 / size)
    budgets = [budget for budget in (2 * asked, 4 * asked, 8 * asked) if budget < size]
    width = result["half_width"]
    return [*((budget, width * math.sqrt(1 / budget - 1 / size) / now) for budget in budgets), (size, 0.0)]


def with_interval(result: dict[str, Any]) -> str:
    """`61.3 % ± 2.4`; where the interval lies otherwise about the estimate, by more than a tenth of its half-width, as
    near 0 and 1, its ends: `100.0 %, 86.2 to 100.0`."""
    theta, low, high = (100 * result[name] for name in ("estimate", "low", "high"))
    if abs((low + high) / 2 - theta) > ASIDE * (high - low) / 2:
        return f"{theta:.1f} %, {low:.1f} to {high:.1f}"
    return f"{theta:.1f} % ± {100 * result['half_width']:.1f}"


def said_of(result: dict[str, Any]) -> list[str]:
    """Lines for the terminal: the estimate and what it rests on, what the history was worth, what is doubtful."""
    of, none = f"{result['asked']:,} of {result['of']:,} questions", result["estimate"] is None
    if result["provisional"]:
        rests = f"{result['asked']:,} of the budget's {result['budget']:,} questions are answered"
    else:
        interval = "" if none else f"{100 * (1 - result['alpha']):g} % interval, "
        rests = f"{interval}{of}; {result['stopped'] or 'not ended'}"
    yet = ", provisional" * (result["provisional"] and not none)
    said = [f"{visible(result['model'])}: {line_of(result)}{yet} ({rests})"]
    known = result["history"]
    if known["sentence"]:
        said.append(known["sentence"])
    elif not none and not result["provisional"] and known["models"] and (
            (known.get("random") or 0) > 1.05 * result["rests_on"]):
        said.append(f"random questions: about {known['random']:,.0f} would have been needed for as narrow an interval")
    return said + [same_of(name) for name in result["same_answers"]]


def same_of(name: str) -> str:
    """Of a model of the history with the same answers."""
    return (f"{visible(name)} of the history has given the very same answers to every question asked: if it is this "
            "model, the history knows it already")


def line_of(result: dict[str, Any]) -> str:
    """`accuracy 61.3 % ± 2.4`, or that there is nothing yet."""
    return "no estimate yet" if result["estimate"] is None else f"accuracy {with_interval(result)}"
