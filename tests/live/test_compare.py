"""`compare`: differences, verdicts and ranks of runs that were each asked few questions."""

import json
import math
import sys

import numpy as np
import pytest
from scipy import stats
from test_evaluate import GRADER

from llm_accuracy.errors import InputError
from llm_accuracy.live import command, compare, compare_command
from llm_accuracy.live.compare import Side

N = 200


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs good, alike and bad by budget, watched (good again), paired (bad against good's answers), begun."""
    folder, rng = tmp_path_factory.mktemp("compare"), np.random.default_rng(5)
    names = [f"q{i}" for i in range(N)]
    (folder / "bank.csv").write_text("question\n" + "\n".join(names) + "\n")
    for name, rate in (("good", 0.8), ("alike", 0.79), ("bad", 0.3)):
        right = (rng.random(N) < rate).astype(int).tolist()
        (folder / f"{name}.json").write_text(json.dumps(dict(zip(names, right, strict=True))))
        (folder / f"{name}.py").write_text(GRADER.format(answers=str(folder / f"{name}.json")))
        (folder / f"{name}.csv").write_text("prompt_id,score\n" + "".join(
            f"{q},{z}\n" for q, z in zip(names, right, strict=True)))

    def begin(run, model, *words):
        asked = ("--files",) if model is None else ("--command", f"{sys.executable} {folder / model}.py")
        command.main([str(folder / run), *words, *asked])

    plain = ("--history", "none", "--questions", str(folder / "bank.csv"))
    for name in ("good", "alike", "bad"):
        begin(name, name, *plain, "--budget", "80")
    begin("watched", "good", *plain, "--half-width", "20pt")
    begin("paired", "bad", "--baseline", str(folder / "good.csv"), "--model", "paired")
    begin("begun", None, *plain, "--budget", "100")
    return folder


def compared(runs, *names, **more):
    return compare.compared([runs / name for name in names], more.get("margin", 0.01), more.get("alpha", 0.05))


def test_two_runs(runs, capsys):
    found = compared(runs, "good", "bad")
    [one] = found["differences"]
    halves = [(run["high"] - run["low"]) / 2 for run in found["runs"]]
    assert one["high"] - one["low"] == pytest.approx(2 * math.hypot(*halves), rel=0.05)
    assert one["difference"] == found["runs"][0]["estimate"] - found["runs"][1]["estimate"]
    assert found["verdicts"][0]["verdict"] == "degraded"
    words = ["compare", str(runs / "good"), str(runs / "bad"), "--fail-on", "degraded"]
    assert compare_command.main(words) == 1 and "DEGRADED" in capsys.readouterr().out
    capsys.readouterr()
    assert compare_command.main(["compare", str(runs / "bad"), str(runs / "good"), "--margin", "30pt", "--fail-on",
                                 "not-shown-safe", "--json", "-"]) == 0
    verdict = json.loads(capsys.readouterr().out)["verdicts"][0]
    assert verdict["verdict"] == "not degraded beyond the margin" and verdict["drop_upper"] < 0.3


def test_ranks_and_intervals_hold_together(runs):
    found = compared(runs, "good", "alike", "bad")
    assert [(run["rank_low"], run["rank_high"]) for run in found["runs"]] == [(1, 2), (1, 2), (3, 3)]
    alone = compared(runs, "good", "bad")["differences"][0]
    several = next(one for one in found["differences"] if (one["one"], one["other"]) == ("good", "bad"))
    assert several["low"] < alone["low"] and several["high"] > alone["high"]


def test_runs_of_every_kind(runs):
    truth = {name: np.mean(list(json.loads((runs / f"{name}.json").read_text()).values())) for name in ("good", "bad")}
    found = compared(runs, "watched", "paired")
    [one] = found["differences"]
    assert one["how"].startswith("each interval at half") and one["low"] <= truth["good"] - truth["bad"] <= one["high"]
    assert found["runs"][1]["low"] <= truth["bad"] <= found["runs"][1]["high"]


def test_the_same_stream_is_not_taken_for_independent():
    def side(name, key):
        return Side(None, name, 0.5, lambda alpha: (0.5 - 0.1 / alpha**0.1, 0.5 + 0.1 / alpha**0.1), True, key, 1, 2,
                    {})

    one, same, other = side("m", ("a",)), side("m", ("a",)), side("n", ("b",))
    apart, close = compare.difference(one, other, 0.05), compare.difference(one, same, 0.05)
    assert apart.high == pytest.approx(0.1 / 0.05**0.1 * math.sqrt(2))
    assert close.high == pytest.approx(2 * 0.1 / 0.025**0.1)


def test_few_rare_answers_are_not_combined_as_normal():
    """Two models that are right in .95 and .9 of 400 questions, 40 random ones asked of each, 2,000 pairs: a
    difference is covered more often where it is heeded that few answers were wrong, and in .98 at .99."""
    def normal(mean, asked):
        se = math.sqrt(max(mean * (1 - mean), 0.5 / asked) / asked)
        return lambda alpha: (mean - stats.norm.isf(alpha / 2) * se, mean + stats.norm.isf(alpha / 2) * se)

    def side(name, right, asked, rarer):
        return Side(None, name, right / asked, normal(right / asked, asked), True, (name,), asked, 400, {}, 0, rarer)

    rng, hits, said = np.random.default_rng(4), {True: 0, False: 0}, set()
    for _ in range(2000):
        right = rng.binomial(40, 0.95), rng.binomial(40, 0.9)
        for heeded in hits:
            found = compare.difference(*(side(name, count, 40, 40 - count if heeded else math.inf)
                                         for name, count in zip("ab", right, strict=True)), 0.01)
            hits[heeded] += found.low <= 0.05 <= found.high
            said |= {found.how} if heeded else set()
    assert hits[True] > hits[False] and hits[True] > 0.98 * 2000
    assert "each interval at half the error rate; a and b gave fewer than 10 right or wrong answers, of which no " \
           "normal limit is sure" in said
    assert compare._rarer([1, 1, 0, 0.5], 9) == 1.5 and compare._rarer([1, 0], 2) == math.inf


def test_coverage_of_the_difference_of_independent_intervals():
    """Two binomial shares by their normal intervals, 2,000 pairs: as the intervals themselves cover."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        sides = []
        for name, p in (("a", 0.6), ("b", 0.8)):
            seen = rng.binomial(400, p) / 400
            se = math.sqrt(seen * (1 - seen) / 400)
            sides.append(Side(None, name, seen, lambda alpha, m=seen, s=se: (m - 1.96 * s, m + 1.96 * s), True, (name,),
                              1, 2, {}))
        found = compare.difference(*sides, 0.05)
        hits += found.low <= -0.2 <= found.high
    assert 0.935 < hits / 2000 < 0.965  # ± 3 standard errors


def test_what_is_refused(runs, tmp_path):
    other = tmp_path / "other"
    command.main([str(other), "--history", "none", "--questions", str(other_bank(tmp_path)), "--budget", "1",
                  "--command", "python -c \"print('{\\\"question\\\": \\\"x1\\\", \\\"score\\\": 1}')\""])
    for words, said in (([runs / "good"], "two runs"), ([runs / "good", runs / "good"], "given twice|named twice"),
                        ([runs / "good", runs / "begun"], "has not ended"),
                        ([runs / "good", runs / "nowhere"], "holds no evaluation"),
                        ([runs / "good", other], "only runs on the same questions"),
                        ([runs / "good", runs / "bad", "--margin", "recovery=99%"], "known in full"),
                        ([runs / "good", runs / "bad", "--overwrite", "--json", runs / "bad" / "result.json"],
                         "is what is read")):
        with pytest.raises(InputError, match=said):
            compare_command.main(["compare", *map(str, words)])


def other_bank(folder):
    (folder / "bank.csv").write_text("question\nx1\n")
    return folder / "bank.csv"


def test_what_is_claimed_is_said_and_new_questions_take_more(runs, capsys):
    bank, new = (compare.compared([runs / "good", runs / "bad"], 0.3, 0.05, claim) for claim in ("bank", "questions"))
    assert bank["claim"] == "this bank with these answers" and new["claim"] == "new questions like these"
    for here, there in zip([*bank["runs"], *bank["differences"]], [*new["runs"], *new["differences"]], strict=True):
        assert there["low"] < here["low"] and here["high"] < there["high"]
    assert "about this bank with these answers" in " ".join(compare.lines(bank))
    assert "half the error rate for which questions are in the bank" in new["verdicts"][0]["how"]
    words = ["compare", str(runs / "bad"), str(runs / "good"), "--margin", "10pt", "--fail-on", "not-shown-safe"]
    assert compare_command.main([*words, "--about", "questions", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["about"] == "questions"


def test_a_difference_of_new_questions_is_covered():
    """Banks of 60 pairs of scores, all answered, drawn from a population: nothing but the bank is left to chance."""
    rng, hits, runs = np.random.default_rng(1), 0, 2000
    for _ in range(runs):
        a, b = rng.random(60) < 0.8, rng.random(60) < 0.6
        one, other = (Side(None, name, mean, lambda alpha, mean=mean: (mean, mean), False, (name,), 60, 60, {})
                      for name, mean in (("a", a.mean()), ("b", b.mean())))
        found = compare.difference(one, other, 0.4, "questions")
        hits += found.low <= 0.2 <= found.high
        assert one.about("questions", 0.4)[0] < a.mean() < one.about("questions", 0.4)[1]
    assert stats.binom.cdf(hits, runs, 0.6) > 1e-3


def test_means_of_whole_banks_that_are_equal_are_not_told_apart_by_rounding(monkeypatch):
    """.1 + .2 against .3 and .55 against .6 by a margin of .05: sums in another order, and a drop of the margin."""
    def side(name, mean):
        return Side(None, name, mean, lambda alpha: (mean, mean), False, (name,), 20, 20, {})

    sides = {"a": side("a", 0.1 + 0.2), "b": side("b", 0.3), "c": side("c", 0.6), "d": side("d", 0.55)}
    monkeypatch.setattr(compare, "read_side", lambda path: sides[path])
    monkeypatch.setattr(compare, "check_one_bank", lambda sides: None)
    same, apart = compare.compared(["a", "b"], 0.05, 0.05), compare.compared(["c", "d"], 0.05, 0.05)
    assert same["verdicts"][0]["verdict"] == "not degraded beyond the margin"
    assert [(run["rank_low"], run["rank_high"]) for run in same["runs"]] == [(1, 2), (1, 2)]
    assert apart["verdicts"][0]["verdict"] == "degraded" and not apart["verdicts"][0]["within_margin"]
