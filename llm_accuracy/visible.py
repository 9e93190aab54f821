"""Names as they are shown: nothing that a file, a model or an item is called moves the cursor, colours a terminal,
breaks a line or turns the direction of the text around. Imports next to nothing."""

from __future__ import annotations

import re
import unicodedata

# Control characters, separators of lines, and what changes the direction of text (Unicode TR 36).
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, keep: str = "") -> str:
    """The text with such characters spelt out, as \\x1b; those in `keep` stay."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep
                       else found[0].encode("unicode_escape").decode("ascii"), text)


def shortened(value: object, most: int = 80) -> str:
    """A value as a message quotes it; of a long one the beginning."""
    if isinstance(value, int) and abs(value) >= 10**most:
        return f"a number of more than {most} digits"  # which Python does not write out
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[:most]}…"


def columns(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.category(letter) in ("Mn", "Me", "Cf")
               else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def ending(text: str, width: int) -> str:
    """The longest end of a text that takes at most so many columns."""
    start, taken = len(text), 0
    while start and taken + columns(text[start - 1]) <= width:
        start -= 1
        taken += columns(text[start])
    return text[start:]


def padded(text: str, width: int) -> str:
    """The text with blanks behind it up to so many columns."""
    return text + " " * max(0, width - columns(text))
