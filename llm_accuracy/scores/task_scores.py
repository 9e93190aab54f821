"""One model's scores on one task, whatever their source, and what a user chooses where a source leaves it open;
averaging several runs, restricting to chosen items, and checking that two runs were asked the same questions."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import read_json
from .matrix import Responses
from .reuse import reused

ONLY_TASK = "scores"  # the name of the task of a CSV without a task column


@dataclass(frozen=True)
class Account:
    """What was read of one log, and what was not.

    scored    answers with a score
    blank     reason → answers that were given no score
    left_out  reason → records that are no answers of this model to this task: other splits, repeated lines
    stated    how many answers there are by the log's own count; None where it has none
    dataset   how many questions the log says its data set has, of which it was asked only some; None where unknown
    """

    scored: int = 0
    blank: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    stated: int | None = None
    dataset: int | None = None

    @property
    def answers(self) -> int:
        """Answers that the log holds, with or without a score."""
        return self.scored + sum(self.blank.values())

    @property
    def absent(self) -> int:
        """Answers that the log counts and does not hold."""
        return max(0, (self.stated or 0) - self.answers)

    def lines(self, task: str) -> list[str]:
        """What a user must be told of it, one line each."""
        said = [f"{task}: {count:,} answers without a score are blank "
                f"({reason})" for reason, count in self.blank.items()]
        said += [f"{task}: {count:,} left out: {reason}" for reason, count in self.left_out.items()]
        if self.absent:
            said.append(f"{task}: the log holds {self.answers:,} of the {self.stated:,} samples that it counts itself")
        elif self.stated is not None and self.answers > self.stated:
            said.append(f"{task}: the log holds {self.answers:,} samples and counts {self.stated:,} itself")
        if self.dataset and self.stated and self.dataset > self.stated:
            said.append(f"{task}: {self.stated:,} of {self.dataset:,} samples were run")
        return said


@dataclass(frozen=True, repr=False)
class TaskScores:
    """One model's scores on one task: what every reader returns, for matrices and for pairs (contract.py).

    `frame` is indexed by item (unique strings) with columns score (mean over runs, NaN = missing), runs (how
    many runs the mean is over) and, where the source has them, cluster, content (which question it is, in whatever
    task it occurs), doc_hash, target_hash, prompt_hash (fingerprints of what was asked), margin (log-likelihood of
    the best right choice minus that of the best wrong one, NaN where unknown; of harness logs with `Choices.margins`
    only).

    model     the name the log gives its model; "" where it gives none
    task      the task's name
    folder    where the log is: logs of one model and one folder are runs that may be united
    run       which run it is of, such that later runs sort last
    metric    what the score is
    identity  what else names the model (arguments, revision, …): runs that differ here are of different models
    setup     how it was asked (shots, template, limit, …): runs that differ here are not united
    scale     the range of the scores if the user gave one (--range)
    account   what was read
    answers   the scores of every run, (items, runs), NaN = missing; None of a single run
    files     what several runs were read from; of a single run this is `source`
    sampled   whether the items are those of a sample that was asked: one without a score is missing, not unasked
    """

    frame: pd.DataFrame
    source: str
    higher_is_better: bool = True
    category: str | None = None
    notes: tuple[str, ...] = ()
    model: str = ""
    task: str = ""
    folder: str = ""
    run: str = ""
    metric: str = "score"
    identity: dict[str, str] = field(default_factory=dict)
    setup: dict[str, str] = field(default_factory=dict)
    scale: tuple[float, float] | None = None
    account: Account = field(default_factory=Account)
    answers: pd.DataFrame | None = None
    files: tuple[str, ...] = ()
    sampled: bool = False

    @property
    def read_from(self) -> tuple[str, ...]:
        """The files, or whatever else, that the scores come from."""
        return self.files or (self.source,)

    @property
    def kind(self) -> str:
        """"0/1", "grid" (multiples of 1/k for some k up to 100) or "continuous"."""
        scores = self.frame["score"].dropna().to_numpy(float)
        if np.isin(scores, (0.0, 1.0)).all():
            return "0/1"
        steps = np.arange(2, 101)
        distinct = np.unique(scores)
        whole = len(distinct) <= 101 and any(np.allclose(distinct * k, np.round(distinct * k), atol=1e-6)
                                             for k in steps)
        return "grid" if whole else "continuous"

    def __repr__(self) -> str:
        scores = self.frame["score"]
        lacking = int(scores.isna().sum())
        return (f"TaskScores({len(scores)} items, {lacking} without a score, mean {scores.mean():.4g}, "
                f"{self.source!r})")


# ---- several runs ------------------------------------------------------------------------------------------

def average_runs(runs: list[dict[str, TaskScores]], names: list[str]) -> dict[str, TaskScores]:
    """Several runs of one model → one, each item averaged over the runs that have a score for it.

    Raises InputError if tasks, directions or questions differ between runs.
    """
    if len(runs) == 1:
        return runs[0]
    tasks = runs[0].keys()
    for run, name in zip(runs, names, strict=True):
        if run.keys() != tasks:
            odd = ", ".join(sorted(run.keys() ^ tasks))
            raise InputError(f"{name}: its tasks differ from those of {names[0]} ({odd}); runs must match")
    return {task: _average([run[task] for run in runs], names) for task in tasks}


def _average(runs: list[TaskScores], names: list[str]) -> TaskScores:
    first = runs[0]
    if len({run.higher_is_better for run in runs}) > 1:
        raise InputError(f"{names[0]} … {names[-1]}: the runs disagree on whether a higher score is better")
    for run, name in zip(runs[1:], names[1:], strict=True):
        check_same_questions(first.frame, run.frame, names[0], name)
    rows = pd.concat([run.frame for run in runs])
    grouped = rows.groupby(level=0, sort=False)
    frame = grouped.first()
    total = (rows["score"] * rows["runs"]).groupby(level=0, sort=False).sum(min_count=1)
    frame["runs"] = rows["runs"].where(rows["score"].notna(), 0).groupby(level=0, sort=False).sum()
    frame["score"] = total / frame["runs"].where(frame["runs"] > 0)
    notes = tuple(dict.fromkeys(note for run in runs for note in run.notes))
    if partly := int((grouped.size() < len(runs)).sum()):
        notes += (f"{partly:,} of {len(frame):,} items are not in every one of the {len(runs)} runs: each is averaged "
                  "over those that have it",)
    columns = [run.frame[["score"]] if run.answers is None else run.answers for run in runs]
    answers = pd.concat(columns, axis=1, ignore_index=True).reindex(frame.index)
    files = tuple(file for run in runs for file in run.read_from)
    return replace(first, frame=frame, source=f"{len(runs)} runs: {names[0]} …", notes=notes, answers=answers,
                   files=files)


def check_same_questions(one: pd.DataFrame, other: pd.DataFrame, name: str, other_name: str) -> list[str]:
    """Refuse items whose document, target or cluster differs between runs; note those whose prompt does."""
    known = {"doc_hash": "documents", "target_hash": "targets", "cluster": "clusters", "prompt_hash": "prompts"}
    shared = [column for column in known if column in one and column in other]
    if not shared:
        return []
    both = one[shared].add_suffix("_one").join(other[shared].add_suffix("_other"), how="inner")
    notes = []
    for column in shared:
        left, right = both[f"{column}_one"], both[f"{column}_other"]
        differ = (left != right) & left.notna() & right.notna()
        if not differ.any():
            continue
        count = f"{int(differ.sum()):,} of {len(both):,} items"
        if column == "prompt_hash":
            notes.append(f"the prompts differ on {count} between {name} and {other_name}: the models were "
                         "not asked in the same words")
            continue
        raise InputError(f"{name} and {other_name}: the {known[column]} differ on {count} (first: item "
                         f"{differ.idxmax()}): not the same questions, so the runs cannot be paired")
    return notes


# ---- rows of a matrix --------------------------------------------------------------------------------------

def of_rows(table: Responses, names: list[str] | None, source: str) -> dict[str, dict[str, TaskScores]]:
    """{model: {task: TaskScores}} of the named models (default: all) of a matrix; without tasks, all questions
    are one task.

    Raises InputError for a name that is not a row, with the nearest ones.
    """
    rows = {str(model): i for i, model in enumerate(table.models)}
    tasks = np.full(table.n_questions, ONLY_TASK) if table.tasks is None else table.tasks
    observed, models = table.observed, {}
    for name in chosen_names(names, list(rows), source):
        scores = np.where(observed[rows[name]], table.scores[rows[name]].astype(float), np.nan)
        frame = pd.DataFrame({"score": scores, "runs": 1}, index=table.questions)
        models[name] = {str(task): TaskScores(frame[tasks == task], f"{source}: {name}", model=name, task=str(task))
                        for task in dict.fromkeys(tasks)}
    return models


def chosen_names(names: list[str] | None, there: list[str], source: str) -> list[str]:
    """The named models, all by default. Raises InputError for one that is not there, with the nearest ones."""
    for name in names or ():
        if name not in there:
            near = difflib.get_close_matches(name, there, cutoff=0.4) or sorted(there)[:3]
            raise InputError(f"{source}: no row named {name!r}; of {len(there)}, the nearest: {', '.join(near)}")
    return list(names or there)


# ---- what a log leaves open --------------------------------------------------------------------------------

class Restriction(Protocol):
    """Items that a comparison is restricted to."""

    def restrict(self, run: dict[str, TaskScores], name: str) -> dict[str, TaskScores]: ...


@dataclass(frozen=True)
class Choices:
    """What logs leave open, as a user settles it.

    metrics      {task or pattern: (metric or None, filter or None)}; the filter also names a split of HELM and a
    reducer
                 of inspect_ai
    item_field   the document field that identifies a question across tasks (default: the hash of the document)
    source       where `metrics` come from, for messages
    flags        the command-line flags that make the choice, if it is not made in a task_metrics.json
    selection    only these items: a `Selection`, or a sample (`drawn`)
    directions   {metric or pattern: whether higher is better}
    values       {word or number: what it is worth}, NaN for a missing score
    scale        (lowest, highest) score there can be; None: not said
    errors       what a sample that crashed is worth, one of flags.ERRORS
    by_content   questions are named by their content, not by their id
    may_differ   keys of the set-up in which united runs may differ
    id_key       the key of a record that names its question, in JSONL; None: one that is known
    score_key    the key of its score; None: score
    tasks        only these tasks are read; None: all
    margins      the margins of multiple-choice answers are read, where a log has log-likelihoods of the choices
    skip         tasks, or patterns of tasks, that are not read
    """

    metrics: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    item_field: str | None = None
    source: str = "task_metrics.json"
    flags: str | None = None
    selection: Restriction | None = None
    directions: dict[str, bool] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    scale: tuple[float, float] | None = None
    errors: str = "missing"
    by_content: bool = False
    may_differ: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    margins: bool = False
    id_key: str | None = None
    score_key: str | None = None

    @classmethod
    def read(cls, path: Path | str, item_field: str | None = None) -> Choices:
        """From task_metrics.json: {"task": "metric" | "metric,filter" | {"metric": …, "filter": …}}; a task
        may be a pattern such as "leaderboard_bbh_*". Raises InputError for another layout."""
        content = read_json(path)
        if not isinstance(content, dict):
            raise InputError(f'{path}: expected {{"task": "metric"}}, found a {type(content).__name__}')
        metrics = {}
        for task, value in content.items():
            if isinstance(value, str):
                metric, _, chosen_filter = value.partition(",")
                value = {"metric": metric, "filter": chosen_filter}
            if not isinstance(value, dict) or not set(value) <= {"metric", "filter"}:
                raise InputError(f'{path}: {task}: expected "metric" or {{"metric": …, "filter": …}}')
            metrics[task] = (value.get("metric") or None, value.get("filter") or None)
        return cls(metrics, item_field, str(path))

    def of(self, task: str) -> tuple[str | None, str | None]:
        """(metric, filter) chosen for a task: each by the task's name, else by the first pattern; None where nothing is
        chosen."""
        fits = [self.metrics[task]] if task in self.metrics else []
        fits += [v for k, v in self.metrics.items() if k != task and fnmatch.fnmatchcase(task, k)]
        return next((m for m, _ in fits if m), None), next((f for _, f in fits if f), None)

    def direction(self, metric: str) -> bool | None:
        """Whether a higher score of this metric is better, if the user said so."""
        if metric in self.directions:
            return self.directions[metric]
        return next((v for k, v in self.directions.items() if fnmatch.fnmatchcase(metric, k)), None)

    def wanted(self, there: Iterable[str], where: object) -> list[str]:
        """The tasks to read of those that are `there`. Raises InputError for a task that is named and not there."""
        there = list(dict.fromkeys(there))
        for task in self.tasks or ():
            if task not in there:
                near = difflib.get_close_matches(task, there, 5, cutoff=0.5) or there[:20]
                more = "" if len(near) == len(there) else f" (of {len(there)} tasks)"
                raise InputError(f"{where}: no task {task}; it has {', '.join(near)}{more}")
        asked = [task for task in there if self.asks(task)]
        if there and not asked:
            raise InputError(f"{where}: --skip {' '.join(self.skip)} leaves no task; it has {', '.join(there[:20])}")
        return asked

    def asks(self, task: str) -> bool:
        """Whether a task is to be read."""
        return ((self.tasks is None or task in self.tasks)
                and not any(fnmatch.fnmatchcase(task, pattern) for pattern in self.skip))


# ---- chosen items ------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Selection:
    """Items worth asking, {task: items}, and the scores on them of the runs they were chosen on, {task: (items, runs)}.

    As they were chosen because they flipped in those runs, they flip there more often than by chance: a test on the
    same runs, or on anything made of them, would mean nothing, and `restrict` refuses it.
    """

    tasks: dict[str, list[str]]
    made_from: dict[str, np.ndarray]
    source: str

    @classmethod
    def read(cls, path: Path | str) -> Selection:
        """From a selection.json of `mcnemar_tests.py flips`. Raises InputError for anything else."""
        content = read_json(path)
        if isinstance(content, dict) and "fingerprints" in content:
            raise InputError(f"{path}: made by an earlier version, which did not keep each item's scores, by which its "
                             "runs are recognised: make it again with flips")
        try:
            tasks = {task: [str(item) for item in items] for task, items in content["tasks"].items()}
            runs = len(content["sources"])
            made_from = {task: np.array([list(map(int, content["scores"][task][item])) for item in items],
                                        dtype=float).reshape(len(items), runs) for task, items in tasks.items()}
        except (TypeError, KeyError, AttributeError, ValueError):
            raise InputError(f"{path}: not a selection.json of mcnemar_tests.py flips") from None
        if not all(np.isin(scores, (0, 1)).all() for scores in made_from.values()):
            raise InputError(f"{path}: not a selection.json of mcnemar_tests.py flips: scores other than 0 and 1")
        # Without them nothing would recognise the runs that the items were chosen on.
        what = "fewer than two runs" if runs < 2 else None
        for task, items in tasks.items():
            what = what or next((f"the runs agree on item {item}" for item, scores in
                                 zip(items, made_from[task], strict=True) if np.ptp(scores) == 0), None)
            what = what or ("an item is there twice" if len(set(items)) < len(items) else None)
        if what:
            raise InputError(f"{path}: edited, or not of mcnemar_tests.py flips: {what}; make it again with flips")
        return cls(tasks, made_from, str(path))

    def restrict(self, run: dict[str, TaskScores], name: str) -> dict[str, TaskScores]:
        """One run on the chosen items only. Raises InputError where it agrees with the runs that the items were chosen
        on, or with a combination of them, beyond what chance explains (`reuse`)."""
        kept = {task: scores for task, scores in run.items() if self.tasks.get(task)}
        if not any(self.tasks.values()):
            raise InputError(f"{self.source}: no item was chosen: the runs it was made from agree on all")
        if not kept:
            raise InputError(f"{name}: none of its tasks ({', '.join(run)}) is in {self.source}")
        chosen, own = {}, []
        for task, scores in kept.items():
            # An item that the run lacks gets no score, so it is counted as missing.
            frame = scores.frame.reindex(self.tasks[task])
            frame["runs"] = frame["runs"].fillna(0).astype(int)
            low, high = scores.scale or (0.0, 1.0)
            own.append((frame["score"].to_numpy(float) - low) / (high - low))
            answers = None if scores.answers is None else scores.answers.reindex(self.tasks[task])
            chosen[task] = replace(scores, frame=frame, answers=answers)
        found = reused(np.concatenate(own), np.concatenate([self.made_from[task] for task in kept]))
        if found:
            raise InputError(f"{name}: the items of {self.source} were chosen on this very run, or on what it is made "
                             f"of: it agrees with {found}, so a test on it means nothing: run the model again, with "
                             "another seed")
        return chosen


def digest(content) -> str:
    """A fingerprint of JSON content, whatever the order of its keys."""
    return _sha256(json.dumps(content, sort_keys=True, default=str))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
