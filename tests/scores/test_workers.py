"""Many files read at once are what one by one would have been: scores, accounts, notes and the first error."""

import numpy as np
import pytest
from conftest import run_script
from test_contract import write_run

from llm_accuracy.errors import InputError
from llm_accuracy.scores import workers
from llm_accuracy.scores.readers import read, read_matrix_models


@pytest.fixture(params=[1, 2])
def jobs(request, monkeypatch):
    """That many processes, however little there is to read."""
    monkeypatch.setattr(workers, "WORTH_IT", 0)
    workers.read_with(request.param)
    yield request.param
    workers.read_with(1)


def logs(folder, models=3, tasks=4, odd=None):
    """Tasks that were run one by one, some answers missing; `odd` is an answer of the second model's third task."""
    rng = np.random.default_rng(0)
    for m in range(models):
        for t in range(tasks):
            scores = [*rng.integers(0, 2, 5 + t).tolist(), *[None] * (m == t), *[odd] * ((m, t) == (1, 2))]
            write_run(folder / f"m{m}", scores, task=f"t{t}", model=f"org/m{m}",
                      time=f"2025-01-0{t + 1}T03-04-05.123456")
    return folder


def test_a_matrix_is_the_same(tmp_path, jobs):
    found, notes = read("lm-eval", [logs(tmp_path)])
    workers.read_with(1)
    meant, said = read("lm-eval", [tmp_path])
    assert notes == said and len(notes) > 3
    assert found.models.tolist() == meant.models.tolist() and found.questions.tolist() == meant.questions.tolist()
    assert np.array_equal(found.to_frame().to_numpy(), meant.to_frame().to_numpy(), equal_nan=True)


def test_models_of_a_suite_are_the_same(tmp_path, jobs):
    found = read_matrix_models(logs(tmp_path))
    workers.read_with(1)
    meant = read_matrix_models(tmp_path)
    assert list(found) == list(meant) == ["org/m0", "org/m1", "org/m2"]
    for model, tasks in meant.items():
        assert list(found[model]) == list(tasks) == ["t0", "t1", "t2", "t3"]
        for task, scores in tasks.items():
            assert found[model][task].frame.equals(scores.frame) and found[model][task].notes == scores.notes
            assert found[model][task].account == scores.account


def test_the_first_error_is_the_same(tmp_path, jobs):
    (logs(tmp_path, odd="maybe") / "m2" / "samples_t0_2025-01-01T03-04-05.123456.jsonl").write_text("{")
    with pytest.raises(InputError, match=r"m1.*samples_t2_.*line 8: acc = 'maybe' is not a number"):
        read("lm-eval", [tmp_path])


def test_workers_keep_the_limits_of_their_parent(tmp_path, jobs):
    from llm_accuracy.files import limit_to

    logs(tmp_path)
    limit_to("4K")
    try:
        with pytest.raises(InputError, match=r"4 KiB|64 bytes"):
            read("lm-eval", [tmp_path])
    finally:
        limit_to(None)


def test_the_command_takes_any_number_of_jobs(tmp_path):
    logs(tmp_path / "logs")
    for jobs in (1, 3):
        run_script("mcnemar_tests.py", "suite", "--matrix", tmp_path / "logs", "--jobs", jobs, "--output-dir",
                   tmp_path / str(jobs), "--max-excluded", "0.5", code=None)
    assert (tmp_path / "1" / "summary.csv").read_text() == (tmp_path / "3" / "summary.csv").read_text()


def test_a_bar_is_closed_without_a_word_when_an_error_is_raised(tmp_path, jobs, capfd):
    logs(tmp_path, odd="maybe")
    with pytest.raises(InputError):
        read("lm-eval", [tmp_path])
    assert capfd.readouterr().err == ""
