"""How a model is asked: one record a driver, by the flag that chooses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...lazy import given
from ...redaction import hidden
from .driver import Driver, Request, check_name


@dataclass(frozen=True)
class Way:
    """flag and metavar on the command line, what it does; opened: ".module:Class", called with a `Request`; slow:
    opening it loads tasks and a model, which takes a while."""

    name: str
    metavar: str | None
    help: str
    opened: str
    slow: bool = False

    def open(self, request: Request, say: Callable[[str], None], which: str = "") -> Driver:
        """The driver; says what takes a while, and which of several it is."""
        if self.slow:
            say(f"--{self.name} {hidden(request.words)!r}: loading the tasks and the model{which}")
        return given(self.opened, __package__)(request)


DRIVERS = {way.name: way for way in (
    Way("lm-eval", "ARGS", "ask through lm-evaluation-harness, in process: its own arguments, in quotes "
        '("--model hf --model_args pretrained=… --tasks mmlu_pro")', ".lm_eval:LmEval", slow=True),
    Way("inspect", "FILE@TASK", "ask through inspect_ai: a task in a Python file, of the --model", ".inspect:Inspect",
        slow=True),
    Way("files", None, "ask by files: RUN/ask.csv lists the questions, RUN/answers.csv takes question,score",
        ".files:Files"),
    Way("command", "CMD", 'ask a program: {"question": …} a line on its stdin, {"question": …, "score": …} on its '
        "stdout", ".command:Command"),
)}
__all__ = ["DRIVERS", "Driver", "Request", "Way", "check_name"]
