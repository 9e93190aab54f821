"""Exact statements about the estimates, by enumerating every sequence of draws on tiny banks, and coverage by
simulation. False-alarm rates are stated; seeds are fixed."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from llm_accuracy.errors import InputError
from llm_accuracy.querying import walks
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.estimates import fixed_weights, published, with_replacement, without_replacement
from llm_accuracy.querying.estimators import ESTIMATORS, Estimator, estimate, estimator, register, variances
from llm_accuracy.querying.evaluation import evaluate, replay
from llm_accuracy.querying.factors import Prior
from llm_accuracy.querying.intervals import interval
from llm_accuracy.querying.querier import Querier
from llm_accuracy.querying.setting import Setting
from llm_accuracy.querying.trace import Trace

ALPHA = 0.05


def tiny(seed, n=5, rank=2):
    rng = np.random.default_rng(seed)
    V = rng.normal(size=(n, rank)) * 1.5
    return V, Prior(rng.normal(size=rank), np.eye(rank)), rng.integers(0, 2, n).astype(float)


def every_evaluation(V, prior, z, setting, draws, sampling):
    """(trace of all possible sequences of draws, their probabilities)."""
    sequences = (itertools.product(range(len(z)), repeat=draws) if sampling == "with"
                 else itertools.permutations(range(len(z)), draws))
    asked = np.array(list(sequences))
    querier = Querier(Bank.of(V, dtype=torch.float64), prior, [setting] * len(asked), draws, sampling)
    trace = replay(querier, asked, z[asked])
    probability = trace.q.prod(1)
    assert abs(probability.sum() - 1) < 1e-10
    return trace, probability


@pytest.mark.parametrize("setting", [Setting(tau=0.2), Setting(0.5, 0.5, 0.5, 0.3)], ids=lambda s: s.key)
@pytest.mark.parametrize("seed", range(3))
def test_with_replacement_estimate_and_variance_are_exactly_unbiased(seed, setting):
    V, prior, z = tiny(seed)
    trace, probability = every_evaluation(V, prior, z, setting, 4, "with")
    theta, se, _ = with_replacement(trace, len(z))
    assert abs(probability @ theta - z.mean()) < 1e-10
    true_variance = probability @ (theta - z.mean()) ** 2
    assert abs(probability @ se**2 - true_variance) < 1e-10
    assert probability @ published(trace, len(z)).se ** 2 < true_variance  # biased low, as documented


@pytest.mark.parametrize("setting", [Setting(tau=0.2), Setting(0.5, 0.5, 0.5, 0.3)], ids=lambda s: s.key)
@pytest.mark.parametrize("seed", range(3))
def test_without_replacement_estimate_is_exactly_unbiased(seed, setting):
    V, prior, z = tiny(seed)
    trace, probability = every_evaluation(V, prior, z, setting, 4, "without")
    assert abs(probability @ without_replacement(trace, len(z)).theta - z.mean()) < 1e-10


def test_without_replacement_is_the_textbook_when_nothing_is_predicted_or_chosen():
    """Uniform q and p = ½: the sample mean, and E[SE²] its variance with the finite-population correction."""
    z = np.array([1.0, 0, 0, 1, 1, 0])
    trace, probability = every_evaluation(np.zeros((6, 1)), Prior(np.zeros(1), np.eye(1)), z, Setting(tau=1.0), 4,
                                          "without")
    theta, se, _ = without_replacement(trace, 6)
    np.testing.assert_allclose(theta, trace.answers.mean(1), atol=1e-12)
    assert abs(probability @ se**2 - (1 - 4 / 6) * z.var(ddof=1) / 4) < 1e-10


def test_whole_bank_gives_the_exact_accuracy():
    V, prior, z = tiny(1, n=30)
    trace = evaluate(Bank.of(V), prior, [Setting()], np.random.default_rng(0).random((1, 30)), z[None], "without")
    theta, se, df = without_replacement(trace, 30)
    assert theta[0] == pytest.approx(z.mean(), abs=1e-12) and se[0] == 0
    assert interval(theta, se, ALPHA, df).width[0] == 0


@pytest.mark.parametrize("sampling", ["with", "without"])
def test_one_draw_says_nothing(sampling):
    V, prior, z = tiny(2, n=30)
    trace = evaluate(Bank.of(V), prior, [Setting()], np.array([[0.3]]), z[None], sampling)
    band = interval(*estimate(trace, 1, 30, sampling)[:2], ALPHA)
    assert (band.low[0], band.high[0]) == (0.0, 1.0)


def test_fixed_weights_sum_to_one_and_grow():
    a = fixed_weights(100, 60)
    assert a.sum() == pytest.approx(1) and (np.diff(a) > 0).all()


# --- by simulation -------------------------------------------------------------------------------------

REPEATS = 4000


def bank_for_simulation():
    """One model, 240 questions: predictions that are informative and a model that does not quite fit them."""
    rng = np.random.default_rng(7)
    V = np.column_stack([rng.normal(size=240) * 1.2, rng.normal(size=240), np.ones(240)])
    u = np.array([1.0, -0.8, 0.2])
    z = (rng.random(240) < 1 / (1 + np.exp(-(V @ u + rng.normal(size=240) * 0.7)))).astype(float)
    return V, Prior(np.zeros(3), np.eye(3)), z, rng


def judge(theta, se, df, truth):
    """Unbiased (two z-tests, for θ̂ and for SE²) and covering (one binomial test), each at a false-alarm rate of
    1e-4; the covering test asks whether coverage is below .94: the intervals are asymptotic, not exact."""
    error = theta - truth
    assert abs(error.mean()) < stats.norm.isf(5e-5) * error.std() / np.sqrt(len(error))
    excess = se**2 - error**2
    assert abs(excess.mean()) < stats.norm.isf(5e-5) * excess.std() / np.sqrt(len(error))
    covered = int(interval(theta, se, ALPHA, df).covers(np.full(len(theta), truth)).sum())
    assert stats.binomtest(covered, len(theta), 0.94, "less").pvalue > 1e-4


@pytest.mark.parametrize("sampling", ["with", "without"])
@pytest.mark.parametrize("setting", [Setting(tau=0.25), Setting(0.75, 0.25, 0.25, 0.5), Setting(tau=1.0)],
                         ids=lambda s: s.key)
def test_faq_is_unbiased_and_covers(setting, sampling):
    V, prior, z, rng = bank_for_simulation()
    trace = evaluate(Bank.of(V), prior, [setting] * REPEATS, rng.random((REPEATS, 80)), np.tile(z, (REPEATS, 1)),
                     sampling)
    judge(*estimate(trace, 80, 240, sampling), z.mean())


@pytest.mark.parametrize("policy", ["unif", "sqrt", "2min"])
def test_walks_are_unbiased_and_cover(policy):
    V, _, z, rng = bank_for_simulation()
    phat = 1 / (1 + np.exp(-V @ np.array([0.8, -0.5, 0.2])))
    found = walks.walk(np.tile(z, (REPEATS, 1)), phat, [walks.Walk(policy, 80, 0.25)], rng.random((REPEATS, 240)))
    for f in range(2):
        judge(found.theta[f, :, 0], found.se[f, :, 0], np.inf, z.mean())


def test_simple_random_sampling_is_unbiased_and_covers():
    _, _, z, rng = bank_for_simulation()
    judge(*walks.simple_random_sampling(np.tile(z, (REPEATS, 1)), rng.random((REPEATS, 240)), 80), z.mean())


def test_the_published_variance_covers_less_than_the_default():
    """The known defect that the default variance mends, on the same 20 draws."""
    V, prior, z, rng = bank_for_simulation()
    trace = evaluate(Bank.of(V), prior, [Setting()] * REPEATS, rng.random((REPEATS, 20)), np.tile(z, (REPEATS, 1)))
    truth = np.full(REPEATS, z.mean())
    as_published, default = (int(interval(*found, clip=False).covers(truth).sum()) for found in (
        (e.theta, e.se, ALPHA, e.df) for e in (published(trace, 240), with_replacement(trace, 240))))
    assert stats.binomtest(as_published, REPEATS, 0.95, "less").pvalue < 1e-4
    assert as_published < default


@pytest.mark.parametrize("sampling, variance, words", [
    ("without", "typo", "variance 'typo': sampling 'without' goes with pooled or empirical or betting"),
    ("without", "unbiased", "goes with pooled or empirical or betting"),
    ("with", "pooled", "goes with unbiased or published"),
    ("witout", None, "sampling 'witout': there are with, naive-without, without")])
def test_an_unknown_pair_of_sampling_and_variance_is_refused(sampling, variance, words):
    V, prior, z = tiny(1)
    trace = evaluate(Bank.of(V), prior, [Setting()], np.array([[0.3, 0.6]]), z[None], "without")
    with pytest.raises(InputError, match=words):
        estimate(trace, 2, len(z), sampling, variance)


def test_the_default_is_the_first_variance_of_a_way_of_sampling():
    V, prior, z = tiny(3, n=30)
    trace = evaluate(Bank.of(V), prior, [Setting()], np.random.default_rng(0).random((1, 12)), z[None], "without")
    trace = trace._replace(answers=trace.p)  # no surprise: the empirical variance is small, the pooled one is not
    default, pooled = estimate(trace, 12, 30, "without"), without_replacement(trace, 30, lifted=True)
    assert default == pooled and default.se > without_replacement(trace, 30).se
    assert [variances(sampling)[0] for sampling in ("with", "naive-without", "without")] == [
        "unbiased", "unbiased", "pooled"]


def test_a_variance_is_one_record(monkeypatch):
    monkeypatch.setattr("llm_accuracy.querying.estimators.ESTIMATORS", dict(ESTIMATORS))
    register("without", "half", Estimator(lambda trace, n, rank: without_replacement(trace, n, rank)))
    assert variances("without")[-1] == "half" and estimator("without", "half").exact is None
    with pytest.raises(InputError, match="registered already"):
        register("without", "half", estimator("without"))


def test_trace_columns_are_what_the_estimates_need():
    assert Trace._fields == ("asked", "answers", "q", "p", "total")
