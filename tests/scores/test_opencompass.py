"""Results of OpenCompass, on files that opencompass 0.5.4 wrote (tests/helpers/write_opencompass.py)."""

import json
import shutil

import pytest
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.scores.readers import read, read_matrix_models, read_model, reader_of
from llm_accuracy.scores.task_scores import Choices

FILES = ROOT / "tests" / "data" / "opencompass_0_5"
ONE, PPL, PLAIN = (FILES / "results" / "good" / f"{name}.json" for name in ("gsm8k", "ppl", "plain"))


def changed(folder, change, source=ONE):
    path = folder / "results" / "m" / source.name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(source.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("model, of_100", [("good", {"gsm8k": 60, "ppl": 60, "exact": 50}),
                                           ("bad", {"gsm8k": 40, "ppl": 40, "exact": 30})])
def test_means_are_the_accuracies_that_it_reports(model, of_100):
    assert reader_of(FILES).name == "opencompass"
    found = read_matrix_models(FILES, [model], Choices())[model]
    assert {task: 100 * log.frame["score"].mean() for task, log in found.items()} == pytest.approx(of_100)
    for task in of_100:
        reported = json.loads((FILES / "results" / model / f"{task}.json").read_text())
        assert of_100[task] == pytest.approx(next(iter(reported.values())))
        assert found[task].frame["runs"].tolist() == [2 if task == "exact" else 1] * 5


@pytest.mark.parametrize("path", [ONE, PPL, ONE.parent, FILES / "results", FILES])
def test_it_is_recognised_by_any_of_its_parts(path):
    assert reader_of(path).name == "opencompass"


def test_what_says_of_no_answer_whether_it_was_right_is_left_out_by_name():
    notes = read("opencompass", [FILES])[1]
    assert sum("plain is left out: nothing says of an answer whether it was right" in note for note in notes) == 2
    assert any("hold no documents" in note for note in notes)
    with pytest.raises(InputError, match="plain is left out"):
        read_model(PLAIN)


@pytest.mark.parametrize("change, said", [
    (lambda c: c.pop("details"), "--dump-eval-details"),
    (lambda c: c.update(details=None), "--dump-eval-details"),
    (lambda c: c.update(details=None, error="preds and refrs have different length"), "different length"),
    (lambda c: c.update(details="many"), "details are a str"),
    (lambda c: c["details"][0].update(example_abbr=None), "example_abbr is null"),
    (lambda c: c["details"][0].update(example_abbr="gsm8k_test_1"), "question 1 is there twice"),
    (lambda c: c["details"][0].update(example_abbr="gsm8k_train_9"), "splits gsm8k_train, gsm8k_test: choose one"),
    (lambda c: c["details"][0].update(correct=["maybe"]), "'maybe' is not a number"),
    (lambda c: c["details"][0].update(correct=[{"a": 1}]), "holds several scores"),
    (lambda c: [one.pop("correct") for one in c["details"]], "is left out: nothing says"),
])
def test_unkind_files_are_one_line(tmp_path, change, said):
    path = changed(tmp_path, change)
    (tmp_path / "predictions").mkdir()
    with pytest.raises(InputError, match=said) as error:
        read_model(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("value", [[None], None, [], [float("nan")]])
def test_an_answer_without_a_verdict_is_blank(tmp_path, value):
    log = read_model(changed(tmp_path, lambda c: c["details"][0].update(correct=value)))["gsm8k"]
    assert log.frame["score"].isna().tolist() == [True] + 4 * [False] and log.account.scored == 4
    assert any("OpenCompass reports 60" in note for note in log.notes)


def test_another_split_is_chosen_and_the_rest_counted(tmp_path):
    path = changed(tmp_path, lambda c: c["details"][0].update(example_abbr="gsm8k_train_0"))
    log = read_model(path, Choices({"*": (None, "gsm8k_test")}))["gsm8k"]
    assert len(log.frame) == 4 and sum(log.account.left_out.values()) == 1


def test_another_score_needs_a_direction(tmp_path):
    path = changed(tmp_path, lambda c: [one.update(length=[3]) for one in c["details"]])
    with pytest.raises(InputError, match="--higher-is-better length=true"):
        read_model(path, Choices({"*": ("length", None)}))
    with pytest.raises(InputError, match="has no nope; its details have example_abbr, pred, answer, correct"):
        read_model(ONE, Choices({"*": ("nope", None)}))


def test_other_expected_answers_are_other_questions(tmp_path):
    changed(tmp_path, lambda c: c["details"][0].update(answer=["77"]))
    with pytest.raises(InputError, match="the targets of 1 of 5 questions differ"):
        read("opencompass", [FILES, tmp_path], choices=Choices(tasks=("gsm8k",)))


def test_one_name_at_two_times_is_two_models(tmp_path):
    for time in ("20260101_000000", "20260102_000000"):
        shutil.copytree(FILES, tmp_path / time)
    table, notes = read("opencompass", [tmp_path], choices=Choices(tasks=("gsm8k",)))
    assert len(table.models) == 4 and any("taken as different models" in note for note in notes)
