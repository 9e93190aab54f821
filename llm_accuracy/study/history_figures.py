"""The figures of history.ipynb, what a history is worth: each a function of history_worth.csv in one table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .. import gallery
from ..gallery import Drawn, Figures
from ..palette import PALETTE, WIDTH, titled, use_look
from . import history_worth, summaries

use_look()
WORTH = gallery.Log(history_worth.LOG, "make history-logs LOGS={} BOARDS=FOLDER")
COMMANDS = ("figures/history_logs.py",)
LOOKS = [(PALETTE[colour], marker, dashes) for colour, marker, dashes in zip(
    ("blue", "vermillion", "green", "orange", "purple", "sky", "black", "grey"), "oDs^vPXh",
    ("-", "--", "-.", ":") * 2, strict=True)]
AT = 100  # questions, where there is one number a history


def read(folder: Path | str) -> pd.DataFrame:
    return history_worth.read(Path(folder) / history_worth.LOG)


FIGURES = Figures(read)


@FIGURES.add("history_1_models", "How many models make a history?", [WORTH], COMMANDS)
def models(rows: pd.DataFrame) -> Iterator[Drawn]:
    dated = rows[rows["split"] == "date"]
    at = dated[dated["budget"] == AT]
    if at.empty:
        return
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained", sharey=True)
    for ax, of, name in zip(axes, ("ess_width", "ess_mse"), ("by width", "by error"), strict=False):
        for number, (dataset, board) in enumerate(at.groupby("dataset")):
            _with_range(ax, board, "history", of, str(dataset), number)
        _axes(ax, "models of the history", f"{AT} questions, {name}")
    largest = str(dated.loc[dated["history"].idxmax(), "dataset"])
    for number, (size, cell) in enumerate(dated[dated["dataset"] == largest].groupby("history")):
        if number < len(LOOKS):
            _with_range(axes[2], cell, "budget", "ess_width", str(size), number, (PALETTE["grey"], "-"))
    axes[0].set_ylim(bottom=0.9)
    axes[2].legend(title="models of the history", fontsize=6, title_fontsize=6, ncols=4, loc="lower center",
                   handlelength=1.5, columnspacing=0.8)
    _axes(axes[2], "questions", largest)
    axes[0].set_ylabel("random questions that\none of these is worth")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    first, last = (at.groupby("dataset").apply(lambda board, size=size: board.loc[
        board["history"] == size(board["history"]), "ess_width"].mean(), include_groups=False)
        for size in (np.min, np.max))
    titled(figure, f"Four models already make a question worth {first.min():.1f} to {first.max():.1f} random ones; all "
           f"that there are, {last.min():.1f} to {last.max():.1f}",
           "Halves by date (file order where undated); lines: means over random choices of as many models, bars: their "
           "range")
    yield Drawn(figure, numbers=summaries.markdown(history_worth.by_size(rows)))


@FIGURES.add("history_2_forecast", "Does the forecast come true?", [WORTH], COMMANDS)
def forecast(rows: pd.DataFrame) -> Iterator[Drawn]:
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), layout="constrained")
    for ax, of, scale, name in ((axes[0], "half_width", 100, "Half-width (points)"),
                                (axes[1], "ess_width", 1, "Random questions that one is worth")):
        for number, (dataset, board) in enumerate(rows.groupby("dataset")):
            colour, marker, _ = LOOKS[number % len(LOOKS)]
            ax.plot(scale * board[f"forecast_{of}"], scale * board[of], marker, color=colour, markersize=2.5,
                    alpha=0.6, label=str(dataset), linestyle="none", markeredgewidth=0)
        both = scale * np.concatenate([rows[of], rows[f"forecast_{of}"]])
        ends = [both.min() * 0.95, both.max() * 1.05]
        ax.plot(ends, ends, color=PALETTE["grey"], linewidth=0.8, zorder=0)
        ax.set(xscale="log", yscale="log", xlabel="forecast", ylabel="came", title=name)
        _plain_ticks(ax)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7,
                  markerscale=2)
    off = {of: np.quantile(np.abs(np.log(rows[of] / rows[f"forecast_{of}"])), 0.5)
           for of in ("half_width", "ess_width")}
    titled(figure, f"Half of the forecasts of what a question is worth are within {np.expm1(off['ess_width']):.0%}, of "
           f"the half-width within {np.expm1(off['half_width']):.0%}",
           "Every history, split and budget. Half-widths differ most where new models are more accurate, or less, "
           "than the history's")
    yield Drawn(figure, numbers=summaries.markdown(history_worth.checked(rows)))


def _with_range(ax: Axes, rows: pd.DataFrame, by: str, of: str, label: str, number: int,
                look: tuple[str, str] | None = None) -> None:
    """look: a colour and dashes, in place of those of the number."""
    cells = rows.groupby(by)[of]
    mean = cells.mean()
    colour, marker, dashes = LOOKS[number % len(LOOKS)]
    colour, dashes = look or (colour, dashes)
    ax.errorbar(mean.index, mean, [mean - cells.min(), cells.max() - mean], color=colour, marker=marker,
                linestyle=dashes, markersize=3, linewidth=1, elinewidth=0.6, label=label)


def _axes(ax: Axes, x: str, title: str) -> None:
    ax.set(xscale="log", yscale="log", xlabel=x)
    ax.set_title(title)
    _plain_ticks(ax)


def _plain_ticks(ax: Axes) -> None:
    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        places = [size * 10.0**power for power in range(-1, 5) for size in (1, 1.5, 2, 3, 5, 7)]
        inside = [place for place in places if low <= place <= high]
        if len(inside) < 2:  # a narrow range: matplotlib's own ticks
            continue
        step = -(-len(inside) // 7)
        axis.set_ticks(inside[::step], [f"{place:g}" for place in inside[::step]])
        axis.set_minor_locator(plt.NullLocator())

