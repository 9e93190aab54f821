"""How an evaluation is estimated: one record per way of sampling and variance.

`ESTIMATORS[sampling, variance]` is all that the command line, the logs and the tables know of. The first variance
registered for a way of sampling is its default. A variance of one's own is one call:

    register("without", "mine", Estimator(lambda trace, n, rank: …))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError
from .confidence_sequence import betting
from .estimates import Estimate, published, with_replacement, without_replacement
from .intervals import Interval, interval
from .setting import ALPHA
from .trace import Trace

# (trace, number of questions N, rank K of the factor model) → Estimate
Estimating = Callable[[Trace, int, int], Estimate]
# (trace, N, uniform share τ, α) → Interval
Exact = Callable[[Trace, int, float, float], Interval]


@dataclass(frozen=True)
class Estimator:
    """estimate  of θ and its standard error; exact  an interval of its own, where it is not θ̂ ± t·SE."""

    estimate: Estimating
    exact: Exact | None = None

    def interval(self, trace: Trace, n_questions: int, tau: float, found: Estimate, alpha: float = ALPHA,
                 clip: bool = True) -> Interval:
        """The 1 − α interval that goes with the estimate `found` of this trace."""
        if self.exact is not None:
            return self.exact(trace, n_questions, tau, alpha)
        return interval(found.theta, found.se, alpha, found.df, clip)


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


def estimate(trace: Trace, budget: int, n_questions: int, sampling: str, variance: str | None = None,
             rank: int = 0) -> Estimate:
    """The estimate after the first `budget` steps of a trace.

    sampling, variance  a pair in ESTIMATORS; None: the sampling's default
    rank                K of the factor model, for the weights of `without_replacement`

    Raises InputError for a pair that does not exist.
    """
    return estimator(sampling, variance).estimate(trace.first(budget), n_questions, rank)


def _pooled(trace: Trace, n_questions: int, rank: int) -> Estimate:
    return without_replacement(trace, n_questions, rank, pooled=True)


def _exact_by_betting(trace: Trace, n_questions: int, tau: float, alpha: float) -> Interval:
    return betting(trace, n_questions, tau, alpha)


for _sampling in ("with", "naive-without"):
    register(_sampling, "unbiased", Estimator(lambda trace, n, rank: with_replacement(trace, n)))
    register(_sampling, "published", Estimator(lambda trace, n, rank: published(trace, n)))
register("without", "pooled", Estimator(_pooled))
register("without", "empirical", Estimator(without_replacement))
register("without", "betting", Estimator(_pooled, _exact_by_betting))
