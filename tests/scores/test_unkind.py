"""Unkind inputs that were once read wrongly in silence: refused in one line, or read with a line that says how."""

import gzip
import json
import shutil

import pytest
from conftest import ROOT
from test_contract import TIMES, write_run

from llm_accuracy.errors import InputError
from llm_accuracy.live.history import kind_of
from llm_accuracy.scores import readers
from llm_accuracy.scores.matrix import MISSING
from llm_accuracy.scores.readers import read_model
from llm_accuracy.scores.task_scores import Choices

WIDE = "model,created_date,sha,"


def refused(read, said):
    with pytest.raises(InputError, match=said) as error:
        read()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text, said", [
    ("prompt_id,score,score\na,1,0\n", "2 columns are named score"),
    ("prompt_id,score,Score\na,1,0\n", "named score|one column score"),
    ("prompt_id,score,task,task\na,1,x,y\n", "2 columns are named task"),
    ("prompt_id,score,run,run\na,1,1,2\n", "2 columns are named run"),
    ("prompt_id,score,task\na,1,\nb,0,x\n", "row 2: task is empty"),
    ("prompt_id,score,run\na,1,2\na,0, \n", "row 3: run is empty"),
    ("prompt_id,score\na,1\nb,0\nc,1\nd,0\ne,-1\nf,-2\n", "are -2, -1 and all others 0 or 1.*--value -2=missing"),
    ("prompt_id,score\na,1\nb,0\nc,1\nd,0\ne,-1\nf,99\n", "are -1, 99 and all others 0 or 1"),
])
def test_score_files(tmp_path, text, said):
    (tmp_path / "s.csv").write_text(text)
    refused(lambda: read_model(tmp_path / "s.csv"), said)


@pytest.mark.parametrize("kind, text, said", [
    ("long", "model,question,score,score\nm,q,1,0\n", "2 columns are named score"),
    ("long", "model,question,score,family\nm,a,1,x\nm,b,1,y\n", r"m has several values in column family \(x, y\)"),
    ("long", "model,question,score,created_date\nm,a,1,2024-01-01\nm,b,1,2025-01-01\n", "several values in column"),
    ("long", "model,question,score,created_date\nm,a,1,01/02/2024\n", "'01/02/2024' cannot be put in order"),
    ("wide", WIDE + "q\nm,2024-13-01,,1\nk,,,0\n", "'2024-13-01' cannot be put in order"),
    ("wide", WIDE + "q\n,,,1\nk,,,0\n", "model 1 has a blank name"),
    ("wide", WIDE + "q,\nm,,,1,0\n", "question 2 has a blank name"),
    ("wide", WIDE + "q,r,Average\nm,,,1,0,0.5\nk,,,1,1,1\n", "column 'Average' is the mean of the others"),
])
def test_tables_of_many_models(tmp_path, kind, text, said):
    (tmp_path / "t.csv").write_text(text)
    refused(lambda: readers.read(kind, [tmp_path / "t.csv"]), said)


@pytest.mark.parametrize("lines, said", [
    (['{"id": 1, "score": 1, "score": 0}'], 'the key "score" is given twice'),
    (['{"id": 1, "score": 1, "model": "a"}', '{"id": 2, "score": 0}'], "line 2: no model, and other records"),
    (['{"id": 1, "score": 1, "task": null}', '{"id": 2, "score": 0, "task": "a"}'], "line 1: no task"),
    (['{"id": 1, "score": 1, "run": 1}', '{"id": 1, "score": 0}'], "line 2: no run"),
    (['{"id": 1, "score": 1, "run": true}'], "run is true"),
    (['{"id": 1, "score": 1, "split": "valid"}', '{"id": 2, "score": 0, "split": "test"}'], r"valid, test\): choose"),
    (['{"id": 1, "score": 1, "higher_is_better": null}'], "higher_is_better is None: say it"),
    (['{"id": 1, "score": 1, "higher_is_better": true}', '{"id": 2, "score": 1, "higher_is_better": false}'],
     "higher_is_better is True, False"),
    (['{"id": 1, "score": 1, "higher_is_better": true, "lower_is_better": true}'],
     "higher_is_better is True, and lower_is_better True"),
])
def test_json_lines(tmp_path, lines, said):
    (tmp_path / "s.jsonl").write_text("\n".join(lines) + "\n")
    refused(lambda: read_model(tmp_path / "s.jsonl"), said)


def test_a_split_is_chosen_and_the_others_counted(tmp_path):
    (tmp_path / "s.jsonl").write_text("".join(
        json.dumps({"id": i, "score": 1, "split": "valid" if i % 3 else "test"}) + "\n" for i in range(9)))
    [log] = read_model(tmp_path / "s.jsonl", Choices({"*": (None, "test")})).values()
    assert len(log.frame) == 3 and any("6 records of other splits are left out" in note for note in log.notes)
    refused(lambda: read_model(tmp_path / "s.jsonl", Choices({"*": (None, "dev")})), "no split dev")


@pytest.mark.parametrize("name, text", [
    ("s.csv", "prompt_id,score\na,1\n"), ("s.jsonl", '{"id": "a", "score": 1}\n')])
def test_the_direction_that_is_said_counts_in_every_format(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    [up], [down] = (list(read_model(tmp_path / name, Choices(directions={"*": way})).values()) for way in (True, False))
    assert up.higher_is_better and not down.higher_is_better


def test_the_direction_of_a_record_is_heeded(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"id": 1, "score": 0, "higher_is_better": false}\n')
    assert not read_model(tmp_path / "s.jsonl")["scores"].higher_is_better


def test_runs_of_other_items_are_said(tmp_path):
    for name, item in (("a", "x"), ("b", "y")):
        (tmp_path / f"{name}.csv").write_text(f"prompt_id,score\n{item},1\nz,1\n")
    assert any("2 of 3 items are not in every one of the 2 runs" in note
               for note in read_model(tmp_path)["scores"].notes)


def test_tasks_that_were_sampled_in_other_ways_are_not_united(tmp_path):
    for task, time, how in (("a", TIMES[0], None), ("b", TIMES[1], "temperature=1")):
        write_run(tmp_path, [1.0], task=task, time=time, config={
            "model": "hf", "model_args": "pretrained=org/m", "limit": None, "gen_kwargs": how})
    refused(lambda: read_model(tmp_path), "differ in gen_kwargs .*--may-differ gen_kwargs")


def test_a_list_that_names_a_model_twice_loses_none(tmp_path):
    (tmp_path / "models.json").write_text('{"a": "x.csv", "a": "y.csv", "b": "z.csv"}')
    refused(lambda: readers.read_model_list(tmp_path / "models.json"), 'the key "a" is given twice')


@pytest.mark.parametrize("change, said", [
    (lambda i: i["stats"][0].update(count=-1), "sum 1.0 over count -1"),
    (lambda i: i["stats"][0].update(count=True), "over count True"),
    (lambda i: i.update(instance_id=None), "instance_id names no question"),
    (lambda i: i.update(instance_id=["a"]), "instance_id names no question"),
    (lambda i: i["stats"].append({"name": {"name": "exact_match", "split": "test", "sub_split": "x"}, "count": 1,
                                  "sum": 0.0}), "exact_match is given 2 times in one trial"),
])
def test_instances_of_helm(tmp_path, change, said):
    instance = {"instance_id": "a", "train_trial_index": 0, "stats": [
        {"name": {"name": "exact_match", "split": "test"}, "count": 1, "sum": 1.0}]}
    change(instance)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run_spec.json").write_text('{"name": "t:model=m", "adapter_spec": {"model": "m"}}')
    (tmp_path / "run" / "per_instance_stats.json").write_text(json.dumps([instance]))
    refused(lambda: read_model(tmp_path), said)


@pytest.mark.parametrize("values, said", [
    ([0.25, 0.3, 0.4, 0.6, -1], r"1 scores are -1 and all others lie in \[0, 1\]"),
    ([0.25, 0.3, 0.4, 0.6, -1, -1, 99], r"3 scores are -1, 99 and all others lie in \[0, 1\].*--range -1 99"),
    ([35.5, 80, 62.5, 71, -1], r"1 scores are -1 and all others lie in \[0, 80\].*--value -1=missing"),
    ([35.5, 80, 62.5, 999, 999], r"2 scores are 999 and all others lie in \[0, 80\]"),
    ([3, 4, 5, 2, 99], r"1 scores are 99 and all others lie in \[0, 5\]"),
    ([-3.2, -1, -17.5, -99, -0.25], None),  # log-likelihoods
    ([-3.2, -1, 0.5, 0.75, 2.5], None),
    ([-1, -0.5, 0.5, 1, 0], None),
    ([12, 99, 100, 87, 45], None),  # of 100
    ([1, 2, 3, 4, 5], None),
    ([0.5, 1.5, 0.25, 2.5], None),
    ([-1, -1, -2, -3], None),
])
def test_marks_on_any_scale_are_asked_about_and_honest_scores_are_not(tmp_path, values, said):
    path = tmp_path / "s.csv"
    path.write_text("prompt_id,score\n" + "".join(f"q{i},{v}\n" for i, v in enumerate(values)))
    if said is None:
        assert read_model(path)["scores"].frame["score"].tolist() == values
    else:
        refused(lambda: read_model(path), said)


@pytest.mark.parametrize("files, names", [
    ({"run.jsonl": '{"id": "a", "score": 1}\n', "s.csv": "prompt_id,score\na,0\n"}, "csv, jsonl"),
    ({f"samples_t_{TIMES[0]}.jsonl": "{}\n", "s.csv": "prompt_id,score\na,0\n"}, "csv, lm-eval"),
    ({f"samples_t_{TIMES[0]}.jsonl": "{}\n", "per_instance_stats.json": "[]"}, "helm, lm-eval"),
    ({f"samples_t_{TIMES[0]}.jsonl": "{}\n", "m_eval_results.json": '{"date": 1, "hash": 1, "eval": {}}'},
     "evalplus, lm-eval"),
])
def test_a_folder_of_several_formats_is_not_read_by_one(tmp_path, files, names):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    refused(lambda: read_model(tmp_path), f"results of several formats .{names}.")


def test_a_lower_is_better_of_jsonl_is_heeded(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "a", "score": 0.5, "lower_is_better": true}\n')
    assert not read_model(path)["scores"].higher_is_better
    path.write_text('{"id": "a", "score": 0.5, "lower_is_better": null}\n')
    refused(lambda: read_model(path), "lower_is_better is None.*--higher-is-better")


@pytest.mark.parametrize("name", ["family ", "Family", " SHA", "Model"])
def test_a_column_of_ours_in_another_spelling_is_no_question(tmp_path, name):
    (tmp_path / "w.csv").write_text(f"{WIDE}{name},q1\nm,2024-01-01,x,1,0\n")
    refused(lambda: readers.read("wide", [tmp_path / "w.csv"]), "but for its spelling|named")


def test_a_count_of_another_type_is_said(tmp_path):
    folder = write_run(tmp_path, [1.0, 0.0])
    results = folder / f"results_{TIMES[0]}.json"
    content = json.loads(results.read_text()) | {"n-samples": {"t": {"original": "9", "effective": 2.0}}}
    results.write_text(json.dumps(content))
    log = read_model(folder)["t"]
    assert log.account.stated == 2 and any('whose original is "9"' in note for note in log.notes)


# ---- what other columns of a CSV say -----------------------------------------------------------------------------

@pytest.mark.parametrize("column, cells, said", [
    ("model", "mk", r"column model has several values \('m', 'k'\)"),
    ("metric", ("acc", "wer"), "scores has the metrics 'acc', 'wer': choose one with --metric"),
    ("split", ("test", "valid"), "scores has the splits 'test', 'valid': choose one with --filter"),
    ("higher_is_better", ("true", "false"), "higher_is_better is 'false', 'true': say it"),
    ("lower_is_better", ("", ""), "lower_is_better is '': say it"),
])
def test_a_column_that_changes_what_scores_mean_is_not_passed_over(tmp_path, column, cells, said):
    (tmp_path / "s.csv").write_text(f"prompt_id,score,{column}\na,1,{cells[0]}\nb,0,{cells[1]}\n")
    refused(lambda: read_model(tmp_path / "s.csv"), said)


def test_columns_of_a_score_file_mean_what_keys_of_json_lines_mean(tmp_path):
    rows = [{"score": 1, "input": "one?", "lower_is_better": True, "error": "", "split": "test", "seconds": 3},
            {"score": 0, "input": "two?", "lower_is_better": True, "error": "Timeout", "split": "test", "seconds": 4},
            {"score": 0, "input": "six?", "lower_is_better": True, "error": "", "split": "dev", "seconds": 5}]
    (tmp_path / "s.csv").write_text("\n".join([",".join(["prompt_id", *rows[0]]), *(
        ",".join(map(str, [f"q{i}", *row.values()])) for i, row in enumerate(rows))]))
    (tmp_path / "s.jsonl").write_text("\n".join(json.dumps({"id": f"q{i}", **row}) for i, row in enumerate(rows)))
    logs = [read_model(tmp_path / name, Choices({"*": (None, "test")}))["scores"] for name in ("s.csv", "s.jsonl")]
    for log in logs:
        assert not log.higher_is_better and log.frame["score"].isna().tolist() == [False, True]
        assert any("missing (--errors missing)" in note for note in log.notes)
    assert logs[0].frame["doc_hash"].tolist() == logs[1].frame["doc_hash"].tolist()
    assert any("1 columns are not read: seconds" in note for note in logs[0].notes)
    assert any("1 left out: rows of other splits" in note for note in logs[0].notes)


def test_one_of_several_metrics_of_a_score_file_is_chosen(tmp_path):
    (tmp_path / "s.csv").write_text("prompt_id,score,metric\na,1,acc\na,0.5,wer\nb,0,acc\n")
    [log] = read_model(tmp_path / "s.csv", Choices({"*": ("acc", None)}, directions={"acc": False})).values()
    assert log.metric == "acc" and log.frame["score"].tolist() == [1, 0] and not log.higher_is_better
    assert any("1 left out: rows of other metrics (--metric acc)" in note for note in log.notes)


@pytest.mark.parametrize("text", ["prompt_id,score\na,1\n\n\nb,oops\n", 'prompt_id,score\n"a\n\nz",1\nb,oops\n'])
def test_rows_are_numbered_as_an_editor_does(tmp_path, text):
    (tmp_path / "s.csv").write_text(text)
    refused(lambda: read_model(tmp_path / "s.csv"), "row 5: score 'oops'")


@pytest.mark.parametrize("text", ["m,a,1\n\n\nm,b,oops\n", '"m\n\n",a,1\nm,b,oops\n'])
def test_rows_of_many_models_are_numbered_as_an_editor_does(tmp_path, text):
    (tmp_path / "t.csv").write_text("model,question,score\n" + text)
    refused(lambda: readers.read("long", [tmp_path / "t.csv"]), "(row|line) 5: .*oops")


def test_repeated_answers_of_many_models_are_numbered_as_an_editor_does(tmp_path):
    (tmp_path / "t.csv").write_text("model,question,score\nm,a,1\n\n\nm,a,0\n")
    refused(lambda: readers.read("long", [tmp_path / "t.csv"]), "line 2.*line 5")


def test_a_table_in_another_encoding_is_named_with_its_line(tmp_path):
    (tmp_path / "s.csv").write_bytes("prompt_id,score\na,1\nbé,0\n".encode("latin-1"))
    refused(lambda: read_model(tmp_path / "s.csv"), "s.csv: line 3 is not UTF-8: save the table as UTF-8")


def test_crashes_of_many_models_are_missing_or_wrong(tmp_path):
    (tmp_path / "t.csv").write_text("model,question,score,error\nm,a,1,\nm,b,1,timeout\nk,a,0,none\nk,b,1,\n")
    table, notes = readers.read("long", [tmp_path / "t.csv"])
    assert table.scores[list(table.models).index("m")].tolist() == [1, MISSING]
    assert any("1 rows have an error" in note for note in notes)
    table, _ = readers.read("long", [tmp_path / "t.csv"], choices=Choices(errors="wrong"))
    assert table.scores[list(table.models).index("m")].tolist() == [1, 0]


@pytest.mark.parametrize("column, cells, said", [
    ("lower_is_better", ("true", "true"), "lower scores are better"), ("split", ("a", "b"), "column split has several"),
])
def test_a_table_of_many_models_with_such_a_column_is_refused(tmp_path, column, cells, said):
    (tmp_path / "t.csv").write_text(f"model,question,score,{column}\nm,a,1,{cells[0]}\nm,b,1,{cells[1]}\n")
    refused(lambda: readers.read("long", [tmp_path / "t.csv"]), said)


# ---- what a matrix import makes of flags and of other keys -----------------------------------------------------------

def test_a_stated_range_makes_shares_of_it(tmp_path):
    (tmp_path / "s.jsonl").write_text("".join(json.dumps({"id": i, "score": s, "model": "m"}) + "\n"
                                              for i, s in enumerate([1, 5, 2])))
    (tmp_path / "t.csv").write_text("model,question,score\nm,0,1\nm,1,5\nm,2,fair\n")
    refused(lambda: readers.read("jsonl", [tmp_path / "s.jsonl"]), r"not in \[0, 1\]; .*--range LOW HIGH")
    for kind, name in (("jsonl", "s.jsonl"), ("long", "t.csv")):
        table, notes = readers.read(kind, [tmp_path / name], choices=Choices(scale=(1, 5), values={"fair": 2}))
        assert table.scores[0].tolist() == pytest.approx([0, 1, 0.25])
        assert any("scores are shares of 1 to 5 (--range)" in note for note in notes)


@pytest.mark.parametrize("kind, choices, said", [
    ("wide", Choices(scale=(0, 5)), "--range: --from wide has nothing to choose"),
    ("long", Choices(directions={"*": False}), "--higher-is-better: --from long"),
    ("long", Choices(errors="wrong"), "--errors wrong: --from long"),
])
def test_a_flag_that_would_be_passed_over_is_refused(tmp_path, kind, choices, said):
    (tmp_path / "t.csv").write_text("model,question,score\nm,0,1\n")
    refused(lambda: readers.read(kind, [tmp_path / "t.csv"], choices=choices), said)


def test_metrics_of_json_lines_are_chosen_and_other_keys_are_a_line(tmp_path):
    rows = [{"id": 1, "score": s, "metric": metric, "seconds": 2} for metric, s in (("acc", 1), ("wer", 0.25))]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused(lambda: read_model(tmp_path / "s.jsonl"), r"several metrics \(acc, wer\): choose one with --metric")
    [log] = readers.read_matrix_models(tmp_path / "s.jsonl", None, Choices({"*": ("wer", None)})).values()
    assert log["scores"].metric == "wer" and log["scores"].frame["score"].tolist() == [0.25]
    assert any("1 keys are not read: seconds" in note for note in log["scores"].notes)
    (tmp_path / "d.jsonl").write_text('{"id": 1, "score": {"acc": 1}}\n')
    refused(lambda: read_model(tmp_path / "d.jsonl"), r"take one with --score score\.KEY")


def test_other_prompts_in_a_matrix_are_a_line(tmp_path):
    (tmp_path / "s.jsonl").write_text("".join(
        json.dumps({"id": 1, "score": 1, "model": m, "prompt": m}) + "\n" for m in "ab"))
    assert any("the prompts of 1 of 1 questions differ between b and a" in note
               for note in readers.read("jsonl", [tmp_path / "s.jsonl"])[1])


def test_a_history_of_gzipped_json_lines_is_read_as_such(tmp_path):
    (tmp_path / "s.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1, "score": 1, "model": "m"}\n'))
    assert kind_of(tmp_path / "s.jsonl.gz") == "jsonl"


def test_json_lines_beside_promptfoo_are_results_of_several_formats(tmp_path):
    shutil.copy(ROOT / "tests" / "data" / "promptfoo_0_121" / "one_prompt.json", tmp_path)
    (tmp_path / "s.jsonl").write_text('{"id": 1, "score": 1}\n')
    refused(lambda: read_model(tmp_path), r"results of several formats \(promptfoo, jsonl\)")
    notes = readers.read("promptfoo", [tmp_path], "pass")[1]
    assert any("results of other formats (jsonl) are there and were not read" in note for note in notes)


@pytest.mark.parametrize("column", ["model", "metric"])
def test_files_of_two_models_or_metrics_are_no_runs(tmp_path, column):
    for name in ("m", "k"):
        (tmp_path / f"{name}.csv").write_text(f"prompt_id,score,{column}\na,1,{name}\n")
    refused(lambda: read_model(tmp_path), rf"column {column} says k in k.csv and m in m.csv")


def test_a_row_after_a_very_long_cell_is_still_refused_in_one_line(tmp_path):
    (tmp_path / "s.csv").write_text(f"prompt_id,score,input\na,1,{'x' * 200_000}\nb,oops,y\n")
    refused(lambda: read_model(tmp_path / "s.csv"), "row 3: score 'oops'")
