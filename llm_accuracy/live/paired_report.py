"""What a comparison has found, as plain values and as report.html."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np

from .. import __version__
from ..claims import WORDS
from ..degradation.few_answers.replay import LABEL, lines
from ..degradation.figures import COLOURS
from ..degradation.page import escape, table
from ..degradation.verdicts import UNDECIDED
from ..degradation.words import percent
from . import paired_figures as figures
from .paired import PairedAsking
from .pieces import bar, capital, document, fact_table, svg

MOST_FLIPS = 60  # listed in the page; the log has all


def result_of(asking: PairedAsking, manifest: dict[str, Any]) -> dict[str, Any]:
    """Everything that result.json says; the verdict is "undecided", and what is estimated None, before the first
    round is answered."""
    plan, found = asking.plan, asking.finding()
    result: dict[str, Any] = {
        "format": 1, "kind": manifest["kind"], "model": manifest["model"], "baseline": manifest["baseline"]["name"],
        "baseline_mean": manifest["baseline"]["mean"], "stated_margin": manifest["baseline"]["stated_margin"],
        "margins_known": manifest["baseline"]["margins_known"], "ended": asking.ended,
        "least_questions": manifest["least_questions"], "answers": len(asking.answers),
        "verdict": UNDECIDED, "within_margin": False, "asked": 0, "of": asking.bank.size, "rounds": 0,
        "drop": None, "ci_low": None, "ci_high": None, "margin": plan.margin, "alpha": plan.alpha,
        "about": plan.about, "claim": WORDS[plan.about], "budget": plan.budget, "seed": plan.seed, "lost": 0,
        "gained": 0}
    if found is not None:
        result |= found
    result |= accuracy_of(result, asking.baseline.higher_is_better)
    result["tasks"] = by_task(asking)
    result["where"] = parts(asking)
    result["notes"] = [*manifest["notes"], *(record["text"] for record in asking.log.of("note")), *claims(result)]
    result["log"] = {"records": len(asking.log.records), "version": __version__}
    return json.loads(json.dumps(result))


def accuracy_of(result: dict[str, Any], higher_is_better: bool) -> dict[str, float | None]:
    """The candidate's own mean on the scale of the metric, which is the baseline's, known in full, less the drop, and
    its exact interval on this bank: estimate, low, high; None before there is a drop."""
    if result["drop"] is None:
        return dict.fromkeys(("estimate", "low", "high"))
    mean = result["baseline_mean"]
    low, high = (min(max(mean - drop, 0.0), 1.0) for drop in (result["bank_high"], result["bank_low"]))
    estimate = min(max(mean - result["drop"], low), high)
    if not higher_is_better:
        low, estimate, high = 1 - high, 1 - estimate, 1 - low
    return {"estimate": estimate, "low": low, "high": high}


def claims(result: dict[str, Any]) -> list[str]:
    """What the answers themselves warn of, and what to do where they have not decided."""
    found = []
    if result["ended"] and result["verdict"] == UNDECIDED:
        found.append(f"it ended undecided ({result['ended']}): another run with a larger --budget, or all its answers "
                     "compared with pair, may decide it")
    if result["asked"] >= 50 and not result["lost"] + result["gained"]:
        found.append(f"not one of {result['asked']:,} answers differs from the baseline's: is the candidate another "
                     "model?")
    return found


def answered(asking: PairedAsking) -> list[dict[str, Any]]:
    """Every question of the rounds that are answered, in the order of asking: question, round, p, probability, score,
    d (positive: lost), kind ("lost", "gained", "no flip") and place, where it stands in the bank (`places`), in %."""
    at = {name: i for i, name in enumerate(asking.bank.questions.tolist())}
    place, _ = places(asking)
    rows = []
    for record in asking.logged:
        for name, p, q in zip(record["questions"], record["p"], record["probability"], strict=True):
            if (score := asking.answers.get(name)) is not None:
                oriented = score if asking.baseline.higher_is_better else 1 - score
                d = float(asking.baseline.known.scores[at[name]]) - oriented
                kind = "lost" if d > 1e-12 else "gained" if d < -1e-12 else "no flip"
                rows.append({"question": name, "round": record["round"], "p": p, "probability": q, "score": score,
                             "d": d, "kind": kind, "place": 100 * float(place[at[name]])})
    return rows


def places(asking: PairedAsking) -> tuple[np.ndarray, str]:
    """((N,) shares in [0, 1): where each question stands, the likeliest flips first; what the order is by)."""
    known, curves = asking.baseline.known, asking.baseline.library
    if known.margins is not None:
        return _ranks(np.abs(known.margins)), "bank by |margin|, thinnest on top, %"
    flips = curves.prior @ (known.scores * curves.down + (1 - known.scores) * curves.up)
    if np.ptp(flips) > 1e-9 and known.difficulty is not None:
        return _ranks(-flips), "bank by expected flips, most on top, %"
    return np.arange(known.size) / known.size, "bank in its own order, %"


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = np.empty(values.size)
    ranks[np.argsort(values, kind="stable")] = np.arange(values.size)
    return ranks / values.size


def parts(asking: PairedAsking) -> list[dict[str, Any]]:
    """Of every fifth of the bank (`places`): how many questions it has, were asked, lost and gained."""
    place, _ = places(asking)
    part = np.minimum((place * figures.PARTS).astype(int), figures.PARTS - 1)
    of = np.bincount(part, minlength=figures.PARTS)
    rows = answered(asking)
    found = [{"from": i / figures.PARTS, "to": (i + 1) / figures.PARTS, "of": int(of[i]), "asked": 0, "lost": 0,
              "gained": 0} for i in range(figures.PARTS)]
    for row in rows:
        one = found[min(int(row["place"] / 100 * figures.PARTS + 1e-9), figures.PARTS - 1)]
        one["asked"] += 1
        if row["kind"] in one:
            one[row["kind"]] += 1
    return [one for one in found if one["of"]]


def by_task(asking: PairedAsking) -> dict[str, dict[str, Any]]:
    """Of every task: how many questions it has, were asked, lost and gained. Counts, not rates: questions are drawn
    with unequal probabilities."""
    if asking.bank.tasks is None or len(np.unique(asking.bank.tasks)) < 2:
        return {}
    task = dict(zip(asking.bank.questions.tolist(), asking.bank.tasks.tolist(), strict=True))
    found = {name: {"asked": 0, "of": count, "lost": 0, "gained": 0}
             for name, count in sorted(Counter(task.values()).items())}
    for row in answered(asking):
        one = found[task[row["question"]]]
        one["asked"] += 1
        if row["kind"] in one:
            one[row["kind"]] += 1
    return found


def text_of(result: dict[str, Any]) -> list[str]:
    """The result in words, the verdict first."""
    if result["drop"] is None:
        return [f"UNDECIDED: no round is answered yet, {result['answers']:,} answers"]
    return lines(result, result["least_questions"], None)


# --- the page ----------------------------------------------------------------------------------------------

def page(asking: PairedAsking, manifest: dict[str, Any], result: dict[str, Any], show_questions: bool = False) -> str:
    """The page; question ids only, unless `show_questions` and the log has what they ask."""
    rows = answered(asking)
    body = [_headline(result), *_running(asking, result), *_where(asking, result, rows, show_questions),
            *_tasks(result), *_how(asking, manifest), *_notes(result), *_cite(asking, manifest, result)]
    title = f"{result['model']} against {result['baseline']}: {result['verdict']}"
    return document(title, body)


def _headline(result: dict[str, Any]) -> str:
    said = text_of(result)
    colour = COLOURS[result["verdict"]]
    end = result["ended"]
    state = f"Ended: {end}." if end else "Going on."
    rows = [(line[:LABEL].strip(), " ".join(line[LABEL:].split())) for line in said[1:]
            if not line.strip().startswith("note:")]
    return "\n".join([
        f"<h1>{escape(result['model'])} against {escape(result['baseline'])}</h1>",
        f'<p class="verdict" id="verdict" style="border-color: {colour}">{escape(said[0])}</p>',
        f"<p>{result['answers']:,} of at most {result['budget']:,} questions answered; the bank has {result['of']:,}. "
        f"{escape(state)}</p>",
        bar(result["answers"] / result["budget"]), fact_table(rows)])


def _running(asking: PairedAsking, result: dict[str, Any]) -> list[str]:
    looks = list(asking.log.of("look"))
    if not looks:
        return []
    return ["<h2>How the drop became known</h2>", svg(figures.running(looks, result["budget"], result["margin"]),
                "The drop after every round with its exact interval, against the questions asked; the margin dashed"),
            svg(figures.evidence(looks, result["budget"], result["alpha"]),
                "The p-values of both nulls after every round"),
            '<p class="small">Each p-value, and each end of the interval, holds whenever one stops.</p>']


def _where(asking: PairedAsking, result: dict[str, Any], rows: list[dict[str, Any]], show_questions: bool) -> list[str]:
    if not rows:
        return []
    _, label = places(asking)
    flips = [row for row in rows if row["kind"] != "no flip"]
    body = ["<h2>Where flips were looked for and found</h2>", svg(
        figures.where(rows, result["where"], label), "Every question asked by its place in the bank, and what share of "
        "each fifth of the bank was asked; the table lists those that flipped")]
    if not flips:
        return [*body, "<p>No answer differs from the baseline's.</p>"]
    texts = {record["question"]: record["text"] for record in asking.log.of("answer") if "text" in record}
    header: tuple[str, ...] = ("question", "round", "what happened", "expected drop", "probability of the draw")
    cells: list[tuple[str, ...]] = [(row["question"], str(row["round"]), row["kind"], f"{row['p']:+.3f}",
                                     f"{100 * row['probability']:.2g} %") for row in flips[:MOST_FLIPS]]
    if show_questions and texts:
        header, cells = (*header, "what it asks"), [(*cell, texts.get(cell[0], "")[:400]) for cell in cells]
    more = f"<p>The first {MOST_FLIPS} of {len(flips):,} flips:</p>" if len(flips) > MOST_FLIPS else ""
    return [*body, more, table(header, cells)]


def _tasks(result: dict[str, Any]) -> list[str]:
    if not result["tasks"]:
        return []
    rows = [(task, f"{one['asked']:,} of {one['of']:,}", f"{one['lost']:,}", f"{one['gained']:,}")
            for task, one in result["tasks"].items()]
    shown = figures.most_flips(result["tasks"])
    drawn = [svg(figures.tasks(shown), "Flips by task, as in the table")] if shown else []
    said = (f"The figure has the {len(shown)} of {len(rows)} tasks with the most flips; in brackets, how many "
            "questions were asked." if shown else "No task shows a flip.")
    return ["<h2>By task</h2>", *drawn, f'<p class="small">{said}</p>',
            table(("task", "asked", "lost", "gained"), rows),
            '<p class="small">Counts: questions are drawn with unequal probabilities, and the verdict is about all '
            "tasks as one bank.</p>"]


def _how(asking: PairedAsking, manifest: dict[str, Any]) -> list[str]:
    asked, plan, before = manifest["asked"], manifest["plan"], manifest["baseline"]
    known = ["its scores", *(["how often its own reruns flip"] if asking.baseline.known.runs > 1 else []),
             *(["its margins"] if before["margins_known"] else []),
             *(["a history's difficulty"] if before["difficulty_known"] else []),
             *(f"flips of {name}" for name in before["earlier"])]
    rows = [("asked through", f"{asked['driver']} {asked['words']}".strip()), ("begun", manifest["begun"]),
            ("baseline", f"{before['name']}, {100 * before['mean']:.2f} % right"),
            ("known of it beforehand", ", ".join(known)), ("margin", before["stated_margin"]),
            ("uniform share of every draw", percent(plan["share"])), ("seed", str(plan["seed"])),
            *((name, str(value)) for name, value in asked["settings"].items()),
            ("versions", ", ".join(f"{name} {value}" for name, value in manifest["versions"].items()))]
    return ["<h2>How it was asked</h2>", fact_table(rows)]


def _notes(result: dict[str, Any]) -> list[str]:
    said = [line.split("note: ", 1)[1] for line in (" ".join(text.split()) for text in text_of(result))
            if line.startswith("note: ")]
    every = list(dict.fromkeys([*result["notes"], *said]))
    return ["<h2>Notes</h2><ul>", *(f"<li>{escape(capital(note))}</li>" for note in every), "</ul>"] if every else []


def _cite(asking: PairedAsking, manifest: dict[str, Any], result: dict[str, Any]) -> list[str]:
    names = manifest["bank"]["the questions' names"] or ""
    cite = (f"{text_of(result)[0]}; {result['model']} against {result['baseline']}, llm-accuracy {__version__} "
            f"(seed {result['seed']}; bank {names[:12]})")
    run = asking.log.path.parent.name
    return ["<h2>To cite and to audit</h2>", f"<p><code id='cite'>{escape(cite)}</code></p>",
            f"<p><code id='audit'>llm-accuracy evaluate {escape(run)} --audit</code> draws every question again from "
            "the baseline, the curves, the seed and the answers, and compares each with its probability, and every "
            "look, with the log.</p>"]
