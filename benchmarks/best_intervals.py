"""How often the intervals of `best` hold all models together, in worlds that are made up to hurt.

    python benchmarks/best_intervals.py --runs 1000          a Markdown table: half an hour

Every run draws a bank and a history's view of it, searches until the verdict or the budget, and looks at both columns:
every model's accuracy, and how far it is behind the best. "Hidden": models differ only on the twelfth of the questions
that the history takes for certain, and which are hardly drawn. "Copies": one model, 2 % of whose answers are turned
around in each of the others. "Same": all equally good, but for chance. "Two": two are ahead of the others, and hardly
differ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.querying.best import Search
from llm_accuracy.querying.best_limits import limits

CELLS = ((2, 300, False, 0.02, None), (4, 500, True, 0.02, 150), (10, 400, True, 0.03, None),
         (10, 1000, True, 0.01, 300))  # models, questions, whether there is a history, tolerance, budget
WORLDS = ("hidden", "copies", "same", "spread", "easy", "partial", "two")


def world(name: str, k: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """((k, n) scores, (n,) how hard the questions are)."""
    hard = rng.normal(0, 1.5, n)
    ability = {"same": np.zeros(k), "easy": np.linspace(3, 4, k), "spread": np.linspace(0, 1.2, k),
               "two": np.r_[np.zeros(k - 2), 1.0, 0.98]}.get(name, np.linspace(0, 1, k))
    z = (rng.random((k, n)) < 1 / (1 + np.exp(hard - ability[:, None]))).astype(float)
    if name == "copies":
        z = np.repeat((rng.random(n) < 0.6).astype(float)[None], k, 0)
        for row in z[1:]:
            turned = rng.random(n) < 0.02
            row[turned] = 1 - row[turned]
    if name == "hidden":
        rare, z = np.argsort(-np.abs(hard))[: n // 12], np.ones((k, n))
        for i, row in enumerate(z):
            row[rng.permutation(rare)[: i * len(rare) // (2 * k) + 1]] = 0
    return (rng.beta(1, 1, (k, n)) if name == "partial" else z), hard


def searched(z: np.ndarray, hard: np.ndarray, cell: tuple, rng: np.random.Generator) -> Search:
    k, n, history, tolerance, budget = cell
    p = 1 / (1 + np.exp(hard))
    useful = np.sqrt(np.clip(p * (1 - p), 0.02, 1)) if history else None
    search = Search(k, n, rng, usefulness=useful, tolerance=tolerance, budget=budget)
    while not search.ended:
        asked = search.ask()
        search.tell(z[np.ix_(np.flatnonzero(search.left), asked)])
    return search


def measured(name: str, cell: tuple, runs: int) -> list[float]:
    """Coverage of both kinds, and their mean widths (of how far behind: of all but the winner)."""
    k, n, *_ = cell
    found = []
    for run in range(runs):
        rng = np.random.default_rng([run, k, n, sum(map(ord, name))])
        z, hard = world(name, k, n, rng)
        search = searched(z, hard, cell, rng)
        ends, truth = limits(search), z.mean(1)
        behind, rest = truth.max() - truth, np.arange(k) != search.winner
        found.append([((ends.low - 1e-9 <= truth) & (truth <= ends.high + 1e-9)).all(),
                      ((ends.behind_low - 1e-9 <= behind) & (behind <= ends.behind_high + 1e-9)).all(),
                      (ends.high - ends.low).mean(), (ends.behind_high - ends.behind_low)[rest].mean(),
                      search.asked])
    return np.mean(np.array(found, float), axis=0).tolist()


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=WORLDS)
    options = parser.parse_args(argv)
    print("| world | models, questions | asked | accuracies hold | distances hold | widths, points |")
    print("|---|---|---|---|---|---|")
    for name in options.worlds:
        for cell in CELLS:
            right, behind, wide, wide_behind, asked = measured(name, cell, options.runs)
            print(f"| {name} | {cell[0]}, {cell[1]:,} | {asked:.0f} | {right:.3f} | {behind:.3f} | {100 * wide:.0f}, "
                  f"{100 * wide_behind:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
