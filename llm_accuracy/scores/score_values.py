"""What counts as a score: one table of the words for right, wrong and missing and of the numbers that each kind of
source may contain; and the values that evaluation tools log.

    source       right         wrong          numbers
    wide         true          false          0 to 1
    long         true          false          any, then 0 to 1
    csv          true          false          any
    watch        true          false          any
    lm-eval      true          false          any    (JSONL, promptfoo, lighteval, OpenCompass)
    inspect      C, yes, true  I, N, no, …    any; P = ½
    leaderboard  true          false          0 and 1

The words for a missing score are the same everywhere (`MISSING_WORDS`); words are compared in lower case, without
blanks around them. A number is one in ASCII digits, and finite. The null of JSON and NaN are missing; a missing
answer is refused on the leaderboard, where every model answers everything. inspect_ai's words are converted by
itself; HELM's scores are sums over counts; everything that goes into a matrix must lie within `MATRIX`. What a user
says with `--value WORD=SCORE` comes before all of this (`Choices.values`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import InputError
from ..visible import shortened

if TYPE_CHECKING:
    import pandas as pd

NAN = math.nan
MISSING_WORDS = ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "+nan", "null", "none")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?")
# Logged per item as [log-likelihood, words or bytes]; the item score becomes the log-likelihood per unit.
PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


@dataclass(frozen=True)
class ScoreRules:
    """What one kind of source may contain as a score.

    right, wrong  words for 1 and 0, in lower case
    low, high     the range of a number, both ends included
    whole         0 and 1 only
    """

    right: tuple[str, ...] = ("true",)
    wrong: tuple[str, ...] = ("false",)
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    @cached_property
    def words(self) -> dict[str, float]:
        """word → 1, 0 or NaN (missing)"""
        return dict.fromkeys(MISSING_WORDS, NAN) | dict.fromkeys(self.right, 1.0) | dict.fromkeys(self.wrong, 0.0)

    def allows(self, number: float) -> bool:
        """Whether a number is a valid score; NaN is a missing one."""
        if math.isnan(number):
            return True
        if self.whole:
            return number in (0.0, 1.0)
        return self.low <= number <= self.high and not math.isinf(number)

    def number(self, text: str) -> float | None:
        """The score that a text represents (NaN = missing); None if it is not a score."""
        word = text.strip().lower()
        if word in self.words:
            return self.words[word]
        if not _NUMBER.fullmatch(word):
            return None
        number = float(word)
        return number if self.allows(number) else None

    def numbers(self, texts: pd.Series, values: Mapping[str, float] | None = None) -> tuple[pd.Series, pd.Series]:
        """(scores as float64, NaN = missing; True where a text is not a score) of a column of texts; `values` is
        what the user said words are worth.

        The range is not checked here: tables are checked against `MATRIX` once all their rows are known.
        """
        import pandas as pd

        distinct = texts.unique()  # few, even of many rows
        free = ScoreRules(self.right, self.wrong)
        read = {text: free.number(text) if (worth := told(text, values)) is None else worth for text in distinct}
        bad = texts.map({text: score is None for text, score in read.items()}).astype(bool)
        scores = texts.map({text: NAN if score is None else score for text, score in read.items()})
        return pd.Series(scores, dtype=float), bad


RULES = {
    "wide": ScoreRules(low=0.0, high=1.0),
    "long": ScoreRules(),
    "csv": ScoreRules(),
    "watch": ScoreRules(),
    "lm-eval": ScoreRules(),
    "inspect": ScoreRules(),
    "leaderboard": ScoreRules(whole=True),
}
MATRIX = RULES["wide"]  # the range of every score in a matrix, whatever its source


def decimal(text: str) -> float:
    """The number that a text is, in ASCII digits; NaN of any other text."""
    word = text.strip().lower()
    return float(word) if _NUMBER.fullmatch(word) else NAN


def told(value, values: Mapping[str, float] | None) -> float | None:
    """What the user said a word or number is worth (`--value`); None where nothing was said of it."""
    if not values or value is None or isinstance(value, (list, dict)):
        return None
    word = str(value).strip()
    if word in values:
        return values[word]
    number = decimal(word)  # -1 and -1.0 are one sentinel
    return next((worth for said, worth in values.items() if decimal(said) == number), None)


def plain_number(value, metric: str, where: str) -> float:
    """A number or boolean of JSON as a score; NaN is missing. Raises InputError for one too large to be a float."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise InputError(f"{where}: {metric} = {str(value)[:20]}… is not a finite number; if it stands for "
                         f"something, say "
                         "what it is worth with --value")
    return number


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


def logged_value(value, metric: str, where: str, values: Mapping[str, float] | None = None
                 ) -> float | list[float] | tuple[float, float]:
    """One metric's value as lm-evaluation-harness logs it → float (NaN where missing), a list of floats (one per
    instruction), or, for a perplexity, the pair (log-likelihood, weight).

    `values` is what the user said words and numbers are worth. Raises InputError for a value that cannot be averaged
    over items.
    """
    if (worth := told(value, values)) is not None:
        return worth
    if value is None:
        return NAN
    if isinstance(value, str):
        return _from_text(value, metric, where, RULES["lm-eval"])
    if isinstance(value, (bool, int, float)):
        return plain_number(value, metric, where)
    if metric in PERPLEXITIES and _is_list_of(value, (int, float)) and len(value) == 2:
        likelihood, weight = (plain_number(part, metric, where) for part in value)
        return likelihood, weight
    if _is_list_of(value, (bool, str)) and value and all(v in _INSTRUCTIONS for v in value):
        return [_INSTRUCTIONS[v] for v in value]
    if isinstance(value, dict) and value:
        keys = ", ".join(map(str, value))
        raise InputError(f"{where}: {metric} holds several scores ({keys}): take one with --metric {metric}.KEY")
    raise InputError(f"{where}: {metric} = {json.dumps(value)[:60]} is not a score of one item: {metric} is "
                     "computed over the whole corpus, choose a metric that is a mean over items")


def _from_text(text: str, metric: str, where: str, rules: ScoreRules) -> float:
    if (number := rules.number(text)) is None:
        raise InputError(f"{where}: {metric} = {text[:60]!r} is not a number; if the word stands for a score, say "
                         f"which "
                         "with --value WORD=SCORE")
    return number


_INSTRUCTIONS = {True: 1.0, False: 0.0, "True": 1.0, "False": 0.0}  # as IFEval logs one answer per instruction


def _is_list_of(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(isinstance(v, kinds) for v in value)


def score_of(question: str, score: object) -> float:
    """Raises InputError for anything but a number in [0, 1] or a truth value."""
    import numpy as np  # not for the scraper's --help, which reads the table above

    plain = score.item() if isinstance(score, np.generic) else score
    if not isinstance(plain, bool | int | float) or not 0 <= plain <= 1:  # NaN is not, either
        raise InputError(f"question {shortened(question)}: score {shortened(score)}; scores lie in [0, 1], and are "
                         "numbers")
    return float(plain)
