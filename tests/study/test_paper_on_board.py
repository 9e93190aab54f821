"""paper_on_board.py: the paper's study on a board of another size."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from conftest import run_script
from test_boards import write_board

import paper_on_board as script
from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.scores.scenario import Scenario
from llm_accuracy.study import paper_on_board
from llm_accuracy.study.grids import TIERS

SMALL = "bbh+gpqa+ifeval+math+musr"
# What a test can pay: argparse takes the last of a flag's values.
CHEAPER = {"factor_models_cv.py": ["--ranks", 2, "--weight-decays", 1.0, "--folds", 2, "--epochs", 2],
           "factor_models_val.py": ["--protocol", "map", "--rank", 2, "--weight-decay", 4.0],
           "factor_models_final.py": ["--protocol", "map", "--rank", 2, "--weight-decay", 4.0],
           "faq_val.py": ["--settings", *paper_on_board.SETTINGS[3:5], "--budgets", "2.5%"],
           "faq_final.py": ["--seeds", 2], "baselines_all.py": ["--seeds", 2],
           "ablations_all.py": ["--seeds", 2, "--budgets", "2.5%", "10%"]}


@pytest.mark.parametrize("published", TIERS["paper"].scenarios)
@pytest.mark.parametrize(("rows", "questions", "whose"), [(214, 2191, 9574), (1000, 12032, 12032), (76, 1500, 12032)])
def test_a_scaled_scenario_keeps_the_share_of_rows_and_the_entries_of_a_row(published, rows, questions, whose):
    was = Scenario.parse(published)
    now = paper_on_board.scaled(was, rows, questions, whose)
    assert Scenario.parse(now.key) == now, "a key that no other script can read"
    if was.n_full is None:
        assert now == was
        return
    assert abs(now.n_full - was.n_full * rows / 2212) <= 0.5
    assert now.p * questions == pytest.approx(was.p * whose, rel=0.005)


def test_a_board_of_too_few_questions_is_refused():
    with pytest.raises(InputError, match=r"900 questions: scenario nfobs=50_p=0.1 shows 957 of a row"):
        paper_on_board.scaled(Scenario.parse("nfobs=50_p=0.1"), 214, 900, 9574)


def test_the_real_leaderboards_scenarios():
    study = paper_on_board.Study("board", SMALL, None, None, 214, 214, 2191)
    assert study.scenarios == dict(zip(
        ["nfobs=None_p=1.0", "nfobs=5_p=0.437", "nfobs=19_p=0.437", "nfobs=77_p=0.437", "nfobs=0_p=0.0437",
         "nfobs=0_p=0.00437", "nfobs=0_p=0.000437", "nfobs=0_p=4.37e-05"], TIERS["paper"].scenarios, strict=True))


def test_tuning_stays_within_its_cost_limit():
    assert len(set(paper_on_board.SETTINGS)) == 20
    grid = {setting.key for setting in TIERS["paper"].val_settings}
    assert set(paper_on_board.SETTINGS) <= grid and len(grid) == 400
    study = paper_on_board.Study("board", SMALL, None, None, 214, 214, 2191)
    tuning = [words for name, words in study.trials() if name == "faq_val.py"]
    assert [words[words.index("--seeds") + 1] for words in tuning] == [1, 1]
    assert [len(words[words.index("--settings"):]) - 1 for words in tuning] == [20, 8]
    words = [words for name, words in study.fitting() if name == "factor_models_cv.py"]
    assert "--ranks" not in words[0] + words[1] and "--folds" not in words[0], "the whole history has the paper's grid"


def run(*arguments):
    """paper_on_board.py in this process; its steps cheap."""
    printed = io.StringIO()

    def step(name, *words):
        done = run_script(name, *words, *CHEAPER.get(name, []))
        print(done.stdout)
        return done.stdout

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(cli, "step", step)
        patch.setattr(cli, "said", step)
        patch.setattr(paper_on_board, "SCENARIOS", ["nfobs=None_p=1.0", "nfobs=50_p=0.1", "nfobs=0_p=0.01"])
        script.main([str(argument) for argument in arguments])
    return printed.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory, shared):
    out = tmp_path_factory.mktemp("paper_on_board")
    write_board(out / "mine.csv", 24, 1000, 0)
    page = out / "page.md"
    page.write_text("before\n<!-- paper on board -->\nof last year\n<!-- /paper on board -->\nafter\n")
    given = [out / "mine.csv", "--as", SMALL, "--paper", shared / "paper", "--data-dir", out / "data", "--logs-dir",
             out / "logs", "--page", page]
    return out, given, run(*given)


def test_every_table_is_made_from_the_logs(done):
    out, _, said = done
    page = (out / "page.md").read_text()
    assert page.startswith("before\n<!-- paper") and page.endswith("<!-- /paper on board -->\nafter\n")
    assert "last year" not in page and "nan" not in page
    body = page.partition("<!-- paper on board -->\n")[2].partition("<!-- /")[0]
    assert (out / "logs" / "beside_published.md").read_text() == body and body in said
    scenarios = Dataset(out / "data", "mine")
    seen = int(scenarios.history("nfobs=0_p=0.0957").observed.sum())
    assert f"| nfobs=0_p=0.0957 | nfobs=0_p=0.01 | {seen:,} | {seen / 12:,.1f} |" in body
    assert abs(seen / 12 - 95.7) < 15
    summary = pd.read_csv(out / "logs" / "summary.csv")
    faq = summary[(summary["method"] == "faq") & (summary["sampling"] == "with") & (summary["budget"] == 100)
                  & (summary["scenario"] == "nfobs=None_p=1.0")].set_index("variance")
    [line] = [line for line in body.splitlines() if line.startswith("| FAQ, ours | ") and "±" in line and
              f"{faq.loc['published', 'mean_width']:.4f}" in line]
    assert line.count("|") == 12, "a column for each of ten budgets"
    unbiased = faq.loc["unbiased"]
    assert (f"{unbiased['coverage']:.3f}, {unbiased['ess_width']:.2f} / {unbiased['ess_mse']:.2f}") in body


def test_published_figures_stand_beside_ours(done, shared):
    body = (done[0] / "logs" / "beside_published.md").read_text()
    theirs = pd.read_csv(shared / "paper" / "faq_summary.csv")
    row = theirs[(theirs["dataset"] == SMALL) & theirs["n_full_obs"].isna() & np.isclose(theirs["prop_budget"], 0.025)]
    first = next(line for line in body.splitlines() if line.startswith("| FAQ, published |"))
    assert first.split("|")[2].strip().startswith(f"{row['ess_multiplier'].item():.2f} ±")


def test_run_again_it_repeats_nothing(done):
    out, given, before = done
    logs = {path: path.read_bytes() for path in (out / "logs").glob("*.csv")}
    after = run(*given)
    assert {path: path.read_bytes() for path in logs} == logs
    assert before[before.index("### Scenarios"):before.index("all of it")] == after[
        after.index("### Scenarios"):after.index("all of it")]


def test_a_dry_run_prices_and_leaves_nothing(done, tmp_path, shared):
    out, *_ = done
    said = run(out / "mine.csv", "--as", SMALL, "--paper", shared / "paper", "--data-dir", tmp_path / "data",
               "--logs-dir", tmp_path / "logs", "--dry-run")
    assert "faq_val.py:" in said and "all of it: about" in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("more", "words"), [
    (["--as", "mmlu"], "--as mmlu: published are mmlu-pro, bbh+gpqa+ifeval+math+musr"),
    (["--as", SMALL, "--page", "nowhere.md"], "--page nowhere.md: no such file")])
def test_bad_input_is_refused(tmp_path, shared, more, words):
    write_board(tmp_path / "mine.csv", 24, 1000, 0)
    done = run_script("paper_on_board.py", tmp_path / "mine.csv", "--paper", shared / "paper", "--data-dir",
                      tmp_path / "data", "--logs-dir", tmp_path / "logs", *more, code=2)
    assert done.stderr.count("\n") == 1 and words in done.stderr
    done = run_script("paper_on_board.py", tmp_path / "mine.csv", "--paper", tmp_path, "--as", SMALL, code=2)
    assert "the folder of published tables must hold it" in done.stderr
