"""The tables of a suite, as DataFrames, which are written as CSV files next to its summary.md."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..errors import InputError
from ..scores.task_scores import TaskScores
from .cells import harmless
from .intervals import cluster_standard_error
from .pairing import Pairs
from .report import ALL
from .suite import SuiteResult

STDERR = "_stderr"


def check_names(tasks: Mapping[str, str | None]) -> None:
    """Raise InputError where a task's name is that of another column or row of the tables; {task: its category}."""
    lists = {name: sorted(task for task, of in tasks.items() if of == name != task) for name in tasks}
    for name in sorted(tasks):
        what = None
        if name == ALL:
            what = "all tasks together"
        elif name.endswith(STDERR) and name.removesuffix(STDERR) in {*tasks, *tasks.values(), ALL}:
            what = f"the error of {name.removesuffix(STDERR)}"
        elif lists[name] and tasks[name] != name:
            what = f"the category of {lists[name][0]}"
        if what:
            raise InputError(f"task {name}: that is the name of {what} in the tables: rename it, or leave it out with "
                             "--skip")
    if called := [task for task, of in sorted(tasks.items()) if of == ALL]:
        raise InputError(f"task {called[0]}: its category is called {ALL}, as are all tasks together in the tables: "
                         "rename it, or leave it out with --skip")


def suite_tables(results: dict[str, SuiteResult], pairs: dict[str, list[Pairs]],
                 models: dict[str, dict[str, TaskScores]], baseline: str) -> list[str]:
    """CSV text of summary, model_comparison, summary_with_stderr, summary_without_stderr, model_differences."""
    frames = (summary_frame(results, baseline), comparison_frame(models), *category_frames(models),
              differences_frame(results, pairs))
    return [harmless(frame).to_csv(index=False) for frame in frames]


def summary_frame(results: dict[str, SuiteResult], baseline: str) -> pd.DataFrame:
    """summary.csv: for each candidate the pooled row (task ALL), then its tasks; further tests of TESTS come last."""
    rows = []
    for name, suite in results.items():
        for task, r in {ALL: suite.pooled, **suite.tasks}.items():
            pooled = task == ALL
            rows.append({
                "model": name, "baseline": baseline, "task": task, "n": r.n, "units": r.units,
                "accuracy_baseline": r.mean_baseline, "accuracy_candidate": r.mean_candidate, "drop": r.drop,
                "ci_low": r.ci_low, "ci_high": r.ci_high, "ci_method": r.ci_method,
                "drop_lower": r.drop_lower, "drop_upper": r.drop_upper, "b": r.b, "c": r.c,
                "flip_rate": r.flip_rate, "p": r.p, "log10_p": r.log10_p, "p_exact": r.p_exact,
                "p_mid": r.p_mid, "p_permutation": r.p_permutation, "p_improvement": r.p_improvement,
                "p_noninferiority": r.p_noninferiority, "p_safe": suite.p_safe_adjusted if pooled else r.p_safe,
                "missing": r.missing, "worst_drop": r.worst_drop, "worst_upper": r.worst_upper,
                "units_effective": r.units_effective, "answers_low": r.answers_low, "answers_high": r.answers_high,
                "p_holm_tasks": None if pooled else suite.p_holm[task],
                "p_step_down_tasks": None if pooled else suite.p_step_down[task],
                "p_pooled": suite.p_pooled if pooled else None,
                "p_max_drop": suite.p_max_drop if pooled else None,
                "p_fisher": suite.p_fisher if pooled else None,
                "p_combined": suite.p_combined if pooled else None,
                "p_adjusted": suite.p_adjusted if pooled else None,
                "can_reject": r.can_reject, "alpha": r.alpha, "margin": r.margin,
                "verdict": suite.verdict if pooled else None,
                "reason": suite.reason if pooled else None,
                "within_margin": suite.within_margin if pooled else None,
                **r.others,
            })
    return pd.DataFrame(rows)


def differences_frame(results: dict[str, SuiteResult], pairs: dict[str, list[Pairs]]) -> pd.DataFrame:
    """model_differences.csv: how often two models agree, per candidate and task."""
    rows = []
    for name, suite in results.items():
        for task_pairs in pairs[name]:
            r = suite.tasks[task_pairs.task]
            rows.append({"model": name, "task": task_pairs.task, "n": r.n, "both_right": r.n11,
                         "baseline_better": r.b, "candidate_better": r.c, "both_wrong": r.n00,
                         "equal": r.n - r.b - r.c, "disagreement_ratio": r.flip_rate,
                         "excluded": sum(task_pairs.excluded.values())})
    # Counts stay integers even if a task has none.
    return pd.DataFrame(rows).astype({"both_right": "Int64", "both_wrong": "Int64"})


def comparison_frame(models: dict[str, dict[str, TaskScores]]) -> pd.DataFrame:
    """model_comparison.csv: mean score of every model (columns) on every task (rows), on all its items."""
    frame = pd.DataFrame({model: {task: s.frame["score"].mean() for task, s in tasks.items()}
                          for model, tasks in models.items()})
    return frame.rename_axis("task").reset_index()


def category_frames(models: dict[str, dict[str, TaskScores]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """summary_with_stderr.csv and summary_without_stderr.csv: models × categories, each the mean over all items of the
    category, with its standard error in the first of the two."""
    rows, plain = [], []
    for model, tasks in models.items():
        categories: dict[str, list[TaskScores]] = {ALL: []}
        for task, scores in tasks.items():
            for category in (scores.category or task, ALL):
                categories.setdefault(category, []).append(scores)
        row: dict[str, str | float] = {"model": model}
        means = dict(row)
        for category, parts in categories.items():
            scored = [part.frame["score"].notna().to_numpy() for part in parts]
            found = np.concatenate([part.frame["score"].to_numpy(float)[there]
                                    for part, there in zip(parts, scored, strict=True)])
            row[category] = means[category] = float(found.mean()) if found.size else float("nan")
            row[f"{category}{STDERR}"] = _standard_error(found, _units(parts, scored))
        rows.append(row)
        plain.append(means)
    return pd.DataFrame(rows), pd.DataFrame(plain)


def _units(parts: list[TaskScores], scored: list[np.ndarray]) -> np.ndarray | None:
    """Labels of the clusters, or else of the content, of all items with a score; None unless each has one."""
    for name in ("cluster", "content"):
        if all(name in part.frame for part in parts):
            labels = np.concatenate([part.frame[name].to_numpy(object)[there]
                                     for part, there in zip(parts, scored, strict=True)])
            if not pd.isna(labels).any():
                return labels
    return None


def _standard_error(scores: np.ndarray, units: np.ndarray | None) -> float:
    """The standard error of a mean score; items of one cluster, or with the same content, count as one unit."""
    codes = np.arange(scores.size) if units is None else pd.factorize(units)[0]
    return cluster_standard_error(scores, codes) if codes.size and codes.max() > 0 else float("nan")
