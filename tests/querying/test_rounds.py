"""Growing rounds: exact statements by enumeration on tiny banks, coverage by simulation with fixed seeds."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from llm_accuracy.errors import InputError
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.designs import Ranking, choosing, inclusion, schedule, systematic
from llm_accuracy.querying.factors import Prior
from llm_accuracy.querying.predictors import SCORES, FactorPredictor, OfScores, Outcomes, Prediction
from llm_accuracy.querying.round_estimates import estimate, weights
from llm_accuracy.querying.rounds import Rounds, evaluate_rounds


class Logistic:
    """A predictor of tiny banks in float64: Newton's method from scratch, an independent slow reference."""

    outcomes = SCORES

    def __init__(self, V, mean):
        self.V, self.mean, self.u = V, mean, mean[None]

    def learn(self, asked, answers):
        x, z = self.V[asked[0].numpy()], answers[0].numpy()
        u = self.mean.copy()
        for _ in range(5):
            p = 1 / (1 + np.exp(-x @ u))
            u = u + np.linalg.solve(np.eye(len(u)) + (x * (p * (1 - p))[:, None]).T @ x,
                                    x.T @ (z - p) - (u - self.mean))
        self.u = u[None]

    def predict(self):
        return OfScores(torch.as_tensor(1 / (1 + np.exp(-self.u @ self.V.T))))


class Changes(Logistic):
    """The same of outcomes in [−1, 1]: a question changes with probability .3 p, up as often as down."""

    outcomes = Outcomes(-1, 1)

    def predict(self):
        p = super().predict().mean
        return Prediction(p - 0.5, 0.3 * p, torch.zeros_like(p), 0.3 * p)


def breaks(pi):
    """Uniform numbers between which a systematic sample does not change: the fractional parts of the cumulated π."""
    cumulated = torch.where(pi >= 1, 0.0, pi).cumsum(1)[0].numpy()
    cuts = np.unique(np.concatenate([[0, 1], cumulated % 1]).round(12))
    return [(low, high) for low, high in itertools.pairwise(cuts) if high - low > 1e-11]


def every_outcome(make, z, sizes):
    """[(probability, rounds)] of all evaluations that the uniform numbers can lead to, and the largest difference
    between a question's share of the draws and its π."""
    leaves, worst = [], 0.0

    def follow(draws, probability):
        nonlocal worst
        engine = make()
        for size, uniform in zip(sizes, draws, strict=False):
            step(engine, uniform, size)
        if len(draws) == len(sizes):
            leaves.append((probability, engine.rounds))
            return
        size, seen = sizes[len(draws)], {}
        probe = make_probe(engine, seen, size)
        share = np.zeros(len(z))
        for low, high in breaks(seen["ordered"]):
            uniform = (low + high) / 2
            asked = probe(uniform)
            assert len(set(asked)) == size
            share[asked] += high - low
            follow([*draws, uniform], probability * (high - low))
        worst = max(worst, np.abs(share - seen["pi"]).max())

    def step(engine, uniform, size):
        steps = engine.ask_batch(torch.tensor([uniform], dtype=torch.float64), size)
        for number in reversed(steps):
            engine.answer(number, torch.as_tensor(z[engine.question(number).numpy()]))

    def make_probe(engine, seen, size):
        """Look at π and the order of the coming round without asking it."""
        expected = engine.predictor.predict()
        pi = inclusion(choosing(expected.variance.sqrt(), engine._open, engine.tau, engine.costs), size)
        order = engine._order(expected.mean)
        seen["pi"], seen["ordered"] = pi[0].numpy(), pi.gather(1, order)
        return lambda uniform: systematic(pi, order, torch.tensor([uniform], dtype=torch.float64), size)[0].numpy()

    follow([], 1.0)
    return leaves, worst


@pytest.mark.parametrize("seed", range(24))
def test_estimate_and_sub_scores_are_exactly_unbiased(seed):
    """Over every systematic sample of every round that learns from the ones before; banks of 2 to 8 questions, with
    and without costs, strata, partial credit, certain questions, differences, all asked."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    V, mean = rng.normal(size=(n, 2)) * rng.choice([0.5, 2, 6]), rng.normal(size=2)
    z = [rng.integers(0, 2, n).astype(float), rng.random(n), rng.integers(-1, 2, n).astype(float)][seed % 3]
    kind = Changes if seed % 3 == 2 else Logistic
    sizes = schedule(int(rng.integers(1, n + 1)), n, first=int(rng.integers(1, 4)))
    costs = rng.uniform(0.1, 5, n) if seed % 4 == 0 else None
    strata = rng.integers(0, 3, n) if seed % 5 == 0 else None
    members = np.arange(n) < max(1, n // 2)
    groups = np.stack([np.ones(n), members], 1)
    leaves, worst = every_outcome(lambda: Rounds(kind(V, mean), 1, n, float(rng.choice([0.1])), costs, strata, groups),
                                  z, sizes)
    assert worst < 1e-9 and abs(sum(p for p, _ in leaves) - 1) < 1e-9
    whole, part = (sum(p * found(rounds).theta[0] for p, rounds in leaves) for found in (
        estimate, lambda rounds: estimate(rounds, 1, members)))
    assert abs(whole - z.mean()) < 1e-9
    assert abs(part - z[members].mean()) < 1e-9
    for _, rounds in leaves:
        if sum(sizes) == n:
            found = estimate(rounds)
            np.testing.assert_allclose([found.theta[0], found.se[0]], [z.mean(), 0], atol=1e-9)


def test_schedules_of_two_budgets_share_their_first_rounds():
    assert schedule(100, 1000) == [8, 12, 18, 27, 35]
    assert schedule(38, 1000) == [8, 12, 18] and schedule(50, 1000) == [8, 12, 30]
    assert schedule(5, 1000) == [5] and schedule(20, 9) == [9]
    for budget in range(1, 400):
        sizes = schedule(budget, 350)
        assert sum(sizes) == min(budget, 350)
        assert sizes[:-1] == schedule(10_000, 10_000)[: len(sizes) - 1]


def test_inclusion_probabilities_sum_to_the_size_and_stop_at_one():
    rng = np.random.default_rng(0)
    q = torch.as_tensor(rng.gamma(0.2, size=(50, 40)))
    q /= q.sum(1, keepdim=True)
    for size in (1, 7, 39, 40):
        pi = inclusion(q, size)
        np.testing.assert_allclose(pi.sum(1), size, rtol=1e-12)
        assert (pi <= 1).all()
        free = pi < 1
        ratio = torch.where(free, pi / q, torch.nan).numpy()
        if size < 39:  # below 1 in proportion to q
            np.testing.assert_allclose(np.nanmin(ratio, 1), np.nanmax(ratio, 1), rtol=1e-9)


def test_with_uniform_probabilities_it_is_the_sample_mean():
    """No predictions and no choice: θ̂ of one round is the mean of the answers."""
    rng = np.random.default_rng(1)
    z = rng.integers(0, 2, (6, 60)).astype(float)
    engine = Rounds(FactorPredictor(Bank.of(np.zeros((60, 1)), dtype=torch.float64),
                                    Prior(np.zeros(1), np.eye(1)), 6), 6, 60, tau=1.0)
    engine.ask_batch(torch.as_tensor(rng.random(6)), 15)
    engine.answer_batch(torch.as_tensor(z).gather(1, engine._asked))
    found = estimate(engine.rounds)
    np.testing.assert_allclose(found.theta, engine.rounds[0].answers.mean(1), atol=1e-9)


def test_weights_are_those_of_the_sample_mean_for_equal_questions():
    rounds = [SimpleNamespace(n_open=100, asked=np.zeros((1, 10))), SimpleNamespace(n_open=90, asked=np.zeros((1, 30)))]
    a = weights(rounds)
    assert a.sum() == pytest.approx(1) and a[1] / a[0] == pytest.approx((30 / (90 * 60)) / (10 / (100 * 90)))


def test_the_interval_holds_nothing_that_the_answers_exclude():
    rng = np.random.default_rng(2)
    V = rng.normal(size=(40, 2))
    z = (rng.random((200, 40)) < 0.9).astype(float)
    engine = Rounds(FactorPredictor(Bank.of(V), Prior(np.zeros(2), np.eye(2)), 200), 200, 40)
    for size in schedule(36, 40):
        engine.ask_batch(torch.as_tensor(rng.random(200)), size)
        engine.answer_batch(torch.as_tensor(z).gather(1, engine._asked[:, -size:]))
    found = estimate(engine.rounds)
    right = sum(one.answers.sum(1) for one in engine.rounds)
    band = found.interval()
    assert (band.low >= right / 40 - 1e-12).all() and (band.high <= (right + 4) / 40 + 1e-12).all()


def test_several_budgets_at_once_are_what_each_is_alone():
    rng = np.random.default_rng(3)
    V, draws = rng.normal(size=(90, 3)), rng.random((4, 9))
    z = (rng.random((4, 90)) < 0.4).astype(np.float32)

    def made(budgets):
        engine = Rounds(FactorPredictor(Bank.of(V), Prior(np.zeros(3), np.eye(3)), 4), 4, 90)
        return evaluate_rounds(engine, budgets, 8, 1.5, draws, z)

    together = made([20, 50, 5, 90])
    for budget in (5, 20, 50, 90):
        alone, shared = made([budget]), together.first(budget)
        assert (alone.asked == shared.asked).all() and alone.asked.shape == (4, budget)
        np.testing.assert_array_equal(estimate(alone.rounds).se, estimate(shared.rounds).se)
    np.testing.assert_allclose(estimate(together.rounds).theta, z.mean(1), atol=1e-9)


def test_refuses_rounds_that_cannot_be():
    engine = Rounds(FactorPredictor(Bank.of(np.zeros((5, 1))), Prior(np.zeros(1), np.eye(1)), 1), 1, 5)
    with pytest.raises(InputError, match="a round of 6 questions: 5 are open"):
        engine.ask_batch(torch.zeros(1, dtype=torch.float64), 6)
    steps = engine.ask_batch(torch.zeros(1, dtype=torch.float64), 3)
    with pytest.raises(InputError, match="3 questions asked are not answered yet"):
        engine.ask_batch(torch.zeros(1, dtype=torch.float64), 1)
    with pytest.raises(InputError, match=r"an outcome outside \[0, 1\]"):
        engine.answer(steps[0], torch.tensor([1.5]))
    engine.answer(steps[0], torch.tensor([1.0]))
    with pytest.raises(InputError, match="step 0: no question of it is waiting"):
        engine.answer(steps[0], torch.tensor([1.0]))


def test_equal_predictions_are_put_in_a_fixed_order_that_is_not_the_files():
    """Whatever the machine's sorting does with equals: a file of period N/B would answer every draw alike."""
    engine = Rounds(FactorPredictor(Bank.of(np.zeros((800, 1))), Prior(np.zeros(1), np.eye(1)), 2), 2, 800,
                    strata=np.arange(800) % 2)
    key = torch.full((2, 800), 0.5)
    order = engine._order(key)
    assert (order == engine._order(key)).all() and (order[0] == order[1]).all()
    assert (order[0].sort().values == torch.arange(800)).all()
    even, odd = order[0, :400], order[0, 400:]
    assert (even % 2 == 0).all() and (odd % 2 == 1).all()  # stratum by stratum
    for half in (even, odd):
        assert abs(np.corrcoef(half.numpy(), np.arange(400))[0, 1]) < 0.2
    engine.ask_batch(torch.tensor([0.1, 0.7], dtype=torch.float64), 8)
    closed = engine.rounds[0].asked[0]
    assert set(engine._order(key)[0, -8:].tolist()) == set(closed.tolist())


@pytest.mark.parametrize("tau", [0, -0.1, 1.1])
def test_refuses_a_design_that_could_leave_questions_without_a_chance(tau):
    with pytest.raises(InputError, match="uniform share tau"):
        Rounds(FactorPredictor(Bank.of(np.zeros((5, 1))), Prior(np.zeros(1), np.eye(1)), 1), 1, 5, tau)


@pytest.mark.parametrize("strata", [None, 1, 7])
def test_whole_numbers_sort_as_the_floats_do(strata):
    rng = np.random.default_rng(11)
    kinds = None if strata is None else torch.as_tensor(rng.integers(0, strata, 300))
    values = torch.as_tensor(rng.choice([0.0, 1e-3, 0.25, 0.5, 1.0, *rng.random(40)], (5, 300)).astype(np.float32))
    is_open, mixed = torch.as_tensor(rng.random((5, 300)) < 0.7), torch.as_tensor(rng.permutation(300))
    key = values.double() if kinds is None else 2 * kinds + torch.where(kinds % 2 == 0, 1, -1) * values.double()
    slow = torch.where(is_open, key, torch.inf)[:, mixed].argsort(dim=1, stable=True)
    quick = Ranking.of(mixed, kinds).order(values, is_open)
    left = is_open.sum(1)
    for row in range(5):
        assert quick[row, : left[row]].tolist() == slow[row, : left[row]].tolist()
        assert sorted(quick[row].tolist()) == list(range(300))


def test_strata_that_do_not_fit_into_a_number_are_sorted_as_floats():
    assert Ranking.of(torch.arange(4), torch.tensor([0, 1, 2, 1 << 40])) is None
    assert Ranking.of(torch.arange(4), torch.tensor([0, 1, -1, 2])) is None


def test_budgets_that_share_their_rounds_are_those_asked_alone():
    rng = np.random.default_rng(12)
    V, scores, draws = rng.normal(size=(150, 3)), rng.integers(0, 2, (6, 150)).astype(np.float32), rng.random((6, 9))

    def asked(budgets):
        engine = Rounds(FactorPredictor(Bank.of(V), Prior(np.zeros(3), np.eye(3)), 6), 6, 150)
        return evaluate_rounds(engine, budgets, 8, 1.5, draws, scores).by_budget

    together = asked([9, 20, 21, 44, 60, 150])
    for budget, rounds in together.items():
        [alone] = asked([budget]).values()
        for one, other in zip(rounds, alone, strict=True):
            for here, there in zip(one, other, strict=True):
                assert np.array_equal(here, there)
