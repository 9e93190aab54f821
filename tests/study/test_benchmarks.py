"""What benchmarks start, and the memory they tell."""

import argparse
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

sys.path.insert(0, str(ROOT / "benchmarks"))
import large
import live
import low_rank
import memory
import suites
import workers

from llm_accuracy.degradation import commands


class ParsedError(Exception):
    pass


def started(monkeypatch, main, *words):
    """The commands that `main` would start, each the words after the interpreter, until one is missed by it."""
    found = []

    class Ended(subprocess.CompletedProcess):
        def __init__(self, command, **_):
            found.append([str(word) for word in command[1:]])
            super().__init__(command, 0, "", "")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", Ended)
        patch.setattr(subprocess, "Popen", Ended)
        try:
            main(*words)
        except (AttributeError, IndexError, TypeError, ValueError):  # what it would go on with is not there
            assert main is not workers.main
    return found


def parse(monkeypatch, run):
    """Let `run` come as far as its arguments, which must be taken."""
    original = argparse.ArgumentParser.parse_args

    def only(*arguments):
        original(*arguments)
        raise ParsedError

    with monkeypatch.context() as patch, pytest.raises(ParsedError):
        patch.setattr(argparse.ArgumentParser, "parse_args", only)
        run()


@pytest.mark.parametrize("main, words, count", [
    (workers.main, ["--quick"], 10), (workers.main, [], 10), (large.main, ["--quick"], 1),
    (live.main, ["--watched"], 1), (suites.run, (["a.csv", "b.csv"], 2, Path("out")), 1)])
def test_what_a_benchmark_starts_takes_its_words(main, words, count, monkeypatch):
    monkeypatch.setattr(workers, "counted_beside_one", lambda count: 1.0)
    lines = started(monkeypatch, main, *(words if isinstance(words, tuple) else (words,)))
    assert len(lines) == count
    for script, *rest in lines:
        if script == "-c":
            parse(monkeypatch, lambda rest=rest: commands.main(rest[1:], description=""))
        else:
            monkeypatch.setattr(sys, "argv", [script, *rest])
            parse(monkeypatch, lambda script=script: runpy.run_path(str(ROOT / script), run_name="__main__"))


def test_every_benchmark_prints_its_peak_memory():
    for path in (ROOT / "benchmarks").glob("*.py"):
        text = path.read_text()
        if 'if __name__ == "__main__"' in text:
            assert re.search(r"memory\.(with_peak\(main\)|resident\()", text), f"{path.name} says nothing of memory"


def test_peak_memory_is_what_was_held(capsys):
    if np.isnan(memory.resident()):
        pytest.skip("no /proc here: no peak to read")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten

    def main(argv):
        assert argv is None
        np.ones(25 * memory.MIB)  # 200 MiB of float64
        return 1

    assert memory.with_peak(main)() == 1
    told = float(re.match(r"peak memory: (\d+) MiB", capsys.readouterr().out)[1])
    assert 190 < told - memory.resident("VmRSS") < 300


def test_the_rival_of_best_is_right_and_its_limits_hold():
    """Low-rank elimination at alpha .3 on made-up models, with and without a history: the winner, and the limits of one
    model, 60 runs (binomial, 1e-3)."""
    rng = np.random.default_rng(0)
    ability, hard = rng.normal(size=30), rng.normal(size=300)
    scores = (rng.random((30, 300)) < 1 / (1 + np.exp(hard - ability[:, None]))).astype(float)
    order = np.argsort(scores.mean(1))
    z, history = scores[order[[3, 12, 29]]], scores[np.delete(order, [3, 12, 29])]
    for predict in (low_rank.without_history, low_rank.with_history(history)):
        for method in (low_rank.own_questions, low_rank.same_questions):
            winner, calls = method(z, np.random.default_rng(1), 0.05, 0.005, predict)
            assert winner == 2 and calls <= z.size
        missed = 0
        for seed in range(60):
            at, limits, seen, total = np.random.default_rng(seed).permutation(300), low_rank.Limits(0.3), 0, 0.0
            p = predict(np.where(np.isin(np.arange(300), at[:20]), z, np.nan))[1]
            for size in (20, 40, 80):
                low_rank._one_round(limits, z[1, at[seen : seen + size]], p[at[seen:]] if seen else
                                    np.full(300, 0.5), total, 300)
                total, seen = total + z[1, at[seen : seen + size]].sum(), seen + size
            missed += not limits.low <= z[1].mean() <= limits.high
        assert stats.binom.sf(missed - 1, 60, 0.3) > 1e-3
