"""Figures of the degradation tests, for the notebook, `plan --plot` and the reports."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from . import planning
from .degradation_report import shorten
from .flipping import Successes
from .paired import DEGRADED, NOT_DEGRADED, UNDECIDED, PairedResult
from .plots import STYLES  # the palette, and the style that importing it sets

COLOURS = {"blue": STYLES["FAQ"][0], "sky": STYLES["uniform + factors"][0], "orange": "#D55E00",
           "green": "#009E73", "grey": "#999999", "black": "#000000"}
WIDTH = 7.0  # inches


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
