"""lm-evaluation-harness in process: `simple_evaluate` once a round, with the model loaded once.

What has to be known of the harness (0.4.13):
* It is given `samples={task: ids}`, ids sorted and unique (it labels documents in the file's order); tasks without a
  question in a round are not passed at all, as an empty list or a missing entry runs the whole task.
* No cache of requests: it ignores the selection. Its own aggregate is the mean of chosen questions, and not looked at.
* It returns when a whole round is answered. So every response of the model is written to RUN/responses.jsonl as it
  comes, through the model's `cache_hook`, and a round that was interrupted goes on from there.
* Its few-shot examples are drawn document by document from one stream, so that they would depend on what else is asked.
  Here every document gets the examples that it has in a run of the whole task: prompts are those of such a run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import shlex
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...cli import is_given
from ...errors import InputError
from ...redaction import hidden
from ...scores.lm_eval import scores_of_samples
from ...scores.task_scores import Choices
from ..bank import Bank
from ..query_log import QueryLog
from .driver import Request, Round, Take, in_one_line, limits_of, recent_version

OLDEST = (0, 4, 13)
METHODS = ("loglikelihood", "loglikelihood_rolling", "generate_until")
WHY_NOT = {
    "limit": "the questions are chosen here", "samples": "the questions are chosen here",
    "use_cache": "answers are kept in RUN", "cache_requests": "it ignores which questions are chosen",
    "predict_only": "answers must be scored", "check_integrity": "call the harness for that",
    "write_out": "call the harness for that", "show_config": "call the harness for that",
    "wandb_args": "RUN has what was found", "trackio_args": "RUN has what was found",
    "hf_hub_log_args": "RUN has what was found", "output_path": "RUN has what was found",
    "log_samples": "RUN has what was found",
}


class LmEval:
    """See the module. Raises InputError for arguments that the harness does not take, tasks that are not installed, and
    a model that cannot be loaded."""

    def __init__(self, request: Request):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.folder, self.request = request.folder, request
        self._log: _Redacting | None = None
        try:
            import lm_eval
        except ImportError:
            raise InputError("--lm-eval needs lm-evaluation-harness beside this package: pip install "
                             '"llm-accuracy[querying,lm-eval]"') from None
        found = recent_version("--lm-eval", "lm_eval", OLDEST)
        self._evaluate = lm_eval.simple_evaluate
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self.config = _configured(request.words)
        self.versions = {"lm_eval": found}
        self.model = request.model or str(self.config.model_args.get("pretrained") or
                                          self.config.model_args.get("model") or self.config.model)
        self.tasks = self._loaded()
        self.settings = self._settings()
        self.limits = limits_of(self.config.gen_kwargs)
        self.lm = self._model()
        self._responses = _Responses(self.folder / "responses.jsonl")
        self._responses.listen(self.lm)

    # --- opening ------------------------------------------------------------------------------------

    def _loaded(self) -> dict[str, Any]:
        """{name: task}, every one with its number of few-shot examples set as `simple_evaluate` will."""
        with self._quiet(), in_one_line("--lm-eval: the tasks cannot be loaded"):
            with one_index():
                self._manager = self.config.process_tasks(self.config.metadata)
            tasks = dict(self._manager.load(self.config.tasks)["tasks"])
        if not tasks:
            raise InputError("--lm-eval: --tasks names no task; lm-eval ls tasks lists what is installed")
        for name, task in tasks.items():
            if getattr(task, "UNSAFE_CODE", False) and not self.config.confirm_run_unsafe_code:
                raise InputError(f"--lm-eval: {name} runs code that the model writes: add --confirm_run_unsafe_code to "
                                 "the harness's arguments")
            if not len(task.eval_docs):
                raise InputError(f"--lm-eval: {name} has no documents to ask")
        return tasks

    def _settings(self) -> dict[str, Any]:
        """How the model is asked, for the manifest: what changes prompts or answers."""
        config = self.config
        return {"model": config.model, "model_args": {name: value for name, value in config.model_args.items()},
                "tasks": {name: str(task.VERSION) for name, task in self.tasks.items()},
                "num_fewshot": config.num_fewshot, "apply_chat_template": config.apply_chat_template,
                "fewshot_as_multiturn": bool(config.fewshot_as_multiturn), "gen_kwargs": config.gen_kwargs,
                "system_instruction": config.system_instruction, "seed": config.seed}

    def _model(self):
        import lm_eval.models  # noqa: F401  the harness knows its own models without it only while it knows no other
        from lm_eval.api.registry import get_model

        config = self.config
        with self._quiet(), in_one_line(f"--lm-eval: model {config.model} cannot be loaded"):
            lm = get_model(config.model).create_from_arg_obj(
                dict(config.model_args), {"batch_size": config.batch_size, "max_batch_size": config.max_batch_size,
                                          "device": config.device})
        if lm.world_size > 1:
            raise InputError(f"--lm-eval: {lm.world_size} processes share this model; one process is needed (give it "
                             "several devices with parallelize=True)")
        return lm

    def bank(self) -> Bank:
        """task/doc_id of every document of every task, with the harness's own hash of its content."""
        names, tasks, contents = [], [], []
        for name, task in self.tasks.items():
            for doc_id, doc in enumerate(task.eval_docs):
                names.append(f"{name}/{doc_id}")
                tasks.append(name)
                contents.append(_doc_hash(doc))
        return Bank(np.array(names), np.array(tasks), np.array(contents))

    # --- asking -------------------------------------------------------------------------------------

    def ask(self, asked: Round, bank: Bank, take: Take) -> None:
        chosen: dict[str, list[int]] = defaultdict(list)
        for question in asked.questions:
            task, _, doc_id = question.rpartition("/")
            chosen[task].append(int(doc_id))
        samples = {task: sorted(set(ids)) for task, ids in chosen.items()}
        for task, ids in samples.items():
            _as_in_a_whole_run(self.tasks[task], ids, self.config)
        self._responses.begin(asked.progress)
        with self._quiet(), _without_survey(), in_one_line(
                f"--lm-eval: the harness failed in round {asked.number} (what was answered is kept; add --resume)"):
            found = self._evaluate(
                model=self.lm, tasks=[self.tasks[task] for task in samples], samples=samples,
                task_manager=self._manager, num_fewshot=self.config.num_fewshot, bootstrap_iters=0,
                log_samples=True, cache_requests=False,
                system_instruction=self.config.system_instruction,
                apply_chat_template=self.config.apply_chat_template,
                fewshot_as_multiturn=bool(self.config.fewshot_as_multiturn), gen_kwargs=self.config.gen_kwargs or None,
                confirm_run_unsafe_code=self.config.confirm_run_unsafe_code, **_seeds(self.config.seed))
        take(list(self._answers(found, samples, bank)))
        self._responses.done()

    def _answers(self, found: dict, samples: dict[str, list[int]], bank: Bank) -> Iterator[tuple[str, float, dict]]:
        """The scores of a round. Raises InputError for a document that is not the one that was chosen."""
        chosen = {"*": (self.request.metric, self.request.filter)}
        choices = Choices(chosen, source="--metric and --filter", flags="--metric or --filter")
        at = {name: i for i, name in enumerate(bank.questions.tolist())}
        for task, ids in samples.items():
            records = found["samples"][task]
            better = found.get("higher_is_better", {}).get(task, {})
            if self.request.metric and better.get(self.request.metric) is False:
                raise InputError(f"--metric {self.request.metric}: lower is better; an accuracy needs a score of 1 for "
                                 "a right answer")
            scores = scores_of_samples(task, records, choices, "--lm-eval")
            hashes = {record["doc_id"]: (record["doc_hash"], record["prompt_hash"]) for record in records}
            if sorted(scores) != ids:
                raise InputError(f"--lm-eval: {task}: {len(ids)} documents were chosen and others were asked")
            for doc_id, score in scores.items():
                question = f"{task}/{doc_id}"
                content, prompt = hashes[doc_id]
                if bank.contents is not None and bank.contents[at[question]] != content:
                    raise InputError(f"--lm-eval: {question}: the harness asked a document with another content")
                more = {"prompt": prompt}
                if self.request.show_questions:
                    more["text"] = str(self.tasks[task].doc_to_text(self.tasks[task].eval_docs[doc_id]))
                yield question, score, more

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """What the harness and its models print goes to RUN/harness.log, without keys."""
        if not self.folder.is_dir():
            with contextlib.redirect_stdout(_Redacting(None)), contextlib.redirect_stderr(_Redacting(None)):
                yield
            return
        with (self.folder / "harness.log").open("a", encoding="utf-8") as stream:
            with contextlib.redirect_stdout(_Redacting(stream)), contextlib.redirect_stderr(_Redacting(stream)):
                yield

    def close(self, result: dict[str, Any]) -> None:
        self._responses.path.unlink(missing_ok=True)


# --- the harness's arguments -----------------------------------------------------------------------------

def _configured(words: str):
    """The harness's own reading of its arguments, as an EvaluatorConfig."""
    from lm_eval._cli.run import Run
    from lm_eval.config.evaluate_config import EvaluatorConfig

    parser = _Refusing(prog="lm-eval")
    Run(parser.add_subparsers(parser_class=_Refusing))
    try:
        split = shlex.split(words)
    except ValueError as error:
        raise InputError(f"--lm-eval {hidden(words)}: {error}") from None
    given = parser.parse_args(["run", *split])
    for name, why in WHY_NOT.items():
        if is_given(getattr(given, name, None)):
            raise InputError(f"--lm-eval: --{name} has no place here: {why}")
    if not given.tasks:
        raise InputError("--lm-eval: --tasks is missing from the harness's arguments")
    with in_one_line("--lm-eval: the harness does not take these arguments"):
        config = EvaluatorConfig.from_cli(given)
    return config


class _Refusing(argparse.ArgumentParser):
    def error(self, message: str):
        raise InputError(f"--lm-eval: {hidden(message)}")


def _seeds(seeds: list[int | None] | None) -> dict[str, int | None]:
    names = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")
    return dict(zip(names, seeds or [], strict=False))


_own_tasks: dict[Path, dict] = {}


@contextlib.contextmanager
def one_index() -> Iterator[None]:
    """The harness reads some thirteen thousand files of its own to know its tasks (six seconds and more): once in a
    process, not once for every model that is asked. A harness that indexes them in another way does so every time."""
    from lm_eval.tasks import manager

    index, original = getattr(manager, "TaskIndex", None), None
    if index is None or not callable(original := getattr(index, "build", None)):
        yield
        return
    own = Path(manager.__file__).parent

    def build(paths, **settings):
        found: dict = {}
        for path in paths:
            if path == own and own not in _own_tasks:
                _own_tasks[own] = original([own], **settings)
            found |= _own_tasks[own] if path == own else original([path], **settings)
        return found

    index.build = staticmethod(build)
    try:
        yield
    finally:
        index.build = staticmethod(original)


@contextlib.contextmanager
def _without_survey() -> Iterator[None]:
    """Beside torch the harness describes the machine after every call, for its own log (15 seconds a round), and asks
    git about the current folder, which may answer on stderr."""
    from lm_eval import evaluator

    described = evaluator.add_env_info, evaluator.get_git_commit_hash
    evaluator.add_env_info = lambda storage: None
    evaluator.get_git_commit_hash = lambda: None
    try:
        yield
    finally:
        evaluator.add_env_info, evaluator.get_git_commit_hash = described


class _Redacting:
    """A text stream without keys; None keeps nothing."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text: str) -> int:
        if self.stream is not None:
            self.stream.write(hidden(text))
        return len(text)

    def flush(self) -> None:
        if self.stream is not None:
            self.stream.flush()

    def isatty(self) -> bool:
        return False


# --- documents -------------------------------------------------------------------------------------------

def _doc_hash(doc) -> str:
    """As the harness computes it for its logs."""
    from lm_eval.utils import handle_non_serializable

    text = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _as_in_a_whole_run(task, ids: list[int], config) -> None:
    """Let the sampler of a task's few-shot examples give each of these documents the ones of a run of all."""
    sampler = getattr(task, "sampler", None)
    own = task.get_config("num_fewshot")
    count = own if config.num_fewshot is None or own == 0 else config.num_fewshot
    if sampler is None or not count:
        return
    if not hasattr(sampler, "examples_of_all"):
        original = sampler.sample
        task.set_fewshot_seed(seed=_seeds(config.seed).get("fewshot_random_seed"))
        same_split = task.fewshot_cfg.split == task.config.test_split
        sampler.examples_of_all = [original(n=count, eval_doc=doc if same_split else None) for doc in task.eval_docs]
    coming = deque(ids)

    def sample(n: int, eval_doc=None, df=None, **_):
        return sampler.examples_of_all[coming.popleft()]

    sampler.sample = sample


# --- responses -------------------------------------------------------------------------------------------

class _Responses:
    """The model's responses to the round in flight, on disk as they come; those that are there are not asked for again.

    A response belongs to a request's method and arguments. Where a request is made several times, its responses are
    given out in their order.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.log = QueryLog(path)
        except InputError as error:  # never forced to the disk, it may be half there after a failure of power
            what = str(error).removesuffix("; restore the file")
            raise InputError(f"{what}; remove the file: what it held is asked again, and nothing else") from None
        self._progress: Callable[[int, int], None] = lambda done, of: None
        self._pending: dict[str, int] = {}
        self._by_context: dict[tuple[str, str], set[str]] = {}

    def listen(self, lm) -> None:
        """Put itself between the harness and the model: instance attributes hide the class's methods."""
        lm.set_cache_hook(self)
        for name in METHODS:
            if (original := getattr(lm, name, None)) is not None:
                setattr(lm, name, self._through(name, original))

    def begin(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def done(self) -> None:
        """The round is scored and its answers are in the log of queries."""
        self.path.unlink(missing_ok=True)
        self.log = QueryLog(self.path)

    def _through(self, name: str, original: Callable) -> Callable:
        def answered(requests, *args, **kwargs):
            keys = [_key(name, request.args) for request in requests]
            known = defaultdict(deque)
            for record in self.log.of("response"):
                known[record["key"]].append(_value(record["value"]))
            found = [known[key].popleft() if known[key] else None for key in keys]
            left = [i for i, response in enumerate(found) if response is None]
            self._pending, self._by_context = defaultdict(int), defaultdict(set)
            for i in left:
                self._pending[keys[i]] += 1
                self._by_context[name, str(requests[i].args[0])].add(keys[i])
            self._total, self._left = len(requests), len(left)
            for i, response in zip(left, original([requests[i] for i in left], *args, **kwargs) if left else [],
                                   strict=True):
                found[i] = response
                self._record(keys[i], response)
            return found

        return answered

    def add_partial(self, attr: str, req, res) -> None:
        """The harness's hook: one response has come. A model may put its own settings into the arguments; the request
        is then found by its context, if only one has it."""
        key = _key(attr, req)
        if not self._pending.get(key):
            same = {other for other in self._by_context.get((attr, str(req[0])), ()) if self._pending.get(other)}
            if len(same) != 1:
                return  # recorded when the model has returned
            key = same.pop()
        self._record(key, res)

    def _record(self, key: str, response) -> None:
        if not self._pending.get(key):
            return
        self._pending[key] -= 1
        self._left -= 1
        # Not forced to the disk one by one, of which there are thousands: nothing is made of them before the round's
        # answers are.
        self.log.append("response", [{"key": key, "value": _plain(response)}], sync=False)
        self._progress(self._total - self._left, self._total)


def _key(name: str, args) -> str:
    from lm_eval.api.model import hash_args

    return hash_args(name, args)


def _plain(response):
    """As JSON takes it; a tuple of numbers, such as (log-likelihood, greedy), becomes a list."""
    if isinstance(response, tuple | list):
        return [_plain(part) for part in response]
    return response.item() if hasattr(response, "item") else response


def _value(response):
    """As the harness takes it."""
    return tuple(response) if isinstance(response, list) else response


