"""Planning: exact power against rational sums, golden rows and simulation; the script that plans."""

import json
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from llm_accuracy.degradation import mcnemar, planning, suite
from llm_accuracy.errors import InputError

GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "degradation.json"
ROWS = json.loads(GOLDEN.read_text())["power"] if GOLDEN.exists() else []


# ---- one task ----------------------------------------------------------------------------------------------


def rational_tail(m, k, q=Fraction(1, 2)):
    return sum(comb(m, j) * q**j * (1 - q) ** (m - j) for j in range(k, m + 1))


@pytest.mark.parametrize("alpha", [Fraction(1, 20), Fraction(1, 32), Fraction(1, 100)])
def test_critical_losses(alpha):
    """Against rational tails; α = 1/32 is attained exactly, by m = k = 5."""
    m = np.arange(60)
    found = planning.critical_losses(m, float(alpha))
    assert found.tolist() == [next(k for k in range(i + 2) if rational_tail(i, k) <= alpha) for i in range(60)]


@pytest.mark.parametrize("flip, drop", [(Fraction(1, 10), Fraction(1, 20)), (Fraction(1), Fraction(1, 3)),
                                        (Fraction(2, 5), Fraction(2, 5)), (Fraction(1, 4), Fraction(0))])
def test_power_is_the_rational_sum(flip, drop):
    n, alpha, q = 40, Fraction(1, 20), (1 + drop / flip) / 2
    expected = Fraction(0)
    for m in range(n + 1):
        k = next(k for k in range(m + 2) if rational_tail(m, k) <= alpha)
        expected += comb(n, m) * flip**m * (1 - flip) ** (n - m) * rational_tail(m, k, q)
    assert planning.power(n, float(flip), float(drop)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.shared
@pytest.mark.skipif(not ROWS, reason="no ../shared/golden")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['N']}-{row['drop']}")
def test_golden_rows(row):
    n, flip, drop, alpha = row["N"], row["flip_rate"], row["drop"], row["alpha"]
    assert planning.power(n, flip, drop, alpha) == pytest.approx(row["power_exact"], abs=1e-12)
    assert planning.power(n, flip, 0, alpha) == pytest.approx(row["size_exact_at_null"], abs=1e-12)
    assert planning.power_normal(n, flip, drop, alpha) == pytest.approx(row["power_normal_connor"], abs=1e-12)
    assert planning.sample_size_normal(flip, drop, 0.8, alpha) == row["n_required_normal_power80"]
    assert planning.detectable_drop_normal(n, flip, 0.8, alpha) == pytest.approx(row["mde_normal_power80"], rel=1e-8)


def test_power_of_simulated_pairs():
    """The share of simulated pairs that the test rejects; a two-sided binomial test at 1e-4."""
    rng = np.random.default_rng(1)
    for n, flip, drop in ((300, 0.1, 0.05), (2000, 0.03, 0.01), (60, 0.9, 0.4)):
        m = rng.binomial(n, flip, size=40_000)
        b = rng.binomial(m, (1 + drop / flip) / 2)
        rejected = int(np.count_nonzero(mcnemar.p_exact(b, m - b) <= 0.05))
        assert stats.binomtest(rejected, 40_000, planning.power(n, flip, drop)).pvalue > 1e-4


@pytest.mark.parametrize("flip, drop", [(0.1, 0.05), (0.08, 0.01), (0.1, 0.1), (1.0, 0.3), (0.95, 0.5), (1.0, 1.0)])
def test_the_least_number_of_items(flip, drop):
    """One item fewer falls short, no larger number does; the normal formula asks for too few."""
    n = planning.sample_size(flip, drop, 0.8)
    assert planning.power(n - 1, flip, drop) < 0.8
    assert min(planning.power(n + i, flip, drop) for i in range(60)) >= 0.8
    if flip < 0.5:
        assert planning.sample_size_normal(flip, drop, 0.8) < n


def test_known_answer():
    assert planning.sample_size(0.1, 0.05, 0.8) == 268
    assert planning.power(246, 0.1, 0.05) == pytest.approx(0.765, abs=5e-4)


def test_the_four_answers_agree():
    drop = planning.detectable_drop(5000, 0.08, 0.9)
    assert planning.power(5000, 0.08, drop) == pytest.approx(0.9, abs=1e-9)
    assert planning.sample_size(0.08, drop + 1e-9, 0.9) <= 5000 < planning.sample_size(0.08, 0.99 * drop, 0.9)
    flip = planning.highest_flip_rate(5000, drop, 0.9)
    assert flip == pytest.approx(0.08, abs=1e-6)
    assert planning.highest_flip_rate_normal(5000, planning.detectable_drop_normal(5000, 0.08, 0.9),
                                             0.9) == pytest.approx(0.08, abs=1e-9)


def test_what_cannot_be_had():
    assert np.isnan(planning.detectable_drop(10, 0.1, 0.9)) and np.isnan(planning.highest_flip_rate(4, 0.5, 0.9))
    assert planning.power(4, 1, 1) == 0 and planning.power(100, 0, 0) == 0
    with pytest.raises(InputError, match="every item that gets worse has flipped"):
        planning.power(100, 0.1, 0.2)
    with pytest.raises(InputError, match="more than 100,000,000 items"):
        planning.sample_size(0.5, 1e-5)


@pytest.mark.parametrize("flip", [0.02, 0.3])
def test_flip_rate_interval_covers(flip):
    """Enumerated coverage is never below 95 %; at the edges it is the closed form."""
    n = 120
    k = np.arange(n + 1)
    ends = np.array([planning.flip_rate_interval(int(i), n) for i in k])
    covered = stats.binom.pmf(k, n, flip)[(ends[:, 0] <= flip) & (flip <= ends[:, 1])].sum()
    assert covered >= 0.95
    assert planning.flip_rate_interval(0, n) == pytest.approx((0, 1 - 0.025 ** (1 / n)))


# ---- suites ------------------------------------------------------------------------------------------------


def test_suite_p_values_are_those_of_the_tests():
    rng = np.random.default_rng(0)
    m = rng.binomial([100, 300, 50, 4], 0.1, size=(80, 4))
    m[0], m[1, 2:], m[2] = 0, 0, [4, 16, 9, 1]
    b = rng.binomial(m, 0.55)
    b[2] = [3, 10, 6, 1]  # z of the first two tie, 2/√4 = 4/√16
    expected = [suite.p_max_drop(x, k - x) for x, k in zip(b, m, strict=True)]
    assert planning._p_max_drop(b, m) == pytest.approx(expected, rel=1e-12)
    found = planning._p_fisher(b, m, 1999, rng)
    expected = np.array([suite.p_fisher(x, k - x, 4999) for x, k in zip(b, m, strict=True)])
    error = np.sqrt(np.maximum(expected * (1 - expected), 1e-4) * (1 / 1999 + 1 / 4999))
    assert (np.abs(found - expected) < 5 * error).all()


def test_suite_power():
    """Size under the null; the pooled test's power is that of one long task; each test has its damage."""
    null = planning.suite_power([200] * 4, [0.1] * 4, 0.0, suites=800, draws=299)
    for test in planning.SUITE_TESTS:
        alarms = round(null.power[test] * 800)
        assert stats.binomtest(alarms, 800, 0.05, alternative="greater").pvalue > 1e-4
    everywhere = planning.suite_power([200] * 4, 0.1, 0.03, suites=800, draws=299)
    exact = planning.power(800, 0.1, 0.03)
    assert stats.binomtest(round(everywhere.power["pooled"] * 800), 800, exact).pvalue > 1e-4
    one = planning.suite_power([200] * 4, 0.1, [0.08, 0, 0, 0], suites=800, draws=299)
    assert one.power["max-drop"] > one.power["pooled"] and everywhere.power["pooled"] > everywhere.power["max-drop"]
    alone = planning.suite_power([300], [0.1], [0.05], suites=400, draws=299)
    assert alone.power["combined"] == alone.power["pooled"]
    with pytest.raises(InputError, match="larger than the flip rate"):
        planning.suite_power([300], [0.1], [0.2])


@pytest.mark.parametrize("one", [False, True])
def test_suite_answers_agree(one):
    suite = dict(tasks=2, one=one, alpha=0.05)
    drop = 0.07 if one else 0.03
    n = planning.suite_answer("n", {"flip": 0.1, "drop": drop, "power": 0.7}, **suite)
    assert planning.suite_answer("power", {"n": n, "flip": 0.1, "drop": drop}, **suite) == pytest.approx(0.7, abs=0.03)
    assert planning.suite_normal("n", {"flip": 0.1, "drop": drop, "power": 0.7}, **suite) == pytest.approx(n, rel=0.2)


# ---- the script --------------------------------------------------------------------------------------------


def scores(path, values):
    path.write_text("prompt_id,score\n" + "".join(f"q{i},{v}\n" for i, v in enumerate(values)))


def test_plan(script, tmp_path):
    done = script("mcnemar_tests.py", "plan", "--flip", 0.1, "--drop", 0.05, "--json", "plan.json", "--plot", "p.pdf",
                  "--csv", "p.csv", cwd=tmp_path)
    assert done.stdout.startswith("268 items find a drop of 5 points with probability 80%,\nat a flip rate of 10%")
    assert "268   (normal approximation: 246)" in done.stdout and max(map(len, done.stdout.splitlines())) <= 80
    content = json.loads((tmp_path / "plan.json").read_text())
    assert (content["n"], content["normal"], content["power"]) == (268, 246, 0.8)
    table = pd.read_csv(tmp_path / "p.csv").set_index("items")
    assert table.loc[268, "power"] == pytest.approx(planning.power(268, 0.1, 0.05))
    assert table.loc[536, "smallest_drop"] == pytest.approx(planning.detectable_drop(536, 0.1))
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")
    again = script("mcnemar_tests.py", "plan", "--flip", 0.1, "--drop", 0.05, "--plot", "p.pdf", cwd=tmp_path, code=2)
    assert "p.pdf exists" in again.stderr and again.stdout == ""


def test_plan_from_a_pilot(script, tmp_path):
    """The answer at the observed flip rate, and at both ends of its exact 95 % interval."""
    one = np.tile([1, 0], 200)
    other = one.copy()
    other[:20] = 1 - other[:20]
    scores(tmp_path / "a.csv", one)
    scores(tmp_path / "b.csv", other)
    done = script("mcnemar_tests.py", "plan", "--pilot", "a.csv", "b.csv", "--drop", 0.02, "--json", "-", cwd=tmp_path)
    content = json.loads(done.stdout)
    low, high = planning.flip_rate_interval(20, 400)
    assert content["flip"] == 0.05 and content["pilot"]["flip_low"] == pytest.approx(low)
    assert content["range"] == [planning.sample_size(low, 0.02), planning.sample_size(high, 0.02)]
    assert content["n"] == planning.sample_size(0.05, 0.02)
    assert "20 of 400 items of the pilot" in done.stderr and "noise floor" in done.stderr


def test_plan_of_suites(script, tmp_path):
    done = script("mcnemar_tests.py", "plan", "--n", 60, "--flip", 0.2, "--drop", 0.1, "--tasks", 1, 2, "--damage",
                  "one", "--csv", "t.csv", cwd=tmp_path)
    table = pd.read_csv(tmp_path / "t.csv").set_index("tasks")
    assert list(table.columns[:4]) == list(planning.SUITE_TESTS) and "on one task" in done.stdout
    assert table.loc[1, "combined"] == table.loc[1, "pooled"] > table.loc[2, "pooled"]


@pytest.mark.parametrize("flags, message", [
    (("--flip", 0.1), "give three of"),
    (("--n", 9, "--flip", 0.1, "--drop", 0.01, "--power", 0.5), "nothing is left to compute"),
    (("--flip", 0.1, "--drop", 0.2), "every item that gets worse has flipped"),
    (("--flip", 0.1, "--drop", 0), "cannot be detected"),
    (("--flip", 1.5, "--drop", 0.2), "flip rate = 1.5 must lie"),
    (("--n", 10, "--flip", 0.1), "a flip rate of 10% needs at least 66 items, or a lower power"),
    (("--flip", 0.1, "--drop", 0.05, "--power", 1), "power = 1 must lie"),
    (("--flip", 0.1, "--drop", 0.05, "--alpha", 0.5), "alpha = 0.5 must lie"),
    (("--flip", 0.1, "--drop", 0.05, "--plot", "p.docx"), "must end in .png"),
    (("--flip", 0.1, "--drop", 0.05, "--tasks", 2, 3), "make a table of power"),
    (("--pilot", "a.csv", "b.csv", "--drop", 0.1), "single runs scored 0 or 1"),
    (("--pilot", "a.csv", "a.csv", "--drop", 0.1, "--flip", 0.2), "one or the other"),
    (("--pilot", "a.csv", "none.csv", "--drop", 0.1), "none.csv: no such file"),
])
def test_bad_plans(script, tmp_path, flags, message):
    scores(tmp_path / "a.csv", [0.5, 1, 0])
    scores(tmp_path / "b.csv", [1, 1, 0])
    done = script("mcnemar_tests.py", "plan", *flags, cwd=tmp_path, code=2)
    assert message in done.stderr and done.stdout == "" and done.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "b.csv"]
