#!/usr/bin/env python3
"""Step 12: did it get worse? Degradation tests that can gate a release (arXiv 2602.10144).

    python mcnemar_tests.py pair baseline.csv candidate.csv
    python mcnemar_tests.py pair runs/base runs/int4 --task leaderboard_mmlu_pro --json - --fail-on degraded
    python mcnemar_tests.py pair --counts 25282 1241 1042
    python mcnemar_tests.py suite model_paths.json --output-dir results
    python mcnemar_tests.py suite runs/base runs/int8 runs/int4 --fail-on not-shown-safe
    python mcnemar_tests.py plan --flip .1 --drop .01 --power .8
    python mcnemar_tests.py watch baseline.csv candidate.csv --follow 600
    python mcnemar_tests.py ask runs/base --run RUN --lm-eval "--model hf --model_args pretrained=… --tasks mmlu_pro"
    python mcnemar_tests.py flips seed0.csv seed1.csv seed2.csv --output-dir flips
    python mcnemar_tests.py run-examples --models base=pretrained=ORG/A int8=pretrained=ORG/B --tasks gsm8k

A model is a CSV `prompt_id,score[,run][,cluster][,task]`, a folder of such files (several runs), an output
folder of lm-evaluation-harness with --log_samples (or one of its results files), or, with --matrix, a row of
a models × questions table. `suite` also takes a JSON list of models, the first of them the baseline.

The verdict is one of three: degraded (shown to be worse), not degraded beyond the margin (a drop of the
margin or more is excluded), undecided. Exit code: 0, or 1 where the --fail-on condition holds, or 2 for bad
input. A pair takes seconds, a suite of 40 tasks and 20 models less than half a minute, one of 200 tasks and 20
models one to three minutes, depending on how busy two cores are (`benchmarks/suites.py`).

Around a test: `plan` says how many questions it needs, `watch` stops as soon as the verdict is certain,
`ask` asks a candidate only where it may have changed,
`flips` finds the questions worth asking from several runs of one model, `run-examples` makes the inputs.
"""

from __future__ import annotations

from llm_accuracy import cli
from llm_accuracy.live import ask


def main(argv: list[str] | None = None) -> int:
    return ask.main(argv, description=__doc__)


if __name__ == "__main__":
    cli.run(main)
