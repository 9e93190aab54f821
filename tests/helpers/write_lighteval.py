"""Writes logs of lighteval with lighteval itself: its pipeline, metrics and tracker, and a model without weights.

    python tests/helpers/write_lighteval.py FOLDER

tests/data/lighteval_0_13.zip was made so, with lighteval 0.13.0. Two models answer three tasks; the second answers the
first four questions of each only. The sums are sampled twice each, so that pass@k has something to count. lighteval
takes a custom task's questions from a file, and its model from a module: both are this one.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from lighteval.metrics.metrics import Metrics
from lighteval.metrics.metrics_sample import ExactMatches
from lighteval.metrics.utils.metric_utils import SampleLevelMetric
from lighteval.models.abstract_model import LightevalModel
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc, SamplingMethod

SUMS = [{"question": f"{i} + {i + 1} =", "answer": str(2 * i + 1)} for i in range(6)]


def ask(line, task_name=None):
    return Doc(query=line["question"], choices=[line["answer"]], gold_index=0, task_name=task_name)


def offer(line, task_name=None):
    right = int(line["answer"])
    return Doc(query=line["question"], choices=[str(right), str(right + 2)], gold_index=0, task_name=task_name)


EXACT = SampleLevelMetric("em", True, SamplingMethod.GENERATIVE, ExactMatches(strip_strings=True), np.mean)
TASKS = {"sums": (ask, [EXACT, Metrics.f1_score]),
         "sums_twice": (ask, [Metrics.pass_at_k(sample_params={"k": 1, "n": 2})]),
         "choices": (offer, [Metrics.loglikelihood_acc, Metrics.loglikelihood_f1])}
TASKS_TABLE = [LightevalTaskConfig(
    name=name, prompt_function=prompt, hf_repo="json", hf_subset="default", metrics=metrics, generation_size=8,
    hf_avail_splits=["train"], evaluation_splits=["train"]) for name, (prompt, metrics) in TASKS.items()]


class Reckoner(LightevalModel):
    """Answers sums, and errs on every third (`toy/good`) or on every second (`toy/bad`)."""

    def __init__(self, config):
        self.config, self.every = config, 3 if "good" in config.model_name else 2
        self._cache = SimpleNamespace(_init_registry=lambda registry: None)  # nothing is kept between runs

    tokenizer = add_special_tokens = max_length = property(lambda self: None)

    def _right(self, doc):
        return int(doc.query.split()[0]) % self.every != 0

    def greedy_until(self, docs):
        return [ModelResponse(text=[doc.choices[0] if self._right(doc) else "?"] * doc.num_samples, input=doc.query)
                for doc in docs]

    def loglikelihood(self, docs):
        return [ModelResponse(logprobs=[-1.0, -2.0] if self._right(doc) else [-2.0, -1.0], input=doc.query,
                              argmax_logits_eq_gold=[self._right(doc), False]) for doc in docs]

    loglikelihood_rolling = loglikelihood


def main(folder):
    from datasets import Dataset, DatasetDict
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.custom.custom_model import CustomModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
    from lighteval.tasks.lighteval_task import LightevalTask
    from lighteval.tasks.registry import Registry

    # Without a network: the questions are here, and none of lighteval's own tasks, one of which downloads when imported
    Registry._load_from_files = Registry._load_from_subdirs = staticmethod(lambda *_: {})
    LightevalTask.download_dataset_worker = staticmethod(lambda task: DatasetDict(train=Dataset.from_list(SUMS)))
    for model, most in (("toy/good", None), ("toy/bad", 4)):
        config = CustomModelConfig(model_name=model, model_definition_file_path=Path(__file__).name)
        tracker = EvaluationTracker(output_dir=str(folder), save_details=True)
        pipeline = Pipeline(
            tasks=",".join(f"{name}|0" for name in TASKS), model=Reckoner(config), evaluation_tracker=tracker,
            pipeline_parameters=PipelineParameters(ParallelismManager.CUSTOM, custom_tasks_directory=__file__,
                                                   max_samples=most, bootstrap_iters=0))
        pipeline.evaluate()
        pipeline.save_and_push_results()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
