"""Figures of one evaluation, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ..palette import PALETTE, use_look
from ..visible import columns, ending

WIDTH = 7.0          # inches
MOST_POINTS = 2000   # as vectors; more are drawn as one image
MOST_TASKS = 60      # in the figure of sub-scores: the table has all

use_look()


def drawn(height: float, width: float = WIDTH, left: float = 0.6, right: float = 0.15) -> tuple[plt.Figure, Any]:
    """A figure with one pair of axes; margins in inches, since to have them found takes a second drawing."""
    figure, axes = plt.subplots(figsize=(width, height))
    figure.subplots_adjust(left=left / width, right=1 - right / width, bottom=0.45 / height, top=1 - 0.1 / height)
    return figure, axes


def running(looks: list[dict[str, Any]], budget: int) -> plt.Figure:
    """The estimate after every round with its interval, against the questions asked."""
    figure, axes = drawn(2.6)
    asked = [look["asked"] for look in looks]
    ends = np.array([[100 * look[end] for end in ("low", "theta", "high")] for look in looks])
    axes.fill_between(asked, ends[:, 0], ends[:, 2], color=PALETTE["sky"], alpha=0.35, linewidth=0)
    axes.plot(asked, ends[:, 1], color=PALETTE["blue"], marker="o", markersize=3.5, linewidth=1.2)
    axes.axhline(ends[-1, 1], color=PALETTE["grey"], linewidth=0.6, linestyle=":")
    axes.set(xlabel="questions asked", ylabel="accuracy, %", xlim=(0, max(budget, asked[-1]) * 1.02))
    axes.annotate(f"{ends[-1, 1]:.1f}", (asked[-1], ends[-1, 1]), (-3, 5), textcoords="offset points", fontsize=8,
                  ha="right")
    return figure


def labels_of(names: Sequence[str], width: int = 40) -> list[str]:
    """The names in at most so many columns each, cut where they stay different: at the end, the beginning, in the
    middle, or, where none of these tells them apart, numbered."""
    def cut(head: int, tail: int) -> list[str]:
        return [name if columns(name) <= width else ending(name[::-1], head)[::-1] + "…" + ending(name, tail)
                for name in names]

    ways = [cut(width - 1, 0), cut(0, width - 1), cut(width // 2, width - width // 2 - 1)]
    for way in ways:
        if len(set(way)) == len(set(names)):
            return way
    return [f"{label} #{i}" if label != name else label for i, (label, name) in
            enumerate(zip(cut(width - 6, 0), names, strict=True), start=1)]


def tasks(sub_scores: dict[str, dict[str, Any]]) -> plt.Figure:
    """Every task's accuracy with its own interval (thick) and the one that holds together with the others' (thin)."""
    shown = sorted(sub_scores.items(), key=lambda item: item[1]["estimate"])[-MOST_TASKS:]
    labels = [f"{label} ({one['asked']:,})" for label, (_, one) in
              zip(labels_of([name for name, _ in shown]), shown, strict=True)]
    figure, axes = drawn(0.6 + 0.19 * len(shown), left=0.3 + 0.065 * max(map(len, labels)))
    for y, (_, one) in enumerate(shown):
        axes.plot([100 * one["low_all"], 100 * one["high_all"]], [y, y], color=PALETTE["grey"], linewidth=0.8)
        axes.plot([100 * one["low"], 100 * one["high"]], [y, y], color=PALETTE["blue"], linewidth=2.4, alpha=0.6)
        axes.plot(100 * one["estimate"], y, "o", color=PALETTE["blue"], markersize=4)
    axes.set_yticks(range(len(shown)), labels, parse_math=False)  # a name may have $ in it
    axes.set(xlabel="accuracy, % (in brackets: questions asked)", xlim=(-2, 102), ylim=(-0.7, len(shown) - 0.3))
    axes.grid(axis="x", linewidth=0.4, color=PALETTE["grey"], alpha=0.4)
    axes.tick_params(labeltop=len(shown) > 20)
    return figure


def asked(rows: list[dict[str, Any]]) -> plt.Figure:
    """Every question in the order of asking by what was predicted of it; answered rightly, wrongly or in part."""
    figure, axes = drawn(2.4, right=0.9)
    looks = {"right": (PALETTE["green"], "o", lambda z: z == 1),
             "wrong": (PALETTE["vermillion"], "x", lambda z: z == 0),
             "in part": (PALETTE["grey"], "D", lambda z: 0 < z < 1)}
    for label, (colour, marker, holds) in looks.items():
        points = [(i, row["p"]) for i, row in enumerate(rows, start=1) if holds(row["score"])]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=9, color=colour, marker=marker, linewidths=0.8, label=label, alpha=0.8,
                         rasterized=len(rows) > MOST_POINTS)
    for i in range(1, len(rows)):
        if rows[i]["round"] != rows[i - 1]["round"]:
            axes.axvline(i + 0.5, color=PALETTE["grey"], linewidth=0.4)
    axes.set(xlabel="question, in the order of asking (lines: rounds)", ylabel="predicted probability",
             ylim=(-.03, 1.03))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7)
    return figure


def calibration(bins: list[dict[str, float]]) -> plt.Figure:
    """Answers against predictions by tenths, ± two standard errors of what the predictions lead to expect."""
    figure, axes = drawn(3.0, width=3.2)
    axes.plot([0, 1], [0, 1], color=PALETTE["grey"], linewidth=0.8, linestyle="--")
    for row in bins:
        axes.plot([row["predicted"]] * 2, [row["predicted"] - 2 * row["error"], row["predicted"] + 2 * row["error"]],
                  color=PALETTE["sky"], linewidth=3, alpha=0.6)
        axes.plot(row["predicted"], row["answered"], "o", color=PALETTE["blue"],
                  markersize=3 + min(6, row["answers"] ** 0.5 / 2))
    axes.set(xlabel="predicted", ylabel="share answered rightly", xlim=(-.03, 1.03), ylim=(-.03, 1.03), aspect="equal")
    return figure
