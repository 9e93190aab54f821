"""Few answers: unbiased and at level by enumeration of every order of draws on tiny banks, and by simulation."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from llm_accuracy.degradation.few_answers import betting, curves, simple_random, simulation
from llm_accuracy.degradation.few_answers.estimate import estimate, weights
from llm_accuracy.degradation.few_answers.run import Run, round_sizes
from llm_accuracy.errors import InputError

SIZES = (2, 1, 1)  # rounds of the enumerated runs


class Forced:
    """A generator whose races put given questions first, row by row; later ones by chance."""

    def __init__(self, orders):
        self.orders, self.first = np.array(orders), 0

    def standard_exponential(self, shape):
        race = np.full(shape, 1e9)
        for place in range(self.first, self.orders.shape[1]):
            race[np.arange(shape[0]), self.orders[:, place]] = (1 + place) * 1e-6
        return _Race(race)


class _Race(np.ndarray):
    """Keys that stay what they are when divided by the weights; questions asked before are last."""

    def __new__(cls, race):
        return np.asarray(race).view(cls)

    def __truediv__(self, w):
        return np.where(np.asarray(w) > 0, np.asarray(self), np.inf)


def enumerated(x, candidate, library, share=0.4, sizes=SIZES):
    """(run with one row for each order of draws, probability of each order)."""
    orders = list(permutations(range(x.size), sum(sizes)))
    generator = Forced(orders)
    run = Run(curves.Known(x), library(curves.Known(x)), len(orders), generator, share)
    for size in sizes:
        run.answer((x - candidate)[run.ask(size)])
        generator.first += size
    assert (np.concatenate([one.asked for one in run.rounds], 1) == np.array(orders)).all()
    return run, run.column("q").prod(1)


def tilted(known):
    """A library that is sure of the wrong things."""
    ramp = np.linspace(0.01, 0.9, known.size)
    return curves.Curves.of([("up the file", ramp, ramp[::-1], 1.0), ("down the file", ramp[::-1] ** 2, ramp, 2.0)])


BANKS = [(np.array(x, float), np.array(y, float)) for x, y in (
    ((1, 1, 0, 0, 1), (0, 1, 1, 0, 1)), ((1, 1, 1, 1, 1), (0, 0, 1, 1, 1)), ((0, 0, 0, 1, 0), (1, 0, 0, 0, 0)),
    ((0.5, 1, 0.25, 0, 1), (0.75, 0.25, 0, 1, 1)))]


@pytest.mark.parametrize(("x", "y"), BANKS)
@pytest.mark.parametrize("library", [tilted, curves.default_library])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_every_order_of_draws_together_is_unbiased(x, y, library, share):
    run, chance = enumerated(x, y, library, share)
    assert chance.sum() == pytest.approx(1, abs=1e-12)
    assert chance @ run.column("phi") / x.size == pytest.approx((x - y).mean(), abs=1e-12)
    assert chance @ estimate(run).drop == pytest.approx((x - y).mean(), abs=1e-12)


@pytest.mark.parametrize(("x", "y"), BANKS)
@pytest.mark.parametrize("library", [tilted, curves.default_library])
def test_capitals_are_martingales_at_their_null(x, y, library):
    """Exactly 1 in the mean at D = m, at most 1 where the null holds with D beyond it; both directions."""
    run, chance = enumerated(x, y, library)
    draws, drop = betting.Draws.of(run), (x - y).mean()
    sure = betting.Draws(*(getattr(draws, name) for name in ("y", "low", "high", "mean", "variance")),
                         np.full_like(draws.y, -np.inf), np.full_like(draws.y, np.inf))
    for view, null in ((sure, drop), (sure.mirrored(), -drop)):
        assert (view.y <= view.high + 1e-12).all() and (view.y >= view.low - 1e-12).all()
        bets = betting.planned_bets(view, 0.05, 4)
        capital = np.exp(betting.log_capital(view, null, bets))
        assert chance @ capital == pytest.approx(np.ones(4), abs=1e-9)
        assert (chance @ np.exp(betting.log_capital(view, null - 0.05, bets)) <= 1 + 1e-9).all()


@pytest.mark.parametrize("step", [1e-7, 1e-9, 1e-10, 1e-11, 0.0])
def test_capitals_are_martingales_where_phi_hardly_varies(step):
    """Questions so nearly alike that φ/N moves by 1e-10, at a drop of 0 that cannot be exceeded downwards: what a bet
    may lose is as small as the rounding, and nothing is excluded for certain."""
    x, y = np.ones(5), np.ones(5)
    for lost in (0, 1):
        y[0] = 1 - lost
        run, chance = enumerated(x, y, lambda known: curves.Curves.of(
            [("nearly alike", 0.1 + step * np.arange(5), np.full(5, 0.1), 1.0)]))
        draws, drop = betting.Draws.of(run), lost / 5
        mirror = draws.mirrored()
        capital = np.exp(betting.log_capital(mirror, -drop, betting.for_worse(mirror, 0.1)))
        assert (chance @ capital <= 1 + 1e-6).all(), step
        assert (chance @ np.exp(betting.log_capital(draws, drop, betting.against(draws, 0.1))) <= 1 + 1e-6).all()


@pytest.mark.parametrize(("x", "y"), BANKS)
@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.4])
def test_exact_intervals_cover_by_enumeration(x, y, alpha):
    run, chance = enumerated(x, y, tilted)
    draws, drop = betting.Draws.of(run), (x - y).mean()
    low, high = betting.exact_interval(draws, alpha, 4)
    assert chance @ ((low <= drop + 1e-9) & (drop <= high + 1e-9)) >= 1 - alpha - 1e-12
    out = betting.excludes(draws, drop, alpha, 4)
    assert (out == ((drop < low - 1e-9) | (drop > high + 1e-9))).all()
    unseen = np.abs(x - y).sum() - np.abs(run.column("d")).sum(1)
    assert chance @ (betting.most_unseen(run, alpha, 4) >= np.floor(unseen)) >= 1 - alpha - 1e-12


def test_all_asked_is_the_drop_itself():
    x, y = BANKS[0]
    run = Run(curves.Known(x), curves.default_library(curves.Known(x)), 3, np.random.default_rng(0))
    for size in (2, 3):
        run.answer((x - y)[run.ask(size)])
    found = estimate(run)
    assert found.drop == pytest.approx((x - y).mean()) and (found.se == 0).all()
    low, high = betting.exact_interval(betting.Draws.of(run), 0.05, 5)
    assert low == pytest.approx((x - y).mean()) and high == pytest.approx((x - y).mean())
    assert weights(5, 5).tolist() == [0, 0, 0, 0, 1]


def bank(n=600, seed=0):
    rng = np.random.default_rng(seed)
    margins = rng.gamma(1.5, 3, n)
    return curves.Known((rng.random(n) < 0.5 + 0.4 * np.tanh(margins / 4)).astype(float), margins)


def at_most(hits, runs, level):
    """Whether so many hits are no sign of a rate above `level`, at an error of 1e-3."""
    return stats.binom.sf(hits - 1, runs, level) > 1e-3


@pytest.mark.parametrize("where", [simulation.THIN, simulation.EVEN, simulation.THICK])
@pytest.mark.parametrize(("flip", "drop"), [(0.02, 0.02), (0.06, 0.02), (0.15, 0.02)])
def test_safe_is_said_of_a_drop_at_the_margin_at_most_at_alpha(where, flip, drop):
    known, rows = bank(), 300
    candidate = simulation.candidate_like(known, flip, drop, np.random.default_rng(1), where)
    truth = float((known.scores - candidate).mean())
    found = simulation.decisions(known, candidate, curves.default_library(known), rows, margin=truth, most=400)
    assert at_most(np.isfinite(found.safe).sum(), rows, 0.05)


@pytest.mark.parametrize("where", [simulation.THIN, simulation.EVEN, simulation.THICK])
def test_worse_is_said_of_no_drop_at_most_at_alpha(where):
    known, rows = bank(), 300
    candidate = simulation.candidate_like(known, 0.08, 0, np.random.default_rng(2), where)
    found = simulation.decisions(known, candidate, curves.default_library(known), rows, margin=0.02, most=400)
    assert at_most(np.isfinite(found.worse).sum(), rows, 0.05)


def test_both_verdicts_are_reached_when_they_are_true():
    known = bank(1500)
    rng = np.random.default_rng(3)
    fine = simulation.candidate_like(known, 0.01, 0, rng, simulation.THIN)
    bad = simulation.candidate_like(known, 0.2, 0.1, rng, simulation.THIN)
    library = curves.default_library(known)
    assert np.isfinite(simulation.decisions(known, fine, library, 40, margin=0.02, most=700).safe).mean() > 0.8
    assert np.isfinite(simulation.decisions(known, bad, library, 40, margin=0.02, most=700).worse).mean() > 0.8


def test_choosing_pays_where_thin_margins_flip_and_costs_little_where_they_do_not():
    known, rows, asked = bank(1500), 300, 200
    rng = np.random.default_rng(4)
    gains = {}
    for where in (simulation.THIN, simulation.EVEN):
        d = known.scores - simulation.candidate_like(known, 0.02, 0, rng, where)
        run = Run(known, curves.default_library(known), rows, np.random.default_rng(5))
        for size in round_sizes(asked, known.size):
            run.answer(d[run.ask(size)])
        srs = (1 - asked / known.size) * d.var(ddof=1) / asked
        gains[where] = srs / ((estimate(run).drop - d.mean()) ** 2).mean()
    assert gains[simulation.THIN] > 1.5 and gains[simulation.EVEN] > 0.6


def test_a_fitted_curve_that_is_too_rough_yields():
    """Learned on a candidate with twenty times the flips, used on a gentle one: no worse than sampling at random."""
    known, rows, asked = bank(1500), 300, 200
    rng = np.random.default_rng(6)
    rough = curves.Pair(known, simulation.candidate_like(known, 0.3, 0.05, rng, simulation.EVEN))
    d = known.scores - simulation.candidate_like(known, 0.015, 0, rng, simulation.THIN)
    run = Run(known, curves.fitted_library(known, [rough]), rows, np.random.default_rng(7))
    for size in round_sizes(asked, known.size):
        run.answer(d[run.ask(size)])
    srs = (1 - asked / known.size) * d.var(ddof=1) / asked
    assert srs / ((estimate(run).drop - d.mean()) ** 2).mean() > 0.9


def test_a_candidate_that_hardly_flips_is_not_drowned_by_what_rough_curves_expect():
    """One question lost and two gained of 500, no margins, 25 asked: 600 runs lose at most a quarter of simple random
    sampling's worth. With the plain mean of the curves as p they lost half."""
    x = (np.arange(500) < 340).astype(float)
    known, d = curves.Known(x), np.zeros(500)
    d[5], d[400:402] = 1, -1
    run = Run(known, curves.default_library(known), 600, np.random.default_rng(3))
    for size in round_sizes(25, known.size):
        run.answer(d[run.ask(size)])
    srs = (1 - 25 / known.size) * d.var(ddof=1) / 25
    assert srs / ((estimate(run).drop - d.mean()) ** 2).mean() > 0.75


def test_simple_random_sampling_is_at_level_by_enumeration():
    """Every bank of 40 questions with a drop of exactly the margin, every outcome of 20 and 36 asked."""
    margin, n_questions = 0.1, 40
    for n, alpha in product((20, 36), (0.05, 0.2)):
        design = simple_random.Sampled(n_questions, n, margin)
        for gained in (0, 1, 2, 4, 8, 16):
            assert design.power(gained + 4, gained, alpha) <= alpha + 1e-9
            assert design.power(gained + 6, gained, alpha) <= alpha + 1e-9  # nor a larger drop
    assert simple_random.Sampled(n_questions, 36, margin).power(0, 0, 0.05) > 0.99


def test_outcomes_of_a_sample_hold_all_the_chance():
    for n_questions, lost, gained, n in ((40, 7, 3, 20), (12032, 54, 54, 700), (2680, 300, 270, 1300), (10, 0, 0, 3)):
        _, chances, seen = simple_random.Sampled(n_questions, n, 0.1).cells(lost, gained)
        assert chances.sum() == pytest.approx(1, abs=1e-9)
        assert chances @ seen == pytest.approx(n * (lost + gained) / n_questions, rel=1e-7)


def test_rounds_add_up():
    for budget in (1, 5, 8, 67, 670, 2680):
        assert sum(round_sizes(budget, 2680)) == budget
    assert sum(round_sizes(5000, 2680)) == 2680


@pytest.mark.parametrize(("make", "said"), [
    (lambda: curves.Known(np.array([0.0, 1.2])), "between 0 and 1"),
    (lambda: curves.Known(np.array([0.0, np.nan])), "none missing"),
    (lambda: curves.Known(np.array([])), "no questions"),
    (lambda: curves.Known(np.array([0.0, 1.0]), margins=np.array([1.0])), "1 margins for 2 questions"),
    (lambda: curves.noise_curves(curves.Known(np.array([0.0, 1.0]), np.full(2, np.nan))), "no log-likelihoods"),
    (lambda: curves.fitted_library(bank(), []), "no pair"),
    (lambda: Run(bank(), curves.default_library(bank()), 1, np.random.default_rng(0), share=0), "uniform share"),
    (lambda: Run(bank(), curves.default_library(bank()), 1, np.random.default_rng(0)).ask(601), "600 are open"),
    (lambda: simulation.candidate_like(bank(), 1.0, 0.9, np.random.default_rng(0)), "cannot flip"),
])
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_an_impossible_difference_is_refused_and_nothing_is_learned():
    known = curves.Known(np.array([1.0, 1.0, 0.0]))
    run = Run(known, curves.default_library(known), 1, np.random.default_rng(0))
    run.ask(3)
    with pytest.raises(InputError, match="rules out"):
        run.answer(np.array([[-1.0, -1.0, 1.0]]))
    with pytest.raises(InputError, match="not answered"):
        run.ask(1)


def test_the_baseline_s_own_reruns_say_what_flips_by_itself():
    """Four runs of a baseline, a tenth of whose answers are coin tosses; the candidate is a further run. Known reruns
    find what flips, and more than halve the squared error; the interval covers."""
    rng, n, rows, budget = np.random.default_rng(4), 500, 60, 100
    often = np.where(rng.random(n) < 0.1, 0.5, (rng.random(n) < 0.7).astype(float))
    scores = rng.binomial(4, often) / 4
    d = scores - rng.binomial(1, often)
    squares, asked = {}, {}
    for runs in (1, 4):
        known = curves.Known(scores, runs=runs)
        run = Run(known, curves.default_library(known), rows, np.random.default_rng(0))
        for size in round_sizes(budget, n):
            run.answer(d[run.ask(size)])
        squares[runs] = ((estimate(run).drop - d.mean()) ** 2).mean()
        asked[runs] = np.isin(run.column("asked").astype(int), np.flatnonzero((scores > 0) & (scores < 1))).mean()
        assert betting.excludes(betting.Draws.of(run), d.mean(), 0.05, budget).mean() <= 0.15
    assert asked[4] > 1.5 * asked[1] and squares[4] < 0.6 * squares[1], (asked, squares)


def test_an_earlier_candidate_that_was_rough_does_not_mislead():
    """Learned where a third of the answers flips, used where one in three hundred does: after 5 % the squared error is
    1/2.6 of a random sample's all the same (1/1.2 where the pair's curves weigh .6 beforehand)."""
    rng, n, rows, budget = np.random.default_rng(11), 2000, 150, 100
    margins = rng.normal(size=n) + 0.6
    known = curves.Known((margins > 0).astype(float), np.abs(margins))
    rough, gentle = ((margins + size * rng.normal(size=n) > 0).astype(float) for size in (2.0, 0.015))
    d = known.scores - gentle
    library = curves.fitted_library(known, [curves.Pair(known, rough)])
    run = Run(known, library, rows, np.random.default_rng(0))
    for size in round_sizes(budget, n):
        run.answer(d[run.ask(size)])
    by_chance = (1 - budget / n) * d.var(ddof=1) / budget
    assert by_chance > 2 * ((estimate(run).drop - d.mean()) ** 2).mean()


def test_a_threshold_gate_passes_what_a_simulation_says():
    """Of 200 questions 12 lost and 5 gained, 60 random ones asked: 4,000 samples, to four standard errors."""
    d = np.r_[np.ones(12), -np.ones(5), np.zeros(183)]
    rng = np.random.default_rng(0)
    seen = np.mean([rng.permutation(d)[:60].mean() < 0.02 - 1e-12 for _ in range(4000)])
    exact = simple_random.threshold_passes(200, 60, 12, 5, 0.02)
    assert abs(seen - exact) < 4 * np.sqrt(exact * (1 - exact) / 4000)
    assert simple_random.threshold_passes(200, 200, 12, 5, 0.02) == 0
