"""The tests of one pair, each a record in one table: its name, the null hypothesis it tests, and its p-value.

A record that `register` adds to TESTS is from then on computed for every pair and appears in the table of `pair`, in
its JSON, on its page, and in summary.csv and the JSON of `suite`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import intervals, mcnemar
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
    def mean(self) -> intervals.MeanDrop:
        largest = 1.0 if self.baseline is None else intervals.largest_difference(*self.vectors)
        return intervals.mean_drop(self.differences, self.clusters, largest)


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
    words: str = "p = {p}  that {null}"
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

LOSSES = "at most half of the items on which the two differ are lost by the candidate"


def _two_sided(scores: PairedScores) -> float:
    if scores.counts:
        return mcnemar.p_two_sided(*scores.counts)
    return min(1.0, 2 * min(scores.flips.p, scores.flips.p_improvement))


def _not_worse(scores: PairedScores) -> float:
    if scores.counts:
        return intervals.p_noninferiority(scores.n, *scores.counts, scores.margin)
    return scores.mean.p_below(scores.margin)


def _same(scores: PairedScores) -> float:
    if scores.counts:
        return intervals.p_equivalence(scores.n, *scores.counts, scores.margin)
    return max(scores.mean.p_below(scores.margin), scores.mean.p_above(-scores.margin))


for _test in (
    PairTest("p_exact", LOSSES, lambda s: mcnemar.p_exact(*s.counts) if s.counts else None, "worse?",
             "p = {p}  one-sided exact McNemar"),
    PairTest("p_mid", LOSSES, lambda s: mcnemar.p_mid(*s.counts) if s.counts else None, "worse?", " (mid-p {p})"),
    PairTest("p_permutation", "the difference of each unit is as likely to have either sign",
             lambda s: mcnemar.p_exact(*s.counts) if s.counts else s.flips.p,  # on counts the two are one
             "worse?", "p = {p}  one-sided sign flips, {method}", instead="p_exact"),
    PairTest("p_noninferiority", "the drop is {margin} or more", _not_worse, "safe?"),
    PairTest("p_equivalence", "it is {margin} or more either way", _same, "same?"),
    PairTest("p_improvement", "the candidate is not better",
             lambda s: mcnemar.p_exact(*s.counts[::-1]) if s.counts else s.flips.p_improvement, "better?", "p = {p}"),
    PairTest("p_two_sided", "the candidate is neither worse nor better", _two_sided, "better?", "; two-sided p = {p}"),
):
    register(_test)
