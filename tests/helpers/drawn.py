"""What a figure shows, read off the figure."""

import matplotlib.pyplot as plt
from matplotlib.container import ErrorbarContainer


def looks(figure):
    """{label: (colour, marker, dashes)} of every labelled line of a figure, points or error bars."""
    found = {}
    sources = [axis.get_legend_handles_labels() for axis in figure.axes]
    sources += [(legend.legend_handles, [text.get_text() for text in legend.get_texts()]) for legend in figure.legends]
    for handles, labels in sources:
        for handle, label in zip(handles, labels, strict=True):
            line = handle.lines[0] if isinstance(handle, ErrorbarContainer) else handle
            if isinstance(line, plt.Line2D):
                found.setdefault(label, set()).add((line.get_color(), line.get_marker(), line.get_linestyle()))
    # In one panel a method may be drawn without its line.
    return {label: max(ways, key=lambda way: way[2] != "None") for label, ways in found.items()}


def title(figure):
    """In one line."""
    return figure._suptitle.get_text().replace("\n", " ")


def assert_told_apart(figures):
    """Every figure has two series or more, and no two of a figure look alike."""
    for figure in figures:
        seen = looks(figure)
        assert len(seen) >= 2
        assert len(set(seen.values())) == len(seen), seen
