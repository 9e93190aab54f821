"""Results of promptfoo, on files that promptfoo 0.121.20 wrote (two echoing providers, one of which fails at times)."""

import json
import shutil

import pytest
from conftest import ROOT, run_script

from llm_accuracy.errors import InputError
from llm_accuracy.scores.readers import read, read_matrix_models, reader_of
from llm_accuracy.scores.task_scores import Choices

FILES = ROOT / "tests" / "data" / "promptfoo_0_121"
ONE, LINES, TWO = (FILES / name for name in ("one_prompt.json", "one_prompt.jsonl", "two_prompts.json"))
PASS, SCORE = Choices({"*": ("pass", None)}), Choices({"*": ("score", None)})


def scores(path, choices=PASS):
    return {name: tasks["scores"] for name, tasks in read_matrix_models(path, None, choices).items()}


def values(log):
    return log.frame["score"].fillna(-1).tolist()


def changed(folder, change, name=ONE):
    content = json.loads(name.read_text())
    change(content["results"])
    path = folder / "out.json"
    path.write_text(json.dumps(content))
    return path


def test_passes_are_those_that_promptfoo_counts():
    counted = {p["provider"]: p["metrics"] for p in json.loads(ONE.read_text())["results"]["prompts"]}
    for model, log in scores(ONE).items():
        assert (log.frame["score"] == 1).sum() == counted[model]["testPassCount"]
        assert log.frame["score"].isna().sum() == counted[model]["testErrorCount"]
        assert log.account.stated == log.account.answers == 4


def test_score_and_pass_are_not_mixed():
    with pytest.raises(InputError, match=r"success is false and score 0.5.*--metric pass or --metric score"):
        scores(ONE, Choices())
    assert values(scores(ONE, SCORE)["plain"]) == [1, 1, 0, 0.5] and values(scores(ONE)["plain"]) == [1, 1, 0, 0]


@pytest.mark.parametrize("errors, worth", [("missing", -1), ("wrong", 0)])
def test_an_error_of_the_provider_is_no_answer(errors, worth):
    log = scores(ONE, Choices({"*": ("pass", None)}, errors=errors))["shout"]
    assert values(log) == [1, worth, 1, 0] and any(f"--errors {errors}" in note for note in log.notes)


def test_its_json_lines_are_the_same():
    assert reader_of(LINES).name == "promptfoo"  # not JSONL of any program, whose ids would be one of each answer
    assert {m: values(log) for m, log in scores(LINES).items()} == {m: values(log) for m, log in scores(ONE).items()}


def test_every_prompt_is_a_model_and_repeats_are_averaged():
    found = scores(TWO)
    assert list(found) == [f"{who} [{what}]" for who in ("plain", "shout") for what in ("What is {{question}}?",
                                                                                     "Say {{question}}!")]
    log = found["plain [Say {{question}}!]"]
    assert values(log) == [1, 0, -1] and log.frame["runs"].tolist() == [2, 2, 0]
    assert any("repeated up to 2 times" in note for note in log.notes)
    assert any("no assertion, which promptfoo counts as passed" in note for note in log.notes)


def test_named_scores_and_names_of_tests():
    log = scores(TWO, Choices({"*": ("right", None)}, id_key="id"))["plain [Say {{question}}!]"]
    assert log.frame.index.tolist() == ["q1", "q2", "q3"] and values(log) == [1, 1, -1]
    with pytest.raises(InputError, match=r"no score nope; there are pass, score, right"):
        scores(TWO, Choices({"*": ("nope", None)}))


def test_keys_of_providers_never_arrive():
    assert "sk-abcdefgh" not in repr([(log.identity, log.setup) for log in scores(TWO).values()])


def test_one_name_on_two_tests_is_refused(tmp_path):
    def change(results):
        for record in results["results"]:
            record["vars"]["id"] = "q1"

    with pytest.raises(InputError, match=r"q1 is on two tests"):
        scores(changed(tmp_path, change), Choices({"*": ("pass", None)}, id_key="vars.id"))


def test_two_columns_of_one_name_stay_two(tmp_path):
    def change(results):
        for record in results["results"]:
            record["provider"] = {"id": "same"}
        for column in results["prompts"]:
            column["provider"] = "same"

    found = scores(changed(tmp_path, change))
    assert list(found) == ["same (column 0)", "same (column 1)"]


@pytest.mark.parametrize("change, said", [
    (lambda r: r.update(version=2), r"version 2"),
    (lambda r: r.update(version=None), "version null"),
    (lambda r: r.update(results=None), "no results.results"),
    (lambda r: r["results"][0].pop("success"), "not an answer"),
    (lambda r: r["results"][0].update(success=None, score=None), None),
    (lambda r: r["results"][0].update(success="yes"), "neither true nor false"),
    (lambda r: r["results"][0].update(testIdx="0"), "testIdx"),
    (lambda r: r["results"][0].update(promptIdx=None), "promptIdx"),
    (lambda r: r["results"][0].update(testCase=[]), "testCase"),
    (lambda r: r["results"][0].update(testCase=None), "testCase"),
    (lambda r: r["results"][0].update(provider={}), "names no model"),
    (lambda r: r["results"][0].update(provider={"id": "another"}), "an answer of another in column 1, which is"),
    (lambda r: r["results"].append(3), "not an answer"),
    (lambda r: r.update(prompts=[3]), "names no provider"),
])
def test_what_is_no_answer_is_one_line(tmp_path, change, said):
    path = changed(tmp_path, change)
    if said is None:
        assert values(scores(path)["shout"])[0] == -1
        return
    with pytest.raises(InputError, match=said) as error:
        scores(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_shortened_file_is_held_against_its_counts(tmp_path):
    path = changed(tmp_path, lambda results: results["results"].pop())
    assert any("holds 3 of the 4 samples" in note for log in scores(path).values() for note in log.notes)


def test_tests_that_were_changed_are_other_questions(tmp_path):
    def change(results):
        for record in results["results"]:
            record["vars"]["question"] = record["vars"]["question"][::-1]

    for name, path in (("a", ONE), ("b", changed(tmp_path, change))):
        (tmp_path / name).mkdir()
        shutil.copy(path, tmp_path / name / "out.json")
    with pytest.raises(InputError, match=r"under the same id"):
        read("promptfoo", [tmp_path / "a", tmp_path / "b"], choices=PASS)


def test_a_pair_and_a_matrix_take_it(tmp_path):
    done = run_script("mcnemar_tests.py", "pair", "--matrix", ONE, "plain", "shout", "--metric", "pass",
                      "--max-excluded", "0.5", code=None)
    assert done.returncode in (0, 1) and "plain" in done.stdout
    responses, notes = read("promptfoo", [ONE], choices=PASS)
    assert responses.models.tolist() == ["plain", "shout"] and responses.questions.tolist()[0] == "scores/0"
    assert any("blank (the provider gave an error)" in note for note in notes)
