"""What goes wrong is one line, and RUN stays as it was: it is taken up again, and its audit passes."""

import json
import resource
import subprocess
import sys

import pytest
from conftest import ROOT
from test_evaluate import N, asked, begin, board, by_hand, grader, records  # noqa: F401  board is a fixture

from llm_accuracy.errors import InputError
from llm_accuracy.live import command
from llm_accuracy.live.bank import Bank
from llm_accuracy.live.history import History, aligned

LIMITED = """import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from llm_accuracy import cli
from llm_accuracy.live import command
cli.run(lambda _: command.main(sys.argv[1:]))
"""


def with_files_up_to(size, *words):
    """`evaluate` in a process whose files may grow to `size` bytes, as on a disk that is full: one line on stderr."""
    done = subprocess.run([sys.executable, "-c", LIMITED, str(size), *map(str, words)], cwd=ROOT, text=True,
                          capture_output=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2 and len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    return errors[0]


@pytest.mark.parametrize("size", [100, 6000])
def test_a_full_disk_begins_nothing(board, size):  # noqa: F811
    words = [board / "run", "--history", board / "M1.csv", "--budget", "40", "--files"]
    assert "File too large" in with_files_up_to(size, *words)
    assert not (board / "run").exists()
    begin(board, "--budget", "40", "--files")


def test_a_full_disk_keeps_what_was_answered(board):  # noqa: F811
    begin(board, "--budget", "40", "--files")
    log = board / "run" / "queries.jsonl"
    known = json.loads((board / "answers.json").read_text())
    (board / "run" / "answers.csv").write_text("question,score\n" + "".join(f"{n},{known[n]}\n" for n in
                                                                          asked(board / "run")))
    before = log.read_bytes()
    assert "queries.jsonl" in with_files_up_to(len(before) + 50, board / "run", "--resume")
    assert log.read_bytes() == before
    by_hand(board, "run")
    assert command.main([str(board / "run"), "--audit"]) == 0
    assert len(records(board / "run", "answer")) == 40


def test_a_disk_that_fills_with_the_report_keeps_what_was_answered(board):  # noqa: F811
    begin(board, "--budget", "40", "--files")
    run, known = board / "run", json.loads((board / "answers.json").read_text())
    (run / "answers.csv").write_text("question,score\n" + "".join(f"{n},{known[n]}\n" for n in asked(run)))
    page = (run / "report.html").read_bytes()
    assert "report.html" in with_files_up_to(9000, run, "--resume")
    assert (run / "report.html").read_bytes() == page and len(records(run, "answer")) == 8
    by_hand(board, "run")
    assert command.main([str(run), "--audit"]) == 0 and len(records(run, "answer")) == 40


@pytest.mark.parametrize(("answer", "said"), [
    ('{"question": q, "score": 1.5}', "1.5"), ('{"question": q, "score": None}', "None"),
    ('{"question": q, "score": "1"}', "'1'"), ('{"question": "b/nobody", "score": 1}', "b/nobody"),
    ('{"question": q}', "is needed"), ("[q, 1]", "is needed"), ('{"question": q, "score": float("nan")}', "nan"),
])
def test_answers_of_a_program(board, answer, said):  # noqa: F811
    """The first five of a round are right and kept; the sixth is not."""
    good = (board / "grade.py").read_text()
    bad = (f"{good.partition('for line')[0]}for number, line in enumerate(sys.stdin):\n"
           "    q = json.loads(line)['question']\n"
           f"    print(json.dumps({{'question': q, 'score': known[q]}} if number < 5 else {answer}), flush=True)\n")
    (board / "grade.py").write_text(bad)
    with pytest.raises(InputError, match=said.replace("[", r"\[")) as caught:
        begin(board, "--budget", "40", *grader(board))
    assert "\n" not in str(caught.value)
    kept = [record["question"] for record in records(board / "run", "answer")]
    assert kept == asked(board / "run")[:5]
    (board / "grade.py").write_text(good)
    assert command.main([str(board / "run"), "--resume"]) == 0
    assert [record["question"] for record in records(board / "run", "answer")][:5] == kept
    assert command.main([str(board / "run"), "--audit"]) == 0


def test_a_question_of_another_content_is_refused(board):  # noqa: F811
    import numpy as np

    from llm_accuracy.scores.matrix import Responses

    names = np.array(["t/0", "t/1", "t/2"])
    here = Bank(names, None, np.array(["one", "two", "three"]))
    scores = Responses(np.array(["m"]), names, np.ones((1, 3), np.int8))
    assert aligned(History("logs", scores, contents={"t/1": "two"}), here).responses is not None
    with pytest.raises(InputError, match=r"1 of 2 questions have another content.*t/1"):
        aligned(History("logs", scores, contents={"t/1": "2", "t/0": "one"}), here)
    elsewhere = Bank(np.array(["u/0"]))
    with pytest.raises(InputError, match="knows none of the 1 questions"):
        aligned(History("logs", scores), elsewhere)


@pytest.mark.parametrize(("words", "said"), [
    (["--alpha", "5"], "did you mean 0.05"), (["--alpha", "0.95"], "did you mean 0.05"), (["--alpha", "nan"], "alpha"),
    (["--growth", "0.5"], "--growth"), (["--cost", "costs.csv"], "no such file|cannot be read"),
    (["--max-budget", "50"], "--max-budget"), (["--questions", "nowhere.csv"], None),
])
def test_words(board, words, said, monkeypatch):  # noqa: F811
    monkeypatch.chdir(board)
    if said is None:  # the history names the questions: a list of others is not read in silence
        said = "nowhere.csv"
    with pytest.raises(InputError, match=said):
        begin(board, "--budget", "40", "--files", *words)
    assert not (board / "run").exists()


def test_costs_that_lack_a_question(board):  # noqa: F811
    (board / "costs.csv").write_text("question,cost\na/0,1\n")
    with pytest.raises(InputError, match=f"{N - 1} questions have no cost"):
        begin(board, "--budget", "40", "--files", "--cost", str(board / "costs.csv"))


def test_limits_are_those_of_the_child_only():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_other_prompts_are_noted(tmp_path):
    """The harness's fingerprint of each prompt beside the history's."""
    from llm_accuracy.live.asking import Asking
    from llm_accuracy.live.plans import plan_of
    from llm_accuracy.live.query_log import QueryLog
    from llm_accuracy.querying.few_models import few_models

    plain = Bank.of([f"t/{i}" for i in range(60)])
    known = plain.prompted({f"t/{i}": f"hash{i}" for i in range(50)})
    known.save(tmp_path / "questions.csv")
    bank = Bank.load(tmp_path / "questions.csv")
    assert bank.fingerprints() == known.fingerprints() != plain.fingerprints()
    factors = few_models(None, bank.questions, bank.tasks)
    plan = plan_of(bank.size, factors, budget=20, half_width=None, max_budget=None)
    for name, other in (("same", 0), ("other", 2)):
        asking = Asking(bank, factors, plan, "new", QueryLog(tmp_path / name))
        questions = asking.ask()
        compared = [question for question in questions if int(question[2:]) < 50]
        changed = set(compared[:other])
        asking.take([(q, 1, {"prompt": "changed" if q in changed else f"hash{q[2:]}"}) for q in questions])
        said = asking.other_prompts()
        assert said is None if not other else said.startswith(f"2 of {len(compared)} questions of the first round")
