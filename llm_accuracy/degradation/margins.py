"""Margins as people state them: points of the scale, a share of it, or a share of the baseline's score to be kept.

    1pt            one point: a hundredth of the scale
    .01            the same, as a share of the scale; in the scores' own units where their scale is not known
    recovery=99%   the candidate keeps 99 % of the baseline's mean score

A bare 1% is refused: of the scale and of the baseline's score are both meant by it. Imports next to nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError
from .defaults import MARGIN

if TYPE_CHECKING:
    import numpy as np

    from .pairing import Pairs

RISK = 1e-4  # that the baseline's true mean lies below the limit that a recovery is taken of
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"


def check_below_half(margin: float, width: float) -> None:
    """Raise InputError for a margin of half the scale or more: it would pass almost anything. `width` of the scale, or
    of the observed scores where the scale is not known."""
    if width > 0 and not margin < width / 2:
        raise InputError(f"margin = {margin:g} is half of the scale or more (its width is {width:g}), which would "
                         "pass almost any candidate: give a smaller one (one point of the scale is --margin 1pt)")


def check_against_scores(margin: float, lowest: float, highest: float) -> None:
    """Raise InputError for a margin of half the scale of scores between these, or more: of [0, 1], or of their observed
    range where they leave it."""
    if lowest >= 0 and highest <= 1:
        check_below_half(margin, 1.0)
    else:
        check_below_half(margin, highest - lowest)


@dataclass(frozen=True)
class Margin:
    """A margin as it was stated: `value` in points, as a share of the scale, or as the share to be recovered.

    kind   "points", "share" or "recovery"
    text   as it was written
    """

    kind: str
    value: float
    text: str

    @classmethod
    def parse(cls, text: str | float) -> Margin:
        """Raises InputError for anything but a positive number, Npt and recovery=N%."""
        said = str(text).strip()
        if found := re.fullmatch(rf"({_NUMBER})\s*(?:pts?|points?)", said, re.IGNORECASE):
            made = cls("points", float(found[1]), said)
        elif found := re.fullmatch(rf"recovery\s*=\s*({_NUMBER})\s*(%?)", said, re.IGNORECASE):
            made = cls("recovery", float(found[1]) / (100 if found[2] else 1), said)
            if not 0 < made.value < 1:
                raise InputError(f"margin {said}: the share of the baseline's score that must be kept lies between 0 "
                                 "and 100 %: recovery=99%")
        elif re.fullmatch(_NUMBER, said):
            made = cls("share", float(said), said)
        elif found := re.fullmatch(rf"({_NUMBER})\s*%", said):
            raise InputError(f"margin {said}: of what? Say {found[1]}pt (points of the scale), or "
                             f"recovery={100 - float(found[1]):g}% to lose at most {said} of the baseline's score")
        else:
            raise InputError(f"margin {said!r}: give 1pt (points of the scale), .01 (share of the scale) or "
                             "recovery=99% (share of the baseline's score that must be kept)")
        if not made.value > 0:
            raise InputError(f"margin = {made.value} must be positive: the largest drop that would not matter")
        return made

    @property
    def of_scale(self) -> float:
        """As a share of the scale. Raises InputError for a recovery, and for half the scale or more."""
        if self.kind == "recovery":
            raise InputError(f"margin {self.text}: it takes the baseline's score, which is not known here: give points "
                             "(1pt) or a share of the scale (.01)")
        share = self.value / (100 if self.kind == "points" else 1)
        check_below_half(share, 1.0)
        return share

    def in_units(self, width: float | None, observed: float) -> float:
        """In units of the scores: of a scale of this `width`, or of one that is not known (None), of which the scores
        `observed` so much.

        Raises InputError where that cannot be said, for a recovery, and for half the scale or more.
        """
        if width is not None:
            return self.of_scale * width
        if self.kind == "recovery":
            return self.of_scale  # raises
        if self.kind == "points":
            raise InputError(f"margin {self.text}: points are hundredths of a scale, and that of these scores is not "
                             "known: state it with --range LOW HIGH, or give the margin as a number in their own unit")
        check_below_half(self.value, observed)
        return self.value


DEFAULT_MARGIN = Margin.parse(MARGIN)


# ---- of scores that were compared -------------------------------------------------------------------------------


def resolve(margin: Margin, pairs: list[Pairs]) -> tuple[float, float, tuple[str, ...]]:
    """(margin in units of the scores as compared, as a share of their scale or observed range, notes) of a margin as
    stated, for all tasks of a candidate.

    A recovery is taken of the lower 1 − RISK confidence limit of the baseline's mean score, since that mean is
    measured: exact (Clopper–Pearson) for independent 0/1 items, else Hoeffding's inequality over the units. So the
    error rate of "not degraded" rises by RISK at most. Raises InputError where the margin cannot be resolved.
    """
    import numpy as np

    scores = np.concatenate([np.r_[one.baseline, one.candidate] for one in pairs])
    known = bool(scores.min() >= 0 and scores.max() <= 1)
    if margin.kind != "recovery":
        resolved = margin.in_units(1.0 if known else None, float(np.ptp(scores)))
        if known:
            return resolved, resolved, ()
        spread = float(np.ptp(scores)) or 1.0
        note = (f"the scale of these scores is not known: the margin of {resolved:g} and all drops are in their own "
                f"units, and limits, 'safe' and 'means' take it that no score lies outside {scores.min():g} to "
                f"{scores.max():g}, the range seen{_apart(pairs)} (--range LOW HIGH would make them points)")
        return resolved, min(1.0, resolved / spread), (note,)
    if not known or not all(one.higher_is_better for one in pairs):
        why = "lower scores are better" if known else "the scale of these scores is not known (state --range LOW HIGH)"
        raise InputError(f"margin {margin.text}: {why}, so a share of the baseline's score says nothing; give points "
                         "(1pt) or a share of the scale (.01)")
    mean, limit = float(np.concatenate([one.baseline for one in pairs]).mean()), lower_limit(pairs)
    resolved = (1 - margin.value) * limit
    resolved = three_digits(resolved)
    if not resolved > 0:
        raise InputError(f"margin {margin.text}: the baseline's score is {mean:.4g} (at least {limit:.4g}), of which "
                         "nothing can be lost: give points (1pt)")
    check_below_half(resolved, 1.0)
    note = (f"margin: {100 * margin.value:g}% of the baseline's score must be kept; it is {mean:.4g}, and at least "
            f"{limit:.4g} at confidence 1 - {RISK:g}, so a drop of {100 * resolved:.4g} points or more is too large "
            f"(the error rate of \"not degraded\" rises by {RISK:g})")
    if len(pairs) > 1:
        note += ("; these are points of all tasks together: of a task that the baseline scores lower on, they are more "
                 f"than {100 * (1 - margin.value):.4g}%")
    return resolved, resolved, (note,)


def three_digits(margin: float) -> float:
    """Rounded down to three digits, so that what is printed is what is tested; 0 or less as it is."""
    if not margin > 0:
        return margin
    step = 10.0 ** (math.floor(math.log10(margin)) - 2)
    return round(math.floor(margin / step) * step, 12)


def _apart(pairs: list[Pairs]) -> str:
    """The ranges of baseline and candidate, where they are not the same."""
    import numpy as np

    both = [np.concatenate([getattr(one, which) for one in pairs]) for which in ("baseline", "candidate")]
    ends = [f"{scores.min():g} to {scores.max():g}" for scores in both]
    return "" if ends[0] == ends[1] else f", {ends[0]} in the baseline and {ends[1]} in the candidate"


def lower_limit(pairs: list[Pairs]) -> float:
    """One-sided lower 1 − RISK confidence limit of the baseline's mean score in [0, 1] over all tasks; where one of the
    two lacks answers, the lower one of that and the same with what the baseline lacks counted as 0."""
    import numpy as np

    from .units import units_of

    limit = _lower_limit(np.concatenate([one.baseline for one in pairs]), *units_of(pairs))
    if all(one.completed is None for one in pairs):
        return limit
    filled = [one.completed or one for one in pairs]
    scores = [one.completed.best[0] if one.completed else one.baseline for one in pairs]
    return min(limit, _lower_limit(np.concatenate(scores), *units_of(filled)))


def _lower_limit(scores: np.ndarray, units: np.ndarray, alone: bool) -> float:
    """`scores` (n,) in units with these codes, `alone` if each is one of its own."""
    import numpy as np
    from scipy import stats

    n = scores.size
    if alone and bool(np.isin(scores, (0, 1)).all()):
        right = int(scores.sum())
        return float(stats.beta.ppf(RISK, right, n - right + 1)) if right else 0.0
    sizes = np.bincount(units).astype(float)
    return max(0.0, float(scores.mean() - (np.log(1 / RISK) * np.square(sizes).sum() / 2) ** 0.5 / n))
