"""The pieces of the pages that runs write. Nothing in them is loaded from anywhere, and nothing runs."""

from __future__ import annotations

import re

from ..degradation import page

OURS = """
.headline { font-size: 2rem; font-weight: 600; margin: .2rem 0 } .small { color: #555; font-size: .9rem }
.sentence { border-left: 6px solid #D55E00; padding: .5rem 1rem; background: #f6f6f6; font-weight: 600 }
.bar { background: #eee; height: .5rem; max-width: 30rem; margin-bottom: 1rem }
.bar div { background: #0072B2; height: .5rem }
"""


def document(title: str, body: list[str]) -> str:
    """One page that needs no network and runs nothing; `title` as it is, `body` as HTML."""
    return page.document(title, body, OURS, "; img-src data:")


def svg(figure, says: str) -> str:
    """A figure; `says` what it shows, for whoever does not see it."""
    return f'<div class="wide">{page.as_svg(figure, says)}</div>'


def bar(share: float) -> str:
    """How much of a budget is used up, beside the words that say it."""
    return f'<div class="bar" aria-hidden="true"><div style="width: {100 * min(share, 1.0):.1f}%"></div></div>'


def capital(text: str) -> str:
    """A sentence as it begins; one that begins with a file's or a model's name stays as it is."""
    return text if re.search(r"[./_\\\d]", text.split(" ", 1)[0].rstrip(".,:")) else text[:1].upper() + text[1:]


def fact_table(rows: list[tuple[str, str]]) -> str:
    return f'<div class="wide">{page.facts(rows)}</div>'
