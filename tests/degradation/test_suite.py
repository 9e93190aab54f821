"""Suites: exact nulls against enumeration, golden values, and size under the null."""

import itertools
import json
import subprocess
import sys
from math import comb
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

from llm_accuracy.degradation import mcnemar, sign_flips, suite, verdicts
from llm_accuracy.degradation.pairing import Pairs
from llm_accuracy.errors import InputError

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "degradation.json"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="no ../shared/golden")
SUITES = json.loads(GOLDEN.read_text())["suites"] if GOLDEN.exists() else []


def pairs_of(task, differences, units=None, scale=1.0):
    """0/1 (or scaled) scores with the given differences."""
    d = np.asarray(differences, float)
    return Pairs(task, np.arange(d.size).astype(str), scale * (d > 0), scale * (d < 0), units)


def differences_of(b, c, same=5):
    return np.r_[np.ones(b), -np.ones(c), np.zeros(same)]


def enumerate_suite(m):
    """Every outcome (B_1, …, B_T) of independent fair flips with its probability."""
    for losses in itertools.product(*(range(k + 1) for k in m)):
        yield np.array(losses), np.prod([comb(k, x) / 2**k for k, x in zip(m, losses, strict=True)])


def z_squared(b, m):
    """x·|x|/m as exact fractions, ordered like z."""
    from fractions import Fraction

    x = int(2 * b - m)
    return Fraction(x * abs(x), int(m))


@pytest.mark.parametrize("m", [(3, 4, 9), (1, 1, 1), (4, 16), (5, 0, 2)])
def test_max_drop_null_is_exact(m):
    """Every outcome's p-value equals the enumerated P[max Z ≥ its max z], with ties (4 and 16) counted."""
    there = [k for k in m if k]
    outcomes = list(enumerate_suite(there))
    largest = [max(z_squared(x, k) for x, k in zip(b, there, strict=True)) for b, _ in outcomes]
    for (b, _), z in zip(outcomes, largest, strict=True):
        p = sum(w for (_, w), other in zip(outcomes, largest, strict=True) if other >= z)
        full = np.zeros(len(m), int)
        full[np.array(m) > 0] = b
        assert suite.p_max_drop(full, np.array(m) - full) == pytest.approx(min(p, 1), rel=1e-12)


def test_ties_that_floats_would_break():
    """z = 3/√3 and 6/√12 are equal, as are many such pairs that differ in the last bit as floats."""
    broken = 0
    for m, x, k in itertools.product(range(1, 60), range(1, 30), range(2, 6)):
        if x <= m and (x + m) % 2 == 0 and (k * x + k * k * m) % 2 == 0:
            a, b = (x, m), (k * x, k * k * m)
            assert not suite._Z(a) < suite._Z(b) and not suite._Z(b) < suite._Z(a)
            assert suite._least_difference(b[1], *a) == b[0]
            broken += x / np.sqrt(m) != k * x / np.sqrt(k * k * m)
    assert broken > 0


def test_no_flips_anywhere():
    zero = np.zeros(3, int)
    assert suite.p_max_drop(zero, zero) == 1 and suite.p_fisher(zero, zero, 999) == 1
    assert (suite.p_step_down(zero, zero) == 1).all()
    result = suite.judge_suite([pairs_of("a", np.zeros(9)), pairs_of("b", np.zeros(9))])
    assert result.p_combined == 1 and result.verdict == verdicts.UNDECIDED


def test_many_flips_do_not_overflow():
    b, c = np.array([2_600_000_000, 40]), np.array([2_500_000_000, 60])
    assert 0 <= suite.p_max_drop(b, c) < 1e-300


def test_fisher_null_by_enumeration():
    b, c = np.array([4, 5, 2]), np.array([1, 2, 2])
    observed = suite.fisher_statistic(b, c)
    m = b + c
    exact = sum(w for x, w in enumerate_suite(m) if suite.fisher_statistic(x, m - x) >= observed - 1e-9)
    p = suite.p_fisher(b, c, 200_000)
    assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / 200_000)
    assert suite.p_fisher(np.array([90, 80]), np.array([0, 1]), 999) == 1 / 1000


def test_holm_and_combined():
    assert suite.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert suite.p_combined(0.2, 0.01, 0.5) == pytest.approx(0.03)
    assert suite.p_combined(0.9, 0.8, 0.7) == 1


def test_sign_draws_agree_with_the_exact_tests():
    b, c = np.array([15, 13, 0, 40]), np.array([6, 9, 0, 44])
    d = np.concatenate([differences_of(x, y) for x, y in zip(b, c, strict=True)])
    tasks = np.repeat(np.arange(4), b + c + 5)
    drawn = suite.sign_draw_tests(d, np.arange(d.size), tasks, 50_000, 0)
    for got, exact in (
        (drawn.p_max_drop, suite.p_max_drop(b, c)),
        (drawn.p_fisher, suite.p_fisher(b, c, 200_000)),
        *zip(drawn.p_step_down, suite.p_step_down(b, c), strict=True),
    ):
        assert abs(got - exact) < 5 * np.sqrt(exact * (1 - exact) / 50_000) + 1e-4
    again = suite.sign_draw_tests(d, np.arange(d.size), tasks, 50_000, 0)
    assert again.p_fisher == drawn.p_fisher and (again.p_step_down == drawn.p_step_down).all()


def test_size_and_power_over_six_tasks():
    """False alarms of each test under the null, and which finds which damage, 1,000 suites each."""
    rng = np.random.default_rng(0)
    flips = np.array([20, 40, 15, 110, 300, 30])
    trials = 1000

    def rejections(share, draws=999):
        found = np.zeros(4)
        for _ in range(trials):
            b = rng.binomial(flips, share)
            c = flips - b
            p = (
                mcnemar.p_exact(b.sum(), c.sum()),
                suite.p_max_drop(b, c),
                suite.p_fisher(b, c, draws),
            )
            found += np.array([*p, suite.p_combined(*p)]) <= 0.05
        return found

    for alarms in rejections(np.full(6, 0.5)):
        assert stats.binomtest(int(alarms), trials, 0.05, alternative="greater").pvalue > 1e-4
        assert alarms > 0.015 * trials
    uniform = rejections(np.full(6, 0.56))
    damaged = rejections(np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.85]))
    assert uniform[0] > 1.5 * uniform[1]  # pooled beats max-drop
    assert damaged[1] > 2 * damaged[0]  # and the other way round
    assert min(uniform[3], damaged[3]) > 0.4 * trials  # combined is good at both


def test_shared_items_keep_the_size_of_every_test():
    """Three nested tasks under the null: counting identical flips thrice rejects far too often, one sign
    per item does not."""
    rng = np.random.default_rng(1)
    trials = 1000
    units = np.r_[np.arange(100), np.arange(200), np.arange(300)]
    tasks = np.repeat(np.arange(3), (100, 200, 300))
    alarms, untied = np.zeros(4), 0
    for _ in range(trials):
        d = rng.choice([-1.0, 0, 1], 300, p=[0.1, 0.8, 0.1])[units]
        drawn = suite.sign_draw_tests(d, units, tasks, 999, 0)
        pooled = sign_flips.sign_flip_test(sign_flips.cluster_sums(d, units)).p
        alarms += np.array([pooled, drawn.p_max_drop, drawn.p_fisher, drawn.p_step_down.min()]) <= 0.05
        untied += sign_flips.sign_flip_test(d).p <= 0.05
    for count in alarms:
        assert stats.binomtest(int(count), trials, 0.05, alternative="greater").pvalue > 1e-4
        assert count > 0.02 * trials
    assert untied > 0.08 * trials


def test_shared_items_are_tied_in_a_suite():
    """What the docstring of `Pairs.units` promises: labels tie items across tasks, and only labels do."""
    base = np.random.default_rng(2).choice([-1, 0, 1], 300, p=[0.1, 0.8, 0.1])
    names = np.array([f"q{i}" for i in range(300)], dtype=object)
    sizes = {"part": 100, "half": 200, "whole": 300}
    tied = suite.judge_suite([pairs_of(t, base[:k], names[:k]) for t, k in sizes.items()], draws=999)
    units = np.concatenate([np.arange(k) for k in sizes.values()])
    assert tied.p_pooled == sign_flips.sign_flip_test(np.bincount(units, weights=base[units])).p
    assert tied.shared == 500 and tied.pooled.n == 600 and tied.pooled.units == 300
    loose = suite.judge_suite([pairs_of(t, base[:k]) for t, k in sizes.items()], draws=999)
    assert loose.shared == 0 and loose.pooled.p_exact == loose.p_pooled
    mixed = suite.judge_suite([pairs_of("a", base, names), pairs_of("b", base)], draws=999)
    assert mixed.shared == 0 and mixed.pooled.units == 600


def test_step_down_controls_the_familywise_error():
    """One damaged task among six: a false claim about any other task at most 5 % of the time."""
    rng = np.random.default_rng(3)
    flips = np.array([20, 40, 15, 110, 300, 30])
    trials, false, found = 2000, 0, 0
    for _ in range(trials):
        b = rng.binomial(flips, [0.5, 0.5, 0.5, 0.5, 0.5, 0.9])
        p = suite.p_step_down(b, flips - b)
        false += (p[:5] <= 0.05).any()
        found += p[5] <= 0.05
    assert stats.binomtest(false, trials, 0.05, alternative="greater").pvalue > 1e-4
    assert found > 0.9 * trials


def test_suite_of_binary_tasks():
    result = suite.judge_suite(
        [pairs_of("a", differences_of(30, 10)), pairs_of("b", differences_of(5, 6))]
    )
    assert (result.pooled.b, result.pooled.c, result.pooled.n) == (35, 16, 61)
    assert result.p_pooled == pytest.approx(float(mcnemar.p_exact(35, 16)))
    assert result.p_max_drop == suite.p_max_drop(np.array([30, 5]), np.array([10, 6]))
    assert result.p_combined == suite.p_combined(result.p_pooled, result.p_max_drop, result.p_fisher)
    assert result.verdict == verdicts.DEGRADED and result.null.startswith("exact")
    assert result.p_holm == {
        "a": pytest.approx(2 * mcnemar.p_exact(30, 10)),
        "b": pytest.approx(mcnemar.p_exact(5, 6)),
    }


def test_lower_is_better_tasks_pool_in_the_right_direction():
    worse = differences_of(30, 10)
    good, bad = pairs_of("a", worse), pairs_of("b", worse)
    flipped = Pairs("b", bad.items, 1 - bad.baseline, 1 - bad.candidate, None, higher_is_better=False)
    one = suite.judge_suite([good, bad], draws=9999)
    other = suite.judge_suite([good, flipped], draws=9999)
    assert other.pooled.drop == pytest.approx(one.pooled.drop) and other.p_pooled == pytest.approx(
        one.p_pooled
    )
    assert other.p_max_drop == pytest.approx(one.p_max_drop, abs=0.01)


def test_continuous_scores():
    rng = np.random.default_rng(4)
    tasks = []
    for t in range(3):
        baseline = rng.random(200)
        tasks.append(
            Pairs(
                f"t{t}",
                np.arange(200),
                baseline,
                np.clip(baseline - 0.02 * (t == 2) * 5 + rng.normal(0, 0.2, 200), 0, 1),
            )
        )
    result = suite.judge_suite(tasks, draws=4999)
    assert result.verdict == verdicts.DEGRADED and min(result.p_max_drop, result.p_fisher) <= result.p_pooled
    assert result.p_max_drop >= 1 / 5000
    with pytest.raises(InputError, match="t1: scores outside"):
        suite.judge_suite([tasks[0], pairs_of("t1", np.ones(3), scale=7.0)])
    assert suite.judge_suite([pairs_of("t1", differences_of(9, 2), scale=7.0)]).p_pooled < 0.05


def test_candidates_are_adjusted_together():
    weak = suite.judge_suite([pairs_of("a", differences_of(25, 10))])
    assert weak.verdict == verdicts.DEGRADED
    ten = suite.adjust_candidates({str(i): weak for i in range(10)})
    assert (
        ten["3"].p_adjusted == pytest.approx(min(1, 10 * weak.p_combined))
        and ten["3"].verdict == verdicts.UNDECIDED
    )


@needs_golden
@pytest.mark.shared
@pytest.mark.parametrize("case", SUITES, ids=lambda case: case["id"])
def test_golden_suites(case):
    b, c = np.array(case["b"]), np.array(case["c"])
    assert mcnemar.p_exact(b, c) == pytest.approx(case["p_task"], rel=1e-12)
    assert mcnemar.p_exact(b.sum(), c.sum()) == pytest.approx(case["p_pooled"], rel=1e-12)
    assert suite.p_max_drop(b, c) == pytest.approx(case["p_maxdrop_exact"], rel=1e-12)
    assert suite.fisher_statistic(b, c) == pytest.approx(case["fisher_stat"], rel=1e-12)
    theirs, drawn = next((v, 2e6 if "2m" in k else 2e5) for k, v in case.items() if "fisher_discrete" in k)
    p = suite.p_fisher(b, c, 200_000)
    assert abs(p - theirs) < 4 * np.sqrt(p * (1 - p) * (1 / drawn + 1 / 200_000))
    if "holm_adjusted" in case:
        assert suite.holm(mcnemar.p_exact(b, c)) == pytest.approx(case["holm_adjusted"], rel=1e-12)


@pytest.mark.long
def test_candidates_judged_side_by_side_are_judged_alike(tmp_path):
    """Enough pairs for several processes: everything that is written is that of one."""
    rng = np.random.default_rng(0)
    base = rng.random((22, 60)) < 0.6
    names = [f"m{i:02d}.csv" for i in range(21)]
    for i, name in enumerate(names):
        scores = base ^ (rng.random(base.shape) < 0.01 * i)
        (tmp_path / name).write_text("prompt_id,score,task\n" + "".join(
            f"{j},{int(score)},t{t:02d}\n" for t, task in enumerate(scores) for j, score in enumerate(task)))
    said = []
    for jobs in "12":
        done = subprocess.run([sys.executable, ROOT / "mcnemar_tests.py", "suite", *names, "--jobs", jobs, "--json",
                               f"{jobs}.json", "--output-dir", jobs], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append((tmp_path / f"{jobs}.json").read_text() + done.stdout.replace(f"{jobs}/", "*/"))
    assert said[0] == said[1]
