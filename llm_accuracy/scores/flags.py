"""The flags that settle what logs leave open, the same on every command that reads logs. Imports nothing slow."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..cli import at_least
from ..errors import InputError
from ..files import limit_to
from .score_values import decimal, told

if TYPE_CHECKING:
    from .task_scores import Choices

ERRORS = ("missing", "wrong")  # what a sample that crashed is worth
LARGEST_SCORE = 1e100  # of a stated range: its square is still a float


def add_choice_flags(to: argparse.ArgumentParser) -> None:
    """--task-metrics, --metric, --filter and the rest of `Choices`."""
    to.add_argument("--task-metrics", type=Path, metavar="FILE",
                    help='JSON {"task": "metric"} or {"task": {"metric": …, "filter": …}} for logs')
    to.add_argument("--metric", metavar="NAME", help="the score where a log has several; SCORER.KEY is one of a "
                                                     "scorer's")
    to.add_argument("--filter", metavar="NAME", help="the filter where a task has several (lm-eval), the split "
                                                     "(helm), the "
                    "reducer of epochs (inspect)")
    to.add_argument("--higher-is-better", nargs="+", default=[], metavar="[METRIC=]true|false",
                    help="the direction of a metric, where a log does not say it")
    to.add_argument("--value", nargs="+", default=[], metavar="WORD=SCORE",
                    help="what a word or number stands for: CORRECT=1, -1=missing")
    to.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"),
                    help="the range of the scores; others are refused")
    to.add_argument("--errors", choices=ERRORS, default="missing",
                    help="what a sample that crashed is worth (default: missing)")
    to.add_argument("--by-content", action="store_true", help="questions are what their content is, whatever their id")
    to.add_argument("--may-differ", nargs="+", default=[], metavar="KEY",
                    help="runs in one folder that differ in KEY (n-shot, limit, …) are united all the same")
    to.add_argument("--id", metavar="KEY",
                    help="the key of a record that names its question (JSONL, promptfoo); a.b is b in a")
    to.add_argument("--score", metavar="KEY", help="the key of its score (JSONL)")
    to.add_argument("--max-size", metavar="SIZE", help="how large a file may be, unpacked (default: 4G); lines and "
                                                       "columns in proportion")
    to.add_argument("--jobs", type=at_least(1), metavar="N",
                    help="how many files of logs are read at a time (default: the number of cores)")
    to.add_argument("--item-field", metavar="FIELD",
                    help="document field that names a question across tasks (else its hash)")


def choices_of(options: argparse.Namespace, tasks: Sequence[str] | None = None, skip: Sequence[str] = ()) -> Choices:
    """What logs leave open, as these options settle it. Raises InputError for a flag that cannot be understood."""
    from .task_scores import Choices
    from .workers import cores, read_with

    limit_to(options.max_size)
    read_with(options.jobs or cores())
    if options.range and not options.range[0] < options.range[1]:
        raise InputError(f"--range {options.range[0]:g} {options.range[1]:g}: the first must be smaller")
    if options.range and max(map(abs, options.range)) > LARGEST_SCORE:
        raise InputError(f"--range {options.range[0]:g} {options.range[1]:g}: no score is beyond ±{LARGEST_SCORE:g}")
    made = (Choices.read(options.task_metrics, options.item_field) if options.task_metrics
            else Choices(item_field=options.item_field))
    if options.metric or options.filter:
        source = f"{made.source}, --metric and --filter" if options.task_metrics else "--metric and --filter"
        made = replace(made, metrics={**made.metrics, "*": (options.metric, options.filter)}, source=source)
    return replace(made, values=read_values(options.value), directions=read_directions(options.higher_is_better),
                   scale=options.range and tuple(options.range), errors=options.errors, by_content=options.by_content,
                   may_differ=tuple(options.may_differ), tasks=tuple(tasks) if tasks else None, skip=tuple(skip),
                   id_key=options.id, score_key=options.score)


def read_values(texts: Iterable[str]) -> dict[str, float]:
    """{word or number: what it is worth} from `WORD=SCORE`, where SCORE is a number or `missing`.

    Raises InputError for anything else, and for a word (or number, however it is written) that is worth two things.
    """
    values: dict[str, float] = {}
    for text in texts:
        word, equals, worth = (part.strip() for part in text.rpartition("="))
        number, missing = decimal(worth), worth.lower() in ("missing", "nan")
        if not equals or math.isinf(number) or (math.isnan(number) and not missing):
            raise InputError(f"--value {text}: expected WORD=SCORE, a number or missing, such as -1=missing or "
                             f"CORRECT=1")
        before = told(word, values)
        if before is not None and str(before) != str(number):
            raise InputError(f"--value {text}: {word} is given two scores; give it one")
        values[word] = number
    return values


def read_directions(texts: Iterable[str]) -> dict[str, bool]:
    """{metric or *: whether higher is better} from `true`, `false` or `METRIC=true`. Raises InputError for anything
    else, and for a metric that is said to be both."""
    directions: dict[str, bool] = {}
    for text in texts:
        metric, equals, said = text.rpartition("=")
        if said.lower() not in ("true", "false") or (equals and not metric.strip()):
            raise InputError(f"--higher-is-better {text}: expected true, false or METRIC=true")
        higher = said.lower() == "true"
        if directions.setdefault(metric or "*", higher) != higher:
            raise InputError(f"--higher-is-better {text}: {metric or 'it'} is also said to be the other way round; say "
                             "one")
    return directions
