"""Did the candidate get worse on one task? One result from all paired tests and intervals.

Baseline and candidate answer the same n items. On b items only the baseline is right, on c items only the candidate
is, m = b + c. The drop is D = (b − c)/n, positive where the candidate is worse; the flip rate is m/n (arXiv
2602.10144, section 3). The tests are in `mcnemar` and `sign_flips`, the intervals in `intervals`, the table of all
tests in `pair_tests`, the three verdicts in `verdicts`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .defaults import ALPHA, DRAWS_OF_A_PAIR, MARGIN, check_alpha, check_margin
from .intervals import TWO_SIDED_LEVEL, in_unit_range, melded_interval, melded_lower, tango_interval
from .margins import check_against_scores, check_below_half
from .mcnemar import count_flips, log10_p_exact, positive
from .pair_tests import TESTS, PairedScores
from .verdicts import verdict
from .words import p_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class PairedResult:
    """Everything computed for one pair of runs. p-values of tests that do not apply are None.

    `p` decides "degraded": `p_exact` on 0/1 scores of independent items, else `p_permutation`.
    `drop_lower` and `drop_upper` are one-sided 1 − alpha limits that always agree with the verdict:
    degraded ⟺ drop_lower > 0 (or = 0 at p = alpha), shown to be within the margin ⟺ drop_upper < margin.
    Drops, limits, margin and means are in units of the score; if scores lie in [0, 1], .01 is one point.
    """

    n: int
    units: int  # independent units: clusters, or items
    n11: int | None  # both right (both 0 where lower is better); None where scores are not 0/1
    b: int  # items on which the candidate is worse
    c: int  # items on which it is better
    n00: int | None
    mean_baseline: float
    mean_candidate: float
    drop: float
    flip_rate: float
    p: float
    log10_p: float
    p_exact: float | None
    p_mid: float | None
    log10_p_exact: float | None
    p_improvement: float
    p_two_sided: float
    p_permutation: float
    permutation_method: str
    smallest_p: float
    can_reject: bool
    ci_low: float
    ci_high: float
    ci_method: str
    drop_lower: float
    drop_upper: float
    p_noninferiority: float
    p_equivalence: float
    alpha: float
    margin: float
    verdict: str
    within_margin: bool  # degraded, and shown to be so by less than the margin
    in_points: bool  # scores lie in [0, 1], so a drop of .01 is one point
    others: dict[str, float | None] = field(default_factory=dict, hash=False)  # p of further records in TESTS

    def __repr__(self) -> str:
        p = p_text(self.p, self.log10_p)
        return f"PairedResult({self.verdict}: drop {drop_text(self)}, p = {p}, {self.n:,} items)"

    def to_dict(self) -> dict:
        """Every field, and every further test of TESTS, by name."""
        content = asdict(self)
        others = content.pop("others")
        return {**content, **others}

    @property
    def decided_by(self) -> str:
        """The name of the test whose p-value is `p`."""
        return "p_permutation" if self.p_exact is None else "p_exact"

    def p_of(self, test: str) -> float | None:
        """The p-value of a test of TESTS, by its name."""
        return self.others[test] if test in self.others else getattr(self, test)


def drop_text(result: PairedResult) -> str:
    return f"{100 * result.drop:.2f} points" if result.in_points else f"{result.drop:.4g}"


def judge_counts(
    n: int, b: int, c: int, *, n11: int | None = None, alpha: float = ALPHA, margin: float = MARGIN,
    interval: str = "tango",
) -> PairedResult:
    """All of `PairedResult` from the counts alone: 0/1 scores of n independent items.

    `n11` (both right) only enters the two accuracies, which are NaN without it. `interval` names the method
    of ci_low and ci_high, "tango" or "melded-exact". Raises InputError for impossible counts, or an alpha or
    margin out of range.
    """
    check_alpha(alpha)
    check_margin(margin)
    check_below_half(margin, 1.0)
    if min(n, b, c) < 0 or n == 0 or b + c + (n11 or 0) > n:
        raise InputError(f"n = {n}, b = {b}, c = {c} is impossible: b + c of n > 0 items differ")
    both = float("nan") if n11 is None else n11
    return _from_counts(PairedScores(n, margin, (b, c)), n11, ((both + b) / n, (both + c) / n), alpha, interval)


def judge_pair(
    baseline: np.ndarray | pd.Series, candidate: np.ndarray | pd.Series, *,
    clusters: np.ndarray | pd.Series | None = None, higher_is_better: bool = True, alpha: float = ALPHA,
    margin: float = MARGIN, interval: str = "tango", draws: int = DRAWS_OF_A_PAIR, seed: int = 0,
) -> PairedResult:
    """Test one pair of score vectors, both of shape (n,), item by item on the same questions.

    Scores may be 0/1, averages over reruns, or continuous, without missing values. Two pandas Series are matched by
    their index, in any order. `clusters` (n,) are integer codes 0 … G−1; items with the same code are not independent.
    With two Series it may be a third Series of arbitrary labels. `alpha` is the error rate, `margin` the smallest drop
    that matters, in units of the score. `interval` names the method of ci_low and ci_high for 0/1 scores of independent
    items, "tango" or "melded-exact". `draws` and `seed` matter only where the sign-flip test is not exact.

    Raises InputError for unequal lengths, items that cannot be matched, missing scores, no items, and for an alpha or
    margin out of range. The tests are those of arXiv 2602.10144, section 3; see `mcnemar`, `sign_flips`, `intervals`.
    """
    if hasattr(baseline, "to_numpy") or hasattr(candidate, "to_numpy"):
        from .pairing import match_series

        baseline, candidate, clusters = match_series(baseline, candidate, clusters)
    baseline, candidate = np.asarray(baseline), np.asarray(candidate)
    clusters = None if clusters is None else np.asarray(clusters)
    check_alpha(alpha)
    check_margin(margin)
    if baseline.shape != candidate.shape or baseline.ndim != 1 or baseline.size == 0:
        raise InputError(f"need two score vectors of one length, got {baseline.shape} and {candidate.shape}")
    if clusters is not None and clusters.shape != baseline.shape:
        raise InputError(f"need one cluster code for each of the {baseline.size} items, got {clusters.shape}")
    zero_one = _zero_one(baseline) and _zero_one(candidate)
    means = float(baseline.mean()), float(candidate.mean())
    counts, both = None, None
    if clusters is None and zero_one:
        b, c = count_flips(baseline, candidate)
        both = int(np.count_nonzero((baseline == 1) & (candidate == 1)))
        b, c, both = (b, c, both) if higher_is_better else (c, b, baseline.size - b - c - both)
        counts = b, c
    scores = PairedScores(baseline.size, margin, counts, baseline, candidate, clusters, higher_is_better, draws, seed)
    if counts is not None:
        check_below_half(margin, 1.0)
        return _from_counts(scores, both, means, alpha, interval)
    if not np.isfinite(scores.differences).all():
        raise InputError("scores must be finite numbers: drop missing items from both runs first")
    check_against_scores(margin, min(baseline.min(), candidate.min()), max(baseline.max(), candidate.max()))
    return _from_differences(scores, zero_one, means, alpha)


def _from_counts(scores: PairedScores, n11: int | None, means: tuple[float, float], alpha: float,
                 interval: str) -> PairedResult:
    """0/1 scores of independent items; `n11` both right, `means` of baseline and candidate."""
    n, (b, c) = scores.n, scores.flipped
    smallest, log10_p = positive(0.5 ** (b + c)), log10_p_exact(b, c)
    low, high = {"tango": tango_interval, "melded-exact": melded_interval}[interval](n, b, c)
    return _decided(
        scores, alpha, "p_exact", n=n, units=n, n11=n11, b=b, c=c, n00=None if n11 is None else n - n11 - b - c,
        mean_baseline=means[0], mean_candidate=means[1], drop=(b - c) / n, flip_rate=(b + c) / n,
        log10_p=log10_p, log10_p_exact=log10_p, permutation_method="exact",
        smallest_p=smallest, can_reject=smallest <= alpha, ci_low=low, ci_high=high, ci_method=interval,
        drop_lower=melded_lower(n, b, c, alpha), drop_upper=tango_interval(n, b, c, 2 * alpha)[1], in_points=True,
    )


def _from_differences(scores: PairedScores, zero_one: bool, means: tuple[float, float], alpha: float) -> PairedResult:
    """Averaged reruns, continuous scores, clusters; `means` of baseline and candidate."""
    (baseline, candidate), differences = scores.vectors, scores.differences
    flips, t, count = scores.flips, scores.mean, np.count_nonzero
    b, c = int(count(differences > 0)), int(count(differences < 0))
    # The set of drops that are not rejected: by the sign-flip test at 0, by the t statistic elsewhere.
    lower = max(t.limit(alpha), 0.0) if flips.p <= alpha else min(t.limit(alpha), 0.0)
    return _decided(
        scores, alpha, "p_permutation", n=scores.n, units=scores.sums.size, b=b, c=c,
        n11=int(count((baseline == 1) & (candidate == 1))) if zero_one else None,
        n00=int(count((baseline == 0) & (candidate == 0))) if zero_one else None,
        mean_baseline=means[0], mean_candidate=means[1], drop=float(differences.mean()), flip_rate=(b + c) / scores.n,
        log10_p=flips.log10_p, log10_p_exact=None, permutation_method=flips.method,
        smallest_p=flips.smallest_p, can_reject=flips.smallest_p <= alpha,
        ci_low=t.limit(TWO_SIDED_LEVEL / 2), ci_high=t.limit(1 - TWO_SIDED_LEVEL / 2),
        ci_method="bonett-price t" if scores.clusters is None else "bonett-price t, cluster-robust",
        drop_lower=lower, drop_upper=max(t.limit(1 - alpha), lower), in_points=in_unit_range(baseline, candidate),
    )


def _decided(scores: PairedScores, alpha: float, deciding: str, **rest) -> PairedResult:
    """The p-values of all tests in the table, the verdict of the deciding one, and the rest."""
    p_values = {name: test.p_value(scores) for name, test in TESTS.items()}
    p, p_safe = p_values[deciding], p_values["p_noninferiority"]
    assert p is not None and p_safe is not None  # these tests apply to all scores
    decided, within = verdict(p, p_safe, alpha)
    own = {one.name for one in fields(PairedResult)}
    # By name, as further tests may be registered: what the fields are is known at run time only.
    content: dict[str, Any] = {**rest, **{name: value for name, value in p_values.items() if name in own}}
    return PairedResult(
        **content, p=p, alpha=alpha, margin=scores.margin, verdict=decided, within_margin=within,
        others={name: value for name, value in p_values.items() if name not in own},
    )


def _zero_one(scores: np.ndarray) -> bool:
    return scores.dtype == bool or bool(((scores == 0) | (scores == 1)).all())
