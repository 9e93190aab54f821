"""`best --run`: models that are asked by programs, by files, through the real harnesses; killed, resumed, audited."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import harness_python
from test_evaluate import GRADER
from test_harnesses import made, records, steps

from llm_accuracy.errors import InputError
from llm_accuracy.live import best
from llm_accuracy.live.drivers import DRIVERS, Request, Way
from llm_accuracy.querying.best_command import interval

N, NAMES = 300, ("poor", "fair", "good", "like")
DYING = GRADER.replace("for line", "left = {left}\nfor line").replace(
    "    name =", "    left -= 1\n    if left < 0:\n        sys.exit(3)\n    name =")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """all.csv of four models (like: good but for two answers), M1.csv of twenty others, a program for each model."""
    folder, rng = tmp_path_factory.mktemp("best"), np.random.default_rng(0)
    hardness, names = rng.random(N), [f"{'ab'[i % 2]}/{i}" for i in range(N)]
    rows = {name: (hardness + rng.normal(0, 0.2, N) < level).astype(int)
            for name, level in zip(NAMES, (0.2, 0.5, 0.75, 0.75), strict=True)}
    rows["like"] = rows["good"].copy()
    rows["like"][np.flatnonzero(rows["good"])[:2]] = 0
    history = {f"m{i}": (hardness + rng.normal(0, 0.2, N) < rng.random()).astype(int) for i in range(20)}
    for file, models in (("all.csv", rows), ("M1.csv", history)):
        with (folder / file).open("w", newline="") as stream:
            csv.writer(stream).writerows([["model", *names], *([name, *row] for name, row in models.items())])
    for name, row in rows.items():
        known = str(folder / f"{name}.json")
        (folder / f"{name}.json").write_text(json.dumps(dict(zip(names, row.tolist(), strict=True))))
        (folder / f"{name}.py").write_text(GRADER.format(answers=known))
        (folder / f"{name}_dies.py").write_text(DYING.format(answers=known, left=5))
    return folder


def words(board, run, *more, programs=NAMES, history="M1.csv"):
    asked = [word for name in programs for word in ("--command", f"{sys.executable} {board / name}.py")]
    return ["best", "--run", str(board / run), "--history", str(board / history), "--k", *NAMES, *asked, *more]


def result_of(run):
    return json.loads((run / "result.json").read_text())


def asked(run):
    return [(record["models"], record["questions"]) for record in records(run, "ask")]


@pytest.fixture(scope="module")
def whole(board):
    assert best.main(words(board, "whole", "--json", str(board / "whole.json"))) == 0
    return board / "whole"


def test_it_asks_and_finds_what_a_replay_of_all_answers_does(board, whole, capsys):
    code = best.main(["best", str(board / "all.csv"), "--k", *NAMES, "--history", str(board / "M1.csv"),
                              "--json", str(board / "replay.json")])
    replay, live = json.loads((board / "replay.json").read_text()), result_of(whole)
    assert code == 0 and json.loads((board / "whole.json").read_text()) == live
    for name in ("winner", "answers", "of", "questions", "claim"):
        assert replay[name] == live[name], name
    assert live["winner"] in ("good", "like") and live["answers"] < 0.6 * live["of"]
    assert {name: one["dropped_after"] for name, one in replay["models"].items()} == {
        name: one["dropped_after"] for name, one in live["models"].items()}
    assert len(records(whole, "answer")) == live["answers"] and live["ended"] == "the best is found"


def test_every_model_is_asked_the_same_and_the_beaten_no_more(whole):
    for record in records(whole, "ask"):
        answered = {(one["model"], one["question"]) for one in records(whole, "answer")}
        assert {(model, question) for model in record["models"] for question in record["questions"]} <= answered
    models = [record["models"] for record in records(whole, "ask")]
    assert models[0] == list(NAMES) and "poor" not in models[-1] and models == sorted(models, key=len, reverse=True)


def test_a_program_that_fails_is_one_line_and_the_run_goes_on(board, whole, capsys):
    dying = ("poor", "fair_dies", "good", "like")
    with pytest.raises(InputError, match=r"ended with exit code 3 before it had answered 11 of 16 questions"):
        best.main(words(board, "fails", programs=dying))
    run = board / "fails"
    assert len(records(run, "answer")) == 16 + 5 and not (run / "result.json").exists()
    (board / "fair_dies.py").write_text((board / "fair.py").read_text())
    assert best.main(["best", "--run", str(run), "--resume"]) == 0
    assert asked(run) == asked(whole)
    one, other = result_of(run), result_of(whole)
    assert {name: one[name] for name in one if name != "log"} == {name: other[name] for name in other if name != "log"}
    assert best.main(["best", "--run", str(run), "--audit"]) == 0
    assert "every one follows" in capsys.readouterr().out


def test_the_live_line_counts_the_models_that_are_left(board, capsys):
    """What there will be at most falls as models are dropped; the leader stands there with its interval."""
    assert best.main(words(board, "line")) == 0
    said, result = capsys.readouterr().err, result_of(board / "line")
    most = [int(found.replace(",", "")) for found in re.findall(r" of at most ([\d,]+) answers, ", said)]
    left = sum(one["left"] for one in result["models"].values())
    assert most[0] == 4 * N and most == sorted(most, reverse=True)
    assert most[-1] == result["answers"] + left * (N - result["questions"]) < 4 * N
    leader = result["models"][result["leader"]]
    assert f"{result['leader']} ahead, {interval(leader['estimate'], leader['low'], leader['high'])} % right" in said


def test_what_takes_a_while_to_load_is_said():
    said = []
    slow = Way("slow", "ARGS", "", "..drivers.files:Files", slow=True)
    slow.open(Request("slow", "--model_args api_key=sk-0123456789abcdef", Path(), "m"), said.append, " (1 of 2)")
    assert said == ["--slow '--model_args api_key=[redacted]': loading the tasks and the model (1 of 2)"]
    DRIVERS["files"].open(Request("files", "", Path(), "m"), said.append)
    assert len(said) == 1 and DRIVERS["lm-eval"].slow and DRIVERS["inspect"].slow


def test_by_files_and_a_budget(board, capsys):
    truth = {name: json.loads((board / f"{name}.json").read_text()) for name in NAMES}
    run = board / "files"
    begin = ["best", "--run", str(run), "--history", "none", "--questions", str(board / "bank.csv"), "--k", *NAMES,
             "--files", "--budget", "20%", "--tolerance", "0"]
    (board / "bank.csv").write_text("question\n" + "\n".join(truth["good"]) + "\n")
    assert best.main(begin) == 0
    assert "write model,question,score to" in capsys.readouterr().err
    for _ in range(20):
        if not (run / "ask.csv").exists():
            break
        rows = list(csv.DictReader((run / "ask.csv").open()))
        with (run / "answers.csv").open("a", newline="") as stream:
            writer = csv.writer(stream)
            if stream.tell() == 0:
                writer.writerow(("model", "question", "score"))
            writer.writerows((row["model"], row["question"], truth[row["model"]][row["question"]]) for row in rows)
        assert best.main(["best", "--run", str(run), "--resume"]) == 0
    result = result_of(run)
    assert result["ended"] == "the budget is used up" and result["winner"] is None and result["questions"] == 60
    assert "UNDECIDED" in capsys.readouterr().out
    left = [name for name, one in result["models"].items() if one["left"]]
    assert {"good", "like"} <= set(left) and "poor" not in left
    with (run / "answers.csv").open("a") as stream:
        stream.write("good,a/x,1\n")
    assert best.main(["best", "--run", str(run), "--report"]) == 0


def test_a_forged_result_or_log_is_found(board, whole):
    run = board / "forged"
    shutil.copytree(whole, run)
    result = result_of(run)
    result["winner"], result["models"]["poor"]["left"] = "poor", True
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match="winner is 'poor', by the log"):
        best.main(["best", "--run", str(run), "--audit"])
    result = result_of(whole)
    result["models"]["poor"]["estimate"] += 0.01
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match="models is "):
        best.main(["best", "--run", str(run), "--audit"])
    np.save(run / "useful.npy", np.ones(N))
    with pytest.raises(InputError, match="which questions tell models apart changed"):
        best.main(["best", "--run", str(run), "--audit"])


def test_new_questions_are_claimed_on_request(board):
    assert best.main(words(board, "new", "--about", "questions", "--tolerance", "5pt")) == 0
    result = result_of(board / "new")
    assert result["claim"] == "new questions like these" and result["models"]["poor"]["left"] is False
    assert best.main(["best", "--run", str(board / "new"), "--audit"]) == 0


@pytest.mark.parametrize(("given", "message"), [
    (lambda b: words(b, "x", programs=NAMES[:3]), "--k names 4 models, 3 are asked"),
    (lambda b: ["best", "--run", str(b / "x"), "--k", "a", "a", "--files", "--history", str(b / "M1.csv")],
     "a is given twice"),
    (lambda b: ["best", "--run", str(b / "x"), "--k", "a", "--files", "--history", str(b / "M1.csv")],
     "Two models are needed"),
    (lambda b: ["best", str(b / "all.csv"), "--run", str(b / "x")], "give one or the other"),
    (lambda b: ["best", "--run", str(b / "x")], "how are the models asked"),
    (lambda b: ["best"], "Give a MATRIX of all answers, or --run RUN"),
    (lambda b: ["best", str(b / "all.csv"), "--files"], "--files: --run RUN names the folder"),
    (lambda b: ["best", "--run", str(b / "x"), "--command", "true", "--command", "true", "--history", "none"],
     "--k names the models"),
    (lambda b: words(b, "x", "--budget", "400"), "the bank has 300 questions"),
    (lambda b: words(b, "x", "--alpha", "5"), "alpha"),
    (lambda b: words(b, "whole"), "holds an evaluation"),
    (lambda b: ["best", "--run", str(b / "whole"), "--resume", "--budget", "10"], "fixed when the run began"),
    (lambda b: ["best", "--run", str(b / "whole"), "--json", str(b / "whole" / "result.json"), "--report",
                "--overwrite"], "is read"),
])
def test_what_cannot_be_used_is_refused_and_leaves_nothing(board, whole, given, message):
    with pytest.raises(InputError, match=message):
        best.main(given(board))
    assert not (board / "x").exists()


def test_other_commands_and_other_runs_are_told_apart(board, whole):
    from llm_accuracy.live import command

    with pytest.raises(InputError, match="of several models: give the same flag to llm-accuracy best --run"):
        command.main([str(whole), "--resume"])


def test_through_lm_eval(tmp_path):
    """Two models of one kind whose answers are two rows; one kill -9 inside a round."""
    harness_python()
    folder, truth = made("live_lm_eval.py", tmp_path / "good")
    (tmp_path / "poor").mkdir()
    worse = {name: int(value and i % 3 > 0) for i, (name, value) in enumerate(truth.items())}
    (tmp_path / "poor" / "answers.json").write_text(json.dumps(worse))

    def begin(run, *more):
        ways = [word for name in ("good", "poor") for word in ("--lm-eval", (
            f"--model row --model_args folder={tmp_path / name} --tasks live_a,live_b --include_path {folder}"))]
        return ["best", "--run", run, "--history", str(folder / "M1.csv"), *ways, *more]

    done = steps("live_lm_eval.py", tmp_path, [
        [{}, begin("unnamed")],
        [{}, begin("whole", "--k", "good", "poor")],
        [{"LIVE_DIE_AFTER": "50"}, begin("killed", "--k", "good", "poor")],
        [{}, ["best", "--run", "killed", "--resume"]],
        [{}, ["best", "--run", "killed", "--audit"]],
    ])
    assert [code for code, *_ in done] == [2, 0, -9, 0, 0], done
    assert "row is there twice: name the models" in done[0][2]
    for run in ("whole", "killed"):
        assert result_of(tmp_path / run)["winner"] == "good"
        rows = {"good": truth, "poor": worse}
        assert all(one["score"] == rows[one["model"]][one["question"]] for one in records(tmp_path / run, "answer"))
    assert asked(tmp_path / "killed") == asked(tmp_path / "whole")


def test_through_inspect_ai(inspect_ai, tmp_path):
    """inspect_ai runs one evaluation at a time in a process: each model has its turn, round by round."""
    folder, truth = made("live_inspect.py", tmp_path)
    where = {"LIVE_FOLDER": str(folder)}

    def begin(run):
        return ["best", "--run", run, "--history", "none", "--k", "base", "turned", "--model", "row/base",
                "--inspect", "task.py@sums", "--inspect", "task.py@sums -M turned=3", "--budget", "34"]

    done = steps("live_inspect.py", folder, [
        [where, begin("whole")],
        [where | {"LIVE_DIE_AFTER": "60"}, begin("killed")],
        [where, ["best", "--run", "killed", "--resume"]],
        [where, ["best", "--run", "killed", "--audit"]],
    ])
    assert [code for code, *_ in done] == [0, -9, 0, 0], done
    turned = {name: 1 - value if int(name[6:]) % 3 == 0 else value for name, value in truth.items()}
    rows = {"base": truth, "turned": turned}
    for run in ("whole", "killed"):
        assert result_of(folder / run)["ended"] == "the budget is used up" and len(records(folder / run, "look")) == 2
        assert all(one["score"] == rows[one["model"]][one["question"]] for one in records(folder / run, "answer"))
    assert asked(folder / "killed") == asked(folder / "whole")
