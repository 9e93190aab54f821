"""What a person sees while a model is asked."""

from __future__ import annotations

import sys

from ..cli import duration
from ..visible import visible
from .recorded import Clock, Recorded


class Live:
    """One line on stderr that says where the evaluation is: rewritten on a terminal, elsewhere one line a round."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stderr
        self.rewrites = self.stream.isatty()
        self._estimate, self._open, self._begun_with = "no estimate yet", False, None

    def count(self, asking: Recorded, clock: Clock) -> None:
        """After an answer."""
        if self._begun_with is None:
            self._begun_with = (len(asking.answers) - 1, clock.seconds)
        if self.rewrites:
            print(f"\r\x1b[K{self._line(asking, clock)}", end="", file=self.stream, flush=True)
            self._open = True

    def progress(self, asking: Recorded, clock: Clock, done: int, of: int) -> None:
        """Inside a round: so many of its requests are answered. On a terminal only."""
        if self.rewrites:
            print(f"\r\x1b[K{self._line(asking, clock)} ({done:,} of {of:,} requests of round {asking.round})", end="",
                  file=self.stream, flush=True)
            self._open = True

    def show(self, found: str, asking: Recorded, clock: Clock) -> None:
        """After a round, with what has been found."""
        self._estimate = found
        print(("\r\x1b[K" if self.rewrites else "") + self._line(asking, clock), end="" if self.rewrites else "\n",
              file=self.stream, flush=True)
        self._open = self.rewrites

    def _line(self, asking: Recorded, clock: Clock) -> str:
        done, budget = len(asking.answers), asking.plan.budget
        before, since = self._begun_with or (0, 0.0)
        new, seconds = done - before, clock.seconds - since
        known = new > 0 and seconds > 1 and done < budget
        most = "at most " if asking.plan.watched else ""
        left = f", {most or 'about '}{duration(seconds / new * (budget - done))} left" if known else ""
        return f"{done:,} of {most}{budget:,} asked, {self._estimate}{left}"

    def say(self, text: str) -> None:
        self.close()
        print(visible(text), file=self.stream, flush=True)

    def close(self) -> None:
        """End the line that is being rewritten."""
        if self._open:
            print(file=self.stream, flush=True)
            self._open = False
