"""Records of Every Eval Ever 0.3.0: what is written is valid by the schemas inside its wheel, and is read back."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.every_eval_ever import Answer, Estimate, Interval, write_record
from llm_accuracy.scores.readers import read_model
from llm_accuracy.scores.task_scores import Choices

WHEELS = ROOT / "local" / "wheels"  # ignored by git
NAME = "every_eval_ever-0.3.0-py3-none-any.whl"
ANSWERS = tuple(Answer(f"q{i}", f"what is {i}?", [str(i)], "I say 3", float(i == 3)) for i in range(5))
ESTIMATE = Estimate("org/m", "sums", 0.25, Interval(0.1, 0.4, 0.95, "FAQ-mix, anytime-valid"), 5, "us", "a bank",
                    ("llm-accuracy", "1"), retrieved=1.5e9, answers=ANSWERS)


@pytest.fixture(scope="module")
def schemas():
    """(schema of records, schema of instances), validators of jsonschema. The wheel needs a newer Python and is only
    unzipped."""
    jsonschema = pytest.importorskip("jsonschema")
    if not (WHEELS / NAME).is_file():
        done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
                               "--python-version", "3.12", "--retries", "1", "--timeout", "10", "--dest", WHEELS,
                               "every-eval-ever==0.3.0"], capture_output=True, text=True)
        if not (WHEELS / NAME).is_file():
            reached = done.returncode and "connection" not in done.stderr.lower() and "No module" not in done.stderr
            if os.environ.get("CI") == "true" and reached:
                pytest.fail(f"pip reaches the registry and finds no {NAME}: {done.stderr[-300:]}")
            pytest.skip(f"no {NAME} (pip download every-eval-ever==0.3.0 puts it into {WHEELS})")
    with zipfile.ZipFile(WHEELS / NAME) as wheel:
        return tuple(jsonschema.Draft7Validator(json.loads(wheel.read(f"every_eval_ever/schemas/{name}.schema.json")))
                     for name in ("eval", "instance_level_eval"))


def instances_of(path):
    return path.with_name(path.stem + "_samples.jsonl")


def change(path, how):
    """Change a record, or, by line, its instances, and take the checksum away."""
    record = json.loads(path.read_text())
    record["detailed_evaluation_results"].pop("checksum", None)
    instances = [json.loads(line) for line in instances_of(path).read_text().splitlines()]
    how(record, instances)
    path.write_text(json.dumps(record))
    instances_of(path).write_text("".join(json.dumps(i) + "\n" for i in instances))


def test_what_is_written_is_valid_and_read_back(tmp_path, schemas):
    for estimate in (ESTIMATE, replace(ESTIMATE, answers=()), replace(ESTIMATE, model="bare", lowest=-2.0, highest=7.0),
                     replace(ESTIMATE, model="org/é \ud800", task="a/../b", relationship="first_party",
                             answers=[replace(a, score=a.score / 3) for a in ANSWERS])):
        path = write_record(tmp_path, estimate)
        record = json.loads(path.read_text())
        assert not list(schemas[0].iter_errors(record))
        assert path.relative_to(tmp_path).parts[0] == "data" and len(path.relative_to(tmp_path).parts) == 5
        found = record["evaluation_results"][0]["score_details"]
        assert found["uncertainty"]["confidence_interval"] == {
            "lower": 0.1, "upper": 0.4, "confidence_level": 0.95, "method": "FAQ-mix, anytime-valid"}
        assert found["score"] == 0.25 and found["uncertainty"]["num_samples"] == 5
        if not estimate.answers:
            assert not instances_of(path).exists()
            continue
        for line in instances_of(path).read_text().splitlines():
            assert not list(schemas[1].iter_errors(json.loads(line)))
        [(task, log)] = read_model(path).items()
        assert log.frame["score"].tolist() == [a.score for a in estimate.answers] and log.higher_is_better
        assert log.frame.index.tolist() == [a.sample_id for a in estimate.answers] and log.account.stated == 5
        assert task == estimate.task and any("the record reports 0.25" in note for note in log.notes)


def test_the_schemas_refuse_what_is_wrong(schemas, tmp_path):
    path = write_record(tmp_path, ESTIMATE)
    record, instance = json.loads(path.read_text()), json.loads(instances_of(path).read_text().splitlines()[0])
    for broken in ({**record, "retrieved_timestamp": 3}, {**record, "model_info": {"id": "x"}}):
        assert list(schemas[0].iter_errors(broken))
    assert list(schemas[1].iter_errors({**instance, "evaluation": {"score": None, "is_correct": True}}))


def test_two_models_make_a_matrix_and_other_questions_are_refused(tmp_path):
    one = write_record(tmp_path, ESTIMATE)
    other = write_record(tmp_path, replace(ESTIMATE, model="org/n"))
    made, _ = readers.read("every-eval-ever", [tmp_path])
    assert made.models.tolist() == ["org/m", "org/n"] and made.questions[0] == "sums/q0"
    assert readers.reader_of(tmp_path).name == readers.reader_of(instances_of(one)).name == "every-eval-ever"
    change(other, lambda record, lines: lines[2]["input"].update(raw="another question"))
    with pytest.raises(InputError, match="the documents of 1 of 5 questions differ"):
        readers.read("every-eval-ever", [tmp_path])


def test_a_record_without_instances_is_left_out_by_name(tmp_path):
    path = write_record(tmp_path, replace(ESTIMATE, answers=()))
    with pytest.raises(InputError, match=f"{path.name}: left out, it has results and no instances"):
        read_model(path)


def test_crashes_unknown_levels_and_sentinels(tmp_path):
    path = write_record(tmp_path, ESTIMATE)
    change(path, lambda record, lines: lines[0].update(error="timeout"))
    assert read_model(path)["sums"].account.blank == {"samples that crashed": 1}
    assert read_model(path, Choices(errors="wrong"))["sums"].frame["score"].isna().sum() == 0
    change(path, lambda record, lines: lines[1]["evaluation"].update(score=-1))
    with pytest.raises(InputError, match=r"line 2: score -1 is not within min_score and max_score.*--value -1=missing"):
        read_model(path)
    assert read_model(path, Choices(values={"-1": float("nan")}))["sums"].frame["score"].isna().sum() == 2
    change(path, lambda record, lines: record["evaluation_results"][0]["metric_config"].update(has_unknown_level=True))
    assert read_model(path)["sums"].account.blank == {"samples that crashed": 1, "marked as unknown": 1}


def _second_metric(record, lines):
    first = record["evaluation_results"][0]
    record["evaluation_results"].append({**first, "evaluation_result_id": "x",
                                         "metric_config": {**first["metric_config"], "metric_id": "f1"}})


@pytest.mark.parametrize("how, said", [
    (lambda record, lines: record.update(schema_version="0.2.2"), "schema_version is \"0.2.2\""),
    (lambda record, lines: record.pop("model_info"), "not the schema of Every Eval Ever"),
    (lambda record, lines: lines[1].update(model_id="other"), "line 2: an answer of 'other'"),
    (lambda record, lines: lines[1].update(evaluation_id="other"), "line 2: of evaluation 'other'"),
    (lambda record, lines: lines[3].pop("input"), "line 4: not an instance of Every Eval Ever"),
    (lambda record, lines: lines[3]["evaluation"].update(score="good"), "line 4: score \"good\" is not a number"),
    (lambda record, lines: lines.append(lines[0]), "6 instances, its record counts 5"),
    (lambda record, lines: lines[1].update(sample_id="q0"), "question q0 is answered twice"),
    (lambda record, lines: record["evaluation_results"][0]["metric_config"].update(lower_is_better=None),
     "lower_is_better of accuracy is null: say it with --higher-is-better"),
    (_second_metric, r"several metrics \(accuracy, f1\): say which with --metric"),
])
def test_what_is_wrong_is_refused_in_one_line(tmp_path, how, said):
    path = write_record(tmp_path, ESTIMATE)
    change(path, how)
    for read in (lambda: read_model(path), lambda: readers.read("every-eval-ever", [path])):
        with pytest.raises(InputError, match=said) as refused:
            read()
        assert "\n" not in str(refused.value)


def test_a_changed_file_is_seen_by_its_checksum(tmp_path):
    path = write_record(tmp_path, ESTIMATE)
    text = instances_of(path).read_text()
    instances_of(path).write_text(text.replace('"score": 0.0', '"score": 1.0', 1))
    with pytest.raises(InputError, match="its sha256 is not the one in the record"):
        read_model(path)


def test_no_record_of_numbers_that_are_none_and_no_secret(tmp_path):
    for broken in (replace(ESTIMATE, score=float("nan")), replace(ESTIMATE, interval=Interval(1, 0, 0.95, "x")),
                   replace(ESTIMATE, asked=0), replace(ESTIMATE, model="/"),
                   replace(ESTIMATE, answers=[replace(ANSWERS[0], score=float("inf"))])):
        with pytest.raises(InputError):
            write_record(tmp_path / "no", broken)
    assert not (tmp_path / "no").exists()
    path = write_record(tmp_path, replace(ESTIMATE, model_details={"api_key": "sk-abcdefgh123"},
                                          details={"note": "hf_abcdefgh123"}))
    assert "abcdefgh123" not in path.read_text()


@pytest.mark.parametrize("change, said", [
    (lambda d: d.update(total_rows="5"), "total_rows of its record is .5., not a whole number"),
    (lambda d: d.update(total_rows=5.5), "total_rows"),
    (lambda d: d.update(total_rows=[5]), "total_rows"),
    (lambda d: d.update(total_rows=True), "total_rows"),
    (lambda d: d.update(hash_algorithm="SHA-256"), None),
])
def test_a_count_or_checksum_of_another_type_is_not_passed_over(tmp_path, change, said):
    path = write_record(tmp_path, ESTIMATE)
    record = json.loads(path.read_text())
    change(record["detailed_evaluation_results"])
    path.write_text(json.dumps(record))
    if said:
        with pytest.raises(InputError, match=said):
            read_model(path)
    else:
        assert any("not held against its checksum" in note for note in read_model(path)["sums"].notes)


def test_a_bound_that_is_no_number_is_refused(tmp_path):
    path = write_record(tmp_path, ESTIMATE)
    record = json.loads(path.read_text())
    record["evaluation_results"][0]["metric_config"]["min_score"] = "0"
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"min_score of its record is .0., not a number"):
        read_model(path)


def test_what_a_crash_is_worth_is_said(tmp_path):
    path = write_record(tmp_path, ESTIMATE)
    lines = path.with_name(path.stem + "_samples.jsonl")
    record = json.loads(path.read_text())
    record["detailed_evaluation_results"].pop("checksum")
    path.write_text(json.dumps(record))
    first, *rest = lines.read_text().splitlines()
    lines.write_text("\n".join([json.dumps({**json.loads(first), "error": "crash"}), *rest]) + "\n")
    for worth in ("missing", "wrong"):
        [log] = read_model(path, Choices(errors=worth)).values()
        assert any(f"(--errors {worth})" in note for note in log.notes)
