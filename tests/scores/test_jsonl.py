"""JSONL of any program: any key for the question and for its score, in both halves; what is refused."""

import gzip
import json

import pytest
from conftest import run_script

from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.readers import read_matrix_models, read_model
from llm_accuracy.scores.task_scores import Choices


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def scores(path, **choices):
    return {task: log.frame["score"].to_dict() for task, log in read_model(path, Choices(**choices)).items()}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_any_key_names_the_question_and_the_score(tmp_path, name):
    path = write(tmp_path / name, [{"uid": 7, "metrics": {"acc": True}}, {"uid": "x", "metrics": {"acc": 0.5}}])
    assert scores(path, id_key="uid", score_key="metrics.acc") == {"scores": {"7": 1.0, "x": 0.5}}
    with pytest.raises(InputError, match=r"line 1: no key that may name the question \(uid, metrics\): .*--id KEY"):
        read_model(path)
    with pytest.raises(InputError, match=r"line 1: no key score; say which holds the score with --score KEY"):
        read_model(path, Choices(id_key="uid"))


def test_a_known_key_is_said_and_two_are_asked_about(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"id": "q", "score": None}, {"id": "r", "score": "NA"},
                                        {"id": "s", "score": 1}])
    log = read_model(path)["scores"]
    assert log.account.scored == 1 and sum(log.account.blank.values()) == 2
    assert any("questions are named by id" in note for note in log.notes)
    write(path, [{"id": "q", "doc_id": 1, "score": 1}])
    with pytest.raises(InputError, match=r"several keys that may name the question \(id, doc_id\)"):
        read_model(path)


@pytest.mark.parametrize("lines, said", [
    ('{"id": "a", "score": 1}\n{"id": "a", "score": 1}\n', "line 2: question a is given twice"),
    ('{"id": "a", "score": 1}\n{"id": null, "score": 1}\n', "line 2: id is null"),
    ('{"id": "a", "score": 1}\n{"id": "b"}\n', "line 2: no key score; a missing score is null"),
    ('{"id": "a", "score": "good"}\n', "line 1: score = 'good' is not a number"),
    ('{"id": "a", "score": {"x": 1}}\n', "line 1: score holds several scores"),
    ('{"id": "a", "score": [1, 0]}\n', "line 1: score = .* is not"),
    ('{"id": "a", "score": 1e999}\n', "line 1: score = .* is not a finite number"),
    ('{"id": "a", "score": 1}\n{"id": "b", "sc', "line 2: not JSON .*is the file complete"),
    ('[1]\n', "line 1: a list, not a JSON object"),
    ("", "no records in the file"),
    ('{"id": "a", "score": 1, "cluster": "c"}\n{"id": "b", "score": 1}\n', "line 2: no cluster"),
    ('{"id": "a", "score": 1, "model": ["m"]}\n', "line 1: model is "),
])
def test_what_is_no_answer_is_refused_with_its_line(tmp_path, lines, said):
    path = tmp_path / "a.jsonl"
    path.write_text(lines)
    for read in (lambda: read_model(path), lambda: readers.read("jsonl", [path])):
        with pytest.raises(InputError, match=said) as refused:
            read()
        assert "\n" not in str(refused.value) and str(refused.value).startswith(str(path))


def test_runs_are_averaged_and_said(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"id": q, "score": s, "run": r} for q, s, r in
                                        [("a", 1, 1), ("a", 0, 2), ("b", 1, 1), ("b", None, 2)]])
    log = read_model(path)["scores"]
    assert log.frame["score"].to_dict() == {"a": 0.5, "b": 1.0} and log.frame["runs"].to_dict() == {"a": 2, "b": 1}
    assert "scores: 2 runs in a.jsonl, averaged" in log.notes


def test_several_models_make_a_matrix_and_serve_by_name(tmp_path):
    records = [{"id": q, "score": s, "model": m, "task": "t", "input": f"what is {q}?"}
               for m in ("one", "two") for q, s in (("a", 1), ("b", int(m == "one")))]
    path = write(tmp_path / "logs" / "all.jsonl", records)
    responses, _ = readers.read("jsonl", [path.parent])
    assert responses.scores.tolist() == [[1, 1], [1, 0]] and responses.questions.tolist() == ["t/a", "t/b"]
    assert read_matrix_models(path, ["two"])["two"]["t"].frame["score"].tolist() == [1, 0]
    with pytest.raises(InputError, match="samples of several models"):
        read_model(path)
    write(path, [*records[:3], {**records[3], "input": "another question"}])
    with pytest.raises(InputError, match="the documents of 1 of 2 questions differ between two and one"):
        readers.read("jsonl", [path])


def test_files_without_a_model_in_one_folder_are_not_united(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.jsonl", [{"id": "q", "score": 1}])
    with pytest.raises(InputError, match=r"a.jsonl and .*b.jsonl: both are .* NAME=PATH"):
        readers.read("jsonl", [tmp_path])
    made, _ = readers.read("jsonl", [f"{name}={tmp_path / name}.jsonl" for name in "ab"])
    assert made.models.tolist() == ["a", "b"]


def test_the_commands_take_the_flags(tmp_path):
    for name, wrong in (("base", 0), ("cand", 30)):
        write(tmp_path / f"{name}.jsonl", [{"uid": i, "ok": int(i >= wrong)} for i in range(100)])
    paths = [tmp_path / "base.jsonl", tmp_path / "cand.jsonl"]
    done = run_script("mcnemar_tests.py", "pair", *paths, "--id", "uid", "--score", "ok")
    assert "worse by 30.00 points" in done.stdout
    done = run_script("mcnemar_tests.py", "pair", *paths, "--json", tmp_path / "out.json", code=2)
    assert "--id KEY" in done.stderr and done.stderr.count("\n") == 1 and not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("error, worth, left", [
    ("timeout", "missing", 2), ({"code": 500}, "wrong", 3), (True, "wrong", 3), (None, "missing", 3),
    (False, "missing", 3), (" ", "missing", 3), ("null", "missing", 3), (" None", "wrong", 3)])
def test_a_record_with_an_error_crashed(tmp_path, error, worth, left):
    """Words that are no error in a CSV are none here."""
    crashed = bool(error) and error not in (" ", "null", " None")
    records = [{"id": "a", "error": error} | ({} if crashed else {"score": 1}), {"id": "b", "score": 1, "error": None},
               {"id": "c", "score": 0}]
    log = read_model(write(tmp_path / "a.jsonl", records), Choices(errors=worth))["scores"]
    assert log.frame["score"].notna().sum() == left
    assert any(f"1 samples crashed and {'count as wrong' if worth == 'wrong' else 'are missing'} (--errors {worth})" in
               note for note in log.notes) == crashed


def test_an_error_that_is_a_number_is_asked_about(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"id": "a", "score": 1, "error": 0.25}])
    with pytest.raises(InputError, match=r"line 1: error is 0.25, and a crash is a text.*--score error"):
        read_model(path)
    assert scores(path, score_key="error", directions={"error": False}) == {"scores": {"a": 0.25}}


def test_runs_of_which_some_have_a_document(tmp_path):
    both = [{"id": "a", "score": 1, "run": 1, "doc": "x"}, {"id": "a", "score": 0, "run": 2, "doc": "y"}]
    with pytest.raises(InputError, match="question a has more than one document"):
        read_model(write(tmp_path / "a.jsonl", both))
    one = [both[0], {"id": "a", "score": 0, "run": 2}, {"id": "b", "score": 0, "run": 1, "doc": "z"}]
    [log] = read_model(write(tmp_path / "b.jsonl", one)).values()
    assert any("1 questions have a document in some of their runs only" in note for note in log.notes)
