"""`evaluate` as somebody uses it who has read the README alone: what is said of slips, of a run that exists, of
programs that do not start or do not flush, and of the time left."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.live import best, command, compare_command
from llm_accuracy.live.drivers import command as programs
from llm_accuracy.live.figures import labels_of
from llm_accuracy.live.live_line import Live
from llm_accuracy.live.pieces import capital
from llm_accuracy.live.results import random_questions
from llm_accuracy.live.run_folder import RunFolder
from llm_accuracy.querying import forecast_command

# Ten lines as anybody would write them: nothing is flushed.
GRADE = """import json, sys
for line in sys.stdin:
    question = json.loads(line)["question"]
    print(json.dumps({"question": question, "score": len(question) % 2 == 0}))
"""


@pytest.fixture
def bank(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bank.csv").write_text("question,task\n" + "".join(f"q{i},{'ab'[i % 2]}\n" for i in range(120)))
    (tmp_path / "grade.py").write_text(GRADE)
    return tmp_path


NONE = ["--history", "none", "--questions", "bank.csv"]


# --- slips -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("words", "said"), [
    (["--history", "M1.csv", "run", "--budget", "5%", "--files"], r"RUN is missing.*--history takes .*M1.csv run.*RUN"),
    (["run", "--history", "none", "--lm-eval", "--model", "hf"], "--lm-eval: what it is given stands in quotes"),
    (["run", "--history", "none", "--lm-eval", "--model hf", "--num_fewshot", "5"], "--num_fewshot belongs to --lm-"),
    (["run", "--history", "none", "--lm-eval", "--model hf", "--tasks", "mmlu"], "--tasks belongs to --lm-eval"),
    (["run", "--history", "none", "--inspect", "t.py@t", "--model", "m/m", "-T", "n=5"], "-T belongs to --inspect"),
    (["--forecast", "--history", "none", "--alpha", ".1"], "leave --alpha away"),
    (["run", "--history", "none", "--budget", "5", "--files", "--as-begun"], "--as-begun goes with --resume"),
    (["run", "--history", "none", "--budget", "5", "--files", "--organization", "us"], "--organization goes with"),
])
def test_slips_are_told_apart(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        command.main(words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("build", [best.build_parser, compare_command.build_parser, forecast_command.build_parser])
def test_what_a_command_is_for_fits_a_terminal(build, monkeypatch):
    """Paragraphs are wrapped, and what stands behind a wide command goes below it; a wide terminal shows them as they
    were written."""
    parser = build()
    monkeypatch.setenv("COLUMNS", "80")
    narrow = parser.format_help().split("\noptions:")[0]
    assert max(map(len, narrow.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "140")
    assert parser.description in parser.format_help() and "".join(parser.description.split()) in "".join(narrow.split())


def test_the_help_fits_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, command.build_parser().format_help().splitlines())) <= 80


@pytest.mark.parametrize(("program", "said"), [
    ("./no-such-file", "no such file"), ("no-such-program --fast", "no such program"),
    ("grade.py", "one of this folder is ./grade.py"), ("./grade.py", "not executable: chmod"),
    ("'unclosed", "quotation"),
])
def test_a_program_that_cannot_start_begins_nothing(bank, program, said):
    with pytest.raises(InputError, match=said):
        command.main(["run", *NONE, "--budget", "5", "--command", program])
    assert not (bank / "run").exists()


# --- programs ---------------------------------------------------------------------------------------------

def test_a_program_that_does_not_flush_is_heard(bank, monkeypatch):
    """It waited for ever, for answers in its own buffer."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    assert command.main(["run", *NONE, "--budget", "20", "--command", f"{sys.executable} grade.py"]) == 0


def test_a_silent_program_is_asked_to_flush(bank, monkeypatch, capsys):
    monkeypatch.setattr(programs, "SILENT", 0.2)
    (bank / "late.py").write_text("import time\ntime.sleep(1)\n" + GRADE)
    assert command.main(["run", *NONE, "--budget", "5", "--command", f"{sys.executable} late.py"]) == 0
    assert capsys.readouterr().err.count("flush its output after every line") == 1


# --- a run that exists ------------------------------------------------------------------------------------

def test_run_alone_says_where_it_stands(bank, capsys):
    command.main(["run", *NONE, "--budget", "20", "--files"])
    capsys.readouterr()
    before = (bank / "run" / "queries.jsonl").read_bytes()
    assert command.main(["run"]) == 0
    shown = capsys.readouterr().out
    assert "no estimate yet (0 of the budget's 20 questions are answered)" in shown and "--resume goes on" in shown
    held = RunFolder(bank / "run")
    held.lock()
    command.main(["run"])
    held.release()
    assert f"process {os.getpid()} is working on it" in capsys.readouterr().out
    names = [row.split(",")[0] for row in (bank / "run" / "ask.csv").read_text().splitlines()[1:]]
    (bank / "run" / "answers.csv").write_text("question,score\n" + "".join(f"{name},1\n" for name in names))
    command.main(["run", "--resume"])
    shown = capsys.readouterr()
    assert ", provisional (8 of the budget's 20 questions are answered)" in shown.out
    assert " left" not in shown.err  # how long a person takes is not known
    assert "time, as so far" not in (bank / "run" / "report.html").read_text()
    assert before == (bank / "run" / "queries.jsonl").read_bytes()[: len(before)]
    with pytest.raises(InputError, match="how is the model asked"):
        command.main(["other"])


def test_the_same_command_with_resume_goes_on(bank):
    """Whoever repeats a command adds --resume to it; another value is refused, saying what it was."""
    begun = ["run", *NONE, "--budget", "20", "--growth", "2", "--model", "us/new", "--files"]
    command.main(begun)
    assert command.main([*begun, "--resume"]) == 0
    for words, said in ((["--budget", "21"], r"--budget: fixed when the run began \(20\)"),
                        (["--seed", "1"], r"--seed: fixed when the run began \(without it\)"),
                        (["--model", "us/other"], "--model us/other: the run began with us/new"),
                        (["--metric", "acc"], "--metric acc: the run began without it")):
        for again in ("--resume", "--report", "--audit"):
            with pytest.raises(InputError, match=said):
                command.main(["run", again, *words])


def test_interrupted_says_how_to_go_on(bank):
    """Not that the same command continues, which is refused."""
    (bank / "slow.py").write_text("import time\n" + GRADE.replace("    print", "    time.sleep(.3)\n    print"))
    process = subprocess.Popen([sys.executable, ROOT / "evaluate_model.py", "run", *NONE, "--budget", "60", "--command",
                                f"exec {sys.executable} slow.py 2> errors.txt"], stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a job's is ignored
    log = bank / "run" / "queries.jsonl"
    for _ in range(1200):
        if log.exists() and '"answer"' in log.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "llm-accuracy evaluate run --resume goes on" in said, said
    assert "Traceback" not in said


# --- the live line ----------------------------------------------------------------------------------------

class Terminal(io.StringIO):
    def isatty(self):
        return True


def asking(answered, of=100, outstanding=12, watched=False):
    return SimpleNamespace(answers=dict.fromkeys(range(answered)), outstanding=["q"] * outstanding, round=2,
                           at_most=of, unit="question", answered="asked", plan=SimpleNamespace(watched=watched))


def test_the_time_left_is_the_models():
    """A round that comes as a whole, as lm-eval's do, and our own part, which takes as long: 12 questions in 24 s."""
    live, clock = Live(io.StringIO()), SimpleNamespace(seconds=0.0)
    live.asks(asking(0), clock)
    clock.seconds = 24.0
    live.count(asking(12, outstanding=0), clock)
    live.heard(asking(12, outstanding=0), clock)
    clock.seconds = 48.0  # figures
    live.show("61 % ± 9", asking(12, outstanding=0), clock)
    assert "12 of 100 asked, 61 % ± 9, about 2 min 56 s left" in live.stream.getvalue()
    live.show("61 % ± 9", asking(12, outstanding=0, watched=True), clock)
    assert "12 of at most 100 asked, 61 % ± 9, at most 2 min 56 s left" in live.stream.getvalue()


def test_answers_one_by_one_count_from_the_first():
    live, clock = Live(io.StringIO()), SimpleNamespace(seconds=0.0)
    live.asks(asking(0), clock)
    for answered, clock.seconds in ((1, 60.0), (2, 62.0), (3, 64.0)):  # the model is loaded in 58 s
        live.count(asking(answered), clock)
    live.show("x", asking(3), clock)
    assert "about 3 min 14 s left" in live.stream.getvalue()


def test_the_line_is_no_wider_than_the_terminal(monkeypatch):
    """A line that wraps cannot be taken back: its rest stays."""
    monkeypatch.setenv("COLUMNS", "60")
    live, clock = Live(Terminal()), SimpleNamespace(seconds=0.0)
    live.asks(asking(0), clock)
    clock.seconds = 7200.0
    live.progress(asking(0), clock, 3, 36)
    live.show("accuracy 61.3 % ± 2.4, provisional", asking(12, of=12032), clock)
    lines = re.split(r"\r\x1b\[K", live.stream.getvalue())
    assert len(lines) == 4 and max(map(len, lines)) <= 59
    assert lines[1] == "0 of 100 asked, no estimate yet, round 2: 12 questions"


# --- the page ---------------------------------------------------------------------------------------------

def test_random_questions_never_exceed_the_bank():
    """At 255 of 450 questions a gain of 3.97 is not 1,012 questions."""
    assert random_questions(255, 450, 3.97) == pytest.approx(377, abs=1)
    assert random_questions(100, 10**9, 2.0) == pytest.approx(200)
    assert random_questions(450, 450, 2.0) is random_questions(20, 450, None) is None


@pytest.mark.parametrize("names", [
    [f"leaderboard_mmlu_pro_subject_{i:02d}_with_a_rather_long_name_as_harnesses_have" for i in range(60)],
    [f"a_rather_long_name_as_harnesses_have_them_of_subject_{i:02d}" for i in range(60)],
    [f"a_rather_long_name_as_harnesses_have_{i:02d}_which_ends_rather_late_as_well" for i in range(60)],
    ["short", "日本語" * 20, "日本語" * 20 + "!"],
])
def test_labels_stay_different(names):
    labels = labels_of(names)
    assert len(set(labels)) == len(names) and max(map(len, labels)) <= 40
    assert labels_of(["short"]) == ["short"]


def test_a_files_name_is_not_capitalised():
    assert capital("base2.csv carries no log-likelihoods") == "base2.csv carries no log-likelihoods"
    assert capital("the run stopped") == "The run stopped" and capital("history: 3 questions") == "History: 3 questions"


def test_a_run_ended_by_time_claims_no_budget(bank):
    (bank / "slow.py").write_text("import time\n" + GRADE.replace("    print", "    time.sleep(.01)\n    print"))
    command.main(["run", *NONE, "--budget", "60", "--max-minutes", "0.001", "--command", f"{sys.executable} slow.py"])
    result = json.loads((bank / "run" / "result.json").read_text())
    assert result["asked"] == 8 and "ended by --max-minutes" in result["interval"]
    page = (bank / "run" / "report.html").read_text()
    assert "What was predicted" in page and "the history promised" not in page  # there was none


def test_the_end_says_what_the_history_was_worth(bank, capsys):
    rng = np.random.default_rng(0)
    hardness = np.repeat([0.05, 0.95], 60)
    rows = [",".join([f"m{i}", *map(str, (rng.random(120) < hardness).astype(int))]) for i in range(3)]
    (bank / "M1.csv").write_text("\n".join([",".join(["model", *(f"q{i}" for i in range(120))]), *rows]) + "\n")
    (bank / "new.py").write_text(GRADE.replace("len(question) % 2 == 0", "int(question[1:]) >= 60"))
    command.main(["run", "--history", "M1.csv", "--budget", "40", "--command", f"{sys.executable} new.py"])
    shown = capsys.readouterr().out
    result = json.loads((bank / "run" / "result.json").read_text())["history"]
    assert result["random"] > 42
    assert f"random questions: about {result['random']:,.0f} would have been needed for as narrow an interval" in shown


def test_a_search_for_the_best_is_told_apart(bank, capsys):
    from llm_accuracy.live import best

    best.main(["best", "--run", "run", "--questions", "bank.csv", "--k", "a", "b", "--files"])
    capsys.readouterr()
    assert command.main(["run"]) == 0
    assert "llm-accuracy best --run run --resume goes on with it" in capsys.readouterr().out
    with pytest.raises(InputError, match="a search for the best of several models: give the same flag to llm-accuracy"):
        command.main(["run", "--resume"])
