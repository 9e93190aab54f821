"""Logs that were once read wrongly without a word, each with what is right (../shared/cases, one README each)."""

import shutil

import numpy as np
import pytest
from conftest import run_script

from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.task_scores import Choices

pytestmark = pytest.mark.shared


@pytest.fixture
def case(shared, tmp_path):
    """A function name → a copy of the case's folder."""
    if not (shared / "cases").is_dir():
        pytest.skip(f"{shared / 'cases'} is not there")
    return lambda name: shutil.copytree(shared / "cases" / name, tmp_path / name)


def rows(responses):
    """{model: scores, NaN where blank}, questions in the order of their names."""
    order = np.argsort(responses.questions)
    return {model: np.where(seen, row, np.nan)[order].tolist()
            for model, row, seen in zip(responses.models, responses.scores.astype(float), responses.observed,
                                        strict=True)}


def pair(folder, *more, code=0):
    done = run_script("mcnemar_tests.py", "pair", *more, cwd=folder, code=code)
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_constant_scores(case):
    said = pair(case("constant-scores"), "a.csv", "b.csv")
    assert "UNDECIDED" in said and "drop 0" in said and "p = 1.000" in said
    assert "the scores never vary and their range is unknown" in said


def test_helm_splits(case):
    folder = case("helm-splits") / "runs"
    responses, notes = readers.read("helm", [folder])
    found = rows(responses)
    assert found["org/m0"] == [0, 0] and found["org/m1"] == [0, 1]
    assert responses.questions.tolist() == ["mmlu:subject=law/id3", "mmlu:subject=law/id4"]
    assert "org/m0: mmlu:subject=law: 2 left out: instances of split valid (test is read; --filter chooses)" in notes
    assert rows(readers.read("helm", [folder], filter_="valid")[0])["org/m0"] == [1, 1]
    with pytest.raises(InputError, match="has the splits valid, test and no train: choose one with --filter"):
        readers.read("helm", [folder], filter_="train")
    for model in responses.models:  # the other half reads the same
        frame = readers.read_model(folder / model[-2:])["mmlu:subject=law"].frame
        assert frame["score"].tolist() == found[model]


def test_inspect_dict_score(case, inspect_ai):
    folder = case("inspect-dict-score")
    with pytest.raises(InputError, match=r"following holds several scores \(strict, loose\)"):
        readers.read("inspect", [folder])
    found = rows(readers.read("inspect", [folder], "following.strict")[0])
    assert found == {"org/m0": [0, 1], "org/m1": [1, 0], "org/m2": [0, 1], "org/m3": [1, 0]}


def test_inspect_errored_sample(case, inspect_ai):
    folder = case("inspect-errored-sample")
    responses, notes = readers.read("inspect", [folder])
    assert rows(responses)["org/m0"] == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert any("1 answers without a score are blank (error: Timeout)" in note for note in notes)


def test_inspect_shuffled_ids(case, inspect_ai):
    folder = case("inspect-shuffled-ids")
    with pytest.raises(InputError, match="the documents of 4 of 4 questions differ between org/m3 and org/m0 under "
                                         "the same id"):
        readers.read("inspect", [folder])
    found = rows(readers.read("inspect", [folder], choices=Choices(by_content=True))[0])
    assert len({tuple(row) for row in found.values()}) == 1 and sorted(found["org/m3"]) == [0, 1, 1, 1]


def test_lm_eval_results_name(case):
    folder = case("lm-eval-results-name")
    assert readers.read("lm-eval", [folder])[0].models.tolist() == [f"org/m{i}" for i in range(4)]
    assert list(readers.read_matrix_models(folder)) == [f"org/m{i}" for i in range(4)]


def test_lm_eval_short_log(case):
    folder = case("lm-eval-short-log")
    done = run_script("mcnemar_tests.py", "suite", "base", "cand", cwd=folder, code=2)
    assert "task_a: the log holds 4 of the 5,000 samples" in done.stderr and not (folder / "degradation").exists()
    done = run_script("mcnemar_tests.py", "suite", "base", "cand", "--max-excluded", 1, cwd=folder)
    assert "task_b is reported but has no samples file: left out" in " ".join(done.stdout.split())


def test_lone_surrogate(case):
    said = pair(case("lone-surrogate"), "base", "cand")
    assert "UNDECIDED" in said and "3 compared" in said and "0 worse (b), 0 better (c)" in said


def test_na_word(case):
    folder = case("na-word")
    assert rows(readers.read("long", [folder / "long.csv"])[0])["m0"] == pytest.approx([1, np.nan], nan_ok=True)
    assert "1 no score in either" in pair(folder, "pair.csv", "pair.csv", "--max-excluded", ".05", "--allow-same")


@pytest.mark.parametrize("where", [".", "written_by_harness_0.4.13"])
def test_null_direction(case, where):
    folder = case("null-direction") / where
    for command in ("pair", "suite"):
        done = run_script("mcnemar_tests.py", command, "base", "cand", cwd=folder, code=2)
        assert "higher_is_better of judge_score is null: say it with --higher-is-better judge_score=true" in done.stderr
    samples = [str(next((folder / name).rglob("samples*"))) for name in ("base", "cand")]
    assert "--higher-is-better" in run_script("mcnemar_tests.py", "watch", *samples, code=2).stderr
    said = pair(folder, "base", "cand", "--higher-is-better", "judge_score=true")
    assert "DEGRADED" in said
    if where == ".":
        assert "6 worse (b), 0 better (c)" in said and "p = 0.0156" in said
