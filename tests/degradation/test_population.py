"""New questions like these: e-values of mean at most 1 by enumeration of banks and draws, levels by simulation."""

from itertools import product

import numpy as np
import pytest
from test_few_answers import Forced, enumerated, tilted

from llm_accuracy import populations
from llm_accuracy.degradation.few_answers import curves, population
from llm_accuracy.degradation.few_answers.population import SHARES, Rounds, Totals, log_e, payoff
from llm_accuracy.degradation.few_answers.run import Run

KINDS = ((1, 0), (1, 1), (0, 0), (0, -1))  # (x, d) of a question: right or wrong before, lost, gained or neither


def kinds():
    """{name: chances of KINDS}: least favourable flips (losses alone), both kinds, and many flips."""
    return {"losses alone": (0.5, 0.2, 0.3, 0.0), "both": (0.4, 0.3, 0.2, 0.1), "many": (0.1, 0.45, 0.15, 0.3)}


@pytest.mark.parametrize("name", kinds())
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_over_all_banks_and_all_draws_the_mean_is_at_most_one(name, share):
    """Every bank of three questions, every order of two or three draws, at the margin itself and where H0 is true with
    more; stopped at will: at the second draw if that says more than 1, else at the third."""
    chances = np.array(kinds()[name])
    drop = float(chances @ [d for _, d in KINDS])
    for margin, sign in ((drop, 1), (drop - 0.05, 1), (-drop, -1)):
        whole = 0.0
        for bank in product(range(len(KINDS)), repeat=3):
            x, d = (np.array([KINDS[kind][part] for kind in bank], float) for part in (0, 1))
            run, chance = enumerated(x, x - d, tilted, share, (2, 1))
            early = Run(run.known, run.curves, run.rows, Forced([]), share)
            early.rounds = run.rounds[:1]
            stopped, last = (np.exp(log_e(Rounds(one), margin, sign)) for one in (early, run))
            value = np.where(stopped > 1, stopped, last)
            e = np.mean([np.exp(payoff(sign * d, margin, s).sum()) for s in SHARES])
            assert chance @ value <= e + 1e-9
            whole += chances[list(bank)].prod() * (chance @ value)
        assert whole <= 1 + 1e-9


def test_the_sum_is_estimated_without_bias_and_within_its_bounds():
    x, y = np.array([1, 1, 0, 0, 1.0]), np.array([0, 1, 1, 0, 1.0])
    run, chance = enumerated(x, y, tilted, 0.4)
    for sign in (1, -1):
        made = Totals(Rounds(run), 0.05, 0.5, sign)
        v = payoff(sign * (x - y), 0.05, 0.5).sum()
        assert chance @ made.phi == pytest.approx(v, abs=1e-12)
        assert (made.phi >= made.low - 1e-9).all() and (made.low <= v + 1e-9).all()
        assert (made.least <= v + 1e-9).all() and (made.most >= v - 1e-9).all()


def test_the_search_for_the_least_finds_it_from_below():
    """Against a fine grid."""
    known = curves.Known(np.ones(60))
    run = Run(known, curves.default_library(known), 3, np.random.default_rng(1))
    for size in (10, 20):
        run.answer((np.random.default_rng(2).random((3, 60)) < 0.1).astype(float)[:, :size] + 0 * run.ask(size))
    for share in SHARES:
        made = Totals(Rounds(run), 0.1, share, 1)
        owned = np.r_[np.full(3, population.LEADS / 3), np.full(4, (1 - population.NOTHING - population.LEADS) / 4)]
        grid = np.linspace(0, 1, 4001)[1:]
        bets, low = made.bets(), np.maximum(made.least, made.low.max(1))
        w = low[:, None] + grid * (made.most - low)[:, None]
        odds = (made.phi[:, None] - w[:, :, None]) / (w[:, :, None] - made.low[:, None])
        capital = np.exp(np.log1p(bets[:, :, None] * odds).sum(3)) * owned[:, None, None]
        least = (w + np.log(capital.sum(0) + population.NOTHING)).min(1)
        found = made.log_s()
        assert (found <= least + 1e-6).all() and (found >= least - populations.NEAR - 1e-3).all()
