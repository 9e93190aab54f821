"""The layout of lm-evaluation-harness before 0.4.3, on files that 0.4.0 wrote, and gzipped samples of any version."""

import gzip
import json
import shutil

import pytest
from conftest import ROOT
from test_contract import write_run

from llm_accuracy.errors import InputError
from llm_accuracy.scores.readers import read, read_model, read_runs
from llm_accuracy.scores.task_scores import Choices

OLD = ROOT / "tests" / "data" / "lm_eval_0_4_0"
STRICT = Choices({"gen": ("exact_match", "flexible-extract")})


@pytest.fixture
def old(tmp_path):
    return shutil.copytree(OLD, tmp_path / "old")


def of_task(folder, task):
    return folder / f"pretrained__org__m_{task}.jsonl"


@pytest.mark.parametrize("name", ["", "results.json"])
def test_every_task_has_the_mean_that_the_harness_reports(old, name):
    reported = json.loads((old / "results.json").read_text())["results"]
    tasks = read_model(old / name, STRICT)
    assert set(tasks) == {"sum", "big_sum", "gen"}
    for task, key in (("sum", "acc,none"), ("big_sum", "acc,none"), ("gen", "exact_match,flexible-extract")):
        frame = tasks[task].frame
        assert frame["score"].mean() == pytest.approx(reported[task][key]) and len(frame) == 12
        assert frame["doc_hash"].nunique() == 12 and tasks[task].notes == ()


def test_one_file_is_one_task(old):
    assert list(read_model(of_task(old, "sum"))) == ["sum"] and list(read_model(of_task(old, "big_sum"))) == ["big_sum"]


def test_files_named_by_their_task_alone(old):
    for task in ("sum", "big_sum", "gen"):
        of_task(old, task).rename(old / f"{task}.jsonl")
    assert set(read_model(old, STRICT)) == {"sum", "big_sum", "gen"}


def test_a_matrix_takes_it_under_the_name_that_is_given(old):
    responses, _ = read("lm-eval", [f"m={old}"], choices=STRICT)
    assert responses.models.tolist() == ["m"] and responses.n_questions == 36


def test_a_filter_is_asked_for(old):
    with pytest.raises(InputError, match=r"gen has several filters \(strict-match, flexible-extract\)"):
        read_model(old)


def test_samples_of_a_run_that_was_written_over_are_refused(old):
    shutil.copy(of_task(old, "sum"), old / "pretrained__org__other_sum.jsonl")
    with pytest.raises(InputError, match=r"not of the run in results.json.*a folder of its own"):
        read_model(old, STRICT)
    of_task(old, "sum").unlink()  # the other model's file does not stand in for it
    with pytest.raises(InputError, match=r"other_sum.*not of the run in results.json"):
        read_model(old, STRICT)


def test_files_of_other_tasks_are_named(old):
    shutil.copy(of_task(old, "sum"), old / "pretrained__org__m_more.jsonl")
    assert any("1 files beside it, which are left out (first pretrained__org__m_more.jsonl)" in note
               for scores in read_model(old, STRICT).values() for note in scores.notes)


def test_a_task_without_its_file_is_named(old):
    of_task(old, "gen").unlink()
    assert any("gen is reported but has no samples file" in note
               for scores in read_model(old).values() for note in scores.notes)


def test_a_torn_list_is_one_line(old):
    path = of_task(old, "sum")
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"_sum.jsonl.*not JSON") as error:
        read_model(old, STRICT)
    assert "\n" not in str(error.value)


def test_gzipped_samples_are_the_same_in_both_layouts(old, tmp_path):
    new = write_run(tmp_path / "new", [1.0, 0.0, None])
    for folder in (old, new):
        before = read_model(folder, STRICT)
        for file in folder.glob("*.jsonl"):
            file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        after = read_model(folder, STRICT)
        assert all(after[task].frame.equals(scores.frame) for task, scores in before.items())
        assert len(read_runs(folder, STRICT)) == 1


def test_old_and_new_runs_in_one_folder_are_two_runs(old):
    with pytest.raises(InputError, match=r"several models|two runs of"):
        read_model(write_run(old, [1.0] * 12, task="sum", config={
            "model": "made_up", "model_args": "pretrained=org/other", "limit": None}, model=None), STRICT)
