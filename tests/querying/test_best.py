"""Which of K models is best: never wrong more often than promised, few answers, and a command that says so."""

import json

import numpy as np
import pytest
from scipy import stats

from llm_accuracy.errors import InputError
from llm_accuracy.live import best as command
from llm_accuracy.querying import best, best_command, best_limits
from llm_accuracy.querying.best_population import PopulationSearch
from llm_accuracy.visible import columns


def bank(gaps, n, rng, correlated=0.7):
    """(K, n) 0/1 scores, about `correlated` of them shared; model k has gaps[k] n right answers fewer than .6 n."""
    hardness = rng.random(n)
    rows = []
    for gap in gaps:
        own = np.where(rng.random(n) < correlated, hardness, rng.random(n))
        row = np.zeros(n)
        row[np.argsort(own)[: round((0.6 - gap) * n)]] = 1
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("usefulness", [None, "misleading"])
@pytest.mark.parametrize(("gaps", "tolerance"), [((0.02, 0.0, 0.02, 0.02), 0.0), ((0.03, 0.03, 0.0, 0.03), 0.02)])
def test_the_best_is_dropped_no_more_often_than_promised(gaps, tolerance, usefulness):
    """One model is barely better than the others; 150 searches at alpha .3, where errors would show."""
    rng, alpha, wrong, runs = np.random.default_rng(0), 0.3, 0, 150
    for _ in range(runs):
        z = bank(gaps, 100, rng)
        useful = None if usefulness is None else np.where(z.mean(0) > 0.5, 1.0, 0.05)
        found = best.search(lambda left, asked, z=z: z[np.ix_(left, asked)], len(z), 100, rng, usefulness=useful,
                            alpha=alpha, tolerance=tolerance)
        wrong += z[found.winner].mean() < z.mean(1).max() - tolerance - 1e-9
    assert stats.binomtest(int(wrong), runs, alpha, alternative="greater").pvalue > 0.001


def test_a_clear_winner_takes_few_answers_and_the_beaten_are_not_asked_on():
    rng = np.random.default_rng(1)
    z = bank((0.3, 0.0, 0.35, 0.4, 0.1), 2000, rng)
    counts = np.zeros(len(z), int)

    def answers(left, asked):
        counts[left] += asked.size
        return z[np.ix_(left, asked)]

    found = best.search(answers, len(z), 2000, rng)
    assert found.winner == 1 and found.calls == counts.sum() < 0.3 * z.size
    assert counts[3] == found.dropped_after[3] < counts[4] <= found.asked and not found.left[3]


def test_all_questions_leave_nothing_to_chance():
    z = np.array([[1, 1, 0, 1.0], [1, 1, 1, 0.5], [0, 1, 1, 1]])
    for seed in range(20):
        found = best.search(lambda left, asked: z[np.ix_(left, asked)], 3, 4, np.random.default_rng(seed))
        assert found.winner == 1 and found.asked == 4


def test_of_two_that_are_tied_neither_is_dropped_for_certain():
    """Two questions each is right alone on: when one of them is 2 ahead with 2 open, the tie is all that is left."""
    z = np.array([[1, 1, 0, 0.0], [0, 0, 1, 1]])
    for seed in range(30):
        made = best.Search(2, 4, np.random.default_rng(seed))
        made._sizes = [1, 1, 1, 1]
        for _ in range(4):
            assert made.left.all() and made.winner is None
            made.tell(z[:, made.ask()])
        assert made.left.all() and made.winner is not None


def test_estimates_are_unbiased_whatever_the_weights():
    """The mean over 4,000 draws of Σ_asked d + d/q, for a bank of six, to four standard errors."""
    z, seen = np.array([[1, 0, 1, 1, 0, 1.0], [0, 0, 1, 0, 1, 0]]), []
    for seed in range(4000):
        made = best.Search(2, 6, np.random.default_rng(seed), usefulness=np.array([1, 2, 3, 4, 5, 0.1]))
        made._sizes = [3, 3]
        asked = made.ask()
        q = made._drawn[1]
        d = z[0, asked] - z[1, asked]
        seen.append((np.cumsum(d) - d + d / q)[[0, 2]])
    seen = np.array(seen)
    assert (np.abs(seen.mean(0) - 2) < 4 * seen.std(0) / np.sqrt(len(seen))).all()


def test_what_is_refused():
    rng = np.random.default_rng(0)
    for arguments, settings, said in (((1, 5), {}, "Two models"), ((2, 5), {"alpha": 0.7}, "alpha"),
                                      ((2, 5), {"usefulness": np.zeros(5)}, "usefulness")):
        with pytest.raises(InputError, match=said):
            best.Search(*arguments, rng, **settings)
    made = best.Search(2, 5, rng)
    asked = made.ask()
    with pytest.raises(InputError, match="not answered"):
        made.ask()
    with pytest.raises(InputError, match="between 0 and 1"):
        made.tell(np.full((2, asked.size), 2.0))


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("best"), np.random.default_rng(2)
    for name, gaps in (("M2", (0.2, 0.0, 0.3)), ("M1", (0.1, 0.2, 0.3, 0.4))):
        rows = [f"{name}-{i}," + ",".join(f"{int(score)}" for score in row) for i, row in
                enumerate(bank(gaps, 300, rng))]
        (folder / f"{name}.csv").write_text("\n".join(["model," + ",".join(f"q{j}" for j in range(300)), *rows]) + "\n")
    return folder


def test_the_command(matrix, capsys):
    words = ["best", str(matrix / "M2.csv"), "--k", "M2-0", "M2-1", "M2-2"]
    assert command.main([*words, "--history", str(matrix / "M1.csv"), "--json", str(matrix / "b.json")]) == 0
    shown, result = capsys.readouterr().out, json.loads((matrix / "b.json").read_text())
    assert result["winner"] == "M2-1" and f"{result['answers']:,} of 900 answers" in shown
    assert result["answers"] < 900 and "M2-2" in shown and "4 models say" in shown
    assert result["claim"] == "this bank with these answers" and "about this bank with these answers" in shown
    assert command.main([*words, "--about", "questions", "--json", "-"]) == 0
    asked, said = capsys.readouterr()
    new = json.loads(asked)
    assert new["about"] == "questions" and new["answers"] > result["answers"] and "independent draws" in said
    assert new["winner"] in (None, "M2-1") and ("UNDECIDED" in said) == (new["winner"] is None)
    assert result["models"]["M2-1"].keys() == new["models"]["M2-1"].keys() > {"asked", "low", "high", "behind_low"}
    for one in result["models"].values():
        assert one["low"] <= one["mean_of_all_answers"] <= one["high"] and one["behind_low"] <= one["behind_high"]
    assert new["models"]["M2-1"]["behind"] is None and "is not bounded" in " ".join(said.split())
    assert command.main(words) == 0
    for more, said in ((["--k", "M2-0", "M2-0"], "given twice"), (["--k", "M2-0", "other"], "no model other"),
                       (["--tolerance", "60pt"], "--tolerance"), (["--tolerance", "1%"], "--tolerance"),
                       (["--alpha", "2"], "alpha"), (["--k", "M2-0"], "Two models"),
                       (["--json", str(matrix / "M2.csv"), "--overwrite"], "is what is read")):
        with pytest.raises(InputError, match=said):
            command.main([*words, *more])
    text = (matrix / "M2.csv").read_text().splitlines()
    (matrix / "blank.csv").write_text("\n".join([*text[:2], text[2].replace(",1,", ",,", 1)]) + "\n")
    with pytest.raises(InputError, match="has no score on"):
        command.main(["best", str(matrix / "blank.csv")])


def test_the_table_fits_a_terminal_whatever_models_are_called():
    one = {"left": True, "dropped_after": None, "asked": 12_032, "estimate": 0.73, "low": 0.7, "high": 1.0,
           "behind": 0.1, "behind_low": 0.0, "behind_high": 0.2, "mean_of_all_answers": 0.7}
    names = ["organisation/" + "x" * 60 + "-int8", "模型" * 30, "a\x1b[31m", "b"]
    result = {"models": dict.fromkeys(names, one), "winner": "b", "alpha": 0.05, "tolerance": 0.0, "about": "bank"}
    lines = best_command.table(result)
    assert max(map(columns, lines)) <= 80 and lines[1].split()[:2] == ["b", "winner"]
    at = lines.index("  " + names[0])
    assert "70.0 to 100.0" in lines[at + 1] and lines[at + 1].split()[0] == "left" and "\x1b" not in "".join(lines)


@pytest.mark.parametrize("useful", [None, "misleading"])
@pytest.mark.parametrize(("gaps", "tolerance", "budget"), [
    ((0.0, 0.02), 0.0, 60), ((0.03, 0.03, 0.0, 0.01), 0.02, None), ((0.0, 0.0, 0.0, 0.0, 0.0, 0.3), 0.05, 90)])
def test_intervals_hold_together_whenever_it_ends(gaps, tolerance, budget, useful):
    """80 searches at alpha .4, where errors would show; each kind of interval, all models at once."""
    rng, alpha, runs = np.random.default_rng(6), 0.4, 80
    wrong, wrong_behind = 0, 0
    for _ in range(runs):
        z = bank(gaps, 120, rng)
        weights = None if useful is None else np.where(z.mean(0) > 0.5, 1.0, 0.05)
        found = best.search(lambda left, asked, z=z: z[np.ix_(left, asked)], len(z), 120, rng, usefulness=weights,
                            alpha=alpha, tolerance=tolerance, budget=budget)
        ends, truth = best_limits.limits(found), z.mean(1)
        behind = truth.max() - truth
        wrong += not ((ends.low <= truth + 1e-9) & (truth <= ends.high + 1e-9)).all()
        wrong_behind += not ((ends.behind_low <= behind + 1e-9) & (behind <= ends.behind_high + 1e-9)).all()
        assert (ends.low <= ends.accuracy).all() and (ends.accuracy <= ends.high).all()
    for errors in (wrong, wrong_behind):
        assert stats.binomtest(int(errors), runs, alpha, alternative="greater").pvalue > 0.001


def test_a_winner_of_which_nothing_is_left_to_chance_is_just_the_best():
    one = {"left": True, "dropped_after": None, "asked": 9, "estimate": 0.7, "low": 0.7, "high": 0.7, "behind": 0.0,
           "behind_low": 0.0, "behind_high": 0.0}
    result = {"models": {"a": one, "b": one | {"behind_high": 0.2}}, "winner": "a", "leader": "a", "alpha": 0.05,
              "tolerance": 0.01, "about": "bank", "claim": "this bank", "answers": 18, "of": 20, "questions": 9,
              "questions_of_bank": 10, "notes": []}
    assert best_command.lines(result)[0] == "a is best (error rate 5 %)"
    result["models"]["a"] = one | {"behind_high": 0.01}
    assert best_command.lines(result)[0] == "a is best, or worse by no more than 1 point (error rate 5 %)"


def test_intervals_narrow_to_what_is_known():
    """All asked: points. Before the first round: nothing. A loser's interval stays as wide as it was left."""
    rng = np.random.default_rng(7)
    z = bank((0.0, 0.0, 0.4), 600, rng)
    made = best.Search(3, 600, rng)
    assert np.isnan(best_limits.limits(made).low).all()
    found = best.search(lambda left, asked: z[np.ix_(left, asked)], 3, 600, rng)
    ends = best_limits.limits(found)
    assert found.asked == 600 and np.ptp([ends.low[:2], ends.high[:2], z.mean(1)[:2]], axis=0) == pytest.approx(0)
    assert ends.behind_high[:2] == pytest.approx(0) and ends.behind_low[2] <= 0.4 < ends.behind_high[2]
    few = best.search(lambda left, asked: z[np.ix_(left, asked)], 3, 600, rng, kind=PopulationSearch, budget=200)
    of_new = best_limits.limits(few)
    assert np.isnan(of_new.behind).all() and (of_new.high - of_new.low > 0.1).all()
    made.ask(np.full((3, 600), 0.5))
    with pytest.raises(ValueError, match="expected answers"):
        best_limits.limits(made)


def drawn(n, rng):
    """(4, n) scores on questions of a population in which model 2 is best, by 4 points."""
    hardness, means = rng.random(n), np.array([0.56, 0.5, 0.6, 0.56])
    own = np.where(rng.random((4, n)) < 0.5, hardness, rng.random((4, n)))
    return (own < means[:, None]).astype(float)


@pytest.mark.parametrize("tolerance", [0.0, 0.03])
@pytest.mark.parametrize("useful", [False, True])
def test_the_best_of_new_questions_is_dropped_no_more_often_than_promised(tolerance, useful):
    """Banks of 80 drawn anew, 80 searches at alpha .4; the bank's own winner is wrong of the population far oftener."""
    rng, alpha, wrong, of_bank, runs = np.random.default_rng(3), 0.4, 0, 0, 80
    for _ in range(runs):
        z = drawn(80, rng)
        weights = np.where(z.mean(0) > 0.5, 1.0, 0.1) if useful else None
        found = best.search(lambda left, asked, z=z: z[np.ix_(left, asked)], 4, 80, rng, kind=PopulationSearch,
                            usefulness=weights, alpha=alpha, tolerance=tolerance)
        wrong += not found.left[2] or found.winner not in (None, 2)
        of_bank += z.mean(1).argmax() != 2
    assert stats.binomtest(int(wrong), runs, alpha, alternative="greater").pvalue > 0.001
    assert of_bank > wrong


def test_accuracies_on_new_questions_hold_together():
    """40 banks of 80 at alpha .4; the means of the population are known."""
    rng, means = np.random.default_rng(5), np.array([0.56, 0.5, 0.6, 0.56])
    wrong = 0
    for _ in range(40):
        z = drawn(80, rng)
        found = best.search(lambda left, asked, z=z: z[np.ix_(left, asked)], 4, 80, rng, kind=PopulationSearch,
                            alpha=0.4, budget=50)
        ends = best_limits.limits(found)
        wrong += not ((ends.low <= means) & (means <= ends.high)).all()
    assert stats.binomtest(int(wrong), 40, 0.4, alternative="greater").pvalue > 0.001


def test_new_questions_are_decided_where_the_bank_is_large_and_left_open_where_it_is_not():
    rng = np.random.default_rng(4)
    clear, close = bank((0.3, 0.0, 0.35), 1500, rng), bank((0.01, 0.0, 0.02), 300, rng)
    made = [best.search(lambda left, asked, z=z: z[np.ix_(left, asked)], 3, z.shape[1], rng, kind=kind)
            for z in (clear, close) for kind in (best.Search, PopulationSearch)]
    assert [one.winner for one in made[:3]] == [1, 1, 1] and made[1].calls > made[0].calls
    assert made[3].winner is None and made[3].ended and made[3].asked == 300
    with pytest.raises(InputError, match="ended"):
        made[3].ask()


def test_expected_answers_leave_estimates_unbiased():
    """Two thousand first rounds of two questions, with p that are wrong; to four standard errors."""
    z, seen = np.array([[1, 0, 1, 1, 0, 1.0], [0, 0, 1, 0, 1, 0]]), []
    p = np.linspace(0, 1, 12).reshape(2, 6)
    for seed in range(2000):
        made = best.Search(2, 6, np.random.default_rng(seed), usefulness=np.array([1, 2, 3, 4, 5, 0.1]))
        made._sizes = [2, 4]
        asked = made.ask(p)
        made.tell(z[:, asked])
        seen.append(made._estimate / 2)
    seen = np.array(seen)
    assert (np.abs(seen.mean(0) - z.sum(1)) < 4 * seen.std(0) / np.sqrt(len(seen))).all()
    with pytest.raises(InputError, match="expected answers"):
        best.Search(2, 6, np.random.default_rng(0)).ask(p + 1)
