"""An audit finds what was forged with checksums of its own, and says so in a line."""

import json
import shutil

import pytest
from test_evaluate import begin, board, grader

from llm_accuracy.errors import InputError
from llm_accuracy.live import command
from llm_accuracy.live.query_log import QueryLog
from llm_accuracy.live.run_folder import RunFolder


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run of 40 questions that has ended, in three rounds of 8, 12 and 20."""
    folder = board.__wrapped__(tmp_path_factory.mktemp("forged"))
    begin(folder, "--budget", "40", "--model", "new", *grader(folder))
    return folder / "run"


@pytest.fixture
def run(ended, tmp_path):
    shutil.copytree(ended, tmp_path / "run")
    return tmp_path / "run"


def audit(run):
    return command.main([str(run), "--audit"])


def forge_log(run, change):
    """The log with `change` made to its records, numbered and with checksums that hold."""
    path = run / "queries.jsonl"
    records = change(QueryLog(path).records)
    path.unlink()
    log = QueryLog(path)
    for record in records:
        log.append(record.get("kind"), [{k: v for k, v in record.items() if k not in ("n", "kind")}])


def first(kind, /, **new):
    """A change: the first record of a kind with other values; None takes a value out."""
    def change(records):
        at = next(i for i, record in enumerate(records) if record["kind"] == kind)
        records[at] = {name: value for name, value in (records[at] | new).items() if value is not None}
        return records
    return change


FORGED = {
    "no estimates": lambda records: [r for r in records if r["kind"] != "look"],
    "an estimate twice": lambda records: [x for r in records for x in ([r, r] if r["kind"] == "look" else [r])],
    "an estimate without its number": first("look", theta=None),
    "another estimate": first("look", theta=0.99),
    "an estimate in words": first("look", theta="0.99"),
    "an estimate of no round": first("look", round=7),
    "seconds in words": first("look", seconds="long"),
    "an early end": lambda records: [*records[:records.index(next(r for r in records if r["kind"] == "look")) + 1],
                                     {"kind": "end", "reason": "the budget is used up"}],
    "another end": first("end", reason="the half-width of 1 points is reached"),
    "more after the end": lambda records: [*records, next(r for r in records if r["kind"] == "answer")],
    "another kind": first("answer", kind="guess"),
    "an answer out of range": first("answer", score=2),
    "an answer in words": first("answer", score="1"),
    "an answer to nothing": first("answer", question=None),
    "an answer never asked": first("answer", question="b/nobody"),
    "other questions": first("ask", questions=["a/0"]),
    "a round of another number": first("ask", round=2),
    "a round without p": first("ask", p=None),
    "too few p": first("ask", p=[0.5]),
    "p in words": first("ask", p=["x"] * 8),
    "another probability": first("ask", probability=[0.5] * 8),
    "an answer turned": lambda records: first("answer", score=1 - next(
        r for r in records if r["kind"] == "answer")["score"])(records),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_log_is_found(run, name):
    forge_log(run, FORGED[name])
    with pytest.raises(InputError, match="queries") as caught:
        audit(run)
    assert "\n" not in str(caught.value)


def test_a_log_without_its_last_lines_is_found(run):
    """Also before it is gone on with: the lost answers would be asked for again."""
    path = run / "queries.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    for what in ("--audit", "--resume", "--report"):
        with pytest.raises(InputError, match=r"20 lines, and 4\d when result.json was written"):
            command.main([str(run), what])


@pytest.mark.parametrize("change", [
    lambda result: result | {"estimate": 0.9}, lambda result: result | {"half_width": 0.001},
    lambda result: result | {"asked": 120}, lambda result: result | {"model": "another"},
    lambda result: result | {"provisional": True}, lambda result: result | {"extra": 1},
    lambda result: {name: value for name, value in result.items() if name != "low"},
    lambda result: result | {"sub_scores": {"a": 1}}, lambda result: result | {"estimate": "0.5"},
    lambda result: result | {"notes": []}, lambda result: [result], lambda result: {},
    lambda result: result | {"log": None}, lambda result: 5,
])
def test_a_forged_result_is_found(run, change):
    path = run / "result.json"
    whole = path.read_text()
    path.write_text(json.dumps(change(json.loads(whole))))
    with pytest.raises(InputError, match=r"result\.json"):
        audit(run)
    path.write_text(whole)
    assert audit(run) == 0


def test_a_forged_result_is_found_while_a_round_is_in_flight(board):
    begin(board, "--budget", "40", "--files")
    run = board / "run"
    (run / "answers.csv").write_text("question,score\n" + "".join(
        f"{name},1\n" for name in json.loads((run / "queries.jsonl").read_text().splitlines()[0])["questions"]))
    assert command.main([str(run), "--resume"]) == 0 and audit(run) == 0
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"estimate": 0.123}))
    with pytest.raises(InputError, match=r"result\.json: estimate is 0.123"):
        audit(run)


@pytest.mark.parametrize("change", [
    lambda manifest: manifest["plan"].update(first=0), lambda manifest: manifest["plan"].update(first="8"),
    lambda manifest: manifest["plan"].update(interval="none"), lambda manifest: manifest["plan"].update(more=1),
    lambda manifest: manifest["plan"].update(budget=0), lambda manifest: manifest["plan"].update(growth="x"),
    lambda manifest: manifest.pop("plan"), lambda manifest: manifest.pop("bank"),
    lambda manifest: manifest.pop("model"),
    lambda manifest: manifest.update(plan=[]), lambda manifest: manifest.update(kind=5),
    lambda manifest: manifest.update(factors=None), lambda manifest: manifest["plan"].update(seed=1),
])
def test_a_forged_manifest_is_one_line(run, change):
    folder = RunFolder(run)
    manifest = folder.manifest()
    change(manifest)
    folder.write_manifest(manifest)
    for what in ("--audit", "--resume"):
        with pytest.raises(InputError):
            command.main([str(run), what])


@pytest.mark.parametrize("versions", [[], 5, None, {}, {"llm-accuracy": "9.9"}])
def test_another_format_is_refused_whatever_is_in_it(run, versions):
    (run / "manifest.json").write_text(json.dumps({"format": 2, "versions": versions}))
    with pytest.raises(InputError, match="format 2"):
        audit(run)
