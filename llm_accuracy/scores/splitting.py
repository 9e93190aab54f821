"""A matrix → a history and new models: families, which models are new, and what happens to incomplete new models."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..randomness import stream
from .matrix import MISSING, Responses, family_of, split_by_date
from .readers import BY_STRENGTH


def with_families(responses: Responses) -> Responses:
    """With families as given in the matrix; where they are not, by the default rule (`family_of`)."""
    named = [family or family_of(model) for family, model in zip(responses.families, responses.models, strict=True)]
    return replace(responses, families=np.array(named))


def split(responses: Responses, share: float | None = None, leave_out: str | None = None, by: str = "date",
          shuffle: int | None = None) -> tuple[Responses, Responses]:
    """(history, new models): the older `share` of the models and the rest, or everybody and the family `leave_out`.

    share    by default a half, by strength a third
    by       "family": no family stands on both sides; they are dealt in the order in which they first appear.
             "weak-to-strong": the share of the models that is least accurate, and as many that are most accurate;
             who stands between, or has no score, is on neither side. "strong-to-weak": the other way round
    shuffle  the seed of a random order that takes the place of the dates

    Raises InputError for a family that is nobody's or everybody's, and for what does not go with a split by strength.
    """
    if leave_out is not None:
        return _without(responses, leave_out)
    if by in BY_STRENGTH:
        if shuffle is not None:
            raise InputError(f"--split-by {by}: takes the models by accuracy, so there is no order for --shuffle")
        return _by_strength(responses, 1 / 3 if share is None else share, by)
    share = 0.5 if share is None else share
    if shuffle is None:
        older, newer = split_by_date(responses, share)
    else:
        order = stream("split", shuffle).permutation(responses.n_models)
        cut = int(responses.n_models * share)
        older, newer = responses.take(order[:cut]), responses.take(order[cut:])
    return (older, newer) if by == "date" else _family_halves(responses, np.concatenate([older.models, newer.models]),
                                                             share)


def _by_strength(responses: Responses, share: float, by: str) -> tuple[Responses, Responses]:
    """Equally accurate models in the order of the file."""
    if share > 0.5:
        raise InputError(f"--share {share:g} --split-by {by}: as many models are new, so at most .5")
    accuracy = responses.accuracy()
    rising = np.argsort(accuracy, kind="stable")[: int(np.isfinite(accuracy).sum())]
    size = max(1, int(len(rising) * share + 1e-9))
    weak, strong = responses.take(rising[:size]), responses.take(rising[-size:])
    return (weak, strong) if by == BY_STRENGTH[0] else (strong, weak)


def _family_halves(responses: Responses, order: np.ndarray, share: float) -> tuple[Responses, Responses]:
    """Whole families in the order of their first models, as many to the history as bring it closest to its share."""
    row = {model: i for i, model in enumerate(responses.models)}
    rows = np.array([row[model] for model in order])
    families = np.asarray(responses.families)[rows]
    sizes: Counter[str] = Counter(families.tolist())  # in the order of their first models
    if len(sizes) < 2:
        raise InputError(f"{responses.source}: all models are of one family, so families cannot be split")
    reached = np.cumsum(list(sizes.values()))[:-1]
    older = list(sizes)[: int(np.argmin(abs(reached - share * len(rows)))) + 1]
    inside = np.isin(families, older)
    return responses.take(rows[inside]), responses.take(rows[~inside])


def _without(responses: Responses, family: str) -> tuple[Responses, Responses]:
    new = responses.families == family
    if not new.any() or new.all():
        raise InputError(f"{responses.source}: --leave-out {family}: {int(new.sum())} of {len(new)} models are "
                         "of this family; run with --dry-run to see the families")
    return responses.take(~new), responses.take(new)


def complete(history: Responses, new: Responses, how: str) -> tuple[Responses, Responses, str]:
    """(history, new models that have every score, what was done to get there), `how` being one of readers.INCOMPLETE.

    models: new models that lack scores are dropped. questions: those that any new model lacks are dropped. zero: a
    blank counts as wrong.
    """
    lacking = ~new.complete
    if not lacking.any():
        return history, new, ""
    names = ", ".join(new.models[lacking])
    if how == "models":
        return history, new.take(~lacking), f"dropped {lacking.sum()} new models that lack scores: {names}"
    if how == "questions":
        kept: np.ndarray = np.all(new.observed, axis=0)
        return (_of_questions(history, kept), _of_questions(new, kept),
                f"dropped {(~kept).sum()} of {len(kept)} questions that {lacking.sum()} new models lack: {names}")
    blank = ~new.observed
    filled = np.where(blank, 0, new.scores).astype(new.scores.dtype)
    assert (filled != MISSING).all()
    return (history, replace(new, scores=filled),
            f"{blank.sum()} blanks of {lacking.sum()} new models count as wrong: {names}")


def _of_questions(responses: Responses, kept: np.ndarray) -> Responses:
    tasks, categories = responses.tasks, responses.categories
    return replace(responses, questions=responses.questions[kept], scores=responses.scores[:, kept],
                   tasks=None if tasks is None else tasks[kept],
                   categories=None if categories is None else categories[kept])


def order_line(responses: Responses, shuffle: int | None = None, by: str = "date", share: float | None = None) -> str:
    """In which order models were split, where it is not that of their dates alone; else ""."""
    if by in BY_STRENGTH:
        sides = split(responses, share, by=by)
        ends = [f"{side.accuracy().min():.3f} to {side.accuracy().max():.3f}" for side in sides]
        left = responses.n_models - sum(side.n_models for side in sides)
        return (f"split by accuracy: history {ends[0]}, new models {ends[1]}; {left} models between them (or without a "
                "score) are left out")
    if shuffle is not None:
        return f"split in a random order of the models, seed {shuffle}"
    undated = int((np.asarray(responses.dates) == "").sum())
    if undated == responses.n_models:
        return "no model has a date: split in the order of the file"
    return f"{undated} models have no date and come last, in the order of the file" if undated else ""


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
