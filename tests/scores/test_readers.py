"""A format is one record: a made-up one, registered from outside, is found by the command line and by read_model."""

import contextlib
import importlib.util
import io
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.answers import AnswerTable
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.scores.readers import READERS, Reader
from llm_accuracy.scores.task_scores import TaskScores


def lines(path):
    """A tiny format: a line `model: 1 0 1` per model, which may end in .tiny."""
    for line in path.read_text().splitlines():
        model, _, scores = line.partition(":")
        yield model, [float(score) for score in scores.split()]


def tiny_answers(path, wanted, notes):
    notes.append(f"{path.name}: metric {wanted.metric}")
    for model, scores in lines(path):
        yield AnswerTable.of(pd.DataFrame({"model": model, "question": [f"q{i}" for i in range(len(scores))],
                                           "score": scores, "task": "t"}), path)


def tiny_model(path, choices, only):
    [(_, scores)] = lines(path)
    return {"t": TaskScores(pd.DataFrame({"score": scores, "runs": 1}), str(path))}


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(READERS, "tiny", Reader(
        "tiny", "100% made up: a line `model: 1 0 1` a model", answers=tiny_answers,
        recognises=lambda path: path.suffix == ".tiny" or (path.is_dir() and any(path.glob("*.tiny"))),
        model=tiny_model))


def split_history(*arguments) -> str:
    """data/split_history.py in this process; what it prints."""
    spec = importlib.util.spec_from_file_location("split_history", ROOT / "data" / "split_history.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        script.main([*map(str, arguments)])
    return said.getvalue()


def test_a_format_registered_from_outside_is_on_the_command_line(tiny, tmp_path):
    said = " ".join(split_history("--help").split())
    assert ("--from {wide,long,lm-eval,jsonl,helm,inspect,every-eval-ever,promptfoo,lighteval,evalplus,"
            "opencompass,tiny}") in said
    assert "tiny: 100% made up: a line" in said
    path = tmp_path / "answers"
    path.write_text("".join(f"m{i}: 1 0 {i % 2}\n" for i in range(4)))
    said = split_history(path, "--from", "tiny", "--metric", "f1", "--dataset", "mine", "--data-dir", tmp_path)
    assert "answers: metric f1" in said and "4 models x 3 questions, 0.00% blank" in said
    new = Dataset(tmp_path, "mine").new_models()
    assert new.scores.tolist() == [[1, 0, 0], [1, 0, 1]] and set(new.tasks) == {"t"}


def test_read_model_asks_the_last_registered_first(tiny, tmp_path):
    for path in (tmp_path / "a.tiny", tmp_path):
        if path != tmp_path:
            path.write_text("m: 1 0\n")
        assert readers.reader_of(path).name == "tiny"
    assert readers.read_model(tmp_path / "a.tiny")["t"].frame["score"].tolist() == [1, 0]
    assert list(readers.read_runs(tmp_path / "a.tiny")) == [str(tmp_path / "a.tiny")]
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "run.csv").write_text("prompt_id,score\na,1\n")
    assert readers.reader_of(tmp_path / "csv").name == "csv" and readers.read_model(tmp_path / "csv")


def test_what_no_reader_knows_is_told_what_there_is(tiny, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for read in (readers.read_model, readers.read_runs):
        with pytest.raises(InputError, match=r"a\.txt: expected 100% made up.* or a \.csv of .* or output of lm-eval"):
            read(tmp_path / "a.txt")
        with pytest.raises(InputError, match="no such file or folder"):
            read(tmp_path / "absent")
    with pytest.raises(InputError, match=r"--from odd: no such format; there are wide, long, .*tiny"):
        readers.read("odd", [tmp_path / "a.txt"])
    with pytest.raises(InputError, match="--from csv: no such format"):  # it holds one model
        readers.read("csv", [tmp_path / "a.txt"])


def test_every_record_is_whole():
    for name, reader in READERS.items():
        assert name == reader.name and reader.what
        assert bool(reader.logs or reader.answers or reader.matrix or reader.model)
        assert bool(reader.logs or reader.model) == bool(reader.recognises)
        assert not reader.logs or not (reader.answers or reader.model or reader.runs)  # one function serves both halves
        for field in ("logs", "answers", "matrix", "recognises", "model", "runs"):
            assert getattr(reader, field) is None or callable(reader.function(field))


def test_the_registry_costs_next_to_nothing():
    code = ("import sys; from llm_accuracy.scores import readers; readers.formats()\n"
            "assert not {'numpy', 'pandas'} & sys.modules.keys()")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_short_reprs(tmp_path):
    (tmp_path / "a.csv").write_text("prompt_id,score\na,1\nb,\n")
    [scores] = readers.read_model(tmp_path / "a.csv").values()
    assert repr(scores) == f"TaskScores(2 items, 1 without a score, mean 1, '{tmp_path / 'a.csv'}')"
    (tmp_path / "board").mkdir()
    assert repr(Dataset(tmp_path, "board")) == f"Dataset('board', '{tmp_path / 'board'}')"
