"""Step 11: one table from the logs: best baselines after the fact, effective sample sizes, coverage.

    python summarize_results.py
    python summarize_results.py --logs-dir quickstart/logs --figure quickstart/ess_and_coverage

Reads LOGS_DIR/faq_final.csv and baselines_all.csv (whichever are there), writes every arm to
LOGS_DIR/summary.csv and prints those that a reader compares. ESS is the multiple of the sample that simple
random sampling without replacement would need: by width, (SRS width / mean width)²; by error, SRS variance /
mean squared error; ± is one standard error (coverage: binomial over models × seeds). --figure writes STEM.png
and STEM.pdf, one pair per dataset and scenario. Seconds.
"""

from pathlib import Path

import pandas as pd

from llm_accuracy import cli, ledger, summaries
from llm_accuracy.errors import InputError
from llm_accuracy.responses import atomic

LOGS = {"faq_final.csv": "faq_final.py", "baselines_all.csv": "baselines_all.py"}


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "datasets", "scenarios", "logs-dir", "dry-run")
    parser.add_argument("--figure", type=Path, metavar="STEM", help="write STEM.png and STEM.pdf")
    args = parser.parse_args(argv)
    found = {name: script for name, script in LOGS.items() if (args.logs_dir / name).is_file()}
    if not found:
        raise InputError(f"{args.logs_dir}: holds none of {', '.join(LOGS)}; python faq_final.py and "
                         "python baselines_all.py make them")
    if args.dry_run:
        print(f"would summarize {', '.join(found)} into {args.logs_dir / 'summary.csv'}, seconds")
        return
    trials = pd.concat([ledger.read(args.logs_dir / name, script) for name, script in found.items()])
    trials = chosen(trials, args)
    summary = summaries.summarize(trials)
    with atomic(args.logs_dir / "summary.csv", "w") as stream:
        summary.to_csv(stream, index=False, float_format="%.7g", lineterminator="\n")
    table = summaries.compared(summary)
    print(summaries.text_table(table))
    if args.figure:
        for path in draw(table, args.figure):
            print(f"wrote {path}")


def chosen(trials: pd.DataFrame, args) -> pd.DataFrame:
    for column, wanted in (("dataset", args.datasets), ("scenario", args.scenarios)):
        if wanted:
            trials = trials[trials[column].isin(wanted)]
            if trials.empty:
                raise InputError(f"{args.logs_dir}: no trial with {column} {', '.join(wanted)} in the logs")
    return trials


def draw(table: pd.DataFrame, stem: Path) -> list[Path]:
    from llm_accuracy import plots

    groups = list(table.groupby(["dataset", "scenario"], sort=False))
    paths = []
    for (dataset, scenario), cell in groups:
        best = cell.loc[cell["ess_width"].idxmax()]
        title = (f"{dataset}, {scenario}: {best['name']} makes a question worth up to {best['ess_width']:.1f} "
                 "questions asked at random")
        where = stem if len(groups) == 1 else stem.with_name(f"{stem.name}_{dataset}_{scenario}")
        paths += plots.save(plots.ess_and_coverage(cell, title), where)
    return paths


if __name__ == "__main__":
    cli.run(main)
