#!/usr/bin/env python3
"""Run the notebooks on the logs of a folder; the figures are exported beside them.

    python figures/draw.py                                   all notebooks, on logs/: about a minute on two cores
    python figures/draw.py --logs-dir elsewhere              on other logs, into elsewhere/figures
    python figures/draw.py --notebooks main_text appendix    some of them

A notebook whose logs are not all there is left as it is, and a line says which command makes the missing one: exit
code 2.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from llm_accuracy import cli  # noqa: E402
from llm_accuracy.errors import InputError  # noqa: E402
from llm_accuracy.files import write_whole  # noqa: E402

if TYPE_CHECKING:
    from llm_accuracy.gallery import FigureRecord

NOTEBOOKS = ("main_text", "appendix", "history", "degradation")


def figures() -> dict[str, FigureRecord]:
    """Every room's figures by name, in the order of the notebooks."""
    from llm_accuracy.degradation.gallery import FIGURES as OF_PAIRS
    from llm_accuracy.study.gallery import FIGURES as OF_THE_STUDY
    from llm_accuracy.study.history_figures import FIGURES as OF_HISTORIES

    known = {**OF_THE_STUDY, **OF_HISTORIES, **OF_PAIRS}
    return {name: figure for notebook in NOTEBOOKS for name, figure in known.items() if figure.notebook == notebook}


def copied(notebook: Path, folder: Path) -> Path:
    write_whole(folder / notebook.name, notebook.read_bytes())
    return folder / notebook.name


def main(arguments: list[str] | None = None) -> None:
    parser = cli.add_study_flags(cli.parser(__doc__), "logs-dir")
    parser.add_argument("--notebooks", nargs="+", choices=NOTEBOOKS, default=NOTEBOOKS, metavar="NAME",
                        help=f"of {', '.join(NOTEBOOKS)} (default: all)")
    args = parser.parse_args(arguments)
    missing = {name: dict.fromkeys(log for figure in figures().values() if figure.notebook == name
                                   for log in figure.logs if not (args.logs_dir / log.name).is_file())
               for name in args.notebooks}
    drawn = [HERE / f"{name}.ipynb" for name in args.notebooks if not missing[name]]
    if args.logs_dir.resolve() != HERE.parent / "logs":
        drawn = [copied(path, args.logs_dir / "figures") for path in drawn]  # the committed ones are of logs/
    if drawn:
        ours = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        code = subprocess.run(
            [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace",
             "--log-level=ERROR", *drawn],
            env={**os.environ, "LOGS": str(args.logs_dir.resolve()), "PYTHONPATH": ours}).returncode
        if code:
            sys.exit(code)
        print(f"drawn beside {', '.join(map(str, drawn))}")
    makes: dict[str, dict[str, None]] = {}  # command: the missing logs that it makes
    for log in (log for logs in missing.values() for log in logs):
        makes.setdefault(log.made_by.format(args.logs_dir), {})[log.name] = None
    if makes:
        raise InputError(f"not drawn: {', '.join(name for name in missing if missing[name])}. " + " ".join(
            f"{args.logs_dir} has no {', '.join(logs)}: {command} makes {'it' if len(logs) == 1 else 'them'}."
            for command, logs in makes.items()))


if __name__ == "__main__":
    cli.run(main)
