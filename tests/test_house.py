"""The house: which room may use which, no circles, no torch where none is needed, no module too long to read.

    ground                              errors, files, palette, randomness, parallel, lazy, redaction, cli
    scores, querying                    querying uses scores, not the other way round
    degradation, live, leaderboard, study
    the console command (__main__), the scripts
"""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = "llm_accuracy"
MAY_USE = {
    "ground": {"ground"},
    "scores": {"ground", "scores"},
    "querying": {"ground", "scores", "querying"},
    "degradation": {"ground", "scores", "degradation"},
    "live": {"ground", "scores", "querying", "degradation", "live"},
    "leaderboard": {"ground", "scores", "leaderboard"},
    "study": {"ground", "scores", "querying", "study"},
}
MAY_USE["console"] = {*MAY_USE, "console"}  # llm_accuracy/__main__.py, on top of all rooms
WITHOUT_TORCH = ("scores", "degradation")
LONGEST = 450  # lines; a docstring that says "Long because …" excuses more


def name_of(path: Path) -> str:
    """llm_accuracy/scores/matrix.py → llm_accuracy.scores.matrix; a folder's __init__.py → the folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted((ROOT / PACKAGE).rglob("*.py"))}


def room_of(module: str) -> str:
    """The folder a module is in; `ground` for the package's own modules but the console command."""
    if module == f"{PACKAGE}.__main__":
        return "console"
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / PACKAGE / parts[1]).is_dir() else "ground"


def imported(module: str) -> set[str]:
    """The package's modules that a module imports, at its top or inside a function."""
    path, found = MODULES[module], set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]) if base else ".".join(above)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return {name for name in found if name.split(".")[0] == PACKAGE}


ARROWS = {module: imported(module) for module in MODULES}


def test_imports_are_seen():
    assert "llm_accuracy.files" in ARROWS["llm_accuracy.scores.matrix"]
    assert "llm_accuracy.degradation.figures" in ARROWS["llm_accuracy.degradation.commands.flips"]
    assert {room_of(module) for module in MODULES} <= MAY_USE.keys()
    assert set().union(*ARROWS.values()) <= MODULES.keys()


def test_no_import_runs_up_a_floor():
    assert not [(module, other) for module, others in ARROWS.items() for other in others
                if room_of(other) not in MAY_USE[room_of(module)]]
    assert not ARROWS[PACKAGE], "the root of the package exports its version only"


def test_there_are_no_circles():
    """Neither between modules nor, by the table above, between rooms."""
    TopologicalSorter(ARROWS).prepare()
    TopologicalSorter({room: used - {room} for room, used in MAY_USE.items()}).prepare()


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_rooms_without_torch(room):
    """Neither the room nor any of its modules loads torch; the room itself loads next to nothing."""
    modules = [module for module in MODULES if room_of(module) == room]
    code = (f"import sys, {PACKAGE}.{room}; assert not {{'torch', 'pandas', 'numpy'}} & sys.modules.keys()\n"
            f"import {', '.join(modules)}; assert 'torch' not in sys.modules, 'torch'")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", sorted({room_of(module) for module in MODULES} - {"ground", "console"}))
def test_public_names_are_there(room):
    package = importlib.import_module(f"{PACKAGE}.{room}")
    for name in getattr(package, "__all__", ()):
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018


def test_no_module_is_too_long():
    paths = [*MODULES.values(), *ROOT.glob("*.py"), *(ROOT / "data").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    long = {str(path.relative_to(ROOT)) for path in paths if len(path.read_text().splitlines()) > LONGEST
            and "Long because" not in (ast.get_docstring(ast.parse(path.read_text())) or "")}
    assert not long
