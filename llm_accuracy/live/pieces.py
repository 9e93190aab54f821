"""The pieces of the pages that runs write. Nothing in them is loaded from anywhere, and nothing runs."""

from __future__ import annotations

from ..degradation import page
from .figures import as_svg

OURS = """
.headline { font-size: 2rem; font-weight: 600; margin: .2rem 0 } .small { color: #555; font-size: .9rem }
.sentence { border-left: 6px solid #D55E00; padding: .5rem 1rem; background: #f6f6f6; font-weight: 600 }
.bar { background: #eee; height: .5rem; max-width: 30rem } .bar div { background: #0072B2; height: .5rem }
"""


def document(title: str, body: list[str]) -> str:
    """One page that needs no network and runs nothing; `title` as it is, `body` as HTML."""
    return page.document(title, body, OURS, "; img-src data:")


def svg(figure) -> str:
    return f'<div class="wide">{as_svg(figure)}</div>'


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def fact_table(rows: list[tuple[str, str]]) -> str:
    return f'<div class="wide">{page.facts(rows)}</div>'
