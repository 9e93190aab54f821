"""`evaluate --baseline` and `ask --run` by files and by a program: asked, decided, resumed, audited, refused."""

import csv
import json
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from test_evaluate import GRADER

from llm_accuracy.errors import InputError
from llm_accuracy.live import ask, command, paired_figures, paired_report

N = 600


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """base.csv with margins, and answers of gentle (thin margins flip) and bad, with a program that gives them."""
    folder, rng = tmp_path_factory.mktemp("comparison"), np.random.default_rng(0)
    margins = rng.normal(3, 4, N)
    names = [f"t{i % 3}/q{i}" for i in range(N)]
    rows = [f"q{i},{int(value > 0)},t{i % 3},{value:.4f}" for i, value in enumerate(margins)]
    (folder / "base.csv").write_text("prompt_id,score,task,margin\n" + "\n".join(rows) + "\n")
    (folder / "plain.csv").write_text("prompt_id,score\n" + "".join(
        f"q{i},{int(value > 0)}\n" for i, value in enumerate(margins)))
    for name, values in (("gentle", margins + rng.normal(0, 0.1, N)), ("bad", margins - rng.gamma(2, 3, N))):
        right = (values > 0).astype(int).tolist()
        (folder / f"{name}.json").write_text(json.dumps(dict(zip(names, right, strict=True))))
        (folder / f"{name}.py").write_text(GRADER.format(answers=str(folder / f"{name}.json")))
    return folder


def program(models, name):
    return "--command", f"{sys.executable} {models / name}.py"


def begin(models, run, *words, base="base.csv"):
    return command.main([str(run), "--baseline", str(models / base), "--margin", "3pt", "--budget", "60%", *words])


def found(run):
    return json.loads((run / "result.json").read_text())


def records(run, kind):
    return [r for r in map(json.loads, (run / "queries.jsonl").read_text().splitlines()) if r["kind"] == kind]


def asked(run):
    return [name for record in records(run, "ask") for name in record["questions"]]


@pytest.fixture(scope="module")
def gentle(models):
    """A comparison that has ended, with the files it wrote."""
    run = models / "gentle"
    code = begin(models, run, *program(models, "gentle"), "--model", "us/gentle", "--fail-on", "not-shown-safe",
                 "--json", str(models / "g.json"), "--junit", str(models / "g.xml"), "--markdown", str(models / "g.md"))
    return run, code


def test_a_gentle_candidate_passes_and_every_file_says_so(models, gentle):
    run, code = gentle
    result = found(run)
    assert code == 0 and result["verdict"] == "not degraded beyond the margin"
    assert result["asked"] < 360 and result["ended"] == "the verdict is decided" and result["margins_known"]
    assert json.loads((models / "g.json").read_text())["verdict"] == result["verdict"]
    suite = ElementTree.fromstring((models / "g.xml").read_text())[0]
    assert suite.get("tests") == "1" and suite.get("failures") == "0"
    first, *rest = suite[0].find("system-out").text.splitlines()[1:]
    assert "NOT DEGRADED" in first and max(map(len, rest)) <= 80
    assert "NOT DEGRADED by 3 points" in (models / "g.md").read_text()
    page = (run / "report.html").read_text()
    for part in ("NOT DEGRADED", "Where flips were looked for and found", "How the drop became known", "By task",
                 "us/gentle against", f"{result['asked']:,} of at most 360 questions answered"):
        assert part in page, part
    assert page.count("<svg") == 4 and "<script" not in page
    assert sum(part["asked"] for part in result["where"]) == result["asked"]
    assert result["where"][0]["asked"] > 2 * result["where"][-1]["asked"]  # thin margins are asked more


def test_the_same_by_ask_by_files_and_by_replay(models, gentle):
    """The questions follow from baseline, plan and answers; how they are asked does not matter."""
    run, _ = gentle
    other = models / "by_ask"
    assert ask.main(["ask", str(models / "base.csv"), "--run", str(other), "--margin", "3pt", "--budget", "60%",
                     "--model", "us/gentle", *program(models, "gentle")]) == 0
    assert asked(other) == asked(run) and found(other)["p_safe"] == found(run)["p_safe"]
    by_files, known = models / "by_files", json.loads((models / "gentle.json").read_text())
    begin(models, by_files, "--files", "--model", "us/gentle", "--budget", "40")
    text, turns = "question,score\n", 0
    while (by_files / "ask.csv").exists():
        assert not found(by_files)["ended"]
        with (by_files / "ask.csv").open() as stream:
            text += "".join(f"{row['question']},{known[row['question']]}\n" for row in csv.DictReader(stream))
        (by_files / "answers.csv").write_text(text)
        assert command.main([str(by_files), "--resume"]) == 0
        turns += 1
    assert turns > 2 and asked(by_files)[:30] == asked(run)[:30] and len(asked(by_files)) == 40
    candidate = "".join(f"{name.partition('/')[2]},{score},{name.partition('/')[0]}\n" for name, score in known.items())
    (models / "gentle.csv").write_text("prompt_id,score,task\n" + candidate)
    ask.main(["ask", str(models / "base.csv"), "--replay", str(models / "gentle.csv"), "--margin", "3pt", "--budget",
              "60%", "--json", str(models / "replay.json")])
    replayed = json.loads((models / "replay.json").read_text())
    assert {name: found(run)[name] for name in ("asked", "drop", "ci_low", "ci_high", "p_safe", "lost", "gained")} == {
        name: replayed[name] for name in ("asked", "drop", "ci_low", "ci_high", "p_safe", "lost", "gained")}


def test_an_end_without_a_verdict_says_what_to_do(models, capsys):
    run = models / "short"
    assert begin(models, run, *program(models, "gentle"), "--budget", "40", "--fail-on", "not-shown-safe") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "note: it ended undecided (the largest budget is used up): another run with a larger --budget" in said
    assert "it ended undecided" in " ".join(found(run)["notes"]) and "It ended undecided" in (
        run / "report.html").read_text()


def test_the_figure_of_tasks_has_gains_as_well_as_losses():
    """Of many tasks the most flipped are drawn, whichever way, in whole flips; the others are in the table."""
    found = {f"none{i}": {"asked": 9, "of": 40, "lost": 0, "gained": 0} for i in range(50)}
    found |= {f"gain{i}": {"asked": 9, "of": 40, "lost": 0, "gained": 2} for i in range(8)}
    found |= {f"loss{i}": {"asked": 9, "of": 40, "lost": 1, "gained": 0} for i in range(40)}
    shown = paired_figures.most_flips(found)
    assert len(shown) == 40 and sum(name.startswith("gain") for name in shown) == 8 and "none0" not in shown
    axes = paired_figures.tasks(shown).axes[0]
    ticks = [axes.xaxis.get_major_formatter()(tick, 0) for tick in axes.get_xticks()]
    assert all(tick.isdigit() for tick in ticks)


def test_a_bad_candidate_is_stopped_and_fails_the_gate(models, capsys):
    run = models / "bad"
    assert begin(models, run, *program(models, "bad"), "--fail-on", "degraded") == 1
    assert "DEGRADED" in capsys.readouterr().out and found(run)["asked"] < 200
    assert command.main([str(run), "--resume", "--fail-on", "degraded"]) == 1  # ended: nothing more is asked
    assert command.main([str(run), "--report"]) == 0
    assert command.main([str(run), "--audit"]) == 0


@pytest.mark.parametrize("higher, expected", [(True, (0.6, 0.55, 0.7)), (False, (0.4, 0.3, 0.45))])
def test_the_accuracy_is_on_the_scale_of_the_metric(higher, expected):
    """Where lower is better, scores are turned round before they are compared; the accuracy is turned back."""
    found = {"baseline_mean": 0.7, "drop": 0.1, "bank_low": 0.0, "bank_high": 0.15}
    assert tuple(paired_report.accuracy_of(found, higher).values()) == pytest.approx(expected)
    assert set(paired_report.accuracy_of(found | {"drop": None}, higher).values()) == {None}


def test_killed_and_resumed_asks_the_same(models, gentle):
    run = models / "killed"
    good = (models / "gentle.py").read_text()
    (models / "dies.py").write_text(good.replace("for line in sys.stdin:", "for n, line in enumerate(sys.stdin):\n"
                                                 "    if n == 20: sys.exit(3)"))
    with pytest.raises(InputError, match="exit code 3"):
        begin(models, run, *program(models, "dies"), "--model", "us/gentle")
    assert len(records(run, "answer")) == 20 and found(run)["drop"] is not None
    (models / "dies.py").write_text(good)
    assert ask.main(["ask", str(models / "base.csv"), "--run", str(run), "--margin", "3pt", "--budget", "60%",
                     "--resume", *program(models, "dies")]) == 0
    assert asked(run) == asked(gentle[0]) and found(run)["drop"] == found(gentle[0])["drop"]


def test_without_margins_and_without_tasks(models, capsys):
    run = models / "plain"
    known = {name.partition("/")[2]: score for name, score in json.loads((models / "gentle.json").read_text()).items()}
    (models / "short.json").write_text(json.dumps(known))
    (models / "short.py").write_text(GRADER.format(answers=str(models / "short.json")))
    history = ["model," + ",".join(known), *(f"m{i}," + ",".join(str((j + i) % 2) for j in range(N)) for i in range(3))]
    with (models / "plain.csv").open() as stream:
        base = {row["prompt_id"]: row["score"] for row in csv.DictReader(stream)}
    history += ["us/new," + ",".join(str(score) for score in known.values())]
    history.append("itself," + ",".join(base[name] for name in known))
    (models / "M1.csv").write_text("\n".join(history) + "\n")
    begin(models, run, *program(models, "short"), "--keep-going", "--model", "us/new", "--history",
          str(models / "M1.csv"), base="plain.csv")
    result = found(run)
    assert result["asked"] == 360 and not result["margins_known"] and result["tasks"] == {}
    assert any("itself answered as the baseline throughout" in note for note in result["notes"])
    assert any("us/new is the candidate" in note for note in result["notes"])
    assert any("3 models say how easy" in note for note in result["notes"])
    assert command.main([str(run), "--audit"]) == 0


@pytest.mark.parametrize("file", ["queries.jsonl", "baseline.npz", "questions.csv", "manifest.json", "result.json"])
def test_audit_finds_what_was_changed(models, gentle, file, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("queries.jsonl", "baseline.npz", "questions.csv", "manifest.json", "result.json"):
        (run / name).write_bytes((gentle[0] / name).read_bytes())
    assert command.main([str(run), "--audit"]) == 0
    path = run / file
    if file == "baseline.npz":
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays["scores"] = 1 - arrays["scores"]
        np.savez(path, **arrays)
    else:
        pairs = {"queries.jsonl": ('"score": 1', '"score": 0'), "questions.csv": ("t0/q0", "t0/zero"),
                 "manifest.json": ('"seed": 0', '"seed": 1'), "result.json": ('"lost": ', '"lost": 9')}
        old, new = pairs[file]
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(file)):
        command.main([str(run), "--audit"])


def test_export_is_the_candidate_s_accuracy(gentle, capsys):
    run, _ = gentle
    command.main([str(run), "--export", "eee", "--organization", "us", "--relationship", "first_party"])
    [path] = (run / "eee").rglob("*.json")
    assert str(path) in capsys.readouterr().out
    score = json.loads(path.read_text())["evaluation_results"][0]["score_details"]
    result = found(run)
    assert score["score"] == pytest.approx(result["baseline_mean"] - result["drop"])
    interval = score["uncertainty"]["confidence_interval"]
    assert interval["lower"] == pytest.approx(result["baseline_mean"] - result["ci_high"])
    assert score["details"]["verdict"] == result["verdict"]


@pytest.mark.parametrize(("words", "said"), [
    (["--half-width", "1pt"], "--half-width has no place"), (["--margin", "60pt"], "half of the scale"),
    (["--margin", "1%"], "of what"), (["--uniform-share", "0"], "uniform share"),
    (["--budget", "601"], "601 questions"),
    (["--alpha", "0.95"], "alpha"), (["--no-margins", "--need-margins"], "one or the other"),
    (["--tasks", "t9"], "t9"), (["--earlier", "nowhere.csv"], "nowhere.csv"), (["--junit", "nowhere/x.xml"], "nowhere"),
])
def test_bad_words_begin_nothing(models, words, said, tmp_path):
    with pytest.raises(InputError, match=said):
        begin(models, tmp_path / "run", "--files", *words)
    assert not (tmp_path / "run").exists()


def test_other_bad_input(models, gentle, tmp_path):
    run = str(tmp_path / "run")
    for words, said in (
        ([run, "--baseline", str(models / "plain.csv"), "--need-margins", "--files"], "no log-likelihoods"),
        ([run, "--baseline", str(models / "absent.csv"), "--files"], "absent.csv"),
        ([run, "--history", "none", "--budget", "5", "--files", "--fail-on", "degraded"], "--fail-on is for"),
        ([str(gentle[0]), "--baseline", str(models / "base.csv"), "--files"], "holds an evaluation"),
        ([str(gentle[0]), "--resume", "--margin", "1pt"], "fixed when the run began"),
        ([str(gentle[0]), "--resume", "--baseline", "other.csv"], "leave --baseline away"),
        ([run, "--baseline", str(models / "base.csv"), "--files", "--earlier", str(models / "base.csv")],
         "same content as the baseline"),
    ):
        with pytest.raises(InputError, match=said):
            command.main(words)
    for words, said in (
        (["--run", run], "how is the candidate asked"), (["--files"], "--run RUN names"),
        (["--run", run, "--files", "--replay", "x.csv"], "one or the other"), ([], "--replay names"),
        (["--replay", "x.csv", "--junit", "j.xml"], "--junit goes with --run"),
        (["--run", str(gentle[0]), "--resume", "--margin", "2pt", "--files"], "began with --margin 3pt, not 2pt"),
        (["--run", str(gentle[0]), "--resume", "--files", "--overwrite", "--json", str(gentle[0] / "result.json")],
         "is what is read"),
    ):
        with pytest.raises(InputError, match=said):
            ask.main(["ask", str(models / "base.csv"), *words])


def test_answers_that_nobody_asked_for_and_a_baseline_that_changed(models, tmp_path):
    run = tmp_path / "run"
    base = tmp_path / "base.csv"
    base.write_text((models / "base.csv").read_text())
    command.main([str(run), "--baseline", str(base), "--files", "--budget", "20%"])
    before = (run / "queries.jsonl").read_bytes()
    unasked = next(f"t{i % 3}/q{i}" for i in range(N) if f"t{i % 3}/q{i}" not in asked(run))
    (run / "answers.csv").write_text(f"question,score\n{unasked},1\n")
    with pytest.raises(InputError, match="which has not been asked"):
        command.main([str(run), "--resume"])
    assert (run / "queries.jsonl").read_bytes() == before
    (run / "answers.csv").unlink()
    base.write_text(base.read_text().replace("q0,1", "q0,0", 1).replace("q0,0", "q0,1.0", 1) + "\n")
    with pytest.raises(InputError, match=r"baseline is not what the run began with.*base\.csv changed"):
        command.main([str(run), "--resume"])
    assert command.main([str(run), "--resume", "--as-begun"]) == 0


def test_a_claim_about_new_questions_is_kept_to_and_audited(models, gentle, capsys):
    """Said everywhere; resume and ask refuse another claim; the audit finds one that was changed."""
    run = models / "new"
    words = [str(models / "base.csv"), "--run", str(run), "--margin", "5pt", "--budget", "40%", "--model", "us/new"]
    code = ask.main(["ask", *words, "--about", "questions", "--fail-on", "not-shown-safe", *program(models, "gentle"),
                     "--json", str(models / "new.json"), "--markdown", str(models / "new.md")])
    result = found(run)
    assert result["claim"] == "new questions like these" and code == (not result["within_margin"])
    assert result["ci_low"] < result["bank_low"] and result["bank_high"] < result["ci_high"]
    assert json.loads((run / "manifest.json").read_text())["plan"]["about"] == "questions"
    for text in (capsys.readouterr().out, (models / "new.md").read_text(), (run / "report.html").read_text()):
        assert "new questions like these" in text
    assert "this bank with these answers" in (gentle[0] / "report.html").read_text()
    assert found(gentle[0])["claim"] == "this bank with these answers"
    assert "begin with --about questions" in " ".join((models / "g.md").read_text().split())
    assert command.main([str(run), "--audit"]) == 0
    with pytest.raises(InputError, match="--about: fixed when the run began"):
        command.main([str(run), "--resume", "--about", "bank"])
    with pytest.raises(InputError, match="began with --about questions, not bank"):
        ask.main(["ask", *words, "--resume", *program(models, "gentle")])
    for name, old, new, said in (("result.json", "new questions like these", "this bank", "claim is 'this bank'"),
                                 ("manifest.json", '"about": "questions"', '"about": "bank"', "manifest.json")):
        path = run / name
        path.write_text(path.read_text().replace(old, new))
        with pytest.raises(InputError, match=said):
            command.main([str(run), "--audit"])


def test_what_cannot_be_said_of_new_questions_is_refused(models, tmp_path):
    rows = (models / "plain.csv").read_text().splitlines()
    (tmp_path / "tied.csv").write_text("\n".join([rows[0] + ",cluster", *(
        f"{row},passage {i // 3}" for i, row in enumerate(rows[1:]))]) + "\n")
    for base, words, said in ((tmp_path / "tied.csv", [], "600 questions share their clusters"),
                              (models / "plain.csv", ["--margin", "recovery=99%"], "baseline's score is not known")):
        for head, call in (([str(tmp_path / "run"), "--baseline", str(base)], command.main),
                           (["ask", str(base), "--replay", str(base)], ask.main)):
            more = ["--files"] if call is command.main else ["--allow-same"]
            with pytest.raises(InputError, match=said):
                call([*head, "--about", "questions", *words, *more])
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="--about is for"):
        command.main([str(tmp_path / "run"), "--history", "none", "--budget", "5", "--files", "--about", "questions"])
