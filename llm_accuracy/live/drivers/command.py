"""A program that grades: one JSON line for every question on its stdin, one with the score on its stdout.

    → {"question": "task/12", "task": "task", "round": 3, "number": 1, "of": 18}
    ← {"question": "task/12", "score": 1}

It is started once and runs until its stdin is closed. Answers may come in any order; a program that works on many
questions at once knows by number and `of` when it has them all. What it prints must not wait in a buffer: a program in
Python is asked for that by PYTHONUNBUFFERED, others flush every line.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from typing import Any

from ...errors import InputError
from ...files import parse_json, size_text
from ...redaction import hidden
from ..bank import Bank
from .driver import Request, Round, Take

WAIT = 10.0       # seconds for the program to end once it has no more input
SHORT_WAIT = 1.0  # after a failure
LONGEST = 1 << 20  # bytes of a line of the program
SHAPE = '{"question": …, "score": …}'
SILENT = 30.0  # seconds without a single answer, after which is said what may be the matter
PLAIN = re.compile(r"[\w./~+-]+")  # a word that is a program's name and nothing of the shell's


class Command:
    """See the module."""

    def __init__(self, request: Request):
        if not request.words.strip():
            raise InputError("--command: name the program to run")
        _check(request.words)
        self.words = request.words
        self.model = request.model or request.folder.absolute().name
        self.settings: dict[str, Any] = {}
        self.versions: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = False

    def bank(self) -> None:
        return None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(self.words, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             env={"PYTHONUNBUFFERED": "1"} | os.environ)
        return self._process

    def ask(self, asked: Round, bank: Bank, take: Take) -> None:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        tasks = {} if bank.tasks is None else dict(zip(bank.questions.tolist(), bank.tasks.tolist(), strict=True))
        lines = [json.dumps({"question": name, "task": tasks.get(name), "round": asked.number, "number": i,
                             "of": len(asked.questions)}) + "\n" for i, name in enumerate(asked.questions, start=1)]
        # Written beside the reading: a program may answer before it has read everything, and both pipes are short.
        writer = threading.Thread(target=_write, args=(process.stdin, lines), daemon=True)
        writer.start()
        left = set(asked.questions)
        silence = threading.Timer(SILENT, self._silent)
        silence.daemon = True
        silence.start()
        try:
            while left:
                line = process.stdout.readline(LONGEST + 1)
                silence.cancel()
                if not line:
                    raise self._refused(f"{self._ended()} before it had answered {len(left)} of "
                                        f"{len(asked.questions)} questions; mend it and add --resume")
                if line.strip():
                    self._heard = True
                    question, score = self._parsed(line)
                    take([(question, score, {})])
                    left.discard(question)
        except BaseException:
            silence.cancel()
            self._stop()
            raise

    def _silent(self) -> None:
        if not self._heard:
            print(f"\n--command {hidden(self.words)[:200]}: no answer for {SILENT:g} seconds; if it has given any, "
                  "they wait in a buffer: it must flush its output after every line", file=sys.stderr, flush=True)

    def _parsed(self, line: bytes) -> tuple[str, object]:
        if len(line) > LONGEST:
            raise self._refused(f"a line of more than {size_text(LONGEST)}; one line {SHAPE} is needed")
        try:
            record = parse_json(line, "")
            question, score = record["question"], record["score"]
            if isinstance(question, str | int) and not isinstance(question, bool):
                return str(question), score
        except (InputError, KeyError, TypeError):
            pass
        said = line.decode("utf-8", "replace").strip()[:80]
        raise self._refused(f"answered {hidden(said)!r}; one line {SHAPE} is needed, with each key once")

    def _refused(self, what: str) -> InputError:
        return InputError(f"--command {hidden(self.words)[:200]}: {what}")

    def _ended(self) -> str:
        """How the program has ended, whose output is at its end."""
        assert self._process is not None
        try:
            return f"ended with exit code {self._process.wait(WAIT)}"
        except subprocess.TimeoutExpired:
            return "closed its output (and was stopped)"

    def _stop(self) -> None:
        """After a failure: no more input, and a moment to end by itself."""
        if self._process is not None:
            process, self._process = self._process, None
            _end(process, SHORT_WAIT)

    def close(self, result: dict[str, Any]) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            _end(process, WAIT)


def _end(process: subprocess.Popen[bytes], wait: float) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        process.terminate()


def _check(words: str) -> None:
    """Raises InputError where the first word names a program that the shell does not find: before anything is fitted,
    and before a run exists that can only be resumed with the same words. What is no plain name is left to the shell."""
    try:
        first = (shlex.split(words) or [""])[0]
    except ValueError as error:
        raise InputError(f"--command {hidden(words)[:200]}: {error}") from None
    path = os.path.expanduser(first)
    if not PLAIN.fullmatch(first) or ("/" in first and os.path.isfile(path) and os.access(path, os.X_OK)):
        return
    if "/" in first:
        why = ("not executable: chmod +x it, or name its interpreter, as in python grade.py"
               if os.path.exists(path) else "no such file")
    elif subprocess.run(["sh", "-c", f"command -v -- {first}"], capture_output=True).returncode == 0:
        return
    else:
        why = f"no such program; one of this folder is ./{first}" if os.path.exists(path) else "no such program"
    raise InputError(f"--command {first}: {why}")


def _write(stdin, lines: list[str]) -> None:
    try:
        stdin.write("".join(lines).encode())
        stdin.flush()
    except (OSError, ValueError):
        pass  # it has ended; whoever reads its answers says so
