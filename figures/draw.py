#!/usr/bin/env python3
"""Run the notebooks on the logs of a folder; the figures are exported beside them.

    python figures/draw.py                                   all notebooks, on logs/: about a minute on two cores
    python figures/draw.py --logs-dir elsewhere              on other logs
    python figures/draw.py --notebooks main_text appendix    some of them

A notebook whose logs are not all there is left as it is, and a line says which command makes the missing one: exit
code 2.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from llm_accuracy import cli  # noqa: E402
from llm_accuracy.errors import InputError  # noqa: E402

STUDY = "make laptop LOGS={}"
POWER, PAIRS = "make degradation-logs LOGS={}", "make degradation-logs LOGS={} PAIRS=FOLDER"
NEEDS = {  # notebook: the logs it reads, and what makes them
    "main_text": {"summary.csv": STUDY, "faq_coverage.csv": STUDY},
    "appendix": {"summary.csv": STUDY, "faq_coverage.csv": STUDY},
    "degradation": {"degradation_power_all.csv": POWER, "degradation_power_one.csv": POWER,
                    "degradation_pairs.csv": PAIRS},
}


def main(arguments: list[str] | None = None) -> None:
    parser = cli.add_study_flags(cli.parser(__doc__), "logs-dir")
    parser.add_argument("--notebooks", nargs="+", choices=tuple(NEEDS), default=tuple(NEEDS), metavar="NAME",
                        help=f"of {', '.join(NEEDS)} (default: all)")
    args = parser.parse_args(arguments)
    missing = {name: [log for log in NEEDS[name] if not (args.logs_dir / log).is_file()] for name in args.notebooks}
    drawn = [HERE / f"{name}.ipynb" for name in args.notebooks if not missing[name]]
    if drawn:
        code = subprocess.run(
            [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace",
             "--log-level=ERROR", *drawn], env={**os.environ, "LOGS": str(args.logs_dir.resolve())}).returncode
        if code:
            sys.exit(code)
    told = {}  # command: the missing logs that it makes
    for name, logs in missing.items():
        for log in logs:
            told.setdefault(NEEDS[name][log].format(args.logs_dir), {})[log] = name
    if told:
        raise InputError(f"not drawn: {', '.join(name for name in missing if missing[name])}. " + " ".join(
            f"{args.logs_dir} has no {', '.join(logs)}: {command} makes {'it' if len(logs) == 1 else 'them'}."
            for command, logs in told.items()))


if __name__ == "__main__":
    cli.run(main)
