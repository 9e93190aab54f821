"""Logs of lighteval 0.13: details_<task>_<time>.parquet, and the results_<time>.json of the same run.

    FOLDER/results/<model>/results_<time>.json
    FOLDER/details/<model>/<time>/details_<task>|<shots>_<time>.parquet     columns doc, metric, model_response

The details hold one answer a row; the results say which model it was, how it was asked and which way a metric points.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import check_regular, check_size, read_json, reading
from ..redaction import redacted
from .contract import OF_TASK, Reading, checked, plain
from .lm_eval_samples import NO_VALUE, TIMESTAMP, value_of
from .score_values import logged_value
from .task_scores import Account, Choices, TaskScores, digest

_DETAILS = re.compile(rf"details_(.+)_({TIMESTAMP})\.parquet")
_RESULTS = re.compile(rf"results_({TIMESTAMP})\.json")
_COLUMNS = ("doc", "metric", "model_response")
_REPEATED = "rows that repeat an answer word for word"
_NOT_SETUP = ("name", "metrics", "original_num_docs", "effective_num_docs")  # counts that lighteval leaves at -1


@dataclass
class _Run:
    """One run: its details by task, its results (None where there are none) and the folder above `details`."""

    time: str
    root: Path
    model: str
    details: dict[str, Path]
    results: dict | None = None
    where: str = ""

    def part(self, *keys: str) -> dict:
        """A dictionary inside the results; {} where it is absent, null or of another type."""
        content: Any = self.results
        for key in keys:
            content = content.get(key) if isinstance(content, dict) else None
        return content if isinstance(content, dict) else {}


def recognises(path: Path) -> bool:
    """Whether a path is such details or results, or a folder that holds details."""
    if path.is_dir():
        return next(_details(path), None) is not None
    if _RESULTS.fullmatch(path.name) and path.is_file():
        with reading(path) as stream:
            return b'"lighteval_sha"' in stream.peek(4096)  # type: ignore[attr-defined]
    return bool(_DETAILS.fullmatch(path.name))


def _details(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("details_*.parquet")) if _DETAILS.fullmatch(file.name))


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every model, task and run in a folder (searched recursively), one file of details, or one of results.

    Raises InputError where the metric or its direction is open, for a metric of the whole corpus, for a question that
    is answered twice, and for details of another layout.
    """
    found = Reading()
    runs = _runs(path, found.notes)
    if not any(run.details for run in runs):
        raise InputError(f"{path}: no details of lighteval; run it with --save-details")
    wanted = choices.wanted((task for run in runs for task in run.details), path)
    for run in runs:
        for task in run.part("config_tasks"):
            if task not in run.details and not _DETAILS.fullmatch(path.name) and choices.asks(task):
                found.notes.append(f"{run.where}: {task} is reported but has no details: left out")
        found.logs += [checked(_log(run, task, file, choices), choices)
                       for task, file in run.details.items() if task in wanted]
    return found


# ---- which files are one run -----------------------------------------------------------------------------------

def _runs(path: Path, notes: list[str]) -> list[_Run]:
    if _DETAILS.fullmatch(path.name):
        files, folder = [path], path.parent
    elif path.is_dir():
        files, folder = list(_details(path)), path
    else:
        folder = _root(path)
        time = _RESULTS.fullmatch(path.name)[1]  # type: ignore[index]
        files = [file for file in _details(folder) if _DETAILS.fullmatch(file.name)[2] == time]  # type: ignore[index]
    runs: dict[tuple[Path, str], _Run] = {}
    for file in files:
        task, time = _DETAILS.fullmatch(file.name).groups()  # type: ignore[union-attr]
        root = _root(file)
        run = runs.setdefault((file.parent, time), _Run(time, root, _model_of_path(file, root), {}))
        run.details[plain(task)] = file
    by_time: dict[str, list[Path]] = {}
    for root in {run.root for run in runs.values()} | {folder}:
        for file in root.rglob("results_*.json"):
            if (match := _RESULTS.fullmatch(file.name)) and file not in by_time.get(match[1], []):
                by_time.setdefault(match[1], []).append(file)
    for run in runs.values():
        _add_results(run, by_time.get(run.time, []), notes)
    notes += [f"{file}: left out, no details of this run are here: run lighteval with --save-details"
              for time, others in by_time.items() if time not in {run.time for run in runs.values()}
              for file in others if path in (file, *file.parents)]
    return list(runs.values())


def _root(file: Path) -> Path:
    """The folder that holds `details` and `results`, else the file's own."""
    return next((parent.parent for parent in file.parents if parent.name in ("details", "results")), file.parent)


def _model_of_path(file: Path, root: Path) -> str:
    """The model as the folders below `details` name it."""
    inner = file.parent.relative_to(root).parts
    return "/".join(inner[1:-1]) if inner[:1] == ("details",) else ""


def _add_results(run: _Run, files: list[Path], notes: list[str]) -> None:
    """The results of the same time: in the folder that lighteval gives them, else those of the same model."""
    contents = [(file, read_json(file)) for file in files]
    names = {file: _name(content) for file, content in contents}
    fits = [(file, content) for file, content in contents
            if run.model and file.parent == run.root / "results" / run.model] or [
        (file, content) for file, content in contents if not run.model or names[file] in (None, run.model)]
    if len(fits) > 1:
        raise InputError(f"{fits[0][0]} and {fits[1][0]}: two results of one run; put them into folders of their own")
    if not fits:
        run.where = str(next(iter(run.details.values())).parent)
        notes.append(f"{run.where}: no results of this run; nothing is known of its set-up"
                     + (", and its model is named by the folder" if run.model else ""))
        return
    [(file, content)] = fits
    if not isinstance(content, dict):
        raise InputError(f"{file}: not results of lighteval: expected a JSON object")
    run.results, run.where = content, str(file)
    run.model = names[file] or run.model


def _name(content: Any) -> str | None:
    general = content.get("config_general") if isinstance(content, dict) else None
    name = general.get("model_name") if isinstance(general, dict) else None
    return name if isinstance(name, str) and name.strip() else None


# ---- one log ---------------------------------------------------------------------------------------------------

def _log(run: _Run, task: str, file: Path, choices: Choices) -> TaskScores:
    rows = _rows(file, choices.item_field is not None)
    metric = _metric(file, task, rows, choices)
    answers, repeated = _answers(file, rows, metric, choices)
    records = []
    for number, name, row in answers:
        where = f"{file}: row {number}"
        value = logged_value(value_of(row["metric"], metric), metric, where, choices.values)
        if not isinstance(value, float):
            raise InputError(f"{where}: {metric} is not one score")
        records.append({"item": name, "score": value, "runs": 1, **_prints(row, where, choices.item_field)})
    frame = pd.DataFrame(records).set_index("item")
    blank = int(frame["score"].isna().sum())
    notes = _held(run, task, metric, frame)
    config, general = run.part("config_tasks", task), run.part("config_general")
    identity = {key: _text(value, key) for key, value in run.part("config_general", "model_config").items()
                if key not in ("model_name", "cache_dir")}
    setup = {OF_TASK + key: _text(value, key) for key, value in config.items() if key not in _NOT_SETUP}
    if "max_samples" in general:
        setup["limit"] = _text(general["max_samples"], "limit")
        if general["max_samples"] is not None:
            notes += (f"{task}: at most {setup['limit']} questions were asked (max_samples of lighteval)",)
    account = Account(len(frame) - blank, {NO_VALUE: blank} if blank else {}, {_REPEATED: repeated} if repeated else {})
    return TaskScores(
        frame, str(file), _direction(run, task, metric, choices), None, notes, model=plain(redacted(run.model)),
        task=task, folder=str(run.root), run=run.time, metric=metric, identity=identity, setup=setup, account=account)


def _rows(file: Path, whole: bool) -> list[dict[str, Any]]:
    """The rows of a file of details, without what is not needed. Raises InputError for another layout."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"{file}: details of lighteval are read with pyarrow: pip install pyarrow") from None
    check_regular(file)
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            sizes = [table.metadata.row_group(i).total_byte_size for i in range(table.metadata.num_row_groups)]
            check_size(sum(sizes), str(file))
            there = table.schema_arrow.names
            if missing := [name for name in _COLUMNS if name not in there]:
                raise InputError(f"{file}: no column {', '.join(missing)}: not the layout of lighteval 0.13 (it has "
                                 f"{', '.join(there[:8])})")
            paths = [table.schema.column(i).path for i in range(len(table.schema))]
            heads = ("metric", "doc" if whole else "doc.id", "doc.query", "doc.choices", "doc.gold_index",
                     "model_response.input")
            needed = [path for path in paths if any(path == head or path.startswith(f"{head}.") for head in heads)]
            rows = table.read(columns=needed).to_pylist()
    except InputError:
        raise
    except (OSError, ValueError, KeyError, NotImplementedError, pyarrow.lib.ArrowException) as error:
        said = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"{file}: not a readable parquet file ({said}); is it complete?") from None
    if not rows:
        raise InputError(f"{file}: no answers in the file")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("doc"), dict) or not isinstance(row.get("metric"), dict):
            raise InputError(f"{file}: row {number}: doc and metric are needed, and one is missing")
    return rows


def _metric(file: Path, task: str, rows: list[dict], choices: Choices) -> str:
    there = list(dict.fromkeys(key for row in rows for key in row["metric"]))
    chosen = choices.of(task)[0]
    if chosen is None and len(there) != 1:
        raise InputError(f"{file}: {task} has the metrics {', '.join(there)}: choose one with --metric")
    if chosen is None or chosen in there or chosen.partition(".")[0] in there:
        return chosen or there[0]
    raise InputError(f"{file}: {task} has no metric {chosen}; it has {', '.join(there)}")


def _answers(file: Path, rows: list[dict], metric: str, choices: Choices) -> tuple[list[tuple[int, str, dict]], int]:
    """((row number, question, row) of every question, rows that repeat another).

    Where a task is asked in two ways, lighteval writes a row for each, with the metrics of that way only. Raises
    InputError for a question with two answers, and for two questions of one id (splits whose rows are each counted
    from 0), which --by-content tells apart.
    """
    found: dict[str, tuple[int, dict]] = {}
    repeated = 0
    for number, row in enumerate(rows, start=1):
        name = row["doc"].get("id")
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{file}: row {number}: doc.id is {json.dumps(name, default=str)[:40]}: every answer "
                             "needs the id of its question")
        name = plain(name)
        before = found.get(name)
        if before is None:
            found[name] = number, row
        elif before[1]["doc"] != row["doc"]:
            if not choices.by_content:
                raise InputError(f"{file}: row {number}: id {name} is on row {before[0]} with another question "
                                 "(several splits, each counted from 0): name questions by their content with "
                                 "--by-content")
            found[f"{name} (row {number})"] = number, row
        elif repr(before[1]) == repr(row):
            repeated += 1
        elif value_of(row["metric"], metric) is not None:
            if value_of(before[1]["metric"], metric) is not None:
                raise InputError(f"{file}: row {number}: id {name} is already on row {before[0]} with another answer")
            found[name] = number, row
    return [(number, name, row) for name, (number, row) in found.items()], repeated


def _prints(row: dict, where: str, item_field: str | None) -> dict[str, str]:
    """Fingerprints: of the question with its choices, of what is right, and of the prompt as it was sent."""
    doc, response = row["doc"], row.get("model_response") or {}
    choices, gold = doc.get("choices") or [], doc.get("gold_index")
    places = gold if isinstance(gold, list) else [gold]
    try:
        target = [choices[place] for place in places]
    except (TypeError, IndexError):
        target = places
    prints = {"doc_hash": digest([doc.get("query"), choices]), "target_hash": digest(target)}
    if response.get("input") is not None:
        prints["prompt_hash"] = digest(response["input"])
    named = doc.get(item_field) if item_field else None
    if item_field and named is None and isinstance(doc.get("specific"), dict):
        named = doc["specific"].get(item_field)
    return prints | {"content": prints["doc_hash"] if named is None else plain(named)}


def _held(run: _Run, task: str, metric: str, frame: pd.DataFrame) -> tuple[str, ...]:
    """A line where lighteval's own mean is another."""
    reported, mean = run.part("results", task).get(metric), frame["score"].mean()
    if type(reported) in (int, float) and not abs(reported - mean) <= 1e-6:
        return (f"{task}: the items' mean of {metric} is {mean:.4g}, lighteval reports {reported:.4g} (another "
                "aggregation, or missing values)",)
    return ()


def _direction(run: _Run, task: str, metric: str, choices: Choices) -> bool:
    """Whether a higher score is better: what the user says, else the results. Raises InputError where neither does."""
    if (said := choices.direction(metric)) is not None:
        return said
    base, told = metric.partition(".")[0], None
    listed = run.part("config_tasks", task).get("metrics")
    for entry in listed if isinstance(listed, list) else []:
        names, higher = (entry.get("metric_name"), entry.get("higher_is_better")) if isinstance(entry, dict) else (0, 0)
        for name in (metric, base):
            if name == names or (isinstance(names, list) and name in names):
                told = higher.get(name) if isinstance(higher, dict) else higher
    if isinstance(told, bool):
        return told
    raise InputError(f"{run.where}: {task}: nothing says whether higher {metric} is better: say it with "
                     f"--higher-is-better {metric}=true or {metric}=false")


def _text(value: Any, key: str) -> str:
    value = redacted(value, key)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
