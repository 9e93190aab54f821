"""Step 7: evaluate new models by choosing the questions: width, coverage, error.

    python faq_final.py                                          laptop tier, about 3 minutes on two cores
    python faq_final.py --datasets simulated --scenarios nfobs=50_p=0.1 --budgets 300 --seeds 5
    python faq_final.py --batch 64                               64 questions in the first round
    python faq_final.py --policies faq                           the method of arXiv 2601.20251
    python faq_final.py --policies uniform+factors oracle        any policy registered in querying/policies.py
    python faq_final.py --tier paper --device cuda               the full grid

Every trial is one seed, budget and setting on all new models (M2) of a dataset. The default, rounds, asks in growing
rounds, no question twice, and needs no tuning (docs/rounds.md). faq-mix asks one question at a time and may stop at
any time (docs/without_replacement.md). faq, the paper's method, takes the setting that faq_val.py found best, or
--setting.
Appends to LOGS_DIR/faq_final.csv (one row a trial) and LOGS_DIR/faq_final_models.csv (who was covered). Finished
trials are not repeated; a log whose trials were computed from other data or other factors is refused.
"""

from llm_accuracy import cli
from llm_accuracy.querying.policies import DEFAULT_POLICY, POLICIES
from llm_accuracy.querying.setting import DEFAULT_SETTING
from llm_accuracy.study import columns, flags


def main(argv=None):
    parser = flags.parser(__doc__)
    flags.add_method_flags(parser)
    parser.add_argument("--policies", nargs="+", metavar="NAME", choices=POLICIES,
                        help=f"some of {', '.join(POLICIES)} (default: {DEFAULT_POLICY})")
    parser.add_argument("--setting", metavar="KEY", help=f"one setting everywhere, e.g. {DEFAULT_SETTING.key}")
    parser.add_argument("--select-by", choices=sorted(columns.SELECT_BY), default="variance",
                        help="what the tuned setting minimises (published-width: only to reproduce the paper)")
    args = flags.parse(parser, argv)
    from llm_accuracy.study import plans

    plans.evaluate_new_models(args)


if __name__ == "__main__":
    cli.run(main)
