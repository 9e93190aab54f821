"""Estimates without an interval: they look at no more answers than they may, and do on banks of their own kind what
they are for."""

import numpy as np
import pytest
from conftest import ROOT, run_script
from scipy import special

from llm_accuracy.study import no_interval
from llm_accuracy.study.no_interval import ABILITIES, ESTIMATES, Logistic, fluid

N = 80


def board(models=60, new=25, seed=0, n=N):
    """Answers of a two-parameter bank."""
    rng = np.random.default_rng(seed)
    slope, difficulty = np.exp(rng.normal(0, 0.4, n)), rng.normal(0, 1.2, n)
    ability = rng.normal(size=(models + new, 1))
    scores = (rng.random((models + new, n)) < special.expit(slope * (ability - difficulty))).astype(float)
    return scores[:models], scores[models:], slope, difficulty


@pytest.mark.parametrize("name", ESTIMATES)
def test_no_more_answers_are_looked_at_than_the_budget(name):
    """As many questions at most change what is said of a model when their answers do, one at a time."""
    history, scores, *_ = board(models=20, new=1)
    estimates = ESTIMATES[name][1]
    flipped = np.where(np.eye(N, dtype=bool), 1 - scores, scores)
    said = estimates(history, np.concatenate([scores, flipped]), [10], 0)[10]
    assert 2 <= (np.abs(said[1:] - said[0]) > 1e-6).sum() <= 10


@pytest.mark.parametrize("name", ESTIMATES)
def test_better_than_random_sampling_on_banks_of_their_own_kind(name):
    history, scores, *_ = board(models=150, new=200)
    truth = scores.mean(1)
    said = ESTIMATES[name][1](history, scores, [15, 30], 0)
    for budget in (15, 30):
        random = (1 / budget - 1 / N) * (truth * (1 - truth) * N / (N - 1)).mean()
        assert ((said[budget] - truth) ** 2).mean() < 0.9 * random
        assert ((said[budget] >= 0) & (said[budget] <= 1)).all()


def test_the_two_parameter_model_is_found_again():
    history, _, slope, difficulty = board(models=600)
    found = Logistic.fit(history)
    assert np.corrcoef(found.difficulty, difficulty)[0, 1] > 0.97
    assert np.corrcoef(np.log(found.slope), np.log(slope))[0, 1] > 0.85


def test_maximum_information_against_a_slow_reference():
    """One model, one question after another, by the definitions."""
    history, scores, *_ = board(new=3)
    model, budget = Logistic.fit(history), 12
    said = fluid(history, scores, [5, budget])
    for row, z in enumerate(scores):
        prior, asked = np.exp(-0.5 * ABILITIES**2), []
        for step in range(budget + 1):
            posterior = prior.copy()
            for j in asked:
                p = 1 / (1 + np.exp(-model.slope[j] * (ABILITIES - model.difficulty[j])))
                posterior *= p if z[j] else 1 - p
            posterior /= posterior.sum()
            if step in said:
                expected = [z[j] if j in asked else (posterior / (1 + np.exp(
                    -model.slope[j] * (ABILITIES - model.difficulty[j])))).sum() for j in range(N)]
                assert said[step][row] == pytest.approx(np.mean(expected), abs=1e-9)
            ability = (posterior * ABILITIES).sum()
            p = 1 / (1 + np.exp(-model.slope * (ability - model.difficulty)))
            information = [model.slope[j] ** 2 * p[j] * (1 - p[j]) if j not in asked else -1 for j in range(N)]
            asked.append(int(np.argmax(information)))


def test_all_asked_is_the_accuracy():
    history, scores, *_ = board(n=30)
    for name in ("fluid", "anchors"):
        said = ESTIMATES[name][1](history, scores, [30], 0)[30]
        assert said == pytest.approx(scores.mean(1), abs=1e-9 if name == "fluid" else 0.02)


@pytest.mark.parametrize("models", [2, 3, 5])
def test_small_histories(models):
    history, scores, *_ = board(models=models)
    for _, estimates, _ in ESTIMATES.values():
        assert np.isfinite(estimates(history, scores, [10], 0)[10]).all()


def test_anchors_stand_for_all_questions():
    history, *_ = board()
    factors = no_interval.Factors.fit(history, 4, 2.0)
    chosen = no_interval._anchors(factors, 20, 0)
    assert len(set(chosen.questions.tolist())) == len(chosen.questions) <= 20
    assert chosen.weight.sum() == pytest.approx(1)


def test_the_table(tmp_path):
    import pandas as pd

    history, scores, *_ = board(models=30, new=30)
    frame = pd.DataFrame(np.concatenate([history, scores]).astype(int), columns=[f"q{j}" for j in range(N)])
    frame.insert(0, "model", [f"m{i}" for i in range(60)])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- no interval -->\nold\n<!-- /no interval -->\n")
    run_script("benchmarks/no_interval.py", tmp_path / "mine.csv", "--seeds", 1, "--budgets", 20, "--page", page)
    text = page.read_text()
    assert text.startswith("before\n") and "old" not in text and "Fluid-style" in text and "growing rounds" in text
    assert "needs the lines" in run_script("benchmarks/no_interval.py", tmp_path / "mine.csv", "--page",
                                           ROOT / "LICENSE", code=2).stderr
