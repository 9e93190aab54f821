"""How easy questions are for a baseline, by a history's models, beside slow references."""

import numpy as np
import pytest
from conftest import few_answers_benchmark
from scipy import stats
from sklearn.linear_model import Ridge

from llm_accuracy.degradation.few_answers import ease as easing


def board(seed=0, models=12, n=300):
    """(the baseline's probabilities, its scores, a history whose first three models are its relatives)."""
    rng = np.random.default_rng(seed)
    hard, family = rng.normal(0, 1.5, n), rng.normal(0, 2, n)
    own = 1 / (1 + np.exp(hard + family - 0.5))
    apart = np.where(np.arange(models)[:, None] < 3, family, rng.normal(0, 2, (models, n)))
    others = 1 / (1 + np.exp(hard + apart))
    return own, (rng.random(n) < own).astype(float), (rng.random((models, n)) < others).astype(float)


def test_every_question_is_left_out_of_its_own_prediction():
    """Against ridge regressions that are fitted again without each question, at the penalty of the least error."""
    _, scores, history = board(n=60)
    features = easing._centred(history)
    y, errors = scores - scores.mean(), {}
    for penalty in easing.PENALTIES:
        refitted = np.array([Ridge(alpha=penalty, fit_intercept=False).fit(
            np.delete(features, i, 0), np.delete(y, i)).predict(features[[i]])[0] for i in range(60)])
        errors[float(((y - refitted) ** 2).sum())] = refitted + scores.mean()
    assert easing.left_out(scores, features) == pytest.approx(errors[min(errors)], abs=1e-9)


def test_relatives_tell_more_than_the_share_of_all_models():
    own, scores, history = board(n=2000)
    found = easing.ease(scores, history)
    assert np.corrcoef(found, own)[0, 1] > np.corrcoef(history.mean(0), own)[0, 1] + 0.1
    assert abs(found.mean() - scores.mean()) < 0.01 and ((found > 0) & (found < 1)).all()
    blanks = np.where(np.random.default_rng(1).random(history.shape) < 0.3, np.nan, history)
    assert np.corrcoef(easing.ease(scores, blanks), own)[0, 1] > np.corrcoef(history.mean(0), own)[0, 1]
    turned = easing.ease(scores, 1 - history)  # a history of errors, of which lower is better, says the same
    assert turned == pytest.approx(found, abs=1e-6)


def test_a_history_of_coins_says_nothing():
    """Leaving a score out of the mean would make it its own opposite; here at most chance is left."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scores, history = (rng.random(400) < 0.6).astype(float), (rng.random((20, 400)) < 0.5).astype(float)
        assert np.std(easing.ease(scores, history)) < 0.06
    assert (easing.ease(np.ones(9), np.eye(3, 9)) == 1).all()


def test_large_histories_take_the_leading_directions(monkeypatch):
    _, scores, history = board(models=40, n=300)
    exact = easing.ease(scores, history)
    monkeypatch.setattr(easing, "MOST_DIRECTIONS", 30)
    assert np.corrcoef(easing.ease(scores, history), exact)[0, 1] > 0.95
    assert np.array_equal(easing.ease(scores, history), easing.ease(scores, history))


def test_the_baseline_is_left_out_of_its_history():
    _, scores, history = board()
    blank = np.where(np.arange(scores.size) < 250, np.nan, scores)
    rows = np.stack([scores, 1 - scores, blank, history[0], np.full(scores.size, np.nan)])
    assert easing.without_itself(scores, rows).tolist() == [False, False, False, True, False]


@pytest.mark.shared
def test_a_real_pair_from_its_history(shared):
    """qwen3-30b with a thinking bias, .04 of 798 answers flip, MMLU-Pro without its relatives: the floor of 2
    for effective sample size within two standard errors, much more than with no history."""
    bench = few_answers_benchmark()
    name = shared / "data" / "pairs" / "mmlu_pro_psychology_qwen3-30b-a3b_thinkbias0_vs_18"
    files = [name.with_name(f"{name.name}.{which}.csv") for which in ("baseline", "optimized")]
    cells = bench.pair_cells(files, shared / "data" / "matrices" / "mmlu_pro.csv.gz", ["qwen"], None)
    without, found = (bench.measure(cell, 400, 0) for cell in cells)
    for none, row in zip(without, found, strict=True):
        assert row["ess"] > 2 - 2 * row["ess_se"] and row["ess"] > 1.4 * none["ess"], row
        assert stats.binom.cdf(round(row["exact_coverage"] * 400), 400, 0.95) > 1e-3, row
