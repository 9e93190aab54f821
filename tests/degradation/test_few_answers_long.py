"""The floors of few answers, on real margins and simulated candidates: hours, by `make test-long`."""

import numpy as np
import pytest
from conftest import SHARED
from conftest import few_answers_benchmark as benchmark
from scipy import stats

pytestmark = [pytest.mark.long, pytest.mark.shared]
MARGINS = SHARED / "data" / "margins" / "smollm2_blimp.csv.gz"
ROWS = 2000


def check(rows, least_ess):
    """Coverage and errors at level (binomial, 1e-3 a cell), ESS not significantly below its floors, by budget."""
    for row, least in zip(rows, least_ess, strict=True):
        runs, where = row["runs"], (row["candidate"], row["curve"], row["asked"])
        assert stats.binom.cdf(round(row["exact_coverage"] * runs), runs, 0.95) > 1e-3, where
        given = round(row["asymptotic_given"] * runs)
        if given:
            assert stats.binom.cdf(round(row["asymptotic_coverage"] * given), given, 0.94) > 1e-3, where
        if row["drop"] >= 0.01:
            assert stats.binom.sf(round(row["said_safe"] * runs) - 1, runs, 0.05) > 1e-3, where
        if row["drop"] <= 0:
            assert stats.binom.sf(round(row["said_worse"] * runs) - 1, runs, 0.05) > 1e-3, where
        assert row["ess"] >= least - 2 * row["ess_se"], where


FLOORS = {"rtn8": (2, 2, 2, 2), "rtn5": (1.5, 1.5, 1.5, 1.7)}
OWN = {"rtn8": (2.7,) * 4, "rtn5": (1.7,) * 4}


@pytest.mark.parametrize("variant", ["rtn8", "rtn5", "rtn3", "up24"])
@pytest.mark.parametrize("curve", ["default", "its own, cross-fitted"])
def test_real_candidates(shared, variant, curve):
    bench = benchmark()
    cell, = (c for c in bench.margin_cells(MARGINS) if c.name == variant and c.curve == curve)
    check(bench.measure(cell, ROWS, 0), (FLOORS if curve == "default" else OWN).get(variant, (0.9,) * 4))


PAIRS, HISTORY = SHARED / "data" / "pairs", SHARED / "data" / "matrices" / "mmlu_pro.csv.gz"
LLAMA = "mmlu_pro_llama3-8b-instruct_unquantized_vs_quantized"
QWEN = "mmlu_pro_psychology_qwen3-30b-a3b_thinkbias0_vs_18"


def files(pair):
    return [PAIRS / f"{pair}.{which}.csv" for which in ("baseline", "optimized")]


@pytest.mark.parametrize("pair, other, floor", [(LLAMA, QWEN, 1.7), (QWEN, LLAMA, 2.0), (f"{QWEN}.5", LLAMA, 0.9)])
def test_real_pairs_without_margins(shared, pair, other, floor):
    """Leave-pair-out: with no history, with one, and with one and a curve of the other model's pair."""
    bench = benchmark()
    cells = bench.pair_cells(files(pair), HISTORY, [], files(other))
    for cell, least in zip(cells, (0.9, floor, 0.9), strict=True):
        check(bench.measure(cell, ROWS, 0), (least,) * 4)


@pytest.mark.parametrize("part", range(8))
def test_simulated_candidates(shared, part):
    bench = benchmark()
    for cell in bench.simulated_cells(MARGINS)[part::8]:
        check(bench.measure(cell, ROWS, 1), (0.7 if "anywhere" in cell.name else 0.0,) * 4)


@pytest.mark.parametrize("n", [2680, 12032])
def test_questions_to_a_decision(shared, n):
    """Against paired simple random sampling: one exact look, and the e-value of `watch`."""
    for row in benchmark().questions(MARGINS, 500, 0, [n], [0.009, 0.02, 0.04, 0.08]):
        fixed, watched, ours = row["srs_fixed_exact"], row["srs_watched"], row["margins_matching"]
        assert ours <= 1.25 * fixed and ours <= 0.75 * watched and row["no_margins"] <= 1.1 * watched
        assert row["flips"] != 0.04 or ours <= 0.85 * fixed
    assert np.isfinite(ours)
