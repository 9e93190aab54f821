"""`evaluate` by files and by a command: what is asked, resumed, audited, refused."""

import csv
import json
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from browsing import chromium, text_of

from llm_accuracy.errors import InputError
from llm_accuracy.live import command
from llm_accuracy.live.drivers.driver import limits_of
from llm_accuracy.live.history import History, other_limits

N = 120
GRADER = """import json, sys
known = json.load(open({answers!r}))
for line in sys.stdin:
    name = json.loads(line)["question"]
    print(json.dumps({{"question": name, "score": known[name]}}), flush=True)
"""


@pytest.fixture
def board(tmp_path):
    """A history of three models (its factors are stated, not fitted), a new model's answers and a program that gives
    them."""
    rng = np.random.default_rng(3)
    names = [f"{'ab'[i % 2]}/{i}" for i in range(N)]
    scores = (rng.random((4, N)) < rng.uniform(0.1, 0.9, N)).astype(int)
    rows = [f"model{i}," + ",".join(map(str, row)) for i, row in enumerate(scores[:3])]
    (tmp_path / "M1.csv").write_text("\n".join(["model," + ",".join(names), *rows]) + "\n")
    (tmp_path / "answers.json").write_text(json.dumps(dict(zip(names, scores[3].tolist(), strict=True))))
    (tmp_path / "grade.py").write_text(GRADER.format(answers=str(tmp_path / "answers.json")))
    return tmp_path


def begin(board, *more, run="run"):
    return command.main([str(board / run), "--history", str(board / "M1.csv"), *more])


def grader(board):
    return "--command", f"{sys.executable} {board / 'grade.py'}"


def records(run, kind):
    return [r for r in map(json.loads, (run / "queries.jsonl").read_text().splitlines()) if r["kind"] == kind]


def asked(run):
    return [name for record in records(run, "ask") for name in record["questions"]]


def by_hand(board, run):
    """Answer what ask.csv lists until it lists nothing."""
    known, path = json.loads((board / "answers.json").read_text()), board / run / "answers.csv"
    turns = 0
    while (board / run / "ask.csv").exists():
        with (board / run / "ask.csv").open() as stream:
            names = [row["question"] for row in csv.DictReader(stream)]
        before = path.read_text() if path.exists() else "question,score\n"
        path.write_text(before + "".join(f"{name},{known[name]}\n" for name in names))
        assert command.main([str(board / run), "--resume"]) == 0
        turns += 1
    return turns


def test_files_and_command_ask_the_same(board):
    begin(board, "--budget", "40", "--model", "new", "--files", run="by_files")
    assert by_hand(board, "by_files") > 1
    begin(board, "--budget", "40", "--model", "new", *grader(board), run="by_command")
    assert asked(board / "by_files") == asked(board / "by_command")
    one, other = (json.loads((board / run / "result.json").read_text()) for run in ("by_files", "by_command"))
    assert one["estimate"] == other["estimate"] and one["asked"] == 40
    assert f"{100 * one['estimate']:.1f}" in (board / "by_command" / "report.html").read_text()


def test_the_whole_bank_is_the_truth(board):
    begin(board, "--budget", str(N), *grader(board))
    known = json.loads((board / "answers.json").read_text())
    assert json.loads((board / "run" / "result.json").read_text())["estimate"] == pytest.approx(
        np.mean(list(known.values())))


def test_without_history(board):
    names = json.loads((board / "answers.json").read_text())
    (board / "bank.csv").write_text("question\n" + "\n".join(names) + "\n")
    command.main([str(board / "run"), "--history", "none", "--questions", str(board / "bank.csv"), "--budget", "40",
                  *grader(board)])
    result = json.loads((board / "run" / "result.json").read_text())
    assert result["asked"] == 40 and any("no history" in note for note in result["notes"])


@pytest.mark.parametrize("how, holds", [((), "after every round at once"), (("--exact",), "betting")])
def test_watched(board, how, holds):
    begin(board, "--half-width", "20pt", *how, *grader(board))
    result = json.loads((board / "run" / "result.json").read_text())
    assert (result["half_width"] <= 0.2 or result["asked"] == N) and holds in result["interval"]
    looks = records(board / "run", "look")
    assert all((look["high"] - look["low"]) / 2 > 0.2 for look in looks[:-1])
    assert command.main([str(board / "run"), "--audit"]) == 0


def test_before_the_first_look_nothing_is_claimed(board):
    """After 8 questions the interval of a watched run is what the other 112 leave open."""
    begin(board, "--half-width", "20pt", *grader(board))
    first, second = records(board / "run", "look")[:2]
    assert first["high"] - first["low"] == pytest.approx(1 - 8 / N) and second["high"] - second["low"] < 1 - 20 / N


@pytest.mark.parametrize("file", ["queries.jsonl", "factors.npz", "questions.csv", "manifest.json", "result.json"])
def test_audit_finds_what_was_changed(board, file):
    begin(board, "--budget", "40", *grader(board))
    assert command.main([str(board / "run"), "--audit"]) == 0
    path = board / "run" / file
    if file == "factors.npz":
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays["V"] = (arrays["V"] * 1.001).astype(arrays["V"].dtype)
        np.savez(path, **arrays)
    else:
        pairs = {"queries.jsonl": ('"score": 1', '"score": 0'), "questions.csv": ("a/0", "a/zero"),
                 "manifest.json": ('"seed": 0', '"seed": 1'), "result.json": ('"estimate": 0.', '"estimate": 1.')}
        old, new = pairs[file]
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=file.replace(".", r"\.")):
        command.main([str(board / "run"), "--audit"])


def test_changed_history_is_refused_unless_as_begun(board):
    begin(board, "--budget", "40", "--files")
    path = board / "M1.csv"
    path.write_text(path.read_text().replace(",1,", ",0,", 1))
    with pytest.raises(InputError, match=r"M1\.csv changed"):
        command.main([str(board / "run"), "--resume"])
    assert command.main([str(board / "run"), "--resume", "--as-begun"]) == 0


def test_locked(board):
    from llm_accuracy.live.run_folder import RunFolder

    begin(board, "--budget", "40", "--files")
    held = RunFolder(board / "run")
    held.lock()
    try:
        with pytest.raises(InputError, match=r"another process|in use"):
            command.main([str(board / "run"), "--resume"])
    finally:
        held.release()
    assert command.main([str(board / "run"), "--resume"]) == 0


@pytest.mark.parametrize(("rows", "said"), [
    ("{first},1.5\n", "1.5"), ("{first},yes\n", "yes"), ("nobody/7,1\n", "nobody/7"), ("{first},1,2\n", "line 2"),
])
def test_bad_answers_leave_the_run_intact(board, rows, said):
    begin(board, "--budget", "40", "--files")
    log = (board / "run" / "queries.jsonl").read_bytes()
    (board / "run" / "answers.csv").write_text("question,score\n" + rows.format(first=asked(board / "run")[0]))
    with pytest.raises(InputError, match=said):
        command.main([str(board / "run"), "--resume"])
    assert (board / "run" / "queries.jsonl").read_bytes() == log
    (board / "run" / "answers.csv").unlink()
    by_hand(board, "run")
    assert command.main([str(board / "run"), "--audit"]) == 0


@pytest.mark.parametrize("program", ["false", "echo nonsense", "exec cat", "true && no-such-program"])
def test_a_program_that_fails_is_one_line(board, program, capfd):
    with pytest.raises(InputError) as caught:
        begin(board, "--budget", "40", "--command", program)
    assert "\n" not in str(caught.value)
    assert (board / "run" / "manifest.json").exists()


def test_keys_are_kept_nowhere(board):
    with pytest.raises(InputError) as caught:
        begin(board, "--budget", "40", "--command", "false --api-key sk-0123456789abcdef")
    assert "sk-0123456789abcdef" not in str(caught.value)
    for path in (board / "run").iterdir():
        assert b"sk-0123456789abcdef" not in path.read_bytes()


@pytest.mark.parametrize(("words", "said"), [
    (["--budget", "0", "--files"], "budget"), (["--budget", "40", "--alpha", "5", "--files"], "alpha"),
    (["--budget", "40"], "how is the model asked"),
    (["--budget", "40", "--half-width", "1pt", "--files"], "half-width"),
    (["--files"], "budget"),
])
def test_bad_words_begin_nothing(board, words, said):
    with pytest.raises(InputError, match=said):
        begin(board, *words)
    assert not (board / "run").exists()


# --- what comes out --------------------------------------------------------------------------------------

def test_the_report_as_a_browser_shows_it(board):
    render = chromium()
    costs = "".join(f"{name},{1 + i % 5}\n" for i, name in enumerate(json.loads((board / "answers.json").read_text())))
    (board / "costs.csv").write_text("question,cost\n" + costs)
    begin(board, "--budget", "40", "--model", "<b>new</b>", "--cost", str(board / "costs.csv"), *grader(board))
    document, shot = render(board / "run" / "report.html", board)
    shown, result = text_of(document), json.loads((board / "run" / "result.json").read_text())
    for part in ("<b>new</b>", f"{100 * result['estimate']:.1f} % ± {100 * result['half_width']:.1f}",
                 "40 of 40 questions asked; the bank has 120", "Accuracy on the 120 questions of a, b",
                 "Ended: the budget is used up",
                 "Estimate against questions asked", "Sub-scores by task", "Which questions were asked",
                 "Did the history serve?", "What it cost", "What more questions would give", "To cite and to audit",
                 f"spent {result['cost']['asked']:,.4g} of 360 for the whole bank"):
        assert part in shown, part
    assert document.count("<svg") == document.count('<svg role="img" aria-label="') == 4
    assert "<b>new" not in document and shot.stat().st_size > 10_000
    urls = set(re.findall(r"https?://[^\s\"'<>]+", document))
    assert all(url.startswith("http://www.w3.org/") for url in urls)  # names of XML dialects, never loaded
    assert command.main([str(board / "run"), "--audit"]) == 0


def test_names_that_look_like_markup(board):
    """Of tasks, questions and models: text in the page and its figures, and themselves in result.json."""
    tasks = ["<script>x()</script>$\\frac$", "b&b --> '"]
    known = json.loads((board / "answers.json").read_text())
    named = {name: tasks["ab".index(name[0])] + name[1:] for name in known}
    header, *rows = (board / "M1.csv").read_text().splitlines()
    header = ",".join(named.get(name, name) for name in header.split(","))
    (board / "M1.csv").write_text("\n".join([header, *rows]) + "\n")
    (board / "answers.json").write_text(json.dumps({named[name]: score for name, score in known.items()}))
    begin(board, "--budget", "40", "--model", "</title><script>y()</script>", *grader(board))
    document = (board / "run" / "report.html").read_text()
    result = json.loads((board / "run" / "result.json").read_text())
    assert "<script" not in document and "&lt;script&gt;x()&lt;/script&gt;$\\frac$" in document
    assert sorted(result["sub_scores"]) == sorted(tasks) and result["model"] == "</title><script>y()</script>"
    for figure in re.findall(r"<svg.*?</svg>", document, re.DOTALL):
        ElementTree.fromstring(figure)
    assert command.main([str(board / "run"), "--audit"]) == 0


def test_costs_are_counted(board):
    """Dear questions are asked less often, and what was spent is said beside what random questions would cost."""
    names = list(json.loads((board / "answers.json").read_text()))
    (board / "costs.csv").write_text("question,cost\n" + "".join(f"{n},{100 if i < N // 2 else 1}\n" for i, n in
                                                                enumerate(names)))
    begin(board, "--budget", "40", "--cost", str(board / "costs.csv"), *grader(board))
    dear = sum(names.index(name) < N // 2 for name in asked(board / "run"))
    assert dear < 14
    cost = json.loads((board / "run" / "result.json").read_text())["cost"]
    assert cost["asked"] == 100 * dear + 40 - dear and cost["bank"] == 101 * N / 2
    assert cost["random"] == pytest.approx(cost["asked"] / 50.5)
    assert cost["each_of_bank"] == 50.5 and cost["gain"] > 0
    with pytest.raises(InputError, match="--cost does not go with --exact"):
        begin(board, "--half-width", "10pt", "--exact", "--cost", str(board / "costs.csv"), *grader(board), run="other")


def test_export_is_read_back(board, capsys):
    begin(board, "--budget", "40", "--model", "us/new", *grader(board))
    run = str(board / "run")
    with pytest.raises(InputError, match="--organization"):
        command.main([run, "--export", "eee"])
    for _ in range(2):
        capsys.readouterr()
        command.main([run, "--export", "eee", "--organization", "us", "--relationship", "first_party"])
    [path] = (board / "run" / "eee").rglob("*.json")
    assert str(path) in capsys.readouterr().out and path.parent.parts[-4:] == ("data", "a+b", "us", "new")
    record, result = json.loads(path.read_text()), json.loads((board / "run" / "result.json").read_text())
    score = record["evaluation_results"][0]["score_details"]
    assert score["score"] == result["estimate"] and score["uncertainty"]["num_samples"] == 40
    assert score["uncertainty"]["confidence_interval"]["lower"] == result["low"]


def test_forecast_asks_nothing(board, capsys):
    history = ["--history", str(board / "M1.csv")]
    command.main(["--forecast", *history, "--budget", "40", "--half-width", "5pt"])
    shown = capsys.readouterr().out
    assert "With these 3 models, 40 questions give" in shown and "By --half-width 5pt" in shown
    for words, said in ((["run", "--forecast", *history], "leave run away"), (["--forecast"], "--history"),
                        (["--forecast", "--history", "none"], "--questions")):
        with pytest.raises(InputError, match=said):
            command.main(words)


@pytest.mark.parametrize("given", ["temperature=0,max_gen_toks=32", '{"max_gen_toks": 32, "temperature": 0}',
                                   {"temperature": 0, "max_gen_toks": 32}])
def test_limits_are_compared_in_one_form(given):
    assert limits_of(given) == "max_gen_toks 32, temperature 0" and limits_of(None) == limits_of("{}") == ""
    history = History("logs", limits={"a": "", "b": limits_of(given)})
    assert other_limits(history, None) == [] and other_limits(History("a matrix"), "") == []
    assert other_limits(history, limits_of(given))[0].startswith("1 of 2 models of the history generated their "
                                                                 "answers with the task's own limits, this one")


def test_a_number_whose_interval_is_cut_off_names_its_ends():
    """θ̂ ± half of the width is no interval near 0 and 1: 100 ± 7 says 93 where it reaches down to 86."""
    from llm_accuracy.live.results import line_of

    assert line_of({"estimate": 0.613, "low": 0.590, "high": 0.637, "half_width": 0.0235}) == "accuracy 61.3 % ± 2.4"
    cut = {"estimate": 1.0, "low": 0.862, "high": 1.0, "half_width": 0.069}
    assert line_of(cut) == "accuracy 100.0 %, 86.2 to 100.0"


def test_all_right_so_far_is_not_all_right(board, capsys):
    """40 of 120 right, without a history: what the rule of three leaves possible, on the line, and no word of a history
    that is not there."""
    names = json.loads((board / "answers.json").read_text())
    (board / "answers.json").write_text(json.dumps(dict.fromkeys(names, 1)))
    (board / "bank.csv").write_text("question\n" + "\n".join(names) + "\n")
    command.main([str(board / "run"), "--history", "none", "--questions", str(board / "bank.csv"), "--budget", "40",
                  *grader(board)])
    result = json.loads((board / "run" / "result.json").read_text())
    assert 1 - 3 * (1 - 40 / 120) / 40 == pytest.approx(result["low"], abs=0.015) and result["high"] == 1
    assert result["history"]["gain"] is None and not result["history"]["sentence"]
    assert f" %, {100 * result['low']:.1f} to 100.0 (95 % interval" in capsys.readouterr().out


def test_few_questions_rest_on_the_history(board):
    for budget, said in (("12", True), ("20", False)):
        begin(board, "--budget", budget, *grader(board), run=budget)
        notes = json.loads((board / budget / "result.json").read_text())["notes"]
        assert any("fewer than 20 questions" in note for note in notes) == said


def test_sub_scores_of_a_half_width_hold_at_every_look(board):
    """They share its looks: wider than at a budget of as many, and before the first look nothing is claimed."""
    from llm_accuracy.live.evaluate import reopen
    from llm_accuracy.live.results import sub_scores
    from llm_accuracy.live.run_folder import RunFolder

    begin(board, "--half-width", "13pt", *grader(board), run="watched")
    asking = reopen(RunFolder(board / "watched")).asking
    shared, alone = sub_scores(asking), asking.session.sub_scores(asking.plan.alpha)
    assert set(shared) == {"a", "b"} and 0 < asking.plan.level(N, asking.complete_rounds) < asking.plan.alpha
    for task, one in shared.items():
        assert one["high"] - one["low"] > alone[task].high - alone[task].low
    nothing = asking.claiming_nothing(alone["a"], "a")
    right = sum(z for name, z in asking.answers.items() if name[0] == "a")
    assert nothing.low == right / 60 and nothing.high == (right + 60 - alone["a"].asked) / 60


def test_costs_go_with_wide_half_widths(board):
    """A width that few questions give is asked for one at a time, which weighs no costs: the run was begun, could not
    go on and could not be resumed."""
    names = json.loads((board / "answers.json").read_text())
    costs = "".join(f"{name},{1 + i % 7}\n" for i, name in enumerate(names))
    (board / "costs.csv").write_text("question,cost\n" + costs)
    assert begin(board, "--half-width", "35pt", "--cost", str(board / "costs.csv"), *grader(board)) == 0
    result = json.loads((board / "run" / "result.json").read_text())
    assert result["asked"] >= 20 and "every round at once" in result["interval"] and result["half_width"] <= 0.35
