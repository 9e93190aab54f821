"""The simulated leaderboard is like the real one, within stated bands, and the twin is what its factors say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import ttest_1samp

from llm_accuracy.errors import InputError
from llm_accuracy.leaderboard import simulate
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.scores.matrix import split_by_date

REPOSITORY = Path(__file__).resolve().parents[2]
REAL_FACTORS = REPOSITORY.parent / "shared" / "data" / "twin" / "mmlu-pro_factors.npz"


def outside(board):
    """The facts a board does not meet, with its values."""
    values = simulate.statistics(board)
    assert len(values) == len(simulate.FACTS)
    return {fact.name: (values[fact.name], fact.real, fact.allowed)
            for fact in simulate.FACTS if not fact.holds(values[fact.name])}


@pytest.fixture(scope="module")
def laptop():
    return simulate.simulated_board(300, 2000, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_the_laptop_board_is_within_the_bands(seed):
    assert outside(simulate.simulated_board(300, 2000, seed)) == {}


def test_the_board_of_the_real_size_is_within_the_bands():
    assert outside(simulate.simulated_board(2212, 12032, seed=0)) == {}


@pytest.mark.shared
@pytest.mark.skipif(not REAL_FACTORS.is_file(), reason="the factors of the real board are not in ../shared")
def test_the_facts_are_those_of_the_real_board():
    board = simulate.twin_board(REAL_FACTORS)
    values = simulate.statistics(board)
    for fact in simulate.FACTS:
        if fact.name in values:
            assert values[fact.name] == pytest.approx(fact.real, rel=.012, abs=6e-4), fact.name
    answers = board.draw(seed=0)
    history, new = split_by_date(answers, 0.8)
    assert (history.n_models, new.n_models, new.n_questions) == (1769, 443, 12032)
    # Σ(z - p) over its standard deviation: |z| < 4 fails once in 16,000.
    p = expit(board.logits)
    assert abs((answers.scores - p).sum()) < 4 * np.sqrt((p * (1 - p)).sum())


def test_statistics_against_direct_formulas():
    board = simulate.simulated_board(40, 60, seed=3)
    p, centred = expit(board.logits), board.logits - board.logits.mean(axis=0)
    values = simulate.statistics(board)
    singular = np.linalg.svd(centred, compute_uv=False) ** 2 / board.logits.size
    distance = ((centred[:, None] - centred) ** 2).mean(axis=2) + np.diag(np.full(40, np.inf))
    difficulty = p.mean(axis=0)
    between = np.array([difficulty[board.tasks == task].mean() for task in board.tasks])
    for name, direct in {
        "accuracy of models, 25%": np.quantile(p.mean(axis=1), .25),
        "difficulty of questions, 95%": np.quantile(difficulty, .95),
        "variance of the logit, factor 2": singular[1],
        "variance of the logit, factors 6-10": singular[5:10].sum(),
        "variance of the logit, all factors": centred.var(axis=0).mean(),
        "share of p within .01 of 0 or 1": ((p < .01) | (p > .99)).mean(),
        "mean of p(1-p)": (p * (1 - p)).mean(),
        "mean of sqrt(p(1-p))": np.sqrt(p * (1 - p)).mean(),
        "squared distance to next of 300, 75%": np.quantile(distance.min(axis=1), .75),
        "accuracy of newer half minus older": p[20:].mean() - p[:20].mean(),
        "variance of difficulty between tasks": between.var() / difficulty.var(),
    }.items():
        assert values[name] == pytest.approx(direct, rel=1e-9), name


def test_a_band_can_be_missed(laptop):
    """A board without families, factors or guessers (level and easiness only) is told apart."""
    plain = np.log(simulate._quantiles(np.arange(300), simulate.ACCURACY))[:, None] + np.linspace(-4, 4, 2000)
    missed = outside(simulate.Board(plain, laptop.models, laptop.questions, laptop.dates, tasks=laptop.tasks))
    assert "variance of the logit, factor 2" in missed and "squared distance to next of 300, 50%" in missed


def test_answers_are_drawn_with_the_stated_probabilities(laptop):
    """Twenty bins of p, each |Σ(z - p)| < 4.4 standard deviations: a false alarm once in 4,600 seeds."""
    p, z = expit(laptop.logits), laptop.draw(seed=0).scores
    assert z.dtype == np.int8 and set(np.unique(z)) == {0, 1}
    bins = np.digitize(p, np.quantile(p, np.arange(1, 20) / 20))
    for k in range(20):
        inside = bins == k
        assert abs((z[inside] - p[inside]).sum()) < 4.4 * np.sqrt((p * (1 - p))[inside].sum())


def test_a_seed_is_a_board():
    first, again, other = (simulate.simulate_leaderboard(60, 80, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_array_equal(first.models, again.models)
    assert (first.scores != other.scores).mean() > .1


def test_relatives_are_near_and_dates_ascend(laptop):
    kinds = np.array([name.split("-")[1] for name in laptop.models])
    assert set(kinds) == {"base", "tune", "merge", "guess"}
    assert (np.diff(laptop.dates.astype("datetime64[D]")).astype(int) >= 0).all()
    assert laptop.dates[0] >= "2024-06-01" and laptop.dates[-1] <= "2025-03-31"
    # Of models that have siblings and do not guess, most have one of them as the nearest of all.
    gram = simulate._gram(laptop.logits)
    distance = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
    np.fill_diagonal(distance, np.inf)
    honest = np.flatnonzero(kinds != "guess")
    nearest = honest[distance[np.ix_(honest, honest)].argmin(axis=1)]
    families = laptop.families
    has_sibling = np.array([(families[honest] == families[i]).sum() > 1 for i in honest])
    assert (families[nearest] == families[honest])[has_sibling].mean() > .6


def test_guessers_are_right_at_random(laptop):
    """Near chance, one letter's questions right and the others wrong, whether easy or hard."""
    p = expit(laptop.logits)
    guess = np.char.find(laptop.models, "-guess-") >= 0
    assert .04 < guess.mean() < .2
    assert p[guess].mean(axis=1).max() < .2
    difficulty = p[~guess].mean(axis=0)
    follows = [np.corrcoef(row, difficulty)[0, 1] for row in p]
    assert np.median(np.array(follows)[guess]) < .3 < .5 < np.median(np.array(follows)[~guess])


def test_accuracy_drifts_upwards():
    """Mean over 20 seeds of newer half minus older; the real board's is .024. One-sided t-test, level 1e-3."""
    name = "accuracy of newer half minus older"
    drift = [simulate.statistics(simulate.simulated_board(300, 100, seed))[name] for seed in range(20)]
    assert ttest_1samp(drift, 0, alternative="greater").pvalue < 1e-3
    assert np.mean(drift) == pytest.approx(.024, abs=.015)


def test_any_size():
    for n_models, n_questions in ((20, 50), (simulate.TREE + 40, 50), (25, 3000)):
        answers = simulate.simulate_leaderboard(n_models, n_questions, seed=5)
        assert answers.scores.shape == (n_models, n_questions)
        assert len(set(answers.tasks)) == len(simulate.TASK_SIZES)


def test_the_twin_is_its_factors(tmp_path):
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((50, 3)).astype(np.float16), rng.standard_normal((400, 3)).astype(np.float16)
    np.savez(tmp_path / "factors.npz", U=u, V=v)
    board = simulate.twin_board(tmp_path / "factors.npz")
    assert board.logits.dtype == np.float64
    direct = np.array([[sum(float(a) * float(b) for a, b in zip(row, column, strict=True))
                        for column in v] for row in u])
    np.testing.assert_allclose(board.logits, direct, rtol=1e-12, atol=1e-12)
    answers = simulate.twin(tmp_path / "factors.npz", seed=0)
    assert answers.models[0] == "model00" and answers.questions[399] == "q399" and answers.tasks is None
    assert list(answers.dates) == sorted(answers.dates)
    p = 1 / (1 + np.exp(-direct))
    assert abs((answers.scores - p).sum()) < 4 * np.sqrt((p * (1 - p)).sum())  # false alarm: 6e-5


# --- the script ------------------------------------------------------------------------------------------

def script(*args):
    return subprocess.run([sys.executable, str(REPOSITORY / "data" / "simulate_leaderboard.py"), *map(str, args)],
                          capture_output=True, text=True, timeout=120)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_script_writes_a_dataset(tmp_path):
    done = script("--models", 41, "--questions", 60, "--data-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()[:34])) <= 80
    dataset, expected = Dataset(tmp_path, "simulated"), simulate.simulate_leaderboard(41, 60, seed=0)
    history, new = dataset.history(), dataset.new_models()
    np.testing.assert_array_equal(np.vstack([history.scores, new.scores]), expected.scores)
    assert (history.n_models, new.n_models) == (20, 21)
    assert list(new.families) == list(expected.families[20:]) and list(new.tasks) == list(expected.tasks)
    board = simulate.simulated_board(41, 60, seed=0)
    np.testing.assert_allclose(dataset.truth(new.take(slice(2, 5))), board.logits[22:25], rtol=1e-6)
    with pytest.raises(InputError, match="not the true log-odds"):
        dataset.truth(history)
    before = contents(tmp_path)
    refused = script("--models", 41, "--questions", 60, "--data-dir", tmp_path, "--seed", 1)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr and contents(tmp_path) == before
    replaced = script("--models", 41, "--questions", 60, "--data-dir", tmp_path, "--share", .8, "--overwrite")
    assert replaced.returncode == 0 and contents(tmp_path) != before
    assert (dataset.history().n_models, dataset.new_models().n_models) == (32, 9)


def test_the_script_draws_a_twin(tmp_path):
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "f.npz", U=rng.standard_normal((24, 2)), V=rng.standard_normal((30, 2)))
    done = script("--from-factors", tmp_path / "f.npz", "--data-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    dataset, expected = Dataset(tmp_path, "twin"), simulate.twin(tmp_path / "f.npz", seed=0)
    np.testing.assert_array_equal(
        np.vstack([dataset.history().scores, dataset.new_models().scores]), expected.scores)
    assert (dataset.history().n_models, dataset.new_models().n_models) == (19, 5)


def test_dry_run_writes_nothing(tmp_path):
    done = script("--dry-run", "--data-dir", tmp_path / "new")
    assert done.returncode == 0 and "M1.csv" in done.stdout and not (tmp_path / "new").exists()
    assert script("--dry-run", "--models", 5, "--data-dir", tmp_path).returncode == 2
    assert script("--dry-run", "--from-factors", tmp_path / "absent.npz").returncode == 2


@pytest.mark.parametrize(("args", "says"), [
    (("--models", 5), "5 models"),
    (("--questions", -3), "-3 questions"),
    (("--models", 10**7, "--questions", 10**7), "cells"),
    (("--from-factors", "absent.npz"), "no such file"),
    (("--from-factors", "torn.npz"), "not a complete .npz"),
    (("--from-factors", "text.npz"), "not a complete .npz"),
    (("--from-factors", "array.npy"), "not a complete .npz"),
    (("--from-factors", "other.npz"), "not a complete .npz"),
    (("--from-factors", "shapes.npz"), "(5, 2)"),
    (("--from-factors", "few.npz"), "5 models"),
    (("--from-factors", "infinite.npz"), "not finite"),
    (("--from-factors", "shapes.npz", "--models", 30), "--models"),
    (("--share", 1.2), "--share: '1.2'"),
    (("--dataset", "a/b"), "plain name"),
    (("--data-dir", "text.npz"), "cannot be written"),
])
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, args, says):
    rows, columns = np.ones((5, 2)), np.ones((30, 2))
    np.savez(tmp_path / "shapes.npz", U=rows, V=np.ones((30, 3)))
    np.savez(tmp_path / "few.npz", U=rows, V=columns)
    np.savez(tmp_path / "other.npz", A=rows)
    np.savez(tmp_path / "infinite.npz", U=np.full((30, 2), np.inf), V=columns)
    np.save(tmp_path / "array.npy", rows)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "shapes.npz").read_bytes()[:300])
    (tmp_path / "text.npz").write_text("U,V\n")
    before = contents(tmp_path)
    args = [tmp_path / a if str(a).endswith((".npz", ".npy")) else a for a in args]
    done = script(*(() if "--data-dir" in args else ("--data-dir", tmp_path / "out")), *args)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and says in done.stderr
    assert contents(tmp_path) == before


def test_too_small_a_board_is_refused():
    with pytest.raises(InputError, match="at least 20 x 50"):
        simulate.simulate_leaderboard(300, 49)
