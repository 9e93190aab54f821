"""Readers, on logs that lm-evaluation-harness wrote itself and on files with every fault we know of."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import HARNESS, ROOT, harness_python

from llm_accuracy.degradation import repeats
from llm_accuracy.degradation.pairing import pair_up
from llm_accuracy.errors import InputError
from llm_accuracy.scores import lm_eval, lm_eval_samples, readers
from llm_accuracy.scores.lm_eval import read_harness
from llm_accuracy.scores.readers import read_model
from llm_accuracy.scores.tables import read_csv
from llm_accuracy.scores.task_scores import Choices, TaskScores

OLD_LOGS = ROOT / "tests" / "data" / "lm_eval_0_4_4"  # written by harness 0.4.4, before filters were named
VERSIONS = {"0.4.13": None, "0.4.11": HARNESS / "0.4.11"}
CHOICES = Choices(
    {
        "h_choice": ("acc", None),
        "h_generate": ("exact_match", "strict-match"),
        "h_odd": ("truth", None),
        "h_perplexity": ("word_perplexity", None),
    }
)


@pytest.fixture(scope="session", params=VERSIONS)
def logs(request, tmp_path_factory):
    """A folder of logs made by one version of the harness."""
    path = VERSIONS[request.param]
    python = harness_python(*filter(None, [path]))
    folder = tmp_path_factory.mktemp("lm_eval")
    environment = {**os.environ, "HF_HOME": str(folder / "cache"), "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        [python, ROOT / "tests" / "helpers" / "run_lm_eval.py", folder / "logs"],
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = next((folder / "logs" / "baseline").rglob("results_*.json"))
    assert json.loads(results.read_text()).get("lm_eval_version", request.param) == request.param
    return folder / "logs"


def reported(folder, task, key):
    return json.loads(next(Path(folder).rglob("results_*.json")).read_text())["results"][task][key]


# ---- the harness -------------------------------------------------------------------------------------------


def test_every_task_reads_and_its_mean_is_what_the_harness_reports(logs):
    for run in ("baseline", "candidate"):
        tasks = read_model(logs / run, CHOICES)
        assert set(tasks) == {"h_choice", "h_part", "h_generate", "h_perplexity", "h_odd"}
        for task, key in (
            ("h_choice", "acc,none"),
            ("h_part", "acc,none"),
            ("h_odd", "truth,none"),
            ("h_generate", "exact_match,strict-match"),
        ):
            assert tasks[task].frame["score"].mean() == pytest.approx(reported(logs / run, task, key))
            assert tasks[task].notes == ()
        perplexity = np.exp(-tasks["h_perplexity"].frame["score"].mean())
        assert perplexity == pytest.approx(reported(logs / run, "h_perplexity", "word_perplexity,none"))
        assert tasks["h_choice"].category == "h_group" and tasks["h_odd"].category is None


def test_filters_are_never_collapsed(logs):
    with pytest.raises(InputError, match=r"several filters \(strict-match, flexible-extract\)"):
        read_harness(logs / "baseline", Choices({"h_generate": ("exact_match", None)}), only="h_generate")
    for name in ("strict-match", "flexible-extract"):
        one = read_harness(logs / "baseline", Choices({"h_generate": ("exact_match", name)}), "h_generate")
        assert len(one["h_generate"].frame) == 40
        assert one["h_generate"].frame["score"].mean() == reported(
            logs / "baseline", "h_generate", f"exact_match,{name}"
        )


def test_metric_must_be_clear(logs):
    with pytest.raises(InputError, match=r"h_choice has several metrics \(acc, acc_norm, brier_score\)"):
        read_harness(logs / "baseline", Choices({}), only="h_choice")
    with pytest.raises(InputError, match="h_choice has no metric f1"):
        read_harness(logs / "baseline", Choices({"h_choice": ("f1", None)}), only="h_choice")
    assert (
        len(read_harness(logs / "baseline", Choices({"h_*": ("acc", None)}), only="h_part")["h_part"].frame)
        == 20
    )


def test_corpus_metrics_are_refused(logs):
    for task, metric in (("h_choice", "brier_score"), ("h_generate", "bleu")):
        with pytest.raises(InputError, match=f"{metric} is computed over the whole corpus"):
            read_harness(
                logs / "baseline",
                Choices({task: (metric, None if task == "h_choice" else "strict-match")}),
                only=task,
            )


@pytest.mark.parametrize(
    "metric, mean", [("truth", 0.875), ("numpy_truth", 0.875), ("numpy_quarter", 0.21875)]
)
def test_value_types(logs, metric, mean):
    odd = read_harness(logs / "baseline", Choices({"h_odd": (metric, None)}), "h_odd")["h_odd"]
    assert odd.frame["score"].mean() == mean and odd.higher_is_better


def test_lists_of_booleans_are_clusters_not_items(logs):
    choices = Choices({"h_odd": ("instructions", None)})
    one, other = (read_harness(logs / run, choices, "h_odd")["h_odd"] for run in ("baseline", "candidate"))
    assert one.frame["score"].mean() == pytest.approx(
        reported(logs / "baseline", "h_odd", "instructions,none")
    )
    pairs = pair_up(one, other, "h_odd")
    assert pairs.baseline.size == 80 and pairs.clusters.max() == 39
    assert np.array_equal(pairs.clusters, np.repeat(np.arange(40), 2))


def test_direction_of_a_metric(logs):
    choices = Choices({"h_odd": ("error", None)})
    one, other = (read_harness(logs / run, choices, "h_odd")["h_odd"] for run in ("baseline", "candidate"))
    assert not one.higher_is_better
    truth = [read_harness(logs / run, CHOICES, "h_odd")["h_odd"] for run in ("baseline", "candidate")]
    assert pair_up(one, other).differences.tolist() == pair_up(*truth).differences.tolist()
    with pytest.raises(InputError, match="disagree on whether a higher score is better"):
        pair_up(one, truth[1])


def test_missing_values_are_dropped_as_pairs_and_counted(logs):
    for metric in ("sometimes_nan", "sometimes_null"):
        missing = read_harness(logs / "baseline", Choices({"h_odd": (metric, None)}), "h_odd")["h_odd"]
        assert missing.frame["score"].isna().sum() == 2
        whole = read_harness(logs / "candidate", CHOICES, "h_odd")["h_odd"]
        pairs = pair_up(missing, whole, max_excluded=0.05)
        assert pairs.excluded == {"no score in the baseline": 2} and pairs.baseline.size == 38
        assert pair_up(whole, missing, max_excluded=0.05).excluded == {"no score in the candidate": 2}
        with pytest.raises(
            InputError, match=r"only 38 of 40 items can be compared \(2 no score in the baseline\)"
        ):
            pair_up(missing, whole, max_excluded=0.04)


def test_several_runs_in_one_folder_are_never_mixed(logs):
    times = sorted(p.stem.removeprefix("results_") for p in (logs / "twice").rglob("results_*.json"))
    latest = read_model(logs / "twice", CHOICES)["h_choice"]
    assert len(latest.frame) == 40 and times[0] in latest.notes[0] and times[1] in latest.source
    first = next((logs / "twice").rglob(f"results_{times[0]}.json"))
    chosen = read_model(first, CHOICES)["h_choice"]
    assert times[0] in chosen.source and chosen.notes == ()
    assert chosen.frame["score"].mean() == pytest.approx(0.875) and latest.frame[
        "score"
    ].mean() == pytest.approx(0.65)
    samples = next((logs / "twice").rglob(f"samples_*_{times[0]}.jsonl"))
    assert read_model(samples, CHOICES)["h_choice"].frame.equals(chosen.frame)


def test_output_path_that_ends_in_json(logs):
    file = next((logs / "single").glob("out_*.json"))
    for path in (logs / "single", file):
        assert read_model(path, CHOICES)["h_choice"].frame["score"].mean() == pytest.approx(0.875)


def test_chosen_documents_pair_by_their_number(logs):
    subset = read_model(logs / "subset", CHOICES)["h_choice"]
    assert list(subset.frame.index) == ["1", "3", "5", "8"]
    whole = read_model(logs / "baseline", CHOICES)["h_choice"]
    with pytest.raises(InputError, match=r"36 only in the baseline|holds 4 of the 40 samples"):
        pair_up(whole, subset)
    assert list(pair_up(whole, subset, max_excluded=1).items) == ["1", "3", "5", "8"]


def test_several_models_in_one_folder_are_refused(logs, tmp_path):
    shutil.copytree(logs / "baseline" / "made__up", tmp_path / "one")
    shutil.copytree(logs / "candidate" / "made__up", tmp_path / "two")
    with pytest.raises(InputError, match="samples of several models"):
        read_model(tmp_path, CHOICES)


def test_items_shared_by_tasks_carry_one_label(logs):
    tasks = [
        {t: read_model(logs / run, CHOICES)[t] for t in ("h_choice", "h_part")}
        for run in ("baseline", "candidate")
    ]
    choice, part = (pair_up(tasks[0][t], tasks[1][t], t) for t in ("h_choice", "h_part"))
    assert set(part.units) < set(choice.units) and choice.clusters is None


def test_a_document_field_can_name_the_question(logs):
    """As the record does for GPQA, whose subsets shuffle the options so that document hashes differ."""
    choices = Choices({"h_part": ("acc", None)}, item_field="q")
    scores = read_harness(logs / "baseline", choices, "h_part")["h_part"]
    assert scores.frame["content"].iloc[3] == "what is 3+1?" and scores.frame["score"].notna().all()
    assert lm_eval_samples.ITEM_FIELDS == {"gpqa": "Record ID"}


def test_the_short_way_of_parsing_reads_what_json_reads(logs):
    for file in (logs / "baseline").rglob("samples_*.jsonl"):
        short = [lm_eval_samples._parse_end(line) for line in file.read_bytes().splitlines()]
        whole = [json.loads(line) for line in file.read_bytes().splitlines()]
        for ours, theirs in zip(short, whole, strict=True):
            assert ours is not None
            assert {k: repr(v) for k, v in ours.items()} == {k: repr(theirs[k]) for k in ours}
            assert set(theirs) - set(ours) == {"doc", "target", "arguments", "resps", "filtered_resps"}


def test_hashes_are_recomputed_as_the_harness_does(logs):
    record = json.loads(
        next((logs / "baseline").rglob("samples_h_choice*.jsonl")).read_text().splitlines()[3]
    )
    bare = {k: v for k, v in record.items() if k not in ("doc_hash", "target_hash")}
    again = lm_eval_samples._with_hashes(bare, Path("x"), 1)
    assert again["doc_hash"] == record["doc_hash"] and again["target_hash"] == record["target_hash"]


# Faults are put into a log of the harness, one at a time.


@pytest.fixture
def broken(logs, tmp_path):
    """A function that changes the records of the candidate's h_part and pairs it with the baseline."""

    def pair(change):
        folder = tmp_path / "candidate"
        shutil.copytree(next((logs / "candidate").iterdir()), folder)
        file = next(folder.glob("samples_h_part_*"))
        records = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(r) + "\n" for r in change(records) or records))
        both = [read_harness(path, CHOICES, "h_part")["h_part"] for path in (logs / "baseline", folder)]
        return pair_up(*both, "h_part")

    return pair


def set_field(key, value, rows=slice(2, 3)):
    def change(records):
        for record in records[rows]:
            record[key] = value

    return change


def test_other_documents_or_targets_are_refused(broken):
    with pytest.raises(InputError, match=r"the documents differ on 1 of 20 items \(first: item 2\)"):
        broken(set_field("doc_hash", "0" * 64))


def test_other_targets_are_refused(broken):
    with pytest.raises(InputError, match="the targets differ on 1 of 20 items"):
        broken(set_field("target_hash", "0" * 64))


def test_another_prompt_is_a_warning(broken):
    assert (
        "the prompts differ on 20 of 20 items"
        in broken(set_field("prompt_hash", "0" * 64, slice(None))).notes[0]
    )


def test_duplicate_documents_are_refused(broken):
    with pytest.raises(InputError, match=r"line 21: doc_id 4 is already on line 5 \(filter none\) with another answer"):
        broken(lambda records: [*records, {**records[4], "acc": 1 - records[4]["acc"]}])


def test_padding_documents_of_several_gpus_count_once(broken):
    """Each rank pads its share with documents of its own: the same line again."""
    pairs = broken(lambda records: [*records, records[4], records[5]])
    assert pairs.items.size == 20
    assert "h_part: 2 left out: lines that repeat an answer word for word" in pairs.notes


def test_a_score_that_is_no_number(broken):
    with pytest.raises(InputError, match="line 3: acc = 'good' is not a number"):
        broken(set_field("acc", "good"))


def test_repeated_questions_within_a_task_are_one_unit(broken):
    pairs = broken(set_field("prompt_hash", None, slice(0, 0)))
    assert pairs.clusters is None
    frame = pd.DataFrame({"score": [1.0, 0, 1], "runs": 1, "content": ["x", "x", "y"]}, index=["0", "1", "2"])
    pairs = pair_up(TaskScores(frame, "a"), TaskScores(frame, "b"))
    assert list(pairs.clusters) == [0, 0, 1] and "1 items repeat" in pairs.notes[0]


def test_torn_file(logs, tmp_path):
    file = next((logs / "baseline").rglob("samples_h_part_*"))
    (tmp_path / file.name).write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match="line 20: not JSON"):
        read_model(tmp_path, CHOICES)


def test_a_log_that_is_one_json_array(logs, tmp_path):
    file = next((logs / "baseline").rglob("samples_h_part_*"))
    records = [json.loads(line) for line in file.read_text().splitlines()]
    (tmp_path / file.with_suffix(".json").name).write_text(json.dumps(records, indent=1))
    frame = read_model(tmp_path, CHOICES)["h_part"].frame
    assert frame.equals(read_harness(logs / "baseline", CHOICES, "h_part")["h_part"].frame)


def test_a_missing_log_likelihood(logs, tmp_path):
    shutil.copytree(next((logs / "baseline").iterdir()), tmp_path / "run")
    file = next((tmp_path / "run").glob("samples_h_perplexity_*"))
    records = [json.loads(line) for line in file.read_text().splitlines()]
    records[5]["word_perplexity"] = None
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    frame = read_harness(tmp_path / "run", CHOICES, "h_perplexity")["h_perplexity"].frame
    assert np.flatnonzero(frame["score"].isna()).tolist() == [5]
    known = [r["word_perplexity"] for r in records if r["word_perplexity"]]
    assert frame["score"].mean() == pytest.approx(sum(ll for ll, _ in known) / sum(n for _, n in known))


def test_perplexity_scalar_is_a_log_likelihood():
    """`perplexity` is lower = better, but what is logged per item is the log-likelihood: higher = better."""
    records = [
        (i, {"doc_id": i, "filter": "none", "metrics": ["perplexity"], "perplexity": -1.0 * i})
        for i in (1, 2)
    ]
    results = {"higher_is_better": {"lambada": {"perplexity": False}}}
    assert lm_eval_samples.choose("lambada", records, Choices(), Path("x")) == ("perplexity", "none")
    assert lm_eval._direction("perplexity", "lambada", results, Choices(), "x")
    assert not lm_eval._direction("ter", "t", {"higher_is_better": {"t": {"ter": False}}}, Choices(), "x")


def test_leaderboard_defaults():
    record = {
        "doc_id": 0,
        "filter": "none",
        "metrics": ["acc", "acc_norm", "exact_match", "prompt_level_strict_acc"],
    }
    for task, metric in (
        ("leaderboard_bbh_boolean_expressions", "acc_norm"),
        ("leaderboard_gpqa_main", "acc_norm"),
        ("leaderboard_musr_team_allocation", "acc_norm"),
        ("leaderboard_mmlu_pro", "acc"),
        ("leaderboard_math_algebra_hard", "exact_match"),
        ("leaderboard_ifeval", "prompt_level_strict_acc"),
    ):
        assert lm_eval_samples.choose(task, [(1, record)], Choices(), Path("x"))[0] == metric
    with pytest.raises(InputError, match="several metrics"):
        lm_eval_samples.choose("arc", [(1, record)], Choices(), Path("x"))


# ---- harness 0.4.4: no filter names, no list of metrics ----------------------------------------------------


def test_old_logs():
    for name, mean in (("strict-match", 0.5), ("flexible-extract", 2 / 3)):
        choices = Choices(
            {"h_choice": ("acc", None), "h_generate": ("exact_match", name), "h_odd": ("numpy_truth", None)}
        )
        tasks = read_model(OLD_LOGS, choices)
        assert tasks["h_generate"].frame["score"].mean() == pytest.approx(mean)
        assert reported(OLD_LOGS, "h_generate", f"exact_match,{name}") == pytest.approx(mean)
        # numpy booleans were written as the strings "True" and "False", numpy floats as "0.25".
        assert tasks["h_odd"].frame["score"].mean() == pytest.approx(2 / 3)
        assert [note.split(": ", 1)[1] for note in tasks["h_odd"].notes] == [
            f"{task} is reported but has no samples file: left out" for task in ("h_part", "h_perplexity")]
    quarter = read_harness(OLD_LOGS, Choices({"h_odd": ("numpy_quarter", None)}), "h_odd")["h_odd"]
    assert quarter.frame["score"].max() == 0.25


def test_old_logs_without_results_do_not_guess_the_filter(tmp_path):
    shutil.copy(next(OLD_LOGS.glob("samples_h_generate*")), tmp_path)
    with pytest.raises(InputError, match="doc_id 1 is already on line 2"):
        read_model(tmp_path, Choices({"h_generate": ("exact_match", None)}))


def test_old_and_new_logs_pair(logs):
    new = read_harness(logs / "baseline", CHOICES, "h_choice")["h_choice"]
    old = read_harness(OLD_LOGS, CHOICES, "h_choice")["h_choice"]
    pairs = pair_up(old, new, max_excluded=1)
    assert pairs.baseline.size == 12 and np.array_equal(pairs.baseline, pairs.candidate)


# ---- CSV ---------------------------------------------------------------------------------------------------


def write(path, text):
    path.write_text(text)
    return path


def test_csv(tmp_path):
    scores = read_csv(write(tmp_path / "a.csv", "prompt_id,score\n007,1\n7,0\nx y,TRUE\nz,\n"))["scores"]
    assert list(scores.frame.index) == ["007", "7", "x y", "z"]
    assert scores.frame["score"].tolist()[:3] == [1, 0, 1] and np.isnan(scores.frame["score"]["z"])


def test_csv_with_runs_clusters_and_tasks(tmp_path):
    text = "task,prompt_id,run,score,cluster\n" + "".join(
        f"{task},{item},{run},{(item + run) % 2},{item // 2}\n"
        for task in "ab"
        for item in range(4)
        for run in range(2)
    )
    tasks = read_csv(write(tmp_path / "a.csv", text))
    assert set(tasks) == {"a", "b"}
    assert tasks["a"].frame["score"].tolist() == [0.5] * 4 and (tasks["a"].frame["runs"] == 2).all()
    assert tasks["a"].frame["cluster"].tolist() == ["0", "0", "1", "1"]
    pairs = pair_up(tasks["a"], tasks["b"])
    assert list(pairs.clusters) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not a readable CSV"),
        ("prompt_id,score\n", "no rows below the header"),
        ("id,score\n1,1\n", "row 1: needs one column prompt_id"),
        ("prompt_id,score\n1,1\n1,0\n", "row 3: prompt_id 1 is given twice; if it is a second run"),
        ("prompt_id,score,run\n1,1,a\n1,0,a\n", "row 3: prompt_id 1 of run a is given twice"),
        ("prompt_id,score\n1,1\n2,good\n", "row 3: score 'good' is not a number"),
        ("prompt_id,score\n1,1\n2,inf\n", "row 3: score 'inf' is not a number"),
        ("prompt_id,score\n1,1\n,0\n", "row 3: prompt_id is empty"),
        ("prompt_id,score,cluster\n1,1,\n", "row 2: cluster is empty"),
        ("prompt_id,score,run,cluster\n1,1,a,x\n1,1,b,y\n", "row 2: prompt_id 1 has more than one cluster"),
        ("prompt_id,score\n1,1,1,1\n2,1\n3,1,1,1,1\n", "not a readable CSV"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    path = write(tmp_path / "bad.csv", text)
    with pytest.raises(InputError) as error:
        read_csv(path)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_folder_is_several_runs(tmp_path):
    (tmp_path / "runs").mkdir()
    write(tmp_path / "runs" / "seed0.csv", "prompt_id,score\na,1\nb,0\nc,1\n")
    write(tmp_path / "runs" / "seed1.csv", "prompt_id,score\na,1\nb,1\nc,\n")
    frame = read_model(tmp_path / "runs")["scores"].frame
    assert frame["score"].tolist() == [1, 0.5, 1] and frame["runs"].tolist() == [2, 2, 1]
    one = read_model(write(tmp_path / "one.csv", "prompt_id,score\na,0\nb,0\nc,1\n"))["scores"]
    pairs = pair_up(read_model(tmp_path / "runs")["scores"], one)
    assert "unequal numbers of runs: 1 to 2 per item in the baseline, 1 in the candidate" in pairs.notes[0]
    # One run of the two is drawn of a and b, as the other model has one.
    assert pairs.differences.tolist() in ([1, 1, 0], [1, 0, 0])


# ---- pairing, lists of models, matrices --------------------------------------------------------------------


def scores_of(values, **columns):
    frame = pd.DataFrame({"score": list(values.values()), "runs": 1, **columns}, index=list(values))
    return TaskScores(frame, "file")


def test_items_in_one_run_only_are_counted_and_then_refused():
    full = scores_of({str(i): i % 2 for i in range(100)})
    less = scores_of({str(i): 1 for i in range(3, 102)})
    pairs = pair_up(full, less, max_excluded=0.05)
    assert (
        pairs.excluded == {"only in the baseline": 3, "only in the candidate": 2}
        and pairs.baseline.size == 97
    )
    with pytest.raises(InputError, match="only 97 of 102 items"):
        pair_up(full, less, max_excluded=0.04)
    with pytest.raises(InputError, match="no item has a score in both"):
        pair_up(full, scores_of({f"x{i}": 1 for i in range(100)}), max_excluded=1)


def test_order_of_rows_does_not_matter():
    one, other = scores_of({"a": 1, "b": 0, "c": 1}), scores_of({"c": 0, "a": 1, "b": 1})
    assert pair_up(one, other).differences.tolist() == [0, -1, 1]


def test_clusters_that_differ_are_refused():
    one, other = (scores_of({"a": 1, "b": 0}, cluster=c) for c in (["x", "y"], ["x", "x"]))
    with pytest.raises(InputError, match="the clusters differ on 1 of 2 items"):
        pair_up(one, other)


def test_model_lists(tmp_path, logs):
    for name, scores in (("base", "1,1,0"), ("int8", "1,0,0")):
        for task in ("t1", "t2"):
            rows = "".join(f"{i},{s}\n" for i, s in enumerate(scores.split(",")))
            write(tmp_path / f"{name}_{task}.csv", "prompt_id,score\n" + rows)
    content = {m: {t: f"{m}_{t}.csv" for t in ("t1", "t2")} for m in ("base", "int8")}
    models = readers.read_model_list(write(tmp_path / "model_paths.json", json.dumps(content)))
    assert list(models) == ["base", "int8"] and list(models["int8"]) == ["t1", "t2"]
    shutil.copytree(logs / "baseline", tmp_path / "runs" / "base")
    shutil.copytree(logs / "candidate", tmp_path / "runs" / "q")
    listed = {"base": "runs/base", "q": ["runs/q", "runs/base"]}
    models = readers.read_model_list(write(tmp_path / "checkpoint_list.json", json.dumps(listed)), CHOICES)
    mean = (
        models["base"]["h_part"].frame["score"]
        + read_model(logs / "candidate", CHOICES)["h_part"].frame["score"]
    ) / 2
    assert models["q"]["h_part"].frame["score"].tolist() == mean.tolist()
    assert (models["q"]["h_part"].frame["runs"] == 2).all()


@pytest.mark.parametrize(
    "content, message",
    [
        ("[1, 2]", "expected an object with a baseline"),
        ('{"a": "x.csv"}', "expected an object with a baseline"),
        ('{"a": 3, "b": 4}', "a: expected a path, a list of paths"),
        ('{"a": "nowhere.csv", "b": "x"}', "no such file or folder"),
        ("{", "not a readable JSON file"),
    ],
)
def test_bad_model_lists(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        readers.read_model_list(write(tmp_path / "list.json", content))


@pytest.mark.parametrize(
    "content, message",
    [
        ("[]", "expected"),
        ('{"t": 3}', "t: expected"),
        ('{"t": {"metrik": "acc"}}', "t: expected"),
    ],
)
def test_bad_task_metrics(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        Choices.read(write(tmp_path / "task_metrics.json", content))


def test_task_metrics_spellings(tmp_path):
    text = '{"a": "acc", "b": "exact_match,strict-match", "c_*": {"metric": "acc_norm", "filter": "none"}}'
    choices = Choices.read(write(tmp_path / "task_metrics.json", text))
    assert choices.of("a") == ("acc", None) and choices.of("b") == ("exact_match", "strict-match")
    assert choices.of("c_1") == ("acc_norm", "none") and choices.of("d") == (None, None)


def test_matrix_rows(tmp_path):
    path = write(
        tmp_path / "m.csv",
        "model,created_date,sha,q1,q2,q3\nbase,2024-01-01,x,1,0,1\nnew,2024-02-01,y,0,,1\n",
    )
    models = readers.read_matrix_models(path, ["base", "new"])
    pairs = pair_up(models["base"]["scores"], models["new"]["scores"], max_excluded=0.5)
    assert list(pairs.items) == ["q1", "q3"] and pairs.differences.tolist() == [1, 0]
    assert pairs.excluded == {"no score in the candidate": 1}
    with pytest.raises(InputError, match="no row named"):
        readers.read_matrix_models(path, ["other"])


def test_every_run_of_a_folder_and_documents_to_ask_again(logs):
    runs = readers.read_runs(logs / "twice", CHOICES)
    assert len(runs) == 2 and all(name.startswith(f"{logs / 'twice'}: 20") for name in runs)
    found = repeats.count_successes(runs, 0)["h_choice"]
    samples = repeats.harness_samples({"h_choice": found})["h_choice"]
    assert samples == sorted(int(item) for item in found.items[found.kept]) and 0 < len(samples) < 40
    assert len(readers.read_runs(logs / "twice", CHOICES, latest=True)) == 1


# ---- both halves --------------------------------------------------------------------------------------------


def test_a_matrix_and_a_pair_read_the_same_of_every_folder(logs):
    """Every task of 0/1 scores, of every folder that the harness wrote."""
    skip = ("h_perplexity",)  # log-likelihoods are no scores of a matrix
    choices = replace(CHOICES, skip=skip)
    folders = [logs / name for name in ("baseline", "candidate", "twice", "single", "one_by_one", "subset")]
    for folder in filter(Path.is_dir, folders):
        pair = read_model(folder, choices)
        responses, notes = readers.read("lm-eval", [folder], choices=choices)
        assert responses.models.tolist() == ["made/up"]
        seen = dict(zip(responses.questions, responses.scores[0].astype(float), strict=True))
        assert seen == {f"{task}/{item}": score for task, scores in pair.items()
                        for item, score in scores.frame["score"].items()}
        assert {note for scores in pair.values() for note in scores.notes} <= {
            note.removeprefix("made/up: ") for note in notes} | set(notes)


def test_tasks_that_the_harness_ran_one_by_one(logs):
    tasks = read_model(logs / "one_by_one", CHOICES)
    assert sorted(tasks) == ["h_choice", "h_odd"] and "tasks of 2 runs are united" in tasks["h_odd"].notes[0]
    with pytest.raises(InputError, match=r"two runs of made/up differ in model_args \(.*errors=0.2 and .*errors=0.5\)"):
        read_model(logs / "variants", CHOICES)


def test_what_the_harness_says_of_a_run(logs):
    log = read_model(logs / "baseline", CHOICES)["h_choice"]
    assert log.model == "made/up" and log.metric == "acc" and log.kind == "0/1"
    assert log.identity["model_args"] == "pretrained=made/up,errors=0.2" and log.setup["n-shot"] == "0"
    assert log.account.scored == log.account.stated == log.account.dataset == 40 and not log.account.lines("x")
    assert log.folder.endswith("made__up") and log.task == "h_choice"
