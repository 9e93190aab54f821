"""Figures of the degradation tests, for the notebook, `plan --plot` and the reports."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import matplotlib.patheffects as patheffects
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from ..claims import QUESTIONS
from ..palette import PALETTE, titled, use_look
from ..visible import visible
from . import e_values, planning
from .few_answers.plans import Designs
from .mcnemar import p_exact, p_mid
from .paired import PairedResult, judge_counts
from .repeats import Successes
from .verdicts import DEGRADED, NOT_DEGRADED, UNDECIDED
from .words import shorten

# Colour, marker and dashes by meaning, in all figures and in report.html: no figure refers to a colour by name.
LOOKS = {
    meaning: (PALETTE[colour], marker, dashes) for meaning, (colour, marker, dashes) in {
        DEGRADED: ("vermillion", "s", "-"), NOT_DEGRADED: ("green", "o", "-"), UNDECIDED: ("black", "D", "-"),
        "not judged": ("grey", "D", "-"), "lost": ("vermillion", "", ""), "gained": ("green", "", ""),
        "measured": ("black", "D", "-"), "exact": ("blue", "", "-"), "simulated": ("blue", "o", "-"),
        "approximate": ("grey", "", "--"), "interval": ("sky", "", ""), "the plan": ("vermillion", "D", ""),
        "threshold": ("vermillion", "", "-"), "flips": ("blue", "", ""), "never flips": ("grey", "", ""),
        "invalid": ("vermillion", "", "--"), "valid": ("blue", "", "-"),
        "pooled": ("black", "o", "-"), "max-drop": ("orange", "s", "--"), "Fisher": ("sky", "^", ":"),
        "combined": ("blue", "D", "-"),
    }.items()
}
COLOURS = {meaning: look[0] for meaning, look in LOOKS.items()}
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]  # behind labels on a map
WIDTH = 7.0  # inches

use_look()


def look(meaning: str, **more) -> dict:
    """The look of something drawn, as keyword arguments of a line."""
    colour, marker, dashes = LOOKS[meaning]
    return {"color": colour, "marker": marker, "linestyle": dashes or "none", "markersize": 4, "linewidth": 1.2} | more


def as_bytes(figure: plt.Figure, kind: str) -> bytes:
    """The figure as png, pdf or svg; the same figure gives the same bytes."""
    dates = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "llm-accuracy", "svg.fonttype": "none"}), warnings.catch_warnings():
        if kind == "svg":  # its text is drawn by the reader's own fonts
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format=kind, metadata=dates[kind])
    plt.close(figure)
    return buffer.getvalue()


def power_against_items(
    plan: dict, alpha: float, tasks: int = 1, one: bool = False, flips: tuple[float, float] | None = None,
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
            axes.fill_between(items, low, high, color=COLOURS["interval"], alpha=0.35, linewidth=0,
                              label="flip rate's 95 % interval")
        axes.plot(items, [100 * planning.power(int(k), flip, drop, alpha) for k in items], label="exact",
                  **look("exact"))
    elif table is not None:
        axes.plot(table["items"], 100 * table["power"], label="simulated", **look("simulated"))
    normal = [planning.suite_normal("power", {"n": int(k), "flip": flip, "drop": drop}, tasks=tasks, one=one,
                                    alpha=alpha) for k in items]
    axes.plot(items, 100 * np.array(normal), label="normal", **look("approximate"))
    axes.plot([n], [100 * plan["power"]], label="the plan", **look("the plan", markersize=5))
    axes.set(xscale="log", xlabel="items" + (" in each task" if tasks > 1 else ""), ylabel="power (%)", ylim=(0, 101),
             title=f"A drop of {100 * drop:.3g} points at a flip rate of {100 * flip:.3g} %\n"
                   f"{n:,} items: power {100 * plan['power']:.1f} %, error rate {100 * alpha:g} %")
    axes.set_xticks([n * times for times in (0.25, 0.5, 1, 2, 4)], [f"{n * t:,.0f}" for t in (0.25, 0.5, 1, 2, 4)])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return figure


def few_questions(rows: Sequence[Designs], n_questions: int) -> plt.Figure:
    """Questions to "not degraded" by design, against the flip rate, beside the test that asks all."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.0), layout="constrained")
    flips = [100 * row.flip for row in rows]
    for name, meaning in zip(rows[0].questions, ("approximate", "threshold", "exact"), strict=False):
        axes.plot(flips, [row.questions[name] for row in rows], label=name, **look(meaning, marker="o"))
    axes.axhline(n_questions, **look("not judged", marker="", linestyle=":"))
    axes.annotate("all: the full test, or a threshold on everything", (flips[0], n_questions), (0, 3),
                  textcoords="offset points", fontsize=8)
    axes.set(xlabel="questions that flip, %", ylabel="questions asked", ylim=(0, 1.12 * n_questions))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return titled(figure, f'Questions to "not degraded by {100 * rows[0].margin:g} points" with '
                  f"{100 * rows[0].power:g} % power, true drop {100 * rows[0].drop:g}"
                  f"{', of new questions' if rows[0].about == QUESTIONS else ''}")


def success_histogram(whole: Successes) -> plt.Figure:
    """How many items succeed in k of the runs, k = 0 … runs; items at either end never flip."""
    counts, a = whole.histogram(), whole.summary()
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 2.6), layout="constrained")
    colours = [COLOURS["never flips" if k in (0, whole.runs) else "flips"] for k in range(whole.runs + 1)]
    bars = axes.bar(range(whole.runs + 1), counts, color=colours)
    if whole.runs <= 12:
        axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=6.5)
        axes.set_xticks(range(whole.runs + 1))
    axes.set(xlabel=f"runs in which an item succeeds, of {whole.runs}", ylabel="items",
             title=f"{100 * a['never_flip']:.3g} % of {a['items']:,} items never flip (grey);\n"
                   f"two runs differ on {100 * a['flip_rate']:.3g} %")
    return figure


def forest(rows: list[tuple[str, PairedResult, str]], point: str = "") -> plt.Figure:
    """Drops with their two-sided 95 % intervals, one line each, coloured by verdict; the margin is dashed.

    rows   (name, result, verdict); verdict "" for a row that is not judged on its own
    point  a title
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.75 + 0.3 * bool(point) + 0.24 * len(rows)), layout="constrained")
    scale = 100 if all(result.in_points for _, result, _ in rows) else 1
    for at, (_, result, verdict) in enumerate(rows):
        drawn = look(verdict or "not judged", linewidth=1.4, markersize=4.5)
        axes.plot([scale * result.ci_low, scale * result.ci_high], [at, at], **drawn | {"marker": ""})
        axes.plot(scale * result.drop, at, **drawn | {"linestyle": "none"})
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.axvline(scale * rows[0][1].margin, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_yticks(range(len(rows)), [shorten(visible(name), 62) for name, _, _ in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    unit = " (points)" if scale == 100 else ""
    note = f"with 95 % interval; right of 0 the candidate is worse; dashed: the margin, {scale * rows[0][1].margin:g}"
    if point:
        axes.set_xlabel(f"drop{unit}")
    else:
        figure.supxlabel(f"drop{unit} {note}", fontsize=7.5)
    seen = [verdict for verdict in (DEGRADED, NOT_DEGRADED, UNDECIDED) if verdict in {v for *_, v in rows}]
    handles = [plt.Line2D([], [], label=v, **look(v, markersize=4.5)) for v in seen]
    if handles:
        figure.legend(handles=handles, loc=f"outside {'lower' if point else 'upper'} center", ncols=len(handles))
    return titled(figure, point, f"drop {note}") if point else figure


def verdicts_point(rows: list[tuple[str, PairedResult, str]]) -> str:
    """What a forest plot of verdicts shows, in a sentence: how many of each, and how large the undecided pairs are."""
    of = {verdict: [result for _, result, v in rows if v == verdict] for verdict in (DEGRADED, NOT_DEGRADED, UNDECIDED)}
    margin = 100 * rows[0][1].margin
    point = (f"Of {len(rows)} pairs {len(of[DEGRADED])} got worse, {len(of[NOT_DEGRADED])} did not by {margin:g} "
             f"point{'s' * (margin != 1)} or more")
    if of[UNDECIDED]:
        point += (f", and {len(of[UNDECIDED])}, of at most {max(result.n for result in of[UNDECIDED]):,} items, "
                  "cannot be told")
    return point


# ---- figures/degradation.ipynb -----------------------------------------------------------------------------


def introduction(n: int, accuracy: float, b: int, c: int) -> plt.Figure:
    """What two accuracies with error bars miss but pairing reveals: n items, the baseline's accuracy, b lost, c
    gained."""
    result = judge_counts(n, b, c)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.5), layout="constrained")
    means = np.array([accuracy, accuracy - result.drop])
    bars = 1.96 * np.sqrt(means * (1 - means) / (n - 1))
    left.errorbar([0, 1], 100 * means, 100 * bars, capsize=4, **look("measured", linestyle="none"))
    left.set(xlim=(-0.6, 1.6), xticks=[0, 1], xticklabels=["baseline", "candidate"], ylabel="accuracy (%)",
             title=f"Two accuracies of {n:,} items: the error bars overlap\n(unpaired one-sided p = "
                   f"{p_unpaired(n, accuracy, b, c):.3f})")
    right.barh([1, 0], [b, c], color=[COLOURS["lost"], COLOURS["gained"]])
    right.errorbar((b + c) / 2, -1, xerr=1.645 * (b + c) ** 0.5 / 2, capsize=4,
                   **look("measured", marker="|", markersize=8, linestyle="none"))
    right.set(yticks=[1, 0, -1], yticklabels=["lost", "gained", "either, if equal\n(90 % interval)"],
              xlabel="items", xlim=(0, None),
              title=f"The {b + c:,} items that differ\n(exact paired p = {result.p:.1e})")
    right.bar_label(right.containers[0], [f"{b:,}", f"{c:,}"], label_type="center", color="white")
    return figure


def p_unpaired(n, accuracy: float, b, c):
    """One-sided p of the z test that takes two runs on the same items for independent samples."""
    candidate = accuracy - np.subtract(b, c) / n
    error = np.sqrt((accuracy * (1 - accuracy) + candidate * (1 - candidate)) / (n - 1))
    return stats.norm.sf(np.subtract(accuracy, candidate) / error)


def power_map(sizes: list[int], alpha: float = 0.05, points: int = 60, flip: float = 0.1) -> plt.Figure:
    """Exact power by drop and flip rate, in bands; a panel for each number of items.

    flip  the flip rate for which the title states the detectable drops
    """
    figure, panels = plt.subplots(1, len(sizes), figsize=(WIDTH, 3.0), layout="constrained", sharey=True)
    figure.get_layout_engine().set(wspace=0.05)
    drops, flips = np.geomspace(0.002, 0.1, points), np.geomspace(0.005, 0.4, points)
    levels = (50, 80, 95)
    shades = [plt.get_cmap("Blues")(shade) for shade in (0.05, 0.25, 0.45, 0.7)]
    for axes, n in zip(panels, sizes, strict=True):
        axes.set(xscale="log", yscale="log", xlabel="drop (points)", title=f"{n:,} items")
        # Nothing is possible below the diagonal: the grid continues as if every flip were a loss, and is hidden.
        grid = np.array([[planning.power(n, max(f, drop), drop, alpha) for drop in drops] for f in flips])
        image = axes.contourf(100 * drops, 100 * flips, 100 * grid, [0, *levels, 100], colors=shades)
        axes.contour(100 * drops, 100 * flips, 100 * grid, levels, colors="black", linewidths=0.8)
        axes.fill_between(100 * drops, 100 * flips[0], 100 * drops, color="white", zorder=2)
        axes.plot(100 * drops, 100 * drops, color="0.5", linewidth=0.8, zorder=2)
        axes.text(0.97, 0.05, "drop > flip rate:\ncannot be", color="0.4", ha="right", transform=axes.transAxes,
                  zorder=3)
        for level, at in zip(levels, (0.24, 0.12, 0.06), strict=True):  # one above the other, where there is room
            drop = planning.detectable_drop(n, at, level / 100, alpha)
            axes.text(100 * drop, 100 * at, f"{level} %", ha="center", va="center", path_effects=HALO, zorder=4)
        axes.set(xlim=(100 * drops[0], 100 * drops[-1]), ylim=(100 * flips[0], 100 * flips[-1]))
        axes.set_xticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
        axes.set_yticks([0.5, 1, 2, 5, 10, 20, 40], ["0.5", "1", "2", "5", "10", "20", "40"])
        axes.minorticks_off()
    panels[0].set_ylabel("flip rate (%)")
    figure.colorbar(image, ax=panels, label="power (%)", ticks=[0, *levels, 100])
    found = [f"{n:,} items find a drop of {100 * planning.detectable_drop(n, flip, 0.8, alpha):.2g} points"
             for n in sizes]
    return titled(figure, f"At a flip rate of {100 * flip:g} % and with a power of 80 %, {', '.join(found)}")


def p_value_maps(n: int, accuracy: float, largest: int = 60, alpha: float = 0.05) -> plt.Figure:
    """p over lost and gained items: exact, mid-p, and the unpaired z test; the labelled line is p = alpha."""
    b, c = np.meshgrid(np.arange(largest + 1), np.arange(largest + 1))
    maps = {"exact": p_exact(b, c), "mid-p": p_mid(b, c), "unpaired z test": p_unpaired(n, accuracy, b, c)}
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 2.75), layout="constrained", sharey=True)
    gained = {}  # the most gained items with which `largest` lost ones are significant; −1 where none are
    for axes, (name, p) in zip(panels, maps.items(), strict=True):
        image = axes.pcolormesh(b, c, np.log10(p), vmin=-6, vmax=0, cmap="cividis", rasterized=True)
        axes.contour(b, c, p, [alpha], colors=[COLOURS["threshold"]], linewidths=1.4)
        axes.plot([0, largest], [0, largest], ":", color="black", linewidth=0.7)
        axes.set(title=name, xlabel="lost (b)", aspect="equal")
        gained[name] = int((p[:, largest] <= alpha).sum()) - 1
        middle = largest * 3 // 4
        at = int((p[:, middle] <= alpha).sum())
        axes.annotate(f"p = {alpha:g}".replace("0.", "."), (middle, max(at, 0)), xytext=(-3, 7),
                      textcoords="offset points", ha="right", color=COLOURS["threshold"], path_effects=HALO,
                      fontweight="bold")
    panels[-1].text(largest * 0.6, largest * 0.62, "no drop ", ha="right", path_effects=HALO)
    panels[0].set_ylabel("gained (c)")
    figure.colorbar(image, ax=panels, label="log$_{10}$ p", shrink=0.75)
    exact, unpaired = gained["exact"], gained["unpaired z test"]
    return titled(figure, f"With {largest} of {n:,} items lost, the exact test sees a drop if up to {exact} others are "
                  f"gained, the unpaired test only up to {unpaired}")


def power_against_tasks(tables: list[pd.DataFrame]) -> plt.Figure:
    """Simulated power of the four tests against the number of tasks, a panel for each table of
    `plan --tasks … --csv`, ±1 standard error."""
    figure, panels = plt.subplots(1, len(tables), figsize=(WIDTH, 3.2), layout="constrained", sharey=True)
    tests = ("pooled", "max-drop", "Fisher", "combined")
    for axes, table in zip(panels, tables, strict=True):
        for test in tests:
            error = np.sqrt(table[test] * (1 - table[test]) / table["suites"])
            axes.errorbar(table["tasks"], 100 * table[test], 100 * error, capsize=2, label=test, **look(test))
        row = table.iloc[0]
        where = "one damaged task" if row["damage"] == "one" else "every task"
        axes.set(xscale="log", xlabel="tasks", ylim=(0, 102),
                 title=f"{100 * row['drop']:g} points on {where}\n({row['items']:,} items each, flip rate "
                       f"{100 * row['flip']:g} %)")
        axes.set_xticks(table["tasks"], table["tasks"])
        axes.minorticks_off()
    panels[0].set_ylabel("power (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    worst = {test: max((table[list(tests)].max(axis=1) - table[test]).max() for table in tables) for test in tests}
    suites = {int(table["suites"].iloc[0]) for table in tables}
    return titled(figure, "Where the damage is not known, the combined test is at most "
                  f"{100 * worst['combined']:.0f} points of power behind the best one, pooling up to "
                  f"{100 * worst['pooled']:.0f} and max-drop up to {100 * worst['max-drop']:.0f}",
                  f"{max(suites):,} simulated suites a point; bars ±1 SE")


def peeking(items: int, flip: float, trials: int, alpha: float = 0.05, seed: int = 0) -> plt.Figure:
    """Share of equal pairs called degraded so far when looking after every item: the exact test and the e-value."""
    rng = np.random.default_rng(seed)
    outcome = rng.choice([1, -1, 0], size=(trials, items), p=[flip / 2, flip / 2, 1 - flip])
    b, c = (outcome == 1).cumsum(1), (outcome == -1).cumsum(1)
    naive = np.logical_or.accumulate(p_exact(b, c) <= alpha, axis=1).mean(0)
    safe = np.logical_or.accumulate(e_values.log_e_worse(b, c) >= -np.log(alpha), axis=1).mean(0)
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 3.0), layout="constrained")
    at = np.arange(1, items + 1)
    axes.plot(at, 100 * naive, label="exact test, stopped at p ≤ α", **look("invalid", marker=""))
    axes.plot(at, 100 * safe, label="e-value, stopped at 1/α", **look("valid", marker=""))
    axes.axhline(100 * alpha, color="0.6", linestyle=":", linewidth=0.8, zorder=0)
    axes.text(1, 100 * alpha, f"α = {100 * alpha:g} %", color="0.4", fontsize=7, va="bottom")
    axes.set(xscale="log", xlabel="items seen", ylabel="false alarms so far (%)", ylim=(0, None))
    ticks = [k for k in (1, 10, 100, 1_000, 10_000) if k <= items]
    axes.set_xticks(ticks, [f"{k:,}" for k in ticks])
    axes.legend()
    return titled(figure, f"Looking after each of {items:,} items, the exact test calls {100 * naive[-1]:.0f} % of "
                  f"equal models degraded, the e-value {100 * safe[-1]:.0f} %",
                  f"{trials:,} simulated pairs without a drop, flip rate {100 * flip:g} %")


def few_answers(table: pd.DataFrame) -> plt.Figure:
    """Questions to "not degraded" by flip rate and design, and what a plain threshold on as many would do; of one bank,
    from the log of `benchmarks/few_answers.py questions`."""
    table = table.sort_values("flips")
    [n], flips = set(table["n"]), 100 * table["flips"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.2), layout="constrained", width_ratios=(3, 2))
    left.axhline(n, label="all questions", **look("approximate"))
    for column, label, meaning in (("srs_watched", "random, stop when decided", "max-drop"),
                                   ("srs_fixed_exact", "random, one exact look", "measured"),
                                   ("no_margins", "ours, margins unknown", "Fisher"),
                                   ("margins_default", "ours, by margins", "simulated")):
        left.plot(flips, table[column], label=label, **look(meaning))
    left.set(title="until 80 % of the runs have said\n\"not degraded by 1 point\"", ylabel="questions",
             ylim=(0, 1.05 * n))
    for column, label, meaning in (("threshold_passes", "this candidate", NOT_DEGRADED),
                                   ("threshold_passes_at_margin", "one that lost the point", DEGRADED)):
        right.plot(flips, 100 * table[column], label=label, **look(meaning))
    right.axhline(5, color="0.6", linestyle=":", linewidth=0.8, zorder=0)
    right.text(flips.max(), 6, "ours, at most: 5 %", color="0.4", fontsize=7, ha="right", va="bottom")
    right.set(title="a plain threshold on as many\nrandom questions passes", ylabel="% of the runs", ylim=(0, 102))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="questions that flip (%)")
        axes.set_xticks(flips, [f"{flip:g}" for flip in flips])
        axes.minorticks_off()
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0, 0.97 if axes is left else 0.85))
    share, passed = table["margins_default"] / n, table["threshold_passes_at_margin"]
    enough, fooled = (f"{100 * column.min():.0f} to {100 * column.max():.0f} %" for column in (share, passed))
    return titled(figure, f"{enough} of {n:,} questions are enough, chosen by margins; a threshold on as many passes "
                  f"{fooled} of candidates that lost the point",
                  f"true drop 0; {table['runs'].min():,} simulated runs a point; flips are noise beside the margins")
