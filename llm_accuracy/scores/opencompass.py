"""Results of OpenCompass 0.5, evaluated with --dump-eval-details: results/<model>/<data set>.json.

    {"accuracy": 60.0, "details": [{"example_abbr": "gsm8k_test_0", "answer": ["5"], "correct": [true]}, …]}
    {"accuracy": 60.0, "details": {"type": "PPL", "0": {"references": "5", "correct": true}, …}}

The first form is that of evaluators which judge every answer, a list for each of its replicas; the second is made where
they do not, and says what was right for choices by perplexity only. Model and data set are the names of the folder and
the file. Neither document nor set-up is in them: a question is known by its place and by what was expected.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import read_json, reading
from ..redaction import redacted
from .contract import Reading, checked, plain
from .lm_eval_samples import NO_VALUE
from .score_values import logged_value
from .task_scores import Account, Choices, TaskScores, digest

CORRECT = ("correct", "is_correct", "cascade_correct")  # in the order in which OpenCompass itself looks for them
_TARGET = ("answer", "answers", "refr", "references", "reference", "gold")
_PROMPT = ("prompt", "origin_prompt")
_DETAILS = re.compile(rb'"example_abbr"|"type"\s*:\s*"(GEN|PPL)"')
_NAME = re.compile(r"(.+)_(\d+)")
_ADVICE = "evaluate it with --dump-eval-details"


def recognises(path: Path) -> bool:
    """Whether a path is such a file, or a folder that holds one below `results`."""
    if path.is_dir():
        return any(map(recognises, _files(path)))
    if path.suffix != ".json" or path.absolute().parent.parent.name != "results" or not path.is_file():
        return False
    if (path.absolute().parent.parent.parent / "predictions").is_dir():
        return True
    with reading(path) as stream:
        return bool(_DETAILS.search(stream.peek(1 << 16)))  # type: ignore[attr-defined]


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*.json")) if file.absolute().parent.parent.name == "results"]


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every model and data set below a folder's `results`, or one file. Answers of several replicas are averaged, with
    a line; a file that says of no answer whether it was right is left out, with a line.

    Raises InputError for another layout, for a metric that is not there, and for several splits in one file.
    """
    files = [file for file in _files(path) if recognises(file)] if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no results of OpenCompass here")
    wanted = choices.wanted((plain(file.stem) for file in files), path)
    found = Reading()
    for file in files:
        if plain(file.stem) in wanted and (log := _log(file, choices, found.notes)) is not None:
            found.logs.append(checked(log, choices))
    if not found.logs:
        raise InputError(found.notes[0] if found.notes else f"{path}: no task is left to read")
    found.notes.append("results of OpenCompass hold no documents: questions are matched by their place and by the "
                       "answer that was expected")
    return found


def _log(file: Path, choices: Choices, notes: list[str]) -> TaskScores | None:
    task, content = plain(file.stem), read_json(file)
    if not isinstance(content, dict):
        raise InputError(f"{file}: not the layout of OpenCompass: expected a JSON object")
    rows = _rows(file, content)
    if not rows:
        why = content["error"] if isinstance(content.get("error"), str) else f"no details of its answers: {_ADVICE}"
        notes.append(f"{file}: {task} is left out: {why[:120]}")
        return None
    splits = list(dict.fromkeys(row["split"] for row in rows))
    metric, split = choices.of(task)
    if (split is None and len(splits) > 1) or (split is not None and split not in splits):
        raise InputError(f"{file}: {task} has the splits {', '.join(splits)}: choose one with --filter")
    there = list(dict.fromkeys(key for row in rows for key in row["detail"]))
    if metric is None and (metric := next((key for key in CORRECT if key in there), None)) is None:
        notes.append(f"{file}: {task} is left out: nothing says of an answer whether it was right ({', '.join(there)})")
        return None
    if metric not in there:
        raise InputError(f"{file}: {task} has no {metric}; its details have {', '.join(there)}")
    kept = [row for row in rows if split in (None, row["split"])]
    frame = pd.DataFrame([_scored(row, metric, file, choices) for row in kept])
    twice = frame["item"].duplicated()
    if twice.any():
        raise InputError(f"{file}: question {frame['item'][twice].iloc[0]} is there twice")
    frame = frame.set_index("item")
    blank, many = int(frame["score"].isna().sum()), int(frame["runs"].max())
    said = [f"{task}: {many} replicas, averaged"] if many > 1 else []
    said += _held(task, metric, content, frame)
    left = len(rows) - len(kept)
    return TaskScores(
        frame, str(file), _direction(file, task, metric, choices), None, tuple(said), task=task, metric=metric,
        model=plain(redacted(file.absolute().parent.name)), folder=str(file.absolute().parent.parent.parent),
        account=Account(len(frame) - blank, {NO_VALUE: blank} if blank else {},
                        {f"answers of other splits ({split} is read)": left} if left else {}))


def _rows(file: Path, content: dict) -> list[dict[str, Any]]:
    """Every answer's place, split and details; [] where there are none."""
    details = content.get("details")
    if details is None:
        return []
    if isinstance(details, dict):
        pairs = [("", key, value) for key, value in details.items() if key != "type"]
    elif isinstance(details, list):
        pairs = []
        for number, value in enumerate(details, start=1):
            name = value.get("example_abbr") if isinstance(value, dict) else None
            match = _NAME.fullmatch(name) if isinstance(name, str) else None
            if match is None:
                raise InputError(f"{file}: details {number}: example_abbr is {json.dumps(name)[:40]}, not the layout "
                                 "of OpenCompass 0.5: evaluate it again")
            pairs.append((match[1], match[2], value))
    else:
        raise InputError(f"{file}: details are a {type(details).__name__}, not the layout of OpenCompass")
    for _, key, value in pairs:
        if not isinstance(value, dict) or not key.isdecimal():
            raise InputError(f"{file}: details {key[:40]}: not the layout of OpenCompass")
    return [{"split": plain(split), "item": str(int(key)), "detail": value} for split, key, value in pairs]


def _scored(row: dict[str, Any], metric: str, file: Path, choices: Choices) -> dict[str, Any]:
    """One question: the mean over its replicas, and the fingerprints of what was asked and expected."""
    where, detail = f"{file}: question {row['item']}", row["detail"]
    values = detail.get(metric)
    scores = [logged_value(value, metric, where, choices.values)
              for value in (values if isinstance(values, list) else [values])]
    if not all(isinstance(score, float) for score in scores):
        raise InputError(f"{where}: {metric} = {json.dumps(values)[:60]} is not one score")
    there = pd.Series(scores, dtype=float).dropna()
    found = {"item": row["item"], "score": there.mean(), "runs": len(there)}
    for column, keys in (("target_hash", _TARGET), ("prompt_hash", _PROMPT)):
        if (key := next((key for key in keys if detail.get(key) is not None), None)) is not None:
            value = detail[key]
            if isinstance(value, list) and isinstance(values, list) and len(value) == len(values):
                if any(other != value[0] for other in value) and column == "target_hash":
                    raise InputError(f"{where}: its replicas expect different answers ({key})")
                value = value[0] if value else None
            found[column] = digest(value)
    return found


def _held(task: str, metric: str, content: dict, frame: pd.DataFrame) -> list[str]:
    """A line where OpenCompass's own accuracy, in per cent, is another."""
    reported = next((value for key, value in content.items() if key.split(" (")[0] in ("accuracy", "score")
                     and type(value) in (int, float)), None)
    mean = 100 * frame["score"].mean()
    if metric not in CORRECT or reported is None or abs(reported - mean) <= 0.005:
        return []
    return [f"{task}: {mean:.4g} % of the answers are {metric}, OpenCompass reports {reported:.4g} (another "
            "aggregation, or missing values)"]


def _direction(file: Path, task: str, metric: str, choices: Choices) -> bool:
    said = choices.direction(metric)
    if said is None and metric not in CORRECT:
        raise InputError(f"{file}: {task}: nothing says whether higher {metric} is better: say it with "
                         f"--higher-is-better {metric}=true or {metric}=false")
    return True if said is None else said
