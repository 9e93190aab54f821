"""Time per FAQ step or per round of the default, against the numbers of questions and models and the rank.

    python benchmarks/scaling.py [--device cpu|cuda] [--quick]        about 5 minutes on two cores
    python benchmarks/scaling.py --method rounds                      the default: about 5 minutes

Beside the O(models · N · K) line (of the default's rounds, which sort: O(models · N)). Times are of the processor on
the CPU, which other work on the machine disturbs little, and the clock's on CUDA. Writes scaling_<device>.png and .pdf,
of the default scaling_rounds_<device>, beside this file and prints the numbers and the peak memory. A size whose arrays
would not fit into the memory that is free is not run: the table and the figure say where that is.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli, palette
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.designs import schedule
from llm_accuracy.querying.evaluation import evaluate, evaluate_in_rounds
from llm_accuracy.querying.factors import Prior
from llm_accuracy.querying.passes import Passes
from llm_accuracy.querying.policies import named
from llm_accuracy.querying.setting import Setting

BASE = {"questions": 12_032, "models": 100, "rank": 64}
# Of the default, whose rounds take seconds at the largest sizes, the other number is smaller.
OTHERS = {"faq": {}, "rounds": {"questions": {"models": 10}, "models": {"questions": 2_000}}}
SWEEPS = {"questions": (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
          "models": (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000), "rank": (8, 16, 32, 64, 128)}
ASKED, HISTORY = 300, 200  # of the default: questions asked, models of the history
ARRAYS = 2.5  # logits, scores and temporaries, in arrays of models × questions floats


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="only sizes up to a tenth of the largest")
    parser.add_argument("--method", choices=("faq", "rounds"), default="faq")
    args = parser.parse_args(argv)
    unit, timed = {"faq": ("step", seconds_per_step), "rounds": ("round", seconds_per_round)}[args.method]
    device = cli.device(args.device)
    free = free_bytes(device)
    results = {}
    for name, values in SWEEPS.items():
        print(f"{name:>10} {'ms per ' + unit:>12} {'ns per model and question':>26}")
        for value in values[: -2 if args.quick else None]:
            size = base(args.method, name) | {name: value}
            if 4 * ARRAYS * size["models"] * size["questions"] > free:
                print(f"{value:>10} {'no memory':>12}")
                continue
            spent = timed(device, **size)
            results[name, value] = spent
            print(f"{value:>10} {spent * 1e3:>12.3f} {spent * 1e9 / size['models'] / size['questions']:>26.3f}",
                  flush=True)
    name = f"scaling_{device}" if args.method == "faq" else f"scaling_rounds_{device}"
    for path in palette.save(draw(results, free, device, unit, args.method), Path(__file__).parent / name):
        print(f"wrote {path}")


def base(method, name):
    return BASE | OTHERS[method].get(name, {})


def free_bytes(device):
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    with open("/proc/meminfo") as table:
        return next(int(line.split()[1]) * 1024 for line in table if line.startswith("MemAvailable"))


def now(device):
    return time.process_time() if device == "cpu" else time.perf_counter()


def seconds_per_step(device, questions, models, rank):
    """From two runs of different lengths, so that the set-up does not count."""
    rng = np.random.default_rng(0)
    bank = Bank.of(rng.standard_normal((questions, rank), dtype=np.float32), device)
    prior = Prior(np.zeros(rank), np.eye(rank) / rank)
    scores = np.zeros((models, questions), np.float32)
    steps = int(np.clip(2e9 / models / questions / rank, 3, 200))
    passes = Passes.for_work(1e12, device)
    times = []
    for length in (2, 2, 2 + steps):
        start = now(device)
        evaluate(bank, prior, [Setting()] * models, rng.random((models, length)), scores, budget=questions,
                 passes=passes)
        times.append(now(device) - start)
    return (times[2] - times[1]) / steps


def seconds_per_round(device, questions, models, rank):
    """Of a trial of ASKED questions, its solves included; what groups the questions into kinds is paid once a board."""
    rng, plan = np.random.default_rng(0), named("rounds").rounds
    bank = Bank.of(rng.standard_normal((questions, rank), dtype=np.float32), device)
    rows = rng.standard_normal((HISTORY, rank)) / np.sqrt(rank)
    prior = Prior(rows.mean(0), np.cov(rows.T), rows)
    scores = np.zeros((models, questions), np.float32)
    sizes = schedule(ASKED, questions, plan.first, plan.growth)
    kinds = np.arange(questions) % plan.kinds
    start = now(device)
    evaluate_in_rounds(bank, prior, plan, 0.1, [ASKED], rng.random((models, len(sizes))), scores, kinds)
    return (now(device) - start) / len(sizes)


def draw(results, free, device, unit, method):
    import matplotlib.pyplot as plt

    palette.use_look()
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), layout="constrained", sharey=True)
    for axis, name in zip(axes, SWEEPS, strict=True):
        fix = base(method, name)
        sizes = np.array([value for sweep, value in results if sweep == name])
        times = 1e3 * np.array([results[name, value] for value in sizes])
        axis.loglog(sizes, times, "o-", color=palette.PALETTE["blue"], markersize=4, linewidth=1.2, label="measured")
        axis.loglog(sizes, times[-1] * sizes / sizes[-1], "--", color="0.5", linewidth=1, label="proportional")
        most = free / 4 / ARRAYS / np.prod([fix[other] for other in ("questions", "models") if other != name])
        if name != "rank" and most < SWEEPS[name][-1]:
            axis.axvline(most, color=palette.PALETTE["vermillion"], linewidth=1, linestyle=":",
                         label=f"memory ends ({free / 2**30:.0f} GiB)")
        fixed = ", ".join(f"{fix[other]:,} {other}" if other != "rank" else f"K = {fix['rank']}"
                          for other in fix if other != name)
        axis.set(xlabel="rank K" if name == "rank" else f"number of {name}\n({free / 2**30:.0f} GiB of memory end at "
                 f"{most:,.0f})", title=fixed)
        axis.legend(fontsize=6.5)
    axes[0].set_ylabel(f"{'processor ' if device == 'cpu' else ''}milliseconds per {unit}, all models")
    fixed = {"step": "part of a millisecond is", "round": "few milliseconds are"}[unit]
    figure.suptitle(f"Once a fixed {fixed} paid, a {unit}'s time is about proportional to\n"
                    f"models × questions{' × rank' if unit == 'step' else ''} ({device}, float32)",
                    fontsize=9.5, fontweight="bold")
    return figure


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
