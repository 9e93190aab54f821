"""Logs of inspect_ai."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .answers import AnswerTable, Wanted, mean_of, table_of


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
