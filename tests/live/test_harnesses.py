"""`evaluate` through the real harnesses, with registered models whose answers are a held-out row: killed, resumed."""

import csv
import json
import subprocess
import sys
from collections import Counter

import pytest
from conftest import ROOT, harness_python


def steps(helper, folder, commands):
    done = subprocess.run([sys.executable, ROOT / "tests" / "helpers" / helper, "steps"], cwd=folder, text=True,
                          input=json.dumps(commands), capture_output=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def records(run, kind):
    return [record for record in map(json.loads, (run / "queries.jsonl").read_text().splitlines())
            if record["kind"] == kind]


def asked(run):
    return [name for record in records(run, "ask") for name in record["questions"]]


def answers(run):
    return {record["question"]: record["score"] for record in records(run, "answer")}


def made(helper, folder):
    subprocess.run([sys.executable, ROOT / "tests" / "helpers" / helper, "tasks", folder], check=True,
                   capture_output=True)
    return folder, json.loads((folder / "answers.json").read_text())


LM_EVAL = "live_lm_eval.py"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    harness_python()
    folder, truth = made(LM_EVAL, tmp_path_factory.mktemp("live"))
    words = ["--history", "M1.csv", "--factors", "factors.npz", "--budget", "30", "--lm-eval",
             "--model row --model_args folder=. --tasks live_a,live_b --include_path ."]
    other = [*words[:-1], words[-1].replace("live_b", "live_z")]
    done = steps(LM_EVAL, folder, [
        [{}, ["evaluate", "whole", *words]],
        [{"LIVE_DIE_AFTER": "13"}, ["evaluate", "killed", *words]],
        [{"LIVE_DIE_AFTER": "25"}, ["evaluate", "killed", "--resume"]],
        [{"LIVE_FAIL_AFTER": "2"}, ["evaluate", "killed", "--resume"]],
        [{}, ["evaluate", "killed", "--resume"]],
        [{}, ["evaluate", "killed", "--audit"]],
        [{}, ["evaluate", "absent", *other]],
    ])
    return folder, truth, done


class TestLmEval:
    def test_answers_are_the_held_out_row(self, live):
        folder, truth, done = live
        assert done[0][0] == 0, done[0][2]
        found = answers(folder / "whole")
        assert len(found) == 30
        assert found == {name: truth[name] for name in found}
        assert "fatal" not in done[0][2]

    def test_killed_and_resumed_asks_the_same(self, live):
        folder, _, done = live
        assert [code for code, *_ in done[1:6]] == [-9, -9, 2, 0, 0], done
        assert asked(folder / "killed") == asked(folder / "whole")
        one, other = (json.loads((folder / run / "result.json").read_text()) for run in ("whole", "killed"))
        assert {name: one[name] for name in ("estimate", "low", "high")} == {
            name: other[name] for name in ("estimate", "low", "high")}

    def test_no_request_on_disk_is_made_again(self, live):
        """Both runs make every request once; one that was in flight when the process was killed is not on disk."""
        folder = live[0]
        calls = Counter((folder / "calls.txt").read_text().splitlines())
        expected = sum(3 if name.startswith("live_a/") else 1 for name in asked(folder / "whole"))
        assert sum(calls.values()) <= 2 * expected + 2

    def test_failures_are_one_line_without_keys(self, live):
        folder, _, done = live
        for code, _, said in (done[3], done[6]):
            assert code == 2
            assert len([line for line in said.splitlines() if line.startswith("error:")]) == 1
            assert "Traceback" not in said and "sk-0123456789abcdef" not in said
        assert "429" in done[3][2] and "--resume" in done[3][2]
        assert not (folder / "absent").exists()


def test_logs_of_the_harness_are_a_history(tmp_path):
    """They, and the same models as a matrix, lead to the same questions and the same estimate."""
    harness_python()
    folder, truth = made(LM_EVAL, tmp_path)
    subprocess.run([sys.executable, ROOT / "tests" / "helpers" / LM_EVAL, "logs", folder, "5"], check=True,
                   capture_output=True)
    rows = (folder / "M1.csv").read_text().splitlines()[:6]
    (folder / "five.csv").write_text("\n".join(rows) + "\n")
    words = ["--budget", "20", "--lm-eval", "--model row --model_args folder=. --tasks live_a,live_b --include_path ."]
    limited = [*words[:-1], words[-1] + " --gen_kwargs max_gen_toks=5"]
    done = steps(LM_EVAL, folder, [[{}, ["evaluate", "logged", "--history", "logs", *limited]],
                                   [{}, ["evaluate", "table", "--history", "five.csv", *words]],
                                   [{}, ["evaluate", "logged", "--audit"]]])
    assert [code for code, *_ in done] == [0, 0, 0], done
    assert "history of 5 models" in done[0][2]
    assert ("5 of 5 models of the history generated their answers with the task's own limits, this one with "
            "max_gen_toks 5") in done[0][2]
    found = answers(folder / "logged")
    assert len(found) == 20 and found == {name: truth[name] for name in found}
    assert asked(folder / "logged") == asked(folder / "table")
    one, other = (json.loads((folder / run / "result.json").read_text()) for run in ("logged", "table"))
    assert (one["estimate"], one["low"], one["high"]) == (other["estimate"], other["low"], other["high"])


class TestInspect:
    HELPER = "live_inspect.py"

    def test_killed_resumed_and_audited(self, inspect_ai, tmp_path):
        folder, truth = made(self.HELPER, tmp_path)
        words = ["--history", "M1.csv", "--factors", "factors.npz", "--budget", "30", "--model", "row/new",
                 "--inspect", "task.py@sums"]
        where = {"LIVE_FOLDER": str(folder)}
        done = steps(self.HELPER, folder, [
            [where, ["evaluate", "whole", *words]],
            [where | {"LIVE_DIE_AFTER": "13"}, ["evaluate", "killed", *words]],
            [where, ["evaluate", "killed", "--resume"]],
            [where, ["evaluate", "killed", "--audit"]],
            [where, ["evaluate", "absent", *words[:-1], "task.py@products"]],
            *[[where | more, ["evaluate", name, "--history", "whole/inspect", *words[6:], "--budget", "150",
                              "--first-round", "150"]]
              for name, more in (("same", {}), ("other", {"LIVE_WORDS": "Think before you add."}))],
        ])
        assert [code for code, *_ in done] == [0, -9, 0, 0, 2, 0, 0], done
        noted = ["in other words than" in "".join(map(str, one)) for one in done[5:]]
        assert noted == [False, True]  # what a solver puts before a question is part of its prompt
        found = answers(folder / "whole")
        assert len(found) == 30 and found == {name: truth[name] for name in found}
        assert asked(folder / "killed") == asked(folder / "whole")
        assert "sums" in done[4][2] and not (folder / "absent").exists()
        with (folder / "whole" / "questions.csv").open() as stream:
            assert len(list(csv.DictReader(stream))) == 200
        self.log_has_our_estimate(inspect_ai, folder / "whole")

    def test_what_is_no_score_or_no_setting_is_refused(self, inspect_ai, tmp_path):
        """inspect_ai itself counts other words, lists and dictionaries as 0, and leaves unknown settings out."""
        folder, _ = made(self.HELPER, tmp_path)
        (folder / "bank.csv").write_text("model,sums/s0\nm,1\n")
        words = ["--history", "bank.csv", "--budget", "8", "--model", "row/new"]
        cases = [("judged.py@sums", '"banana"', "'banana' is no score"),
                 ("judged.py@sums", '{"a": 1}', "several scores"),
                 ("judged.py@sums", "7", "score 7"), ("task.py@sums -C foo=1", "1", "-C foo"),
                 ("task.py@sums -C limit=1", "1", "-C limit"),
                 ("task.py@sums --epochs 0", "1", "error: --inspect: argument --epochs: 0 is too small"),
                 ("task.py@sums -T size=9 -T size=8", "1", "size is given twice")]
        tried = [[{"LIVE_FOLDER": str(folder), "LIVE_SCORE": score},
                  ["evaluate", f"run{i}", *words, "--inspect", task]] for i, (task, score, _) in enumerate(cases)]
        tried.append([{"LIVE_FOLDER": str(folder), "LIVE_SCORE": '{"a": 1}'},
                      ["evaluate", "entry", *words, "--metric", "judged.a", "--inspect", "judged.py@sums"]])
        *refused, entry = steps(self.HELPER, folder, tried)
        for (code, _, err), (*_, said) in zip(refused, cases, strict=True):
            assert code == 2 and said in err.splitlines()[-1] and "Traceback" not in err, err
        assert entry[0] == 0 and set(answers(folder / "entry").values()) == {1.0}, entry

    def log_has_our_estimate(self, inspect_ai, run):
        from inspect_ai.log import read_eval_log

        [file] = (run / "inspect").glob("*.eval")
        log = read_eval_log(str(file))
        result = json.loads((run / "result.json").read_text())
        told = [metric.value for score in log.results.scores for metric in score.metrics.values()]
        assert any(value == pytest.approx(result["estimate"]) for value in told)
        assert all(f"{log.eval.task}/{sample.id}" in answers(run) for sample in log.samples)
