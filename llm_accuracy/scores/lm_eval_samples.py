"""The samples files of lm-evaluation-harness: one record a document and filter, read line by line into a task's scores.

Also used on files that are still growing (`read_sample`, by the command watch).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import check_depth, numbered_lines, parse_json, reading
from .contract import plain
from .score_values import PERPLEXITIES, logged_value
from .task_scores import Account, Choices, _sha256

HASHES = ("doc_hash", "target_hash", "prompt_hash")
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?"
SAMPLES = re.compile(rf"samples_(.+)_({TIMESTAMP})\.jsonl?(?:\.gz)?")
NO_VALUE = "null, NaN or a word for a missing score"

# The metric of each Open LLM Leaderboard task; for any other task with several metrics, one must be chosen.
DEFAULT_METRICS = {"bbh": "acc_norm", "gpqa": "acc_norm", "musr": "acc_norm", "mmlu_pro": "acc",
                   "math": "exact_match", "ifeval": "prompt_level_strict_acc"}
# doc field that names a question where subsets of one data set shuffle their options, so that hashes differ.
ITEM_FIELDS = {"gpqa": "Record ID"}
NOT_METRICS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", *HASHES}


Samples = tuple[pd.DataFrame, Account, tuple[str, str]]


def read_samples(file: Path, task: str, reported: dict, choices: Choices) -> Samples:
    """(frame of TaskScores, what was read, (metric, filter)) of one samples file; `reported` is the task's entry in the
    results. Raises InputError for anything that is not a sample, and if the metric or filter is ambiguous."""
    item_field = choices.item_field or next((f for part, f in ITEM_FIELDS.items() if part in task), None)
    records = list(_records(file, whole=item_field is not None))
    if not records:
        raise InputError(f"{file}: no samples in the file")
    _name_filters(records, reported, file)
    metric, chosen = choose(task, records, choices, file)
    documents: dict[int, tuple[int, dict]] = {}
    repeated = 0
    for line, record in records:
        if record["filter"] != chosen:
            continue
        doc = record["doc_id"]
        if doc in documents:
            before, same = documents[doc]
            if repr(same) != repr(record):  # NaN is itself here
                raise InputError(f"{file}: line {line}: doc_id {doc} is already on line {before} (filter {chosen}) "
                                 f"with "
                                 "another answer; a run must have each document once")
            repeated += 1
            continue
        documents[doc] = line, record
    rows: list[dict] = []
    blank = 0
    for doc, (line, record) in documents.items():
        value = logged_value(value_of(record, metric), metric, f"{file}: line {line}", choices.values)
        hashes = _fingerprints(record, item_field)
        if isinstance(value, list):  # one item per instruction, tied together by the document
            rows += [{"item": f"{doc}/{i}", "score": v, "cluster": f"{task}/{doc}", **hashes}
                     for i, v in enumerate(value)]
        else:
            blank += isinstance(value, float) and np.isnan(value)
            rows.append({"item": str(doc), "score": value, **hashes})
    frame = pd.DataFrame(rows).set_index("item").assign(runs=1)
    if metric in PERPLEXITIES:
        pairs = np.array([v if isinstance(v, tuple) else (np.nan, np.nan) for v in frame["score"]])
        weight = np.nanmean(pairs[:, 1]) if np.isfinite(pairs[:, 1]).any() else np.nan
        frame["score"] = pairs[:, 0] / weight  # their mean is Σ log-likelihood / Σ weight
    frame["score"] = frame["score"].astype(float)
    account = Account(scored=len(documents) - blank, blank={NO_VALUE: blank} if blank else {},
                      left_out={"lines that repeat an answer word for word": repeated} if repeated else {})
    return frame, account, (metric, chosen)


def _fingerprints(record: dict, item_field: str | None) -> dict:
    hashes: dict[str, str | None] = {name: plain(record[name]) for name in HASHES if record.get(name) is not None}
    document = record.get("doc")
    content = document.get(item_field) if item_field and isinstance(document, dict) else None
    hashes["content"] = plain(content) if content is not None else hashes.get("doc_hash")
    return hashes


def value_of(record: dict, metric: str):
    """A metric's value in a record; `metric.key` is an entry of a dictionary."""
    if metric in record:
        return record[metric]
    base, _, key = metric.partition(".")
    value = record.get(base)
    return value.get(key) if isinstance(value, dict) else None


def _records(file: Path, whole: bool) -> Iterator[tuple[int, dict]]:
    """(line number, record). Of a long record only the end is parsed, which has everything but the document and the
    answers; `whole` forces a full parse. Records older than November 2024 lack filter and hashes and are always
    parsed in full."""
    with reading(file) as lines:
        if lines.peek(1)[:1] == b"[":  # type: ignore[attr-defined]
            for number, record in enumerate(parse_json(lines.read(), f"{file}: line 1"), start=1):
                yield number, _with_hashes(record, file, number)
            return
        for number, line in numbered_lines(lines, str(file)):
            if line.strip():
                check_depth(line, f"{file}: line {number}")
                record = None if whole else _parse_end(line)
                yield number, record or _with_hashes(parse_json(line, f"{file}: line {number}"), file,
                                                       number)


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


def _with_hashes(record: dict, file: Path, line: int) -> dict:
    """Add the hashes that newer versions of the harness log, computed the same way from the same fields."""
    if not isinstance(record, dict) or type(record.get("doc_id")) is not int:
        raise InputError(f"{file}: line {line}: not a sample of the harness (no whole-numbered doc_id)")
    if "doc" in record and record.get("doc_hash") is None:
        record["doc_hash"] = _sha256(json.dumps(record["doc"], indent=2, ensure_ascii=False))
    if "target" in record and record.get("target_hash") is None:
        record["target_hash"] = _sha256(str(record["target"]))
    return record


def _name_filters(records: list[tuple[int, dict]], reported: dict, file: Path) -> None:
    """Logs older than November 2024 do not name the filter of a record. They list all documents for the first
    filter, then for the next: a document's n-th record belongs to the n-th filter that the results report."""
    named = [isinstance(record.get("filter"), str) for _, record in records]
    if all(named):
        return
    if any(named):
        line = records[named.index(False)][0]
        raise InputError(f"{file}: line {line}: this sample names no filter and others do: the file is damaged")
    filters = list(dict.fromkeys(key.split(",", 1)[1] for key in reported if "," in key))
    seen: dict[int, int] = {}
    for _, record in records:
        earlier = seen.get(record["doc_id"], 0)
        seen[record["doc_id"]] = earlier + 1
        record["filter"] = filters[earlier] if earlier < len(filters) else "none"


def choose(task: str, records: list[tuple[int, dict]], choices: Choices, file: Path) -> tuple[str, str]:
    """The metric and filter of a task: the chosen ones, the leaderboard's, or the only ones."""
    first = records[0][1]
    listed = first.get("metrics")
    if listed is not None and not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
        raise InputError(f"{file}: line {records[0][0]}: metrics is {json.dumps(listed)[:40]}, not a list of names")
    metrics = list(listed or [key for key in first if key not in NOT_METRICS])
    if not metrics:
        raise InputError(f"{file}: line {records[0][0]}: no metric in the sample")
    filters = list(dict.fromkeys(record["filter"] for _, record in records))
    metric, chosen_filter = choices.of(task)
    its_family = family(task)
    if metric is None and its_family and DEFAULT_METRICS[its_family] in metrics:
        metric = DEFAULT_METRICS[its_family]
    keys = [f"{name}.{key}" for name in metrics if isinstance(first.get(name), dict) for key in first[name]]
    for what, flag, chosen, there in (("metric", "--metric", metric, metrics),
                                      ("filter", "--filter", chosen_filter, filters)):
        if chosen is not None and chosen not in there and not (what == "metric" and chosen in keys):
            raise InputError(f"{file}: {task} has no {what} {chosen} (asked for in {choices.source}); it has "
                             f"{', '.join(there + keys * (what == 'metric'))}")
        if chosen is None and len(there) != 1:
            example = f'{{"{task}": {{"metric": "{metric or metrics[0]}", "filter": "{filters[0]}"}}}}'
            how = f"with {choices.flags}" if choices.flags else f"with {flag} or in a task_metrics.json, e.g. {example}"
            raise InputError(f"{file}: {task} has several {what}s ({', '.join(there)}): say which {how}")
    return metric or metrics[0], chosen_filter or filters[0]


def family(task: str) -> str | None:
    """The leaderboard family of a task, from its name."""
    name = task.removeprefix("leaderboard_")
    return next((f for f in DEFAULT_METRICS if name == f or name.startswith(f + "_")), None)


# ---- a growing file ------------------------------------------------------------------------------------------

def read_sample(
    line: str, file: Path, number: int, choices: Choices, chosen: tuple[str, str] | None
) -> tuple[dict | None, tuple[str, str]]:
    """A single line of samples_<task>_<time>.jsonl, from a file that may still be growing.

    → ({doc_id, score, hashes}, (metric, filter)), the first None if the record has another filter than the
    chosen one. `chosen` is what the first line returned. Raises InputError if several filters remain possible.
    """
    task, where = sample_task(file), f"{file}: line {number}"
    told = choices.of(task)[1]
    record = _with_hashes(parse_json(line.encode(), where), file, number)
    if not isinstance(record.get("filter"), str):
        record["filter"] = "none"
    metric, its_filter = chosen or choose(task, [(number, {**record, "filter": told or record["filter"]})], choices,
                                           file)
    if record["filter"] != its_filter:
        if told is None:
            raise InputError(f"{where}: {task} has several filters ({its_filter}, {record['filter']}): say which "
                             f"with --filter or in a "
                             f'task_metrics.json, e.g. {{"{task}": "{metric},{its_filter}"}}')
        return None, (metric, its_filter)
    hashes = {name: record[name] for name in HASHES if record.get(name) is not None}
    return {"doc_id": record["doc_id"], "score": value_of(record, metric), **hashes}, (metric, its_filter)


def sample_task(file: Path) -> str:
    match = SAMPLES.fullmatch(file.name)
    if not match:
        raise InputError(f"{file}: neither a CSV nor a samples_<task>_<time>.jsonl file")
    return match[1]
