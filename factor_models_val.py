"""Step 4: fit the factor model to the first 80 % of the history's models.

    python factor_models_val.py                              laptop tier, seconds
    python factor_models_val.py --datasets twin --scenarios nfobs=None_p=1.0 --rank 64 --weight-decay 0.1

Rank and weight decay are those chosen by factor_models_cv.py, unless given. Writes
FACTORS_DIR/<dataset>/<scenario>_val.npz; a model that is there with the same settings and the same history is
kept. In faq_val.py the last 20 % then take the part of new models.
"""

from llm_accuracy import cli
from llm_accuracy.study import flags


def main(argv=None):
    args = flags.factor_fit(__doc__, argv)
    from llm_accuracy.study import factor_fits

    factor_fits.fit(args, "val")


if __name__ == "__main__":
    cli.run(main)
