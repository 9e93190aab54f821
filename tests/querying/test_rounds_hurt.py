"""Growing rounds on banks built to hurt them: coverage as binomial tests, and the cases that fail, seen failing.

Every run is an evaluation with its own uniform numbers; seeds are fixed, so a test that passes goes on passing until
code or random streams change. `holds` is a one-sided binomial test of "covers at least .93" (.88 on tiny banks), and
the mean error is tested against 0, each wrong once in 10,000 at the boundary: about 90 coverages and as many mean
errors, so that a change of the streams raises a false alarm in one of 50 cases at most. docs/rounds.md has the table.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.designs import kinds_of_questions, schedule
from llm_accuracy.querying.diagnosis import Trust
from llm_accuracy.querying.factors import Prior
from llm_accuracy.querying.looks import levels
from llm_accuracy.querying.predictors import FactorPredictor
from llm_accuracy.querying.round_estimates import estimate
from llm_accuracy.querying.rounds import Rounds, evaluate_rounds

CLAIMED, FALSE_ALARM = 0.93, 1e-4
NEVER_LEARNS = [[1e-6]]


def evaluated(V, mean, covariance, z, budgets, members=None, costs=None, strata=False, said=None):
    """{budget: (interval, truth)} of rows z (rows, N), one evaluation each; said: a dict that takes {budget: Trust}."""
    V, (rows, n) = np.asarray(V, float), z.shape
    groups = None if members is None else np.stack([np.ones(n), members], 1)
    engine = Rounds(FactorPredictor(Bank.of(V), Prior(np.asarray(mean, float), np.asarray(covariance, float)), rows),
                    rows, n, costs=costs, groups=groups,
                    strata=kinds_of_questions(V, np.asarray(covariance)) if strata else None)
    trace = evaluate_rounds(engine, budgets, 8, 1.5, np.random.default_rng(1).random((rows, 40)), z)
    truth = z.mean(1) if members is None else z[:, members].mean(1)
    found = {budget: estimate(trace.first(budget).rounds, 0 if members is None else 1, members) for budget in budgets}
    if said is not None:
        said |= {budget: Trust.of(trace.first(budget).rounds, found[budget]) for budget in budgets}
    for one in found.values():  # unbiased: z-statistic of the mean error, two-sided
        error = one.theta - truth
        spread = error.std() / np.sqrt(rows)
        assert abs(error.mean()) <= max(stats.norm.isf(FALSE_ALARM / 2) * spread, 1e-9)
    return {budget: (one.interval(), truth) for budget, one in found.items()}


def coverage(band, truth):
    return float(band.covers(truth).mean())


def holds(band, truth, claimed=CLAIMED):
    covered = int(band.covers(truth).sum())
    return stats.binom.cdf(covered, len(truth), claimed) > FALSE_ALARM


def exactly(right, n, rows, rng):
    """(rows, n) with `right` ones in each row, at random places."""
    return rng.permuted(np.tile((np.arange(n) < right).astype(float), (rows, 1)), axis=1)


def two_factors(n, rows, seed):
    rng = np.random.default_rng(seed)
    V, u = rng.normal(size=(n, 2)), rng.normal(size=(rows, 2))
    p = 1 / (1 + np.exp(-u @ V.T))
    return V, p, (rng.random((rows, n)) < p).astype(float), rng


@pytest.mark.parametrize("right", [1, 2, 5, 14, 27, 423, 436, 445, 448, 449])
@pytest.mark.parametrize("learns", [False, True])
def test_nearly_all_right_or_wrong_without_anything_to_tell_questions_apart(right, learns):
    """450 questions, 22 asked: often no surprise in the sample. Predicted right from the start, or learned."""
    z = exactly(right, 450, 1000, np.random.default_rng(right))
    logit = np.log(right / (450 - right))
    prior = ([0.0], [[2.25]]) if learns else ([logit], NEVER_LEARNS)
    assert all(holds(*one) for one in evaluated(np.ones((450, 1)), *prior, z, [22]).values())


def test_limit_a_wald_like_dip_where_the_last_value_before_none_is_just_outside():
    """As with every interval of this form for a proportion, coverage dips where P(no surprise) is large and the
    interval then just misses: .86 at 45 of 450 and accuracy .96, nothing telling the questions apart."""
    z = exactly(432, 450, 3000, np.random.default_rng(0))
    covered = coverage(*evaluated(np.ones((450, 1)), [np.log(24)], NEVER_LEARNS, z, [45])[45])
    assert 0.82 < covered < 0.90


def test_equal_and_two_valued_partial_credit():
    rng = np.random.default_rng(2)
    for low, high in ((0.5, 0.5), (0.45, 0.55), (0.4, 0.6), (0, 0.5)):
        z = np.where(rng.random((1000, 450)) < 0.5, low, high)
        assert all(holds(*one) for one in evaluated(np.ones((450, 1)), [0.0], [[2.25]], z, [22, 45]).values())
    V, p, answers, _ = two_factors(450, 1000, 3)
    assert all(holds(*one) for one in evaluated(V, [0, 0], np.eye(2), 0.5 * p + 0.25 * answers, [20, 112],
                                                strata=True).values())


@pytest.mark.parametrize("period", [2, 10, 100])
def test_a_file_with_the_period_of_the_systematic_step(period):
    """800 questions, nothing to tell them apart: the first round's step is 100. In the file's order every sample would
    hold eight equal answers; coverage at 8 questions was .00 and at 50 below .9. Equals are mixed. Eight questions from
    one random start are still one of only a hundred samples: no claim there."""
    z = np.tile((np.arange(800) % period < period // 2).astype(float), (1000, 1))
    found = evaluated(np.zeros((800, 1)), [0], [[1]], z, [8, 50])
    assert holds(*found[50])
    assert coverage(*found[8]) > 0.8


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12])
def test_tiny_banks_at_every_budget(n):
    """The first round is larger than the bank, up to 7; one question left; all asked. So few answers have so few values
    that coverage goes up and down from bank to bank and budget to budget, .89 to 1.00: the claim is .88."""
    V, _, z, _ = two_factors(n, 1000, n)
    for budget, (band, truth) in evaluated(V, [0, 0], np.eye(2), z, list(range(1, n + 1))).items():
        assert holds(band, truth, 0.88), budget
        if budget == n:
            assert np.abs(band.width).max() < 1e-9


@pytest.mark.parametrize("left", [1, 2, 3])
def test_few_questions_left(left):
    V, _, z, _ = two_factors(100, 1500, left)
    assert all(holds(*one) for one in evaluated(V, [0, 0], np.eye(2), z, [100 - left], strata=True).values())


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_sub_scores_of_few_questions(size):
    V, _, z, rng = two_factors(200, 1000, 40 + size)
    members = np.isin(np.arange(200), rng.choice(200, size, replace=False))
    assert all(holds(*one) for one in evaluated(V, [0, 0], np.eye(2), z, [20, 50, 100], members, strata=True).values())


def test_costs_that_span_a_million():
    V, _, z, rng = two_factors(450, 1000, 7)
    costs = 10 ** rng.uniform(0, 6, 450)
    assert all(holds(*one) for one in evaluated(V, [0, 0], np.eye(2), z, [20, 112, 400], costs=costs,
                                                strata=True).values())


def test_the_limit_is_a_history_that_is_confidently_wrong():
    """900 of 1,000 questions are predicted right with p = .9997 and one in twenty of them is wrong: .58 at 50."""
    rng = np.random.default_rng(5)
    V = np.zeros((1000, 2))
    V[:900, 0] = 8.11
    V[900:] = rng.normal(size=(100, 2))
    z = np.concatenate([exactly(855, 900, 1000, rng),
                        rng.random((1000, 100)) < 1 / (1 + np.exp(-V[900:, 0]))], 1).astype(float)
    said = {}
    found = evaluated(V, [1, 0], np.diag([1e-4, 1]), z, [50, 100], said=said)
    assert 0.50 < coverage(*found[50]) < 0.66
    assert 0.80 < coverage(*found[100]) < 0.90
    # Until a question comes out otherwise it cannot be seen, but it is said that the interval rests on a word.
    for budget in (50, 100):
        missed, trust = ~found[budget][0].covers(found[budget][1]), said[budget]
        assert (trust.rests | (trust.otherwise > 0))[missed].mean() > 0.99
        assert coverage(*found[budget]) < 0.9 < found[budget][0].covers(found[budget][1])[trust.otherwise > 0].mean()
        assert trust.share.mean() == pytest.approx(0.9, abs=0.03)


def test_a_probability_that_rounds_to_one_leaves_every_question_its_chance():
    """float32 makes p = 1 of a logit of 40, so nothing is expected to vary; one in ten is wrong all the same."""
    z = exactly(90, 100, 2000, np.random.default_rng(6))
    engine = Rounds(FactorPredictor(Bank.of(np.full((100, 1), 40.0)), Prior(np.ones(1), np.array(NEVER_LEARNS)), 1),
                    1, 100)
    engine.ask_batch(torch.zeros(1, dtype=torch.float64), 8)
    assert np.allclose(engine.rounds[0].pi, 0.08)
    evaluated(np.full((100, 1), 40.0), [1], NEVER_LEARNS, z, [20])  # unbiased there as well


@pytest.mark.parametrize("right", [True, False])
def test_all_looks_hold_at_once(right):
    """With the error rate shared out (`looks`), by the right factor and by one that says nothing of the answers."""
    n, rows, rng = 300, 1000, np.random.default_rng(9)
    V = rng.normal(0, 1, (n, 1))
    z = (rng.random((rows, n)) < 1 / (1 + np.exp(-rng.normal(0.5, 1, (rows, 1)) * V.T))).astype(float)
    sizes = schedule(n, n)
    ends = np.cumsum(sizes)[:-1].tolist()
    known = Bank.of(V if right else rng.permutation(V))
    engine = Rounds(FactorPredictor(known, Prior(np.array([0.5]), np.eye(1)), rows), rows, n)
    trace = evaluate_rounds(engine, ends, 8, 1.5, rng.random((rows, 40)), z)
    found = {end: estimate(trace.first(end).rounds, 0) for end in ends}
    for planned in (30, 60, 150):
        share = levels(sizes, planned, 0.05)
        assert share.sum() == pytest.approx(0.05) and share[0] == 0 and (share[1:] > 0).all()
        assert 1 / 1.5 < ends[int(share[:-1].argmax())] / planned < 1.5
        every = np.ones(rows, bool)
        for end, alpha in zip(ends, share, strict=False):
            if alpha:
                every &= found[end].interval(alpha).covers(z.mean(1))
        assert stats.binom.cdf(every.sum(), rows, 0.95) > FALSE_ALARM
