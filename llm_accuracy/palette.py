"""Figures: one palette, one look, and one place where a figure becomes a file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .files import atomic, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's palette by name, distinguishable for colour-blind readers; in greyscale, markers and dashes differ.
PALETTE = {"black": "#000000", "grey": "#999999", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73",
           "blue": "#0072B2", "vermillion": "#D55E00", "purple": "#CC79A7"}
STYLES = {  # method: (colour, marker, dashes)
    name: (PALETTE[colour], marker, dashes) for name, (colour, marker, dashes) in {
        "uniform (SRS)": ("black", "o", "-"), "uniform (published)": ("grey", "s", ":"),
        "best baseline": ("orange", "^", "--"), "uniform + factors": ("sky", "v", "-."),
        "active + factors": ("green", "P", "--"), "FAQ-mix": ("blue", "d", ":"), "FAQ": ("vermillion", "X", "-"),
        "FAQ (with)": ("vermillion", "X", "-"), "FAQ (naive without)": ("purple", "*", ":"),
        "growing rounds": ("blue", "D", "-"), "FAQ (without)": ("sky", "p", "-"), "oracle": ("black", "*", "-."),
        "oracle (factors)": ("purple", "h", "-."), "stratified": ("green", "s", "-"), "difference": ("grey", "o", "--"),
        "regression": ("orange", "X", ":"), "two batches": ("green", "D", "-."),
        "PPI++": ("sky", "<", ":"),
    }.items()
}
# For any other method: markers that none of the above uses; 4, 5 and 3 have no common divisor, so 60 methods differ.
_SPARE = [(PALETTE[colour], marker, dashes) for colour, marker, dashes in
          zip(["vermillion", "green", "orange", "purple"] * 15, ["<", ">", "8", "d", "H"] * 12, [":", "-", "--"] * 20,
              strict=True)]
WIDTH = 6.75  # inches: the text width of the conference's paper


def style(name: str, names: Sequence[str]) -> dict:
    """Colour, marker and dashes of a method: fixed for known ones, spare ones in order for others."""
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


def titled(figure: Figure, point: str, note: str = "") -> Figure:
    """Title a figure with its main finding, wrapped to its width, and say in small type, above its legend or at its
    foot, what was measured."""
    from matplotlib.font_manager import FontProperties

    most = int(80 * figure.get_figwidth() / WIDTH)  # characters in a line of the title; half as many again of the note
    figure.suptitle(_wrapped(point, most), fontsize=9, fontweight="bold", x=0.01, ha="left")
    note = _wrapped(note, most * 3 // 2)
    for legend in figure.legends:
        legend.set_title(note, prop=FontProperties(size=6.5))
    if note and not figure.legends:
        figure.supxlabel(note, fontsize=6.5)
    return figure


def _wrapped(text: str, most: int) -> str:
    """Wrapped into lines of about equal length, as few as `most` characters per line allow."""
    lines = len(textwrap.wrap(text, most))
    return "\n".join(textwrap.wrap(text, next(width for width in range(min(20, most), most + 1)
                                              if len(textwrap.wrap(text, width)) <= lines)))


def show(figure: Figure, stem: str, numbers: str | None = None) -> None:
    """Export a figure beside the notebook that calls this, as PNG, PDF and, if given, its numbers in Markdown; show
    what was exported."""
    from IPython.display import Image, display

    png, *_ = save(figure, Path(stem), numbers)
    display(Image(filename=str(png)))


def save(figure: Figure, stem: Path, table: str | None = None) -> list[Path]:
    """Write `stem`.png and `stem`.pdf, and `stem`.md with the figure's numbers if given; returns the paths."""
    from matplotlib import pyplot

    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else {}
        with atomic(path) as stream:
            figure.savefig(stream, format=path.suffix[1:], metadata=metadata)
    pyplot.close(figure)
    if table is not None:
        paths.append(stem.with_name(stem.name + ".md"))
        write_whole(paths[-1], table)
    return paths
