"""RUN: the folder of one evaluation.

    manifest.json    what is asked of whom, with which settings, and fingerprints of all that the questions follow from
    questions.csv    the bank: names, tasks, fingerprints of contents, costs
    factors.npz      the factors of the history, as they were fitted
    baseline.npz     in the place of factors, of a comparison: the baseline's scores and margins, the curves of flips
    useful.npy       of a search for the best of several models: which questions tell models apart, by the history
    models/          what is each model's own there: a harness's log, responses in flight
    queries.jsonl    every question and every answer, in the order of events (`query_log`)
    responses.jsonl  what a harness's model has answered in the round in flight, before it is scored (lm-eval only)
    result.json, report.html   rewritten after every round
    lock             held by the process that works on the folder

The manifest is written last: a folder without one holds no evaluation yet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_json, sweep, write_whole
from ..locks import is_still, remove_empty
from ..visible import shortened
from .manifests import BEST_FORM, COMPARISON_FORM, check_form

FORMAT = 1
OURS = {"manifest.json", "questions.csv", "factors.npz", "baseline.npz", "useful.npy", "queries.jsonl",
        "responses.jsonl", "result.json", "report.html", "lock", "ask.csv", "answers.csv", "harness.log", "inspect",
        "eee", "models"}
ACCURACY, COMPARISON, BEST = "accuracy", "comparison", "best"  # the kinds of runs; a manifest without one is the first
NAMES = {ACCURACY: "an evaluation of one model", COMPARISON: "a comparison with a baseline",
         BEST: "a search for the best of several models"}
FORMS = {COMPARISON: COMPARISON_FORM, BEST: BEST_FORM}
FOLDERS = {"inspect", "eee", "models"}
LEFT = {"lock", "questions.csv", "factors.npz", "baseline.npz", "useful.npy", "harness.log"}  # by a killed beginning


class RunFolder:
    """The files of one evaluation. `lock` is held until the process ends, however it ends.

    Raises InputError where another process holds it, or the folder cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock: int | None = None
        self._made: list[Path] = []  # folders that `lock` has made, the innermost first

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def begun(self) -> bool:
        return (self.path / "manifest.json").is_file()

    def lock(self) -> None:
        """Raises InputError where another process works on the folder."""
        self._made = [folder for folder in (self.path, *self.path.parents) if not os.path.lexists(folder)]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked(self.path / "lock")
            os.ftruncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())
        except OSError as error:
            self.release()
            remove_empty(self._made)
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); choose another place") from None

    def _locked(self, path: Path) -> int:
        while True:
            # A link is not followed: what it leads to is not ours to write to.
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = os.read(handle, 32).decode(errors="replace").strip()
                os.close(handle)
                raise InputError(f"{self.path}: another process{f' ({other})' if other else ''} is working on this "
                                 "run; wait for it, or stop it") from None
            except OSError:
                os.close(handle)
                raise
            if is_still(path, handle):
                return handle
            os.close(handle)  # its holder removed it between our opening and locking it: another try

    def locked_by(self) -> str | None:
        """The process that works on the folder, if one does; only looks."""
        try:
            handle = os.open(self.path / "lock", os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except OSError:
            return os.read(handle, 32).decode(errors="replace").strip() or "another"
        finally:
            os.close(handle)

    def release(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Leave nothing of a run that could not begin, and let go of the lock. `check_empty` has seen to it that
        nothing else of these names was there; somebody's answers.csv, and a folder that was there before, stay."""
        for name in OURS - FOLDERS - {"answers.csv"}:
            (self.path / name).unlink(missing_ok=True)
        self.release()
        remove_empty(self._made)

    def check_empty(self) -> None:
        """Raises InputError where the folder holds an evaluation, or files that are not what a beginning that was
        killed has left (answers.csv, written beforehand, is welcome)."""
        self.check_new()
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a file is in the way; choose another name")
        sweep(self.path)
        there = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        there -= {"answers.csv", *(name for name in there if name.endswith(".part"))}
        if "queries.jsonl" in there:
            raise InputError(f"{self.path} holds the answers of a run (queries.jsonl) without its manifest.json: "
                             "restore that, or choose a new folder")
        if others := sorted(there - LEFT if "lock" in there else there):
            raise InputError(f"{self.path} holds other files ({others[0]}); choose a new folder")

    def check_new(self) -> None:
        """Raises InputError where the folder holds an evaluation."""
        if self.begun:
            raise InputError(f"{self.path} holds an evaluation: add --resume to go on with it, or choose another name "
                             f"(llm-accuracy evaluate {self.path} says where it stands)")

    def check_apart(self, given: Iterable[Path]) -> None:
        """Raises InputError where the folder lies in one that is read: what the run writes would be read, too."""
        place = Path(os.path.realpath(self.path))
        for path in given:
            if path.is_dir() and place.is_relative_to(os.path.realpath(path)):
                raise InputError(f"{self.path} lies in {path}, which is read: what the run writes there would count as "
                                 "a model's answers, too; choose a folder beside it")

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        write_whole(self.path / "manifest.json",
                    json.dumps(manifest | {"checksum": _checksum(manifest)}, indent=1, ensure_ascii=False) + "\n")

    def manifest(self, kind: str | None = None) -> dict[str, Any]:
        """Raises InputError where there is none, for one of another format, for one that was edited, and where the run
        is not of this kind (None: any)."""
        path = self.path / "manifest.json"
        if not path.is_file():
            raise InputError(f"{self.path} holds no evaluation (no manifest.json); begin one: give --history and a "
                             "driver")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or "format" not in manifest:
            raise InputError(f"{path}: not the manifest of an evaluation")
        if manifest["format"] != FORMAT:
            written = manifest.get("versions")
            wrote = written.get("llm-accuracy", "unknown") if isinstance(written, dict) else "unknown"
            raise InputError(f"{path}: format {shortened(manifest['format'])}; this version reads format {FORMAT}: use "
                             f"the version that wrote it ({wrote})")
        if manifest.pop("checksum", None) != _checksum(manifest):
            raise InputError(f"{path}: edited or damaged since it was written; restore it, or begin anew")
        its = manifest.get("kind", ACCURACY)
        if its not in NAMES:
            raise InputError(f"{path}: {shortened(its)} is no kind of a run; use the version that wrote it")
        if kind is not None and its != kind:
            raise InputError(f"{self.path} holds {NAMES[its]}, not {NAMES[kind]}")
        if its in FORMS:
            check_form(manifest, FORMS[its], path)
        return manifest


@contextmanager
def as_written(file: Path, otherwise: str = "not the manifest of a run of this version; restore it, or begin anew"
               ) -> Iterator[None]:
    """Raises InputError where a file, a manifest whole by its checksum or a result, lacks what is looked for inside, or
    has it in another form. otherwise: what it is not; what to do."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what, _, advice = otherwise.partition("; ")
        raise InputError(f"{file}: {what} ({type(error).__name__}: {error}); {advice}") from None


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16).hexdigest()
