"""run-examples, end to end: the harness's own command line, a model registered with it, suite, flips, and again."""

import json
import shlex
import subprocess

import pandas as pd
import pytest
from conftest import ROOT, harness_python

from llm_accuracy.degradation.commands.flags import shown
from llm_accuracy.degradation.commands.run_examples import read_arguments
from llm_accuracy.errors import InputError
from llm_accuracy.scores.readers import read_model
from llm_accuracy.scores.task_scores import Choices

MODELS = ("--models", "base=errors=0.2", "worse=errors=0.5", "--model-type", "sampling")


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    """(the command, a folder with its tasks)"""
    python = harness_python()
    folder = tmp_path_factory.mktemp("examples")
    subprocess.run([python, "-c", "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import run_lm_eval; "
                    "run_lm_eval.write_tasks(pathlib.Path(sys.argv[2]))", ROOT / "tests" / "helpers", folder / "tasks"],
                   check=True)
    return shlex.join(map(str, (python, ROOT / "tests" / "helpers" / "sampling_harness.py"))), folder


def test_from_models_to_verdict_and_chosen_items(script, harness, monkeypatch):
    command, folder = harness
    monkeypatch.setenv("HF_HOME", str(folder / "cache"))
    examples = ("run-examples", *MODELS, "--tasks", "h_generate", "--harness", command)
    more = ("--", "--include_path", folder / "tasks")
    done = script("mcnemar_tests.py", *examples, "--seeds", 0, *more, cwd=folder)
    assert done.stdout.count("--log_samples") == 2 and "suite runs/checkpoint_list.json" in done.stdout
    before = sorted(folder.rglob("results_*.json"))
    script("mcnemar_tests.py", *examples, "--models", "base=errors=0.2", "--seeds", 0, 1, *more, cwd=folder)
    after = sorted(folder.rglob("results_*.json"))
    assert len(before) == 2 and len(after) == 3 and set(before) < set(after)  # what is there is kept
    listed = json.loads((folder / "runs" / "checkpoint_list.json").read_text())
    assert listed == {"base": ["base/seed0", "base/seed1"], "worse": ["worse/seed0"]}

    (folder / "metrics.json").write_text('{"h_generate": "exact_match,flexible-extract"}')
    metrics = ("--task-metrics", "metrics.json")
    script("mcnemar_tests.py", "suite", "runs/checkpoint_list.json", *metrics, cwd=folder)
    summary = pd.read_csv(folder / "degradation" / "summary.csv").set_index("task")
    assert summary.loc["ALL", "verdict"] == "degraded" and summary.loc["h_generate", "n"] == 40

    seeds = ("runs/base/seed0", "runs/base/seed1")
    script("mcnemar_tests.py", "flips", *seeds, *metrics, cwd=folder)
    samples = json.loads((folder / "flips" / "samples.json").read_text())["h_generate"]
    assert 0 < len(samples) < 40
    script("mcnemar_tests.py", "run-examples", "--models", "base=errors=0.2", "--model-type", "sampling", "--tasks",
           "h_generate", "--harness", command, "--seeds", 7, "--samples", "flips/samples.json", "--output-dir", "again",
           *more, cwd=folder)
    again = read_model(folder / "again" / "base" / "seed7",
                                 Choices.read(folder / "metrics.json"))["h_generate"]
    assert sorted(map(int, again.frame.index)) == samples
    items = ("--items", "flips/selection.json")
    refused = script("mcnemar_tests.py", "pair", *seeds, *metrics, *items, cwd=folder, code=2)
    assert "chosen on this very run" in refused.stderr


@pytest.mark.parametrize("flags, message", [
    (("--models", "base"), "expected a new NAME=ARGS"),
    (("--models", "a=x=1", "a=x=2"), "expected a new NAME=ARGS"),
    (("--models", "a=x=1", "--samples", "s.json"), "no documents of t; it has u"),
    (("--models", "a=x=1", "--samples", "list.json"), "expected {"),
    (("--models", "a=x=1", "--harness", "no-such-command"), "no-such-command cannot be started"),
    (("--models", "a=x=1", "--harness", "false"), "the harness ended with code 1"),
    (("--models", "a=x=1", "--harness", "true"), "the harness left no samples"),
])
def test_bad_input(script, tmp_path, flags, message):
    (tmp_path / "s.json").write_text('{"u": [1]}')
    (tmp_path / "list.json").write_text("[1]")
    done = script("mcnemar_tests.py", "run-examples", "--tasks", "t", *flags, cwd=tmp_path, code=2)
    assert message in done.stderr and sorted(p.name for p in tmp_path.iterdir()) == ["list.json", "s.json"]


def test_dry_run(script, tmp_path):
    done = script("mcnemar_tests.py", "run-examples", "--models", "a=pretrained=x/y", "--tasks", "t", "u", "--seeds", 3,
                  "--dry-run", "--", "--batch_size", 8, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "lm_eval --model hf --model_args pretrained=x/y --tasks t,u --seed 3 --log_samples --output_path runs/a/seed3 "
        "--batch_size 8"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [["--model_args", "pretrained=a/b,token=hf_abcdefghij"], ["--api-key", "verysecret1"],
                                   ["--model_args", "api_key=verysecret1,model=m"], ["--token=verysecret1"]])
def test_keys_are_not_in_the_command_that_is_shown(given):
    words = shown(["lm_eval", *given, "--tasks", "t"])
    assert "verysecret1" not in words and "hf_abc" not in words and words.endswith("--tasks t")


def test_a_model_that_is_refused_is_named_without_its_key():
    with pytest.raises(InputError) as error:
        read_arguments(["a=token=verysecret1", "a=token=verysecret1"])
    assert "verysecret1" not in str(error.value)
