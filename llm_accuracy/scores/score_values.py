"""What counts as a score: one table of the words for right, wrong and missing and of the numbers that each kind of
source may contain; and the values that evaluation tools log.

    source       missing                        right         wrong          words are     numbers
    wide         "", nan, NaN                   1 1.0 True    0 0.0 False    as written    0 to 1; NaN is missing
    long         "", nan, null, none            true          false          folded        any, then 0 to 1
    csv          "", nan, null, none, na        true          false          folded        finite
    watch        "", nan, null, none, na        true          false          folded        any; NaN is missing
    lm-eval                                     true          false          folded        any; NaN is missing
    leaderboard                                 True 1 1.0    False 0 0.0    as written    0 and 1

Folded words are compared in lower case without blanks around them. The null of JSON is missing, but refused on the
leaderboard. inspect_ai's values are converted as it does itself (C = 1, P = ½, I and N = 0), those of HELM are sums
over counts; everything that goes into a matrix must lie within `MATRIX`.

The sources differ in their words for missing, although one set could serve them all. Making the rows equal would change
what is read and is left to the issue on readers (13); until then each row says what its source has always accepted, and
the tests check exactly that.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

NAN = math.nan
# Logged per item as [log-likelihood, words or bytes]; the item score becomes the log-likelihood per unit.
PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


@dataclass(frozen=True)
class ScoreRules:
    """What one kind of source may contain as a score.

    missing, right, wrong  words for no score, 1 and 0
    folded                 words are compared in lower case, without blanks around them
    nan                    a number that reads as NaN is a missing score (else it is refused)
    finite                 infinite numbers are refused
    low, high              the range of a number, both ends included
    whole                  0 and 1 only
    """

    missing: tuple[str, ...] = ()
    right: tuple[str, ...] = ("true",)
    wrong: tuple[str, ...] = ("false",)
    folded: bool = True
    nan: bool = False
    finite: bool = True
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    @cached_property
    def words(self) -> dict[str, float]:
        """word → 1, 0 or NaN (missing)"""
        return dict.fromkeys(self.missing, NAN) | dict.fromkeys(self.right, 1.0) | dict.fromkeys(self.wrong, 0.0)

    def allows(self, number: float) -> bool:
        """Whether a number (possibly NaN) is a valid score."""
        if math.isnan(number):
            return self.nan
        if self.whole:
            return number in (0.0, 1.0)
        return self.low <= number <= self.high and not (self.finite and math.isinf(number))

    def number(self, text: str) -> float | None:
        """The score that a text represents (NaN = missing); None if it is not a score."""
        word = text.strip().lower() if self.folded else text
        if word in self.words:
            return self.words[word]
        if self.whole:  # its words are all there is
            return None
        try:
            number = float(word)
        except ValueError:
            return None
        return number if self.allows(number) else None

    def numbers(self, texts: pd.Series) -> tuple[pd.Series, pd.Series]:
        """(scores as float64, NaN = missing; True where a text is not a score) of a column of texts.

        The range is not checked here: tables are checked against `MATRIX` once all their rows are known.
        """
        import pandas as pd

        words = texts.str.strip().str.lower() if self.folded else texts
        known = words.isin(self.words)
        numbers = pd.to_numeric(words.where(~known), errors="coerce").astype(float)
        bad = ~known & (numbers.isna() | (numbers.abs() == math.inf) & self.finite)
        return numbers.where(~known, words.map(self.words)).astype(float), bad


RULES = {
    "wide": ScoreRules(("", "nan", "NaN"), ("1", "1.0", "True"), ("0", "0.0", "False"), folded=False, nan=True,
                       low=0.0, high=1.0),
    "long": ScoreRules(("", "nan", "null", "none"), finite=False),
    "csv": ScoreRules(("", "nan", "null", "none", "na")),
    "watch": ScoreRules(("", "nan", "null", "none", "na"), nan=True, finite=False),
    "lm-eval": ScoreRules(nan=True, finite=False),
    "leaderboard": ScoreRules((), ("True", "1", "1.0"), ("False", "0", "0.0"), folded=False, whole=True),
}
MATRIX = RULES["wide"]  # the range of every score in a matrix, whatever its source


def score_number(value, where: str) -> float:
    """One score of a stream or a growing file, from a CSV cell or a JSON value; NaN if it is missing.

    Raises InputError if it is not a score.
    """
    if isinstance(value, str):
        return _from_text(value, "score", where, RULES["watch"])
    number = logged_value(value, "score", where)
    if not isinstance(number, float):
        raise InputError(f"{where}: a list is not one score")
    return number


def logged_value(value, metric: str, where: str) -> float | list[float] | tuple[float, float]:
    """One metric's value as lm-evaluation-harness logs it → float (NaN where missing), a list of floats (one per
    instruction), or, for a perplexity, the pair (log-likelihood, weight).

    Raises InputError for a value that cannot be averaged over items.
    """
    if value is None:
        return NAN
    if isinstance(value, str):
        return _from_text(value, metric, where, RULES["lm-eval"])
    if isinstance(value, (bool, int, float)):
        return float(value)
    if metric in PERPLEXITIES and _is_list_of(value, (int, float)) and len(value) == 2:
        likelihood, weight = map(float, value)
        return likelihood, weight
    if _is_list_of(value, (bool, str)) and value and all(v in _INSTRUCTIONS for v in value):
        return [_INSTRUCTIONS[v] for v in value]
    raise InputError(f"{where}: {metric} = {json.dumps(value)[:60]} is not a score of one item: {metric} is "
                     "computed over the whole corpus, choose a metric that is a mean over items")


def _from_text(text: str, metric: str, where: str, rules: ScoreRules) -> float:
    if (number := rules.number(text)) is None:
        raise InputError(f"{where}: {metric} = {text!r} is not a number")
    return number


_INSTRUCTIONS = {True: 1.0, False: 0.0, "True": 1.0, "False": 0.0}  # as IFEval logs one answer per instruction


def _is_list_of(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(isinstance(v, kinds) for v in value)
