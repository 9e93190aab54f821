"""Worlds in which a limit, an interval or a remark once said more than its null allows."""

import numpy as np
import pytest
from scipy import stats

from llm_accuracy.degradation import judge_pair
from llm_accuracy.degradation.bounded_means import Units
from llm_accuracy.degradation.margins import Margin, resolve
from llm_accuracy.degradation.pairing import Completed, Pairs
from llm_accuracy.degradation.report import _chance_notes, remarks
from llm_accuracy.degradation.reruns import answers_interval
from llm_accuracy.degradation.sign_flips import sign_flip_test


def rarely_gained(gains: int, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Scores of n items, of which the candidate gains so many and loses a quarter on each of the others."""
    gained = np.arange(n) < gains
    return np.where(gained, 0.0, 1.0), np.where(gained, 1.0, 0.75)


def test_the_lower_limit_holds_where_gains_are_rare():
    """By enumeration over the number of gains, each with probability .1: the mean drop is 12.5 points, and "at least"
    lies above it in at most 5 % of samples (8.8 % by the t interval)."""
    truth, over = 0.25 * 0.9 - 0.1, 0.0
    for gains in range(6):
        result = judge_pair(*rarely_gained(gains))
        assert result.drop_lower <= result.drop
        over += stats.binom.pmf(gains, 80, 0.1) * (result.drop_lower > truth)
    assert over <= 0.05


def test_the_lower_limit_knows_of_a_large_cluster():
    """200 single items, 25 of them lost, and a cluster of 20 that happens not to be gained: it could have been."""
    codes = np.r_[np.arange(200), np.full(20, 200)]
    baseline = np.ones(220)
    candidate = np.where(np.arange(220) < 25, 0.0, 1.0)
    result = judge_pair(baseline, candidate, clusters=codes)
    assert result.verdict == "degraded" and 0 <= result.drop_lower < 0.04
    assert any("none larger than the largest" in line for line in remarks(result))
    assert not any("none larger" in line for line in remarks(judge_pair(baseline, candidate)))


@pytest.mark.parametrize("runs", [(2, 2), (2, 5)])
def test_new_answers_are_covered_where_runs_agree(runs):
    """100 items that the candidate gets wrong once in 100 times, the baseline never: most pairs of runs agree
    everywhere. By the estimated variance alone the interval missed in a quarter of the cases; 400 runs, 3.5 SE."""
    rng = np.random.default_rng(14)
    base, truth, wrong = np.ones((100, runs[0])), 0.01, 0
    seen: dict[tuple, tuple[float, float]] = {}
    for _ in range(400):
        candidate = (rng.random((100, runs[1])) < 0.99).astype(float)
        kind = tuple(np.sort(candidate.sum(axis=1)))
        if kind not in seen:
            seen[kind] = answers_interval(base, candidate, 1.0, 0.05)
        low, high = seen[kind]
        wrong += not low <= truth <= high
    assert wrong <= 400 * 0.05 + 3.5 * (400 * 0.05 * 0.95) ** 0.5


def test_unequal_numbers_of_runs_have_the_interval_of_all_runs():
    """Coin tosses, 2 runs against 16: centred on all runs it holds; centred on two of the 16 it missed 15 %."""
    rng = np.random.default_rng(15)
    wrong = 0
    for _ in range(150):
        one, other = ((rng.random((40, runs)) < 0.5).astype(float) for runs in (2, 16))
        low, high = answers_interval(one, other, 1.0, 0.05)
        assert low < (one.mean() - other.mean()) < high
        wrong += not low <= 0 <= high
    assert wrong <= 150 * 0.05 + 3 * (150 * 0.05 * 0.95) ** 0.5


def test_random_signs_are_fixed_by_the_data():
    """In any order the same, and not by the number of units alone: with the same draws for all data of a size, 999 of
    them err in up to .062 of samples at one seed and size (4,000 simulations each)."""
    d = np.random.default_rng(1).standard_normal(60)
    assert sign_flip_test(d, 999) == sign_flip_test(d[::-1], 999)
    assert len({sign_flip_test(d * (1 + k * 1e-12), 999).p for k in range(20)}) > 5  # the same test to 11 digits


def test_mirrored_units():
    units = Units(np.array([1.0, 0, -2]), np.array([1.0, 1, 3]), 1.0)
    assert units.mirrored().mirrored().p_drop_excluded(0.3) == units.p_drop_excluded(0.3)


def test_one_of_many_candidates_is_bounded_without_independence():
    class Row:
        p_safe = p_safe_adjusted = 0.2
        pooled = type("P", (), {"alpha": 0.05})

    (said,) = _chance_notes({str(i): Row() for i in range(4)})
    assert "18.55% if they are independent, 20% at most" in said


def test_a_recovery_over_several_tasks_is_of_all_of_them():
    """95 % of .9 and .1 together is 2.5 points, a quarter of what the second task scores."""
    tasks = [Pairs(task, np.arange(1000).astype(str), scores, scores)
             for task, scores in (("t", (np.arange(1000) < 900) * 1.0), ("u", (np.arange(1000) < 100) * 1.0))]
    _, _, (note,) = resolve(Margin.parse("recovery=95%"), tasks)
    assert "points of all tasks together" in note
    assert "together" not in resolve(Margin.parse("recovery=95%"), tasks[:1])[2][0]


def test_degraded_on_what_both_answered():
    """Twelve losses, one gain, and eleven answers of the candidate that are not there: gains, they would undo it."""
    baseline = np.r_[np.ones(12), np.zeros(988)]
    candidate = np.r_[np.zeros(12), np.ones(1), np.zeros(987)]
    filled = np.r_[baseline, np.zeros(11)]
    completed = Completed((filled, np.r_[candidate, np.zeros(11)]), (filled, np.r_[candidate, np.ones(11)]), None)
    result = judge_pair(baseline, candidate, completed=completed)
    assert result.verdict == "degraded" and result.best_lower <= 0
    assert any("degraded on what both answered" in line for line in remarks(result))
    assert not any("both answered" in line for line in remarks(judge_pair(baseline, candidate)))
