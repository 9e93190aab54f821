"""Assemble a dataset from the records of many generated models, as the scraper would have left them.

    python tests/helpers/assemble_many.py FOLDER MODELS

MMLU-Pro's size: 12,032 questions. 4,500 models stand for the whole leaderboard.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from llm_accuracy.leaderboard import suites
from llm_accuracy.leaderboard.assembling import assemble
from llm_accuracy.leaderboard.scraping import Model


def main(folder: Path, n_models: int) -> None:
    suite = "mmlu-pro"
    (task,) = suites.SUITES[suite]
    raw = folder / "raw" / suite
    (raw / "models").mkdir(parents=True)
    (raw / "docs").mkdir()
    docs = [f"{i:016x},physics" for i in range(task.size)]
    (raw / "docs" / f"mmlu_pro.{suites.digest(docs)}.csv").write_text("\n".join(["doc_hash,category", *docs, ""]))
    rng = np.random.default_rng(0)
    models = []
    for i in range(n_models):
        scores = (rng.random(task.size) < rng.uniform(0.1, 0.7)).astype(np.uint8)
        kept = {"file": "f", "via": "stream", "n": task.size, "right": int(scores.sum()),
                "published_form": float(scores.mean()), "repeated": 0, "docs": suites.digest(docs),
                "doc_set": suites.digest(docs), "scores": (scores + ord("0")).tobytes().decode()}
        name = f"org/model-{i:05}"
        (raw / "models" / f"org__model-{i:05}.json").write_text(json.dumps(
            {"model": name, "dataset": "d", "revision": "0" * 40, "tasks": {"mmlu_pro": kept}, "failed": {}}))
        published = {task.published: kept["published_form"]}
        models.append(Model(name, f"2024-{1 + i % 12:02}-01", "0" * 40, name, (published,)))
    print(*assemble(suite, (task,), models, {}, "revision", raw, folder / "processed").lines(), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
