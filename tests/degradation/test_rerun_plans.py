"""Plans from a pilot with reruns, and the interval for new answers to the same questions."""

import json

import numpy as np
import pytest
from conftest import run_script
from scipy import stats

from llm_accuracy.degradation.plans import reruns_table
from llm_accuracy.degradation.reruns import Noise, split_noise
from llm_accuracy.degradation.sign_flips import sign_flip_test

RNG = np.random.default_rng(5)
BEFORE = RNG.beta(2, 1, 300)


def answers(p, runs, rng):
    return (rng.random((p.size, runs)) < p[:, None]).astype(float)


def test_noise_is_split_without_bias():
    """Means over 2,000 pilots of 40 items, 3 and 2 runs, against the truth: within 4 standard errors."""
    rng = np.random.default_rng(0)
    p, q = rng.beta(2, 1, 40), rng.beta(2, 2, 40)
    truth = float((p * (1 - p) + q * (1 - q)).mean())
    found = np.array([[n.answers, n.items, n.error**2] for n in (
        split_noise(answers(p, 3, rng), answers(q, 2, rng)) for _ in range(2000))])
    error = found.std(axis=0, ddof=1) / 2000**0.5
    expected = [truth, float((p - q).var(ddof=1)), float((p * (1 - p) / 3 + q * (1 - q) / 2).mean() / 40)]
    assert (np.abs(found.mean(axis=0) - expected) < 4 * error).all()
    assert split_noise(answers(p, 3, rng), answers(q, 1, rng)) is None


def test_the_interval_for_new_answers_covers():
    """95 % of 3,000 pilots on fixed questions, 2 runs each: not below 93 % (binomial test at 1e-3)."""
    rng = np.random.default_rng(1)
    after = np.clip(BEFORE - 0.03, 0, 1)
    truth, inside = float((BEFORE - after).mean()), 0
    for _ in range(3000):
        one, other = answers(BEFORE, 2, rng), answers(after, 2, rng)
        inside += abs(float((one - other).mean()) - truth) <= stats.norm.isf(0.025) * split_noise(one, other).error
    assert stats.binomtest(inside, 3000, 0.93, "less").pvalue > 1e-3


@pytest.mark.parametrize("runs", [1, 4])
def test_planned_power_is_what_the_test_has(runs):
    """New questions and new answers, the numbers of the plan: 80 % of 600 suites, within 4 standard errors and 2 points
    for the normal approximation."""
    rng = np.random.default_rng(runs)
    shift = 0.04
    # p uniform on [.3, .9], q = p − shift ± .1: what the noises are is known.
    p = rng.uniform(0.3, 0.9, 200_000)
    q = p - shift + rng.choice([-0.1, 0.1], p.size)
    noise = Noise(float((p * (1 - p) + q * (1 - q)).mean()), 0.01, 0.0)
    table = reruns_table({"n": None, "flip": None, "drop": shift, "power": 0.8}, "n", noise, 0.05)
    n = int(table.set_index("runs")["questions"][runs])
    rejected = 0
    for _ in range(600):
        chosen = rng.integers(0, p.size, n)
        means = [answers(x[chosen], runs, rng).mean(axis=1) for x in (p, q)]
        rejected += sign_flip_test(means[0] - means[1], 999, 0).p <= 0.05
    assert abs(rejected / 600 - 0.8) < 4 * (0.16 / 600) ** 0.5 + 0.02


def test_plan_with_a_pilot_of_reruns(tmp_path):
    rng = np.random.default_rng(2)
    for name, p in (("a", BEFORE), ("b", np.clip(BEFORE - 0.02, 0, 1))):
        (tmp_path / name).mkdir()
        for run in range(3):
            rows = "".join(f"q{i},{int(s)}\n" for i, s in enumerate(rng.random(300) < p))
            (tmp_path / name / f"{run}.csv").write_text("prompt_id,score\n" + rows)
    done = run_script("mcnemar_tests.py", "plan", "--pilot", "a", "b", "--drop", ".1", "--json", "-", "--write-samples",
                      "s.json", cwd=tmp_path)
    found = json.loads(done.stdout)
    table = {row["runs"]: row for row in found["table"]}
    assert found["pilot_runs"] == 3 and table[1]["questions"] >= table[1]["answers"] > table[2]["answers"]
    assert len(json.loads((tmp_path / "s.json").read_text())["scores"]) == table[2]["questions"]
    assert "answers" in done.stderr and "more runs of an item reduce the first only" in " ".join(done.stderr.split())
    for flags in (("--tasks", 3), ("--plot", "x.png")):
        words = ("plan", "--pilot", "a", "b", "--drop", ".05", *flags)
        done = run_script("mcnemar_tests.py", *words, cwd=tmp_path, code=2)
        assert "plans one task" in done.stderr and not (tmp_path / "x.png").exists()
