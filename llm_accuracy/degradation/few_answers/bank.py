"""From models' logs to what few answers need: one bank of questions over all tasks, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import InputError
from ...scores.contents import identical
from ...scores.contract import check_same_metric
from ...scores.task_scores import TaskScores, check_same_questions
from ..margins import Margin, check_below_half, three_digits
from .curves import Known, Pair

Model = Mapping[str, TaskScores]
MARGINS_AGREE = 0.9  # share of the scores that the margins' signs must explain, to be used


@dataclass(frozen=True, eq=False)
class Bank:
    """The baseline's questions: names (N,) task/item, tasks (N,), what is `known` of them, which way is better."""

    names: np.ndarray
    tasks: np.ndarray
    known: Known
    higher_is_better: bool
    notes: tuple[str, ...]


def bank_of(model: Model, name: str, use_margins: bool = True, need_margins: bool = False) -> Bank:
    """All questions of a baseline that have a score, its tasks together.

    Raises InputError for scores outside [0, 1], where tasks disagree on which direction is better, and for
    `need_margins` where there are none that can be used.
    """
    directions = {log.higher_is_better for log in model.values()}
    if len(directions) > 1:
        raise InputError(f"{name}: in some tasks a higher score is better, in others a lower one: name tasks that "
                         "agree with --tasks")
    frames = [log.frame.assign(task=task, name=[f"{task}/{item}" for item in log.frame.index])
              for task, log in model.items()]
    table = pd.concat(frames)
    blank = int(table["score"].isna().sum())
    notes = [note for log in model.values() for note in log.notes]
    if blank:
        notes.append(f"{blank:,} questions without a score in {name} are no part of the bank")
    table = table[table["score"].notna()]
    if table.empty:
        raise InputError(f"{name}: none of its {blank:,} questions has a score: there is nothing that could be lost")
    scores = table["score"].to_numpy(float)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise InputError(f"{name}: scores outside [0, 1]: few answers need a known range; bring them to [0, 1] with "
                         "--range LOW HIGH")
    higher = directions.pop()
    oriented = scores if higher else 1 - scores
    margins, said = _margins(table, scores, name) if use_margins else (None, ())
    if need_margins and margins is None:
        raise InputError(f"{said[0]}; log the baseline with the log-likelihoods of its choices (a multiple-choice "
                         "task, --log_samples), or leave --need-margins away")
    runs = int(table["runs"].min())
    if runs > 1:
        said = (*said, f"{name}: scores are means of {runs} runs; which answers flip by themselves is known from them")
    known = Known(oriented, margins, runs=runs)
    return Bank(table["name"].to_numpy(str), table["task"].to_numpy(str), known, higher,
                tuple(dict.fromkeys([*notes, *said])))


def _margins(table: pd.DataFrame, scores: np.ndarray, name: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if "margin" not in table or table["margin"].isna().all():
        return None, (f"{name} carries no log-likelihoods of its choices: questions are chosen without margins",)
    margins = table["margin"].to_numpy(float)
    there = ~np.isnan(margins)
    agree = float(((margins[there] > 0) == (scores[there] > 0.5)).mean())
    said = [] if there.all() else [f"{int((~there).sum()):,} of {there.size:,} questions have no margin and are taken "
                                   "for average"]
    if agree < MARGINS_AGREE:
        return None, (f"the margins explain only {100 * agree:.0f} % of {name}'s scores (another metric than the "
                      "likeliest choice?) and are not used",)
    return np.abs(margins), tuple(said)


def candidate_scores(bank: Bank, baseline: Model, candidate: Model, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """((N,) scores of a candidate on a bank, higher is better, NaN where it has none; notes).

    Raises InputError where it was asked other questions, by another metric, has none of them in common, or scores
    outside [0, 1].
    """
    found = np.full(bank.names.size, np.nan)
    place = {question: i for i, question in enumerate(bank.names.tolist())}
    notes: list[str] = []
    stray = 0
    for task, log in candidate.items():
        if task not in baseline:
            notes.append(f"{task}: only {name} has this task; it is left out")
            continue
        check_same_metric(baseline[task], log)
        if log.higher_is_better != bank.higher_is_better:
            raise InputError(f"{task}: {name} and the baseline disagree on whether a higher score is better")
        notes += check_same_questions(baseline[task].frame, log.frame, baseline[task].source, log.source)
        for item, score in zip(log.frame.index, log.frame["score"].to_numpy(float), strict=True):
            at = place.get(f"{task}/{item}")
            if at is None:
                stray += 1
            elif not np.isnan(score):
                found[at] = score
    if np.isnan(found).all():
        raise InputError(f"{name}: it answers none of the {found.size:,} questions of the baseline")
    if not ((found >= 0) & (found <= 1) | np.isnan(found)).all():
        raise InputError(f"{name}: scores outside [0, 1]: few answers need a known range; give --range LOW HIGH")
    if stray:
        notes.append(f"{stray:,} answers of {name} are to questions that the baseline lacks; they are left out")
    return (found if bank.higher_is_better else 1 - found), tuple(dict.fromkeys(notes))


def margin_of(margin: Margin, scores: np.ndarray, higher_is_better: bool = True) -> float:
    """As a share of the scale; a recovery is of the mean of a baseline's scores (N,), which is known, rounded down to
    three digits, so that what is printed is what is tested.

    Raises InputError for half the scale or more, and for a recovery of nothing, or by a metric of which lower is
    better.
    """
    if margin.kind != "recovery":
        return margin.of_scale
    if not higher_is_better:
        raise InputError(f"margin {margin.text}: lower scores are better, so a share of the baseline's score says "
                         "nothing; give points (1pt) or a share of the scale (.01)")
    mean = float(scores.mean())
    found = three_digits((1 - margin.value) * mean)
    if not found > 0:
        raise InputError(f"margin {margin.text}: the baseline's score is {mean:.4g}, of which nothing can be lost: "
                         "give points (1pt)")
    check_below_half(found, 1.0)
    return found


def check_independent(model: Model, name: str, margin: Margin) -> None:
    """Raises InputError where questions belong together, by their clusters or, without those, their contents: then they
    are no independent draws of a population, and nothing few answers say holds for new questions. And for a margin
    relative to the baseline's score, which is known for the bank only."""
    if margin.kind == "recovery":
        raise InputError("--margin recovery: of new questions the baseline's score is not known; state points (1pt) or "
                         "--about bank")
    clustered = any("cluster" in log.frame for log in model.values())
    what, column = ("clusters", "cluster") if clustered else ("contents", "content")
    labels = pd.concat([log.frame[column].dropna() for log in model.values() if column in log.frame]
                       or [pd.Series(dtype=str)])
    if repeated := int(labels.duplicated(keep=False).sum()):
        raise InputError(f"{name}: {repeated:,} questions share their {what} with others, so they are no independent "
                         "draws: --about bank needs none, and `pair` on all answers allows for them")


def check_earlier(baseline: Model, earlier: Mapping[str, Model], candidate: Model | None = None) -> None:
    """Raises InputError for an earlier candidate, {name: scores}, with the contents of the baseline, which has no flips
    to learn from, of the candidate, whose flips must not be known, or of another earlier one."""
    known = {"the baseline": baseline, **({} if candidate is None else {"the candidate": candidate})}
    for name, model in earlier.items():
        for other, scores in known.items():
            shared = model.keys() & scores.keys()
            if shared and all(identical(scores[task], model[task], task) for task in shared):
                raise InputError(f"--earlier {name} has the same content as {other}: curves are learned from other "
                                 "candidates, each used once")
        known[name] = model


def earlier_pairs(bank: Bank, baseline: Model, candidates: Sequence[tuple[str, Model]]
                  ) -> tuple[list[Pair], tuple[str, ...]]:
    """(earlier candidates of this baseline, as pairs to fit curves to, on the questions that they answer; notes)."""
    pairs: list[Pair] = []
    notes: list[str] = []
    for name, model in candidates:
        scores, said = candidate_scores(bank, baseline, model, name)
        there = ~np.isnan(scores)
        margins = bank.known.margins
        pairs.append(Pair(Known(bank.known.scores[there], None if margins is None else margins[there]), scores[there]))
        notes += [*said, f"curves from {name}: {int((pairs[-1].differences != 0).sum()):,} flips on "
                         f"{int(there.sum()):,} questions"]
    return pairs, tuple(notes)
