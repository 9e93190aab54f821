"""Where the passes cannot be compiled for CUDA, plain ones give the same results, and one line says so."""

import logging
import threading

import torch

from llm_accuracy.querying import passes


def test_what_cannot_be_compiled_is_called_as_it_is(monkeypatch, capfd):
    """As under ulimit -u, where no thread can be had; what is logged meanwhile is not shown, afterwards it is."""
    def none_left(self):
        raise RuntimeError("can't start new thread")

    plain = passes.fused.__wrapped__(passes.root_variance)
    monkeypatch.setattr(passes, "_FAILED", threading.Event())
    monkeypatch.setattr(threading.Timer, "start", none_left)
    logits = torch.linspace(-3, 3, 8)
    assert torch.equal(plain(logits), passes.root_variance(logits)) and passes._FAILED.is_set()
    assert "the passes cannot be compiled here" in capfd.readouterr().err
    with passes._quiet():
        logging.getLogger("torch._inductor.codecache").warning("unable to load compiled graph")
    assert "unable to load" not in capfd.readouterr().err
    assert logging.getLogger("torch").isEnabledFor(logging.ERROR)
