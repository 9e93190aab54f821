"""Figures of the degradation tests, for the notebook, `plan --plot` and the reports."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from ..palette import STYLES, use_look
from . import e_values, planning
from .mcnemar import p_exact, p_mid
from .paired import PairedResult, judge_counts
from .repeats import Successes
from .verdicts import DEGRADED, NOT_DEGRADED, UNDECIDED
from .words import shorten

COLOURS = {"blue": STYLES["FAQ"][0], "sky": STYLES["uniform + factors"][0], "orange": "#D55E00",
           "green": "#009E73", "grey": "#999999", "black": "#000000"}
WIDTH = 7.0  # inches

use_look()


def as_bytes(figure: plt.Figure, kind: str) -> bytes:
    """The figure as png, pdf or svg; the same figure gives the same bytes."""
    dates = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "llm-accuracy", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, metadata=dates[kind])
    plt.close(figure)
    return buffer.getvalue()


def power_against_items(
    plan: dict, alpha: float, tasks: int = 1, one: bool = False, flips: list[float] | None = None,
    table: pd.DataFrame | None = None,
) -> plt.Figure:
    """Power against the number of items; exact and normal for one task, the simulated table for a suite.

    plan   n, flip, drop, power
    flips  ends of the flip rate's interval, drawn as a band
    """
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 2.6), layout="constrained")
    n, flip, drop = plan["n"], plan["flip"], plan["drop"]
    items = np.unique(np.geomspace(max(1, n / 8), 4 * n, 60).astype(int))
    if tasks == 1:
        if flips:
            low, high = ([100 * planning.power(int(k), max(f, drop), drop, alpha) for k in items] for f in flips)
            axes.fill_between(items, low, high, color=COLOURS["sky"], alpha=0.35, linewidth=0,
                              label="flip rate's 95 % interval")
        axes.plot(items, [100 * planning.power(int(k), flip, drop, alpha) for k in items], color=COLOURS["blue"],
                  label="exact")
    else:
        axes.plot(table["items"], 100 * table["power"], "o-", color=COLOURS["blue"], markersize=3,
                  label="simulated")
    normal = [planning.suite_normal("power", tasks=tasks, one=one, alpha=alpha, n=int(k), flip=flip, drop=drop)
              for k in items]
    axes.plot(items, 100 * np.array(normal), "--", color=COLOURS["grey"], linewidth=1, label="normal")
    axes.plot([n], [100 * plan["power"]], "D", color=COLOURS["orange"], markersize=5, label="the plan")
    axes.set(xscale="log", xlabel="items" + (" in each task" if tasks > 1 else ""), ylabel="power (%)", ylim=(0, 101),
             title=f"A drop of {100 * drop:.3g} points at a flip rate of {100 * flip:.3g} %\n"
                   f"{n:,} items: power {100 * plan['power']:.1f} %, error rate {100 * alpha:g} %")
    axes.set_xticks([n * times for times in (0.25, 0.5, 1, 2, 4)], [f"{n * t:,.0f}" for t in (0.25, 0.5, 1, 2, 4)])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return figure


def success_histogram(whole: Successes) -> plt.Figure:
    """How many items succeed in k of the runs, k = 0 … runs; those at the ends never flip."""
    counts, a = whole.histogram(), whole.summary()
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 2.6), layout="constrained")
    colours = [COLOURS["grey"] if k in (0, whole.runs) else COLOURS["blue"] for k in range(whole.runs + 1)]
    bars = axes.bar(range(whole.runs + 1), counts, color=colours)
    if whole.runs <= 12:
        axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=6.5)
        axes.set_xticks(range(whole.runs + 1))
    axes.set(xlabel=f"runs in which an item succeeds, of {whole.runs}", ylabel="items",
             title=f"{100 * a['never_flip']:.3g} % of {a['items']:,} items never flip (grey);\n"
                   f"two runs differ on {100 * a['flip_rate']:.3g} %")
    return figure


def forest(rows: list[tuple[str, PairedResult, str]]) -> plt.Figure:
    """Drops with their two-sided 95 % intervals, one line each, coloured by verdict; the margin is dashed.

    rows  (name, result, verdict); verdict "" for one that is not judged by itself
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.75 + 0.24 * len(rows)), layout="constrained")
    scale = 100 if all(result.in_points for _, result, _ in rows) else 1
    looks = {DEGRADED: (COLOURS["orange"], "s"), NOT_DEGRADED: (COLOURS["green"], "o"),
             UNDECIDED: (COLOURS["black"], "D"), "": (COLOURS["grey"], "D")}
    for at, (_, result, verdict) in enumerate(rows):
        colour, marker = looks[verdict]
        axes.plot([scale * result.ci_low, scale * result.ci_high], [at, at], color=colour, linewidth=1.4)
        axes.plot(scale * result.drop, at, marker, color=colour, markersize=4.5)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.axvline(scale * rows[0][1].margin, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_yticks(range(len(rows)), [shorten(name, 62) for name, _, _ in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    figure.supxlabel(f"drop{' (points)' if scale == 100 else ''} with 95 % interval; right of 0 the candidate is worse"
                     f"; dashed: the margin, {scale * rows[0][1].margin:g}", fontsize=7.5)
    seen = [verdict for verdict in (DEGRADED, NOT_DEGRADED, UNDECIDED) if verdict in {v for *_, v in rows}]
    handles = [plt.Line2D([], [], color=looks[v][0], marker=looks[v][1], markersize=4.5, label=v) for v in seen]
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


# ---- figures/degradation.ipynb -----------------------------------------------------------------------------


def introduction(n: int, accuracy: float, b: int, c: int) -> plt.Figure:
    """What two accuracies with error bars miss and pairing sees: n items, the baseline's accuracy, b lost, c
    gained."""
    result = judge_counts(n, b, c)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.5), layout="constrained")
    means = np.array([accuracy, accuracy - result.drop])
    bars = 1.96 * np.sqrt(means * (1 - means) / (n - 1))
    left.errorbar([0, 1], 100 * means, 100 * bars, fmt="D", color=COLOURS["black"], capsize=4, markersize=4)
    left.set(xlim=(-0.6, 1.6), xticks=[0, 1], xticklabels=["baseline", "candidate"], ylabel="accuracy (%)",
             title=f"Two accuracies of {n:,} items: the error bars overlap\n(unpaired one-sided p = "
                   f"{p_unpaired(n, accuracy, b, c):.3f})")
    right.barh([1, 0], [b, c], color=[COLOURS["orange"], COLOURS["green"]])
    right.errorbar((b + c) / 2, -1, xerr=1.645 * (b + c) ** 0.5 / 2, fmt="|", color=COLOURS["black"], capsize=4)
    right.set(yticks=[1, 0, -1], yticklabels=["lost", "gained", "expected if equal"], xlabel="items", xlim=(0, None),
              title=f"The {b + c:,} items that differ\n(exact paired p = {result.p:.1e})")
    right.bar_label(right.containers[0], [f"{b:,}", f"{c:,}"], label_type="center", color="white")
    return figure


def p_unpaired(n, accuracy: float, b, c):
    """One-sided p of the z test that takes two runs on the same items for independent samples."""
    candidate = accuracy - np.subtract(b, c) / n
    error = np.sqrt((accuracy * (1 - accuracy) + candidate * (1 - candidate)) / (n - 1))
    return stats.norm.sf(np.subtract(accuracy, candidate) / error)


def power_map(sizes: list[int], alpha: float = 0.05, points: int = 40) -> plt.Figure:
    """Exact power against drop and flip rate, a panel for each number of items; white: drop > flip rate."""
    figure, panels = plt.subplots(1, len(sizes), figsize=(WIDTH, 2.7), layout="constrained", sharey=True)
    drops, flips = np.geomspace(0.002, 0.1, points), np.geomspace(0.005, 0.4, points)
    for axes, n in zip(panels, sizes, strict=True):
        grid = np.array([[planning.power(n, flip, drop, alpha) if drop <= flip else np.nan for drop in drops]
                         for flip in flips])
        image = axes.pcolormesh(100 * drops, 100 * flips, 100 * grid, vmin=0, vmax=100, cmap="cividis", rasterized=True)
        lines = axes.contour(100 * drops, 100 * flips, 100 * grid, [50, 80, 95], colors=COLOURS["orange"], linewidths=1)
        axes.clabel(lines, fmt="%d %%", fontsize=6.5)
        axes.set(xscale="log", yscale="log", xlabel="drop (points)", title=f"{n:,} items")
        axes.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
        axes.set_yticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
        axes.minorticks_off()
    panels[0].set_ylabel("flip rate (%)")
    figure.colorbar(image, ax=panels, label="power (%)")
    return figure


def p_value_maps(n: int, accuracy: float, largest: int = 60) -> plt.Figure:
    """p over lost and gained items: exact, mid-p, and the unpaired z test; the orange line is p = .05."""
    b, c = np.meshgrid(np.arange(largest + 1), np.arange(largest + 1))
    maps = {"exact": p_exact(b, c), "mid-p": p_mid(b, c), "unpaired z test": p_unpaired(n, accuracy, b, c)}
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained", sharey=True)
    for axes, (name, p) in zip(panels, maps.items(), strict=True):
        image = axes.pcolormesh(b, c, np.log10(p), vmin=-6, vmax=0, cmap="cividis", rasterized=True)
        axes.contour(b, c, p, [0.05], colors=COLOURS["orange"], linewidths=1.4)
        axes.plot([0, largest], [0, largest], ":", color="white", linewidth=0.7)
        axes.set(title=name, xlabel="lost (b)", aspect="equal")
    panels[0].set_ylabel("gained (c)")
    figure.colorbar(image, ax=panels, label="log$_{10}$ p")
    return figure


def power_against_tasks(tables: list[pd.DataFrame]) -> plt.Figure:
    """Simulated power of the four tests against the number of tasks, a panel for each table of
    `plan --tasks … --csv`, ±1 standard error."""
    figure, panels = plt.subplots(1, len(tables), figsize=(WIDTH, 2.9), layout="constrained", sharey=True)
    looks = {"pooled": ("black", "o"), "max-drop": ("orange", "s"), "Fisher": ("sky", "^"), "combined": ("blue", "D")}
    for axes, table in zip(panels, tables, strict=True):
        for test, (colour, marker) in looks.items():
            error = np.sqrt(table[test] * (1 - table[test]) / table["suites"])
            axes.errorbar(table["tasks"], 100 * table[test], 100 * error, color=COLOURS[colour], marker=marker,
                          markersize=4, linewidth=1.2, capsize=2, label=test)
        row = table.iloc[0]
        where = "one damaged task" if row["damage"] == "one" else "every task"
        axes.set(xscale="log", xlabel="tasks", ylim=(0, 102),
                 title=f"{100 * row['drop']:g} points on {where}\n({row['items']:,} items each, flip rate "
                       f"{100 * row['flip']:g} %)")
        axes.set_xticks(table["tasks"], table["tasks"])
        axes.minorticks_off()
    panels[0].set_ylabel("power (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def peeking(items: int, flip: float, trials: int, alpha: float = 0.05, seed: int = 0) -> plt.Figure:
    """Share of equal pairs called degraded by now, looking after every item: the exact test and the e-value."""
    rng = np.random.default_rng(seed)
    outcome = rng.choice([1, -1, 0], size=(trials, items), p=[flip / 2, flip / 2, 1 - flip])
    b, c = (outcome == 1).cumsum(1), (outcome == -1).cumsum(1)
    naive = np.logical_or.accumulate(p_exact(b, c) <= alpha, axis=1).mean(0)
    safe = np.logical_or.accumulate(e_values.log_e_worse(b, c) >= -np.log(alpha), axis=1).mean(0)
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 2.5), layout="constrained")
    at = np.arange(1, items + 1)
    axes.plot(at, 100 * naive, color=COLOURS["orange"], label="exact test, stopped at p ≤ α")
    axes.plot(at, 100 * safe, color=COLOURS["blue"], label="e-value, stopped at 1/α")
    axes.axhline(100 * alpha, color="0.6", linestyle="--", linewidth=0.8)
    axes.set(xscale="log", xlabel="items seen", ylabel="false alarms so far (%)", ylim=(0, None),
             title=f"Peeking: {trials:,} simulated pairs without a drop,\nflip rate {100 * flip:g} %")
    ticks = [k for k in (1, 10, 100, 1_000, 10_000) if k <= items]
    axes.set_xticks(ticks, [f"{k:,}" for k in ticks])
    axes.legend()
    return figure
