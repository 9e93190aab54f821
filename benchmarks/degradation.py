"""How fast are the degradation tests, beside what else could be used?

    python benchmarks/degradation.py            all sizes, about two minutes on two cores
    python benchmarks/degradation.py --quick    smaller sizes, about twenty seconds

Ours and the yardstick run in this process on the same input. Yardsticks: scipy.stats.permutation_test and,
where it is installed, statsmodels' mcnemar, each at a size it can do; for logs, json.loads of every line. The
last line is JSON with the ratios yardstick/ours (above 1: ours is faster) and the seconds of ours.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import memory

from llm_accuracy import cli
from llm_accuracy.degradation import paired, sign_flips
from llm_accuracy.degradation.pairing import Pairs, pair_up
from llm_accuracy.degradation.suite import adjust_candidates, judge_suite
from llm_accuracy.scores.lm_eval import read_harness
from llm_accuracy.scores.task_scores import Choices


def measure(call, repeats: int = 3) -> tuple[float, object]:
    """(best seconds of a few, last result)."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return best, result


class Table:
    """One printed line per measurement, and the JSON at the end."""

    def __init__(self):
        self.content = {}
        print(f"{'what':<46}{'ours':>9}{'yardstick':>11}{'ratio':>8}")

    def add(self, key: str, what: str, ours: float, yardstick: float | None = None, note: str = "") -> None:
        ratio = yardstick / ours if yardstick else None
        self.content[key] = {"seconds": round(ours, 4), "ratio": round(ratio, 2) if ratio else None}
        other, times = (f"{yardstick:.3f} s", f"{ratio:.1f}") if ratio else ("-", "-")
        print(f"{what:<46}{ours:>7.3f} s{other:>11}{times:>8}  {note}", flush=True)


def exact_test(table: Table, n: int) -> None:
    """Two boolean vectors in memory → every number of a report."""
    rng = np.random.default_rng(0)
    baseline = rng.random(n, dtype=np.float32) < 0.6
    candidate = baseline ^ (rng.random(n, dtype=np.float32) < 0.05)
    tracemalloc.start()
    paired.judge_pair(baseline, candidate)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    ours, result = measure(lambda: paired.judge_pair(baseline, candidate))
    note = f"{peak:.0f} MiB beyond the input"
    if importlib.util.find_spec("statsmodels"):
        from statsmodels.stats.contingency_tables import mcnemar

        def theirs():
            table22 = np.array([[np.sum(baseline & candidate), np.sum(baseline & ~candidate)],
                                [np.sum(~baseline & candidate), np.sum(~baseline & ~candidate)]])
            return mcnemar(table22, exact=True).pvalue

        yardstick, p = measure(theirs)
        assert np.isclose(p, result.p_two_sided)
        note += "; yardstick: statsmodels mcnemar, the p-value alone"
    else:
        yardstick = None
        note += "; statsmodels is not installed"
    table.add("pair_0_1", f"pair, {n:,} 0/1 items", ours, yardstick, note)


def rerun_average(table: Table, n: int, draws: int, yardstick_draws: int) -> None:
    """Averages of 4 reruns: exact on the grid, against random sign flips."""
    rng = np.random.default_rng(1)
    ability = rng.beta(2, 1, n)
    d = (rng.binomial(4, ability) - rng.binomial(4, ability - 0.0005 * ability)) / 4
    ours, result = measure(lambda: sign_flips.sign_flip_test(d))
    assert result.method == "exact"
    small = d[: min(n, 20_000)]
    ours_small, exact = measure(lambda: sign_flips.sign_flip_test(small))
    yardstick, p = measure(lambda: stats.permutation_test(
        (small,), np.sum, permutation_type="samples", n_resamples=yardstick_draws, alternative="greater",
        vectorized=True, batch=200, rng=np.random.default_rng(0)).pvalue, 1)
    assert abs(p - exact.p) < 5 * np.sqrt(exact.p * (1 - exact.p) / yardstick_draws) + 2 / yardstick_draws
    table.add("reruns_exact", f"4-rerun average, {n:,} items, exact", ours, None,
              f"stands for {draws:,} sign flips of every item")
    table.add("reruns_vs_scipy", f"  the same, {small.size:,} items", ours_small, yardstick,
              f"yardstick: scipy permutation_test, {yardstick_draws:,} flips")


def continuous(table: Table, n: int, draws: int) -> None:
    rng = np.random.default_rng(2)
    d = rng.normal(0.002, 0.3, n)
    ours, result = measure(lambda: sign_flips.sign_flip_test(d, draws))
    yardstick, p = measure(lambda: stats.permutation_test(
        (d,), np.sum, permutation_type="samples", n_resamples=draws, alternative="greater", vectorized=True,
        batch=500, rng=np.random.default_rng(0)).pvalue, 1)
    assert abs(p - result.p) < 6 * np.sqrt(2 * p * (1 - p) / draws) + 2 / draws
    table.add("continuous", f"continuous scores, {n:,} items, {draws:,} flips", ours, yardstick,
              "yardstick: scipy permutation_test")


def fine_grid(table: Table, n: int, draws: int) -> None:
    """Scores of three decimals: exact unit by unit, against the transform, and what is drawn where neither may."""
    d = np.random.default_rng(3).normal(0.01, 0.2, n).round(3)
    ours, exact = measure(lambda: sign_flips.sign_flip_test(d))
    drawn, found = measure(lambda: sign_flips.sign_flip_test(d + np.pi * 1e-6, draws))
    one = sign_flips.AS_ONE_OF_A_TRANSFORM
    sign_flips.AS_ONE_OF_A_TRANSFORM = 0  # as if a transform cost nothing
    yardstick, transformed = measure(lambda: sign_flips.sign_flip_test(d))
    sign_flips.AS_ONE_OF_A_TRANSFORM = one
    assert exact.method == "exact" and np.isclose(exact.p, transformed.p, rtol=1e-9) and "random" in found.method
    table.add("fine_grid", f"scores of three decimals, {n:,} items, exact", ours, yardstick, "yardstick: by transform")
    table.add("fine_grid_draws", f"  off the grid, {draws:,} flips", drawn)


def suite(table: Table, tasks: int, models: int, kind: str) -> None:
    def one(seed: int) -> list[Pairs]:
        rng = np.random.default_rng(seed)
        pairs = []
        for t in range(tasks):
            n = int(rng.integers(150, 1500))
            if kind == "4-rerun":
                baseline, candidate = rng.binomial(4, 0.6, (2, n)) / 4
            else:
                baseline = (rng.random(n) < 0.6) * 1.0
                candidate = np.where(rng.random(n) < 0.1, 1 - baseline, baseline)
            shared = kind == "shared" and t < 3
            units = np.array([f"q{i}" for i in range(n)], dtype=object) if shared else None
            pairs.append(Pairs(f"task{t}", np.arange(n), baseline, candidate, units))
        return pairs

    inputs = {f"model{m}": one(m) for m in range(models)}
    ours, _ = measure(lambda: adjust_candidates(
        {name: judge_suite(pairs) for name, pairs in inputs.items()}), 1)
    table.add(f"suite_{kind}", f"suite, {tasks} tasks × {models} models, {kind}", ours, None,
              f"{sum(p.items.size for p in inputs['model0']):,} items a model")


def write_log(folder: Path, seed: int, n: int, characters: int) -> Path:
    """A log as large as MMLU-Pro's on the leaderboard: ten answers asked with the whole prompt each."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    prompt = "In this question, which of the following is \\\"right\\\"? " * (characters // 10 // 50)
    time_stamp = "2026-01-01T00-00-00.000000"
    with (folder / f"samples_leaderboard_mmlu_pro_{time_stamp}.jsonl").open("w") as file:
        right = rng.random(n) < 0.5
        arguments = ", ".join(f'"gen_args_{i}": {{"arg_0": "{prompt}", "arg_1": " {i}"}}' for i in range(10))
        for i in range(n):
            file.write(f'{{"doc_id": {i}, "doc": {{"question": "q{i}"}}, "target": "A", '
                       f'"arguments": {{{arguments}}}, "resps": [], "filtered_resps": [], '
                       f'"filter": "none", "metrics": ["acc"], '
                       f'"doc_hash": "{i:064x}", "prompt_hash": "{i:064x}", "target_hash": "{0:064x}", '
                       f'"acc": {float(right[i])}}}\n')
    (folder / f"results_{time_stamp}.json").write_text(json.dumps(
        {"results": {"leaderboard_mmlu_pro": {"acc,none": float(right.mean())}},
         "higher_is_better": {"leaderboard_mmlu_pro": {"acc": True}}}))
    return folder


def harness_logs(table: Table, n: int, characters: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folders = [write_log(Path(scratch) / str(seed), seed, n, characters) for seed in (0, 1)]
        files = [next(folder.glob("samples_*")) for folder in folders]
        size = sum(file.stat().st_size for file in files) / 2**20

        def ours():
            one, other = (read_harness(folder, Choices())["leaderboard_mmlu_pro"] for folder in folders)
            pairs = pair_up(one, other)
            return paired.judge_pair(pairs.baseline, pairs.candidate, clusters=pairs.clusters)

        def theirs():
            accuracies = []
            for file in files:
                with file.open() as lines:
                    accuracies.append({r["doc_id"]: r["acc"] for r in map(json.loads, lines)})
            return sum(accuracies[0][i] - accuracies[1][i] for i in accuracies[0]) / n

        seconds, result = measure(ours, 2)
        yardstick, drop = measure(theirs, 1)
        assert np.isclose(drop, result.drop)
    table.add("harness_logs", f"two harness logs, {n:,} items", seconds, yardstick,
              f"{size:.0f} MiB; yardstick: json.loads of every line, and no test")


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    quick = parser.parse_args().quick
    table = Table()
    exact_test(table, 10**6 if quick else 10**7)
    rerun_average(table, 10**5 if quick else 10**6, 100_000, 500 if quick else 2000)
    continuous(table, 2000, 2000 if quick else 20_000)
    fine_grid(table, 300, 99_999)
    for kind in ("0/1", "shared", "4-rerun"):
        suite(table, 40, 3 if quick else 20, kind)
    harness_logs(table, 2000 if quick else 12_032, 30_000)
    peak = memory.resident()
    print(f"peak memory of this process: {peak:.0f} MiB")
    print(json.dumps({"quick": quick, "peak_mib": round(peak), **table.content}))


if __name__ == "__main__":
    main()
