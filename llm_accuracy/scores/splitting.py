"""A matrix → a history and new models: families, which models are new, and what happens to incomplete new models."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace

import numpy as np

from ..errors import InputError
from .matrix import MISSING, Responses, family_of, split_by_date


def with_families(responses: Responses) -> Responses:
    """With families as given in the matrix; where they are not, by the default rule (`family_of`)."""
    named = [family or family_of(model) for family, model in zip(responses.families, responses.models, strict=True)]
    return replace(responses, families=np.array(named))


def split(responses: Responses, share: float = 0.5, leave_out: str | None = None) -> tuple[Responses, Responses]:
    """(history, new models): the older `share` of the models and the rest, or all models but the family
    `leave_out` and that family.

    Raises InputError for a family that has no model or every model.
    """
    if leave_out is None:
        return split_by_date(responses, share)
    new = responses.families == leave_out
    if not new.any() or new.all():
        raise InputError(f"{responses.source}: --leave-out {leave_out}: {int(new.sum())} of {len(new)} models are "
                         "of this family; run with --dry-run to see the families")
    return responses.take(~new), responses.take(new)


def complete(new: Responses, how: str) -> tuple[Responses, str]:
    """(new models that have every score, what was done to achieve that): incomplete ones are dropped (`how` = drop), or
    their blanks count as wrong (zero)."""
    lacking = ~new.complete
    if not lacking.any():
        return new, ""
    names = ", ".join(new.models[lacking])
    if how == "drop":
        return new.take(~lacking), f"dropped {lacking.sum()} new models that lack scores: {names}"
    blank = ~new.observed
    filled = np.where(blank, 0, new.scores).astype(new.scores.dtype)
    assert (filled != MISSING).all()
    return replace(new, scores=filled), f"{blank.sum()} blanks of {lacking.sum()} new models count as wrong: {names}"


def families_line(responses: Responses) -> str:
    """How many families there are and which have several models, wrapped at 80 characters."""
    sizes: Counter[str] = Counter(responses.families.tolist())
    several = [f"{family} ({size})" for family, size in sizes.most_common() if size > 1]
    said = f"families: {len(sizes)}" + (f", {len(several)} with siblings: {', '.join(several)}" if several else "")
    return textwrap.fill(said, 80, subsequent_indent="  ", break_on_hyphens=False)


def span(responses: Responses) -> str:
    """The first and the last day of the dated models."""
    dated = sorted(responses.dates[responses.dates != ""])
    return f"{dated[0]} to {dated[-1]}" if dated else "undated"
