"""The default method: exact statements by enumeration on tiny banks, coverage by simulation with fixed seeds.
Coverage tests are binomial against .94 with a false-alarm rate of 1e-4 each."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from llm_accuracy.errors import InputError
from llm_accuracy.querying import confidence_sequence
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.estimates import fixed_weights, sub_score, without_replacement
from llm_accuracy.querying.estimators import estimate
from llm_accuracy.querying.evaluation import evaluate, group_totals, replay
from llm_accuracy.querying.factors import Factors, Prior
from llm_accuracy.querying.intervals import interval
from llm_accuracy.querying.mixture import HistoryMixture, best_factors
from llm_accuracy.querying.querier import Querier
from llm_accuracy.querying.session import Session
from llm_accuracy.querying.setting import MIXTURE_SETTING, Setting
from llm_accuracy.querying.trace import Trace

ALPHA = 0.05


def tiny(seed, n=6, rank=2, history=5):
    rng = np.random.default_rng(seed)
    V, U = rng.normal(size=(n, rank)) * 1.5, rng.normal(size=(history, rank))
    return V, Factors(U, V, np.arange(n), np.zeros(n)).prior, rng.integers(0, 2, n).astype(float)


def enumerate_all(V, prior, z, draws, batch=1):
    asked = np.array(list(itertools.permutations(range(len(z)), draws)))
    bank = Bank.of(V, dtype=torch.float64)
    querier = Querier(bank, prior, [Setting(tau=0.2)] * len(asked), draws, "without", "faq-mix", batch=batch)
    trace = replay(querier, asked, z[asked])
    probability = trace.q.prod(1)
    assert abs(probability.sum() - 1) < 1e-10
    return asked, trace, probability


def not_below(covered, n, level=0.94):
    return stats.binomtest(int(covered), int(n), level, "less").pvalue > 1e-4


def test_an_oracle_knows_p_from_the_start_and_learns_nothing():
    V, prior, _ = tiny(2, n=300)
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 300)).astype(np.float32) * 2
    p = 1 / (1 + np.exp(-logits.astype(float)))
    z = (rng.random(p.shape) < p).astype(np.float32)
    trace = evaluate(Bank.of(V, dtype=torch.float64), prior, [Setting(tau=0.2)] * 4, rng.random((4, 60)), z, "without",
                     "oracle", known=logits)
    row = np.arange(4)[:, None]
    np.testing.assert_allclose(trace.p, p[row, trace.asked], rtol=1e-6)
    np.testing.assert_allclose(trace.total[:, 0], p.sum(1), rtol=1e-6)
    root = np.sqrt(p * (1 - p))
    first = 0.8 * root / root.sum(1, keepdims=True) + 0.2 / 300
    np.testing.assert_allclose(trace.q[:, 0], first[row[:, 0], trace.asked[:, 0]], rtol=1e-6)
    exploring = evaluate(Bank.of(V), prior, [Setting(1, 0.5, 0, 0.2)] * 4, rng.random((4, 9)), z, "without", "oracle",
                         known=logits)
    assert exploring.asked.shape == (4, 9)


def test_best_factors_are_those_of_a_logistic_regression():
    """Against scikit-learn: with prior N(0, I/λ) the mode is an l2-penalised fit with C = 1/λ."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(8)
    V, scores = rng.normal(size=(400, 3)) * 3, rng.integers(0, 2, (2, 400))
    scores[1] = V[:, 0] > 0  # separable: undamped Newton steps overshoot
    found = best_factors(torch.as_tensor(V), Prior(np.zeros(3), np.eye(3) / 0.5), torch.as_tensor(scores, dtype=float))
    for row, z in zip(found.numpy(), scores, strict=True):
        direct = LogisticRegression(C=2, fit_intercept=False, tol=1e-10, max_iter=1000).fit(V, z).coef_[0]
        np.testing.assert_allclose(row, direct, rtol=1e-3, atol=1e-4)


# --- exact ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_estimate_is_exactly_unbiased_with_mixture_weights_and_batches(seed, batch):
    V, prior, z = tiny(seed)
    _, trace, probability = enumerate_all(V, prior, z, 4, batch)
    for rank in (0, 2, 64):
        assert abs(probability @ without_replacement(trace, len(z), rank, lifted=True).theta - z.mean()) < 1e-10


def test_variance_of_the_estimate_is_what_the_derivation_says():
    """Var θ̂ = N⁻² Σ a_s² E[σ_s²], σ_s² the conditional variance of φ_s; and the bias of V̂ by its identity."""
    V, prior, z = tiny(3)
    _asked, trace, probability = enumerate_all(V, prior, z, 3)
    n, a = len(z), fixed_weights(len(z), 3, 2)
    phi = trace.total + (trace.answers - trace.p) / trace.q
    theta = phi @ a / n
    conditional = np.array([probability @ (phi[:, s] - n * z.mean()) ** 2 for s in range(3)])  # E σ_s²
    true = probability @ (theta - z.mean()) ** 2
    assert abs(true - a**2 @ conditional / n**2) < 1e-12
    estimated = probability @ (without_replacement(trace, n, 2).se ** 2)
    b = a**2 / (1 - a)
    identity = (b @ (conditional * (1 - 2 * a)) + b.sum() * (a**2 @ conditional)) / n**2
    assert abs(estimated - identity) < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_sub_scores_are_exactly_unbiased_until_a_group_is_known(seed):
    V, prior, z = tiny(seed)
    asked, trace, probability = enumerate_all(V, prior, z, 4)
    groups = np.stack([np.arange(6) < 3, np.arange(6) % 2 == 0], 1)
    bank = Bank.of(V, dtype=torch.float64)
    querier = Querier(bank, prior, [Setting(tau=0.2)] * len(asked), 4, "without", "faq-mix")
    totals = group_totals(querier, asked, z[asked], groups)
    for g in range(2):
        found = sub_score(trace, totals[:, :, g], groups[asked, g], 3, 6, 2)
        all_asked = groups[asked, g].sum(1) == 3
        np.testing.assert_allclose(found.theta[all_asked], z[groups[:, g]].mean(), atol=1e-12)
        a = fixed_weights(6, 4, 2)
        inside = groups[asked, g]
        phi = totals[:, :, g] + np.where(inside, (trace.answers - trace.p) / trace.q, 0)
        np.testing.assert_allclose(found.theta[~all_asked], (phi @ a)[~all_asked] / 3, atol=1e-12)
        assert abs(probability @ (phi @ a) / 3 - z[groups[:, g]].mean()) < 1e-10


def test_batches_do_not_repeat_questions_and_keep_scores_until_the_batch_ends():
    V, prior, z = tiny(1, n=300)
    rng = np.random.default_rng(0)
    for policy in ("faq-mix", "faq", "uniform+factors"):
        for setting in (Setting(tau=0.25), Setting(0.5, 0.5, 0.5, 0.25)):
            bank = Bank.of(V, dtype=torch.float64)
            trace = evaluate(bank, prior, [setting] * 3, rng.random((3, 96)), np.tile(z, (3, 1)), "without",
                             policy, batch=32)
            assert (np.diff(np.sort(trace.asked, 1), axis=1) > 0).all()
            # Within a batch only answered questions leave the total: p of those asked goes, z comes.
            step = trace.total[:, 1:] - trace.total[:, :-1]
            moved = trace.answers[:, :-1] - trace.p[:, :-1]
            inside = np.arange(1, 96) % 32 != 0
            np.testing.assert_allclose(step[:, inside], moved[:, inside], atol=1e-9)


def test_mixture_of_one_row_is_the_map_of_a_logistic_regression():
    """Against a direct Newton solution in float64."""
    rng = np.random.default_rng(5)
    V, prior = rng.normal(size=(80, 3)), Prior(np.array([0.3, -0.2, 0.1]), np.diag([1.0, 2.0, 0.5]))
    asked, z = np.arange(60), rng.integers(0, 2, 60).astype(float)
    mixture = HistoryMixture(torch.as_tensor(V), prior)
    u = torch.as_tensor(prior.mean[None])
    for _ in range(20):
        u, sigma = mixture.solve(u, torch.as_tensor(asked[None]), torch.as_tensor(z[None]))
    p = 1 / (1 + np.exp(-V[asked] @ u[0].numpy()))
    precision = np.linalg.inv(prior.covariance)
    gradient = V[asked].T @ (z - p) - precision @ (u[0].numpy() - prior.mean)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    expected = np.linalg.inv(precision + (V[asked].T * (p * (1 - p))) @ V[asked])
    np.testing.assert_allclose(sigma[0].numpy(), expected, rtol=1e-3)


def test_mixture_finds_the_sibling():
    """A model that answers like a row of the history is placed beside that row."""
    rng = np.random.default_rng(6)
    U, V = rng.normal(size=(40, 4)) * 2, rng.normal(size=(200, 4))
    prior = Factors(U, V, np.arange(200), np.zeros(200)).prior
    asked = rng.permutation(200)[:60]
    z = (V[asked] @ U[7] > 0).astype(float)
    mixture, u = HistoryMixture(torch.as_tensor(V), prior), torch.as_tensor(prior.mean[None])
    u, _ = mixture.solve(u, torch.as_tensor(asked[None, :8]), torch.as_tensor(z[None, :8]))
    u, _ = mixture.solve(u, torch.as_tensor(asked[None]), torch.as_tensor(z[None]))
    assert np.linalg.norm(U - u[0].numpy(), axis=1).argmin() == 7
    lean = HistoryMixture(torch.as_tensor(V), prior, most_cells=0)  # as for banks of which no second copy is held
    here, covariance = mixture.solve(u, torch.as_tensor(asked[None]), torch.as_tensor(z[None]))
    there, other = lean.solve(u, torch.as_tensor(asked[None]), torch.as_tensor(z[None]))
    np.testing.assert_allclose(here, there, rtol=1e-9)
    np.testing.assert_allclose(covariance, other, rtol=1e-9)


def test_bets_are_fair_and_the_betting_interval_is_exact():
    """By enumeration: the wealth at the truth is 1 on average, and no more than α of the sequences miss it."""
    alpha = 0.4  # such that four questions can decide something
    for seed in range(2):
        V, prior, z = tiny(seed)
        z[0] = 0.5
        _asked, trace, probability = enumerate_all(V, prior, z, 4)
        x, bets = confidence_sequence._bets(trace, len(z), 0.2, alpha, 4)
        for sign, bet in zip((1, -1), bets, strict=True):
            factors = 1 + sign * bet * (x - z.mean())
            assert factors.min() > 0 and abs(probability @ factors.prod(1) - 1) < 1e-9
            for m in (0, 1):
                assert (1 + sign * bet * (x - m)).min() > 0
        band = confidence_sequence.betting(trace, len(z), 0.2, alpha)
        assert probability @ ~band.covers(np.full(len(x), z.mean())) <= alpha
        everything = confidence_sequence.betting(enumerate_all(V, prior, z, 6)[1], len(z), 0.2, alpha)
        np.testing.assert_allclose(everything, z.mean(), atol=1e-12)


# --- by simulation -------------------------------------------------------------------------------------

def board(rng, n=400, rank=3, history=60):
    V = np.column_stack([rng.normal(size=(n, rank - 1)), np.ones(n)])
    U = rng.normal(size=(history, rank)) * [1.5, 1.0, 1.0]
    return V, Factors(U, V, np.arange(n), np.zeros(n)).prior, U


def hard_models(rng, V, U):
    n = len(V)
    p = 1 / (1 + np.exp(-V @ U[0]))
    near_one = np.ones(n)
    near_one[rng.permutation(n)[: n // 50]] = 0
    return {"ordinary": (rng.random(n) < p).astype(float), "inverted": (rng.random(n) > p).astype(float),
            "random": rng.integers(0, 2, n).astype(float), "all right": np.ones(n), "all wrong": np.zeros(n),
            "98 % right": near_one, "2 % right": 1 - near_one,
            "partial credit": np.clip(p + rng.normal(size=n) * 0.2, 0, 1)}


@pytest.mark.parametrize("kind", ["ordinary", "inverted", "random", "all right", "all wrong", "98 % right", "2 % right",
                                  "partial credit"])
def test_covers_ordinary_and_extreme_models_and_never_with_width_zero(kind):
    rng = np.random.default_rng(11)
    V, prior, U = board(rng)
    z = hard_models(rng, V, U)[kind]
    repeats = 1500
    trace = evaluate(Bank.of(V), prior, [MIXTURE_SETTING] * repeats, rng.random((repeats, 100)),
                     np.tile(z, (repeats, 1)), "without", "faq-mix")
    for draws in (20, 50, 100):
        found = estimate(trace, draws, 400, "without", "pooled", 3)
        band = interval(found.theta, found.se, ALPHA, found.df)
        assert (band.width > 0).all()
        assert not_below(band.covers(np.full(repeats, z.mean())).sum(), repeats), (kind, draws)
        exact = confidence_sequence.betting(trace.first(draws), 400, MIXTURE_SETTING.tau)
        assert not_below(exact.covers(np.full(repeats, z.mean())).sum(), repeats, 0.95), (kind, draws)


def test_the_limit_is_a_history_that_is_confidently_wrong_and_betting_holds_there():
    """900 of 1,000 questions are predicted right with p = .9997, and one in twenty of them is wrong."""
    rng, repeats = np.random.default_rng(5), 600
    U = np.column_stack([rng.normal(size=60) * 0.5, 8 + rng.normal(size=60) * 0.2])
    V = np.zeros((1000, 2))
    V[:100, 0], V[100:, 1] = rng.normal(size=100), 1
    z = np.ones(1000)
    z[:100] = rng.random(100) < 0.5
    z[100 + rng.permutation(900)[:45]] = 0
    prior = Factors(U, V, np.arange(1000), np.zeros(1000)).prior
    trace = evaluate(Bank.of(V), prior, [MIXTURE_SETTING] * repeats, rng.random((repeats, 50)),
                     np.tile(z, (repeats, 1)), "without", "faq-mix")
    found = estimate(trace, 50, 1000, "without", "pooled", 2)
    truth = np.full(repeats, z.mean())
    assert interval(found.theta, found.se, ALPHA, found.df).covers(truth).mean() < 0.9  # as the documentation says
    assert not_below(confidence_sequence.betting(trace, 1000, MIXTURE_SETTING.tau).covers(truth).sum(), repeats, 0.95)


def test_empirical_variance_alone_fails_near_one_and_the_default_does_not():
    """Nothing known of the questions, 97 % right: many evaluations meet no wrong answer at all."""
    rng = np.random.default_rng(12)
    z = np.ones(450)
    z[:13] = 0
    trace = evaluate(Bank.of(np.zeros((450, 1))), Prior(np.zeros(1), np.eye(1)), [Setting(tau=1.0)] * 2000,
                     rng.random((2000, 22)), np.tile(z, (2000, 1)), "without")
    trace = trace._replace(total=trace.total + (z.mean() - trace.p) * (450 - np.arange(22)),
                           p=np.full_like(trace.p, z.mean()))  # a constant prediction that happens to be right
    covered = {}
    for variance in ("empirical", "pooled"):
        found = estimate(trace, 22, 450, "without", variance)
        covered[variance] = interval(found.theta, found.se, ALPHA, found.df).covers(np.full(2000, z.mean())).sum()
    assert covered["empirical"] < 0.7 * 2000 and not_below(covered["pooled"], 2000)


def test_watching_the_fixed_budget_interval_fails_and_the_confidence_sequence_holds():
    """Look after every answer, stop when the half-width is at most ε, or at the first interval that misses."""
    rng = np.random.default_rng(13)
    V, prior, U = board(rng, n=1000)
    z = (rng.random(1000) < 1 / (1 + np.exp(-V @ U[1]))).astype(float)
    repeats, steps = 1000, 500
    trace = evaluate(Bank.of(V), prior, [MIXTURE_SETTING] * repeats, rng.random((repeats, steps)),
                     np.tile(z, (repeats, 1)), "without", "faq-mix")
    low, _, high = confidence_sequence.watched(trace, 1000, 3)
    misses = ((low > z.mean()) | (high < z.mean())).any(1)
    assert stats.binomtest(int(misses.sum()), repeats, ALPHA, "greater").pvalue > 1e-4
    tight = (high - low) / 2 <= 0.05
    stop = np.where(tight.any(1), tight.argmax(1), steps - 1)
    rows = np.arange(repeats)
    assert stop.max() < steps - 1
    wrong = (low[rows, stop] > z.mean()) | (high[rows, stop] < z.mean())
    assert stats.binomtest(int(wrong.sum()), repeats, ALPHA, "greater").pvalue > 1e-4
    ever = np.zeros(repeats, bool)
    for draws in range(confidence_sequence.BURN_IN, steps, 10):
        found = estimate(trace, draws, 1000, "without", "pooled", 3)
        ever |= ~interval(found.theta, found.se, ALPHA, found.df).covers(np.full(repeats, z.mean()))
    assert stats.binomtest(int(ever.sum()), repeats, 2 * ALPHA, "greater").pvalue < 1e-4


def test_the_confidence_sequence_holds_to_the_end_of_the_bank():
    """95 % right, all of the bank asked: an interval that misses once has failed."""
    rng, repeats = np.random.default_rng(17), 800
    V, prior, _ = board(rng, n=300)
    z = np.ones(300)
    z[rng.permutation(300)[:15]] = 0
    trace = evaluate(Bank.of(V), prior, [MIXTURE_SETTING] * repeats, rng.random((repeats, 300)),
                     np.tile(z, (repeats, 1)), "without", "faq-mix")
    low, _, high = confidence_sequence.watched(trace, 300, 3)
    misses = ((low > z.mean() + 1e-9) | (high < z.mean() - 1e-9)).any(1)
    assert stats.binomtest(int(misses.sum()), repeats, ALPHA, "greater").pvalue > 1e-4
    assert (high - low)[:, 298].max() < 2 / 300 and (high - low)[:, 299].max() < 1e-12


def test_betting_may_be_watched_with_bets_sized_beforehand_only():
    """Fair coins, α = .4, a look after every fifth answer: sized anew at every look the interval fails."""
    rng, n, steps, repeats, alpha = np.random.default_rng(18), 2000, 300, 1000, 0.4
    z = np.arange(n) % 2
    asked = rng.permuted(np.tile(np.arange(n), (repeats, 1)), axis=1)[:, :steps]
    answers, open_ = z[asked].astype(float), n - np.arange(steps)
    half = np.full(answers.shape, 0.5)
    total = answers.cumsum(1) - answers + 0.5 * open_
    trace = Trace(asked, answers, np.tile(1 / open_, (repeats, 1)), half, total)
    missed = {}
    for planned in (None, 100):
        ever = np.zeros(repeats, bool)
        for look in range(5, steps + 1, 5):
            part = trace.first(look)
            ever |= ~confidence_sequence.betting(part, n, 1.0, alpha, planned).covers(np.full(repeats, 0.5))
        missed[planned] = int(ever.sum())
    assert stats.binomtest(missed[100], repeats, alpha, "greater").pvalue > 1e-4
    assert stats.binomtest(missed[None], repeats, alpha, "greater").pvalue < 1e-4


def test_running_estimates_are_those_of_every_budget():
    rng = np.random.default_rng(14)
    V, prior, _ = board(rng, n=120)
    z = rng.integers(0, 2, (3, 120)).astype(float)
    trace = evaluate(Bank.of(V), prior, [MIXTURE_SETTING] * 3, rng.random((3, 120)), z, "without", "faq-mix")
    low, theta, high = confidence_sequence.watched(trace, 120, 3, burn_in=20)
    for draws in (1, 20, 77, 120):
        np.testing.assert_allclose(theta[:, draws - 1], estimate(trace, draws, 120, "without", "pooled", 3).theta)
    np.testing.assert_allclose((high - low)[0, :19], 1 - np.arange(1, 20) / 120)  # only what is certain
    assert (high - low)[:, -1].max() < 1e-12


# --- one batch at a time -------------------------------------------------------------------------------

def session_board():
    rng = np.random.default_rng(15)
    V, _, U = board(rng, n=200)
    names = np.array([f"q{i}" for i in range(200)])
    z = (rng.random(200) < 1 / (1 + np.exp(-V @ U[2]))).astype(float)
    return Factors(U.astype(np.float32), V.astype(np.float32), names, np.zeros(200)), dict(zip(names, z, strict=True))


@pytest.mark.parametrize("policy", ["faq-mix", "faq", "uniform+factors"])
@pytest.mark.parametrize("sampling", ["without", "naive-without"])
def test_rounds_whose_answers_come_in_any_order(policy, sampling):
    """The engine asked live, in rounds, against the simulation in batches of the same size."""
    V, prior, z = tiny(3, n=300)
    rng = np.random.default_rng(4)
    bank, setting, draws = Bank.of(V, dtype=torch.float64), Setting(tau=0.25), rng.random((2, 48))
    whole = evaluate(bank, prior, [setting] * 2, draws, np.tile(z, (2, 1)), sampling, policy, batch=16)
    querier = Querier(bank, prior, [setting] * 2, 48, sampling, policy)
    for start in range(0, 48, 16):
        steps = querier.ask_batch(torch.as_tensor(draws[:, start : start + 16]))
        assert steps == range(start, start + 16)
        with pytest.raises(InputError, match="16 questions asked are not answered yet"):
            querier.ask_batch(torch.zeros(2, 1))
        for number in rng.permutation(steps).tolist():
            querier.answer(number, torch.as_tensor(z[querier.step(number).asked]))
    asked, q, p = (np.stack([getattr(querier.step(s), name).numpy() for s in range(48)], 1)
                   for name in ("asked", "q", "p"))
    np.testing.assert_array_equal(asked, whole.asked)
    np.testing.assert_allclose(q, whole.q, rtol=1e-9)
    np.testing.assert_allclose(p, whole.p, rtol=1e-9)
    with pytest.raises(InputError, match="step 3: no question of it is waiting"):
        querier.answer(3, torch.zeros(2))
    with pytest.raises(InputError, match="49 questions; the budget is 48"):
        querier.ask_batch(torch.zeros(2, 1))


def test_session_asks_what_the_engine_asks_and_estimates_the_same(tmp_path):
    factors, truth = session_board()
    tasks = np.array(["even", "odd"] * 100)
    session = Session(factors, "new", tasks=tasks)
    for _ in range(3):
        for name in reversed(session.ask(16)):  # answers may come in any order
            session.tell(name, truth[name])
    session.save(tmp_path / "session.json")
    session = Session.resume(tmp_path / "session.json", factors, tasks)
    for name in session.ask(16):
        session.tell(name, truth[name])
    z = np.array(list(truth.values()))
    from llm_accuracy.randomness import stream

    trace = evaluate(Bank.of(factors.V), factors.prior, [MIXTURE_SETTING], stream("session", "new", 0).random((1, 64)),
                     z[None], "without", "faq-mix", batch=16)
    assert session.asked == trace.asked[0].tolist()
    np.testing.assert_allclose(session.trace.total, trace.total, rtol=1e-5)
    found, expected = session.estimate(), estimate(trace, 64, 200, "without", "pooled", 3)
    assert found.theta == pytest.approx(expected.theta[0], abs=1e-6) and found.low < z.mean() < found.high
    parts, together = session.sub_scores(), session.sub_scores(simultaneous=True)
    assert set(parts) == {"even", "odd"} and parts["odd"].asked + parts["even"].asked == 64
    assert together["odd"].high - together["odd"].low > parts["odd"].high - parts["odd"].low
    # The sub-scores add up to the overall one: the tasks are equally large.
    assert np.mean([part.theta for part in parts.values()]) == pytest.approx(found.theta, abs=1e-6)
    watched = session.watch()
    assert watched.high - watched.low == pytest.approx(1 - 64 / 200)  # before the burn-in: only what is certain
    exact = session.watch(exact=True)
    assert exact.low < z.mean() < exact.high and exact.high - exact.low > found.high - found.low


@pytest.mark.parametrize("seed", range(20))
def test_a_whole_bank_in_one_round_whatever_its_scores(seed):
    """Blocks of very different scores: what rounding leaves of an exhausted one must not be drawn from."""
    rng = np.random.default_rng(0)
    V = np.column_stack([np.r_[rng.normal(size=128), np.full(128, 20.0)], np.zeros(256)]).astype(np.float32)
    U = np.column_stack([1 + rng.normal(size=40) * 0.01, rng.normal(size=40)]).astype(np.float32)
    session = Session(Factors(U, V, np.array([f"q{i}" for i in range(256)]), np.zeros(256)), "m", seed)
    assert len(set(session.ask(256))) == 256


def test_session_to_the_end_is_exact_and_refuses_nonsense(tmp_path):
    factors, truth = session_board()
    session = Session(factors, "new")
    with pytest.raises(InputError, match="nothing has been answered"):
        session.estimate()
    first, second = session.ask(2)
    with pytest.raises(InputError, match="2 questions are not answered"):
        session.ask()
    with pytest.raises(InputError, match="scores lie in"):
        session.tell(first, 1.5)
    with pytest.raises(InputError, match="has not been asked"):
        session.tell("q999", 1)
    session.tell(first, truth[first])
    session.tell(second, truth[second])
    while names := session.ask(50):
        for name in names:
            session.tell(name, truth[name])
    found = session.estimate()
    assert found.low == found.high == pytest.approx(np.mean(list(truth.values())))
    (tmp_path / "torn.json").write_text('{"model": "new"')
    with pytest.raises(InputError, match="not a saved session"):
        Session.resume(tmp_path / "torn.json", factors)
