"""Figures of a comparison, for its report: how the drop became known, and where flips were looked for and found."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from ..palette import PALETTE
from .figures import MOST_POINTS, drawn, labels_of

MOST_TASKS = 40  # drawn
PARTS = 5  # equal parts of the bank, from the likeliest flips to the unlikeliest
KINDS = (("no flip", "grey", "."), ("gained", "green", "^"), ("lost", "vermillion", "x"))


def running(looks: list[dict[str, Any]], budget: int, margin: float) -> plt.Figure:
    """The drop after every round with its exact interval; the margin dashed."""
    figure, axes = drawn(2.6)
    asked = [look["asked"] for look in looks]
    low, drop, high = (np.array([100 * look[name] for look in looks]) for name in ("ci_low", "drop", "ci_high"))
    axes.fill_between(asked, low, high, color=PALETTE["sky"], alpha=0.35, linewidth=0)
    axes.plot(asked, drop, color=PALETTE["blue"], marker="o", markersize=3, linewidth=1.2)
    axes.axhline(0, color=PALETTE["grey"], linewidth=0.6)
    axes.axhline(100 * margin, color=PALETTE["vermillion"], linewidth=1, linestyle="--")
    axes.annotate("margin", (1, 100 * margin), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                  fontsize=7, ha="right", color=PALETTE["vermillion"])
    reach = max(3 * 100 * margin, 2.5 * float(np.abs(drop[len(drop) // 2 :]).max()))
    axes.set(xlabel="questions asked", ylabel="drop, points", xlim=(0, max(budget, asked[-1]) * 1.02),
             ylim=(-reach, reach))
    return figure


def evidence(looks: list[dict[str, Any]], budget: int, alpha: float) -> plt.Figure:
    """The p-values of both nulls, which may be looked at after every round; decided below alpha."""
    figure, axes = drawn(2.2, right=1.6)
    asked = [look["asked"] for look in looks]
    for name, label, colour, dashes in (("p_safe", '"the margin or more"', "green", "-"),
                                        ("p_worse", '"0 or less"', "vermillion", "--")):
        axes.plot(asked, [-math.log10(max(look[name], 1e-300)) for look in looks], dashes, color=PALETTE[colour],
                  label=label, linewidth=1.2)
    axes.axhline(-math.log10(alpha), color=PALETTE["grey"], linewidth=0.8, linestyle=":")
    axes.set(xlabel="questions asked (dotted: decided)", ylabel="−log₁₀ p", xlim=(0, max(budget, asked[-1]) * 1.02))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=7, title="null: the drop is", title_fontsize=7)
    return figure


def where(rows: list[dict[str, Any]], parts: list[dict[str, Any]], label: str) -> plt.Figure:
    """Left, every question asked, in the order of asking, by its place among the bank's questions; right, what share of
    each fifth of the bank was asked, and what share of that flipped."""
    figure, (axes, bars) = plt.subplots(1, 2, figsize=(7.0, 2.8), width_ratios=(3, 2), sharey=True)
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.17, top=0.88, wspace=0.08)
    for kind, colour, marker in KINDS:
        points = [(i, row["place"]) for i, row in enumerate(rows, start=1) if row["kind"] == kind]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=8 if kind == "no flip" else 22, color=PALETTE[colour], marker=marker, linewidths=0.9,
                         label=f"{kind} ({len(points):,})", alpha=0.5 if kind == "no flip" else 1,
                         zorder=1 if kind == "no flip" else 3, rasterized=len(rows) > MOST_POINTS)
    axes.set(xlabel="question, in the order of asking", ylabel=label, ylim=(102, -2))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=7, ncols=3, frameon=False, borderaxespad=0.1)
    height = 100 / len(parts)
    for part in parts:
        middle = 50 * (part["from"] + part["to"])
        bars.barh(middle, 100 * part["asked"] / part["of"], height * 0.9, color=PALETTE["sky"], alpha=0.5)
        said = f"{part['lost']} lost, {part['gained']} gained of {part['asked']:,}"
        bars.annotate(said, (0, middle), (3, 0), textcoords="offset points", fontsize=7, va="center")
    bars.set(xlabel="of each fifth of the bank, % asked", xlim=(0, 100))
    return figure


def most_flips(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tasks that show flips, at most MOST_TASKS of them, those with the most."""
    flipped = [item for item in found.items() if item[1]["lost"] + item[1]["gained"]]
    return dict(sorted(flipped, key=lambda item: -item[1]["lost"] - item[1]["gained"])[:MOST_TASKS])


def tasks(found: dict[str, dict[str, Any]]) -> plt.Figure:
    """Flips seen by task, lost to the right, gained to the left; the most lost on top."""
    shown = sorted(found.items(), key=lambda item: item[1]["lost"] - item[1]["gained"])
    labels = [f"{label} ({one['asked']:,})" for label, (_, one) in
              zip(labels_of([name for name, _ in shown]), shown, strict=True)]
    figure, axes = drawn(0.6 + 0.19 * len(shown), left=0.3 + 0.065 * max(map(len, labels)))
    for y, (_, one) in enumerate(shown):
        axes.barh(y, one["lost"], 0.7, color=PALETTE["vermillion"])
        axes.barh(y, -one["gained"], 0.7, color=PALETTE["green"])
    axes.axvline(0, color=PALETTE["grey"], linewidth=0.8)
    axes.set_yticks(range(len(shown)), labels, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda count, _: f"{abs(count):.0f}")
    axes.set(xlabel="gained (left) and lost (right) among the questions asked", ylim=(-0.7, len(shown) - 0.3))
    return figure
