"""What an audit compares of a run's files besides its log: that no line of the log is gone, and result.json."""

from __future__ import annotations

import json

from ..errors import InputError
from ..files import read_json
from ..visible import shortened
from .loop import OpenRun
from .query_log import QueryLog
from .recorded import same_value
from .run_folder import RunFolder

# Of a result: the number of lines and the version, and what takes the history's answers.
NOT_OF_THE_LOG = ("log", "same_answers", "notes")


def whole_log(run: RunFolder) -> QueryLog:
    """The log of a run. Raises InputError where lines are gone that were there when result.json was written."""
    path = run / "result.json"
    try:  # before the log, which another process may be writing meanwhile
        before = read_json(path)["log"]["records"] if path.exists() else 0
    except (InputError, KeyError, TypeError):
        before = 0  # it is written again; an audit says what is wrong with it
    log = QueryLog(run / "queries.jsonl")
    if isinstance(before, int) and before > len(log.records):
        raise InputError(f"{log.path}: {len(log.records):,} lines, and {before:,} when {path.name} was written: the "
                         "last ones are missing; restore the file")
    return log


def same_result(run: OpenRun, found: str) -> str:
    """What an audit says of result.json, all of which is computed again; found: the main numbers, as the log gives
    them.

    Raises InputError for the first part that is not what the log gives.
    """
    path = run.run / "result.json"
    if not path.exists():
        return f"{path.name} is not there (--report writes it); the log gives {found}"
    kept, log = read_json(path), run.asking.log
    if not isinstance(kept, dict) or not isinstance(kept.get("log"), dict):
        raise InputError(f"{path}: not the result of a run; add --report to write it again")
    if run.asking.ended is None and kept["log"].get("records") != len(log.records):
        return (f"{path.name} was written before the last lines of the log, which give {found}: it is not compared "
                "(--resume or --report writes it again)")
    here = json.loads(json.dumps(run.result()))
    for name in (*here, *(kept.keys() - here.keys())):
        if name in NOT_OF_THE_LOG or same_value(kept.get(name), here.get(name)):
            continue
        raise InputError(f"{path}: {name} is {shortened(kept.get(name))}, by the log it is "
                         f"{shortened(here.get(name))}; add --report to write it again")
    there = kept["notes"] if isinstance(kept.get("notes"), list) else []
    if "same_answers" not in here and (added := [note for note in there if note not in here["notes"]]):
        raise InputError(f"{path}: the note {shortened(added[0])} follows from nothing in the log; add --report to "
                         "write it again")
    if missing := [note for note in here["notes"] if note not in there]:
        raise InputError(f"{path}: the note {shortened(missing[0])} is missing; add --report to write it again")
    return f"{path.name}: {found}, is what the log gives, and so is all else in it"
