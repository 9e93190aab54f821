"""Logs of inspect_ai."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .answers import AnswerTable, Wanted, mean_of, table_of


def content_of(sample) -> str:
    """A fingerprint of what a sample asks: input, choices and target, of a dataset or in a log alike."""
    said = sample.input if isinstance(sample.input, str) else [message.text for message in sample.input]
    text = json.dumps([said, sample.choices or [], sample.target], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_fingerprints(path: Path, contents: dict[str, str]) -> None:
    """Add {task/sample id: fingerprint of its content} of every log in a file or folder. Raises InputError where two
    logs differ in the content of a question."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    for info in [str(path)] if path.is_file() else list_eval_logs(str(path), recursive=True, descending=False):
        log = read_eval_log(info)
        for sample in log.samples or []:
            name, content = f"{log.eval.task}/{sample.id}", content_of(sample)
            if contents.setdefault(name, content) != content:
                raise InputError(f"{log.location}: question {name} has another content than in another log of {path}: "
                                 "different versions of the task cannot be one history")


def read_inspect(path: Path, wanted: Wanted, notes: list[str]) -> Iterator[AnswerTable]:
    """Logs of inspect_ai (.eval or .json), read by inspect_ai itself; a folder may hold many.

    Letters count as in inspect_ai itself (C = 1, P = ½, I and N = 0); epochs are averaged.
    Logs of runs that did not succeed are left out, with a note. Raises InputError if inspect_ai is not installed, and
    if a sample has several scorers and none is chosen.
    """
    try:
        from inspect_ai.log import list_eval_logs, read_eval_log
        from inspect_ai.scorer import value_to_float
    except ImportError:
        raise InputError("--from inspect reads logs with inspect_ai's own reader: pip install inspect_ai") from None
    number = value_to_float()
    logs = [str(path)] if path.is_file() else list_eval_logs(str(path), recursive=True, descending=False)
    for info in logs:
        log = read_eval_log(info)
        source = log.location or str(info)
        if log.status != "success":
            notes.append(f"{source}: left out, its status is {log.status}")
            continue
        scores: dict[str, list[float]] = {}
        for sample in log.samples or []:
            given = sample.scores or {}
            name = wanted.metric or (next(iter(given)) if len(given) == 1 else None)
            if name not in given:
                raise InputError(f"{source}: sample {sample.id}: scorers {', '.join(given) or 'none'}; choose one with "
                                 "--metric")
            scores.setdefault(str(sample.id), []).append(number(given[name].value))
        yield table_of(log.eval.model, log.eval.task, source, mean_of(scores, "epochs", source, notes))
