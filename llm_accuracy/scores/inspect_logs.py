"""Logs of inspect_ai (.eval, .json), read by inspect_ai itself.

A .eval file is a zip whose members, compression (zstd in new versions) and JSON have changed between versions;
inspect_ai migrates old ones while it reads. Reading the zip by hand would mean to guess what it has been told in
each version, so without the package such logs are refused.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import check_zip
from ..redaction import redacted
from .contract import Reading, checked, crashes, plain
from .score_values import RULES, plain_number, told
from .task_scores import Account, Choices, TaskScores, digest

OLDEST = (0, 3, 250)
INSTALL = 'pip install "inspect_ai>=0.3.250"'
_UNUSED = {"events", "store", "attachments", "timelines"}  # most of a sample, and of no use here
_WORDS = ("C", "I", "P", "N")


def recognises(path: Path) -> bool:
    """Whether a path is a log of inspect_ai or a folder that holds one, by its name or by how it begins."""
    if path.is_dir():
        return next(path.rglob("*.eval"), None) is not None or any(map(_is_json_log, sorted(path.rglob("*.json"))))
    return path.suffix == ".eval" or _is_json_log(path)


def _is_json_log(path: Path) -> bool:
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(4096)
    return head.lstrip().startswith(b"{") and b'"eval"' in head and b'"status"' in head


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every log of inspect_ai in a file or folder. Logs of runs that did not succeed, or hold no samples, are left
    out, with a line. Words count as in inspect_ai itself (C = 1, P = ½, I and N = 0, yes, no), epochs are reduced as
    the log says.

    A task that was given arguments is called `task[argument=value]`: other arguments ask other questions. Raises
    InputError if inspect_ai is not installed, if a sample has several scores and none is chosen, and for a score
    that is no number.
    """
    read_eval_log = _reader()
    files = [path] if path.is_file() else sorted(
        [*path.rglob("*.eval"), *filter(_is_json_log, path.rglob("*.json"))])
    if not files:
        raise InputError(f"{path}: no log of inspect_ai here (.eval, or .json that begins with version and status)")
    reading = Reading()
    others = sorted({*path.rglob("*.json")} - {*files, *path.rglob("logs.json")}) if path.is_dir() else []
    if others:
        reading.notes.append(f"{path}: {len(others)} JSON files are no logs of inspect_ai and were not read, first "
                             f"{others[0].name}")
    for file in files:
        check_zip(file)  # inspect_ai unpacks it, so its own directory is asked
    headers = {file: _read(read_eval_log, file, header_only=True) for file in files}
    names = {file: _task_name(header.eval) for file, header in headers.items()}
    wanted = choices.wanted(names.values(), path)
    for file, header in headers.items():
        if names[file] not in wanted:
            continue
        if header.status != "success":
            reading.notes.append(f"{file}: left out, its status is {header.status}")
            continue
        log = _read(read_eval_log, file, exclude_fields=_UNUSED)
        for sample in log.samples or []:
            sample.messages = _sent(sample.messages)  # the rest of a long conversation need not be held
        if not log.samples:
            reading.notes.append(f"{file}: left out, the log holds no samples")
            continue
        reading.logs.append(checked(_one_log(log, file, names[file], choices), choices))
    return reading


def _reader() -> Callable[..., Any]:
    try:
        import inspect_ai
        from inspect_ai.log import read_eval_log
    except ImportError:
        raise InputError(f"logs of inspect_ai are read with its own reader: {INSTALL}") from None
    version = tuple(int(part) for part in re.findall(r"\d+", inspect_ai.__version__)[:3])
    if version < OLDEST:
        raise InputError(f"inspect_ai {inspect_ai.__version__} is too old to read the logs of newer ones: {INSTALL}")
    return read_eval_log


def _read(read_eval_log: Callable[..., Any], file: Path, **how):
    """One log, or its header. Whatever a damaged log makes of inspect_ai's reader is one line."""
    logging.getLogger("inspect_ai").setLevel(logging.ERROR)
    try:
        return read_eval_log(str(file), **how)
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{file}: inspect_ai cannot read this log ({said[:160]}); is it complete?") from None


def _task_name(spec) -> str:
    known = spec.task_args_passed if "task_args_passed" in spec.model_fields_set else spec.task_args  # old logs: all
    return task_name(spec.task, dict(known or {}))


def _compact(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


# ---- one log ------------------------------------------------------------------------------------------------

@dataclass
class _Question:
    """One sample id: its values in every epoch that has one, and its fingerprints."""

    prints: dict[str, str | None]
    values: list[float] = field(default_factory=list)
    epochs: set[int] = field(default_factory=set)


def _one_log(log, file: Path, task: str, choices: Choices) -> TaskScores:
    metric, wanted_reducer = choices.of(task)
    metric = metric or _only_scorer(log.samples, file)
    questions: dict[str, _Question] = {}
    lacking: Counter[str] = Counter()
    words = False
    for sample in log.samples:
        name, where = plain(sample.id), f"{file}: sample {plain(sample.id)}"
        prints = _fingerprints(sample, choices.item_field)
        question = questions.setdefault(name, _Question(prints))
        if sample.epoch in question.epochs:
            raise InputError(f"{where}: epoch {sample.epoch} is given twice")
        if question.prints | {"prompt_hash": None} != prints | {"prompt_hash": None}:  # a solver may vary its words
            raise InputError(f"{where}: the input of epoch {sample.epoch} is not that of the others")
        question.epochs.add(sample.epoch)
        value, why = value_of(sample, metric, choices, where)
        words = words or isinstance(value, str)
        number = math.nan if value is None else score_of(value, metric, choices, where)
        if math.isnan(number):
            lacking[why or "no value"] += 1
            continue
        question.values.append(number)
    if not any(question.values for question in questions.values()) and metric not in _scorers(log.samples):
        raise InputError(f"{file}: {task} has no score {metric}; it has {', '.join(_scorers(log.samples)) or 'none'}")
    reducer = _reducer(log, wanted_reducer, file)
    rows = [{"item": name, "score": reducer(q.values) if q.values else math.nan, "runs": len(q.values), **q.prints}
            for name, q in questions.items()]
    frame = pd.DataFrame(rows).set_index("item")
    higher, notes = _direction(metric, frame["score"], words, task, choices)
    notes += _epoch_notes(log, questions, lacking, task, choices)
    scored = int(frame["score"].notna().sum())
    ids = log.eval.dataset.sample_ids
    created = f"{log.eval.created} ({file.name})"
    return TaskScores(
        frame, str(file), higher, None, tuple(notes), model=plain(redacted(log.eval.model)), task=task,
        folder=str(file.parent), run=created, metric=metric,
        identity={"model_args": _settings(log.eval.model_args), "model_base_url": _settings(log.eval.model_base_url)},
        setup={"limit": _settings(log.eval.config.limit), "sample_id": _settings(log.eval.config.sample_id),
               "generate config": _settings(log.eval.model_generate_config)},
        account=Account(scored, {_reasons(lacking): len(frame) - scored} if scored < len(frame) else {},
                        stated=len(ids) if ids else None,  # none: a source of samples, asked as the run went on
                        dataset=log.eval.dataset.samples or None))


def _settings(value) -> str:
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_none=True)
    return _compact(redacted(value))


def _scorers(samples: list) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.scores or {}))


def _only_scorer(samples: list, file: Path) -> str:
    names = _scorers(samples)
    if len(names) != 1:
        raise InputError(f"{file}: the samples have "
                         f"{'several scores (' + ', '.join(names) + ')' if names else 'no scores'}: "
                         "choose one with --metric")
    return names[0]


def value_of(sample, metric: str, choices: Choices, where: str) -> tuple[Any, str | None]:
    """(the value of a scorer, or of an entry of it, or None; why there is none)."""
    scores = sample.scores or {}
    if getattr(sample, "invalidation", None) is not None:
        return None, "invalidated"
    if metric in scores:
        return scores[metric].value, None
    for name in sorted(scores, key=len, reverse=True):
        if metric.startswith(name + "."):
            return _entry(scores[name].value, metric[len(name) + 1:], name, where), None
    if sample.error is not None:
        crash = plain(sample.error.message).strip().splitlines() or ["error"]
        return (0.0 if choices.errors == "wrong" else None), f"error: {crash[0][:60]}"
    return None, f"not scored by {metric}"


def _entry(value, key: str, name: str, where: str):
    """An entry of a dictionary or list; None (unscored) in the place of the whole is none of the entry."""
    if isinstance(value, dict):
        if key not in value:
            raise InputError(f"{where}: {name} has no entry {key}; it has {', '.join(map(str, value))}")
        return value[key]
    if isinstance(value, (list, tuple)):
        if not re.fullmatch("[0-9]{1,9}", key) or int(key) >= len(value):
            raise InputError(f"{where}: {name} has no entry {key}; it has 0 to {len(value) - 1}")
        return value[int(key)]
    if isinstance(value, float) and math.isnan(value):
        return None
    raise InputError(f"{where}: {name} is one score, not several: take it with --metric {name}")


def score_of(value, metric: str, choices: Choices, where: str, way_out: str | None = None) -> float:
    """A value of inspect_ai as a number, by its own rules; NaN is missing. way_out: what to do about another word,
    where --value is no flag.

    Raises InputError for what it could only turn into 0: a dictionary, a list, another word."""
    if (worth := told(value, choices.values)) is not None:
        return worth
    if isinstance(value, dict):
        raise InputError(f"{where}: {metric} holds several scores ({', '.join(map(str, value))}): take one with "
                         f"--metric "
                         f"{metric}.KEY")
    if isinstance(value, (list, tuple)):
        raise InputError(f"{where}: {metric} is a list of {len(value)}: take one entry with --metric {metric}.0")
    if isinstance(value, (bool, int, float)):
        return plain_number(value, metric, where)
    from inspect_ai.scorer import value_to_float

    if value in _WORDS or value.lower() in ("yes", "no", "true", "false"):
        return value_to_float()(value)
    if (number := RULES["inspect"].number(value)) is not None:
        return number
    way_out = way_out or f"say what it is worth with --value {plain(value)[:20]}=SCORE"
    raise InputError(f"{where}: {metric} = {plain(value)[:60]!r} is no score to inspect_ai, which would count it as "
                     f"0: {way_out}")


def _fingerprints(sample, item_field: str | None) -> dict[str, str | None]:
    """What was asked: the input with its options in any order, the right answer in words, and the prompt as it was
    sent."""
    said = sample.input if isinstance(sample.input, str) else [
        [message.role, message.content if isinstance(message.content, str)
         else [part.model_dump(exclude_none=True, exclude={"internal"}) for part in message.content]]
        for message in sample.input]
    options = list(sample.choices or [])
    target = [sample.target] if isinstance(sample.target, str) else list(sample.target)
    letters = {chr(ord("A") + i): option for i, option in enumerate(options)}
    doc = digest([said, sorted(options)])
    content = (sample.metadata or {}).get(item_field) if item_field else None
    return {"content": doc if content is None else plain(content), "doc_hash": doc,
            "target_hash": digest([letters.get(word, word) for word in target]),
            "prompt_hash": prompt_of(sample)}


def content_of(sample, item_field: str | None = None) -> str:
    """A fingerprint of what a sample asks and of its right answer, of a dataset or in a log alike."""
    prints = _fingerprints(sample, item_field)
    return f"{prints['doc_hash']}{prints['target_hash']}"


def prompt_of(sample) -> str | None:
    """A fingerprint of what the model was sent before its first answer, by role: also what solvers put before and
    around the input, such as templates, examples and options. Media count by their kind. None where a sample has no
    messages, as one of a dataset."""
    sent = _sent(getattr(sample, "messages", None) or [])
    words = [[message.role, message.content if isinstance(message.content, str)
              else [getattr(part, "text", part.type) for part in message.content]] for message in sent]
    return digest(words) if words else None


def _sent(messages: list) -> list:
    return list(takewhile(lambda message: message.source != "generate", messages))


def task_name(task: str, passed: dict[str, Any]) -> str:
    """What a task is called that was given these arguments: other arguments ask other questions."""
    known = redacted(passed)
    return plain(f"{task}[{','.join(f'{k}={_compact(v)}' for k, v in sorted(known.items()))}]" if known else task)


# ---- epochs and direction ------------------------------------------------------------------------------------

def _reducer(log, wanted: str | None, file: Path) -> Callable[[list[float]], float]:
    """How the epochs of a question become one score: by inspect_ai's own reducer, the one that the log names."""
    named = list(log.eval.config.epochs_reducer or ["mean"])
    if wanted is not None and wanted not in named:
        raise InputError(f"{file}: no reducer {wanted} (asked for with --filter); the log names {', '.join(named)}")
    if wanted is None and len(named) > 1:
        raise InputError(f"{file}: several reducers of epochs ({', '.join(named)}): choose one with --filter")
    name = wanted or named[0]
    from inspect_ai import scorer

    made = {"mean": scorer.mean_score, "median": scorer.median_score, "mode": scorer.mode_score,
            "max": scorer.max_score}
    counted = re.fullmatch(r"(at_least|pass_at|pass_k)_(\d+)", name)
    if name in made:
        reduce = made[name]()
    elif counted and hasattr(scorer, counted[1]):
        reduce = getattr(scorer, counted[1])(int(counted[2]))
    else:
        raise InputError(f"{file}: the reducer {name} of epochs is not one of inspect_ai's own; choose with --filter")
    return lambda values: float(reduce([scorer.Score(value=value) for value in values]).value)


def _direction(metric: str, scores: pd.Series, words: bool, task: str, choices: Choices) -> tuple[bool, list[str]]:
    """Whether higher is better: a word or 0/1 says right and wrong; of numbers inspect_ai logs nothing, so a line
    says what was taken."""
    said = choices.direction(metric)
    if said is not None:
        return said, []
    if words or scores.dropna().between(0, 1).all():
        return True, []
    return True, [f"{task}: inspect_ai logs no direction: higher {metric} is taken as better (--higher-is-better "
                  f"{metric}=false "
                  "says otherwise)"]


def _epoch_notes(log, questions: dict[str, _Question], lacking: Counter, task: str, choices: Choices) -> list[str]:
    most = max(len(question.epochs) for question in questions.values())
    notes: list[str] = []
    crashed = sum(count for why, count in lacking.items() if why.startswith("error"))
    errors = sum(sample.error is not None and not sample.scores for sample in log.samples)
    notes += crashes(task, errors if choices.errors == "wrong" else crashed, choices)
    if most > 1:
        named = ", ".join(log.eval.config.epochs_reducer or ["mean"])
        partly = sum(0 < len(q.values) < len(q.epochs) for q in questions.values())
        notes.append(f"{task}: up to {most} epochs a question, reduced by inspect_ai's {named}"
                     + (f"; {partly:,} questions lack some of theirs" if partly else ""))
    return notes


def _reasons(lacking: Counter) -> str:
    return "; ".join(f"{why}: {count:,}" if len(lacking) > 1 else why for why, count in lacking.most_common(3))
