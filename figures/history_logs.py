#!/usr/bin/env python3
"""The log that history.ipynb draws: what a history of 4, 8, 16, … models is worth, and what was forecast.

    python figures/history_logs.py MATRIX.csv.gz …                   the five development boards: 10 minutes
    python figures/history_logs.py MATRIX.csv.gz … --draws 2         fewer random choices of as many models
    python figures/history_logs.py MATRIX.csv.gz … --logs-dir logs   beside the committed rows, not in local/history

Each matrix is split by date (in the order of the file where there are none), by families, and at random. By date, the
history is cut down to nested random choices of its models. With each, the new models (at most 100) are evaluated in
growing rounds, and the forecast is made from the history alone (`llm-accuracy forecast`). Finished histories are not
repeated. Prints the tables of docs/forecast.md from LOGS_DIR/history_worth.csv, and puts them there with --page.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from llm_accuracy import cli
from llm_accuracy.files import around, atomic

MARK = "history"


def main(arguments: list[str] | None = None) -> None:
    parser = cli.parser(__doc__)
    cli.add_own_logs_flag(parser, "local/history")
    parser.add_argument("matrices", nargs="+", type=Path, metavar="MATRIX", help="wide CSV files")
    parser.add_argument("--draws", type=cli.at_least(1), default=5, metavar="D", help="random choices (default: 5)")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"with <!-- {MARK} --> and <!-- /{MARK} -->")
    args = parser.parse_args(arguments)
    before, after = around(args.page, MARK) if args.page else ("", "")
    from llm_accuracy.study import history_worth, summaries

    rows = history_worth.run(args.matrices, args.logs_dir, args.draws)
    tables = [summaries.markdown(table(rows)) for table in (history_worth.by_size, history_worth.checked,
                                                            history_worth.errors)]
    print(*tables, sep="\n")
    if args.page:
        with atomic(args.page, "w") as out:
            out.write(before + "\n".join(tables) + after)
    print(f"wrote {args.logs_dir / history_worth.LOG}")


if __name__ == "__main__":
    cli.run(main)
