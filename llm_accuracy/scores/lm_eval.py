"""Logs of lm-evaluation-harness 0.4 with --log_samples: results_<time>.json beside samples_<task>_<time>.jsonl.

Read as one model's scores by task (`read_harness`), line by line during the run (`read_sample`), and as tables of
answers for a matrix (`read_lm_eval`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import read_json
from .answers import AnswerTable, Wanted, table_of
from .score_values import PERPLEXITIES, logged_value
from .task_scores import Choices, TaskScores, _sha256

HASHES = ("doc_hash", "target_hash", "prompt_hash")
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?"

# The metric of each Open LLM Leaderboard task; for any other task with several metrics, one must be chosen.
DEFAULT_METRICS = {"bbh": "acc_norm", "gpqa": "acc_norm", "musr": "acc_norm", "mmlu_pro": "acc",
                   "math": "exact_match", "ifeval": "prompt_level_strict_acc"}
CATEGORY_NAMES = {"bbh": "BBH", "gpqa": "GPQA", "musr": "MuSR", "mmlu_pro": "MMLU-Pro", "math": "MATH",
                  "ifeval": "IFEval"}
# doc field that names a question where subsets of one data set shuffle their options, so that hashes differ.
ITEM_FIELDS = {"gpqa": "Record ID"}
LOOSE_IFEVAL = "prompt_level_loose_acc"


def read_harness(
    path: Path | str, choices: Choices | None = None, only: str | None = None
) -> dict[str, TaskScores]:
    """{task: TaskScores} of one run of lm-evaluation-harness.

    `path` is the output folder (searched recursively), one results_*.json, or one samples_*.jsonl. Where a
    folder holds several runs (timestamps) the latest is read and the others are named in the notes; they are
    never mixed. Raises InputError if the metric or filter of a task is ambiguous, for duplicate items, and
    for metrics that are not means over items.
    """
    choices = choices or Choices()
    samples, results_path, notes = _find_run(Path(path))
    results = read_json(results_path) if results_path else {}
    if not isinstance(results, dict):
        raise InputError(f"{results_path}: not a results file of the harness: expected a JSON object")
    if not results:
        notes = (*notes, f"{path}: no results file next to the samples; higher scores are assumed to be better")
    return {task: _read_samples(file, task, results, choices, notes)
            for task, file in sorted(samples.items()) if only in (None, task) or only not in samples}


def recognises(path: Path) -> bool:
    """Whether `read_harness` reads a file or folder: any folder that no other reader recognises."""
    return path.is_dir() or path.suffix in (".json", ".jsonl")


def read_runs(path: Path, choices: Choices, only: str | None, latest: bool) -> dict[str, dict[str, TaskScores]]:
    """{name of the run: {task: TaskScores}}: every timestamp of an output folder by itself, or the last if `latest`.

    Raises InputError for a folder with results of several models, and as `read_harness` does.
    """
    if path.is_file() or latest:
        return {str(path): read_harness(path, choices, only)}
    results = [file for file in sorted(path.rglob("*.json")) if re.search(rf"_{TIMESTAMP}\.json$", file.name)
               and not file.name.startswith("samples_")]
    if len({file.parent for file in results}) > 1:
        folders = ", ".join(sorted({str(file.parent) for file in results}))
        raise InputError(f"{path}: results of several models ({folders}); name one of them")
    return {str(file): read_harness(file, choices, only) for file in results or [path]}


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
            raise InputError(f"{file}: line {line}: doc_id {doc} is already on line {seen[doc]} "
                             f"(filter {chosen_filter}); a run must have each document once")
        seen[doc] = line
        hashes = {name: record[name] for name in HASHES if name in record}
        document = record.get("doc")
        content = document.get(item_field) if item_field and isinstance(document, dict) else None
        hashes["content"] = str(content) if content is not None else hashes.get("doc_hash")
        value = logged_value(record.get(metric), metric, f"{file}: line {line}")
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
    """(line number, record). Of a long record only the end is parsed, which has everything but the document and the
    answers; `whole` forces a full parse. Records older than November 2024 lack filter and hashes and are always
    parsed in full."""
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
    """The last keys of a record as the harness writes it, or None if the line has another form.

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
    """The metric and filter of a task: the chosen ones, the leaderboard's, or the only ones."""
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


def read_sample(
    line: str, file: Path, number: int, choices: Choices, chosen: tuple[str, str] | None
) -> tuple[dict | None, tuple[str, str]]:
    """A single line of samples_<task>_<time>.jsonl, from a file that may still be growing.

    → ({doc_id, score, hashes}, (metric, filter)), the first None if the record has another filter than the
    chosen one. `chosen` is what the first line returned. Raises InputError if several filters remain possible.
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
    """Whether a higher score is better, according to the results file next to the samples; None without one."""
    results = _find_run(file)[1]
    return _direction(metric, _sample_task(file), read_json(results)) if results else None


def _sample_task(file: Path) -> str:
    match = re.fullmatch(rf"samples_(.+)_({TIMESTAMP})\.jsonl?", file.name)
    if not match:
        raise InputError(f"{file}: neither a CSV nor a samples_<task>_<time>.jsonl file")
    return match[1]


def _direction(metric: str, task: str, results: dict) -> bool:
    """Whether a higher item score is better: yes, unless the results say otherwise."""
    if metric in PERPLEXITIES or metric == "perplexity":
        return True  # items are logged as log-likelihoods, even where a lower perplexity is better
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


# ---- for a matrix ------------------------------------------------------------------------------------------

def matrix_choices(wanted: Wanted) -> Choices:
    """Metric and filter of every task, as in the histories of the leaderboard unless they are chosen."""
    known = {} if wanted.metric else {"leaderboard_ifeval*": (LOOSE_IFEVAL, wanted.filter)}
    return Choices({**known, "*": (wanted.metric, wanted.filter)}, source="--metric and --filter",
                   flags="--metric or --filter")


def scores_of_samples(task: str, samples: list[dict], choices: Choices, source: str) -> dict[int, float]:
    """{doc_id: score} of a task's samples as the harness returns them in process, by the same metric and filter as in
    its logs. Raises InputError where these are ambiguous or no score of one question in [0, 1]."""
    records = [(number, record) for number, record in enumerate(samples, start=1)]
    metric, chosen_filter = _choose(task, records, choices, Path(source))
    scores: dict[int, float] = {}
    for _, record in records:
        if record["filter"] != chosen_filter:
            continue
        value: Any = record.get(metric)
        where = f"{source}: {task}/{record['doc_id']}"
        score = logged_value(value.item() if hasattr(value, "item") else value, metric, where)
        if not isinstance(score, float) or not 0 <= score <= 1:
            raise InputError(f"{where}: {metric} = {value!r:.40} is not one score in [0, 1]: choose another with "
                             "--metric")
        scores[int(record["doc_id"])] = score
    return scores


def read_lm_eval(folder: Path, wanted: Wanted, notes: list[str]) -> Iterator[AnswerTable]:
    """Output of lm-evaluation-harness (`--log_samples`): every subfolder with samples_<task>_<time>.jsonl is
    one model, of which the newest run is read; its name is the one in results_<time>.json, else the folder's.

    IFEval is scored as in the histories of the leaderboard, by its loose accuracy, unless a metric is chosen.
    """
    choices = matrix_choices(wanted)
    for where in sorted({path.parent for path in folder.rglob("samples_*.json*")} if folder.is_dir() else ()):
        tasks = read_harness(where, choices)
        for task, scores in tasks.items():
            notes += [note for note in scores.notes if note not in notes]
            name = _model_name(Path(scores.source)) or where.name
            yield table_of(name, task, scores.source, scores.frame["score"].to_dict())


def read_fingerprints(folder: Path, contents: dict[str, str], prompts: dict[str, str]) -> None:
    """Add {task/doc_id: doc_hash} and {task/doc_id: prompt_hash} of every model's newest run in a folder.

    Raises InputError where two models' logs differ in the content of a question; where they differ in a prompt, the
    first one counts.
    """
    for where in sorted({path.parent for path in folder.rglob("samples_*.json*")}):
        for task, file in _find_run(where)[0].items():
            for line, record in _records(file, whole=False):
                name = f"{task}/{record['doc_id']}"
                if (content := record.get("doc_hash")) and contents.setdefault(name, content) != content:
                    raise InputError(f"{file}: line {line}: question {name} has another content than in another log of "
                                     f"{folder}: different versions of the task cannot be one history")
                if prompt := record.get("prompt_hash"):
                    prompts.setdefault(name, prompt)


def _model_name(samples: Path) -> str | None:
    """The model's name in the results file that belongs to a samples file."""
    results = samples.with_name(f"results_{samples.stem.rsplit('_', 1)[1]}.json")
    return read_json(results).get("model_name") if results.is_file() else None
