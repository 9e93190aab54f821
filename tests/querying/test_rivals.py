"""Rivals from survey sampling: exact statements by enumeration on tiny banks, coverage by simulation, fixed seeds."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, run_script
from scipy import stats

import baselines_all
import summarize_results
from llm_accuracy.errors import InputError
from llm_accuracy.querying import rivals
from llm_accuracy.querying.estimates import Estimate
from llm_accuracy.querying.rival_estimates import Found, History, later_weight
from llm_accuracy.querying.rivals import RIVALS, Rival, installed
from llm_accuracy.study import figures, ledger, summaries

FALSE_ALARM = 1e-4  # of each simulated statement: a right program fails it once in ten thousand seeds


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """40 models × 200 questions with factors."""
    folder = tmp_path_factory.mktemp("board")
    run_script("data/simulate_leaderboard.py", "--data-dir", folder / "data", "--models", 40, "--questions", 200,
               "--dataset", "board")
    run_script("factor_models_final.py", "--datasets", "board", "--scenarios", "nfobs=None_p=1.0", "--data-dir",
               folder / "data", "--factors-dir", folder / "factors", "--rank", 2, "--weight-decay", 4.0, "--epochs", 20)
    return folder


def bank(n, models=9, seed=0, partial=False):
    """(scores (N,) of a new model, History): both from one curve of difficulties, the history with blanks."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=n)
    p = 1 / (1 + np.exp(difficulty - rng.normal(0.3, 0.7, (models + 1, 1)) + rng.normal(0, 0.5, (models + 1, n))))
    scores = rng.beta(3 * p, 3 * (1 - p)) if partial else (rng.random(p.shape) < p).astype(float)
    seen = np.where(rng.random((models, n)) < 0.1, np.nan, scores[1:])
    return scores[0], History(seen, np.nanmean(seen, 0))


def every_order(n):
    """(n!, n) uniform numbers: each order of the questions once. A sample depends on nothing else."""
    return (np.array(list(itertools.permutations(range(n)))) + 0.5) / n


def run(name, z, budget, uniforms, history):
    return RIVALS[name].of(np.broadcast_to(z, (len(uniforms), len(z))), budget, uniforms, history)


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name, n, budget", [(name, n, budget) for name in ("stratified", "difference")
                                             for n, budget in ((7, 2), (7, 3), (7, 5), (8, 4), (8, 7))])
def test_unbiased_and_so_is_the_variance(name, n, budget, partial):
    """Over every sample; a sample of each size that the strata allow is drawn."""
    z, history = bank(n, partial=partial)
    found = run(name, z, budget, every_order(n), history)
    theta, se, df = found.estimate
    assert theta.mean() == pytest.approx(z.mean(), abs=1e-12)
    assert (se**2).mean() == pytest.approx(theta.var(), abs=1e-12)
    assert all(len(set(row)) == budget for row in found.asked[:50])
    assert df == (budget - 1 if name == "difference" else budget - budget // 2)
    shares = np.bincount(found.asked.ravel(), minlength=n) / len(theta)
    assert shares.sum() == pytest.approx(budget)
    assert name == "stratified" or shares == pytest.approx(budget / n)


@pytest.mark.parametrize("n, budget", [(9, 6), (9, 8), (10, 8)])
def test_the_second_batch_is_unbiased_given_the_first(n, budget):
    """Every first batch; after each, every order of the questions left."""
    z, history = bank(n, seed=3)
    half, weight = budget // 2, later_weight(budget, n)
    some = np.random.default_rng(0).random((2000, n))
    firsts = {tuple(sorted(row)) for row in run("stratified", z, half, some, history).asked.tolist()}
    assert len(firsts) > 5
    for first in sorted(firsts):
        left = [j for j in range(n) if j not in first]
        uniforms = np.zeros((len(every_order(len(left))), n))
        uniforms[:, first] = 1e-9 * np.arange(1, half + 1)  # asked whatever the others are
        uniforms[:, left] = every_order(len(left))
        found = run("two-batch", z, budget, uniforms, history)
        assert {tuple(sorted(row)) for row in found.asked[:, :half].tolist()} == {first}
        alone = run("stratified", z - history.mean, half, uniforms[:1], history).estimate
        expected = (1 - weight) * (history.mean.mean() + alone.theta[0]) + weight * z.mean()
        assert found.estimate.theta.mean() == pytest.approx(expected, abs=1e-9)
        own = (found.estimate.se**2).mean() - (1 - weight) ** 2 * alone.se[0] ** 2  # what the second batch adds
        assert own == pytest.approx(found.estimate.theta.var(), abs=1e-9)


def test_the_second_batch_does_not_depend_on_the_numbers_of_the_first():
    """Given the first batch, every sample of the second that its strata allow is as likely as any other: χ² over all of
    them, false alarm 1e-4. The numbers left from the first batch, used as they are, fail it."""
    n, budget, half = 12, 10, 5
    z, history = bank(n, seed=5)
    uniforms = np.random.default_rng(1).random((200_000, n))
    asked = run("two-batch", z, budget, uniforms, history).asked
    first, second = np.sort(asked[:, :half], 1), np.sort(asked[:, half:], 1)
    _, which, count = np.unique(first, axis=0, return_inverse=True, return_counts=True)
    p_values = []
    for i in np.argsort(-count)[:20]:
        _, seen = np.unique(second[which == i], axis=0, return_counts=True)
        p_values.append(stats.chisquare(seen).pvalue)
        assert len(seen) == 12  # of the seven left, three of four and two of three
    assert min(p_values) > FALSE_ALARM / 20


@pytest.mark.parametrize("name", installed())
@pytest.mark.parametrize("n", [9, 10])
def test_all_asked_is_the_accuracy_itself(name, n):
    z, history = bank(n)
    found = run(name, z, n, np.random.default_rng(0).random((3, n)), history).estimate
    assert found.theta == pytest.approx(z.mean()) and found.se == pytest.approx(0, abs=1e-9)


def test_a_regression_is_nearly_unbiased():
    """Over every sample of tiny banks: the bias is less than a fifth of the root mean squared error."""
    worst = {}
    for budget, seed in itertools.product((4, 6, 8), range(6)):
        z, history = bank(12, seed=seed)
        samples = list(itertools.combinations(range(12), budget))
        uniforms = np.ones((len(samples), 12)) - 1e-3
        for row, sample in zip(uniforms, samples, strict=True):
            row[list(sample)] = 0.1
        theta = run("greg", z, budget, uniforms, history).estimate.theta
        bias, rmse = theta.mean() - z.mean(), np.sqrt(((theta - z.mean()) ** 2).mean())
        worst[budget] = max(worst.get(budget, 0), abs(bias) / max(rmse, 1e-9))
    assert max(worst.values()) < 0.2, worst  # at 20 questions of 300 it is lost in the noise


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", [name for name in RIVALS if name != "ppi++"])
def test_coverage(name, partial):
    """Three new models × 1,500 samples at 20 and at 60 of 300 questions: not below 94 %, the regression not below 92 %
    (its left-out errors do not know that the penalty was chosen by them)."""
    for budget in (20, 60):
        covered = []
        for seed in range(3):
            z, history = bank(300, models=25, seed=seed, partial=partial)
            uniforms = np.random.default_rng(100 + seed).random((1500, 300))
            found = run(name, z, budget, uniforms, history).estimate
            covered += found.interval().covers(z.mean()).tolist()
            error = found.theta.mean() - z.mean()
            if name != "greg":
                assert abs(error) < stats.norm.isf(FALSE_ALARM / 2) * found.theta.std() / np.sqrt(1500)
        least = 0.92 if name == "greg" else 0.94
        assert stats.binomtest(sum(covered), len(covered), least, "less").pvalue > FALSE_ALARM, np.mean(covered)


def test_prediction_powered_inference_is_its_authors():
    """Against the formulas of arXiv 2311.01453 for a mean: λ = Cov(Y, f) / ((1 + n/N) Var f), clipped to [0, 1]."""
    pytest.importorskip("ppi_py")
    z, history = bank(60, models=12)
    uniforms = np.random.default_rng(0).random((5, 60))
    found = run("ppi++", z, 20, uniforms, history)
    for row in range(5):
        asked = np.argsort(uniforms[row])[:20]
        others = np.setdiff1d(np.arange(60), asked)
        y, f, g = z[asked], history.mean[asked], history.mean[others]
        both = np.concatenate([f, g])
        tuned = np.clip(np.cov(y, f, ddof=0)[0, 1] / ((1 + 20 / 40) * both.var()), 0, 1)
        theta = y.mean() + tuned * (g.mean() - f.mean())
        se = np.sqrt(tuned**2 * g.var() / 40 + (y - tuned * f).var() / 20)
        assert sorted(found.asked[row]) == sorted(asked)
        assert found.estimate.theta[row] == pytest.approx(theta, rel=0.02)
        assert found.estimate.se[row] == pytest.approx(se, rel=0.02)


def test_coverage_of_prediction_powered_inference():
    """Its quantile is normal and its variance of 20 answers a little small: not below 90 % at 20, 93 % at 60."""
    pytest.importorskip("ppi_py")
    for budget, least in ((20, 0.90), (60, 0.93)):
        z, history = bank(300, models=25)
        found = run("ppi++", z, budget, np.random.default_rng(1).random((1500, 300)), history).estimate
        covered = int(found.interval().covers(z.mean()).sum())
        assert stats.binomtest(covered, 1500, least, "less").pvalue > FALSE_ALARM, covered / 1500


def test_a_rival_that_is_not_installed_is_refused_by_name_and_else_left_out(board, tmp_path, script):
    if RIVALS["ppi++"].installed:
        pytest.skip("ppi-python is installed")
    where = ["--datasets", "board", "--scenarios", "nfobs=None_p=1.0", "--data-dir", board / "data", "--factors-dir",
             board / "factors", "--logs-dir", tmp_path, "--budgets", "20", "--seeds", "1"]
    refused = script("baselines_all.py", *where, "--policies", "srs", "ppi++", code=2)
    assert "ppi++ needs ppi-python" in refused.stderr and not list(tmp_path.iterdir())
    assert "ppi++ is left out: it needs ppi-python" in script("baselines_all.py", *where, "--dry-run").stdout
    with pytest.raises(InputError, match="pip install ppi-python"):
        run("ppi++", np.ones(9), 3, np.random.default_rng(0).random((1, 9)), bank(9)[1])


# --- known everywhere ----------------------------------------------------------------------------------


@pytest.fixture
def mine():
    """A rival registered from outside: the first T questions of the bank, whose mean is taken for the truth's."""
    def first_questions(scores, budget, uniforms, history):
        asked = np.broadcast_to(np.arange(budget), (len(scores), budget))
        return Found(Estimate(scores[:, :budget].mean(1), scores[:, :budget].std(1), budget - 1), asked)

    yield rivals.register(Rival("first", "first questions", first_questions, least=30, variance="made-up"))
    del RIVALS["first"]


def test_a_rival_from_outside(mine, board, tmp_path, capsys):
    """It is on the command line, in the log, in the table and in the figure; the others keep their numbers."""
    with pytest.raises(SystemExit):
        baselines_all.main(["--help"])
    assert "two-batch, ppi++, first" in capsys.readouterr().out
    where = ["--datasets", "board", "--scenarios", "nfobs=None_p=1.0", "--data-dir", str(board / "data"),
             "--factors-dir", str(board / "factors"), "--budgets", "20", "60", "--seeds", "2", "--logs-dir",
             str(tmp_path)]
    baselines_all.main([*where, "--dry-run"])
    said = capsys.readouterr().out
    assert "first needs at least 30 questions, so budgets of 20 are left out" in said
    trials = 2 * (2 * (1 + 2 + 8 + len(installed()) - 1) + 1)  # of 2 seeds: srs, 2 unif, 8 walks, the rivals; mine
    assert f"{trials} trials to run, about" in said
    baselines_all.main(where)
    log = ledger.read(tmp_path / "baselines_all.csv", "")
    own = log[log["method"] == "first"]
    assert own["budget"].tolist() == [60, 60] and (own["unique"] == 60).all()
    assert (own[["sampling", "variance", "setting"]] == ["without", "made-up", "none"]).all(axis=None)
    assert set(log[log["method"] == "stratified"]["variance"]) == {"design"} and (log["factors"] == "none").all()
    capsys.readouterr()
    summarize_results.main(["--logs-dir", str(tmp_path)])
    printed = capsys.readouterr().out
    names = {"first questions", "stratified", "difference", "regression", "two batches"}
    assert all(f"\n{name} " in printed for name in names)
    table = summaries.compared(summaries.read(tmp_path / "summary.csv"))
    legend = {text.get_text() for text in figures.ess_and_coverage(table).legends[0].get_texts()}
    assert names <= legend


def test_names_are_taken_once(mine):
    for name in ("first", "srs", "faq-mix", "sqrt"):
        with pytest.raises(InputError, match=name):
            rivals.register(Rival(name, "", ""))


def test_a_history_that_has_changed_is_refused(board, tmp_path, script):
    """The rivals read the scores themselves, so they must be those that the factors were fitted to."""
    text = (board / "data" / "board" / "M1.csv").read_text().splitlines(keepends=True)
    data = tmp_path / "data" / "board"
    data.mkdir(parents=True)
    (data / "M1.csv").write_text("".join([text[0], *text[2:]]))
    (data / "M2.csv").write_bytes((board / "data" / "board" / "M2.csv").read_bytes())
    done = script("baselines_all.py", "--datasets", "board", "--scenarios", "nfobs=None_p=1.0", "--data-dir",
                  tmp_path / "data", "--factors-dir", board / "factors", "--logs-dir", tmp_path / "logs", "--policies",
                  "greg", "--budgets", "20", "--seeds", "1", code=2)
    assert "another history" in done.stderr and not (tmp_path / "logs" / "baselines_all.csv").exists()


def test_the_records_are_light():
    code = ("import sys, llm_accuracy.querying.rivals; "
            "assert not {'torch', 'scipy', 'llm_accuracy.querying.rival_estimates'} & sys.modules.keys()")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
