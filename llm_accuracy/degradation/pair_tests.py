"""The tests of one pair, each a record in one table: its name, the null hypothesis it tests, and its p-value.

A record that `register` adds to TESTS is from then on computed for every pair and appears in the table of `pair`, in
its JSON, on its page, and in summary.csv and the JSON of `suite`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import intervals, mcnemar, reruns, unconditional
from .bounded_means import Units
from .sign_flips import SignFlip, cluster_sums, sign_flip_test


@dataclass(frozen=True)
class PairedScores:
    """The input of a test: n items, as scores of two models or as counts.

    counts     (b, c), items lost and gained by the candidate, where all scores are 0 or 1 and items are independent;
               None otherwise
    baseline   and `candidate`, finite scores of shape (n,); None if only the counts are known
    clusters   codes 0 … G−1 of shape (n,) of items that are not independent; None if every item is
    margin     the smallest drop that matters, in units of the score
    draws      and `seed`, of random sign flips if they are needed
    answers    the scores of every run, (n, runs) of baseline and candidate, NaN = missing; None for single runs
    """

    n: int
    margin: float
    counts: tuple[int, int] | None = None
    baseline: np.ndarray | None = None
    candidate: np.ndarray | None = None
    clusters: np.ndarray | None = None
    higher_is_better: bool = True
    draws: int = 0
    seed: int = 0
    answers: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def flipped(self) -> tuple[int, int]:
        """`counts`, of scores that have them."""
        assert self.counts is not None
        return self.counts

    @property
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """`baseline` and `candidate`, where they are known."""
        assert self.baseline is not None and self.candidate is not None
        return self.baseline, self.candidate

    @cached_property
    def differences(self) -> np.ndarray:
        """(n,), positive where the candidate is worse; computed from counts, their order means nothing."""
        if self.baseline is None or self.candidate is None:
            b, c = self.flipped
            return np.repeat([1.0, -1.0, 0.0], [b, c, self.n - b - c])
        differences = np.subtract(self.baseline, self.candidate, dtype=np.float64)
        return differences if self.higher_is_better else -differences

    @cached_property
    def sums(self) -> np.ndarray:
        """Differences of the independent units: sums over clusters, (G,), or the items' own, (n,)."""
        return cluster_sums(self.differences, self.clusters)

    @cached_property
    def flips(self) -> SignFlip:
        return sign_flip_test(self.sums, self.draws, self.seed)

    @cached_property
    def largest(self) -> float:
        """The most that one item can differ by."""
        return 1.0 if self.baseline is None else intervals.largest_difference(*self.vectors)

    @cached_property
    def mean(self) -> intervals.MeanDrop:
        return intervals.mean_drop(self.differences, self.clusters, self.largest)

    @cached_property
    def units(self) -> Units:
        sizes = np.ones(self.n) if self.clusters is None else np.bincount(self.clusters).astype(float)
        return Units(self.sums, sizes, self.largest)

    @cached_property
    def p_drop_excluded(self) -> float:
        """Of H0: the drop is the margin or more; the test that decides "safe"."""
        if self.counts and self.margin < 1:
            return unconditional.p_drop_excluded(self.n, *self.counts, self.margin)
        return self.units.p_drop_excluded(self.margin)

    @cached_property
    def p_gain_excluded(self) -> float:
        """Of H0: the candidate is better by the margin or more."""
        if self.counts and self.margin < 1:
            return unconditional.p_drop_excluded(self.n, *self.counts[::-1], self.margin)
        return self.units.mirrored().p_drop_excluded(self.margin)

    def upper_limit(self, alpha: float) -> float:
        """The one-sided 1 − alpha upper limit of the drop that agrees with `p_drop_excluded`."""
        if self.counts:
            known = (self.margin, self.p_drop_excluded) if self.margin < 1 else None
            return unconditional.upper_limit(self.n, *self.counts, alpha, known)
        return self.units.upper_limit(alpha)


@dataclass(frozen=True)
class PairTest:
    """One test of a pair.

    name      its key in the JSON and its column of summary.csv; it begins with p_
    null      the hypothesis that a small p rejects, in words; {margin} stands for the margin
    p         the p-value of `PairedScores`, or None where the test does not apply to them
    question  the label of its row in the table; tests with the same label share a row
    words     its part of that row, with {p}, {null}, {margin} and {method} (of the sign flips)
    instead   the name of a test; this one is shown only if that test does not apply
    """

    name: str
    null: str
    p: Callable[[PairedScores], float | None]
    question: str = ""
    words: str = "p = {p}  against '{null}'"
    instead: str | None = None

    @property
    def label(self) -> str:
        return self.question or self.name

    def p_value(self, scores: PairedScores) -> float | None:
        """Never 0: a p-value too small for a float becomes the smallest float."""
        p = self.p(scores)
        return None if p is None else mcnemar.positive(p)


TESTS: dict[str, PairTest] = {}


def register(test: PairTest) -> PairTest:
    """Add a test to the table. Raises ValueError if its name is taken or does not begin with p_."""
    if test.name in TESTS or not test.name.startswith("p_"):
        raise ValueError(f"{test.name}: the name of a test must begin with p_ and be new; taken: {', '.join(TESTS)}")
    TESTS[test.name] = test
    return test


# ---- the table ---------------------------------------------------------------------------------------------

LOSSES = "a loss is no likelier than a gain"
SYMMETRY = "differences lie evenly around 0"
MEANS = "the candidate's mean is not lower"


def _two_sided(scores: PairedScores) -> float:
    if scores.counts:
        return mcnemar.p_two_sided(*scores.counts)
    return min(1.0, 2 * min(scores.flips.p, scores.flips.p_improvement))


def _same(scores: PairedScores) -> float:
    """Two one-sided tests: the larger p. The second is computed in full only if a quick look says it may be that."""
    p = scores.p_drop_excluded
    if scores.counts and scores.margin < 1:
        quick = unconditional.p_drop_excluded(scores.n, *scores.flipped[::-1], scores.margin, unconditional.FEW_POINTS)
        if quick + 0.005 < p:
            return p
    return max(p, scores.p_gain_excluded)


def _of_tango(scores: PairedScores) -> float | None:
    if scores.counts and scores.margin < 1:
        return intervals.p_noninferiority(scores.n, *scores.counts, scores.margin)
    return None


def _unchanged(scores: PairedScores) -> float | None:
    if scores.answers is None or scores.clusters is not None:
        return None
    sign = 1.0 if scores.higher_is_better else -1.0
    baseline, candidate = (sign * one for one in scores.answers)
    return reruns.p_items_unchanged(baseline, candidate, scores.draws, scores.seed)


for _test in (
    PairTest("p_exact", LOSSES, lambda s: mcnemar.p_exact(*s.counts) if s.counts else None, "worse?",
             "p = {p}  exact, against '{null}'"),
    PairTest("p_mid", LOSSES, lambda s: mcnemar.p_mid(*s.counts) if s.counts else None, "worse?", " (mid-p {p})"),
    PairTest("p_permutation", SYMMETRY,
             lambda s: mcnemar.p_exact(*s.counts) if s.counts else s.flips.p,  # on counts the two are one
             "worse?", "p = {p}  sign flips ({method}), against '{null}'", instead="p_exact"),
    PairTest("p_items", "no item changed", _unchanged, "items?",
             "p = {p}  against '{null}' (runs permuted within items)"),
    PairTest("p_means_betting", MEANS, lambda s: None if s.counts else s.units.p_betting(), "means?",
             "p = {p}  against '{null}' (betting, exact for a known range)"),
    PairTest("p_means_bootstrap", MEANS, lambda s: None if s.counts else s.units.p_bootstrap(s.seed), "means?",
             "; {p} by bootstrap t, approximate"),
    PairTest("p_noninferiority", "the drop is {margin} or more", lambda s: s.p_drop_excluded, "safe?"),
    PairTest("p_noninferiority_tango", "the drop is {margin} or more", _of_tango, "safe?",
             " (Tango's score {p}, approximate)"),
    PairTest("p_equivalence", "the two differ by {margin} or more", _same, "same?"),
    PairTest("p_improvement", "the candidate is not better",
             lambda s: mcnemar.p_exact(*s.counts[::-1]) if s.counts else s.flips.p_improvement, "better?",
             "p = {p}  against '{null}'"),
    PairTest("p_two_sided", "the candidate is neither worse nor better", _two_sided, "better?", "; two-sided p = {p}"),
):
    register(_test)

OWN = frozenset(TESTS)  # the tests that every process has
