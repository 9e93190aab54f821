"""Scales and margins: what is on two scales is refused, what a margin means is said, and a model is never compared with
itself in silence."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from conftest import run_script
from scipy import stats

from llm_accuracy.degradation import margins, paired, pairing, scales
from llm_accuracy.degradation.margins import Margin
from llm_accuracy.errors import InputError
from llm_accuracy.scores.task_scores import TaskScores

RNG = np.random.default_rng(5)
BASE = (RNG.random(1500) < 0.7).astype(float)
CAND = np.where(RNG.random(1500) < 0.02, 1 - BASE, BASE)


def write(path, scores, rows=None):
    lines = [f"q{i},{score:g}" for i, score in enumerate(scores)] if rows is None else rows
    path.write_text("\n".join(["prompt_id,score", *lines]) + "\n")


def run(folder, *arguments, code=0):
    return run_script("mcnemar_tests.py", "pair", *arguments, cwd=folder, code=code)


def judged(folder, *arguments):
    return json.loads(run(folder, *arguments, "--json", "-").stdout)


# ---- scales ------------------------------------------------------------------------------------------------


def scores_of(values, source="a.csv", task="t", scale=None):
    frame = pd.DataFrame({"score": np.asarray(values, float), "runs": 1}, index=[f"q{i}" for i in range(len(values))])
    return {task: TaskScores(frame, source, scale=scale)}


def together(baseline, candidate, scale=None):
    return scales.on_one_scale({"b": scores_of(baseline, scale=scale), "c": scores_of(candidate, "c.csv", scale=scale)},
                               "b")


JUDGED = RNG.integers(1, 6, 300)  # 1 … 5


@pytest.mark.parametrize("baseline, candidate", [
    (100 * BASE, CAND), (CAND, 100 * BASE), (100 * BASE, 0 * CAND), (JUDGED, (JUDGED - 1) / 4), (BASE[:300], JUDGED),
    (JUDGED, 20 * JUDGED), (RNG.random(300) * 10, RNG.random(300) * 100), (10 * BASE, CAND), (BASE, 1000 * CAND),
    (-RNG.random(300) * 9, RNG.random(300) * 9), (RNG.random(300) * 2, RNG.random(300)),
])
def test_two_scales_are_refused(baseline, candidate):
    with pytest.raises(InputError, match=r"two scales|opposite signs"):
        together(baseline, candidate)


@pytest.mark.parametrize("baseline, candidate", [
    (BASE, CAND), (BASE, 0 * CAND), (JUDGED, JUDGED[::-1]), (JUDGED, 0 * JUDGED + 2),
    (-RNG.random(300), -RNG.random(300) * 4),
    (RNG.random(300) * 2 - 1, RNG.random(300)), (RNG.normal(3, 1, 300), RNG.normal(2, 1, 300)),
])
def test_one_scale_is_left_alone(baseline, candidate):
    found = together(baseline, candidate)
    assert found["c"]["t"].frame["score"].tolist() == np.asarray(candidate, float).tolist()


def test_percentages_become_shares():
    found = together(100 * BASE, 100 * CAND)
    assert found["b"]["t"].frame["score"].tolist() == BASE.tolist()
    assert "read as a scale of 0 to 100" in found["c"]["t"].notes[0]


def test_a_stated_scale_settles_it(tmp_path):
    """A candidate that fails everywhere on a scale of 1 to 5; the same margin and drop, in points, on every scale."""
    found = together(JUDGED, 0 * JUDGED + 1, (1, 5))
    assert found["c"]["t"].frame["score"].tolist() == [0.0] * 300
    for name, factor in (("unit", 1), ("percent", 100), ("twenty", 20)):
        write(tmp_path / f"{name}_b.csv", factor * BASE)
        write(tmp_path / f"{name}_c.csv", factor * CAND)
    first = judged(tmp_path, "unit_b.csv", "unit_c.csv", "--margin", "2pt")
    for name, more in (("percent", ("--range", "0", "100")), ("twenty", ("--range", "0", "20"))):
        other = judged(tmp_path, f"{name}_b.csv", f"{name}_c.csv", "--margin", "2pt", *more)
        assert {k: v for k, v in first.items() if k not in ("notes", "baseline", "candidate")} == \
            {k: v for k, v in other.items() if k not in ("notes", "baseline", "candidate")}
    done = run(tmp_path, "twenty_b.csv", "twenty_c.csv", "--range", "0", "5", code=2)
    assert "score 20 is not in --range 0 5" in done.stderr


@pytest.mark.parametrize("baseline, candidate", [("unit", "percent"), ("percent", "unit")])
def test_a_stated_scale_does_not_hide_two_scales(tmp_path, baseline, candidate):
    """0 and 1 beside 0 and 100: --range 0 100 would make a right answer of one model worth 1 % of the other's."""
    write(tmp_path / "unit.csv", BASE)
    write(tmp_path / "percent.csv", 100 * CAND)
    done = run(tmp_path, f"{baseline}.csv", f"{candidate}.csv", "--range", "0", "100", code=2)
    assert "unit.csv are all 0 or 1" in done.stderr and "two scales" in done.stderr


def test_a_stated_scale_of_a_suite_is_that_of_the_tasks_beyond_zero_and_one(tmp_path):
    """Tasks on two scales are pooled; each task is compared on its own."""
    for name, scores in (("base", BASE), ("cand", CAND)):
        rows = [f"q{i},{s:g},a" for i, s in enumerate(scores)] + [f"r{i},{5 * s:g},b" for i, s in enumerate(scores)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["prompt_id,score,task", *rows]) + "\n")
    refused = run_script("mcnemar_tests.py", "suite", "base.csv", "cand.csv", cwd=tmp_path, code=2)
    assert "scores outside [0, 1] cannot be pooled" in refused.stderr
    done = run_script("mcnemar_tests.py", "suite", "base.csv", "cand.csv", "--range", 0, 5, "--json", "-", cwd=tmp_path)
    tasks = json.loads(done.stdout)["candidates"]["cand.csv"]["tasks"]
    assert tasks["a"]["drop"] == tasks["b"]["drop"] and tasks["b"]["b"] + tasks["b"]["c"] > 0


@pytest.mark.parametrize("value, more", [(5, ()), (-3, ()), (5, ("--range", "0", "10")), (0.5, ()), (0, ())])
def test_constant_scores(tmp_path, value, more):
    """Nothing can be shown of them, and nothing crashes."""
    for name in "ab":
        write(tmp_path / f"{name}.csv", [value] * 40)
    done = run(tmp_path, "a.csv", "b.csv", "--allow-same", *more)
    assert done.stdout.startswith("UNDECIDED") and done.stderr == ""
    assert "same content" in done.stdout


def test_constant_scores_that_differ(tmp_path):
    """5 everywhere and 3 everywhere: every item is lost."""
    write(tmp_path / "a.csv", [5] * 40)
    write(tmp_path / "b.csv", [3] * 40)
    assert judged(tmp_path, "a.csv", "b.csv")["verdict"] == "degraded"


# ---- margins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, share", [("1pt", 0.01), ("1 pts", 0.01), (".01", 0.01), ("2.5points", 0.025),
                                         ("1e-3", 0.001), (0.02, 0.02)])
def test_margins_in_words(text, share):
    assert Margin.parse(text).of_scale == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("text, message", [
    ("1%", "of what"), ("1 %", "of what"), ("0", "must be positive"), ("-1pt", "must be positive"),
    ("nan", "give 1pt"), ("inf", "give 1pt"), ("one", "give 1pt"), ("recovery=101%", "between 0 and 100 %"),
    ("recovery=0", "between 0 and 100 %"), ("recovery=95", "between 0 and 100 %"), ("", "give 1pt"),
])
def test_margins_that_are_no_margins(text, message):
    with pytest.raises(InputError, match=message):
        Margin.parse(text)


@pytest.mark.parametrize("margin", ["1", ".5", "50pt", "99pt", "recovery=20%"])
def test_half_the_scale_is_no_margin(tmp_path, margin):
    for name, scores in (("b", BASE), ("c", CAND), ("b100", 100 * BASE), ("c100", 100 * CAND)):
        write(tmp_path / f"{name}.csv", scores)
    for pair in (("b.csv", "c.csv"), ("b100.csv", "c100.csv", "--range", "0", "100")):
        done = run(tmp_path, *pair, "--margin", margin, code=2)
        assert "half of the scale or more" in done.stderr and done.stdout == ""


def test_half_of_what_was_seen_is_no_margin(tmp_path):
    """Where the scale is not known, a margin is in the scores' own unit, and half their range is too much."""
    write(tmp_path / "b.csv", JUDGED)
    write(tmp_path / "c.csv", JUDGED[::-1])
    assert "own units" in judged(tmp_path, "b.csv", "c.csv", "--margin", "1.9")["notes"][0]
    assert "half of the scale" in run(tmp_path, "b.csv", "c.csv", "--margin", "2", code=2).stderr
    assert "state it with --range" in run(tmp_path, "b.csv", "c.csv", "--margin", "1pt", code=2).stderr
    assert "state --range" in run(tmp_path, "b.csv", "c.csv", "--margin", "recovery=95%", code=2).stderr
    with pytest.raises(InputError, match="half of the scale"):
        paired.judge_pair(JUDGED, JUDGED[::-1], margin=2.0)
    for judge in (lambda: paired.judge_pair(BASE, CAND, margin=1), lambda: paired.judge_counts(100, 1, 1, margin=0.5)):
        with pytest.raises(InputError, match="half of the scale"):
            judge()


def pairs_of(baseline, units=None, better=True):
    baseline = np.asarray(baseline, float)
    return pairing.Pairs("t", np.arange(baseline.size), baseline, baseline, units, better)


def test_a_recovery_is_of_the_baselines_lower_limit():
    n, right = BASE.size, int(BASE.sum())
    margin, _, notes = margins.resolve(Margin.parse("recovery=95%"), [pairs_of(BASE)])
    limit = stats.beta.ppf(margins.RISK, right, n - right + 1)
    assert 0.05 * limit * 0.99 < margin <= 0.05 * limit and f"{BASE.mean():.4g}" in notes[0]
    clustered = margins.resolve(Margin.parse("recovery=95%"), [pairs_of(BASE, np.arange(n) // 5)])[0]
    averaged = margins.resolve(Margin.parse("recovery=95%"), [pairs_of(np.where(BASE, 0.75, 0.25))])[0]
    assert clustered < margin and averaged < 0.05 * np.where(BASE, 0.75, 0.25).mean()
    for pairs in (pairs_of(BASE, better=False), pairs_of(0 * BASE)):
        with pytest.raises(InputError, match="give points"):
            margins.resolve(Margin.parse("recovery=95%"), [pairs])


def test_the_limit_holds():
    """Below the truth in 1 − RISK of 20,000 simulated banks, in each of three designs (binomial test at 1e-3)."""
    rng = np.random.default_rng(0)
    n, trials = 60, 20_000
    missed = np.zeros(3, int)
    for right in rng.binomial(n, 0.8, trials):
        one = np.r_[np.ones(right), np.zeros(n - right)]
        missed[0] += margins.lower_limit([pairs_of(one)]) > 0.8
    for _ in range(2000):
        one = np.repeat(rng.random(12) < 0.8, 5)
        missed[1] += margins.lower_limit([pairs_of(one, np.repeat(np.arange(12), 5))]) > 0.8
        missed[2] += margins.lower_limit([pairs_of(rng.beta(4, 1, n))]) > 0.8
    for count, of in zip(missed, (trials, 2000, 2000), strict=True):
        assert stats.binomtest(int(count), of, margins.RISK, alternative="greater").pvalue > 1e-3


def test_a_margin_without_scores(tmp_path):
    for arguments in (("pair", "--counts", "1000", "9", "3"), ("watch",)):
        done = run_script("mcnemar_tests.py", *arguments, "--margin", "recovery=95%", code=2)
        assert "the baseline's score, which is not known here" in done.stderr
    assert json.loads(run_script("mcnemar_tests.py", "pair", "--counts", 1000, 9, 3, "--margin", "2pt", "--json", "-")
                      .stdout)["margin"] == 0.02


# ---- the same content --------------------------------------------------------------------------------------


def same_rows(tmp_path):
    """Copies of b.csv under other names: as it is, shuffled with other line ends and numbers, compressed."""
    write(tmp_path / "b.csv", BASE)
    rows = [f"q{i},{score:.3f}" for i, score in enumerate(BASE)]
    write(tmp_path / "copy.csv", BASE)
    (tmp_path / "shuffled.csv").write_bytes("\r\n".join(["prompt_id,score", *rows[::-1]]).encode())
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress((tmp_path / "b.csv").read_bytes()))
    (tmp_path / "link.csv").symlink_to(tmp_path / "b.csv")
    return ["b.csv", "copy.csv", "shuffled.csv", "packed.csv.gz", "link.csv"]


def test_the_same_content_is_refused_under_any_name(tmp_path):
    for name in same_rows(tmp_path):
        done = run(tmp_path, "b.csv", name, code=2)
        assert "the same content" in done.stderr and "--allow-same" in done.stderr and done.stdout == ""
        notes = judged(tmp_path, "b.csv", name, "--allow-same")["notes"]
        assert any("the same content" in note for note in notes)


def test_equal_scores_of_other_answers_are_only_noted(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("prompt_id,score,answer\n" + "".join(
            f"q{i},{s:g},{name}{i}\n" for i, s in enumerate(BASE)))
    content = judged(tmp_path, "a.csv", "b.csv")
    assert content["verdict"] == "not degraded beyond the margin"
    assert any("the same score on every item" in note for note in content["notes"])


def test_small_tasks_that_agree_by_chance_are_noted(tmp_path):
    """Of 20 tasks with 30 items and 3 % flips, eight agree in every item; a copy of a task with 300 items does not."""
    rng = np.random.default_rng(0)
    for large, code in ((30, 0), (300, 2)):
        sizes = [*[30] * 20, large]
        base = [rng.random(size) < 0.6 for size in sizes]
        cand = [*[scores ^ (rng.random(len(scores)) < 0.03) for scores in base[:-1]], base[-1]]
        for name, model in (("base", base), ("cand", cand)):
            (tmp_path / f"{name}.csv").write_text("prompt_id,score,task\n" + "".join(
                f"{i},{int(score)},t{t:02d}\n" for t, task in enumerate(model) for i, score in enumerate(task)))
        done = run_script("mcnemar_tests.py", "suite", "base.csv", "cand.csv", "--output-dir", str(large),
                          cwd=tmp_path, code=code)
        said = done.stderr if code else done.stdout
        assert "t20: baseline and cand.csv are the same content" in " ".join(said.split()), said


def test_one_task_of_a_suite_that_is_the_baselines(tmp_path):
    """A slip in a list of paths: one of the candidate's tasks is the baseline's file, or a copy of it."""
    same_rows(tmp_path)
    write(tmp_path / "c.csv", CAND)
    for slip in ("b.csv", "shuffled.csv"):
        (tmp_path / "paths.json").write_text(json.dumps({"base": {"x": "b.csv", "y": "b.csv"},
                                                         "cand": {"x": "c.csv", "y": slip}}))
        done = run_script("mcnemar_tests.py", "suite", "paths.json", cwd=tmp_path, code=2)
        assert done.stderr.startswith("error: y: baseline and cand are the same content")
        assert not (tmp_path / "degradation").exists()
    matrix = pd.DataFrame([BASE, BASE, CAND], ["m", "twin", "other"], [f"q{i}" for i in range(BASE.size)])
    matrix.insert(0, "created_date", "2024-01-01")
    matrix.insert(1, "sha", "-")
    matrix.rename_axis("model").to_csv(tmp_path / "m.csv")
    assert "the same content" in run(tmp_path, "--matrix", "m.csv", "m", "m", code=2).stderr
    assert any("same score on every item" in note
               for note in judged(tmp_path, "--matrix", "m.csv", "m", "twin")["notes"])
