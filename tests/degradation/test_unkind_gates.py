"""What an adversary found: names of tables, huge counts, rare error rates and ranges, in this process."""

import numpy as np
import pandas as pd
import pytest

from llm_accuracy.degradation import commands
from llm_accuracy.degradation.paired import judge_counts
from llm_accuracy.degradation.report import report_pair
from llm_accuracy.degradation.tables import check_names
from llm_accuracy.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("hostile"), np.random.default_rng(0)
    for name, tasks in {"plain": ("x", "y"), "all": ("x", "ALL"), "error": ("x", "x_stderr")}.items():
        right = rng.random(60) < 0.6
        for model in ("base", "candidate"):
            answers = right if model == "base" else right ^ (rng.random(60) < 0.2)
            frames = [pd.DataFrame({"prompt_id": range(60), "score": answers.astype(int), "task": task})
                      for task in tasks]
            pd.concat(frames).to_csv(path / f"{name}_{model}.csv", index=False)
    pd.DataFrame({"prompt_id": range(1000, 1060), "score": 1}).to_csv(path / "elsewhere.csv", index=False)
    pd.DataFrame({"prompt_id": range(60), "score": 0}).to_csv(path / "one.csv", index=False)
    return path


@pytest.mark.parametrize("command, message", [
    ("suite all_base.csv all_candidate.csv", "task ALL: that is the name of all tasks together"),
    ("suite error_base.csv error_candidate.csv", "task x_stderr: that is the name of the error of x"),
    ("suite plain_base.csv plain_candidate.csv --skip *", r"--skip \* leaves no task; it has x, y"),
    ("pair plain_base.csv plain_candidate.csv --task x --range 0 1e308", r"no score is beyond ±1e\+100"),
    ("pair one.csv elsewhere.csv", "no item has a score in both one.csv and elsewhere.csv"),
    ("pair plain_base.csv plain_candidate.csv --task x --alpha 1e-300", "must lie between 1e-12 and .5"),
])
def test_refused_in_one_line(folder, monkeypatch, command, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(InputError, match=message) as caught:
        commands.main(command.split())
    assert "\n" not in str(caught.value) and sorted(folder.iterdir()) == before


@pytest.mark.parametrize("tasks, message", [
    ({"x": "y", "y": None}, "task y: that is the name of the category of x in the tables"),
    ({"x": "y", "y_stderr": None}, "task y_stderr: that is the name of the error of y"),
    ({"x": "ALL"}, "task x: its category is called ALL"),
])
def test_a_category_shares_its_column_with_no_task(tasks, message):
    with pytest.raises(InputError, match=message):
        check_names(tasks)
    check_names({"x": "x", "x_easy": "x", "y": None})  # a task may be in the category of its name


def test_what_is_taken_for_the_range_of_an_unknown_scale_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, score in {"one": 3.5, "two": 3.4, "same": 3.5}.items():
        pd.DataFrame({"prompt_id": range(50), "score": score}).to_csv(f"{name}.csv", index=False)
    assert commands.main(["pair", "one.csv", "two.csv"]) == 0
    assert "no score lies outside 3.4 to 3.5, the range seen" in " ".join(capsys.readouterr().out.split())
    assert commands.main(["pair", "one.csv", "same.csv", "--allow-same"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "drop 0, without a limit" in said and "95% interval none" in said and "inf" not in said


def test_counts_to_a_trillion_from_the_command_line(capsys):
    assert commands.main(["pair", "--counts", f"{10**12}", f"{10**9 + 10**6}", f"{10**9}"]) == 0
    assert "worse by 0.000100 points, at least 0.000093 and at most 0.000107" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        commands.main(["pair", "--counts", f"{10**12 + 1}", "1", "1"])


@pytest.mark.parametrize("alpha", [1e-12, 1e-6, 0.05])
def test_limits_where_nothing_or_everything_is_lost(alpha):
    for n in (1, 400, 10**12):
        for b, c in ((n, 0), (0, n), (0, 0)):
            result = judge_counts(n, b, c, alpha=alpha)
            assert -1 <= result.drop_lower <= result.drop <= result.drop_upper <= 1
            assert report_pair(result).headline
