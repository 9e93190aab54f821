"""How the degradation tests are told: the first line, the table under it, JSON, and the files of a suite."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict

import numpy as np
import pandas as pd

from ..scores.task_scores import TaskScores
from .paired import DEGRADED, NOT_DEGRADED, PairedResult, cluster_standard_error
from .pairing import Pairs
from .suite import SuiteResult

WIDTH = 80


# ---- numbers in words --------------------------------------------------------------------------------------


def p_text(p: float | None, log10_p: float | None = None) -> str:
    """A p-value to three digits, never 0."""
    if p is None or math.isnan(p):
        return "-"
    if log10_p is not None and log10_p < -300:
        return f"10^{log10_p:.1f}"
    return f"{p:.3f}" if p >= 0.0995 else f"{p:.4f}" if p >= 0.001 else f"{p:.2e}"


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def amount(value: float, result: PairedResult) -> str:
    """A drop or limit: in points (hundredths) where scores lie in [0, 1], else in the units of the score."""
    if not result.in_points:
        return f"{value:.4g}"
    decimals = 2 if result.n < 50_000 else 3
    return f"{100 * value:.{decimals}f}".replace("-0." + "0" * decimals, "0." + "0" * decimals)


def unit(result: PairedResult) -> str:
    return " points" if result.in_points else ""


def margin_text(result: PairedResult) -> str:
    points = f"{100 * result.margin:g}"
    return f"{points} point{'' if points == '1' else 's'}" if result.in_points else f"{result.margin:g}"


# ---- one pair ----------------------------------------------------------------------------------------------


def headline(result: PairedResult) -> str:
    """What was decided, at what error rate, on how many items, and the drop with its one-sided limits."""
    drop, lower, upper = (amount(x, result) for x in (result.drop, result.drop_lower, result.drop_upper))
    at = f"at error rate {percent(result.alpha)} ({result.n:,} items)"
    limits = f"{drop}{unit(result)}, at least {lower} and at most {upper}"
    if result.verdict == DEGRADED:
        within = f"; that is within the margin of {margin_text(result)}" if result.within_margin else ""
        return f"DEGRADED {at}: the candidate is worse by {limits}{within}."
    if result.verdict == NOT_DEGRADED:
        return f"NOT DEGRADED by {margin_text(result)} or more {at}: drop {limits}."
    return f"UNDECIDED {at}: drop {limits}; the margin is {margin_text(result)}."


def pair_rows(
    result: PairedResult, excluded: dict[str, int], baseline: str | None = None, candidate: str | None = None
) -> list[tuple[str, str]]:
    """The numbers behind the first line: (label, text)."""
    r = result
    exact = r.p_exact is not None
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in excluded.items()) or "none"
    rows = [] if baseline is None else [
        ("baseline", f"{_score(r.mean_baseline)}  {shorten(baseline, 58)}"),
        ("candidate", f"{_score(r.mean_candidate)}  {shorten(candidate, 58)}"),
    ]
    rows += [
        ("items", f"{r.n:,} compared" + (f" in {r.units:,} clusters" if r.units != r.n else "")
         + f"; left out: {left_out}"),
        ("flips", f"{r.b + r.c:,} ({percent(r.flip_rate)} of items): {r.b:,} worse (b), {r.c:,} better (c)"),
        ("drop", f"{amount(r.drop, r)}{unit(r)}, 95% interval [{amount(r.ci_low, r)}, {amount(r.ci_high, r)}]"
         f" ({r.ci_method})"),
        ("worse?", f"p = {p_text(r.p, r.log10_p)}  one-sided " + (
            f"exact McNemar (mid-p {p_text(r.p_mid)})" if exact else f"sign flips, {r.permutation_method}")),
        ("safe?", f"p = {p_text(r.p_noninferiority)}  that the drop is {margin_text(r)} or more"),
        ("same?", f"p = {p_text(r.p_equivalence)}  that it is {margin_text(r)} or more either way"),
        ("better?", f"p = {p_text(r.p_improvement)}; two-sided p = {p_text(r.p_two_sided)}"),
    ]
    return rows


def pair_table(
    result: PairedResult, excluded: dict[str, int], baseline: str | None = None, candidate: str | None = None
) -> str:
    """`pair_rows`, at most 80 columns wide."""
    lines = []
    for label, text in pair_rows(result, excluded, baseline, candidate):
        lines += textwrap.wrap(f"  {label:<10} {text}", WIDTH, subsequent_indent=" " * 13)
    return "\n".join(lines)


def remarks(result: PairedResult, notes: tuple[str, ...] = ()) -> list[str]:
    """What must be known beside the numbers: what could not be shown at all, and the notes of the reader."""
    said = []
    if not result.can_reject:
        said.append(f"with {result.b + result.c} differing items the smallest possible p is "
                    f"{p_text(result.smallest_p)}: no outcome could have been called degraded")
    if result.p_improvement <= result.alpha:
        said.append(f"the candidate beats the baseline (p = {p_text(result.p_improvement)}); if that "
                    "is unexpected, check that the two were not swapped")
    return [*said, *notes]


def note_text(note: str) -> str:
    """A note as it is printed, wrapped to 80 columns; paths stay whole."""
    return textwrap.fill(f"  note: {note}", WIDTH, subsequent_indent=" " * 8, break_long_words=False,
                         break_on_hyphens=False)


def pair_json(result: PairedResult, **more) -> str:
    """The result as one JSON object; what does not apply is null."""
    return as_json({**more, **asdict(result)})


def shorten(text: str, width: int) -> str:
    """A long path keeps its end."""
    return text if len(text) <= width else "…" + text[-(width - 1) :]


def _score(value: float) -> str:
    return f"{value:6.4g}" if abs(value) >= 10 else f"{value:6.4f}"


def as_json(content: dict) -> str:
    """JSON text; a number that is not finite becomes null."""
    def finite(value):
        if isinstance(value, dict):
            return {str(k): finite(v) for k, v in value.items()}
        if isinstance(value, list):
            return [finite(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n"


# ---- a suite -----------------------------------------------------------------------------------------------

SHOWN_TASKS = 12
ALL = "ALL"  # the pooled row: the micro-average over the items of all tasks


def suite_headline(name: str, result: SuiteResult) -> str:
    """The decision on one candidate in one line."""
    pooled = result.pooled
    tasks = f"{len(result.tasks)} task{'' if len(result.tasks) == 1 else 's'}"
    at = f"at error rate {percent(pooled.alpha)} ({tasks}, {pooled.n:,} items)"
    drop = (f"average drop {amount(pooled.drop, pooled)}{unit(pooled)}, 95% interval "
            f"[{amount(pooled.ci_low, pooled)}, {amount(pooled.ci_high, pooled)}]")
    if result.verdict == DEGRADED:
        within = f"; on average within the margin of {margin_text(pooled)}" if result.within_margin else ""
        return f"{name}: DEGRADED {at}, by {result.decisive}: {drop}{within}."
    if result.verdict == NOT_DEGRADED:
        return f"{name}: NOT DEGRADED by {margin_text(pooled)} or more on average {at}: {drop}."
    return f"{name}: UNDECIDED {at}: {drop}; the margin is {margin_text(pooled)}."


def suite_table(result: SuiteResult) -> str:
    """The p-values of the suite, the pooled row and the tasks, worst first, at most 80 columns wide."""
    tests = (f"p pooled {p_text(result.p_pooled, result.pooled.log10_p)}, "
             f"max-drop {p_text(result.p_max_drop)}, Fisher {p_text(result.p_fisher)}; "
             f"combined {p_text(result.p_combined)}, adjusted for candidates {p_text(result.p_adjusted)}")
    lines = textwrap.wrap(tests, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    lines.append(f"  {'task':<24}{'n':>7}{'b':>6}{'c':>6}{'drop':>8}  {'95% interval':<17}{'p':>8}")
    worst = sorted(result.tasks, key=lambda task: result.tasks[task].p)
    for task, row in [(ALL, result.pooled), *((task, result.tasks[task]) for task in worst[:SHOWN_TASKS])]:
        interval = f"[{amount(row.ci_low, row)}, {amount(row.ci_high, row)}]"
        lines.append(f"  {shorten(task, 23):<24}{row.n:>7}{row.b:>6}{row.c:>6}{amount(row.drop, row):>8}  "
                     f"{interval:<17}{p_text(row.p, row.log10_p):>8}")
    if len(worst) > SHOWN_TASKS:
        lines.append(f"  … and {len(worst) - SHOWN_TASKS} more tasks with larger p, see summary.csv")
    flagged = [task for task in worst if result.p_step_down[task] <= result.pooled.alpha]
    if flagged:
        named = ", ".join(f"{task} (p = {p_text(result.p_step_down[task])})" for task in flagged)
        lines += textwrap.wrap(f"worse, adjusted for all tasks: {named}", WIDTH - 2, initial_indent="  ",
                               subsequent_indent="  ")
    return "\n".join(lines)


def summary_frame(results: dict[str, SuiteResult], baseline: str) -> pd.DataFrame:
    """summary.csv: for each candidate the pooled row (task ALL), then its tasks."""
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
                "p_noninferiority": r.p_noninferiority,
                "p_holm_tasks": None if pooled else suite.p_holm[task],
                "p_step_down_tasks": None if pooled else suite.p_step_down[task],
                "p_pooled": suite.p_pooled if pooled else None,
                "p_max_drop": suite.p_max_drop if pooled else None,
                "p_fisher": suite.p_fisher if pooled else None,
                "p_combined": suite.p_combined if pooled else None,
                "p_adjusted": suite.p_adjusted if pooled else None,
                "can_reject": r.can_reject, "alpha": r.alpha, "margin": r.margin,
                "verdict": suite.verdict if pooled else None,
                "within_margin": suite.within_margin if pooled else None,
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
    # Whole numbers stay whole where a task has no such count.
    return pd.DataFrame(rows).astype({"both_right": "Int64", "both_wrong": "Int64"})


def comparison_frame(models: dict[str, dict[str, TaskScores]]) -> pd.DataFrame:
    """model_comparison.csv: mean score of every model (columns) on every task (rows), on all its items."""
    frame = pd.DataFrame({model: {task: s.frame["score"].mean() for task, s in tasks.items()}
                          for model, tasks in models.items()})
    return frame.rename_axis("task").reset_index()


def category_frame(models: dict[str, dict[str, TaskScores]], stderr: bool) -> pd.DataFrame:
    """summary_with(out)_stderr.csv: models × categories, each the mean over all items of the category."""
    rows = []
    for model, tasks in models.items():
        categories: dict[str, list[pd.DataFrame]] = {}
        for task, scores in tasks.items():
            for category in (scores.category or task, ALL):
                categories.setdefault(category, []).append(scores.frame.assign(task=task))
        row = {"model": model}
        for category in sorted(categories, key=lambda c: c != ALL):
            items = pd.concat(categories[category]).dropna(subset="score")
            row[category] = items["score"].mean()
            if stderr:
                row[f"{category}_stderr"] = _standard_error(items)
        rows.append(row)
    return pd.DataFrame(rows)


def _standard_error(items: pd.DataFrame) -> float:
    """Of a mean score; items of one cluster, or with the same content, count together."""
    label = next((items[c] for c in ("cluster", "content") if c in items and items[c].notna().all()), None)
    codes = np.arange(len(items)) if label is None else pd.factorize(label)[0]
    return cluster_standard_error(items["score"].to_numpy(), codes) if codes.max() > 0 else float("nan")


def suite_markdown(results: dict[str, SuiteResult], baseline: str, notes: list[str], command: str) -> str:
    """A summary that a CI job can post: the decisions, one table of models, the tasks folded away."""
    first = next(iter(results.values())).pooled
    lines = [f"## Degradation tests against {_cell(baseline)}", "",
             f"One-sided, error rate {percent(first.alpha)} over {len(results)} candidate(s) and all tasks; "
             f"margin {margin_text(first)}.", ""]
    lines += [f"- {_cell(suite_headline(name, result))}" for name, result in results.items()]
    lines += ["", "| model | items | drop | 95% interval | p pooled | p max-drop | p Fisher | p adjusted | "
              "verdict |", "|---|---:|---:|---|---:|---:|---:|---:|---|"]
    for name, r in results.items():
        cells = [_cell(name), f"{r.pooled.n:,}", *drop_cells(r.pooled), p_text(r.p_pooled, r.pooled.log10_p),
                 p_text(r.p_max_drop), p_text(r.p_fisher), p_text(r.p_adjusted), r.verdict]
        lines.append(f"| {' | '.join(cells)} |")
    for name, r in results.items():
        lines += ["", f"<details><summary>{_cell(name)}: tasks</summary>", "",
                  "| task | n | b | c | drop | 95% interval | p | p (max-z, all tasks) |",
                  "|---|---:|---:|---:|---:|---|---:|---:|"]
        for task, row in r.tasks.items():
            cells = [_cell(task), str(row.n), str(row.b), str(row.c), *drop_cells(row),
                     p_text(row.p, row.log10_p), p_text(r.p_step_down[task])]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", "</details>"]
    if notes:
        lines += ["", *(f"- note: {_cell(note)}" for note in notes)]
    return "\n".join([*lines, "", f"`{command}`", ""])


def suite_json(results: dict[str, SuiteResult], pairs: dict[str, list[Pairs]], **more) -> str:
    """All results of a suite as one JSON object."""
    candidates = {}
    for name, result in results.items():
        content = asdict(result)
        for row in (content["pooled"], *content["tasks"].values()):
            del row["verdict"], row["within_margin"]  # of one test by itself; the suite's are adjusted
        for task_pairs in pairs[name]:
            content["tasks"][task_pairs.task]["excluded"] = task_pairs.excluded
        candidates[name] = {"verdict": content.pop("verdict"), "p_pooled": result.p_pooled, **content}
    return as_json({**more, "candidates": candidates})


def drop_cells(row: PairedResult) -> list[str]:
    return [amount(row.drop, row), f"[{amount(row.ci_low, row)}, {amount(row.ci_high, row)}]"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
