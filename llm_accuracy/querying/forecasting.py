"""What a history is worth: how narrow intervals of growing rounds will be, before a question is asked.

The history's own models are the ones to try it on. They are dealt into folds, families whole, and each fold is
evaluated as if it were new, with factors of the others (`forecast`). At a budget of T of N questions

    ESS by width = (mean over models of z S √(1/T − 1/N) ÷ mean half-width)²,     S² the variance of a model's scores,

is how many random questions one of these is worth, by width and for somebody who knows S; it varies slowly with T, and
in between budgets its logarithm is taken to be linear in log T. With it

    ± h(T) = z S̄ √(1/T − 1/N) / √ESS(T),          random questions for the same h:  1/T = (h / (z S̄))² + 1/N.

So the forecast is of models like those of the history. A history has a little less to learn from while a fold is left
out; new models may be unlike the old ones. docs/forecast.md compares forecasts with what came.

A model that lacks scores is tried on the questions that it has, as a bank of its own: of these it gives ESS.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special

from ..errors import InputError
from ..randomness import stream
from ..scores.matrix import Responses
from ..scores.splitting import with_families
from .beliefs import Bank
from .designs import schedule
from .evaluation import evaluate_in_rounds, kinds_of
from .factors import Factors
from .policies import named
from .round_estimates import estimate
from .setting import ALPHA

POLICY = named("rounds")
FOLDS = 10
EVALUATIONS = 400     # of all models together, at least; fewer of a bank so large that they take more than
ANSWERS = 2_000_000   # evaluations × questions
FEW = 8               # models, below which little can be said
MODELS = 200          # no more models than this are tried, a random choice
CELLS = 60_000_000    # models × questions of all histories that are fitted: no more folds than that
FIRST, STEP = 10, 4   # budgets that are tried besides: 10, 40, 160, … up to MOST of the bank, from which on ESS is
MOST = 0.5            # taken to be what it is there, though it grows
WEIGHT_DECAY = 2.0
Z = float(special.ndtri(1 - ALPHA / 2))
HALF_RIGHT = "half-widths are those of a model that is right half of the time, the widest case"
HALF_WIDTHS = (0.05, 0.02, 0.01)


class Tried(NamedTuple):
    """What came of the models tried at one budget.

    half_width  mean of half the width of the interval, in a bank of N questions
    low, high   .1 and .9 quantile over models of it
    ess_width, ess_error  effective sample size
    coverage    share of the intervals that held the accuracy
    models      that had enough questions
    """

    half_width: float
    low: float
    high: float
    ess_width: float
    ess_error: float
    coverage: float
    models: int


@dataclass(frozen=True)
class Forecast:
    """How narrow intervals will be, by number of questions.

    n_questions  N of the bank
    n_models     of the history; n_tried of them were evaluated as if new, `evaluations` times in all
    spread       S̄, the mean over them of the standard deviation of their scores; ½ where nobody was tried
    tried        {budget: Tried}, those asked for and others in between
    notes        what was done with this history that a reader would not expect, a sentence each
    """

    n_questions: int
    n_models: int
    n_tried: int
    evaluations: int
    spread: float
    tried: dict[int, Tried]
    notes: tuple[str, ...] = ()

    def ess(self, budget: np.ndarray | int) -> np.ndarray:
        """ESS by width, between the budgets that were tried and beyond them; 1 where nobody was."""
        known = [size for size, found in self.tried.items() if np.isfinite(found.ess_width)]
        if not known:
            return np.ones_like(np.asarray(budget, float))
        logs = np.log([self.tried[size].ess_width for size in known])
        return np.exp(np.interp(np.log(budget), np.log(known), logs))

    def random_half_width(self, budget: np.ndarray | int) -> np.ndarray:
        """Of simple random sampling without replacement, by somebody who knows the variance."""
        return Z * self.spread * np.sqrt(1 / np.asarray(budget, float) - 1 / self.n_questions)

    def half_width(self, budget: np.ndarray | int) -> np.ndarray:
        """Expected of growing rounds, 1 ≤ budget ≤ N."""
        return self.random_half_width(budget) / np.sqrt(self.ess(budget))

    def questions_for(self, half_width: float) -> int:
        """The fewest questions from which on the expected half-width is no larger; N at most."""
        wide = self.half_width(np.arange(1, self.n_questions + 1)) > half_width
        return int(np.flatnonzero(wide)[-1]) + 2 if wide.any() else 1

    def random_questions_for(self, half_width: float) -> int:
        """The same of simple random sampling."""
        if not self.spread:
            return 1
        return int(np.ceil(1 / ((half_width / (Z * self.spread)) ** 2 + 1 / self.n_questions) - 1e-9))


# --- trying it -----------------------------------------------------------------------------------------

Fitting = Callable[[Responses], Factors]


def forecast(history: Responses | None, budgets: Sequence[int], n_questions: int | None = None,
             fit: Fitting | None = None, evaluations: int | None = None, folds: int = FOLDS,
             accuracy: float | None = None) -> Forecast:
    """What intervals to expect of a new model with this history.

    history       its matrix; None: nothing is known, and n_questions says how many questions there are
    budgets       numbers of questions, 1 to N
    fit           how factors are made of a history with some of its models left out; by default `fitting()`
    evaluations   at least so many in all; by default 400, or fewer of a large bank. folds: at most so many
    accuracy      expected of the new model: half-widths are then those of 0/1 scores (the most that scores can vary),
                  with the worth of questions as it was found; by default they are those of the history's models
    Everything is repeatable: the random numbers depend on the history's size alone.

    Raises InputError for a budget outside 1 … N, an accuracy outside (0, 1), fewer than two folds, or neither history
    nor n_questions.
    """
    if accuracy is not None and not 0 < accuracy < 1:
        raise InputError(f"accuracy {accuracy:g}: a share between 0 and 1 is needed, such as 0.8")
    found = _forecast(history, budgets, n_questions, fit, evaluations, folds)
    if accuracy is None:
        return found
    spread = _widest(found.n_questions) * 2 * float(np.sqrt(accuracy * (1 - accuracy)))
    scale = spread / found.spread if found.spread else 1.0
    moved = {size: one._replace(half_width=scale * one.half_width, low=np.nan, high=np.nan)
             for size, one in found.tried.items()}
    notes = [note for note in found.notes if note != HALF_RIGHT]
    notes.append(f"half-widths are those of a model of accuracy {accuracy:g}")
    return replace(found, spread=spread, tried=moved, notes=tuple(notes))


def _forecast(history: Responses | None, budgets: Sequence[int], n_questions: int | None, fit: Fitting | None,
              evaluations: int | None, folds: int) -> Forecast:
    n_models = 0 if history is None else history.n_models
    if history is None and n_questions is None:
        raise InputError("neither a history nor a number of questions: there is nothing to forecast from")
    n = history.n_questions if history is not None else int(n_questions or 0)
    for budget in budgets:
        if not 1 <= budget <= n:
            raise InputError(f"budget {budget}: the bank has {n} questions, so 1 to {n} can be asked")
    if folds < 2:
        raise InputError(f"{folds} folds: at least 2 are needed to leave one out")
    if history is None or n_models < 2:
        return Forecast(n, n_models, 0, 0, _widest(n), {}, (_nobody(n_models), HALF_RIGHT))
    sizes = sorted({*budgets, *_between(n)} - {n})
    fold, notes = dealt(history, folds)
    notes += [f"{n_models} models: what they say of a new one is little more than a guess"] * (n_models < FEW)
    fits = max(1, min(fold.max() + 1, CELLS // history.scores.size))
    chosen = np.sort(stream("forecast", "models", n_models, n).permutation(np.flatnonzero(fold < fits))[:MODELS])
    if len(chosen) < n_models:
        notes.append(f"{len(chosen)} of the {n_models} models were tried, a random choice")
    repeats = _repeats(len(chosen), n, evaluations)
    fit = fit or fitting(default_rank(n_models))
    parts = [part for of in range(fits) for part in _tried(
        history.take(fold != of), history.take(chosen[fold[chosen] == of]), sizes, fit, repeats, of)]
    return _of_parts(parts, n, n_models, repeats, sizes, notes)


def came(history: Responses, new: Responses, budgets: Sequence[int], fit: Fitting | None = None,
         evaluations: int | None = None) -> Forecast:
    """The same of new models whose answers are known: what a forecast from the history should have said."""
    n, repeats = history.n_questions, _repeats(new.n_models, history.n_questions, evaluations)
    sizes = sorted(set(budgets) - {n})
    parts = list(_tried(history, new, sizes, fit or fitting(default_rank(history.n_models)), repeats, -1))
    return _of_parts(parts, n, history.n_models, repeats, sizes, [])


def fitting(rank: int, weight_decay: float = WEIGHT_DECAY) -> Fitting:
    """`Factors.fit`, with no more factors than there are models."""
    return lambda history: Factors.fit(history, min(rank, history.n_models), weight_decay)


def default_rank(n_models: int) -> int:
    """4 factors, or a quarter of the models."""
    return min(4, max(1, n_models // 4))


def _repeats(n_models: int, n_questions: int, evaluations: int | None) -> int:
    return -(-(evaluations or min(EVALUATIONS, ANSWERS // n_questions)) // n_models)


def _between(n_questions: int) -> Iterator[int]:
    size = FIRST
    while size < MOST * n_questions:
        yield size
        size *= STEP
    yield max(1, int(MOST * n_questions))


def _nobody(n_models: int) -> str:
    what = "no history" if not n_models else "1 model, which cannot be left out to be tried"
    return f"{what}: this is simple random sampling, and choosing questions is taken to be worth nothing"


def dealt(history: Responses, folds: int) -> tuple[np.ndarray, list[str]]:
    """(fold of each model (M,), notes): families whole, in random order each to the smallest fold so far; one model
    at a time where all are of one family."""
    families = np.asarray(with_families(history).families)
    notes: list[str] = []
    if len(set(families.tolist())) == 1:
        families = history.models
        notes.append("all models are of one family: they were left out as if they were strangers")
    names, which, sizes = np.unique(families, return_inverse=True, return_counts=True)
    count = np.zeros(min(folds, len(names)), int)
    of_family = np.empty(len(names), int)
    for family in stream("forecast", "folds", len(names), len(families)).permutation(len(names)):
        of_family[family] = count.argmin()
        count[of_family[family]] += sizes[family]
    return of_family[which], notes


class _Part(NamedTuple):
    """Of models that have the same questions: spread (models,) S, lacking whether these are not all questions, and at
    each budget (repeats, models) half-widths, those of random sampling, squared errors, their expectation for random
    sampling, whether the interval held."""

    spread: np.ndarray
    lacking: bool
    found: dict[int, tuple[np.ndarray, ...]]


def _tried(history: Responses, new: Responses, sizes: Sequence[int], fit: Fitting, repeats: int,
           key: int) -> Iterator[_Part]:
    """The new models with the history's factors."""
    if not new.n_models:
        return
    factors = fit(history)
    patterns, which = np.unique(new.observed, axis=0, return_inverse=True)
    for number, seen in enumerate(patterns):
        if seen.sum() > 1:
            scores = new.scores[which.ravel() == number][:, seen].astype(np.float64)
            yield _part(factors, seen, scores, [size for size in sizes if size < seen.sum()], repeats, (key, number))


def _part(factors: Factors, seen: np.ndarray, scores: np.ndarray, sizes: Sequence[int], repeats: int,
          key: tuple[int, int]) -> _Part:
    n, plan, prior = scores.shape[1], POLICY.rounds, factors.prior
    truth, spread = scores.mean(1), scores.std(1, ddof=1)
    found: dict[int, tuple[np.ndarray, ...]] = {}
    if sizes:
        assert plan is not None and POLICY.setting is not None
        bank = Bank.of(factors.V[seen])
        draws = stream("forecast", *key, *scores.shape).random((repeats * len(scores), len(schedule(n, n)) + 1))
        trace = evaluate_in_rounds(bank, prior, plan, POLICY.setting.tau, sizes, draws, np.tile(scores, (repeats, 1)),
                                   kinds_of(bank, prior, plan))
        for size in sizes:
            one = estimate(trace.by_budget[size])
            band, against = one.interval(), np.tile(truth, repeats)
            shape, variance = (repeats, len(scores)), np.maximum(spread**2 * (1 / size - 1 / n), 0)
            found[size] = (band.width.reshape(shape) / 2, np.broadcast_to(Z * np.sqrt(variance), shape),
                           ((one.theta - against) ** 2).reshape(shape), np.broadcast_to(variance, shape),
                           band.covers(against).reshape(shape))
    return _Part(spread, not seen.all(), found)


def _of_parts(parts: Sequence[_Part], n: int, n_models: int, repeats: int, sizes: Sequence[int],
              notes: list[str]) -> Forecast:
    if not parts:
        return Forecast(n, n_models, 0, 0, _widest(n), {}, (*notes, "no model has two scores, so none was tried",
                                                                   HALF_RIGHT))
    spread = np.concatenate([part.spread for part in parts])
    if lacking := sum(len(part.spread) for part in parts if part.lacking):
        notes.append(f"{lacking} models lack scores: each was tried on the questions that it has")
    found = {size: _gathered(parts, size, float(spread.mean()), n) for size in sizes}
    return Forecast(n, n_models, len(spread), repeats * len(spread), float(spread.mean()),
                    {size: one for size, one in found.items() if one.models}, tuple(notes))


def _widest(n_questions: int) -> float:
    """S of a model that is right half of the time."""
    return float(0.5 * np.sqrt(n_questions / max(n_questions - 1, 1)))


def _gathered(parts: Sequence[_Part], size: int, spread: float, n_questions: int) -> Tried:
    having = [part for part in parts if size in part.found]
    if not having:
        return Tried(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 0)
    half, random, squared, variance, covered = (np.concatenate(columns, 1) for columns in zip(
        *(part.found[size] for part in having), strict=True))
    by_width = float((random.mean() / half.mean()) ** 2) if half.any() and random.any() else np.nan
    by_error = float(variance.mean() / squared.mean()) if squared.any() else np.nan
    random_here = Z * spread * np.sqrt(1 / size - 1 / n_questions)
    # Those of other banks, of models that lack scores, in proportion.
    scale = random_here / random.mean() if random.mean() else 1.0
    low, high = np.quantile(half.mean(0) * scale, [0.1, 0.9])
    return Tried(half.mean() * scale, low, high, by_width, by_error, float(covered.mean()), half.shape[1])


# --- in words ------------------------------------------------------------------------------------------

def lines(found: Forecast, budgets: Sequence[int], half_widths: Sequence[float] = HALF_WIDTHS) -> Iterator[str]:
    """What to expect, at most 80 characters a line: how it was found, a table, sentences.

    half_widths  as shares of 1
    """
    if found.n_tried:
        yield (f"{found.n_models:,} models x {found.n_questions:,} questions; {found.n_tried:,} models tried as if "
               f"new, {found.evaluations:,} evaluations")
    for note in found.notes:
        yield from textwrap.wrap(f"note: {note}", 80, subsequent_indent="  ", break_on_hyphens=False)
    yield ""
    yield from table(found, budgets)
    yield ""
    yield from sentences(found, budgets, half_widths)


def table(found: Forecast, budgets: Sequence[int]) -> Iterator[str]:
    """By budget, in percentage points."""
    yield (f"{'questions':>9}  {'half-width':>10}  {'most models':>13}  {'ESS by width':>12}  {'by error':>8}  "
           f"{'random needs':>12}")
    for budget in budgets:
        half, one = float(found.half_width(budget)), found.tried.get(budget)
        most = f"{100 * one.low:.1f} to {100 * one.high:.1f}" if one and np.isfinite(one.low) else ""
        worth = f"{float(found.ess(budget)):.2f}" if found.n_tried and budget < found.n_questions else ""
        error = f"{one.ess_error:.2f}" if one else ""
        yield (f"{budget:>9,}  {_points(half):>10}  {most:>13}  {worth:>12}  {error:>8}  "
               f"{found.random_questions_for(half):>12,}")


def sentences(found: Forecast, budgets: Sequence[int], half_widths: Sequence[float] = HALF_WIDTHS) -> Iterator[str]:
    """What a user wants to know, a line each."""
    models = {0: "Without a history", 1: "With 1 model"}.get(found.n_models, f"With these {found.n_models:,} models")
    for budget in budgets:
        half = float(found.half_width(budget))
        random = found.random_questions_for(half)
        yield (f"{models}, {budget:,} questions give {_points(half)} points" +
               (f"; random sampling needs {random:,}." if random != budget else ", as with random sampling."))
    for half in half_widths:
        ours, random = found.questions_for(half), found.random_questions_for(half)
        takes = "point takes" if half == 0.01 else "points take"
        yield (f"± {100 * half:g} {takes} {ours:,} of the {found.n_questions:,} questions" +
               (f"; random sampling {random:,}." if random != ours else ", as with random sampling."))


def _points(half_width: float) -> str:
    return f"± {100 * half_width:.1f}"
