"""The figures of the notebooks. Each room that draws has a table of its own (`study.gallery.FIGURES`,
`degradation.gallery.FIGURES`), in which a figure is one function under a record:

    @FIGURES.add("main_text_6_mine", "The heading above it", logs=[SUMMARY], commands=["summarize_results.py"])
    def mine(logs):
        yield Drawn(figure)

From there the notebooks draw it by name, docs/figures.md lists it, and figures/draw.py says which log it lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import palette
from .errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Log(NamedTuple):
    """A log that figures are drawn from, and the command that makes it in the folder {}."""

    name: str
    made_by: str


class Drawn(NamedTuple):
    """One drawing of a figure.

    of       what it is of, where there are several: the end of its files' names
    numbers  what it shows, as a Markdown table to be written beside it
    """

    figure: Figure
    of: str = ""
    numbers: str | None = None


Drawing = Callable[[Any], Iterable[Drawn]]


@dataclass(frozen=True)
class FigureRecord:
    """One figure of a notebook.

    name      NOTEBOOK_NUMBER_WHAT, with which the names of its files begin
    section   the heading above it in that notebook
    draw      what the room reads from a folder of logs → its drawings; none where the logs have nothing for it
    logs      that it is drawn from; none where it is computed
    commands  that make them, in this order
    paper     its counterpart in the paper
    per       what there is a drawing each of, such as the dataset; "" where there is one only

    Raises ValueError for a name of another kind.
    """

    name: str
    section: str
    draw: Drawing
    logs: tuple[Log, ...] = ()
    commands: tuple[str, ...] = ()
    paper: str = ""
    per: str = ""

    def __post_init__(self):
        if not re.fullmatch(r"[a-z_]+_\d+_\w+", self.name):
            raise ValueError(f"{self.name}: the name of a figure is NOTEBOOK_NUMBER_WHAT")

    @property
    def notebook(self) -> str:
        return re.split(r"_\d+_", self.name)[0]


class Figures(dict[str, FigureRecord]):
    """The figures of a room by name.

    read  a folder of logs → what the room's figures are drawn from
    """

    def __init__(self, read: Callable[[Path], Any]):
        super().__init__()
        self.read = read

    def add(self, name: str, section: str, logs: Iterable[Log] = (), commands: Iterable[str] = (), paper: str = "",
            per: str = "") -> Callable[[Drawing], Drawing]:
        """Register the function below as a figure. Raises ValueError for a name that is taken."""

        def registered(draw: Drawing) -> Drawing:
            if name in self:
                raise ValueError(f"{name}: there is a figure of this name")
            self[name] = FigureRecord(name, section, draw, tuple(logs), tuple(commands), paper, per)
            return draw

        return registered

    def notebook(self, name: str, folder: Path | str) -> Notebook:
        """What the cells of a notebook call, on the logs of a folder."""
        return Notebook(self, name, Path(folder))


class Notebook:
    """Draws a notebook's figures by name: `draw = FIGURES.notebook("main_text", "../logs")`, then
    `draw("main_text_1_ess_and_coverage")` in a cell. `draw.logs` is what the room read.
    """

    def __init__(self, table: Figures, name: str, folder: Path):
        self.logs = table.read(folder)
        self._left = {figure.name: figure for figure in table.values() if figure.notebook == name}
        self._all = dict(self._left)

    def __call__(self, name: str) -> None:
        """Export every drawing of a figure beside the notebook, and show it. Raises InputError for an unknown one."""
        if name not in self._all:
            raise InputError(f"figure {name!r}: there are {', '.join(self._all)}")
        self._left.pop(name, None)
        for figure, of, numbers in self._all[name].draw(self.logs):
            palette.show(figure, f"{name}_{of}" if of else name, numbers)

    def others(self) -> None:
        """Those of the notebook's figures that no cell has drawn so far."""
        for name in list(self._left):
            self(name)
