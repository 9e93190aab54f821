"""Migrate old logs to today's columns.

    python migrate_logs.py logs --dry-run
    python migrate_logs.py logs

Logs of older versions have no column `batch` (faq-mix in batches of 64 was called faq-mix:B64) and do not say what a
row was computed from. Both are added, the latter as `unknown`: such rows can be drawn and tabulated, but no run
continues from them. All other values, the order of the rows and the .json beside a log stay as they are. Files with
today's columns are left alone, but for rows that repeat another one in every column (two runs had written them at
once): those stay once. If a file is half old and half new, or has other columns, or holds two results of one trial,
nothing is written at all. Takes seconds.
"""

from contextlib import ExitStack
from pathlib import Path

from llm_accuracy import cli, locks
from llm_accuracy.study import migration


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("logs_dir", type=Path, metavar="LOGS_DIR")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    args = parser.parse_args(argv)
    with ExitStack() as alone:
        for path in () if args.dry_run else migration.there(args.logs_dir):
            alone.enter_context(locks.writing(path))
        for file in migration.migrate(args.logs_dir):
            if file.lines is None:
                print(f"{file.path}: has today's columns already")
                continue
            if not args.dry_run:
                file.write()
            again = f", {file.repeated} repetitions left out" if file.repeated else ""
            print(f"{file.path}: {file.count} rows {'to migrate' if args.dry_run else 'migrated'}{again}")


if __name__ == "__main__":
    cli.run(main)
