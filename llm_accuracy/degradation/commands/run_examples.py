"""run-examples: make the inputs, by running lm-evaluation-harness on some models and seeds."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

from ... import cli
from ...errors import InputError
from ...files import read_json, write_whole
from ..words import as_json
from . import flags
from .command import Command

MODELS = "checkpoint_list.json"


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("--models", nargs="+", required=True, metavar="NAME=ARGS",
                    help="the baseline first, e.g. base=pretrained=org/model int8=pretrained=org/model-int8")
    to.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="tasks of the harness")
    to.add_argument("--seeds", nargs="+", type=cli.at_least(0), default=[0], metavar="S")
    to.add_argument("--model-type", default="hf", metavar="TYPE", help="the harness's --model (default hf)")
    to.add_argument("--samples", type=Path, metavar="FILE",
                    help="only these documents, {task: [numbers]}: of plan --write-samples, or the samples.json of "
                         "flips")
    to.add_argument("--harness", default="lm_eval", metavar="COMMAND",
                    help="the command that starts it (default lm_eval)")
    to.add_argument("--output-dir", type=Path, default=Path("runs"), metavar="DIR")
    to.add_argument("--dry-run", action="store_true", help="print the commands, without keys and tokens, run none")
    to.add_argument("more", nargs="*", metavar="-- FLAGS", help="flags for the harness")


def run(options: argparse.Namespace) -> int:
    models = read_arguments(options.models)
    more = list(options.more)
    if options.samples:
        more = ["--samples", json.dumps(read_samples(options.samples, options.tasks)), *more]
    for name, arguments in models.items():
        for seed in options.seeds:
            folder = options.output_dir / name / f"seed{seed}"
            command = [*shlex.split(options.harness), "--model", options.model_type, "--model_args", arguments,
                       "--tasks", ",".join(options.tasks), "--seed", str(seed), "--log_samples", "--output_path",
                       str(folder), *more]
            print(flags.shown(command), flush=True)
            if options.dry_run or (folder.is_dir() and any(folder.rglob("results_*.json"))):
                continue
            run_harness(command)
            if not any(folder.rglob("samples_*.jsonl")):
                raise InputError(f"{folder}: the harness left no samples there")
    if options.dry_run:
        return 0
    folders = list_runs(options.output_dir / MODELS, list(models), options.seeds)
    first = [str(options.output_dir / folder) for folder in folders[next(iter(models))]]
    start = shlex.join(flags.program())
    if len(models) > 1:
        print(f"next: {start} suite {options.output_dir / MODELS}")
    if len(first) > 1:
        print(f"      {start} flips {' '.join(first)}")
    return 0


def read_arguments(given: list[str]) -> dict[str, str]:
    """{name: the harness's model arguments} from NAME=ARGS."""
    from ...redaction import redacted

    models = {}
    for model in given:
        name, equals, arguments = model.partition("=")
        if not (name and equals and arguments) or "/" in name or name in models or not model.isprintable():
            raise InputError(f"--models {redacted(model)}: expected a new NAME=ARGS that can be printed, such as "
                             "base=pretrained=org/model")
        models[name] = arguments
    return models


def list_runs(target: Path, names: list[str], seeds: list[int]) -> dict[str, list[str]]:
    """Write the runs of these models, earlier ones kept, as a list that suite reads; {name: folders} of these."""
    earlier = read_json(target) if target.exists() else {}
    folders = {name: list(dict.fromkeys([*earlier.get(name, []), *(f"{name}/seed{seed}" for seed in seeds)]))
               for name in names}
    write_whole(target, as_json({**earlier, **folders}))
    return folders


def read_samples(path: Path, tasks: list[str]) -> dict[str, list[int]]:
    """{task: document numbers}, sorted and unique, or else the harness logs wrong numbers."""
    from ...scores.drawn import RECORD

    content = read_json(path)
    if isinstance(content, dict):
        content.pop(RECORD, None)  # how it was drawn, which pair checks
    if not isinstance(content, dict) or not all(isinstance(ids, list) and all(type(i) is int for i in ids)
                                                for ids in content.values()):
        raise InputError(f'{path}: expected {{"task": [document numbers]}}')
    missing = [task for task in tasks if not content.get(task)]
    if missing:
        raise InputError(f"{path}: no documents of {', '.join(missing)}; it has {', '.join(content)}")
    return {task: sorted(set(content[task])) for task in tasks}


def run_harness(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdout=sys.stderr, check=False)
    except OSError as error:
        raise InputError(f"{command[0]} cannot be started ({error.strerror}): pip install lm_eval, or name it with "
                         "--harness") from None
    if done.returncode:
        raise InputError(f"the harness ended with code {done.returncode}, see above: {flags.shown(command)}")


COMMAND = Command(
    "run-examples", "make the inputs: run lm-evaluation-harness on some models and seeds", add, run,
    description="Runs the harness with --log_samples once for each model and seed, into "
                "OUTPUT_DIR/NAME/seedS, and writes a checkpoint_list.json for suite. Runs that are there are "
                "kept; the same command continues. What follows -- goes to the harness, for example\n"
                "-- --batch_size 8 --gen_kwargs temperature=0.3,do_sample=true",
)
