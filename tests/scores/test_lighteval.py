"""Logs of lighteval, on files that lighteval 0.13.0 wrote (tests/helpers/write_lighteval.py)."""

import json
import shutil
import zipfile

import pytest
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.files import limit_to
from llm_accuracy.scores.readers import READERS, read, read_matrix_models, read_model, reader_of
from llm_accuracy.scores.task_scores import Choices

pq = pytest.importorskip("pyarrow.parquet")
CHOSEN = {"sums|0": ("em", None), "choices|0": ("acc", None)}
ALL = Choices(CHOSEN)
SUMS = Choices(CHOSEN, tasks=("sums|0",))


@pytest.fixture
def logs(tmp_path):
    with zipfile.ZipFile(ROOT / "tests" / "data" / "lighteval_0_13.zip") as archive:
        archive.extractall(tmp_path / "logs")
    return tmp_path / "logs"


def results(logs, model):
    [file] = (logs / "results" / "toy" / model).iterdir()
    return file


def details(logs, model, task="sums|0"):
    [file] = (logs / "details" / "toy" / model).glob(f"*/details_{task}_*")
    return file


def rewrite(file, change):
    """Change the rows of a file of details, types and all."""
    rows = pq.read_table(file).to_pylist()
    change(rows)
    import pyarrow

    pq.write_table(pyarrow.Table.from_pylist(rows), file)


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("model, asked", [("good", 6), ("bad", 4)])
def test_means_are_those_that_lighteval_reports(logs, model, asked):
    reported = json.loads(results(logs, model).read_text())["results"]
    found = read_matrix_models(logs, [f"toy/{model}"], ALL)[f"toy/{model}"]
    assert found.keys() == {"sums|0", "choices|0", "sums_twice|0"}
    for task, log in found.items():
        assert log.frame["score"].mean() == pytest.approx(reported[task][log.metric]) and len(log.frame) == asked
        assert any("at most 4 questions" in note for note in log.notes) == (model == "bad")


@pytest.mark.parametrize("part", ["results", "details", "run", "root of one"])
def test_a_run_is_named_by_any_of_its_files(logs, part):
    shutil.rmtree(logs / "details" / "toy" / "bad")
    path = {"results": results(logs, "good"), "details": details(logs, "good"), "run": details(logs, "good").parent,
            "root of one": logs}[part]
    assert reader_of(path).name == "lighteval"
    log = read_model(path, SUMS)["sums|0"]
    assert log.model == "toy/good" and log.higher_is_better and log.frame["score"].sum() == 4
    assert log.frame.loc["3", "score"] == 0  # lighteval shuffles; the id is the place in the data


def test_both_models_make_a_matrix(logs):
    table, notes = read("lighteval", [logs], choices=ALL)
    assert table.models.tolist() == ["toy/bad", "toy/good"] and table.n_questions == 18
    assert any("limit differs between models: 4 (toy/bad); null (toy/good)" in note for note in notes)


def test_the_metric_is_asked_for(logs):
    with pytest.raises(InputError, match=r"sums\|0 has the metrics em, f1: choose one with --metric"):
        read_matrix_models(logs, None, Choices(tasks=("sums|0",)))
    with pytest.raises(InputError, match=r"no metric nope; it has em, f1"):
        read_matrix_models(logs, None, Choices({"sums|0": ("nope", None)}, tasks=("sums|0",)))
    with pytest.raises(InputError, match=r"loglikelihood_f1 holds several scores \(golds, preds\)"):
        read_matrix_models(logs, None, Choices({"*": ("loglikelihood_f1", None)}, tasks=("choices|0",)))


@pytest.mark.parametrize("higher", [None, "yes", 1])
def test_a_direction_that_is_not_said_is_asked_for(logs, higher):
    def change(content):
        content["config_tasks"]["sums|0"]["metrics"][0]["higher_is_better"] = higher

    edit(results(logs, "good"), change)
    with pytest.raises(InputError, match=r"nothing says whether higher em is better"):
        read_model(results(logs, "good"), SUMS)
    said = Choices(CHOSEN, tasks=("sums|0",), directions={"em": False})
    assert not read_model(results(logs, "good"), said)["sums|0"].higher_is_better


def test_details_without_results_are_of_the_model_of_their_folder(logs):
    shutil.rmtree(logs / "results")
    with pytest.raises(InputError, match="--higher-is-better em=true"):
        read_matrix_models(logs, None, SUMS)
    table, notes = read("lighteval", [logs], choices=Choices(CHOSEN, tasks=("sums|0",), directions={"*": True}))
    assert table.models.tolist() == ["toy/bad", "toy/good"]
    assert sum("no results of this run" in note for note in notes) == 2


def test_results_without_details_are_named(logs):
    details(logs, "bad").unlink()
    shutil.rmtree(logs / "details" / "toy" / "good")
    notes = read("lighteval", [logs], choices=ALL)[1]
    assert any("sums|0 is reported but has no details: left out" in note for note in notes)
    assert any(str(results(logs, "good")) in note and "left out" in note for note in notes)


def test_runs_of_one_model_with_other_settings_are_not_united(logs):
    bad, good = results(logs, "bad"), results(logs, "good")
    for model, task in (("bad", "sums_twice|0"), ("good", "sums|0"), ("good", "choices|0")):
        details(logs, model, task).unlink()
    edit(bad, lambda content: content["config_general"].update(model_name="toy/good"))
    with pytest.raises(InputError, match=r"two runs of toy/good differ in limit \(null and 4\)"):
        read_model(logs, ALL)
    edit(bad, lambda content: content["config_general"].update(max_samples=None))
    assert read_model(logs, ALL).keys() == {"sums|0", "choices|0", "sums_twice|0"}
    edit(good, lambda content: content["config_general"]["model_config"].update(system_prompt="Be brief."))
    with pytest.raises(InputError, match=r"differ in system_prompt"):
        read_model(logs, ALL)


@pytest.mark.parametrize("change, said", [
    (lambda rows: rows[0]["metric"].update(em=None), None),
    (lambda rows: rows[0]["metric"].update(em=float("nan")), None),
    (lambda rows: rows[1]["doc"].update(id=rows[0]["doc"]["id"]), "with another question .several splits"),
    (lambda rows: rows.append({**rows[0], "metric": {"em": 1, "f1": 0.0}}), "with another answer"),
    (lambda rows: [row["doc"].update(id=None) for row in rows], "doc.id is null"),
    (lambda rows: [row["doc"].update(id=7) for row in rows], "doc.id is 7"),
    (lambda rows: [row.pop("doc") for row in rows], "no column doc"),
    (lambda rows: [row["metric"].update(em="maybe") for row in rows], "em = 'maybe' is not a number"),
    (lambda rows: rows.clear(), "no column doc|no answers"),
    (lambda rows: rows[0].update(metric=None), "doc and metric are needed"),
])
def test_unkind_rows_are_blank_or_one_line(logs, change, said):
    rewrite(details(logs, "good"), change)
    if said is None:
        log = read_model(details(logs, "good"), SUMS)["sums|0"]
        assert log.frame["score"].isna().sum() == 1 and log.account.scored == 5
        assert any("lighteval reports" in note for note in log.notes)
        return
    with pytest.raises(InputError, match=said) as error:
        read_model(details(logs, "good"), SUMS)
    assert str(details(logs, "good")) in str(error.value) and "\n" not in str(error.value)


def test_questions_of_two_splits_are_told_apart_by_content(logs):
    rewrite(details(logs, "good"), lambda rows: rows[1]["doc"].update(id=rows[0]["doc"]["id"]))
    log = read_model(details(logs, "good"), Choices(CHOSEN, tasks=("sums|0",), by_content=True))["sums|0"]
    assert len(log.frame) == 6 and log.frame["score"].sum() == 4


def test_a_repeated_row_counts_once_and_rows_of_another_way_of_asking_are_not_answers(logs):
    def change(rows):
        rows.append(rows[0])
        rows.append({**rows[1], "metric": {"em": None, "f1": None, "other": 1}})

    rewrite(details(logs, "good"), change)
    log = read_model(details(logs, "good"), SUMS)["sums|0"]
    assert len(log.frame) == 6 and log.account.left_out == {"rows that repeat an answer word for word": 1}


def test_other_questions_under_the_same_id_are_refused(logs):
    rewrite(details(logs, "good"), lambda rows: [row["doc"].update(query=row["doc"]["query"] + " ?") for row in rows])
    with pytest.raises(InputError, match="under the same id"):
        read("lighteval", [logs], choices=SUMS)


def test_keys_in_the_configuration_never_arrive(logs):
    edit(results(logs, "good"), lambda c: c["config_general"]["model_config"].update(api_key="sk-abcdefghij"))
    log = read_model(results(logs, "good"), SUMS)["sums|0"]
    assert "sk-abc" not in repr((log.identity, log.setup))


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"", lambda data: data[: len(data) // 2],
                                    lambda data: data[:200] + b"\xff" * 300 + data[500:]])
def test_a_damaged_file_is_one_line(logs, damage):
    file = details(logs, "good")
    file.write_bytes(damage(file.read_bytes()))
    try:
        read_model(file, SUMS)
    except InputError as error:
        assert str(file) in str(error) and "\n" not in str(error)


def test_the_size_is_limited_before_it_is_read(logs):
    limit_to("2000")
    try:
        with pytest.raises(InputError, match="--max-size"):
            READERS["lighteval"].function("logs")(details(logs, "good"), SUMS)
    finally:
        limit_to(None)


def test_models_that_began_at_the_same_moment_each_have_their_results(logs):
    for file in sorted(logs.rglob("*13.959938*"), reverse=True):
        file.rename(file.with_name(file.name.replace("13.959938", "13.852338")))
    both = read("lighteval", [logs], "acc", choices=Choices(tasks=("choices|0",)))
    assert sorted(both[0].models) == ["toy/bad", "toy/good"]
    assert not any("no results of this run" in note for note in both[1])
