#!/usr/bin/env python3
"""The logs that degradation.ipynb draws.

    python figures/degradation_logs.py                  two tables of simulated power, 20 s, into local/degradation
    python figures/degradation_logs.py --pairs FOLDER   the real pairs as well, 2 s more
    python figures/degradation_logs.py --logs-dir logs  in the place of the committed ones

FOLDER holds NAME.baseline.csv and NAME.optimized.csv of every pair, `prompt_id,score` each. The committed log is of
the pairs that docs/degradation.md lists. Seeds are fixed, so a log comes out the same again (the limits of an interval
to the last digit or two). What is there is written anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import write_whole

DAMAGE = {"all": "0.015", "one": "0.05"}  # on all tasks or on one of them: the drop there
SIDES = ("baseline", "optimized")


def main(arguments: list[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    cli.add_own_logs_flag(parser, "local/degradation")
    parser.add_argument("--pairs", type=Path, metavar="FOLDER", help="of NAME.baseline.csv and NAME.optimized.csv")
    args = parser.parse_args(arguments)
    pairs = list_pairs(args.pairs) if args.pairs else None
    args.logs_dir.mkdir(parents=True, exist_ok=True)
    for damage, drop in DAMAGE.items():
        cli.step("mcnemar_tests.py", "plan", "--n", 500, "--flip", 0.1, "--drop", drop, "--damage", damage, "--tasks",
                 1, 2, 4, 8, 16, 32, "--csv", args.logs_dir / f"degradation_power_{damage}.csv", "--overwrite")
    target = args.logs_dir / "degradation_pairs.csv"
    if pairs:
        judge(pairs, target)
    elif not target.is_file():
        raise InputError(f"{target} is not made: it takes --pairs FOLDER with NAME.baseline.csv and NAME.optimized.csv")


def list_pairs(folder: Path) -> dict[str, dict[str, str]]:
    """{side: {NAME: file}}, the list that `suite` reads."""
    found = {side: {path.name.removesuffix(f".{side}.csv"): str(path.resolve())
                    for path in folder.glob(f"*.{side}.csv")} for side in SIDES}
    alone = sorted(set(found[SIDES[0]]) ^ set(found[SIDES[1]]))
    if alone or not found[SIDES[0]]:
        raise InputError(f"{folder}: " + (f"{alone[0]} has no other half" if alone else "no NAME.baseline.csv there"))
    return {side: dict(sorted(files.items())) for side, files in found.items()}


def judge(pairs: dict[str, dict[str, str]], target: Path) -> None:
    """The tasks of `suite`, without its row for all of them: pooled over unlike pairs it means nothing."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "pairs.json"
        listed.write_text(json.dumps(pairs))
        cli.step("mcnemar_tests.py", "suite", listed, "--output-dir", Path(folder) / "pairs")
        lines = (Path(folder) / "pairs" / "summary.csv").read_text().splitlines(keepends=True)
    task = lines[0].split(",").index("task")
    write_whole(target, "".join(line for line in lines if line.split(",")[task] != "ALL"))
    print(f"written: {target}")


if __name__ == "__main__":
    cli.run(main)
