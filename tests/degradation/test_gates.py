"""Threshold gates: their rates against sums of rational numbers and simulation, ways of writing them, mistakes."""

import json
from fractions import Fraction
from math import comb

import numpy as np
import pandas as pd
import pytest
from conftest import run_script
from scipy import stats

from llm_accuracy.degradation import gates, planning
from llm_accuracy.degradation.cells import harmless, harmless_text
from llm_accuracy.degradation.gates import Gate, Stated


def fails_exactly(gate: Gate, accuracy: Fraction) -> Fraction:
    """Every outcome, in rational numbers."""
    expected, width = Fraction(str(gate.expected)), Fraction(str(gate.tolerance))
    width *= expected if gate.relative else 1
    return sum((Fraction(comb(gate.n, k)) * accuracy**k * (1 - accuracy) ** (gate.n - k) for k in range(gate.n + 1)
                if Fraction(k, gate.n) < expected - width
                or (gate.two_sided and Fraction(k, gate.n) > expected + width)), Fraction(0))


@pytest.mark.parametrize("gate", [
    Gate("a", 0.85, 0.05, 250), Gate("b", 0.7, 0.1, 10), Gate("c", 0.3, 0.1, 40, two_sided=True),
    Gate("d", 0.9, 0.05, 60, relative=True, two_sided=True), Gate("e", 0.05, 0.1, 30), Gate("f", 1.0, 0.0, 20),
    Gate("g", 0.58, 0.03, 100), Gate("h", 0.5, 0.0, 1),
])
def test_rates_are_exact(gate):
    """.58 − .03 is .55 with 55 of 100, which floating-point numbers miss."""
    for drop in (0, 1, 3, 5):
        accuracy = Fraction(str(gate.expected)) - Fraction(drop, 100)
        assert gate.fails(float(accuracy)) == pytest.approx(float(fails_exactly(gate, accuracy)), rel=1e-9, abs=1e-15)


def test_simulated():
    """False alarms and power of both gates in 20,000 simulated evaluations (binomial tests at 1e-4)."""
    gate, flip, rng = Gate("a", 0.85, 0.05, 250), 0.1, np.random.default_rng(0)
    found = gates.audit(gate, (1.0, 5.0), flip, 0.05)
    for drop, expected in ((0.0, found["false_alarm"]), (0.05, found["power"]["5"])):
        right = rng.binomial(250, 0.85 - drop, 20_000)
        failed = int((right / 250 < 0.85 - 0.05 - 1e-12).sum())
        assert stats.binomtest(failed, 20_000, expected).pvalue > 1e-4
    lost, gained, _ = rng.multinomial(250, [flip / 2 + 0.05, flip / 2, 1 - flip - 0.05], 20_000).T
    rejected = int((stats.binom.sf(lost - 1, lost + gained, 0.5) <= 0.05).sum())
    assert stats.binomtest(rejected, 20_000, found["paired_power"]["5"]).pvalue > 1e-4
    assert found["paired_false_alarm"] == planning.power(250, flip, 0.0) <= 0.05


SUITE = """
model_name: "org/model"
tasks:
- name: "gsm8k"
  metrics:
  - {name: "exact_match,strict-match", value: 0.754}
  - {name: "exact_match,flexible-extract", value: 0.76}
limit: 250
rtol: 0.05
"""


@pytest.mark.parametrize("name, content, expected", [
    ("a.yaml", "- {name: x, expected: .85, tolerance: .05, n: 250}\n- {expected: .5, tolerance: 0, limit: 10}\n",
     [Gate("x", 0.85, 0.05, 250), Gate("2", 0.5, 0, 10)]),
    ("a.json", json.dumps({"gates": {"x": {"expected": 0.8}}}), [Gate("x", 0.8, 0.1, 99)]),
    ("a.json", json.dumps({"expected": 1, "rtol": 0.02, "n": 5, "two_sided": True}),
     [Gate("1", 1, 0.02, 5, True, True)]),
    ("a.yaml", "- &x {name: x, expected: .8, tolerance: .05, n: 5}\n- {<<: *x, n: 10, name: y}\n",
     [Gate("x", 0.8, 0.05, 5), Gate("y", 0.8, 0.05, 10)]),
    ("a.yml", SUITE, [Gate("org/model gsm8k exact_match,strict-match", 0.754, 0.05, 250, True),
                      Gate("org/model gsm8k exact_match,flexible-extract", 0.76, 0.05, 250, True)]),
])
def test_ways_of_writing_gates(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert gates.read_gates(tmp_path / name, Stated(tolerance=0.1, n=99)) == expected


@pytest.mark.parametrize("arguments, content, message", [
    (("a.yaml",), "- {name: x, expected: 85, tolerance: .05, n: 250}", "gate 1 (x): expected = 85 must lie"),
    (("a.yaml",), "- {name: x, tolerance: .05, n: 250}", "expected is missing: write it there, or give --expected"),
    (("a.yaml",), "- {name: x, expected: .8, n: 250}", "--tolerance for all"),
    (("a.yaml",), "- {name: x, expected: .8, tolerance: .1}", "give --n for all"),
    (("a.yaml",), "- {name: x, expected: .8, tolerance: .1, n: 2.5}", "n = 2.5"),
    (("a.yaml",), "- {name: x, expected: .nan, tolerance: .1, n: 2}", "is not a number"),
    (("a.yaml",), "- {name: x, expected: high, tolerance: .1, n: 2}", "'high' is not a number"),
    (("a.yaml",), "- {name: x, expected: .8, tolerence: .1, n: 2}", "tolerence is not known"),
    (("a.yaml",), "- {name: x, expected: .8, tolerance: .1, rtol: .1, n: 2}", "both tolerance and rtol"),
    (("a.yaml",), "- {name: x, expected: .8, tolerance: .1, n: 2, relative: 3}", "true or false"),
    (("a.yaml",), "- 3", "gate 1: expected name"), (("a.yaml",), "[]", "no gates"),
    (("a.yaml",), "a: [", "not a readable"),
    (("a.yaml",), "- {name: x, expected: .8, tolerance: .1, n: 2, n: 3}", "the key n is given twice, line 1"),
    (("a.yaml",), "tasks: 3", "expected tasks:"), (("none.yaml",), "", "not a readable YAML"),
    (("--expected", ".8", "--tolerance", ".1"), "", "needs --expected, --tolerance and --n"),
    (("--expected", ".8", "--tolerance", "2", "--n", "5"), "", "tolerance = 2 must lie"),
    (("--expected", ".8", "--tolerance", ".1", "--n", "5", "--drops", "0"), "", "--drops are points"),
    (("--expected", ".8", "--tolerance", ".1", "--n", "5", "--flip", "1"), "", "--flip 1 must lie"),
    (("--expected", ".8", "--tolerance", ".1", "--n", "5", "--plot", "a.txt"), "", "must end in"),
    (("--expected", ".8", "--tolerance", ".1", "--n", "5", "--csv", "a.yaml"), "", "a.yaml exists"),
])
def test_mistakes(tmp_path, arguments, content, message):
    (tmp_path / "a.yaml").write_text(content)
    done = run_script("mcnemar_tests.py", "audit-gate", *arguments, cwd=tmp_path, code=2)
    assert message in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_a_table_and_a_figure_in_one_command(tmp_path):
    rows = [{"name": f"=gate {i}", "expected": 0.6 + i / 200, "tolerance": 0.08, "n": 250} for i in range(53)]
    (tmp_path / "gates.json").write_text(json.dumps([*rows, {"name": "never", "expected": 0.05, "tolerance": 0.08,
                                                             "n": 100}]))
    done = run_script("mcnemar_tests.py", "audit-gate", "gates.json", "--csv", "t.csv", "--plot", "f.svg", "--json",
                      "o.json", cwd=tmp_path)
    content = json.loads((tmp_path / "o.json").read_text())
    assert content["median"]["power"]["5"] == pytest.approx(np.median([one["power"]["5"] for one in content["gates"]]))
    assert "median of 54" in done.stdout and "1 of these gates can never fail: never" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80 and (tmp_path / "f.svg").read_text().startswith("<?xml")
    frame = pd.read_csv(tmp_path / "t.csv")
    assert frame["name"][0] == "'=gate 0" and frame["power_5"][3] == pytest.approx(content["gates"][3]["power"]["5"])
    assert content["gates"][0]["name"] == "=gate 0"  # files for programs are as they are


def test_cells_that_start_like_a_formula():
    odd = ["=1+1", "+cmd", "-x", "@a", "\tb", "\rc", " =d"]
    assert [harmless_text(text) for text in odd] == [f"'{text}" for text in odd]
    for text in ("a", "", "-1.5", "+3", "1e-9", "-inf", "a=b"):
        assert harmless_text(text) == text
    frame = harmless(pd.DataFrame({"=a": ["=1", "b", None], "n": [-1.0, 2.0, 3.0]}))
    assert frame["'=a"].tolist()[:2] == ["'=1", "b"] and frame["n"].tolist() == [-1.0, 2.0, 3.0]
