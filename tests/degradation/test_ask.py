"""The command ask: verdicts in words and JSON, margins from CSV and harness logs, and what it refuses."""

import json
from itertools import accumulate

import numpy as np
import pytest
from conftest import ROOT, run_script

from llm_accuracy.degradation.few_answers.replay import Plan, sizes
from llm_accuracy.scores.lm_eval_samples import margin_of

N = 900


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder with base.csv (margins), gentle.csv (thin margins flip), bad.csv, lacking.csv and lower.csv."""
    folder, rng = tmp_path_factory.mktemp("ask"), np.random.default_rng(0)
    margins = rng.normal(3, 4, N)
    candidates = {"base": margins, "gentle": margins + rng.normal(0, 0.05, N), "bad": margins - rng.gamma(2, 3, N)}
    for name, values in candidates.items():
        rows = [f"q{i},{int(value > 0)},t{i % 3},{value:.4f}" for i, value in enumerate(values)]
        (folder / f"{name}.csv").write_text("prompt_id,score,task,margin\n" + "\n".join(rows) + "\n")
    lines = (folder / "bad.csv").read_text().splitlines()
    (folder / "lacking.csv").write_text("\n".join(lines[:-90]) + "\n")
    (folder / "other.csv").write_text("prompt_id,score,task\nx1,1,t0\nx2,0,t0\n")
    (folder / "odd.csv").write_text("\n".join(lines).replace(",t0,", ",t0,thin", 1) + "\n")
    return folder


def ask(models, *arguments, code=0):
    return run_script(ROOT / "mcnemar_tests.py", "ask", models / "base.csv", *arguments, code=code)


def test_a_gentle_candidate_is_passed_from_few_answers(models):
    done = ask(models, "--replay", models / "gentle.csv", "--margin", "3pt", "--budget", "50%", "--json", "-",
               "--fail-on", "not-shown-safe")
    found = json.loads(done.stdout)
    assert found["verdict"] == "not degraded beyond the margin" and found["within_margin"]
    assert found["margins_known"] and found["asked"] < 450 and found["drop_upper"] <= 0.03 and found["p_safe"] <= 0.05
    assert found["ci_low"] <= found["drop_of_all_answers"] <= found["ci_high"]
    assert "NOT DEGRADED by 3 points or more" in done.stderr and "of this bank" not in done.stdout


def test_a_bad_candidate_is_stopped_early(models):
    done = ask(models, "--replay", models / "bad.csv", "--fail-on", "degraded", "--json", "-", code=1)
    found = json.loads(done.stdout)
    assert found["verdict"] == "degraded" and found["decided_after"] == found["asked"] < 225
    assert found["drop_lower"] >= 0 and found["p_worse"] <= 0.05


def test_too_few_questions_are_said_to_decide_nothing(models):
    done = ask(models, "--replay", models / "gentle.csv", "--budget", "60")
    assert "UNDECIDED" in done.stdout
    assert '60 questions are too few to say "not degraded" without a single flip' in " ".join(done.stdout.split())
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_the_same_seed_asks_the_same_and_another_does_not(models):
    runs = [json.loads(ask(models, "--replay", models / "bad.csv", "--seed", seed, "--json", "-").stdout)
            for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_missing_answers_count_as_wrong_and_are_said(models):
    done = ask(models, "--replay", models / "lacking.csv", "--budget", "100%", "--keep-going", "--json", "-")
    found = json.loads(done.stdout)
    assert found["missing_among_asked"] == 90 and found["drop_of_all_answers"] is None
    assert found["drop_lower"] == pytest.approx(found["drop"], abs=1e-6) == found["drop_upper"]
    assert "90 of the questions asked have no answer" in done.stderr


def test_scores_of_a_stated_range_are_taken_as_shares_of_it(tmp_path):
    for name, step in (("base", 1), ("cand", 2)):
        rows = "".join(f"q{i},{(i * step) % 7}\n" for i in range(50))
        (tmp_path / f"{name}.csv").write_text("prompt_id,score\n" + rows)
    words = ("ask", tmp_path / "base.csv", "--replay", tmp_path / "cand.csv", "--budget", "100%", "--keep-going")
    found = json.loads(run_script(ROOT / "mcnemar_tests.py", *words, "--range", 0, 6, "--json", "-").stdout)
    drop = np.mean([i % 7 - (2 * i) % 7 for i in range(50)]) / 6
    assert found["drop_of_all_answers"] == pytest.approx(drop) == found["drop"]
    assert "--range LOW HIGH" in run_script(ROOT / "mcnemar_tests.py", *words, code=2).stderr


def test_earlier_candidates_and_no_margins_are_told(models):
    done = ask(models, "--replay", models / "gentle.csv", "--earlier", models / "bad.csv", "--margin", "3pt")
    assert "curves from" in done.stdout
    done = ask(models, "--replay", models / "gentle.csv", "--no-margins", "--margin", "3pt")
    assert "margins not used" in done.stdout


@pytest.mark.parametrize(("arguments", "said"), [
    (("--replay", "base.csv"), "same content"),
    (("--replay", "other.csv"), "answers none of the 900 questions"),
    (("--replay", "bad.csv", "--budget", "0"), "ask 1 to 900"),
    (("--replay", "bad.csv", "--budget", "901"), "901 questions of 900"),
    (("--replay", "bad.csv", "--budget", "few"), "a share of the bank"),
    (("--replay", "bad.csv", "--uniform-share", "0"), "uniform share"),
    (("--replay", "bad.csv", "--alpha", "0.95"), "alpha"),
    (("--replay", "bad.csv", "--margin", "1%"), "of what?"),
    (("--replay", "bad.csv", "--margin", "60pt"), "half of the scale"),
    (("--replay", "odd.csv"), "is not a number"),
    (("--replay", "absent.csv"), "absent.csv"),
    (("--replay", "bad.csv", "--earlier", "bad.csv"), "same content as the candidate"),
])
def test_bad_input_is_one_line(models, arguments, said):
    words = [models / word if str(word).endswith(".csv") else word for word in arguments]
    done = ask(models, *words, code=2)
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_margins_of_harness_records():
    record = {"resps": [[["-3.5", "False"]], [["-5.0", "False"]], [["-4.0", "False"]]], "target": "0"}
    assert margin_of(record) == pytest.approx(0.5)
    assert margin_of(record | {"target": 1}) == pytest.approx(-1.5)
    assert margin_of(record | {"target": [1, 2]}) == pytest.approx(-0.5)
    for odd in ({"target": "7"}, {"target": "A"}, {"resps": [["text"]]}, {"resps": []}):
        assert np.isnan(margin_of(record | odd))


@pytest.mark.shared
def test_margins_of_a_real_harness_log(shared, tmp_path):
    logs = shared / "data" / "lm_eval_logs"
    done = run_script(ROOT / "mcnemar_tests.py", "ask", logs / "smollm2_float32", "--replay", logs / "smollm2_4bit",
                      "--margin", "10pt", "--json", "-")
    found = json.loads(done.stdout)
    assert found["margins_known"] and found["of"] == 480


def test_plan_few_puts_the_designs_side_by_side(models):
    done = run_script(ROOT / "mcnemar_tests.py", "plan", "--few", models / "base.csv", "--few-flips", "0.02",
                      "--margin", "3pt", "--json", "-", "--plot", models / "few.svg", "--overwrite")
    found = json.loads(done.stdout)["designs"][0]
    assert (models / "few.svg").read_bytes().startswith(b"<?xml") and "a threshold on" in done.stderr
    assert found["threshold"]["passes"] > 0.8 and 0.3 < found["threshold"]["passes_at_margin"] < 0.7
    assert set(found["questions"]) == {"simple random, one look", "simple random, stop when decided",
                                       "chosen by margins, stop when decided"}
    assert found["questions"][found["best"]] == min(found["questions"].values()) < 450
    planned = int(found["questions"]["chosen by margins, stop when decided"])
    ends = list(accumulate(sizes(Plan(N, True, 0.03), N)))
    assert planned in ends and f"ask takes so many at most with --budget {planned} (" in done.stderr  # ask's own rounds
    assert max(map(len, done.stderr.splitlines())) <= 80
    done = run_script(ROOT / "mcnemar_tests.py", "plan", "--few", models / "base.csv", "--few-flips", "0.02",
                      "--margin", "3pt", "--about", "questions", "--json", "-")
    of_new = json.loads(done.stdout)["designs"][0]
    # A sample of a bank that leaves less to chance the larger its part is takes fewer.
    assert of_new["about"] == "questions" and of_new["questions"].keys() == found["questions"].keys()
    assert all(of_new["questions"][name] > count for name, count in found["questions"].items())
    assert of_new["best"] == "simple random, one look" and "draw it with plan --write-samples" in " ".join(
        done.stderr.split())
    for arguments, said in ((("--n", "5"), "leave --n away"), (("--drop", ".03"), "never"),
                            (("--margin", "recovery=99%"), "baseline")):
        bad = run_script(ROOT / "mcnemar_tests.py", "plan", "--few", models / "base.csv", *(
            ("--margin", "3pt") if "--margin" not in arguments else ()), *arguments, code=2)
        assert said in bad.stderr and len(bad.stderr.strip().splitlines()) == 1
