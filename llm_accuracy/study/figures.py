"""Figures of the study.

Every function takes tidy tables (`summaries.compared`, `coverage.per_model`) and returns a figure; `palette.save`
writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import dates

from ..palette import PALETTE, WIDTH, style, titled, use_look
from ..querying.policies import ANY_TIME_POLICY, DEFAULT_POLICY, POLICIES
from . import ledger, summaries
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


# --- what the notebooks draw ---------------------------------------------------------------------------

EVERYTHING = "nfobs=None_p=1.0"  # the scenario in which all of the history is seen
OURS, SEQUENTIAL = POLICIES[DEFAULT_POLICY].label, POLICIES[ANY_TIME_POLICY].label
PAPER = ["FAQ", "FAQ (with)"]  # the latter's name depends on what else is in the logs
RIVALS = ["uniform (SRS)", "best baseline", "active + factors"]


class StudyLogs(NamedTuple):
    """What the notebooks of the study draw: `summaries.compared` of every summary.csv in a folder and in those inside
    it, such as logs/twin, and the default method's rows of its faq_coverage.csv."""

    table: pd.DataFrame
    audits: pd.DataFrame

    @classmethod
    def read(cls, folder: Path | str) -> StudyLogs:
        """Raises InputError if a log is not there, naming the command that makes it."""
        folder = Path(folder)
        found = sorted(folder.glob("**/summary.csv"), key=lambda path: (len(path.parts), path))
        found = found or [folder / "summary.csv"]
        audits = ledger.read(folder / "faq_coverage.csv", "faq_coverage.py")
        return cls(pd.concat([summaries.compared(summaries.read(path)) for path in found], ignore_index=True),
                   audits[audits["method"] == DEFAULT_POLICY])

    @property
    def datasets(self) -> list[str]:
        """Those on which the default method was run."""
        return list(dict.fromkeys(self.table.loc[self.table["name"] == OURS, "dataset"]))

    def of(self, dataset: str, *names: str, scenario: str | None = None) -> pd.DataFrame:
        """The rows of some methods; of one scenario, or of all. None where the default method was not run there."""
        chosen = self.table[(self.table["dataset"] == dataset) & self.table["name"].isin(names)]
        chosen = chosen if scenario is None else chosen[chosen["scenario"] == scenario]
        return chosen if (chosen["name"] == OURS).any() else chosen[:0]


# --- figures -------------------------------------------------------------------------------------------

def ess_and_coverage(table: pd.DataFrame) -> plt.Figure:
    """ESS by width, ESS by error and coverage against budget, one line a method, for one dataset and scenario."""
    rivals = table[~table["name"].map(_is_oracle)]
    best = (table if rivals.empty else rivals).reset_index(drop=True)
    best = best.loc[best["ess_width"].idxmax()]
    figure = by_scenario(table, ("ess_width", "ess_mse", "coverage"), across=True)
    return titled(figure, f"{table['dataset'].iloc[0]}: a question asked by {best['name']} is worth up to "
                  f"{best['ess_width']:.1f} random ones", counts(table))


MEASURES: dict[str, tuple[str, int, float | None]] = {  # column: (axis label, factor, line at)
    "ess_width": (ESS.format("by width"), 1, 1), "ess_mse": (ESS.format("by error"), 1, 1),
    "coverage": (COVERAGE, 100, 95), "mean_width": ("mean width of\n95 % intervals (points)", 100, None),
    "relative_width": ("width at equal coverage\n(share of uniform's)", 1, 1),
}


def by_scenario(table: pd.DataFrame, measures: Sequence[str], across: bool = False) -> plt.Figure:
    """One row of panels a measure, one column a scenario (or, `across`, the measures of one scenario side by side,
    its coverage below them); one line a method, ±1 standard error.

    What an oracle reaches does not set the scale of a panel: one that would lie above it is named at the edge, with
    its range.
    """
    scenarios = list(dict.fromkeys(table["scenario"]))
    names = list(dict.fromkeys(table["name"]))
    figure, panels = _across(measures) if across else _grid(measures, len(scenarios))
    for measure, row in panels.items():
        label, _, line = MEASURES[measure]
        limits = _limits(table, measure)
        row[0].set_ylabel(label)
        for axis, scenario in zip(row, scenarios, strict=True):
            cell = table[table["scenario"] == scenario]
            if across and measure == "coverage":
                _side_by_side(axis, cell, measure, names)
            else:
                _lines(axis, cell, measure, names, limits[1])
                _budget_axis(axis, cell["share"])
            if line is not None:
                axis.axhline(line, color="0.7", linewidth=0.8, zorder=0)
            if across or measure == measures[-1]:
                axis.set_xlabel(SHARE if len(scenarios) < 3 else "budget (%)")
            if not across and measure == measures[0]:
                axis.set_title(scenario_name(scenario))
            axis.set_ylim(limits)
    handles: dict[str, object] = {}
    for axis in figure.axes:
        handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True)) | handles
    columns = 3 if len(names) in (5, 6) else min(4, len(names))  # no row of one
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * max(0, -(-len(names) // columns) - 3))
    return figure


def _grid(measures: Sequence[str], scenarios: int) -> tuple[plt.Figure, dict[str, Sequence[plt.Axes]]]:
    height = 3.1 if len(measures) == 1 else 1.1 + 1.65 * len(measures)
    figure, axes = plt.subplots(len(measures), scenarios, figsize=(WIDTH, height), layout="constrained", squeeze=False,
                                sharex=True, sharey="row")
    return figure, dict(zip(measures, axes, strict=True))


def _across(measures: Sequence[str]) -> tuple[plt.Figure, dict[str, Sequence[plt.Axes]]]:
    above = [measure for measure in measures if measure != "coverage"]
    rows = [above] if len(above) == len(measures) else [above, ["coverage"] * len(above)] if above else [measures]
    figure, axes = plt.subplot_mosaic(rows, figsize=(WIDTH, 1.2 + 1.9 * len(rows)), layout="constrained")
    return figure, {measure: [axes[measure]] for measure in measures}


def by_batch(table: pd.DataFrame) -> plt.Figure:
    """ESS by width and by error, and coverage, of the default method at one budget, against how many questions are
    asked in the first round; ±1 standard error.

    table  rows of `summaries.compared` with a column batch
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained")
    for axis, measure in zip(axes, ("ess_width", "ess_mse", "coverage"), strict=True):
        label, factor, line = MEASURES[measure]
        rows = table.sort_values("batch")
        axis.errorbar(rows["batch"], factor * rows[measure], factor * rows[f"{measure}_se"].fillna(0),
                      **style(OURS, []))
        axis.axhline(line, color="0.7", linewidth=0.8, zorder=0)
        axis.set(xscale="log", ylabel=label, xlabel="questions in the first round")
        axis.set_xticks(rows["batch"], [str(batch) for batch in rows["batch"]], fontsize=6)
        axis.minorticks_off()
        axis.set_ylim(_limits(table, measure))
    return figure


def batches_point(table: pd.DataFrame, name: str, kept: float = 0.9) -> str:
    """What `by_batch` shows, in a sentence: up to which batch at least `kept` of the effective sample size by width
    is left, and how much in the larger ones in which it is less."""
    ess = table.set_index("batch")["ess_width"].sort_index()
    left = ess / ess.iloc[0]
    enough = left[(left >= kept).cummin()]
    point = (f"With up to {enough.index[-1]} of {int(table['budget'].iloc[0]):,} questions asked in the first round, "
             f"{name} keep {100 * enough.min():.0f} % of their effective sample size")
    falls = [f"at {batch} only {100 * share:.0f} %" for batch, share in left[left < kept].items()]
    return "; ".join([point, ", ".join(falls)]) if falls else point


def batches_note(table: pd.DataFrame) -> str:
    """What `by_batch` rests on: dataset, scenario, models, seeds."""
    seeds = {count: ", ".join(map(str, rows["batch"].sort_values())) for count, rows in table.groupby("seeds")}
    counted = [f"{count} seeds" + (f" of {seeds[count]} at first" if len(seeds) > 1 else "")
            for count in sorted(seeds, reverse=True)]
    first = table.iloc[0]
    return (f"{first['dataset']}, {scenario_name(first['scenario'])}: {table['models'].max()} new models; "
            f"{'; '.join(counted)}; bars ±1 SE")


def _lines(axis: plt.Axes, cell: pd.DataFrame, measure: str, names: Sequence[str], top: float) -> None:
    gone = 0
    for name in names:
        share, value, error = _points(cell, measure, name)
        if _is_oracle(name) and value.size and value.max() > top:
            axis.text(0.02, 0.99 - 0.08 * gone, f"↑ {name}: {value.min():.1f} to {value.max():.1f}", fontsize=6.5,
                      color=style(name, names)["color"], va="top", transform=axis.transAxes)
            value, gone = np.full_like(value, np.nan), gone + 1
        axis.errorbar(share, value, error, label=name, **style(name, names))


def scenarios_point(table: pd.DataFrame, name: str) -> str:
    """What the widths and coverages of a method are in the first and in the last scenario of a table, in a sentence."""
    mine = table[table["name"] == name]
    width = mine.groupby("scenario", sort=False)["relative_width"].mean()
    most, least = ("no narrower" if share >= 0.995 else f"{100 * (1 - share):.0f} % narrower"
                   for share in (width.iloc[0], width.iloc[-1]))
    first, last = scenario_name(width.index[0]), scenario_name(width.index[-1])
    covered = 100 * mine["coverage"]
    return (f"At equal coverage the intervals of {name} are {most} than uniform's with {first}, {least} with {last}; "
            f"as they come they cover {covered.min():.1f} to {covered.max():.1f} %")


def narrowest_point(widths: pd.DataFrame, name: str) -> str:
    """At how many budgets a method is the narrowest, and which one is where it is not most often, in a sentence.

    widths  at equal coverage, one row a budget and one column a method
    """
    runnable = widths[[method for method in widths if not _is_oracle(method)]]
    first = runnable.idxmin(axis=1).value_counts()
    mine, of = int(first.get(name, 0)), len(widths)
    if first.index[0] == name:
        return f"Narrowest at equal coverage: {name}, at {mine} of {of} budgets"
    return f"Narrowest at equal coverage: {first.index[0]}, at {first.iloc[0]} of {of} budgets; {name} at {mine}"


def _is_oracle(name: str) -> bool:
    """Given what nobody knows: a bound, not a rival."""
    return name.startswith("oracle")


def _side_by_side(axis: plt.Axes, cell: pd.DataFrame, measure: str, names: Sequence[str]) -> None:
    """The methods of a budget beside one another, without lines, so that no error bar hides another."""
    shares = sorted(100 * cell["share"].astype(float).unique())
    for i, name in enumerate(names):
        share, value, error = _points(cell, measure, name)
        at = np.searchsorted(shares, share) + 0.8 * ((i + 0.5) / len(names) - 0.5)
        axis.errorbar(at, value, error, label=name, **style(name, names) | {"linestyle": "none"})
    axis.set_xticks(range(len(shares)), [_short(share) for share in shares])
    for i in range(1, len(shares)):
        axis.axvline(i - 0.5, color="0.9", linewidth=0.8, zorder=0)
    axis.set_xlim(-0.5, len(shares) - 0.5)


def _points(cell: pd.DataFrame, measure: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(budget in per cent, value, standard error) of a method."""
    rows = cell[cell["name"] == name].sort_values("budget")
    error, factor = rows[standard_error(measure)].fillna(0), MEASURES[measure][1]
    share = 100 * rows["share"].astype(float).to_numpy()
    return share, factor * rows[measure].to_numpy(float), factor * error.to_numpy(float)


def _budget_axis(axis: plt.Axes, shares: pd.Series) -> None:
    """Logarithmic, with the budgets themselves as ticks, as many as have room."""
    ticks: list[float] = []
    for share in sorted(100 * shares.astype(float).unique()):
        if not ticks or share >= 1.45 * ticks[-1]:
            ticks.append(share)
    axis.set_xscale("log")
    axis.set_xticks(ticks, [_short(tick) for tick in ticks])
    axis.minorticks_off()


def _short(share: float) -> str:
    return f"{round(share, 1):g}" if share >= 1 else f"{share:.2g}"


def _limits(table: pd.DataFrame, measure: str) -> tuple[float, float]:
    """The scale of a measure's panels: where the methods are that somebody could run. Coverages reach at least
    two points to both sides of the aim; anything else starts at 0."""
    factor, aim = MEASURES[measure][1], 95  # per cent
    error = table[standard_error(measure)].fillna(0)
    low, high = factor * (table[measure] - error), factor * (table[measure] + error)
    if measure == "coverage":
        bottom, top = np.floor(min(low.min(), aim - 2)), np.ceil(max(high.max(), aim + 2))
        room = 0.03 * (top - bottom)  # for the markers
        return max(bottom, 0) - room, min(top, 100) + room
    oracle = table["name"].map(_is_oracle)
    return 0, 1.3 * high[~oracle].max() if oracle.any() and not oracle.all() else 1.08 * high.max()


def scenario_name(scenario: str) -> str:
    """nfobs=50_p=0.1 → "50 models + 10 %": how much of the history is seen."""
    full, p = (part.split("=")[1] for part in scenario.split("_"))
    if full == "None":
        return "all of the history"
    share = f"{100 * float(p):g} %"
    return f"{share} of the history" if full == "0" else f"{full} models + {share}"


def counts(table: pd.DataFrame) -> str:
    """What a table of `summaries.compared` rests on: models, seeds, error bars."""
    by_seeds = table.groupby("seeds")["name"].unique().sort_index(ascending=False)
    seeds = f"{by_seeds.index[0]} seeds"
    if len(by_seeds) > 1:
        fewer = [f"{', '.join(names)}:\N{NO-BREAK SPACE}{count}" for count, names in by_seeds.iloc[1:].items()]
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
    locator = dates.AutoDateLocator(maxticks=6)
    axes[-1, 0].xaxis.set_major_locator(locator)
    axes[-1, 0].xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
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
        axis.fill_between(x, np.maximum(mean - spread, 0), np.minimum(mean + spread, 100), color=PALETTE["sky"],
                          alpha=0.35, linewidth=0, label="±1 standard deviation of the neighbours")
        axis.plot(x, mean, color=PALETTE["blue"], linewidth=1.4, label="smoothed mean")
    axis.axhline(95, color="black", linewidth=0.8, linestyle="--", label="aim")


def with_legend(figure: plt.Figure) -> plt.Figure:
    """The first panel's legend below the figure."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
