"""What answers that are all alike, and a run without a history, leave possible. Coverages are one-sided binomial tests
of "at least .95", each wrong once in 10,000 at the boundary: 14 of them, one false alarm in 700 changes of streams."""

import itertools

import numpy as np
import pytest
from scipy import stats

from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.designs import schedule
from llm_accuracy.querying.diagnosis import HistoryDiagnosis, Promise, diagnose
from llm_accuracy.querying.factors import Factors
from llm_accuracy.querying.few_models import few_models
from llm_accuracy.querying.looks import levels
from llm_accuracy.querying.predictors import FactorPredictor
from llm_accuracy.querying.recalibration import Recalibrated
from llm_accuracy.querying.round_estimates import estimate
from llm_accuracy.querying.rounds import Rounds, evaluate_rounds
from llm_accuracy.querying.session import Session
from llm_accuracy.querying.unseen import Allowing

FALSE_ALARM = 1e-4


def untold(n):
    return few_models(None, np.arange(n).astype(str), None)


def traced(factors, z, budgets):
    engine = Rounds(Recalibrated(FactorPredictor(Bank.of(factors.V), factors.prior, len(z))), len(z), z.shape[1])
    return evaluate_rounds(engine, budgets, 8, 1.5, np.random.default_rng(1).random((len(z), 40)), z).by_budget


def exactly(right, n, rows, seed=0):
    return np.random.default_rng(seed).permuted(np.tile((np.arange(n) < right).astype(float), (rows, 1)), axis=1)


def holds(covered):
    return stats.binom.cdf(covered.sum(), len(covered), 0.95) > FALSE_ALARM


@pytest.mark.parametrize("accuracy", [0.9, 0.95, 0.97])
def test_rare_failures_without_a_history(accuracy):
    """.81 to .93 in the worst cell of each before: 20 at .9, 50 at .95 and .97."""
    z = exactly(round(450 * accuracy), 450, 1000)
    for rounds in traced(untold(450), z, [20, 50, 100]).values():
        assert holds(Allowing(rounds, told=False).interval().covers(z.mean(1)))


@pytest.mark.parametrize("common, other, share", [(0.5, 0.0, 0.05), (0.5, 1.0, 0.1), (0.001, 1.0, 0.02)])
def test_partial_credit_alike_but_for_a_few(common, other, share):
    """With a history's word for nothing: alike answers are not taken to be all there is. .77 to .91 before."""
    z = np.where(np.random.default_rng(2).random((1000, 600)) < share, other, common)
    rounds = traced(untold(600), z, [20])[20]
    assert holds(Allowing(rounds).interval().covers(z.mean(1)))


@pytest.mark.parametrize("accuracy, planned", [(0.97, 100), (0.95, 50)])
def test_all_looks_hold_at_once_without_a_history(accuracy, planned):
    """.84 and .87 before."""
    z, sizes = exactly(round(450 * accuracy), 450, 700), schedule(450, 450)
    ends, every = np.cumsum(sizes)[:-1].tolist(), np.ones(len(z), bool)
    by_budget = traced(untold(450), z, ends)
    for end, alpha in zip(ends, levels(sizes, planned, 0.05), strict=False):
        if alpha:
            every &= Allowing(by_budget[end], told=False).interval(alpha).covers(z.mean(1))
    assert holds(every)


def answered(factors, budget, score, model="new"):
    session = Session(factors, model, budget=budget)
    while questions := session.ask():
        for question in questions:
            session.tell(question, score)
    return session.estimate()


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("budget", [1, 2, 8, 50, 449, 450])
def test_answers_that_are_all_alike_rule_out_no_more_than_they_can(score, budget):
    """The rule of three, by the hypergeometric probability that none of D others is asked."""
    found = answered(untold(450), budget, score)
    for value, end in ((0.0, found.low), (1.0, found.high)):
        others = round(abs(end - score) * 450 / max(abs(value - score), 1e-9))
        if value != score and others < 450 - budget:
            assert stats.hypergeom.pmf(0, 450, others + 2, budget) < 0.05
        assert 0 <= others <= 450 - budget
    assert found.low <= score <= found.high and (found.low < found.high) == (budget < 450)
    assert found.history.gain is None


def history_board(rows, seed=0):
    rng = np.random.default_rng(seed)
    V, u = rng.normal(size=(300, 2)), rng.normal(size=(60 + rows, 2))
    z = (rng.random((60 + rows, 300)) < 1 / (1 + np.exp(-u @ V.T - 0.3))).astype(float)
    return Factors.fit(z[:60], 2, 2.0), z[60:]


def test_with_a_history_and_answers_that_differ_nothing_changes():
    factors, z = history_board(200)
    rounds = traced(factors, z, [50])[50]
    found, plain = Allowing(rounds), estimate(rounds).interval()
    band = found.interval()
    assert not found.alike.any()
    assert np.array_equal(band.low, plain.low) and np.array_equal(band.high, plain.high)


def test_a_history_that_foresees_rare_failures_is_not_said_to_mislead():
    """An easy bank, all of whose models are nearly always right, and new ones that are. The gain of one that has all
    right used to be 0, and each of them was told that the history predicts it badly."""
    rng = np.random.default_rng(3)
    p = 1 - 0.3 * rng.random(300) ** 8
    history, like = ((rng.random((rows, 300)) < p).astype(float) for rows in (40, 300))
    factors = Factors.fit(history, 2, 2.0)
    promise = Promise.of(factors)
    for z, most in ((np.ones((20, 300)), 0), (like, 0.05)):
        rounds = traced(factors, z, [100])[100]
        assert diagnose(rounds, estimate(rounds), promise).misled(promise).mean() <= most


def test_of_no_history_nothing_is_said():
    found = answered(untold(450), 200, 1.0)
    assert not found.history.misleads and not found.history.on_trust and found.history.sentence == ""
    promise = Promise(0.5, 0.1, 0.4, 0.6, 3.0)
    rounds = traced(untold(300), exactly(60, 300, 20), [100])[100]
    said = diagnose(rounds, estimate(rounds), promise)
    assert said.misled(promise).all()
    assert HistoryDiagnosis.of(said, promise).sentence and not HistoryDiagnosis.of(said, promise, told=False).sentence


def test_the_gain_of_questions_asked_one_at_a_time_is_of_their_variance():
    """Of partial credit as of 0/1 scores: θ(1 − θ) says ten times too much of scores of .4 and .6."""
    rng = np.random.default_rng(5)
    for low, high in ((0.0, 1.0), (0.4, 0.6)):
        z = np.where(rng.random(200) < 0.5, low, high)
        session = Session(untold(200), "new", policy="faq-mix", budget=100)
        while questions := session.ask(10):
            for question in questions:
                session.tell(question, float(z[int(question)]))
        spread = float(session._engine.estimate().se[0])
        random = (1 - 100 / 200) * z.var(ddof=1) / 100
        assert session.gain() == pytest.approx(random / spread**2, rel=0.2)


def test_without_a_history_other_seeds_draw_other_samples():
    """Two models of a bank of 60, 40 asked, 100 seeds each: .80 covered while all sessions shared one order of what
    looks alike, since of one order there are few systematic samples."""
    n, rng = 60, np.random.default_rng(6)
    answers = (rng.random((8, n)) < rng.uniform(0.3, 0.7, (8, 1))).astype(float)
    covered = []
    for model, seed in itertools.product(range(2), range(100)):
        session = Session(untold(n), f"m{model}", seed, budget=40)
        while asked := session.ask():
            for name in asked:
                session.tell(name, answers[model, int(name)])
        found = session.estimate()
        covered.append(found.low <= answers[model].mean() <= found.high)
    assert holds(np.array(covered))
