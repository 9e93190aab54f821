"""The scripts of data/: short, and quick to say what they do or what is wrong with their arguments."""

import subprocess
import sys

import pytest
from conftest import ROOT

SCRIPTS = sorted((ROOT / "data").glob("*.py"))
SLOW = {"numpy", "pandas", "scipy", "torch", "pyarrow", "huggingface_hub", "matplotlib"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_a_docstring_flags_and_one_call(path):
    assert len(path.read_text().splitlines()) <= 130


@pytest.mark.parametrize(("script", "arguments", "code", "allowed"), [
    *((path.stem, "--help", 0, "") for path in SCRIPTS),
    *((path.stem, "--no-such-flag", 2, "") for path in SCRIPTS),
    ("scrape_leaderboard", "--since yesterday", 2, ""),
    ("scrape_leaderboard", "--datasets mmlu", 2, ""),
    ("simulate_leaderboard", "--share 2", 2, ""),
    ("simulate_leaderboard", "--models 30 --from-factors f.npz", 2, ""),
    ("simulate_leaderboard", "--models 3", 2, "numpy scipy"),
    ("simulate_missingness", "--scenarios half", 2, "numpy"),
    ("split_history", "absent.csv --dataset mine", 2, ""),
    ("split_history", "absent.csv --dataset mine --share 2", 2, ""),
    ("split_history", "absent.csv --dataset mine --from odd", 2, ""),
    ("unpack", "--data-dir absent", 2, "numpy"),
])
def test_help_and_argument_errors_load_nothing_slow(script, arguments, code, allowed, tmp_path):
    """Under .5 s on an idle core: what may be loaded is asked, since a clock would ask how busy the machine is."""
    program = (
        "import runpy, sys\n"
        f"sys.argv = [{str(ROOT / 'data' / (script + '.py'))!r}, *{arguments.split()!r}]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        f"except SystemExit as end:\n    assert end.code == {code}, end.code\n"
        f"slow = {SLOW!r} & sys.modules.keys()\n"
        f"assert slow <= set({allowed.split()!r}), slow")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
