"""inspect_ai: a task whose dataset is a `SampleSource` that is fed round by round, in one evaluation with one log.

inspect_ai runs in a thread of its own, with the model loaded once. Its source waits for the next round, and hands every
sample's score on as it is completed; retries, limits and sandboxes are inspect_ai's own. The task's metrics are
replaced by our estimate: the mean of chosen samples is biased. Epochs become partial credit: their mean is a
question's score.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import os
import queue
import shlex
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ... import cli
from ...errors import InputError
from ...redaction import hidden
from ...scores.inspect_logs import content_of, prompt_of, score_of, task_name, value_of
from ...scores.task_scores import Choices
from ..bank import Bank
from .driver import Request, Round, Take, in_one_line, limits_of, one_line, recent_version

OLDEST = (0, 3, 250)
BY_NAME = Choices()  # --metric names a scorer, or an entry of what it gives, NAME.KEY
POLL = 0.02    # seconds between two looks for a next round
PATIENCE = 60  # seconds for the evaluation to write its log once it has been told to end


class Inspect:
    """See the module. Raises InputError for a task or a model that cannot be loaded."""

    one_at_a_time = True  # in a process

    def __init__(self, request: Request):
        try:
            import inspect_ai
        except ImportError:
            raise InputError("--inspect needs inspect_ai beside this package: pip install "
                             '"llm-accuracy[querying,inspect]"') from None
        found = recent_version("--inspect", "inspect_ai", OLDEST)
        if not request.model:
            raise InputError("--inspect needs --model, the model to ask: openai/gpt-…, hf/…, lighteval models as hf/…")
        self.folder, self.metric, self.show_questions = request.folder, request.metric, request.show_questions
        self.words = _words(request.words)
        self.versions = {"inspect_ai": found}
        self.model = request.model
        os.environ.setdefault("INSPECT_DISPLAY", "none")
        with in_one_line(f"--inspect: {self.words.task} cannot be loaded"):
            self.task = _task(self.words)
            if not self.task.scorer:
                raise InputError(f"--inspect: {self.words.task} has no scorer, so no answer has a score")
        with in_one_line(f"--inspect: model {request.model} cannot be loaded"):
            self._loaded = inspect_ai.model.get_model(request.model, base_url=self.words.model_base_url,
                                                      **_pairs(self.words.model_args))
        self.epochs = self.words.epochs or self.task.epochs or 1
        self.name = task_name(self.task.name, _pairs(self.words.task_args))
        self.samples = {f"{self.name}/{sample.id}": sample for sample in _numbered(self.task)}
        if len(self.samples) < len(self.task.dataset):
            raise InputError(f"--inspect: {self.words.task}: several samples have one id; give each its own")
        self.settings: dict[str, Any] = {
            "task": self.words.task, "task_args": _pairs(self.words.task_args), "epochs": self.epochs,
            "version": str(self.task.version), "model_args": _pairs(self.words.model_args),
            "model_base_url": self.words.model_base_url, "generation": _pairs(self.words.config)}
        with in_one_line("--inspect: -C"):
            generation = _generation(_pairs(self.words.config))
        self.limits = limits_of(generation.model_dump(exclude_none=True))
        self._rounds: queue.Queue = queue.Queue()
        self._answers: queue.Queue = queue.Queue()
        self._thread: threading.Thread | None = None
        self.result: dict[str, Any] = {}

    def bank(self) -> Bank:
        contents = [content_of(sample) for sample in self.samples.values()]
        return Bank(np.array(list(self.samples)), None, np.array(contents))

    # --- asking -------------------------------------------------------------------------------------

    def ask(self, asked: Round, bank: Bank, take: Take) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._rounds.put([self.samples[question] for question in asked.questions])
        scores: dict[str, dict[int, float]] = defaultdict(dict)
        prompts: dict[str, str | None] = {}
        left, done = set(asked.questions), 0
        while left:
            question, epoch, score, prompt = self._next(asked.number)
            scores[question][epoch] = score
            prompts.setdefault(question, prompt)
            done += 1
            asked.progress(done, len(asked.questions) * self.epochs)
            if question in left and len(scores[question]) == self.epochs:
                left.discard(question)
                sample = self.samples[question]
                more = {"prompt": prompts[question]} | ({"text": str(sample.input)} if self.show_questions else {})
                take([(question, float(np.mean(list(scores[question].values()))), more)])

    def _next(self, number: int) -> tuple[str, int, float, str | None]:
        """A sample's epoch, score and prompt. Raises InputError where inspect_ai has ended instead."""
        while True:
            try:
                found = self._answers.get(timeout=0.5)
            except queue.Empty:
                if self._thread is not None and self._thread.is_alive():
                    continue
                found = InputError("it ended before the round was answered")
            if isinstance(found, InputError):
                self._thread = None
                raise InputError(hidden(f"--inspect: round {number} failed, what was answered is kept, add --resume: "
                                          f"{found}"))
            return found

    def _run(self) -> None:
        """In the thread: one evaluation, until the source is told that there is no further round."""
        from inspect_ai import eval, task_with

        try:
            metrics = [_estimate(self)]
            scorers = [_judged_by(scorer, metrics) for scorer in self.task.scorer or []]
            task = task_with(self.task, dataset=_source(self), metrics=metrics, scorer=scorers or None)
            [log] = eval(task, model=self._loaded, epochs=self.epochs, display="none", ctl_server=False,
                         log_dir=str(self.folder / "inspect"), score_display=False, max_samples=self.words.max_samples,
                         retry_on_error=self.words.retry_on_error, **_pairs(self.words.config))
            if log.status != "success":
                self._answers.put(InputError(one_line(log.error.message if log.error else log.status)))
        except BaseException as error:
            self._answers.put(InputError(one_line(f"{type(error).__name__}: {error}")))

    def scored(self, sample) -> None:
        """Called by the source for every completed sample."""
        given = sample.scores or {}
        name = self.metric or (next(iter(given)) if len(given) == 1 else None)
        question = f"{self.name}/{sample.id}"
        if sample.error is not None:
            self._answers.put(InputError(f"{question}: {one_line(sample.error.message)}"))
            return
        try:
            value, why = (None, "") if name is None else value_of(sample, name, BY_NAME, question)
            if name is None or why:
                raise InputError(f"{question}: scorers {', '.join(given) or 'none'}; choose one with --metric")
            score = score_of(value, name, BY_NAME, question, "let the scorer give C, I, P, N or a number")
            self._answers.put((question, sample.epoch, score, prompt_of(sample)))
        except InputError as error:
            self._answers.put(error)

    def close(self, result: dict[str, Any]) -> None:
        self.result = result
        if self._thread is not None:
            self._rounds.put(None)
            self._thread.join(PATIENCE)
            self._thread = None


def _source(driver: Inspect):
    from inspect_ai import SampleSource

    class Rounds(SampleSource):
        """The rounds as they are drawn."""

        async def next_samples(self):
            while True:
                try:
                    return driver._rounds.get_nowait()
                except queue.Empty:
                    await asyncio.sleep(POLL)

        async def sample_complete(self, sample):
            driver.scored(sample)

        async def sample_abandoned(self, sample, epoch):
            driver._answers.put(InputError(f"sample {sample.id} was cancelled"))

    return Rounds()


def _estimate(driver: Inspect):
    from inspect_ai.scorer import metric

    @metric
    def accuracy_of_all():
        """Our estimate of the accuracy on all questions, its interval, and the number of questions it rests on."""

        def compute(scores):
            found = driver.result
            return {name: found.get(key) if found.get(key) is not None else float("nan")
                    for name, key in (("accuracy", "estimate"), ("low", "low"), ("high", "high"), ("asked", "asked"))}

        return compute

    return accuracy_of_all()


def _judged_by(original, metrics: list):
    """A scorer under its own name with other metrics, which inspect_ai takes from the scorer, not from the task."""
    from inspect_ai.scorer import scorer
    from inspect_ai.util import registry_info

    @scorer(metrics=metrics, name=registry_info(original).name.rpartition("/")[2])
    def as_before():
        async def score(state, target):
            return await original(state, target)

        return score

    return as_before()


# --- the task --------------------------------------------------------------------------------------------

class _Refusing(argparse.ArgumentParser):
    def error(self, message: str):
        raise InputError(f"--inspect: {hidden(message)}")


def _words(text: str) -> argparse.Namespace:
    """FILE@TASK [-T name=value] [-M name=value] [-C name=value] [--epochs N] …"""
    parser = _Refusing(prog="--inspect", add_help=False)
    parser.add_argument("task")
    for short, name in (("-T", "task_args"), ("-M", "model_args"), ("-C", "config")):
        parser.add_argument(short, dest=name, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--model-base-url")
    for name, least in (("--epochs", 1), ("--max-samples", 1), ("--retry-on-error", 0)):
        parser.add_argument(name, type=cli.at_least(least))
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"--inspect {hidden(text)}: {error}") from None
    return parser.parse_args(words)


def _pairs(texts: list[str]) -> dict[str, Any]:
    """name=value, the value as JSON reads it, or else a text."""
    import json

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--inspect: {hidden(text)}: write name=value")
        name = name.replace("-", "_")
        if name in found:
            raise InputError(f"--inspect: {name} is given twice")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _generation(given: dict[str, Any]):
    """A GenerateConfig. Raises InputError for a name that it would ignore."""
    from inspect_ai.model import GenerateConfig

    if unknown := sorted(given.keys() - GenerateConfig.model_fields.keys()):
        raise InputError(f"--inspect: -C {unknown[0]}: no setting of inspect_ai's GenerateConfig, as max_tokens and "
                         "temperature are")
    return GenerateConfig(**given)


def _task(words: argparse.Namespace):
    """The Task of FILE@TASK (or FILE, if it has only one), or of an installed package's task."""
    file, _, name = words.task.partition("@")
    if not file.endswith(".py"):
        from inspect_ai.util import registry_create

        return registry_create("task", words.task, **_pairs(words.task_args))
    path = Path(file).resolve()
    if not path.is_file():
        raise InputError(f"--inspect: {file}: no such file")
    with _inside(path.parent):
        spec = importlib.util.spec_from_file_location(f"inspect_task_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        tasks = {key: value for key, value in vars(module).items() if _is_task(value)}
        if not name and len(tasks) == 1:
            name = next(iter(tasks))
        if name not in tasks:
            raise InputError(f"--inspect: {file} has {'no task ' + name if name else 'several tasks'}; it has "
                             f"{', '.join(sorted(tasks)) or 'none'}: write {file}@NAME")
        return tasks[name](**_pairs(words.task_args))


def _is_task(value) -> bool:
    from inspect_ai.util import registry_info

    try:
        return callable(value) and registry_info(value).type == "task"
    except ValueError:
        return False


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """In a task's own folder, where it looks for its data and modules."""
    before = os.getcwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        os.chdir(before)


def _numbered(task) -> list:
    """The task's samples; those without an id get their number, from 1, as inspect_ai gives it to them."""
    samples = []
    for number, sample in enumerate(task.dataset, start=1):
        samples.append(sample if sample.id is not None else sample.model_copy(update={"id": number}))
    return samples
