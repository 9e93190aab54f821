"""How an evaluation is estimated: one record per way of sampling and variance.

`ESTIMATORS[sampling, variance]` is all that the command line, the logs and the tables know of. The first variance
registered for a way of sampling is its default. Adding a variance takes one call:

    register("without", "mine", Estimator(lambda trace, n, rank: …))

The module is light: functions are named as ".module:name" and imported when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError
from ..lazy import given
from .setting import ALPHA

if TYPE_CHECKING:
    from .estimates import Estimate
    from .intervals import Interval
    from .round_estimates import RoundEstimate
    from .rounds import RoundTrace
    from .trace import Trace

    # (trace, number of questions N, rank K of the factor model) → estimate
    Estimating = Callable[[Trace, int, int], Estimate] | Callable[[RoundTrace, int, int], RoundEstimate]
    # (trace, N, uniform share τ, α) → Interval
    Exact = Callable[[Trace, int, float, float], Interval]


@dataclass(frozen=True)
class Estimator:
    """estimate  of θ and its standard error; exact  an interval of its own, where it is not the estimate's. Both are
    given themselves or as ".module:name" of this room."""

    estimate: Estimating | str
    exact: Exact | str | None = None

    def of(self, trace: Trace | RoundTrace, n_questions: int, rank: int = 0) -> Estimate | RoundEstimate:
        """The estimate of an evaluation."""
        return given(self.estimate, __package__)(trace, n_questions, rank)

    def interval(self, trace: Trace | RoundTrace, n_questions: int, tau: float, found: Estimate | RoundEstimate,
                 alpha: float = ALPHA) -> Interval:
        """The 1 − α interval that goes with the estimate `found` of this trace."""
        if self.exact is not None:
            return given(self.exact, __package__)(trace, n_questions, tau, alpha)
        return found.interval(alpha)


ESTIMATORS: dict[tuple[str, str], Estimator] = {}


def register(sampling: str, variance: str, estimator: Estimator) -> None:
    """Make a pair known everywhere. Raises InputError if it is known already."""
    if (sampling, variance) in ESTIMATORS:
        raise InputError(f"the variance {variance!r} of sampling {sampling!r} is registered already")
    ESTIMATORS[sampling, variance] = estimator


def variances(sampling: str) -> tuple[str, ...]:
    """The variances of a way of sampling, its default first. Raises InputError for an unknown one."""
    known = tuple(variance for way, variance in ESTIMATORS if way == sampling)
    if not known:
        raise InputError(f"sampling {sampling!r}: there are {', '.join(dict.fromkeys(way for way, _ in ESTIMATORS))}")
    return known


def estimator(sampling: str, variance: str | None = None) -> Estimator:
    """The record of a pair; variance None is the sampling's default.

    Raises InputError for a pair that does not exist, naming those that do.
    """
    known = variances(sampling)
    if variance is not None and variance not in known:
        raise InputError(f"variance {variance!r}: sampling {sampling!r} goes with {' or '.join(known)}")
    return ESTIMATORS[sampling, variance or known[0]]


def estimate(trace: Trace | RoundTrace, budget: int, n_questions: int, sampling: str, variance: str | None = None,
             rank: int = 0) -> Estimate | RoundEstimate:
    """The estimate after the first `budget` steps of a trace.

    sampling, variance  a pair in ESTIMATORS; None: the sampling's default
    rank                K of the factor model, for the weights of `without_replacement`

    Raises InputError for a pair that does not exist.
    """
    return estimator(sampling, variance).of(trace.first(budget), n_questions, rank)


for _sampling in ("with", "naive-without"):
    register(_sampling, "unbiased", Estimator(".estimates:with_replacement"))
    register(_sampling, "published", Estimator(".estimates:published"))
register("without", "pooled", Estimator(".estimates:pooled"))
register("without", "empirical", Estimator(".estimates:without_replacement"))
register("without", "betting", Estimator(".estimates:pooled", ".confidence_sequence:betting"))
register("rounds", "moderated", Estimator(".round_estimates:of_trace"))
