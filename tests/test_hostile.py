"""Hundreds of hostile inputs, one line of refusal each; output that survives a terminal of ASCII."""

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hostile
import pytest
from conftest import ROOT, run_script
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_accuracy import cli, streams
from llm_accuracy.errors import InputError
from llm_accuracy.live.bank import read_rows
from llm_accuracy.scores import readers
from llm_accuracy.scores.flags import read_directions, read_values
from llm_accuracy.study import flags, grids
from llm_accuracy.study.columns import LOGS
from llm_accuracy.study.ledger import Ledger, read


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "study"
    hostile.make(folder)
    return folder


@pytest.mark.parametrize("part", range(12))
def test_some_hostile_inputs_are_refused_in_one_line_and_nothing_is_written(study, tmp_path, part):
    some = list(hostile.cases())[part::60]
    problems = [(case.script, case.name, hostile.verdict(case, study, tmp_path / "scratch")) for case in some]
    assert not [problem for problem in problems if problem[2]]


@pytest.mark.long
def test_hostile_inputs_are_refused_in_one_line_and_nothing_is_written(study, tmp_path):
    problems = [(case.script, case.name, hostile.verdict(case, study, tmp_path / "scratch"))
                for case in hostile.cases()]
    assert not [problem for problem in problems if problem[2]]


def test_tables_survive_a_terminal_of_ascii(study):
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    command = [sys.executable, ROOT / "summarize_results.py", "--logs-dir", study / "logs"]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0 and b" +-" in done.stdout and not done.stderr
    done.stdout.decode("ascii")


def test_what_the_system_refuses_is_one_line(capsys):
    def full(_):
        with open("/dev/full", "w") as stream:
            stream.write("x")

    with pytest.raises(SystemExit) as end:
        cli.run(full)
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_shows_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda _: 1 // 0)


@given(st.text())
def test_every_text_is_printed_on_ascii(text):
    streams.plain_where_needed()
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="spelt")
    out.write(text)
    out.flush()


@settings(max_examples=300)
@given(st.sampled_from(["seeds", "models", "budgets", "shard", "scenarios", "datasets"]), st.text(max_size=30))
def test_every_text_given_to_a_flag_is_taken_or_refused(name, text):
    parser = flags.parser(None, name)
    try:
        flags.parse(parser, [f"--{name}={text}"])
    except InputError as error:
        assert "\n" not in str(error)
    except SystemExit as end:
        assert end.code == 2


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_every_content_of_a_log_is_read_or_refused_and_left_alone(tmp_path_factory, content, header):
    path = tmp_path_factory.mktemp("log") / "faq_val.csv"
    content = b",".join(name.encode() for name in LOGS["faq_val"].header) + b"\n" + content if header else content
    path.write_bytes(content)
    for reader in (lambda: Ledger(path, LOGS["faq_val"]), lambda: read(path, "faq_val.py")):
        try:
            reader()
        except InputError as error:
            assert str(path) in str(error)
    assert path.read_bytes() == content
    shutil.rmtree(path.parent)


def test_results_of_own_data_sets_go_to_local(capsys):
    def logs_dir(*words):
        return str(flags.parse(flags.parser(None, "datasets", "logs-dir"), list(words)).logs_dir)

    assert logs_dir() == logs_dir("--datasets", "simulated") == "logs" and not capsys.readouterr().out
    assert logs_dir("--datasets", "mine") == "local/mine" and "results are in local/mine" in capsys.readouterr().out
    assert logs_dir("--datasets", "mine", "--logs-dir", "x") == "x"
    with pytest.raises(InputError, match="one at a time"):
        logs_dir("--datasets", "mine", "simulated")
    with pytest.raises(InputError, match="plain name"):
        logs_dir("--datasets", "../mine")


def test_a_filter_leaves_the_summary_and_other_scenarios_alone(study, tmp_path):
    shutil.copytree(study, tmp_path / "study")
    logs = tmp_path / "study" / "logs"
    before = (logs / "summary.csv").read_bytes()
    code, _, said = hostile.run("summarize_results.py", "--datasets", "bank", "--logs-dir", logs)
    assert code == 0 and "left as it is" in said and (logs / "summary.csv").read_bytes() == before
    table = (logs / "faq_coverage.csv").read_text()
    other = table.replace("nfobs=None_p=1.0", "nfobs=50_p=0.1").partition("\n")[2]
    (logs / "faq_coverage.csv").write_text(table + other)
    code, _, said = hostile.run("faq_coverage.py", *hostile.CELL, "--logs-dir", logs, "--data-dir",
                                tmp_path / "study" / "data")
    assert code == 0, said
    found = (logs / "faq_coverage.csv").read_text()
    assert sorted(found.splitlines()) == sorted((table + other).splitlines())


@pytest.mark.parametrize("words, said", [
    (["--count", "1_0"], "'1_0' is not an integer"), (["--count", "\u0663"], "is not an integer"),
    (["--share", "1_0"], "'1_0' is not a number"), (["--share", "\u0663"], "is not a number"),
    (["--share", "--"], "--share: a value is needed|expected one argument"),
    (["--names", "--"], "at least one argument"), (["--stem", "a\x1b[31mb"], "control characters in a name"),
    (["--names", "a", "a"], "a is given twice"), (["--path", " "], "a path is needed"),
    (["--path", "a\x1b[31mb"], "control characters in a name"), (["--path", "loop"], "a link that leads to itself"),
    (["--path", "loop/x"], "a link that leads to itself"), (["--shard", "\u0660/3"], "is not i/n"),
    (["--least", "1_0"], "is not an integer"), (["--budget", "101%"], "100% at most"),
    (["--budget", "\u0663"], "give a number of questions"), (["--value", "A=1", "A=0"], "A is given two scores"),
    (["--value", "9=0", "9.0=1"], "9.0 is given two scores"), (["--value", "A=1_0"], "expected WORD=SCORE"),
    (["--directions", "true", "false"], "the other way round"), (["--directions", "=true"], "expected true, false")])
def test_a_flag_takes_what_a_person_would_write(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    parser = cli.Parser()
    for flag, kind in (("count", int), ("share", float), ("path", Path), ("shard", cli.shard), ("stem", cli.stem),
                       ("least", cli.at_least(1))):
        parser.add_argument(f"--{flag}", type=kind)
    for flag in ("names", "budget", "value", "directions"):
        parser.add_argument(f"--{flag}", nargs="+")
    with pytest.raises((InputError, SystemExit)) as error:
        args = parser.parse_args(words)
        grids.parse_budgets(args.budget or [], 50, "board")
        read_values(args.value or [])
        read_directions(args.directions or [])
    assert re.search(said, capsys.readouterr().err + str(error.value))


def test_a_pipe_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "p.csv")
    for read_it in (lambda: readers.read("long", [tmp_path / "p.csv"]), lambda: readers.read_model(tmp_path / "p.csv"),
                    lambda: read_rows(tmp_path / "p.csv", ["question"])):
        with pytest.raises(InputError, match="a pipe, a socket or a device"):
            read_it()


@given(st.one_of(st.text(max_size=12), st.floats().map(str), st.integers().map(str)))
def test_a_number_is_read_as_it_stands_or_refused(text):
    for kind, plain in ((cli.whole, int), (cli.real, float)):
        try:
            found = kind(text)
        except argparse.ArgumentTypeError:
            continue
        assert text.isascii() and "_" not in text and str(found) == str(plain(text))


@pytest.mark.parametrize("name", ["no_interval", "round_sizes"])
def test_a_benchmark_refuses_a_budget_in_other_digits_in_one_line(tmp_path, name):
    rows = [f"m{i},2024-01-{i + 1:02d},s," + ",".join(str((i + q) % 2) for q in range(12)) for i in range(8)]
    header = "model,created_date,sha," + ",".join(f"q{q}" for q in range(12))
    (tmp_path / "b.csv").write_text("\n".join([header, *rows]))
    done = run_script(f"benchmarks/{name}.py", tmp_path / "b.csv", "--budgets", "\u00b2", code=2)
    assert done.stderr.startswith("error: budget") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code_and_catch_no_file(tmp_path, closed):
    gate = f"{sys.executable} -m llm_accuracy pair --counts 1000 60 20 --json gate.json --fail-on degraded"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(f"{gate} {closed}", shell=True, cwd=tmp_path, env=environment,
                          capture_output=True).returncode == 1
    assert json.loads((tmp_path / "gate.json").read_text())


def test_an_error_that_cannot_be_said_is_still_an_exit_code():
    done = subprocess.run(f"{sys.executable} mcnemar_tests.py pair none none 2> /dev/full", shell=True, cwd=ROOT)
    assert done.returncode == 2
