"""Anyone's results, whatever their format: as one matrix of many models, or as one model's scores by task.

A format is one record in `READERS`: `read` and data/split_history.py --from look it up by name, `read_model` (pair,
suite, flips) by what it recognises. What a score may look like in each format is a row of score_values.RULES.

    wide     one CSV that is a matrix already
    long     CSV, one answer a line, of many models
    lm-eval  output folders of lm-evaluation-harness 0.4 with --log_samples (or one of its results_*.json)
    inspect  logs of inspect_ai (.eval, .json), read by inspect_ai itself
    jsonl    one answer a line, with a key for the question and one for its score (--id, --score)
    helm     run folders of HELM
    every-eval-ever  records of Every Eval Ever 0.3.0 beside their instances
    promptfoo  results of promptfoo, a provider with a prompt being a model
    lighteval  its details (parquet) beside its results
    evalplus  *_eval_results.json: a benchmark and its plus, which flip as one
    opencompass  results/<model>/<data set>.json with details
    csv      one model: prompt_id,score[,run][,cluster][,task]; a folder of CSVs is several runs of one model

A format of logs is one function path → `Reading`, and contract.py makes of it what each command needs: models for a
matrix, one model or its runs for a pair. A row of a matrix, or one of the models in a folder of logs, can also serve
as one model (`read_matrix_models`); NAME=PATH names what is read. Readers are imported only when they are needed, so
importing this module costs next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..files import read_json
from ..lazy import given

if TYPE_CHECKING:
    from .contract import Models
    from .matrix import Responses
    from .task_scores import Choices, TaskScores

_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])([T ].*)?)?)?")
_COLUMNS = ("model", "created_date", "sha", "family")
_SUMMARIES = ("average", "avg", "mean", "overall", "accuracy", "total", "score")
LOG_ENDINGS = (".json", ".eval", ".jsonl", ".jsonl.gz")
CONFLICTS = ("refuse", "first", "last", "mean")
# Words of the command line for `splitting`, which takes numpy
BY_STRENGTH = ("weak-to-strong", "strong-to-weak")
SPLIT_BY = ("date", "family", *BY_STRENGTH)
INCOMPLETE = ("models", "questions", "zero")  # what goes where new models lack scores: they, the questions, the blank


@dataclass(frozen=True)
class Reader:
    """One format. A function is given directly or as ".module:name" in this package, imported when it is needed.

    name        what --from takes
    what        what it reads, for --help and for the error where no format fits

    recognises  (path) → whether this format reads the file or folder, for the commands that are not told --from

    For logs, which serve both halves:
    logs        (path, Choices) → Reading, see contract.py

    For many models, as a matrix, one of:
    answers     (path, Wanted, notes) → tables of answers, `AnswerTable` (both of answers.py): model, question,
                score and, where known, record (of a CSV), task, category, created_date, sha, family. What is left
                out or averaged is a line added to the list `notes`
    matrix      (path) → Responses, of a file that is a matrix already

    For one model, by task:
    model       (path, Choices, only) → {task: TaskScores}, its runs averaged; `only` names the one task wanted
    runs        (path, Choices, only, latest) → {name of the run: {task: TaskScores}}; if `latest`, only the last of
                runs that supersede one another (timestamps)

    All raise InputError for anything that cannot be read or would have to be guessed.
    """

    name: str
    what: str
    logs: Callable | str | None = None
    answers: Callable | str | None = None
    matrix: Callable | str | None = None
    recognises: Callable | str | None = None
    model: Callable | str | None = None
    runs: Callable | str | None = None

    def function(self, field: str) -> Callable:
        """What to call for one of the fields."""
        return given(getattr(self, field), __package__)


READERS = {reader.name: reader for reader in (
    Reader("wide", "a CSV model,created_date,sha[,family], then one column per question", matrix=".matrix:read_matrix"),
    Reader("long", "a CSV model,question,score with one answer a line", answers=".tables:read_long"),
    Reader("lm-eval", "output of lm-evaluation-harness, written with --log_samples", logs=".lm_eval:read_logs",
           recognises=".lm_eval:recognises"),
    Reader("jsonl", "JSONL with a key for the question and one for its score", logs=".jsonl:read_logs",
           recognises=".jsonl:recognises"),
    Reader("helm", "run folders of HELM", logs=".helm:read_logs", recognises=".helm:recognises"),
    Reader("inspect", "logs of inspect_ai", logs=".inspect_logs:read_logs", recognises=".inspect_logs:recognises"),
    Reader("every-eval-ever", "records of Every Eval Ever with their instances", logs=".every_eval_ever:read_logs",
           recognises=".every_eval_ever:recognises"),
    Reader("promptfoo", "results of promptfoo (-o out.json)", logs=".promptfoo:read_logs",
           recognises=".promptfoo:recognises"),
    Reader("lighteval", "details of lighteval, with its results", logs=".lighteval:read_logs",
           recognises=".lighteval:recognises"),
    Reader("evalplus", "results of evalplus (*_eval_results.json)", logs=".evalplus:read_logs",
           recognises=".evalplus:recognises"),
    Reader("opencompass", "results of OpenCompass with details", logs=".opencompass:read_logs",
           recognises=".opencompass:recognises"),
    Reader("csv", "a .csv of prompt_id,score or a folder of them", recognises=".tables:recognises",
           model=".tables:read_scores", runs=".tables:read_score_runs"),
)}


# ---- many models, as a matrix ------------------------------------------------------------------------------

def formats() -> list[str]:
    """Names of the formats that can hold many models."""
    return [name for name, reader in READERS.items() if reader.logs or reader.answers or reader.matrix]


def read(kind: str, paths: Sequence[Path | str], metric: str | None = None, filter_: str | None = None,
         conflicts: str = "refuse", bank: Path | None = None, unknown: str = "refuse",
         choices: Choices | None = None, heed: Callable[[Models], None] | None = None
         ) -> tuple[Responses, list[str]]:
    """(matrix, what was resolved and how, one line each).

    kind       one of `formats()`
    paths      files or folders, each of which may be NAME=PATH where it holds one model
    metric     the score to use where a log has several
    filter_    the filter to use where a task has several (lm-eval), the split (HELM), the reducer (inspect)
    conflicts  two different scores for one model and question: refuse, or take the first, last or mean
    bank       a CSV question[,task[,category]]: all valid questions, in this order
    unknown    answers to questions that `bank` does not list: refuse or drop
    choices    what else logs leave open
    heed       called with the models of logs, which know more than a matrix holds: fingerprints, settings

    Raises InputError for anything that cannot be read or that these rules do not resolve.
    """
    if kind not in formats():
        raise InputError(f"--from {kind}: no such format; there are {', '.join(formats())}")
    named = named_paths(paths)
    from .answers import AnswerTable, Wanted, columns_of, pivot
    from .contract import models_of, tables_of
    from .tables import read_bank
    from .task_scores import Choices

    source = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    reader = READERS[kind]
    if names := [name for name, _ in named if name is not None and not reader.logs]:
        raise InputError(f"{names[0]}=…: --from {kind} has its models' names inside; NAME=PATH is for logs")
    chosen = choices or Choices(flags="--metric or --filter", source="--metric and --filter")
    if kind in ("wide", "long"):
        _refuse_unused(chosen, kind, bool(reader.matrix))
    if reader.matrix:
        if len(paths) > 1:
            raise InputError(f"{source}: --from {kind} takes one matrix")
        table = _safe(reader.function("matrix")(named[0][1]))
        if ours := [str(name) for name in table.questions if str(name).strip().lower() in _COLUMNS]:
            raise InputError(f"{source}: a question is named {ours[0]!r}, as a column of ours but for its spelling: "
                             f"write {ours[0].strip().lower()}, or name the question otherwise")
        return columns_of(table, read_bank(bank), unknown)
    notes: list[str] = []
    if reader.logs:
        if metric or filter_:
            chosen = replace(chosen, metrics={**chosen.metrics, "*": (metric, filter_)})
        logs = reader.function("logs")
        models = models_of([(name, logs(path, chosen)) for name, path in named], chosen, notes)
        notes += [line for _, path in named for line in _not_read(path, kind)]
        tables = list(tables_of(models, notes))
        if heed is not None:
            heed(models)
    else:
        answers = reader.function("answers")
        wanted = Wanted(metric, filter_, chosen.values, chosen.scale, chosen.errors)
        tables = [table for _, path in named for table in answers(path, wanted, notes)]
    if not sum(len(table.rows) for table in tables):
        raise InputError(f"{source}: no answers found; is it what --from {kind} reads?"
                         + "".join(f" ({note})" for note in notes[:1]))
    responses, notes = pivot(AnswerTable.join(tables, source), conflicts, read_bank(bank), unknown, notes)
    return _safe(responses), notes


def _refuse_summary(table: Responses) -> None:
    """Raise InputError for a column with a summary's name that holds every model's mean of the others, to two digits:
    it is no question."""
    import numpy as np

    for place, name in enumerate(table.questions):
        if str(name).strip().lower() in _SUMMARIES and table.n_questions > 2:
            scores = np.where(table.observed, table.scores.astype(float), np.nan)
            others = np.delete(scores, place, axis=1)
            means = np.nansum(others, axis=1) / np.maximum(1, np.isfinite(others).sum(axis=1))
            if np.allclose(scores[:, place], means, rtol=0, atol=0.0051):
                raise InputError(f"{table.source}: column {str(name)!r} is the mean of the others, not a question: "
                                 "leave it out")


def _refuse_unused(choices: Choices, kind: str, matrix: bool) -> None:
    """Raise InputError for a choice that a table of many models leaves no room for: it would be passed over."""
    used = () if matrix else ("values", "scale")
    flags = {"values": "--value", "scale": "--range", "directions": "--higher-is-better", "by_content": "--by-content",
             "item_field": "--item-field", "id_key": "--id", "score_key": "--score", "may_differ": "--may-differ",
             "skip": "--skip"}
    given_ = [flag for name, flag in flags.items() if getattr(choices, name) and name not in used]
    given_ += ["--task-metrics"] * bool(choices.metrics) + ["--errors wrong"] * (matrix and choices.errors == "wrong")
    if given_:
        raise InputError(f"{given_[0]}: --from {kind} has nothing to choose there; such a flag is for logs"
                         + ("" if not matrix else " (and --value and --range also for --from long)"))


def _safe(table: Responses) -> Responses:
    """A matrix without keys and tokens in its models' names. Raises InputError where names then coincide, for a blank
    name, and for a date that has no order."""
    import numpy as np

    from ..redaction import redacted

    for what, labels in (("model", table.models), ("question", table.questions)):
        if blank := [str(i) for i, name in enumerate(labels, start=1) if not str(name).strip()]:
            raise InputError(f"{table.source}: {what} {blank[0]} has a blank name; every {what} needs one")
    for model, date in zip(table.models, table.dates, strict=True):
        if date and not _DATE.fullmatch(str(date)):
            raise InputError(f"{table.source}: {model}: created_date {str(date)[:30]!r} cannot be put in order: write "
                             "it as 2024-06-01")

    _refuse_summary(table)
    names = [redacted(str(name)) for name in table.models]
    return table if names == table.models.tolist() else replace(table, models=np.array(names))


def named_paths(texts: Sequence[Path | str]) -> list[tuple[str | None, Path]]:
    """(name or None, path) of each. Raises InputError for a path that does not exist."""
    named = [named_path(text) for text in texts]
    for _, path in named:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    return named


def named_path(text: Path | str) -> tuple[str | None, Path]:
    """(name, path) of NAME=PATH; the name is None for a mere path, which may itself have an = in it."""
    name, equals, path = str(text).partition("=")
    if not equals or not name or Path(text).exists():
        return None, Path(text)
    return name, Path(path)


# ---- one model, by task ------------------------------------------------------------------------------------

def reader_of(path: Path) -> Reader:
    """The reader of one model's scores that recognises `path`; the most recently registered is asked first.

    Raises InputError if `path` does not exist or no reader recognises it.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    known = [reader for reader in READERS.values() if reader.recognises]
    fits = [reader for reader in reversed(known) if reader.function("recognises")(path)]
    if path.is_dir() and len(names := _formats_in(path, [reader.name for reader in fits])) > 1:
        raise InputError(f"{path}: results of several formats ({', '.join(names)}), of which one would be read: name a "
                         "file or folder of one of them")
    if fits:
        return fits[0]
    raise InputError(f"{path}: expected {', or '.join(reader.what for reader in reversed(known))}")


def _formats_in(folder: Path, fits: list[str]) -> list[str]:
    """Which of the formats that fit a folder have files of their own there: lm-eval takes any folder, and the JSONL of
    some formats looks like any program's."""
    from .lm_eval_samples import SAMPLES

    own = [name for name in fits if name in READERS and name not in ("lm-eval", "jsonl")]
    if any(SAMPLES.fullmatch(file.name) for file in folder.rglob("samples_*")):
        own.append("lm-eval")
    if "jsonl" in fits and not {"every-eval-ever", "inspect"} & set(fits) and _foreign_lines(folder):
        own.append("jsonl")
    return own


def _foreign_lines(folder: Path) -> bool:
    """Whether a folder holds JSONL that is not promptfoo's."""
    from .promptfoo import recognises

    return not all(recognises(file) for file in folder.iterdir() if file.name.endswith((".jsonl", ".jsonl.gz")))


def _not_read(path: Path, kind: str) -> list[str]:
    """A line for results of other formats in a folder that is read as one of `kind`."""
    if not path.is_dir():
        return []
    fits = [reader.name for reader in READERS.values() if reader.recognises and reader.function("recognises")(path)]
    others = [name for name in _formats_in(path, fits) if name != kind]
    return [f"{path}: results of other formats ({', '.join(others)}) are there and were not read"] if others else []


def read_model(
    path: Path | str, choices: Choices | None = None, only: str | None = None
) -> dict[str, TaskScores]:
    """{task: TaskScores} of one model: a CSV, a folder of CSVs, a harness output folder or results file, or
    anything else that a registered reader recognises.

    `only` names a task: logs of other tasks are then not opened. Raises InputError if it cannot be read.
    """
    from .contract import one_model
    from .task_scores import Choices, average_runs

    path, choices = named_path(path)[1], choices or Choices()
    if only is not None:
        choices = replace(choices, tasks=(only,))
    if choices.selection is not None:
        runs = read_runs(path, choices, latest=True)
        return average_runs([choices.selection.restrict(run, name) for name, run in runs.items()], list(runs))
    reader = reader_of(path)
    if reader.logs:
        return one_model(reader.function("logs")(path, choices), choices, str(path))
    return _of_tasks(reader.function("model")(path, choices, only), choices, path)


def _of_tasks(model: dict[str, TaskScores], choices: Choices, path: Path) -> dict[str, TaskScores]:
    """The wanted tasks of a model that was read whole, its scores looked at."""
    from .contract import checked

    return {task: checked(replace(model[task], task=task), choices) for task in choices.wanted(model, path)}


def read_runs(
    path: Path | str, choices: Choices | None = None, only: str | None = None, latest: bool = False
) -> dict[str, dict[str, TaskScores]]:
    """{name of the run: {task: TaskScores}}: every run of a file or folder separately.

    Runs are the files of a folder of CSVs, the values of a column run, the timestamps in an output folder of
    the harness (only the last of them if `latest`). A format without runs counts as one run. Raises InputError
    if they cannot be read.
    """
    from .contract import one_model, runs_of
    from .task_scores import Choices

    path, choices = named_path(path)[1], choices or Choices()
    if only is not None:
        choices = replace(choices, tasks=(only,))
    reader = reader_of(path)
    if reader.logs:
        reading = reader.function("logs")(path, choices)
        return ({str(path): one_model(reading, choices, str(path))} if latest
                else runs_of(reading, choices, str(path)))
    if reader.runs is None:
        return {str(path): _of_tasks(reader.function("model")(path, choices, only), choices, path)}
    return {name: _of_tasks(run, choices, path)
            for name, run in reader.function("runs")(path, choices, only, latest).items()}


# ---- lists of models, rows of a matrix ---------------------------------------------------------------------

def read_model_list(path: Path | str, choices: Choices | None = None) -> dict[str, dict[str, TaskScores]]:
    """{model: {task: TaskScores}} from a JSON file, paths relative to it:

    model_paths.json      {model: {task: CSV file or folder of CSVs}}
    checkpoint_list.json  {model: harness output folder, or a list of them: several runs of one model}

    Raises InputError for another layout and for anything that cannot be read.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or len(content) < 2:
        raise InputError(f"{path}: expected an object with a baseline and at least one other model")
    from ..redaction import redacted
    from .contract import plain

    models = {}
    for model, entry in content.items():
        name = plain(redacted(model))
        if name in models:
            raise InputError(f"{path}: two models are named {name} once keys are left out: name them apart")
        models[name] = _read_listed(entry, name, f"{path}: {name}", path.parent, choices)
    return models


def _read_listed(entry, model_name: str, where: str, base: Path, choices: Choices | None) -> dict[str, TaskScores]:
    from .task_scores import Choices, average_runs

    if isinstance(entry, str):
        return read_model(base / entry, choices)
    if isinstance(entry, list) and entry and all(isinstance(e, str) for e in entry):
        return average_runs([read_model(base / e, choices) for e in entry], entry)
    if isinstance(entry, dict) and entry and all(isinstance(e, str) for e in entry.values()):
        choices = choices or Choices()
        model = {}
        for task in choices.wanted(entry, model_name):  # named here, whatever the files call them
            file = entry[task]
            found = read_model(base / file, replace(choices, tasks=None, skip=()))
            if len(found) != 1:
                raise InputError(f"{where}: {task}: {file} has several tasks, not one: {', '.join(found)}")
            model[task] = next(iter(found.values()))
        return model
    raise InputError(f"{where}: expected a path, a list of paths, or {{task: path}}")


def read_matrix_models(path: Path | str, names: list[str] | None = None, choices: Choices | None = None
                       ) -> dict[str, dict[str, TaskScores]]:
    """{model: {task: TaskScores}} of the named models (default: all) of a models × questions table, or of a folder or
    file of logs of many models.

    Raises InputError for a name that is not there, with the nearest ones, and as `read_matrix` and the readers do.
    """
    from .matrix import read_matrix
    from .task_scores import Choices, chosen_names, of_rows

    path, choices = Path(path), choices or Choices()
    reader = reader_of(path) if path.is_dir() or path.name.endswith(LOG_ENDINGS) else None
    if reader is None or not reader.logs:
        return {name: _of_tasks(tasks, choices, path)
                for name, tasks in of_rows(_safe(read_matrix(path)), names, str(path)).items()}
    from .contract import check_questions, models_of, with_notes

    notes: list[str] = []
    models = models_of([(None, reader.function("logs")(path, choices))], choices, notes)
    models = {name: models[name] for name in chosen_names(names, list(models), str(path))}
    check_questions(models, notes)
    return {name: {task: with_notes(scores, notes) for task, scores in tasks.items()} for name, tasks in models.items()}
