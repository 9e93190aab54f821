"""Shared by all tests: where the real matrices and golden values are, and how a script is run."""

import importlib.util
import io
import multiprocessing
import os
import runpy
import sys
import tempfile
import threading
from collections import Counter
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
HARNESS = ROOT / ".venv-lm-eval"  # lm-evaluation-harness, where `make test` could install it
INSPECT = ROOT / ".venv-inspect"  # packages of inspect_ai, likewise; last on the path, so that .venv's own win

if INSPECT.is_dir():
    sys.path.append(str(INSPECT))
# `make test` runs two processes side by side (pytest-xdist): each gets its share of the cores.
torch.set_num_threads(max(1, min(2, os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))


@pytest.fixture(scope="session")
def shared():
    """The folder of real matrices, golden values and published tables, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: the real matrices and golden values are not part of the project")
    return SHARED


TRIED: Counter[str] = Counter()  # random inputs by kind, for the line at the end of the tests


# Files of a few slow tests, begun first, so that no process is left alone with one at the end.
SLOW = ("test_harnesses.py", "test_slurm.py", "test_server.py", "test_run_examples.py", "test_degradation_figures.py",
        "test_comparison_harness.py", "test_study.py", "test_paper_on_board.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


def pytest_sessionfinish(session):
    """A process of several that share the tests hands its counts to the one that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(TRIED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    TRIED.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter):
    if TRIED:
        terminalreporter.section("random inputs tried, by kind")
        for kind, count in sorted(TRIED.items()):
            terminalreporter.write_line(f"{count:6,}  {kind}")


# Scripts run in processes of their own, forked from a server that has the slow imports behind it.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["torch", "pandas", "scipy.stats", "matplotlib.pyplot", "tqdm"])
# Starting a child also reads the exit codes of the others: two threads reading one child's would lose it.
_EXIT_CODES = threading.Lock()


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def not_installed(what: str, how: str) -> NoReturn:
    """Skip a test whose tool is not installed; in CI, where it must be, the test fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {what}: {how}")
    pytest.skip(f"no {what} ({how})")


def harness_python(*needed: Path) -> Path:
    """The interpreter that has lm-evaluation-harness; the test is skipped where it or a `needed` folder is absent."""
    python = HARNESS / "bin" / "python"
    if not all(path.exists() for path in (python, *needed)):
        not_installed(".venv-lm-eval", "`make test` installs lm-evaluation-harness there")
    return python


@pytest.fixture(scope="session")
def inspect_ai():
    """The package inspect_ai; tests are skipped where it is not installed."""
    try:
        import inspect_ai
    except ImportError:
        not_installed("inspect_ai", "`make test` installs it into .venv-inspect")
    return inspect_ai


def _run_as_main(path, arguments, cwd, outputs, stdin):
    """In the child: become `python path arguments…`, with both outputs going to files."""
    for number, output in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdin = io.StringIO(stdin)
    os.chdir(cwd)
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    if INSPECT.is_dir() and str(INSPECT) not in sys.path:
        sys.path.append(str(INSPECT))
    runpy.run_path(str(path), run_name="__main__")


def run_script(name, *arguments, code=0, cwd=ROOT, timeout=300, stdin=""):
    """Run a script of the project and check its exit code (None: any): run_script("faq_final.py", "--seeds", 5)."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / stream for stream in ("stdout", "stderr")]
        arguments = (ROOT / name, list(map(str, arguments)), cwd, outputs, stdin)
        child = _SERVER.Process(target=_run_as_main, args=arguments)
        with _EXIT_CODES:
            child.start()
        if not wait([child.sentinel], timeout):
            child.kill()
        with _EXIT_CODES:
            child.join()
        stdout, stderr = (output.read_text() for output in outputs)
    assert code in (None, child.exitcode), f"{name} exited {child.exitcode}:\n{stdout}\n{stderr}"
    return Done(child.exitcode, stdout, stderr)


@pytest.fixture
def script():
    return run_script


@cache
def few_answers_benchmark():
    """benchmarks/few_answers.py as a module, which imports its neighbours."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("few_answers_benchmark", ROOT / "benchmarks" / "few_answers.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module
