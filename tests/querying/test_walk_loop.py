"""The walks' loop in C where it cannot be built or is given the wrong arrays; that it rounds as NumPy does is in
test_querying.py."""

import os

import numpy as np
import pytest

from llm_accuracy.querying import walk_loop

BLOCK = 64


@pytest.fixture(autouse=True)
def nothing_is_built():
    walk_loop.built.cache_clear()
    yield
    walk_loop.built.cache_clear()


def compiler(folder, text):
    """A C compiler of that shell script."""
    (folder / "cc").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "cc").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_few_coins_are_not_worth_a_compiler():
    assert walk_loop.for_coins(walk_loop.PAYS_FROM - 1, BLOCK) is None


def test_without_a_compiler_numpy_serves(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert walk_loop.for_coins(1e12, BLOCK) is None and capsys.readouterr().err == ""


@pytest.mark.parametrize(("script", "said"), [
    ("echo 'walk_loop.c:1: note: so' >&2; echo 'walk_loop.c:2: fatal error: stddef.h: No such file' >&2; exit 1",
     "fatal error: stddef.h"),
    ("while [ \"$1\" != -o ]; do shift; done; echo rubbish > \"$2\"", "walk_loop.so"),
    ("exit 0", "walk_loop.so"),
    ("sleep 5", "not done after 0.5 seconds"),
    ("printf '\\377\\376 error' >&2; exit 3", "error"),
], ids=["error", "damaged", "nothing", "hangs", "bytes"])
def test_what_cannot_be_built_is_one_line(monkeypatch, capsys, tmp_path, script, said):
    monkeypatch.setenv("PATH", compiler(tmp_path, script))
    monkeypatch.setattr(walk_loop, "SECONDS", 0.5)
    assert walk_loop.for_coins(1e12, BLOCK) is None and walk_loop.for_coins(1e12, BLOCK) is None
    [line] = capsys.readouterr().err.splitlines()
    assert f"cannot be built with {tmp_path / 'cc'}" in line and said in line


@pytest.mark.skipif(walk_loop.built(BLOCK) is None, reason="no C compiler here")
def test_a_compiler_that_does_not_know_this_machine(monkeypatch, tmp_path):
    """Built without -march=native where the compiler refuses it."""
    real = next(filter(None, map(walk_loop.shutil.which, ("cc", "gcc", "clang"))))
    refuses = 'case "$*" in *-march*) echo "error: -march" >&2; exit 1;; esac; exec ' + real + ' "$@"'
    monkeypatch.setenv("PATH", compiler(tmp_path, refuses))
    assert walk_loop.built(BLOCK) is not None


@pytest.mark.skipif(walk_loop.built(BLOCK) is None, reason="no C compiler here")
@pytest.mark.parametrize(("name", "wrong"), [("scores", np.zeros((3, 4), np.float32)), ("uniforms", np.zeros((2, 4))),
                                             ("wanted", np.zeros((2, 4)).T), ("sums", np.zeros((2, 2, 3)))])
def test_arrays_of_another_form_never_reach_c(name, wrong):
    loop = walk_loop.built(BLOCK)
    arrays = {"uniforms": np.zeros((3, 4)), "scores": np.zeros((3, 4)), "wanted": np.zeros((4, 2)),
              "predictions": np.zeros(4), "least": np.ones(2), "allowance": np.zeros(2), "kept": np.ones(2),
              "left": np.ones((2, 3)), "labels": np.zeros((2, 3)), "sums": np.zeros((4, 2, 3))}
    loop.walk(**arrays)
    assert (arrays["labels"] == 4).all()
    with pytest.raises(ValueError, match="needs contiguous float64"):
        loop.walk(**{**arrays, name: wrong})
