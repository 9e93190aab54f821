"""Which scale scores are on: seen, or stated with --range; two models are never compared on two scales.

Scores that all lie in [0, 1] are on that scale. Scores of 0 to 100, one of which is 100, are percentages. Any other
range is not known unless it is stated: a drop is then in the scores' own units. Where a scale is known, scores become
shares of it, so that points, margins and tests mean the same on each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..scores.shares import UNIT, Scale, inside
from ..scores.task_scores import TaskScores

Model = dict[str, TaskScores]  # by task
FAR_APART = 6.0  # times: largest and typical scores that differ by more are taken to be on two scales
MANY = 10.0  # scores above it, on a stated range, are on another scale than scores that are all 0 or 1
ABOVE_ONE = 1.5  # beside scores in [0, 1], larger ones than this are on another scale
PERCENT = Scale(0.0, 100.0)


def on_one_scale(models: dict[str, Model], baseline: str) -> dict[str, Model]:
    """The models with scores as shares of their scale, task by task, where it is known; a task whose scale is not
    known stays as it is.

    A stated scale (`TaskScores.scale`) is in a suite of several tasks that of the tasks whose scores leave [0, 1]; a
    note says which stay as they are. Raises InputError where a candidate's scores are on another scale than the
    baseline's.
    """
    done: dict[str, Model] = {name: dict(tasks) for name, tasks in models.items()}
    for task in models[baseline]:
        runs = {name: tasks[task] for name, tasks in models.items() if task in tasks}
        for name in runs:
            if name != baseline:
                check_alike(runs[baseline], runs[name], task)
        for name, found in zip(runs, _rescaled(list(runs.values()), task, len(models[baseline])), strict=True):
            done[name][task] = found
    return done


def on_their_scale(models: Sequence[Model]) -> list[Model]:
    """`on_one_scale` of models without names, the first of which is the baseline."""
    return list(on_one_scale({str(i): model for i, model in enumerate(models)}, "0").values())


def _rescaled(runs: list[TaskScores], task: str, tasks: int) -> list[TaskScores]:
    """The runs of one task as shares of its scale; unchanged where it is [0, 1] or not known."""
    unit = all(inside(_scores(run), UNIT) for run in runs)
    stated = next((Scale(*run.scale) for run in runs if run.scale), None)
    if stated and stated != UNIT and tasks > 1 and unit:
        note = (f"{task}: all scores lie in [0, 1] and are taken as shares as they are, although --range says "
                f"{stated}; if they are on that scale, compare this task alone")
        return [replace(run, notes=(*run.notes, note)) for run in runs]
    if stated and unit and stated.width > MANY and any((_scores(run) > 0).any() for run in runs):
        raise InputError(f"{task}: all scores lie in [0, 1], and --range says {stated}, on which they would hardly "
                         "differ and any margin would pass: leave --range out if they are shares")
    if stated:
        found, how = stated, f"on the scale {stated} (--range)"
    elif not unit and all(inside(_scores(run), PERCENT) for run in runs) and any(
            (_scores(run) == 100).any() for run in runs):
        found, how = PERCENT, "0 to 100, and some are 100: read as a scale of 0 to 100 (--range says otherwise)"
    else:
        return runs
    if found == UNIT:
        return runs
    note = f"{task}: scores are {how}; they are given as shares of it, so a drop of .01 is one point"
    return [replace(run, frame=run.frame.assign(score=found.share(run.frame["score"])), scale=(0.0, 1.0),
                    answers=None if run.answers is None else found.share(run.answers), notes=(*run.notes, note))
            for run in runs]


def _scores(run: TaskScores) -> np.ndarray:
    """The scores there are, as floats."""
    scores = run.frame["score"].to_numpy(float)
    return scores[~np.isnan(scores)]


def _check_stated(one: TaskScores, other: TaskScores, task: str) -> None:
    scale = next((Scale(*run.scale) for run in (one, other) if run.scale), UNIT)
    if scale.high <= MANY:
        return
    for run, beside in ((one, other), (other, one)):
        scores, others = _scores(run), _scores(beside)
        binary = np.isin(scores, (0.0, 1.0)).all() and (scores == 1).any()
        if binary and others.size and others.max() > MANY:
            raise InputError(f"{task}: scores of {run.source} are all 0 or 1, those of {beside.source} up to "
                             f"{others.max():g}: on --range {scale.low:g} {scale.high:g}, too, these are two scales; "
                             "bring both to one scale first")


def check_alike(one: TaskScores, other: TaskScores, task: str) -> None:
    """Raise InputError where two models' scores look as if they were on two scales, unless their range was stated; but
    0 and 1 of one model are not taken for 0 and 1 % of a stated range that the other makes use of."""
    _check_stated(one, other, task)
    scores = _scores(one), _scores(other)
    if one.scale or other.scale:
        return
    ends = [found for found in scores if found.size]
    low, high = min((found.min() for found in ends), default=0), max((found.max() for found in ends), default=1)
    check_one_scale(scores, (one.source, other.source), task, "if not, say the range of the scores, --range "
                    f"{min(low, 0):g} {max(high, 1):g}; else bring both to one scale first")


def check_one_scale(scores: tuple[np.ndarray, np.ndarray], names: tuple[str, str], task: str, remedy: str) -> None:
    """Raise InputError, with the remedy, where the scores (n,) of two models look as if they were on two scales."""
    unit = [inside(found, UNIT) for found in scores]
    if any(found.size == 0 for found in scores) or all(unit):
        return
    sizes = [np.abs(found) for found in scores]
    ends = [(found.min(), found.max()) for found in scores]
    largest = [size.max() for size in sizes]
    typical = [float(np.median(size[size > 0])) if size.any() else 0.0 for size in sizes]
    far = all(min(pair) > 0 and max(pair) > FAR_APART * min(pair) for pair in (largest, typical))
    signs = any(ends[i][0] >= 0 and ends[1 - i][1] <= 0 and min(largest) > 0 for i in (0, 1))
    if not (unit[0] != unit[1] and max(largest) > ABOVE_ONE) and not (not any(unit) and far) and not signs:
        return
    spans = [f"those of {name} in {low:.4g} … {high:.4g}" for (low, high), name in zip(ends, names, strict=True)]
    why = "opposite signs" if signs else "two scales"
    raise InputError(f"{task}: scores are not alike: {spans[0]}, {spans[1]}: {why}? {remedy}")
