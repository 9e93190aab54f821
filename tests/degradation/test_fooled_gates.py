"""What a reviewer fooled the gate with: each input passed, crashed, or was taken for something else."""

import json
import os
import re
import stat
import threading
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from llm_accuracy import files, visible
from llm_accuracy.degradation import commands, judge_pair
from llm_accuracy.degradation.checks import assert_not_degraded
from llm_accuracy.degradation.gates import Gate, Stated, audit, read_gates
from llm_accuracy.degradation.paired import judge_counts
from llm_accuracy.degradation.sign_flips import sign_flip_test
from llm_accuracy.errors import InputError
from llm_accuracy.scores.drawn import content_of

N = 400
RNG = np.random.default_rng(14)
BASE = (RNG.random(N) < 0.7).astype(int)
CANDIDATE = np.where(np.arange(N) < 3, 1 - BASE, BASE)


def write(path, scores, items=range(N), **more):
    pd.DataFrame({"prompt_id": list(items), "score": list(scores), **more}).to_csv(path, index=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("b.csv", BASE)
    write("c.csv", CANDIDATE)
    return tmp_path


def refused(command, message):
    """Refused in one line, and nothing is written."""
    before = {path: path.read_bytes() for path in files.Path().rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=message) as caught:
        commands.main(command.split())
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in files.Path().rglob("*") if path.is_file()} == before


# ---- outputs and inputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command, message", [
    ("pair b.csv c.csv --json b.csv", "b.csv is what is read"),
    ("pair b.csv c.csv --junit ./c.csv", "c.csv is what is read"),
    ("pair b.csv c.csv --json x --markdown ./x", "one file"),
    ("pair runs c.csv --json runs/0.csv", "runs/0.csv is one of the files in runs"),
    ("suite one=b.csv two=c.csv --json c.csv", "c.csv is what is read"),
    ("suite b.csv runs/summary.csv --output-dir runs", "runs/summary.csv is what is read"),
    ("suite b.csv c.csv --output-dir runs --markdown runs/summary.md", "one file"),
    ("suite list.json --json c.csv", "c.csv is what is read"),
    ("watch b.csv c.csv --json c.csv", "c.csv is what is read"),
    ("plan --flip .05 --drop .02 --bank b.csv --write-samples b.csv", "b.csv is what is read"),
    ("flips b.csv c.csv --json c.csv", "c.csv is what is read"),
    ("audit-gate gates.json --csv gates.json", "gates.json is what is read"),
])
def test_what_is_read_is_not_overwritten(folder, command, message):
    os.mkdir("runs")
    for name in ("0", "1", "summary"):
        write(f"runs/{name}.csv", BASE)
    (folder / "gates.json").write_text('{"expected": 0.5, "tolerance": 0.1, "n": 10}')
    (folder / "list.json").write_text('{"one": {"t": "b.csv"}, "two": {"t": "c.csv"}}')
    refused(f"{command} --overwrite", message)


def test_a_verdict_among_the_logs_is_written_again(folder, capsys):
    os.mkdir("runs")
    write("runs/0.csv", BASE)
    for _ in range(2):
        assert commands.main("pair runs c.csv --json runs/verdict.json --overwrite".split()) == 0
    capsys.readouterr()


def test_a_pipe_is_written_into_and_a_link_stays_one(tmp_path):
    pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    files.write_whole(pipe, "verdict")
    reader.join(10)
    assert got == ["verdict"] and stat.S_ISFIFO(pipe.stat().st_mode)
    real.write_text("old")
    link.symlink_to(real)
    files.write_whole(link, "new")
    assert link.is_symlink() and real.read_text() == "new"


# ---- names -------------------------------------------------------------------------------------------------

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u2028\u202a-\u202e]")


@pytest.mark.parametrize("name", ["\x1b[31mred\x07", "new\nline\u2028", "\u202eevil" + "日本語" * 9])
def test_names_do_not_reach_the_terminal_as_they_are(folder, capsys, name):
    write("b2.csv", np.r_[BASE, 1 - BASE], [*range(N)] * 2, task=["x"] * N + [name] * N)
    write("c2.csv", np.r_[CANDIDATE, 1 - BASE], [*range(N)] * 2, task=["x"] * N + [name] * N)
    flags = "--report r.html --junit j.xml --markdown m.md".split()
    assert commands.main(["suite", "b2.csv", f"{name}=c2.csv", *flags]) == 0
    printed = capsys.readouterr().out
    written = [path.read_text() for path in folder.rglob("*") if path.suffix in (".html", ".xml", ".md")]
    written += [path.read_text() for path in (folder / "degradation").iterdir()]
    assert not any(UNSEEN.search(text) for text in (printed, *written))
    rows = [line for line in printed.splitlines() if re.match("  [^ n]", line)]
    assert max(map(visible.columns, rows)) <= 80
    ElementTree.fromstring((folder / "j.xml").read_text())


def test_a_model_without_a_name(folder):
    with pytest.raises(InputError, match="a model is called ' '"):
        commands.main(["suite", "b.csv", " =c.csv"])


# ---- watch -------------------------------------------------------------------------------------------------


@pytest.fixture
def failures(folder):
    """600 items in random order; of the candidate the 30 it failed on are no lines at all."""
    rng = np.random.default_rng(3)
    right = rng.random(600) < 0.7
    items = [f"q{i}" for i in rng.permutation(600)]
    failed = np.isin(np.arange(600), rng.choice(np.flatnonzero(right), 30, replace=False))
    write("whole.csv", right.astype(int), items)
    write("part.csv", right[~failed].astype(int), [name for name, gone in zip(items, failed, strict=True) if not gone])


@pytest.mark.parametrize("flags", ["--order file", "--follow .01", "--order file --keep-going"])
def test_failures_that_were_not_written_are_not_safe(failures, capsys, flags):
    command = f"watch whole.csv part.csv --every 600 --fail-on not-shown-safe --margin 3pt {flags}"
    assert commands.main(command.split()) == 1
    assert "UNDECIDED" in capsys.readouterr().out
    assert commands.main([*command.split(), "--missing-at-random"]) == 0


def test_passed_over_until_they_come(tmp_path):
    """An item that the other file has gone past counts against the candidate, and no longer once it is there."""
    from llm_accuracy.degradation.growing import Growing, PassedOver, follow

    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("prompt_id,score\n" + "".join(f"q{i},{i % 2}\n" for i in range(8)))
    other.write_text("prompt_id,score\nq0,0\nq5,1\n")
    runs = Growing(one), Growing(other)
    passed = PassedOver(*runs)
    arrivals = follow(*runs, patience=5.0, interval=0.01, passed=passed)
    assert [next(arrivals)[0], next(arrivals)[0]] == ["q0", "q5"] and (passed.count, passed.lost) == (4, 2)
    with other.open("a") as file:
        file.write("q1,1\n")
    assert next(arrivals) == ("q1", 1.0, 1.0) and (passed.count, passed.lost) == (3, 1)


def test_the_same_file_is_refused_while_it_grows(folder):
    with pytest.raises(InputError, match="are the same content"):
        commands.main("watch b.csv b.csv --follow .01".split())


ONE = '{"prompt_id": "a", "baseline": 1, "candidate": 0}\n'


@pytest.mark.parametrize("flags, stdin, message", [
    ("b.csv c.csv --follow nan", "", "--follow nan"),
    ("b.csv c.csv --follow -1", "", "--follow -1"),
    ("b.csv c.csv --follow 1 --order file", "", "--order is for finished files"),
    ("b.csv c.csv --follow 1 --seed 3", "", "--seed is for finished files"),
    ("b.csv c.csv --range 0 100", "", "takes scores of 0 or 1"),
    ("b.csv c.csv --task zz", "", "no task zz: it has no column task"),
    ("t.csv t.csv --task zz --allow-same", "", "no task zz; the files have x"),
    ("b.csv.gz c.csv", "", "not compressed"),
    ("--order file", ONE, "--order: it is for files"),
    ("--task x", ONE, "--task: it is for files"),
    ("--metric acc", ONE, "--metric: it is for files"),
    ("", ONE.replace('"a"', "null"), "every item needs a name"),
    ("", ONE.replace('"a"', '""'), "every item needs a name"),
])
def test_watch_refuses(folder, monkeypatch, flags, stdin, message):
    write("t.csv", BASE, task="x")
    (folder / "b.csv.gz").write_bytes(b"\x1f\x8b")
    monkeypatch.setattr("sys.stdin", stdin.splitlines(keepends=True))
    refused(f"watch {flags}", message)


def test_a_direction_holds_for_a_stream(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", [ONE])
    commands.main("watch --higher-is-better false --json -".split())
    final = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (final["b"], final["c"]) == (0, 1)


# ---- selections and samples --------------------------------------------------------------------------------


@pytest.fixture
def selection(folder):
    """The content of a selection, and two runs that are not of it."""
    items = [str(i) for i in range(60)]
    runs = np.random.default_rng(5).random((60, 3)) < 0.5
    kept = [i for i in range(60) if 0 < runs[i].sum() < 3]
    scores = {items[i]: [int(score) for score in runs[i]] for i in kept}
    for name, seed in (("n1", 6), ("n2", 7)):
        write(f"{name}.csv", (np.random.default_rng(seed).random(60) < 0.5).astype(int), items)
    return {"sources": ["0", "1", "2"], "tasks": {"scores": list(scores)}, "scores": {"scores": scores}}


@pytest.mark.parametrize("runs, more, message", [
    (1, [], "fewer than two runs"), (0, [], "fewer than two runs"), (3, ["again"], "an item is there twice"),
    (3, ["agreed"], "the runs agree on item 900")])
def test_a_selection_without_its_guard_is_refused(selection, runs, more, message):
    scores = {item: found[:runs] for item, found in selection["scores"]["scores"].items()}
    chosen = list(scores) + (list(scores)[:1] if "again" in more else ["900"] if "agreed" in more else [])
    scores["900"] = [1] * runs
    content = {"sources": ["0", "1", "2"][:runs], "tasks": {"scores": chosen}, "scores": {"scores": scores}}
    files.write_whole("selection.json", json.dumps(content))
    refused("pair n1.csv n2.csv --items selection.json", message)


def test_few_items_are_said_to_be_few(selection):
    item = next(iter(selection["scores"]["scores"]))
    one = {**selection, "tasks": {"scores": [item]}}
    files.write_whole("selection.json", json.dumps(one))
    refused("pair n1.csv n2.csv --items selection.json", "too few to tell whether it is another one")
    files.write_whole("selection.json", json.dumps({**selection, "tasks": {"scores": []}}))
    refused("pair n1.csv n2.csv --items selection.json", "no item was chosen")


def test_a_copy_of_a_run_is_said(folder, capsys):
    files.write_whole("copy.csv", files.Path("b.csv").read_bytes())
    assert commands.main("flips b.csv copy.csv c.csv".split()) == 0
    assert "b.csv and copy.csv are the same content" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("change", [
    {"seed": 0.7}, {"seed": "0"}, {"seed": False}, {"n": {"scores": 20.5}}, {"bank": {"scores": 10**12}},
    {"bank": {"scores": True}}, "twice", "reversed"])
def test_an_edited_sample_is_refused(folder, change):
    content = content_of({"scores": [str(i) for i in range(N)]}, 20, 0)
    if change == "twice":
        content["scores"] += content["scores"][:1]
    elif change == "reversed":
        content["scores"].reverse()
    else:
        content["drawn"] |= change
    files.write_whole("e.json", json.dumps(content))
    refused("pair b.csv c.csv --samples e.json", "e.json: .*(edited|damaged)")


# ---- suites ------------------------------------------------------------------------------------------------


def test_one_task_under_two_names_does_not_count_twice(folder):
    """268 items without a flip do not exclude a point; the same items again are no more of them."""
    for name in ("b", "c"):
        write(f"two_{name}.csv", np.r_[BASE, BASE], [*range(N)] * 2, task=["x"] * N + ["y"] * N)
        write(f"right_{name}.csv", np.ones(268, int), range(268))
    refused("suite two_b.csv two_c.csv --allow-same", "tasks x and y have the same items with the same scores")
    models = {"base": {"t": "right_b.csv", "u": "right_b.csv"}, "new": {"t": "right_c.csv", "u": "right_c.csv"}}
    files.write_whole("models.json", json.dumps(models))
    refused("suite models.json --allow-same", "tasks t and u have the same items")


def test_small_tasks_that_happen_to_agree_are_two(folder, capsys):
    tasks = np.repeat(["x", "y", "z"], [12, 12, N])
    ids = [*range(12), *range(12), *range(N)]
    write("b3.csv", np.r_[np.ones(24, int), BASE], ids, task=tasks)
    write("c3.csv", np.r_[np.ones(24, int), CANDIDATE], ids, task=tasks)
    assert commands.main("suite b3.csv c3.csv".split()) == 0
    capsys.readouterr()


def test_a_single_item_is_named(folder):
    for name, scores in (("b", np.r_[BASE, 0.5]), ("c", np.r_[CANDIDATE, 0.25])):
        write(f"{name}4.csv", scores, [*range(N), 0], task=["x"] * N + ["tiny"])
    refused("suite b4.csv c4.csv", "tiny: there is a single item")
    write("b5.csv", BASE, cluster="all")
    write("c5.csv", CANDIDATE, cluster="all")
    refused("pair b5.csv c5.csv", "scores: all 400 items belong to one cluster")


def test_a_run_of_the_candidate_among_those_of_the_baseline(folder):
    os.mkdir("runs")
    write("runs/0.csv", BASE)
    files.write_whole("runs/1.csv", files.Path("c.csv").read_bytes())
    refused("pair runs c.csv", "runs/1.csv is among the runs of the baseline and of c.csv")


# ---- scales ------------------------------------------------------------------------------------------------


def test_a_wide_range_does_not_shrink_zero_and_one(folder):
    refused("pair b.csv c.csv --range 0 1000", "all scores lie in .0, 1., and --range says 0 to 1000")


def test_unlike_ranges_are_said(folder, capsys):
    write("five.csv", RNG.integers(1, 6, N))
    write("ten.csv", RNG.integers(1, 11, N))
    commands.main("pair five.csv ten.csv".split())
    assert "1 to 5 in the baseline and 1 to 10 in the candidate" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("differences", [[1e-12] * 3 + [-1e-12], [1.0, -1.0, 1e-12, 1e-12], [3e-13, 1.0, -0.5]])
def test_tiny_differences(differences):
    """Against every pattern of signs."""
    d = np.array(differences)
    signs = np.array(np.meshgrid(*[[-1, 1]] * d.size)).reshape(d.size, -1)
    slack = 1e-10 * np.abs(d).sum()
    assert sign_flip_test(d).p == pytest.approx(np.mean(np.abs(d) @ signs >= d.sum() - slack))


# ---- flags that mean nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize("command, message", [
    ("pair --counts 100 9 2 --higher-is-better false", "--higher-is-better: --counts are"),
    ("pair --counts 100 9 2 --max-excluded .2", "--max-excluded: --counts are"),
    ("pair --counts 100 9 2 --missing-at-random", "--missing-at-random: --counts are"),
    ("pair --counts 100 9 2 --task x", "--task: --counts are"),
    ("plan --flip .1 --drop .05 --margin 1pt", "--margin is for --few"),
    ("plan --flip .1 --drop .05 --few-flips .1", "--few-flips is for --few"),
    ("plan --flip .1 --drop .05 --task x", "--task: nothing is read"),
    ("plan --flip .1 --drop .05 --max-excluded .1", "--max-excluded: nothing is read"),
])
def test_flags_that_mean_nothing_are_refused(folder, command, message):
    refused(command, message)


def test_a_plan_of_a_single_item(capsys):
    assert commands.main("plan --n 1 --flip .3 --drop .05".split()) == 0
    assert "1 items find a drop of 5 points with probability 0%" in capsys.readouterr().out


# ---- threshold gates ---------------------------------------------------------------------------------------


def test_a_pair_that_cannot_be_has_no_power():
    """Of 1 % wrong answers no more can be gained, and of 2 % right ones no more lost."""
    for expected, possible in ((0.99, False), (0.02, False), (0.95, True), (0.85, True)):
        found = audit(Gate("g", expected, 0.05, 200), (1.0,), 0.1, 0.05)
        assert (found["paired_power"]["1"] is not None) == possible, expected
    assert audit(Gate("g", 0.85, 0.05, 200), (1.0, 1.0000001), 0.1, 0.05)["power"].keys() == {"1", "1.0000001"}
    assert Gate("g", 0.855, 0.0, 100, two_sided=True).never == "pass" and Gate("g", 0.5, 0.6, 10).never == "fail"
    assert Gate("g", 0.5, 0.5, 10, two_sided=True).never == "fail" and Gate("g", 0.5, 0.1, 10).never is None


CONFIGURATION = "model_name: m\ntasks: [{name: t, limit: 7, metrics: [{name: 3, value: .85, tolerance: .2}]}]\n"


@pytest.mark.parametrize("text, message", [
    ("{name: a, expected: .85, rtol: .05, relative: false, n: 9}", "rtol is a share of expected"),
    ("gates: [{expected: .85, tolerance: .05, n: 9}]\nn: 3", "n beside gates means nothing"),
    ("{expected: .85, tolerance: .05, n: 0250}", "0250 is not a number as one writes it"),
    ("{expected: .85, tolerance: .05, n: 1:30}", "1:30 is not a number as one writes it"),
])
def test_gates_that_say_something_else(tmp_path, text, message):
    pytest.importorskip("yaml")
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_gates(tmp_path / "g.yaml", Stated())


def test_what_a_configuration_says_of_a_task_comes_first(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "g.yaml").write_text(CONFIGURATION + "limit: 250\nrtol: .05\ntwo_sided: true\n")
    assert read_gates(tmp_path / "g.yaml", Stated()) == [Gate("m t 3", 0.85, 0.2, 7, False, True)]
    with pytest.raises(InputError, match="is given twice"):
        commands.main(["audit-gate", *[str(tmp_path / "g.yaml")] * 2])


def test_wide_tables_of_gates_stay_legible(capsys):
    commands.main("audit-gate --expected .85 --tolerance .05 --n 100000 --drops 1 2 3 4 12.345".split())
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


# ---- Python ------------------------------------------------------------------------------------------------

SCORES = BASE.astype(float)


@pytest.mark.parametrize("call, message", [
    (lambda: judge_pair(np.ma.masked_array(BASE, mask=BASE == 0), CANDIDATE), "scores are masked"),
    (lambda: judge_pair(BASE, CANDIDATE, higher_is_better="false"), "True or False is needed"),
    (lambda: judge_pair(100 * BASE, CANDIDATE), "two scales"),
    (lambda: judge_pair(BASE.astype(str), CANDIDATE.astype(str)), "a vector of numbers"),
    (lambda: judge_pair(BASE + 0j, CANDIDATE + 0j), "a vector of numbers"),
    (lambda: judge_pair(np.array([1, None], object), np.array([1, 0], object)), "item 1 is None"),
    (lambda: judge_pair(BASE, CANDIDATE, margin="1pt"), "a number in units of the scores"),
    (lambda: judge_pair(BASE, CANDIDATE, alpha=".05"), "a number is needed"),
    (lambda: judge_pair(BASE, CANDIDATE, interval="wald"), "tango or melded-exact"),
    (lambda: judge_pair(BASE, CANDIDATE, draws=0), "draws = 0"),
    (lambda: judge_pair(BASE, CANDIDATE, clusters=np.r_[np.nan, np.zeros(N - 1)]), "item 0 has none"),
    (lambda: judge_pair(SCORES, SCORES, answers=(np.ones((3, 2)), np.ones((N, 2)))), r"arrays \(400, runs\)"),
    (lambda: judge_counts(100, 3.5, 2), "a whole number"),
    (lambda: judge_counts(10**13, 3, 2), "a whole number"),
    (lambda: judge_counts(100, 3, 2, n11=-1), "a whole number"),
    (lambda: judge_counts(100, 3, 2, n11=96), "n11 = 96 is impossible"),
    (lambda: assert_not_degraded(BASE, BASE.copy()), "the same score on every item"),
    (lambda: assert_not_degraded(pd.Series(BASE), pd.Series(BASE).iloc[::-1]), "the same score on every item"),
    (lambda: assert_not_degraded("b.csv", BASE), "two paths, or the scores of both"),
    (lambda: assert_not_degraded(BASE, CANDIDATE, alpha=".05"), "a number is needed"),
])
def test_python_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_labels_of_clusters_are_only_labels():
    codes = np.arange(N) // 4
    found = [judge_pair(BASE, CANDIDATE, clusters=labels) for labels in
             (codes, 10**9 * codes, -codes, codes.astype(float), codes.astype(str))]
    assert {one.units for one in found} == {N // 4} and len({(one.p, one.ci_high, one.p_safe) for one in found}) == 1
    assert assert_not_degraded(BASE, BASE.copy(), margin="2pt", allow_same=True).within_margin
    masked = np.ma.masked_array(CANDIDATE, mask=np.arange(N) > N - 2)
    assert assert_not_degraded(BASE, masked, margin="2pt").missing == 1
    by_two = pd.MultiIndex.from_product([range(N // 2), ["a", "b"]])
    assert_not_degraded(pd.Series(BASE, by_two), pd.Series(CANDIDATE, by_two), margin="2pt")
    assert judge_counts(np.uint8(200), np.uint8(100), np.uint8(100)).n == 200
