"""What a person sees while a model is asked."""

from __future__ import annotations

import shutil
import sys

from ..cli import duration
from ..visible import visible
from .recorded import Clock, Recorded, counted

TOO_SOON = 1.0  # seconds of asking, before which no time left is told


class Live:
    """One line on stderr that says where the evaluation is: rewritten on a terminal, elsewhere one line a round.

    The time left is what the questions answered so far have taken, from `asks` to `heard`, times those that are left:
    our own part, figures above all, takes longest in the first rounds and would count as the model's.
    """

    def __init__(self, stream=None):
        self.stream = stream or sys.stderr
        self.rewrites = self.stream.isatty()
        self._estimate, self._open = "no estimate yet", False
        self._before: tuple[int, float] | None = None  # questions answered, seconds, when this round was asked
        self._at, self._of = 0, 0                      # in all when it was asked; questions in it
        self._told, self._seconds = 0, 0.0             # of the rounds that were answered before it

    def asks(self, asking: Recorded, clock: Clock) -> None:
        """A round goes out to a model (to a person, whose time nobody can tell, it goes without this)."""
        self._at, self._of = len(asking.answers), len(asking.outstanding)
        self._before = (self._at, clock.seconds)
        self._rewrite(f"{self._line(asking, clock)}, round {asking.round}: "
                      f"{counted(self._of, asking.unit)}")

    def heard(self, asking: Recorded, clock: Clock) -> None:
        """It is answered."""
        if self._before is not None:
            told, since = self._before
            self._told += len(asking.answers) - told
            self._seconds += clock.seconds - since
            self._before = None

    def count(self, asking: Recorded, clock: Clock) -> None:
        """After an answer."""
        done = len(asking.answers)
        if self._before is not None and not self._told and (self._before[0], done) == (self._at, self._at + 1):
            self._before = (done, clock.seconds)  # the very first answer waits until the model is loaded
        self._rewrite(self._line(asking, clock))

    def progress(self, asking: Recorded, clock: Clock, done: int, of: int) -> None:
        """Inside a round: so many of its requests are answered. On a terminal only."""
        self._rewrite(f"{self._line(asking, clock, done / max(of, 1))} ({done:,} of {of:,} requests of round "
                      f"{asking.round})")

    def show(self, found: str, asking: Recorded, clock: Clock) -> None:
        """After a round, with what has been found."""
        self._estimate = found
        if self.rewrites:
            self._rewrite(self._line(asking, clock))
        else:
            print(self._line(asking, clock), file=self.stream, flush=True)

    def _line(self, asking: Recorded, clock: Clock, share: float = 0.0) -> str:
        """share  of this round's requests that are answered"""
        done, budget = len(asking.answers), asking.at_most
        most = "at most " if asking.plan.watched else ""
        left = self._left(done, budget, clock, share)
        told = f", {most or 'about '}{left} left" if left else ""
        return f"{done:,} of {most}{budget:,} {asking.answered}, {self._estimate}{told}"

    def _left(self, done: int, budget: int, clock: Clock, share: float) -> str:
        told, seconds = float(self._told), self._seconds
        if self._before is not None:
            before, since = self._before
            told += max(done, self._at + share * self._of) - before
            seconds += clock.seconds - since
        if told <= 0 or seconds < TOO_SOON or done >= budget:
            return ""
        return duration(seconds / told * (budget - done))

    def _rewrite(self, text: str) -> None:
        """In the place of what stands there, on a terminal; a line that it would wrap could not be taken back."""
        if self.rewrites:
            print(f"\r\x1b[K{text[:shutil.get_terminal_size().columns - 1]}", end="", file=self.stream, flush=True)
            self._open = True

    def say(self, text: str) -> None:
        self.close()
        print(visible(text), file=self.stream, flush=True)

    def close(self) -> None:
        """End the line that is being rewritten."""
        if self._open:
            print(file=self.stream, flush=True)
            self._open = False
