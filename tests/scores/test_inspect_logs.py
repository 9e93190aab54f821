"""Logs that inspect_ai wrote itself, and the faults of logs, in both halves: matrix import and pairs.

Skipped where inspect_ai is not installed; `make test` installs it into .venv-inspect.
"""

import json
import warnings

import numpy as np
import pytest
from conftest import run_script

from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.flags import read_values
from llm_accuracy.scores.task_scores import Choices

RIGHT = {"m0": [1, 0, 1, 1], "m1": [0, 0, 1, 1]}


@pytest.fixture(scope="module")
def logs(inspect_ai, tmp_path_factory):
    """folder/two: models m0 and m1 on one task, two epochs; folder/args: m0 on subsets; folder/crash: a crash; one
    scorer of entries in folder/dict."""
    from inspect_ai.dataset import Sample
    from inspect_ai.log import write_eval_log
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import Score, accuracy, match, mean, scorer

    folder = tmp_path_factory.mktemp("inspect")
    questions = [Sample(id=f"s{j}", input=f"question {j}", target="yes") for j in range(4)]

    def outputs(model, said):
        made = [ModelOutput.from_content(f"mockllm/{model}", text) for text in said]
        for output in made:
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return get_model(f"mockllm/{model}", custom_outputs=made)

    def run(task, model, said, where, **how):
        return inspect_ai.eval(task, model=outputs(model, said), log_dir=str(folder / where), display="none",
                               max_samples=1, max_connections=1, log_level="error", **how)

    @scorer(metrics={"strict": [mean()], "loose": [mean()]})
    def following():
        async def score(state, target):
            return Score(value={"strict": state.output.completion == "yes", "loose": True})
        return score

    @scorer(metrics=[accuracy()])
    def graded():
        async def score(state, target):
            return Score(value=state.output.completion)
        return score

    @scorer(metrics=[accuracy()])
    def fragile():
        async def score(state, target):
            if state.sample_id == "s1":
                raise TimeoutError("Timeout")
            return Score(value="C")
        return score

    @inspect_ai.task
    def yesno(subset="all"):
        return inspect_ai.Task(dataset=questions, scorer=match(), epochs=2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model, right in RIGHT.items():
            said = [("yes", "no")[not r] for _ in range(2) for r in right]
            run(yesno(), model, said, "two")
        for subset in ("easy", "hard"):
            [log] = run(yesno(subset=subset), "m0", ["yes"] * 8, "args")
            log.eval.model_args = {}  # mockllm's have a random id for every answer
            write_eval_log(log, log.location)
        run(inspect_ai.Task(dataset=questions, scorer=following(), name="dict"), "m0", ["yes", "no"] * 2, "dict")
        for word in ("CORRECT", "0.25", "P"):
            run(inspect_ai.Task(dataset=questions, scorer=graded(), name="words"), "m0", [word] * 4, word)
        run(inspect_ai.Task(dataset=questions, scorer=fragile(), name="crash"), "m0", ["yes"] * 4, "crash",
            fail_on_error=False)
        run(inspect_ai.Task(dataset=questions, scorer=match(), name="short"), "m0", ["yes"] * 2, "short", limit=2)
        run(inspect_ai.Task(dataset=questions, scorer=match(), name="reduced",
                            epochs=inspect_ai.Epochs(3, ["at_least_2", "pass_at_2"])), "m0",
            ["yes", "no"] * 6, "reduced")
    return folder


def one(folder, task, **choices):
    return readers.read_model(folder, Choices(**choices))[task]


def test_both_halves_read_the_same(logs):
    responses, notes = readers.read("inspect", [logs / "two"])
    assert any("up to 2 epochs a question, reduced by inspect_ai's mean" in note for note in notes)
    pairs = readers.read_matrix_models(logs / "two")
    assert sorted(pairs) == sorted(responses.models) == ["mockllm/m0", "mockllm/m1"]
    for model, row in zip(responses.models, responses.scores, strict=True):
        frame = pairs[model]["yesno"].frame
        assert responses.questions.tolist() == [f"yesno/{item}" for item in frame.index]
        assert row.tolist() == frame["score"].tolist() == RIGHT[model[-2:]]
        assert set(frame["runs"]) == {2}
    with pytest.raises(InputError, match=r"samples of several models \(mockllm/m0, mockllm/m1\).*--matrix"):
        readers.read_model(logs / "two")


def test_pair_and_suite_take_inspect_logs(logs, tmp_path):
    done = run_script("mcnemar_tests.py", "pair", "--matrix", logs / "two", "mockllm/m0", "mockllm/m1")
    assert "1 worse (b), 0 better (c)" in done.stdout
    files = sorted(str(file) for file in (logs / "two").glob("*.eval"))
    done = run_script("mcnemar_tests.py", "suite", f"a={files[0]}", f"b={files[1]}", "--output-dir", tmp_path / "out")
    assert "yesno" in done.stdout and " b " in done.stdout
    done = run_script("mcnemar_tests.py", "pair", *files, "--task", "other", code=2)
    assert "no task other; it has yesno" in done.stderr


def test_other_arguments_of_a_task_ask_other_questions(logs):
    assert sorted(readers.read_model(logs / "args")) == ["yesno[subset=easy]", "yesno[subset=hard]"]


def test_a_dictionary_is_never_zero(logs):
    with pytest.raises(InputError, match=r"following holds several scores \(strict, loose\): take one with --metric"):
        readers.read_model(logs / "dict")
    scores = one(logs / "dict", "dict", metrics={"*": ("following.strict", None)})
    assert scores.frame["score"].tolist() == [1, 0, 1, 0]
    with pytest.raises(InputError, match="following has no entry odd; it has strict, loose"):
        one(logs / "dict", "dict", metrics={"*": ("following.odd", None)})
    with pytest.raises(InputError, match="dict has no score odd; it has following"):
        one(logs / "dict", "dict", metrics={"*": ("odd", None)})


def test_words_count_as_in_inspect_itself_or_as_the_user_says(logs):
    assert set(one(logs / "P", "words").frame["score"]) == {0.5}
    assert set(one(logs / "0.25", "words").frame["score"]) == {0.25}
    with pytest.raises(InputError, match=r"graded = 'CORRECT' is no score to inspect_ai.*--value CORRECT=SCORE"):
        readers.read_model(logs / "CORRECT")
    assert set(one(logs / "CORRECT", "words", values=read_values(["CORRECT=1"])).frame["score"]) == {1}


def test_a_crashed_sample_is_blank_or_wrong_as_one_says(logs):
    scores = one(logs / "crash", "crash")
    assert np.isnan(scores.frame["score"]["s1"]) and scores.frame["score"].sum() == 3
    assert any("1 samples crashed and are missing (--errors missing)" in note for note in scores.notes)
    wrong = one(logs / "crash", "crash", errors="wrong")
    assert wrong.frame["score"]["s1"] == 0
    assert "crash: 1 samples crashed and count as wrong (--errors wrong)" in wrong.notes


def test_a_limited_run_says_so(logs):
    assert "short: 2 of 4 samples were run" in one(logs / "short", "short").notes


def test_epochs_are_reduced_as_the_log_says(logs):
    with pytest.raises(InputError, match=r"several reducers of epochs \(at_least_2, pass_at_2\): choose one with"):
        readers.read_model(logs / "reduced")
    from inspect_ai.log import read_eval_log

    log = read_eval_log(str(next((logs / "reduced").glob("*.eval"))))
    for reduction in log.reductions:
        ours = one(logs / "reduced", "reduced", metrics={"*": (None, reduction.reducer)}).frame["score"]
        assert {str(s.sample_id): s.value for s in reduction.samples} == pytest.approx(ours.to_dict())


# ---- faults put into a log -----------------------------------------------------------------------------------

@pytest.fixture
def damaged(logs, tmp_path):
    """A function that changes the JSON of m0's log and writes it beside m1's."""
    from inspect_ai.log import read_eval_log, write_eval_log

    def write(change, models=("m0", "m1")):
        for file in sorted((logs / "two").glob("*.eval")):
            log = read_eval_log(str(file))
            path = tmp_path / f"{log.eval.model[-2:]}.json"
            write_eval_log(log, str(path))
            content = json.loads(path.read_text())
            if log.eval.model.endswith("m0"):
                change(content)
            path.write_text(json.dumps(content))
        return tmp_path

    return write


def test_shuffled_ids_are_other_questions(damaged):
    def shuffle(log):
        inputs = [sample["input"] for sample in log["samples"]]
        for sample in log["samples"]:
            sample["input"] = f"question {(int(sample['id'][1:]) + 1) % 4}"
        assert inputs != [sample["input"] for sample in log["samples"]]

    folder = damaged(shuffle)
    with pytest.raises(InputError, match=r"the documents of 4 of 4 questions differ between .* under the same id"):
        readers.read("inspect", [folder])
    responses, _ = readers.read("inspect", [folder], choices=Choices(by_content=True))
    rows = dict(zip(responses.models, responses.scores.tolist(), strict=True))
    assert responses.n_questions == 4  # the same four, under other ids
    assert sorted(rows["mockllm/m0"]) == sorted(RIGHT["m0"]) and sorted(rows["mockllm/m1"]) == sorted(RIGHT["m1"])


def test_failed_and_empty_logs_are_named(damaged):
    folder = damaged(lambda log: log.update(status="error"))
    responses, notes = readers.read("inspect", [folder])
    assert responses.models.tolist() == ["mockllm/m1"] and any("left out, its status is "
                                                               "error" in note for note in notes)
    folder = damaged(lambda log: log.update(samples=[]))
    assert any("left out, the log holds no samples" in note for note in readers.read("inspect", [folder])[1])


@pytest.mark.parametrize("torn", [1, 1000, -20])
def test_torn_logs_are_one_line(damaged, torn):
    folder = damaged(lambda log: None)
    content = (folder / "m0.json").read_bytes()
    (folder / "m0.json").write_bytes(content[:torn])
    if torn == 1:
        assert readers.read("inspect", [folder])[0].n_models == 1  # no log of inspect_ai any more
        return
    with pytest.raises(InputError, match=r"m0\.json: inspect_ai cannot read this log \(.*\); is it complete\?$"):
        readers.read("inspect", [folder])


def test_one_name_of_two_models_is_not_one_model(damaged):
    """hf/local with another path in its arguments is another model."""
    def rename(log):
        log["eval"]["model"] = "mockllm/m1"
        log["eval"]["model_args"] = {"api_key": "sk-abcdefgh1234", "model_path": "/other"}

    folder = damaged(rename)
    with pytest.raises(InputError, match=r"two runs of mockllm/m1 differ in model_args.*NAME=PATH") as error:
        readers.read("inspect", [folder])
    assert "sk-abc" not in str(error.value) and "[redacted]" in str(error.value)
    responses, _ = readers.read("inspect", [f"a={folder}/m0.json", f"b={folder}/m1.json"])
    assert responses.models.tolist() == ["a", "b"]
