"""What --workers gains: each script alone with all threads, and shared out to as many processes: 5 minutes.

    python benchmarks/workers.py [--workers N] [--quick]

On the laptop tier's board (300 models × 2,000 questions), complete history. CPU s is that of a script and its
processes; cores, CPU s over seconds, is how many it kept busy, on a machine that others use fewer than it would have;
gain is the ratio of the seconds. Starting Python and reading the board are part of it. What gain there is to be had
comes first: how much counting N processes do at once, beside one. (Two hyperthreads of one core are not two cores.)
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli

ROOT = Path(__file__).resolve().parents[1]
CELL = ["--datasets", "simulated", "--scenarios", "nfobs=None_p=1.0"]
FIT = ["--rank", "8", "--weight-decay", "4"]
# Script: (its flags, whether it reads factors).
SCRIPTS = {"factor_models_cv.py": ([], False), "baselines_all.py": (["--seeds", "16"], True),
           "faq_final.py": (["--seeds", "16", "--policies", "rounds", "faq-mix"], True),
           "ablations_all.py": (["--seeds", "4", "--arms", "active+factors"], True)}
COUNTING = """
import time
end, n = time.monotonic() + 2, 0
while time.monotonic() < end:
    n += 1
print(n)
"""


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--workers", type=cli.at_least(2, 1024), default=os.cpu_count() or 2, metavar="N")
    parser.add_argument("--quick", action="store_true", help="a quarter of the seeds")
    args = parser.parse_args(argv)
    print(f"counting: {args.workers} processes at once do {counted_beside_one(args.workers):.2f} times what one does, "
          f"load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        before, scripts = command_lines(folder, args.quick)
        for words in before:
            seconds(words)
        print(f"{'script':<20} {'alone s':>8} {'CPU s':>7} {'cores':>6} {f'{args.workers} workers s':>12} {'CPU s':>7} "
              f"{'cores':>6} {'gain':>5}  load")
        for words in scripts:
            spent = [seconds([*words, "--logs-dir", f"{folder}/{count}", "--workers", str(count)])
                     for count in (1, args.workers)]
            wall, cpu = zip(*spent, strict=True)
            shown = "".join(f"{w:>{width}.1f} {c:>7.1f} {c / w:>6.2f} " for w, c, width in
                            zip(wall, cpu, (9, 13), strict=True))
            print(f"{words[0]:<20}{shown}{wall[0] / wall[1]:>5.2f}  {os.getloadavg()[0]:.1f}", flush=True)


def command_lines(folder, quick):
    """What is run once before, and the scripts that are timed, each a script and its words."""
    data = ["--data-dir", f"{folder}/data"]
    before = [["data/simulate_leaderboard.py", *data],
              ["factor_models_final.py", *CELL, *data, "--logs-dir", folder, *FIT]]
    scripts = []
    for script, (words, reads_factors) in SCRIPTS.items():
        if quick and words:
            words = ["--seeds", str(int(words[1]) // 4), *words[2:]]
        factors = ["--factors-dir", f"{folder}/factor_models"] if reads_factors else []
        scripts.append([script, *CELL, *data, *factors, *words])
    return before, scripts


def counted_beside_one(count, turns=3):
    """How often `count` processes at once count to one, beside one process alone: the median of several turns."""

    def counted(processes):
        running = [subprocess.Popen([sys.executable, "-c", COUNTING], text=True, stdout=subprocess.PIPE)
                   for _ in range(processes)]
        return sum(int(one.communicate()[0]) for one in running)

    return statistics.median(counted(count) / counted(1) for _ in range(turns))


def seconds(words):
    """(wall, CPU) seconds of a script and of all that it starts."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=free, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{words[0]}: {done.stderr.strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
