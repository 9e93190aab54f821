"""Read evaluation results and pair them item by item: CSV score files, lm-evaluation-harness logs, matrices.

Whatever the source, one model on one task becomes a `TaskScores`; `pair_up` matches two of them on the item
and refuses what cannot be compared. Nothing is dropped silently: every excluded item is counted under its
reason.

Sources
    CSV     columns prompt_id,score[,run][,cluster][,task]; a folder of CSVs is several runs of one model.
    harness an output folder of lm-evaluation-harness 0.4 with --log_samples (or one of its results_*.json).
    matrix  one row of a models × questions table.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError

MAX_EXCLUDED = 0.05  # share of the items that may lack a partner or a score
HASHES = ("doc_hash", "target_hash", "prompt_hash")
CSV_COLUMNS = ("prompt_id", "score", "run", "cluster", "task")
MISSING = ("", "nan", "null", "none", "na")
ONLY_TASK = "scores"  # the name of the task of a CSV without a task column
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?"

# The metric of each Open LLM Leaderboard task; any other task with several metrics must be told which.
DEFAULT_METRICS = {"bbh": "acc_norm", "gpqa": "acc_norm", "musr": "acc_norm", "mmlu_pro": "acc",
                   "math": "exact_match", "ifeval": "prompt_level_strict_acc"}
CATEGORY_NAMES = {"bbh": "BBH", "gpqa": "GPQA", "musr": "MuSR", "mmlu_pro": "MMLU-Pro", "math": "MATH",
                  "ifeval": "IFEval"}
# Logged per item as [log-likelihood, words or bytes]; the item score becomes the log-likelihood per unit.
PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")
# doc field that names a question where subsets of one data set shuffle their options, so that hashes differ.
ITEM_FIELDS = {"gpqa": "Record ID"}


@dataclass(frozen=True)
class TaskScores:
    """One model's scores on one task.

    `frame` is indexed by item (unique strings) with columns score (mean over runs, NaN = missing), runs (how
    many runs the mean is over) and, where the source tells, cluster, content (what the question is, whichever
    task it stands in), doc_hash, target_hash, prompt_hash.
    """

    frame: pd.DataFrame
    source: str
    higher_is_better: bool = True
    category: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """Two models' scores on the same items: `baseline` and `candidate` (n,) without missing values.

    `units` (n,) says which items stand or fall together (one label, one unit), across tasks too; None where
    nothing is known that would tie items together. `left_out` lists the items left out, by reason.
    """

    task: str
    items: np.ndarray
    baseline: np.ndarray
    candidate: np.ndarray
    units: np.ndarray | None = None
    higher_is_better: bool = True
    category: str | None = None
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def excluded(self) -> dict[str, int]:
        """How many items were left out, by reason."""
        return {reason: len(items) for reason, items in self.left_out.items()}

    @property
    def clusters(self) -> np.ndarray | None:
        """Codes 0 … G−1 of the units, or None where every item is its own."""
        if self.units is None:
            return None
        codes, labels = pd.factorize(self.units)
        return None if len(labels) == len(codes) else codes

    @property
    def differences(self) -> np.ndarray:
        """Positive where the candidate is worse."""
        sign = 1.0 if self.higher_is_better else -1.0
        return sign * (self.baseline - self.candidate)


# ---- any source --------------------------------------------------------------------------------------------


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


def average_runs(runs: list[dict[str, TaskScores]], names: list[str]) -> dict[str, TaskScores]:
    """Several runs of one model → one, each item averaged over the runs that have a score for it."""
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
    return replace(first, frame=frame, source=f"{len(runs)} runs: {names[0]} …", notes=notes)


# ---- CSV ---------------------------------------------------------------------------------------------------


def read_csv(path: Path | str) -> dict[str, TaskScores]:
    """A score file `prompt_id,score[,run][,cluster][,task]`, plain or gzipped; other columns are ignored.

    Scores are numbers or true/false; an empty score is a missing one. Raises InputError, with the row as a
    text editor counts lines, for anything else and for an item given twice.
    """
    path = Path(path)
    return {task: TaskScores(_one_row_per_item(rows, path), str(path))
            for task, rows in _csv_table(path).groupby("task", sort=False)}


def _csv_runs(path: Path) -> dict[str, dict[str, TaskScores]]:
    """{name of the run: {task: TaskScores}} of one score file."""
    table = _csv_table(path)
    if "run" not in table:
        return {str(path): read_csv(path)}
    return {f"{path}: run {run}": {task: TaskScores(_one_row_per_item(rows.drop(columns="run"), path), str(path))
                                   for task, rows in one.groupby("task", sort=False)}
            for run, one in table.groupby("run", sort=False)}


def _csv_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a readable CSV ({str(error).strip()})") from None
    table.columns = [str(column).strip().lower() for column in table.columns]
    for needed in ("prompt_id", "score"):
        if list(table.columns).count(needed) != 1:
            raise InputError(f"{path}: row 1: needs one column {needed}, has {','.join(table.columns)}")
    if table.empty:
        raise InputError(f"{path}: no rows below the header")
    blank = table["prompt_id"].str.strip() == ""
    if blank.any():
        raise InputError(f"{path}: row {_row(blank)}: prompt_id is empty; every score needs its item")
    table["score"] = _numbers(table["score"], path)
    if "task" not in table:
        table["task"] = ONLY_TASK
    key = ["task", "prompt_id"] + (["run"] if "run" in table else [])
    twice = table.duplicated(key)
    if twice.any():
        at = table[twice].iloc[0]
        run = f" of run {at['run']}" if "run" in table else ""
        hint = "" if "run" in table else "; if it is a second run, add a column run"
        raise InputError(f"{path}: row {_row(twice)}: prompt_id {at['prompt_id']}{run} stands twice{hint}")
    return table


def _one_row_per_item(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    grouped = rows.groupby("prompt_id", sort=False)
    if "run" not in rows:
        frame = rows.set_index("prompt_id")[["score"]].assign(runs=1)
    else:
        frame = grouped["score"].agg(score="mean", runs="count")
    if "cluster" in rows:
        blank = rows["cluster"].str.strip() == ""
        if blank.any():
            raise InputError(f"{path}: row {_row(blank)}: cluster is empty; name one, or drop the column")
        several = grouped["cluster"].transform("nunique") > 1
        if several.any():
            item = rows["prompt_id"][several].iloc[0]
            raise InputError(f"{path}: row {_row(several)}: prompt_id {item} has more than one cluster")
        frame["cluster"] = grouped["cluster"].first()
    return frame


def _numbers(text: pd.Series, path: Path) -> pd.Series:
    stripped = text.str.strip()
    meaning = {"true": 1.0, "false": 0.0, **dict.fromkeys(MISSING, np.nan)}
    words = stripped.str.lower().map(meaning)
    known = stripped.str.lower().isin(meaning)
    values = pd.to_numeric(stripped.where(~known), errors="coerce")
    bad = ~known & ~np.isfinite(values)
    if bad.any():
        raise InputError(f"{path}: row {_row(bad)}: score {text[bad].iloc[0]!r} is not a number, true, false")
    return values.where(~known, words).astype(float)


def _row(where: pd.Series) -> int:
    """The line of the first marked row; the header is line 1."""
    return int(where[where].index[0]) + 2


# ---- lm-evaluation-harness ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choices:
    """What the harness logs leave open: {task or pattern: (metric or None, filter or None)}, and the doc
    field that names a question across tasks (default: the hash of the document). `flags` are the command-line
    flags that make the choice, where it is not made in a task_metrics.json."""

    metrics: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    item_field: str | None = None
    source: str = "task_metrics.json"
    flags: str | None = None
    selection: Selection | None = None

    @classmethod
    def read(cls, path: Path | str, item_field: str | None = None) -> Choices:
        """From task_metrics.json: {"task": "metric" | "metric,filter" | {"metric": …, "filter": …}}; a task
        may be a pattern such as "leaderboard_bbh_*"."""
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
        if task in self.metrics:
            return self.metrics[task]
        return next((v for k, v in self.metrics.items() if fnmatch.fnmatchcase(task, k)), (None, None))


def read_harness(
    path: Path | str, choices: Choices | None = None, only: str | None = None
) -> dict[str, TaskScores]:
    """{task: TaskScores} of one run of lm-evaluation-harness.

    `path` is the output folder (searched below, too), one results_*.json, or one samples_*.jsonl. Where a
    folder holds several runs (timestamps) the latest is read and the others are named in the notes; they are
    never mixed. Raises InputError where the metric or filter of a task is not clear, for duplicate items, and
    for metrics that are not means over items.
    """
    choices = choices or Choices()
    samples, results_path, notes = _find_run(Path(path))
    results = read_json(results_path) if results_path else {}
    if not isinstance(results, dict):
        raise InputError(f"{results_path}: not a results file of the harness: expected a JSON object")
    if not results:
        notes = (*notes, f"{path}: no results file beside the samples; higher scores are taken to be better")
    return {task: _read_samples(file, task, results, choices, notes)
            for task, file in sorted(samples.items()) if only in (None, task) or only not in samples}


def _find_run(path: Path) -> tuple[dict[str, Path], Path | None, tuple[str, ...]]:
    """({task: samples file}, results file, notes) of one run."""
    wanted = None
    if path.is_file():
        match = re.search(rf"_({TIMESTAMP})\.jsonl?$", path.name)
        if not match:
            raise InputError(f"{path}: not a results_<time>.json or samples_<task>_<time>.jsonl file")
        wanted = match[1]
    folder = path if path.is_dir() else path.parent
    search = folder.rglob if path.is_dir() else folder.glob
    runs: dict[tuple[Path, str], dict[str, Path]] = {}
    for file in sorted(search("samples_*.json*")):
        match = re.fullmatch(rf"samples_(.+)_({TIMESTAMP})\.jsonl?", file.name)
        if match and wanted in (None, match[2]):
            runs.setdefault((file.parent, match[2]), {})[match[1]] = file
    if not runs:
        raise InputError(f"{path}: no CSV and no samples_<task>_<time>.jsonl here; run the harness with "
                         "--log_samples")
    folders = sorted({str(where) for where, _ in runs})
    if len(folders) > 1:
        raise InputError(f"{path}: samples of several models ({', '.join(folders)}); name one of them")
    where, time = max(runs, key=lambda run: run[1])
    others = sorted(other for _, other in runs if other != time)
    notes = (f"{where}: read the run of {time}, not {', '.join(others)} (to choose, name its results file)",)
    samples = runs[where, time]
    if path.name.startswith("samples_") and path.is_file():
        samples = {task: file for task, file in samples.items() if file == path}
    results = [p for p in where.glob(f"*_{time}.json") if not p.name.startswith("samples_")]
    return samples, (results[0] if results else None), notes if others else ()


def _read_samples(
    file: Path, task: str, results: dict, choices: Choices, notes: tuple[str, ...]
) -> TaskScores:
    item_field = choices.item_field or next((f for part, f in ITEM_FIELDS.items() if part in task), None)
    records = list(_records(file, whole=item_field is not None))
    if not records:
        raise InputError(f"{file}: no samples in the file")
    _name_filters(records, results.get("results", {}).get(task, {}))
    metric, chosen_filter = _choose(task, records, choices, file)
    rows: list[dict] = []
    seen: dict[int, int] = {}
    for line, record in records:
        if record["filter"] != chosen_filter:
            continue
        doc = record["doc_id"]
        if doc in seen:
            raise InputError(f"{file}: line {line}: doc_id {doc} stands on line {seen[doc]} already "
                             f"(filter {chosen_filter}); one run has each document once")
        seen[doc] = line
        hashes = {name: record[name] for name in HASHES if name in record}
        document = record.get("doc")
        content = document.get(item_field) if item_field and isinstance(document, dict) else None
        hashes["content"] = str(content) if content is not None else hashes.get("doc_hash")
        value = _value(record.get(metric), metric, f"{file}: line {line}")
        if isinstance(value, list):  # one item per instruction, tied together by the document
            rows += [{"item": f"{doc}/{i}", "score": v, "cluster": f"{task}/{doc}", **hashes}
                     for i, v in enumerate(value)]
        else:
            rows.append({"item": str(doc), "score": value, **hashes})
    frame = pd.DataFrame(rows).set_index("item").assign(runs=1)
    if metric in PERPLEXITIES:
        pairs = np.array([v if isinstance(v, tuple) else (np.nan, np.nan) for v in frame["score"]])
        frame["score"] = pairs[:, 0] / np.nanmean(pairs[:, 1])  # their mean is Σ log-likelihood / Σ weight
    else:
        reported = results.get("results", {}).get(task, {}).get(f"{metric},{chosen_filter}")
        mean = frame["score"].mean()
        if isinstance(reported, float) and metric != "perplexity" and not abs(reported - mean) <= 1e-6:
            notes = (*notes, f"{task}: the items' mean of {metric} is {mean:.4g}, the harness reports "
                             f"{reported:.4g} (another aggregation, or missing values)")
    if frame["content"].isna().all():
        frame = frame.drop(columns="content")
    return TaskScores(frame, str(file), _direction(metric, task, results), _category(task, results), notes)


def _records(file: Path, whole: bool) -> Iterator[tuple[int, dict]]:
    """(line number, record). Of a long record only the end is parsed, which has all but the document and
    answers; `whole` forces everything. Records older than November 2024 lack filter and hashes and are parsed
    whole."""
    with file.open("rb") as lines:
        if lines.read(1) == b"[":
            lines.seek(0)
            for number, record in enumerate(_parse(lines.read(), file, 1), start=1):
                yield number, _with_hashes(record, file, number)
            return
        lines.seek(0)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                record = None if whole else _parse_end(line)
                yield number, record or _with_hashes(_parse(line, file, number), file, number)


def _parse_end(line: bytes) -> dict | None:
    """The last keys of a record as the harness writes it, or None where the line looks otherwise.

    Quotes inside strings are escaped, so `, "filter": "` is a key; the last one is the record's own, or else
    what follows is not valid JSON by itself.
    """
    head = re.match(rb'\{"doc_id": (\d+), ', line)
    start = line.rfind(b', "filter": "')
    if not head or start < 0:
        return None
    try:
        record = json.loads(b"{" + line[start + 2 :])
    except ValueError:
        return None
    return {"doc_id": int(head[1]), **record} if {"metrics", *HASHES} <= record.keys() else None


def _parse(text: bytes, file: Path, line: int):
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{file}: line {line}: not JSON ({error}); is the file complete?") from None


def _with_hashes(record: dict, file: Path, line: int) -> dict:
    """Add the hashes that newer versions of the harness log, computed the same way from the same fields."""
    if not isinstance(record, dict) or not isinstance(record.get("doc_id"), int):
        raise InputError(f"{file}: line {line}: not a sample of the harness (no whole-numbered doc_id)")
    if "doc" in record and "doc_hash" not in record:
        record["doc_hash"] = _sha256(json.dumps(record["doc"], indent=2, ensure_ascii=False))
    if "target" in record and "target_hash" not in record:
        record["target_hash"] = _sha256(str(record["target"]))
    return record


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _name_filters(records: list[tuple[int, dict]], reported: dict) -> None:
    """Logs older than November 2024 do not name the filter of a record. They list all documents for the first
    filter, then for the next: a document's n-th record belongs to the n-th filter that the results report."""
    if any("filter" in record for _, record in records):
        return
    filters = list(dict.fromkeys(key.split(",", 1)[1] for key in reported if "," in key))
    seen: dict[int, int] = {}
    for _, record in records:
        earlier = seen.get(record["doc_id"], 0)
        seen[record["doc_id"]] = earlier + 1
        record["filter"] = filters[earlier] if earlier < len(filters) else "none"


NOT_METRICS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
               *HASHES}


def _choose(task: str, records: list[tuple[int, dict]], choices: Choices, file: Path) -> tuple[str, str]:
    """The metric and filter of a task: as told, as the leaderboard has it, or the only one there is."""
    first = records[0][1]
    metrics = list(first.get("metrics") or [key for key in first if key not in NOT_METRICS])
    filters = list(dict.fromkeys(record["filter"] for _, record in records))
    metric, chosen_filter = choices.of(task)
    family = _family(task)
    if metric is None and family and DEFAULT_METRICS[family] in metrics:
        metric = DEFAULT_METRICS[family]
    for what, chosen, there in (("metric", metric, metrics), ("filter", chosen_filter, filters)):
        if chosen is not None and chosen not in there:
            raise InputError(f"{file}: {task} has no {what} {chosen} (asked for in {choices.source}); it has "
                             f"{', '.join(there)}")
        if chosen is None and len(there) != 1:
            example = f'{{"{task}": {{"metric": "{metric or metrics[0]}", "filter": "{filters[0]}"}}}}'
            how = f"with {choices.flags}" if choices.flags else f"in a task_metrics.json, e.g. {example}"
            raise InputError(f"{file}: {task} has several {what}s ({', '.join(there)}): say which {how}")
    return metric or metrics[0], chosen_filter or filters[0]


def _value(value, metric: str, where: str):
    """One logged metric value → float (NaN where missing), a list of floats (one per instruction), or, for a
    perplexity, the pair (log-likelihood, weight). Raises InputError for what has no mean over items."""
    if value is None:
        return np.nan
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("true", "false"):
            return float(text == "true")
        try:
            return float(text)
        except ValueError:
            raise InputError(f"{where}: {metric} = {value!r} is not a number") from None
    if isinstance(value, (bool, int, float)):
        return float(value)
    numbers = isinstance(value, list) and all(isinstance(v, (int, float)) for v in value)
    if metric in PERPLEXITIES and numbers and len(value) == 2:
        return tuple(map(float, value))
    truths = {True: 1.0, False: 0.0, "True": 1.0, "False": 0.0}
    if isinstance(value, list) and value and all(isinstance(v, (bool, str)) and v in truths for v in value):
        return [truths[v] for v in value]
    raise InputError(f"{where}: {metric} = {json.dumps(value)[:60]} is not a score of one item: {metric} is "
                     "computed over the whole corpus, choose a metric that is a mean over items")


def read_sample(
    line: str, file: Path, number: int, choices: Choices, chosen: tuple[str, str] | None
) -> tuple[dict | None, tuple[str, str]]:
    """One line of samples_<task>_<time>.jsonl by itself, as a file that is still growing gives them.

    → ({doc_id, score, hashes}, (metric, filter)), the first None where the record is of another filter than
    chosen. `chosen` is what the first line gave. Raises InputError where that leaves several filters open.
    """
    task, where = _sample_task(file), f"{file}: line {number}"
    told = choices.of(task)[1]
    record = _with_hashes(_parse(line.encode(), file, number), file, number)
    record.setdefault("filter", "none")
    metric, its_filter = chosen or _choose(task, [(number, {**record, "filter": told or record["filter"]})], choices,
                                           file)
    if record["filter"] != its_filter:
        if told is None:
            raise InputError(f"{where}: {task} has several filters ({its_filter}, {record['filter']}): say which in a "
                             f'task_metrics.json, e.g. {{"{task}": "{metric},{its_filter}"}}')
        return None, (metric, its_filter)
    hashes = {name: record[name] for name in HASHES if name in record}
    return {"doc_id": record["doc_id"], "score": record.get(metric), **hashes}, (metric, its_filter)


def sample_direction(file: Path, metric: str) -> bool | None:
    """Is a higher score better, by the results file beside the samples? None where there is none yet."""
    results = _find_run(file)[1]
    return _direction(metric, _sample_task(file), read_json(results)) if results else None


def _sample_task(file: Path) -> str:
    match = re.fullmatch(rf"samples_(.+)_({TIMESTAMP})\.jsonl?", file.name)
    if not match:
        raise InputError(f"{file}: neither a CSV nor a samples_<task>_<time>.jsonl file")
    return match[1]


def score_number(value, where: str) -> float:
    """One score from a CSV cell or a JSON value: a number, true/false, or NaN where it is missing."""
    if isinstance(value, str) and value.strip().lower() in MISSING:
        return float("nan")
    number = _value(value, "score", where)
    if not isinstance(number, float):
        raise InputError(f"{where}: a list is not one score")
    return number


def _direction(metric: str, task: str, results: dict) -> bool:
    """Is a higher item score better? Unless the results say otherwise, yes."""
    if metric in PERPLEXITIES or metric == "perplexity":
        return True  # what is logged per item is a log-likelihood, whatever the direction of the perplexity
    return bool(results.get("higher_is_better", {}).get(task, {}).get(metric, True))


def _family(task: str) -> str | None:
    """The leaderboard family of a task, from its name."""
    name = task.removeprefix("leaderboard_")
    return next((f for f in DEFAULT_METRICS if name == f or name.startswith(f + "_")), None)


def _category(task: str, results: dict) -> str | None:
    """The benchmark a task belongs to: its leaderboard family, else the smallest group that lists it."""
    family = _family(task)
    if family:
        return CATEGORY_NAMES[family]
    groups = {name: members for name, members in results.get("group_subtasks", {}).items() if task in members}
    return min(groups, key=lambda name: len(groups[name]), default=None)


# ---- chosen items ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """Items worth asking, {task: items}, chosen on runs of which {task: a fingerprint of each run} is kept.

    Chosen because they flipped in those runs, they flip in those runs more than by chance: a test on the same
    runs would mean nothing, and `restrict` refuses it.
    """

    tasks: dict[str, list[str]]
    made_from: dict[str, list[str]]
    source: str

    @classmethod
    def read(cls, path: Path | str) -> Selection:
        """From a selection.json of `mcnemar_tests.py flips`."""
        content = read_json(path)
        try:
            tasks = {task: [str(item) for item in items] for task, items in content["tasks"].items()}
            made_from = {task: list(content["fingerprints"][task]) for task in tasks}
        except (TypeError, KeyError, AttributeError):
            raise InputError(f"{path}: not a selection.json of mcnemar_tests.py flips") from None
        return cls(tasks, made_from, str(path))

    def restrict(self, run: dict[str, TaskScores], name: str) -> dict[str, TaskScores]:
        """One run on the chosen items only. Raises InputError where the items were chosen on this run."""
        kept = {task: scores for task, scores in run.items() if self.tasks.get(task)}
        if not kept:
            raise InputError(f"{name}: none of its tasks ({', '.join(run)}) is in {self.source}")
        chosen, same = {}, set(range(len(next(iter(self.made_from.values())))))
        for task, scores in kept.items():
            # An item that the run lacks is one without a score, so that it is counted.
            frame = scores.frame.reindex(self.tasks[task])
            frame["runs"] = frame["runs"].fillna(0).astype(int)
            mark = fingerprint(frame["score"])
            same &= {i for i, other in enumerate(self.made_from[task]) if other == mark}
            chosen[task] = replace(scores, frame=frame)
        if same:
            raise InputError(f"{name}: the items of {self.source} were chosen on this very run, so a test on it means "
                             "nothing: run the model again, with another seed")
        return chosen


def fingerprint(scores: pd.Series) -> str:
    """Of one run on the chosen items of a task, whatever their order and whichever file they stand in."""
    return _sha256("\n".join(f"{item}\t{score:g}" for item, score in sorted(scores.items())))


# ---- lists of models, matrices -----------------------------------------------------------------------------


def read_json(path: Path | str):
    """The content of a JSON file. Raises InputError where it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error})") from None


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
    from .responses import read_matrix

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


# ---- pairing -----------------------------------------------------------------------------------------------


def pair_up(
    baseline: TaskScores, candidate: TaskScores, task: str = ONLY_TASK, max_excluded: float = MAX_EXCLUDED
) -> Pairs:
    """Match two models on one task, item by item.

    Items that only one model has, or that lack a score in either, are left out and counted. Raises InputError
    where they are more than `max_excluded` of all items, where the documents or targets of the two differ,
    where clusters differ, and where the models disagree on which direction is better.
    """
    names = (baseline.source, candidate.source)
    if baseline.higher_is_better != candidate.higher_is_better:
        raise InputError(f"{task}: {names[0]} and {names[1]} disagree on whether a higher score is better")
    notes = [*baseline.notes, *candidate.notes]
    notes += check_same_questions(baseline.frame, candidate.frame, *names)
    both = baseline.frame.join(candidate.frame.add_suffix("_candidate"), how="inner")
    scored = both["score"].notna() & both["score_candidate"].notna()
    reasons = {
        "only in the baseline": baseline.frame.index.difference(both.index, sort=False),
        "only in the candidate": candidate.frame.index.difference(both.index, sort=False),
        "no score in the baseline": both.index[both["score"].isna()],
        "no score in the candidate": both.index[both["score"].notna() & both["score_candidate"].isna()],
    }
    left_out = {reason: tuple(map(str, items)) for reason, items in reasons.items() if len(items)}
    excluded = {reason: len(items) for reason, items in left_out.items()}
    union = len(baseline.frame.index.union(candidate.frame.index, sort=False))
    kept = both[scored]
    if sum(excluded.values()) > max_excluded * union or kept.empty:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in excluded.items())
        raise InputError(f"{task}: only {len(kept):,} of {union:,} items can be compared ({reasons}) in "
                         f"{names[0]} and {names[1]}; complete the runs, or allow more with --max-excluded "
                         f"(now {max_excluded:g})")
    runs = kept["runs"], kept["runs_candidate"]
    if any(r.min() != r.max() for r in runs) or runs[0].max() != runs[1].max():
        spans = [f"{r.min()}" if r.min() == r.max() else f"{r.min()} to {r.max()}" for r in runs]
        notes.append(f"{task}: unequal numbers of runs: {spans[0]} per item in the baseline, {spans[1]} in "
                     "the candidate; each item is averaged over the runs it has")
    ties = next((c for c in ("cluster", "cluster_candidate", "content") if c in kept), None)
    repeated = int(kept["content"].duplicated().sum()) if ties == "content" else 0
    if repeated:
        notes.append(f"{task}: {repeated} items repeat another's question and are tested as one unit with it")
    return Pairs(
        task=task, items=kept.index.to_numpy(), baseline=kept["score"].to_numpy(float),
        candidate=kept["score_candidate"].to_numpy(float),
        units=None if ties is None else kept[ties].to_numpy(), higher_is_better=baseline.higher_is_better,
        category=baseline.category or candidate.category,
        left_out=left_out, notes=tuple(dict.fromkeys(notes)),
    )


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
