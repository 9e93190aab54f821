"""Random files of every kind (hypothesis): valid ones are read back as they were meant; damaged ones are refused in one
line or read as what it still is. `make test-long` tries 40 times as many."""

import csv
import gzip
import io
import json
import math
import string

import pytest
from conftest import run_script
from test_contract import TIMES

from llm_accuracy.errors import InputError
from llm_accuracy.scores.matrix import Responses, read_matrix, write_matrix
from llm_accuracy.scores.readers import read_model

try:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError:
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


def write_harness(folder, rows):
    """One task of the harness: documents are numbered, so names become their documents."""
    lines = [{"doc_id": i, "doc": {"q": q}, "target": "a", "filter": "none", "metrics": ["acc"], "doc_hash": f"{i:064}",
              "prompt_hash": f"{i:064}", "target_hash": "0" * 64, "acc": s} for i, (q, s) in enumerate(rows.items())]
    _write(folder / f"results_{TIMES[0]}.json", json.dumps({
        "results": {"t": {"alias": "t"}}, "higher_is_better": {"t": {"acc": True}}, "model_name": "m"}))
    return _write(folder / f"samples_t_{TIMES[0]}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


WRITERS = {"csv": write_csv, "csv.gz": write_csv_gz, "jsonl": write_jsonl, "jsonl.gz": write_jsonl_gz,
           "lm-eval": write_harness}


def _write(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def same(found, meant):
    return len(found) == len(meant) and all(
        (math.isnan(f) if m is None else f == m) for f, m in zip(found, meant, strict=True))


def comes_back(folder, kind, rows):
    [log] = read_model(WRITERS[kind](folder, rows)).values()
    assert same(log.frame["score"].tolist(), list(rows.values())), kind
    if kind != "lm-eval":
        assert log.frame.index.tolist() == list(rows)
    assert log.account.answers in (0, len(rows))


def survives(folder, kind, rows, cut, at, byte):
    """A damaged file: an InputError of one line that names it, or scores that are all numbers."""
    path = WRITERS[kind](folder, rows)
    data = bytearray(path.read_bytes())
    place = int(at * (len(data) - 1))
    damaged = bytes(data[:place]) if cut else bytes(data[:place] + bytes([byte]) + data[place + 1:])
    path.write_bytes(damaged)
    before = sorted(folder.rglob("*"))
    try:
        for log in read_model(path).values():
            assert log.frame["score"].dtype == float and not log.frame["score"].isin([math.inf, -math.inf]).any()
    except InputError as error:
        assert "\n" not in str(error) and folder.name in str(error)
    assert sorted(folder.rglob("*")) == before


def matrix_comes_back(folder, models, rows):
    import numpy as np

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
            place.mkdir()
            check(place, **drawn)

        one()
    return run


ROUND_TRIP = {"rows": ROWS}
DAMAGE = {"rows": ROWS, "cut": st.booleans(), "at": st.floats(0, 1), "byte": st.integers(0, 255)}
HOW_MANY = [QUICK, pytest.param(MANY, marks=pytest.mark.long)]


@pytest.mark.parametrize("many", HOW_MANY)
@pytest.mark.parametrize("kind", WRITERS)
def test_valid_files_come_back(tmp_path, kind, many):
    tried(comes_back, many, kind=st.just(kind), **ROUND_TRIP)(tmp_path)


@pytest.mark.parametrize("many", HOW_MANY)
@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_files_are_one_line_or_numbers(tmp_path, kind, many):
    tried(survives, many, kind=st.just(kind), **DAMAGE)(tmp_path)


@pytest.mark.parametrize("many", HOW_MANY)
def test_matrices_come_back(tmp_path, many):
    tried(matrix_comes_back, many, rows=ROWS,
          models=st.lists(NAMES.filter(lambda name: name != "model"), min_size=1, max_size=4, unique=True))(tmp_path)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_command_refuses_a_torn_file_and_writes_nothing(tmp_path, kind):
    rows = dict.fromkeys(string.ascii_lowercase, 1.0)
    path = WRITERS[kind](tmp_path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 12] + (b"" if "gz" in kind else b'\xff\xfe"'))
    done = run_script("mcnemar_tests.py", "pair", path, path, "--json", tmp_path / "out.json", code=2)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and not (tmp_path / "out.json").exists()
