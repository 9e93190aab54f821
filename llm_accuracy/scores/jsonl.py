"""JSONL of any program: one JSON object a line, with a key for the question and one for its score.

    {"id": "q7", "score": 1, "task": "sums", "model": "org/m", "run": 1, "cluster": "c", "input": …, "target": …}

Only id and score are needed. `--id` and `--score` name other keys; a key with dots leads into objects
(`metrics.acc`). A split is chosen with `--filter`, `higher_is_better` may be there, and a record with an `error`
crashed. Other keys are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import numbered_lines, parse_json, reading
from ..redaction import redacted
from .columns import FLAGS, NO_ERROR, PRINTS, rows_of_one
from .contract import Reading, checked, crashes, plain
from .lm_eval_runs import is_old_sample
from .lm_eval_samples import SAMPLES
from .score_values import logged_value
from .task_scores import ONLY_TASK, Account, Choices, TaskScores, digest

ENDINGS = (".jsonl", ".jsonl.gz")
ID_KEYS = ("prompt_id", "id", "question_id", "item_id", "sample_id", "doc_id", "task_id")
_LABELS = ("model", "task", "run", "cluster", "split", "metric")
_DIRECTION, _OTHER_DIRECTION = "higher_is_better", "lower_is_better"
_KNOWN = {*_LABELS, *chain(*PRINTS.values()), _DIRECTION, _OTHER_DIRECTION, "error"}
_ABSENT = object()


def recognises(path: Path) -> bool:
    """Whether a path is such a file, or a folder that holds one and no logs of a framework."""
    if path.is_dir():
        return bool(_files(path)) and not any(path.glob("*results*.json"))
    return path.name.endswith(ENDINGS) and not SAMPLES.fullmatch(path.name) and not is_old_sample(path)


def _files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.name.endswith(ENDINGS) and file.is_file())
    return [] if any(SAMPLES.fullmatch(file.name) for file in files) else files


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every model and task of a file, or of the files of a folder. Several runs in one file are averaged, with a line.

    Raises InputError, with the line, for anything that is no JSON object or has no id or no score key, for a question
    given twice in a run, and where the key of the id or the score is not known.
    """
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no .jsonl and no .jsonl.gz here")
    reading_ = Reading()
    tables = {file: _table(file, choices, reading_.notes) for file in files}
    wanted = choices.wanted((task for table in tables.values() for task in table["task"].unique()), path)
    for file, table in tables.items():
        for (model, task), rows in table.groupby(["model", "task"], sort=False):
            if task in wanted:
                reading_.logs.append(checked(_log(file, str(model), str(task), rows, choices), choices))
    return reading_


def _table(file: Path, choices: Choices, notes: list[str]) -> pd.DataFrame:
    """All records of a file: item, score, model, task, run, cluster and fingerprints (None where it has none)."""
    rows: list[dict[str, Any]] = []
    keys: _Keys | None = None
    for number, record in _records(file):
        where = f"{file}: line {number}"
        if keys is None:
            keys = _keys(record, choices, where, notes)
            notes += _unread(record, keys, choices, file)
        rows.append({"line": number, **_row(record, keys, where, choices)})
    if not rows:
        raise InputError(f"{file}: no records in the file")
    table = pd.DataFrame(rows).dropna(axis=1, how="all").assign(score=[row["score"] for row in rows])
    table = _all_or_none(table, file)
    for name in ("split", "metric"):
        table = _one_of(name, table, file, choices, notes)
    return table


def _all_or_none(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Raise InputError for a label that some records have and others lack."""
    for name in (*_LABELS, _DIRECTION):
        if name in table and (lacking := table[name].isna()).any():
            raise InputError(f"{file}: line {table['line'][lacking].iloc[0]}: no {name}, and other records have one")
    defaults = {"model": "", "task": ONLY_TASK}
    return table.assign(**{name: default for name, default in defaults.items() if name not in table})


def _one_of(name: str, table: pd.DataFrame, file: Path, choices: Choices, notes: list[str]) -> pd.DataFrame:
    """The records of one split, or of one metric, of each task, where records name one; --filter or --metric
    chooses."""
    flag = FLAGS[name]

    def refused(task: str, there: list[str], wanted: str | None) -> str:
        known = ", ".join(there[:6])
        return (f"{file}: {task} has several {name}s ({known}): choose one with {flag}" if wanted is None else
                f"{file}: {task} has no {name} {wanted} ({flag}); it has {known}")

    return rows_of_one(name, table, choices, refused, lambda task, left, wanted: notes.append(
        f"{file}: {task}: {left:,} records of other {name}s are left out ({flag} {wanted})"))


def _records(file: Path) -> Iterator[tuple[int, dict]]:
    with reading(file) as stream:
        for number, line in numbered_lines(stream, str(file)):
            if not line.strip():
                continue
            record = parse_json(line, f"{file}: line {number}")
            if not isinstance(record, dict):
                raise InputError(f"{file}: line {number}: a {type(record).__name__}, not a JSON object; each line is "
                                 "one answer")
            yield number, record


@dataclass(frozen=True)
class _Keys:
    item: str
    score: str


def _keys(record: dict, choices: Choices, where: str, notes: list[str]) -> _Keys:
    """Which keys name the question and hold the score, by the first record. Raises InputError where it is open."""
    there = ", ".join(map(str, record))[:200]
    item = choices.id_key
    if item is None:
        known = [key for key in ID_KEYS if key in record]
        if len(known) != 1:
            raise InputError(f"{where}: {'several keys' if known else 'no key'} that may name the question "
                             f"({', '.join(known) or there}): say which with --id KEY")
        item = known[0]
        notes.append(f"{where.rpartition(': ')[0]}: questions are named by {item} (--id chooses another key)")
    score = choices.score_key or "score"
    if _at(record, score) is _ABSENT and not (score != "error" and _crashed(record, where)):
        raise InputError(f"{where}: no key {score}; say which holds the score with --score KEY: {there}")
    return _Keys(item, score)


def _unread(record: dict, keys: _Keys, choices: Choices, file: Path) -> list[str]:
    """A line for the keys that nothing is made of, by the first record."""
    used = {key.partition(".")[0] for key in (keys.item, keys.score, choices.item_field or keys.item)}
    others = [plain(key) for key in record if key not in _KNOWN | used | {keys.item, keys.score}]
    said = f"{file}: {len(others)} keys are not read: {', '.join(others[:6])}{' …' * (len(others) > 6)}"
    return [said] * bool(others)


def _at(record: dict, key: str) -> Any:
    """The value of a key: the key as it stands, else the way through objects that its dots describe."""
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _row(record: dict, keys: _Keys, where: str, choices: Choices) -> dict[str, Any]:
    crashed = keys.score != "error" and _crashed(record, where)
    item, value = _at(record, keys.item), _at(record, keys.score)
    if item is _ABSENT or isinstance(item, (dict, list, bool, float)) or item is None or not str(item).strip():
        said = "is absent" if item is _ABSENT else f"is {json.dumps(item)[:40]}"
        raise InputError(f"{where}: {keys.item} {said}: every answer needs the name of its question")
    if crashed:
        value = 0 if choices.errors == "wrong" else None
    elif value is _ABSENT:
        raise InputError(f"{where}: no key {keys.score}; a missing score is null")
    if isinstance(value, dict) and value and not crashed:
        raise InputError(f"{where}: {keys.score} holds several scores ({', '.join(map(str, value))[:100]}): take one "
                         f"with --score {keys.score}.KEY")
    score = float(value) if crashed and value is not None else logged_value(value, keys.score, where, choices.values)
    if not isinstance(score, float):
        raise InputError(f"{where}: {keys.score} = {json.dumps(value)[:60]} is not one score")
    row: dict[str, Any] = {"item": plain(item), "score": score, "crashed": crashed}
    lower = record.get(_OTHER_DIRECTION, _ABSENT)
    if lower is not _ABSENT:
        row[_DIRECTION] = not lower if isinstance(lower, bool) else f"unknown ({_OTHER_DIRECTION} is {lower})"
    if _DIRECTION in record:
        higher = record[_DIRECTION] if isinstance(record[_DIRECTION], bool) else str(record[_DIRECTION])
        both = f"{higher}, and {_OTHER_DIRECTION} {lower}"
        row[_DIRECTION] = higher if row.get(_DIRECTION, higher) == higher else both
    for name in _LABELS:
        if name in (keys.score, keys.score.partition(".")[0]) or (label := record.get(name)) is None:
            continue
        if isinstance(label, (dict, list, bool)) or not str(label).strip():
            raise InputError(f"{where}: {name} is {json.dumps(label)[:40]}: a name is needed, or leave the key out")
        row[name] = plain(redacted(label))
    return row | _fingerprints(record, choices.item_field)


def _crashed(record: dict, where: str) -> bool:
    """Whether a record has an error: a text, an object or true; null, false, a blank and what is no error in a CSV
    (columns.py) are none."""
    error = record.get("error")
    if isinstance(error, (int, float)) and not isinstance(error, bool):
        raise InputError(f"{where}: error is {json.dumps(error)}, and a crash is a text or an object: if it is a "
                         "score, say so with --score error, else call the key something else")
    return error.strip().lower() not in NO_ERROR if isinstance(error, str) else bool(error)


def _fingerprints(record: dict, item_field: str | None) -> dict[str, str]:
    prints = {}
    for column, keys in PRINTS.items():
        if (key := next((key for key in keys if record.get(key) is not None), None)) is not None:
            prints[column] = digest(record[key])
    content = _at(record, item_field) if item_field else _ABSENT
    if content is not _ABSENT and content is not None:
        prints["content"] = plain(content)
    elif "doc_hash" in prints:
        prints["content"] = prints["doc_hash"]
    return prints


def _direction(file: Path, task: str, rows: pd.DataFrame, choices: Choices) -> bool:
    """Whether a higher score is better: what the user says, else what the records say, else it is."""
    said = choices.direction(_metric(rows, choices))
    if said is not None or _DIRECTION not in rows:
        return True if said is None else said
    found = rows[_DIRECTION].unique().tolist()
    if len(found) > 1 or not isinstance(found[0], bool):
        raise InputError(f"{file}: {task}: {_DIRECTION} is {', '.join(map(str, found))[:60]}: say it with "
                         "--higher-is-better true or false")
    return found[0]


def _metric(rows: pd.DataFrame, choices: Choices) -> str:
    """What the score is: what the records call it, else the name of its key."""
    return str(rows["metric"].iloc[0]) if "metric" in rows else choices.score_key or "score"


def _log(file: Path, model: str, task: str, rows: pd.DataFrame, choices: Choices) -> TaskScores:
    """One model's answers to one task, its runs averaged."""
    runs = rows["run"].fillna("") if "run" in rows else pd.Series("", rows.index)
    twice = pd.DataFrame({"item": rows["item"], "run": runs}).duplicated()
    if twice.any():
        odd = rows[twice].iloc[0]
        hint = "" if "run" in rows else "; if it is a second run, add a key run"
        raise InputError(f"{file}: line {odd['line']}: question {odd['item']} is given twice{hint}")
    for column in ("cluster", "doc_hash", "target_hash"):
        if column in rows and (several := rows.groupby("item")[column].transform("nunique") > 1).any():
            odd = rows[several].iloc[0]
            raise InputError(f"{file}: line {odd['line']}: question {odd['item']} has more than one "
                             f"{column.replace('doc_hash', 'document').replace('_hash', '')}")
    if "cluster" in rows and rows["cluster"].isna().any():
        odd = rows[rows["cluster"].isna()].iloc[0]
        raise InputError(f"{file}: line {odd['line']}: no cluster, and other records have one")
    by_item = rows.groupby("item", sort=False)
    columns = [c for c in ("cluster", "content", "doc_hash", "target_hash", "prompt_hash") if c in rows]
    frame = by_item["score"].agg(score="mean", runs="count").join(by_item[columns].first())
    many = runs.nunique()
    notes: tuple[str, ...] = (f"{task}: {many} runs in {file.name}, averaged",) if many > 1 else ()
    for column, what in (("doc_hash", "document"), ("target_hash", "target")):
        if column in rows and (partly := int(by_item[column].count().between(1, by_item.size() - 1).sum())):
            notes += (f"{task}: {partly:,} questions have a {what} in some of their runs only: the other runs are "
                      "taken to be about the same question by its name",)
    notes += crashes(task, int(rows["crashed"].sum()), choices)
    blank = int(rows["score"].isna().sum())
    return TaskScores(frame, str(file), _direction(file, task, rows, choices), None, notes, model=model, task=task,
                      folder=str(file.parent), metric=_metric(rows, choices),
                      account=Account(len(rows) - blank, {"null or a word for missing": blank} if blank else {}))
