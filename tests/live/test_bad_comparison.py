"""What breaks `evaluate --baseline`, `ask` and `best`: words that mean nothing, forged files, outputs on inputs."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from test_evaluate import GRADER
from test_forged import first, forge_log

from llm_accuracy.errors import InputError
from llm_accuracy.live import ask, best, command, compare, compare_command, several_run
from llm_accuracy.live.run_folder import RunFolder

N = 60
NAMES = ("good", "poor")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """base.csv (margins, two tasks), cand.csv, M1.csv, all.csv and a program for each of cand, good and poor; the ended
    runs `compared` and `searched`."""
    folder, rng = tmp_path_factory.mktemp("bad"), np.random.default_rng(2)
    margins = rng.normal(2, 3, N)
    names = [f"t{i % 2}/q{i}" for i in range(N)]
    rows = {"cand": margins + rng.normal(0, 1, N) > 0, "good": rng.random(N) < 0.9, "poor": rng.random(N) < 0.2}
    for name, right in rows.items():
        known = dict(zip(names, map(int, right), strict=True))
        (folder / f"{name}.json").write_text(json.dumps(known))
        (folder / f"{name}.py").write_text(GRADER.format(answers=str(folder / f"{name}.json")))
    table(folder / "base.csv", [(f"q{i}", int(m > 0), f"t{i % 2}", f"{m:.3f}") for i, m in enumerate(margins)])
    table(folder / "cand.csv", [(f"q{i}", int(right), f"t{i % 2}", "") for i, right in enumerate(rows["cand"])])
    history = {f"m{i}": rng.random(N) < 0.5 for i in range(3)}
    for file, those in (("all.csv", {name: rows[name] for name in NAMES}), ("M1.csv", history)):
        with (folder / file).open("w", newline="") as stream:
            csv.writer(stream).writerows([["model", *names], *([name, *map(int, row)] for name, row in those.items())])
    command.main([str(folder / "compared"), "--baseline", str(folder / "base.csv"), "--margin", "9pt", "--budget", "20",
                  "--history", str(folder / "M1.csv"), *program(folder, "cand")])
    best.main(searching(folder, folder / "searched", "--budget", "40"))
    return folder


def table(path, rows):
    path.write_text("prompt_id,score,task,margin\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def program(folder, name):
    return "--command", f"{sys.executable} {folder / name}.py"


def searching(folder, run, *more):
    asked = [word for name in NAMES for word in program(folder, name)]
    return ["best", "--run", str(run), "--history", str(folder / "M1.csv"), "--k", *NAMES, *asked, *more]


def evaluate(folder, run, *more, base="base.csv"):
    return command.main([str(run), "--baseline", str(folder / base), *program(folder, "cand"), *more])


def asking(folder, *more, base="base.csv"):
    return ask.main(["ask", str(folder / base), *more])


@pytest.fixture
def compared(models, tmp_path):
    shutil.copytree(models / "compared", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def searched(models, tmp_path):
    shutil.copytree(models / "searched", tmp_path / "search")
    return tmp_path / "search"


# --- words ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("words", "said"), [
    (["--margin="], "margin ''"), (["--budget="], "--budget"), (["--budget=100.001%"], "100% at most"),
    (["--exact"], "--exact has no place"), (["--seed=-1"], "--seed"), (["--max-minutes=nan"], "--max-minutes"),
])
def test_words_of_a_comparison_begin_nothing(models, words, said, tmp_path, capsys):
    with pytest.raises((InputError, SystemExit)) as caught:
        evaluate(models, tmp_path / "run", *words)
    assert said in f"{caught.value}{capsys.readouterr().err}" and not (tmp_path / "run").exists()


@pytest.mark.parametrize(("words", "said"), [
    (["--max-minutes=nan"], "--max-minutes"), (["--max-minutes=-1"], "--max-minutes"), (["--model="], "a name is"),
    (["--max-excluded=.1"], "ask leaves nothing out"),
])
def test_words_of_ask_begin_nothing(models, words, said, tmp_path, capsys):
    with pytest.raises((InputError, SystemExit)) as caught:
        asking(models, "--run", str(tmp_path / "run"), *program(models, "cand"), *words)
    assert said in f"{caught.value}{capsys.readouterr().err}" and not (tmp_path / "run").exists()


def test_no_time_is_kept_while_nothing_runs(models, tmp_path):
    for begin in (lambda: asking(models, "--run", str(tmp_path / "run"), "--files", "--max-minutes", "5"),
                  lambda: best.main(["best", "--run", str(tmp_path / "run"), "--history", str(models / "M1.csv"), "--k",
                                     "a", "b", "--files", "--max-minutes", "5"])):
        with pytest.raises(InputError, match="does not go with --files"):
            begin()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--show-questions"], ["--max-excluded", "0"]])
def test_a_replay_ignores_no_flag(models, words):
    with pytest.raises(InputError, match=words[0]):
        asking(models, "--replay", str(models / "cand.csv"), *words)


def test_a_choice_of_nothing_is_no_choice(models, tmp_path):
    run = tmp_path / "run"
    for words in (["--metric", "acc"], ["--filter", "none"]):
        for begin in (lambda words=words: evaluate(models, run, *words),
                      lambda words=words: best.main(searching(models, run, *words)),
                      lambda words=words: command.main([str(run), "--history", str(models / "M1.csv"), "--budget", "20",
                                                        *program(models, "cand"), *words])):
            with pytest.raises(InputError, match=f"{' '.join(words)}: nothing that is asked or read"):
                begin()
    assert not run.exists()


def test_a_baseline_without_a_score_is_one_line(models, tmp_path):
    table(tmp_path / "blank.csv", [(f"q{i}", "", "t0", 1) for i in range(5)])
    with pytest.raises(InputError, match="none of its 5 questions has a score"):
        ask.main(["ask", str(tmp_path / "blank.csv"), "--replay", str(models / "cand.csv")])


@pytest.mark.filterwarnings("error")
def test_a_margin_that_overflows_is_a_thick_one(models, tmp_path):
    text = (models / "base.csv").read_text().splitlines()
    text[3] = "q2,1,t0,1e308"
    (tmp_path / "base.csv").write_text("\n".join(text) + "\n")
    assert ask.main(["ask", str(tmp_path / "base.csv"), "--replay", str(models / "cand.csv")]) == 0


# --- of a run that exists ------------------------------------------------------------------------------------

@pytest.mark.parametrize("what", [["--audit"], ["--export", "eee", "--organization", "us", "--relationship",
                                                "first_party"]])
@pytest.mark.parametrize("words", [["--fail-on", "not-shown-safe"], ["--json", "-"], ["--overwrite"]])
def test_what_gives_no_verdict_takes_no_flag_of_one(compared, what, words):
    """`--audit --fail-on degraded` was 0, whatever the verdict."""
    with pytest.raises(InputError, match=f"{words[0]} has no place beside {what[0]}"):
        command.main([str(compared), *what, *words])


@pytest.mark.parametrize("words", [["--history", "none"], ["--score", "x"], ["--max-minutes", "0"]])
def test_ask_resumes_with_the_flags_it_began_with(models, compared, words):
    same = ["--run", str(compared), "--margin", "9pt", "--budget", "20", "--resume", *program(models, "cand")]
    with pytest.raises(InputError, match=f"{words[0]}: fixed when the run began"):
        asking(models, *same, *words)
    assert asking(models, *same, "--history", str(models / "M1.csv")) == 0


@pytest.mark.parametrize(("words", "said"), [
    (["--resume", "--alpha", ".1"], "--alpha: fixed"), (["--resume", "--seed", "1"], "--seed: fixed"),
    (["--resume", "--tolerance", "1pt"], "--tolerance: fixed"), (["--resume", "--metric", "a"], "--metric: fixed"),
    (["--resume", "--model", "a"], "--model a: the run began with"),
    (["--audit", "--json", "-"], "--json has no place beside"),
    (["--audit", "--history", "M1.csv"], "--history has no place"), (["--audit", "--files"], "--files has no place"),
    (["--report", "--as-begun"], "--as-begun has no place"), (["--report", "--files"], "--files has no place"),
])
def test_a_search_that_exists_ignores_no_flag(searched, words, said):
    with pytest.raises(InputError, match=said):
        best.main(["best", "--run", str(searched), *words])


def test_a_search_begins_with_no_flag_of_its_end(models, tmp_path):
    with pytest.raises(InputError, match="--as-begun goes with --resume"):
        best.main(searching(models, tmp_path / "run", "--as-begun"))


@pytest.mark.parametrize("name", ["baseline.npz", "questions.csv", "lock"])
def test_a_verdict_replaces_no_file_of_its_run(compared, name):
    before = (compared / name).read_bytes()
    with pytest.raises(InputError, match="is what is read"):
        command.main([str(compared), "--report", "--overwrite", "--json", str(compared / name)])
    assert (compared / name).read_bytes() == before


def test_a_search_replaces_none_of_its_inputs(models, tmp_path):
    before = (models / "M1.csv").read_bytes()
    with pytest.raises(InputError, match="is what is read"):
        best.main(searching(models, tmp_path / "run", "--overwrite", "--json", str(models / "M1.csv")))
    assert (models / "M1.csv").read_bytes() == before and not (tmp_path / "run").exists()


# --- forged --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "value"), [("mean", 0.99), ("mean", None), ("margins_known", False),
                                             ("difficulty_known", False), ("stated_margin", "1pt"),
                                             ("stated_margin", "x"), ("stated_margin", None)])
def test_a_forged_word_about_the_baseline_is_found(compared, name, value):
    """compare, the report and an export take them from there."""
    folder = RunFolder(compared)
    manifest = folder.manifest()
    manifest["baseline"][name] = value
    folder.write_manifest(manifest)
    for what in ("--audit", "--report", "--resume"):
        with pytest.raises(InputError, match=r"manifest\.json|margin"):
            command.main([str(compared), what])


def test_a_forged_size_of_the_bank_is_found(compared, searched):
    for main, words, run in ((command.main, [str(compared)], compared), (best.main, ["best", "--run", str(searched)],
                                                                        searched)):
        folder = RunFolder(run)
        manifest = folder.manifest()
        manifest["bank"]["questions"] = N + 1
        folder.write_manifest(manifest)
        with pytest.raises(InputError, match=r"questions is 61|how many they are changed"):
            main([*words, "--audit"])


def test_a_forged_number_of_least_questions_is_found(compared):
    folder = RunFolder(compared)
    folder.write_manifest(folder.manifest() | {"least_questions": 8.0})
    with pytest.raises(InputError, match="least_questions is 8"):
        command.main([str(compared), "--audit"])


@pytest.mark.parametrize("forged", [{"higher_is_better": np.array(False)}, {"runs": np.array(7)}])
def test_a_forged_direction_is_found(compared, forged):
    with np.load(compared / "baseline.npz") as stored:
        arrays = dict(stored)
    np.savez(compared / "baseline.npz", **arrays | forged)
    with pytest.raises(InputError, match=r"baseline\.npz: the baseline's runs and direction"):
        command.main([str(compared), "--audit"])


@pytest.mark.parametrize("change", [
    lambda m: m.pop("model"), lambda m: m["plan"].pop("alpha"), lambda m: m["plan"].update(budget=float("inf")),
    lambda m: m["plan"].update(stop="yes"), lambda m: m["plan"].update(budget=10**6),
    lambda m: m["plan"].update(seed=-1),
    lambda m: m["plan"].update(about="all"), lambda m: m["baseline"].pop("name"), lambda m: m["baseline"].pop("paths"),
    lambda m: m["baseline"].update(paths=[None]), lambda m: m["asked"].update(words=5), lambda m: m.update(notes=5),
    lambda m: m["plan"].update(margin=True), lambda m: m.update(asked=[]), lambda m: m["plan"].update(more=1),
])
def test_a_manifest_of_another_form_is_one_line(compared, change):
    """None of it is taken for a default."""
    folder = RunFolder(compared)
    manifest = folder.manifest()
    change(manifest)
    folder.write_manifest(manifest)
    for what in ("--audit", "--resume"):
        with pytest.raises(InputError, match=r"manifest\.json|no plan"):
            command.main([str(compared), what])


@pytest.mark.parametrize("change", [
    lambda m: m.pop("models"), lambda m: m["models"].append("good"), lambda m: m["plan"].update(questions=0),
    lambda m: m["plan"].pop("tolerance"), lambda m: m["plan"].update(tolerance=0.7), lambda m: m.update(history=None),
    lambda m: m["asked"][0].pop("driver"), lambda m: m["plan"].update(max_minutes=float("nan")),
])
def test_a_search_s_manifest_of_another_form_is_one_line(searched, change):
    folder = RunFolder(searched)
    manifest = folder.manifest()
    change(manifest)
    folder.write_manifest(manifest)
    for what in ("--audit", "--resume", "--report"):
        with pytest.raises(InputError, match=r"manifest\.json|no plan"):
            best.main(["best", "--run", str(searched), what])


@pytest.mark.parametrize("spoil", [
    lambda content: b"", lambda content: b"PK\3\4" + bytes(100), lambda content: b"\x93NUMPY" + bytes(40),
    lambda content: content[: len(content) // 2],
])
def test_arrays_that_are_none_are_one_line(compared, searched, spoil):
    for main, words, path in ((command.main, [str(compared)], compared / "baseline.npz"),
                              (best.main, ["best", "--run", str(searched)], searched / "useful.npy")):
        path.write_bytes(spoil(path.read_bytes()))
        with pytest.raises(InputError, match=path.name):
            main([*words, "--audit"])


@pytest.mark.parametrize("forged", [{"scores": np.full(N, 2.0)}, {"down": np.ones(3)}, {"prior": None},
                                    {"higher_is_better": np.array("yes")}, {"margins": np.full(N, np.nan)}])
def test_a_baseline_of_another_form_is_one_line(compared, forged):
    with np.load(compared / "baseline.npz") as stored:
        arrays = dict(stored) | forged
    np.savez(compared / "baseline.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=r"baseline\.npz: no baseline of a run"):
        command.main([str(compared), "--audit"])


@pytest.mark.parametrize("array", [np.ones(3), np.full(N, np.nan), -np.ones(N), np.array(["x"] * N), np.ones((N, 1))])
def test_usefulness_that_is_none_is_one_line(searched, array):
    np.save(searched / "useful.npy", array)
    folder = RunFolder(searched)
    folder.write_manifest(folder.manifest() | {"known": several_run.known(array)})
    with pytest.raises(InputError, match=r"useful\.npy: cannot be read"):
        best.main(["best", "--run", str(searched), "--audit"])


def test_runs_of_one_model_are_told_apart(models, compared):
    """Their folders are said where their names are the same."""
    copy = compared.parent / "copy"
    shutil.copytree(compared, copy)
    found = compare.compared([compared, copy], 0.05, 0.05)
    assert [one["model"] for one in found["runs"]] == [f"compared ({compared})", f"compared ({copy})"]
    assert found["differences"][0]["other"] == f"compared ({copy})"


def test_a_value_of_0_is_a_value(models, tmp_path):
    """0 equals False, which flags that are not given are."""
    run = tmp_path / "run"
    evaluate(models, run, "--budget", "8", "--seed", "5")
    for words in (["--resume", "--seed", "0"], ["--seed", "0"], ["--resume", "--max-minutes", "0"]):
        with pytest.raises(InputError, match=r"fixed when the run began|how is the model asked"):
            command.main([str(run), *words])
    with pytest.raises(InputError, match="--max-minutes: --run"):
        best.main(["best", str(models / "all.csv"), "--max-minutes", "0"])


def test_a_run_that_has_ended_is_asked_in_no_other_way(compared, searched):
    for main, words in ((command.main, [str(compared)]), (best.main, ["best", "--run", str(searched)])):
        with pytest.raises(InputError, match="the run began with"):
            main([*words, "--resume", "--files"])


def test_a_search_goes_on_with_its_drivers_flags(models, searched):
    """A key among their words is not kept: they must be given again, and --k says whose they are."""
    asked = [word for name in NAMES for word in program(models, name)]
    again = ["best", "--run", str(searched), "--resume", *asked, "--k"]
    assert best.main([*again, *NAMES]) == 0
    with pytest.raises(InputError, match="--k: fixed when the run began"):
        best.main([*again, *reversed(NAMES)])


def test_an_output_replaces_nothing_that_a_run_began_with(models, compared, searched):
    for main, words, name in ((command.main, [str(compared)], "base.csv"),
                              (best.main, ["best", "--run", str(searched)], "M1.csv")):
        before = (models / name).read_bytes()
        with pytest.raises(InputError, match="is what is read"):
            main([*words, "--report", "--overwrite", "--json", str(models / name)])
        assert (models / name).read_bytes() == before


def test_a_reader_that_leaves_passes_no_gate(models, tmp_path):
    """`… --fail-on not-shown-safe | head -1` with pipefail: what is said last finds no reader."""
    out, into = os.pipe()
    os.close(out)
    words = ["ask", str(models / "base.csv"), "--replay", str(models / "cand.csv"), "--fail-on", "not-shown-safe"]
    done = subprocess.run([sys.executable, "-m", "llm_accuracy", *words], cwd=ROOT, stdout=into, stderr=subprocess.PIPE)
    os.close(into)
    assert done.returncode == 1 and not done.stderr, done.stderr


def test_ask_goes_on_with_the_baseline_it_began_with(models, tmp_path):
    shutil.copy(models / "base.csv", tmp_path / "base.csv")
    words = ["ask", str(tmp_path / "base.csv"), "--run", str(tmp_path / "run"), "--budget", "20", "--files"]
    with pytest.raises(InputError, match="--as-begun goes with --resume"):
        ask.main([*words, "--as-begun"])
    ask.main(words)
    (tmp_path / "base.csv").write_text((models / "base.csv").read_text() + "\n")
    with pytest.raises(InputError, match="add --as-begun"):
        ask.main([*words, "--resume"])
    assert ask.main([*words, "--resume", "--as-begun"]) == 0


@pytest.mark.parametrize(("words", "said"), [
    (["--tasks", "2"], "--tasks"), (["--damage", "one"], "--damage"), (["--task", "t0"], "--task"),
    (["--max-excluded", ".1"], "--max-excluded"), (["--power", "0"], "power"), (["--margin="], "margin ''"),
    (["--margin", "recovery=99%", "--about", "questions"], "recovery"),
])
def test_a_plan_of_few_answers_ignores_no_flag(models, words, said):
    with pytest.raises(InputError, match=said):
        ask.main(["plan", "--few", str(models / "base.csv"), "--few-flips", ".01", *words])


def test_a_history_that_changed_is_said(models, tmp_path):
    """The run has its own copy of what it knows, and goes on with it where that is asked for."""
    shutil.copy(models / "M1.csv", tmp_path / "M1.csv")
    run = tmp_path / "run"
    command.main([str(run), "--baseline", str(models / "base.csv"), "--history", str(tmp_path / "M1.csv"), "--budget",
                  "20", "--files"])
    (tmp_path / "M1.csv").write_text((models / "M1.csv").read_text() + "\n")
    with pytest.raises(InputError, match="the history is not what the run began with"):
        command.main([str(run), "--resume"])
    assert command.main([str(run), "--resume", "--as-begun"]) == 0


def test_a_model_s_name_keeps_its_blanks(models, tmp_path):
    run = tmp_path / "run"
    best.main(["best", "--run", str(run), "--history", str(models / "M1.csv"), "--k", " a", "b", "--files", "--budget",
               "16"])
    with (run / "ask.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (run / "answers.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("model", "question", "score"), *((r["model"], r["question"], 1) for r in rows)])
    assert best.main(["best", "--run", str(run), "--resume"]) == 0
    assert json.loads((run / "result.json").read_text())["answers"] == 32


@pytest.mark.parametrize("turned", [False, True])
def test_an_answer_that_is_there_twice_is_found(compared, searched, turned):
    """The second would count, of a round that is in flight."""
    def twice(records):
        at = next(i for i, record in enumerate(records) if record["kind"] == "answer")
        again = records[at] | ({"score": 1 - records[at]["score"]} if turned else {})
        return [*records[: at + 1], again, *records[at + 1:]]

    for main, words, run in ((command.main, [str(compared)], compared),
                             (best.main, ["best", "--run", str(searched)], searched)):
        forge_log(run, twice)
        for what in ("--audit", "--report"):
            with pytest.raises(InputError, match="answered twice"):
                main([*words, what])


def test_an_end_at_no_time_is_one_line(compared, searched):
    for main, words, run in ((command.main, [str(compared)], compared),
                             (best.main, ["best", "--run", str(searched)], searched)):
        forge_log(run, first("end", at="once"))
        with pytest.raises(InputError, match="it ended at 'once', which is no time"):
            main([*words, "--export", "eee", "--organization", "us", "--relationship", "first_party", "--benchmark",
                  "b"])


def test_compare_replaces_nothing_that_its_runs_began_with(models, compared):
    before = (models / "base.csv").read_bytes()
    words = ["compare", str(compared), str(models / "compared"), "--overwrite", "--json"]
    for name in ("base.csv", "M1.csv"):
        with pytest.raises(InputError, match="is what is read"):
            compare_command.main([*words, str(models / name)])
    assert (models / "base.csv").read_bytes() == before
