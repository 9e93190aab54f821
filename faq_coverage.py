"""Step 8: audit who is covered: every model's coverage against its release date and its accuracy.

    python faq_coverage.py
    python faq_coverage.py --tier paper --datasets mmlu-pro --figure figures/audit

Reads LOGS_DIR/faq_final_models.csv, and dates and accuracies from the data. Writes LOGS_DIR/faq_coverage.csv, one
row per model and trial setting, and prints for every cell the mean coverage, the slope of coverage along release
dates and accuracies (difference between the last and the first fifth of the models), and the worst model beside
what luck alone would give. --figure writes STEM_<dataset>_<scenario>_<method>.png and .pdf: Gaussian
weighted nearest neighbours, 501 of 2,213 models (of fewer models the same share), standard deviation a sixth of
that. Takes seconds.
"""


from llm_accuracy import cli
from llm_accuracy.querying.policies import DEFAULT_POLICY
from llm_accuracy.study import flags

HEADER = (f"{'method':<24} {'budget':>6} {'coverage':>11} {'by date':>10} {'by accuracy':>11} "
          f"{'worst':>5} {'luck':>5} {'1 %':>4}")


def main(argv=None):
    parser = flags.parser(__doc__, "tier", "datasets", "scenarios", "data-dir", "logs-dir", "dry-run")
    parser.add_argument("--policies", nargs="+", metavar="NAME", default=[DEFAULT_POLICY],
                        help=f"(default: {DEFAULT_POLICY})")
    parser.add_argument("--batch", type=cli.at_least(1), metavar="B",
                        help="the trials that asked B questions at a time, or first (default: the policy's own)")
    parser.add_argument("--figure", type=cli.stem, metavar="STEM")
    args = flags.parse(parser, argv)
    from llm_accuracy.study import coverage

    cells = coverage.cells_of(args)
    if args.dry_run:
        print(f"would judge {len(cells)} cells into {args.logs_dir / 'faq_coverage.csv'}, seconds")
        return
    table = coverage.write(args, cells)
    print_table(table)
    if args.figure:
        for path in draw(table, args.figure):
            print(f"wrote {path}")


def print_table(table):
    from llm_accuracy.study import coverage
    from llm_accuracy.study.summaries import plus_minus

    print("by date, by accuracy: coverage of the last fifth of the models minus the first, ± 1 SE\n"
          "worst: the worst model; luck: the worst to expect (median) if every interval covered 95 %; 1 %: luck's\n"
          "worst is below this with probability 1 % at most\n")
    for (dataset, scenario), cell in coverage.audit(table).groupby(["dataset", "scenario"], sort=False):
        models, seeds = cell["models"].max(), cell["seeds"].max()
        print(f"{dataset}, {scenario}: {models} new models, {seeds} seeds, window of "
              f"{coverage.neighbours(models)} models\n{HEADER}")
        for row in cell.sort_values(["method", "sampling", "variance", "budget"]).itertuples():
            print(f"{f'{row.method}, {row.sampling}':<24.24} {row.budget:>6} "
                  f"{plus_minus(row.coverage, row.coverage_se, 3):>11} {drift(row.by_date, row.by_date_se):>10} "
                  f"{drift(row.by_accuracy, row.by_accuracy_se):>11} {row.worst:>5.2f} {row.luck:>5.2f} "
                  f"{row.luck_1pct:>4.2f}")
        print()


def drift(value, se):
    return f"{value:+.3f} ±{se:.3f}".replace("0.", ".") if value == value else ""  # NaN: no dates, or few models


def draw(table, stem):
    from llm_accuracy import palette
    from llm_accuracy.study import figures as plots

    paths = []
    for (dataset, scenario, method, sampling), arm in table.groupby(["dataset", "scenario", "method", "sampling"]):
        figure = palette.titled(plots.with_legend(plots.coverage_audit(arm)), f"{dataset}, {scenario}, {method}, "
                                f"sampling {sampling}: coverage of every model", plots.audit_counts(arm))
        paths += palette.save(figure, stem.with_name(f"{stem.name}_{dataset}_{scenario}_{method}_{sampling}"))
    return paths


if __name__ == "__main__":
    cli.run(main)
