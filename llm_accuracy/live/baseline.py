"""A baseline that has answered everything, matched with the questions of the model that is asked, and what else is
known of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..degradation.few_answers import bank as banks
from ..degradation.few_answers import ease as easing
from ..degradation.few_answers.curves import Known
from ..errors import InputError
from ..scores.task_scores import ONLY_TASK, TaskScores
from .bank import Bank
from .drivers import Driver

Model = Mapping[str, TaskScores]


def matched(driver: Driver, model: Model, baseline: str, by_inspect: bool) -> tuple[Bank, Model, list[str]]:
    """(the questions to be asked from, the baseline's tasks among them, notes).

    A harness names its questions, and the baseline must have a score for every one; else they are the baseline's.
    Raises InputError where the two do not fit: questions that one of them lacks, or other contents.
    """
    names = {question for task, log in model.items() for question in named(task, log, model)}
    if (own := driver.bank()) is None:
        scored = [question for task, log in model.items()
                  for question, score in zip(named(task, log, model), log.frame["score"], strict=True)
                  if score == score]
        tasks = None if set(model) == {ONLY_TASK} else np.array(
            [task for task, log in model.items() for score in log.frame["score"] if score == score])
        return Bank(np.array(scored, str), tasks).prompted(prompts_of(model)), model, []
    questions = own.questions.tolist()
    tasks_asked = {question.rpartition("/")[0] for question in questions}
    notes = [f"{task}: the baseline has this task, and the model is not asked it; it is left out" for task in model
             if task not in tasks_asked]
    model = {task: log for task, log in model.items() if task in tasks_asked}
    lacking = [question for question in questions if question not in names]
    if lacking:
        raise InputError(f"{baseline}: the baseline lacks {len(lacking):,} of the {len(questions):,} questions, "
                         f"first {lacking[0]}: it must have answered everything; run it on the whole of every task, or "
                         "ask fewer tasks")
    blank = {question for task, log in model.items()
             for question, score in zip(named(task, log, model), log.frame["score"], strict=True) if score != score}
    if unscored := [question for question in questions if question in blank]:
        raise InputError(f"{baseline}: {len(unscored):,} of the {len(questions):,} questions have no score of the "
                         f"baseline, first {unscored[0]}: score them, or say what such a sample is worth "
                         "(--errors)")
    if len(names & set(questions)) < sum(len(log.frame) for log in model.values()):
        foreign = [question for task, log in model.items() for question in named(task, log, model)
                   if question not in set(questions)]
        raise InputError(f"{baseline}: {len(foreign):,} of its questions are not in the task that is asked, "
                         f"first {foreign[0]}: another version of the task? Run the baseline on this one")
    _same_contents(own, model, baseline, by_inspect)
    return own.prompted(prompts_of(model)), model, notes


def named(task: str, log: TaskScores, model: Model) -> list[str]:
    """The questions of a task: task/item, or the items themselves where the baseline names no task."""
    return [str(item) if set(model) == {ONLY_TASK} else f"{task}/{item}" for item in log.frame.index]


def prompts_of(model: Model) -> dict[str, str]:
    """{question: fingerprint of the prompt} as far as the baseline's log has them."""
    return {question: prompt for task, log in model.items() if "prompt_hash" in log.frame
            for question, prompt in zip(named(task, log, model), log.frame["prompt_hash"], strict=True)
            if isinstance(prompt, str)}


def _same_contents(own: Bank, model: Model, baseline: str, by_inspect: bool) -> None:
    """Raises InputError where the baseline was asked something else under a question's name."""
    columns = ["doc_hash", "target_hash"] if by_inspect else ["doc_hash"]
    before = {f"{task}/{item}": "".join(parts) for task, log in model.items() if set(columns) <= set(log.frame.columns)
              for item, *parts in log.frame[columns].dropna().itertuples()}
    if own.contents is None:
        return
    pairs = [(name, content, before[name]) for name, content in
             zip(own.questions.tolist(), own.contents.tolist(), strict=True) if content and name in before]
    differ = [name for name, here, there in pairs if here != there]
    if differ:
        raise InputError(f"{baseline}: {len(differ):,} of {len(pairs):,} questions have another content than "
                         f"the baseline's, first {differ[0]}: another version of the task? Run the baseline on this "
                         "one")


def in_order(known: banks.Bank, bank: Bank, model: Model) -> banks.Bank:
    """The baseline's questions in the order of the bank."""
    plain = set(model) == {ONLY_TASK}
    place = {name.partition("/")[2] if plain else name: i for i, name in enumerate(known.names.tolist())}
    at = np.array([place[name] for name in bank.questions.tolist()])
    margins = known.known.margins
    return replace(known, names=known.names[at], tasks=known.tasks[at],
                   known=Known(known.known.scores[at], None if margins is None else margins[at],
                               runs=known.known.runs))


def with_difficulty(known: Known, bank: Bank, paths: list[Path], metric: str | None, filter_: str | None,
                    candidate: str) -> tuple[Known, list[str]]:
    """With how easy each question is for this baseline by a history's models (`ease`), those left out that are the
    baseline itself, by their answers, or the candidate, by its name; and notes."""
    if not paths or [str(path) for path in paths] == ["none"]:
        return known, []
    from .history import aligned, read_history

    history = aligned(read_history(paths, metric, filter_), bank)
    if history.responses is None:
        raise InputError(f"--history {paths[0]}: beside a baseline a history is models' answers, a matrix or "
                         "logs, not fitted factors")
    scores = np.where(history.responses.observed, history.responses.scores, np.nan).astype(float)
    others = easing.without_itself(known.scores, scores)
    notes = list(history.notes)
    names = [str(name) for name in history.responses.models]
    if itself := [name for name, other in zip(names, others, strict=True) if not other]:
        notes.append(f"history: {', '.join(itself)} answered as the baseline throughout, or nothing; left out")
    asked = np.array([bool(candidate) and name.lower() == candidate.lower() for name in names])
    if (asked & others).any():
        notes.append(f"history: {candidate} is the candidate, whose answers must not be known beforehand; left out")
        others &= ~asked
    if not others.any():
        return known, [*notes, "history: no other model is left; it is not used"]
    notes.append(f"history: {int(others.sum()):,} models say how easy every question is for the baseline")
    return replace(known, difficulty=easing.ease(known.scores, scores[others])), notes


def same_model(driver: Driver, model: Model, allow_same: bool) -> list[str]:
    """Notes. Raises InputError, unless allowed, where by the log's own words the candidate is the baseline."""
    for log in model.values():
        if not is_of(driver, log):
            continue
        if not allow_same:
            raise InputError(f"{driver.model} with these arguments is the baseline itself ({log.source}): a model "
                             "compared with itself passes every gate; name the candidate, or add --allow-same")
        return [f"{driver.model} with these arguments is the baseline itself: what differs is chance, not the model"]
    return []


def check_earlier(driver: Driver, earlier: Mapping[str, Model]) -> None:
    """Raises InputError where an earlier candidate, {name: its log}, is by its log's words the one that is asked."""
    for name, model in earlier.items():
        if any(is_of(driver, log) for log in model.values()):
            raise InputError(f"--earlier {name} is the candidate itself: what is expected of its flips must not be "
                             "learned from them; name other candidates")


def is_of(driver: Driver, log: TaskScores) -> bool:
    """Whether a log names the driver's model and its very arguments."""
    asked = driver.settings.get("model_args")
    arguments = _arguments(log.identity.get("model_args", ""))
    return (bool(log.model) and driver.model.lower() == _loaded(log).lower() and asked is not None
            and arguments == {str(k): str(v) for k, v in dict(asked).items()})


def _loaded(log: TaskScores) -> str:
    arguments = _arguments(log.identity.get("model_args", ""))
    return arguments.get("pretrained") or arguments.get("model") or log.identity.get("model", "") or log.model


def _arguments(text: str) -> dict[str, str]:
    """A log's model arguments, whether it keeps them as JSON or as a=1,b=2."""
    try:
        found = json.loads(text)
    except ValueError:
        found = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
