"""Two models on one task, matched item by item.

`pair_up` refuses models that cannot be compared. Nothing is dropped silently: excluded items are counted by reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..errors import InputError
from ..scores.contract import told_apart
from ..scores.task_scores import ONLY_TASK, TaskScores, check_same_questions
from .defaults import MARGIN, largest_excluded
from .reruns import SMALL, deterministic, equal_means
from .scales import check_alike


@dataclass(frozen=True)
class Completed:
    """The pairs, with what one of the two lacks filled in at its extremes: `worst` against the candidate (what it lacks
    is as bad as can be, what the baseline lacks as good as can be), `best` in its favour; (baseline, candidate) of
    shape (n + items one lacks,). `units` and `also` as in `Pairs`."""

    worst: tuple[np.ndarray, np.ndarray]
    best: tuple[np.ndarray, np.ndarray]
    units: np.ndarray | None
    also: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.worst[0].size

    @property
    def clusters(self) -> np.ndarray | None:
        return codes_of(self.units)


@dataclass(frozen=True)
class Pairs:
    """Two models' scores on the same items: `baseline` and `candidate` (n,) without missing values.

    `units` (n,) labels items that are not independent (one label, one unit), across tasks as well; None if nothing
    is known that would tie items together, an entry of None where nothing is known of an item. `also` (n,) holds what
    else says that items of several tasks are one question: fingerprints of content and prompt, None where unknown.
    `left_out` lists the items left out, by reason. `completed` is there if one of the two lacks answers that the other
    has; `answers` are the scores of every run, (n, runs) of each, if there are several.
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
    completed: Completed | None = None
    answers: tuple[np.ndarray, np.ndarray] | None = None
    also: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.items.size

    @property
    def excluded(self) -> dict[str, int]:
        """How many items were left out, by reason."""
        return {reason: len(items) for reason, items in self.left_out.items()}

    @property
    def clusters(self) -> np.ndarray | None:
        """Codes 0 … G−1 of the units, or None if every item is a unit of its own."""
        return codes_of(self.units)

    @property
    def differences(self) -> np.ndarray:
        """Positive where the candidate is worse."""
        sign = 1.0 if self.higher_is_better else -1.0
        return sign * (self.baseline - self.candidate)


def codes_of(units: np.ndarray | None) -> np.ndarray | None:
    """Codes 0 … G−1 of the labels of units, or None if every item is a unit of its own."""
    if units is None:
        return None
    codes, labels = pd.factorize(pd.Series(units, dtype=object))
    alone = codes < 0
    codes[alone] = len(labels) + np.arange(int(alone.sum()))
    return None if len(labels) + int(alone.sum()) == len(codes) else codes


def pair_up(baseline: TaskScores, candidate: TaskScores, task: str = ONLY_TASK, max_excluded: float | None = None,
            margin: float = MARGIN) -> Pairs:
    """Match two models on one task, item by item.

    Items that only one model has, or that lack a score in either, are left out and counted; `Pairs.completed` has those
    that one of the two answered. An item is averaged over as many runs of either model as both have. Raises InputError
    if more than `max_excluded` of all items are left out (by default, what `largest_excluded` allows for this margin),
    if documents, targets or clusters of the two differ, and if the models disagree on which direction is better.
    """
    names = (baseline.source, candidate.source)
    if baseline.higher_is_better != candidate.higher_is_better:
        raise InputError(f"{task}: {names[0]} and {names[1]} disagree on whether a higher score is better")
    notes = [*baseline.notes, *candidate.notes, *_of_the_logs(baseline, candidate, task)]
    notes += check_same_questions(baseline.frame, candidate.frame, *names)
    frame, listed = _side_by_side(baseline.frame, candidate.frame)
    there = frame["score"].notna().to_numpy(), frame["score_candidate"].notna().to_numpy()
    left_out = _left_out(frame, there, *listed)
    kept = _rows(frame, there[0] & there[1])
    check_excluded(baseline, candidate, task, {reason: len(items) for reason, items in left_out.items()}, len(kept),
                   largest_excluded(max_excluded, margin))
    answers = tuple(_answers(one, kept.index) for one in (baseline, candidate))
    means, drawn = equal_means(kept.index.to_numpy(), *answers)
    notes += _run_notes(task, kept, answers, drawn)
    repeated = int(kept["content"].duplicated().sum()) if "content" in kept and not _clustered(kept) else 0
    if repeated:
        notes.append(f"{task}: {repeated} items repeat another's question and are tested as one unit with it")
    asked = baseline.sampled or candidate.sampled  # then an item that neither answered is missing, too
    completed, range_note = _complete(baseline, candidate, frame if asked else _rows(frame, there[0] | there[1]))
    return Pairs(
        task=task, items=kept.index.to_numpy(), baseline=means[0], candidate=means[1],
        units=_units(kept), higher_is_better=baseline.higher_is_better,
        category=baseline.category or candidate.category,
        left_out={reason: tuple(map(str, items)) for reason, items in left_out.items()},
        notes=tuple(dict.fromkeys([*notes, *range_note])), completed=completed,
        answers=(answers[0], answers[1]) if max(one.shape[1] for one in answers) > 1 else None, also=_also(kept),
    )


def check_excluded(baseline: TaskScores, candidate: TaskScores, task: str, left_out: dict[str, int], kept: int,
                   largest: float) -> None:
    """Raise InputError where more than the share `largest` of all items are left out (numbers by reason), where none is
    `kept`, and for a log that lacks more than that share of the samples it counts itself."""
    for log in (baseline, candidate):
        account = log.account
        if account.stated and account.absent > largest * account.stated:
            raise InputError(f"{log.source}: {task}: the log holds {account.answers:,} of the {account.stated:,} "
                             f"samples that it counts itself: complete it, or allow more with --max-excluded (now "
                             f"{largest:g})")
    total = kept + sum(left_out.values())
    listed = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    if kept == 0:
        raise InputError(f"{task}: no item has a score in both {baseline.source} and {candidate.source} ({listed}): "
                         "are these results on the same questions, under the same names?")
    if total - kept > largest * total:
        raise InputError(f"{task}: only {kept:,} of {total:,} items can be compared ({listed}) in {baseline.source} "
                         f"and {candidate.source}; complete the runs, or allow more with --max-excluded "
                         f"(now {largest:g})")


def _side_by_side(one: pd.DataFrame, other: pd.DataFrame) -> tuple[pd.DataFrame, tuple[np.ndarray, np.ndarray]]:
    """All items of both, in the order of the first, with the columns of the other as …_candidate; and whether each of
    the two has the item. Two models with the same items in the same order, as most have, need no search for them."""
    if one.index.equals(other.index):
        every = np.ones(len(one), bool)
        return one.assign(**{f"{name}_candidate": other[name].array for name in other}), (every, every)
    index = one.index.append(other.index.difference(one.index, sort=False))
    frame = one.reindex(index).join(other.add_suffix("_candidate"))
    return frame, (frame.index.isin(one.index), frame.index.isin(other.index))


def _rows(frame: pd.DataFrame, where: np.ndarray) -> pd.DataFrame:
    return frame if where.all() else frame[where]


def _left_out(frame: pd.DataFrame, there: tuple[np.ndarray, np.ndarray], *listed: np.ndarray) -> dict[str, pd.Index]:
    """The items left out, by reason; `there` whether a model has a score, `listed` whether it has the item."""
    both = listed[0] & listed[1]
    reasons = {
        "only in the baseline": ~listed[1],
        "only in the candidate": ~listed[0],
        "no score in the baseline": both & ~there[0] & there[1],
        "no score in the candidate": both & there[0] & ~there[1],
        "no score in either": both & ~there[0] & ~there[1],
    }
    return {reason: frame.index[where] for reason, where in reasons.items() if where.any()}


def _answers(scores: TaskScores, items: pd.Index) -> np.ndarray:
    """(items, runs); the score itself where single runs are not known."""
    table = scores.frame["score"] if scores.answers is None else scores.answers
    found = (table if table.index.equals(items) else table.reindex(items)).to_numpy(float)
    return found.reshape(len(found), -1)


def _run_notes(task: str, kept: pd.DataFrame, answers: tuple[np.ndarray, ...], drawn: bool) -> list[str]:
    notes = []
    runs = kept["runs"].astype(int), kept["runs_candidate"].astype(int)
    if any(r.min() != r.max() for r in runs) or runs[0].max() != runs[1].max():
        spans = [f"{r.min()}" if r.min() == r.max() else f"{r.min()} to {r.max()}" for r in runs]
        how = ("as many are drawn of the one that has more as the other has; which ones is fixed by the scores" if drawn
               else "each item is averaged over the runs it has, and equal models may differ by their numbers of runs")
        notes.append(f"{task}: unequal numbers of runs: {spans[0]} per item in the baseline, {spans[1]} in the "
                     f"candidate; {how}")
    fixed = [deterministic(one) for one in answers]
    if len(kept) <= SMALL and fixed[0] != fixed[1] and not deterministic(np.concatenate(answers, axis=1)):
        which = "baseline" if fixed[0] else "candidate"
        notes.append(f"{task}: the {which}'s runs agree on every item, the other's do "
                     "not: differences of models with equal means are then skewed, and of so few items the sign-flip "
                     "test speaks of symmetry, not of means; read the tests of the means, too")
    return notes


def _clustered(frame: pd.DataFrame) -> bool:
    return "cluster" in frame or "cluster_candidate" in frame


def _units(frame: pd.DataFrame) -> np.ndarray | None:
    """What ties items together: their cluster, or else their content; None for an item without a label."""
    return _labels(frame, "cluster" if _clustered(frame) else "content")


def _also(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    found = {name: _labels(frame, name) for name in ("content", "prompt_hash")}
    return {name: labels for name, labels in found.items() if labels is not None}


def _labels(frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """Labels of the items in either model, None where there are none; None if neither model has such a column."""
    columns = [frame[c] for c in (name, f"{name}_candidate") if c in frame]
    if not columns:
        return None
    labels = columns[0] if len(columns) == 1 else columns[0].combine_first(columns[1])
    return labels.astype(object).where(labels.notna(), None).to_numpy()


def _complete(baseline: TaskScores, candidate: TaskScores,
              frame: pd.DataFrame) -> tuple[Completed | None, list[str]]:
    """The items of `frame`, with what is missing filled in; None where nothing is."""
    tables = [_answers(one, frame.index) for one in (baseline, candidate)]
    lacking = [np.isnan(one) for one in tables]
    if not (lacking[0].any() or lacking[1].any()):
        return None, []
    seen = [one[~gap] for one, gap in zip(tables, lacking, strict=True)]
    (low, high), notes = baseline.scale or candidate.scale or (0.0, 1.0), []
    if min(s.min() for s in seen) < low or max(s.max() for s in seen) > high:
        low, high = float(min(s.min() for s in seen)), float(max(s.max() for s in seen))
        notes = [f"missing answers are bounded by the scores that were seen, {low:g} to {high:g}: the scale is not "
                 "known (--range LOW HIGH)"]
    bad, good = (low, high) if baseline.higher_is_better else (high, low)
    filled = []
    for fill in ((good, bad), (bad, good)):
        complete = [np.where(gap, value, one) for one, gap, value in zip(tables, lacking, fill, strict=True)]
        filled.append(equal_means(frame.index.to_numpy(), *complete)[0])
    worst, best = ((means[0], means[1]) for means in filled)
    return Completed(worst, best, _units(frame), _also(frame)), notes


def _of_the_logs(baseline: TaskScores, candidate: TaskScores, task: str) -> list[str]:
    """Lines about two logs as a whole. Raises InputError for scores on two different scales."""
    check_alike(baseline, candidate, task)
    lines = []
    for key in dict.fromkeys([*baseline.setup, *candidate.setup]):
        one, other_value = baseline.setup.get(key), candidate.setup.get(key)
        if one is not None and other_value is not None and one != other_value:
            left, right = told_apart(one, other_value)
            lines.append(f"{task}: {key} differs: {left} in the baseline, {right} in the candidate")
    known = ["doc_hash" in log.frame for log in (baseline, candidate)]
    if known[0] != known[1]:
        which = "candidate" if known[0] else "baseline"
        lines.append(f"{task}: the {which} has no fingerprints of its questions, which are taken to be the same by "
                     f"their ids")
    elif all(known):
        for log, which in ((baseline, "baseline"), (candidate, "candidate")):
            if lacking := int(log.frame["doc_hash"].isna().sum()):
                lines.append(f"{task}: the {which} has no fingerprints of {lacking:,} of {len(log.frame):,} questions, "
                             "which are taken to be the same by their ids")
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
            raise InputError(f"{name}: no value for {_items(missing)}: give it a score (0 where the model "
                             "failed), or leave it out of both and say so")
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
