"""A degradation test as an assertion, for test suites that evaluate a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .defaults import ALPHA, MARGIN, check_alpha


def assert_not_degraded(baseline: Any, candidate: Any, *, margin: str | float = MARGIN, alpha: float = ALPHA,
                        fail_on: str = "not-shown-safe", task: str | None = None, allow_same: bool = False) -> Any:
    """Assert that a candidate did not get worse; returns the `PairedResult`.

    `baseline` and `candidate` are two paths of score files or logs, or two pandas Series or arrays (n,) of scores of
    the same items (Series are matched by their index). A score that only one of the two has counts against the
    candidate, as on the command line. `margin` is stated as there ("1pt", .01, "recovery=99%"). `fail_on`
    "not-shown-safe" asserts that a drop of the margin or more is excluded, so that too few items fail; "degraded" fails
    only where a drop is shown. A candidate with the baseline's own score on every item is refused, as a file with the
    same content is, unless `allow_same`.

    Raises AssertionError with the whole report, and InputError where the two cannot be compared.
    """
    from ..errors import InputError
    from .margins import Margin
    from .paired import judge_pairs
    from .reading import Source, compare, read_pair
    from .report import report_pair
    from .verdicts import CONDITIONS, fails

    if fail_on not in CONDITIONS:
        raise InputError(f"fail_on = {fail_on!r}: one of {', '.join(CONDITIONS)}")
    check_alpha(alpha)
    stated = Margin.parse(margin)
    if isinstance(baseline, (str, Path)) != isinstance(candidate, (str, Path)):
        raise InputError("give two paths, or the scores of both")
    names = (str(baseline), str(candidate)) if isinstance(baseline, (str, Path)) else ("baseline", "candidate")
    if isinstance(baseline, (str, Path)):
        pairs, drop = read_pair(Source(), *names, task=task, margin=stated, allow_same=allow_same)
    elif baseline is candidate and not allow_same:
        raise InputError("baseline and candidate are one object: a model compared with itself passes every gate")
    else:
        check_alike_arrays(baseline, candidate)
        pairs, drop = compare(_scores(baseline, "baseline"), _scores(candidate, "candidate"), task or "scores", None,
                              stated, allow_same, "candidate")
        if not (allow_same or pairs.completed or pairs.differences.any()):
            raise InputError("baseline and candidate have the same score on every item: a model compared with itself "
                             "passes every gate; if two runs did agree in everything, allow_same=True")
    result = judge_pairs(pairs, alpha=alpha, margin=drop)
    if fails(result.verdict, result.within_margin, fail_on):
        report = report_pair(result, pairs, baseline=names[0], candidate=names[1])
        raise AssertionError(report.text())
    return result


def check_alike_arrays(baseline: Any, candidate: Any) -> None:
    """Raise InputError unless both are Series, or both arrays of one length."""
    import numpy as np

    from ..errors import InputError

    named = [hasattr(one, "index") and hasattr(one, "to_numpy") for one in (baseline, candidate)]
    if named[0] != named[1]:
        raise InputError("give two Series, which are matched by their index, or two arrays in the same order")
    shapes = np.shape(baseline), np.shape(candidate)
    if len(shapes[0]) != 1 or len(shapes[1]) != 1 or 0 in (*shapes[0], *shapes[1]) or (
            not named[0] and shapes[0] != shapes[1]):
        raise InputError(f"need two score vectors of one length, got {shapes[0]} and {shapes[1]}")


def _scores(given: Any, name: str) -> Any:
    """The `TaskScores` of a Series or an array; not a number is a missing score."""
    import numpy as np
    import pandas as pd

    from ..errors import InputError
    from ..scores.task_scores import TaskScores

    if np.ma.isMaskedArray(given):  # a masked score is a missing one
        given = np.ma.filled(given.astype(float), np.nan)
    series = given if isinstance(given, pd.Series) else pd.Series(np.asarray(given))
    if series.dtype.kind == "c":
        raise InputError(f"{name}: scores are numbers, found {series.dtype}")
    numbers = pd.to_numeric(series, errors="coerce").astype(float)
    odd = series.index[(numbers.isna() & series.notna()) | np.isinf(numbers)]
    if len(odd):
        raise InputError(f"{name}: no number for item {odd[0]!r}: {series[odd[0]]!r}")
    items = pd.Index([str(item) for item in numbers.index])
    if items.has_duplicates:
        raise InputError(f"{name}: its index has item {items[items.duplicated()][0]!r} more than once")
    frame = pd.DataFrame({"score": numbers.to_numpy(), "runs": numbers.notna().astype(int).to_numpy()}, index=items)
    return TaskScores(frame, name)
