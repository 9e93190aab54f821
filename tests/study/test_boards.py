"""boards.py: every board in a folder, from matrices to one table."""

import contextlib
import hashlib
import io
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_script

import boards as script
from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.study import boards, ledger

METHODS = ["rounds", "srs", "unif", "sqrt", "stratified", "two-batch"]


def write_board(path, models, questions, seed, dated=0, blank=0, families=False):
    """A matrix as one finds them: `dated` of its models with a date, the last model with `blank` blanks."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(size=(models, 1)) - rng.normal(size=questions)))
    scores = (rng.random((models, questions)) < p).astype(int).astype(str)
    scores[models - 1, :blank] = ""
    frame = pd.DataFrame(scores, columns=[f"q{j}" for j in range(questions)])
    frame.insert(0, "model", [f"m{i}" for i in range(models)])
    frame.insert(1, "created_date", [f"2024-01-{dated - i:02}" if i < dated else "" for i in range(models)])
    frame.insert(2, "sha", "")
    if families:
        frame.insert(3, "family", [f"f{i % 5}" for i in range(models)])
    frame.to_csv(path, index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two boards, one with fewer than 100 questions; a list of questions, which is no board."""
    folder = tmp_path_factory.mktemp("matrices")
    write_board(folder / "large.csv.gz", 24, 150, 0, families=True)
    write_board(folder / "small.csv", 16, 90, 1, dated=14, blank=3)
    (folder / "small.items.csv").write_text("column,question\nq0,a\n")
    return folder


def where(out):
    return ["--logs-dir", out / "logs", "--data-dir", out / "data"]


def run(*arguments):
    """boards.py in this process, its steps forked from one that has torch already; returns what it printed."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(cli, "step", lambda script, *words: print(run_script(script, *words).stdout))
        patch.setattr(script, "ask", lambda step: run_script(step[0], *step[1]).stdout)
        script.main([str(argument) for argument in arguments])
    return printed.getvalue()


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    said = run_script("boards.py", folder, *where(out), "--seeds", 3, "--methods", *METHODS).stdout
    return out, said


def test_a_table_over_all_boards(done):
    out, said = done
    table = pd.read_csv(out / "logs" / "boards.csv", dtype={"called": str})
    names = {"growing rounds", "uniform (SRS)", "uniform (published)", "best baseline", "stratified",
             "two batches"}
    assert set(table["name"]) == names and (table["seeds"] == 3).all()
    budgets = table.groupby("dataset").apply(lambda rows: dict(zip(rows["called"], rows["budget"], strict=True)),
                                             include_groups=False)
    assert budgets["large"] == {"20": 20, "50": 50, "100": 100, "5%": 7, "10%": 15, "25%": 37}
    assert budgets["small"] == {"20": 20, "50": 50, "5%": 4, "10%": 9, "25%": 22}
    few = table[(table["dataset"] == "small") & (table["called"] == "5%")]
    assert set(few["name"]) == names - {"two batches"}
    assert "small nfobs=None_p=1.0: two-batch needs at least 6 questions, so budgets of 4 are left out" in said
    assert "no model has a date: split in the order of the file" in said
    assert "2 models have no date and come last, in the order of the file" in said
    assert "dropped 1 new models that lack scores: m15" in said
    assert "Means over 2 boards" in said and "small: 7 new models x 90 questions, 3 seeds" in said
    assert (ROOT / "boards.py").read_text().count("\n") <= 130


def test_coverage_is_clustered_and_misses_have_sides(done):
    out, _ = done
    table = pd.read_csv(out / "logs" / "boards.csv", dtype={"called": str})
    log = ledger.read(out / "logs" / "baselines_all_models.csv", "")
    mine = log[(log["dataset"] == "large") & (log["budget"] == 20) & (log["method"] == "stratified")]
    letters = np.array([list(row) for row in mine["covered"]])
    assert letters.shape == (3, 12) and set(letters.ravel()) <= set("1+-")
    row = table[(table["dataset"] == "large") & (table["called"] == "20") & (table["name"] == "stratified")].iloc[0]
    of_model = (letters == "1").mean(0)
    assert row["coverage"] == pytest.approx(of_model.mean(), abs=1e-6)
    assert row["coverage_se"] == pytest.approx(of_model.std(ddof=1) / np.sqrt(12), abs=1e-6)
    assert [row["above"], row["below"]] == pytest.approx([(letters == side).mean() for side in "+-"], abs=1e-6)
    assert (table["coverage"] + table["above"] + table["below"]).to_numpy() == pytest.approx(1, abs=1e-5)
    errors = np.array([list(map(float, row.split())) for row in mine["error_over_se"]])
    assert (errors[letters == "+"] <= 0).all() and (errors[letters == "-"] >= 0).all()  # 0: no width


def test_the_mean_over_boards(done):
    out, _ = done
    table = pd.read_csv(out / "logs" / "boards.csv", dtype={"called": str})
    means = boards.over_boards(table).set_index(["called", "name"])
    two = table[(table["called"] == "10%") & (table["name"] == "growing rounds")]
    row = means.loc[("10%", "growing rounds")]
    assert row["boards"] == 2 and row["ess_mse"] == pytest.approx(two["ess_mse"].mean())
    assert row["coverage_se"] == pytest.approx(np.sqrt((two["coverage_se"] ** 2).sum()) / 2)
    assert means.loc[("100", "growing rounds"), "boards"] == 1


def test_run_again_it_repeats_nothing_and_fewer_seeds_are_a_part(done, folder, tmp_path):
    out = shutil.copytree(done[0], tmp_path / "again")
    logs = [out / "logs" / f"{name}.csv" for name in ("faq_final", "baselines_all_models", "factor_models_cv")]
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in logs]
    assert "rounds: 0 trials to run" in run(folder, *where(out), "--seeds", 3, "--methods", "rounds", "--dry-run")
    run(folder, *where(out), "--seeds", 2, "--methods", "rounds", "srs", "--boards", "large")
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in logs] == before
    table = pd.read_csv(out / "logs" / "boards.csv")
    assert set(table["method"]) == {"rounds", "srs"} and set(table["dataset"]) == {"large"}
    assert (table["seeds"] == 2).all()


def test_a_dry_run_prices_and_writes_nothing(folder, tmp_path):
    said = run(folder, *where(tmp_path), "--seeds", 2, "--methods", "rounds", "greg", "--dry-run")
    assert "rounds: 12 trials to run" in said and "baselines_all.py: 12 trials to run" in said  # a group, and another
    assert "rounds: 10 trials to run" in said and "all of it: about" in said
    assert not list(tmp_path.iterdir())


def test_a_page_of_another_split_has_one_line_a_method(done, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- boards family -->\nold\n<!-- /boards family -->\nafter\n")
    out, _ = done
    table = pd.read_csv(out / "logs" / "boards.csv", dtype={"called": str})
    ready = [boards.Board(name, None, None, 12, 90, 2, 20) for name in dict.fromkeys(table["dataset"])]
    boards.write(table, ready, tmp_path, page, ["said"], "family")
    text = page.read_text()
    assert text.startswith("before\n<!-- boards family -->\nsaid\n")
    assert text.endswith("<!-- /boards family -->\nafter\n")
    assert text.count("missed above / below") == 1 and text.count("coverage, ESS by width / by error") == 1 + len(ready)
    with pytest.raises(InputError, match="boards weak-to-strong"):
        boards.place(page, "weak-to-strong")


def test_other_splits_are_other_datasets(folder, tmp_path):
    """No family on both sides; a random order; blanks, three ways."""
    def split(*flags):
        run_script("data/split_history.py", *flags, "--data-dir", tmp_path, "--dataset", "mine", "--overwrite")
        dataset = Dataset(tmp_path, "mine")
        return dataset.history(), dataset.new_models()

    history, new = split(folder / "large.csv.gz", "--split-by", "family")
    assert not set(history.families) & set(new.families) and history.n_models in (10, 14)
    weak, strong = split(folder / "large.csv.gz", "--split-by", "weak-to-strong")
    assert weak.n_models == strong.n_models == 8 and weak.accuracy().max() <= strong.accuracy().min()
    other, way = split(folder / "large.csv.gz", "--split-by", "strong-to-weak")
    assert (other.models.tolist(), way.models.tolist()) == (strong.models.tolist(), weak.models.tolist())
    assert split(folder / "large.csv.gz", "--split-by", "weak-to-strong", "--share", ".25")[0].n_models == 6
    orders = [split(folder / "large.csv.gz", "--shuffle", seed)[0].models.tolist() for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1] and len(orders[0]) == 12
    history, new = split(folder / "small.csv", "--incomplete", "questions")
    assert (history.n_questions, new.n_models, new.questions[0]) == (87, 8, "q3")
    assert split(folder / "small.csv", "--incomplete", "zero")[1].n_questions == 90
    assert split(folder / "small.csv")[1].n_models == 7


def test_large_boards_have_fewer_seeds():
    board = boards.Board("b", None, None, 443, 12_032, 2, 20)
    assert "2 seeds of 20: a large board" in board.says() and board.seeds_of("rounds") == 2
    assert boards.Board("b", None, None, 40, 500, 20, 20).seeds_of("active+factors") == 2


def test_what_cannot_be_run(folder, tmp_path):
    nothing = run_script("boards.py", tmp_path, *where(tmp_path), code=2)
    assert "no matrix there" in nothing.stderr
    unknown = run_script("boards.py", folder, *where(tmp_path), "--boards", "larg", code=2)
    assert "--boards larg: there are large, small" in unknown.stderr
    for words, said in ((("--shuffle", 1), "no order"), (("--share", ".6"), "at most .5")):
        refused = run_script("data/split_history.py", folder / "large.csv.gz", "--data-dir", tmp_path, "--dataset", "x",
                             "--split-by", "strong-to-weak", *words, code=2)
        assert said in refused.stderr and not list(tmp_path.iterdir())
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    refused = run_script("boards.py", folder, *where(tmp_path / "x"), "--page", page, code=2)
    assert "between which tables go" in refused.stderr and not (tmp_path / "x").exists()


@pytest.mark.parametrize("seconds", [0.04, 3.2, 59.94, 61, 125, 3599, 3661, 11_400])
def test_a_duration_is_read_back(seconds):
    assert cli.seconds(f"12 trials to run, about {cli.duration(seconds)} on this machine") == pytest.approx(
        seconds, abs=0.06 if seconds < 60 else 0.5 if seconds < 3600 else 31)


def test_markdown_of_a_board(done):
    out, _ = done
    text = (out / "logs" / "boards.md").read_text()
    assert text.startswith("`python boards.py") and "## Means over 2 boards" in text
    assert text.count("| growing rounds |") == 1 + 6 + 6 + 5  # means, means ± SE, each board
