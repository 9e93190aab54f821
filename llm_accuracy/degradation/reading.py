"""What the commands read: models from files, harness logs or rows of a matrix, matched into pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..scores.contents import identical, in_both, one_task_twice
from ..scores.contract import check_same_metric
from ..scores.readers import named_path, read_matrix_models, read_model, read_model_list, read_runs
from ..scores.task_scores import Choices, TaskScores
from .defaults import largest_excluded
from .margins import DEFAULT_MARGIN, Margin, resolve
from .pairing import Pairs, check_excluded, pair_up
from .scales import UNIT, Model, inside, on_one_scale

TWICE = 1e-9  # the chance of equal scores below which two tasks are one
CHANCE = 0.01  # from which on a small task's agreement with the baseline's may be one

@dataclass(frozen=True)
class Source:
    """Where models come from: each from its own files, or all from the rows of a `matrix`. `choices` settles what
    harness logs leave open, and which items are used."""

    matrix: Path | None = None
    choices: Choices = field(default_factory=Choices)

    def read(self, names: list[str], only: str | None = None) -> list[Model]:
        """Models by their paths or rows; `only` names a task, others may then be left out."""
        if self.matrix:
            rows = self.rows(names, only)
            return [rows[name] for name in names]
        return [read_model(name, self.choices, only) for name in names]

    def rows(self, names: list[str] | None = None, only: str | None = None) -> dict[str, Model]:
        """Models of the matrix, all of them by default. Raises InputError where there is no matrix."""
        if self.matrix is None:
            raise InputError("no matrix to take these models from")
        choices = self.choices if only is None else replace(self.choices, tasks=(only,))
        models, chosen = read_matrix_models(self.matrix, names, choices), self.choices.selection
        return models if chosen is None else {name: chosen.restrict(tasks, name) for name, tasks in models.items()}


def read_pair(source: Source, baseline: str, candidate: str, task: str | None = None,
              max_excluded: float | None = None, margin: Margin = DEFAULT_MARGIN, allow_same: bool = True
              ) -> tuple[Pairs, float]:
    """Two models on one task, on one scale, and the margin in units of their scores.

    Raises InputError if several tasks are possible and none is named, where their scores are on two scales, where more
    than `max_excluded` of the items are left out (by default, what `largest_excluded` allows for the margin), and,
    unless `allow_same`, where both are the same content."""
    names = [baseline, candidate]
    read = source.read(names, task)
    task = one_task(read, names, task)
    return compare(read[0][task], read[1][task], task, max_excluded, margin, allow_same, candidate)


def compare(baseline: TaskScores, candidate: TaskScores, task: str, max_excluded: float | None, margin: Margin,
            allow_same: bool, name: str) -> tuple[Pairs, float]:
    """`read_pair` of two models that were read; `name` is the candidate's."""
    check_same_metric(baseline, candidate)
    models = on_one_scale({"": {task: baseline}, "candidate": {task: candidate}}, "")
    pairs, drop = _with_margin([(models[""][task], models["candidate"][task])], [task], max_excluded, margin)
    return check_distinct(pairs[0], baseline, candidate, name, allow_same), drop


def _with_margin(models: list[tuple[TaskScores, TaskScores]], tasks: list[str], max_excluded: float | None,
                 margin: Margin) -> tuple[list[Pairs], float]:
    """(baseline, candidate) of each task, paired, and the margin in units of their scores; how many items may be left
    out follows from it, so that is looked at last."""
    suite = [pair_up(*both, task, max_excluded=1) for both, task in zip(models, tasks, strict=True)]
    drop, share, said = resolve(margin, suite)
    for both, pairs in zip(models, suite, strict=True):
        check_excluded(*both, pairs.task, pairs.excluded, pairs.size, largest_excluded(max_excluded, share))
    return [replace(suite[0], notes=(*suite[0].notes, *said)), *suite[1:]], drop


def check_distinct(pairs: Pairs, baseline: TaskScores, candidate: TaskScores, name: str, allow_same: bool,
                   suite: Sequence[Pairs] = ()) -> Pairs:
    """`pairs`, with a note where every score is the same. Raises InputError, unless `allow_same`, where baseline and
    candidate are the same content: a model compared with itself passes every gate. (One score everywhere, outside
    [0, 1], passes none; and logs that name two models are taken at their word, with a note.) A task of a `suite` that
    may agree `by_chance` is noted, not refused."""
    if file := in_both(baseline, candidate, pairs.task):
        said = f"{pairs.task}: {file} is among the runs of the baseline and of {name}"
        if not allow_same:
            raise InputError(f"{said}: a model compared with itself passes every gate; keep their runs apart, or add "
                             "--allow-same")
        pairs = replace(pairs, notes=(*pairs.notes, said))
    if not identical(baseline, candidate, pairs.task):
        if pairs.differences.any():
            return pairs
        said = f"{pairs.task}: baseline and {name} have the same score on every item"
    else:
        said = f"{pairs.task}: baseline and {name} are the same content, item by item ({candidate.source})"
        named = (baseline.model, candidate.model)
        if all(named) and named[0] != named[1]:
            said += f", although the logs name two models, {named[0]} and {named[1]}: was one model asked twice?"
            return replace(pairs, notes=(*pairs.notes, said))
        constant = np.ptp(pairs.baseline) == 0 and not inside(pairs.baseline, UNIT)
        if not (allow_same or constant or by_chance(pairs, suite)):
            raise InputError(f"{said}: a model compared with itself passes every gate; name the candidate's own "
                             "results, or, if two runs did agree in everything, add --allow-same")
    return replace(pairs, notes=(*pairs.notes, said))


def one_task(read: list[Model], names: list[str], wanted: str | None) -> str:
    """The task that all models have: the wanted one, or the only one there is."""
    for tasks, name in zip(read, names, strict=True):
        if wanted and wanted not in tasks:
            raise InputError(f"{name}: no task {wanted}; it has {', '.join(tasks)}")
    if wanted:
        return wanted
    common = [task for task in read[0] if task in read[1]]
    if len(common) != 1 or len(read[0]) + len(read[1]) != 2:
        has = [", ".join(tasks) for tasks in read]
        raise InputError(f"{names[0]} has the tasks {has[0]} and {names[1]} has {has[1]}: choose a task of both "
                         "with --task, or test all of them with suite")
    return common[0]


# ---- many models -------------------------------------------------------------------------------------------


def read_models(source: Source, names: list[str]) -> dict[str, Model]:
    """All models of a suite, in their order: of a JSON list, of paths, or of rows (no names: all rows)."""
    if source.matrix:
        return _named(source.rows(names or None))
    if len(names) == 1 and names[0].endswith(".json"):
        return _named(read_model_list(names[0], source.choices))
    named = [named_path(name) for name in names]
    short = [label or path.name for label, path in named]
    labels = short if len(set(short)) == len(short) else [label or str(path) for label, path in named]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise InputError(f"{twice} is given twice; name each model NAME=PATH")
    return _named(dict(zip(labels, source.read(names), strict=True)))


def _named(models: dict[str, Model]) -> dict[str, Model]:
    """The models. Raises InputError for a name that cannot be seen."""
    for name in models:
        if not name.strip():
            raise InputError(f"a model is called {name!r}: give it a name that can be seen, NAME=PATH")
    return models


def pair_models(models: dict[str, Model], baseline: str, max_excluded: float | None = None,
                margin: Margin = DEFAULT_MARGIN) -> dict[str, tuple[list[Pairs], float]]:
    """{candidate: (one Pairs for each task, the margin in units of their scores)} of all other models against the
    baseline."""
    return {name: _pair_tasks(models[baseline], model, baseline, name, max_excluded, margin)
            for name, model in models.items() if name != baseline}


def check_all_distinct(pairs: dict[str, list[Pairs]], models: dict[str, Model], baseline: str,
                       allow_same: bool) -> dict[str, list[Pairs]]:
    """`check_distinct` for every candidate and task; `models` as they were read. Small tasks of a candidate that
    differs elsewhere may agree by chance: that is noted, not refused (`by_chance`)."""
    return {name: [check_distinct(one, models[baseline][one.task], models[name][one.task], name, allow_same, suite)
                   for one in suite]
            for name, suite in pairs.items()}


def by_chance(same: Pairs, suite: Sequence[Pairs]) -> bool:
    """Whether some task of a suite would agree in so many items with a probability of CHANCE or more, if items differed
    as often as they do in the other tasks."""
    others = [one for one in suite if one is not same]
    differ = sum(int(np.count_nonzero(one.differences)) for one in others)
    share = (differ + 1) / (sum(len(one.baseline) for one in others) + 2)
    return differ > 0 and len(suite) * (1 - share) ** len(same.baseline) >= CHANCE


def _pair_tasks(baseline: Model, candidate: Model, baseline_name: str, name: str, max_excluded: float | None,
                margin: Margin) -> tuple[list[Pairs], float]:
    odd = sorted(baseline.keys() ^ candidate.keys())
    if odd:
        lacking = name if odd[0] in baseline else baseline_name
        raise InputError(f"{lacking} has no task {odd[0]} ({len(odd)} tasks are in one of {baseline_name}, "
                         f"{name} only); run it, or name the tasks to compare with --tasks")
    for task in baseline:
        check_same_metric(baseline[task], candidate[task])
    suite, drop = _with_margin([(baseline[task], candidate[task]) for task in baseline], list(baseline), max_excluded,
                               margin)
    check_no_task_twice(suite, baseline)
    return suite, drop


def check_no_task_twice(suite: Sequence[Pairs], baseline: Model) -> None:
    """Raise InputError where two tasks are one under two names, whose items would count twice: the same files, or the
    same items with the same scores of both models, where chance does not explain that. Items of which it is known what
    was asked are tested as one unit wherever they occur, and need no such look."""
    seen: dict[bytes, Pairs] = {}
    for pairs in suite:
        order = np.argsort(pairs.items.astype(str), kind="stable")
        scores = np.stack([pairs.baseline, pairs.candidate])[:, order]
        key = hashlib.sha256("\x1f".join(pairs.items[order].astype(str)).encode("utf-8", "surrogatepass")
                             + scores.tobytes()).digest()
        before = seen.setdefault(key, pairs)
        if before is pairs or all("content" in one.also for one in (before, pairs)):
            continue
        share = np.unique(scores, axis=1, return_counts=True)[1] / pairs.size
        if pairs.size * np.log(np.square(share).sum()) < np.log(TWICE) or one_task_twice(baseline[before.task],
                                                                                         baseline[pairs.task]):
            raise InputError(f"tasks {before.task} and {pairs.task} have the same items with the same scores in both "
                             "models: one task under two names would count twice; leave one out with --skip")


# ---- several runs of one model -----------------------------------------------------------------------------


def read_all_runs(paths: list[str], choices: Choices, task: str | None = None) -> dict[str, Model]:
    """{name: run} of all runs in files and folders; only their `task`, if it is named."""
    runs: dict[str, Model] = {}
    for path in paths:
        for name, run in read_runs(path, choices, task).items():
            if name in runs:
                raise InputError(f"{name} is given twice; the runs must be different")
            runs[name] = run if task is None else {task: run[one_task([run], [name], task)]}
    return runs
