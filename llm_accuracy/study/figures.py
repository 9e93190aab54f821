"""Figures of the study: one place where a figure becomes a file.

Every function takes tidy tables (`summaries.compared`, `coverage.per_model`) and returns a figure; `save` writes it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..palette import WIDTH, style, use_look
from .columns import standard_error
from .coverage import luck, neighbours, smooth

SHARE = "budget (% of the questions)"
ESS = "effective sample size,\n{} (× uniform)"
COVERAGE = "coverage of\n95 % intervals (%)"

use_look()


def parts(table: pd.DataFrame, most: int = 4) -> list[pd.DataFrame]:
    """A table split into figures of at most four scenarios, which is what the text width holds."""
    scenarios = list(dict.fromkeys(table["scenario"]))
    return [table[table["scenario"].isin(scenarios[start : start + most])] for start in range(0, len(scenarios), most)]


def part_name(part: pd.DataFrame, table: pd.DataFrame) -> str:
    """"" if the part is all of the table, else "_" and the part's first scenario."""
    return "" if len(part) == len(table) else f"_{part['scenario'].iloc[0]}"


# --- figures -------------------------------------------------------------------------------------------

def ess_and_coverage(table: pd.DataFrame) -> plt.Figure:
    """ESS by width, ESS by error and coverage against budget, one line a method, for one dataset and scenario."""
    best = table.loc[table["ess_width"].idxmax()]
    figure = by_scenario(table, ("ess_width", "ess_mse", "coverage"), across=True)
    return titled(figure, f"{table['dataset'].iloc[0]}: a question asked by {best['name']} is worth up to "
                  f"{best['ess_width']:.1f} random ones", counts(table))


MEASURES = {  # column: (axis label, factor, line at)
    "ess_width": (ESS.format("by width"), 1, 1), "ess_mse": (ESS.format("by error"), 1, 1),
    "coverage": (COVERAGE, 100, 95), "mean_width": ("mean width of\n95 % intervals (points)", 100, None),
    "relative_width": ("width at equal coverage\n(share of uniform's)", 1, 1),
}


def by_scenario(table: pd.DataFrame, measures: Sequence[str], across: bool = False) -> plt.Figure:
    """One row of panels a measure, one column a scenario (or, `across`, the measures of one scenario in one row);
    one line a method, ±1 standard error."""
    scenarios = list(dict.fromkeys(table["scenario"]))
    names = list(dict.fromkeys(table["name"]))
    shape = (1, len(measures)) if across else (len(measures), len(scenarios))
    height = 1.1 + (2.0 if shape[0] == 1 else 1.65) * shape[0]
    figure, axes = plt.subplots(*shape, figsize=(WIDTH, height), layout="constrained", squeeze=False, sharex=True,
                                sharey=False if across else "row")
    for i, measure in enumerate(measures):
        for j, scenario in enumerate(scenarios):
            axis = axes[0, i] if across else axes[i, j]
            _lines(axis, table[table["scenario"] == scenario], measure, names)
            label, _, line = MEASURES[measure]
            if across or j == 0:
                axis.set_ylabel(label)
            if line is not None:
                axis.axhline(line, color="0.7", linewidth=0.8, zorder=0)
            if across or i == len(measures) - 1:
                axis.set_xlabel(SHARE if across or len(scenarios) < 3 else "budget (%)")
            if not across and i == 0:
                axis.set_title(scenario_name(scenario))
        _limits(axes[0] if across else axes[i], i if across else None, measure)
    handles = {}
    for axis in axes.flat:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=min(4, len(names)))
    return figure


def by_batch(table: pd.DataFrame) -> plt.Figure:
    """ESS by width and by error, and coverage, of one method at one budget, against how many questions are asked before
    the answers are learned from; ±1 standard error.

    table  rows of `summaries.compared` with a column batch
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained")
    for axis, measure in zip(axes, ("ess_width", "ess_mse", "coverage"), strict=True):
        label, factor, line = MEASURES[measure]
        rows = table.sort_values("batch")
        axis.errorbar(rows["batch"], factor * rows[measure], factor * rows[f"{measure}_se"].fillna(0),
                      **style("FAQ-mix", []))
        axis.axhline(line, color="0.7", linewidth=0.8, zorder=0)
        axis.set(xscale="log", ylabel=label, xlabel="questions asked at a time")
        axis.set_xticks(rows["batch"], [str(batch) for batch in rows["batch"]], fontsize=6)
        axis.minorticks_off()
        _limits([axis], 0, measure)
    return figure


def _lines(axis: plt.Axes, cell: pd.DataFrame, measure: str, names: Sequence[str]) -> None:
    se = standard_error(measure)
    factor = MEASURES[measure][1]
    for name in names:
        rows = cell[cell["name"] == name].sort_values("budget")
        axis.errorbar(100 * rows["share"].astype(float), factor * rows[measure], factor * rows[se].fillna(0),
                      label=name, **style(name, names))


def _limits(axes: Sequence[plt.Axes], only: int | None, measure: str) -> None:
    for axis in axes if only is None else [axes[only]]:
        if measure == "coverage":
            low, high = axis.get_ylim()
            axis.set_ylim(min(np.floor(low), 90), min(max(high, 97.5), 100))
        else:
            axis.set_ylim(bottom=0)


def scenario_name(scenario: str) -> str:
    """nfobs=50_p=0.1 → "50 models + 10 %": how much of the history is seen."""
    full, p = (part.split("=")[1] for part in scenario.split("_"))
    if full == "None":
        return "all of the history"
    share = f"{100 * float(p):g} %"
    return f"{share} of the history" if full == "0" else f"{full} models + {share}"


def titled(figure: plt.Figure, point: str, note: str) -> plt.Figure:
    """Give a figure its point as the title, wrapped at its width, and in small type, above its legend or at its foot,
    what was measured."""
    lines = len(textwrap.wrap(point, 80))
    balanced = next(width for width in range(20, 81) if len(textwrap.wrap(point, width)) <= lines)
    figure.suptitle("\n".join(textwrap.wrap(point, balanced)), fontsize=9, fontweight="bold", x=0.01, ha="left")
    note = "\n".join(textwrap.wrap(note, 120))
    for legend in figure.legends:
        legend.set_title(note, prop={"size": 6.5})
    if not figure.legends:
        figure.supxlabel(note, fontsize=6.5)
    return figure


def counts(table: pd.DataFrame) -> str:
    """What stands behind a table of `summaries.compared`: models, seeds, error bars."""
    by_seeds = table.groupby("seeds")["name"].unique().sort_index(ascending=False)
    seeds = f"{by_seeds.index[0]} seeds"
    if len(by_seeds) > 1:
        fewer = [f"{', '.join(names)}: {count}" for count, names in by_seeds.iloc[1:].items()]
        seeds += f" ({'; '.join(fewer)})"
    return f"{', '.join(dict.fromkeys(table['dataset']))}: {table['models'].max()} new models, {seeds}; bars ±1 SE"


def audit_counts(per_model: pd.DataFrame) -> str:
    models, seeds = per_model["model"].nunique(), per_model["seeds"].max()
    return (f"{', '.join(dict.fromkeys(per_model['dataset']))}: {models} new models × {seeds} seeds; Gaussian window "
            f"of {neighbours(models)} models; with luck alone the worst model is at {luck(models, seeds):.0%}")


def coverage_audit(per_model: pd.DataFrame) -> plt.Figure:
    """Every model's coverage against its release date and its accuracy, one row of panels a budget; the smoothed
    mean and its ±1 standard deviation band.

    per_model  one dataset, scenario and method of `coverage.per_model`
    """
    budgets = sorted(per_model["budget"].unique())
    figure, axes = plt.subplots(len(budgets), 2, figsize=(WIDTH, 0.8 + 1.45 * len(budgets)), layout="constrained",
                                sharey=True, sharex="col", squeeze=False)
    for row, budget in zip(axes, budgets, strict=True):
        cell = per_model[per_model["budget"] == budget]
        _smoothed(row[0], pd.to_datetime(cell["created_date"], format="%Y-%m-%d", errors="coerce"), cell["coverage"])
        _smoothed(row[1], 100 * cell["accuracy"], cell["coverage"])
        row[0].set_ylabel(f"{budget} questions\n({float(cell['share'].iloc[0]):.1%})\ncoverage (%)")
    axes[-1, 0].set_xlabel("release date of the model")
    axes[-1, 1].set_xlabel("accuracy of the model on the whole bank (%)")
    locator = matplotlib.dates.AutoDateLocator(maxticks=6)
    axes[-1, 0].xaxis.set_major_locator(locator)
    axes[-1, 0].xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))
    low = 100 * min(per_model["coverage"].min(), 0.9)
    axes[0, 0].set_ylim(max(np.floor(low / 5) * 5 - 2.5, -2.5), 102.5)
    return figure


def _smoothed(axis: plt.Axes, x: pd.Series, coverage: pd.Series) -> None:
    known = x.notna().to_numpy()
    order = np.argsort(x[known].to_numpy(), kind="stable")
    x, y = x[known].to_numpy()[order], 100 * coverage.to_numpy()[known][order]
    axis.plot(x, y, ".", color="0.3", alpha=0.35, markersize=5, markeredgewidth=0, label="one model")
    if len(y) > 1:
        mean, spread = smooth(y)
        axis.fill_between(x, mean - spread, mean + spread, color="#56B4E9", alpha=0.35, linewidth=0,
                          label="±1 standard deviation of the neighbours")
        axis.plot(x, mean, color="#0072B2", linewidth=1.4, label="smoothed mean")
    axis.axhline(95, color="black", linewidth=0.8, linestyle="--", label="aim")


def with_legend(figure: plt.Figure) -> plt.Figure:
    """The first panel's legend below the figure."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def save(figure: plt.Figure, stem: Path, table: str | None = None) -> list[Path]:
    """Write `stem`.png and `stem`.pdf, and `stem`.md with the figure's numbers if given; returns the paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
        figure.savefig(path, metadata=metadata)
    plt.close(figure)
    if table is not None:
        paths.append(stem.with_name(stem.name + ".md"))
        paths[-1].write_text(table)
    return paths
