"""Results of promptfoo (`promptfoo eval -o out.json` or out.jsonl), version 3 of its layout.

    results.results[]   one answer: testIdx, promptIdx, provider, vars, testCase.assert, success, score, failureReason
    results.prompts[]   one column, a provider with a prompt: its label, provider and counts

A column is a model. With --repeat a test is listed again under a number of its own, so a test is known by its content:
its variables and assertions. The JSONL has the answers only.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import numbered_lines, parse_json, read_json, reading
from ..redaction import redacted
from .contract import Reading, checked, crashes, plain
from .score_values import logged_value
from .task_scores import ONLY_TASK, Account, Choices, TaskScores, _sha256

LAYOUT = 3
_CRASHED = 2  # promptfoo's failureReason of a provider that gave no answer; 1 is a failed assertion
_NEEDED = ("promptIdx", "testIdx", "provider", "testCase", "success", "score")


def recognises(path: Path) -> bool:
    """Whether a path is such a file or a folder that holds one, by how it begins."""
    if path.is_dir():
        return bool(_files(path))
    if not path.is_file() or path.suffix not in (".json", ".jsonl"):
        return False
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if path.suffix == ".jsonl":
        return all(f'"{key}"'.encode() in head for key in _NEEDED)
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and b'"evalId"' in head and b'"prompts"' in head


def _files(folder: Path) -> list[Path]:
    """Its results, a JSONL only where there is no JSON of the same name."""
    files = [file for file in sorted(folder.iterdir()) if recognises(file) and file.is_file()]
    return [file for file in files if file.suffix == ".json" or file.with_suffix(".json") not in files]


@dataclass
class _Column:
    """One provider with one prompt."""

    provider: str
    identity: str
    prompt: str
    label: str
    stated: int | None = None
    answers: list[tuple[str, dict]] = field(default_factory=list)  # where it stands, and the record


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every column of a file, or of the files of a folder. Answers to a repeated test are averaged, with a line; a test
    without an assertion, which promptfoo counts as passed, is blank.

    The score is whether the test passed; where promptfoo's score says anything else, `--metric pass` or `--metric
    score` chooses, or one of its named scores. Raises InputError where it is open, and for another layout.
    """
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no results of promptfoo here")
    choices.wanted([ONLY_TASK], path)
    found = Reading()
    for file in files:
        columns, time = _columns(file)
        for name, column in _named(columns, file, found.notes):
            found.logs.append(checked(_one_log(file, name, column, time, choices), choices))
    return found


def _columns(file: Path) -> tuple[list[_Column], str]:
    """(columns, time of the run) of one file."""
    columns: dict[int, _Column] = {}
    if file.suffix == ".jsonl":
        records, time = list(_lines(file)), ""
    else:
        records, columns, time = _whole(file)
    for where, record in records:
        if not isinstance(record, dict) or not all(key in record for key in _NEEDED):
            raise InputError(f"{where}: not an answer of promptfoo (it has {', '.join(_NEEDED)})")
        number, provider, prompt = record["promptIdx"], record["provider"], record.get("prompt")
        if type(number) is not int or not isinstance(provider, dict) or not isinstance(prompt, dict):
            raise InputError(f"{where}: not the layout of promptfoo: promptIdx, provider or prompt of another type")
        name = provider.get("label") or provider.get("id")
        if not isinstance(name, str):
            raise InputError(f"{where}: provider names no model: it has neither label nor id")
        label = str(prompt.get("label") or "")
        column = columns.setdefault(number, _Column(plain(redacted(name)), "", label, label))
        if column.provider not in (plain(redacted(provider.get(key))) for key in ("label", "id")):
            raise InputError(f"{where}: an answer of {plain(redacted(name))} in column {number}, which is of "
                             f"{column.provider}")
        identity = json.dumps(redacted(provider), sort_keys=True)
        if column.answers and column.identity != identity:
            raise InputError(f"{where}: column {number} has answers of two providers ({column.identity[:60]} and "
                             f"{identity[:60]})")
        column.identity = identity
        column.answers.append((where, record))
    return [columns[number] for number in sorted(columns)], time


def _lines(file: Path) -> Iterable[tuple[str, Any]]:
    with reading(file) as stream:
        for number, line in numbered_lines(stream, str(file)):
            if line.strip():
                yield f"{file}: line {number}", parse_json(line, f"{file}: line {number}")


def _whole(file: Path) -> tuple[list[tuple[str, Any]], dict[int, _Column], str]:
    """(answers, columns by their number with their own counts, time) of a JSON file."""
    content = read_json(file)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not isinstance(results.get("results"), list):
        raise InputError(f"{file}: not the layout of promptfoo: no results.results")
    if results.get("version") != LAYOUT:
        raise InputError(f"{file}: version {json.dumps(results.get('version'))[:20]} of promptfoo's results; version "
                         f"{LAYOUT} is read: export it anew with a promptfoo of 2025 or later")
    columns: dict[int, _Column] = {}
    for number, prompt in enumerate(results.get("prompts") or []):
        if not isinstance(prompt, dict) or not isinstance(prompt.get("provider"), str):
            raise InputError(f"{file}: results.prompts[{number}] names no provider")
        metrics = _object(prompt.get("metrics"))
        counts: list[Any] = [metrics.get(f"test{what}Count") for what in ("Pass", "Fail", "Error")]
        stated = sum(map(int, counts)) if all(type(count) is int for count in counts) else None
        columns[number] = _Column(plain(redacted(prompt["provider"])), "", str(prompt.get("raw") or ""),
                                  str(prompt.get("label") or ""), stated)
    answers = [(f"{file}: answer {i}", record) for i, record in enumerate(results["results"], start=1)]
    return answers, columns, str(results.get("timestamp") or "")


def _named(columns: list[_Column], file: Path, notes: list[str]) -> list[tuple[str, _Column]]:
    """Every column that holds answers with a name of its own: the provider's, with its prompt where there are
    several, with its number where that is not enough."""
    for number, column in enumerate(columns):
        if not column.answers:
            notes.append(f"{file}: column {number} ({column.provider}) is left out, it holds no answers")
    columns = [column for column in columns if column.answers]
    several = len({column.prompt for column in columns}) > 1
    names = [f"{c.provider} [{_short(c.label)}]" if several else c.provider for c in columns]
    if several:
        notes.append(f"{file}: several prompts: each provider with each prompt is a model of its own "
                     f"(such as {names[0]})")
    alike = Counter(names)
    if twice := [name for name in alike if alike[name] > 1]:
        notes.append(f"{file}: {alike[twice[0]]} columns are named {twice[0]}: they are told apart by their numbers")
    return [(f"{name} (column {i})" if alike[name] > 1 else name, column)
            for i, (name, column) in enumerate(zip(names, columns, strict=True))]


def _short(label: str) -> str:
    text = plain(redacted(" ".join(label.split())))
    return text if len(text) <= 60 else f"{text[:57]}…"


# ---- one column ----------------------------------------------------------------------------------------------

def _one_log(file: Path, model: str, column: _Column, time: str, choices: Choices) -> TaskScores:
    metric = choices.of(ONLY_TASK)[0] or _only_metric(file, column)
    questions: dict[str, list[float]] = {}
    prints: dict[str, dict[str, str]] = {}
    names: dict[str, str] = {}
    lacking: Counter[str] = Counter()
    crashed = 0
    for where, record in sorted(column.answers, key=lambda pair: _number(pair[0], pair[1])):
        content = _content(record, where)
        name = names.setdefault(content["doc_hash"], _name(record, len(names), where, choices))
        if prints.setdefault(name, content)["doc_hash"] != content["doc_hash"]:
            raise InputError(f"{where}: {choices.id_key} = {name} is on two tests that differ in variables or "
                             "assertions; leave --id out, or name each test")
        value, why = _value(record, metric, where, choices)
        crashed += why == "the provider gave an error"
        if math.isnan(value):
            lacking[why or "null or a word for missing"] += 1
        questions.setdefault(name, []).append(value)
    if all(math.isnan(value) for values in questions.values() for value in values) and not _is_known(column, metric):
        raise InputError(f"{file}: no score {metric}; there are {', '.join(['pass', 'score', *_named_scores(column)])}")
    rows = pd.DataFrame({"item": [name for name, values in questions.items() for _ in values],
                         "score": [value for values in questions.values() for value in values]})
    frame = rows.groupby("item", sort=False)["score"].agg(score="mean", runs="count").join(
        pd.DataFrame.from_dict(prints, orient="index"))
    notes = list(crashes(ONLY_TASK, crashed, choices, "answers are errors of the provider"))
    if (most := max(map(len, questions.values()))) > 1:
        notes.append(f"{ONLY_TASK}: tests are repeated up to {most} times; their answers are averaged")
    said = choices.direction(metric)
    return TaskScores(frame, str(file), True if said is None else said, None, tuple(notes), model=model,
                      task=ONLY_TASK, folder=str(file.parent), run=f"{time} ({file.name})", metric=metric,
                      identity={"provider": column.identity}, setup={"prompt": plain(redacted(column.prompt))},
                      account=Account(len(rows) - sum(lacking.values()), dict(lacking), stated=column.stated))


def _number(where: str, record: dict) -> int:
    if type(record["testIdx"]) is not int:
        raise InputError(f"{where}: testIdx is {json.dumps(record['testIdx'])[:40]}, not a number")
    return record["testIdx"]


def _name(record: dict, rank: int, where: str, choices: Choices) -> str:
    """A test's name: its place among the tests that differ, or what `--id` names among its variables."""
    if choices.id_key is None:
        return str(rank)
    key = choices.id_key.removeprefix("vars.")
    variables = record.get("vars")
    value = variables.get(key) if isinstance(variables, dict) else None
    if isinstance(value, (dict, list, bool, float)) or value is None or not str(value).strip():
        raise InputError(f"{where}: the variable {key} (--id) is {json.dumps(value)[:40]}: every test needs a name")
    return plain(value)


def _content(record: dict, where: str) -> dict[str, str]:
    """Fingerprints: of a test's variables, of its assertions, and of the prompt as it was sent."""
    case = record["testCase"]
    if not isinstance(case, dict):
        raise InputError(f"{where}: testCase is a {type(case).__name__}, not an object")
    asserted = json.dumps(case.get("assert"), sort_keys=True)
    doc = _sha256(json.dumps([record.get("vars"), asserted], sort_keys=True))
    return {"content": doc, "doc_hash": doc, "target_hash": _sha256(asserted),
            "prompt_hash": _sha256(json.dumps(record["prompt"].get("raw")))}


def _crashed(record: dict) -> bool:
    reason = record.get("failureReason")
    return reason == _CRASHED if type(reason) is int else bool(record.get("error")) and not record.get("gradingResult")


def _only_metric(file: Path, column: _Column) -> str:
    """"pass" where the score says the same. Raises InputError where it does not."""
    for where, record in column.answers:
        if not _crashed(record) and record["testCase"] and record["score"] != record["success"]:
            named = "".join(f", or --metric {name}" for name in _named_scores(column)[:5])
            raise InputError(f"{where}: success is {json.dumps(record['success'])[:20]} and score "
                             f"{json.dumps(record['score'])[:20]}: say which is meant with --metric pass or --metric "
                             f"score{named}")
    return "pass"


def _named_scores(column: _Column) -> list[str]:
    return list(dict.fromkeys(name for _, record in column.answers for name in _object(record.get("namedScores"))))


def _object(value: Any) -> dict[str, Any]:
    """A dictionary; {} for anything else."""
    return value if isinstance(value, dict) else {}


def _is_known(column: _Column, metric: str) -> bool:
    return metric in ("pass", "score") or metric in _named_scores(column)


def _value(record: dict, metric: str, where: str, choices: Choices) -> tuple[float, str | None]:
    """(score of one answer, NaN where it has none; why it has none)."""
    named = _object(record.get("namedScores"))
    if metric in ("pass", "score") and metric in named:
        raise InputError(f"{where}: a named score is called {metric} like promptfoo's own: rename one")
    if _crashed(record):
        return (0.0 if choices.errors == "wrong" else math.nan), "the provider gave an error"
    if not record["testCase"].get("assert"):
        return math.nan, "no assertion, which promptfoo counts as passed"
    if metric not in ("pass", "score") and metric not in named:
        return math.nan, f"no named score {metric}"
    value = {"pass": record["success"], "score": record["score"], **named}[metric]
    if metric == "pass" and value is not None and not isinstance(value, bool):
        raise InputError(f"{where}: success is {json.dumps(value)[:40]}, neither true nor false")
    score = logged_value(value, metric, where, choices.values)
    if not isinstance(score, float):
        raise InputError(f"{where}: {metric} = {json.dumps(value)[:60]} is not one score")
    return score, None
