"""Datasets as folders and zips: data/unpack.py, data/simulate_missingness.py, and the questions' labels."""

import contextlib
import importlib.util
import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llm_accuracy.scores.dataset import Dataset, write_dataset
from llm_accuracy.scores.matrix import Responses, write_matrix
from llm_accuracy.scores.scenario import Scenario, mask
from llm_accuracy.study import grids

ROOT = Path(__file__).resolve().parents[2]
PAPER = grids.TIERS["paper"].scenarios


def script(name: str, *flags) -> str:
    """Run data/<name> in this process; what it prints."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "data" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        module.main([str(flag) for flag in flags])
    return said.getvalue()


def refused(told: str, name: str, *flags) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "data" / f"{name}.py", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and told in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr, done
    return done


def matrix(n_models: int, n_questions: int, first: int = 0, seed: int = 0) -> Responses:
    rng = np.random.default_rng(seed)
    return Responses([f"org/m{first + i}" for i in range(n_models)], [f"q{j}" for j in range(n_questions)],
                     (rng.random((n_models, n_questions)) < 0.5).astype(np.int8),
                     [f"202{4 + (first > 0)}-01-01"] * n_models, [""] * n_models)


def archive(data_dir: Path, name: str, history: Responses, new: Responses, scenarios=PAPER, inside: str = "",
            spoil=lambda key, table: table) -> Path:
    """NAME.zip as published: M1, M2 and one CSV a scenario."""
    data_dir.mkdir(exist_ok=True)
    path, part = data_dir / f"{name}.zip", data_dir / "part.csv"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        tables = {"M1": history, "M2": new}
        for key in scenarios:
            seen = mask(history.scores.shape, Scenario.parse(key), np.random.default_rng(len(key)))
            tables[f"M1_{key}"] = history.masked(seen)
        for key, table in tables.items():
            write_matrix(part, spoil(key, table))
            out.write(part, f"{inside}{key}.csv")
        out.writestr("__MACOSX/._M1.csv", b"\0")
    part.unlink()
    return path


@pytest.mark.parametrize("inside", ["", "archive/"])
def test_the_papers_archive_is_read_as_it_is(tmp_path, inside):
    history, new = matrix(1000, 60), matrix(20, 60, first=1000, seed=1)
    archive(tmp_path, "bank", history, new, inside=inside)
    said = script("unpack", "--data-dir", tmp_path)
    assert "60 questions, no tasks known" in said and "1000 models, 2024-01-01 to 2024-01-01" in said
    for key in PAPER:
        assert f"{key:<20}" in said
    assert "problems" not in said
    dataset = Dataset(tmp_path, "bank")
    assert np.array_equal(dataset.history().scores, history.scores)
    assert np.array_equal(dataset.new_models().scores, new.scores)
    assert dataset.history("nfobs=50_p=0.1").observed.all(axis=1).sum() == 50


def test_unzip_writes_the_layout_and_only_it(tmp_path):
    path = archive(tmp_path, "bank", matrix(60, 40), matrix(20, 40, first=60), scenarios=["nfobs=50_p=0.1"])
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("../outside.csv", b"x")
        out.writestr("notes.txt", b"x")
    assert "M1.csv, M1_nfobs=50_p=0.1.csv, M2.csv" in script("unpack", "--data-dir", tmp_path, "--unzip")
    files = {p.name for p in (tmp_path / "bank").iterdir() if p.is_file()}
    assert files == {"M1.csv", "M2.csv", "M1_nfobs=50_p=0.1.csv"} and not (tmp_path.parent / "outside.csv").exists()
    before = (tmp_path / "bank" / "M1.csv").read_bytes()
    refused("exist; choose", "unpack", "--data-dir", tmp_path, "--unzip")
    assert (tmp_path / "bank" / "M1.csv").read_bytes() == before
    path.write_bytes(path.read_bytes()[:500])
    refused("not a complete zip", "unpack", "--data-dir", tmp_path, "--unzip", "--overwrite")


def flip(key: str, table: Responses) -> Responses:
    if key == "M1_nfobs=0_p=0.01":
        scores = table.scores.copy()
        row, column = np.argwhere(scores >= 0)[0]
        scores[row, column] = 1 - scores[row, column]
        return Responses(table.models, table.questions, scores)
    return table


@pytest.mark.parametrize(("spoil", "told"), [
    (flip, "nfobs=0_p=0.01: 1 scores are not those of M1"),
    (lambda key, t: t.take(slice(1, None)) if key == "M1_nfobs=0_p=0.01" else t, "models or questions are not those"),
    (lambda key, t: matrix(300, 100).masked(np.arange(30000).reshape(300, 100) % 50 == 0)
     if key == "M1_nfobs=0_p=0.01" else t, "0.020000 of the entries are seen, but the name says 0.01"),
    (lambda key, t: matrix(20, 100, first=290, seed=1) if key == "M2" else t, "10 models are in both M1 and M2"),
])
def test_an_archive_that_does_not_fit_is_told(tmp_path, spoil, told):
    archive(tmp_path, "bank", matrix(300, 100), matrix(20, 100, first=300), ["nfobs=0_p=0.01", "nfobs=50_p=0.1"],
            spoil=spoil)
    assert told in refused("things do not fit", "unpack", "--data-dir", tmp_path).stdout


def test_a_known_name_has_a_known_size(tmp_path):
    archive(tmp_path, "mmlu-pro", matrix(30, 50), matrix(20, 50, first=30), [])
    refused("50 questions, 12032 are expected", "unpack", "--data-dir", tmp_path)
    refused("no dataset here", "unpack", "--data-dir", tmp_path / "empty")


# --- missingness ---------------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    write_dataset(tmp_path / "bank", matrix(1000, 200), matrix(20, 200, first=1000))
    return tmp_path


def test_every_scenario_is_masked_at_its_rate(folder):
    said = script("simulate_missingness", "--tier", "paper", "--datasets", "bank", "--data-dir", folder)
    lines = {line.split()[1]: line.split() for line in said.splitlines()[1:]}
    assert list(lines) == list(PAPER)
    for key in PAPER:
        assert abs(float(lines[key][4])) < 4.5  # eight binomial shares: wrong once in 18,000
        scenario = Scenario.parse(key)
        seen = Dataset(folder, "bank").history(key).observed
        assert seen.all(axis=1).sum() == (1000 if scenario.n_full is None else scenario.n_full)
    assert sum(path.stat().st_size for path in (folder / "bank" / "masks").iterdir()) < 150_000
    assert "problems" not in script("unpack", "--data-dir", folder)


def test_a_mask_is_a_function_of_the_names(folder):
    def masks(*flags):
        for path in (folder / "bank" / "masks").glob("*"):
            path.unlink()
        script("simulate_missingness", "--tier", "paper", "--datasets", "bank", "--data-dir", folder, *flags)
        return {path.name: path.read_bytes() for path in (folder / "bank" / "masks").iterdir()}

    together = masks()
    alone = masks("--scenarios", "nfobs=200_p=0.1")
    assert alone == {name: together[name] for name in alone} and len(together) == 7
    write_dataset(folder / "other", matrix(1000, 200), matrix(20, 200, first=1000))
    script("simulate_missingness", "--datasets", "other", "--scenarios", "nfobs=200_p=0.1", "--data-dir", folder)
    one, other = (Dataset(folder, name).history("nfobs=200_p=0.1").observed for name in ("bank", "other"))
    assert not np.array_equal(one, other)


def test_csv_is_the_same_history_and_is_never_replaced(folder):
    flags = ("--datasets", "bank", "--scenarios", "nfobs=50_p=0.1", "--data-dir", folder)
    script("simulate_missingness", *flags, "--csv")
    from_csv = Dataset(folder, "bank").history("nfobs=50_p=0.1")
    table = folder / "bank" / "M1_nfobs=50_p=0.1.csv"
    written = table.read_bytes()
    table.unlink()
    assert np.array_equal(Dataset(folder, "bank").history("nfobs=50_p=0.1").scores, from_csv.scores)
    table.write_bytes(written)
    assert "M1_nfobs=50_p=0.1.csv" in script("simulate_missingness", *flags, "--csv").splitlines()[1]
    assert table.read_bytes() == written


def test_a_dry_run_masks_nothing(folder):
    assert "8 masks" in script("simulate_missingness", "--tier", "paper", "--datasets", "bank", "--data-dir", folder,
                               "--dry-run")
    assert not (folder / "bank" / "masks").exists()
    refused("write it as nfobs=50_p=0.1", "simulate_missingness", "--datasets", "bank", "--data-dir", folder,
            "--scenarios", "nfobs=50_p=.1")


# --- labels --------------------------------------------------------------------------------------------

def labelled(responses: Responses, categories: bool) -> Responses:
    labels = {"tasks": np.array([f"t{j % 3}" for j in range(responses.n_questions)])}
    if categories:
        labels["categories"] = np.array([f"c{j % 2}" for j in range(responses.n_questions)])
    return replace(responses, **labels)


@pytest.mark.parametrize("categories", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_tasks_and_categories_travel_with_the_data(tmp_path, categories, zipped):
    write_dataset(tmp_path / "bank", labelled(matrix(4, 6), categories), labelled(matrix(4, 6, first=4), categories))
    if zipped:
        with zipfile.ZipFile(tmp_path / "bank.zip", "w") as out:
            for path in sorted((tmp_path / "bank").iterdir()):
                out.write(path, path.name)
                path.unlink()
        (tmp_path / "bank").rmdir()
    new = Dataset(tmp_path, "bank").new_models()
    assert new.tasks.tolist() == ["t0", "t1", "t2"] * 2
    assert (new.categories.tolist() if categories else new.categories) == (["c0", "c1"] * 3 if categories else None)
    said = script("unpack", "--data-dir", tmp_path)
    assert "6 questions in 3 tasks" + " of 2 categories" * categories in said


def test_a_data_set_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    """A disk that is full at the second file leaves both of the old ones, and nothing half-written."""
    from llm_accuracy.errors import InputError
    from llm_accuracy.scores import dataset
    from llm_accuracy.scores.matrix import Responses

    def board(score):
        return (Responses(["a", "b"], ["q"], np.full((2, 1), score, np.int8)),
                Responses(["c"], ["q"], np.full((1, 1), score, np.int8)))

    dataset.write_dataset(tmp_path, *board(0))
    (tmp_path / "truth.npz").write_bytes(b"of the old one")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    written = []

    def full(stream, responses, write=dataset.write_rows):
        written.append(responses)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        write(stream, responses)

    with monkeypatch.context() as disk:
        disk.setattr(dataset, "write_rows", full)
        with pytest.raises(InputError, match="cannot be written"):
            dataset.write_dataset(tmp_path, *board(1), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    dataset.write_dataset(tmp_path, *board(1), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["M1.csv", "M2.csv"]
