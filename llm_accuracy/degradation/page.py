"""report.html: one self-contained page that says what was decided and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape as _escape

from .. import __version__
from ..visible import visible
from . import figures
from .paired import PairedResult
from .pairing import Pairs
from .report import PairReport, SuiteReport
from .verdicts import DEGRADED

SHOWN_ITEMS = 50  # of the items left out for one reason
# The browser is forbidden to run scripts or make requests, whatever a file name or a note contains.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, p, li, code, td { overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.verdict { border-left: 6px solid; padding: .5rem 1rem; margin: .8rem 0; background: #f6f6f6; font-weight: 600 }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }
th { border-bottom: 2px solid #888 } th:first-child, td:first-child { text-align: left }
.wide th, .wide td { white-space: nowrap }
.wide td:first-child { white-space: normal; min-width: 7rem; max-width: 24rem }
table.facts td { text-align: left } table.facts td:first-child { white-space: nowrap }
.wide table.facts td { white-space: normal } .wide table.facts td:first-child { max-width: 14rem }
.wide { overflow-x: auto } svg { width: 42rem; max-width: 100%; min-width: 32rem; height: auto }
code { background: #f0f0f0; padding: .1rem .3rem }
@media print {
body { max-width: none; margin: 0 } .wide { overflow: visible } .wide th, .wide td { white-space: normal }
h2 { break-after: avoid } tr, svg, p { break-inside: avoid } svg { min-width: 0; max-height: 95vh }
* { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


def escape(text: str) -> str:
    """Text as HTML, and nothing else."""
    return _escape(visible(text, keep="\n\t"))


def pair_page(report: PairReport, pairs: Pairs | None, command: str) -> str:
    """The page of one pair; `pairs` None where only counts were given."""
    body = [_verdict(report.result.verdict, report.headline), facts(report.rows), "<h2>The drop</h2>",
            _forest([("this pair", report.result, report.result.verdict)])]
    return _page("Degradation test", body, {None: pairs}, report.remarks, command)


def suite_page(report: SuiteReport, command: str) -> str:
    """The page of a suite: all candidates, then the tasks of each."""
    results = report.results
    body = [_verdict(result.verdict, report.headlines[name]) for name, result in results.items()]
    body += ["<h2>Candidates</h2>", _forest([(name, r.pooled, r.verdict) for name, r in results.items()]),
             table(("model", "items", "drop", "95% interval", "p pooled", "p max-drop", "p Fisher", "p adjusted",
                     "verdict"), [(name, *cells) for name, cells in report.candidates.items()])]
    left_out: dict[str | None, Pairs | None] = {}
    for name, result in results.items():
        rows = [(task, row, DEGRADED if result.p_step_down[task] <= row.alpha else "") for task, row in
                result.tasks.items()]
        body += [f"<h2>{escape(name)}: tasks</h2>", _forest(rows),
                 table(("task", "n", "lost", "gained", "drop", "95% interval", "p", "p, all tasks"),
                        [tuple(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells)
                         for cells in report.tasks[name]]),
                 "<p>Orange: worse after adjusting for all tasks (step-down max-z, the last column).</p>"]
        left_out |= {f"{name}, {one.task}": one for one in report.pairs[name]}
    return _page(f"Degradation tests against {report.baseline}", body, left_out, report.notes, command)


def _page(title: str, body: list[str], pairs: dict[str | None, Pairs | None], notes: list[str], command: str) -> str:
    parts = [f"<h1>{escape(title)}</h1>", *body, "<h2>Items left out</h2>", _left_out(pairs)]
    if notes:
        parts += ["<h2>Notes</h2><ul>", *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"]
    parts += ["<h2>Command</h2>", f"<p><code id='command'>{escape(command)}</code></p>",
              f"<p>llm-accuracy {escape(__version__)}</p>"]
    return document(title, parts)


def document(title: str, parts: list[str], style: str = "", policy: str = "") -> str:
    """One page that needs no network and runs nothing; `title` as it is, `parts` as HTML, more `style` and `policy`."""
    head = (f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}{policy}">'
            f"<title>{escape(title)}</title><style>{STYLE}{style}</style>")
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _verdict(verdict: str, text: str) -> str:
    colour = figures.COLOURS[verdict]
    return f'<p class="verdict" style="border-color: {colour}">{escape(text)}</p>'


def facts(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(label)}</td><td>{escape(text)}</td></tr>" for label, text in rows)
    return f'<table class="facts">{cells}</table>'


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def as_svg(figure, says: str) -> str:
    """The figure as an element of a page, as wide as it is drawn (one of figures.WIDTH fills its column); the same
    figure gives the same text.

    says  what it shows, for whoever does not see it
    """
    width = figure.get_figwidth()
    svg = figures.as_bytes(figure, "svg").decode()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg"):], flags=re.DOTALL)
    size = "" if width >= figures.WIDTH else f' style="width: {6 * width:g}rem; min-width: 0"'
    return f'<svg role="img" aria-label="{escape(says)}"{size}{svg.removeprefix("<svg")}'


def _forest(rows: list[tuple[str, PairedResult, str]]) -> str:
    says = "The drop of each row with its interval, in points; the table has the numbers"
    return f'<div class="wide">{as_svg(figures.forest(rows), says)}</div>'


def _left_out(pairs: dict[str | None, Pairs | None]) -> str:
    lines = []
    for name, one in pairs.items():
        for reason, items in (one.left_out if one else {}).items():
            listed = ", ".join(items[:SHOWN_ITEMS])
            more = f", and {len(items) - SHOWN_ITEMS:,} more" if len(items) > SHOWN_ITEMS else ""
            lines.append(f"<li>{escape(f'{name}: ' if name else '')}{len(items):,} {escape(reason)}: "
                         f"{escape(listed + more)}</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else "<p>None.</p>"
