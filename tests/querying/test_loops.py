"""The loops in C: each against float64, where they cannot be built, and arrays that they would misread. That walks are
those of NumPy to the last bit, and that traces agree, is in test_querying.py."""

import os

import numpy as np
import pytest
import torch

from llm_accuracy.querying import loops, passes

needs_compiler = pytest.mark.skipif(loops.built() is None, reason="no C compiler here")


@pytest.fixture(autouse=True)
def nothing_is_built():
    loops.built.cache_clear()
    yield
    loops.built.cache_clear()


def compiler(folder, text):
    """A C compiler of that shell script."""
    (folder / "cc").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "cc").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_little_work_is_not_worth_a_compiler():
    assert loops.for_work(loops.PAYS_FROM - 1) is None


def test_without_a_compiler_there_are_none(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert loops.for_work(1e12) is None and capsys.readouterr().err == ""


@pytest.mark.parametrize(("script", "said"), [
    ("echo 'loops.c:1: note: so' >&2; echo 'loops.c:2: fatal error: stddef.h: No such file' >&2; exit 1",
     "fatal error: stddef.h"),
    ("while [ \"$1\" != -o ]; do shift; done; echo rubbish > \"$2\"", "loops.so"),
    ("exit 0", "loops.so"),
    ("sleep 5", "not done after 0.5 seconds"),
    ("printf '\\377\\376 error' >&2; exit 3", "error"),
], ids=["error", "damaged", "nothing", "hangs", "bytes"])
def test_what_cannot_be_built_is_one_line(monkeypatch, capsys, tmp_path, script, said):
    monkeypatch.setenv("PATH", compiler(tmp_path, script))
    monkeypatch.setattr(loops, "SECONDS", 0.5)
    assert loops.for_work(1e12) is None and loops.for_work(1e12) is None
    [line] = capsys.readouterr().err.splitlines()
    assert f"cannot be built with {tmp_path / 'cc'}" in line and said in line


@needs_compiler
def test_a_compiler_that_does_not_know_this_machine(monkeypatch, tmp_path):
    """Built without -march=native where the compiler refuses it."""
    real = next(filter(None, map(loops.shutil.which, ("cc", "gcc", "clang"))))
    refuses = 'case "$*" in *-march*) echo "error: -march" >&2; exit 1;; esac; exec ' + real + ' "$@"'
    monkeypatch.setenv("PATH", compiler(tmp_path, refuses))
    assert loops.built() is not None


@needs_compiler
@pytest.mark.parametrize(("name", "wrong"), [("scores", np.zeros((3, 4), np.float32)), ("uniforms", np.zeros((2, 4))),
                                             ("wanted", np.zeros((2, 4)).T), ("sums", np.zeros((2, 2, 3)))])
def test_arrays_of_another_form_never_reach_c(name, wrong):
    built = loops.built()
    arrays = {"uniforms": np.zeros((3, 4)), "scores": np.zeros((3, 4)), "wanted": np.zeros((4, 2)),
              "predictions": np.zeros(4), "least": np.ones(2), "allowance": np.zeros(2), "kept": np.ones(2),
              "left": np.ones((2, 3)), "labels": np.zeros((2, 3)), "sums": np.zeros((4, 2, 3))}
    built.walk(**arrays)
    assert (arrays["labels"] == 4).all()
    with pytest.raises(ValueError, match="needs contiguous float64"):
        built.walk(**{**arrays, name: wrong})


@needs_compiler
def test_tensors_of_another_form_never_reach_c():
    logits, built = torch.zeros(2, 3, loops.BLOCK), loops.built()
    for wrong in (logits.double(), logits.transpose(0, 1)):
        with pytest.raises(ValueError, match=r"needs contiguous torch\.float32"):
            built.oracle_pass(wrong, None)


@needs_compiler
@pytest.mark.parametrize("spread", [0.1, 3.0, 40.0])
def test_passes_are_those_of_float64(spread):
    """To float32's rounding, also where logits are large, closed, or all of a block's, and with powers of 0 to 1."""
    rng, built = torch.Generator().manual_seed(1), loops.built()
    logits = spread * torch.randn(5, 7, loops.BLOCK, generator=rng)
    logits[:, :, :9], logits[:, 3], logits[0, 0, 0] = -torch.inf, -torch.inf, torch.inf
    toward, variance = (torch.randn(logits.shape, generator=rng).abs() for _ in range(2))
    oracle, learning = torch.rand(2, 5, 1, 1, generator=rng)
    beta = torch.tensor([1.0, 0.5, 0.25, 1e-3, 0.9])[:, None, None]

    def close(found, name, *arguments):
        exact = getattr(passes, name)(*(None if one is None else one.double() for one in arguments))
        for one, other in zip(*(one if isinstance(one, tuple) else (one,) for one in (found, exact)), strict=True):
            np.testing.assert_allclose(one, other, rtol=3e-6, atol=1e-35)

    for power in (None, beta):
        close(built.oracle_pass(logits, power), "oracle_pass", logits, power)
    close(built.weights(logits), "weights", logits)
    close(built.learning_pass(logits, toward, variance), "learning_pass", logits, toward, variance)
    mixed = logits, toward, variance, oracle, learning, beta
    close(built.mixed_pass(*mixed), "mixed_pass", *mixed)
    flat = logits.reshape(5, -1)[:, :-3].clamp(-20, 20).contiguous()  # of any length; a walk's logits are finite
    close(built.uncertainty_pass(flat), "uncertainty_pass", flat)
    assert torch.equal(built.shrink_pass(variance.clone(), toward), passes.shrink_pass(variance, toward))
