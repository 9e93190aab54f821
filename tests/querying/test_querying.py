"""The engine against the direct formulas, and the properties that make a trial a function of its key."""

import numpy as np
import pytest
import torch
from reference import faq
from reference import walk as reference_walk

from llm_accuracy.errors import InputError
from llm_accuracy.querying import loops, passes, policies, walks
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.evaluation import evaluate, evaluate_in_rounds, kinds_of, replay, run
from llm_accuracy.querying.factors import Prior
from llm_accuracy.querying.passes import Passes
from llm_accuracy.querying.policies import ONE_AT_A_TIME, named
from llm_accuracy.querying.querier import Querier
from llm_accuracy.querying.setting import Setting

SETTINGS = [Setting(), Setting(0.5, 0.0, 0.0, 0.25), Setting(1.0, 0.5, 0.0, 0.05), Setting(0.75, 0.3, 0.6, 0.5),
            Setting(1.0, 0.0, 0.4, 0.05), Setting(0.0, 0.0, 0.0, 1.0)]


def problem(seed, n=150, rank=3, rows=4, scale=1.0):
    rng = np.random.default_rng(seed)
    V = rng.normal(size=(n, rank)) * scale
    factor = rng.normal(size=(rank, rank))
    prior = Prior(rng.normal(size=rank) * 0.5, factor @ factor.T + 0.1 * np.eye(rank))
    scores = (rng.random((rows, n)) < 0.5).astype(float)
    return V, prior, scores, rng


@pytest.mark.parametrize("sampling", ONE_AT_A_TIME)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.key)
def test_agrees_with_the_direct_formulas(setting, sampling):
    V, prior, scores, rng = problem(seed=1)
    uniforms = rng.random((len(scores), 60))
    querier = Querier(Bank.of(V, dtype=torch.float64), prior, [setting] * len(scores), 60, sampling)
    trace = run(querier, uniforms, scores)
    for row, z in enumerate(scores):
        asked, q, p, total, u, sigma = faq(V, prior.mean, prior.covariance, z, uniforms[row], setting, 60, sampling)
        assert trace.asked[row].tolist() == asked
        np.testing.assert_allclose(trace.q[row], q, rtol=1e-8)
        np.testing.assert_allclose(trace.p[row], p, rtol=1e-8)
        np.testing.assert_allclose(trace.total[row], total, rtol=1e-9)
        np.testing.assert_allclose(querier.beliefs.u[row], u, atol=1e-8)
        np.testing.assert_allclose(querier.beliefs.sigma[row], sigma, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 300])
def test_whole_bank_without_replacement(n):
    """Every question exactly once, whatever the padding of the last block."""
    V, prior, scores, rng = problem(seed=2, n=n)
    trace = evaluate(Bank.of(V), prior, [Setting()] * len(scores), rng.random((len(scores), n)), scores, "without")
    assert (np.sort(trace.asked, 1) == np.arange(n)).all()
    np.testing.assert_allclose(trace.q[:, -1], 1, rtol=1e-6)


def test_certain_predictions_do_not_break_the_draw():
    """Logits of ±hundreds: p rounds to 0 and 1, all scores are at their floor, draws stay proper."""
    V, prior, scores, rng = problem(seed=3, scale=500.0)
    for sampling in ONE_AT_A_TIME:
        for setting in SETTINGS:
            trace = evaluate(Bank.of(V), prior, [setting] * len(scores), rng.random((len(scores), 100)), scores,
                             sampling)
            assert all(np.isfinite(column).all() for column in trace)
            assert (trace.q > 0).all() and (trace.asked < V.shape[0]).all()


def test_draws_follow_q():
    """20,000 first draws against q: a chi-square test with a false-alarm rate of 1e-4."""
    from scipy.stats import chisquare

    V, prior, scores, rng = problem(seed=4, n=200)
    setting = Setting(1.0, 0.5, 0.0, 0.1)
    rows = 20_000
    first = run(Querier(Bank.of(V), prior, [setting] * rows, 10), rng.random((rows, 1)), np.tile(scores[:1], (rows, 1)))
    everything = replay(Querier(Bank.of(V), prior, [setting] * 200, 10), np.arange(200)[:, None], np.zeros((200, 1)))
    q = everything.q[:, 0]
    assert abs(q.sum() - 1) < 1e-6
    assert chisquare(np.bincount(first.asked[:, 0], minlength=200), rows * q / q.sum()).pvalue > 1e-4


@pytest.mark.parametrize("sampling", ["with", "without"])
def test_rows_do_not_interact_and_shorter_budgets_are_prefixes(sampling):
    V, prior, scores, rng = problem(seed=5, rows=12)
    uniforms, bank = rng.random((12, 80)), Bank.of(V)
    whole = evaluate(bank, prior, [Setting()] * 12, uniforms, scores, sampling)
    some = evaluate(bank, prior, [Setting()] * 3, uniforms[4:7, :30], scores[4:7], sampling)
    assert (whole.asked[4:7, :30] == some.asked).all()
    np.testing.assert_allclose(whole.q[4:7, :30], some.q, rtol=1e-5)


def test_settings_of_different_kinds_share_a_batch():
    V, prior, scores, rng = problem(seed=6, rows=1)
    uniforms = rng.random((1, 60))
    bank = Bank.of(V, dtype=torch.float64)
    together = evaluate(bank, prior, SETTINGS, np.repeat(uniforms, len(SETTINGS), 0),
                        np.repeat(scores, len(SETTINGS), 0))
    for i, setting in enumerate(SETTINGS):
        alone = evaluate(bank, prior, [setting], uniforms, scores)
        assert (alone.asked[0] == together.asked[i]).all()
        np.testing.assert_allclose(alone.q[0], together.q[i], rtol=1e-9)


def test_replay_is_an_audit_of_run():
    V, prior, scores, rng = problem(seed=7)
    for sampling in ONE_AT_A_TIME:
        made = evaluate(Bank.of(V), prior, [Setting()] * 4, rng.random((4, 90)), scores, sampling)
        audit = replay(Querier(Bank.of(V), prior, [Setting()] * 4, 90, sampling), made.asked, made.answers)
        for ours, theirs in zip(audit, made, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.skipif(loops.built() is None, reason="no C compiler: only the plain passes run here")
@pytest.mark.parametrize("sampling", ["with", "without"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_passes_in_c_agree_with_plain_ones(setting, sampling):
    V, prior, scores, rng = problem(seed=8)
    uniforms = rng.random((4, 40))
    traces = [run(Querier(Bank.of(V), prior, [setting] * 4, 40, sampling, passes=passes.Passes(compiled)),
                  uniforms, scores) for compiled in (True, False)]
    assert (traces[0].asked == traces[1].asked).all()
    for compiled, plain in zip(*traces, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=2e-5)


@pytest.mark.skipif(loops.built() is None, reason="no C compiler: only the plain passes run here")
@pytest.mark.parametrize(("policy", "batch"), [("faq", 8), ("faq-mix", 1), ("faq-mix", 8), ("uniform+factors", 1)])
def test_draws_in_c_agree_with_plain_ones(policy, batch):
    """Also where scores stay as they are for a round, and where a policy stores them."""
    V, prior, scores, rng = problem(seed=18)
    uniforms = rng.random((4, 60))
    made, plain = (evaluate(Bank.of(V), prior, [Setting(tau=0.2)] * 4, uniforms, scores.astype(np.float32), "without",
                            policy, passes=passes.Passes(compiled), batch=batch) for compiled in (True, False))
    assert (made.asked == plain.asked).all()
    for one, other in zip(made[2:], plain[2:], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5)


def test_plain_passes_are_chosen_without_a_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    loops.built.cache_clear()
    assert not passes.Passes.for_work(1e12, "cpu").compiled
    monkeypatch.undo()
    loops.built.cache_clear()
    assert passes.Passes.for_work(1e12, "cpu").compiled == (loops.built() is not None)
    assert not passes.Passes.for_work(1e6, "cpu").compiled
    assert not passes.Passes.for_work(1e12, "cpu", torch.float64).compiled


def test_stored_faq_scores_are_those_the_engine_sums():
    """The registered policy (stored scores, used by the naive variant) and the engine's passes draw alike."""
    V, prior, scores, rng = problem(seed=9)
    for setting in SETTINGS:
        uniforms = rng.random((4, 50))
        streamed, stored = (Querier(Bank.of(V, dtype=torch.float64), prior, [setting] * 4, 50) for _ in range(2))
        stored._stores_scores = True
        if streamed.beliefs.variance is not None:
            stored.beliefs.variance = streamed.beliefs.variance.clone()
        a, b = run(streamed, uniforms, scores), run(stored, uniforms, scores)
        assert (a.asked == b.asked).all()
        np.testing.assert_allclose(a.q, b.q, rtol=1e-8)


def test_a_policy_is_one_record():
    """The lines it takes to try an idea: register a record, name it."""

    policies.register(policies.Policy("hardest", "hardest", lambda beliefs, moment: 1 - beliefs.p))
    try:
        V, prior, scores, rng = problem(seed=10)
        trace = evaluate(Bank.of(V), prior, [Setting(tau=0.1)] * 4, rng.random((4, 100)), scores, "without", "hardest")
        assert (np.diff(np.sort(trace.asked, 1), axis=1) > 0).all()
        assert trace.p[:, :20].mean() < trace.p[:, -20:].mean()
    finally:
        del policies.POLICIES["hardest"]


def test_refuses_what_it_cannot_do():
    V, prior, _, _ = problem(seed=11)
    with pytest.raises(InputError, match="151 draws without replacement from 150 questions"):
        Querier(Bank.of(V), prior, [Setting()], 151, "without")
    with pytest.raises(InputError, match="policy 'clairvoyant': there are faq-mix, faq, rounds, uniform"):
        Querier(Bank.of(V), prior, [Setting()], 10, policy="clairvoyant")
    with pytest.raises(InputError, match="an oracle, and only an oracle, must be given what it knows"):
        Querier(Bank.of(V), prior, [Setting()], 10, policy="oracle")
    with pytest.raises(InputError, match="sampling 'sometimes': there are with, without, naive-without"):
        Querier(Bank.of(V), prior, [Setting()], 10, sampling="sometimes")


# --- walks ---------------------------------------------------------------------------------------------

def test_walks_agree_with_a_plain_loop():
    rng = np.random.default_rng(12)
    z, uniforms, phat = rng.integers(0, 2, (3, 90)), rng.random((3, 90)), rng.random(90)
    every = [walks.Walk(policy, budget, tau) for policy in policies.WALKING for budget in (9, 30)
             for tau in (0.05, 0.5)]
    found = walks.walk(z, phat, every, uniforms)
    for i, one in enumerate(every):
        for m in range(3):
            for k, f in enumerate((np.zeros(90), phat)):
                theta, se, labels = reference_walk(policies.WALKING[one.policy](phat), one.budget, one.tau, one.exempt,
                                                   uniforms[m], z[m], f)
                np.testing.assert_allclose([found.theta[k, m, i], found.se[k, m, i], found.labels[m, i]],
                                           [theta, se, labels], rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(loops.built() is None, reason="no C compiler: NumPy serves all walks here")
@pytest.mark.parametrize(("models", "n"), [(30, 128), (300, 150)])
def test_walks_in_c_are_the_same_to_the_last_bit(models, n):
    """Whole blocks of questions and models and a rest, walks whose count limits them, one that no count limits."""
    rng = np.random.default_rng(31)
    z, uniforms, phat = rng.random((models, n)).round(1), rng.random((models, n)), rng.random(n)
    every = [walks.Walk(policy, budget, tau) for policy in policies.WALKING for budget in (9, 60)
             for tau in (0.05, 0.5)]
    plain = walks.walk(z, phat, every, uniforms)
    for scores, draws in ((z, uniforms), (np.asfortranarray(z), np.asfortranarray(uniforms))):
        same = walks.walk(scores, phat, every, draws, loops=loops.built())
        for name in ("theta", "se", "labels"):
            np.testing.assert_array_equal(getattr(same, name), getattr(plain, name))


@pytest.mark.parametrize("policy", ["faq", "faq-mix", "rounds", "uniform+factors"])
def test_a_group_comes_out_the_same_to_the_last_digit_in_any_company(policy):
    """Ten rows of their own, alone, beside 30 others, by one thread and by two."""
    V, prior, scores, rng = problem(seed=17, n=300, rank=4, rows=40)
    one, uniforms, scores = named(policy), rng.random((40, 40)), scores.astype(np.float32)
    setting, bank = one.setting or Setting(), Bank.of(V)

    def group(rows, threads):
        torch.set_num_threads(threads)
        if one.rounds:
            trace = evaluate_in_rounds(bank, prior, one.rounds, setting.tau, [20, 40], uniforms[rows], scores[rows],
                                       kinds_of(bank, prior, one.rounds), together=10)
            return np.concatenate([getattr(each, name) for each in trace.rounds for name in ("p", "pi")], 1)
        trace = evaluate(bank, prior, [setting] * len(scores[rows]), uniforms[rows], scores[rows], one.sampling, one,
                         passes=Passes(compiled=False), together=10)
        return np.concatenate([trace.q, trace.p, trace.total], 1)

    threads = torch.get_num_threads()
    try:
        alone = group(slice(20, 30), 1)
        for company, by in ((slice(0, 40), 2), (slice(10, 40), 1)):
            inside = group(company, by)[20 - company.start :][:10]
            np.testing.assert_array_equal(inside, alone)
    finally:
        torch.set_num_threads(threads)


def test_factor_walks_share_a_batch():
    """Several τ and budgets at once give what each gives alone."""
    V, prior, scores, rng = problem(seed=13)
    uniforms, bank = rng.random(scores.shape), Bank.of(V, dtype=torch.float64)
    every = [walks.Walk("factors", budget, tau) for budget in (15, 40) for tau in (0.05, 0.5)]
    together = walks.factor_walk(scores, bank, prior, every, uniforms)
    for i, one in enumerate(every):
        alone = walks.factor_walk(scores, bank, prior, [one], uniforms)
        np.testing.assert_allclose(together.theta[0, :, i], alone.theta[0, :, 0], rtol=1e-9)
        np.testing.assert_allclose(together.se[0, :, i], alone.se[0, :, 0], rtol=1e-9)


def test_float32_does_not_drift():
    """600 steps, rank 16, the same questions in float32 and in float64: the stated deviations hold, Σ stays symmetric
    and positive. (Over 3,008 steps at rank 64: benchmarks/run.py --only float32.)"""
    V, prior, scores, rng = problem(seed=14, n=2000, rank=16, rows=3, scale=0.7)
    single = Querier(Bank.of(V), prior, [Setting()] * 3, 600)
    trace = run(single, rng.random((3, 600)), scores)
    exact = replay(Querier(Bank.of(V, dtype=torch.float64), prior, [Setting()] * 3, 600), trace.asked, trace.answers)
    assert np.abs(trace.q / exact.q - 1).max() < 1e-3
    theta, sharp = (np.mean(t.total + (t.answers - t.p) / t.q, 1) / 2000 for t in (trace, exact))
    assert np.abs(theta - sharp).max() < 1e-5
    sigma = single.beliefs.sigma
    assert (sigma == sigma.transpose(1, 2)).all() and torch.linalg.eigvalsh(sigma).min() > 0
