"""`evaluate --forecast`: how narrow an evaluation will be, and what that costs, before a question is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..querying import forecasting
from ..querying.designs import schedule
from ..querying.session import budget_of
from .bank import Bank
from .history import aligned, read_history
from .plans import EVERY_ROUND, WIDER, half_width_of

BUDGETS = (20, 50, 100, 200, 500)


def forecast(history: list[Path], listed: Path | None, budget: str | None, half_width: str | None, metric: str | None,
             filter_: str | None) -> list[str]:
    """Lines to print: the history's own models evaluated as if they were new (`querying.forecasting`).

    listed              --questions: the bank, where it is not all that the history knows
    budget, half_width  the ones to look at, as `evaluate` takes them; by default several

    Raises InputError for a history that cannot be tried: factors without the scores that they were fitted to.
    """
    found = read_history(history, metric, filter_)
    if found.factors is not None:
        raise InputError("--forecast: factors alone cannot be tried; give the scores that they were fitted to")
    bank = Bank.listed(listed) if listed is not None else None
    if bank is None:
        if found.questions is None:
            raise InputError("--forecast: without a history, --questions names a CSV question[,task]")
        assert found.responses is not None
        bank = Bank.of(found.questions, found.responses.tasks)
    found = aligned(found, bank)
    budgets = [budget_of(budget, bank.size)] if budget is not None else (
        [size for size in BUDGETS if size < bank.size] or [bank.size])
    widths = forecasting.HALF_WIDTHS if half_width is None else (half_width_of(half_width),)
    expected = forecasting.forecast(found.responses, budgets, bank.size)
    needed = expected.questions_for(widths[0] / WIDER[EVERY_ROUND])
    ends = np.cumsum(schedule(bank.size, bank.size))
    end = int(ends[ends >= needed][0])
    watched = [] if half_width is None else [
        f"By --half-width {half_width}, which ends with a round: about {needed:,} to {end:,} questions, "
        "more of a model whose scores vary more than theirs."]
    return [*found.notes, *forecasting.lines(expected, budgets, widths), *watched]

