"""What a history is worth, from matrices to log, tables and figures."""

import hashlib

import pandas as pd
import pytest
from conftest import run_script
from drawn import assert_told_apart
from test_boards import write_board

from llm_accuracy.errors import InputError
from llm_accuracy.study import history_figures, history_worth


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(matrices, folder of the log, what was printed) of a board of 24 models and one of 14."""
    folder = tmp_path_factory.mktemp("worth")
    write_board(folder / "large.csv.gz", 24, 250, 0, families=True)
    write_board(folder / "small.csv", 14, 90, 1, dated=12)
    matrices = [folder / "large.csv.gz", folder / "small.csv"]
    done = run_script("figures/history_logs.py", *matrices, "--draws", 2, "--logs-dir", folder / "logs")
    return matrices, folder / "logs", done.stdout


def test_the_log(made):
    """Nested random choices of the history by date, all of it by date, family and at random; each budget below half of
    the bank."""
    rows = history_worth.read(made[1] / history_worth.LOG)
    large = rows[rows["dataset"] == "large"]
    assert set(large["budget"]) == {20, 50, 100, 12, 25, 62}
    of_date = large[large["split"] == "date"].groupby("history")["draw"].nunique().to_dict()
    assert of_date == {4: 2, 8: 2, 12: 1}
    assert set(large["split"]) == {"date", "family", "random"} and (large["evaluations"] >= 400).all()
    assert (rows["half_width"] > 0).all() and rows["coverage"].between(0.8, 1).all()
    assert (rows["forecast_random_needs"] > 0).all()
    board = history_worth.Board.read(made[0][0], "date")
    four, eight = [history for draw, history in board.histories(1)][:2]
    assert set(four.models) < set(eight.models)


def test_finished_histories_are_not_repeated(made):
    matrices, logs, _ = made
    before = hashlib.sha256((logs / history_worth.LOG).read_bytes()).hexdigest()
    run_script("figures/history_logs.py", *matrices, "--draws", 2, "--logs-dir", logs)
    assert hashlib.sha256((logs / history_worth.LOG).read_bytes()).hexdigest() == before


def test_tables_and_page(made, tmp_path):
    matrices, logs, printed = made
    assert "| large | 4 |" in printed and "| small | 7 |" in printed and "came ÷ forecast" in printed
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- history -->\nold\n<!-- /history -->\nafter\n")
    run_script("figures/history_logs.py", *matrices, "--draws", 2, "--logs-dir", logs, "--page", page)
    text = page.read_text()
    assert text.startswith("before\n<!-- history -->\n| board |") and "old" not in text and "| all | 2 |" in text
    refused = run_script("figures/history_logs.py", *matrices, "--logs-dir", logs, "--page", tmp_path / "no.md", code=2)
    assert "no such file" in refused.stderr


def test_the_errors_are_ratios():
    rows = pd.DataFrame([{"dataset": name, "split": "date", "history": size, "budget": 20, "half_width": 0.11,
                          "forecast_half_width": 0.1, "ess_width": 1.0, "forecast_ess_width": 2.0}
                         for name, sizes in (("a", (4, 8)), ("b", (4,))) for size in sizes])
    _, four, every = history_worth.errors(rows)
    assert four == ["4", "1", "1.10 (1.10–1.10)", "0.50 (0.50–0.50)"] and every[:2] == ["all", "2"]


def test_the_figures(made):
    rows = history_figures.read(made[1])
    drawn = [found for figure in history_figures.FIGURES.values() for found in figure.draw(rows)]
    assert len(drawn) == 2 and all(found.numbers for found in drawn)
    assert_told_apart([drawn[0].figure])
    assert not list(history_figures.models(rows[rows["budget"] < 100]))


def test_a_board_without_complete_new_models_is_refused(tmp_path):
    write_board(tmp_path / "x.csv", 2, 30, 0, blank=3)
    with pytest.raises(InputError, match="no new model has all 30 scores"):
        history_worth.Board.read(tmp_path / "x.csv", "date")
