"""What a manifest of each kind of run holds, and in which form: looked at before anything of it is used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..claims import ABOUT
from ..errors import InputError
from ..visible import shortened

INFINITE = "a number, or Infinity"
_NONE = type(None)
_TEXT = (str, _NONE)
_MINUTES = (float, int, _NONE)
_ASKED = {"driver": str, "words": str, "model": _TEXT, "metric": _TEXT, "filter": _TEXT, "settings": dict,
          "flags?": dict}
_BANK = {"questions": int, "the questions' names": str, "the questions' tasks": _TEXT, "the questions' contents": _TEXT,
         "the costs": _TEXT, "the history's prompts": _TEXT}
_EVERY = {"begun": str, "bank": _BANK, "known": dict, "notes": [str], "versions": dict}

# {key: a type, several, [that of every item] or a form}; a key with "?" may be missing: older runs have none.
COMPARISON_FORM: dict[str, Any] = _EVERY | {
    "model": str, "asked": _ASKED, "least_questions": INFINITE,
    "plan": {"budget": int, "stop": bool, "margin": float, "alpha": float, "share": (float, int), "seed": int,
             "max_minutes": _MINUTES, "about?": ABOUT},
    "baseline": {"name": str, "earlier": [str], "mean": float, "stated_margin": str, "margins_known": bool,
                 "difficulty_known": bool, "paths": [str], "files": dict},
    "history?": {"paths": [str], "files": dict}}
BEST_FORM: dict[str, Any] = _EVERY | {
    "models": [str], "asked": [_ASKED | {"name?": str, "loaded?": str, "bank?": (dict, _NONE)}],
    "plan": {"models": [str], "questions": int, "tolerance": (float, int), "alpha": float, "seed": int,
             "max_minutes": _MINUTES, "about?": ABOUT},
    "history": {"kind": str, "models": int, "paths": [str], "files": dict}}


def check_form(value: Any, form: Any, path: Path, where: str = "") -> None:
    """Raises InputError, saying where, for a manifest in `path` that has not this form."""
    if isinstance(form, dict):
        _check_dict(value, form, path, where)
    elif isinstance(form, list):
        _check(isinstance(value, list), value, path, where)
        for i, item in enumerate(value):
            check_form(item, form[0], path, f"{where}[{i}]")
    elif form == INFINITE:
        _check(type(value) in (float, int) and value >= 0, value, path, where)
    elif form == ABOUT:
        _check(value in ABOUT, value, path, where)
    else:
        allowed = form if isinstance(form, tuple) else (form,)
        _check(type(value) in allowed and (type(value) is not float or math.isfinite(value)), value, path, where)


def _check_dict(value: Any, form: dict[str, Any], path: Path, where: str) -> None:
    _check(isinstance(value, dict), value, path, where)
    for key, part in form.items():
        name = key.rstrip("?")
        if name in value:
            check_form(value[name], part, path, f"{where}.{name}".lstrip("."))
        elif name == key:
            raise InputError(f"{path}: {f'{where}.{name}'.lstrip('.')} is missing; restore it, or begin anew")


def _check(right: bool, value: Any, path: Path, where: str) -> None:
    if not right:
        raise InputError(f"{path}: {where} is {shortened(value)}, which no run writes there; restore it, or begin anew")
