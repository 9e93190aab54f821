"""Two models on one task, matched item by item.

`pair_up` refuses models that cannot be compared. Nothing is dropped silently: excluded items are counted by reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import InputError
from ..scores.task_scores import ONLY_TASK, TaskScores, check_same_questions
from .defaults import MAX_EXCLUDED
from .scales import check_alike


@dataclass(frozen=True)
class Pairs:
    """Two models' scores on the same items: `baseline` and `candidate` (n,) without missing values.

    `units` (n,) labels items that are not independent (one label, one unit), across tasks as well; None if nothing
    is known that would tie items together. `left_out` lists the items left out, by reason. `also` (n,) holds what
    else says that items of several tasks are one question: fingerprints of content and prompt, None where unknown.
    """

    task: str
    items: np.ndarray
    baseline: np.ndarray
    candidate: np.ndarray
    units: np.ndarray | None = None
    higher_is_better: bool = True
    category: str | None = None
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    also: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def excluded(self) -> dict[str, int]:
        """How many items were left out, by reason."""
        return {reason: len(items) for reason, items in self.left_out.items()}

    @property
    def clusters(self) -> np.ndarray | None:
        """Codes 0 … G−1 of the units, or None if every item is a unit of its own."""
        if self.units is None:
            return None
        codes, labels = pd.factorize(self.units)
        return None if len(labels) == len(codes) else codes

    @property
    def differences(self) -> np.ndarray:
        """Positive where the candidate is worse."""
        sign = 1.0 if self.higher_is_better else -1.0
        return sign * (self.baseline - self.candidate)


def pair_up(
    baseline: TaskScores, candidate: TaskScores, task: str = ONLY_TASK, max_excluded: float = MAX_EXCLUDED
) -> Pairs:
    """Match two models on one task, item by item.

    Items that only one model has, or that lack a score in either, are left out and counted. Raises InputError
    if they are more than `max_excluded` of all items, if documents, targets or clusters of the two differ, and if
    the models disagree on which direction is better.
    """
    names = (baseline.source, candidate.source)
    if baseline.higher_is_better != candidate.higher_is_better:
        raise InputError(f"{task}: {names[0]} and {names[1]} disagree on whether a higher score is better")
    notes = [*baseline.notes, *candidate.notes, *_of_the_logs(baseline, candidate, task, max_excluded)]
    notes += check_same_questions(baseline.frame, candidate.frame, *names)
    both = baseline.frame.join(candidate.frame.add_suffix("_candidate"), how="inner")
    scored = both["score"].notna() & both["score_candidate"].notna()
    reasons = {
        "only in the baseline": baseline.frame.index.difference(both.index, sort=False),
        "only in the candidate": candidate.frame.index.difference(both.index, sort=False),
        "no score in the baseline": both.index[both["score"].isna()],
        "no score in the candidate": both.index[both["score"].notna() & both["score_candidate"].isna()],
    }
    left_out = {reason: tuple(map(str, items)) for reason, items in reasons.items() if len(items)}
    excluded = {reason: len(items) for reason, items in left_out.items()}
    union = len(baseline.frame.index.union(candidate.frame.index, sort=False))
    kept = both[scored]
    if sum(excluded.values()) > max_excluded * union or kept.empty:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in excluded.items())
        raise InputError(f"{task}: only {len(kept):,} of {union:,} items can be compared ({listed}) in "
                         f"{names[0]} and {names[1]}; complete the runs, or allow more with --max-excluded "
                         f"(now {max_excluded:g})")
    runs = kept["runs"], kept["runs_candidate"]
    if any(r.min() != r.max() for r in runs) or runs[0].max() != runs[1].max():
        spans = [f"{r.min()}" if r.min() == r.max() else f"{r.min()} to {r.max()}" for r in runs]
        notes.append(f"{task}: unequal numbers of runs: {spans[0]} per item in the baseline, {spans[1]} in "
                     "the candidate; each item is averaged over the runs it has")
    ties = next((c for c in ("cluster", "cluster_candidate", "content") if c in kept), None)
    repeated = int(kept["content"].duplicated().sum()) if ties == "content" else 0
    if repeated:
        notes.append(f"{task}: {repeated} items repeat another's question and are tested as one unit with it")
    return Pairs(
        task=task, items=kept.index.to_numpy(), baseline=kept["score"].to_numpy(float),
        candidate=kept["score_candidate"].to_numpy(float),
        units=None if ties is None else kept[ties].to_numpy(), higher_is_better=baseline.higher_is_better,
        category=baseline.category or candidate.category,
        left_out=left_out, notes=tuple(dict.fromkeys(notes)),
        also={name: kept[name].to_numpy(object) for name in ("content", "prompt_hash") if name in kept},
    )


def _of_the_logs(baseline: TaskScores, candidate: TaskScores, task: str, max_excluded: float) -> list[str]:
    """Lines about two logs as a whole. Raises InputError for one that lacks samples it counts itself, and for scores
    on two different scales."""
    for log in (baseline, candidate):
        account = log.account
        if account.stated and account.absent > max_excluded * account.stated:
            raise InputError(f"{log.source}: {task}: the log holds {account.answers:,} of the {account.stated:,} "
                             f"samples that it "
                             f"counts itself: complete it, or allow more with --max-excluded (now {max_excluded:g})")
    check_alike(baseline, candidate, task)
    lines = []
    for key in dict.fromkeys([*baseline.setup, *candidate.setup]):
        one, other_value = baseline.setup.get(key), candidate.setup.get(key)
        if one is not None and other_value is not None and one != other_value:
            lines.append(f"{task}: {key} differs: {one} in the baseline, {other_value} in the candidate")
    known = ["doc_hash" in log.frame for log in (baseline, candidate)]
    if known[0] != known[1]:
        which = "candidate" if known[0] else "baseline"
        lines.append(f"{task}: the {which} has no fingerprints of its questions, which are taken to be the same by "
                     f"their ids")
    return lines


# ---- pandas ------------------------------------------------------------------------------------------------


def match_series(
    baseline: pd.Series, candidate: pd.Series, clusters: pd.Series | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Two Series of scores by item → two arrays in the order of the first, and codes 0 … G−1 of the clusters.

    `clusters` may be a third Series of arbitrary labels, or codes in the order of the first. Nothing is dropped: raises
    InputError, with the number of items and the first of them, if items are repeated, are in only one of the Series, or
    have no score (`pair_up` counts such items and continues).
    """
    named = {"baseline": baseline, "candidate": candidate}
    if isinstance(clusters, pd.Series):
        named["clusters"] = clusters
    for name, series in named.items():
        if not isinstance(series, pd.Series):
            raise InputError(f"{name} is a {type(series).__name__} beside a Series: give two Series, which are matched "
                             "by their index, or two arrays in the same order")
        twice = series.index[series.index.duplicated()].unique()
        if len(twice):
            raise InputError(f"{name}: its index has {_items(twice)} more than once")
    for name, series in list(named.items())[1:]:
        for here, there, which in ((baseline, series, "baseline"), (series, baseline, name)):
            alone = here.index.difference(there.index, sort=False)
            if len(alone):
                raise InputError(f"only {which} has {_items(alone)}: baseline and {name} cannot be matched by their "
                                 "index")
    matched = {name: series.reindex(baseline.index) for name, series in named.items()}
    for name, series in matched.items():
        missing = series.index[series.isna()]
        if len(missing):
            raise InputError(f"{name}: no value for {_items(missing)}: drop what is missing from both")
    codes = pd.factorize(matched["clusters"])[0] if isinstance(clusters, pd.Series) else clusters
    return _numbers(matched["baseline"], "baseline"), _numbers(matched["candidate"], "candidate"), codes


def _numbers(series: pd.Series, name: str) -> np.ndarray:
    if series.dtype == bool:
        return series.to_numpy()
    numbers = pd.to_numeric(series, errors="coerce")
    odd = series.index[numbers.isna()]
    if len(odd):
        raise InputError(f"{name}: no number for {_items(odd)}: {series[odd[0]]!r}")
    return numbers.to_numpy(float)


def _items(index: pd.Index) -> str:
    """The number of items, and the first of them."""
    return f"item {index[0]!r}" if len(index) == 1 else f"{len(index):,} items (first: {index[0]!r})"
