"""`evaluate` through lm-evaluation-harness with a registered model whose answers are known: run by the interpreter that
has this package's requirements, to which the packages of the harness in .venv-lm-eval are added.

    python live_lm_eval.py tasks FOLDER          write the tasks live_a and live_b, M1.csv and answers.json
    python live_lm_eval.py logs FOLDER MODELS    have the harness log the first models of M1.csv to FOLDER/logs
    python live_lm_eval.py steps                 commands `evaluate …` and `best …`, see forks.py

The model `row` looks its answers up in answers.json ({question: right}) and writes each request it answers to
calls.txt. It ends the process (kill -9) after LIVE_DIE_AFTER answers, and fails after LIVE_FAIL_AFTER.
"""

import csv
import json
import os
import signal
import sys
from itertools import islice
from pathlib import Path

import harness_path  # noqa: F401 (before what it makes importable)
import numpy as np
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

SIZES = {"live_a": 120, "live_b": 80}
HEAD = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
fewshot_split: test
doc_to_text: "{{{{q}}}}"
metadata: {{version: 1.0}}
"""
BODIES = {
    "live_a": 'output_type: multiple_choice\ndoc_to_target: gold\ndoc_to_choice: ["yes", "no", "perhaps"]\n'
              "metric_list: [{metric: acc}]\n",
    "live_b": 'output_type: generate_until\ndoc_to_target: "{{answer}}"\n'
              'generation_kwargs: {until: ["\\n"], do_sample: false}\nmetric_list: [{metric: exact_match}]\n',
}


def write_tasks(folder: Path, seed: int = 0) -> None:
    """The tasks, the history of 40 models as M1.csv, and answers.json of one more model of the same kind."""
    rng = np.random.default_rng(seed)
    names = [f"{task}/{i}" for task, size in SIZES.items() for i in range(size)]
    ability, hardness = rng.normal(0.5, 1, 41), rng.normal(0, 1.5, len(names))
    scores = (rng.random((41, len(names))) < 1 / (1 + np.exp(hardness - ability[:, None]))).astype(int)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"model{i}," + ",".join(map(str, row)) for i, row in enumerate(scores[:40])]
    (folder / "M1.csv").write_text("\n".join(["model," + ",".join(names), *rows]) + "\n")
    (folder / "answers.json").write_text(json.dumps(dict(zip(names, scores[40].tolist(), strict=True))))
    for task, size in SIZES.items():
        docs = [{"q": f"{task}/{i}?", "gold": i % 3, "answer": str(i)} for i in range(size)]
        data = folder / f"{task}.jsonl"
        data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        (folder / f"{task}.yaml").write_text(HEAD.format(name=task, data=data.absolute()) + BODIES[task])


def write_logs(folder: Path, models: int) -> None:
    """Logs of whole runs by the first `models` of M1.csv, as the harness's own --log_samples writes them."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    with (folder / "M1.csv").open() as stream:
        _, *questions = next(rows := csv.reader(stream))
        answers = {name: dict(zip(questions, map(int, scores), strict=True)) for name, *scores in islice(rows, models)}
    for name, known in answers.items():
        lm = Row(folder)
        lm.answers, tracker = known, EvaluationTracker(output_path=str(folder / "logs" / name))
        found = lm_eval.simple_evaluate(
            model=lm, tasks=list(SIZES), bootstrap_iters=0, log_samples=True, evaluation_tracker=tracker,
            task_manager=TaskManager(include_path=str(folder), include_defaults=False))
        samples = found.pop("samples")
        found["model_name"] = found["model_name_sanitized"] = name
        known_of = tracker.general_config_tracker
        known_of.model_name = known_of.model_name_sanitized = name
        tracker.save_results_aggregated(results=found, samples=samples)
        for task in SIZES:
            tracker.save_results_samples(task_name=task, samples=samples[task])


@register_model("row")
class Row(LM):
    """See the module."""

    def __init__(self, folder, **_):
        super().__init__()
        self.folder = Path(folder)
        self.answers = json.loads((self.folder / "answers.json").read_text())
        names = {"die": "LIVE_DIE_AFTER", "fail": "LIVE_FAIL_AFTER"}
        self.left = {way: int(os.environ[name]) for way, name in names.items() if name in os.environ}

    def _answered(self, request, response):
        """One answer, as a model that works in batches hands it on."""
        for way, left in self.left.items():
            self.left[way] = left - 1
            if left <= 0 and way == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if left <= 0:
                raise ConnectionError("429 Too Many Requests for key sk-0123456789abcdef")
        with (self.folder / "calls.txt").open("a") as stream:
            stream.write(json.dumps(request.args[0][-60:]) + "\n")
        return response

    def _question(self, request):
        return request.args[0].rpartition("\n\n")[2].removesuffix("?")

    def loglikelihood(self, requests, **_):
        answers = []
        for request in requests:
            question, choice = self._question(request), request.args[1].strip()
            gold = ["yes", "no", "perhaps"][int(question.rpartition("/")[2]) % 3]
            right = (choice == gold) == bool(self.answers[question])
            answers.append(self._answered(request, (-0.1 if right else -3.0, False)))
            self.cache_hook.add_partial("loglikelihood", request.args, answers[-1])
        return answers

    def loglikelihood_rolling(self, requests, **_):
        raise NotImplementedError

    def generate_until(self, requests, **_):
        answers = []
        for request in requests:
            question = self._question(request)
            said = question.rpartition("/")[2] if self.answers[question] else "?"
            answers.append(self._answered(request, said))
            self.cache_hook.add_partial("generate_until", request.args, said)
        return answers


if __name__ == "__main__":
    if sys.argv[1] == "tasks":
        write_tasks(Path(sys.argv[2]))
    elif sys.argv[1] == "logs":
        write_logs(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        from forks import run_steps
        from lm_eval.tasks import TaskManager

        from llm_accuracy import __main__, cli
        from llm_accuracy.live import command, several_run  # noqa: F401  once, before the children
        from llm_accuracy.live.drivers.lm_eval import one_index

        with one_index():
            TaskManager()
        run_steps(lambda words: cli.run(lambda _: __main__.main(words)))
