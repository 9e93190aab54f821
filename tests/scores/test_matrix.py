"""Reading, writing, splitting and masking the responses matrix."""

import gzip
import zipfile

import numpy as np
import pytest

from llm_accuracy.errors import InputError
from llm_accuracy.scores import matrix
from llm_accuracy.scores.dataset import Dataset, write_dataset
from llm_accuracy.scores.matrix import Responses, family_of, read_matrix, split_by_date, write_matrix
from llm_accuracy.scores.scenario import Scenario, mask, write_mask

HEADER = "model,created_date,sha,q1,q2,q3\n"


def small(scores=((1, 0, -1), (0, 1, 1)), dates=("2024-05-01", "2024-01-01")):
    return Responses(["b", "a"], ["q1", "q2", "q3"], np.array(scores, np.int8), np.array(dates))


def test_round_trip(tmp_path):
    for original in (small(), small().masked(np.eye(2, 3, dtype=bool))):
        write_matrix(tmp_path / "m.csv", original)
        again = read_matrix(tmp_path / "m.csv")
        assert (again.scores == original.scores).all() and (again.models == original.models).all()
        assert (again.dates == original.dates).all() and again.scores.dtype == np.int8


def test_partial_credit_round_trip(tmp_path):
    scores = np.array([[0.25, np.nan, 1], [0, 1 / 3, 0.5]], np.float32)
    write_matrix(tmp_path / "m.csv", Responses(["a", "b"], ["q1", "q2", "q3"], scores))
    np.testing.assert_array_equal(read_matrix(tmp_path / "m.csv").scores, scores)


def test_names_with_commas_and_quotes_survive(tmp_path):
    odd = Responses(['a, "b"', "c"], ["q,1", 'q"2'], np.array([[0, 1], [1, -1]], np.int8), families=["f, g", "h"])
    write_matrix(tmp_path / "m.csv", odd)
    again = read_matrix(tmp_path / "m.csv")
    assert (again.models == odd.models).all() and (again.questions == odd.questions).all()
    assert (again.families == odd.families).all() and (again.scores == odd.scores).all()


@pytest.mark.parametrize("cells", ["1,0,", "1.0,0.0,", "True,False,nan"])
def test_spellings_of_right_wrong_and_missing(tmp_path, cells):
    (tmp_path / "m.csv").write_text(HEADER + f"m,2024-01-01,abc,{cells}\r\n\n")
    assert read_matrix(tmp_path / "m.csv").scores.tolist() == [[1, 0, -1]]


def test_metadata_columns_may_be_left_out(tmp_path):
    (tmp_path / "m.csv").write_text("model,q1,q2\nm,1,0\n")
    read = read_matrix(tmp_path / "m.csv")
    assert read.dates.tolist() == [""] and read.questions.tolist() == ["q1", "q2"]


@pytest.mark.parametrize(("text", "message"), [
    ("", "header must begin with"),
    ("name,q1\nm,1\n", "header must begin with"),
    ("model,created_date,sha\nm,2024-01-01,x\n", "names no question"),
    (HEADER, "no model below the header"),
    (HEADER + "m,2024,x,1,0\n", r"line 2 \(m\): 2 scores, the header names 3 questions"),
    (HEADER + "m,2024,x,1,0,1\nn,2024,x,1,0,1,1\n", r"line 3 \(n\): 4 scores"),
    (HEADER + "m,2024,x,1,2,0\n", r"line 2 \(m\), column q2: '2' is not a score"),
    (HEADER + "m,2024,x,1,0,-0.5\n", "column q3: '-0.5' is not a score"),
    (HEADER + "m,2024,x,1,0,yes\n", "column q3: 'yes' is not a score"),
    (HEADER + "m,2024,x,1,0,1\nm,2024,x,1,0,1\n", "model 'm' occurs 2 times"),
    ("model,q1,q1\nm,1,0\n", "question 'q1' occurs 2 times"),
])
def test_bad_matrices_are_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_matrix(tmp_path / "m.csv")
    assert "\n" not in str(error.value) and "m.csv" in str(error.value)


def test_missing_and_torn_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_matrix(tmp_path / "absent.csv")
    whole = gzip.compress((HEADER + "m,2024,x,1,0,1\n" * 1).encode())
    (tmp_path / "torn.csv.gz").write_bytes(whole[:-12])
    with pytest.raises(InputError, match="not a complete gzip file"):
        read_matrix(tmp_path / "torn.csv.gz")


def test_large_files_are_cached_by_content(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "_CACHE_FROM_BYTES", 1)
    path = tmp_path / "m.csv"
    write_matrix(path, small())
    read_matrix(path)
    [copy] = (tmp_path / ".cache").iterdir()
    assert (read_matrix(path).scores == small().scores).all()
    copy.write_bytes(b"torn")  # a torn copy is made again
    assert (read_matrix(path).scores == small().scores).all()
    changed = small(scores=((0, 0, 0), (1, 1, 1)))
    write_matrix(path, changed)
    assert (read_matrix(path).scores == changed.scores).all()


def test_split_is_stable_and_puts_undated_models_last():
    board = Responses(list("abcde"), ["q"], np.zeros((5, 1), np.int8),
                      np.array(["", "2024-02-01", "2024-01-01", "2024-02-01", ""]))
    older, newer = split_by_date(board)
    assert older.models.tolist() == ["c", "b"] and newer.models.tolist() == ["d", "a", "e"]


@pytest.mark.parametrize(("model", "family"), [
    ("gpt-4-0314", "gpt-4"), ("Llama-3.1-8B-Instruct-fp8@together", "llama-3.1-8b-instruct"), ("phi-4-sys", "phi-4"),
    ("gpt-4o-2024-08-06", "gpt-4o"), ("Mixtral-8x7B", "mixtral-8x7b"), ("x-q4_K_M", "x"), ("sys", "sys"),
])
def test_default_families(model, family):
    assert family_of(model) == family


# --- scenarios and datasets ----------------------------------------------------------------------------

@pytest.mark.parametrize("key", ["nfobs=None_p=1.0", "nfobs=50_p=0.1", "nfobs=0_p=1e-05"])
def test_scenario_keys(key):
    assert Scenario.parse(key).key == key


@pytest.mark.parametrize("key", ["nfobs=50", "nfobs=0_p=0.00001", "nfobs=x_p=0.1", "nfobs=0_p=0.0", "nfobs=0_p=2.0",
                                 "nfobs=None_p=0.5", "nfobs=5_p=1.0", "nfobs=0_p=..", ""])
def test_bad_scenarios(key):
    with pytest.raises(InputError, match="scenario"):
        Scenario.parse(key)


def test_mask_sees_full_rows_and_the_stated_share():
    seen = mask((200, 500), Scenario(20, 0.1), np.random.default_rng(0))
    full = seen.all(1)
    assert full.sum() == 20
    assert abs(seen[~full].mean() - 0.1) < 4 * np.sqrt(0.09 / (180 * 500))


def dataset(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"q{i}" for i in range(6)]
    history = Responses([f"h{i}" for i in range(5)], names, rng.integers(0, 2, (5, 6)).astype(np.int8))
    new = Responses(["n0", "n1"], names, rng.integers(0, 2, (2, 6)).astype(np.int8), tasks=list("aabbcc"))
    write_dataset(tmp_path / "board", history, new)
    return history, new


def test_dataset_folder_and_zip_read_alike(tmp_path):
    history, new = dataset(tmp_path)
    (tmp_path / "zipped").mkdir()
    with zipfile.ZipFile(tmp_path / "zipped" / "board.zip", "w") as archive:
        for file in ("M1.csv", "M2.csv"):
            archive.write(tmp_path / "board" / file, f"board/{file}")
    for where in (tmp_path, tmp_path / "zipped", tmp_path / "zipped"):  # the last one through the cache
        there = Dataset(where, "board")
        assert (there.history().scores == history.scores).all()
        assert (there.new_models().scores == new.scores).all()
    assert Dataset(tmp_path, "board").new_models().tasks.tolist() == list("aabbcc")
    assert Dataset(tmp_path, "board").new_models(1).models.tolist() == ["n0"]


def test_existing_data_is_not_overwritten(tmp_path):
    history, new = dataset(tmp_path)
    before = (tmp_path / "board" / "M1.csv").read_bytes()
    with pytest.raises(InputError, match="exist; choose another name"):
        write_dataset(tmp_path / "board", history.take(slice(2)), new)
    assert (tmp_path / "board" / "M1.csv").read_bytes() == before


def test_scenarios_come_from_masks_or_from_their_own_csv(tmp_path):
    history, _ = dataset(tmp_path)
    there, scenario = Dataset(tmp_path, "board"), Scenario(0, 0.5)
    with pytest.raises(InputError, match="simulate_missingness"):
        there.history(scenario.key)
    seen = np.eye(5, 6, dtype=bool)
    write_mask(there.mask_path(scenario), seen)
    assert (there.history(scenario.key).observed == seen).all()
    write_matrix(there.folder / f"M1_{scenario.key}.csv", history.masked(~seen))
    assert (there.history(scenario.key).observed == ~seen).all()


def test_torn_mask_and_mask_of_another_history(tmp_path):
    dataset(tmp_path)
    there, scenario = Dataset(tmp_path, "board"), Scenario(0, 0.5)
    write_mask(there.mask_path(scenario), np.eye(4, 6, dtype=bool))
    with pytest.raises(InputError, match=r"a mask of \(4, 6\) for a history of \(5, 6\)"):
        there.history(scenario.key)
    there.mask_path(scenario).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="not a complete mask"):
        there.history(scenario.key)


def test_datasets_that_do_not_fit(tmp_path):
    _, new = dataset(tmp_path)
    folder = tmp_path / "board"
    with pytest.raises(InputError, match=r"no such dataset \(available: board\).*simulate_leaderboard"):
        Dataset(tmp_path, "bored")
    write_matrix(folder / "M2.csv", Responses(new.models, [*new.questions[:-1], "other"], new.scores))
    with pytest.raises(InputError, match="2 questions are in only one of them, first 'other'"):
        Dataset(tmp_path, "board").new_models()
    write_matrix(folder / "M2.csv", Responses(new.models, new.questions[::-1], new.scores))
    with pytest.raises(InputError, match="another order"):
        Dataset(tmp_path, "board").new_models()
    write_matrix(folder / "M2.csv", new.masked(np.eye(2, 6, dtype=bool)))
    with pytest.raises(InputError, match="2 models lack scores, first 'n0'"):
        Dataset(tmp_path, "board").new_models()
    (folder / "M2.csv").unlink()
    with pytest.raises(InputError, match="no such file; a dataset needs"):
        Dataset(tmp_path, "board").new_models()
