"""Several runs of one model: counts against a slow count, and a selection that its own runs cannot use."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from llm_accuracy.degradation import mcnemar, repeats
from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers, reuse
from llm_accuracy.scores.task_scores import Choices, Selection, TaskScores

RUNS, ITEMS = 5, 300


def simulated(seed=0, items=ITEMS, runs=RUNS):
    """0/1 scores (items, runs) of items that are mostly always right or always wrong."""
    rng = np.random.default_rng(seed)
    ability = np.clip(rng.normal(0.6, 0.6, size=(items, 1)), 0, 1)
    return (rng.random((items, runs)) < ability).astype(int)


def write(folder, scores, name="seed{}.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    for run, column in enumerate(scores.T):
        (folder / name.format(run)).write_text(
            "prompt_id,score\n" + "".join(f"q{i},{s}\n" for i, s in enumerate(column)))


def test_summary_against_a_slow_count():
    scores = simulated()
    found = repeats.Successes(np.arange(ITEMS).astype(str), scores).summary()
    rates = [np.mean(scores[:, i] != scores[:, j]) for i, j in itertools.combinations(range(RUNS), 2)]
    assert found["flip_rate"] == pytest.approx(np.mean(rates))
    assert (found["flip_rate_low"], found["flip_rate_high"]) == pytest.approx((min(rates), max(rates)))
    flipped = [len(set(row)) > 1 for row in scores.tolist()]
    assert found["kept"] == sum(flipped) and found["never_flip"] == pytest.approx(1 - np.mean(flipped))
    assert found["always_right"] + found["always_wrong"] == pytest.approx(found["never_flip"])


def test_lower_is_better_counts_successes():
    """The item keeps its scores, and its fingerprint, but an error is no success."""
    frame = pd.DataFrame({"score": [1.0, 0.0], "runs": 1}, index=["a", "b"])
    other = frame.assign(score=[1.0, 1.0])
    runs = {name: {"t": TaskScores(f, name, higher_is_better=False)} for name, f in (("x", frame), ("y", other))}
    tasks = repeats.count_successes(runs, 0.05)
    assert tasks["t"].counts.tolist() == repeats.together(tasks).counts.tolist() == [0, 1]
    content = repeats.selection_content(tasks, ["x", "y"])
    assert content["tasks"] == {"t": ["b"]}
    assert content["scores"]["t"] == {"b": "01"}


def test_testing_on_the_runs_of_the_selection_would_err_and_new_runs_do_not():
    """Why the guard is there: two runs of one model, items chosen among those that flipped in their favour.

    Choosing on a run pair by how it flipped and testing on it always rejects; choosing on other runs keeps the
    size (400 pairs, binomial test at 1e-4)."""
    alarms = cheated = 0
    for seed in range(400):
        scores = simulated(seed, items=200, runs=5)
        kept = repeats.Successes(np.arange(200), scores[:, :3]).kept
        b, c = mcnemar.count_flips(scores[kept, 3], scores[kept, 4])
        alarms += mcnemar.p_exact(b, c) <= 0.05
        lost = scores[:, 0] > scores[:, 1]
        cheated += mcnemar.p_exact(*mcnemar.count_flips(scores[lost, 0], scores[lost, 1])) <= 0.05
    assert stats.binomtest(int(alarms), 400, 0.05, alternative="greater").pvalue > 1e-4 and cheated > 390


def test_flips(script, tmp_path):
    scores = simulated()
    write(tmp_path / "old", scores[:, :3])
    write(tmp_path / "new", scores[:, 3:], "later{}.csv")
    done = script("mcnemar_tests.py", "flips", "old", "--json", "flips.json", cwd=tmp_path)
    folder = tmp_path / "flips"
    assert {p.name for p in folder.iterdir()} == {"success_counts.json", "success_histogram.pdf", "selection.json"}
    counts = json.loads((folder / "success_counts.json").read_text())
    assert list(counts["tasks"]["scores"].values()) == scores[:, :3].sum(axis=1).tolist() and counts["runs"] == 3
    assert counts["histogram"]["scores"] == np.bincount(scores[:, :3].sum(axis=1)).tolist()
    kept = np.ptp(scores[:, :3], axis=1) > 0
    selection = json.loads((folder / "selection.json").read_text())
    assert selection["tasks"]["scores"] == [f"q{i}" for i in np.flatnonzero(kept)]
    assert "Never test on these runs" in selection["warning"] and "Never test" in " ".join(done.stdout.split())
    assert (folder / "success_histogram.pdf").read_bytes().startswith(b"%PDF")
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    summary = json.loads((tmp_path / "flips.json").read_text())["all"]
    assert summary["kept"] == kept.sum()

    # On new runs the chosen items are tested; on any of the old ones, alone or averaged, they are refused.
    items = ("--items", "flips/selection.json")
    test = script("mcnemar_tests.py", "pair", "new/later0.csv", "new/later1.csv", *items, "--json", "-", cwd=tmp_path)
    content = json.loads(test.stdout)
    b, c = mcnemar.count_flips(scores[kept, 3], scores[kept, 4])
    assert (content["n"], content["b"], content["c"]) == (kept.sum(), b, c)
    (tmp_path / "pruned.csv").write_text("prompt_id,score\n" + "".join(
        f"q{i},{scores[i, 1]}\n" for i in np.flatnonzero(kept)[::-1]))
    for baseline, candidate in (("new/later0.csv", "old/seed2.csv"), ("old", "new/later0.csv"),
                                ("pruned.csv", "new/later0.csv")):
        refused = script("mcnemar_tests.py", "pair", baseline, candidate, *items, cwd=tmp_path, code=2)
        assert "were chosen on this very run" in refused.stderr and refused.stdout == ""
    refused = script("mcnemar_tests.py", "suite", "new/later0.csv", "old/seed0.csv", *items, cwd=tmp_path, code=2)
    assert "were chosen on this very run" in refused.stderr and not (tmp_path / "degradation").exists()


def test_a_column_of_runs_and_missing_items(tmp_path):
    scores = simulated(items=40, runs=3)
    rows = [f"q{i},{scores[i, r]},{r}\n" for i in range(40) for r in range(3) if (i, r) != (7, 1)]
    (tmp_path / "runs.csv").write_text("prompt_id,score,run\n" + "".join(rows))
    runs = readers.read_runs(tmp_path / "runs.csv")
    assert len(runs) == 3
    found = repeats.count_successes(runs, 0.05)["scores"]
    assert found.excluded == 1 and found.counts.tolist() == np.delete(scores.sum(axis=1), 7).tolist()
    with pytest.raises(InputError, match="1 of 40 items lack a score"):
        repeats.count_successes(runs, 0.01)
    (tmp_path / "selection.json").write_text(
        json.dumps(repeats.selection_content({"scores": found}, list(runs))))
    with pytest.raises(InputError, match="chosen on this very run"):  # hidden in an average of three
        readers.read_model(tmp_path / "runs.csv", Choices(selection=Selection.read(tmp_path / "selection.json")))


HEAD = "prompt_id,score\n"


@pytest.mark.parametrize("flags, message", [
    (("a.csv",), "two runs of one model or more"),
    (("a.csv", "a.csv"), "is given twice"),
    (("a.csv", "half.csv"), "has the score 0.5"),
    (("a.csv", "task.csv"), "its tasks differ"),
    (("a.csv", "short.csv"), "1 of 2 items lack a score"),
    (("a.csv", "none.csv"), "none.csv: no such file"),
    (("a.csv", "b.csv", "--task", "x"), "no task x"),
    (("a.csv", "b.csv", "--output-dir", "a.csv"), "is a file; name a folder"),
    (("a.csv", "b.csv", "--output-dir", "."), "selection.json exists"),
])
def test_bad_input(script, tmp_path, flags, message):
    texts = {"a.csv": HEAD + "x,1\ny,0\n", "b.csv": HEAD + "x,0\ny,0\n", "half.csv": HEAD + "x,0.5\ny,0\n",
             "task.csv": "task,prompt_id,score\nt,x,1\n", "short.csv": HEAD + "x,1\n", "selection.json": "{}"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = script("mcnemar_tests.py", "flips", *flags, cwd=tmp_path, code=2)
    assert message in done.stderr and done.stdout == "" and done.stderr.count("\n") == 1
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == texts


def test_not_a_selection(script, tmp_path):
    (tmp_path / "a.csv").write_text(HEAD + "x,1\n")
    (tmp_path / "selection.json").write_text('{"tasks": {"t": ["x"]}}')
    done = script("mcnemar_tests.py", "pair", "a.csv", "a.csv", "--items", "selection.json", cwd=tmp_path, code=2)
    assert "not a selection.json of mcnemar_tests.py flips" in done.stderr
    for content, message in (({"tasks": {"t": ["x"]}, "fingerprints": {"t": ["ab"]}}, "made by an earlier version"),
                             ({"tasks": {"t": ["x"]}, "sources": ["a", "b"], "scores": {"t": {"x": "02"}}},
                              "other than 0 and 1"),
                             ({"tasks": {"t": ["x"]}, "sources": ["a", "b"], "scores": {"t": {"x": "0"}}}, "not a"),
                             ({"tasks": {"t": ["x"]}, "sources": ["a", "b"], "scores": {"t": {}}}, "not a")):
        (tmp_path / "selection.json").write_text(json.dumps(content))
        done = script("mcnemar_tests.py", "pair", "a.csv", "a.csv", "--items", "selection.json", cwd=tmp_path, code=2)
        assert message in done.stderr and done.stderr.count("\n") == 1


# ---- runs that are recognised ------------------------------------------------------------------------------


def chosen(seed, runs, items=400):
    """(scores of the runs, of two new ones) on the items on which the runs disagree."""
    scores = simulated(seed, items, runs + 2)
    kept = np.ptp(scores[:, :runs], axis=1) > 0
    return scores[kept, :runs].astype(float), scores[kept, runs:].T.astype(float)


def with_changes(scores, count, seed=0):
    """`count` scores turned around."""
    at = np.random.default_rng(seed).choice(scores.size, count, replace=False)
    changed = scores.copy()
    changed[at] = 1 - changed[at]
    return changed


@pytest.mark.parametrize("runs", [2, 3, 5, 12])
def test_what_is_made_of_the_runs_is_recognised(runs):
    old, _ = chosen(1, runs)
    n = len(old)
    holes = old[:, 0].copy()
    holes[::7] = np.nan
    made = [old[:, 0], holes, with_changes(old[:, 1], 1), with_changes(old[:, 1], n // 5), old[: n // 3, 0],
            (old[:, 0] + old[:, 1]) / 2, old.mean(axis=1), (old.mean(axis=1) > 0.5) * 1.0, 1 - old[:, 0],
            (old.mean(axis=1) >= 0.5) * 1.0, with_changes((old.mean(axis=1) > 0.5) * 1.0, 1)]
    if runs > 2:
        made += [np.minimum(old[:, 0], old[:, 2]), np.maximum(old[:, 1], old[:, 2])]
    if runs == 5:
        made += [(old[:, :3].sum(axis=1) >= 2) * 1.0, (old[:, [0, 2, 4]].sum(axis=1) >= 2) * 1.0]
    for number, one in enumerate(made):
        assert reuse.reused(one, old[: len(one)]), number


def test_new_runs_are_not_refused():
    """Of the same model, of a worse and of a better one: at most reuse.LEVEL of 1,500 (binomial test at 1e-4); and the
    first rule, which is exact, at every level it could be set to."""
    refused = total = 0
    rng = np.random.default_rng(9)
    for seed in range(250):
        old, new = chosen(seed, int(rng.choice([2, 3, 4, 6])), items=int(rng.choice([60, 200, 500])))
        worse = np.where(rng.random(new.shape) < 0.3, 0.0, new)
        better = np.where(rng.random(new.shape) < 0.2, 1.0, new)
        for one in (*new, *worse, *better):
            if len(old) >= 12:  # on fewer a new run may be equal to an old one, and is refused
                refused += reuse.reused(one, old) is not None
                total += 1
    assert total > 1000 and stats.binomtest(refused, total, reuse.LEVEL, alternative="greater").pvalue > 1e-4


def test_the_bound_is_a_bound(monkeypatch):
    """At a level of .2 and any new run, one that always answers what most runs answer among them, the first rule
    refuses at most .1 (half of the level), 2,000 draws of rights over runs (binomial test at 1e-4)."""
    monkeypatch.setattr(reuse, "LEVEL", 0.2)
    rng = np.random.default_rng(2)
    right = rng.integers(1, 4, 40)
    x = (right + rng.normal(0, 0.7, 40) > 2) * 1.0
    hits = 0
    for _ in range(2000):
        s = (rng.random((40, 4)).argsort(axis=1).argsort(axis=1) < right[:, None]) * 1.0
        hits += reuse._of_some(x, s, right) is not None
    assert stats.binomtest(hits, 2000, 0.1, alternative="greater").pvalue > 1e-4 and hits > 0
