"""Scraping the leaderboard: choosing models, and reading their answers, several at a time and resumable."""

from __future__ import annotations

import csv
import json
import re
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import cli
from ..errors import InputError
from ..files import atomic
from . import suites
from .hub import File, Hub, Unavailable
from .suites import Answers, BadSamples, Task

CONTENT_COLUMNS = ["fullname", "Model sha", "Upload To Hub Date", "Submission Date", "Base Model",
                   *suites.PUBLISHED.values()]


# --- which models --------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Model:
    """One model of the contents table; `published` has the raw scores of each of its evaluations. `date` is that of
    its upload to the hub, which orders the history, `submitted` that of its first submission to the leaderboard."""

    name: str
    date: str
    sha: str
    root: str
    published: tuple[dict[str, float], ...]
    submitted: str = ""


@dataclass(frozen=True)
class Contents:
    """The leaderboard's table of models at one revision, kept as RAW_DIR/contents.<revision>.csv."""

    revision: str
    models: list[Model]

    @staticmethod
    def load(hub: Hub, raw_dir: Path, refresh: bool, keep: bool) -> Contents:
        """From the local copy, else from the hub; a local copy is then made if `keep`."""
        there = sorted(raw_dir.glob("contents.*.csv"))
        if there and not refresh:
            try:
                with there[-1].open(newline="", encoding="utf-8") as stream:
                    models = _models(list(csv.DictReader(stream)))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
                raise InputError(f"{there[-1]}: not the table of models ({error or type(error).__name__}); --refresh "
                                 "fetches it again") from None
            return Contents(there[-1].stem.removeprefix("contents."), models)
        try:
            revision = hub.revision(suites.CONTENTS)
            rows = _fetch_rows(hub, revision)
        except (Unavailable, KeyError) as error:
            raise InputError(f"{suites.CONTENTS}: the table of models cannot be read: {error}") from None
        if keep:
            write_rows(raw_dir / f"contents.{revision}.csv", CONTENT_COLUMNS, [list(row.values()) for row in rows])
            for older in {*there, *raw_dir.glob(".contents.*.part")} - {raw_dir / f"contents.{revision}.csv"}:
                older.unlink()
        return Contents(revision, _models(rows))


def _fetch_rows(hub: Hub, revision: str) -> list[dict[str, str]]:
    tables = [file for file in hub.files(suites.CONTENTS, revision) if file.path.endswith(".parquet")]
    if not tables:
        raise Unavailable("it contains no parquet file")
    rows = [row for file in sorted(tables, key=lambda file: file.path)
            for row in hub.table(file, CONTENT_COLUMNS).to_pylist()]
    return [{name: "" if row[name] is None else str(row[name]) for name in CONTENT_COLUMNS} for row in rows]


def _models(rows: list[dict]) -> list[Model]:
    """One Model per name (a model may have been evaluated in several precisions), sorted by name."""
    base = {_bare(row["fullname"]): _bare(row["Base Model"]) for row in rows}
    by_name: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["Submission Date"]):
        by_name.setdefault(row["fullname"], []).append(row)
    dates = {name: min(filter(None, (row["Upload To Hub Date"] for row in same)), default="")
             for name, same in by_name.items()}
    return [Model(name, dates[name][:10], same[-1]["Model sha"], _root(_bare(name), base),
                  tuple({c: float(row[c]) for c in suites.PUBLISHED.values() if row[c]} for row in same),
                  min(filter(None, (row["Submission Date"] for row in same)), default="")[:10])
            for name, same in sorted(by_name.items())]


def _bare(name: str) -> str:
    """A name of the contents table without what it adds, such as " (Merge)"."""
    return re.sub(r"(\s*\([^()]*\))+\s*$", "", name).strip()


def _root(name: str, base: dict[str, str]) -> str:
    """The base model of the base model, and so on; a model without a known base is its own root."""
    seen = {name}
    while (parent := base.get(name, "")) and parent != "Removed" and parent not in seen:
        seen.add(parent)
        name = parent
    return name


def choose(models: list[Model], tasks: tuple[Task, ...], names: list[str] | None = None, since: str | None = None,
           one_per_base_model: bool = False, limit: int | None = None) -> list[Model]:
    """The requested models, by name; with `limit`, that many, spread evenly over the suite's published score.

    Raises InputError for a name that is not in the table, and if no model is left.
    """
    if names:
        unknown = sorted(set(names) - {model.name for model in models})
        if unknown:
            raise InputError(f"--models {unknown[0]}: not in {suites.CONTENTS}; write it as org/name, as in that table")
        models = [model for model in models if model.name in set(names)]
    if since:
        models = [model for model in models if model.date >= since]
    if one_per_base_model:
        first: dict[str, Model] = {}
        for model in sorted(models, key=lambda model: (model.date or "9999", model.name)):
            first.setdefault(model.root, model)
        models = sorted(first.values(), key=lambda model: model.name)
    if limit and limit < len(models):
        ranked = sorted(models, key=lambda model: (_mean_published(model, tasks), model.name))
        spread = np.linspace(0, len(ranked) - 1, limit).round().astype(int)
        models = sorted((ranked[i] for i in spread), key=lambda model: model.name)
    if not models:
        raise InputError("no model is left to scrape; relax --since or --models")
    return models


def _mean_published(model: Model, tasks: tuple[Task, ...]) -> float:
    wanted = {task.published for task in tasks}
    return sum(model.published[-1].get(column, 0.0) for column in sorted(wanted)) / len(wanted)


# --- reading -------------------------------------------------------------------------------------------

class Scrape:
    """Reads the answers of many models to a suite's tasks, several at a time.

    A record (models/<org>__<model>.json) is rewritten as a whole after every task; an unfinished task saves its state
    in .partial/ every `checkpoint` seconds, with the revision and the byte to resume from.
    """

    def __init__(self, hub: Hub, tasks: tuple[Task, ...], folder: Path, parquet: bool, checkpoint: float,
                 refresh: bool):
        self.hub, self.tasks, self.folder = hub, tasks, folder
        self.parquet, self.checkpoint, self.refresh = parquet, checkpoint, refresh
        self.lock = threading.Lock()
        for name in ("models", "docs", ".partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def run(self, models: list[Model], jobs: int, what: str) -> dict[tuple[str, str], str]:
        """(model, task) → why it could not be read; task "" if it was the dataset.

        Raises InputError if the hub refuses everything.
        """
        failures: dict[tuple[str, str], str] = {}
        with cli.Progress(len(models) * len(self.tasks), what, "task") as self.progress:
            pool = ThreadPoolExecutor(jobs)
            try:
                running = [pool.submit(self.model, model) for model in models]
                for done in as_completed(running):
                    failures |= done.result()
            except BaseException:
                self.hub.stop.set()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
        self._clean()
        return failures

    def model(self, model: Model) -> dict[tuple[str, str], str]:
        """Read the missing tasks of one model, up to the first that cannot be read."""
        record = self._read_record(model)
        at, left = "", len(self.tasks)
        for settled in (*record["tasks"], *record["failed"]):
            self._partial(record, settled).unlink(missing_ok=True)  # a kill may have come between the two writes
        try:
            if len(record["tasks"]) < len(self.tasks) and not record["failed"]:
                self._open(record)
            for task in self.tasks:
                if record["failed"]:
                    break
                at = task.name
                if task.name not in record["tasks"]:
                    self._task(record, task)
                left -= 1
                self._advance(1)
        except Unavailable as error:
            return {(model.name, at): str(error)}
        finally:
            self._advance(left)
        return {(model.name, task): reason for task, reason in record["failed"].items()}

    def _open(self, record: dict) -> None:
        """Pin the revision and find the newest run of every task; tasks without one are failures."""
        repo = record["dataset"]
        record["revision"] = record["revision"] or self.hub.revision(repo)
        listed = {file.path: file for file in self.hub.files(repo, record["revision"])}
        chosen = {task.name: suites.newest_file(task, listed) for task in self.tasks}
        record["files"] = {name: listed[path] for name, path in chosen.items() if path}
        record["failed"] = {name: "no samples file" for name, path in chosen.items() if path is None}
        record["converted"] = None
        if record["failed"]:
            self._write_record(record)

    def _task(self, record: dict, task: Task) -> None:
        file = record["files"][task.name]
        try:
            answers, via = self._from_parquet(record, task, file) or (self._from_lines(record, task, file), "stream")
            kept = answers.finished()
        except BadSamples as error:
            record["failed"][task.name] = str(error)
            self._write_record(record)
        else:
            docs = self.folder / "docs" / f"{task.name}.{kept['docs']}.csv"
            if not docs.is_file():
                with self.lock, atomic(docs, "w") as stream:
                    stream.write("doc_hash,category\n" + "\n".join(answers.docs()) + "\n")
            record["tasks"][task.name] = {"file": file.path, "via": via, **kept}
            self._write_record(record)
        self._partial(record, task.name).unlink(missing_ok=True)

    def _from_parquet(self, record: dict, task: Task, file: File) -> tuple[Answers, str] | None:
        """The answers from the hub's parquet conversion; None if that does not have all of this run."""
        if not self.parquet or self._partial(record, task.name).is_file():
            return None
        if record["converted"] is None:
            record["converted"] = self.hub.converted(record["dataset"])
        for folder in suites.parquet_folders(record["model"], task, file.path):
            parts = sorted((f for f in record["converted"] if f.path.startswith(folder)), key=lambda f: f.path)
            if not parts:
                continue
            answers = Answers(task)
            try:
                for part in parts:
                    suites.add_table(answers, self.hub.table(part, task.columns))
                answers.finished()
            except (Unavailable, KeyError, BadSamples):
                return None  # the file itself is authoritative
            return answers, f"parquet {parts[0].revision}"
        return None

    def _from_lines(self, record: dict, task: Task, file: File) -> Answers:
        partial = self._partial(record, task.name)
        answers, start = self._resume(partial, task, file)
        saved = time.monotonic()
        for line, offset in self.hub.lines(file, start):
            answers.add_line(line)
            if (now := time.monotonic()) - saved >= self.checkpoint:
                saved = now
                with atomic(partial, "w") as stream:
                    json.dump({"file": file.path, "revision": file.revision, "offset": offset, **answers.state()},
                              stream)
        return answers

    @staticmethod
    def _resume(partial: Path, task: Task, file: File) -> tuple[Answers, int]:
        try:
            state = json.loads(partial.read_text(encoding="utf-8"))
            if (state["file"], state["revision"]) == (file.path, file.revision):
                return Answers.resume(task, state), state["offset"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass  # torn: begun again
        return Answers(task), 0

    def _partial(self, record: dict, task: str) -> Path:
        return self.folder / ".partial" / f"{suites.folder_of(record['model'])}.{task}.json"

    def _record_path(self, model: str) -> Path:
        return self.folder / "models" / f"{suites.folder_of(model)}.json"

    def _read_record(self, model: Model) -> dict:
        path = self._record_path(model.name)
        fresh: dict[str, Any] = {"model": model.name, "dataset": suites.dataset_of(model.name), "revision": None,
                                 "tasks": {}, "failed": {}}
        if not path.is_file():
            return fresh
        record = read_record(path)
        return fresh if record["failed"] and self.refresh else record

    def _write_record(self, record: dict) -> None:
        kept = {name: record[name] for name in ("model", "dataset", "revision", "tasks", "failed")}
        kept["tasks"] = {task.name: record["tasks"][task.name] for task in self.tasks if task.name in record["tasks"]}
        with atomic(self._record_path(record["model"]), "w") as stream:
            json.dump(kept, stream, indent=1)
            stream.write("\n")

    def _advance(self, n: int) -> None:
        if n:
            with self.lock:
                self.progress.advance(n)

    def _clean(self) -> None:
        """Remove the half-written files of killed runs, once nothing is being written any more."""
        for torn in self.folder.rglob(".*.part"):
            torn.unlink(missing_ok=True)
        if not any((self.folder / ".partial").iterdir()):
            (self.folder / ".partial").rmdir()


def read_record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(record["tasks"], dict) and isinstance(record["failed"], dict) and "revision" in record):
            raise ValueError("tasks or failed is not a table")
        return record
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a record of a model ({error}); delete it and scrape again") from None


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    with atomic(path, "w") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
