"""A program that grades: one JSON line for every question on its stdin, one with the score on its stdout.

    → {"question": "task/12", "task": "task", "round": 3, "number": 1, "of": 18}
    ← {"question": "task/12", "score": 1}

It is started once and runs until its stdin is closed. Answers may come in any order; a program that works on many
questions at once knows by number and `of` when it has them all.
"""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

from ...errors import InputError
from ...redaction import hidden
from ..bank import Bank
from .driver import Request, Round, Take

WAIT = 10.0  # seconds for the program to end once it has no more input


class Command:
    """See the module."""

    def __init__(self, request: Request):
        if not request.words.strip():
            raise InputError("--command: name the program to run")
        self.words = request.words
        self.model = request.model or request.folder.absolute().name
        self.settings: dict[str, Any] = {}
        self.versions: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    def bank(self) -> None:
        return None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(self.words, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             text=True, encoding="utf-8", errors="replace", bufsize=1)
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
        while left:
            line = process.stdout.readline()
            if not line:
                code = process.wait()
                self._process = None
                raise InputError(f"--command {hidden(self.words)}: ended with exit code {code} before it had "
                                 f"answered {len(left)} of {len(asked.questions)} questions; mend it and add --resume")
            if line.strip():
                question, score = self._parsed(line)
                take([(question, score, {})])
                left.discard(question)

    def _parsed(self, line: str) -> tuple[str, object]:
        try:
            record = json.loads(line)
            return str(record["question"]), record["score"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"--command {hidden(self.words)}: answered {hidden(line.strip()[:80])!r}; one line "
                             '{"question": …, "score": …} is needed') from None

    def close(self, result: dict[str, Any]) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        try:
            process.stdin.close()
        except OSError:
            pass
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            process.terminate()


def _write(stdin, lines: list[str]) -> None:
    try:
        for line in lines:
            stdin.write(line)
        stdin.flush()
    except (OSError, ValueError):
        pass  # it has ended; whoever reads its answers says so
