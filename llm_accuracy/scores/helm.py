"""Runs of HELM: per_instance_stats.json with run_spec.json beside it, and the questions in instances.json (written by
helm-summarize) or scenario_state.json (by helm-run) where one of them is there."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import read_json
from ..redaction import redacted
from .contract import Reading, checked, plain
from .score_values import plain_number, told
from .task_scores import Account, Choices, TaskScores, digest

DEFAULT_METRIC = "exact_match"
TEST = "test"
INSTANCES = ("instances.json", "scenario_state.json")
_AUGMENTED = "data_augmentation"
# HELM's own metrics of accuracy, higher is better; of others its files say nothing.
_HIGHER = re.compile(r"(quasi_|prefix_|quasi_prefix_)?exact_match(@\d+)?|f1_score|f1_set_match|rouge_[12l]|bleu_[14]|"
                     r"(final_number_)?exact_match|math_equiv(_chain_of_thought)?|chain_of_thought_correctness|ifeval_strict_accuracy|"
                     r"RR@10|NDCG@10|pass|code_eval_acc|test_avg|strict_acc|classification_(macro|micro)_f1|wildbench_score_rescaled|"
                     r"omni_math_accuracy")


def recognises(path: Path) -> bool:
    """Whether a path is a run of HELM or a folder that holds some."""
    if path.is_dir():
        return next(path.rglob("per_instance_stats.json"), None) is not None
    return path.name == "per_instance_stats.json"


@dataclass
class _Instance:
    """One question: its score in every trial."""

    values: list[float] = field(default_factory=list)
    trials: set[int] = field(default_factory=set)
    scored: set[int] = field(default_factory=set)  # HELM writes an entry for each metric class: these had the metric


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every run of HELM in a folder (searched recursively), or one per_instance_stats.json.

    Of the splits the test split is read, as on HELM's leaderboards, and others only where there is none or where
    --filter names one; perturbed instances are left out, train trials averaged, and all of it counted. The metric is
    exact_match unless another is named. Raises InputError for another layout and for a metric that does not occur.
    """
    files = sorted(path.rglob("per_instance_stats.json")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no per_instance_stats.json here")
    specs = _specs(files)
    wanted = choices.wanted((spec.task for spec in specs.values()), path)
    return Reading([checked(_one_run(file, spec, choices), choices) for file, spec in specs.items()
                    if spec.task in wanted])


@dataclass(frozen=True)
class _Spec:
    """What run_spec.json says of a run; `identity` names the model beside its name, `setup` how it was asked."""

    model: str
    task: str
    identity: dict[str, str]
    setup: dict[str, str]


def _specs(files: list[Path]) -> dict[Path, _Spec]:
    """The runs' specs. Of a run with augmented data the unperturbed instances are read, which are those of the plain
    run: it is called as that one is, except where a folder holds both."""
    specs = {file: _spec(file) for file in files}
    short = {file: _without(spec.task, _AUGMENTED) for file, spec in specs.items()}
    count = Counter((file.parent.parent, specs[file].model, short[file]) for file in files)
    return {file: replace(spec, task=short[file]) if count[file.parent.parent, spec.model, short[file]] == 1 else spec
            for file, spec in specs.items()}


def _spec(file: Path) -> _Spec:
    """Of one run. A task's name has all of its arguments, and so is one run."""
    run = read_json(file.with_name("run_spec.json"))
    try:
        adapter, name = run["adapter_spec"], run["name"]
        model = adapter["model"]
        if not isinstance(model, str) or not isinstance(name, str):
            raise TypeError("a text for model and name")
    except (KeyError, TypeError) as error:
        raise InputError(f"{file.with_name('run_spec.json')}: not the layout of HELM (missing {error})") from None
    task = _without(name, "model", "model_deployment")
    deployment = adapter.get("model_deployment")
    setup = {key: plain(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
             for key, value in redacted(adapter).items() if key not in ("model", "model_deployment")}
    return _Spec(plain(redacted(model)), plain(redacted(task)),
                 {} if deployment is None else {"model_deployment": str(redacted(deployment))},
                 {**setup, _AUGMENTED: dict(_arguments(task)).get(_AUGMENTED, "none")})


def _arguments(name: str) -> list[tuple[str, str]]:
    """[(argument, value)] of a run's name, such as mmlu:subject=law,model=org_m."""
    return [(key, value) for key, _, value in (part.partition("=") for part in name.partition(":")[2].split(","))]


def _without(name: str, *dropped: str) -> str:
    """A run's name without some of its arguments."""
    start, colon, rest = name.partition(":")
    kept = [part for part in rest.split(",") if part.partition("=")[0] not in dropped]
    return start + colon + ",".join(kept) if kept else start


def _one_run(file: Path, spec: _Spec, choices: Choices) -> TaskScores:
    task = spec.task
    metric, split = choices.of(task)
    metric = metric or DEFAULT_METRIC
    found, names, left_out = _read_instances(file, metric, choices)
    if not names and left_out:
        raise InputError(f"{file}: {task}: all of its instances are perturbed ({', '.join(left_out)}), and only others "
                         "are read: take a run with the original instances")
    if not any(found.values()):
        raise InputError(f"{file}: no metric {metric!r}; choose with --metric, e.g. {', '.join(sorted(names)[:8])}")
    if split is None:
        split = TEST if TEST in found else next(iter(found)) if len(found) == 1 else None
    if split is None or split not in found:
        raise InputError(f"{file}: {task} has the splits {', '.join(found)}" + (f" and no {split}" if split else "")
                         + ": choose one with --filter")
    left_out |= {f"instances of split {other or 'unknown'} ({split} is read; --filter chooses)": len(instances)
                 for other, instances in found.items() if other != split}
    prints = _fingerprints(file, split)
    rows = [{"item": name, "score": float(np.mean(i.values)) if i.values else math.nan, "runs": len(i.values),
             **prints.get(name, {})} for name, i in found[split].items()]
    frame = pd.DataFrame(rows).set_index("item")
    blank = int(frame["score"].isna().sum())
    most = max(len(i.trials) for i in found[split].values())
    notes: tuple[str, ...] = (f"{task}: up to {most} trials a question, averaged",) if most > 1 else ()
    if not prints:  # the same line for every run, so that it is printed once
        notes += (f"runs of HELM without {' or '.join(INSTANCES)} have no fingerprints of their questions, which are "
                  "known by their ids alone",)
    elif lacking := int((~frame.index.isin(list(prints))).sum()):
        notes += (f"{task}: no fingerprints of {lacking:,} of {len(frame):,} questions, which are known by their ids "
                  "alone",)
    return TaskScores(frame, str(file), _direction(metric, file, task, choices), None, notes, spec.model, task,
                      str(file.parent.parent), metric=metric, identity=spec.identity, setup=spec.setup,
                      account=Account(len(frame) - blank, {f"no {metric}": blank} if blank else {}, left_out))


def _direction(metric: str, file: Path, task: str, choices: Choices) -> bool:
    said = choices.direction(metric)
    if said is None and not _HIGHER.fullmatch(metric):
        raise InputError(f"{file}: {task}: nothing says whether higher {metric} is better: say it with "
                         f"--higher-is-better "
                         f"{metric}=true or {metric}=false")
    return True if said is None else said


def _read_instances(file: Path, metric: str, choices: Choices
                    ) -> tuple[dict[str, dict[str, _Instance]], set[str], dict[str, int]]:
    """({split: {instance: scores}}, names of all metrics, {why: how many instances are left out})."""
    found: dict[str, dict[str, _Instance]] = {}
    names: set[str] = set()
    perturbed: set[tuple[str, str, str]] = set()  # one instance, whatever its trials and entries
    try:
        for number, instance in enumerate(read_json(file), start=1):
            name, trial = plain(instance["instance_id"]), int(instance.get("train_trial_index") or 0)
            where = f"{file}: instance {number} ({name})"
            if isinstance(instance["instance_id"], (dict, list, bool, float)) or instance["instance_id"] is None:
                raise InputError(f"{where}: instance_id names no question")
            if instance.get("perturbation"):
                how = instance["perturbation"]
                perturbed.add((_perturbation(how), name, json.dumps(how, sort_keys=True)))
                continue
            splits = {stat["name"].get("split") for stat in instance["stats"]} - {None} or {""}
            if len(splits) > 1:
                raise InputError(f"{where}: its statistics are of several splits ({', '.join(sorted(splits))})")
            [split] = splits
            kept = found.setdefault(split, {}).setdefault(name, _Instance())
            kept.trials.add(trial)
            of_metric = [stat for stat in instance["stats"] if stat["name"]["name"] == metric and stat["count"]
                         and not stat["name"].get("perturbation")]
            if len(of_metric) > 1:
                raise InputError(f"{where}: {metric} is given {len(of_metric)} times in one trial (sub-splits?), and "
                                 "nothing says which counts")
            if of_metric and trial in kept.scored:
                raise InputError(f"{where}: trial {trial} is given twice")
            kept.scored |= {trial} if of_metric else set()
            for stat in instance["stats"]:
                names.add(stat["name"]["name"])
                if stat["name"]["name"] == metric and stat["count"] and not stat["name"].get("perturbation"):
                    kept.values += [v for v in [_mean(stat, metric, where, choices)] if not math.isnan(v)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not the layout of HELM (missing {error})") from None
    found = {split: instances for split, instances in found.items() if metric in names} if metric in names else {}
    counts = Counter(kind for kind, *_ in sorted(perturbed))
    return found, names, {f"perturbed instances ({kind})": count for kind, count in counts.items()}


def _perturbation(value) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) else "unnamed"


def _mean(stat: dict, metric: str, where: str, choices: Choices) -> float:
    total = stat["sum"]
    if total is None:
        return math.nan
    count = stat["count"]
    if not isinstance(total, (bool, int, float)) or type(count) is not int or count < 0:
        raise InputError(f"{where}: {metric}: sum {total!r:.40} over count {stat['count']!r:.20} is not a score")
    value = plain_number(total, metric, where) / stat["count"]
    worth = told(value, choices.values)
    return value if worth is None else worth


def _fingerprints(file: Path, split: str) -> dict[str, dict[str, str]]:
    """instance → fingerprints, from the questions in instances.json, else in scenario_state.json; {} without both.

    Raises InputError where a file gives one instance two contents.
    """
    path = next((there for name in INSTANCES if (there := file.with_name(name)).is_file()), None)
    if path is None:
        return {}
    prints: dict[str, dict[str, str]] = {}
    try:
        content = read_json(path)
        for instance in content if isinstance(content, list) else _asked(content):
            if instance.get("perturbation") or (instance.get("split") or split) != split:
                continue
            name, print_ = plain(instance["id"]), _fingerprint(instance)
            if prints.setdefault(name, print_) != print_:
                raise InputError(f"{path}: instance {name} of split {split or 'unknown'} is given twice, with two "
                                 "contents")
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not the layout of HELM (missing {error})") from None
    return prints


def _asked(state: dict) -> Iterator[dict]:
    """The instances of scenario_state.json, each as often as it was asked: once a trial, or once an option."""
    for request in state["request_states"]:
        if request.get("request_mode") != "calibration":  # asks without the question
            yield request["instance"]


def _fingerprint(instance: dict) -> dict[str, str]:
    references = instance.get("references") or []
    options = sorted(json.dumps(r.get("output")) for r in references)
    right = sorted(json.dumps(r.get("output")) for r in references if "correct" in (r.get("tags") or []))
    doc = digest([instance["input"], options])
    return {"content": doc, "doc_hash": doc, "target_hash": digest(right)}
