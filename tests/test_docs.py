"""The documents say what the code does: scripts, commands, flags, paths, links, generated tables, README examples."""

import ast
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import pytest
from conftest import ROOT, SHARED, run_script

from llm_accuracy.__main__ import COMMANDS
from llm_accuracy.__main__ import main as console

sys.path.insert(0, str(ROOT / "docs"))
import tables

PAGES = {str(path.relative_to(ROOT)): path.read_text()
         for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md")])}
EVERYTHING = "\n".join(PAGES.values())
SCRIPTS = [str(path.relative_to(ROOT))
           for path in tables.scripts(".", "data", "benchmarks", "docs", "figures", "slurm")]
WITH_COMMANDS = "mcnemar_tests.py"  # takes those subcommands of llm-accuracy that are degradation tests
LONGEST_README = 120
# Flags of other programs that the documents name: the harness, inspect_ai, lighteval, OpenCompass, pip, pytest.
FOREIGN_FLAGS = {"--log_samples", "--batch_size", "--gen_kwargs", "--extra-index-url", "--model_args", "--tasks",
                 "--device", "--apply_chat_template", "--include_path", "--epochs", "--max-samples", "--retry-on-error",
                 "--model-base-url", "--api-key", "--save-details", "--dump-eval-details"}
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
CODE = re.compile(r"^```.*?^```$|^(?: {4}\S.*\n)+|`[^`\n]+(?:\n[^`\n]+)?`", re.MULTILINE | re.DOTALL)


def words_of_code() -> list[tuple[str, str]]:
    """(page, code) of every fenced or indented block and of every word in backticks."""
    return [(page, found[0]) for page, text in PAGES.items() for found in CODE.finditer(text)]


@cache
def flags_of(*command: str) -> frozenset[str]:
    """The flags in a script's, or a subcommand's, --help."""
    if command[0] == WITH_COMMANDS and command[1:] and COMMANDS[command[1]][0] != COMMANDS["pair"][0]:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
            console([command[1], "--help"])
        return frozenset(FLAG.findall(shown.getvalue()))
    return frozenset(FLAG.findall(run_script(*command, "--help").stdout))


def command_lines() -> list[tuple[str, tuple[str, ...], list[str]]]:
    """(page, script and subcommand, the words after them) of every command of ours in a document."""
    found = []
    for page, code in words_of_code():
        for line in re.sub(r"\\\n", " ", code).strip("`").splitlines():
            line = re.sub(r"\s#.*", "", line)
            called = re.search(r"(?:python |\$\(PY\) )((?:[\w-]+/)*[\w-]+\.py)\b(.*)|llm-accuracy\s(.*)", line)
            if called:
                script, rest = (called[1], called[2]) if called[1] else (WITH_COMMANDS, called[3])
                words = rest.split(" -- ")[0].split()
                subcommand = words[:1] if script == WITH_COMMANDS and words[:1] and words[0] in COMMANDS else []
                found.append((page, (script, *subcommand), words))
    return found


def test_command_lines_are_seen():
    commands = {command for _, command, _ in command_lines()}
    assert {("faq_final.py",), ("mcnemar_tests.py", "pair"), ("data/split_history.py",)} <= commands


def test_scripts_and_commands_that_are_named_exist():
    for page, command, _ in command_lines():
        assert command[0] in SCRIPTS, f"{page} names {command[0]}, which does not exist"
    for page, command, words in command_lines():
        if command == (WITH_COMMANDS,):
            assert not words or words[0] in ("COMMAND", "--help"), f"{page}: no command {words[0]}"
    for page, code in words_of_code():
        for name in re.findall(r"(?<![\w/.-])[a-z_]+\.py\b", code):
            assert list(ROOT.rglob(f"{name}")), f"{page} names {name}, which does not exist"


@pytest.mark.parametrize("name", [*SCRIPTS, *(f"llm-accuracy {name}" for name in COMMANDS)])
def test_every_script_and_command_is_documented(name):
    assert name in EVERYTHING or f"`{name.removeprefix('llm-accuracy ')}`" in EVERYTHING


def test_flags_that_are_named_exist():
    unknown = [(page, command, flag) for page, command, words in command_lines() if command[0] in SCRIPTS
               for flag in FLAG.findall(" ".join(words))
               if flag not in flags_of(*command) | FOREIGN_FLAGS]
    assert not unknown
    somewhere = {flag for script in SCRIPTS for flag in flags_of(script)}
    somewhere |= {flag for name in COMMANDS for flag in flags_of(WITH_COMMANDS, name)}
    assert not {flag for page, code in words_of_code() for flag in FLAG.findall(code)} - somewhere - FOREIGN_FLAGS


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line.partition("#")[0].strip("` ") for _, code in words_of_code() for line in code.splitlines()]
    made = [re.match(r"make((?: [a-z-]+)+)(?= {2}| [A-Z]|$)", line) for line in lines]
    named = {target for found in made if found for target in found[1].split()}
    assert {"quickstart", "test", "headline"} <= named and not named - targets


def test_paths_and_links_exist():
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: no {target}"
        for path in re.findall(r"`((?:llm_accuracy|tests|docs|data|figures|benchmarks|slurm)/[\w./-]+)`", text):
            made = path.startswith(("data/raw", "data/processed"))
            assert made or (ROOT / path).exists(), f"{page}: no {path}"


def test_python_in_documents_is_python():
    blocks = [(page, block) for page, text in PAGES.items()
              for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) >= 3
    for page, block in blocks:
        tree = ast.parse(block, page)
        for node in ast.walk(tree):
            # inspect_ai and lighteval, which recipes use, are no requirements: there is nothing to compare with
            if isinstance(node, ast.ImportFrom) and find_spec(node.module.partition(".")[0]):
                module = __import__(node.module, fromlist=["_"])
                assert all(hasattr(module, alias.name) for alias in node.names), page


RECIPES_ARE_FOUND = """
import matplotlib, numpy, pathlib, torch
from types import SimpleNamespace

from llm_accuracy import __main__ as console
from llm_accuracy.degradation import commands
from llm_accuracy.live import command as live
from llm_accuracy.querying import estimators, policies, rivals
from llm_accuracy.querying.rival_estimates import History
from llm_accuracy.querying.trace import Trace
from llm_accuracy.scores import readers
from llm_accuracy.study.gallery import FIGURES

pathlib.Path("answers.tsv").write_text("model\\tquestion\\tscore\\na\\tq0\\t1\\na\\tq1\\t0\\nb\\tq0\\t0\\nb\\tq1\\t1\\n")
matrix, _ = readers.read("tsv", [pathlib.Path("answers.tsv")])
assert matrix.scores.tolist() == [[1, 0], [0, 1]]

beliefs = SimpleNamespace(p=torch.tensor([[0.5, 1.0]]))
assert policies.named("confident").function("scores")(beliefs, None).tolist() == [[0, 1]]

history = History(numpy.array([[0.0, 1.0]]), numpy.array([0.0, 1.0]))
found = rivals.RIVALS["half-way"].of(numpy.array([[1.0, 1.0]]), 2, numpy.array([[0.3, 0.1]]), history)
assert found.estimate.theta == [1.0] and found.asked.tolist() == [[1, 0]]

steps = numpy.array([[0.25, 0.5, 0.75]])
trace = Trace((4 * steps).astype(int), numpy.array([[0.0, 1.0, 1.0]]), steps / 2, steps, 2 + steps)
wide, narrow = (estimators.estimator("without", name).of(trace, 4) for name in ("wider", "pooled"))
assert wide.theta == narrow.theta and numpy.allclose(wide.se, 1.1 * narrow.se) and narrow.se > 0

assert commands.main(["pair", "--counts", "100", "20", "5"]) == 0
assert commands.main(["odds", "--counts", "30", "20"], commands=[COMMAND]) == 0
pathlib.Path("my_package").mkdir()
pathlib.Path("my_package/by_length.py").write_text('''
class ByLength:
    model, settings, versions = "by-length", {}, {}
    def __init__(self, request): pass
    def bank(self): return None
    def ask(self, asked, bank, take):
        for question in asked.questions: take([(question, len(question) < 3, {})])
    def close(self, result): pass
''')
pathlib.Path("bank.csv").write_text("question\\n" + "".join(f"q{i}\\n" for i in range(30)))
words = "--history none --questions bank.csv --budget 20 --by-length"
assert live.main(["evaluate", "by_length", *words.split()]) == 0 and pathlib.Path("by_length/report.html").exists()
pathlib.Path("my_package/odds.py").write_text("main = lambda argv: len(argv)")
assert console.main(["odds", "--more"]) == 2

drawing = FIGURES.notebook("appendix", LOGS)
drawing("appendix_4_unique")
"""


def test_recipes_run_and_what_they_add_is_found(tmp_path):
    """The blocks of CONTRIBUTING.md, each with names of its own, in one process; then one look for each."""
    blocks = re.findall(r"```python\n(.*?)```", PAGES["CONTRIBUTING.md"], re.DOTALL)
    assert len(blocks) == 9
    code = (f"import sys; sys.path[:0] = [{str(ROOT)!r}, '.']\nfor block in {blocks!r}:\n"
            "    exec(block, space := {})\n    COMMAND = space.get('COMMAND') or globals().get('COMMAND')\n"
            f"LOGS = {str(ROOT / 'logs')!r}\n{RECIPES_ARE_FOUND}")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "MPLBACKEND": "Agg"})
    assert done.returncode == 0, done.stderr
    assert "p_ranks" in done.stdout and "1.50 losses a gain" in done.stdout
    assert {path.name for path in tmp_path.glob("appendix_4_unique_*.png")} == {
        f"appendix_4_unique_{dataset}.png" for dataset in ("simulated", "open_llm_leaderboard_v2", "twin")}


# ---- tables that cannot disagree with the code -------------------------------------------------------------


def test_generated_tables_are_fresh():
    for page in tables.PAGES:
        assert PAGES[page] == tables.renewed(PAGES[page]), f"{page}: run python docs/tables.py"
    for name in tables.SECTIONS:
        assert f"<!-- {name} -->" in EVERYTHING


def test_steps_are_numbered_without_gaps():
    numbers = [tables.described(path)[0] for path in tables.scripts()]
    assert sorted({int(re.sub(r"\D", "", number)) for number in numbers if number}) == list(range(1, 13))


def test_what_a_script_says_of_itself():
    assert tables.STEP.fullmatch("Step 1a: scrape it.")["number"] == "1a"
    assert tables.TIME.search("laptop tier, about 3 minutes on two cores")[0] == "about 3 minutes"
    assert tables.TIME.search("A pair takes seconds, a suite less than half a minute")[0] == "seconds"
    assert tables.renewed("a\n<!-- steps -->\nold\n<!-- /steps -->\nb").count("\n") == len(tables.steps()) + 3


def test_numbers_of_the_readme_are_those_of_the_pages():
    """The table of real boards: ESS by error and coverage, means over five boards."""
    page = PAGES["docs/boards.md"].split("## Means over 5 boards\n")[1].split("\n## ")[0]
    budgets, *means = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()[1:]
                       if line.startswith("|")]
    mean = {row[0]: dict(zip(budgets[1:], row[1:], strict=True)) for row in means if len(row) == len(budgets)}
    named = {"growing rounds": "growing rounds", "FAQ": "FAQ", "regression on the history": "regression",
             "stratified on the history": "stratified", "best baseline of the paper": "best baseline"}
    rows = re.findall(r"\| \*{0,2}([\w ]+?)\*{0,2}(?: \([^|]*\))? \|((?: [\d.]+ ×, \.\d+ \|){4})", PAGES["README.md"])
    assert {name for name, _ in rows} == set(named)
    for name, cells in rows:
        shown = re.findall(r"([\d.]+) ×, (\.\d+)", cells)
        for budget, (ess, coverage) in zip(("20", "100", "10%", "25%"), shown, strict=True):
            found = re.fullmatch(r"([\d.]+), [\d.]+ / ([\d.]+)", mean[named[name]][budget])
            assert found and (found[1], found[2]) == (f"0{coverage}", ess), (name, budget)


# ---- README ------------------------------------------------------------------------------------------------


def readme_blocks() -> list[tuple[str, str]]:
    """(the comment before a fenced block or "", the block) of the README."""
    return re.findall(r"(?:<!-- ([^\n]*) -->\n)?^```\n(.*?)^```$", PAGES["README.md"], re.MULTILINE | re.DOTALL)


def test_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= LONGEST_README
    assert max(map(len, (line for line in PAGES["README.md"].splitlines() if not line.startswith("|")))) <= 130


def test_readme_commands_are_run_or_marked():
    for marker, block in readme_blocks():
        if re.search(r"^(\$ |make |pip |python |llm-accuracy )", block, re.MULTILINE):
            assert re.match(r"run\b|not run: \w.{20,}", marker), f"run it or say why not:\n{block}"


@pytest.mark.parametrize("marker, block", [block for block in readme_blocks() if block[0].startswith("run")])
def test_readme_commands_print_what_is_shown(marker, block, tmp_path):
    """The lines shown are those printed, in this order; lines may be left out."""
    source = re.fullmatch(r"run(?: with ([\w./-]+): \{(.*)\}\.csv of \.\./shared)?", marker)
    if source[1]:
        if not SHARED.is_dir():
            pytest.skip(f"{SHARED} is not there: the real pairs are not part of the project")
        for role in source[2].split(","):
            shutil.copy(SHARED / f"{source[1]}.{role}.csv", tmp_path / f"{role}.csv")
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        words = shlex.split(command)
        start = [sys.executable, "-m", "llm_accuracy"] if words[0] == "llm-accuracy" else [sys.executable]
        done = subprocess.run([*start, *words[1:]], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed = iter(done.stdout.splitlines())
        for line in shown.splitlines():
            assert line in printed, f"not printed, or not in this order: {line}"
