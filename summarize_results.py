"""Step 11: one table from the logs: best baselines after the fact, effective sample sizes, coverage.

    python summarize_results.py
    python summarize_results.py --logs-dir quickstart/logs --figure quickstart/ess_and_coverage
    python summarize_results.py --merge logs/shards/*                          first gather the logs of shards
    python summarize_results.py --logs-dir twin/logs --compare PAPER --as mmlu-pro
    python summarize_results.py --logs-dir PAPER                               the published tables themselves

Reads LOGS_DIR/faq_final.csv, baselines_all.csv and ablations_all.csv (whichever are there), writes every arm to
LOGS_DIR/summary.csv and prints those that a reader compares. ESS is the multiple of the sample that simple
random sampling without replacement would need: by width, (SRS width / mean width)²; by error, SRS variance /
mean squared error; ± is one standard error (coverage: binomial over models × seeds). --figure writes STEM.png
and STEM.pdf, one pair per dataset and scenario. --compare prints ours beside the published tables in the folder
PAPER, with the difference in standard errors, and writes LOGS_DIR/beside_published.csv and .md.
Seconds.
"""

from pathlib import Path

import pandas as pd

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import atomic
from llm_accuracy.study import ledger, published, summaries
from llm_accuracy.study import trials as study

LOGS = {"faq_final.csv": "faq_final.py", "baselines_all.csv": "baselines_all.py",
        "ablations_all.csv": "ablations_all.py"}


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "datasets", "scenarios", "logs-dir", "dry-run")
    parser.add_argument("--figure", type=Path, metavar="STEM", help="write STEM.png and STEM.pdf")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="DIR",
                        help="first append the rows that these folders' logs have and LOGS_DIR's lack")
    parser.add_argument("--compare", type=Path, metavar="PAPER", help="folder of published tables")
    parser.add_argument("--as", dest="stands_for", metavar="NAME",
                        help="compare with this published dataset (default: the one of the same name)")
    args = parser.parse_args(argv)
    if args.merge:
        merge(args)
    if published.is_published(args.logs_dir):
        ours = published.read(args.logs_dir)
        print(published.text_table(published.compare(ours, published.read(args.compare))) if args.compare
              else published.summary_table(chosen(ours, args)))
        return
    found = {name: script for name, script in LOGS.items() if (args.logs_dir / name).is_file()}
    if not found:
        if args.merge:
            return  # shards of the steps before the evaluations: nothing to summarize yet
        raise InputError(f"{args.logs_dir}: holds none of {', '.join(LOGS)}; python faq_final.py and "
                         "python baselines_all.py make them")
    if args.dry_run:
        print(f"would summarize {', '.join(found)} into {args.logs_dir / 'summary.csv'}, seconds")
        return
    trials = pd.concat([ledger.read(args.logs_dir / name, script) for name, script in found.items()],
                       ignore_index=True)
    summary = summaries.summarize(chosen(trials.drop_duplicates(list(study.KEY)), args))
    write(summary, args.logs_dir / "summary.csv")
    table = summaries.compared(summary)
    print(summaries.text_table(table))
    if args.compare:
        compare(summary, args)
    if args.figure:
        for path in draw(table, args.figure):
            print(f"wrote {path}")


def write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path, "w") as stream:
        table.to_csv(stream, index=False, float_format="%.7g", lineterminator="\n")


def chosen(trials: pd.DataFrame, args) -> pd.DataFrame:
    for column, wanted in (("dataset", args.datasets), ("scenario", args.scenarios)):
        if wanted:
            trials = trials[trials[column].isin(wanted)]
            if trials.empty:
                raise InputError(f"{args.logs_dir}: no trial with {column} {', '.join(wanted)} in the logs")
    return trials


def merge(args) -> None:
    """Gather shards: every log that one of the folders holds, summaries aside."""
    if absent := [folder for folder in args.merge if not folder.is_dir()]:
        raise InputError(f"--merge {absent[0]}: no such folder")
    for name in study.LOG_NAMES:
        parts = [path for folder in args.merge if (path := folder / f"{name}.csv").is_file()]
        if parts and not args.dry_run:
            added = ledger.merge(ledger.Ledger(args.logs_dir / f"{name}.csv", *ledger.columns_of(parts[0])), parts)
            print(f"{args.logs_dir / name}.csv: {added} rows from {len(parts)} folders")
        elif parts:
            print(f"would merge {len(parts)} {name}.csv into {args.logs_dir}")


def compare(summary: pd.DataFrame, args) -> None:
    ours = published.ours(summary)
    for dataset, rows in ours.groupby("dataset"):
        print(f"ours: {dataset}, {rows['models'].max()} new models, {rows['seeds'].min()} to {rows['seeds'].max()} "
              f"seeds; published: {published.SEEDS} seeds\ndiff/SE: the difference in standard errors over seeds "
              "(models taken as given)\n")
    if args.stands_for:
        if len(names := ours["dataset"].unique()) > 1:
            raise InputError(f"--as {args.stands_for}: the logs hold {', '.join(names)}; choose one with --datasets")
        ours = ours.assign(dataset=args.stands_for)
    table = published.compare(ours, published.read(args.compare))
    write(table, args.logs_dir / "beside_published.csv")
    with atomic(args.logs_dir / "beside_published.md", "w") as stream:
        stream.write(published.markdown_table(table))
    print(published.text_table(table))


def draw(table: pd.DataFrame, stem: Path) -> list[Path]:
    from llm_accuracy import palette
    from llm_accuracy.study import figures

    groups = list(table.groupby(["dataset", "scenario"], sort=False))
    paths = []
    for (dataset, scenario), cell in groups:
        where = stem if len(groups) == 1 else stem.with_name(f"{stem.name}_{dataset}_{scenario}")
        paths += palette.save(figures.ess_and_coverage(cell), where)
    return paths


if __name__ == "__main__":
    cli.run(main)
