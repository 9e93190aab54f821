"""Anyone's results, whatever their source: as one matrix of many models, or as one model's scores by task.

Many models (`read`)    wide or long CSV, lm-evaluation-harness, inspect_ai and HELM output.
One model (`read_model`)
    CSV     columns prompt_id,score[,run][,cluster][,task]; a folder of CSVs is several runs of one model.
    harness an output folder of lm-evaluation-harness 0.4 with --log_samples (or one of its results_*.json).
    matrix  one row of a models × questions table.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import read_json
from .answers import AnswerTable, _columns_of, pivot
from .helm import read_helm
from .inspect_logs import read_inspect
from .lm_eval import TIMESTAMP, read_harness, read_lm_eval
from .matrix import Responses, read_matrix
from .tables import _csv_runs, _read_bank, read_csv, read_long
from .task_scores import ONLY_TASK, Choices, TaskScores, average_runs

# ---- many models, as a matrix ------------------------------------------------------------------------------

FORMATS = ("wide", "long", "lm-eval", "inspect", "helm")
CONFLICTS = ("refuse", "first", "last", "mean")


def read(kind: str, paths: list[Path], metric: str | None = None, filter_: str | None = None,
         conflicts: str = "refuse", bank: Path | None = None, unknown: str = "refuse") -> tuple[Responses, list[str]]:
    """(matrix, what was resolved and how, one line each).

    kind       one of FORMATS
    metric     the score to take where a log has several
    filter_    lm-eval: the filter to take where a task has several
    conflicts  two different scores for one model and question: refuse, or take the first, last or mean
    bank       a CSV question[,task[,category]]: the questions there are, in this order
    unknown    answers to questions that `bank` does not list: refuse or drop

    Raises InputError for what cannot be read or is not resolved by these rules.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    source = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if kind == "wide":
        if len(paths) > 1:
            raise InputError(f"{source}: --from wide takes one matrix")
        return _columns_of(read_matrix(paths[0]), _read_bank(bank), unknown)
    reader = {"long": read_long, "lm-eval": read_lm_eval, "inspect": read_inspect, "helm": read_helm}[kind]
    notes: list[str] = []
    tables = [table for path in paths for table in reader(path, metric, filter_, notes)]
    if not sum(len(table.rows) for table in tables):
        raise InputError(f"{source}: no answers found; is it what --from {kind} reads?"
                         + "".join(f" ({note})" for note in notes[:1]))
    return pivot(AnswerTable.join(tables, source), conflicts, _read_bank(bank), unknown, notes)


# ---- one model, by task ------------------------------------------------------------------------------------

def read_model(
    path: Path | str, choices: Choices | None = None, only: str | None = None
) -> dict[str, TaskScores]:
    """{task: TaskScores} of one model: a CSV, a folder of CSVs, a harness output folder or results file.

    `only` names a task: harness logs of other tasks are then not opened.
    """
    path = Path(path)
    choices = choices or Choices()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if choices.selection is not None:
        runs = read_runs(path, choices, only, latest=True)
        return average_runs([choices.selection.restrict(run, name) for name, run in runs.items()], list(runs))
    if path.is_dir():
        csvs = sorted(p for p in path.iterdir() if p.name.endswith((".csv", ".csv.gz")))
        if csvs:
            return average_runs([read_csv(p) for p in csvs], [p.name for p in csvs])
        return read_harness(path, choices, only)
    if path.name.endswith((".csv", ".csv.gz")):
        return read_csv(path)
    if path.suffix in (".json", ".jsonl"):
        return read_harness(path, choices, only)
    raise InputError(f"{path}: expected a .csv file, a folder of them, or lm-evaluation-harness output")


def read_runs(
    path: Path | str, choices: Choices | None = None, only: str | None = None, latest: bool = False
) -> dict[str, dict[str, TaskScores]]:
    """{name of the run: {task: TaskScores}}: every run of a file or folder by itself.

    Runs are the files of a folder of CSVs, the values of a column run, the timestamps in an output folder of
    the harness (only the last of them if `latest`).
    """
    path, choices = Path(path), choices or Choices()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    csvs = [file for file in files if file.name.endswith((".csv", ".csv.gz"))]
    if csvs:
        return {name: run for file in csvs for name, run in _csv_runs(file).items()}
    if path.is_file() or latest:
        return {str(path): read_harness(path, choices, only)}
    results = [file for file in sorted(path.rglob("*.json")) if re.search(rf"_{TIMESTAMP}\.json$", file.name)
               and not file.name.startswith("samples_")]
    if len({file.parent for file in results}) > 1:
        folders = ", ".join(sorted({str(file.parent) for file in results}))
        raise InputError(f"{path}: results of several models ({folders}); name one of them")
    return {str(file): read_harness(file, choices, only) for file in results or [path]}


# ---- lists of models, rows of a matrix ---------------------------------------------------------------------

def read_model_list(path: Path | str, choices: Choices | None = None) -> dict[str, dict[str, TaskScores]]:
    """{model: {task: TaskScores}} from a JSON file, paths relative to it:

    model_paths.json      {model: {task: CSV file or folder of CSVs}}
    checkpoint_list.json  {model: harness output folder, or a list of them: several runs of one model}
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or len(content) < 2:
        raise InputError(f"{path}: expected an object with a baseline and at least one other model")
    return {model: _read_listed(entry, f"{path}: {model}", path.parent, choices)
            for model, entry in content.items()}


def _read_listed(entry, where: str, base: Path, choices: Choices | None) -> dict[str, TaskScores]:
    if isinstance(entry, str):
        return read_model(base / entry, choices)
    if isinstance(entry, list) and entry and all(isinstance(e, str) for e in entry):
        return average_runs([read_model(base / e, choices) for e in entry], entry)
    if isinstance(entry, dict) and entry and all(isinstance(e, str) for e in entry.values()):
        model = {}
        for task, file in entry.items():
            found = read_model(base / file, choices)
            if len(found) != 1:
                raise InputError(f"{where}: {task}: {file} has several tasks, not one: {', '.join(found)}")
            model[task] = next(iter(found.values()))
        return model
    raise InputError(f"{where}: expected a path, a list of paths, or {{task: path}}")


def read_matrix_models(path: Path | str, names: list[str] | None = None) -> dict[str, dict[str, TaskScores]]:
    """{model: {task: TaskScores}} of the named rows (default: all) of a models × questions table."""
    table = read_matrix(path)
    rows = {str(model): i for i, model in enumerate(table.models)}
    questions = np.asarray(table.questions, dtype=str)
    tasks = np.full(questions.size, ONLY_TASK) if table.tasks is None else np.asarray(table.tasks, dtype=str)
    models = {}
    for name in names or rows:
        if name not in rows:
            near = difflib.get_close_matches(name, rows, cutoff=0.4) or sorted(rows)[:3]
            raise InputError(f"{path}: no row named {name!r}; of {len(rows)}, the nearest: {', '.join(near)}")
        scores = table.scores[rows[name]]
        scores = np.where(scores < 0, np.nan, scores.astype(float)) if scores.dtype == np.int8 else scores
        frame = pd.DataFrame({"score": scores.astype(float), "runs": 1}, index=questions)
        models[name] = {str(task): TaskScores(frame[tasks == task], f"{path}: {name}")
                        for task in dict.fromkeys(tasks)}
    return models
