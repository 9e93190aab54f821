"""The package as others install it: every import declared, the wheel alone in an empty environment without torch."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

import llm_accuracy
from llm_accuracy.__main__ import COMMANDS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Where a distribution's name is not that of its module.
IN_CODE = {"scikit-learn": "sklearn", "ppi-python": "ppi_py", "pyyaml": "yaml"}
# What comes with another package: the transport of huggingface_hub 2, imported where that is installed; the notebooks.
THROUGH_ANOTHER = {"httpx2": "huggingface_hub", "IPython": "jupyter", "threadpoolctl": "sklearn"}
# What wrote files in tests/data (tests/helpers/write_*.py): installed by hand where they are to be written anew.
WROTE_EXAMPLES = {"lighteval", "evalplus", "opencompass", "mmengine", "helm"}
NOT_IN_REQUIREMENTS = {"inspect", "lm-eval", "bench", "ppi"}  # extras that the pipeline does not need


def parse(requirement: str) -> tuple[str, str]:
    """"numpy>=2.0" → ("numpy", ">=2.0")."""
    name, bounds = re.fullmatch(r"([\w.-]+)(?:\[[\w,.-]+\])?(.*)", requirement).groups()
    return name, bounds


def declared(extras: set[str] | None = None) -> dict[str, str]:
    """Distribution → bounds, of the core and of the extras (all by default)."""
    groups = PROJECT["optional-dependencies"]
    lists = [PROJECT["dependencies"], *(groups[name] for name in (groups if extras is None else extras))]
    found = dict(parse(requirement) for requirements in lists for requirement in requirements)
    return {name: bounds for name, bounds in found.items() if name != PROJECT["name"]}


def required() -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return dict(parse(line) for line in lines if line)


def third_party() -> dict[str, set[str]]:
    """Module that is neither ours nor Python's → the files that import it."""
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.py", "*.ipynb"], cwd=ROOT, text=True,
                           capture_output=True, check=True).stdout.split()
    files = [file for file in files if (ROOT / file).is_file()]
    ours = {Path(file).stem for file in files} | {llm_accuracy.__name__} | set(sys.stdlib_module_names)
    found: dict[str, set[str]] = {}
    for file in files:
        for node in ast.walk(ast.parse(source(ROOT / file))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
                names = [node.args[0].value]
            for name in {name.partition(".")[0] for name in names} - ours:
                found.setdefault(name, set()).add(file)
    return found


def source(path: Path) -> str:
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    return "\n".join(line for cell in cells for line in "".join(cell["source"]).splitlines() if line[:1] not in "%!")


def test_every_import_is_declared():
    imports = third_party()
    assert {"numpy", "torch", "httpx", "pyarrow", "pytest"} <= imports.keys(), "the imports are not seen"
    modules = {IN_CODE.get(name, name) for name in declared()}
    assert all(other in modules for other in THROUGH_ANOTHER.values())
    known = modules | THROUGH_ANOTHER.keys() | WROTE_EXAMPLES
    assert not {name: files for name, files in imports.items() if name not in known}


def test_core_is_small():
    assert set(dict(map(parse, PROJECT["dependencies"]))) == {"numpy", "scipy", "pandas", "matplotlib"}


def test_requirements_are_those_of_the_package():
    """One file installs the pipeline: the same packages as the extras, with the same bounds but for torch's pin."""
    extras = declared(set(PROJECT["optional-dependencies"]) - NOT_IN_REQUIREMENTS)
    assert required().keys() == extras.keys()
    assert {name: bounds for name, bounds in required().items() if name != "torch"} == \
        {name: bounds for name, bounds in extras.items() if name != "torch"}
    assert required()["torch"].startswith("=="), "an unpinned torch may pull gigabytes"


def test_there_is_one_version():
    assert "version" not in PROJECT and PROJECT["dynamic"] == ["version"]
    assert f"## {llm_accuracy.__version__} " in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["pai"], ["--", "evaluat"]])
def test_help_and_misspelt_commands_import_nothing(arguments):
    code = ("import sys; from llm_accuracy.__main__ import main\ntry: main(sys.argv[1:])\n"
            "except SystemExit as end: code = end.code or 0\n"
            "assert not {'numpy', 'pandas', 'scipy', 'torch', 'tqdm'} & sys.modules.keys(); sys.exit(code)")
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == (0 if arguments and arguments[0] in ("--help", "--version") else 2), done.stderr
    assert arguments != ["--help"] or all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name):
    """What the table of commands promises is run by the module it names, under the command's own name; its --help
    imports nothing slow."""
    code = ("import sys; from llm_accuracy.__main__ import console\nsys.argv[1:] = [sys.argv[1], '--help']\n"
            "try: console()\nexcept SystemExit as end: assert not end.code, end.code\n"
            "heavy = {'numpy', 'pandas', 'scipy', 'torch', 'tqdm'} & sys.modules.keys()\n"
            "assert not heavy, heavy")
    done = subprocess.run([sys.executable, "-c", code, name], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: llm-accuracy {name} ")


# ---- the wheel ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """(wheel, folder of commands) of an environment that holds the wheel, its dependencies and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"  # a copy: a build leaves folders behind, and would find old ones
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "llm_accuracy", tree / "llm_accuracy", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(folder / "venv")
    python = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder / "venv")})) / "python"

    def pip(*words):
        done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *words], cwd=folder,
                              capture_output=True, text=True)
        if done.returncode and "No matching distribution" in done.stderr and not os.environ.get("CI"):
            pytest.skip(f"pip cannot reach a package index: {done.stderr[-200:]}")
        assert done.returncode == 0, done.stderr

    pip("wheel", "--no-deps", "-w", folder, tree)
    wheel = next(folder.glob("llm_accuracy-*.whl"))
    pip("--python", python, "install", "--no-compile", wheel)
    return wheel, python.parent


def test_wheel_alone_judges_a_pair(installed, tmp_path):
    wheel, commands = installed
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    ours = {str(path.relative_to(ROOT)) for ending in ("py", "c")
            for path in (ROOT / "llm_accuracy").rglob(f"*.{ending}")}
    assert ours == names
    rows = [f"q{i}" for i in range(200)]
    for name, wrong in (("baseline", 20), ("candidate", 60)):
        scores = "".join(f"{item},{int(i >= wrong)}\n" for i, item in enumerate(rows))
        (tmp_path / f"{name}.csv").write_text("prompt_id,score\n" + scores)

    def run(*words, code):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run([commands / words[0], *words[1:]], cwd=tmp_path, env=environment, capture_output=True,
                              text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    for absent in ("torch", "sklearn", "tqdm", "huggingface_hub"):
        assert "ModuleNotFoundError" in run("python", "-c", f"import {absent}", code=1).stderr
    version = run("llm-accuracy", "--version", code=0).stdout
    assert version == f"llm-accuracy {llm_accuracy.__version__}\n"
    judged = run("llm-accuracy", "pair", "baseline.csv", "candidate.csv", "--fail-on", "degraded", "--json", "out.json",
                 code=1)
    assert judged.stdout.startswith("DEGRADED at error rate 5% (200 items): the candidate is worse by 20.00 points")
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["b"], result["c"], result["verdict"]) == (40, 0, "degraded")
    assert "error: " in run("llm-accuracy", "pair", "baseline.csv", "no.csv", code=2).stderr
