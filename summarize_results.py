"""Step 11: make one table of the logs: best baselines after the fact, effective sample sizes, coverage.

    python summarize_results.py
    python summarize_results.py --logs-dir quickstart/logs --figure quickstart/ess_and_coverage
    python summarize_results.py --merge parts/*                                first gather the logs of shards
    python summarize_results.py --logs-dir twin/logs --compare PAPER --as mmlu-pro
    python summarize_results.py --logs-dir PAPER                               the published tables themselves

Reads LOGS_DIR/faq_final.csv, baselines_all.csv and ablations_all.csv (whichever are there), writes every arm to
LOGS_DIR/summary.csv and prints those that a reader compares. ESS is the multiple of the sample that simple
random sampling without replacement would need: by width, (SRS width / mean width)²; by error, SRS variance /
mean squared error; ± is one standard error (coverage: binomial over models × seeds). Where the logs of
factor_models_cv.py and faq_val.py are there, what they chose is written, in the columns of the published tables, to
LOGS_DIR/factor_model_selected_settings.csv and faq_best_settings.csv.

--figure writes STEM.png and STEM.pdf, one pair per dataset and scenario. --compare prints our results beside the
published tables in the folder PAPER, with the difference in standard errors, and writes LOGS_DIR/beside_published.csv
and .md. --merge refuses shards that were not computed from the same data. Takes seconds.
"""

from pathlib import Path

from llm_accuracy import cli
from llm_accuracy.study import flags


def main(argv=None):
    parser = flags.parser(__doc__, "datasets", "scenarios", "logs-dir", "dry-run")
    parser.add_argument("--figure", type=cli.stem, metavar="STEM", help="write STEM.png and STEM.pdf")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="DIR",
                        help="first append the rows that these folders' logs have and LOGS_DIR's lack")
    parser.add_argument("--compare", type=Path, metavar="PAPER", help="folder of published tables")
    parser.add_argument("--as", dest="stands_for", metavar="NAME",
                        help="compare with this published dataset (default: the one of the same name)")
    args = flags.parse(parser, argv)
    from llm_accuracy.study import published, summaries, tables

    theirs = published.read(args.compare) if args.compare else None  # refused before anything is written
    if args.figure:
        args.figure.parent.mkdir(parents=True, exist_ok=True)
    if args.merge:
        tables.merge(args)
        if not any((args.logs_dir / name).is_file() for name in tables.TRIALS):
            return  # shards of the steps before the evaluations: nothing to summarize yet
    if published.is_published(args.logs_dir):
        ours = published.read(args.logs_dir)
        print(published.text_table(published.compare(ours, theirs)) if args.compare
              else published.summary_table(tables.chosen(ours, args)))
        return
    found = tables.found(args)
    if args.dry_run:
        print(f"would summarize {', '.join(found)} into {args.logs_dir / 'summary.csv'}, seconds")
        return
    summary = tables.summarize(args, found)
    tables.write_choices(args.logs_dir)
    table = summaries.compared(summary)
    print(summaries.text_table(table))
    if args.compare:
        print(published.text_table(tables.beside_published(summary, theirs, args)))
    if args.figure:
        for path in draw(table, args.figure):
            print(f"wrote {path}")


def draw(table, stem):
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
