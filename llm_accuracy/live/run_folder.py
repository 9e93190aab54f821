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
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_json, write_whole

FORMAT = 1
OURS = {"manifest.json", "questions.csv", "factors.npz", "baseline.npz", "useful.npy", "queries.jsonl",
        "responses.jsonl", "result.json", "report.html", "lock", "ask.csv", "answers.csv", "harness.log", "inspect",
        "eee", "models"}
ACCURACY, COMPARISON, BEST = "accuracy", "comparison", "best"  # the kinds of runs; a manifest without one is the first
NAMES = {ACCURACY: "an evaluation of one model", COMPARISON: "a comparison with a baseline",
         BEST: "a search for the best of several models"}
FOLDERS = {"inspect", "eee", "models"}


class RunFolder:
    """The files of one evaluation. `lock` is held until the process ends, however it ends.

    Raises InputError where another process holds it, or the folder cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock: int | None = None

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def begun(self) -> bool:
        return (self.path / "manifest.json").is_file()

    def lock(self) -> None:
        """Raises InputError where another process works on the folder."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); choose another place") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            raise InputError(f"{self.path}: another process{f' ({other})' if other else ''} is working on this run; "
                             "wait for it, or stop it") from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._lock = handle

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
        """Leave nothing of a run that could not begin (somebody's answers.csv apart), and let go of the lock."""
        for name in OURS - FOLDERS - {"answers.csv"}:
            (self.path / name).unlink(missing_ok=True)
        self.release()
        with suppress(OSError):
            self.path.rmdir()

    def check_empty(self) -> None:
        """Raises InputError where the folder holds an evaluation, or files of somebody else."""
        if self.begun:
            raise InputError(f"{self.path} holds an evaluation: add --resume to go on with it, or choose another name "
                             f"(llm-accuracy evaluate {self.path} says where it stands)")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a file is in the way; choose another name")
        others = sorted({entry.name for entry in self.path.iterdir()} - OURS) if self.path.is_dir() else []
        if others:
            raise InputError(f"{self.path} holds other files ({others[0]}); choose a new folder")

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        write_whole(self.path / "manifest.json",
                    json.dumps(manifest | {"checksum": _checksum(manifest)}, indent=1, ensure_ascii=False) + "\n")

    def manifest(self, kind: str | None = None) -> dict[str, Any]:
        """Raises InputError where there is none, for one of another format, for one that was edited, and where the run
        is not of this kind (ACCURACY or COMPARISON; None: either)."""
        path = self.path / "manifest.json"
        if not path.is_file():
            raise InputError(f"{self.path} holds no evaluation (no manifest.json); begin one: give --history and a "
                             "driver")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or "format" not in manifest:
            raise InputError(f"{path}: not the manifest of an evaluation")
        if manifest["format"] != FORMAT:
            raise InputError(f"{path}: format {manifest['format']}; this version reads format {FORMAT}: use the "
                             f"version that wrote it ({manifest.get('versions', {}).get('llm-accuracy', 'unknown')})")
        if manifest.pop("checksum", None) != _checksum(manifest):
            raise InputError(f"{path}: edited or damaged since it was written; restore it, or begin anew")
        if kind is not None and manifest.get("kind", ACCURACY) != kind:
            raise InputError(f"{self.path} holds {NAMES[manifest.get('kind', ACCURACY)]}, not {NAMES[kind]}")
        return manifest


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16).hexdigest()
