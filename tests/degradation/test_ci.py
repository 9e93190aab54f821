"""What a CI system reads: JUnit XML, Markdown, the action's own steps, and an assertion for test suites."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_script

from llm_accuracy.degradation import markdown
from llm_accuracy.degradation.checks import assert_not_degraded
from llm_accuracy.degradation.junit import Case, junit
from llm_accuracy.errors import InputError

RNG = np.random.default_rng(0)
BASE = (RNG.random(2000) < 0.7).astype(int)
RUNS = {"base": BASE, "same": np.where(RNG.random(2000) < 0.005, 1 - BASE, BASE),
        "bad": np.where(RNG.random(2000) < 0.08, 0, BASE)}


@pytest.fixture
def folder(tmp_path):
    for name, scores in RUNS.items():
        rows = "".join(f"q{i},{s}\n" for i, s in enumerate(scores))
        (tmp_path / f"{name}.csv").write_text(f"prompt_id,score\n{rows}")
    (tmp_path / "few.csv").write_text("prompt_id,score\n" + "".join(f"q{i},1\n" for i in range(9)))
    (tmp_path / "few2.csv").write_text("prompt_id,score\n" + "".join(f"q{i},{i > 0:d}\n" for i in range(9)))
    return tmp_path


def case_of(path):
    """(failures and skipped by the file's count, the first case)."""
    suite = ElementTree.parse(path).getroot()[0]
    return int(suite.get("failures")), int(suite.get("skipped")), suite[0]


@pytest.mark.parametrize("pair, flags, code, failures, skipped", [
    (("base.csv", "bad.csv"), (), 0, 1, 0), (("base.csv", "bad.csv"), ("--fail-on", "degraded"), 1, 1, 0),
    (("base.csv", "same.csv"), ("--margin", "2pt", "--fail-on", "not-shown-safe"), 0, 0, 0),
    (("few.csv", "few2.csv"), ("--fail-on", "degraded"), 0, 0, 1),
    (("few.csv", "few2.csv"), ("--fail-on", "not-shown-safe"), 1, 1, 0),
    (("base.csv", "bad.csv"), ("--margin", "20pt", "--fail-on", "not-shown-safe"), 0, 0, 0),
])
def test_junit_says_what_the_exit_code_says(folder, pair, flags, code, failures, skipped):
    done = run_script("mcnemar_tests.py", "pair", *pair, *flags, "--junit", "j.xml", "--markdown", "s.md", cwd=folder,
                      code=code)
    found = case_of(folder / "j.xml")
    assert found[:2] == (failures, skipped) and found[2].get("name") == pair[1]
    assert found[2].find("system-out").text.strip() == done.stdout.strip()
    text = (folder / "s.md").read_text()
    assert text.startswith(f"## {done.stdout.split()[0]}") and "| flips |" in text and "`python mcnemar" in text


def test_suite(folder):
    run_script("mcnemar_tests.py", "suite", "base.csv", "same.csv", "bad.csv", "--fail-on", "degraded", "--junit",
               "j.xml", "--markdown", "s.md", cwd=folder, code=1)
    suite = ElementTree.parse(folder / "j.xml").getroot()[0]
    assert [case.get("name") for case in suite] == ["same.csv", "bad.csv"] and suite.get("failures") == "1"
    assert (folder / "s.md").read_text() == (folder / "degradation" / "summary.md").read_text()
    refused = run_script("mcnemar_tests.py", "suite", "base.csv", "same.csv", "--junit", "j.xml", "--output-dir", "o",
                         cwd=folder, code=2)
    assert "j.xml exists" in refused.stderr


NASTY = ["<img src=x onerror=alert(1)>", "a|b", "`x`", "[a](http://b)", "**b**", "@team", "a\nb", "\x00\x1b[31m",
         "\ud800", "&lt;", "]]>", "# h", "~~s~~"]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_names(name):
    xml = junit(name, [Case(name, "degraded", False, name, name)], None)
    case = ElementTree.fromstring(xml.encode())[0][0]
    assert ElementTree.fromstring(xml.encode())[0].get("failures") == "1"
    if re.fullmatch(r"[\x20-\x7e]*", name):
        assert case.get("name") == name and case.find("failure").text == name
    shown = markdown.escaped(name)
    assert "<" not in shown and "@" not in shown and "\n" not in shown
    assert not re.search(r"(?<!\\)[`*_\[\]|~]", shown)


def test_code_spans_hold_backticks():
    assert markdown.code("a") == "`a`" and markdown.code("a `b` ``c``") == "``` a `b` ``c`` ```"


def test_a_model_named_like_markup_in_a_suite(folder):
    run_script("mcnemar_tests.py", "suite", "base=base.csv", "=<b>|x=bad.csv", cwd=folder, code=2)
    run_script("mcnemar_tests.py", "suite", "base=base.csv", "<b>|`x`=bad.csv", "--markdown", "s.md", "--report",
               "r.html", cwd=folder)
    text = (folder / "s.md").read_text()
    assert "&lt;b&gt;\\|\\`x\\`" in text and "<b>" not in text.rpartition("`")[0].rpartition("```")[0]
    assert "<b>|" not in (folder / "r.html").read_text()


# ---- the action ----------------------------------------------------------------------------------------------


def steps_of_the_action(folder, inputs):
    """Runs the steps of action.yml as a runner would, → (exit code, summary, outputs)."""
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    assert all(name in action["inputs"] for name in inputs)
    given = {name: inputs.get(name, entry.get("default", "")) for name, entry in action["inputs"].items()}
    files = {name: folder / name.lower() for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GITHUB_ACTION_PATH": str(ROOT),
                   "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", **{k: str(v) for k, v in files.items()}}
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "python").unlink(missing_ok=True)
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    for file in files.values():
        file.write_text("")
    code = 0
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash" and "${{" not in step["run"], "an input in a script would be run as code"
        own = {name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: str(given[found[1]]), str(value))
               for name, value in step.get("env", {}).items()}
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], cwd=folder, env={**environment, **own},
                              capture_output=True, text=True)
        code = done.returncode
        if code:
            break
    return code, files["GITHUB_STEP_SUMMARY"].read_text(), files["GITHUB_OUTPUT"].read_text()


@pytest.mark.parametrize("inputs, code, verdict", [
    ({"baseline": "base.csv", "candidate": "bad.csv"}, 1, "degraded"),
    ({"baseline": "base.csv", "candidate": "same.csv", "margin": "2pt"}, 0, "not degraded beyond the margin"),
    ({"baseline": "few.csv", "candidate": "few2.csv", "fail-on": "degraded"}, 0, "undecided"),
    ({"baseline": "base.csv", "candidate": "none.csv"}, 2, None),
    ({"baseline": "base.csv", "candidate": "$(touch hacked).csv"}, 2, None),
])
def test_the_steps_of_the_action(folder, inputs, code, verdict):
    found, summary, outputs = steps_of_the_action(folder, inputs)
    assert found == code and not (folder / "hacked").exists()
    if verdict:
        assert outputs == f"verdict={verdict}\n" and summary.startswith("## ")
        assert json.loads((folder / "degradation" / "verdict.json").read_text())["verdict"] == verdict
        assert (folder / "degradation" / "junit.xml").exists()
    else:
        assert not summary and not outputs


# ---- an assertion --------------------------------------------------------------------------------------------


def test_assert_not_degraded(folder):
    paths = {name: folder / f"{name}.csv" for name in RUNS}
    assert assert_not_degraded(paths["base"], paths["same"], margin="2pt").within_margin
    with pytest.raises(AssertionError, match=r"^DEGRADED at error rate 5%"):
        assert_not_degraded(RUNS["base"], RUNS["bad"])
    with pytest.raises(AssertionError, match=r"^UNDECIDED"):
        assert_not_degraded(pd.Series([1, 1, 1, 0]), pd.Series([1, 1, 0, 0]))
    assert_not_degraded(pd.Series([1, 1, 1, 0]), pd.Series([1, 1, 0, 0]), fail_on="degraded")
    for call, message in ((lambda: assert_not_degraded(BASE, BASE[1:]), "one length"),
                          (lambda: assert_not_degraded([1, np.nan], [1, 0]), "1 of 2 items can be compared"),
                          (lambda: assert_not_degraded(["a", 1], [1, 0]), "baseline: no number for item 0: 'a'"),
                          (lambda: assert_not_degraded(pd.Series([1, 0], index=[1, 1]), pd.Series([1, 0])), "once"),
                          (lambda: assert_not_degraded(pd.Series([1, 0]), [1, 0]), "two Series"),
                          (lambda: assert_not_degraded(BASE, 100 * BASE), "two scales"),
                          (lambda: assert_not_degraded(BASE, 1 - BASE, margin="1%"), "of what"),
                          (lambda: assert_not_degraded(BASE, BASE), "one object"),
                          (lambda: assert_not_degraded(BASE, 1 - BASE, fail_on="worse"), "one of degraded"),
                          (lambda: assert_not_degraded(paths["base"], paths["base"]), "same content")):
        with pytest.raises(InputError, match=message):
            call()


def test_the_fixture(folder):
    """In a test suite of its own, with the plugin."""
    (folder / "test_model.py").write_text(
        "def test_good(assert_not_degraded):\n    assert_not_degraded('base.csv', 'same.csv', margin='2pt')\n"
        "def test_bad(assert_not_degraded):\n    assert_not_degraded('base.csv', 'bad.csv')\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "llm_accuracy.degradation.pytest_plugin", "-p",
                           "no:cacheprovider", "test_model.py"], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert "1 failed, 1 passed" in done.stdout and "DEGRADED at error rate 5%" in done.stdout
