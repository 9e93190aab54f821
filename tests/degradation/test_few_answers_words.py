"""What a run of few answers says of itself: the end of the bank, counts of flips, limits as they are printed."""

import numpy as np
import pytest
from scipy import stats

from llm_accuracy.degradation.few_answers import betting, curves, replay
from llm_accuracy.degradation.few_answers.run import Run, round_sizes
from llm_accuracy.degradation.margins import three_digits
from llm_accuracy.degradation.verdicts import DEGRADED
from llm_accuracy.degradation.words import level, outward, p_at_most


def bank(n=30, seed=0):
    rng = np.random.default_rng(seed)
    return curves.Known(np.ones(n), rng.gamma(1.5, 3, n))


def worse(known, lost):
    """Loses the questions with the thickest margins, which no curve expects."""
    assert known.margins is not None
    candidate = known.scores.copy()
    candidate[np.argsort(-known.margins)[:lost]] = 0
    return candidate


def test_once_all_is_asked_the_verdict_is_the_truth():
    """Drops of just the margin, at alpha .3, on the seeds of 60 at which a bet had rejected that on the way."""
    refuted = 0
    for seed in range(60):
        known = bank(seed=seed)
        d = known.scores - worse(known, 3)
        plan = replay.Plan(30, False, 0.1, 0.3, seed=seed)
        run, was_safe, now = replay.begun(known, curves.default_library(known), plan), False, None
        decided = None
        for size in replay.sizes(plan, 30):
            run.answer(d[run.ask(size)])
            now = replay.judged(run, plan, now)
            was_safe |= now.is_safe
            decided = replay.decided_after(run, now, decided)
        assert now.verdict == DEGRADED and not now.is_safe and now.limits == pytest.approx((0.1, 0.1))
        assert replay.found_by(run, run.curves, plan, now, decided)["p_safe"] == 1
        refuted += was_safe
    assert refuted > 0


def test_what_answers_refute_is_no_longer_decided():
    """The same where no question is worse and, on the way, "0 or less" was rejected: undecided of no drop at all."""
    known = curves.Known(np.r_[np.ones(20), np.zeros(20)])
    refuted = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        d = np.zeros(40)
        d[rng.choice(20, 5, replace=False)], d[20 + rng.choice(20, 5, replace=False)] = 1, -1
        found = replay.replay(known, known.scores - d, curves.default_library(known),
                              replay.Plan(40, False, 0.02, 0.4, seed=seed))
        assert found["verdict"] != DEGRADED and found["p_worse"] == 1
        early = replay.replay(known, known.scores - d, curves.default_library(known),
                              replay.Plan(40, True, 0.02, 0.4, seed=seed))
        refuted += early["verdict"] == DEGRADED
    assert refuted > 0


def test_partial_credit_flips_are_counted_whole():
    """Every answer loses a twentieth: the sum of |d| is small, the count of flips is not. 200 runs, binomial, 1e-3."""
    known = bank(40)
    d = np.full(40, 0.05)
    run = Run(known, curves.default_library(known), 200, np.random.default_rng(0))
    for size in round_sizes(20, 40):
        run.answer(d[run.ask(size)])
    wrong = int((betting.most_unseen(run, 0.05, 20) < 20).sum())
    assert stats.binom.sf(wrong - 1, 200, 0.05) > 1e-3


@pytest.mark.parametrize("share", [0.2, 0.8, 1.0])
def test_infinite_margins_are_the_thickest(share):
    known = bank(60)
    assert known.margins is not None
    margins = np.where(np.arange(60) < share * 60, np.inf, known.margins)
    here = curves.Known(known.scores, margins)
    library = curves.fitted_library(here, [curves.Pair(here, worse(known, 6))])
    assert np.isfinite(library.down).all() and np.isfinite(library.up).all()
    if share < 1:
        down = curves.noise_curves(here).down
        assert (down[:, 0] <= down[:, -1]).all() and (down[:, 0] < down[:, -1]).any()


def test_printed_limits_claim_no_more_than_holds():
    assert [outward(1.0004, up) for up in (True, False)] == ["1.01", "1.00"]
    assert [outward(-4.4999, up) for up in (True, False)] == ["-4.49", "-4.50"]
    assert outward(1 + 1e-12, True) == "1.00" and outward(-0.001, True) == "0.00"
    assert (p_at_most(0.05004), p_at_most(0.05), p_at_most(0.000500411)) == ("0.0501", "0.0500", "5.01e-04")
    assert p_at_most(1e-310) == "1.00e-310" and "no room" in p_at_most(0)
    assert (level(0.05), level(0.3), level(1e-7)) == ("95%", "70%", "99.99999%")
    assert three_digits(0.0098765) == 0.00987 and three_digits(0.08) == 0.08


def test_lines_agree_with_the_verdict_they_explain():
    """100 runs at a margin of 1.0037 points: what is printed as the limit is the margin at most just where it is
    safe, and nothing is called unlikely that has been said."""
    known, seen = curves.Known(np.ones(150)), set()
    for seed in range(100):
        plan = replay.Plan(80 + seed % 70, False, 0.010037, 0.05, seed=seed)
        found = replay.replay(known, known.scores, curves.default_library(known), plan)
        lines = replay.lines(found, 1000, None)
        upper = float(lines[2].split("at most ")[1].split()[0])
        assert (upper <= 1.0037) == found["within_margin"] and upper >= 100 * found["drop_upper"] - 1e-6
        assert ("NOT DEGRADED by 1.0037 points" in lines[0]) == found["within_margin"]
        assert any("to be expected" in line for line in lines) != found["within_margin"]
        seen.add(found["within_margin"])
    assert seen == {True, False}
