"""Numbers as text, and JSON, written the same way by every command and page. Imports next to nothing."""

from __future__ import annotations

import json
import math
import textwrap
from decimal import Decimal

from ..visible import columns, ending, padded, visible

WIDTH = 80


def p_text(p: float | None, log10_p: float | None = None) -> str:
    """A p-value to three digits, never shown as 0."""
    if p is None or math.isnan(p):
        return "-"
    if log10_p is not None and log10_p < -300:
        return f"10^{log10_p:.1f}"
    return f"{p:.3f}" if p >= 0.0995 else f"{p:.4f}" if p >= 0.001 else f"{p:.2e}"


def p_at_most(p: float) -> str:
    """`p_text` of a p-value above 0, rounded up: one above alpha is not shown as alpha."""
    digits = 3 if p > 0.0994 else 4 if p >= 0.001 else 2 - math.floor(math.log10(p))
    return p_text(math.ceil(p * 10.0**digits - 1e-6) / 10.0**digits)


def sure(alpha: float) -> str:
    """1 − alpha in %, with as many digits as alpha has: never 100%."""
    return f"{(100 * (1 - Decimal(repr(float(alpha))))).normalize():f}%"


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def shorten(text: str, width: int) -> str:
    """A long text, such as a path, shortened to its end: at most `width` columns of a terminal."""
    return text if columns(text) <= width else "…" + ending(text, width - 1)


def cell(text: str, width: int) -> str:
    """A name as the first cell of a row: `width` columns, the last of them blank."""
    return padded(shorten(visible(text), width - 1), width)


def note_text(note: str) -> str:
    """A note as printed, wrapped to 80 columns; paths are not broken."""
    return textwrap.fill(f"  note: {visible(note)}", WIDTH, subsequent_indent=" " * 8, break_long_words=False,
                         break_on_hyphens=False)


def as_json(content: dict) -> str:
    """JSON text; a number that is not finite becomes null."""
    def finite(value):
        if isinstance(value, dict):
            return {str(k): finite(v) for k, v in value.items()}
        if isinstance(value, list):
            return [finite(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n"
