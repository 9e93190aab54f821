"""Limits of what is read, in one place for all readers: small bombs are refused in one line before memory is taken."""

import gzip
import json
import zipfile

import numpy as np
import pytest
from conftest import run_script

from llm_accuracy import files
from llm_accuracy.errors import InputError
from llm_accuracy.files import check_zip, limit_to, parse_json, read_json
from llm_accuracy.scores import readers
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.scores.matrix import _content_key, read_matrix
from llm_accuracy.scores.readers import read_model
from llm_accuracy.scores.scenario import read_mask

MIB = 1 << 20


@pytest.fixture(autouse=True)
def small():
    """Files of at most 8 MiB unpacked, lines of at most 128 KiB, 4,096 columns."""
    limit_to("8M")
    yield
    limit_to(None)


def refused(read, path, said):
    with pytest.raises(InputError, match=said) as error:
        read(path)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(path))


def bomb(path, head=b"", tail=b"", size=64 * MIB):
    """A gzip file of kilobytes that unpacks to `size` bytes of blanks, ten lines in all."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head)
        for _ in range(size // MIB):
            stream.write(b" " * (1 << 16) + b"\n" + b" " * (MIB - (1 << 16) - 1))
        stream.write(tail)
    assert path.stat().st_size < MIB
    return path


def test_sizes():
    assert files.limits().total == 8 * MIB and files.limits().line == MIB // 8 and files.limits().columns == 4096
    for text, size in (("500", 500), ("2K", 2048), ("3 MiB", None), ("3MiB", 3 * MIB), ("1g", 1 << 30)):
        if size:
            limit_to(text)
            assert files.limits().total == size
    for text in ("", "0", "-1", "much", "1.5G", "3 MiB", "9" * 400):
        with pytest.raises(InputError, match="--max-size"):
            limit_to(text)


@pytest.mark.parametrize("name, head", [("m.csv.gz", b"model,q\n"), ("s.csv.gz", b"prompt_id,score\n"),
                                        ("a.jsonl.gz", b'{"id": 1, "score": 1}\n'),
                                        ("samples_t_2025-01-02T03-04-05.123456.jsonl.gz", b"\n")])
def test_a_bomb_of_gzip(tmp_path, name, head):
    path = bomb(tmp_path / name, head)
    read = read_matrix if name.startswith("m") else read_model
    refused(read, path, r"(unpacks to more than 8 MiB|line \d+ is longer than 128 KiB).*--max-size")


def test_a_bomb_of_one_json_document(tmp_path):
    refused(read_json, bomb(tmp_path / "r.json.gz", b"[", b"]"), "unpacks to more than 8 MiB")
    (tmp_path / "big.json").write_bytes(b" " * (9 * MIB))
    refused(read_json, tmp_path / "big.json", "has 9 MiB, more than the 8 MiB")


def npz_bomb(target):
    np.savez_compressed(target, shape=np.zeros(4 * MIB), bits=np.zeros(1, np.uint8))
    assert target.stat().st_size < MIB


@pytest.mark.parametrize("read", [read_mask, check_zip])
def test_a_bomb_of_an_npz(tmp_path, read):
    npz_bomb(tmp_path / "x.npz")
    with pytest.raises(InputError, match="unpacks to 32 MiB, more than the 8 MiB"):
        read(tmp_path / "x.npz")


def test_a_bomb_in_place_of_the_compact_copy(tmp_path):
    """The copy beside a matrix is a cache: the CSV is read, and the copy made again."""
    path = tmp_path / "m.csv"
    path.write_bytes(b"model,q1,q2\n" + b"".join(b"m%d,1,0\n" % i for i in range(150_000)))
    copy = tmp_path / f".cache/m.csv.{_content_key(path)}.npz"
    copy.parent.mkdir()
    npz_bomb(copy)
    assert read_matrix(path).scores.shape == (150_000, 2)
    with np.load(copy) as stored:
        assert "scores" in stored and "shape" not in stored


def test_a_bomb_of_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("M1.csv", b"model,q\n" + b"\n" * (16 * MIB))
    with pytest.raises(InputError, match=r"d.zip:M1.csv: unpacks to 16 MiB, more than the 8 MiB"):
        Dataset(tmp_path, "d").history()


def test_a_line_a_column_and_a_nest_too_many(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "score": 1, "x": "' + "y" * (MIB // 8) + '"}\n')
    refused(read_model, path, "line 1 is longer than 128 KiB")
    path = tmp_path / "m.csv"
    path.write_text("model," + ",".join(f"q{i}" for i in range(4096)) + "\n")
    refused(read_matrix, path, r"4,097 columns, more than the 4,096 that are allowed; raise --max-size")
    path = tmp_path / "s.csv"
    path.write_text("prompt_id,score" + "," * 5000 + "\n")
    refused(read_model, path, r"5,002 columns")
    for deep in (101, 90_000):
        path = tmp_path / "n.jsonl"
        path.write_text('{"id": 1, "score": 1, "x": ' + "[" * deep + "]" * deep + "}\n")
        if len(path.read_bytes()) > MIB // 8:
            limit_to("16M")
        refused(read_model, path, "line 1: JSON nested deeper than 100 levels")
        path = tmp_path / "n.json"
        path.write_text("[" * deep + "]" * deep)
        refused(read_json, path, r"not a readable JSON file \(nested deeper than 100 levels\)")


def test_brackets_in_texts_are_no_nesting():
    for text in ("[" * 5000, '\\"[{' * 500, "\\"):
        assert parse_json(json.dumps([text] * 200).encode(), "x") == [text] * 200


@pytest.mark.parametrize("name, text", [("m.csv.gz", b"model,q\nm,1\n"), ("a.jsonl.gz", b'{"id": 1, "score": 1}\n')])
def test_a_torn_gzip(tmp_path, name, text):
    path = tmp_path / name
    whole = gzip.compress(text)
    read = read_matrix if name.startswith("m") else read_model
    for end in (1, 9, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused(read, path, "not a complete gzip file")
    path.write_bytes(b"no gzip at all")
    refused(read, path, "not a complete gzip file")


def test_the_flag_raises_the_limit(tmp_path):
    text = "model,created_date,sha,q\n" + "".join(f"m{i},2024-01-0{i + 1},,{i % 2}\n" for i in range(4))
    (tmp_path / "m.csv").write_text(text)
    common = (tmp_path / "m.csv", "--dataset", "d", "--data-dir", tmp_path / "out")
    done = run_script("data/split_history.py", *common, "--max-size", "50", code=2)
    assert done.stderr.count("\n") == 1 and "raise --max-size" in done.stderr and not (tmp_path / "out").exists()
    done = run_script("data/split_history.py", *common, "--max-size", "1e3", code=2)
    assert "expected a size in bytes" in done.stderr
    run_script("data/split_history.py", *common, "--max-size", "1M")
    assert readers.read("wide", [tmp_path / "out" / "d" / "M1.csv"])[0].n_models == 2


@pytest.mark.parametrize("name, header, row", [
    ("s.csv", "prompt_id,score\n", "q{},1\n"),
    ("samples_t_2025-01-02T03-04-05.12.jsonl", "", '{{"doc_id": {}, "filter": "none", "metrics": ["a"], "a": 1}}\n')])
def test_watch_keeps_the_limits(tmp_path, name, header, row):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(header + "".join(row.format(i) for i in range(300)))
    files = [tmp_path / folder / name for folder in ("a", "b")]
    run_script("mcnemar_tests.py", "watch", *files, "--allow-same")
    for size, said in (("1K", "more than the 1 KiB that are allowed"), ("64K", None)):
        if said is None:  # a line of more than 1 KiB
            with files[0].open("a") as stream:
                stream.write("x" * 2000)
            said = f"line {301 + bool(header)} is longer than 1 KiB"
        done = run_script("mcnemar_tests.py", "watch", *files, "--max-size", size, code=2)
        assert said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("line, said", [
    ("[" * 500, "nested deeper"), ('{"prompt_id": "' + "x" * 2000 + '"}', "longer than 1 KiB"),
    ('{"prompt_id": [], "baseline": 1, "candidate": 0}', "needs a name"),
    ('{"prompt_id": " ", "baseline": 1, "candidate": 0}', "needs a name"),
    ('{"prompt_id": "a", "baseline": 1, "candidate": {}}', "candidate")])
def test_a_stream_keeps_the_limits(line, said):
    done = run_script("mcnemar_tests.py", "watch", "--max-size", "64K", stdin=line + "\n", code=2)
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_words_of_a_stream_are_worth_what_the_user_says():
    done = run_script("mcnemar_tests.py", "watch", "--value", "pass=1", "fail=0", stdin="".join(
        f'{{"prompt_id": {i}, "baseline": "pass", "candidate": "{"pass" if i % 2 else "fail"}"}}\n' for i in range(4)))
    assert "2 lost, 0 gained of 4" in done.stdout
