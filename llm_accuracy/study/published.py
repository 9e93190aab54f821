"""The published result tables of arXiv 2601.20251, and ours beside them, cell by cell.

A folder of published tables holds faq_summary.csv, best_baseline_summary.csv, best_ablation_summary.csv,
uniform_summary.csv (means over 100 seeds with standard errors), replacement_ablation_with.csv and _without.csv
(one row per seed) and faq_best_settings.csv. Budgets are matched as k/40 of the questions, by the integer k.

Published FAQ widths use the published variance and are not clipped; ours beside them are computed alike
(variance "published"). Published effective sample sizes are multiples of Horvitz-Thompson with f = 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import read_csv
from ..querying.setting import Setting
from ..scores.scenario import Scenario
from . import columns, summaries
from .grids import SHARE_DENOMINATOR, Cell

SUMMARIES = {"faq_summary.csv": "FAQ", "best_baseline_summary.csv": "best baseline",
             "best_ablation_summary.csv": "active + factors", "uniform_summary.csv": "uniform (published)"}
SEEDS = 100
MEASURES = {"ess_vs_published_uniform": "ESS", "coverage": "coverage", "mean_width": "width"}
_STANDARD_ERRORS = {measure: columns.standard_error(measure) for measure in MEASURES}
_CELL = ["dataset", "scenario", "fortieths", "name"]


def is_published(folder: Path) -> bool:
    """Whether a folder holds published tables rather than logs of this project."""
    return (folder / "faq_summary.csv").is_file()


def read(folder: Path) -> pd.DataFrame:
    """Every published cell: dataset, scenario, fortieths, name, seeds, and each measure with its standard error.

    Raises InputError if a table is missing or is another one.
    """
    tables = [_summary(folder / file, name) for file, name in SUMMARIES.items()]
    tables += [_replacement(folder / f"replacement_ablation_{file}.csv", name)
               for file, name in (("with", "FAQ, ablation"), ("without", "FAQ, naive without"))]
    return pd.concat(tables, ignore_index=True)


def _read(path: Path, needed: set[str]) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path}: no such file; the folder of published tables must hold it")
    table = read_csv(path, "the published table")
    if missing := sorted(needed - set(table.columns)):
        raise InputError(f"{path}: column {', '.join(missing)} is missing; it is not the published table")
    numbers = {"prop_budget", "n_full_obs", "mcar_obs_prob"} & set(table.columns) | {"prop_budget"} | needed
    table = read_csv(path, "the published table", sorted(numbers - {"dataset"}))
    if table["prop_budget"].isna().any():
        raise InputError(f"{path}: column prop_budget has blanks; it is not the published table")
    return table.assign(fortieths=(table["prop_budget"] * SHARE_DENOMINATOR).round().astype(int))


def _scenarios(table: pd.DataFrame) -> list[str]:
    return [Scenario(None if np.isnan(full) else int(full), float(p)).key
            for full, p in zip(table["n_full_obs"], table["mcar_obs_prob"], strict=True)]


def _summary(path: Path, name: str) -> pd.DataFrame:
    table = _read(path, {"dataset", "prop_budget", "ess_multiplier", "ess_multiplier_serr", "coverage",
                         "coverage_serr", "mean_width", "mean_width_serr"})
    table = table.rename(columns={
        "ess_multiplier": "ess_vs_published_uniform", "ess_multiplier_serr": "ess_vs_published_uniform_se",
        "coverage_serr": "coverage_se", "mean_width_serr": "width_se"})
    if "n_full_obs" in table:
        table = table.assign(scenario=_scenarios(table))
    else:  # uniform sampling knows no history: the same in every scenario
        everywhere = pd.Series(_scenarios(_read(path.with_name("faq_summary.csv"), set()))).unique()
        table = table.merge(pd.DataFrame({"scenario": everywhere}), how="cross")
    return table.assign(name=name, seeds=SEEDS)[[*_CELL, "seeds", *_STANDARD_ERRORS, *_STANDARD_ERRORS.values()]]


def _replacement(path: Path, name: str) -> pd.DataFrame:
    """All data observed; without the widths of uniform sampling seed by seed there is no ESS with an error."""
    by_cell = _read(path, {"dataset", "seed", "mean_width", "coverage"}).groupby(["dataset", "fortieths"])
    table = by_cell.agg(seeds=("seed", "count"), mean_width=("mean_width", "mean"), coverage=("coverage", "mean"),
                        width_se=("mean_width", "sem"), coverage_se=("coverage", "sem")).reset_index()
    return table.assign(name=name, scenario=Scenario(None, 1.0).key)


def best_settings(folder: Path, cell: Cell) -> dict[int, Setting]:
    """{k: FAQ's published hyperparameters at budget k/40} of one dataset and scenario.

    Raises InputError if the tables do not know the cell.
    """
    table = _read(folder / "faq_best_settings.csv", {"dataset", "beta0", "rho", "gamma", "tau"})
    table = table.assign(scenario=_scenarios(table))
    rows = table[(table["dataset"] == cell.dataset) & (table["scenario"] == cell.scenario)]
    if rows.empty:
        raise InputError(f"{folder}: no published settings for {cell.dataset} {cell.scenario}")
    return {row.fortieths: Setting(float(row.beta0), float(row.rho), float(row.gamma), float(row.tau))
            for row in rows.itertuples()}


def factor_setting(folder: Path, cell: Cell) -> tuple[int, float]:
    """(rank, weight decay) published for one dataset and scenario."""
    path = folder / "factor_model_selected_settings.csv"
    if not path.is_file():
        raise InputError(f"{path}: no such file; the folder of published tables must hold it")
    table = read_csv(path, "the published table", ("n_full_obs", "mcar_obs_prob", "K", "lmbda"))
    if "dataset" not in table:
        raise InputError(f"{path}: column dataset is missing; it is not the published table")
    rows = table[(table["dataset"] == cell.dataset) & (np.array(_scenarios(table)) == cell.scenario)]
    if rows.empty:
        raise InputError(f"{path}: no row for {cell.dataset} {cell.scenario}")
    if rows.iloc[0][["K", "lmbda"]].isna().any():
        raise InputError(f"{path}: K or lmbda of {cell.dataset} {cell.scenario} is blank; not the published table")
    return int(rows.iloc[0]["K"]), float(rows.iloc[0]["lmbda"])


# --- beside ours ---------------------------------------------------------------------------------------

def ours(summary: pd.DataFrame) -> pd.DataFrame:
    """The arms of a summary that were published, computed as they were, in the columns of `read`."""
    faq = summary[(summary["method"] == "faq") & (summary["variance"] == "published") & (summary["batch"] == 1)]
    arms = [faq[faq["sampling"] == "with"].assign(name="FAQ"),
            faq[faq["sampling"] == "with"].assign(name="FAQ, ablation"),
            faq[faq["sampling"] == "naive-without"].assign(name="FAQ, naive without"),
            summaries.published_uniform(summary).assign(name="uniform (published)"),
            summaries.best_baseline(summary).assign(name="best baseline"),
            summaries.best_ablation(summary).assign(name="active + factors")]
    table = pd.concat(arms, ignore_index=True)
    share = table["share"].astype(float) * SHARE_DENOMINATOR
    fortieths = share.round().astype(int)
    near = (share - fortieths).abs() < 0.05  # ⌊N k/40⌋ of at least 800 questions
    return table.assign(fortieths=fortieths)[near]


def compare(ours: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, method and measure that both know: ours ± SE, published ± SE, and the difference in
    standard errors (of the difference). That is NaN where it would say nothing: a standard error is 0 (a coverage of
    1.000 ± .000 is no exact number) or missing, or comes from one seed.

    Our coverage's standard error is binomial over models × seeds, the published one is over seeds.
    """
    both = ours.merge(published, on=_CELL, suffixes=("_ours", "_published"))
    rows = []
    for cell in both.to_dict("records"):
        for measure, label in MEASURES.items():
            se_name = _STANDARD_ERRORS[measure]
            mine, theirs = cell[f"{measure}_ours"], cell[f"{measure}_published"]
            if np.isnan(theirs):
                continue
            errors = [cell[f"{se_name}_{side}"] for side in ("ours", "published")]
            known = all(error > 0 for error in errors) and min(cell["seeds_ours"], cell["seeds_published"]) > 1
            difference = mine - theirs
            rows.append({name: cell[name] for name in _CELL} | {
                "setting": cell.get("setting", ""), "measure": label, "ours": mine, "ours_se": errors[0],
                "published": theirs, "published_se": errors[1], "difference": difference,
                "difference_in_se": difference / float(np.hypot(*errors)) if known else np.nan})
    if not rows:
        raise InputError("no cell is in both: the published tables know the datasets mmlu-pro and "
                         "bbh+gpqa+ifeval+math+musr at budgets of k/40; --as NAME says which one ours stands for")
    order = {name: i for i, name in enumerate(["uniform (published)", "best baseline", "active + factors"])}
    table = pd.DataFrame(rows)
    return table.assign(order=table["name"].map(lambda name: order.get(name, len(order)))).sort_values(
        ["dataset", "scenario", "order", "name", "measure", "fortieths"], kind="stable").drop(
        columns="order").reset_index(drop=True)


def summary_table(table: pd.DataFrame) -> str:
    """Published cells as plain text."""
    lines = []
    for (dataset, scenario), cell in table.groupby(["dataset", "scenario"], sort=False):
        lines += [f"{dataset}, {scenario}, as published ({SEEDS} seeds; ESS against the published uniform)",
                  f"{'method':<21} {'budget':>6} {'width':>14} {'coverage':>12} {'ESS':>10}"]
        for row in cell.itertuples():
            ess = summaries.plus_minus(row.ess_vs_published_uniform, row.ess_vs_published_uniform_se, 2)
            lines.append(f"{row.name:<21} {row.fortieths / SHARE_DENOMINATOR:>6.1%} "
                         f"{summaries.plus_minus(row.mean_width, row.width_se, 5):>14} "
                         f"{summaries.plus_minus(row.coverage, row.coverage_se, 4):>12} "
                         f"{'' if np.isnan(row.ess_vs_published_uniform) else ess:>10}")
        lines.append("")
    return "\n".join(lines)


_HEADER = f"{'method':<21} {'budget':>6} {'measure':<8} {'ours':>15} {'published':>15} {'diff/SE':>8}"


def text_table(table: pd.DataFrame) -> str:
    """The comparison as plain text, 80 columns wide."""
    lines = []
    for (dataset, scenario), cell in table.groupby(["dataset", "scenario"], sort=False):
        lines += [f"{dataset}, {scenario}", _HEADER]
        for row in cell.itertuples():
            digits = {"ESS": 2, "coverage": 3, "width": 4}[row.measure]
            lines.append(
                f"{row.name:<21} {row.fortieths / SHARE_DENOMINATOR:>6.1%} {row.measure:<8} "
                f"{summaries.plus_minus(row.ours, row.ours_se, digits):>15} "
                f"{summaries.plus_minus(row.published, row.published_se, digits):>15} "
                f"{'-' if np.isnan(row.difference_in_se) else f'{row.difference_in_se:.1f}':>8}")
        lines.append("")
    return "\n".join(lines)


def markdown_table(table: pd.DataFrame) -> str:
    """The comparison as a Markdown table, one row per method and budget, each measure as ours / published (difference
    in standard errors)."""
    labels = list(MEASURES.values())
    lines = [["dataset", "scenario", "method", "budget", *labels]]
    for (*cell, k), row in table.groupby(["dataset", "scenario", "name", "fortieths"], sort=False):
        found = {one.measure: one for one in row.itertuples()}
        lines.append([*cell, f"{k / SHARE_DENOMINATOR:.1%}", *(_beside(found.get(label)) for label in labels)])
    return summaries.markdown(lines)


def _beside(row) -> str:
    if row is None:
        return ""
    digits = {"ESS": 2, "coverage": 3, "width": 4}[row.measure]
    error = "" if np.isnan(row.ours_se) else f" ± {row.ours_se:.{digits}f}"
    beside = f"{row.ours:.{digits}f}{error} / {row.published:.{digits}f}"
    return beside if np.isnan(row.difference_in_se) else f"{beside} ({row.difference_in_se:+.1f})"
