"""One-task tests against enumeration, slow references, published tables and simulation."""

import itertools
import json
import math
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from llm_accuracy.degradation import intervals, mcnemar, paired, sign_flips, verdicts
from llm_accuracy.errors import InputError

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
GOLDEN = SHARED / "golden" / "degradation.json"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="no ../shared/golden")


def golden(name):
    return json.loads(GOLDEN.read_text())[name] if GOLDEN.exists() else []


def false_alarms_are_plausible(alarms, trials, alpha, error=1e-4):
    """Does a binomial test at level `error` allow a size of at most alpha?"""
    return stats.binomtest(int(alarms), trials, alpha, alternative="greater").pvalue > error


# ---- exact test --------------------------------------------------------------------------------------------


def test_exact_p_values_are_rational_sums():
    for b, c in itertools.product(range(13), repeat=2):
        m = b + c
        tail = float(sum(Fraction(comb(m, k), 2**m) for k in range(b, m + 1)))
        point = comb(m, b) / 2**m
        assert mcnemar.p_exact(b, c) == pytest.approx(tail, rel=1e-13)
        assert mcnemar.p_mid(b, c) == pytest.approx(tail - point / 2, rel=1e-13)
        assert mcnemar.log10_p_exact(b, c) == pytest.approx(np.log10(tail), abs=1e-13)
    assert mcnemar.p_exact(0, 0) == 1 and mcnemar.p_mid(0, 0) == 0.5


def test_log10_p_where_the_p_value_underflows():
    b, c = 5000, 1000
    m = b + c
    total = sum(comb(m, k) for k in range(b, m + 1))  # an integer of six thousand bits
    exact = (total.bit_length() - m) * np.log10(2) + np.log10(total / 2 ** total.bit_length())
    assert mcnemar.p_exact(b, c) == 0
    assert mcnemar.log10_p_exact(b, c) == pytest.approx(exact, rel=1e-13)
    result = paired.judge_counts(10_000, b, c)
    assert result.p > 0 and result.log10_p == pytest.approx(exact, rel=1e-13)


def test_exact_size_never_exceeds_alpha():
    """By enumeration: P(p ≤ α | m, q = ½) ≤ α for every m, and close to it for large m."""
    for m in (1, 4, 5, 20, 200, 2000):
        b = np.arange(m + 1)
        size = stats.binom.pmf(b, m, 0.5)[mcnemar.p_exact(b, m - b) <= 0.05].sum()
        assert size <= 0.05
        assert size > 0.04 or m < 2000


# ---- intervals ---------------------------------------------------------------------------------------------


def tango_by_likelihood(drop, n, b, c):
    """The score statistic with the restricted estimate found by a numerical search."""
    low, high = max(0.0, -drop), (1 - drop) / 2

    def log_likelihood(q):
        return sum(
            k * np.log(p) if k else 0.0 for k, p in ((b, q + drop), (c, q), (n - b - c, 1 - 2 * q - drop))
        )

    grid = np.linspace(low, high, 2003)[1:-1]
    best = grid[np.argmax([log_likelihood(q) for q in grid])]
    from scipy.optimize import minimize_scalar

    step = grid[1] - grid[0]
    q = minimize_scalar(
        lambda q: -log_likelihood(q),
        bounds=(best - step, best + step),
        method="bounded",
        options={"xatol": 1e-12},
    ).x
    return (b - c - n * drop) / np.sqrt(n * (2 * q + drop - drop**2))


@pytest.mark.parametrize("n, b, c", [(161, 6, 16), (100, 30, 5), (40, 3, 3)])
@pytest.mark.parametrize("drop", [-0.2, -0.01, 0.05, 0.3])
def test_tango_score_is_the_restricted_likelihood_score(n, b, c, drop):
    assert intervals.tango_score(drop, n, b, c) == pytest.approx(tango_by_likelihood(drop, n, b, c), rel=1e-6)


def melded_by_sampling(n, b, c, level, draws=2_000_000):
    rng = np.random.default_rng(3)
    m = b + c

    def beta(a, z):
        return np.zeros(draws) if a == 0 else np.ones(draws) if z == 0 else rng.beta(a, z, draws)

    thetas = beta(m, n - m + 1), beta(m + 1, n - m)
    return (
        min(np.quantile(t * (2 * beta(b, c + 1) - 1), level / 2) for t in thetas),
        max(np.quantile(t * (2 * beta(b + 1, c) - 1), 1 - level / 2) for t in thetas),
    )


@pytest.mark.parametrize(
    "n, b, c", [(161, 6, 16), (100, 1, 0), (20, 20, 0), (30, 9, 9), (50, 0, 0), (11, 9, 1)]
)
def test_melded_interval_against_sampled_quantiles(n, b, c):
    low, high = intervals.melded_interval(n, b, c)
    slow_low, slow_high = melded_by_sampling(n, b, c, 0.05)
    assert low == pytest.approx(slow_low, abs=2e-3) and high == pytest.approx(slow_high, abs=2e-3)


def test_melded_interval_by_mpmath():
    """P[ΘW ≤ limit] = level by 30-digit quadrature, at limits of either sign."""
    mp = pytest.importorskip("mpmath")
    mp.mp.dps = 30

    def probability_below(limit, n, b, c):
        m = b + c
        theta = (m, n - m + 1) if limit > 0 else (m + 1, n - m)
        mean = mp.mpf(theta[0]) / sum(theta)
        spread = mp.sqrt(mean * (1 - mean) / sum(theta))
        start = abs(limit)
        points = sorted(
            {start, *(min(1, max(start, mean + k * spread)) for k in (-8, -3, 0, 3, 8, 16)), mp.mpf(1)}
        )

        def integrand(t):
            density = t ** (theta[0] - 1) * (1 - t) ** (theta[1] - 1) / mp.beta(*theta)
            return density * mp.betainc(b, c + 1, 0, (limit / t + 1) / 2, regularized=True)

        sure = mp.betainc(*theta, 0, start, regularized=True) if limit > 0 else 0
        return float(mp.quad(integrand, points) + sure)

    for n, b, c in [(161, 6, 16), (100, 5, 0), (10_000, 300, 220)]:
        limit = mp.mpf(intervals.melded_lower(n, b, c, 0.025))
        assert probability_below(limit, n, b, c) == pytest.approx(0.025, abs=1e-12)


def test_limits_always_agree_with_the_verdict():
    for n in (1, 2, 3, 7, 16):
        for b in range(n + 1):
            for c in range(n - b + 1):
                for alpha, margin in ((0.05, 0.01), (0.2, 0.3)):
                    r = paired.judge_counts(n, b, c, alpha=alpha, margin=margin)
                    assert (r.p < alpha) == (r.drop_lower > 0), (n, b, c)
                    assert (r.p_noninferiority < alpha) == (r.drop_upper < margin), (n, b, c)
                    assert r.drop_lower <= r.drop + 1e-12 and r.drop <= r.drop_upper + 1e-12
                    assert -1 <= r.ci_low <= r.ci_high <= 1


def every_table(n):
    return [(b, c) for b in range(n + 1) for c in range(n - b + 1)]


def test_two_sided_coverage_of_both_intervals_by_enumeration():
    """All (b, c) of 30 items at several flip rates: melded never covers less than 95 %, Tango about 95 %."""
    n = 30
    tables = every_table(n)
    for interval, least in ((intervals.melded_interval, 0.95), (intervals.tango_interval, 0.92)):
        low, high = np.array([interval(n, b, c) for b, c in tables]).T
        for p10, p01 in ((0.05, 0.05), (0.15, 0.05), (0.3, 0.1), (0.02, 0.0)):
            weight = stats.multinomial.pmf(
                [(b, c, n - b - c) for b, c in tables], n, [p10, p01, 1 - p10 - p01]
            )
            assert weight[(low <= p10 - p01) & (p10 - p01 <= high)].sum() > least - 1e-12


def test_noninferiority_error_by_enumeration():
    """P(drop shown below the margin | drop = margin): Tango's score is near alpha, not strictly below it."""
    n, margin = 120, 0.05
    tables = every_table(n)
    shown = np.array([intervals.p_noninferiority(n, b, c, margin) <= 0.05 for b, c in tables])
    for p01 in (0.01, 0.05, 0.1):
        p10 = p01 + margin
        weight = stats.multinomial.pmf([(b, c, n - b - c) for b, c in tables], n, [p10, p01, 1 - p10 - p01])
        assert 0.02 < weight[shown].sum() < 0.062


def test_no_flips_is_not_equivalence():
    result = paired.judge_counts(100, 0, 0, n11=70)
    assert result.p == 1 and result.p_mid == 0.5 and not result.can_reject
    assert result.verdict == verdicts.UNDECIDED
    assert result.ci_low == pytest.approx(-0.037, abs=5e-4) and result.ci_high == pytest.approx(
        0.037, abs=5e-4
    )
    averaged = paired.judge_pair(np.full(100, 0.75), np.full(100, 0.75))
    assert averaged.p == 1 and averaged.verdict == verdicts.UNDECIDED and averaged.ci_high > 0.02


def test_verdicts():
    assert paired.judge_counts(5000, 300, 200).verdict == verdicts.DEGRADED
    assert paired.judge_counts(20_000, 100, 100).verdict == verdicts.NOT_DEGRADED
    both = paired.judge_counts(200_000, 2000, 1700)
    assert both.verdict == verdicts.DEGRADED and both.within_margin
    assert not paired.judge_counts(4, 4, 0).can_reject


# ---- sign flips --------------------------------------------------------------------------------------------


def sign_flips_by_enumeration(d):
    """Integers, so that ties are ties."""
    sums = [
        sum(s * x for s, x in zip(signs, d, strict=True))
        for signs in itertools.product((1, -1), repeat=len(d))
    ]
    return np.mean([s >= sum(d) for s in sums])


def test_sign_flips_by_enumeration():
    rng = np.random.default_rng(0)
    for _ in range(40):
        d = rng.integers(-6, 7, size=rng.integers(1, 12)).tolist()
        for unit in (1, 4, 12):
            test = sign_flips.sign_flip_test(np.array(d) / unit)
            assert test.p == pytest.approx(sign_flips_by_enumeration(d), rel=1e-12), d
            assert test.p_improvement == pytest.approx(sign_flips_by_enumeration([-x for x in d]), rel=1e-12)
            assert test.method == "exact"


def test_sign_flips_on_binary_data_are_mcnemar_far_into_the_tail():
    for b, c in ((6, 2), (300, 220), (5, 300), (2981, 2325), (20_000, 1000), (40, 0)):
        test = sign_flips.sign_flip_test(np.r_[np.ones(b), -np.ones(c), np.zeros(50)])
        assert test.log10_p == pytest.approx(mcnemar.log10_p_exact(b, c), rel=1e-11, abs=1e-13)
        assert test.p > 0


def test_sign_flips_on_a_grid_against_direct_convolution():
    rng = np.random.default_rng(1)
    for shift in (0, 0.02, 0.2):
        steps = rng.binomial(4, 0.6 + shift / 2, 400) - rng.binomial(4, 0.6 - shift / 2, 400)
        distribution = np.ones(1)
        for size in np.abs(steps[steps != 0]):
            distribution = np.convolve(distribution, np.r_[0.5, np.zeros(size - 1), 0.5])
        tail = distribution[steps[steps > 0].sum() :].sum()
        assert sign_flips.sign_flip_test(steps / 4).p == pytest.approx(tail, rel=1e-10)


def tails_by_integers(steps):
    """P[Σ of the positive steps' size or more] and of as much or less, under random signs: the number of sign patterns
    for every sum, as the digits of one integer in base 2^bits, which each step shifts and adds."""
    n, sum_ = len(steps), sum(step for step in steps if step > 0)
    bits, patterns = n + 2, 1
    for step in steps:
        patterns += patterns << (bits * abs(step))
    above = (patterns >> (bits * (sum_ + 1))) % (2**bits - 1)  # the sum of its digits
    here = (patterns >> (bits * sum_)) % 2**bits
    return [Fraction(count, 2**n) for count in (above + here, 2**n - above)]


@pytest.mark.parametrize("n, shift, denominator", [
    (60, 0.0, 10_000), (60, -0.3, 9_999), (150, 0.15, 10_000), (80, 0.9, 9_973), (300, 0.05, 1_000), (40, 0.2, 3_600)])
def test_sign_flips_on_fine_grids_against_whole_numbers(n, shift, denominator):
    """Every difference of its own size, far into either tail."""
    rng = np.random.default_rng(n)
    steps = np.rint(np.clip(rng.normal(shift, 0.2, n), -1, 1) * denominator).astype(int)
    test = sign_flips.sign_flip_test(steps / denominator)
    worse, better = tails_by_integers(steps[steps != 0].tolist())
    assert test.method == "exact"
    assert test.p == pytest.approx(float(worse), rel=1e-9) and test.p_improvement == pytest.approx(float(better), 1e-9)
    assert test.log10_p == pytest.approx(math.log10(worse), rel=1e-11, abs=1e-11)


def test_both_ways_to_the_distribution_on_a_grid_agree(monkeypatch):
    rng = np.random.default_rng(8)
    d = rng.integers(-12, 16, 250) / 12
    found = []
    for way in (0, 10**9):  # what one size of a transform costs: always, never
        monkeypatch.setattr(sign_flips, "AS_ONE_OF_A_TRANSFORM", way)
        found.append(sign_flips.sign_flip_test(d))
    assert found[0].log10_p == pytest.approx(found[1].log10_p, rel=1e-11)
    assert found[0].p_improvement == pytest.approx(found[1].p_improvement, rel=1e-11)


def test_a_grid_too_fine_for_its_draws_takes_random_sign_flips():
    d = np.random.default_rng(4).normal(0.01, 0.2, 300).round(4)
    exact, drawn = (sign_flips.sign_flip_test(d, draws) for draws in (99_999, 9_999))
    assert exact.method == "exact" and drawn.method == "9,999 random sign flips"
    assert abs(exact.p - drawn.p) < 5 * np.sqrt(exact.p * (1 - exact.p) / 9_999)


def test_random_sign_flips_agree_with_the_exact_test_and_are_never_zero():
    d = np.random.default_rng(2).normal(0.1, 1, 18)
    exact = sign_flips.sign_flip_test(d)
    assert exact.method == "exact"
    rng = np.random.default_rng(0)
    sums = sign_flips.random_sign_sums(d[:, None], 100_000, rng)[:, 0]
    drawn = np.mean(sums >= d.sum() - 1e-9)
    assert abs(drawn - exact.p) < 4 * np.sqrt(exact.p * (1 - exact.p) / 100_000)
    test = sign_flips.sign_flip_test(np.random.default_rng(3).normal(2, 1, 200), draws=999)
    assert test.p == 1 / 1000 and test.method == "999 random sign flips" and test.smallest_p == 1 / 1000
    assert test == sign_flips.sign_flip_test(np.random.default_rng(3).normal(2, 1, 200), draws=999)


def test_float_ties_count_against():
    """.1 + .2 and .3 are the same difference: whatever the last bits, the p-value is that of the integers."""
    d = np.array([0.1 + 0.2, -0.3, 0.1, 0.2, -0.1, 0.3 - 0.1, -(0.1 + 0.1)])
    assert sign_flips.sign_flip_test(d).p == pytest.approx(
        sign_flips_by_enumeration([3, -3, 1, 2, -1, 2, -2]), rel=1e-12
    )
    irrational = np.pi * np.array([0.1 + 0.2, -0.3, 0.1, 0.2, -0.1, 0.3 - 0.1, -(0.1 + 0.1)])
    assert sign_flips.sign_flip_test(irrational).p == pytest.approx(
        sign_flips_by_enumeration([3, -3, 1, 2, -1, 2, -2]), rel=1e-12
    )


def test_size_on_averaged_reruns_and_clusters():
    """Under the null: 4-rerun averages, and clusters that move together (where ignoring them would fail)."""
    rng = np.random.default_rng(4)
    trials, n = 1500, 120
    reruns = clustered = ignored = 0
    clusters = np.repeat(np.arange(n // 6), 6)
    for _ in range(trials):
        ability = rng.beta(2, 1, n)
        d = (rng.binomial(4, ability) - rng.binomial(4, ability)) / 4
        reruns += sign_flips.sign_flip_test(d).p <= 0.05
        together = np.repeat(rng.choice([-1, 0, 1], n // 6), 6) * (rng.random(n) < 0.8)
        clustered += sign_flips.sign_flip_test(sign_flips.cluster_sums(together, clusters)).p <= 0.05
        ignored += sign_flips.sign_flip_test(together).p <= 0.05
    assert false_alarms_are_plausible(reruns, trials, 0.05) and reruns > 0.03 * trials
    assert false_alarms_are_plausible(clustered, trials, 0.05) and clustered > 0.02 * trials
    assert not false_alarms_are_plausible(ignored, trials, 0.05)  # the check can fail


@pytest.mark.parametrize("kind", ["reruns", "clusters"])
def test_coverage_of_the_interval_of_means(kind):
    rng = np.random.default_rng(5)
    trials, n, truth = 2000, 240, 0.03
    clusters = np.repeat(np.arange(60), 4) if kind == "clusters" else None
    missed = 0
    for _ in range(trials):
        if kind == "reruns":
            ability = rng.uniform(0.1, 0.9, n)
            d = (rng.binomial(4, ability + truth / 2) - rng.binomial(4, ability - truth / 2)) / 4
        else:
            d = np.repeat(rng.choice([1, -1, 0], 60, p=[0.18, 0.15, 0.67]), 4)
        t = intervals.mean_drop(d, clusters, 1.0)
        missed += not t.limit(0.025) <= truth <= t.limit(0.975)
    assert false_alarms_are_plausible(missed, trials, 0.05, error=1e-3)
    assert missed > 0.02 * trials


def test_bonett_price_on_binary_scores():
    n, b, c = 100, 9, 4
    d = np.r_[np.ones(b), -np.ones(c), np.zeros(n - b - c)]
    t = intervals.mean_drop(d, None, 1.0)
    p1, p2 = (b + 1) / (n + 2), (c + 1) / (n + 2)
    published = np.sqrt((p1 + p2 - (p1 - p2) ** 2) / (n + 2))
    assert t.centre == pytest.approx((b - c) / (n + 2))
    # Ours divides by the number of added clusters less one, a factor √(102/101), and takes t for z.
    assert t.error == pytest.approx(published * np.sqrt((n + 2) / (n + 1)), rel=1e-12)


# ---- whole results -----------------------------------------------------------------------------------------


def test_pair_of_score_vectors():
    baseline, candidate = np.array([1, 1, 1, 0, 0, 1, 1]), np.array([1, 0, 0, 1, 0, 1, 0])
    r = paired.judge_pair(baseline, candidate)
    assert (r.n, r.n11, r.b, r.c, r.n00) == (7, 2, 3, 1, 1)
    assert r.drop == pytest.approx(2 / 7) and r.mean_baseline == 5 / 7 and r.p == r.p_exact == r.p_permutation
    as_bool = paired.judge_pair(baseline.astype(bool), candidate.astype(bool))
    assert as_bool == r
    swapped = paired.judge_pair(candidate, baseline)
    assert swapped.drop == -r.drop and swapped.p == pytest.approx(r.p_improvement)
    assert swapped.ci_low == pytest.approx(-r.ci_high)
    lower = paired.judge_pair(1 - baseline, 1 - candidate, higher_is_better=False)
    assert lower.drop == pytest.approx(r.drop) and lower.p == pytest.approx(r.p)


def test_singleton_clusters_change_nothing_but_the_interval():
    rng = np.random.default_rng(6)
    baseline, candidate = rng.integers(0, 2, (2, 50))
    plain = paired.judge_pair(baseline, candidate)
    single = paired.judge_pair(baseline, candidate, clusters=np.arange(50))
    assert single.p == pytest.approx(plain.p, rel=1e-12) and single.p_exact is None
    assert single.ci_low == pytest.approx(plain.ci_low, abs=0.03)


def test_mean_limits_agree_with_the_sign_flip_verdict():
    rng = np.random.default_rng(7)
    for _ in range(200):
        d = rng.integers(-2, 4, 12) / 4
        r = paired.judge_pair(d, np.zeros(12))
        assert (r.drop_lower >= 0) if r.verdict == verdicts.DEGRADED else (r.drop_lower <= 0)
        assert r.drop_lower <= r.drop_upper


def test_ten_million_pairs():
    rng = np.random.default_rng(8)
    baseline = rng.random(10_000_000, dtype=np.float32) < 0.6
    candidate = baseline ^ (rng.random(10_000_000, dtype=np.float32) < 0.05)
    r = paired.judge_pair(baseline, candidate)
    assert r.b + r.c == np.count_nonzero(baseline != candidate) and r.p > 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: paired.judge_counts(10, 6, 5),
        lambda: paired.judge_counts(0, 0, 0),
        lambda: paired.judge_counts(10, -1, 0),
        lambda: paired.judge_counts(10, 1, 1, alpha=0.7),
        lambda: paired.judge_counts(10, 1, 1, margin=0.0),
        lambda: paired.judge_pair(np.ones(3), np.ones(4)),
        lambda: paired.judge_pair(np.ones(0), np.ones(0)),
        lambda: paired.judge_pair(np.array([0.5, np.nan]), np.ones(2)),
        lambda: paired.judge_pair(np.array([0.5, 1]), np.ones(2), clusters=np.zeros(2, int)),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(InputError):
        call()


# ---- golden values -----------------------------------------------------------------------------------------


@needs_golden
@pytest.mark.shared
@pytest.mark.parametrize("case", golden("pairs"), ids=lambda case: case["id"])
def test_golden_pairs(case):
    n, b, c = case["N"], case["n10"], case["n01"]
    r = paired.judge_counts(n, b, c, n11=case["n11"])
    for ours, name in (
        (r.p_exact, "p_exact_greater"),
        (r.p_improvement, "p_exact_less"),
        (r.p_mid, "p_mid_greater"),
        (r.p_two_sided, "p_exact_two_sided"),
        (r.drop, "drop"),
        (r.flip_rate, "flip_rate"),
        (r.mean_baseline, "acc_base"),
        (r.mean_candidate, "acc_cand"),
    ):
        assert ours == pytest.approx(case[name], rel=1e-10), name
    assert r.log10_p == pytest.approx(case["log10_p_exact_greater"], abs=1e-9)
    assert (r.ci_low, r.ci_high) == pytest.approx(case["ci95_tango"], abs=1e-12)
    low, high = intervals.tango_interval(n, b, c, 0.1)
    assert low == pytest.approx(case["lower95_onesided_tango"], abs=1e-12)
    assert high == pytest.approx(case["upper95_onesided_tango"], abs=1e-12)
    # The limit that decides is exact; Tango's is near it, and too low where a single flip more or less matters.
    assert r.drop_upper == pytest.approx(high, abs=(1.2 if n < 1000 else 0.25) * (b + c + 1) ** 0.5 / n)
    for margin in ("0.01", "0.02"):
        at = paired.judge_counts(n, b, c, margin=float(margin))
        assert intervals.tango_score(float(margin), n, b, c) == pytest.approx(
            case[f"noninferiority_tango_z_margin_{margin}"], rel=1e-9
        )
        p = at.p_of("p_noninferiority_tango")
        assert p == pytest.approx(case[f"noninferiority_tango_p_margin_{margin}"], rel=1e-7, abs=1e-300)
        both = intervals.p_equivalence(n, b, c, float(margin))
        assert both == pytest.approx(case[f"tost_tango_p_margin_{margin}"], rel=1e-7)
    if "ci95_melded_exact" in case:
        # Their quadrature is good to about four digits of the width at n = 20, better above.
        assert intervals.melded_interval(n, b, c) == pytest.approx(case["ci95_melded_exact"], abs=5e-6)


@needs_golden
@pytest.mark.shared
def test_golden_permutations_and_clusters():
    for case in golden("permutation"):
        assert sign_flips.sign_flip_test(np.array(case["d"], float)).p == pytest.approx(
            case["p_exact_greater"], rel=1e-12
        )
    reruns = golden("permutation")[0]
    baseline, candidate = (np.mean(reruns[k], axis=1) for k in ("base_runs", "cand_runs"))
    r = paired.judge_pair(baseline, candidate)
    assert r.drop == reruns["mean_drop"] and r.p == pytest.approx(reruns["p_exact_greater"], rel=1e-12)
    cluster = golden("cluster")
    error = intervals.cluster_standard_error(np.array(cluster["d"]), np.array(cluster["cluster"]))
    assert error == pytest.approx(cluster["se_cluster_CR1"], rel=1e-12)


PUBLISHED = [
    (163, 168, 0.629),
    (1095, 1106, 0.601),
    (1096, 1107, 0.601),
    (1241, 1042, 1.69e-5),
    (2981, 2325, 1.09e-19),
]


@pytest.mark.parametrize("b, c, printed", PUBLISHED)
def test_published_pooled_p_values(b, c, printed):
    """Table of arXiv 2602.10144: Llama-3.1-8B-Instruct, 25,282 items; three printed digits."""
    p = paired.judge_counts(25_282, b, c).p
    assert f"{p:.2e}" == f"{printed:.2e}"


@pytest.mark.parametrize("scores, words", [
    ([[1], [1, 0]], "baseline: lists of different lengths"), (None, "baseline: a vector of numbers"),
    ([], r"got \(0,\)"), ([[1, 0]], "need two score vectors of one length")])
def test_what_is_no_vector_of_scores_is_refused(scores, words):
    with pytest.raises(InputError, match=words):
        paired.judge_pair(scores, scores)
