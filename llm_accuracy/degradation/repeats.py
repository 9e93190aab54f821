"""Several runs of one model: how often each item succeeds, and which items are worth asking (arXiv 2602.10144).

Runs that differ only by seed or temperature disagree on some items; that flip rate is the noise floor of
every comparison. Items on which all runs agree add nothing to the exact test where they do not flip in the
comparison either: leaving out items without flips raises drop and flip rate alike and keeps √(n/flip)·drop, the
power, at less cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError
from ..scores.task_scores import TaskScores, check_same_questions

WARNING = ("these items were chosen because they flipped in these runs. Never test on these runs again: run both "
           "models anew, on these items only (pair or suite with --items refuses the old runs). Items that never "
           "flipped here may still break in a changed model, and accuracies on chosen items are not those of the "
           "benchmark")


@dataclass(frozen=True)
class Successes:
    """0/1 scores (items, runs) of the items for which every run has a score; the other `excluded` items lack one."""

    items: np.ndarray
    scores: np.ndarray
    excluded: int = 0
    higher_is_better: bool = True

    @property
    def runs(self) -> int:
        return self.scores.shape[1]

    @property
    def counts(self) -> np.ndarray:
        """Successes of each item, (items,)."""
        right = self.scores.sum(axis=1)
        return right if self.higher_is_better else self.runs - right

    @property
    def kept(self) -> np.ndarray:
        """(items,) bool, True where the runs disagree."""
        return (self.counts > 0) & (self.counts < self.runs)

    def histogram(self) -> list[int]:
        """How many items succeed in 0, 1, … and all runs."""
        return np.bincount(self.counts, minlength=self.runs + 1).tolist()

    def pair_flip_rates(self) -> np.ndarray:
        """For every pair of runs, the share of items on which they differ."""
        ones = self.scores.astype(float)
        both = ones.T @ ones
        right = np.diag(both)
        return ((right[:, None] + right - 2 * both) / len(ones))[np.triu_indices(self.runs, 1)]

    def summary(self) -> dict:
        """Shares are of the items; flip_rate is the mean over all pairs of runs."""
        rates = self.pair_flip_rates()
        return {"items": self.items.size, "excluded": self.excluded, "kept": int(self.kept.sum()),
                "never_flip": float(1 - self.kept.mean()), "always_right": float((self.counts == self.runs).mean()),
                "always_wrong": float((self.counts == 0).mean()), "flip_rate": float(rates.mean()),
                "flip_rate_low": float(rates.min()), "flip_rate_high": float(rates.max())}


def count_successes(runs: dict[str, dict[str, TaskScores]], max_excluded: float) -> dict[str, Successes]:
    """{task: Successes} of runs of one model.

    Raises InputError for fewer than two runs, tasks or questions that differ between them, scores other than
    0 and 1, and where more than `max_excluded` of a task's items lack a score in some run.
    """
    names = list(runs)
    if len(names) < 2:
        raise InputError("flips needs two runs of one model or more: in a single run nothing can flip")
    first = runs[names[0]]
    for name in names[1:]:
        odd = sorted(runs[name].keys() ^ first.keys())
        if odd:
            raise InputError(f"{name}: its tasks differ from those of {names[0]} ({', '.join(odd)}); choose a task "
                             "of both with --task")
    return {task: _one_task({name: runs[name][task] for name in names}, task, max_excluded) for task in first}


def _one_task(runs: dict[str, TaskScores], task: str, max_excluded: float) -> Successes:
    names = list(runs)
    for name in names[1:]:
        check_same_questions(runs[names[0]].frame, runs[name].frame, names[0], name)
    table = pd.concat([scores.frame["score"].rename(name) for name, scores in runs.items()], axis=1, join="outer")
    whole = table.dropna()
    excluded = len(table) - len(whole)
    if excluded > max_excluded * len(table) or whole.empty:
        raise InputError(f"{task}: {excluded:,} of {len(table):,} items lack a score in some run; complete the runs, "
                         f"or allow more with --max-excluded (now {max_excluded:g})")
    scores = whole.to_numpy()
    odd = ~np.isin(scores, (0, 1))
    if odd.any():
        item, run = np.argwhere(odd)[0]
        raise InputError(f"{names[run]}: {task}: item {whole.index[item]} has the score {scores[item, run]:g}: flips "
                         "are counted on scores of 0 and 1")
    return Successes(whole.index.to_numpy(), scores.astype(np.int64), excluded, runs[names[0]].higher_is_better)


def together(tasks: dict[str, Successes]) -> Successes:
    """All tasks as one."""
    return Successes(np.concatenate([found.items for found in tasks.values()]),
                     np.concatenate([found.scores if found.higher_is_better else 1 - found.scores
                                     for found in tasks.values()]),
                     sum(found.excluded for found in tasks.values()))


def counts_content(tasks: dict[str, Successes], sources: list[str]) -> dict:
    """The content of success_counts.json: {runs, sources, histogram: {task: [items with 0, 1, … successes]},
    tasks: {task: {item: successes}}}."""
    return {"runs": len(sources), "sources": sources,
            "histogram": {task: found.histogram() for task, found in tasks.items()},
            "tasks": {task: dict(zip(map(str, found.items), found.counts.tolist(), strict=True))
                      for task, found in tasks.items()}}


def selection_content(tasks: dict[str, Successes], sources: list[str]) -> dict:
    """The content of selection.json, which `task_scores.Selection` reads: the items on which the runs disagree, and
    every run's score on each of them ("0110"), by which these runs are recognised."""
    return {"warning": WARNING, "sources": sources,
            "scores": {task: {str(item): "".join(map(str, row)) for item, row in
                              zip(found.items[found.kept], found.scores[found.kept].tolist(), strict=True)}
                       for task, found in tasks.items()},
            "tasks": {task: found.items[found.kept].tolist() for task, found in tasks.items()}}


def harness_samples(tasks: dict[str, Successes]) -> dict[str, list[int]]:
    """{task: document numbers} for the harness's --samples: sorted and unique, or it logs wrong numbers."""
    return {task: sorted({int(str(item).split("/")[0]) for item in found.items[found.kept]})
            for task, found in tasks.items()}
