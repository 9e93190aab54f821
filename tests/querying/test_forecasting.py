"""What a history is worth: forecasts against what comes, inverted; small, incomplete and worthless histories."""

import numpy as np
import pytest

from llm_accuracy.__main__ import main
from llm_accuracy.errors import InputError
from llm_accuracy.querying import forecasting
from llm_accuracy.querying.forecasting import came, dealt, forecast
from llm_accuracy.querying.intervals import srs_width
from llm_accuracy.scores.matrix import Responses, write_matrix

N = 300


def models(count, seed, first=0, families=None):
    """Of one population: two factors of 300 questions that are always the same."""
    V = np.random.default_rng(0).normal(size=(N, 2)) * 1.5
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-(rng.normal(size=(count, 2)) * [0.7, 0.7] + [1.5, 0]) @ V.T))
    return Responses([f"model{first + i}x" for i in range(count)], [f"q{j}" for j in range(N)],
                     (rng.random((count, N)) < p).astype(np.int8), families=families)


def test_the_forecast_comes_true():
    """Another 80 models of the same population. The mean half-width over 60 and 80 of them varies by 2 to 3 %, ESS by
    3 to 5 %; the forecast has a tenth fewer models."""
    history, new = models(60, 1), models(80, 2, 60)
    said, found = forecast(history, [20, 50, 100]), came(history, new, [20, 50, 100])
    assert (said.n_tried, found.n_tried) == (60, 80) and said.notes == found.notes == ()
    for budget in (20, 50, 100):
        assert said.tried[budget].half_width == pytest.approx(found.tried[budget].half_width, rel=0.12)
        assert said.tried[budget].ess_width == pytest.approx(found.tried[budget].ess_width, rel=0.15)
        assert said.tried[budget].low < said.tried[budget].half_width < said.tried[budget].high
        assert said.tried[budget].ess_width > 1.3 and 0.93 < said.tried[budget].coverage < 0.98
        assert said.half_width(budget) == pytest.approx(said.tried[budget].half_width)
    assert repr(forecast(history, [20, 50, 100])) == repr(said)


def test_between_the_budgets_tried_it_is_as_if_tried():
    history = models(40, 1)
    said, tried = forecast(history, [20]), forecast(history, [55, 140])
    assert 55 not in said.tried
    for budget in (55, 140):
        assert said.half_width(budget) == pytest.approx(tried.tried[budget].half_width, rel=0.03)
    assert said.half_width(N) == 0


def test_inverted():
    said = forecast(models(40, 1), [20, 50])
    for budget in (1, 5, 20, 77, 200, N):
        assert said.questions_for(float(said.half_width(budget))) == budget
    accuracy = np.array([0.5])
    one = forecasting.Forecast(N, 0, 0, 0, 0.5 * np.sqrt(N / (N - 1)), {})
    for half in (0.2, 0.05, 0.02, 0.001):
        slow = next(size for size in range(1, N + 1) if srs_width(accuracy, accuracy, N, size, 0.05)[0] / 2 <= half)
        assert one.random_questions_for(half) == one.questions_for(half) == slow
    assert one.questions_for(1e-9) == N and one.questions_for(2.0) == 1


def test_the_random_questions_of_a_sentence_give_the_same_half_width():
    said = forecast(models(40, 1), [50])
    needed = said.random_questions_for(said.tried[50].half_width)
    assert said.random_half_width(needed) <= said.tried[50].half_width < said.random_half_width(needed - 1)
    assert 60 < needed < 150


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_to_try(count):
    said = forecast(models(1, 1) if count else None, [50], N)
    assert not said.n_tried and said.questions_for(0.1) == said.random_questions_for(0.1)
    assert said.half_width(50) == pytest.approx(1.96 * 0.5 * np.sqrt((1 / 50 - 1 / N) * N / (N - 1)), rel=1e-4)
    assert "worth nothing" in said.notes[0] and "widest" in said.notes[1]
    for line in forecasting.lines(said, [50]):
        assert len(line) <= 80
    assert ("Without a history" if not count else "With 1 model") in "\n".join(forecasting.lines(said, [50]))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_models_are_tried_and_doubted(count):
    said = forecast(models(count, 1), [20, 100])
    assert said.n_tried == count and "guess" in " ".join(said.notes)
    assert 0.7 < said.tried[100].ess_width < 3


def test_a_worthless_history_is_worth_nothing():
    """Answers that no question tells anything of: a question is worth one random one."""
    rng = np.random.default_rng(3)
    scores = (rng.random((40, N)) < rng.uniform(0.3, 0.8, (40, 1))).astype(np.int8)
    said = forecast(Responses([f"m{i}x" for i in range(40)], [f"q{j}" for j in range(N)], scores), [20, 100])
    assert 0.75 < said.tried[20].ess_width < 1.1 and 0.85 < said.tried[100].ess_width < 1.1


def test_models_that_lack_scores_are_tried_on_what_they_have():
    whole = models(40, 1)
    holes = whole.masked(np.random.default_rng(0).random(whole.scores.shape) > 0.1)
    said, expected = forecast(holes, [20, 50]), forecast(whole, [20, 50])
    assert "40 models lack scores" in said.notes[0]
    for budget in (20, 50):
        assert said.tried[budget].half_width == pytest.approx(expected.tried[budget].half_width, rel=0.1)
    few = whole.masked(np.arange(N) < np.where(np.arange(40) < 30, 30, N)[:, None])
    assert forecast(few, [20, 50]).tried[50].models == 10
    nothing = forecast(whole.masked(np.zeros(whole.scores.shape, bool)), [20])
    assert not nothing.n_tried and "none was tried" in nothing.notes[0]


@pytest.mark.parametrize("score", [0, 1])
def test_models_that_are_always_right_or_wrong(score):
    said = forecast(Responses([f"m{i}x" for i in range(5)], [f"q{j}" for j in range(N)],
                              np.full((5, N), score, np.int8)), [20, 50])
    assert said.random_questions_for(0.01) == 1 and np.isfinite(said.half_width(50))
    assert all(np.isfinite(float(said.tried[size].half_width)) for size in (20, 50))
    assert list(forecasting.lines(said, [20, 50]))


def test_partial_credit():
    rng = np.random.default_rng(0)
    base = models(30, 1)
    scores = np.clip(0.5 * base.scores + 0.5 * rng.random(base.scores.shape), 0, 1).astype(np.float32)
    said = forecast(Responses(base.models, base.questions, scores), [50])
    assert said.spread == pytest.approx(scores.std(1, ddof=1).mean()) and said.tried[50].coverage > 0.93


def test_families_stay_together():
    names = [f"f{i % 7}" for i in range(40)]
    fold, notes = dealt(models(40, 1, families=names), 5)
    assert notes == [] and set(fold) == set(range(5))
    for family in set(names):
        assert len({fold[i] for i in range(40) if names[i] == family}) == 1
    fold, notes = dealt(models(4, 1, families=["one"] * 4), 5)
    assert sorted(fold) == [0, 1, 2, 3] and "strangers" in notes[0]


def test_siblings_do_not_flatter():
    """Thirty copies each of two models: what they say of one another is nothing that a stranger would bring."""
    two = models(2, 1)
    copies = np.repeat(two.scores, 15, 0)
    names = [f"m{i}x" for i in range(30)]
    apart = Responses(names, two.questions, copies)
    together = Responses(names, two.questions, copies, families=["a"] * 15 + ["b"] * 15)
    assert forecast(apart, [50]).tried[50].ess_width > 1.5 * forecast(together, [50]).tried[50].ess_width


def test_of_a_model_of_a_given_accuracy():
    history = models(40, 1)
    said, plain = forecast(history, [50], accuracy=0.9), forecast(history, [50])
    assert said.spread == pytest.approx(np.sqrt(0.09 * N / (N - 1))) and "accuracy 0.9" in said.notes[-1]
    assert said.half_width(50) == pytest.approx(said.tried[50].half_width)
    assert said.tried[50].ess_width == plain.tried[50].ess_width
    alone = forecast(None, [50], N, accuracy=0.9)
    assert alone.half_width(50) == pytest.approx(0.6 * forecast(None, [50], N).half_width(50))
    assert "worth nothing" in alone.notes[0] and "widest" not in " ".join(alone.notes)


@pytest.mark.parametrize("wrong, words", [
    (dict(budgets=[0]), "budget 0"), (dict(budgets=[N + 1]), "300 questions"), (dict(folds=1), "1 folds"),
    (dict(accuracy=1.0), "accuracy 1"), (dict(history=None), "neither"),
])
def test_what_cannot_be_forecast_is_refused(wrong, words):
    with pytest.raises(InputError, match=words):
        forecast(**{"history": models(5, 1), "budgets": [20]} | wrong)


def test_the_command(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    write_matrix(path, models(23, 1))
    words = ["--budgets", "20", "10%", "--half-widths", "5", "1", "--evaluations", "50"]
    assert main(["forecast", str(path), *words]) == 0
    shown = capsys.readouterr().out
    assert "With these 23 models, 30 questions give ± " in shown and "± 1 point takes " in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert main(["forecast", "--questions", "1319"]) == 0
    assert "Without a history, 500 questions give ± 3.5 points" in capsys.readouterr().out


@pytest.mark.parametrize("words, said", [
    ([], "HISTORY or --questions"), (["{}", "--questions", "5"], "either a HISTORY or"), (["no.csv"], "no such file"),
    (["{}", "--budgets", "301"], "301"), (["{}", "--budgets", "x"], "budget 'x'"), (["{}", "--rank", "6"], "5 models"),
    (["{}", "--half-widths", "0"], "above 0"), (["{}", "--accuracy", "90"], "between 0 and 1"),
    (["{}", "--weight-decay", "-1"], "0 or more"),
])
def test_mistakes_on_the_command_line(words, said, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    write_matrix(path, models(5, 1))
    with pytest.raises((InputError, SystemExit)) as refused:
        main(["forecast", *[word.format(path) for word in words]])
    assert said in (str(refused.value) + capsys.readouterr().err)
