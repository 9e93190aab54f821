"""plan --write-samples draws what is asked; pair and suite --samples take it, and nothing else, as what was asked."""

import json

import numpy as np
import pytest
from conftest import run_script

from llm_accuracy.errors import InputError
from llm_accuracy.scores import drawn
from llm_accuracy.scores.drawn import RECORD, Drawn

RNG = np.random.default_rng(3)
BASE = (RNG.random(1000) < 0.7).astype(int)
CAND = np.where(RNG.random(1000) < 0.05, 1 - BASE, BASE)


def write(path, scores, tasks=("t",), keep=lambda task, i: True):
    rows = [f"{i},{score},{task}\n" for task in tasks for i, score in enumerate(scores) if keep(task, i)]
    path.write_text("prompt_id,score,task\n" + "".join(rows))
    return path


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "a.csv", BASE)
    write(tmp_path / "b.csv", CAND)
    (tmp_path / "s.json").write_text(json.dumps(drawn.content_of({"t": list(map(str, range(1000)))}, 300, 7)))
    return tmp_path


def run(folder, *words, code=0):
    done = run_script("mcnemar_tests.py", *words, cwd=folder, code=code)
    return " ".join((done.stdout if code == 0 else done.stderr).split())


def test_every_item_is_drawn_alike():
    """Over 4,000 seeds each of 12 items is drawn as often as a quarter of them is (4.2 standard errors)."""
    banks = {"a": list("abcdefgh"), "b": list("wxyz")}
    times = dict.fromkeys("abcdefghwxyz", 0)
    for seed in range(4000):
        sample = drawn.draw(banks, 3, seed)
        assert [len(sample[task]) for task in banks] == [2, 1]
        for item in (*sample["a"], *sample["b"]):
            times[item] += 1
    for items, share in (("abcdefgh", 1 / 4), ("wxyz", 1 / 4)):
        counts = np.array([times[item] for item in items])
        assert np.abs(counts - 4000 * share).max() < 4.2 * (4000 * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("n", [1, 7, 99, 100])
def test_sizes_are_in_proportion(n):
    banks = {"a": list(range(60)), "b": list(range(30)), "c": list(range(10))}
    for seed in range(5):
        sizes = drawn.sizes_of(banks, n, seed)
        assert sum(sizes.values()) == n and all(abs(sizes[t] - n * len(bank) / 100) < 1 for t, bank in banks.items())


def test_every_task_is_rounded_alike():
    """Of 40 tasks of 1 to 4 items 37 are asked: over 3,000 seeds every item as often as any other (4.5 standard errors;
    rounded by their names, half of the single ones never were)."""
    banks = {f"t{i:02d}": [str(j) for j in range(1 + i % 4)] for i in range(40)}
    times = {task: 0 for task in banks}
    for seed in range(3000):
        sizes = drawn.sizes_of(banks, 37, seed)
        assert sum(sizes.values()) == 37 and all(sizes[task] <= len(bank) for task, bank in banks.items())
        for task, size in sizes.items():
            times[task] += size
    for task, bank in banks.items():
        exact = 37 * len(bank) / 100
        error = (3000 * (exact % 1) * (1 - exact % 1)) ** 0.5
        assert abs(times[task] - 3000 * exact) < 4.5 * max(error, 1), task


def test_plan_draws_and_pair_takes_it(folder):
    said = run(folder, "plan", "--flip", ".05", "--drop", ".03", "--power", ".8", "--bank", "a.csv", "--seed", 3,
               "--write-samples", "new.json")
    content = json.loads((folder / "new.json").read_text())
    n = len(content["t"])
    assert f"{n:,} items, drawn with seed 3" in said
    assert content[RECORD] == {"seed": 3, "n": {"t": n}, "bank": {"t": 1000}}
    assert content["t"] == sorted(set(content["t"])) and all(type(i) is int for i in content["t"])
    result = json.loads(run(folder, "pair", "a.csv", "b.csv", "--samples", "new.json", "--json", "-"))
    inside = content["t"]
    assert (result["n"], result["b"], result["missing"]) == (n, int(((BASE > CAND)[inside]).sum()), 0)
    assert any("items outside the sample are left out, by design" in note for note in result["notes"])
    # The harness looks up its own tasks only, and this program's own runner takes the ids.
    from llm_accuracy.degradation.commands.run_examples import read_samples

    assert read_samples(folder / "new.json", ["t"]) == {"t": inside}


def test_what_is_missing_inside_counts_against_the_candidate(folder):
    inside = [int(i) for i in Drawn.read(folder / "s.json").tasks["t"]]
    right, gone = [i for i in inside if BASE[i]], set(inside[:2])
    write(folder / "less.csv", BASE, keep=lambda _, i: i not in right[:2])  # two failures that were not written
    write(folder / "part_a.csv", BASE, keep=lambda _, i: i in inside and i not in gone)
    write(folder / "part_b.csv", BASE, keep=lambda _, i: i in inside[:-1] and i not in gone)  # neither has two of them
    flags = ("--samples", "s.json", "--max-excluded", ".02", "--margin", "2pt", "--json", "-")
    result = json.loads(run(folder, "pair", "a.csv", "less.csv", *flags))
    assert (result["n"], result["missing"]) == (298, 2) and result["worst_drop"] == pytest.approx(2 / 300)
    result = json.loads(run(folder, "pair", "part_a.csv", "part_b.csv", *flags))
    worst = (2 + BASE[inside[-1]]) / 300
    assert (result["n"], result["missing"]) == (297, 3) and result["worst_drop"] == pytest.approx(worst)
    assert result["p_safe"] > result["p_noninferiority"]


@pytest.mark.parametrize("change, told", [
    (lambda c: c["t"].__setitem__(0, 999), "seed 7 draws other items"),
    (lambda c: c["t"].pop(), "seed 7 draws other items"),
    (lambda c: c[RECORD].update(seed=8), "seed 8 draws other items"),
    (lambda c: c.pop(RECORD), "no record of how it was drawn"),
    (lambda c: (c.pop(RECORD), c.update(sources=["x"], scores={})), "chosen by earlier answers"),
    (lambda c: c[RECORD].pop("n"), "record of how it was drawn is damaged"),
    (lambda c: c[RECORD].update(bank={"t": c["t"]}, n={"t": 300}), "700 items|not in the bank"),
    (lambda c: c.clear(), "not a sample of plan"),
])
def test_anything_else_is_refused(folder, change, told):
    content = json.loads((folder / "s.json").read_text())
    change(content)
    (folder / "s.json").write_text(json.dumps(content))
    said = run(folder, "pair", "a.csv", "b.csv", "--samples", "s.json", code=2)
    assert any(part in said for part in told.split("|"))


def test_a_saved_session_is_not_a_sample(folder):
    (folder / "s.json").write_text(json.dumps({"format": 4, "policy": "faq", "asked": ["1"], "answers": [1]}))
    with pytest.raises(InputError, match="chosen by earlier answers"):
        Drawn.read(folder / "s.json")


def test_a_task_of_the_sample_that_is_not_there(folder):
    banks = {task: list(map(str, range(1000))) for task in ("t", "u")}
    (folder / "s.json").write_text(json.dumps(drawn.content_of(banks, 600, 1)))
    told = run(folder, "suite", "a.csv", "b.csv", "--samples", "s.json", "--output-dir", "out", code=2)
    assert "a.csv: no task u, which the sample has" in told and not (folder / "out").exists()
    said = run(folder, "suite", "a.csv", "b.csv", "--samples", "s.json", "--output-dir", "out", "--tasks", "t")
    assert "of its tasks u are not looked at here" in said


@pytest.mark.parametrize("flags, told", [
    (("--flip", ".05", "--drop", ".03", "--write-samples", "x.json"), "name a run of all its items with --bank"),
    (("--flip", ".05", "--drop", ".03", "--bank", "a.csv"), "there is no --write-samples"),
    (("--flip", ".05", "--drop", ".003", "--bank", "a.csv", "--write-samples", "x.json"), "the bank has 1,000"),
    (("--n", 400, "--drop", ".01", "--power", ".8"), "no flip rate gives 80% power with 400 items, a drop of 1 point: "
     "a drop of 1 point needs at least 671 items"),
    (("--n", 100, "--flip", ".02", "--power", ".8"), "no drop gives 80% power with 100 items, a flip rate of 2%: a "
     "flip rate of 2% needs at least 335 items"),
])
def test_what_plan_says_to_change(folder, flags, told):
    assert told in run(folder, "plan", *flags, code=2) and not (folder / "x.json").exists()
