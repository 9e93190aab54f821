"""Writes results of OpenCompass with its own evaluation task and evaluators, on predictions of our own.

    python tests/helpers/write_opencompass.py FOLDER

tests/data/opencompass_0_5 was made so, with opencompass 0.5.4 and dump_details (--dump-eval-details). Two models on
four: `gsm8k` (its evaluator of GSM8K), `exact` (AccwithDetailsEvaluator, two replicas), `ppl` (the choice with the
lowest perplexity, AccEvaluator) and `plain` (AccEvaluator, which says of no answer whether it was right).
"""

import json
import sys
from pathlib import Path

from datasets import Dataset, DatasetDict
from mmengine.config import ConfigDict
from opencompass.datasets.base import BaseDataset
from opencompass.datasets.gsm8k import Gsm8kEvaluator
from opencompass.openicl.icl_evaluator import AccEvaluator, AccwithDetailsEvaluator
from opencompass.tasks.openicl_eval import OpenICLEvalTask

ANSWERS = [str(2 * i + 1) for i in range(5)]


class Sums(BaseDataset):
    @staticmethod
    def load(**_):
        rows = Dataset.from_list([{"question": f"{i} + {i + 1} =", "answer": a} for i, a in enumerate(ANSWERS)])
        return DatasetDict(train=rows, test=rows)


def predictions(kind, every, replicas):
    made = {}
    for number in range(len(ANSWERS) * replicas):
        i, replica = number % len(ANSWERS), number // len(ANSWERS)
        answer = ANSWERS[i] if i % every and not (i == 1 and replica) else "0"
        prompt = f"{i} + {i + 1} ="
        if kind == "ppl":
            made[str(number)] = {"origin_prompt": prompt, "prediction": answer, **{
                f"label: {label}": {"testing input": f"{prompt} {label}", "prompt": f"{prompt} {label}",
                                    "PPL": 1.0 if label == answer else 2.0} for label in (ANSWERS[i], "0")}}
        else:
            made[str(number)] = {"origin_prompt": prompt, "prediction": answer, "gold": ANSWERS[i]}
    return made


def main(folder):
    evaluators = {"gsm8k": (Gsm8kEvaluator, 1), "exact": (AccwithDetailsEvaluator, 2), "ppl": (AccEvaluator, 1),
                  "plain": (AccEvaluator, 1)}
    for model, every in (("good", 3), ("bad", 2)):
        for name, (_, replicas) in evaluators.items():
            path = folder / "predictions" / model / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(predictions(name, every, replicas)))
        OpenICLEvalTask(ConfigDict(
            models=[{"abbr": model, "type": "toy"}], work_dir=str(folder),
            datasets=[[{"abbr": name, "type": Sums, "n": replicas, "k": 1,
                        "eval_cfg": {"evaluator": {"type": evaluator}},
                        "reader_cfg": {"input_columns": ["question"], "output_column": "answer"}}
                       for name, (evaluator, replicas) in evaluators.items()]],
            eval={"runner": {"task": {"dump_details": True}}})).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
