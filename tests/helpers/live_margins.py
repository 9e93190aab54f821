"""`evaluate --baseline` through lm-evaluation-harness, with registered models whose margins are known: run by the
interpreter that has this package's requirements, to which the packages of the harness in .venv-lm-eval are added.

    python live_margins.py steps                 commands, see forks.py:
        make                                     the tasks m_a and m_b, margins.json, and the harness's own logs of the
                                                 baseline in base/, of the first 60 documents of each task in short/
        evaluate …                               the command

The model `margins` gives the right choice of a question the log-likelihood −1 and the wrong one −1 − m, m from
margins.json; those with |m| < `below` it turns round: a known rule of which answers flip. It ends the process
(kill -9) after LIVE_DIE_AFTER answers.
"""

import functools
import json
import os
import signal
from pathlib import Path

import harness_path  # noqa: F401 (before what it makes importable)
import numpy as np
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.tasks import TaskManager

SIZES = {"m_a": 150, "m_b": 100}
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_target: 0
doc_to_choice: ["right", "wrong"]
metric_list: [{{metric: acc}}]
metadata: {{version: 1.0}}
"""


def make(folder: Path) -> int:
    """See the module."""
    rng = np.random.default_rng(1)
    for where, start in ((folder / "tasks", 0), (folder / "other", 1)):  # other/: one document has changed
        where.mkdir(exist_ok=True)
        for task, size in SIZES.items():
            docs = [{"q": f"{task}/{i}" + ("?" if i >= start else "??")} for i in range(size)]
            data = where / f"{task}.jsonl"
            data.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
            (where / f"{task}.yaml").write_text(TASK.format(name=task, data=data.absolute()))
    names = [f"{task}/{i}" for task, size in SIZES.items() for i in range(size)]
    (folder / "margins.json").write_text(json.dumps(dict(zip(names, rng.normal(2, 3, len(names)).tolist(),
                                                             strict=True))))
    for name, limit in (("base", None), ("short", 60)):
        write_log(folder, name, limit)
    return 0


def write_log(folder: Path, name: str, limit: int | None) -> None:
    """The baseline's run, as the harness's own --log_samples writes it."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(folder / name))
    found = lm_eval.simple_evaluate(
        model="margins", model_args={"folder": "."}, tasks=list(SIZES), bootstrap_iters=0, log_samples=True,
        limit=limit, evaluation_tracker=tracker,
        task_manager=TaskManager(include_path=str(folder / "tasks")))
    samples = found.pop("samples")
    found["model_name"] = found["model_name_sanitized"] = "margins"
    tracker.general_config_tracker.model_name = tracker.general_config_tracker.model_name_sanitized = "margins"
    tracker.save_results_aggregated(results=found, samples=samples)
    for task in SIZES:
        tracker.save_results_samples(task_name=task, samples=samples[task])


@register_model("margins")
class Margins(LM):
    """See the module."""

    def __init__(self, folder, below=0.0, **_):
        super().__init__()
        known = json.loads((Path(folder) / "margins.json").read_text())
        self.margins = {name: -m if abs(m) < float(below) else m for name, m in known.items()}
        self.left = int(os.environ.get("LIVE_DIE_AFTER", -1))

    def loglikelihood(self, requests, **_):
        answers = []
        for request in requests:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            wrong = request.args[1].strip() == "wrong"
            answers.append((-1.0 - wrong * self.margins[request.args[0].rstrip("?")], False))
            self.cache_hook.add_partial("loglikelihood", request.args, answers[-1])
        return answers

    def loglikelihood_rolling(self, requests, **_):
        raise NotImplementedError

    def generate_until(self, requests, **_):
        raise NotImplementedError


if __name__ == "__main__":
    import lm_eval.evaluator  # once, before the children
    import lm_eval.models  # noqa: F401
    import torch  # noqa: F401
    from forks import run_steps

    from llm_accuracy import cli
    from llm_accuracy.live import command, paired_report, paired_run  # noqa: F401

    # The harness looks through the 13,000 files of its own tasks before every run; none of them is asked for here.
    TaskManager.__init__ = functools.partialmethod(TaskManager.__init__, include_defaults=False)
    run_steps(lambda words: cli.run(lambda _: make(Path()) if words == ["make"] else command.main(words)))
