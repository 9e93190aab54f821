"""The tables of commands and of tests: what is added to either is found everywhere; nothing slow is loaded early."""

import html
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats
from test_mcnemar_tests import write_inputs

from llm_accuracy.degradation import commands, pair_tests, paired
from llm_accuracy.degradation.commands.command import Command
from llm_accuracy.degradation.pair_tests import TESTS, PairTest

SLOW = ("numpy", "pandas", "scipy", "matplotlib", "torch")


# ---- tests of a pair ---------------------------------------------------------------------------------------


def p_ranks(scores):
    """Wilcoxon's signed ranks, where any item differs."""
    d = scores.differences
    return float(stats.wilcoxon(d, alternative="greater", method="approx").pvalue) if d.any() else None


@pytest.fixture
def ranks():
    """A test from outside the library, in the table for as long as one of ours runs."""
    test = pair_tests.register(PairTest("p_ranks", "the differences lie evenly around 0", p_ranks))
    yield test
    del TESTS["p_ranks"]


def test_a_registered_test_is_found_everywhere(ranks, capsys, monkeypatch, tmp_path):
    """In the table of pair, its JSON and its page, and in summary.csv and the JSON of suite."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mcnemar_tests.py", "pair"])
    assert commands.main(["pair", "worse_baseline.csv", "worse.csv", "--json", "o.json", "--report", "r.html"]) == 0
    d = np.repeat([1.0, -1.0, 0.0], [120, 60, 820])
    p = float(stats.wilcoxon(d, alternative="greater", method="approx").pvalue)
    row = f"p = {p:.2e}  against 'the differences lie evenly around 0'"
    assert f"  p_ranks    {row}\n" in capsys.readouterr().out
    content = json.loads((tmp_path / "o.json").read_text())
    assert content["p_ranks"] == pytest.approx(p, rel=1e-12) and list(content)[-1] == "p_ranks"
    assert f"<td>p_ranks</td><td>{html.escape(row)}</td>" in (tmp_path / "r.html").read_text()

    assert commands.main(["suite", "suite/model_paths.json", "--json", "s.json"]) == 0
    summary = pd.read_csv(tmp_path / "degradation" / "summary.csv")
    bad = json.loads((tmp_path / "s.json").read_text())["candidates"]["bad"]
    assert summary.columns[-1] == "p_ranks" and summary["p_ranks"].notna().all()
    assert bad["tasks"]["beta"]["p_ranks"] == pytest.approx(summary.set_index(["model", "task"]).loc[
        ("bad", "beta"), "p_ranks"])
    assert bad["pooled"]["p_ranks"] < 1e-6


def test_a_registered_test_of_counts_and_one_that_does_not_apply(ranks, capsys):
    """Counts are differences in no order; where a test gives None, the table says so and JSON has null."""
    assert commands.main(["pair", "--counts", "1000", "120", "60", "--json", "-"]) == 0
    done = capsys.readouterr()
    d = np.repeat([1.0, -1.0, 0.0], [120, 60, 820])
    assert json.loads(done.out)["p_ranks"] == pytest.approx(p_ranks(pair_tests.PairedScores(1000, 0.01, baseline=d,
                                                                                            candidate=0 * d)))
    assert commands.main(["pair", "--counts", "1000", "0", "0", "--json", "-"]) == 0
    done = capsys.readouterr()
    assert json.loads(done.out)["p_ranks"] is None
    assert "  p_ranks    does not apply to these scores\n" in done.err
    assert paired.judge_counts(1000, 0, 0).p_of("p_ranks") is None


def test_names_of_tests_are_their_own():
    for name in ("p_mid", "ranks"):
        with pytest.raises(ValueError, match="must begin with p_ and be new; taken: p_exact, p_mid"):
            pair_tests.register(PairTest(name, "", p_ranks))


def test_every_test_and_command_is_documented():
    text = (ROOT / "docs" / "degradation.md").read_text()
    assert not [name for name in TESTS if f"`{name}`" not in text]
    assert not [command.name for command in commands.COMMANDS if f"`llm-accuracy {command.name}`" not in text]


# ---- commands ----------------------------------------------------------------------------------------------


def test_a_command_is_one_record(capsys):
    """Another program has the same commands under its own name, and one more."""
    said = Command("say", "say a word", lambda to: to.add_argument("word"), lambda options: len(options.word))
    table = (*commands.COMMANDS, said)
    assert commands.main(["say", "hello"], prog="llm-accuracy", commands=table) == 5
    with pytest.raises(SystemExit):
        commands.main(["--help"], prog="llm-accuracy", description="What for.", commands=table)
    shown = capsys.readouterr().out
    assert shown.startswith("usage: llm-accuracy [-h] COMMAND") and "What for." in shown and "say a word" in shown
    assert [command.name for command in commands.COMMANDS] == ["pair", "suite", "plan", "watch", "ask", "flips",
                                                               "run-examples", "audit-gate"]


EARLY = """
import json, runpy, sys, time
sys.argv = sys.argv[1:]
sys.path.insert(0, {root!r})
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    code = end.code
print(json.dumps([code, [name for name in {slow!r} if name in sys.modules], time.process_time()]))
"""


@pytest.mark.parametrize("arguments, code", [
    (("--help",), 0), (("pair", "--help"), 0), (("suite", "--help"), 0), (("plan", "--help"), 0),
    (("watch", "--help"), 0), (("flips", "--help"), 0), (("run-examples", "--help"), 0), ((), 2), (("pairs",), 2),
    (("pair", "a.csv"), 2), (("pair", "--counts", "1", "2", "x"), 2), (("pair", "a.csv", "b.csv", "--alpha", "1"), 2),
    (("pair", "a.csv", "b.csv", "--json", "missing/o.json"), 2), (("suite", "a.csv"), 2),
    (("suite", "a.csv", "b.csv", "--margin", "0"), 2), (("plan", "--flip", ".1"), 2),
    (("plan", "--flip", ".1", "--drop", ".2"), 2), (("watch", "a.csv"), 2), (("watch", "--margin", "1"), 2),
    (("audit-gate", "--help"), 0), (("audit-gate",), 2), (("flips",), 2),
    (("run-examples", "--models", "a", "--tasks", "t"), 2),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_help_and_mistakes_are_answered_at_once(arguments, code, tmp_path):
    """Nothing slow is loaded, and half a second of an idle core is enough."""
    early = EARLY.format(root=str(ROOT), slow=SLOW)
    done = subprocess.run([sys.executable, "-c", early, ROOT / "mcnemar_tests.py", *arguments], cwd=tmp_path,
                          capture_output=True, text=True)
    found, loaded, seconds = json.loads(done.stdout.splitlines()[-1])
    assert (found, loaded) == (code, []) and seconds < 0.5 and "Traceback" not in done.stderr
    assert done.stderr.count("\n") >= 1 if code else not done.stderr


# ---- pandas in and out -------------------------------------------------------------------------------------



def test_two_series_are_matched_by_their_index():
    rng = np.random.default_rng(0)
    items = [f"q{i}" for i in range(80)]
    baseline, candidate = (pd.Series(rng.integers(0, 2, 80), items) for _ in range(2))
    expected = paired.judge_pair(baseline.to_numpy(), candidate.to_numpy())
    shuffled = candidate.sample(frac=1, random_state=1)
    assert paired.judge_pair(baseline, shuffled) == expected
    assert paired.judge_pair(baseline.astype(bool), shuffled.astype("Int64")) == expected
    passages = pd.Series([f"p{i // 4}" for i in range(80)], items)
    clustered = paired.judge_pair(baseline, candidate, clusters=np.arange(80) // 4)
    assert paired.judge_pair(baseline, shuffled, clusters=passages.iloc[::-1]) == clustered


GOOD = pd.Series([1, 0, 1.0], ["a", "b", "c"])


@pytest.mark.parametrize("candidate, more, message", [
    (GOOD.to_numpy(), {}, "candidate is a ndarray beside a Series: give two Series"),
    (GOOD.to_frame(), {}, "candidate is a DataFrame beside a Series"),
    (pd.Series([1, 1, 0, 0], ["a", "b", "b", "c"]), {}, "candidate: its index has item 'b' more than once"),
    (GOOD.iloc[:1], {}, r"only baseline has 2 items \(first: 'b'\)"),
    (pd.Series(1, list("zabcy")), {}, r"only candidate has 2 items \(first: 'z'\)"),
    (pd.Series([1, None, None], list("abc")), {}, r"candidate: no value for 2 items \(first: 'b'\)"),
    (pd.Series([1, "good", 0], list("abc")), {}, "candidate: no number for item 'b': 'good'"),
    (GOOD, {"clusters": pd.Series([1, 2], ["a", "b"])}, "only baseline has item 'c'"),
    (GOOD, {"clusters": pd.Series([1, 2, None], list("abc"))}, "clusters: no value for item 'c'"),
    (GOOD, {"clusters": np.zeros(2, int)}, r"one cluster code for each of the 3 items, got \(2,\)"),
])
def test_series_that_cannot_be_matched(candidate, more, message):
    with pytest.raises(paired.InputError, match=message):
        paired.judge_pair(GOOD, candidate, **more)


def test_results_are_short_to_read_and_whole_to_keep(tmp_path):
    from test_suite import differences_of, pairs_of

    from llm_accuracy.degradation.suite import judge_suite

    one = paired.judge_counts(12_032, 1800, 1115)
    assert repr(one) == "PairedResult(degraded: drop 5.69 points, p = 2.07e-37, 12,032 items)"
    assert one.to_dict()["p_exact"] == one.p and "others" not in one.to_dict()
    json.dumps(one.to_dict())
    many = judge_suite([pairs_of("a", differences_of(30, 10)), pairs_of("b", differences_of(5, 6))])
    assert repr(many) == ("SuiteResult(degraded: average drop 31.15 points, p adjusted = "
                          f"{many.p_adjusted:.4f}, 2 tasks, 61 items)")
    content = json.loads(json.dumps(many.to_dict()))
    assert content["tasks"]["a"]["b"] == 30 and content["pooled"]["n"] == 61 and content["verdict"] == "degraded"
    frame = many.to_frame()
    assert frame.index.tolist() == ["a", "b"] and frame.loc["b", "p_holm"] == many.p_holm["b"]
    assert frame.loc["a", "drop"] == many.tasks["a"].drop


def test_parsed_options_stay_in_the_commands():
    """Library functions take values."""
    library = [path for path in (ROOT / "llm_accuracy" / "degradation").glob("*.py")
               if "argparse" in path.read_text() or "options" in path.read_text()]
    assert not library
