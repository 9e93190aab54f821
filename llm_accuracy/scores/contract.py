"""The contract of every reader of logs, and what both halves of the project make of what a reader returns.

A reader is one function (path, Choices) → `Reading`: every log that a path holds, one `TaskScores` for each model,
task and run, each with its questions (id and fingerprints), scores, direction, runs, clusters and account, and a
line for everything that was left out. It chooses nothing but what `Choices` says, and refuses what cannot be decided.

From there on all formats are alike. `models_of` says which logs are one model and unites its runs; `one_model` and
`runs_of` serve the degradation tests, `tables_of` the matrix import. All of them go through `checked`, so that the
same folder means the same to both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ..errors import InputError
from ..redaction import redacted
from .answers import AnswerTable
from .shares import as_shares
from .task_scores import Choices, TaskScores, _sha256

Models = dict[str, dict[str, TaskScores]]  # model → task → scores
FINGERPRINTS = (("doc_hash", "documents"), ("target_hash", "targets"))
_MARKS = (-1, -9, -99, -999, -9999, -99999, 99, 999, 9999, 99999)  # numbers that are in use for a missing value
PROMPT = "prompt_hash"
OF_TASK = "task."  # begins the keys of a set-up that tell one task from another, such as its data set


@dataclass
class Reading:
    """What a reader found in a path: logs, and a line (`notes`) for everything that it did not make a log of."""

    logs: list[TaskScores] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# ---- text ---------------------------------------------------------------------------------------------------

def plain(text: object) -> str:
    """A name or id as text that UTF-8 can encode: a lone surrogate becomes its escape."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def crashes(task: str, count: int, choices: Choices, what: str = "samples crashed") -> tuple[str, ...]:
    """A line for answers that crashed, with what they are worth by `--errors`; none where there are none."""
    if not count:
        return ()
    return (f"{task}: {count:,} {what} and count as wrong (--errors wrong)" if choices.errors == "wrong" else
            f"{task}: {count:,} {what} and are missing (--errors missing); --errors wrong counts them as wrong",)


# ---- one log ------------------------------------------------------------------------------------------------

def checked(log: TaskScores, choices: Choices) -> TaskScores:
    """A log whose scores can be used: none stands for something else, and its account is among its notes.

    Raises InputError for scores outside `choices.scale`, and for a number that looks like a mark for a missing score.
    """
    frame = log.frame
    if not frame.index.is_unique:
        odd = frame.index[frame.index.duplicated()][0]
        raise InputError(f"{log.source}: {log.task}: question {odd} is answered twice; a run must have each question "
                         f"once")
    _refuse_marks(log, choices)
    if choices.by_content:
        log = _by_content(log)
    if "content" in log.frame and log.frame["content"].isna().all():
        log = replace(log, frame=log.frame.drop(columns="content"))
    notes = tuple(dict.fromkeys([*log.notes, *log.account.lines(log.task)]))
    return replace(log, notes=notes, scale=choices.scale, source=redacted(log.source))


def _refuse_marks(log: TaskScores, choices: Choices) -> None:
    every = log.frame["score"].to_numpy(float)
    if choices.scale is None and not ((every < 0) | (every > 1)).any():  # of most logs, and quickly
        return
    scores = log.frame["score"].dropna()
    if choices.scale is not None:
        low, high = choices.scale
        outside = scores[(scores < low) | (scores > high)]
        if len(outside):
            raise InputError(f"{log.source}: {log.task}: item {outside.index[0]}: score {outside.iloc[0]:g} is not "
                             f"in --range "
                             f"{low:g} {high:g}")
        return
    marks, others = _marks(scores)
    if not marks:
        return
    where = scores.index[scores.isin(marks)]
    odd = marks[0] if marks[0] < 0 else marks[-1]
    low, high = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
    if len(marks) > 1:
        raise InputError(f"{log.source}: {log.task}: {len(where):,} scores are "
                         f"{_some([f'{value:g}' for value in marks])} and all others {others}, first item {where[0]}: "
                         f"say which mark a missing score with --value {odd:g}=missing, or the range of the scores "
                         f"with --range {low:g} {high:g}")
    raise InputError(f"{log.source}: {log.task}: {len(where):,} scores are {odd:g} and all others {others}, first item "
                     f"{where[0]}: if it marks a missing score add --value {odd:g}=missing, else say the range of the "
                     f"scores, --range {low:g} {high:g}")


def _marks(scores: pd.Series) -> tuple[list[float], str]:
    """(numbers that seem to mark something rather than to be a score, in order; how all others are described).

    Among scores in [0, 1]: one number outside, or several whole ones that are together fewer than the scores; among
    right and wrong, whatever else is outside. On any other scale: the numbers that are in use as marks (−1, 99, …),
    where all others are at least 0 and they are beyond or far above them. Scores that are mostly negative, such as
    log-likelihoods, and those that spread beyond 1 have none.
    """
    outside = scores[(scores < 0) | (scores > 1)]
    inside, found = scores.drop(outside.index), sorted(map(float, outside.unique()))
    if found and len(inside) and (found[0] < 0 or found[-1] >= 9):
        if len(found) == 1:
            return found, "lie in [0, 1]"
        if len(inside) >= len(outside):
            if inside.isin((0.0, 1.0)).all():
                return found, "0 or 1"
            if len(found) <= 3 and all(value == int(value) and (value < 0 or value >= 9) for value in found):
                return found, "lie in [0, 1]"
    others = scores[~scores.isin(_MARKS)]
    if len(others) == len(scores) or others.empty or others.min() < 0:
        return [], ""
    top = max(1.0, float(others.max()))
    used = sorted(value for value in map(float, scores[scores.isin(_MARKS)].unique()) if value < 0 or value >= 9 * top)
    return used, f"lie in [0, {top:g}]"


def _by_content(log: TaskScores) -> TaskScores:
    """Questions named by what they are: a digest of their document and target; repetitions get a number."""
    frame = log.frame
    if "content" not in frame or frame["content"].isna().any():
        raise InputError(f"{log.source}: {log.task}: --by-content needs a fingerprint of every question, and this "
                         f"log has "
                         "none: leave it out, or match by id")
    named = frame["content"].astype(str)
    if "doc_hash" in frame and "target_hash" in frame and named.equals(frame["doc_hash"].astype(str)):
        named = named + frame["target_hash"].astype(str)
    else:  # a field names the question: options in another order make no other question
        frame = frame.drop(columns=[c for c in ("doc_hash", "target_hash") if c in frame])
    names = named.map(lambda text: _sha256(text)[:16])
    again = names.groupby(names).cumcount()
    frame = frame.set_axis(names.where(again == 0, names + "." + again.astype(str)), axis=0)
    return replace(log, frame=frame)


# ---- which logs are one model --------------------------------------------------------------------------------

def models_of(readings: Iterable[tuple[str | None, Reading]], choices: Choices, notes: list[str]) -> Models:
    """{model: {task: scores}} of everything that was read, each part with the name that the user gave it or None.

    Logs of one folder with one model's name are runs of one model. A name that occurs in several folders is no evidence
    that it is one model: they are named by their folders, with a line. A user's name counts as it is, and may unite
    folders. Raises InputError where runs of one model differ in what names it (`identity`), or in how it was asked.
    """
    groups: dict[tuple[str, str], list[TaskScores]] = {}
    given: set[tuple[str, str]] = set()
    for name, reading in readings:
        notes += [note for note in reading.notes if note not in notes]
        found = {log.model or log.folder for log in reading.logs}
        if name is not None and len(found) > 1:
            raise InputError(f"{name}=…: results of several models ({_some(sorted(found))}); a name needs one of them")
        for log in reading.logs:
            key = ("", name) if name is not None else (log.folder, log.model)
            groups.setdefault(key, []).append(log)
            if name is not None:
                given.add(key)
    names = _names(list(groups), given, notes)
    models: Models = {}
    for key, logs in groups.items():
        models[names[key]] = _unite(names[key], logs, choices, notes)
    return models


def _names(keys: list[tuple[str, str]], given: set[tuple[str, str]], notes: list[str]) -> dict[tuple[str, str], str]:
    """The name of every model: the log's where only one folder has it, else the end of the folder that tells them
    apart."""
    names: dict[tuple[str, str], str] = {key: key[1] for key in keys if key in given}
    by_name: dict[str, list[tuple[str, str]]] = {}
    for key in keys:
        if key not in given:
            by_name.setdefault(key[1], []).append(key)
    for model, same in by_name.items():
        if model and len(same) == 1 and model not in names.values():
            names[same[0]] = model
            continue
        short = _distinct_ends([folder for folder, _ in same])
        for key in same:
            end, name = short[key[0]], short[key[0]]
            while name in names.values():  # never merged
                name = f"{model} ({end})" if name == end and model else f"{name}'"
            names[key] = name
        if model:
            notes.append(f"{len(same)} folders name their model {model}: they are taken as different models and "
                         f"named by "
                         f"their folders ({_some([names[key] for key in same])}); NAME=PATH gives another name, and "
                         f"the same "
                         "NAME twice says that they are one model")
        else:
            notes.append(f"the logs name no model: named by the folder ({_some([names[key] for key in same])}); "
                         f"NAME=PATH "
                         "gives another name")
    return names


def _distinct_ends(folders: list[str]) -> dict[str, str]:
    """The shortest ends of these paths that differ."""
    parts = {folder: [part for part in folder.split("/") if part not in ("", ".")] or [folder] for folder in folders}
    for length in range(1, max(map(len, parts.values())) + 1):
        ends = {folder: "/".join(path[-length:]) for folder, path in parts.items()}
        if len(set(ends.values())) == len(ends):
            return ends
    return {folder: folder for folder in folders}


def _unite(model: str, logs: list[TaskScores], choices: Choices, notes: list[str]) -> dict[str, TaskScores]:
    """The latest run of every task; all runs must be of one model, and those used must be set up alike."""
    _agree(model, logs, "identity", choices)
    latest: dict[str, TaskScores] = {}
    for log in sorted(logs, key=lambda log: log.run):
        before = latest.get(log.task)
        if before is not None and before.run == log.run:
            raise InputError(f"{before.source} and {log.source}: both are {model} on {log.task}; name one of them, "
                             f"or name "
                             "each NAME=PATH")
        latest[log.task] = log
    used = list(latest.values())
    _agree(model, used, "setup", choices)
    runs = sorted({log.run for log in used})
    where = f"{model}: " if model else ""
    passed = sorted({log.run for log in logs} - set(runs))
    if passed:
        notes.append(f"{where}read the run of {_some(runs)}, not {_some(passed)} (to choose, name its results file)")
    if older := [log for log in logs if latest[log.task] is not log and log.run not in passed]:
        notes.append(f"{where}{len(older)} tasks were run again: the latest run of each counts ("
                     f"{_some([f'{log.task} of {log.run} is passed over' for log in older])})")
    if len(runs) > 1:
        notes.append(f"{where}tasks of {len(runs)} runs are united: "
                     + _some([f"{_some([log.task for log in used if log.run == run])} of {run}" for run in runs]))
        notes += [f"{where}{line}" for line in _unalike(used)]
    order = {log.task: None for log in logs}
    return {task: latest[task] for task in order}


def _unalike(used: list[TaskScores]) -> list[str]:
    """A line for every part of the set-up in which the tasks of united runs differ."""
    lines = []
    for key in dict.fromkeys(key for log in used for key in log.setup if not key.startswith(OF_TASK)):
        tasks: dict[str, list[str]] = {}
        for log in used:
            tasks.setdefault(log.setup.get(key, "unknown"), []).append(log.task)
        if len(tasks) > 1:
            lines.append(f"the united tasks differ in {key}: {_who(tasks)}")
    return lines


def _agree(model: str, logs: list[TaskScores], what: str, choices: Choices) -> None:
    """Raise InputError for the first key in which runs differ, and logs in what names their model. What is set for each
    task is compared where tasks overlap; where none does, runs without a value in common differ. What is a task's own
    (`OF_TASK`) is compared only where tasks overlap."""
    runs: dict[str, list[TaskScores]] = {}
    for log in logs:
        runs.setdefault(log.source if what == "identity" else log.run, []).append(log)
    names = sorted(runs)
    keys = list(dict.fromkeys(key for log in logs for key in getattr(log, what)))
    for key in keys:
        if key in choices.may_differ:
            continue
        by_task = [{log.task: getattr(log, what).get(key, "unknown") for log in runs[name]} for name in names]
        for name, tasks in zip(names[1:], by_task[1:], strict=True):
            shared = tasks.keys() & by_task[0].keys()
            if not shared and key.startswith(OF_TASK):
                continue
            one, other = (sorted({value for task, value in side.items() if not shared or task in shared})
                          for side in (by_task[0], tasks))
            if one != other and (shared or not set(one) & set(other)):
                first = {log.source: None for log in runs[names[0]][:1] + runs[name][:1]}
                allow = f", or allow it with --may-differ {key}" if what == "setup" else ""
                raise InputError(f"{' and '.join(first)}: two runs of {model or 'one model'} differ in {key} "
                                 f"({' and '.join(told_apart('/'.join(one), '/'.join(other)))}): "
                                 f"they are not united; read one of them by the name of its file, or name each "
                                 f"NAME=PATH{allow}")


def _who(values: dict[str, list[str]]) -> str:
    """Each value with the names that have it."""
    return "; ".join(f"{value} ({_some(names, 3)})"
                     for value, names in zip(told_apart(*values, width=60), values.values(), strict=True))


def told_apart(*values: str, width: int = 80) -> list[str]:
    """Values, each in one line and shortened to where they begin to differ."""
    lines = [value if value.isprintable() else json.dumps(value, ensure_ascii=False) for value in values]
    same = next((i for i, letters in enumerate(zip(*lines, strict=False)) if len(set(letters)) > 1),
                min(map(len, lines)))
    start = max(0, same - width // 2) if max(map(len, lines)) > width else 0
    return [("…" if start else "") + line[start:start + width] + ("…" if len(line) > start + width else "")
            for line in lines]


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# ---- one model, for a pair -----------------------------------------------------------------------------------

def one_model(reading: Reading, choices: Choices, where: str) -> dict[str, TaskScores]:
    """{task: scores} of the one model that a path holds. Raises InputError for several, and as `models_of` does."""
    notes: list[str] = []
    models = models_of([(None, reading)], choices, notes)
    if not models:
        raise InputError(f"{where}: no results found" + "".join(f" ({note})" for note in notes[:1]))
    if len(models) > 1:
        raise InputError(f"{where}: samples of several models ({_some(sorted(models))}); name the folder or file of "
                         f"one of them, or "
                         f"take them by name with --matrix {where}")
    [tasks] = models.values()
    notes = [note for note in notes if "name no model" not in note]  # a pair names its models itself
    return {task: with_notes(scores, notes) for task, scores in tasks.items()}


def with_notes(scores: TaskScores, notes: list[str]) -> TaskScores:
    """The scores with these lines before their own."""
    return replace(scores, notes=tuple(dict.fromkeys([*notes, *scores.notes])))


def runs_of(reading: Reading, choices: Choices, where: str) -> Models:
    """{name of the run: {task: scores}}: every run of the one model in a path separately, named by its file.

    Raises InputError for several models, and for runs that differ in what names the model.
    """
    folders = {(log.folder, log.model) for log in reading.logs}
    if len(folders) > 1:
        named = sorted(model or folder for folder, model in folders)
        raise InputError(f"{where}: results of several models ({_some(named)}); name one of them")
    if not reading.logs:
        raise InputError(f"{where}: no results found" + "".join(f" ({note})" for note in reading.notes[:1]))
    model = reading.logs[0].model
    _agree(model, reading.logs, "identity", choices)
    runs: Models = {}
    for log in reading.logs:
        runs.setdefault(log.run, {})[log.task] = with_notes(log, reading.notes)
    return {f"{where}: {name}" if name else where: tasks for name, tasks in sorted(runs.items())}


# ---- many models, for a matrix -------------------------------------------------------------------------------

def tables_of(models: Models, notes: list[str]) -> Iterator[AnswerTable]:
    """Tables of answers, questions named task/id, after a check that the same name is the same question for all models.

    Raises InputError where it is not, and for scores of which lower ones are better.
    """
    for model, tasks in models.items():
        for task, scores in tasks.items():
            if not scores.higher_is_better:
                raise InputError(f"{scores.source}: {task}: lower values of {scores.metric} are better, and in a "
                                 f"matrix higher is "
                                 "better: choose another metric with --metric")
            notes += [f"{model}: {note}" if note.startswith(f"{task}: ") else note for note in scores.notes
                      if note not in notes]
    _refuse_other_metrics(models)
    check_questions(models, notes)
    notes += _unlike(models)
    models = as_shares(models, notes)
    for model, tasks in models.items():
        for task, scores in tasks.items():
            yield AnswerTable.of(pd.DataFrame({
                "model": plain(model), "question": [plain(f"{task}/{item}") for item in scores.frame.index],
                "score": scores.frame["score"].to_numpy(), "task": plain(task)}), scores.source)


def _refuse_other_metrics(models: Models) -> None:
    known: dict[str, TaskScores] = {}
    for tasks in models.values():
        for task, scores in tasks.items():
            check_same_metric(known.setdefault(task, scores), scores)


def check_same_metric(one: TaskScores, other: TaskScores) -> None:
    """Raise InputError if two logs of one task hold different scores; a CSV does not say which its scores are."""
    if one.metric != other.metric and "score" not in (one.metric, other.metric):
        raise InputError(f"{one.source} and {other.source}: {one.task}: the score of one is {one.metric}, of the other "
                         f"{other.metric}: choose one that both have with --metric")


def _unlike(models: Models) -> list[str]:
    """A line for every way in which the models were not asked alike."""
    seen: dict[tuple[str, str], dict[str, list[str]]] = {}
    for model, tasks in models.items():
        for task, scores in tasks.items():
            for key, value in scores.setup.items():
                seen.setdefault((task, key), {}).setdefault(value, []).append(model)
    return [f"{task}: {key} differs between models: {_who(values)}"
            for (task, key), values in seen.items() if len(values) > 1]


def check_questions(models: Models, notes: list[str]) -> None:
    """Raise InputError if a question's document or target differs between models; say where it cannot be known."""
    known: dict[tuple[str, str], tuple[pd.Series, str]] = {}
    bare: dict[str, list[str]] = {}
    for model, tasks in models.items():
        for task, scores in tasks.items():
            frame = scores.frame
            if "doc_hash" not in frame or frame["doc_hash"].isna().any():
                bare.setdefault(task, []).append(model)
            for column, what in (*FINGERPRINTS, (PROMPT, "prompts")):
                if column not in frame:
                    continue
                prints = frame[column].dropna()
                before, first = known.get((task, column), (prints, model))
                at = before.index.get_indexer(prints.index)
                old = before.to_numpy(object)[np.where(at < 0, 0, at)] if len(before) else prints.to_numpy(object)
                differ = (at >= 0) & (old != prints.to_numpy(object))
                if differ.any() and column == PROMPT:
                    notes.append(f"{task}: the prompts of {int(differ.sum()):,} of {int((at >= 0).sum()):,} questions "
                                 f"differ between {model} and {first}: they were not asked in the same words")
                elif differ.any():
                    raise InputError(
                        f"{scores.source}: {task}: the {what} of {int(differ.sum()):,} of {int((at >= 0).sum()):,} "
                        f"questions "
                        f"differ between {model} and {first} under the same id (first: {prints.index[differ][0]}): "
                        f"not the same "
                        "questions; read the models apart, or match by content with --by-content")
                known[task, column] = (pd.concat([before, prints[at < 0]]) if (at < 0).any() else before, first)
    for task, lacking in bare.items():
        if (task, "doc_hash") in known:
            notes.append(f"{task}: {len(lacking)} models have no fingerprints of some questions, which are taken to "
                         f"be the same by "
                         f"their ids ({_some(lacking)})")
