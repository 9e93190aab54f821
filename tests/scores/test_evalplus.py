"""Results of evalplus, on files that evalplus 0.3.1 wrote (tests/helpers/write_evalplus.py)."""

import json

import pytest
from conftest import ROOT

from llm_accuracy.degradation.pairing import pair_up
from llm_accuracy.degradation.suite import judge_suite
from llm_accuracy.degradation.units import units_of
from llm_accuracy.errors import InputError
from llm_accuracy.scores.readers import read, read_model, reader_of
from llm_accuracy.scores.task_scores import Choices

FILES = ROOT / "tests" / "data" / "evalplus_0_3"
ONE, TWO, BASE = (FILES / f"{name}_eval_results.json" for name in ("one", "two", "base"))


def changed(folder, change, name="m_eval_results.json"):
    content = json.loads(ONE.read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    return folder / name


@pytest.mark.parametrize("path, means", [(ONE, {"HumanEval": 0.5, "HumanEval+": 0.25}),
                                         (TWO, {"HumanEval": 0.625, "HumanEval+": 0.375}), (BASE, {"HumanEval": 0.5})])
def test_means_are_the_pass_at_1_that_evalplus_printed(path, means):
    assert reader_of(path).name == "evalplus"
    found = read_model(path)
    assert {task: log.frame["score"].mean() for task, log in found.items()} == means
    assert all(log.kind == ("grid" if path == TWO else "0/1") for log in found.values())


def test_several_solutions_are_averaged_and_base_tests_alone_are_said():
    table, notes = read("evalplus", [FILES])
    assert table.models.tolist() == ["base", "one", "two"] and table.n_questions == 8
    for said in ("name no model", "2 solutions a problem, averaged", "base tests only"):
        assert any(said in note for note in notes)


def test_base_and_plus_flip_as_one_unit():
    one, two = read_model(ONE), read_model(TWO)
    suite = [pair_up(one[task], two[task], task) for task in one]
    assert judge_suite(suite, draws=100).shared == 8
    assert len(set(units_of(suite)[0].tolist())) == 4


def test_another_version_of_the_problems_is_other_questions(tmp_path):
    other = changed(tmp_path, lambda content: content.update(hash="0" * 32))
    with pytest.raises(InputError, match="under the same id"):
        read("evalplus", [ONE, other])
    without = changed(tmp_path, lambda content: content.pop("hash"))
    assert any("no hash of the problems" in note for note in read("evalplus", [without])[1])


@pytest.mark.parametrize("change, said", [
    (lambda c: c.update(eval=[]), "no problems under eval"),
    (lambda c: c.update(eval={"HumanEval/0": {"nfiles": 1, "base": [["pass", []]]}}), "a list of solutions"),
    (lambda c: c["eval"]["HumanEval/0"].clear(), "no solutions"),
    (lambda c: c["eval"]["HumanEval/0"][0].update(base_status=None), "base_status is null"),
    (lambda c: c["eval"]["HumanEval/0"][0].update(base_status="PASS"), "base_status is .PASS."),
    (lambda c: c["eval"]["HumanEval/0"][0].update(plus_status=True), "plus_status is true"),
    (lambda c: c["eval"]["HumanEval/0"][0].update(plus_status=None), "HumanEval/0: plus_status is null, and others"),
    (lambda c: c["eval"]["HumanEval/0"][0].update(task_id="HumanEval/9"), "among those of another problem"),
    (lambda c: c["eval"].update({"Mbpp/1": c["eval"]["HumanEval/0"]}), "among those of another|several benchmarks"),
])
def test_what_is_no_result_is_one_line(tmp_path, change, said):
    path = changed(tmp_path, change)
    with pytest.raises(InputError, match=said) as error:
        read_model(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_another_metric_is_refused():
    with pytest.raises(InputError, match="no metric acc; evalplus has passed"):
        read_model(ONE, Choices({"*": ("acc", None)}))


def test_a_timeout_is_wrong_as_evalplus_counts_it(tmp_path):
    path = changed(tmp_path, lambda c: c["eval"]["HumanEval/0"][0].update(base_status="timeout", plus_status="pass"))
    assert [log.frame.loc["0", "score"] for log in read_model(path).values()] == [0, 0]
