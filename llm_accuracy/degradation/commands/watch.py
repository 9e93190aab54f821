"""watch: follow a comparison while results arrive, and stop as soon as the verdict is certain."""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ... import cli
from ...errors import InputError
from ..defaults import check_alpha
from ..margins import Margin
from ..verdicts import DEGRADED, NOT_DEGRADED, UNDECIDED, fails
from ..words import WIDTH, cell, note_text, p_text, percent
from . import flags
from .command import Command

if TYPE_CHECKING:
    from ...scores.task_scores import Choices
    from ..e_values import Watch
    from ..growing import Growing, Item, PassedOver


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("baseline", nargs="?", metavar="BASELINE", help="CSV, or samples_<task>_<time>.jsonl")
    to.add_argument("candidate", nargs="?", metavar="CANDIDATE")
    to.add_argument("--task", metavar="NAME", help="which task of a CSV with several")
    to.add_argument("--follow", type=float, metavar="SECONDS",
                    help="the files are still growing: wait for more, until nothing has arrived for SECONDS")
    to.add_argument("--every", type=cli.at_least(1), default=1, metavar="K", help="print every K-th item")
    to.add_argument("--keep-going", action="store_true", help="do not stop at the decision")
    to.add_argument("--order", choices=("random", "file"),
                    help="of finished files: shuffled (random, the default), or as they stand, where that is "
                         "random already")
    to.add_argument("--seed", type=cli.at_least(0), metavar="S", help="seed of that shuffle (default 0)")
    to.add_argument("--allow-same", action="store_true",
                    help="do not refuse a candidate that is the baseline's own content")
    to.add_argument("--missing-at-random", action="store_true",
                    help="leave items that only one of the two answered out (default: \"safe\" counts them against the "
                         "candidate)")
    to.add_argument("--lower-is-better", action="store_true", help="a score of 1 is an error")
    flags.add_decision_flags(to)
    flags.add_choice_flags(to)
    flags.add_output_flags(to)


def run(options: argparse.Namespace) -> int:
    flags.check_targets(options.json, options.overwrite, inputs=flags.inputs_of(options))
    if bool(options.baseline) != bool(options.candidate):
        raise InputError("watch needs BASELINE and CANDIDATE, or neither for JSON lines on standard input")
    check_flags(options)
    check_alpha(options.alpha)
    margin = Margin.parse(options.margin).of_scale

    from ..e_values import Watch
    from ..growing import Growing, PassedOver
    from ..order import ascending, check_not_grouped

    state, to = Watch(margin, options.alpha), flags.prose(options.json)
    choices = flags.choices(options)
    if options.lower_is_better and True in choices.directions.values():
        raise InputError("--lower-is-better and --higher-is-better true contradict each other")
    options.lower_is_better |= set(choices.directions.values()) == {False}
    if options.lower_is_better:
        choices = replace(choices, directions={"*": False})
    passed = None
    shuffle = bool(options.baseline) and options.follow is None and options.order != "file"
    if options.baseline:
        runs = Growing(options.baseline, choices, options.task), Growing(options.candidate, choices, options.task)
        if options.follow is not None and not options.missing_at_random:
            passed = PassedOver(*runs, options.lower_is_better)
        arrivals = from_files(*runs, options.follow, options.lower_is_better, passed)
        if options.follow is None:
            arrivals = iter(whole(arrivals, runs, options, shuffle))
        order = f"shuffled, seed {options.seed or 0}" if shuffle else "file" if options.follow is None else "arrival"
    else:
        arrivals, order = from_stdin(choices), "arrival"
    rows: list[dict] = []
    skipped = 0
    last: str | None = None
    names: list[str] = []  # in order of arrival; of shuffled items none
    same = options.follow is not None and not options.allow_same

    def tell(item: str) -> None:
        row = row_of(state, item)
        if options.json == "-":
            print(json.dumps(row), flush=True)
        elif options.json:
            rows.append(row)
        print(f"{state.n:>8,}  {cell(item, 24)}{state.b:>6,}{state.c:>8,}{state.e_worse:>12.4g}"
              f"{state.e_safe:>12.4g}", file=to, flush=True)

    for arrived in arrivals:
        missing = sum(math.isnan(score) for score in arrived[1:])
        if missing == 2 or (missing and options.missing_at_random):
            skipped += 1
            continue
        if last is None:
            if order.startswith("shuffled"):
                print(f"order: random ({order})\n", file=to, flush=True)
            print(f"{'items':>8}  {'item':<24}{'lost':>6}{'gained':>8}{'e worse':>12}{'e safe':>12}",
                  file=to, flush=True)
        last, *scores = arrived
        same = same and scores[0] == scores[1]
        one, other = scores[::-1] if options.lower_is_better else scores
        state.add(one, other, (passed.count, passed.lost) if passed else (0, 0))
        decided = state.decided_at == state.n
        if not order.startswith("shuffled"):
            names.append(last)
            if decided or state.n & (state.n - 1) == 0:  # at powers of 2 and before a verdict
                check_not_grouped(names, UNSHUFFLED)
        if state.n % options.every == 0 or decided:
            tell(last)
        if decided and same:
            check_distinct(options)
        if decided and not options.keep_going:
            break
    if last is None:
        raise InputError("nothing to watch: no item has a score" + (of_tasks(runs) if options.baseline else ""))
    if same:
        check_distinct(options)
    if not (state.n % options.every == 0 or state.decided_at == state.n):
        tell(last)
    check_not_grouped(names, UNSHUFFLED)
    doubts = [ASCENDING] if ascending(names) else []
    if passed and passed.count:
        doubts.append(f"{passed.count:,} items were passed over, and may still come: \"safe\" counts them against "
                      "the candidate")
    if order.startswith("shuffled") and options.seed:
        doubts.append(RESHUFFLED)
    if options.follow is not None and state.decided_at and not options.keep_going:
        doubts.append(NOT_ENDED)
    print(conclusion(state, skipped, options.missing_at_random, doubts), file=to)
    final = {**row_of(state, last), "within_margin": state.within_margin, "skipped": skipped,
             "passed_over": passed.count if passed else 0,
             "missing_at_random": options.missing_at_random, "order": order, "notes": doubts, "alpha": state.alpha,
             "margin": state.margin, "final": True}
    if options.json == "-":
        print(json.dumps(final), flush=True)
    else:
        flags.write_json("".join(json.dumps(row) + "\n" for row in [*rows, final]), options.json)
    return int(fails(state.verdict, state.within_margin, options.fail_on))


UNSHUFFLED = ("bring them into a random order first (finished files are shuffled without --follow and --order "
              "file), or watch one --task")
RESHUFFLED = ("a seed is chosen before the first look: the best of several orders of the same items errs more often "
              "than the error rate says")
NOT_ENDED = ("decided while answers may still come: what one of the two has not come to yet counts neither way, and "
             "what comes first must be no easier than the rest; if failures are left out of the files, finish them and "
             "use pair")
ASCENDING = ("the ids arrived in ascending order, which is the order of the data set: the error rate holds only if "
             "that order is random")


def whole(arrivals: Iterator[Item], runs: tuple[Growing, Growing], options: argparse.Namespace,
          shuffle: bool) -> list[Item]:
    """All items of two finished files, shuffled or in the order of the files, where what is missing has its place.

    Raises InputError where both files are the same content, or the order of the files is to be kept and is none.
    """
    from ..growing import in_order_of_files
    from ..order import check_not_grouped, shuffled

    items = list(arrivals)
    there = [(one, other) for _, one, other in items if not (math.isnan(one) and math.isnan(other))]
    if there and all(one == other for one, other in there) and not options.allow_same:
        check_distinct(options)
    if shuffle:
        return [items[i] for i in shuffled([name for name, *_ in items], options.seed or 0)]
    found = {item[0]: item for item in items}
    items = [found[name] for name in in_order_of_files(*runs)]
    check_not_grouped([name for name, *_ in items], UNSHUFFLED)
    return items


def check_distinct(options: argparse.Namespace) -> None:
    """Raise InputError where both files are the same content."""
    from ...scores.contents import same_files

    if options.baseline and same_files(options.baseline, options.candidate, options.task):
        raise InputError(f"{options.baseline} and {options.candidate} are the same content, item by item: a model "
                         "compared with itself passes every gate; name the candidate's own results, or add "
                         "--allow-same")


def check_flags(options: argparse.Namespace) -> None:
    """Raise InputError for flags that mean nothing here, or contradict each other."""
    if options.range and tuple(options.range) != (0, 1):
        raise InputError("--range: watch takes scores of 0 or 1; use pair for others")
    if options.follow is not None and not 0 < options.follow < math.inf:
        raise InputError(f"--follow {options.follow:g}: give the seconds to wait for more, above 0")
    if options.follow is not None and options.baseline:
        for flag, given in (("--order", options.order), ("--seed", options.seed)):
            if given is not None:
                raise InputError(f"{flag} is for finished files: with --follow items are taken as they arrive")
    if not options.baseline:
        own = {"--task": options.task, "--follow": options.follow, "--order": options.order, "--seed": options.seed,
               "--allow-same": options.allow_same or None}
        why = "it is for files, and there are none: standard input holds scores"
        if given := [flag for flag, value in own.items() if value is not None]:
            raise InputError(f"{given[0]}: {why}")
        flags.check_unused(options, why, but=("value", "higher_is_better", "range", "max_size"))


def of_tasks(runs: tuple[Growing, Growing]) -> str:
    """Which tasks there are, where one was named."""
    named = ", ".join(dict.fromkeys(task for run in runs for task in run.tasks))
    return f": no task {runs[0].task}; the files have {named}" if runs[0].task and named else ""


def from_stdin(choices: Choices) -> Iterator[Item]:
    from ..growing import read_stream

    return read_stream(sys.stdin, "standard input", choices)


def from_files(one: Growing, other: Growing, patience: float | None, lower_is_better: bool,
               passed: PassedOver | None) -> Iterator[Item]:
    """Items of two growing files. Raises InputError if a log says that lower is better and the user did not."""
    from ..growing import follow

    first = True
    for item in follow(one, other, patience, passed=passed):
        if first and False in (one.higher_is_better(), other.higher_is_better()) and not lower_is_better:
            raise InputError(f"{one.path}: lower is better for this metric: add --lower-is-better")
        first = False
        yield item


def row_of(state: Watch, item: str) -> dict:
    """One line of JSON."""
    return {"n": state.n, "prompt_id": item, "b": state.b, "c": state.c, "missing": state.missing,
            "e_worse": state.e_worse, "e_safe": state.e_safe, "p_worse": 1 / state.largest_worse,
            "p_safe": 1 / state.largest_safe, "verdict": state.verdict, "decided_at": state.decided_at}


def conclusion(state: Watch, skipped: int, at_random: bool, doubts: list[str]) -> str:
    """What is printed at the end; `skipped` items had no score in either run (`at_random`: in one of them), `doubts`
    are about the order."""
    margin = f"{100 * state.margin:g} point" + ("" if state.margin == 0.01 else "s")
    at = f"(error rate {percent(state.alpha)}, whenever one looks)"
    said = {DEGRADED: f"DEGRADED after {state.decided_at or 0:,} items {at}",
            NOT_DEGRADED: f"NOT DEGRADED by {margin} or more after {state.decided_at or 0:,} items {at}",
            UNDECIDED: f"UNDECIDED after {state.n:,} items {at}; the margin is {margin}"}
    both = state.n - state.missing
    drop = f"{100 * (state.b - state.c) / both:.2f} points" if both else "not known"
    lines = ["", f"{said[state.verdict]}.",
             *_wrapped("worse?", f"p = {p_text(1 / state.largest_worse)}  against 'a loss is no likelier than a gain'; "
                       f"e reached {state.largest_worse:.4g}"),
             *_wrapped("safe?", f"p = {p_text(1 / state.largest_safe)}  against 'the drop is {margin} or more'; e "
                       f"reached {state.largest_safe:.4g}"),
             *_wrapped("drop", f"{drop} so far: {state.b:,} lost, {state.c:,} gained of {both:,}")]
    if state.missing:
        lines.append(note_text(f"{state.missing:,} items only one of the two answered: \"safe\" counts them against "
                               f"the candidate ({state.against:,} lost)"))
    if skipped:
        which = "in one of the runs were left out: taken to be missing at random" if at_random else (
            "in either run were left out")
        lines.append(note_text(f"{skipped:,} items without a score {which}"))
    lines += map(note_text, doubts)
    lines.append(note_text("this is about the population the items come from, taken in random order; for an answer "
                           "about one finite bank, finish it and use pair"))
    return "\n".join(lines)


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(f"  {label:<10} {text}", WIDTH, subsequent_indent=" " * 13)


COMMAND = Command(
    "watch", "stop as soon as the verdict is certain, while results arrive", add, run,
    description="An e-value per item: look as often as you like, the error stays below alpha. Without files, "
                'JSON lines {"prompt_id": …, "baseline": 0, "candidate": 1} are read from standard input.',
)
