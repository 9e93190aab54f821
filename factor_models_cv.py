"""Step 3: choose rank K and weight decay λ of the factor model by cross-validation over entries.

    python factor_models_cv.py                                   laptop tier, about a minute on two cores
    python factor_models_cv.py --tier paper --shard 0/16         one of 16 parts of the full grid (GPU)
    python factor_models_cv.py --datasets twin --ranks 32 64 --weight-decays 1.0 0.1 0.01 --folds 2

Reads M1 of every dataset and scenario, takes its first 80 % of rows, deals the observed entries into folds and
logs loss and accuracy of every (K, λ, fold) to LOGS_DIR/factor_models_cv.csv. Prints the setting that the
one-standard-error rule chooses. Finished fits are not repeated. --protocol adamw is the published one (the paper
tier's default, chosen by accuracy), map a penalised fit that is better and twenty times as fast (the laptop
tier's, chosen by loss); their λ are not on one scale. bound is map's objective by other steps, at the same loss on
left-out models in a fifth to a third of the time (benchmarks/optimisers.py).
"""

from llm_accuracy import cli
from llm_accuracy.study import flags


def main(argv=None):
    parser = flags.parser(__doc__, "tier", "datasets", "scenarios", "data-dir", "logs-dir", "device", "shard",
                          "workers", "part-dir", "restart", "dry-run")
    parser.add_argument("--ranks", nargs="+", type=cli.at_least(1), metavar="K")
    parser.add_argument("--weight-decays", nargs="+", type=cli.number(), metavar="L")
    parser.add_argument("--folds", type=cli.at_least(2, 100), metavar="F")
    flags.add_protocol_flags(parser)
    args = flags.parse(parser, argv)
    from llm_accuracy.study import factor_fits

    log = factor_fits.cross_validate(args)
    if not args.dry_run and args.part_dir is None:
        factor_fits.print_choice(args, log)


if __name__ == "__main__":
    cli.run(main)
