"""New questions like these: e-values of mean at most 1 by enumeration of banks and draws, levels by simulation."""

import sys
from itertools import product

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats
from test_few_answers import Forced, enumerated, tilted

from llm_accuracy import populations
from llm_accuracy.degradation.few_answers import curves, population
from llm_accuracy.degradation.few_answers.population import SHARES, Rounds, Totals, log_e, payoff
from llm_accuracy.degradation.few_answers.replay import Plan, least_questions, replay
from llm_accuracy.degradation.few_answers.run import Run, round_sizes
from llm_accuracy.degradation.verdicts import DEGRADED, NOT_DEGRADED

KINDS = ((1, 0), (1, 1), (0, 0), (0, -1))  # (x, d) of a question: right or wrong before, lost, gained or neither


def kinds():
    """{name: chances of KINDS}: least favourable flips (losses alone), both kinds, and many flips."""
    return {"losses alone": (0.5, 0.2, 0.3, 0.0), "both": (0.4, 0.3, 0.2, 0.1), "many": (0.1, 0.45, 0.15, 0.3)}


@pytest.mark.parametrize("name", kinds())
def test_over_all_banks_and_all_draws_the_mean_is_at_most_one(name):
    """Every bank of three questions, every order of three draws, where the drop is the margin itself, and where the
    mirror image is true with more; stopped at will: at the second draw if that says more than 1, else at the third."""
    chances = np.array(kinds()[name])
    drop = float(chances @ [d for _, d in KINDS])
    for margin, sign in ((drop, 1), (-drop - 0.05, -1)):
        whole = 0.0
        for bank in product(range(len(KINDS)), repeat=3):
            x, d = (np.array([KINDS[kind][part] for kind in bank], float) for part in (0, 1))
            run, chance = enumerated(x, x - d, tilted, 0.2, (2, 1))
            early = Run(run.known, run.curves, run.rows, Forced([[]]), 0.2)
            early.rounds = run.rounds[:1]
            stopped, last = (np.exp(log_e(Rounds(one), margin, sign)) for one in (early, run))
            value = np.where(stopped > 1, stopped, last)
            e = np.mean([np.exp(payoff(sign * d, margin, s).sum()) for s in SHARES])
            assert chance @ value <= e + 1e-9
            whole += chances[list(bank)].prod() * (chance @ value)
        assert whole <= 1 + 1e-9


def test_the_sum_is_estimated_without_bias_and_within_its_bounds():
    x, y = np.array([1, 1, 0, 0.25, 1.0]), np.array([0, 1, 1, 0.5, 1.0])
    run, chance = enumerated(x, y, tilted, 0.4)
    for sign in (1, -1):
        made = Totals(Rounds(run), 0.05, sign)
        for k, share in enumerate(SHARES):
            v = payoff(sign * (x - y), 0.05, share).sum()
            assert chance @ made.phi[k] == pytest.approx(v, abs=1e-12)
            assert (made.phi[k] >= made.low[k] - 1e-9).all() and (made.low[k] <= v + 1e-9).all()
            assert (made.least[k] <= v + 1e-9).all() and (made.most[k] >= v - 1e-9).all()


def test_the_search_for_the_least_finds_it_from_below():
    """Against a fine grid."""
    known = curves.Known(np.ones(60))
    run, rng = Run(known, curves.default_library(known), 3, np.random.default_rng(1)), np.random.default_rng(2)
    for size in (10, 20):
        run.ask(size)
        run.answer((rng.random((3, size)) < 0.1).astype(float))
    made = Totals(Rounds(run), 0.1, 1)
    owned = np.r_[np.full(3, population.LEADS / 3), np.full(4, (1 - population.NOTHING - population.LEADS) / 4)]
    start, bets, found = np.maximum(made.least, made.low.max(2)), made.bets(), made.log_s()
    w = start[:, :, None] + np.linspace(0, 1, 4001)[1:] * (made.most - start)[:, :, None]
    odds = (made.phi[:, :, None] - w[..., None]) / (w[..., None] - made.low[:, :, None])
    capital = population.NOTHING + sum(part * np.exp(np.log1p(one[:, :, None] * odds).sum(3))
                                       for part, one in zip(owned, bets, strict=True))
    least = (w + np.log(capital)).min(2)
    assert (found <= least + 1e-6).all() and (found >= least - populations.NEAR - 1e-3).all()


def drawn(n, place, drop, rng, rows):
    """(what is known of a bank of n questions, (rows, n) differences) of a population whose drop is `drop`."""
    x, margins = (rng.random(n) < 0.7).astype(float), rng.standard_exponential(n)
    lost = {"losses alone": np.full(n, drop / 0.7), "thin": 2 * (drop + 0.04) / 0.7 * (margins < np.log(2)),
            "a fifth": 5 * (drop + 0.04) / 0.7 * (np.arange(n) < n // 5)}[place]
    gained = 0.0 if place == "losses alone" else 0.04 / 0.3
    chance = rng.random((rows, n))
    return curves.Known(x, margins), (chance < x * lost).astype(float) - (chance > 1 - (1 - x) * gained)


@pytest.mark.parametrize("place", ["losses alone", "thin", "a fifth"])
def test_not_degraded_of_new_questions_is_said_at_most_at_alpha(place):
    """At the margin, up to the whole bank, looked at after every round: 240 runs on six banks at alpha .3 (binomial,
    1e-3). What is said of the bank is wrong of new questions more often than that."""
    rng, alpha, margin, wrong, of_bank = np.random.default_rng(5), 0.3, 0.05, 0, 0
    for _ in range(6):
        known, d = drawn(100, place, margin, rng, 40)
        run, said = Run(known, curves.default_library(known), 40, rng), np.zeros(40, bool)
        for size in round_sizes(100, 100, growth=1.6):
            run.answer(np.take_along_axis(d, run.ask(size), 1))
            said |= log_e(Rounds(run), margin) >= -np.log(alpha)
        wrong += int(said.sum())
        of_bank += int((d.mean(1) < margin).sum())
    assert stats.binom.sf(wrong - 1, 240, alpha) > 1e-3 and of_bank > 0.3 * 240


def test_limits_agree_with_verdicts_and_hold_together():
    """A candidate without flips and one that loses a third, every answer asked."""
    known = curves.Known((np.random.default_rng(0).random(200) < 0.8).astype(float))
    for lost, verdict in ((0.0, NOT_DEGRADED), (0.4, DEGRADED)):
        candidate = np.where(np.random.default_rng(1).random(200) < lost, 0.0, known.scores)
        found = {about: replay(known, candidate, curves.default_library(known),
                               Plan(200, False, 0.04, about=about)) for about in ("bank", "questions")}
        new = found["questions"]
        assert {one["verdict"] for one in found.values()} == {verdict}
        assert (new["drop_upper"] <= 0.04) == (verdict == NOT_DEGRADED) and (new["drop_lower"] >= 0) == (
            verdict == DEGRADED)
        assert new["bank_low"] == found["bank"]["ci_low"] and new["ci_low"] < new["bank_low"] + 1e-9
        assert new["ci_high"] > new["bank_high"] - 1e-9 and new["decided_after"] > found["bank"]["decided_after"]
        assert new["p_safe"] <= 0.05 or verdict == DEGRADED
    known = curves.Known(np.ones(100))
    assert least_questions(known, curves.default_library(known), Plan(100, True, 0.01, about="questions")) == np.inf


@pytest.mark.long
@pytest.mark.parametrize("cell", range(24))
def test_errors_of_the_benchmark_s_nulls(cell):
    """2,000 runs of every null of benchmarks/new_questions.py at alpha .05: binomial, 1e-3 a cell."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import new_questions as bench

    (n, margin), drop, place = list(product(bench.SIZES, (True, False), bench.PLACES))[cell]
    row = bench.null(place, n, margin, margin if drop else 0.0, 2000, 0)
    assert stats.binom.sf(round(row["new questions"] * row["runs"]) - 1, row["runs"], 0.05) > 1e-3
