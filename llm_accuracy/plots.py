"""Figures: one palette, one place where a figure becomes a file."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

# Okabe & Ito's palette: told apart by colour-blind readers; markers and lightness do it in greyscale.
STYLES = {
    "uniform (SRS)": ("#000000", "o"), "uniform (published)": ("#999999", "s"), "best baseline": ("#E69F00", "^"),
    "uniform + factors": ("#56B4E9", "v"), "FAQ": ("#0072B2", "D"),
}
_SPARE = [("#D55E00", "P"), ("#009E73", "X"), ("#CC79A7", "*"), ("#F0E442", "h")]
SIZE = (7.0, 3.4)  # inches: two panels over the text width

plt.rcParams.update({"font.size": 8, "axes.titlesize": 8.5, "axes.spines.top": False, "axes.spines.right": False,
                     "legend.frameon": False, "figure.dpi": 150, "pdf.fonttype": 42})


def style(name: str, names: list[str]) -> dict:
    """Colour and marker of a method: fixed for the known ones, spare ones in order for the others."""
    others = [other for other in names if other not in STYLES]
    colour, marker = STYLES.get(name) or _SPARE[others.index(name) % len(_SPARE)]
    return {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.2, "capsize": 2}


def ess_and_coverage(table: pd.DataFrame, title: str) -> plt.Figure:
    """ESS multiplier and coverage against budget, one line a method, ±1 standard error.

    table  one dataset and scenario of `summaries.compared`
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=SIZE, layout="constrained")
    names = list(dict.fromkeys(table["name"]))
    for name in names:
        rows = table[table["name"] == name].sort_values("budget")
        share = 100 * rows["share"].astype(float)
        look = style(name, names)
        left.errorbar(share, rows["ess_width"], rows["ess_width_se"].fillna(0), label=name, **look)
        right.errorbar(share, 100 * rows["coverage"], 100 * rows["coverage_se"], **look)
    left.axhline(1, color="0.7", linewidth=0.8, zorder=0)
    left.set(xlabel="budget (% of the questions)", ylabel="effective sample size\n(multiple of uniform sampling)",
             title="How many questions each question is worth")
    left.set_ylim(bottom=0)
    right.axhline(95, color="0.7", linewidth=0.8, zorder=0)
    right.set(xlabel="budget (% of the questions)", ylabel="coverage of 95 % intervals (%)",
              title=f"Are the intervals honest? ({_counts(table)})")
    low = min(90.0, 100 * float((table["coverage"] - 2 * table["coverage_se"]).min()))
    right.set_ylim(np.floor(low), 100)
    figure.suptitle(title, fontsize=9.5, fontweight="bold")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=min(5, len(names)))
    return figure


def _counts(table: pd.DataFrame) -> str:
    return f"{table['models'].iloc[0]} models × {table['seeds'].max()} seeds, ±1 SE"


def save(figure: plt.Figure, stem: Path) -> list[Path]:
    """Write `stem`.png and `stem`.pdf; returns both paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
        figure.savefig(path, metadata=metadata)
    plt.close(figure)
    return paths
