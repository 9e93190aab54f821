"""data/split_history.py: every format it reads, and what it does with repeated, conflicting and unknown answers."""

import contextlib
import csv
import gzip
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.dataset import Dataset

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


SCRIPT = ROOT / "data" / "split_history.py"


def arguments(folder: Path, flags) -> list[str]:
    return ["--dataset", "mine", "--data-dir", str(folder / "processed"), *map(str, flags)]


def split(folder: Path, *flags) -> str:
    """Run the script in this process; what it prints."""
    spec = importlib.util.spec_from_file_location("split_history", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        script.main(arguments(folder, flags))
    return said.getvalue()


def refused(folder: Path, told: str, *flags):
    """One line on stderr, exit 2, and nothing written."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = subprocess.run([sys.executable, SCRIPT, *arguments(folder, flags)], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert told in done.stderr, done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def bank(n_models: int = 6, n_questions: int = 8) -> np.ndarray:
    return (np.random.default_rng(1).random((n_models, n_questions)) < 0.5).astype(int)


SCORES = bank()
MODELS = [f"m{i}" for i in range(6)]
DATES = [f"2024-0{6 - i}-01" for i in range(6)]  # the last is the oldest


def write_long(path: Path, extra: list[str] = (), task: bool = True) -> Path:
    lines = ["model,question,score,created_date" + ",task,category" * task]
    for i, model in enumerate(MODELS):
        for j in range(8):
            lines.append(f"{model},q{j},{SCORES[i, j]},{DATES[i]}" + f",t{j % 2},c" * task)
    opened = gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w")
    with opened as stream:
        stream.write("\n".join([*lines, *extra, ""]))
    return path


def matrix(folder: Path) -> dict[str, np.ndarray]:
    dataset = Dataset(folder / "processed", "mine")
    parts = (dataset.history(), dataset.new_models())
    return {model: row for part in parts for model, row in zip(part.models, part.scores, strict=True)}


# --- long ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["answers.csv", "answers.csv.gz"])
def test_long_makes_the_matrix_with_its_labels(tmp_path, name):
    done = split(tmp_path, write_long(tmp_path / name), "--from", "long")
    assert "wrote" in done
    assert all(np.array_equal(matrix(tmp_path)[model], row) for model, row in zip(MODELS, SCORES, strict=True))
    dataset = Dataset(tmp_path / "processed", "mine")
    assert dataset.history().models.tolist() == ["m5", "m4", "m3"]
    new = dataset.new_models()
    assert new.tasks.tolist() == ["t0", "t1"] * 4 and new.categories.tolist() == ["c"] * 8


def test_equal_repetitions_count_once_and_are_told(tmp_path):
    done = split(tmp_path, write_long(tmp_path / "a.csv", [f"m0,q0,{SCORES[0, 0]},,t0,c"] * 3), "--from", "long")
    assert "3 answers repeat an equal one and count once" in done
    assert np.array_equal(matrix(tmp_path)["m0"], SCORES[0])


def test_conflicts_are_refused_or_resolved_by_the_named_rule(tmp_path):
    path = write_long(tmp_path / "a.csv", [f"m0,q0,{1 - SCORES[0, 0]},,t0,c"])
    refused(tmp_path, "1 answers are given twice with different scores, first m0 on q0", path, "--from", "long")
    refused(tmp_path, "a.csv: line 50", path, "--from", "long")
    for rule, expected in (("first", SCORES[0, 0]), ("last", 1 - SCORES[0, 0]), ("mean", 0.5)):
        done = split(tmp_path, path, "--from", "long", "--conflicts", rule, "--overwrite")
        assert f"the {rule} counts" in done
        assert matrix(tmp_path)["m0"][0] == expected


def test_unknown_questions_are_refused_or_dropped(tmp_path):
    path = write_long(tmp_path / "a.csv", ["m1,q99,1,,t0,c", "m2,q99,0,,t0,c"])
    listed = tmp_path / "bank.csv"
    listed.write_text("question,task\n" + "".join(f"q{7 - j},u{j % 2}\n" for j in range(8)))
    flags = (path, "--from", "long", "--bank", listed)
    refused(tmp_path, "2 answers to 1 questions the bank does not list, first 'q99'", *flags)
    done = split(tmp_path, *flags, "--unknown", "drop")
    assert "2 answers to 1 questions the bank does not list are dropped" in done
    assert all(np.array_equal(matrix(tmp_path)[model], row[::-1]) for model, row in zip(MODELS, SCORES, strict=True))
    assert Dataset(tmp_path / "processed", "mine").new_models().tasks.tolist() == ["u0", "u1"] * 4


def test_blanks_stay_blank_in_the_history(tmp_path):
    done = split(tmp_path, write_long(tmp_path / "a.csv", ["m5,q8,,,t0,c", "m5,q9,nan,,t0,c"]), "--from", "long",
                 "--incomplete", "zero")
    assert "2 answers without a score are blanks" in done
    history = Dataset(tmp_path / "processed", "mine").history()
    assert history.questions.tolist() == [f"q{j}" for j in range(10)]
    assert history.scores[0].tolist() == [*SCORES[5], -1, -1]


@pytest.mark.parametrize(("line", "told"), [
    ("m0,q9,maybe,,t0,c", "a.csv: line 50: 'maybe' is not a score"),
    ("m0,q9,1.5,,t0,c", "a.csv: line 50: score 1.5 of m0 is not in [0, 1]"),
    ("m0,,1,,t0,c", "a.csv: line 50: question is blank"),
    (",q1,1,,t0,c", "a.csv: line 50: model is blank"),
    ("m0,q0,1,,t9,c", "question 'q0' has several values in column task (t0, t9)"),
])
def test_bad_long_lines_are_named(tmp_path, line, told):
    same = line.replace("m0,q0,1", f"m0,q0,{SCORES[0, 0]}")
    refused(tmp_path, told, write_long(tmp_path / "a.csv", [same]), "--from", "long")


def test_files_that_are_not_what_they_are_said_to_be(tmp_path):
    odd = tmp_path / "odd.csv"
    odd.write_text("a,b\n1,2\n")
    refused(tmp_path, "the header must name model, question, score", odd, "--from", "long")
    refused(tmp_path, "the header must begin with model", odd)
    refused(tmp_path, "no such file or folder", tmp_path / "absent", "--from", "helm")
    (tmp_path / "empty").mkdir()
    for kind, told in (("lm-eval", "no CSV and no samples_<task>_<time>.jsonl here"),
                       ("helm", "no per_instance_stats.json here")):
        refused(tmp_path, told, tmp_path / "empty", "--from", kind)


def test_model_info_dates_what_logs_do_not(tmp_path):
    path = write_long(tmp_path / "a.csv")
    info = tmp_path / "info.csv"
    info.write_text("model,created_date,family\nm0,2020-01-01,old\nm1,2020-02-01,old\n")
    split(tmp_path, path, "--from", "long", "--model-info", info)
    history = Dataset(tmp_path / "processed", "mine").history()
    assert history.models[:2].tolist() == ["m0", "m1"] and history.families[:2].tolist() == ["old", "old"]
    info.write_text("model,created_date\nm0,2020-01-01\nm0,2020-01-01\n")
    refused(tmp_path, "info.csv: line 3: model 'm0' is listed twice", path, "--from", "long", "--model-info", info)
    info.write_text("model,created_date\nother,2020-01-01\n")
    refused(tmp_path, "lists none of the models", path, "--from", "long", "--model-info", info)


def test_wide_takes_its_labels_from_the_bank(tmp_path):
    wide = tmp_path / "wide.csv"
    rows = [[model, date, "", *row] for model, date, row in zip(MODELS, DATES, SCORES.tolist(), strict=True)]
    with wide.open("w", newline="") as stream:
        csv.writer(stream).writerows([["model", "created_date", "sha", *(f"q{j}" for j in range(8))], *rows])
    listed = tmp_path / "bank.csv"
    listed.write_text("question,task,category\n" + "".join(f"q{7 - j},t{j},c\n" for j in range(8)))
    split(tmp_path, wide, "--bank", listed)
    new = Dataset(tmp_path / "processed", "mine").new_models()
    assert new.questions[0] == "q7" and new.tasks[0] == "t0" and np.array_equal(matrix(tmp_path)["m0"], SCORES[0][::-1])


# --- lm-evaluation-harness -----------------------------------------------------------------------------

TIME = "2026-11-22T05-35-54.486181"


def write_lm_eval(folder: Path, model: str, row: np.ndarray, time: str = TIME, task: str = "arc", results: bool = True,
                  **fields) -> Path:
    where = folder / model
    where.mkdir(parents=True, exist_ok=True)
    rows = [{"doc_id": j, "doc": {}, "target": "A", "filter": "none", "metrics": ["acc"], "acc": float(score)} | fields
            for j, score in enumerate(row.tolist())]
    (where / f"samples_{task}_{time}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows[::-1]))
    if results:
        (where / f"results_{time}.json").write_text(json.dumps({"model_name": f"org/{model}", "results": {}}))
    return where


def test_lm_eval_folders_become_models_and_the_newest_run_counts(tmp_path):
    for model, row in zip(MODELS, SCORES, strict=True):
        write_lm_eval(tmp_path / "out", model, 1 - row, "2025-01-01T00-00-00.1")
        write_lm_eval(tmp_path / "out", model, row)
        write_lm_eval(tmp_path / "out", model, row[:3], task="leaderboard_bbh_snarks", metrics=["acc", "acc_norm"],
                      acc_norm=1.0)
    done = split(tmp_path, tmp_path / "out", "--from", "lm-eval")
    assert "m0: read the run of 2026-11-22T05-35-54.486181, not 2025-01-01T00-00-00.1" in done
    new = Dataset(tmp_path / "processed", "mine").new_models()
    assert set(new.tasks) == {"arc", "leaderboard_bbh_snarks"}
    for i, model in enumerate(MODELS):
        kept = dict(zip(new.questions, matrix(tmp_path)[f"org/{model}"], strict=True))
        assert [kept[f"arc/{j}"] for j in range(8)] == SCORES[i].tolist()
        assert [kept[f"leaderboard_bbh_snarks/{j}"] for j in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(("fields", "told"), [
    ({"metrics": ["acc", "f1"]}, "several metrics (acc, f1): say which with --metric"),
    ({"acc": [1, 2]}, "acc = [1, 2] is not a score of one item"),
    ({"doc_id": 3}, "doc_id 3 is already on line 1 (filter none)"),
])
def test_unclear_lm_eval_samples_are_refused(tmp_path, fields, told):
    for model, row in zip(MODELS, SCORES, strict=True):
        write_lm_eval(tmp_path / "out", model, row, **fields)
    refused(tmp_path, told, tmp_path / "out", "--from", "lm-eval")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
def test_real_harness_logs_name_the_choice_to_make_and_then_read(tmp_path):
    logs = SHARED / "lm_eval_logs"
    with pytest.raises(InputError, match=r"t_gen_two_filters has several.*with --metric or --filter"):
        readers.read("lm-eval", [logs / "baseline", logs / "candidate"])
    tables = []
    for filter_ in ("strict-match", "flexible-extract"):
        [path] = (logs / "baseline").glob("samples_t_gen_two_filters_*")
        (tmp_path / filter_).mkdir()
        shutil.copy(path, tmp_path / filter_)
        tables.append(readers.read("lm-eval", [tmp_path / filter_], "exact_match", filter_)[0])
    results = json.loads(next((logs / "baseline").glob("results_*.json")).read_text())["results"]["t_gen_two_filters"]
    for table, filter_ in zip(tables, ("strict-match", "flexible-extract"), strict=True):
        assert table.scores.mean() == pytest.approx(results[f"exact_match,{filter_}"])


# --- HELM ----------------------------------------------------------------------------------------------

def write_helm(folder: Path, model: str, row: np.ndarray, trials: int = 1, subject: str = "anatomy") -> Path:
    where = folder / f"mmlu_subject={subject},model={model}"
    where.mkdir(parents=True)
    name = f"mmlu:subject={subject},method=multiple_choice_joint,model=org_{model}"
    (where / "run_spec.json").write_text(json.dumps({"name": name, "adapter_spec": {"model": f"org/{model}"}}))

    def stat(metric, value):
        return {"name": {"name": metric, "split": "test"}, "count": 1, "sum": value, "mean": value}

    instances = [{"instance_id": f"id{j}", "train_trial_index": t,
                  "stats": [stat("num_prompt_tokens", 400.0), stat("exact_match", float(score))]}
                 for t in range(trials) for j, score in enumerate(row.tolist())]
    instances += [{**instances[0], "perturbation": {"name": "robustness"}}]
    (where / "per_instance_stats.json").write_text(json.dumps(instances))
    return where


def test_helm_runs_become_models_without_perturbed_instances(tmp_path):
    for model, row in zip(MODELS, SCORES, strict=True):
        write_helm(tmp_path / "suite", model, row)
        write_helm(tmp_path / "suite", model, row, trials=2, subject="law")
    done = split(tmp_path, tmp_path / "suite", "--from", "helm")
    assert "1 left out: perturbed instances (robustness)" in done and "up to 2 trials a question, averaged" in done
    new = Dataset(tmp_path / "processed", "mine").new_models()
    assert set(new.tasks) == {f"mmlu:subject={s},method=multiple_choice_joint" for s in ("anatomy", "law")}
    assert all(np.array_equal(matrix(tmp_path)[f"org/{m}"], [*r, *r]) for m, r in zip(MODELS, SCORES, strict=True))


def test_helm_without_the_metric_or_the_run_is_refused(tmp_path):
    where = write_helm(tmp_path / "suite", "m0", SCORES[0])
    refused(tmp_path, "no metric 'f1'; choose with --metric, e.g. exact_match, num_prompt_tokens", tmp_path / "suite",
            "--from", "helm", "--metric", "f1")
    (where / "per_instance_stats.json").write_text('[{"instance_id": "id0"}]')
    refused(tmp_path, "not the layout of HELM (missing 'stats')", where, "--from", "helm")
    (where / "run_spec.json").unlink()
    refused(tmp_path, "run_spec.json: not a readable JSON file", where, "--from", "helm")


# --- inspect_ai ----------------------------------------------------------------------------------------

def test_inspect_without_its_package_says_how_to_get_it(tmp_path):
    (tmp_path / "logs").mkdir()  # whether the package is here or not, its import fails in this subprocess
    code = (f"import sys; sys.modules['inspect_ai'] = None; sys.path.insert(0, {str(ROOT)!r})\n"
            "from llm_accuracy.scores import readers; from pathlib import Path\n"
            f"readers.read('inspect', [Path({str(tmp_path / 'logs')!r})])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ("InputError: logs of inspect_ai are read with its own reader: pip install \"inspect_ai>=0.3.250\""
            in done.stderr)
