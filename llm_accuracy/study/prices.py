"""What --dry-run times: the first call of anything also pays for what is imported and set up once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

LONG = 2.0  # seconds; a call that takes as long is not made a third time


@dataclass(frozen=True)
class Price:
    """Seconds of the first call and of every later one."""

    first: float
    again: float

    @property
    def once(self) -> float:
        """What only the first call pays."""
        return self.first - self.again

    def times(self, count: float) -> float:
        """Of `count` calls, or of one that does `count` times as much."""
        return self.once + self.again * count


def price(call: Callable[[], object]) -> Price:
    """What call() costs here. A later call counts with the less of two if it is short: another process in between must
    not count hundreds of times. It is made however long the first took, which may have been spent on compiling."""
    first, again = _timed(call), _timed(call)
    if again < LONG:
        again = min(again, _timed(call))
    return Price(first, min(first, again))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
