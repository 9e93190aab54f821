"""Many tasks, one decision: did the candidate get worse anywhere? (arXiv 2602.10144, section 4.)

Three tests see different damage. Pooled: one exact test on all flips together, best for a drop spread over
all tasks. Max-drop: the largest standardised drop z_t = (b_t − c_t)/√m_t, best for one damaged task. Fisher:
the sum of −2 ln p_t, best for a few. The combined p = min(1, 3·min of the three) controls the error of
using all three.

Null distributions are those of independent sign flips: with independent 0/1 items B_t ~ Bin(m_t, ½), and the
first two tests are exact. Items that several tasks share, clusters, reruns and continuous scores stay
tied: each unit has one sign, in whatever tasks its items occur (z_t = Σd/√Σd² over the units' sums).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import InputError
from .defaults import ALPHA, DRAWS_OF_A_SUITE, MARGIN
from .intervals import in_unit_range
from .mcnemar import at_least, log10_p_exact, p_exact
from .paired import PairedResult, drop_text, judge_pairs
from .pooling import pooled_pair
from .sign_flips import generator_of, random_sign_sums
from .units import units_of
from .verdicts import UNDECIDED, verdict
from .words import p_text

if TYPE_CHECKING:
    from .pairing import Pairs


# ---- independent 0/1 items: counts are enough --------------------------------------------------------------


def p_max_drop(b: np.ndarray, c: np.ndarray) -> float:
    """1 − Π_t P[Z_t < z_max], Z_t = (2B_t − m_t)/√m_t, B_t ~ Bin(m_t, ½): exact, ties counted against.

    `b`, `c` of shape (tasks,). Tasks without flips carry no information; 1 if no task has any.
    """
    flips = _flips(b, c)
    return _p_any_reaches(max(flips, key=_Z), [m for _, m in flips]) if flips else 1.0


def p_step_down(b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Which task: step-down max-z p-values (tasks,), adjusted for all tasks (Westfall & Young), exact.

    The j-th largest z is compared with the largest of the tasks not yet passed; never below an earlier one.
    """
    b, c = np.asarray(b), np.asarray(c)
    adjusted = np.ones(b.size)
    there = [int(t) for t in np.flatnonzero(b + c)]
    ordered = sorted(there, key=lambda t: _Z((int(b[t] - c[t]), int(b[t] + c[t]))), reverse=True)
    highest = 0.0
    for rank, task in enumerate(ordered):
        z = (int(b[task] - c[task]), int(b[task] + c[task]))
        highest = max(highest, _p_any_reaches(z, [int(b[t] + c[t]) for t in ordered[rank:]]))
        adjusted[task] = highest
    return adjusted


def fisher_statistic(b: np.ndarray, c: np.ndarray) -> float:
    """−2 Σ ln p_t over the tasks that have flips."""
    return -2 * np.log(10) * sum(log10_p_exact(int(x), int(y)) for x, y in zip(b, c, strict=True) if x + y)


def p_fisher(b: np.ndarray, c: np.ndarray, draws: int = DRAWS_OF_A_SUITE, seed: int = 0) -> float:
    """Fisher's combination with its null calibrated by drawing B_t ~ Bin(m_t, ½): (1 + #{T* ≥ T})/(draws + 1).

    The χ² null would be badly conservative, as p-values of counts are discrete.
    """
    totals = np.asarray(b) + np.asarray(c)
    rng = generator_of(seed, np.asarray(b), totals)
    statistics = np.zeros(draws)
    for m in totals[totals > 0].tolist():
        drawn = rng.binomial(m, 0.5, size=draws)
        low, high = drawn.min(), drawn.max()
        losses = np.arange(low, high + 1)
        statistics += (-2 * np.log(p_exact(losses, m - losses)))[drawn - low]
    observed = fisher_statistic(b, c)
    return float((1 + np.count_nonzero(statistics >= observed - 1e-9 * max(1.0, observed))) / (draws + 1))


class _Z:
    """Orders tasks (x, m) by x/√m without rounding: the sign of x and then x²/m, compared as integers."""

    def __init__(self, task: tuple[int, int]):
        self.x, self.m = task

    def __lt__(self, other: _Z) -> bool:
        return self.x * abs(self.x) * other.m < other.x * abs(other.x) * self.m


def _flips(b: np.ndarray, c: np.ndarray) -> list[tuple[int, int]]:
    """(b_t − c_t, m_t) of the tasks that have flips, as Python integers, which do not overflow."""
    return [(int(x) - int(y), int(x) + int(y)) for x, y in zip(b, c, strict=True) if x + y]


def _p_any_reaches(z: tuple[int, int], totals: list[int]) -> float:
    """P[max_t Z_t ≥ x/√m] over independent tasks with these numbers of flips, z = (x, m)."""
    m = np.array(totals)
    least = np.array([_least_difference(total, *z) for total in totals])
    tails = at_least((least + m) // 2, m - (least + m) // 2)
    if (tails >= 1).any():
        return 1.0
    return float(-np.expm1(np.log1p(-tails).sum()))


def _least_difference(total: int, x: int, m: int) -> int:
    """The smallest difference y that `total` flips can show with y/√total ≥ x/√m, in exact integers."""
    square = x * x * total
    if x > 0:
        y = isqrt(-(-square // m) - 1) + 1  # y² ≥ square/m
    else:
        y = -isqrt(square // m)  # y² ≤ square/m
    return y + (y - total) % 2


def p_combined(*p_values: float) -> float:
    """min(1, k·min p) over k tests: Bonferroni, valid however they depend on each other."""
    return min(1.0, len(p_values) * min(p_values))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, same shape (k,)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


# ---- anything else: one sign per unit, the same draws for every test ---------------------------------------


@dataclass(frozen=True)
class SignDraws:
    """p-values that come from the same random sign flips."""

    p_max_drop: float
    p_fisher: float
    p_step_down: np.ndarray  # (tasks,)


def sign_draw_tests(
    differences: np.ndarray, units: np.ndarray, tasks: np.ndarray, draws: int, seed: int
) -> SignDraws:
    """Max-drop, Fisher and step-down max-z, with one sign for all items of a unit across all tasks.

    differences, units (codes 0 … U−1) and tasks (codes 0 … T−1) are parallel, shape (n,). Per-task p-values
    inside Fisher's statistic are ranks among the draws, for the observed row as for every drawn one.
    """
    sums, square_roots = _draw_sums(differences, units, tasks, draws, seed)
    there = np.flatnonzero(square_roots > 0)
    step_down = np.ones(square_roots.size)
    if there.size == 0:
        return SignDraws(1.0, 1.0, step_down)
    z = sums[:, there] / square_roots[there]  # (draws + 1, tasks); the observed row is the first
    z = z.round(9)  # sums equal in exact arithmetic are ties
    rows = len(z)
    highest = 0.0
    order = np.argsort(-z[0], kind="stable")
    for rank, task in enumerate(order):
        reached = np.count_nonzero(z[:, order[rank:]].max(axis=1) >= z[0, task])
        highest = max(highest, reached / rows)
        step_down[there[task]] = highest
    log_p = np.zeros(rows)
    for column in z.T:
        log_p += np.log((rows - np.searchsorted(np.sort(column), column, side="left")) / rows)
    fisher = np.count_nonzero(log_p <= log_p[0] + 1e-9) / rows
    return SignDraws(float(step_down[there[order[0]]]), float(fisher), step_down)


def _draw_sums(
    differences: np.ndarray, units: np.ndarray, tasks: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Σd per task, (draws + 1, T), observed in the first row, under random signs below; and √Σd², (T,)."""
    count = int(tasks.max()) + 1
    cells, at = np.unique(units.astype(np.int64) * count + tasks, return_inverse=True)
    values = np.bincount(at, weights=differences)
    unit, task = np.divmod(cells, count)
    square_roots = np.sqrt(np.bincount(task, weights=values**2, minlength=count))
    observed = np.bincount(task, weights=values, minlength=count)
    rng = generator_of(seed, values, task)
    drawn = np.zeros((draws, count))
    shared = (np.bincount(unit, minlength=units.max() + 1) > 1)[unit]
    for t in range(count):
        own = values[(task == t) & ~shared]
        drawn[:, t] = random_sign_sums(own[:, None], draws, rng)[:, 0]
    if shared.any():
        _, row = np.unique(unit[shared], return_inverse=True)
        table = np.zeros((row.max() + 1, count))
        table[row, task[shared]] = values[shared]
        drawn += random_sign_sums(table, draws, rng)
    return np.vstack([observed, drawn]), square_roots


# ---- one candidate, one suite ------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class SuiteResult:
    """One candidate on many tasks. `pooled` is the micro-average over all items: its p is the pooled test.

    `p_adjusted` is `p_combined` after Holm over the candidates of the suite and decides "degraded". `p_safe` decides
    whether a drop of the margin is excluded: on the average over all items, or, `per_task`, on every task (the largest
    of the tasks' p: an intersection–union test, at level without adjustment); for each candidate separately, or with
    `p_safe_adjusted` after Holm over the candidates. `shared` counts the items that occur in more than one task.
    """

    tasks: dict[str, PairedResult]
    pooled: PairedResult
    p_max_drop: float
    p_fisher: float
    p_combined: float
    p_adjusted: float
    p_holm: dict[str, float]
    p_step_down: dict[str, float]
    shared: int
    null: str  # how the null distributions were computed
    p_safe: float
    p_safe_adjusted: float  # p_safe, unless adjusted for the candidates
    per_task: bool
    not_shown_safe: tuple[str, ...]  # the tasks on which a drop of the margin is not excluded
    verdict: str
    reason: str | None
    within_margin: bool

    def __repr__(self) -> str:
        return (f"SuiteResult({self.verdict}: average drop {drop_text(self.pooled)}, "
                f"p adjusted = {p_text(self.p_adjusted)}, {len(self.tasks)} tasks, {self.pooled.n:,} items)")

    def to_dict(self) -> dict:
        """Every field by name, with the tasks and the pooled row as dictionaries; those have no verdicts, because the
        verdict of a suite is adjusted."""
        content = {"verdict": self.verdict, "p_pooled": self.p_pooled, **asdict(self)}
        content["tasks"] = {task: result.to_dict() for task, result in self.tasks.items()}
        content["pooled"] = self.pooled.to_dict()
        for row in (content["pooled"], *content["tasks"].values()):
            del row["verdict"], row["reason"], row["within_margin"]
        return content

    def to_frame(self) -> pd.DataFrame:
        """One row for each task: its fields in `to_dict`, and its p-values adjusted for all tasks."""
        rows = {task: {**row, "p_holm": self.p_holm[task], "p_step_down": self.p_step_down[task]}
                for task, row in self.to_dict()["tasks"].items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")

    @property
    def p_pooled(self) -> float:
        return self.pooled.p

    @property
    def decisive(self) -> str:
        """The test with the smallest p; for the max-drop test, with its task."""
        worst = min(self.p_step_down, key=lambda task: self.p_step_down[task])
        tests = {"pooled": self.p_pooled, f"max-drop: {worst}": self.p_max_drop, "Fisher": self.p_fisher}
        return min(tests, key=lambda test: tests[test])


def judge_suite(
    suite: list[Pairs], *, alpha: float = ALPHA, margin: float = MARGIN, interval: str = "tango",
    draws: int = DRAWS_OF_A_SUITE, seed: int = 0, missing_at_random: bool = False, per_task: bool = False,
) -> SuiteResult:
    """Test one candidate on all tasks of `suite`; `p_adjusted` is for one candidate, see `adjust_candidates`.

    `alpha`, `margin`, `interval` and `missing_at_random` are those of `judge_pair`; `draws` and `seed` apply to
    Fisher's null, and to every test if units are shared or scores are not 0/1 (arXiv 2602.10144, section 4). With
    `per_task`, "safe" is said only where the margin is excluded on every task.

    Raises InputError for no tasks, an alpha or margin out of range, and if scores of a multi-task suite lie
    outside [0, 1]: such drops cannot be added up.
    """
    if not suite:
        raise InputError("no tasks to test")
    if len(suite) > 1:
        for pairs in suite:
            if not in_unit_range(pairs.baseline, pairs.candidate):
                raise InputError(f"{pairs.task}: scores outside [0, 1] cannot be pooled with other tasks; "
                                 "choose another metric, or test this task alone with pair")
    names = [pairs.task for pairs in suite]
    settings: dict[str, Any] = dict(alpha=alpha, margin=margin, interval=interval, draws=draws, seed=seed,
                                    missing_at_random=missing_at_random)
    results = {pairs.task: judge_pairs(pairs, **settings) for pairs in suite}
    differences = np.concatenate([pairs.differences for pairs in suite])
    tasks = np.repeat(np.arange(len(suite)), [pairs.baseline.size for pairs in suite])
    units, alone = units_of(suite)
    pooled = pooled_pair(suite, None if alone else units, **settings)
    shared = 0 if alone else int((pd.Series(tasks).groupby(units).transform("nunique") > 1).sum())
    if alone and all(result.p_exact is not None for result in results.values()):
        b, c = np.array([[r.b, r.c] for r in results.values()]).T
        max_drop, fisher, step_down = p_max_drop(b, c), p_fisher(b, c, draws, seed), p_step_down(b, c)
        null = f"exact; Fisher {draws:,} draws"
    else:
        drawn = sign_draw_tests(differences, units, tasks, draws, seed)
        max_drop, fisher, step_down = drawn.p_max_drop, drawn.p_fisher, drawn.p_step_down
        null = f"{draws:,} sign draws, pooled {pooled.permutation_method}"
    # With one task the three are the same test.
    combined = p_combined(pooled.p, max_drop, fisher) if len(suite) > 1 else pooled.p
    p_safe = max(row.p_safe for row in results.values()) if per_task else pooled.p_safe
    decided, within = verdict(combined, p_safe, alpha)
    return SuiteResult(
        tasks=results, pooled=pooled, p_max_drop=max_drop, p_fisher=fisher, p_combined=combined,
        p_adjusted=combined, p_holm=dict(zip(names, holm([r.p for r in results.values()]).tolist(), strict=True)),
        p_step_down=dict(zip(names, step_down.tolist(), strict=True)), shared=shared, null=null,
        p_safe=p_safe, p_safe_adjusted=p_safe, per_task=per_task,
        not_shown_safe=tuple(name for name, row in results.items() if row.p_safe > alpha),
        verdict=decided, within_margin=within, reason=pooled.reason if decided == UNDECIDED and not per_task else None,
    )


def adjust_candidates(results: dict[str, SuiteResult], adjust_safe: bool = False) -> dict[str, SuiteResult]:
    """Holm over the candidates on the combined p, with `adjust_safe` on p_safe as well, and the verdicts that follow.

    Without `adjust_safe`, one of k independent candidates at the margin is called safe with probability up to
    1 − (1 − alpha)^k; with it, at most alpha.
    """
    adjusted = holm([result.p_combined for result in results.values()])
    safe = [result.p_safe for result in results.values()]
    safe = holm(safe).tolist() if adjust_safe else safe
    judged = {}
    for (name, result), p, p_safe in zip(results.items(), adjusted, safe, strict=True):
        decided, within = verdict(p, p_safe, result.pooled.alpha)
        reason = result.pooled.reason if decided == UNDECIDED and not result.per_task else None
        judged[name] = replace(result, p_adjusted=float(p), p_safe_adjusted=p_safe, verdict=decided, reason=reason,
                               within_margin=within)
    return judged
