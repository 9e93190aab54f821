"""Shared by all tests: where the real matrices and golden values are, and how a script is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(scope="session")
def shared():
    """The folder of real matrices, golden values and published tables, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: the real matrices and golden values are not part of the project")
    return SHARED


@pytest.fixture
def script():
    """Run a script of the project in a process of its own: script("faq_final.py", "--seeds", 5)."""

    def run(name, *arguments, code=0, cwd=ROOT):
        done = subprocess.run([sys.executable, str(ROOT / name), *map(str, arguments)], cwd=cwd,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == code, f"{name} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    return run
