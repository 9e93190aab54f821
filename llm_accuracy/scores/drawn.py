"""A sample of a bank's items that was drawn before anyone answered, in a form the harness takes with --samples.

The file is {task: [ids]} and, under `RECORD`, how it was drawn: a seed and each task's bank. So it can be drawn again,
and what was chosen in any other way, by hand or by the answers, is told from it. Item i of a task comes at the rank of
SHA-256("seed\\ttask\\ti"), and the first of each task are taken: the same on every machine. How many of each task is
in proportion to its bank, what is left over by lot (`sizes_of`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..files import read_json
from .task_scores import TaskScores

RECORD = "drawn"  # the key of the record beside the tasks; the harness looks up its own tasks only
MOST_ITEMS = 2_000_000  # of a bank: each is hashed
CHOSEN = ("asked", "policy", "made of", "scores", "sources", "rounds")  # keys of files of items chosen by answers


def sizes_of(banks: Mapping[str, Sequence[str]], n: int, seed: int) -> dict[str, int]:
    """How many of n items each task gets: its share n·N_t/N rounded down, or up with the probability of the fraction
    that is left over, so that every item of every task has the same chance n/N of being asked.

    The fractions, in integers over N, are laid end to end in an order that the seed fixes, and a task is rounded up
    where it covers a multiple of N after a start that the seed fixes (systematic sampling; Madow 1949). Rounded in any
    fixed way, small tasks would weigh too much or too little, or never be asked.
    """
    total = sum(map(len, banks.values())) or 1  # 1: of a file without items, which is refused later
    sizes = {task: n * len(bank) // total for task, bank in banks.items()}
    at = int.from_bytes(_rank(seed, "sizes", "start")) % total
    for task in sorted(banks, key=lambda task: _rank(seed, "sizes", "task", task)):
        before, at = at, at + n * len(banks[task]) % total
        sizes[task] += at // total - before // total
    return sizes


def _rank(seed: int, *words: str) -> bytes:
    return hashlib.sha256("\t".join([str(seed), *words]).encode("utf-8", "surrogatepass")).digest()


def draw(banks: Mapping[str, Sequence[str]], n: int, seed: int) -> dict[str, list[str]]:
    """n items of the banks {task: ids}, stratified by task, in the order of each bank. Raises InputError if there are
    not so many."""
    total = sum(map(len, banks.values()))
    if not 0 < n <= total:
        raise InputError(f"{n:,} items are to be drawn and the bank has {total:,}: ask all of it, allow a larger drop "
                         "or a lower power, or add questions")
    return _drawn(banks, sizes_of(banks, n, seed), seed)


def _drawn(banks: Mapping[str, Sequence[str]], sizes: Mapping[str, int], seed: int) -> dict[str, list[str]]:
    sample = {}
    for task, bank in banks.items():
        ranks = {item: _rank(seed, task, item) for item in bank}
        first = set(sorted(bank, key=lambda item: ranks[item])[: sizes[task]])
        sample[task] = [item for item in bank if item in first]
    return sample


def content_of(banks: Mapping[str, Sequence[str]], n: int, seed: int) -> dict:
    """The content of a sample's file. Ids that are all integers are written as such, as the harness needs them."""
    if (total := sum(map(len, banks.values()))) > MOST_ITEMS:
        raise InputError(f"the bank has {total:,} items, and samples are drawn of up to {MOST_ITEMS:,}: name a part of "
                         "it")
    ordered = {task: _ordered(bank) for task, bank in banks.items()}
    sample = draw(ordered, n, seed)
    record = {"seed": seed, "n": {task: len(items) for task, items in sample.items()},
              "bank": {task: len(bank) if bank == [str(i) for i in range(len(bank))] else _written(bank)
                       for task, bank in ordered.items()}}
    return {**{task: _written(items) for task, items in sample.items() if items}, RECORD: record}


def _integers(items: Sequence[str]) -> bool:
    return all(item.isdecimal() and str(int(item)) == item for item in items)


def _whole(number: object) -> int:
    """Raises TypeError for anything but a whole number of 0 or more."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise TypeError
    return number


def _ordered(items: Sequence[str]) -> list[str]:
    """Ascending: harness 0.4 logs wrong ids of samples that are not."""
    return sorted(items, key=int) if _integers(items) else sorted(items)


def _written(items: Sequence[str]) -> list:
    return [int(item) for item in items] if _integers(items) else list(items)


@dataclass(frozen=True)
class Drawn:
    """A sample that was asked, {task: ids} of the banks {task: ids}. What is missing of it counts against the
    candidate; the rest of the bank is left out by design."""

    tasks: dict[str, list[str]]
    banks: dict[str, list[str]]
    source: str

    @classmethod
    def read(cls, path: Path | str) -> Drawn:
        """From a file of `plan --write-samples`. Raises InputError for any other, and where drawing it again from its
        seed gives another sample."""
        content = read_json(path)
        if not isinstance(content, dict) or not content:
            raise InputError(f"{path}: not a sample of plan --write-samples")
        record = content.get(RECORD)
        if not isinstance(record, dict):
            chosen = any(key in content for key in CHOSEN)
            how = "chosen by earlier answers" if chosen else "no record of how it was drawn"
            raise InputError(f"{path}: {how}, and items that were not drawn at random show a drop of their own, "
                             "not of the bank: take a sample of plan --write-samples (the selection.json of flips goes "
                             "to --items)")
        try:
            seed, sizes = _whole(record["seed"]), {task: _whole(size) for task, size in record["n"].items()}
            if sum(bank for bank in record["bank"].values() if isinstance(bank, int)) > MOST_ITEMS:
                raise InputError(f"{path}: a bank of more than {MOST_ITEMS:,} items: it was edited")
            banks = {task: [str(i) for i in (range(_whole(bank)) if isinstance(bank, (int, float)) else bank)]
                     for task, bank in record["bank"].items()}
            found = {task: [str(i) for i in items] for task, items in content.items() if task != RECORD}
            again = _drawn(banks, sizes, seed)
        except (TypeError, KeyError, ValueError, AttributeError):
            raise InputError(f"{path}: the record of how it was drawn is damaged; draw it again with plan "
                             "--write-samples") from None
        wrong = [task for task in {**again, **found} if again.get(task, []) != found.get(task, [])]
        if wrong or sizes != sizes_of(banks, sum(sizes.values()), seed):
            where = f" ({', '.join(wrong[:3])})" if wrong else ""
            raise InputError(f"{path}: seed {seed} draws other items{where}: it was edited, or chosen in another way "
                             "(an earlier version rounded tasks by their names); draw it again with plan "
                             "--write-samples")
        return cls({task: items for task, items in again.items() if items}, banks, str(path))

    def restrict(self, run: dict[str, TaskScores], name: str) -> dict[str, TaskScores]:
        """One run on the sample only; an item that it lacks has no score. Raises InputError for a task without any."""
        kept = {task: scores for task, scores in run.items() if task in self.tasks}
        if not kept:
            raise InputError(f"{name}: none of its tasks ({', '.join(run)}) is in {self.source}, which has "
                             f"{', '.join(self.tasks)}")
        absent = [task for task in self.tasks if task not in run]
        sizes = [sum(map(len, one.values())) for one in (self.tasks, self.banks)]
        note = (f"asked were {sizes[0]:,} of {sizes[1]:,} items, drawn at random ({self.source}): an item of these "
                "without an answer counts against the candidate")
        found = {}
        if absent:
            note += f"; of its tasks {', '.join(absent[:3])}{', …' if len(absent) > 3 else ''} are not looked at here"
        for task, scores in kept.items():
            items = self.tasks[task]
            if not scores.frame.index.isin(items).any():
                raise InputError(f"{name}: {task}: none of the {len(items):,} items of {self.source} is there")
            other = scores.frame.index.difference(self.banks[task], sort=False)
            if len(other):
                raise InputError(f"{name}: {task}: item {other[0]} and {len(other) - 1:,} more are not in the bank "
                                 f"that {self.source} was drawn from: draw it again, from a run of all items")
            frame = scores.frame.reindex(items)
            frame["runs"] = frame["runs"].fillna(0).astype(int)
            outside = len(scores.frame) - int(scores.frame.index.isin(items).sum())
            notes = [note] + ([f"{name}: {task}: {outside:,} items outside the sample are left out, by design"]
                              if outside else [])
            found[task] = replace(scores, frame=frame, sampled=True, notes=(*scores.notes, *notes),
                                  answers=None if scores.answers is None else scores.answers.reindex(items))
        return found
