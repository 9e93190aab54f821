"""Did the candidate get worse on one task? One result from all paired tests and intervals.

Baseline and candidate answer the same n items. On b items only the baseline is right, on c items only the candidate
is, m = b + c. The drop is D = (b − c)/n, positive where the candidate is worse; the flip rate is m/n (arXiv
2602.10144, section 3). The tests are in `mcnemar` and `sign_flips`, the intervals in `intervals`, the table of all
tests in `pair_tests`, the three verdicts in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..claims import QUESTIONS, WORDS
from ..errors import InputError
from .defaults import ALPHA, DRAWS_OF_A_PAIR, MARGIN
from .intervals import TWO_SIDED_LEVEL, in_unit_range, melded_interval, melded_lower, tango_interval
from .margins import check_against_scores, check_below_half
from .mcnemar import count_flips, log10_p_exact, positive
from .pair_tests import TESTS, PairedScores
from .reruns import answers_interval, split_noise
from .scales import check_one_scale
from .vectors import check_answers, check_settings, cluster_codes, count, score_vector
from .verdicts import MISSING, TOO_FEW, UNDECIDED, verdict
from .words import p_text

if TYPE_CHECKING:
    import pandas as pd

    from .pairing import Completed, Pairs

CLAIM = WORDS[QUESTIONS]  # what p-values, limits and the interval are about

@dataclass(frozen=True, repr=False)
class PairedResult:
    """Everything computed for one pair of runs. p-values of tests that do not apply are None.

    `p` decides "degraded": `p_exact` on 0/1 scores of independent items, else `p_permutation`.
    `p_safe` decides whether the margin is excluded: `p_noninferiority`, or, where one of the two lacks answers and
    they are not taken to be missing at random, the larger of it and the same p with those counted against the
    candidate. `drop_lower` and `drop_upper` are one-sided 1 − alpha limits of the pairs at hand, `best_lower` and
    `worst_upper` with the missing answers counted for and against the candidate. They always agree with the verdict:
    degraded ⟺ drop_lower > 0 (or = 0 at p = alpha, and where sign flips show more than Gaffke's bound), margin
    excluded ⟺ the limit that p_safe belongs to ≤ margin.
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
    p_safe: float
    verdict: str
    reason: str | None  # why undecided: TOO_FEW, MISSING, or None where the scores themselves are
    within_margin: bool  # a drop of the margin or more is excluded, whatever the verdict
    in_points: bool  # scores lie in [0, 1], so a drop of .01 is one point
    units_effective: float  # (Σs)²/Σs² of the units' sizes s
    p_none_differs: float  # p_noninferiority if no item differed: above alpha, no such result excludes the margin
    missing: int  # items that one of the two did not answer; of a sample that was asked, those neither did, too
    missing_at_random: bool  # and are left out of p_safe
    worst_drop: float
    worst_upper: float
    best_lower: float
    claim: str
    answers_low: float | None  # 95 % interval for new answers to the same questions; None without reruns of both
    answers_high: float | None
    answer_noise: float | None  # variance of an item's difference, of one answer each
    item_noise: float | None  # variance of the items' true differences
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
    check_settings(alpha, margin, interval)
    check_below_half(margin, 1.0)
    n, b, c = count(n, "n"), count(b, "b"), count(c, "c")
    n11 = None if n11 is None else count(n11, "n11")
    if n == 0 or b + c + (n11 or 0) > n:
        both_right = "" if n11 is None else f", n11 = {n11}"
        raise InputError(f"n = {n}, b = {b}, c = {c}{both_right} is impossible: b + c of n > 0 items differ")
    both = float("nan") if n11 is None else n11
    return _from_counts(PairedScores(n, margin, (b, c)), n11, ((both + b) / n, (both + c) / n), alpha, interval)


def judge_pair(
    baseline: np.ndarray | pd.Series, candidate: np.ndarray | pd.Series, *,
    clusters: np.ndarray | pd.Series | None = None, higher_is_better: bool = True, alpha: float = ALPHA,
    margin: float = MARGIN, interval: str = "tango", draws: int = DRAWS_OF_A_PAIR, seed: int = 0,
    answers: tuple[np.ndarray, np.ndarray] | None = None, completed: Completed | None = None,
    missing_at_random: bool = False,
) -> PairedResult:
    """Test one pair of score vectors, both of shape (n,), item by item on the same questions.

    Scores may be 0/1, averages over reruns, or continuous, without missing values. Two pandas Series are matched by
    their index, in any order. `clusters` (n,) are labels; items with the same one are not independent. With two Series
    it may be a third Series. `alpha` is the error rate, `margin` the smallest drop
    that matters, in units of the score. `interval` names the method of ci_low and ci_high for 0/1 scores of independent
    items, "tango" or "melded-exact". `draws` and `seed` matter only where a test is not exact. `answers` are the
    scores of every run, (n, runs) of each model, NaN = missing. `completed` has what is missing filled in at its
    extremes; it bears on the verdict unless `missing_at_random`.

    Raises InputError for unequal lengths, items that cannot be matched, missing scores, no items, scores on two scales,
    and for a setting out of range. The tests are those of arXiv 2602.10144, section 3; see `mcnemar`, `sign_flips`,
    `unconditional`, `bounded_means`, `intervals`.
    """
    if hasattr(baseline, "to_numpy") or hasattr(candidate, "to_numpy"):
        from .pairing import match_series

        baseline, candidate, clusters = match_series(baseline, candidate, clusters)
    baseline, candidate = score_vector(baseline, "baseline"), score_vector(candidate, "candidate")
    shapes = baseline.shape, candidate.shape
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or shapes[0] == (0,):
        raise InputError(f"need two score vectors of one length, got {shapes[0]} and {shapes[1]}")
    check_answers(answers, baseline.size)
    check_one_scale((baseline, candidate), ("baseline", "candidate"), "scores", "bring both to one scale first")
    return judge_matched(
        baseline, candidate, clusters=None if clusters is None else cluster_codes(clusters, baseline.size),
        higher_is_better=higher_is_better, alpha=alpha, margin=margin, interval=interval, draws=draws, seed=seed,
        answers=answers, completed=completed, missing_at_random=missing_at_random)


def judge_matched(
    baseline: np.ndarray, candidate: np.ndarray, *, clusters: np.ndarray | None = None, higher_is_better: bool = True,
    alpha: float = ALPHA, margin: float = MARGIN, interval: str = "tango", draws: int = DRAWS_OF_A_PAIR, seed: int = 0,
    answers: tuple[np.ndarray, np.ndarray] | None = None, completed: Completed | None = None,
    missing_at_random: bool = False,
) -> PairedResult:
    """`judge_pair` of arrays (n,) that were matched and are on one scale; `clusters` are codes 0 … G−1."""
    check_settings(alpha, margin, interval, higher_is_better, draws, seed)
    scores, both = _scores(baseline, candidate, clusters, higher_is_better, margin, draws, seed, answers)
    means = float(baseline.mean()), float(candidate.mean())
    if completed is None:
        lacking = None
    else:
        worst, best = (_scores(*filled, completed.clusters, higher_is_better, margin, draws, seed)[0]
                       for filled in (completed.worst, completed.best))
        lacking = _Lacking(worst, best, missing_at_random)
    if scores.counts is not None:
        check_below_half(margin, 1.0)
        return _from_counts(scores, both, means, alpha, interval, lacking)
    if not np.isfinite(scores.differences).all():
        raise InputError("scores must be finite numbers: drop missing items from both runs first")
    check_against_scores(margin, min(baseline.min(), candidate.min()), max(baseline.max(), candidate.max()))
    return _from_differences(scores, _zero_one(baseline) and _zero_one(candidate), means, alpha, lacking)


def judge_pairs(pairs: Pairs, **settings) -> PairedResult:
    """`judge_pair` of the output of `pair_up`, with its clusters, runs and missing answers."""
    if pairs.size > 1 and pairs.clusters is not None and not pairs.clusters.any():
        raise InputError(f"{pairs.task}: all {pairs.size:,} items belong to one cluster, and nothing tells the noise: "
                         "ask more, or leave this task out")
    if pairs.size == 1 and not (_zero_one(pairs.baseline) and _zero_one(pairs.candidate)):
        raise InputError(f"{pairs.task}: there is a single item, which is not scored 0 or 1, and nothing tells the "
                         "noise: ask more, or leave this task out")
    return judge_matched(pairs.baseline, pairs.candidate, clusters=pairs.clusters, answers=pairs.answers,
                         higher_is_better=pairs.higher_is_better, completed=pairs.completed, **settings)


@dataclass(frozen=True)
class _Lacking:
    """The pairs with missing answers filled in against the candidate, and in its favour."""

    worst: PairedScores
    best: PairedScores
    at_random: bool


def _scores(baseline: np.ndarray, candidate: np.ndarray, clusters: np.ndarray | None, higher_is_better: bool,
            margin: float, draws: int, seed: int,
            answers: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[PairedScores, int | None]:
    """The input of the tests, with counts if the items are independent and scored 0/1, and how many both get right."""
    counts, both = None, None
    if clusters is None and _zero_one(baseline) and _zero_one(candidate):
        b, c = count_flips(baseline, candidate)
        both = int(np.count_nonzero((baseline == 1) & (candidate == 1)))
        b, c, both = (b, c, both) if higher_is_better else (c, b, baseline.size - b - c - both)
        counts = b, c
    return PairedScores(baseline.size, margin, counts, baseline, candidate, clusters, higher_is_better, draws, seed,
                        answers), both


def _from_counts(scores: PairedScores, n11: int | None, means: tuple[float, float], alpha: float,
                 interval: str, lacking: _Lacking | None = None) -> PairedResult:
    """0/1 scores of independent items; `n11` both right, `means` of baseline and candidate."""
    n, (b, c) = scores.n, scores.flipped
    smallest, log10_p = positive(0.5 ** (b + c)), log10_p_exact(b, c)
    methods: dict[str, Callable[[int, int, int], tuple[float, float]]] = {
        "tango": tango_interval, "melded-exact": melded_interval}
    low, high = methods[interval](n, b, c)
    return _decided(
        scores, alpha, "p_exact", lacking, n=n, units=n, b=b, c=c,
        n11=n11, n00=None if n11 is None else n - n11 - b - c,
        mean_baseline=means[0], mean_candidate=means[1], drop=(b - c) / n, flip_rate=(b + c) / n,
        log10_p=log10_p, log10_p_exact=log10_p, permutation_method="exact",
        smallest_p=smallest, can_reject=smallest <= alpha, ci_low=low, ci_high=high, ci_method=interval,
        drop_lower=melded_lower(n, b, c, alpha), drop_upper=scores.upper_limit(alpha), in_points=True,
    )


def _from_differences(scores: PairedScores, zero_one: bool, means: tuple[float, float], alpha: float,
                      lacking: _Lacking | None = None) -> PairedResult:
    """Averaged reruns, continuous scores, clusters; `means` of baseline and candidate."""
    (baseline, candidate), differences = scores.vectors, scores.differences
    flips, t, count = scores.flips, scores.mean, np.count_nonzero
    b, c = int(count(differences > 0)), int(count(differences < 0))
    lower = _lower_limit(scores, alpha)
    return _decided(
        scores, alpha, "p_permutation", lacking, n=scores.n, units=scores.sums.size, b=b, c=c,
        n11=int(count((baseline == 1) & (candidate == 1))) if zero_one else None,
        n00=int(count((baseline == 0) & (candidate == 0))) if zero_one else None,
        mean_baseline=means[0], mean_candidate=means[1], drop=float(differences.mean()), flip_rate=(b + c) / scores.n,
        log10_p=flips.log10_p, log10_p_exact=None, permutation_method=flips.method,
        smallest_p=flips.smallest_p, can_reject=flips.smallest_p <= alpha,
        ci_low=t.limit(TWO_SIDED_LEVEL / 2), ci_high=t.limit(1 - TWO_SIDED_LEVEL / 2),
        ci_method="bonett-price t" if scores.clusters is None else "bonett-price t, cluster-robust",
        drop_lower=lower, drop_upper=max(scores.upper_limit(alpha), lower),
        in_points=in_unit_range(baseline, candidate),
    )


def _lower_limit(scores: PairedScores, alpha: float) -> float:
    """The one-sided lower 1 − alpha limit that agrees with the test of "worse"."""
    if scores.counts is not None:
        return melded_lower(scores.n, *scores.counts, alpha)
    # The set of drops that are not rejected: by the sign-flip test at 0, by Gaffke's bound elsewhere. (The limit of the
    # t interval errs in up to .20 of runs where gains are rare or one cluster is large: docs/degradation.md.)
    limit = scores.units.mirrored().upper_limit(alpha)
    return max(-limit, 0.0) if scores.flips.p <= alpha else min(-limit, 0.0)


def _decided(scores: PairedScores, alpha: float, deciding: str, lacking: _Lacking | None, **rest) -> PairedResult:
    """The p-values of all tests in the table, the verdict of the deciding one, and the rest."""
    p_values = {name: test.p_value(scores) for name, test in TESTS.items()}
    p, p_noninferiority = p_values[deciding], p_values["p_noninferiority"]
    assert p is not None and p_noninferiority is not None  # these tests apply to all scores
    p_safe = p_noninferiority
    missing: dict[str, Any] = {"missing": 0, "missing_at_random": False, "worst_drop": rest["drop"],
                               "worst_upper": rest["drop_upper"], "best_lower": rest["drop_lower"]}
    if lacking is not None:
        worst = lacking.worst
        missing = {"missing": worst.n - scores.n, "missing_at_random": lacking.at_random,
                   "worst_drop": float(worst.differences.mean()), "worst_upper": worst.upper_limit(alpha),
                   "best_lower": _lower_limit(lacking.best, alpha)}
        if not lacking.at_random:
            p_safe = max(p_safe, positive(worst.p_drop_excluded))
    decided, within = verdict(p, p_safe, alpha)
    none_differs = _p_none_differs(scores)
    reason = None
    if decided == UNDECIDED and p_noninferiority <= alpha:
        reason = MISSING
    elif decided == UNDECIDED and none_differs > alpha:
        reason = TOO_FEW
    own = {one.name for one in fields(PairedResult)}
    # By name, as further tests may be registered: what the fields are is known at run time only.
    content: dict[str, Any] = {**rest, **{name: value for name, value in p_values.items() if name in own}}
    return PairedResult(
        **content, **missing, **_of_answers(scores), p=p, alpha=alpha, margin=scores.margin, p_safe=p_safe,
        verdict=decided, reason=reason, within_margin=within, units_effective=_effective(scores),
        p_none_differs=none_differs, claim=CLAIM,
        others={name: value for name, value in p_values.items() if name not in own},
    )


def _effective(scores: PairedScores) -> float:
    return float(scores.n) if scores.clusters is None else scores.units.effective


def _p_none_differs(scores: PairedScores) -> float:
    if scores.clusters is None and scores.margin < scores.largest:  # one power, and that for counts, too
        return float(min(1.0, (1 - scores.margin / scores.largest) ** scores.n))
    return scores.units.p_none_differs(scores.margin)


def _of_answers(scores: PairedScores) -> dict[str, Any]:
    """What reruns tell: the interval for new answers to these questions, and the two noises."""
    noise = None if scores.answers is None else split_noise(*scores.answers)
    if noise is None or scores.answers is None:
        return dict.fromkeys(("answers_low", "answers_high", "answer_noise", "item_noise"))
    low, high = answers_interval(*scores.answers, scores.largest, TWO_SIDED_LEVEL)
    low, high = (low, high) if scores.higher_is_better else (-high, -low)
    return {"answers_low": low, "answers_high": high, "answer_noise": noise.answers, "item_noise": noise.items}


def _zero_one(scores: np.ndarray) -> bool:
    return scores.dtype == bool or bool(((scores == 0) | (scores == 1)).all())
