"""Logs of lm-evaluation-harness 0.4 with --log_samples: results_<time>.json beside samples_<task>_<time>.jsonl.

`read_logs` takes the runs in a folder (lm_eval_runs.py), reads what the results say about each (model, set-up,
direction, counts) and its samples files (lm_eval_samples.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..redaction import redacted
from .contract import Reading, checked, one_model, plain
from .lm_eval_runs import OLD_TIME, find_runs, misnamed, read_results, unclaimed
from .lm_eval_samples import DEFAULT_METRICS, Samples, choose, family, read_samples, sample_task, value_of
from .score_values import PERPLEXITIES, logged_value
from .task_scores import Choices, TaskScores
from .workers import in_order

CATEGORY_NAMES = {"bbh": "BBH", "gpqa": "GPQA", "musr": "MuSR", "mmlu_pro": "MMLU-Pro", "math": "MATH",
                  "ifeval": "IFEval"}
# Whether higher is better, for the metrics that the harness itself registers: used where no results file says it.
_HIGHER = """acc acc_norm acc_all acc_mutual_info acc_bytes exact_match f1 mcc bleu chrf likelihood em pass@1
    prompt_level_strict_acc inst_level_strict_acc prompt_level_loose_acc inst_level_loose_acc"""
KNOWN_DIRECTIONS = {**dict.fromkeys(_HIGHER.split(), True), "ter": False, "brier_score": False}
# What names a model, and how it was asked, by the keys of a results file
_IDENTITY = ("model", "model_args", "model_revision", "model_sha", "model_dtype", "model_num_parameters")
_SETUP = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")


def recognises(path: Path) -> bool:
    """Whether `read_logs` reads a file or folder: any folder that no other reader recognises."""
    return path.is_dir() or path.name.endswith((".json", ".jsonl", ".jsonl.gz"))


def read_harness(
    path: Path | str, choices: Choices | None = None, only: str | None = None
) -> dict[str, TaskScores]:
    """{task: TaskScores} of one model of lm-evaluation-harness: its output folder (searched recursively), one
    results_*.json, or one samples_*.jsonl. Of several runs (timestamps) the latest of each task counts, and a note says
    so. Raises InputError as `read_logs` and `contract.one_model` do."""
    choices = choices or Choices()
    if only is not None:
        choices = replace(choices, tasks=(only,))
    return one_model(read_logs(Path(path), choices), choices, str(path))


def read_logs(path: Path, choices: Choices) -> Reading:
    """Every model, task and run of lm-evaluation-harness in a folder (searched recursively), one results_*.json, or one
    samples_*.jsonl. Raises InputError if the metric, the filter or the direction of a task is ambiguous, for an
    answer given twice, and for metrics that are not means over items."""
    runs = find_runs(path)
    tasks = choices.wanted((task for samples, _ in runs.values() for task in samples), path)
    reading = Reading()
    if odd := misnamed(path):
        reading.notes.append(f"{path}: {len(odd)} files are called samples_… but not as the harness calls them, and "
                             f"are left out (first {odd[0].relative_to(path)})")
    contents = {run: read_results(results_files) for run, (_, results_files) in runs.items()}
    works = [(file, task, _part(contents[run], "results", task), choices)
             for run, (samples, _) in runs.items() for task, file in sorted(samples.items()) if task in tasks]
    read = in_order(read_samples, works, [file for file, *_ in works], str(path))
    for (folder, time), (samples, results_files) in runs.items():
        results = contents[folder, time]
        if not samples:
            reading.notes.append(f"{results_files[0]}: left out, no samples file of this run is beside it: run the "
                                 f"harness with "
                                 "--log_samples")
            continue
        where = str(results_files[0]) if results_files else str(folder)
        if time == OLD_TIME and path.is_dir() and (others := unclaimed(folder, samples)):
            reading.notes.append(f"{where}: reports none of the tasks of {len(others)} files beside it, which are left "
                                 f"out (first {others[0]})")
        if not path.name.startswith("samples_"):
            reading.notes += [f"{where}: {task} is reported but has no samples file: left out"
                              for task in _reported(results) if task not in samples and choices.asks(task)]
        for task, file in sorted(samples.items()):
            if task in tasks:
                log = _one_task(file, task, results, next(read), choices, time, bool(results_files))
                reading.logs.append(checked(log, choices))
    defaults = sorted({f"{log.metric} of {family(log.task)}" for log in reading.logs
                       if family(log.task) and choices.of(log.task)[0] is None
                       and DEFAULT_METRICS[family(log.task) or ""] == log.metric})
    if defaults:
        reading.notes.append(f"tasks of the Open LLM Leaderboard are read by its metrics ({', '.join(defaults)}); "
                             f"--metric "
                             "chooses others")
    return reading


def _part(content: dict, *keys: str) -> dict:
    """A dictionary inside the results; {} where it is absent, null or of another type."""
    for key in keys:
        content = content.get(key)  # type: ignore[assignment]
        if not isinstance(content, dict):
            return {}
    return content


def _reported(results: dict) -> list[str]:
    """The tasks that the results report, without groups."""
    groups = {*_part(results, "groups"),
              *(name for name, members in _part(results, "group_subtasks").items() if members)}
    configs = _part(results, "configs")
    return [task for task in _part(results, "results") if task not in groups and (not configs or task in configs)]


def _one_task(file: Path, task: str, results: dict, read: Samples, choices: Choices, time: str, known: bool
              ) -> TaskScores:
    reported = _part(results, "results", task)
    frame, account, (metric, chosen) = read
    counts = _part(results, "n-samples", task)
    stated, dataset = (_whole(counts.get(key)) for key in ("effective", "original"))
    odd = [f"{key} is {json.dumps(value)[:20]}" for key, value in counts.items() if _whole(value) is None]
    if stated is None and type(reported.get("sample_len")) is int:
        stated = reported["sample_len"]
    notes: tuple[str, ...] = () if known else (
        f"{file.parent}: no results file next to the samples; nothing is known of the run's set-up",)
    if odd:
        notes = (*notes, f"{task}: not held against n-samples, whose {', '.join(odd)}")
    value = reported.get(f"{metric},{chosen}")
    mean = frame["score"].mean()
    exact = metric not in (*PERPLEXITIES, "perplexity") and "." not in metric
    if type(value) in (int, float) and exact and not abs(value - mean) <= 1e-6:
        notes = (*notes, f"{task}: the items' mean of {metric} is {mean:.4g}, the harness reports "
                         f"{value:.4g} (another aggregation, or missing values)")
    config = _part(results, "config")
    name = results.get("model_name")
    return TaskScores(
        frame, str(file), _direction(metric, task, results, choices, file), _category(task, results), notes,
        model=plain(redacted(name)) if isinstance(name, str) else "", task=task, folder=str(file.parent), run=time,
        metric=metric,
        identity={key: _text(config[key], key) for key in _IDENTITY if key in config},
        setup=_setup(task, results, config), account=replace(account, stated=stated, dataset=dataset))


def _whole(value: Any) -> int | None:
    """A count; None for anything but a whole number."""
    return int(value) if type(value) in (int, float) and value == value // 1 and abs(value) < 1e15 else None


def _setup(task: str, results: dict, config: dict) -> dict[str, str]:
    setup = {key: _text(results[key], key) for key in _SETUP if key in results}
    if "limit" in config:
        setup["limit"] = _text(config["limit"], "limit")
    if config.get("gen_kwargs"):
        setup["gen_kwargs"] = _text(config["gen_kwargs"], "gen_kwargs")
    if (shots := _part(results, "n-shot").get(task)) is not None:
        setup["n-shot"] = _text(shots, "n-shot")
    return setup


def _text(value, key: str) -> str:
    value = redacted(value, key)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _direction(metric: str, task: str, results: dict, choices: Choices, where: object) -> bool:
    """Whether a higher item score is better: what the user says, else what the results say, else what the harness
    registers for the metric. Raises InputError where nobody says it."""
    if metric in PERPLEXITIES or metric == "perplexity":
        return True  # items are logged as log-likelihoods, even where a lower perplexity is better
    said = choices.direction(metric)
    if said is not None:
        return said
    base = metric.partition(".")[0]
    told = _part(results, "higher_is_better", task)
    found = results.get("higher_is_better", {})
    stated = metric in told or base in told or not isinstance(found, dict)
    value = told.get(metric, told.get(base))
    if isinstance(value, bool):
        return value
    if not stated and base in KNOWN_DIRECTIONS:
        return KNOWN_DIRECTIONS[base]
    what = (f"higher_is_better of {metric} is {json.dumps(value)[:40]}" if stated
            else f"nothing says whether higher {metric} is better")
    raise InputError(f"{where}: {task}: {what}: say it with --higher-is-better {metric}=true or {metric}=false")


def sample_direction(file: Path, metric: str, choices: Choices) -> bool | None:
    """Whether a higher score is better, according to the user or to the results file next to the samples; None as
    long as there is none. Raises InputError if that file does not say it."""
    if (said := choices.direction(metric)) is not None:
        return said
    task = sample_task(file)
    results = [results for samples, results in find_runs(file).values() if task in samples and results]
    return _direction(metric, task, read_results(results[0]), choices, file) if results else None


def _category(task: str, results: dict) -> str | None:
    """The benchmark a task belongs to: its leaderboard family, else the smallest group that lists it."""
    if found := family(task):
        return CATEGORY_NAMES[found]
    groups = {name: members for name, members in _part(results, "group_subtasks").items()
              if isinstance(members, list) and task in members}
    return min(groups, key=lambda name: len(groups[name]), default=None)


# ---- in process ----------------------------------------------------------------------------------------------

def scores_of_samples(task: str, samples: list[dict], choices: Choices, source: str) -> dict[int, float]:
    """{doc_id: score} of a task's samples as the harness returns them in process, by the same metric and filter as in
    its logs. Raises InputError where these are ambiguous or no score of one question in [0, 1]."""
    metric, chosen = choose(task, list(enumerate(samples, start=1)), choices, Path(source))
    scores: dict[int, float] = {}
    for record in samples:
        if record["filter"] != chosen:
            continue
        value: Any = value_of(record, metric)
        where = f"{source}: {task}/{record['doc_id']}"
        score = logged_value(value.item() if hasattr(value, "item") else value, metric, where, choices.values)
        if not isinstance(score, float) or not 0 <= score <= 1:
            raise InputError(f"{where}: {metric} = {value!r:.40} is not one score in [0, 1]: choose another with "
                             "--metric")
        scores[int(record["doc_id"])] = score
    return scores
