"""report.html: one self-contained page of an evaluation, rewritten after every round."""

from __future__ import annotations

from typing import Any

from .. import __version__
from ..degradation.page import escape, table
from . import figures
from .asking import Asking
from .pieces import bar, capital, document, fact_table, svg
from .plans import EVERY_ROUND, EXACT, FIXED
from .results import further, surprises, with_interval

MOST_SURPRISING = 15
MOST_TASKS = 4  # named above the estimate
HOLDS_BY_TASK = {FIXED: "They hold at the budget that was chosen beforehand.",
                 EVERY_ROUND: "They hold after every round at once, as the estimate's does.",
                 EXACT: "They are by normality and for one look: not exact, and not valid at an end that the answers "
                        "have chosen."}


def page(asking: Asking, manifest: dict[str, Any], result: dict[str, Any], show_questions: bool = False) -> str:
    """The page; question ids only, unless `show_questions` and the log has what they ask."""
    rows = surprises(asking)
    body = [_headline(asking, result), *_running(asking, result), *_tasks(asking, result),
            *_asked(asking, rows, show_questions), *_history(result), *_cost(result),
            *_further(asking, manifest, result), *_settings(asking, manifest), *_notes(result),
            *_audit(asking, manifest, result)]
    title = f"{result['model']}: accuracy from {result['asked']:,} of {result['of']:,} questions"
    return document(title, body)


def _headline(asking: Asking, result: dict[str, Any]) -> str:
    parts = [f"<h1>{escape(result['model'])}</h1>", f"<p>Accuracy on the {result['of']:,} questions{_of(asking)}</p>"]
    if result["estimate"] is None:
        parts.append('<p class="headline" id="estimate">no estimate yet</p>')
    else:
        parts.append(f'<p class="headline" id="estimate">{with_interval(result)}</p>')
        parts.append(f"<p>{100 * (1 - result['alpha']):.10g} % interval: {100 * result['low']:.1f} to "
                     f"{100 * result['high']:.1f} %. It {escape(result['interval'])}"
                     f"{'; provisional until then' if result['provisional'] else ''}.</p>")
    cost = result.get("cost")
    spent = f" Cost: {_amount(cost['asked'])} of {_amount(cost['bank'])} for the whole bank." if cost else ""
    most = "at most " if asking.plan.watched else ""
    state = escape("Ended: " + result["stopped"] if result["stopped"] else "Going on")
    parts.append(f"<p>{result['asked']:,} of {most}{result['budget']:,} questions asked; the bank has "
                 f"{result['of']:,}. {state}.{spent}</p>{bar(result['asked'] / result['budget'])}")
    if result["history"]["sentence"]:
        parts.append(f'<p class="sentence">{escape(capital(result["history"]["sentence"]))}.</p>')
    return "\n".join(parts)


def _running(asking: Asking, result: dict[str, Any]) -> list[str]:
    looks = list(asking.log.of("look"))
    if not looks:
        return []
    small = ("The interval after an earlier round is what was known then; only the last one has the error rate that "
             "was asked for." if asking.plan.interval == FIXED else "The band holds at all rounds at once.")
    return ["<h2>Estimate against questions asked</h2>", svg(
        figures.running(looks, result["budget"]), "The estimate after every round, with its interval, against the "
        "number of questions asked"),
            f'<p class="small">{small}</p>']


def _tasks(asking: Asking, result: dict[str, Any]) -> list[str]:
    if not result["sub_scores"]:
        return []
    rows = [(task, f"{one['asked']:,} of {one['of']:,}", _percent(one["estimate"]),
             f"{_percent(one['low'])} to {_percent(one['high'])}",
             f"{_percent(one['low_all'])} to {_percent(one['high_all'])}")
            for task, one in result["sub_scores"].items()]
    return ["<h2>Sub-scores by task</h2>", svg(
        figures.tasks(result["sub_scores"]), "Accuracy by task with intervals, as in the table"),
            table(("task", "asked", "accuracy, %", "interval", "all intervals together"), rows),
            '<p class="small">Thin lines and the last column: intervals that hold for all tasks together. '
            f"{HOLDS_BY_TASK[asking.plan.interval]}" +
            (" Of a task without an answer the accuracy is what is predicted." if any(
                one["asked"] == 0 for one in result["sub_scores"].values()) else "") + "</p>"]


def _asked(asking: Asking, rows: list[dict[str, Any]], show_questions: bool) -> list[str]:
    if not rows:
        return []
    texts = {record["question"]: record["text"] for record in asking.log.of("answer") if "text" in record}
    most = sorted(rows, key=lambda row: -row["surprise"])[:MOST_SURPRISING]
    header: tuple[str, ...] = ("question", "round", "predicted", "answered", "surprise, bits")
    cells: list[tuple[str, ...]] = [
        (row["question"], str(row["round"]), f"{row['p']:.2f}", f"{row['score']:g}", f"{row['surprise']:.1f}")
        for row in most]
    parts = ["<h2>Which questions were asked, and how surprising the answers were</h2>", svg(
        figures.asked(rows), "Every question in the order of asking by the probability that was predicted, and whether "
        "the answer was right"),
             f"<p>Mean surprise {sum(row['surprise'] for row in rows) / len(rows):.2f} bits an answer (a coin's is 1). "
             "The most surprising:</p>"]
    if show_questions and texts:
        header, cells = (*header, "what it asks"), [(*cell, texts.get(cell[0], "")[:400]) for cell in cells]
    elif show_questions:
        parts.append("<p>What the questions ask is not in the log: give --show-questions while they are asked.</p>")
    return [*parts, table(header, cells)]


def _history(result: dict[str, Any]) -> list[str]:
    known = result["history"]
    if not known["calibration"]:
        return []
    rows = [(f"{row['from']:.1f}–{row['to']:.1f}", f"{row['answers']:,}", f"{row['predicted']:.2f}",
             f"{row['answered']:.2f}", f"± {2 * row['error']:.2f}") for row in known["calibration"]]
    none = not known["models"]
    facts = [("history", f"{known['kind']}" + (f", {known['models']:,} models" if known["models"] else ""))]
    if known.get("random") is not None:
        facts.append(("random questions for as narrow an interval",
                      f"about {known['random']:,.0f}, by the same answers"))
    if known.get("gain") is not None:
        promised = f"; the history promised up to {known['promised']:.2f}" if "promised" in known and not none else ""
        facts.append(("gain", f"{known['gain']:.2f}: with as many random questions the variance would have been so "
                      f"many times as large{promised}"))
    if "surprise" in known:
        facts.append(("right answers against predictions", f"{known['surprise']:+.1f} standard errors"))
        facts.append(("squared errors against predictions", f"{known['dispersion']:.2f} of what was expected"))
    return [f"<h2>{'What was predicted' if none else 'Did the history serve?'}</h2>", fact_table(facts),
            svg(figures.calibration(known["calibration"]), "Answers against predictions by tenths, as in the table"),
            table(("predicted", "answers", "mean prediction", "share right", "two standard errors"), rows)]


def _cost(result: dict[str, Any]) -> list[str]:
    cost = result.get("cost")
    if not cost or cost["each"] is None:
        return []
    facts = [("spent", f"{_amount(cost['asked'])} of {_amount(cost['bank'])} for the whole bank, in the "
              "units of --cost"),
             ("a question", f"{_amount(cost['each'])} of those asked, {_amount(cost['each_of_bank'])} of all"),
             ("random questions for that cost", f"{cost['random']:,.0f}")]
    if cost["gain"] is not None:
        facts.append(("gain by cost", f"random questions would have cost {cost['gain']:.2f} times as much for this "
                      "interval, by the same answers"))
    return ["<h2>What it cost</h2>", fact_table(facts)]


def _further(asking: Asking, manifest: dict[str, Any], result: dict[str, Any]) -> list[str]:
    rows = further(asking, result)
    if not rows:
        return []
    looks = list(asking.log.of("look"))
    each = looks[-1]["seconds"] / max(looks[-1]["asked"], 1) if looks else 0.0
    from ..cli import duration

    cells: list[tuple[str, ...]] = [
        (f"{budget:,}", f"{budget - result['rests_on']:,}", f"± {100 * half:.1f}") for budget, half in rows]
    header: tuple[str, ...] = ("questions in all", "more", "half-width, points")
    if manifest["asked"]["driver"] != "files":  # how long people take is not known
        header, cells = (*header, "time, as so far"), [
            (*cell, duration(each * (budget - result["rests_on"])))
            for cell, (budget, _) in zip(cells, rows, strict=True)]
    if (cost := result.get("cost")) and cost["each"] is not None:
        more = [cost["bank"] - cost["asked"] if budget == result["of"] else cost["each"] * (budget - result["rests_on"])
                for budget, _ in rows]
        header, cells = (*header, "cost, as so far"), [(*cell, _amount(each)) for cell, each in
                                                       zip(cells, more, strict=True)]
    how = ("With a smaller --half-width from the start, as another run." if asking.plan.watched else
           "As another run with that budget from the start: a budget that is raised after looking has no valid "
           "interval.")
    return ["<h2>What more questions would give</h2>", table(header, cells), f'<p class="small">{how}</p>']


def _settings(asking: Asking, manifest: dict[str, Any]) -> list[str]:
    asked, plan = manifest["asked"], manifest["plan"]
    rounds = f"{asking.round} so far; the first of {plan['first']} questions, each {plan['growth']:g} times larger"
    facts = [("asked through", f"{asked['driver']} {asked['words']}".strip()), ("begun", manifest["begun"]),
             ("rounds", rounds),
             ("seed", str(plan["seed"])), *((name, str(value)) for name, value in asked["settings"].items()),
             ("versions", ", ".join(f"{name} {value}" for name, value in manifest["versions"].items()))]
    return ["<h2>How it was asked</h2>", fact_table(facts)]


def _notes(result: dict[str, Any]) -> list[str]:
    if not result["notes"]:
        return []
    return ["<h2>Notes</h2><ul>", *(f"<li>{escape(capital(note))}</li>" for note in result["notes"]), "</ul>"]


def _audit(asking: Asking, manifest: dict[str, Any], result: dict[str, Any]) -> list[str]:
    run = asking.log.path.parent.name
    number = "no estimate yet" if result["estimate"] is None else (
        f"{100 * result['estimate']:.1f} % ({100 * (1 - result['alpha']):.10g} % interval {100 * result['low']:.1f}–"
        f"{100 * result['high']:.1f})")
    cite = (f"{result['model']}: {number}, estimated from {result['asked']:,} of {result['of']:,} questions with "
            f"llm-accuracy {__version__} (seed {manifest['plan']['seed']}; bank "
            f"{(manifest['bank']['the questions' + chr(39) + ' names'] or '')[:12]})")
    return ["<h2>To cite and to audit</h2>", f"<p><code id='cite'>{escape(cite)}</code></p>",
            f"<p><code id='audit'>llm-accuracy evaluate {escape(run)} --audit</code> draws every question again from "
            "the factors, the seed and the answers, and compares each with its probability, and the estimate, with the "
            "log.</p>"]


def _of(asking: Asking) -> str:
    """ of gsm8k, mmlu; of 60 tasks; nothing where there are none."""
    names = [] if asking.bank.tasks is None else sorted(set(asking.bank.tasks.tolist()))
    if not names:
        return ""
    return f" of {escape(', '.join(names)) if len(names) <= MOST_TASKS else f'{len(names):,} tasks'}"


def _amount(cost: float) -> str:
    """A cost in digits: 0.0123, 12.5, 34,950."""
    return f"{cost:,.0f}" if cost >= 1000 else f"{cost:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
