"""The exact test behind "safe": its p-values against sorted outcomes, its size by enumeration, its reach in n."""

from pathlib import Path

import numpy as np
import pytest
from exact_sizes import ALPHAS, MARGINS, SMALL, SPACED, boundaries, p_values, size_of, tango_coverage
from scipy import stats

from llm_accuracy.degradation import intervals, unconditional
from llm_accuracy.degradation.paired import judge_counts
from llm_accuracy.degradation.verdicts import NOT_DEGRADED, UNDECIDED

SLACK = 1e-6


def assert_at_level(n, margin):
    """Returns the largest size over the error rates."""
    sizes = [size_of(n, margin, boundary) for boundary in boundaries(n, margin)]
    assert all(size <= alpha + SLACK for size, alpha in zip(sizes, ALPHAS, strict=True)), (n, margin, sizes)
    return max(sizes)


@pytest.mark.parametrize("n, drop", [(60, 0.05), (100, 0.05), (130, 0.02)])
def test_p_values_are_those_of_sorted_outcomes(n, drop):
    b, c, slow = p_values(n, drop)
    some = np.flatnonzero(slow < 0.12)
    assert some.size > 0
    some = some[:: max(1, some.size // 60)]
    fast = [unconditional.p_drop_excluded(n, int(b[i]), int(c[i]), drop) for i in some]
    # The slow grid has no refinement: it can only be too low, and by little.
    assert np.all(slow[some] <= np.array(fast) + 1e-6)
    assert np.allclose(slow[some], fast, atol=2e-3)


@pytest.mark.parametrize("n, margin", [(75, 0.05), (100, 0.05), (160, 0.02), (240, 0.01)])
def test_size_by_enumeration(n, margin):
    assert assert_at_level(n, margin) > 0.02  # something is rejected, so that there is a size to speak of


@pytest.mark.long
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("n", [*SMALL, *SPACED.tolist()])
def test_size_by_enumeration_of_every_n(n, margin):
    assert_at_level(n, margin)


@pytest.mark.parametrize("alpha, n", [(0.05, 299), (0.1, 230)])
def test_no_flips_are_safe_from_the_exact_number_of_items(alpha, n):
    assert judge_counts(n, 0, 0, alpha=alpha).verdict == NOT_DEGRADED
    too_few = judge_counts(n - 1, 0, 0, alpha=alpha)
    assert too_few.verdict == UNDECIDED and too_few.reason is not None and not too_few.within_margin
    assert too_few.p_safe == pytest.approx(0.99 ** (n - 1), abs=2e-6)


def test_the_hole_of_tangos_test_is_closed():
    """268 items, none of which differs, with a flip rate and a drop of .01: .0676 of such runs have no flips."""
    assert intervals.p_noninferiority(268, 0, 0, 0.01) <= 0.05 < 0.99**268 < unconditional.p_drop_excluded(
        268, 0, 0, 0.01)


@pytest.mark.parametrize("n", [10**7, 10**9, 10**12])
def test_counts_up_to_a_trillion(n):
    b, c = n // 100 + int(2 * (n / 50) ** 0.5), n // 100
    result = judge_counts(n, b, c, margin=0.005)
    assert result.verdict in (NOT_DEGRADED, "degraded") and result.within_margin
    assert result.drop_lower < result.drop < result.drop_upper < 0.005
    assert result.ci_low < result.drop < result.ci_high
    # Where the normal approximation is as good as exact, the limit is Tango's.
    assert result.drop_upper == pytest.approx(intervals.tango_interval(n, b, c, 0.1)[1], rel=0.02)
    assert intervals.melded_interval(n, b, c)[0] < result.drop


@pytest.mark.parametrize("k, n, share", [(10, 30, 0.2), (1_000, 5_000, 0.21), (300_000, 900_000, 0.3334)])
def test_binomial_tails_in_floats(k, n, share):
    assert float(unconditional.at_most(k, n, share)) == pytest.approx(stats.binom.cdf(k, n, share), abs=2e-9)


@pytest.mark.parametrize("n, b, c", [(50, 0, 1), (300, 2, 3), (1_000, 30, 25)])
def test_limit_and_p_value_agree(n, b, c):
    limit = unconditional.upper_limit(n, b, c, 0.05)
    assert unconditional.p_drop_excluded(n, b, c, limit) <= 0.05
    assert unconditional.p_drop_excluded(n, b, c, limit - 0.02 * (b + c + 2) ** 0.5 / n) > 0.05


@pytest.mark.parametrize("n, least, most, tail", [
    (30, 0.930, 1.000, 0.042), (100, 0.933, 0.986, 0.050),
    pytest.param(300, 0.936, 0.962, 0.044, marks=pytest.mark.long)])
def test_tangos_coverage_is_what_the_docs_say(n, least, most, tail):
    assert np.allclose(tango_coverage(n), (least, most, tail), atol=5e-4)
    page = (Path(__file__).parents[2] / "docs" / "degradation.md").read_text()
    numbers = [f"{number:.3f}".removeprefix("0") for number in (least, most, tail)]
    sentence = " ".join(page[page.index("Tango's is") : page.index("exact_sizes.py")].split())
    assert f"{numbers[0]} to {numbers[1]} at n = {n}" in sentence and numbers[2] in sentence


def test_limits_search_with_some_of_the_points_first():
    """A p-value that some flip rates raise above `enough` is above it with all of them, too."""
    for n, b, c in [(60, 0, 1), (300, 2, 3)]:
        for drop in np.linspace(0.01, 0.08, 6):
            exact = unconditional.p_drop_excluded(n, b, c, drop)
            quick = unconditional.p_drop_excluded(n, b, c, drop, enough=0.05)
            assert (quick <= 0.05) == (exact <= 0.05) and quick <= exact + 1e-9
            assert quick == exact or quick > 0.05
