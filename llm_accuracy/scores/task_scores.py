"""One model's scores on one task, whatever their source: averaging several runs, restricting to chosen items, and
checking that two runs were asked the same questions."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import read_json
from .matrix import Responses

ONLY_TASK = "scores"  # the name of the task of a CSV without a task column


@dataclass(frozen=True, repr=False)
class TaskScores:
    """One model's scores on one task.

    `frame` is indexed by item (unique strings) with columns score (mean over runs, NaN = missing), runs (how
    many runs the mean is over) and, where the source has them, cluster, content (which question it is, in whatever
    task it occurs), doc_hash, target_hash, prompt_hash. `answers` has the scores of every run, (items, runs), NaN =
    missing; None of a single run.
    """

    frame: pd.DataFrame
    source: str
    higher_is_better: bool = True
    category: str | None = None
    notes: tuple[str, ...] = ()
    answers: pd.DataFrame | None = None

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
    columns = [run.frame[["score"]] if run.answers is None else run.answers for run in runs]
    answers = pd.concat(columns, axis=1, ignore_index=True).reindex(frame.index)
    return replace(first, frame=frame, source=f"{len(runs)} runs: {names[0]} …", notes=notes, answers=answers)


def check_same_questions(one: pd.DataFrame, other: pd.DataFrame, name: str, other_name: str) -> list[str]:
    """Refuse items whose document, target or cluster differs between runs; note those whose prompt does."""
    both = one.add_suffix("_one").join(other.add_suffix("_other"), how="inner")
    notes = []
    for column, what in (("doc_hash", "documents"), ("target_hash", "targets"), ("cluster", "clusters"),
                         ("prompt_hash", "prompts")):
        if f"{column}_one" not in both or f"{column}_other" not in both:
            continue
        left, right = both[f"{column}_one"], both[f"{column}_other"]
        differ = (left != right) & left.notna() & right.notna()
        if not differ.any():
            continue
        count = f"{int(differ.sum()):,} of {len(both):,} items"
        if column == "prompt_hash":
            notes.append(f"the prompts differ on {count} between {name} and {other_name}: the models were "
                         "not asked in the same words")
            continue
        raise InputError(f"{name} and {other_name}: the {what} differ on {count} (first: item "
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
    for name in names or rows:
        if name not in rows:
            near = difflib.get_close_matches(name, rows, cutoff=0.4) or sorted(rows)[:3]
            raise InputError(f"{source}: no row named {name!r}; of {len(rows)}, the nearest: {', '.join(near)}")
        scores = np.where(observed[rows[name]], table.scores[rows[name]].astype(float), np.nan)
        frame = pd.DataFrame({"score": scores, "runs": 1}, index=table.questions)
        models[name] = {str(task): TaskScores(frame[tasks == task], f"{source}: {name}")
                        for task in dict.fromkeys(tasks)}
    return models


# ---- what a log leaves open --------------------------------------------------------------------------------

@dataclass(frozen=True)
class Choices:
    """Choices that harness logs leave open: {task or pattern: (metric or None, filter or None)}, and the document field
    that identifies a question across tasks (default: the hash of the document). `flags` are the command-line flags that
    make the choice, if it is not made in a task_metrics.json."""

    metrics: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    item_field: str | None = None
    source: str = "task_metrics.json"
    flags: str | None = None
    selection: Selection | None = None

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
        """(metric, filter) chosen for a task: by its name, else by the first pattern; None where nothing is chosen."""
        if task in self.metrics:
            return self.metrics[task]
        return next((v for k, v in self.metrics.items() if fnmatch.fnmatchcase(task, k)), (None, None))


# ---- chosen items ------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Selection:
    """Items worth asking, {task: items}, and fingerprints of the runs they were chosen on, {task: one for each run}.

    As they were chosen because they flipped in those runs, they flip there more often than by chance: a test on the
    same runs would mean nothing, and `restrict` refuses it.
    """

    tasks: dict[str, list[str]]
    made_from: dict[str, list[str]]
    source: str

    @classmethod
    def read(cls, path: Path | str) -> Selection:
        """From a selection.json of `mcnemar_tests.py flips`. Raises InputError for anything else."""
        content = read_json(path)
        try:
            tasks = {task: [str(item) for item in items] for task, items in content["tasks"].items()}
            made_from = {task: list(content["fingerprints"][task]) for task in tasks}
        except (TypeError, KeyError, AttributeError):
            raise InputError(f"{path}: not a selection.json of mcnemar_tests.py flips") from None
        return cls(tasks, made_from, str(path))

    def restrict(self, run: dict[str, TaskScores], name: str) -> dict[str, TaskScores]:
        """One run on the chosen items only. Raises InputError if the items were chosen on this run."""
        kept = {task: scores for task, scores in run.items() if self.tasks.get(task)}
        if not kept:
            raise InputError(f"{name}: none of its tasks ({', '.join(run)}) is in {self.source}")
        chosen, same = {}, set(range(len(next(iter(self.made_from.values())))))
        for task, scores in kept.items():
            # An item that the run lacks gets no score, so it is counted as missing.
            frame = scores.frame.reindex(self.tasks[task])
            frame["runs"] = frame["runs"].fillna(0).astype(int)
            mark = fingerprint(frame["score"])
            same &= {i for i, other in enumerate(self.made_from[task]) if other == mark}
            answers = None if scores.answers is None else scores.answers.reindex(self.tasks[task])
            chosen[task] = replace(scores, frame=frame, answers=answers)
        if same:
            raise InputError(f"{name}: the items of {self.source} were chosen on this very run, so a test on it means "
                             "nothing: run the model again, with another seed")
        return chosen


def fingerprint(scores: pd.Series) -> str:
    """A digest of one run on the chosen items of a task, independent of their order and of the file they are in."""
    return _sha256("\n".join(f"{item}\t{score:g}" for item, score in sorted(scores.items())))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
