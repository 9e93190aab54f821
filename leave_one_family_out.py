"""Small real boards: evaluate every model with its own family left out of the history.

    python leave_one_family_out.py MATRIX.csv.gz                          124 models × 450 questions: 2 minutes
    python leave_one_family_out.py MATRIX.csv.gz --dry-run                the families found, and about how long
    python leave_one_family_out.py MATRIX.csv.gz --seeds 20 --budgets 20 2.5% --methods rounds faq uniform+factors

Where a board holds few models, and variants of the same ones, splitting it by date wastes half of it and leaves
siblings on both sides. Here every family (the matrix's column `family`, or the model's name without @host,
quantisation, date and -sys suffixes) is new in turn, with factors fitted to all the others. Models without all
scores serve as history only. By default rounds, 200 seeds, budgets 20 5% 10% 25% 50%.

Prints and writes to LOGS_DIR/leave_one_family_out.csv, for every budget and method: coverage with its binomial
standard error; the worst model's coverage, and the median of what luck alone makes of the worst; the share of
intervals of width zero; effective sample sizes against simple random sampling without replacement by width, by width
at equal coverage (half-widths scaled until they cover 95 %), and by error. They are computed from
LOGS_DIR/leave_one_family_out_parts.csv, one row per budget, method, few families and some seeds: finished parts are
not repeated.
"""

from pathlib import Path

from llm_accuracy import cli
from llm_accuracy.querying.policies import DEFAULT_POLICY
from llm_accuracy.study import flags


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("matrix", type=Path, help="wide CSV, plain or gzip: model[,created_date,sha,family], questions")
    cli.add_study_flags(parser, "budgets", "seeds", "logs-dir", "dry-run")
    parser.set_defaults(budgets=["20", "5%", "10%", "25%", "50%"], seeds=200, logs_dir=None)
    parser.add_argument("--methods", nargs="+", metavar="NAME", choices=flags.learning(),
                        help=f"some of {', '.join(flags.learning())} (default: {DEFAULT_POLICY})")
    parser.add_argument("--rank", type=cli.at_least(1), metavar="K", help="(default: 4, or a quarter of the models)")
    parser.add_argument("--weight-decay", type=cli.number(), default=1.0, metavar="L")
    flags.add_protocol_flags(parser, "map")
    args = parser.parse_args(argv)
    if args.logs_dir is None:
        args.logs_dir = flags.own_folder(args.matrix.name.partition(".")[0], "the name of MATRIX")
    from llm_accuracy.study import leave_one_out

    board = leave_one_out.Board.read(args.matrix, args.budgets, args.seeds, args.methods, args.rank, args.weight_decay,
                                     args.protocol, args.epochs)
    print(*board.describe(), sep="\n")
    rows = leave_one_out.run(board, args.logs_dir, args.dry_run)
    if rows:
        show(rows)
        print(f"wrote {args.logs_dir / 'leave_one_family_out.csv'}")


def show(rows: list[dict]) -> None:
    first = rows[0]
    print(f"\n{first['models']} models of {first['families']} families, {first['seeds']} seeds, {first['factors']};\n"
          f"the worst of so many models would by luck alone cover {first['worst_by_luck']:.3f} (median)")
    print(f"{'method':<15} {'budget':>6} {'coverage':>12} {'worst':>5} {'zero':>5} {'ESS width':>9} "
          f"{'equal cov.':>10} {'by error':>11}")
    for row in rows:
        print(f"{row['method']:<15} {row['budget']:>6} {row['coverage']:.3f} ±{row['coverage_se']:.3f} "
              f"{row['worst']:>5.2f} {row['zero_width']:>5.3f} {row['ess_width']:>9.2f} "
              f"{row['ess_equal_coverage']:>10.2f} {row['ess_mse']:>5.2f} ±{row['ess_mse_se']:.2f}")


if __name__ == "__main__":
    cli.run(main)
