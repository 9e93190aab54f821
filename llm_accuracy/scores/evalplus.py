"""Results of evalplus 0.3: <samples>_eval_results.json, as its `evaluate` writes them.

    {"date": …, "hash": …, "eval": {"HumanEval/0": [{"base_status": "pass", "plus_status": "fail", …}, …]}}

Every problem is tested on the tests of the original benchmark and, where these pass, on many more. So a file is two
tasks, such as HumanEval and HumanEval+, about the same problems, which flip as one. The fingerprint of a problem is
its name with `hash`, evalplus's own digest of the problems and their tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import read_json, reading
from ..redaction import redacted
from .contract import Reading, checked, plain
from .task_scores import Account, Choices, TaskScores, _sha256

ENDING = "eval_results.json"
_WORTH = {"pass": 1.0, "fail": 0.0, "timeout": 0.0}  # as evalplus counts them
METRIC = "passed"
_KEYS = ("date", "hash", "eval")


def recognises(path: Path) -> bool:
    """Whether a path is such a file, or a folder that holds one."""
    if path.is_dir():
        return any(map(recognises, _files(path)))
    if not path.name.endswith(ENDING) or not path.is_file():
        return False
    with reading(path) as stream:
        return all(f'"{key}"'.encode() in stream.peek(4096) for key in _KEYS)  # type: ignore[attr-defined]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{ENDING}"))


def read_logs(path: Path, choices: Choices) -> Reading:
    """Both tasks of every file; several solutions of a problem are averaged, with a line.

    The file names neither model nor benchmark: the model is called by the file, the benchmark by its problems. Raises
    InputError for another layout and for a status that evalplus does not have.
    """
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no *{ENDING} here")
    found = Reading()
    logs = [log for file in files for log in _logs(file, found.notes)]
    wanted = choices.wanted((log.task for log in logs), path)
    for log in logs:
        if choices.of(log.task)[0] not in (None, METRIC):
            raise InputError(f"{log.source}: no metric {choices.of(log.task)[0]}; evalplus has {METRIC}")
    found.logs = [checked(log, choices) for log in logs if log.task in wanted]
    found.notes.insert(0, "results of evalplus name no model: each file is one, called by its name")
    return found


def _logs(file: Path, notes: list[str]) -> list[TaskScores]:
    content = read_json(file)
    problems = content.get("eval") if isinstance(content, dict) else None
    if not isinstance(problems, dict) or not problems:
        raise InputError(f"{file}: not the layout of evalplus: no problems under eval")
    version = content.get("hash")
    if not isinstance(version, str):
        notes.append(f"{file}: no hash of the problems, so that whether they are the same is not known")
    rows = [row for name, solutions in problems.items() for row in _rows(f"{file}: {name}", name, solutions)]
    table = pd.DataFrame(rows)
    if table["benchmark"].nunique() > 1:
        raise InputError(f"{file}: problems of several benchmarks ({', '.join(table['benchmark'].unique()[:6])})")
    if isinstance(version, str):
        digest = {item: _sha256(json.dumps([version, item])) for item in table["item"].unique()}
        table["content"] = table["doc_hash"] = table["item"].map(digest)
    task = str(table["benchmark"].iloc[0])
    if table["plus"].isna().all():
        notes.append(f"{file}: base tests only, so there is no {task}+")
        return [_log(file, task, table, "base")]
    if table["plus"].isna().any():
        odd = table[table["plus"].isna()].iloc[0]
        raise InputError(f"{file}: {odd['benchmark']}/{odd['item']}: plus_status is null, and others have one")
    return [_log(file, task, table, "base"), _log(file, f"{task}+", table, "plus")]


def _rows(where: str, name: str, solutions: Any) -> list[dict[str, Any]]:
    if not isinstance(solutions, list) or not all(isinstance(one, dict) for one in solutions):
        raise InputError(f"{where}: not the layout of evalplus 0.3 (a list of solutions): evaluate the samples again")
    if not solutions:
        raise InputError(f"{where}: no solutions")
    rows = []
    for one in solutions:
        if one.get("task_id", name) != name:
            raise InputError(f"{where}: a solution of {json.dumps(one['task_id'])[:60]} among those of another problem")
        base, plus = _status(one, "base_status", where), _status(one, "plus_status", where)
        if base is None:
            raise InputError(f"{where}: base_status is null or absent")
        benchmark, _, item = plain(name).rpartition("/")
        rows.append({"item": item, "benchmark": benchmark or "problems", "base": base,
                     "plus": None if plus is None else base * plus})
    return rows


def _status(solution: dict, key: str, where: str) -> float | None:
    status = solution.get(key)
    if status is None:
        return None
    if not isinstance(status, str) or status not in _WORTH:
        raise InputError(f"{where}: {key} is {json.dumps(status)[:40]}; evalplus knows {', '.join(_WORTH)}")
    return _WORTH[status]


def _log(file: Path, task: str, table: pd.DataFrame, column: str) -> TaskScores:
    by_item = table.groupby("item", sort=False)
    frame = by_item[column].agg(score="mean", runs="count").astype({"score": float})
    if "content" in table:
        frame = frame.join(by_item[["content", "doc_hash"]].first())
    few, many = frame["runs"].min(), frame["runs"].max()
    said = f"{many}" if few == many else f"{few} to {many}"
    notes = (f"{task}: {said} solutions a problem, averaged",) if many > 1 else ()
    return TaskScores(frame, str(file), True, None, notes, task=task, folder=str(file.parent), metric=METRIC,
                      model=plain(redacted(file.name.removesuffix(ENDING).rstrip("_.") or file.parent.name)),
                      account=Account(len(frame)))
