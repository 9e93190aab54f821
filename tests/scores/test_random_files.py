"""Random files of every kind (hypothesis): valid ones are read back as they were meant; damaged ones are refused in one
line or read as what it still is. `make test-long` tries 40 times as many; how many were tried, by kind, is printed at
the end of the tests. Where inspect_ai and lm-evaluation-harness are installed, their own writers write."""

import csv
import gzip
import io
import json
import math
import os
import string
import subprocess

import pytest
from conftest import ROOT, TRIED, harness_python, run_script
from test_contract import TIMES

from llm_accuracy.errors import InputError
from llm_accuracy.scores.every_eval_ever import Answer, Estimate, Interval, write_record
from llm_accuracy.scores.matrix import Responses, read_matrix, write_matrix
from llm_accuracy.scores.readers import read_model
from llm_accuracy.scores.task_scores import Choices

try:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError:
    if os.environ.get("CI") == "true":
        raise  # as `not_installed`: in CI it must be there
    pytest.skip("no hypothesis (requirements.txt has it)", allow_module_level=True)

QUICK, MANY = 25, 1000
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), min_size=1, max_size=12)
SCORES = st.one_of(st.sampled_from([0.0, 1.0, 0.5, None]), st.floats(0, 1, allow_subnormal=False))
ROWS = st.dictionaries(NAMES, SCORES, min_size=1, max_size=12)


def write_csv(folder, rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([("prompt_id", "score"), *((q, "" if s is None else repr(s)) for q, s in rows.items())])
    return _write(folder / "s.csv", text.getvalue())


def write_csv_gz(folder, rows):
    return _write(folder / "s.csv.gz", write_csv(folder, rows).read_text())


def write_jsonl(folder, rows):
    return _write(folder / "s.jsonl", "".join(json.dumps({"id": q, "score": s}) + "\n" for q, s in rows.items()))


def write_jsonl_gz(folder, rows):
    return _write(folder / "s.jsonl.gz", write_jsonl(folder, rows).read_text())


def _samples(rows):
    return [{"doc_id": i, "doc": {"q": q}, "target": "a", "filter": "none", "metrics": ["acc"], "doc_hash": f"{i:064}",
             "prompt_hash": f"{i:064}", "target_hash": "0" * 64, "acc": s} for i, (q, s) in enumerate(rows.items())]


def write_harness(folder, rows, ending=""):
    """One task of the harness: documents are numbered, so names become their documents."""
    _write(folder / f"results_{TIMES[0]}.json", json.dumps({
        "results": {"t": {"alias": "t"}}, "higher_is_better": {"t": {"acc": True}}, "model_name": "m"}))
    return _write(folder / f"samples_t_{TIMES[0]}.jsonl{ending}", "".join(json.dumps(s) + "\n" for s in _samples(rows)))


def write_harness_gz(folder, rows):
    return write_harness(folder, rows, ".gz")


def write_old_harness(folder, rows):
    _write(folder / "results.json", json.dumps({"results": {"t": {"acc,none": 0.5}}, "versions": {"t": 1}, "configs": {
        "t": {}}, "config": {"model": "hf", "model_args": "pretrained=a/b"}}))
    new = ("filter", "metrics", "doc_hash", "prompt_hash", "target_hash")
    _write(folder / "pretrained__a__b_t.jsonl", json.dumps(
        [{key: value for key, value in sample.items() if key not in new} for sample in _samples(rows)], indent=2))
    return folder


def write_helm(folder, rows):
    run = folder / "runs" / "t"
    run.mkdir(parents=True)
    _write(run / "run_spec.json", json.dumps({"name": "t:model=m", "adapter_spec": {"model": "m"}}))
    _write(run / "per_instance_stats.json", json.dumps([
        {"instance_id": q, "train_trial_index": 0, "stats": [
            {"name": {"name": "exact_match", "split": "test"}, "count": 1, "sum": s}]} for q, s in rows.items()]))
    return folder / "runs"


def write_every_eval_ever(folder, rows):
    """Instances have no missing score: it is one that crashed."""
    answers = tuple(Answer(q, f"what is {q}?", ["a"], "b", 0.0 if s is None else s) for q, s in rows.items())
    path = write_record(folder, Estimate("org/m", "t", 0.5, Interval(0.1, 0.9, 0.95, "any"), len(rows), "us", "bank",
                                         ("llm-accuracy", "1"), answers=answers))
    lines = path.with_name(path.stem + "_samples.jsonl")
    record = json.loads(path.read_text())
    record["detailed_evaluation_results"].pop("checksum")
    _write(path, json.dumps(record))
    instances = [json.loads(line) for line in lines.read_text().splitlines()]
    _write(lines, "".join(json.dumps({**i, "error": "crash"} if s is None else i) + "\n"
                          for i, s in zip(instances, rows.values(), strict=True)))
    return folder


def write_promptfoo(folder, rows):
    """Passes alone: a score that is neither 0 nor 1 is a pass or not by chance of its size."""
    answers = [{"promptIdx": 0, "testIdx": i, "provider": {"id": "m"}, "prompt": {"raw": q, "label": "p"},
                "vars": {"q": q}, "testCase": {"vars": {"q": q}, "assert": [{"type": "contains", "value": "a"}]},
                "success": s, "score": s, "failureReason": 0} for i, (q, s) in enumerate(rows.items())]
    return _write(folder / "promptfoo.json", json.dumps({"evalId": "e", "results": {
        "version": 3, "timestamp": "2026", "prompts": [{"raw": "p", "label": "p", "provider": "m"}],
        "results": answers}}))


def write_lighteval(folder, rows):
    import pyarrow
    import pyarrow.parquet

    _write(folder / f"results_{TIMES[0]}.json", json.dumps({"config_general": {"lighteval_sha": "?", "model_name": "m"},
           "config_tasks": {"t|0": {"metrics": [{"metric_name": "em", "higher_is_better": True}]}}}))
    path = folder / f"details_t|0_{TIMES[0]}.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([
        {"doc": {"id": q, "query": q, "choices": ["a"], "gold_index": 0}, "metric": {"em": s},
         "model_response": {"input": q}} for q, s in rows.items()]), path)
    return path


def write_evalplus(folder, rows):
    """Missing scores are not there: evalplus gives every solution a status; a half is one of two that pass."""
    status = {0.0: ["fail"], 1.0: ["pass"], 0.5: ["pass", "timeout"]}
    return _write(folder / "m_eval_results.json", json.dumps({"date": "2026", "hash": "0", "eval": {
        f"T/{q}": [{"base_status": one, "plus_status": None} for one in status[s]] for q, s in rows.items()}}))


def write_opencompass(folder, rows):
    path = folder / "results" / "m" / "t.json"
    path.parent.mkdir(parents=True)
    return _write(path, json.dumps({"accuracy": 1.0, "details": [
        {"example_abbr": f"t_test_{i}", "answer": ["a"], "correct": [s]} for i, s in enumerate(rows.values())]}))


def write_inspect(folder, rows, ending=".json"):
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, write_eval_log
    from inspect_ai.scorer import Score

    samples = [EvalSample(id=q, epoch=1, input=f"what is {q}?", target="a",
                          scores={} if s is None else {"s": Score(value=s)}) for q, s in rows.items()]
    spec = EvalSpec(created="2026-01-01T00:00:00+00:00", task="t", dataset=EvalDataset(), model="mock/m",
                    config=EvalConfig())
    path = folder / f"log{ending}"
    write_eval_log(EvalLog(status="success", eval=spec, samples=samples), str(path))
    return path


def write_inspect_eval(folder, rows):
    return write_inspect(folder, rows, ".eval")


WRITERS = {"csv": write_csv, "csv.gz": write_csv_gz, "jsonl": write_jsonl, "jsonl.gz": write_jsonl_gz,
           "lm-eval": write_harness, "lm-eval .gz": write_harness_gz, "lm-eval 0.4.0": write_old_harness,
           "helm": write_helm, "every-eval-ever": write_every_eval_ever, "promptfoo": write_promptfoo,
           "lighteval": write_lighteval, "evalplus": write_evalplus, "opencompass": write_opencompass,
           "inspect .json": write_inspect, "inspect .eval": write_inspect_eval}
# Formats that name a question by a number
NUMBERED = ("lm-eval", "lm-eval .gz", "lm-eval 0.4.0", "promptfoo", "opencompass")
CHOICES = {"promptfoo": Choices({"*": ("score", None)}), "inspect .json": Choices({"*": ("s", None)}),
           "inspect .eval": Choices({"*": ("s", None)})}


@pytest.fixture
def writer(request, kind):
    """The kind, where the program that writes it is installed."""
    if kind.startswith("inspect"):
        request.getfixturevalue("inspect_ai")
    return kind


def _write(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def same(found, meant):
    return len(found) == len(meant) and all(
        (math.isnan(f) if m is None else f == m) for f, m in zip(found, meant, strict=True))


def comes_back(folder, kind, rows):
    TRIED[f"{kind}, read back"] += 1
    rows = kept(kind, rows)
    if kind.startswith("inspect") and all(score is None for score in rows.values()):
        return  # no sample names a score then, and the log is refused
    if kind == "helm" and all(score is None for score in rows.values()):
        return
    [log] = read_model(WRITERS[kind](folder, rows), CHOICES.get(kind)).values()
    frame = log.frame
    if kind.startswith("inspect"):  # it sorts the samples of a log
        assert set(frame.index) == set(rows)
        frame = frame.loc[list(rows)]
    assert same(frame["score"].tolist(), list(rows.values())), kind
    if kind not in NUMBERED:
        assert frame.index.tolist() == list(rows)
    assert log.account.answers in (0, len(rows))


def kept(kind, rows):
    """What a format can say of these rows."""
    if kind != "evalplus":
        return rows
    return {q.replace("/", "|"): s if s in (0.0, 1.0) else 0.5 for q, s in rows.items()}


def torn(path):
    """The file of a log to be damaged: the one with the answers."""
    return path if path.is_file() else max((f for f in path.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


def survives(folder, kind, rows, cut, at, byte):
    """A damaged file: an InputError of one line that names it, or scores that are all numbers."""
    TRIED[f"{kind}, damaged"] += 1
    path = WRITERS[kind](folder, kept(kind, rows))
    file = torn(path)
    data = file.read_bytes()
    place = int(at * (len(data) - 1))
    file.write_bytes(data[:place] if cut else data[:place] + bytes([byte]) + data[place + 1:])
    before = sorted(folder.rglob("*"))
    try:
        for log in read_model(path, CHOICES.get(kind)).values():
            assert log.frame["score"].dtype == float and not log.frame["score"].isin([math.inf, -math.inf]).any()
    except InputError as error:
        assert "\n" not in str(error) and folder.name in str(error)
    assert sorted(folder.rglob("*")) == before


def matrix_comes_back(folder, models, rows):
    import numpy as np

    TRIED["wide, read back"] += 1
    table = np.array([[np.nan if s is None else s for s in rows.values()]] * len(models), np.float32)
    path = folder / "m.csv"
    write_matrix(path, Responses(models, list(rows), table))
    back = read_matrix(path)
    assert back.models.tolist() == models and back.questions.tolist() == list(rows)
    assert np.array_equal(back.to_frame().to_numpy(), table, equal_nan=True)


def tried(check, many, **strategies):
    """The check as a function of a folder, on so many random inputs, the same ones every time."""
    def run(folder):
        count = iter(range(10**9))

        @settings(max_examples=many, deadline=None, derandomize=True, database=None,
                  suppress_health_check=list(HealthCheck))
        @given(**strategies)
        def one(**drawn):
            place = folder / str(next(count))
            place.mkdir(parents=True)
            check(place, **drawn)

        one()
    return run


ROUND_TRIP = {"rows": ROWS}
DAMAGE = {"rows": ROWS, "cut": st.booleans(), "at": st.floats(0, 1), "byte": st.integers(0, 255)}
HOW_MANY = [QUICK, pytest.param(MANY, marks=pytest.mark.long)]


@pytest.mark.parametrize("many", HOW_MANY)
@pytest.mark.parametrize("kind", WRITERS)
def test_valid_files_come_back(tmp_path, writer, many):
    tried(comes_back, many, kind=st.just(writer), **ROUND_TRIP)(tmp_path)


@pytest.mark.parametrize("many", HOW_MANY)
@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_files_are_one_line_or_numbers(tmp_path, writer, many):
    tried(survives, many, kind=st.just(writer), **DAMAGE)(tmp_path)


@pytest.mark.parametrize("many", HOW_MANY)
def test_matrices_come_back(tmp_path, many):
    tried(matrix_comes_back, many, rows=ROWS,
          models=st.lists(NAMES.filter(lambda name: name != "model"), min_size=1, max_size=4, unique=True))(tmp_path)


@pytest.mark.parametrize("many", HOW_MANY)
def test_what_the_harness_own_tracker_writes_comes_back(tmp_path, many):
    python, drawn = harness_python(), []
    tried(lambda _, rows: drawn.append(rows), many, **ROUND_TRIP)(tmp_path / "unused")
    (tmp_path / "runs.json").write_text(json.dumps(drawn))
    done = subprocess.run([python, ROOT / "tests" / "helpers" / "write_lm_eval.py", tmp_path / "runs.json",
                           tmp_path / "logs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for number, rows in enumerate(drawn):
        TRIED["lm-eval by its own tracker, read back"] += 1
        [log] = read_model(tmp_path / "logs" / str(number)).values()
        assert same(log.frame["score"].tolist(), list(rows.values())) and log.account.stated == len(rows)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_command_refuses_a_torn_file_and_writes_nothing(tmp_path, writer):
    rows = dict.fromkeys(string.ascii_lowercase, 1.0)
    path = WRITERS[writer](tmp_path, rows)
    whole = torn(path).read_bytes()
    torn(path).write_bytes(whole[: len(whole) - 12] + (b"" if "gz" in writer else b'\xff\xfe"'))
    done = run_script("mcnemar_tests.py", "pair", path, path, "--json", tmp_path / "out.json", code=2)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and not (tmp_path / "out.json").exists()
