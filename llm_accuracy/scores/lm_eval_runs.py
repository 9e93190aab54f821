"""Which files of lm-evaluation-harness are one run.

    since 0.4.3       results_<time>.json (or any <stem>_<time>.json) beside samples_<task>_<time>.jsonl
    0.4.0 to 0.4.2    results.json beside <model arguments>_<task>.jsonl, a JSON list; or <task>.jsonl

Samples may be gzipped.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError
from ..files import read_json
from .lm_eval_samples import SAMPLES, TIMESTAMP

_RESULTS = re.compile(rf"(?!samples_).+_({TIMESTAMP})\.json")
OLD_RESULTS = "results.json"
OLD_TIME = "(results.json)"  # the name of such a run, which sorts before every time
_OLD_SAMPLES = re.compile(r"(.+)\.jsonl(?:\.gz)?")
Runs = dict[tuple[Path, str], tuple[dict[str, Path], list[Path]]]


def is_old_sample(path: Path) -> bool:
    """Whether a file is one task's samples of a run in the old layout."""
    return bool(_OLD_SAMPLES.fullmatch(path.name)) and path in _old_run(path.parent).values()


def find_runs(path: Path) -> Runs:
    """(folder, time) → ({task: samples file}, results files) of every run, in the order of their folders and times."""
    wanted = None
    if path.is_file() and (path.name == OLD_RESULTS or is_old_sample(path)):
        old = _old_run(path.parent)
        if not old:
            raise InputError(f"{path}: no <task>.jsonl of its tasks beside it; run the harness with --log_samples")
        chosen = old if path.name == OLD_RESULTS else {task: file for task, file in old.items() if file == path}
        return {(path.parent, OLD_TIME): (chosen, [path.with_name(OLD_RESULTS)])}
    if path.is_file():
        match = SAMPLES.fullmatch(path.name) or _RESULTS.fullmatch(path.name)
        if not match:
            raise InputError(f"{path}: not a results_<time>.json or samples_<task>_<time>.jsonl file")
        wanted = match[match.re.groups]
    folder = path if path.is_dir() else path.parent
    runs: Runs = {}
    for file in sorted((folder.rglob if path.is_dir() else folder.glob)("*.json*")):
        of_task, of_run = SAMPLES.fullmatch(file.name), _RESULTS.fullmatch(file.name)
        time = of_task[2] if of_task else of_run[1] if of_run else None
        if time is None or wanted not in (None, time) or file.name.startswith(".") or not file.is_file():
            continue  # a name with a dot before it is another program's (._results_… of macOS)
        samples, results = runs.setdefault((file.parent, time), ({}, []))
        if of_run:
            results.append(file)
        elif of_task and (not path.name.startswith("samples_") or file == path):
            if of_task[1] in samples:
                raise InputError(f"{samples[of_task[1]]} and {file}: two files of one task and run; remove one")
            samples[of_task[1]] = file
    for results_file in sorted(path.rglob(OLD_RESULTS)) if path.is_dir() else ():
        if old := _old_run(results_file.parent):
            runs[results_file.parent, OLD_TIME] = old, [results_file]
    if not any(samples for samples, _ in runs.values()):
        raise InputError(f"{path}: no CSV and no samples_<task>_<time>.jsonl here; run the harness with "
                         "--log_samples")
    return dict(sorted(runs.items()))


def _old_run(folder: Path) -> dict[str, Path]:
    """{task: samples file} of a results.json of the harness; {} where there is none.

    Files are named by the model's arguments and the task. Raises InputError for a file of one of the tasks that has
    other arguments: a later run has written over results.json.
    """
    results_file = folder / OLD_RESULTS
    content = read_json(results_file) if results_file.is_file() else None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("results", "versions")):
        return {}
    tasks = sorted({*content["results"], *content["versions"]}, key=len, reverse=True)
    config = content.get("config")
    arguments = config.get("model_args") if isinstance(config, dict) else None
    start = re.sub("/|=", "__", arguments) if isinstance(arguments, str) else None
    own = {task: task for task in tasks} | {f"{start}_{task}": task for task in tasks if start is not None}
    found: dict[str, Path] = {}
    for file, name in _old_files(folder):
        task = own.get(name) or next((task for task in tasks if name.endswith(f"_{task}")), None)
        if task is None:
            continue
        if task in found or (start is not None and name not in own):
            raise InputError(f"{file}: of the task {task}, but not of the run in {results_file.name} "
                             f"({found.get(task, results_file).name}), which a later run has written over: put each "
                             "run into a folder of its own")
        found[task] = file
    return found


def misnamed(path: Path) -> list[Path]:
    """Files in a folder that are called samples_… and yet are none of the harness's, such as a copy with (1)."""
    found = sorted(path.rglob("samples_*.json*")) if path.is_dir() else []
    return [file for file in found if not SAMPLES.fullmatch(file.name) and not is_old_sample(file) and file.is_file()]


def unclaimed(folder: Path, samples: dict[str, Path]) -> list[str]:
    """Names of files beside a run in the old layout that are of none of its tasks."""
    return [file.name for file, _ in _old_files(folder) if file not in samples.values()]


def _old_files(folder: Path) -> list[tuple[Path, str]]:
    """(file, name without ending) of all files that may be samples in the old layout."""
    named = [(file, _OLD_SAMPLES.fullmatch(file.name)) for file in sorted(folder.iterdir()) if file.is_file()]
    return [(file, match[1]) for file, match in named if match and not SAMPLES.fullmatch(file.name)]


def read_results(files: list[Path]) -> dict:
    """The content of a run's results file; {} without one. Raises InputError for several that differ."""
    found = [read_json(file) for file in files]
    for file, content in zip(files, found, strict=True):
        if not isinstance(content, dict):
            raise InputError(f"{file}: not a results file of the harness: expected a JSON object")
        if content != found[0]:
            raise InputError(f"{files[0]} and {file}: two different results files of one run; put them into folders "
                             f"of their own")
    return found[0] if found else {}
