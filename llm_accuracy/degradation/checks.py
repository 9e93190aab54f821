"""A degradation test as an assertion, for test suites that evaluate a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .defaults import ALPHA, MARGIN


def assert_not_degraded(baseline: Any, candidate: Any, *, margin: str | float = MARGIN, alpha: float = ALPHA,
                        fail_on: str = "not-shown-safe", task: str | None = None) -> Any:
    """Assert that a candidate did not get worse; returns the `PairedResult`.

    `baseline` and `candidate` are two paths of score files or logs, or two pandas Series or arrays (n,) of scores of
    the same items (Series are matched by their index). `margin` is stated as on the command line ("1pt", .01,
    "recovery=99%"). `fail_on` "not-shown-safe" asserts that a drop of the margin or more is excluded, so that too few
    items fail; "degraded" fails only where a drop is shown.

    Raises AssertionError with the whole report, and InputError where the two cannot be compared.
    """
    from ..errors import InputError
    from .margins import Margin, resolve
    from .paired import judge_pair
    from .pairing import Pairs, match_series
    from .reading import Source, read_pair
    from .report import report_pair
    from .verdicts import CONDITIONS, fails

    if fail_on not in CONDITIONS:
        raise InputError(f"fail_on = {fail_on!r}: one of {', '.join(CONDITIONS)}")
    stated = Margin.parse(margin)
    names = (str(baseline), str(candidate)) if isinstance(baseline, (str, Path)) else ("baseline", "candidate")
    if isinstance(baseline, (str, Path)):
        pairs = read_pair(Source(), *names, task=task, allow_same=False)
    else:
        pairs = _of_arrays(baseline, candidate, match_series, Pairs)
    drop, said = resolve(stated, [pairs])
    result = judge_pair(pairs.baseline, pairs.candidate, clusters=pairs.clusters, alpha=alpha, margin=drop,
                        higher_is_better=pairs.higher_is_better)
    if fails(result.verdict, result.within_margin, fail_on):
        report = report_pair(result, pairs, baseline=names[0], candidate=names[1], notes=said)
        raise AssertionError(report.text())
    return result


def _of_arrays(baseline, candidate, match_series, pairs):
    """Pairs of two Series or arrays. Raises InputError where they cannot be matched, or a score is missing."""
    import numpy as np

    from ..errors import InputError

    if hasattr(baseline, "to_numpy") or hasattr(candidate, "to_numpy"):
        baseline, candidate, _ = match_series(baseline, candidate)
    before, after = np.asarray(baseline, float), np.asarray(candidate, float)
    if before.shape != after.shape or before.ndim != 1 or before.size == 0:
        raise InputError(f"need two score vectors of one length, got {before.shape} and {after.shape}")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise InputError("scores must be finite numbers: drop missing items from both runs first")
    return pairs("scores", np.arange(before.size), before, after)
