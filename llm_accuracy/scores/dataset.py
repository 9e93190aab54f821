"""A *dataset*: a history, new models, and the history as seen in scenarios of missingness. It is a folder (or a zip
of one) with

    M1.csv                      history: the older models
    M2.csv                      new models, complete
    M1_nfobs=<n|None>_p=<p>.csv history as seen in one scenario of missingness (optional), or
    masks/nfobs=<n>_p=<p>.npz   the same as a packed mask
    questions.csv               question,task[,category] (optional)
    truth.npz                   log-odds of the new models' answers (simulated boards only)

the layout of the archive published with arXiv 2601.20251.
"""

from __future__ import annotations

import csv
import io
import zipfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import locks
from ..errors import InputError
from ..files import DAMAGED, atomic, check_new, check_zip, plain_name, reading, unpacked
from .matrix import Responses, _parse, _read_compact, _write_compact, read_matrix, write_rows
from .scenario import ALL_OBSERVED, Scenario, read_mask


class Dataset:
    """One dataset under a data folder, as a folder or a zip.

    Raises InputError if it does not exist, with the step that makes it. Source of the layout: the archive published
    with arXiv 2601.20251.
    """

    def __init__(self, data_dir: Path | str, name: str):
        self.name, self.folder = plain_name(name, "--datasets"), Path(data_dir) / name
        archive = Path(data_dir) / f"{name}.zip"
        self.archive = archive if archive.is_file() else None
        if not self.folder.is_dir() and self.archive is None:
            known = ", ".join(datasets_in(data_dir)) or "none"
            raise InputError(
                f"{self.folder}: no such dataset (available: {known}); python data/simulate_leaderboard.py makes "
                f"'simulated', python data/split_history.py MATRIX.csv --dataset {name} imports your own")

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {str(self.archive or self.folder)!r})"

    def history(self, scenario: str = ALL_OBSERVED.key, checked: bool = True) -> Responses:
        """M1 as seen in `scenario`.

        Raises InputError if the scenario has neither its own CSV nor a mask, or, where `checked`, if its own CSV holds
        other models, questions or scores than M1.
        """
        wanted = Scenario.parse(scenario)
        full = self._read_needed("M1.csv")
        if (own := self._read(f"M1_{wanted.key}.csv")) is not None:
            if checked:
                _same_scores(own, full)
            return own
        if wanted == ALL_OBSERVED:
            return full
        path = self.mask_path(wanted)
        if not path.is_file():
            raise InputError(f"{path}: no such file; python data/simulate_missingness.py --datasets "
                             f"{self.name} --scenarios {wanted.key} makes it")
        seen = read_mask(path)
        if seen.shape != full.scores.shape:
            raise InputError(f"{path}: a mask of {seen.shape} for a history of {full.scores.shape}; delete "
                             "it and run python data/simulate_missingness.py again")
        return full.masked(seen)

    def new_models(self, first: int | None = None) -> Responses:
        """M2 (its first `first` models), with the tasks of questions.csv.

        Raises InputError if a score is missing or the questions are not those of M1.
        """
        new = self._read_needed("M2.csv")
        _same_questions(self._read_needed("M1.csv"), new)
        if not new.complete.all():
            model = new.models[np.flatnonzero(~new.complete)[0]]
            raise InputError(f"{new.source}: {int((~new.complete).sum())} models lack scores, first "
                             f"'{model}'; new models must be complete: data/split_history.py --incomplete")
        tasks, categories = self._labels(new.questions)
        return replace(new.take(slice(first)), tasks=tasks, categories=categories)

    def truth(self, new: Responses) -> np.ndarray:
        """The log-odds with which the models of `new`, of a simulated board, answer; (models, N) float32.

        Raises InputError if the dataset has no truth.npz or if that is for other models.
        """
        path = self.folder / "truth.npz"
        check_zip(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                row = {name: i for i, name in enumerate(stored["models"])}
                logits = stored["logits"][[row[name] for name in new.models]]
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; true probabilities are known for simulated boards only "
                             "(data/simulate_leaderboard.py writes them)") from None
        except DAMAGED as error:
            raise InputError(f"{path}: not the true log-odds of {new.source} ({error}); make the dataset "
                             "again") from None
        if logits.shape[1] != new.n_questions:
            raise InputError(f"{path}: {logits.shape[1]} questions, {new.source} has {new.n_questions}; make the "
                             "dataset again")
        return logits

    def has_table(self, scenario: Scenario) -> bool:
        """Whether M1 as seen in `scenario` has a CSV of its own."""
        file = f"M1_{scenario.key}.csv"
        if (self.folder / file).is_file() or self.archive is None:
            return (self.folder / file).is_file()
        with zipfile.ZipFile(self.archive) as archive:
            return _member(archive, file) is not None

    def mask_path(self, scenario: Scenario) -> Path:
        """Where the mask of a scenario is, or would be."""
        return self.folder / "masks" / f"{scenario.key}.npz"

    def _labels(self, questions: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(tasks, categories) of the questions, where questions.csv has them."""
        path = self.folder / "questions.csv"
        content = self._member("questions.csv")
        if path.is_file():
            with reading(path, "table") as stream:
                content = stream.read()
        if content is None:
            return None, None
        row_of = _rows_by_question(content, path)
        lacking = [q for q in questions if q not in row_of]
        if lacking:
            raise InputError(f"{path}: no task for question '{lacking[0]}' ({len(lacking)} in all)")
        known = row_of[questions[0]]
        tasks, categories = (np.array([row_of[q][column] for q in questions]) if column in known else None
                             for column in ("task", "category"))
        return tasks, categories

    def _read_needed(self, file: str) -> Responses:
        found = self._read(file)
        if found is None:
            raise InputError(f"{self.folder / file}: no such file; a dataset needs M1.csv and M2.csv "
                             "(data/split_history.py or data/simulate_leaderboard.py makes both)")
        return found

    def _read(self, file: str) -> Responses | None:
        if (self.folder / file).is_file():
            return read_matrix(self.folder / file)
        return self._read_member(self.archive, file) if self.archive else None

    def _member(self, file: str) -> bytes | None:
        if self.archive is None:
            return None
        with zipfile.ZipFile(self.archive) as archive:
            member = _member(archive, file)
            if member is None:
                return None
            with unpacked(archive, member, f"{self.archive}:{member.filename}") as stream:
                return stream.read()

    def _read_member(self, path: Path, file: str) -> Responses | None:
        """A file of the zip, at its top or inside its one folder, through a cache keyed by its CRC."""
        try:
            with zipfile.ZipFile(path) as archive:
                member = _member(archive, file)
                if member is None:
                    return None
                source = f"{path}:{member.filename}"
                compact = path.parent / ".cache" / (
                    f"{self.name}.{file}.{member.CRC:08x}{member.file_size:x}.npz")
                if (known := _read_compact(compact, source)) is not None:
                    return known
                with unpacked(archive, member, source) as stream:
                    responses = _parse(stream, source)
        except zipfile.BadZipFile as error:
            raise InputError(f"{path}: not a complete zip ({error}); fetch it again") from None
        _write_compact(compact, responses)
        return responses


def _rows_by_question(content: bytes, path: Path) -> dict[str, dict[str, str]]:
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a table question,task[,category] ({error}); save it as UTF-8") from None
    for number, row in enumerate(rows, start=2):
        if not {"question"} <= row.keys() or None in row or None in row.values():
            raise InputError(f"{path}: row {number}: as many fields as the header question,task[,category] are needed")
    return {row["question"]: row for row in rows}


def _member(archive: zipfile.ZipFile, file: str) -> zipfile.ZipInfo | None:
    return next((info for info in archive.infolist() if Path(info.filename).name == file), None)


def datasets_in(data_dir: Path | str) -> list[str]:
    """Names of the datasets (folders with an M1.csv, zips) in a data folder."""
    root = Path(data_dir)
    folders = {path.parent.name for path in root.glob("*/M1*.csv")}
    return sorted(folders | {path.stem for path in root.glob("*.zip")})


# --- writing -------------------------------------------------------------------------------------------

def write_dataset(folder: Path, history: Responses, new: Responses | None, overwrite: bool = False) -> None:
    """Write M1.csv, M2.csv (unless `new` is None) and, where tasks are known, questions.csv into `folder`.

    Raises InputError if one of them exists and `overwrite` is not set, or if the questions differ.
    """
    labelled = history if new is None else new
    targets = [folder / "M1.csv", folder / "M2.csv"] + [folder / "questions.csv"] * (labelled.tasks is not None)
    check_new(targets, overwrite, make_parent=True)
    if new is not None:
        _same_questions(history, new)
    with locks.writing(folder / "M1.csv"):
        check_new(targets, overwrite, make_parent=True)
        with ExitStack() as whole:  # all of it is on disk before any is replaced
            if labelled.tasks is not None:
                columns = {"question": labelled.questions, "task": labelled.tasks} | (
                    {} if labelled.categories is None else {"category": labelled.categories})
                stream = whole.enter_context(atomic(folder / "questions.csv", "w"))
                csv.writer(stream, lineterminator="\n").writerows([columns, *zip(*columns.values(), strict=True)])
                stream.flush()
            for file, part in (("M2.csv", new), ("M1.csv", history)):
                if part is not None:
                    stream = whole.enter_context(atomic(folder / file))
                    write_rows(stream, part)
                    stream.flush()
        _forget(folder, questions=labelled.tasks is None, new=new is None)


def _forget(folder: Path, questions: bool, new: bool) -> None:
    """Remove what another dataset of this name has left and the new one lacks; only --overwrite comes here."""
    for file, lacking in (("questions.csv", questions), ("M2.csv", new), ("truth.npz", True)):
        if lacking:
            (folder / file).unlink(missing_ok=True)


def _same_scores(seen: Responses, full: Responses) -> None:
    """Raise InputError where a history as seen in a scenario is not that of M1.csv, with some scores left out."""
    there = seen.observed
    if not (np.array_equal(seen.models, full.models) and np.array_equal(seen.questions, full.questions)
            and np.array_equal(seen.scores[there], full.scores[there])):
        raise InputError(f"{seen.source}: not the models, questions and scores of {full.source}, which was replaced; "
                         "delete it and run python data/simulate_missingness.py again, or bring back the other")


def _same_questions(history: Responses, new: Responses) -> None:
    if np.array_equal(history.questions, new.questions):
        return
    only_one = sorted(set(history.questions) ^ set(new.questions))
    what = (f"{len(only_one)} questions are in only one of them, first '{only_one[0]}'" if only_one
            else "the questions are the same but in another order")
    raise InputError(f"{history.source} and {new.source}: {what}; both must list the same questions")
