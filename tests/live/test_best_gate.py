"""`best` as a step of a CI job: exit codes, JSON, Markdown, JUnit, records of Every Eval Ever, of a matrix and live."""

import json
import re
from xml.etree import ElementTree

import pytest
from test_best_live import NAMES, board, whole, words  # noqa: F401  fixtures

from llm_accuracy.errors import InputError
from llm_accuracy.live import best
from llm_accuracy.querying.best_command import interval


def replay(board, *more):  # noqa: F811
    return ["best", str(board / "all.csv"), "--k", *NAMES, "--history", str(board / "M1.csv"), *more]


def test_exit_codes_follow_the_condition(board, whole, capsys):  # noqa: F811
    winner = json.loads((whole / "result.json").read_text())["winner"]
    other = next(name for name in NAMES if name != winner)
    again = ["best", "--run", str(whole), "--report"]
    for begin in (replay(board), again):
        assert best.main([*begin]) == 0 == best.main([*begin, "--fail-on", "open"])
        assert best.main([*begin, "--fail-on", "not-best", winner]) == 0
        assert f"--fail-on not-best {winner}: passed, {winner} is best" in capsys.readouterr().out
        assert best.main([*begin, "--fail-on", "not-best", other]) == 1
        assert f"--fail-on not-best {other}: FAILED, {winner} is best" in capsys.readouterr().out
        with pytest.raises(InputError, match=r"not-best new: the models are poor, fair, good, like"):
            best.main([*begin, "--fail-on", "not-best", "new"])
    for bad in (["open", "good"], ["not-best"], ["worse"]):
        with pytest.raises(InputError, match="write open, or not-best and one of the models"):
            best.main(replay(board, "--fail-on", *bad))


def test_a_search_that_waits_is_open(board):  # noqa: F811
    run = board / "waits"
    begin = ["best", "--run", str(run), "--history", str(board / "M1.csv"), "--k", *NAMES, "--files"]
    assert best.main([*begin, "--fail-on", "open", "--json", str(board / "waits.json"), "--junit",
                      str(board / "waits.xml"), "--markdown", str(board / "waits.md")]) == 1
    assert json.loads((board / "waits.json").read_text())["winner"] is None
    [case] = ElementTree.fromstring((board / "waits.xml").read_text())[0]
    assert case.find("failure").get("type") == "open" and "no round is answered" in case.find("failure").get("message")
    assert "| `poor` | left | 0 | – | – |" in (board / "waits.md").read_text()
    with pytest.raises(InputError, match="has not ended"):
        best.main(["best", "--run", str(run), "--export", "eee", "--organization", "us", "--relationship", "other"])


def test_a_name_that_is_none_of_the_models_begins_nothing(board):  # noqa: F811
    with pytest.raises(InputError, match="--fail-on not-best new: the models are poor"):
        best.main(words(board, "none", "--fail-on", "not-best", "new"))
    assert not (board / "none").exists()
    for more in (("--junit", "x.xml"), ("--fail-on", "open")):
        with pytest.raises(InputError, match="has no place beside --audit"):
            best.main(["best", "--run", str(board / "whole"), "--audit", *more])


@pytest.mark.parametrize("live", [True, False])
def test_every_file_says_the_same(board, whole, live, capsys):  # noqa: F811
    files = {kind: board / f"gate{live}.{kind}" for kind in ("json", "xml", "md")}
    made = ["--json", str(files["json"]), "--junit", str(files["xml"]), "--markdown", str(files["md"])]
    begin = ["best", "--run", str(whole), "--report"] if live else replay(board)
    assert best.main([*begin, *made, "--fail-on", "not-best", "poor"]) == 1
    said = capsys.readouterr().out
    result, text = json.loads(files["json"].read_text()), files["md"].read_text()
    suite = ElementTree.fromstring(files["xml"].read_text())[0]
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1") and suite[0].get("name") == "poor"
    assert suite[0].find("failure").get("message") == said.splitlines()[0]
    assert text.startswith(f"**{result['winner']} is best") and "FAILED" in text
    winner = result["models"][result["winner"]]
    row = next(line for line in text.splitlines() if line.startswith(f"| `{result['winner']}` | winner |"))
    assert interval(winner["estimate"], winner["low"], winner["high"]) in row
    assert max(len(line) for line in said.splitlines()[3:] if "report.html" not in line) <= 80
    with pytest.raises(InputError, match="exists"):
        best.main([*begin, *made])
    assert best.main([*begin, *made, "--overwrite"]) == 0
    assert ElementTree.fromstring(files["xml"].read_text())[0].get("failures") == "0"


def test_run_alone_says_where_it_stands(whole, capsys):  # noqa: F811
    assert best.main(["best", "--run", str(whole)]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert " is best" in first and "--audit checks it, --export eee publishes it" in last


def test_the_page_has_every_interval(whole):  # noqa: F811
    page, result = (whole / "report.html").read_text(), json.loads((whole / "result.json").read_text())
    for one in result["models"].values():
        assert interval(one["estimate"], one["low"], one["high"]) in page
        assert interval(one["behind"], one["behind_low"], one["behind_high"]) in page
    assert "hold for all models together with probability 95 %" in re.sub(r"\s+", " ", page)


def test_each_model_is_published_with_its_interval(board, whole, capsys):  # noqa: F811
    who = ["--organization", "us", "--relationship", "third_party"]
    for _ in range(2):  # again: the same records, once
        assert best.main(["best", "--run", str(whole), "--export", "eee", *who]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 8
    result = json.loads((whole / "result.json").read_text())
    records = [json.loads(path.read_text()) for path in sorted(whole.glob("eee/data/*/*/*/*.json"))]
    assert sorted(record["model_info"]["name"] for record in records) == sorted(NAMES)
    for record in records:
        one, [found] = result["models"][record["model_info"]["name"]], record["evaluation_results"]
        score = found["score_details"]
        interval = score["uncertainty"]["confidence_interval"]
        assert (score["score"], interval["lower"], interval["upper"]) == (one["estimate"], one["low"], one["high"])
        assert score["details"]["best"] == result["winner"]
    with pytest.raises(InputError, match="needs --organization"):
        best.main(["best", "--run", str(whole), "--export", "eee"])
    with pytest.raises(InputError, match="goes with --export"):
        best.main(["best", "--run", str(whole), "--report", *who])
