"""Every Eval Ever, schema 0.3.0: records of evaluations, read where they have their instances, and written.

A record is `<uuid>.json` (model, results, intervals) beside `<uuid>_samples.jsonl` (one line an answer and result);
https://github.com/evaleval/every_eval_ever has the schemas. Only instances say what each answer was worth, so a record
without them is left out, by name.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..files import numbered_lines, parse_json, read_json, reading, write_whole
from ..redaction import redacted
from .contract import OF_TASK, Reading, checked, crashes, plain
from .score_values import plain_number, told
from .task_scores import Account, Choices, TaskScores, _sha256

VERSION = "0.3.0"
_SAMPLES = "_samples.jsonl"
_NO_SCORE = "marked as unknown"
_CRASHED = "samples that crashed"


# ---- reading ------------------------------------------------------------------------------------------------

def recognises(path: Path) -> bool:
    """Whether a path is such a record or its instances, or a folder that holds one."""
    if path.is_dir():
        return any(map(_is_record, path.rglob("*.json")))
    return _is_record(_record_of(path))


def _record_of(path: Path) -> Path:
    """The record that instances belong to, by their name; any other path as it is."""
    return path.with_name(path.name.removesuffix(_SAMPLES) + ".json") if path.name.endswith(_SAMPLES) else path


def _is_record(path: Path) -> bool:
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    return b'"schema_version"' in head and b'"evaluation_id"' in head


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every record of a folder (searched recursively), or one. A result of which no instances are there is left out,
    with a line. Raises InputError for another version of the schema, for instances of another record or damaged ones
    (checksum), and if a task has several metrics and none is chosen."""
    files = (sorted(filter(_is_record, path.rglob("*.json"))) if path.is_dir() else [_record_of(path)])
    reading_ = Reading()
    records = {file: _record(file) for file in files}
    wanted = choices.wanted((plain(r["evaluation_name"]) for record in records.values()
                             for r in record["evaluation_results"]), path)
    for file, record in records.items():
        instances = _instances_file(file, record)
        if instances is None:
            reading_.notes.append(f"{file}: left out, it has results and no instances ({file.stem}{_SAMPLES})")
            continue
        rows = _instances(instances, record, reading_.notes)
        reported = {result["evaluation_name"] for result in record["evaluation_results"]}
        if others := [i["evaluation_name"] for _, i in rows if i["evaluation_name"] not in reported]:
            reading_.notes.append(f"{instances}: {len(others):,} instances of tasks that the record does not report "
                                  f"are left out (first {plain(others[0])})")
        for task in dict.fromkeys(plain(result["evaluation_name"]) for result in record["evaluation_results"]):
            if task in wanted:
                log = _log(instances, record, task, rows, choices, reading_.notes)
                reading_.logs += [checked(log, choices)] if log else []
    return reading_


def _record(file: Path) -> dict[str, Any]:
    record = read_json(file)
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, str) or version.split(".")[:2] != VERSION.split(".")[:2]:
        raise InputError(f"{file}: schema_version is {json.dumps(version)[:20]}: records of Every Eval Ever {VERSION} "
                         "are read; its own package converts older ones")
    try:
        named = [record["evaluation_id"], record["model_info"]["id"],
                 *(result["evaluation_name"] for result in record["evaluation_results"])]
        details = [result["metric_config"] for result in record["evaluation_results"]]
        if not all(isinstance(name, str) for name in named) or not all(isinstance(d, dict) for d in details):
            raise TypeError("a text for every name")
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: not the schema of Every Eval Ever {VERSION} (missing {error})") from None
    return record


def _instances_file(file: Path, record: dict) -> Path | None:
    detailed = record.get("detailed_evaluation_results")
    stated = detailed.get("file_path") if isinstance(detailed, dict) else None
    names = [Path(stated).name] if isinstance(stated, str) else []
    return next((p for name in [*names, file.stem + _SAMPLES] if (p := file.with_name(name)).is_file()), None)


def _instances(file: Path, record: dict, notes: list[str]) -> list[tuple[int, dict]]:
    """(line, instance) of all; held against the record's checksum and count."""
    detailed = record.get("detailed_evaluation_results")
    detailed = detailed if isinstance(detailed, dict) else {}
    algorithm, rows = detailed.get("hash_algorithm"), []
    digest = hashlib.new(algorithm, usedforsecurity=False) if algorithm in ("sha256", "md5") else None
    with reading(file) as stream:
        for number, line in numbered_lines(stream, str(file)):
            if digest:
                digest.update(line)
            if line.strip():
                instance = parse_json(line, f"{file}: line {number}")
                _check_instance(instance, record, f"{file}: line {number}")
                rows.append((number, instance))
    if digest and detailed.get("checksum") not in (None, digest.hexdigest()):
        raise InputError(f"{file}: its {algorithm} is not the one in the record: it was changed or is not complete")
    if detailed.get("checksum") is not None and digest is None:
        notes.append(f"{file}: not held against its checksum, hash_algorithm is {json.dumps(algorithm)[:40]} (sha256 "
                     "and md5 are known)")
    stated = _count(detailed, "total_rows", file)
    if stated is not None and stated != len(rows):
        raise InputError(f"{file}: {len(rows):,} instances, its record counts {stated:,}; fetch the file again")
    return rows


def _count(counts: dict, key: str, file: Path) -> int | None:
    """A record's own count; None where it has none. Raises InputError for anything but a whole number."""
    value = counts.get(key)
    if value is None or type(value) is int:
        return value
    raise InputError(f"{file}: {key} of its record is {json.dumps(value)[:40]}, not a whole number: the instances "
                     "cannot be held against it; correct the record or leave it out")


def _check_instance(instance, record: dict, where: str) -> None:
    try:
        if instance["evaluation_id"] != record["evaluation_id"]:
            raise InputError(f"{where}: of evaluation {instance['evaluation_id']!r:.80}, the record is "
                             f"{record['evaluation_id']!r:.80}")
        if instance["model_id"] != record["model_info"]["id"]:
            raise InputError(f"{where}: an answer of {instance['model_id']!r:.80}, the record is of "
                             f"{record['model_info']['id']!r:.80}")
        if not isinstance(instance["sample_id"], str) or not isinstance(instance["evaluation_name"], str):
            raise TypeError("a text for sample_id and evaluation_name")
        _ = instance["input"]["raw"], instance["input"]["reference"], instance["evaluation"]["score"]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: not an instance of Every Eval Ever {VERSION} (missing {error})") from None


def _log(file: Path, record: dict, task: str, rows: list[tuple[int, dict]], choices: Choices, notes: list[str]
         ) -> TaskScores | None:
    result, metric = _result(file, record, task, choices)
    key = result.get("evaluation_result_id")
    several = sum(plain(r["evaluation_name"]) == task for r in record["evaluation_results"]) > 1
    mine = [(n, i) for n, i in rows if plain(i["evaluation_name"]) == task
            and (i.get("evaluation_result_id") in (None, key) if not several else i.get("evaluation_result_id") == key)]
    if not mine:
        notes.append(f"{file}: {task} ({metric}) is reported and has no instances: left out")
        return None
    config = result["metric_config"]
    blank = {_CRASHED: 0, _NO_SCORE: 0}
    items = [_item(instance, config, metric, f"{file}: line {line}", choices, blank) for line, instance in mine]
    frame = pd.DataFrame(items).set_index("item").assign(runs=1)
    said = choices.direction(metric)
    lower = config.get("lower_is_better")
    if said is None and not isinstance(lower, bool):
        raise InputError(f"{file}: {task}: lower_is_better of {metric} is {json.dumps(lower)[:20]}: say it with "
                         f"--higher-is-better {metric}=true or {metric}=false")
    details, info = result.get("score_details"), record["model_info"]
    reported = details.get("score") if isinstance(details, dict) else None
    mean = frame["score"].mean()
    odd = type(reported) in (int, float) and not abs(reported - mean) <= 1e-6  # type: ignore[operator]
    log_notes: tuple[str, ...] = ()
    if odd:
        log_notes = (f"{task}: the items' mean of {metric} is {mean:.4g}, the record reports {reported:.4g} (another "
                     "aggregation, or missing values)",)
    log_notes += crashes(task, sum(instance.get("error") is not None for _, instance in mine), choices)
    setup = {OF_TASK + "generation_config": json.dumps(redacted(result["generation_config"]), sort_keys=True)} if (
        "generation_config" in result) else {}
    return TaskScores(
        frame, str(file), not lower if said is None else said, None, log_notes, model=plain(redacted(info["id"])),
        task=task, folder=str(file.parent), run=_run(record), metric=metric, setup=setup,
        identity={k: json.dumps(redacted(v), sort_keys=True) for k, v in info.items() if k not in ("id", "name")},
        account=Account(len(frame) - sum(blank.values()), {k: n for k, n in blank.items() if n}, {},
                        _stated(details, file)))


def _stated(details, file: Path) -> int | None:
    """How many samples the result counts."""
    uncertainty = details.get("uncertainty") if isinstance(details, dict) else None
    return _count(uncertainty, "num_samples", file) if isinstance(uncertainty, dict) else None


def _run(record: dict) -> str:
    return str(record.get("evaluation_timestamp") or record.get("retrieved_timestamp") or "")


def _result(file: Path, record: dict, task: str, choices: Choices) -> tuple[dict, str]:
    """The result of a task that counts and the name of its metric."""
    results = {_metric(result): result for result in record["evaluation_results"]
               if plain(result["evaluation_name"]) == task}
    there = sum(plain(result["evaluation_name"]) == task for result in record["evaluation_results"])
    if len(results) < there:
        raise InputError(f"{file}: {task} has {there} results with one metric ({', '.join(results)}): which counts "
                         "cannot be told; give each a metric_id or an evaluation_name of its own")
    chosen = choices.of(task)[0]
    if chosen is not None and chosen not in results:
        raise InputError(f"{file}: {task} has no metric {chosen} (asked for in {choices.source}); it has "
                         f"{', '.join(results)}")
    if chosen is None and len(results) > 1:
        raise InputError(f"{file}: {task} has several metrics ({', '.join(results)}): say which with --metric")
    metric = chosen or next(iter(results))
    return results[metric], metric


def _metric(result: dict) -> str:
    config = result["metric_config"]
    return plain(config.get("metric_id") or config.get("metric_name") or "score")


def _item(instance: dict, config: dict, metric: str, where: str, choices: Choices, blank: dict[str, int]) -> dict:
    value = instance["evaluation"]["score"]
    worth = told(value, choices.values)
    if not isinstance(instance.get("error"), (str, type(None))):
        raise InputError(f"{where}: error is {json.dumps(instance['error'])[:40]}, neither a text nor null")
    if instance.get("error") is not None:
        score = 0.0 if choices.errors == "wrong" else math.nan
        blank[_CRASHED] += choices.errors != "wrong"
    elif worth is not None:
        score = worth
        blank[_NO_SCORE] += math.isnan(worth)
    elif not isinstance(value, (bool, int, float)) or math.isnan(score := plain_number(value, metric, where)):
        raise InputError(f"{where}: score {json.dumps(value)[:40]} is not a number")
    elif config.get("has_unknown_level") is True and score == -1:  # the schema's own mark
        score = math.nan
        blank[_NO_SCORE] += 1
    elif not _bound(config, "min_score", -math.inf, where) <= score <= _bound(config, "max_score", math.inf, where):
        raise InputError(f"{where}: score {score:g} is not within min_score and max_score of {metric}; if it stands "
                         f"for a missing one, --value {score:g}=missing")
    asked, right = instance["input"]["raw"], instance["input"]["reference"]
    doc = _sha256(json.dumps([asked, instance["input"].get("choices")], sort_keys=True))
    return {"item": plain(instance["sample_id"]), "score": score, "content": doc, "doc_hash": doc,
            "target_hash": _sha256(json.dumps(right, sort_keys=True))}


def _bound(config: dict, name: str, default: float, where: str) -> float:
    value = config.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise InputError(f"{where}: {name} of its record is {json.dumps(value)[:40]}, not a number")
    return default if value is None else float(value)


# ---- writing ------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Interval:
    """A confidence interval in score units, its level, and how it was computed."""

    lower: float
    upper: float
    level: float
    method: str


@dataclass(frozen=True)
class Answer:
    """One instance: a question's name and text, its reference answers, what the model said, and the score of that."""

    sample_id: str
    question: str
    reference: Sequence[str]
    output: str
    score: float


@dataclass(frozen=True)
class Estimate:
    """One model's score on one bank, as it is to be published.

    model         its id, `developer/name`
    task          the evaluation's name
    score         the estimate, in score units
    interval      its confidence interval
    asked         how many answers it rests on
    retrieved     when, in seconds since 1970
    organization  who evaluated; relationship: first_party, third_party, collaborative or other
    dataset       name of the bank
    metric        its id; lowest and highest score there can be
    library       (name, version) of the program that asked the model
    model_details, source_details, details: what else is to be said of the model, the source and the score, as texts
    answers       the instances, if they are to be published
    """

    model: str
    task: str
    score: float
    interval: Interval
    asked: int
    organization: str
    dataset: str
    library: tuple[str, str]
    retrieved: float | None = None
    relationship: str = "third_party"
    metric: str = "accuracy"
    higher_is_better: bool = True
    lowest: float = 0.0
    highest: float = 1.0
    deployment: str = "unknown"
    availability: str = "unknown"
    model_details: dict[str, str] = field(default_factory=dict)
    source_details: dict[str, str] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    answers: Sequence[Answer] = ()


def write_record(root: Path | str, estimate: Estimate) -> Path:
    """Write an estimate as a record into root/data/<task>/<developer>/<model>/, the layout of the collection; returns
    its path. The instances come first, so that there is never a record without those it names. Keys and tokens are
    redacted.

    Raises InputError for numbers that are not finite or contradict each other, and for a file that cannot be written.
    """
    _check(estimate)
    developer, _, name = estimate.model.rpartition("/")
    parts = [_path_part(part) for part in (estimate.task, developer or "unknown", name)]
    now = time.time() if estimate.retrieved is None else estimate.retrieved
    identity = f"{estimate.task}/{estimate.model}/{now:.6f}"
    stem = str(uuid.uuid4())
    folder = Path(root).joinpath("data", *parts)
    record = _as_record(estimate, identity, now)
    if estimate.answers:
        lines = "".join(json.dumps(_as_instance(answer, estimate, identity), allow_nan=False) + "\n"
                        for answer in estimate.answers)
        record["detailed_evaluation_results"] = {
            "format": "jsonl", "file_path": "/".join(["data", *parts, stem + _SAMPLES]), "hash_algorithm": "sha256",
            "checksum": _sha256(lines), "total_rows": len(estimate.answers)}
        write_whole(folder / (stem + _SAMPLES), lines)
    path = folder / f"{stem}.json"
    write_whole(path, json.dumps(record, indent=2, allow_nan=False) + "\n")
    return path


def _check(e: Estimate) -> None:
    where = f"{e.model} on {e.task}"
    numbers = [e.score, e.interval.lower, e.interval.upper, e.interval.level, e.lowest, e.highest]
    if not all(map(math.isfinite, [*numbers, *(answer.score for answer in e.answers)])):
        raise InputError(f"{where}: a record holds finite numbers only; leave answers without a score out")
    if not e.interval.lower <= e.interval.upper or not 0 < e.interval.level < 1 or e.asked < 1:
        raise InputError(f"{where}: interval {e.interval.lower:g} to {e.interval.upper:g} at level "
                         f"{e.interval.level:g} from {e.asked} answers is none")
    if not e.model.strip("/") or not e.task:
        raise InputError(f"{where}: a record needs the names of its model and its task")


def _path_part(name: str) -> str:
    """A name as one folder: other characters than those of file names become _, and none leads elsewhere."""
    safe = "".join(c if c.isalnum() or c in "-_.+" else "_" for c in plain(name))
    return "_" * len(safe) if set(safe) <= {"."} else safe


def _as_record(e: Estimate, identity: str, now: float) -> dict[str, Any]:
    name, version = e.library
    score_type = {"score_type": "continuous", "min_score": e.lowest, "max_score": e.highest}
    if e.answers and (e.lowest, e.highest) == (0, 1) and all(answer.score in (0, 1) for answer in e.answers):
        score_type["score_type"] = "binary"
    developer = e.model.rpartition("/")[0]
    return {
        "schema_version": VERSION, "evaluation_id": identity, "retrieved_timestamp": f"{now:.6f}",
        "source_metadata": {"source_type": "evaluation_run", "source_organization_name": e.organization,
                            "evaluator_relationship": e.relationship,
                            "additional_details": _texts(e.source_details)},
        "model_info": {"name": e.model.rpartition("/")[2], "id": e.model,
                       **({"developer": developer} if developer else {}),
                       "additional_details": {"deployment_type": e.deployment, "model_availability": e.availability,
                                              **_texts(e.model_details)}},
        "eval_library": {"name": name, "version": version},
        "evaluation_results": [{
            "evaluation_result_id": f"{identity}/{e.metric}", "evaluation_name": e.task,
            "source_data": {"dataset_name": e.dataset, "source_type": "other"},
            "metric_config": {"metric_id": e.metric, "lower_is_better": not e.higher_is_better, **score_type},
            "score_details": {"score": e.score, "details": _texts(e.details), "uncertainty": {
                "confidence_interval": {"lower": e.interval.lower, "upper": e.interval.upper,
                                        "confidence_level": e.interval.level, "method": e.interval.method},
                "num_samples": e.asked}}}]}


def _texts(details: dict[str, str]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in redacted(details).items()}


def _as_instance(answer: Answer, e: Estimate, identity: str) -> dict[str, Any]:
    best = e.highest if e.higher_is_better else e.lowest
    reference = list(answer.reference)
    return {"schema_version": VERSION, "evaluation_id": identity, "model_id": e.model, "evaluation_name": e.task,
            "evaluation_result_id": f"{identity}/{e.metric}", "sample_id": answer.sample_id,
            "sample_hash": _sha256(answer.question + "".join(reference)), "interaction_type": "single_turn",
            "input": {"raw": answer.question, "reference": reference}, "output": {"raw": [answer.output]},
            "answer_attribution": [],  # how the answer was found in the output is not known here
            "evaluation": {"score": answer.score, "is_correct": answer.score == best}}
