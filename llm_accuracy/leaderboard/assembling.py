"""The records of scraped models → a dataset: M1, M2, questions, and a manifest of how it was made."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import atomic
from ..scores.dataset import Dataset, write_dataset
from ..scores.matrix import Responses, split_by_date
from . import suites
from .scraping import Model, read_record, write_rows
from .suites import Task

MADE_BY = "data/scrape_leaderboard.py"


@dataclass(frozen=True)
class Assembled:
    """The outcome for the chosen models: which are complete, and why the others were left out."""

    suite: str
    models: list[Model]
    kept: list[Model]
    dropped: dict[str, str]
    hashes: dict[str, dict]
    published: list[tuple]
    raw: Path
    data_dir: Path

    def lines(self) -> Iterator[str]:
        """A summary for the user."""
        yield f"{self.suite}: {len(self.kept)} of {len(self.models)} models are complete"
        for reason, n in Counter(self.dropped.values()).most_common(5):
            yield f"  left out: {n} x {reason}"
        for column in dict.fromkeys(row[1] for row in self.published):
            agree = [row[4] for row in self.published if row[1] == column]
            yield f"  {column}: {sum(agree)} means agree with the published ones, {len(agree) - sum(agree)} differ"
        others = {task: found["models_with_other_hashes"] for task, found in self.hashes.items()}
        if most := max(others.values()):
            some = sum(map(bool, others.values()))
            yield (f"  question hashes other than the usual: in {some} of {len(others)} tasks, at most "
                   f"{most} of {len(self.kept)} models (manifest.json)")
        yield ("  ordered by the date of the upload to the hub, which is created_date in M1 and M2; the manifest has "
               "the dates "
               "of submission beside it")
        yield f"  wrote {self.data_dir / self.suite}; reasons and checks are in {self.raw}"


def assemble(suite: str, tasks: tuple[Task, ...], models: list[Model], failures: dict, contents: str,
             raw: Path, data_dir: Path) -> Assembled:
    """M1, M2, questions and manifest from the models' records in `raw`, into a folder of `data_dir`.

    tasks     of the suite
    models    the chosen ones
    failures  (model, task) → why it could not be read, as returned by `Scrape.run`
    contents  revision of the table of models

    Raises InputError if fewer than two models are complete.
    """
    write_rows(raw / "failures.csv", ("model", "task", "reason"),
               [(*key, reason) for key, reason in sorted(failures.items())])
    failed = {model for model, _ in failures}
    whole = [model for model in models if model.name not in failed]
    if len(whole) > 1:
        scores, records, dropped, hashes = _gather(raw, tasks, whole)
    if len(whole) < 2 or len(records) < 2:
        raise InputError(f"{suite}: {len(whole) if len(whole) < 2 else len(records)} of {len(models)} models are "
                         f"complete, two are needed; {raw}/failures.csv says why")
    dropped |= {model: f"{task}: {reason}" if task else reason for (model, task), reason in sorted(failures.items())}
    kept = [model for model in whole if model.name in records]
    rows = _check_published(tasks, kept, records)
    write_rows(raw / "published_scores.csv", ("model", "benchmark", "scraped", "published", "agrees"), rows)
    questions, labels, categories = _question_columns(raw, tasks, hashes)
    responses = Responses(
        np.array([model.name for model in kept]), questions, scores, np.array([model.date for model in kept]),
        np.array([model.sha for model in kept]), np.array([model.root for model in kept]), labels, categories,
        source=suite)
    _write(suite, responses, data_dir, dict(
        contents={"dataset": suites.CONTENTS, "revision": contents},
        models={"chosen": len(models), "complete": len(kept), "dropped": dropped},
        doc_hashes=hashes, published=dict(Counter(f"{row[1]}: {'agrees' if row[4] else 'differs'}" for row in rows)),
        dates={model.name: {"uploaded": model.date, "submitted": model.submitted} for model in kept},
        revisions={model.name: records[model.name]["revision"] for model in kept}))
    return Assembled(suite, models, kept, dropped, hashes, rows, raw, data_dir)


def _gather(raw: Path, tasks: tuple[Task, ...], models: list[Model]):
    """(scores (M, N) int8, {model: record without its scores}, {model: why it is dropped}, hashes).

    The questions must be the same for all. A model whose hashes are the usual ones in another order is dropped;
    one with other hashes is kept and counted: some tasks reshuffle the choices in every run.
    """
    scores = np.empty((len(models), sum(task.size for task in tasks)), np.int8)
    records = {}
    for i, model in enumerate(models):
        record = read_record(raw / "models" / f"{suites.folder_of(model.name)}.json")
        scores[i] = suites.scores_of(record, tasks)
        for kept in record["tasks"].values():
            del kept["scores"]
        records[model.name] = record
    dropped: dict[str, str] = {}
    hashes: dict[str, dict] = {}
    for task in tasks:
        kept = {name: record["tasks"][task.name] for name, record in records.items()}
        docs = suites.usual(r["docs"] for r in kept.values())
        doc_set = next(r["doc_set"] for r in kept.values() if r["docs"] == docs)
        permuted = [n for n, r in kept.items() if r["docs"] != docs and r["doc_set"] == doc_set]
        dropped |= {name: f"{task.name}: the usual questions in another order" for name in permuted}
        others = sum(r["docs"] != docs for r in kept.values()) - len(permuted)
        hashes[task.name] = {"docs": docs, "models_with_other_hashes": others}
    keep = np.array([model.name not in dropped for model in models], bool)
    return scores[keep], {n: r for n, r in records.items() if n not in dropped}, dropped, hashes


def _question_columns(raw: Path, tasks: tuple[Task, ...], hashes: dict):
    """(names, tasks, categories) of the questions: MMLU-Pro's 14 subjects are the tasks of category mmlu_pro."""
    names, labels, categories = [], [], []
    for task in tasks:
        path = raw / "docs" / f"{task.name}.{hashes[task.name]['docs']}.csv"
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                subjects = [row["category"] for row in csv.DictReader(stream)]
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise InputError(f"{path}: not the questions of {task.name} ({error}); scrape again") from None
        names += [f"leaderboard_{task.name}/{i}" for i in range(task.size)]  # as the harness's own logs are imported
        labels += [subject or task.name for subject in subjects]
        categories += [task.category] * task.size
    return np.array(names), np.array(labels), np.array(categories)


def _check_published(tasks: tuple[Task, ...], models: list[Model], records: dict) -> list[tuple]:
    """(model, benchmark, scraped, published, agrees): a mean agrees if it is off by less than half a question in
    one of the model's published evaluations."""
    asked: Counter[str] = Counter()
    for task in tasks:
        asked[task.published] += task.size
    rows = []
    for model in models:
        for column, scraped in suites.raw_scores(records[model.name], tasks).items():
            published = [p[column] for p in model.published if column in p]
            nearest = min(published, key=lambda value: abs(value - scraped), default=float("nan"))
            rows.append((model.name, column, scraped, nearest, int(abs(nearest - scraped) < 0.5 / asked[column])))
    return rows


def _write(suite: str, responses: Responses, data_dir: Path, facts: dict) -> None:
    """The dataset's files, in an order such that a kill at any moment leaves a folder that the scraper can finish."""
    folder = data_dir / suite
    history, new = split_by_date(responses)
    manifest = {"made_by": MADE_BY, "suite": suite, "questions": responses.n_questions,
                "split": {"by": "upload date", "M1": history.n_models, "M2": new.n_models}, **facts,
                "versions": {name: version(name) for name in ("huggingface_hub", "pyarrow", "numpy")},
                "files": None}
    _write_json(folder / "manifest.json", manifest)
    write_dataset(folder, history, new, overwrite=True)
    manifest["files"] = {name: _sha256(folder / name) for name in ("M1.csv", "M2.csv", "questions.csv")}
    _write_json(folder / "manifest.json", manifest)
    dataset = Dataset(data_dir, suite)  # reads both back, which checks them and leaves the compact cache
    assert dataset.history().n_models + dataset.new_models().n_models == responses.n_models
    for torn in folder.glob(".*.part"):
        torn.unlink(missing_ok=True)


# --- what exists already -------------------------------------------------------------------------------

def _read_manifest(folder: Path) -> dict:
    """The manifest that the scraper wrote with a dataset; {} if there is none."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        ours = manifest["made_by"] == MADE_BY and isinstance(manifest.get("files", {}), dict | None)
        return manifest if ours and isinstance(manifest.get("revisions", {}), dict) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def refuse_foreign(folder: Path, overwrite: bool) -> None:
    """Raise InputError if the folder holds a dataset that the scraper did not make, or that was edited since."""
    there = [folder / name for name in ("M1.csv", "M2.csv", "questions.csv") if (folder / name).exists()]
    manifest = _read_manifest(folder)
    files = manifest.get("files")  # None while it is being written
    ours = bool(manifest) and (files is None or all(_sha256(path) == files.get(path.name) for path in there))
    if there and not ours and not overwrite:
        raise InputError(f"{there[0]}: exists already and is not what this script wrote; choose another --data-dir, "
                         "or pass --overwrite")


def refuse_fewer(folder: Path, models: list[Model], overwrite: bool) -> None:
    """Raise InputError if an existing dataset has models that are not chosen now."""
    lost = sorted(set(_read_manifest(folder).get("revisions", {})) - {model.name for model in models})
    if lost and not overwrite:
        raise InputError(f"{folder}: the existing dataset has {len(lost)} models that are not chosen now, first "
                         f"{lost[0]}; choose another --data-dir, or pass --overwrite")


def _write_json(path: Path, value: dict) -> None:
    with atomic(path, "w") as stream:
        json.dump(value, stream, indent=1)
        stream.write("\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
