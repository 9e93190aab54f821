#!/usr/bin/env python3
r"""Evaluate a live model: how good is it, from few of a benchmark's questions?

    python evaluate_model.py RUN --history runs/ --budget 5% \
        --lm-eval "--model hf --model_args pretrained=… --tasks mmlu_pro"
    python evaluate_model.py RUN --history M1.csv --half-width 1pt --inspect task.py@mmlu --model openai/…
    python evaluate_model.py RUN --history M1.csv --budget 400 --files
    python evaluate_model.py RUN --history M1.csv --budget 400 --command ./grade
    python evaluate_model.py RUN --resume

The same as `llm-accuracy evaluate`; docs/evaluate.md explains it.
"""

from __future__ import annotations

from llm_accuracy import cli
from llm_accuracy.live import command


def main(argv: list[str] | None = None) -> int:
    return command.main(argv)


if __name__ == "__main__":
    cli.run(main)
