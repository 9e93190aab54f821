"""The command line of lm-evaluation-harness with one more model, which samples: another seed, other answers.

    python sampling_harness.py --model sampling --model_args errors=0.3 --tasks …
"""

import numpy as np
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.registry import register_model
from run_lm_eval import MadeUp, coin


@register_model("sampling")
class Sampling(MadeUp):
    """Right where the question's ease and a random number, seeded by the harness's --seed, exceed `errors`."""

    def right(self, question):
        return 0.7 * coin("question", question) + 0.3 * np.random.random() > self.errors  # noqa: NPY002


if __name__ == "__main__":
    cli_evaluate()
