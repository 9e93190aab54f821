"""Items of two models as they arrive, in a stream of JSON lines or in two score files that are still being written."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import check_line, check_size, parse_json
from ..scores.contract import plain
from ..scores.lm_eval import sample_direction
from ..scores.lm_eval_samples import read_sample
from ..scores.score_values import score_number, told
from ..scores.task_scores import ONLY_TASK, Choices

Item = tuple[str, float, float]  # prompt id, baseline's score, candidate's score; NaN = missing


def read_stream(lines: Iterable[str], name: str, choices: Choices | None = None) -> Iterator[Item]:
    """Items of JSON lines {"prompt_id": …, "baseline": …, "candidate": …}; null is a missing score.

    Raises InputError, with the line number, for anything else, for a prompt_id given twice and beyond the limits.
    """
    seen: set[str] = set()
    values = choices.values if choices else {}
    for number, line in _numbered(lines, name):
        if not line.strip():
            continue
        where = f"{name}: line {number}"
        record = parse_json(line.encode("utf-8", "surrogatepass"), where)
        if not isinstance(record, dict) or not {"prompt_id", "baseline", "candidate"} <= record.keys():
            raise InputError(f'{where}: expected {{"prompt_id": …, "baseline": 0, "candidate": 1}}')
        if isinstance(record["prompt_id"], (dict, list, type(None))) or not str(record["prompt_id"]).strip():
            raise InputError(f"{where}: prompt_id is {json.dumps(record['prompt_id'])[:40]}: every item needs a name")
        item = plain(record["prompt_id"])
        if item in seen:
            raise InputError(f"{where}: prompt_id {item} appeared before; every item must be given once")
        seen.add(item)
        baseline, candidate = (_zero_one(record[key], f"{where}: {key}", values) for key in ("baseline", "candidate"))
        yield item, baseline, candidate


def _numbered(lines: Iterable[str], name: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(lines, start=1):
            check_line(len(line), f"{name}: line {number}")
            yield number, line
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: line {number + 1}: not UTF-8 ({error.reason})") from None


def _zero_one(value, where: str, values: Mapping[str, float]) -> float:
    """The score, or what the user said it is worth; NaN where it is missing."""
    worth = told(value, values)
    number = score_number(value if worth is None else worth, where)
    if not (np.isnan(number) or number in (0.0, 1.0)):
        raise InputError(f"{where} = {value!r}: watch takes scores of 0 or 1; use pair for others")
    return number


class Growing:
    """A score file that another process may still be writing: CSV, or samples of lm-evaluation-harness."""

    def __init__(self, path: Path | str, choices: Choices | None = None, task: str | None = None):
        self.path, self.choices, self.task = Path(path), choices or Choices(), task
        self.place, self.lines = 0, 0
        self.header: list[str] | None = None
        self.metric: tuple[str, str] | None = None
        self.scores: dict[str, float] = {}
        self.names: list[str] = []  # of the items, in the order of the file
        self.at: dict[str, int] = {}
        self.tasks: dict[str, None] = {}  # those of a CSV, in their order
        self.hashes: dict[str, dict] = {}
        if not self.path.is_file():
            raise InputError(f"{path}: no such file; watch reads one CSV or samples_<task>_<time>.jsonl a model")
        if self.path.suffix == ".gz":
            raise InputError(f"{path}: watch reads files that may still grow, which are not compressed: unpack it, or "
                             "use pair")

    def higher_is_better(self) -> bool | None:
        """Whether a higher score is better, according to the user or to the results file next to finished samples; None
        as long as there is none."""
        return sample_direction(self.path, self.metric[0], self.choices) if self.metric else None

    def read_new(self, finished: bool = False) -> list[str]:
        """The items of the whole lines that were added since the last call; of a finished file also that of a last line
        without an end."""
        with self.path.open("rb") as file:
            file.seek(0, io.SEEK_END)
            if file.tell() < self.place:
                raise InputError(f"{self.path}: it became shorter while it was being watched; start again")
            check_size(file.tell(), str(self.path))
            file.seek(self.place)
            text = file.read()
        # A line without its end is still being written.
        self.place += len(text) if finished else text.rfind(b"\n") + 1
        if finished and text and not text.endswith(b"\n"):
            text += b"\n"
        new = []
        *whole, rest = text.split(b"\n")
        check_line(len(rest), f"{self.path}: its last line")
        for raw in whole:
            self.lines += 1
            check_line(len(raw), f"{self.path}: line {self.lines}")
            try:
                line = raw.decode("utf-8").rstrip("\r")
            except UnicodeDecodeError as error:
                raise InputError(f"{self.path}: line {self.lines}: not UTF-8 ({error.reason})") from None
            if line.strip():
                item = self._read_csv(line) if self.path.name.endswith(".csv") else self._read_sample(line)
                if item is not None:
                    new.append(item)
        return new

    def _read_csv(self, line: str) -> str | None:
        try:
            cells = next(csv.reader([line]))
        except csv.Error as error:
            raise InputError(f"{self.path}: row {self.lines}: not a row of a CSV ({error})") from None
        if self.header is None:
            self.header = [cell.lstrip("\ufeff").strip().lower() for cell in cells]
            named_once = all(self.header.count(name) == 1 for name in ("prompt_id", "score"))
            if not named_once or {"run", "cluster"} & set(self.header):
                raise InputError(f"{self.path}: row 1: watch needs the columns prompt_id,score[,task] and takes no "
                                 f"runs or clusters; it has {','.join(self.header)}")
            if self.task not in (None, ONLY_TASK) and "task" not in self.header:
                raise InputError(f"{self.path}: no task {self.task}: it has no column task")
            return None
        if len(cells) != len(self.header):
            raise InputError(f"{self.path}: row {self.lines}: {len(cells)} cells under {len(self.header)} columns")
        row = dict(zip(self.header, cells, strict=True))
        self.tasks.setdefault(row.get("task", ONLY_TASK))
        if self.task and row.get("task", self.task) != self.task:
            return None
        if not row["prompt_id"].strip():
            raise InputError(f"{self.path}: row {self.lines}: prompt_id is empty; every score needs its item")
        item = row["prompt_id"] if self.task or "task" not in row else f"{row['task']}/{row['prompt_id']}"
        return self._keep(item, row["score"], {})

    def _read_sample(self, line: str) -> str | None:
        record, self.metric = read_sample(line, self.path, self.lines, self.choices, self.metric)
        if record is None:
            return None
        return self._keep(str(record["doc_id"]), record["score"], record)

    def _keep(self, item: str, value, hashes: dict) -> str:
        if item in self.scores:
            raise InputError(f"{self.path}: row {self.lines}: item {item} occurs twice")
        self.scores[item] = _zero_one(value, f"{self.path}: row {self.lines}: score", self.choices.values)
        self.hashes[item] = hashes
        self.at[item] = len(self.names)
        self.names.append(item)
        return item


class PassedOver:
    """Items that one of two growing files has gone past and the other lacks so far. What failed is often not written at
    all, so that until the end nothing else tells a missing answer from one that is still to come.

    count  of them; `lost` those that are lost if what is missing counts against the candidate, kept as they come and
           go: at the end items are matched one by one
    """

    def __init__(self, baseline: Growing, candidate: Growing, lower_is_better: bool = False):
        self.runs = baseline, candidate
        self.worst = (0.0, 1.0) if lower_is_better else (1.0, 0.0)  # the score of each with which an item is lost
        self.reached = [0, 0]
        self.matched: set[str] = set()
        self.open: dict[str, bool] = {}  # item → whether it is lost at worst
        self.lost = 0

    @property
    def count(self) -> int:
        return len(self.open)

    def match(self, items: Iterable[str]) -> None:
        """Both have these items, or it is known that one never will."""
        new = list(items)
        self.matched.update(new)
        for which, run in enumerate(self.runs):
            end = max((run.at[item] for item in new if item in run.at), default=-1)
            for name in run.names[self.reached[which] : end]:
                if name not in self.matched and not np.isnan(run.scores[name]):
                    self.open[name] = run.scores[name] == self.worst[which]
                    self.lost += self.open[name]
            self.reached[which] = max(self.reached[which], end)
        for item in new:
            self.lost -= self.open.pop(item, False)


def in_order_of_files(baseline: Growing, candidate: Growing) -> list[str]:
    """All items of both in the order of the baseline's file; those that only the candidate has follow the item that
    they follow there."""
    after: dict[str | None, list[str]] = {}
    last = None
    for name in candidate.names:
        if name in baseline.at:
            last = name
        else:
            after.setdefault(last, []).append(name)
    return [*after.get(None, []), *(one for name in baseline.names for one in (name, *after.get(name, [])))]


def follow(baseline: Growing, candidate: Growing, patience: float | None, interval: float = 1.0,
           passed: PassedOver | None = None) -> Iterator[Item]:
    """Items of two growing files, as soon as both have them; at the end those that only one of them has.

    patience  seconds without new items after which the files are considered complete; None: read once
    passed    is kept up to date
    """
    last = time.monotonic()
    while True:
        finished = patience is None or time.monotonic() - last >= patience
        before = set(baseline.scores)
        fresh = baseline.read_new(finished)
        # In the order of the file that completes the pair.
        late = candidate.read_new(finished)
        ready = [item for item in late if item in before] + [
            item for item in fresh if item in candidate.scores]
        if passed:
            passed.match(ready)
        for item in ready:
            for name in ("doc_hash", "target_hash"):
                hashes = [run.hashes[item].get(name) for run in (baseline, candidate)]
                if None not in hashes and hashes[0] != hashes[1]:
                    raise InputError(f"{baseline.path} and {candidate.path}: item {item}: the {name[:-5]} differs: "
                                     "not the same questions, so the runs cannot be paired")
            yield item, baseline.scores[item], candidate.scores[item]
        if fresh or late:
            last = time.monotonic()
        if finished:
            for item in (*baseline.names, *candidate.names):
                if item in baseline.at and item in candidate.at:
                    continue
                if passed:
                    passed.match([item])
                yield item, baseline.scores.get(item, np.nan), candidate.scores.get(item, np.nan)
            return
        time.sleep(interval)
