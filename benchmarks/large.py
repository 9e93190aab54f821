"""The sizes at which memory ends: a million questions, a hundred thousand models of history.

    python benchmarks/large.py                     all of it, about 20 minutes on two cores
    python benchmarks/large.py --only fit          1e6 questions × 200 models, K = 8
    python benchmarks/large.py --quick             a tenth of every size

Every item runs in a process of its own and prints its time, the CPU time in it, and the most memory it has held beyond
what Python and PyTorch take. Scores are simulated: a factor model of rank 4, one entry in a hundred missing.

    read     a matrix as a CSV, without the cache
    fit      a history's factor model, K = 8, protocol map, 100 epochs
    tall     the same for 1e5 models × 1e4 questions, 20 epochs
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli

SIZES = {"read": (200, 1_000_000), "fit": (200, 1_000_000), "tall": (100_000, 10_000)}
RANK, EPOCHS = 8, {"fit": 100, "tall": 20}


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--quick", action="store_true", help="a tenth of the questions (tall: of the models)")
    parser.add_argument("--here", choices=SIZES, help="run one item in this process and print it as JSON")
    args = parser.parse_args(argv)
    if args.here:
        print(json.dumps(measured(args.here, size_of(args.here, args.quick))))
        return
    print(f"{'item':<6} {'models':>8} {'questions':>10} {'seconds':>8} {'CPU s':>8} {'GiB':>6}  of which scores")
    for name in args.only:
        words = [sys.executable, __file__, "--here", name, *(["--quick"] if args.quick else [])]
        done = subprocess.run(words, text=True, stdout=subprocess.PIPE)
        models, questions = size_of(name, args.quick)
        if done.returncode:
            print(f"{name:<6} {models:>8,} {questions:>10,}  ended with {done.returncode}: no more memory?")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:<6} {models:>8,} {questions:>10,} {found['seconds']:>8.1f} {found['cpu']:>8.1f} "
              f"{found['peak']:>6.2f}  {found['scores']:.2f}", flush=True)


def size_of(name, quick):
    models, questions = SIZES[name]
    if quick:
        return (models // 10, questions) if name == "tall" else (models, questions // 10)
    return models, questions


def measured(name, size):
    """What `ITEMS[name]` takes: its argument is made before the clock starts."""
    make, item = {"read": (csv_of, read), "fit": (scores_of, fit), "tall": (scores_of, fit)}[name]
    with tempfile.TemporaryDirectory() as folder:
        given = make(size, Path(folder))
        held = given.nbytes / 2**30 if isinstance(given, np.ndarray) else 0.0
        import torch  # noqa: F401

        from llm_accuracy.querying import factors  # noqa: F401

        before, start, cpu = memory.resident("VmRSS"), time.perf_counter(), time.process_time()
        item(given, name)
        return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "scores": held,
                "peak": (memory.resident() - before) / 1024 + held}


def scores_of(size, _folder):
    """(models, questions) float32, drawn a block of questions at a time."""
    rng = np.random.default_rng(0)
    u, scores = rng.standard_normal((size[0], 4), dtype=np.float32), np.empty(size, np.float32)
    for start in range(0, size[1], 1000):
        block = scores[:, start : start + 1000]
        logits = u @ rng.standard_normal((4, block.shape[1]), dtype=np.float32)
        draws = rng.random(block.shape, dtype=np.float32)
        block[...] = draws < 1 / (1 + np.exp(-logits))
        block[rng.random(block.shape, dtype=np.float32) < 0.01] = np.nan
    return scores


def csv_of(size, folder):
    import reading

    reading.wide(folder / "M1.csv", *size)
    return folder / "M1.csv"


def read(path, _name):
    from llm_accuracy.scores.matrix import read_matrix

    read_matrix(path, cache=False)


def fit(scores, name):
    from llm_accuracy.querying import factors
    from llm_accuracy.randomness import stream

    one = factors.Fit(RANK, 1.0, stream("large"), ~np.isnan(scores))
    factors.fit(scores, [one], factors.PROTOCOLS["map"], EPOCHS[name])


if __name__ == "__main__":
    cli.run(main)
