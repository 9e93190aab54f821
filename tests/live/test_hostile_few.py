"""`evaluate --baseline`, `ask`, `compare` and `best` under attack: no flag is ignored, no input overwritten, and
what a manifest or a baseline was changed to is found."""

import json
import shutil

import numpy as np
import pytest
from test_forged import first, forge_log

from llm_accuracy.errors import InputError
from llm_accuracy.live import again, ask, best, command, compare_command
from llm_accuracy.live.run_folder import FOLDERS, OURS, RunFolder

N = 40


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """base.csv, cand.csv, M1.csv of three models, board.csv of two; run/ (a comparison by files, two rounds answered)
    and best/ (a search by files with a history, begun)."""
    folder, rng = tmp_path_factory.mktemp("hostile"), np.random.default_rng(0)
    names = [f"q{i}" for i in range(N)]
    for name in ("base", "cand"):
        right = rng.random(N) < 0.7
        (folder / f"{name}.csv").write_text("prompt_id,score,margin\n" + "".join(
            f"{q},{int(z)},{(2 * int(z) - 1) * (1 + i)}\n" for i, (q, z) in enumerate(zip(names, right, strict=True))))
    for name, models in (("M1", ("x", "y", "z")), ("board", ("a", "b"))):
        rows = "".join(f"{m},{','.join(str(int(v)) for v in rng.random(N) < 0.5)}\n" for m in models)
        (folder / f"{name}.csv").write_text(f"model,{','.join(names)}\n{rows}")
    command.main([str(folder / "run"), "--baseline", str(folder / "base.csv"), "--budget", "17", "--seed", "5",
                  "--model", "us/new", "--files"])
    answered(folder / "run")
    best.main(search(folder, "best", "--tolerance", "2pt", "--seed", "7"))
    return folder


@pytest.fixture
def world(fixed, tmp_path):
    shutil.copytree(fixed, tmp_path / "world")
    return tmp_path / "world"


def search(folder, run, *more):
    return ["best", "--run", str(folder / run), "--history", str(folder / "M1.csv"), "--k", "a", "b", "--files", *more]


def answered(run):
    """Every question that is asked is answered, right."""
    while (run / "ask.csv").exists():
        asked = [line.split(",")[0] for line in (run / "ask.csv").read_text().splitlines()[1:]]
        with (run / "answers.csv").open("a") as stream:
            if not stream.tell():
                stream.write("question,score\n")
            stream.writelines(f"{name},1\n" for name in asked)
        command.main([str(run), "--resume"])


def refused(said, run, *words):
    with pytest.raises((InputError, SystemExit)) as caught:
        run([str(word) for word in words])
    if isinstance(caught.value, InputError):
        assert said in str(caught.value), caught.value


@pytest.mark.parametrize(("words", "said"), [
    (["--exact"], "--exact has no place"), (["--margin", ""], "margin ''"), (["--margin", "\uff11pt"], "margin"),
    (["--budget", ""], "--budget"), (["--seed", "-1"], ""), (["--max-minutes", "0"], "does not go with --files"),
])
def test_words_of_a_comparison(world, words, said):
    refused(said, command.main, world / "new", "--baseline", world / "base.csv", "--files", *words)
    assert not (world / "new").exists()
    refused("empty text", command.main, world / "new", "--baseline", " ", "--files")


@pytest.mark.parametrize(("words", "said"), [
    (["--replay", "cand.csv", "--show-questions"], "--show-questions goes with --run"),
    (["--replay", "cand.csv", "--max-minutes", "0"], "--max-minutes goes with --run"),
    (["--replay", "cand.csv", "--max-excluded", ".5"], "--max-excluded"),
    (["--run", "new", "--files", "--max-excluded", ".5"], "--max-excluded"),
    (["--run", "new", "--files", "--max-minutes", "3"], "does not go with --files"),
    (["--run", "new", "--command", "x", "--max-minutes", "nan"], ""),
    (["--run", "new", "--files", "--budget", ""], "--budget"), (["--run", "", "--files"], ""),
])
def test_words_of_ask(world, words, said, monkeypatch):
    monkeypatch.chdir(world)
    refused(said, ask.main, "ask", "base.csv", *words)
    assert not (world / "new").exists()
    refused("empty text", ask.main, "ask", "", "--run", "new", "--files")


@pytest.mark.parametrize(("words", "said"), [
    (["--history", "M1.csv"], "--history"), (["--tasks", "t"], "--tasks"), (["--no-margins"], "--no-margins"),
    (["--need-margins"], "--need-margins"), (["--allow-same"], "--allow-same"), (["--model", "other"], "--model other"),
    (["--metric", "acc"], "--metric acc"), (["--filter", "f"], "--filter f"), (["--range", "0", "1"], "--range"),
    (["--matrix", "board.csv"], "--matrix"), (["--value", "x=1"], "--value"), (["--errors", "wrong"], "--errors"),
])
def test_ask_goes_on_with_what_it_began_with(world, words, said, monkeypatch):
    """A flag that would change nothing any more is refused, as `evaluate --resume` refuses it."""
    monkeypatch.chdir(world)
    begun = ["ask", "base.csv", "--run", "asked", "--files"]
    assert ask.main(begun) == ask.main([*begun, "--resume", "--errors", "missing"]) == 0
    refused(said, ask.main, *begun, "--resume", *words)


def test_nought_is_given(world):
    """0 equals False and is a value all the same: another seed is not gone on with in silence."""
    refused("--seed: fixed when the run began (5)", command.main, world / "run", "--resume", "--seed", "0")
    refused("how is the model asked", command.main, world / "run", "--seed", "0")  # it is not only looked at
    refused("--seed", command.main, "--forecast", "--history", world / "M1.csv", "--seed", "0")


@pytest.mark.parametrize("words", [["--fail-on", "degraded"], ["--json", "x.json"], ["--junit", "x.xml"],
                                   ["--markdown", "x.md"], ["--overwrite"]])
def test_an_audit_and_an_export_write_no_verdict(world, words):
    """A gate that audits with --fail-on would pass whatever the verdict is."""
    for what in (["--audit"], ["--export", "eee", "--organization", "o", "--relationship", "other"]):
        refused("has no place beside --", command.main, world / "run", *what, *words)


# --- best ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("words", "said"), [
    (["--resume", "--tolerance", "0.5pt"], "--tolerance: fixed"), (["--resume", "--seed", "0"], "--seed: fixed"),
    (["--resume", "--metric", "x"], "--metric: fixed"), (["--resume", "--filter", "x"], "--filter: fixed"),
    (["--resume", "--model", "x"], "--model x"), (["--resume", "--k", "b", "a"], "--k: fixed"),
    (["--resume", "--questions", "M1.csv"], "--questions: fixed"), (["--report", "--as-begun"], "--as-begun"),
    (["--report", "--history", "board.csv"], "--history has no place"),
    (["--audit", "--files"], "--files has no place"),
    (["--audit", "--json", "x.json"], "--json has no place"),
])
def test_best_goes_on_with_what_it_began_with(world, words, said, monkeypatch):
    monkeypatch.chdir(world)
    refused(said, best.main, "best", "--run", "best", *words)


def test_best_is_resumed_by_the_command_that_began_it(world):
    began = ["--tolerance", "2.0pt", "--seed", "7", "--alpha", ".05", "--k", "a", "b", "--budget", "100%", "--files"]
    assert best.main(["best", "--run", str(world / "best"), "--resume", *began]) == 0


@pytest.mark.parametrize(("words", "said"), [
    (["--max-minutes", "3"], "does not go with --files"), (["--max-minutes", "nan"], ""), (["--as-begun"], "--resume"),
    (["--organization", "us"], "goes with --export"),
    (["--json", "M1.csv", "--overwrite"], "is what is read"), (["--tolerance", "\uff11pt"], "--tolerance"),
    (["--questions", "bank.csv", "--json", "bank.csv", "--overwrite"], "is what is read"),
])
def test_words_of_best(world, words, said, monkeypatch):
    monkeypatch.chdir(world)
    (world / "bank.csv").write_text("question\n" + "".join(f"q{i}\n" for i in range(N)))
    before = {path: path.read_bytes() for path in world.glob("*.csv")}
    refused(said, best.main, *search(world, "new", *words))
    assert not (world / "new").exists() and {path: path.read_bytes() for path in world.glob("*.csv")} == before


@pytest.mark.parametrize(("flag", "value"), [("--max-minutes", "0"), ("--budget", ""), ("--metric", "")])
def test_a_replay_of_best_ignores_no_flag(world, flag, value):
    refused(f"{flag}: --run RUN names", best.main, "best", world / "board.csv", flag, value)


def test_a_candidate_in_the_history_is_left_out_however_it_is_spelt(world, capsys):
    (world / "M1.csv").write_text((world / "board.csv").read_text().replace("\na,", "\nA,"))
    assert best.main(["best", str(world / "board.csv"), "--history", str(world / "M1.csv")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 of its models are candidates" in said and "no other model is left; questions are drawn at random" in said


# --- files of a run --------------------------------------------------------------------------------------

def test_a_result_does_not_overwrite_what_a_run_lives_on(world):
    from llm_accuracy.degradation.commands import flags

    assert set(flags.OF_A_RUN) == OURS - FOLDERS and set(flags.FOLDERS_OF_A_RUN) == FOLDERS
    for target in ("run/baseline.npz", "run/questions.csv", "run/lock"):
        words = ["--json", world / target, "--overwrite"]
        refused("is what is read", command.main, world / "run", "--report", *words)
        refused("is what is read", compare_command.main, "compare", world / "run", world / "best", *words)
    refused("is what is read", best.main, "best", "--run", world / "best", "--report", "--json",
            world / "best" / "useful.npy", "--overwrite")
    assert command.main([str(world / "run"), "--audit"]) == 0


def test_a_result_that_is_none_is_blamed_itself(world):
    for run in ("run", "best"):
        (world / run / "result.json").write_text("[]")
        refused("result.json: not the result of a run", command.main, world / run)


def forge_manifest(run, change):
    folder = RunFolder(run)
    manifest = folder.manifest()
    change(manifest)
    folder.write_manifest(manifest)


@pytest.mark.parametrize(("change", "said"), [
    (lambda m: m["baseline"].update(mean=0.99), "mean is 0.99"),
    (lambda m: m["baseline"].update(stated_margin="5pt"), "margin is 0.01"),
    (lambda m: m["baseline"].update(margins_known=False), "margins_known is False"),
    (lambda m: m["baseline"].update(difficulty_known=True), "difficulty_known is True"),
    (lambda m: m["bank"].update(questions=N - 1), "questions is 39"),
    (lambda m: m["known"].pop("the curves' names"), "no fingerprint of the curves' names; go on with the version"),
    (lambda m: m.update(least_questions=1), "least_questions is 1"), (lambda m: m["plan"].update(about="all"), "about"),
])
def test_what_a_manifest_says_of_the_baseline_is_checked(world, change, said):
    """Also where result.json was written again by the forged manifest: an export, `compare` and the page use it."""
    forge_manifest(world / "run", change)
    (world / "run" / "result.json").unlink()
    refused(said, command.main, world / "run", "--audit")


@pytest.mark.parametrize("part", ["higher_is_better", "runs", "names"])
def test_all_of_a_baseline_has_a_fingerprint(world, part):
    path = world / "run" / "baseline.npz"
    arrays = dict(np.load(path))
    arrays[part] = {"higher_is_better": np.array(False), "runs": np.array(5),
                    "names": np.array(["c"] * len(arrays["names"]))}[part]
    np.savez(path, **arrays)
    refused("baseline.npz: the ", command.main, world / "run", "--resume")


@pytest.mark.parametrize("content", [b"", b"x", None])
def test_a_baseline_that_is_cut_off_is_one_line(world, content):
    path = world / "run" / "baseline.npz"
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    refused("no baseline of a run", command.main, world / "run", "--audit")


@pytest.mark.parametrize("record", [
    first("look", seconds=float("nan")), first("look", seconds=-1), first("look", seconds="1"),
    first("look", seconds=True), first("answer", score=True), first("answer", score=float("nan")),
])
def test_numbers_of_a_log_are_numbers(world, record):
    """A look of nan seconds would switch --max-minutes off."""
    forge_log(world / "run", record)
    refused("queries.jsonl: line", command.main, world / "run", "--audit")


def test_a_note_that_nothing_has_said_is_found(world):
    path = world / "run" / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"notes": [*result["notes"], "the candidate is excellent"]}))
    refused("follows from nothing", command.main, world / "run", "--audit")


def test_flags_of_reading_are_those_of_ask():
    import argparse

    from llm_accuracy.scores.flags import add_choice_flags

    parser = argparse.ArgumentParser(add_help=False)
    add_choice_flags(parser)
    assert {action.dest for action in parser._actions} - {*again.READING} == {"metric", "filter", "max_size", "jobs"}


# --- compare ---------------------------------------------------------------------------------------------

def test_the_same_questions_in_another_order_are_compared(world):
    """A baseline and a history may list them so."""
    lines = (world / "base.csv").read_text().splitlines()
    (world / "turned.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    command.main([str(world / "other"), "--baseline", str(world / "turned.csv"), "--budget", "8", "--files"])
    answered(world / "other")
    assert compare_command.main(["compare", str(world / "run"), str(world / "other")]) == 0


def test_contents_of_every_two_runs_are_compared():
    """The first may not know any."""
    from pathlib import Path

    from llm_accuracy.live.compare import Side, check_one_bank

    def side(name, contents):
        return Side(Path(name), name, 0.5, lambda alpha: (0, 1), True, (name,), 1, 2,
                    {"the questions' names": "n", "the questions' contents": contents})

    check_one_bank([side("a", None), side("b", "1"), side("c", "1")])
    with pytest.raises(InputError, match="contents are not those of b"):
        check_one_bank([side("a", None), side("b", "1"), side("c", "2")])


def test_runs_of_one_name_are_told_apart(world):
    from llm_accuracy.live.compare import compared

    shutil.copytree(world / "run", world / "copy")
    names = [run["model"] for run in compared([world / "run", world / "copy"], 0.01, 0.05)["runs"]]
    assert names == [f"us/new ({world / name})" for name in ("run", "copy")]


def test_a_plan_of_few_answers_ignores_no_flag(world):
    refused("--max-excluded", ask.main, "plan", "--few", world / "base.csv", "--max-excluded", ".3")
