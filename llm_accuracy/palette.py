"""Figures: one palette and one look."""

from __future__ import annotations

from collections.abc import Sequence

# Okabe & Ito's palette, told apart by colour-blind readers; markers and dashes do it in greyscale.
STYLES = {
    "uniform (SRS)": ("#000000", "o", "-"), "uniform (published)": ("#999999", "s", ":"),
    "best baseline": ("#E69F00", "^", "--"), "uniform + factors": ("#56B4E9", "v", "-."),
    "active + factors": ("#009E73", "P", "--"), "FAQ-mix": ("#0072B2", "D", "-"), "FAQ": ("#D55E00", "X", "-"),
    "FAQ (with)": ("#D55E00", "X", "-"), "FAQ (naive without)": ("#CC79A7", "*", ":"),
    "FAQ (without)": ("#56B4E9", "p", "-"), "oracle": ("#000000", "*", "-."),
    "oracle (factors)": ("#CC79A7", "h", "-."),
}
_SPARE = [("#F0E442", "p", "--"), ("#D55E00", "<", ":"), ("#009E73", ">", "-"), ("#E69F00", "8", "-.")]
WIDTH = 6.75  # inches: the text width of the conference's paper


def style(name: str, names: Sequence[str]) -> dict:
    """Colour, marker and dashes of a method: fixed for the known ones, spare ones in order for the others."""
    others = [other for other in names if other not in STYLES]
    colour, marker, dashes = STYLES.get(name) or _SPARE[others.index(name) % len(_SPARE)]
    return {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 4, "linewidth": 1.2, "capsize": 2}


def use_look() -> None:
    """Small type, few lines, and no window: every module that draws calls this when it is imported."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"font.size": 8, "axes.titlesize": 8, "axes.spines.top": False,
                                "axes.spines.right": False, "legend.frameon": False, "figure.dpi": 150,
                                "pdf.fonttype": 42})
