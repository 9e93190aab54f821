"""`evaluate` through inspect_ai with a registered model API whose answers are known: run by the interpreter that has
this package's requirements, to which inspect_ai in .venv-inspect is added.

    python live_inspect.py tasks FOLDER       write task.py and answers.json
    python live_inspect.py steps                 commands `evaluate …` and `best …`, see forks.py; `baseline FOLDER` has
                                                 inspect_ai itself evaluate row/base on the whole task, its log
                                                 going to FOLDER

The model row/NAME answers questions of task.py by answers.json in the folder LIVE_FOLDER; with the model argument
turned=K, the answers to every K-th question are turned round: a known rule of what flips. It writes each question it
answers to calls.txt, and ends the process after LIVE_DIE_AFTER answers.
LIVE_WORDS is what the task's solver puts before; LIVE_SCORE, as JSON, what the scorer of judged.py gives.
"""

import json
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.append(str(ROOT / ".venv-inspect"))  # last, so that .venv's own packages win

import numpy as np  # noqa: E402
from inspect_ai.model import GenerateConfig, ModelAPI, ModelOutput, modelapi  # noqa: E402

SIZE = 200
TASK = '''
import json
import os
from pathlib import Path
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match
from inspect_ai.solver import generate, system_message

@task
def sums(size: int = 200):
    samples = [Sample(id=f"s{i}", input=f"what is {i}+1?", target=str(i + 1)) for i in range(size)]
    words = [system_message(os.environ["LIVE_WORDS"])] if "LIVE_WORDS" in os.environ else []
    return Task(dataset=samples, solver=[*words, generate()], scorer=match())
'''
SCORER = '''
from inspect_ai.scorer import Score, mean, scorer

@scorer(metrics=[mean()])
def judged():
    async def score(state, target):
        return Score(value=json.loads(os.environ["LIVE_SCORE"]))
    return score
'''


def write_tasks(folder: Path, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    names = [f"sums/s{i}" for i in range(SIZE)]
    ability, hardness = rng.normal(0.5, 1, 41), rng.normal(0, 1.5, SIZE)
    scores = (rng.random((41, SIZE)) < 1 / (1 + np.exp(hardness - ability[:, None]))).astype(int)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"model{i}," + ",".join(map(str, row)) for i, row in enumerate(scores[:40])]
    (folder / "M1.csv").write_text("\n".join(["model," + ",".join(names), *rows]) + "\n")
    (folder / "answers.json").write_text(json.dumps(dict(zip(names, scores[40].tolist(), strict=True))))
    (folder / "task.py").write_text(TASK)
    (folder / "judged.py").write_text(SCORER + TASK.replace("scorer=match()", "scorer=judged()"))
    (folder / "other.py").write_text(TASK.replace("what is {i}+1?", "what is {i}+1{'?' * (1 + (i == 3))}"))


def write_baseline(folder: str) -> int:
    """See the module."""
    from inspect_ai import eval

    [log] = eval("task.py@sums", model="row/base", log_dir=folder, display="none", ctl_server=False)
    return int(log.status != "success")


class Row(ModelAPI):
    """See the module."""

    left = float("inf")

    def __init__(self, model_name, base_url=None, api_key=None, config=GenerateConfig(), turned=0, **_):  # noqa: B008
        super().__init__(model_name, base_url, api_key, [], config)
        self.folder, self.turned = Path(os.environ["LIVE_FOLDER"]), int(turned)
        Row.left = float(os.environ.get("LIVE_DIE_AFTER", "inf"))
        self.answers = json.loads((self.folder / "answers.json").read_text())

    async def generate(self, input, tools, tool_choice, config):
        number = int(input[-1].text.split()[2].split("+")[0])
        Row.left -= 1
        if Row.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / "calls.txt").open("a") as stream:
            stream.write(f"sums/s{number}\n")
        if os.environ.get("LIVE_FAIL") == str(number):
            raise ConnectionError("429 Too Many Requests for key sk-0123456789abcdef")
        right = self.answers[f"sums/s{number}"]
        if self.turned and number % self.turned == 0:
            right = 1 - right
        return ModelOutput.from_content(self.model_name, str(number + 1 if right else number + 2))

    async def count_text_tokens(self, text):
        return len(text.split())  # the default wants a token encoding from the network


@modelapi(name="row")
def row():
    return Row


if __name__ == "__main__":
    if sys.argv[1] == "tasks":
        write_tasks(Path(sys.argv[2]))
    else:
        import inspect_ai._eval.run  # noqa: F401  once, before the children, as what draws pages
        from forks import run_steps

        from llm_accuracy import __main__, cli
        from llm_accuracy.live import command, paired_report, paired_run, several_run  # noqa: F401

        def do(words):
            if words[0] == "baseline":
                return write_baseline(words[1])
            return __main__.main(words)

        run_steps(lambda words: cli.run(lambda _: do(words)))
