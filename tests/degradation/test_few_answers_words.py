"""Few answers: what is said never goes beyond what holds, nor against what all answers show."""

import json

import numpy as np
import pytest

from llm_accuracy.degradation.few_answers import bank as banks
from llm_accuracy.degradation.few_answers import betting, curves
from llm_accuracy.degradation.few_answers.replay import Plan, begun, least_questions, lines, replay, sizes
from llm_accuracy.degradation.margins import Margin
from llm_accuracy.degradation.verdicts import DEGRADED, NOT_DEGRADED, UNDECIDED
from llm_accuracy.degradation.words import p_at_most, sure
from llm_accuracy.errors import InputError
from llm_accuracy.outward import at_least, at_most


def whole(x, candidate, margin, alpha=0.45, seed=0):
    """A run that asks everything."""
    known = curves.Known(x)
    return replay(known, candidate, curves.default_library(known), Plan(x.size, False, margin, alpha, seed=seed))


def told(found, least, drop):
    """The lines, as one."""
    return " ".join(" ".join(lines(found, least, drop)).split())


def test_where_all_is_asked_the_verdict_is_the_truth():
    """120 tiny banks at an error rate that lets many early verdicts be wrong; the drop may be the margin itself."""
    rng = np.random.default_rng(0)
    for seed in range(120):
        n = int(rng.integers(3, 25))
        x, candidate = ((rng.random(n) < rate).astype(float) for rate in (0.6, 0.5))
        drop = round(float((x - candidate).sum())) / n
        margin = drop if 0 < drop < 0.5 and seed % 2 else 0.1
        found = whole(x, candidate, margin, seed=seed)
        safe = drop < margin - 1e-9
        assert found["verdict"] == (DEGRADED if drop > 0 else NOT_DEGRADED if safe else UNDECIDED)
        assert found["within_margin"] == safe and (found["p_safe"] == 0) == safe
        assert (found["p_worse"] == 0) == (drop > 0) and (found["p_worse"] == 1) == (drop <= 0)
        assert found["drop_lower"] == pytest.approx(drop) == found["drop_upper"]
        assert (found["decided_after"] is None) == (found["verdict"] == UNDECIDED)


def test_what_is_ruled_out_by_the_answers_has_no_p_value_of_0():
    said = told(whole(np.ones(9), np.ones(9), 0.1), 1, 0.0)
    assert 'ruled out by the answers themselves against "the drop is 10 points or more"' in said and "p = 0" not in said


def test_flips_not_seen_are_counted_however_small_they_are():
    """A baseline of four runs; a candidate that answers every question as often or one run worse."""
    rng, n, over = np.random.default_rng(2), 60, 0
    x = np.full(n, 0.75)
    known, d = curves.Known(x, runs=4), 0.25 * (rng.random(n) < 0.3)
    for seed in range(60):
        plan = Plan(40, False, 0.02, seed=seed)
        run = begun(known, curves.default_library(known), plan)
        for size in sizes(plan, n):
            run.answer(d[run.ask(size)])
        over += (d > 0).sum() - (run.column("d") > 0).sum() > betting.most_unseen(run, 0.05, 40)[0]
    assert over <= 9  # binomial, 1e-3


def test_what_fewer_questions_than_the_least_have_decided_is_not_called_impossible():
    """A candidate that gains so much that it is soon known not to be worse."""
    x, rng = (np.random.default_rng(2).random(400) < 0.3).astype(float), np.random.default_rng(3)
    known = curves.Known(x)
    library, plan = curves.default_library(known), Plan(200, True, 0.02)
    least = least_questions(known, library, plan)
    found = replay(known, np.maximum(x, rng.random(400) < 0.5), library, plan)
    assert found["verdict"] == NOT_DEGRADED and found["asked"] < least
    assert "too few" not in told(found, least, None)
    few = Plan(20, True, 0.02)
    said = told(replay(known, x, library, few), least, None)
    assert 'questions are too few to say "not degraded" without a single flip' in said


def test_limits_are_rounded_outward_and_margins_are_said_as_they_were_tested():
    assert [at_least(one) for one in (1.239, -1.231, 0.0, 7.000000001, 6.999999999)] == [
        "1.23",
        "-1.24",
        "0.00",
        "7.00",
        "7.00",
    ]
    assert [at_most(one, 1) for one in (1.21, -1.29, -0.01, 7.000000001)] == ["1.3", "-1.2", "0.0", "7.0"]
    found = whole(np.ones(300), np.r_[np.zeros(2), np.ones(298)], 0.012345)
    said = told(found, 1, None)
    assert "interval 0.6666 to 0.6667" in said and "at least 0.6666, at most 0.6667 points" in said
    assert "1.2345 points" in said


def test_a_recovery_is_of_a_score_that_can_be_lost():
    recovery = Margin.parse("recovery=99%")
    assert banks.margin_of(recovery, np.array([1.0, 1, 0])) == 0.00666
    assert banks.margin_of(Margin.parse("1pt"), np.zeros(2), False) == 0.01
    for scores, higher, said in (([0, 0], True, "nothing can be lost"), ([1, 0], False, "lower scores are better")):
        with pytest.raises(InputError, match=said):
            banks.margin_of(recovery, np.array(scores, float), higher)


def test_a_choice_without_any_likelihood_has_an_infinite_margin():
    known = curves.Known(np.array([1.0, 0, 1, 1, 0]), np.array([np.inf, 1, 2, np.inf, np.inf]))
    pair = curves.Pair(known, np.array([0.0, 0, 1, 1, 1]))
    for library in (curves.default_library(known), curves.fitted_library(known, [pair])):
        assert np.isfinite(library.down).all() and np.isfinite(library.up).all()
        assert json.dumps(library.names)


def test_what_may_just_reach_the_null_does_not_rule_it_out():
    """The most that a draw could be lies above m by less than rounding, the draw itself farther below: H0 may be true.
    Where the draw could not reach m, it is false."""
    one = np.array([[0.5]])
    draws = betting.Draws(one - 4.8e-10, one - 0.2, one + 9.6e-11, one, one, one - 1, one + 1)
    bets = np.array([[0.5]])
    assert betting.log_capital(draws, 0.5, bets).item() <= 1e-9
    assert betting.log_capital(draws, 0.6, bets).item() > 10


def test_p_values_and_levels_are_never_shown_better_than_they_are():
    assert (p_at_most(0.05004), p_at_most(0.05), p_at_most(0.000500411)) == ("0.0501", "0.0500", "5.01e-04")
    assert (p_at_most(0.2), p_at_most(1.0), p_at_most(1e-304)) == ("0.200", "1.000", "1.00e-304")
    rng = np.random.default_rng(0)
    assert all(float(p_at_most(p)) >= p * (1 - 1e-9) for p in 10 ** rng.uniform(-6, 0, 500))
    assert (sure(0.05), sure(0.3), sure(1e-7)) == ("95%", "70%", "99.99999%")


def test_lines_agree_with_the_verdict_they_explain():
    """100 runs at a margin of 1.0037 points: the limit is shown as the margin at most just where it is excluded."""
    known, seen = curves.Known(np.ones(150)), set()
    for seed in range(100):
        plan = Plan(80 + seed % 70, False, 0.010037, 0.05, seed=seed)
        found = replay(known, known.scores, curves.default_library(known), plan)
        said = told(found, 0, None)
        upper = float(said.split("at most ")[1].split()[0])
        assert (upper <= 1.0037) == found["within_margin"] == ("NOT DEGRADED by 1.0037 points" in said)
        assert upper >= 100 * found["drop_upper"] - 1e-6
        seen.add(found["within_margin"])
    assert seen == {True, False}
