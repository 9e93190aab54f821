"""What a search for the best of several models has found, as plain values and as report.html."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import matplotlib.pyplot as plt

from .. import __version__
from ..claims import WORDS
from ..degradation.page import table
from ..palette import PALETTE
from ..querying.best_command import about_text, columns_of, interval_text, lines, models_of, rows
from .figures import drawn, labels_of
from .pieces import bar, capital, document, fact_table, svg
from .several import Several

CYCLE = ("blue", "vermillion", "green", "orange", "purple", "sky", "grey")


def result_of(asking: Several, manifest: dict[str, Any]) -> dict[str, Any]:
    """Everything that result.json says; estimates are None before the first round is answered."""
    plan, search = asking.plan, asking.search
    result = {
        "format": 1, "kind": manifest["kind"], "winner": asking.winner, "leader": plan.models[search.leader],
        "ended": asking.ended, "about": plan.about, "claim": WORDS[plan.about], "alpha": plan.alpha,
        "tolerance": plan.tolerance, "seed": plan.seed, "answers": len(asking.answers),
        "of": len(plan.models) * asking.bank.size, "questions": search.asked, "questions_of_bank": asking.bank.size,
        "budget": plan.questions, "rounds": asking.round, "models": models_of(search, plan.models),
        "notes": [*manifest["notes"], *(record["text"] for record in asking.log.of("note"))],
        "log": {"records": len(asking.log.records), "version": __version__}}
    return json.loads(json.dumps(result))


def text_of(result: dict[str, Any]) -> list[str]:
    """The result in words, the winner first."""
    if not result["questions"]:
        return [f"UNDECIDED: no round is answered by all models yet, {result['answers']:,} answers"]
    return lines(result)


# --- the page ----------------------------------------------------------------------------------------------

def page(asking: Several, manifest: dict[str, Any], result: dict[str, Any]) -> str:
    """The page: names of questions are not in it."""
    said = text_of(result)
    state = f"Ended: {result['ended']}." if result["ended"] else "Going on."
    share = result["answers"] / result["of"]
    body = [f"<h1>Which is best of {len(result['models'])} models</h1>",
            f'<p class="headline" id="verdict">{escape(said[0])}</p>',
            f"<p>{result['answers']:,} of {result['of']:,} answers were asked for ({100 * share:.1f} %). "
            f"{escape(state)}</p>", bar(share),
            *_running(asking), *_models(result), *_how(manifest), *_notes(result), *_cite(asking, manifest, said[0])]
    return document(said[0], body)


def _running(asking: Several) -> list[str]:
    looks = list(asking.log.of("look"))
    if not looks:
        return []
    return ["<h2>How it became known</h2>", svg(
        running(looks, asking.plan.models), "The mean of every model against the questions asked, until it was "
        "dropped"),
            '<p class="small">Every model\'s mean, as estimated after each round; a line ends with a cross where its '
            "model was dropped. What is judged is the difference of two models on the same questions, which is known "
            "much better than either mean. Means of models that were dropped early are rough.</p>"]


def running(looks: list[dict[str, Any]], models: tuple[str, ...]) -> plt.Figure:
    """The means of all models, against the questions asked; a line ends where its model was dropped."""
    figure, axes = drawn(3.2, right=2.2)
    labels = labels_of(models, 32)
    for i, name in enumerate(models):
        alive = [k for k, look in enumerate(looks) if k == 0 or name in looks[k - 1]["left"]]
        x, y = [looks[k]["asked"] for k in alive], [100 * looks[k]["estimates"][i] for k in alive]
        colour = PALETTE[CYCLE[i % len(CYCLE)]]
        axes.plot(x, y, color=colour, linewidth=1.1, label=labels[i],
                  linestyle=("-", "--", ":")[i // len(CYCLE) % 3])
        if name not in looks[-1]["left"]:
            axes.plot(x[-1], y[-1], "x", color=colour, markersize=5)
    axes.set(xlabel="questions asked of those that are left", ylabel="right, %", xlim=(0, None))
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name may have $ in it
    return figure


def _models(result: dict[str, Any]) -> list[str]:
    return ["<h2>The models</h2>", table(columns_of(result), rows(result)),
            f'<p class="small">{escape(capital(interval_text(result)))}.</p>']


def _how(manifest: dict[str, Any]) -> list[str]:
    plan = manifest["plan"]
    facts = [(one.get("name", "all models"), f"{one['driver']} {one['words']}".strip()) for one in manifest["asked"]]
    facts += [("begun", manifest["begun"]), ("tolerance, in points", f"{100 * plan['tolerance']:g}"),
             ("error rate", f"{100 * plan['alpha']:g} %, whenever it ends"),
             ("history", f"{manifest['history']['kind']}, {manifest['history']['models']} models"),
             ("seed", str(plan["seed"])),
             ("versions", ", ".join(f"{name} {value}" for name, value in manifest["versions"].items()))]
    return ["<h2>How it was asked</h2>", fact_table(facts)]


def _notes(result: dict[str, Any]) -> list[str]:
    notes = [*result["notes"], about_text(result)]
    return ["<h2>Notes</h2><ul>", *(f"<li>{escape(capital(note))}</li>" for note in notes), "</ul>"]


def _cite(asking: Several, manifest: dict[str, Any], said: str) -> list[str]:
    names = manifest["bank"]["the questions' names"] or ""
    cite = f"{said}; llm-accuracy {__version__} (seed {asking.plan.seed}; bank {names[:12]})"
    run = asking.log.path.parent.name
    return ["<h2>To cite and to audit</h2>", f"<p><code id='cite'>{escape(cite)}</code></p>",
            f"<p><code id='audit'>llm-accuracy best --run {escape(run)} --audit</code> draws every question again from "
            "the history, the seed and the answers, and compares each with its probability, and every look, with the "
            "log.</p>"]
