"""One table of figures a room: what is registered is drawn in its notebook, listed in docs/figures.md, and missed where
its log is missing; the notebooks draw every figure under its heading."""

import importlib
import json
import re
import sys

import matplotlib.pyplot as plt
import pytest
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.gallery import Drawn, FigureRecord, Figures, Log

sys.path.insert(0, str(ROOT / "docs"))
sys.path.insert(0, str(ROOT / "figures"))
import draw
import tables

ROOMS = {"study": "appendix", "degradation": "degradation"}  # a notebook of each
MINE = Log("mine.csv", "make mine LOGS={}")


@pytest.fixture(params=ROOMS)
def mine(request):
    """(table, notebook, name) of a figure that was registered from outside, with a drawing each for a and b."""
    table = importlib.import_module(f"llm_accuracy.{request.param}.gallery").FIGURES
    name = f"{ROOMS[request.param]}_9_mine"

    @table.add(name, "My own", [MINE], ["first.py", "mine.py --twice"], "nothing like it", per="board")
    def mine(logs):
        for board in "ab":
            yield Drawn(plt.figure(figsize=(1, 1)), board, "| numbers |\n")

    yield table, ROOMS[request.param], name
    del table[name]


def test_a_figure_from_outside_is_drawn(mine, tmp_path, monkeypatch):
    table, notebook, name = mine
    monkeypatch.chdir(tmp_path)
    cells = table.notebook(notebook, ROOT / "logs")
    expected = {f"{name}_{board}.{kind}" for board in "ab" for kind in ("png", "pdf", "md")}
    cells(name)
    assert {path.name for path in tmp_path.iterdir()} == expected
    for path in tmp_path.iterdir():
        path.unlink()
    alone = Figures(table.read)
    alone[name] = table[name]
    alone.notebook(notebook, ROOT / "logs").others()
    assert {path.name for path in tmp_path.iterdir()} == expected
    with pytest.raises(InputError, match=f"figure 'no_such': there are {notebook}_1_.*, {name}"):
        cells("no_such")


def test_a_figure_from_outside_is_in_the_documents(mine):
    _, notebook, name = mine
    assert (f'| `{name}_*` | nothing like it | {notebook}, "My own" | `mine.csv` | `first.py`, then `mine.py --twice` '
            "| board |") in tables.figures()


def test_the_log_of_a_figure_from_outside_is_missed(mine, tmp_path):
    _, notebook, _ = mine
    with pytest.raises(InputError, match=f"not drawn: {notebook}.*has no mine.csv: make mine LOGS={tmp_path} makes it"):
        draw.main(["--logs-dir", str(tmp_path), "--notebooks", notebook])


def test_names_are_of_a_notebook_and_taken_once(mine):
    table, _, name = mine
    with pytest.raises(ValueError, match="there is a figure of this name"):
        table.add(name, "Again")(lambda logs: [])
    with pytest.raises(ValueError, match="NOTEBOOK_NUMBER_WHAT"):
        FigureRecord("mine", "", lambda logs: [])


def cells_of(notebook):
    """[(heading above it, code)] of the code cells."""
    heading, found = "", []
    for cell in json.loads((ROOT / "figures" / f"{notebook}.ipynb").read_text())["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = text.partition("\n")[0].strip("# ")
        else:
            found.append((heading, text))
    return found


@pytest.mark.parametrize("notebook", draw.NOTEBOOKS)
def test_notebooks_draw_what_is_registered_in_order_and_under_its_heading(notebook):
    cells = cells_of(notebook)
    drawn = [(heading, found[1]) for heading, code in cells
             for found in re.finditer(r'^draw\("(\w+)"\)$', code, re.MULTILINE)]
    assert drawn == [(figure.section, name) for name, figure in draw.figures().items() if figure.notebook == notebook]
    assert cells[-1][1] == "draw.others()"


def test_no_figure_is_of_a_notebook_that_is_not_there():
    assert set(draw.NOTEBOOKS) == {path.stem for path in (ROOT / "figures").glob("*.ipynb")}
    tables = [*(f"{room}.gallery" for room in ROOMS), "study.history_figures"]
    assert len(draw.figures()) == sum(len(importlib.import_module(f"llm_accuracy.{table}").FIGURES)
                                      for table in tables)


def test_every_log_that_is_drawn_is_committed_and_has_a_command():
    makefile = (ROOT / "Makefile").read_text()
    for figure in draw.figures().values():
        assert bool(figure.logs) == bool(figure.commands), figure.name
        for log in figure.logs:
            assert (ROOT / "logs" / log.name).is_file() and f"\n{log.made_by.split()[1]}:" in makefile
        for command in figure.commands:
            assert (ROOT / command.split()[0]).is_file(), command
