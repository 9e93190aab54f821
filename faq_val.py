"""Step 6: tune FAQ, the method of arXiv 2601.20251, on held-out history. (The default of faq_final.py needs none.)

    python faq_val.py                                            laptop tier, a minute on two cores
    python faq_val.py --tier paper --shard 0/64                  one of 64 parts of the full grid (GPU)
    python faq_val.py --datasets twin --scenarios nfobs=None_p=1.0 --budgets 5% --seeds 1 --models 100 \\
        --settings beta0=1.0_rho=0.0_gamma=0.0_tau=0.05 beta0=1.0_rho=0.0_gamma=0.0_tau=0.25
    python faq_val.py --policy faq-mix                           what tuning could gain the default

The last 20 % of the history's models are evaluated as if they were new, with factors fitted to the first 80 %
(factor_models_val.py). Logs every (setting, budget, seed) to LOGS_DIR/faq_val.csv and prints, for every budget,
the setting with the smallest mean variance (faq_final.py --select-by variance, its default).
"""

from llm_accuracy import cli
from llm_accuracy.querying.setting import DEFAULT_SETTING
from llm_accuracy.study import flags


def main(argv=None):
    parser = flags.parser(__doc__)
    flags.add_method_flags(parser)
    parser.add_argument("--policy", choices=flags.learning(), metavar="NAME", default="faq",
                        help=f"one of {', '.join(flags.learning())} (default: faq)")
    parser.add_argument("--settings", nargs="+", metavar="KEY", help=f"e.g. {DEFAULT_SETTING.key}")
    args = flags.parse(parser, argv)
    from llm_accuracy.study import plans

    plans.tune(args)


if __name__ == "__main__":
    cli.run(main)
