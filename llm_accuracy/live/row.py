"""A program for `evaluate --command` that answers as a model of a matrix has: to try things with the truth known.

    llm-accuracy evaluate RUN --history M1.csv --budget 5% --command "python -m llm_accuracy.live.row M2.csv MODEL"

It is also an example of such a program: a JSON line in, {"question": …, …}; one out, {"question": …, "score": …}.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def scores_of(matrix: Path, model: str) -> dict[str, float]:
    """{question: score} of a model of a wide CSV, plain or gzip; blank cells are left out.

    Raises KeyError where it has no such model.
    """
    with gzip.open(matrix, "rt") if matrix.suffix == ".gz" else matrix.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row.pop("model") == model:
                about = ("created_date", "sha", "family")
                return {name: float(cell) for name, cell in row.items() if cell and name not in about}
    raise KeyError(model)


def answers(lines: Iterable[str], scores: dict[str, float]) -> Iterator[str]:
    """The answer to each line, a line."""
    for line in lines:
        question = json.loads(line)["question"]
        yield json.dumps({"question": question, "score": scores[question]})


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        print("python -m llm_accuracy.live.row MATRIX MODEL", file=sys.stderr)
        return 2
    try:
        scores = scores_of(Path(argv[0]), argv[1])
        for answer in answers(sys.stdin, scores):
            print(answer, flush=True)
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {argv[0]}: no score of {argv[1]} ({type(error).__name__}: {error})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
