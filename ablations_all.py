"""Step 10: two ablations: active inference with the factor model, and FAQ with and without replacement.

    python ablations_all.py                                      laptop tier, about 3 minutes on two cores
    python ablations_all.py --arms replacement --seeds 20
    python ablations_all.py --tier paper --shard 3/32            one of 32 parts of the full grid

active+factors: the walk of the baselines, with coins and predictions from the factor model as it learns,
2 min(p, 1−p), mixed with a uniform share τ. replacement: FAQ drawing with replacement (the paper's method),
naive-without (the paper's ablation: asked questions are not drawn again but the estimator does not know it; it
covers too rarely at large budgets) and without, all at the setting that faq_val.py chose for drawing with replacement.
Appends to LOGS_DIR/ablations_all.csv. Trials that are already there, or in LOGS_DIR/faq_final.csv, are not repeated.
"""

from llm_accuracy import cli
from llm_accuracy.study import flags

ARMS = ("active+factors", "replacement")


def main(argv=None):
    parser = flags.parser(__doc__)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--setting", metavar="KEY", help="FAQ's setting in the replacement ablation, everywhere")
    parser.add_argument("--taus", nargs="+", type=cli.number(0, 1), metavar="TAU",
                        help="uniform shares of active+factors")
    args = flags.parse(parser, argv)
    from llm_accuracy.study import ablations

    ablations.run(args)


if __name__ == "__main__":
    cli.run(main)
