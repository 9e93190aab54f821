"""The contract of readers, kind by kind: metadata that is null, values that are no numbers, ids that hide other
questions, runs that are no models, logs that do not hold what they count. Logs are written in the layout of the
harness, line by line; test_eval_logs.py and test_inspect_logs.py read those that the frameworks wrote."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from conftest import run_script

from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.contract import check_questions, models_of, redacted
from llm_accuracy.scores.lm_eval import read_logs
from llm_accuracy.scores.readers import read_model
from llm_accuracy.scores.task_scores import Choices

TIMES = ("2025-01-02T03-04-05.123456", "2025-02-02T03-04-05.123456")


def write_run(folder, scores, task="t", time=TIMES[0], model="org/m", metric="acc", docs=None, stem="results",
              record=None, tests="", change=None, **results):
    """One run of the harness: scores (values as logged) of documents 0, 1, …; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, score in enumerate(scores):
        doc = {"question": f"q{i}" if docs is None else docs[i], "tests": tests}
        lines.append({"doc_id": i, "doc": doc, "target": "a", "filter": "none", "metrics": [metric],
                      "doc_hash": hashlib.sha256(json.dumps(doc).encode()).hexdigest(),
                      "prompt_hash": hashlib.sha256(doc["question"].encode(errors="surrogatepass")).hexdigest(),
                      "target_hash": "0" * 64, metric: score, **(record or {})})
    (folder / f"samples_{task}_{time}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    content = {"results": {task: {"alias": task}}, "higher_is_better": {task: {metric: True}}, "model_name": model,
               "n-samples": {task: {"original": len(lines), "effective": len(lines)}}, "n-shot": {task: 0},
               "config": {"model": "hf", "model_args": "pretrained=org/m", "limit": None}, "chat_template_sha": None,
               **results}
    if change:
        change(content)
    (folder / f"{stem}_{time}.json").write_text(json.dumps(content))
    return folder


def refused(folder, said, **choices):
    """Both halves refuse a folder with the same line."""
    for read in (lambda: read_model(folder, Choices(**choices)),
                 lambda: readers.read("lm-eval", [folder], choices=Choices(**choices))):
        with pytest.raises(InputError, match=said) as error:
            read()
        assert "\n" not in str(error.value)


# ---- metadata -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", [None, "false", 0, [], {}])
def test_a_direction_that_is_no_boolean_is_asked_for(tmp_path, value):
    folder = write_run(tmp_path / "m", [1.0, 0.0], higher_is_better={"t": {"acc": value}})
    refused(folder, r"higher_is_better of acc is .*: say it with --higher-is-better acc=true or acc=false")
    assert read_model(folder, Choices(directions={"acc": True}))["t"].higher_is_better
    assert not read_model(folder, Choices(directions={"*": False}))["t"].higher_is_better


@pytest.mark.parametrize("value", [None, "acc", 7])
def test_a_table_of_directions_of_another_type_is_asked_about(tmp_path, value):
    refused(write_run(tmp_path / "m", [1.0], higher_is_better=value), "say it with --higher-is-better")


def test_an_absent_direction_is_known_of_the_harness_own_metrics_only(tmp_path):
    drop = lambda content: content.pop("higher_is_better")  # noqa: E731
    assert read_model(write_run(tmp_path / "a", [1.0], change=drop))["t"].higher_is_better
    refused(write_run(tmp_path / "b", [1.0], metric="judge", change=drop), "nothing says whether higher judge is "
                                                                           "better")


def test_a_matrix_takes_no_score_of_which_less_is_better(tmp_path):
    folder = write_run(tmp_path / "m", [1.0], higher_is_better={"t": {"acc": False}})
    assert not read_model(folder)["t"].higher_is_better
    with pytest.raises(InputError, match="lower values of acc are better, and in a matrix higher is better"):
        readers.read("lm-eval", [folder])


@pytest.mark.parametrize("key", ["group_subtasks", "results", "n-samples", "n-shot", "config", "configs", "groups"])
@pytest.mark.parametrize("value", [None, 3, "x", []])
def test_other_metadata_of_another_type_changes_no_score(tmp_path, key, value):
    folder = write_run(tmp_path / "m", [1.0, 0.0], **{key: value})
    assert read_model(folder)["t"].frame["score"].tolist() == [1, 0]


def test_metrics_and_filters_that_are_null(tmp_path):
    folder = write_run(tmp_path / "m", [1.0, 0.0], record={"metrics": None, "filter": None})
    assert read_model(folder)["t"].frame["score"].tolist() == [1, 0]
    refused(write_run(tmp_path / "n", [1.0], record={"metrics": "acc"}), "metrics is \"acc\", not a list of names")


@pytest.mark.parametrize("name", [None, 7, ""])
def test_a_run_without_a_model_name_is_named_by_its_folder(tmp_path, name):
    for model in ("a", "b"):
        write_run(tmp_path / model, [1.0], model=name)
    responses, notes = readers.read("lm-eval", [tmp_path])
    assert responses.models.tolist() == ["a", "b"] and any("the logs name no model" in note for note in notes)


# ---- values ---------------------------------------------------------------------------------------------------

def test_values_that_are_no_numbers_are_never_zero(tmp_path):
    for i, (value, said) in enumerate({
        '{"a": 1, "b": 0}': r"acc holds several scores \(a, b\): take one with --metric acc.KEY",
        "[1, 2]": "is not a score of one item",
        '"C"': "acc = 'C' is not a number", "1" + "0" * 400: "is not a finite number", "1e999": "is not a finite "
                                                                                                "number",
        '"\\ud835"': "is not a number"}.items()):
        refused(write_run(tmp_path / str(i), [1.0, json.loads(value)]), said)
    folder = write_run(tmp_path / "dict", [{"a": 1, "b": 0}, {"a": 0, "b": 0}])
    assert read_model(folder, Choices({"*": ("acc.a", None)}))["t"].frame["score"].tolist() == [1, 0]
    refused(folder, "t has no metric acc.c .*it has acc, acc.a, acc.b", metrics={"*": ("acc.c", None)})


def test_missing_values_are_blank_and_counted(tmp_path):
    folder = write_run(tmp_path / "m", [1.0, None, float("nan"), "N/A", "0.5", "TRUE"])
    scores = read_model(folder)["t"]
    assert np.flatnonzero(scores.frame["score"].isna()).tolist() == [1, 2, 3]
    assert scores.frame["score"].dropna().tolist() == [1, 0.5, 1] and scores.account.scored == 3
    assert any("3 answers without a score are blank" in note for note in scores.notes)


@pytest.mark.parametrize("mark", [-1.0, 99.0, -999.0])
def test_a_mark_among_scores_is_asked_about(tmp_path, mark):
    folder = write_run(tmp_path / "m", [1.0, mark, 0.0])
    refused(folder, rf"1 scores are {mark:g} and all others lie in \[0, 1\].*--value {mark:g}=missing.*--range")
    assert np.isnan(read_model(folder, Choices(values={f"{mark:g}": np.nan}))["t"].frame["score"].iloc[1])
    kept = read_model(folder, Choices(scale=(min(mark, 0), max(mark, 1))))["t"]
    assert kept.frame["score"].iloc[1] == mark
    with pytest.raises(InputError, match="is not in --range"):
        read_model(folder, Choices(scale=(0.0, 1.0)))


def test_two_scales_are_asked_about(tmp_path):
    for name, text in (("a", "prompt_id,score\n1,0.5\n2,1\n"), ("b", "prompt_id,score\n1,50\n2,100\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    done = run_script("mcnemar_tests.py", "pair", tmp_path / "a.csv", tmp_path / "b.csv", code=2)
    assert "b.csv in 50 … 100" in done.stderr
    assert "two scales? if not, say the range of the scores, --range 0 100" in done.stderr
    assert run_script("mcnemar_tests.py", "pair", tmp_path / "a.csv", tmp_path / "b.csv", "--range", 0, 100)


# ---- questions ------------------------------------------------------------------------------------------------

def test_the_same_id_is_not_the_same_question(tmp_path):
    write_run(tmp_path / "a", [1.0, 0.0, 0.0], model="a")
    write_run(tmp_path / "b", [0.0, 1.0, 0.0], model="b", docs=["q1", "q0", "q2"])  # the same questions, shuffled
    told = r"the documents of 2 of 3 questions differ between b and a under the same id \(first: 0\)"
    with pytest.raises(InputError, match=told):
        readers.read("lm-eval", [tmp_path])
    with pytest.raises(InputError, match="the documents differ on 2 of 3 items"):
        from llm_accuracy.degradation.pairing import pair_up

        pair_up(*(read_model(tmp_path / name)["t"] for name in "ab"))
    responses, _ = readers.read("lm-eval", [tmp_path], choices=Choices(by_content=True))
    assert responses.scores.tolist() == [[1, 0, 0], [1, 0, 0]]


def test_a_subset_with_ids_of_its_own_is_found_out(tmp_path):
    write_run(tmp_path / "a", [1.0, 0.0, 0.0], model="a")
    write_run(tmp_path / "b", [1.0], model="b", docs=["q2"])
    with pytest.raises(InputError, match="the documents of 1 of 1 questions differ"):
        readers.read("lm-eval", [tmp_path])


def test_logs_without_hashes_are_named(tmp_path):
    write_run(tmp_path / "a", [1.0, 0.0], model="a")
    bare = write_run(tmp_path / "b", [1.0, 0.0], model="b")
    file = next(bare.glob("samples*"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    bared = [{k: v for k, v in line.items() if k not in ("doc", "doc_hash")} for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in bared))
    _, notes = readers.read("lm-eval", [tmp_path])
    assert ("t: 1 models have no fingerprints of some questions, which are taken to be the same by their ids (b)"
            in notes)
    with pytest.raises(InputError, match="--by-content needs a fingerprint of every question"):
        readers.read("lm-eval", [tmp_path], choices=Choices(by_content=True))


def test_questions_compare_across_all_models_not_only_the_first(tmp_path):
    """Only the second and third share question 1."""
    models = {}
    for name, docs in (("a", ["q0"]), ("b", ["q0", "q1"]), ("c", ["q0", "other"])):
        folder = write_run(tmp_path / name, [1.0] * len(docs), model=name, docs=docs)
        models |= models_of([(None, read_logs(folder, Choices()))], Choices(), [])
    with pytest.raises(InputError, match=r"differ between c and a.*first: 1"):
        check_questions(models, [])


# ---- runs and models ------------------------------------------------------------------------------------------

def test_tasks_run_one_by_one_are_one_model(tmp_path):
    write_run(tmp_path / "m", [1.0, 0.0], task="a")
    write_run(tmp_path / "m", [0.0, 0.0], task="b", time=TIMES[1])
    tasks = read_model(tmp_path / "m")
    assert sorted(tasks) == ["a", "b"]
    assert any(f"tasks of 2 runs are united: a of {TIMES[0]}, b of {TIMES[1]}" in note for note in tasks["a"].notes)
    responses, notes = readers.read("lm-eval", [tmp_path])
    assert responses.models.tolist() == ["org/m"] and responses.scores.tolist() == [[1, 0, 0, 0]]
    assert any("are united" in note for note in notes)


def model_args(args):
    return {"config": {"model": "hf", "model_args": args, "limit": None}}


@pytest.mark.parametrize(("key", "other"), [
    ("model_args", model_args("pretrained=org/m,load_in_4bit=True")), ("n-shot", {"n-shot": {"b": 5}}),
    ("chat_template_sha", {"chat_template_sha": "abc"}),
    ("limit", {"config": {"model": "hf", "model_args": "pretrained=org/m", "limit": 10.0}}),
    ("model_revision", {"config": {**model_args("pretrained=org/m")["config"], "model_revision": "v2"}}),
])
def test_runs_that_differ_are_not_united(tmp_path, key, other):
    write_run(tmp_path / "m", [1.0, 0.0], task="a")
    write_run(tmp_path / "m", [0.0, 0.0], task="b", time=TIMES[1], **other)
    refused(tmp_path / "m", f"two runs of org/m differ in {key} .*not united.*NAME=PATH")
    if key in ("n-shot", "limit"):
        assert len(read_model(tmp_path / "m", Choices(may_differ=(key,)))) == 2
    first, second = (tmp_path / "m" / f"results_{time}.json" for time in TIMES)
    responses, _ = readers.read("lm-eval", [f"one={first}", f"two={second}"])
    assert responses.models.tolist() == ["one", "two"]


def test_shots_are_compared_by_task_where_runs_share_a_value(tmp_path):
    """What a run of several tasks sets task by task is no text to compare: 5 and 8 shots, then 5."""
    both = {"n-shot": {"a": 8, "c": 5}}
    write_run(tmp_path / "m", [1.0, 0.0], task="a", **both)
    write_run(tmp_path / "m", [1.0, 0.0], task="c", **both)
    write_run(tmp_path / "m", [0.0, 0.0], task="b", time=TIMES[1], **{"n-shot": {"b": 5}})
    tasks = read_model(tmp_path / "m")
    assert sorted(tasks) == ["a", "b", "c"]
    assert any("the united tasks differ in n-shot: 8 (a); 5 (" in note for note in tasks["a"].notes)
    write_run(tmp_path / "k", [1.0, 0.0], task="a", **both)
    write_run(tmp_path / "k", [0.0, 0.0], task="b", time=TIMES[1], **{"n-shot": {"b": 0}})
    notes = read_model(tmp_path / "k", Choices(may_differ=("n-shot",)))["b"].notes
    assert any("the united tasks differ in n-shot: 8 (a); 0 (b)" in note for note in notes)


def test_copies_and_hidden_files_beside_a_run(tmp_path):
    write_run(tmp_path / "m", [1.0, 0.0])
    shutil.copy(tmp_path / "m" / f"samples_t_{TIMES[0]}.jsonl", tmp_path / "m" / f"samples_t_{TIMES[0]} (1).jsonl")
    (tmp_path / "m" / f"._results_{TIMES[0]}.json").write_bytes(b"\0\5")
    responses, notes = readers.read("lm-eval", [tmp_path])
    assert responses.scores.tolist() == [[1, 0]] and any("(1).jsonl" in note for note in notes)


def test_a_later_run_with_other_arguments_is_another_model(tmp_path):
    """fp16 and 4-bit under one name and in one folder: the later one must not stand for both."""
    write_run(tmp_path / "m", [1.0, 0.0])
    write_run(tmp_path / "m", [0.0, 0.0], time=TIMES[1], **model_args("pretrained=org/m,load_in_4bit=True"))
    refused(tmp_path / "m", "differ in model_args")


def test_a_trial_run_with_a_limit_is_passed_over(tmp_path):
    write_run(tmp_path / "m", [1.0], config={"model": "hf", "model_args": "pretrained=org/m", "limit": 1})
    write_run(tmp_path / "m", [0.0, 1.0], time=TIMES[1])
    tasks = read_model(tmp_path / "m")
    assert tasks["t"].frame["score"].tolist() == [0, 1]
    assert any(f"read the run of {TIMES[1]}, not {TIMES[0]}" in note for note in tasks["t"].notes)


def test_one_name_in_two_folders_is_two_models(tmp_path):
    write_run(tmp_path / "fp16", [1.0, 0.0])
    write_run(tmp_path / "int4", [0.0, 0.0])
    responses, notes = readers.read("lm-eval", [tmp_path])
    assert responses.models.tolist() == ["fp16", "int4"]
    assert any("2 folders name their model org/m: they are taken as different models" in note for note in notes)
    responses, _ = readers.read("lm-eval", [f"whole={tmp_path / 'fp16'}", tmp_path / "int4"])
    assert responses.models.tolist() == ["whole", "org/m"]
    with pytest.raises(InputError, match=r"samples of several models \(fp16, int4\)"):
        read_model(tmp_path)
    with pytest.raises(InputError, match=r"x=…: results of several|both are x on t"):
        readers.read("lm-eval", [f"x={tmp_path}"])


def test_the_results_file_has_any_stem(tmp_path):
    for i in range(2):
        write_run(tmp_path / f"m{i}" / "out", [1.0, 0.0], model=f"org/m{i}", stem="r")
    write_run(tmp_path / "m2" / "out", [1.0, 0.0], model="org/m2")
    assert readers.read("lm-eval", [tmp_path])[0].models.tolist() == ["org/m0", "org/m1", "org/m2"]
    shutil.copy(tmp_path / "m0" / "out" / f"r_{TIMES[0]}.json", tmp_path / "m2" / "out")
    with pytest.raises(InputError, match="two different results files of one run"):
        read_model(tmp_path / "m2")


# ---- what a log says of itself -------------------------------------------------------------------------------

def test_a_log_is_held_against_its_own_counts(tmp_path):
    limited = write_run(tmp_path / "limited", [1.0] * 10, **{"n-samples": {"t": {"original": 5000, "effective": 10}}})
    assert "t: 10 of 5,000 samples were run" in read_model(limited)["t"].notes
    short = write_run(tmp_path / "short", [1.0] * 4, **{"n-samples": {"t": {"original": 5000, "effective": 5000}}},
                      results={"t": {}, "u": {}, "g": {}}, groups={"g": {}}, group_subtasks={"g": ["t", "u"]})
    notes = read_model(short)["t"].notes
    assert "t: the log holds 4 of the 5,000 samples that it counts itself" in notes
    assert sum("is reported but has no samples file" in note for note in notes) == 1  # u; a group has no samples
    done = run_script("mcnemar_tests.py", "pair", short, short, code=2)
    assert "holds 4 of the 5,000 samples that it counts itself" in done.stderr and "--max-excluded" in done.stderr


def test_a_run_without_samples_is_named(tmp_path):
    write_run(tmp_path / "m", [1.0])
    bare = write_run(tmp_path / "n", [1.0], model="org/n")
    next(bare.glob("samples*")).unlink()
    _, notes = readers.read("lm-eval", [tmp_path])
    assert any("left out, no samples file of this run is beside it" in note for note in notes)


def test_tasks_are_named_before_anything_is_read(tmp_path):
    folder = write_run(tmp_path / "m", ["no number"], record={"metrics": ["acc", "f1"]})
    refused(folder, "no task u; it has t", tasks=("u",))
    write_run(tmp_path / "m", [1.0], task="good")
    assert list(read_model(folder, Choices(tasks=("good",)))) == ["good"]
    assert list(read_model(folder, Choices(skip=("t",)))) == ["good"]


def test_suite_reads_only_the_tasks_it_is_told(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, [1.0, 0.0] * 8, model=name)
        write_run(tmp_path / name, [1.0], task="odd", record={"metrics": ["acc", "f1"]})
    both = (tmp_path / "a", tmp_path / "b", "--output-dir", tmp_path / "out", "--overwrite")
    assert "several metrics" in run_script("mcnemar_tests.py", "suite", *both, code=2).stderr
    for flags in (("--tasks", "t"), ("--skip", "od*")):
        assert "odd" not in run_script("mcnemar_tests.py", "suite", *both, *flags, "--allow-same").stdout
    assert "no task none" in run_script("mcnemar_tests.py", "suite", *both, "--tasks", "none", code=2).stderr


def test_a_base_and_its_extension_flip_as_one_unit(tmp_path):
    """The same prompts with other tests in the document, as in HumanEval and its plus version."""
    for name, scores in (("a", [1.0] * 8), ("b", [0.0] * 4 + [1.0] * 4)):
        for task in ("base", "plus"):
            write_run(tmp_path / name, scores, task=task, model=name, tests=task)
    done = run_script("mcnemar_tests.py", "suite", tmp_path / "a", tmp_path / "b", "--output-dir", tmp_path / "out")
    assert "16 items belong to questions or clusters that occur in several tasks" in " ".join(done.stdout.split())


def test_two_metrics_of_one_task_are_not_compared(tmp_path):
    for name, metric in (("a", "acc"), ("b", "f1")):
        write_run(tmp_path / name, [1.0, 0.0], model=name, metric=metric)
    told = "the score of one is acc, of the other f1: choose one that both have with --metric"
    with pytest.raises(InputError, match=told):
        readers.read("lm-eval", [tmp_path])
    for command in ("pair", "suite"):
        assert told in run_script("mcnemar_tests.py", command, tmp_path / "a", tmp_path / "b", code=2).stderr


def test_models_that_were_asked_in_other_ways_are_named(tmp_path):
    write_run(tmp_path / "a", [1.0, 0.0] * 8, model="a")
    write_run(tmp_path / "b", [1.0, 0.0] * 8, model="b", **{"n-shot": {"t": 5}})
    assert "t: n-shot differs between models: 0 (a); 5 (b)" in readers.read("lm-eval", [tmp_path])[1]
    said = run_script("mcnemar_tests.py", "pair", tmp_path / "a", tmp_path / "b").stdout
    assert "t: n-shot differs: 0 in the baseline, 5 in the candidate" in " ".join(said.split())


# ---- secrets --------------------------------------------------------------------------------------------------

def test_keys_and_tokens_are_redacted_where_read():
    for secret in ("pretrained=org/m,token=hf_abcdefghij", "api_key=sk-abcdefghijkl,max_tokens=5",
                   "base_url=https://user:pass@host/v1", "header=sk-proj-abcdefghijkl"):
        text = redacted(secret)
        assert "[redacted]" in text and not any(part in text for part in ("abcdefghij", "user:pass")), text
    assert redacted({"api_key": "x", "nested": {"auth_token": "y"}, "max_tokens": 5, "tokenizer": "z"}) == {
        "api_key": "[redacted]", "nested": {"auth_token": "[redacted]"}, "max_tokens": 5, "tokenizer": "z"}
    assert redacted("pretrained=org/m,max_tokens=5,tokenizer=t") == "pretrained=org/m,max_tokens=5,tokenizer=t"


SECRET = "sk-proj-abcdefghijkl"


def test_no_reader_keeps_a_key_in_a_name(tmp_path):
    named = f"org/m,api_key={SECRET}"
    (tmp_path / "wide.csv").write_text(f'model,created_date,sha,q1\n"{named}",,,1\nb,,,0\n')
    (tmp_path / "long.csv").write_text(f'model,question,score\n"{named}",q1,1\nb,q1,0\n')
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 1, "score": 1, "model": named, "task": named}) + "\n")
    for kind, name in (("wide", "wide.csv"), ("long", "long.csv"), ("jsonl", "a.jsonl")):
        responses, notes = readers.read(kind, [tmp_path / name])
        assert responses.models[0] == "org/m,api_key=[redacted]"
        assert SECRET not in repr(notes) + repr(responses.questions.tolist())
    assert SECRET not in repr(list(readers.read_matrix_models(tmp_path / "wide.csv")))


def test_names_that_differ_in_a_key_alone_are_not_merged(tmp_path):
    (tmp_path / "wide.csv").write_text('model,created_date,sha,q1\n"m,key=1a",,,1\n"m,key=2b",,,0\n')
    with pytest.raises(InputError, match="redacted"):
        readers.read("wide", [tmp_path / "wide.csv"])


def test_reports_and_lists_of_models_hold_no_key(tmp_path):
    for name, scores in (("a", [1.0, 0.0, 1.0]), ("b", [1.0, 0.0, 0.0])):
        write_run(tmp_path / name, scores)
    (tmp_path / "checkpoint_list.json").write_text(json.dumps({f"m token={SECRET}": "a", "n": "b"}))
    run_script("mcnemar_tests.py", "suite", tmp_path / "checkpoint_list.json", "--output-dir", tmp_path / "out",
               "--report", tmp_path / "out.html", "--json", tmp_path / "out.json", code=None)
    run_script("mcnemar_tests.py", "pair", f"token={tmp_path / 'a'}", f"{SECRET}={tmp_path / 'b'}", "--report",
               tmp_path / "pair.html", "--json", tmp_path / "pair.json", code=None)
    written = [*(tmp_path / "out").iterdir(), *tmp_path.glob("*.html"), *tmp_path.glob("out.json"),
               *tmp_path.glob("pair.json")]
    assert len(written) > 6 and not [path for path in written if SECRET in path.read_text()]
    (tmp_path / "checkpoint_list.json").write_text(json.dumps({"token=a1": "a", "token=b2": "b"}))
    assert "once keys are left out" in run_script("mcnemar_tests.py", "suite", tmp_path / "checkpoint_list.json",
                                                  code=2).stderr
