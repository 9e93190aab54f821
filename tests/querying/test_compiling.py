"""Where the passes cannot be compiled, plain ones give the same results, and one line says so."""

import logging
import os
import subprocess
import sys
import threading

import pytest
import torch
from conftest import ROOT

from llm_accuracy.querying import passes

SCRIPT = """
import torch
from llm_accuracy.querying import passes
logits = torch.linspace(-3, 3, 256).reshape(1, 2, 128)
some = passes.Passes(True)
for one, same in zip(some.oracle_pass(logits, None), passes.oracle_pass(logits, None), strict=True):
    torch.testing.assert_close(one, same)
variance = torch.ones(1, 2, 128)
some.shrink_pass(variance, torch.full_like(variance, .5))
assert (variance == .75).all(), variance
print("same")
"""


@pytest.mark.parametrize("broken", ["compiler", "TMPDIR"])
def test_a_compiler_that_fails_is_one_line(tmp_path, broken):
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'x.cpp:1:10: fatal error: Python.h: No such file or directory' >&2\nexit 1\n")
    compiler.chmod(0o755)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    environment |= ({"CXX": str(compiler), "PATH": f"{tmp_path}:{os.environ['PATH']}"} if broken == "compiler"
                    else {"TORCHINDUCTOR_CACHE_DIR": "/proc/none", "TMPDIR": "/proc/none"})
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, text=True, capture_output=True)
    assert done.returncode == 0 and done.stdout == "same\n", done.stderr
    assert done.stderr.count("cannot be compiled here") == 1 and "Traceback" not in done.stderr
    assert "if a compilation was cut off before, delete " in done.stderr


def test_no_thread_to_say_that_it_is_slow_is_no_failure(monkeypatch, capfd):
    """As under ulimit -u; and what is logged meanwhile is not shown, afterwards it is."""
    def none_left(self):
        raise RuntimeError("can't start new thread")

    plain = passes.fused.__wrapped__(passes.root_variance, 1)
    monkeypatch.setattr(passes, "_FAILED", threading.Event())
    monkeypatch.setattr(threading.Timer, "start", none_left)
    logits = torch.linspace(-3, 3, 8)
    assert torch.equal(plain(logits), passes.root_variance(logits)) and passes._FAILED.is_set()
    with passes._quiet():
        logging.getLogger("torch._inductor.codecache").warning("unable to load compiled graph")
    assert "unable to load" not in capfd.readouterr().err
    assert logging.getLogger("torch").isEnabledFor(logging.ERROR)
