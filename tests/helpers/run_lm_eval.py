"""Make sample logs with lm-evaluation-harness itself: run by the interpreter that has it, not by pytest.

    python run_lm_eval.py FOLDER

A made-up model that knows the answers, and gets a share of them wrong, is evaluated on small tasks:

    FOLDER/baseline, candidate   one run each of all tasks
    FOLDER/twice                 two runs of the candidate's model in one folder
    FOLDER/single/out.json       an output path that ends in .json
    FOLDER/subset                chosen documents only (versions that can)
"""

import hashlib
import inspect
import json
import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import lm_eval
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

ITEMS = 40
TASKS = {
    "h_choice": """
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_target: gold
doc_to_choice: "{{choices}}"
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: brier_score}]
""",
    "h_part": """
output_type: multiple_choice
process_docs: !function functions.first_half
doc_to_text: "{{q}}"
doc_to_target: gold
doc_to_choice: "{{choices}}"
metric_list: [{metric: acc}]
""",
    "h_generate": """
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], do_sample: false}
filter_list:
  - {name: strict-match, filter: [{function: regex, regex_pattern: "#### ([0-9]+)"}, {function: take_first}]}
  - name: flexible-extract
    filter: [{function: regex, group_select: -1, regex_pattern: "([0-9]+)"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}, {metric: bleu}]
""",
    "h_perplexity": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{q}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
    "h_odd": """
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"]}
process_results: !function functions.odd_values
metric_list:
  - {metric: truth, aggregation: mean, higher_is_better: true}
  - {metric: numpy_truth, aggregation: mean, higher_is_better: true}
  - {metric: numpy_quarter, aggregation: mean, higher_is_better: true}
  - {metric: instructions, aggregation: !function functions.flat_mean, higher_is_better: true}
  - {metric: error, aggregation: mean, higher_is_better: false}
  - {metric: sometimes_nan, aggregation: !function functions.zero, higher_is_better: true}
  - {metric: sometimes_null, aggregation: !function functions.zero, higher_is_better: true}
""",
}
FUNCTIONS = """
import numpy as np

def first_half(docs):
    return docs.select(range(len(docs) // 2))

def odd_values(doc, results):
    right = results[0].endswith(" " + doc["answer"])
    number = int(doc["answer"])
    return {"truth": bool(right), "numpy_truth": np.bool_(right), "numpy_quarter": np.float32(right / 4),
            "instructions": [bool(right), number % 3 == 0], "error": float(not right),
            "sometimes_nan": float("nan") if number % 20 == 7 else float(right),
            "sometimes_null": None if number % 20 == 7 else float(right)}

def flat_mean(items):
    return float(np.mean([value for item in items for value in item]))

def zero(items):
    return 0.0
"""


def coin(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int(hashlib.sha256(repr(key).encode()).hexdigest()[:12], 16) / 16**12


@register_model("made_up")
class MadeUp(LM):
    """Knows that "what is i+1?" is i + 1 and errs on a share of the questions that grows with `errors`."""

    seed_errors: float | None = None  # errors that the arguments do not say, as of another seed

    def __init__(self, pretrained="made/up", errors="0.2", **_):
        super().__init__()
        self.errors = float(errors) if self.seed_errors is None else self.seed_errors

    @classmethod
    def create_from_arg_string(cls, arg_string, additional_config=None):
        return cls(**dict(pair.split("=") for pair in arg_string.split(",")))

    def right(self, question):
        return coin("question", question) > self.errors

    def loglikelihood(self, requests, **_):
        answers = []
        for request in requests:
            question, choice = request.args[:2]
            number = int(question.split()[2].split("+")[0])
            gold = choice.strip() == "abc"[(number if self.right(question) else number + 1) % 3] * 3
            answers.append((-0.1 if gold else -3.0 - coin(question, choice), False))
        return answers

    def loglikelihood_rolling(self, requests, **_):
        return [-5 - 3 * coin(r.args[0]) - 4 * self.errors * coin("loss", r.args[0]) for r in requests]

    def generate_until(self, requests, **_):
        answers = []
        for request in requests:
            question = request.args[0]
            number = int(question.split()[2].split("+")[0])
            said = number + 1 if self.right(question) else number + 2
            mark = "#### " if coin("mark", question) < 0.7 else "it is "
            answers.append(f"{mark}{said}")
        return answers


def write_tasks(folder: Path) -> None:
    folder.mkdir(parents=True)
    docs = [{"q": f"what is {i}+1?", "answer": str(i + 1), "choices": ["aaa", "bbb", "ccc"], "gold": i % 3}
            for i in range(ITEMS)]
    data = folder / "docs.jsonl"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / "functions.py").write_text(FUNCTIONS)
    for name, body in TASKS.items():
        head = (f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\n"
                "test_split: test\n")
        (folder / f"{name}.yaml").write_text(head + body + "metadata: {version: 1.0}\n")
    (folder / "group.yaml").write_text(
        "group: h_group\ntask: [h_choice, h_part]\n"
        "aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]\n"
        "metadata: {version: 1.0}\n")


def run(tasks: Path, output: Path, errors: float, names: list[str], **more) -> None:
    tracker = EvaluationTracker(output_path=str(output))
    results = lm_eval.simple_evaluate(
        model="made_up", model_args=f"pretrained=made/up,errors={errors}", tasks=names, bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False), log_samples=True,
        evaluation_tracker=tracker, **more)
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in results["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])


def main() -> None:
    root = Path(sys.argv[1]).absolute()
    write_tasks(root / "tasks")
    everything = ["h_group", "h_generate", "h_perplexity", "h_odd"]
    run(root / "tasks", root / "baseline", 0.2, everything)
    run(root / "tasks", root / "candidate", 0.5, everything)
    run(root / "tasks", root / "twice", 0.2, ["h_choice"])
    MadeUp.seed_errors = 0.5
    run(root / "tasks", root / "twice", 0.2, ["h_choice"])
    MadeUp.seed_errors = None
    run(root / "tasks", root / "one_by_one", 0.2, ["h_choice"])
    run(root / "tasks", root / "one_by_one", 0.2, ["h_odd"])
    run(root / "tasks", root / "variants", 0.2, ["h_choice"])
    run(root / "tasks", root / "variants", 0.5, ["h_part"])
    run(root / "tasks", root / "single" / "out.json", 0.2, ["h_choice"])
    if "samples" in inspect.signature(lm_eval.simple_evaluate).parameters:
        run(root / "tasks", root / "subset", 0.5, ["h_choice"], samples={"h_choice": [1, 3, 5, 8]})


if __name__ == "__main__":
    main()
