"""The scripts that put this project's verdicts beside those of other gates."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from llm_accuracy.degradation.pairing import Pairs
from llm_accuracy.degradation.suite import judge_suite
from llm_accuracy.degradation.verdicts import DEGRADED, NOT_DEGRADED

sys.path.insert(0, str(ROOT / "benchmarks"))
import gate_rules
import packaged_gates


@pytest.mark.parametrize("number, said", [
    (0, ("only 3,804 of 4,000 items can be compared", "UNDECIDED: missing answers")),
    (1, ("others lie in [0, 1]", "two scales")),
    (2, ("UNDECIDED: too few independent units",)),
    (3, ("UNDECIDED",)),
    (4, ("DEGRADED at error rate",))])
def test_pair_is_right_on_hostile_inputs(number, said, tmp_path):
    case = packaged_gates.cases()[number]
    packaged_gates.write(case, tmp_path)
    for line, words in zip(packaged_gates.of_pair(case, str(tmp_path)), said, strict=True):
        assert words in line


def test_without_an_index_the_script_skips(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- packaged gates -->\nkept\n<!-- /packaged gates -->\n")
    nothing = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "packaged_gates.py", "--venv", tmp_path / "venv",
                           "--page", page], env=os.environ | nothing, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("skipped: statgate and abeval could not be installed") and "kept" in page.read_text()


def pairs_of(baseline, candidate, together):
    """Tasks as `judge_suite` takes them."""
    found = []
    for number, (one, other) in enumerate(zip(baseline, candidate, strict=True)):
        units = None if together == 1 else np.array([f"{number}/{i // together}" for i in range(one.size)])
        found.append(Pairs(str(number), np.arange(one.size).astype(str), one, other, units=units))
    return found


@pytest.mark.parametrize("scenario", [gate_rules.Scenario("apart", 4, 100, 0.1),
                                      gate_rules.Scenario("clusters", 4, 100, 0.1, together=5)])
def test_the_shortened_decision_is_that_of_judge_suite(scenario):
    rng = np.random.default_rng(3)
    for number in range(6):
        pair = scenario.draw((0.0, 0.2)[number % 2], rng)
        full = judge_suite(pairs_of(*pair, scenario.together), draws=gate_rules.DRAWS, seed=number)
        assert gate_rules.ours(*pair, scenario.together, number) == (full.verdict == DEGRADED,
                                                                     full.verdict == NOT_DEGRADED)


def test_rules_on_suites_that_are_clear():
    """No difference; every item of one task lost; and what a rule must not do: pass 20 tasks without a test."""
    same = np.tile([1.0, 0.0], (20, 400))
    lost = same.copy()
    lost[0] = 0.0
    for rule in (gate_rules.worst_of_tasks, gate_rules.unpaired, gate_rules.threshold):
        assert rule(same, same) == (False, True) and rule(same, lost) == (True, False)
    assert gate_rules.ours(same, same, 1, 0) == (False, True) and gate_rules.ours(same, lost, 1, 0) == (True, False)


def test_drawn_suites_have_the_drop_that_is_said():
    rng = np.random.default_rng(0)
    for scenario in gate_rules.SCENARIOS:
        means = []
        for _ in range(60):
            baseline, candidate = scenario.draw(0.03, rng)
            means.append(baseline.mean() - candidate.mean())
        assert abs(np.mean(means) - 0.03) < 4 * np.std(means, ddof=1) / 60**0.5
