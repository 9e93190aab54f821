"""How long does a suite of 20 candidates take, in one process and in two?

    python benchmarks/suites.py                    40 tasks and 200, in one process and in two
    python benchmarks/suites.py --tasks 200 --jobs 2
    python benchmarks/suites.py --items 250        as many items in every task (default: 40 to 400)

Models are score files that flip a tenth of the baseline's answers; each run is the command as a user types it; all four
take about 5 minutes on idle cores. Processor time is that of all processes, and of the first, which
reads, pairs and writes. On cores that nothing else uses, two processes take about what the first one takes and half of
what the others do; a ratio of wall times says it only there. The tables of every run must be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
MODELS, FLIPS = 20, 0.1
TABLES = ("summary.csv", "model_comparison.csv", "summary_with_stderr.csv", "model_differences.csv")
# The command, in a process of its own, that says on its last line how long its first process worked and its peak.
RUN = """
import sys, time
sys.path.append("benchmarks")
import memory
from llm_accuracy.degradation import commands
commands.main(sys.argv[1:], description="")
print(time.process_time(), memory.resident())
"""


def make(folder: Path, tasks: int, items: int | None) -> list[str]:
    """Score files of a baseline and its candidates."""
    rng = np.random.default_rng(14)
    sizes = np.full(tasks, items) if items else rng.integers(40, 401, tasks)
    task = np.repeat([f"task{t:03d}" for t in range(tasks)], sizes)
    names = np.concatenate([np.arange(size) for size in sizes])
    right = rng.random(task.size) < 0.6
    files = []
    for model in range(MODELS + 1):
        answers = right if model == 0 else right ^ (rng.random(task.size) < FLIPS)
        files.append(str(folder / f"m{model:02d}.csv"))
        pd.DataFrame({"prompt_id": names, "score": answers.astype(int), "task": task}).to_csv(files[-1], index=False)
    return files


def run(files: list[str], jobs: int, out: Path) -> dict[str, float]:
    """Wall seconds, seconds of processors (all, first process) and the first one's peak in MiB."""
    start = time.perf_counter()
    command = [sys.executable, "-c", RUN, "suite", *files, "--jobs", str(jobs), "--output-dir", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"suite failed with {child.returncode}")
    first, peak = map(float, said.splitlines()[-1].split())
    return {"wall": time.perf_counter() - start, "all": used.ru_utime + used.ru_stime, "first": first, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[40, 200])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--items", type=int, help="of every task (default: between 40 and 400)")
    options = parser.parse_args()
    for tasks in options.tasks:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = make(folder, tasks, options.items)
            found, seen = {}, set()
            for jobs in options.jobs:
                found[jobs] = run(files, jobs, folder / str(jobs))
                seen.add(tuple((folder / str(jobs) / table).read_bytes() for table in TABLES))
                print(f"{tasks} tasks x {MODELS} models, {jobs} jobs: {found[jobs]['wall']:.1f} s; of processors "
                      f"{found[jobs]['all']:.1f} s, the first process {found[jobs]['first']:.1f} s and "
                      f"{found[jobs]['peak']:.0f} MiB", flush=True)
            if len(seen) > 1:
                raise SystemExit("the tables depend on the number of processes")
            if {1, 2} <= found.keys():
                print(f"two processes: {found[1]['wall'] / found[2]['wall']:.2f} times as fast", flush=True)


if __name__ == "__main__":
    main()
