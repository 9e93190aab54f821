"""What goes wrong is one line, and RUN stays as it was: it is taken up again, and its audit passes."""

import csv
import json
import os
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
    ('{"question": q, "score": 10**400}', "more than 80 digits"), ('{"question": None, "score": 1}', "is needed"),
    ('{"question": q, "score": 1, "more": "x" * 2**20}', "more than 1 MiB"),
    ('{"question": "x" * 500, "score": 1}', "xxx…"),
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
    (["--growth", "0.5"], "--growth"), (["--cost", "costs.csv"], "No such file"),
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


@pytest.mark.parametrize("costs", [(1e300, 1e-300), (1e308, 1e308), (1e10, 1), (1e-300, 1e-300)])
def test_costs_that_numbers_do_not_hold(board, costs):  # noqa: F811
    names = json.loads((board / "answers.json").read_text())
    (board / "costs.csv").write_text("question,cost\n" + "".join(f"{n},{costs[i % 2]}\n" for i, n in enumerate(names)))
    with pytest.raises(InputError, match=r"costs\.csv: costs from"):
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


def answer(run, names):
    """Write that these questions were answered right."""
    with (run / "answers.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("question", "score"), *((name, 1) for name in names)])


@pytest.mark.parametrize("line", [
    '{{"question": {q}, "score": 1, "score": 0}}', '{{"question": {q}, "score": 1, "more": ' + "[" * 5000,
])
def test_lines_of_a_program_that_are_no_plain_json(board, line):  # noqa: F811
    said = line.replace("{q}", '"a/0"').replace("{{", "{").replace("}}", "}")
    (board / "grade.py").write_text(f"import sys\nfor _ in sys.stdin:\n    print({said!r}, flush=True)\n")
    with pytest.raises(InputError, match="each key once"):
        begin(board, "--budget", "40", *grader(board))


def test_a_program_that_closes_its_output_is_not_waited_for(board, monkeypatch):  # noqa: F811
    from llm_accuracy.live.drivers import command as program

    monkeypatch.setattr(program, "WAIT", 0.2)
    with pytest.raises(InputError, match="closed its output"):
        begin(board, "--budget", "40", "--command", "exec 1>&-; exec sleep 60")


def test_answers_that_differ_are_said(board, capsys):  # noqa: F811
    """The first that is recorded counts, and a note says so once."""
    good = (board / "grade.py").read_text()
    other = "    print(json.dumps({'question': name, 'score': 1 - known[name]}), flush=True)\n"
    (board / "grade.py").write_text(good + other)
    begin(board, "--budget", "40", *grader(board))
    known = json.loads((board / "answers.json").read_text())
    assert all(record["score"] == known[record["question"]] for record in records(board / "run", "answer"))
    notes = json.loads((board / "run" / "result.json").read_text())["notes"]
    assert sum("answered twice, differently" in note for note in notes) == 1
    assert capsys.readouterr().err.count("answered twice, differently") == 1
    assert command.main([str(board / "run"), "--audit"]) == 0


@pytest.mark.parametrize(("content", "said"), [
    ("question,score,score\n{q},1,0\n", "names score twice"),
    ("question,score\n{q},1\n{q},0\n", "line 3.*and 1 in line 2"), ("question,score\n{q},1_0\n", "'1_0'"),
    ("question,score\n{q},0_1\n", "'0_1'"), ("question,score\n{q},\u0661\n", "score"),
    ("question,score\n" + "y" * 999 + ",1\n", r"answers\.csv: .*yyy…, which has not been asked"), (None, "not a file"),
])
def test_answers_by_files_that_leave_open_what_counts(board, content, said):  # noqa: F811
    begin(board, "--budget", "40", "--files")
    path, log = board / "run" / "answers.csv", (board / "run" / "queries.jsonl").read_bytes()
    if content is None:
        os.mkfifo(path)
    else:
        path.write_text(content.format(q=asked(board / "run")[0]))
    with pytest.raises(InputError, match=said):
        command.main([str(board / "run"), "--resume"])
    assert (board / "run" / "queries.jsonl").read_bytes() == log


def test_names_keep_their_blanks(board):  # noqa: F811
    text = (board / "M1.csv").read_text()
    (board / "M1.csv").write_text(text.replace("a/0,", '" a/0",', 1).replace("b/1,", '"b/1 ",', 1))
    begin(board, "--budget", str(N), "--first-round", str(N), "--files")
    answer(board / "run", asked(board / "run"))
    assert command.main([str(board / "run"), "--resume"]) == 0
    assert json.loads((board / "run" / "result.json").read_text())["asked"] == N


@pytest.mark.parametrize("text", ["model,a/0\rm,1\r", 'model,"a/0\n",b\nm,1,0\n',
                                  "model," + "x" * 200_000 + ",b\nm,1,0\n"])
def test_a_matrix_whose_lines_are_none(board, text):  # noqa: F811
    (board / "M1.csv").write_text(text, newline="")
    with pytest.raises(InputError, match=r"M1\.csv: (line 1: not a line of a CSV|cannot be read)"):
        begin(board, "--budget", "1", "--files")


@pytest.mark.parametrize("name", ["a/0\rcr", "a/0\nlf", "a/0\t", 'a/0"', "a/\u2028", "=1+1"])
def test_odd_names_are_written_and_read_back(board, name):  # noqa: F811
    run = board / "run"
    with (board / "bank.csv").open("w", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("question",), (name,), ("a/1",), ("b/2",)])
    command.main([str(run), "--history", "none", "--questions", str(board / "bank.csv"), "--budget", "3", "--files"])
    with (run / "ask.csv").open(newline="") as stream:
        names = [row["question"] for row in csv.DictReader(stream)]
    assert sorted(names) == sorted(asked(run)) and name in names
    answer(run, names)
    assert command.main([str(run), "--resume"]) == command.main([str(run), "--audit"]) == 0


def test_tasks_that_are_all_blank_are_none(board):  # noqa: F811
    (board / "bank.csv").write_text("question,task\n" + "".join(f"q{i},\n" for i in range(9)))
    command.main([str(board / "run"), "--history", "none", "--questions", str(board / "bank.csv"), "--budget", "5",
                  "--files"])
    assert command.main([str(board / "run"), "--resume"]) == command.main([str(board / "run"), "--audit"]) == 0


def test_names_that_no_file_holds(board):  # noqa: F811
    for names, said in ((["x" * 10_001, "y"], "10,001 letters"), (["x", "\ud800"], "not text"), (["x", " "], "blank")):
        with pytest.raises(InputError, match=said):
            Bank.of(names)


def test_of_a_betting_interval_answers_may_come_in_any_order(board):  # noqa: F811
    """It rests on the answers without a gap: while the first is missing there is no estimate, and no error."""
    begin(board, "--half-width", "20pt", "--exact", "--max-budget", "20", "--files")
    run = board / "run"
    first, second, *_ = asked(run)
    for names in ([second], [second, first]):
        answer(run, names)
        for what in ("--resume", "--audit"):
            assert command.main([str(run), what]) == 0
        result = json.loads((run / "result.json").read_text())
        assert (result["estimate"] is None) == (len(names) == 1) and result["asked"] == len(names)


@pytest.mark.parametrize(("words", "said"), [
    (["--budget", "\u00b2"], "number of questions"), (["--budget", "9" * 5000], "number of questions"),
    (["--budget", "0%"], "above 0%"), (["--budget", "200%"], "up to 100%"),
    (["--budget", "1" + "0" * 5000 + "%"], "budget"),
    (["--half-width", "1_0pt"], "--half-width"), (["--half-width", "truept"], "--half-width"),
    (["--budget", "40", "--alpha", "1e-17"], "alpha"), (["--budget", "40", "--as-begun"], "--as-begun goes with"),
    (["--budget", "40", "--organization", "us"], "--organization goes with"),
    (["--budget", "40", "--model", " "], "--model"), (["--budget", "40", "--model", "a\nb"], "visible characters"),
    (["--budget", "40", "--max-minutes", "5"], "--max-minutes does not go with --files"),
])
def test_words_that_mean_nothing_begin_nothing(board, words, said):  # noqa: F811
    with pytest.raises(InputError, match=said):
        begin(board, "--files", *words)
    assert not (board / "run").exists()


@pytest.mark.parametrize(("flag", "value"), [("--max-minutes", "nan"), ("--max-minutes", "-1"),
                                             ("--max-minutes", "inf"), ("--factors", ""), ("--questions", " "),
                                             ("--cost", "")])
def test_a_value_that_is_none(board, flag, value, capsys):  # noqa: F811
    with pytest.raises(SystemExit):
        begin(board, "--budget", "40", f"{flag}={value}", *grader(board))
    assert flag in capsys.readouterr().err and not (board / "run").exists()


def test_a_folder_without_a_name_is_not_the_current_one(capsys):
    with pytest.raises(SystemExit):
        command.main(["", "--history", "none", "--budget", "40", "--files"])
    assert "a path is needed" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [
    (["--audit", "--history", "M1.csv"], "--history"), (["--audit", "--files"], "--files"),
    (["--audit", "--show-questions"], "--show-questions"), (["--report", "--model", "other"], "--model"),
    (["--report", "--as-begun"], "--as-begun"), (["--resume", "--organization", "us"], "--organization"),
    (["--resume", "--model", "other"], "--model other: the run began with run"),
    (["--resume", "--metric", "acc"], "the run began without it"),
    (["--resume", "--baseline", "x"], "no comparison"), (["--resume", "--alpha", ".1"], "--alpha"),
])
def test_no_flag_is_ignored_of_a_run_that_exists(board, words, said):  # noqa: F811
    begin(board, "--budget", "40", "--files")
    with pytest.raises(InputError, match=said):
        command.main([str(board / "run"), *words])


@pytest.mark.parametrize("flag", ["--alpha=.1", "--seed=1", "--exact", "--model=m", "--growth=2", "--max-minutes=5"])
def test_a_forecast_ignores_no_flag(board, flag):  # noqa: F811
    with pytest.raises(InputError, match=f"--forecast asks nothing: leave {flag.partition('=')[0]} away"):
        command.main(["--forecast", "--history", str(board / "M1.csv"), flag])


# --- folders ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["report.html", "result.json", "factors.npz", "questions.csv", "queries.jsonl"])
def test_files_of_the_names_that_a_run_has_are_left_alone(board, name):  # noqa: F811
    """A beginning that fails removes only what it has written itself, and one that works overwrites nothing."""
    (board / "run").mkdir()
    (board / "run" / name).write_text("mine")
    for words in (["--budget", "40"], ["--budget", "1000"]):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            begin(board, "--files", *words)
    assert [(path.name, path.read_text()) for path in (board / "run").iterdir()] == [(name, "mine")]


def test_what_a_killed_beginning_has_left_is_no_hindrance(board):  # noqa: F811
    from llm_accuracy.files import _host

    (board / "run").mkdir()
    for name in ("lock", "questions.csv", f".factors.npz.{_host()}.4194303.part"):
        (board / "run" / name).write_text("4194303")
    begin(board, "--budget", "40", "--files")
    assert not list((board / "run").glob(".*"))


def test_a_beginning_that_fails_leaves_the_folders_that_were_there(board):  # noqa: F811
    (board / "there").mkdir()
    for run in ("there", "there/run", "a/b/c"):
        with pytest.raises(InputError, match=r"bank has 120"):
            begin(board, "--budget", "1000", "--files", run=run)
    assert not list((board / "there").iterdir()) and not (board / "a").exists()


def test_a_lock_that_is_a_link_is_not_followed(board):  # noqa: F811
    (board / "run").mkdir()
    (board / "precious").write_text("mine")
    (board / "run" / "lock").symlink_to(board / "precious")
    with pytest.raises(InputError, match="cannot be written"):
        begin(board, "--budget", "40", "--files")
    assert (board / "precious").read_text() == "mine"


def test_a_run_does_not_lie_in_its_own_history(board):  # noqa: F811
    with pytest.raises(InputError, match=r"lies in .*, which is read"):
        command.main([str(board / "run"), "--history", str(board), "--budget", "40", "--files"])
    with pytest.raises(InputError, match="would be overwritten"):
        begin(board, "--budget", "40", "--files", "--factors", str(board / "M1.csv"))
    with pytest.raises(InputError, match="keeps the factors anyway"):
        begin(board, "--budget", "40", "--files", "--factors", str(board / "run" / "factors.npz"))
    with pytest.raises(InputError, match="not a file"):
        begin(board, "--budget", "40", "--files", "--factors", str(board))
    assert not (board / "run").exists()


def test_names_that_are_not_text(board):  # noqa: F811
    """Of a folder, which no encoding reads."""
    folder = board / os.fsdecode(b"caf\xff")
    folder.mkdir()
    (folder / "M1.csv").write_text((board / "M1.csv").read_text())
    words = ["--budget", "40", "--files", "--history", str(folder / "M1.csv")]
    command.main([str(folder / "run"), "--model", "new", *words])
    assert command.main([str(folder / "run"), "--resume"]) == command.main([str(folder / "run"), "--audit"]) == 0
    with pytest.raises(InputError, match="visible characters, with --model"):
        command.main([str(board / os.fsdecode(b"\xff")), *words])


def test_files_of_a_round_do_not_outlive_the_end(board):  # noqa: F811
    """A process that is killed between the last line of the log and its last file is tidied up after."""
    begin(board, "--budget", "40", "--files")
    by_hand(board, "run")
    (board / "run" / "ask.csv").write_text("question,task,round\n")
    assert command.main([str(board / "run"), "--resume"]) == 0
    assert not (board / "run" / "ask.csv").exists()


def test_what_is_provisional_is_said(board, capsys):  # noqa: F811
    begin(board, "--budget", "40", "--model", "new", "--files")
    assert "new: no estimate yet (0 of the budget's 40 questions are answered)" in capsys.readouterr().out
    answer(board / "run", asked(board / "run"))
    command.main([str(board / "run"), "--resume"])
    assert ", provisional (8 of the budget's 40 questions are answered)" in capsys.readouterr().out
