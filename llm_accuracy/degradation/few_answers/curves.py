"""Which questions may flip: curves of P(lost | right) and P(gained | wrong), and libraries of them.

A run holds several curves at once and weights them by Bayes' rule with its own answers (`run`), so no curve is relied
on: a library without fitted curves has noise of several sizes beside the margins, and flips that depend on nothing.
Whatever the curves are, the estimate stays unbiased and the verdicts at level; only what a question tells is at stake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtr

from ...errors import InputError

LEAST, MOST = 1e-5, 0.98  # of every probability of a flip
RATES = (0.002, 0.006, 0.02, 0.05, 0.12, 0.25, 0.45)  # flips that depend on nothing, as a share of the bank
NOISE = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2)  # beside the margins, in medians of |margin|
OFF_THE_MARGIN = 0.03  # share of the flips of a noise curve that do not depend on the margin
LEANINGS = (0.0, 0.6)  # by which the noise is moved towards losses, in its standard deviations
ADDED_ANSWERS = (0.02, 0.1, 0.5)  # of each kind, to the baseline's reruns of a question
RERUN_LEANINGS = (0.0, 0.02)
LEVELS = {-5.0: 1.0, -4.0: 1.0, -3.0: 1.0, -2.0: 1.0, -1.0: 0.5, 0.0: 0.25}  # logit of flips where even odds: weight
STRETCHES = {0.25: 0.1, 0.5: 0.15, 1.0: 0.5, 2.0: 0.15, 4.0: 0.1}  # of a fitted curve's margins: prior weight
SHIFTS = {-3.0: 0.1, -2.0: 0.13, -1.0: 0.17, 0.0: 0.3, 1.0: 0.2, 2.0: 0.1}  # of a fitted curve's logits
FITTED_SHARE = 0.2  # prior weight of fitted curves beside the library of those that are not: a rough candidate misleads
MARGIN_SHARE = 0.8  # prior weight of the noise curves beside flips that depend on nothing


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a bank's N questions before the candidate is asked.

    scores      (N,) the baseline's, in [0, 1], higher is better
    margins     (N,) |log-likelihood of the best right choice − that of the best wrong one|, NaN where unknown; or None
    difficulty  (N,) how likely the baseline is to be right, by a history's models (`ease`); or None
    runs        how many runs of the baseline its scores are means of

    Raises InputError for scores outside [0, 1] or missing, and for lengths that differ.
    """

    scores: np.ndarray
    margins: np.ndarray | None = None
    difficulty: np.ndarray | None = None
    runs: int = 1

    def __post_init__(self) -> None:
        if not self.scores.size:
            raise InputError("the baseline has no questions")
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise InputError("the baseline's scores must lie between 0 and 1, none missing")
        for name, column in (("margins", self.margins), ("difficulty", self.difficulty)):
            if column is not None and column.shape != self.scores.shape:
                raise InputError(f"{column.size:,} {name} for {self.scores.size:,} questions")

    @property
    def size(self) -> int:
        """N"""
        return self.scores.size


@dataclass(frozen=True, eq=False)
class Curves:
    """K curves over N questions: down (K, N) = P(lost | right), up (K, N) = P(gained | wrong), prior (K,) weights that
    add up to 1, and what each is."""

    down: np.ndarray
    up: np.ndarray
    prior: np.ndarray
    names: tuple[str, ...]

    @staticmethod
    def of(parts: Sequence[tuple[str, np.ndarray, np.ndarray, float]]) -> Curves:
        """From (name, down (N,), up (N,), weight) each."""
        names, down, up, weights = zip(*parts, strict=True)
        prior = np.array(weights, float)
        return Curves(np.clip(np.stack(down), LEAST, MOST), np.clip(np.stack(up), LEAST, MOST), prior / prior.sum(),
                      tuple(names))

    @staticmethod
    def together(libraries: Sequence[tuple[Curves, float]]) -> Curves:
        """Several libraries, with what each weighs."""
        total = sum(share for _, share in libraries)
        return Curves(np.concatenate([one.down for one, _ in libraries]),
                      np.concatenate([one.up for one, _ in libraries]),
                      np.concatenate([one.prior * share / total for one, share in libraries]),
                      tuple(name for one, _ in libraries for name in one.names))


def even_curves(known: Known) -> Curves:
    """Flips that depend on nothing: at every rate, as many gained as lost, or one half more lost than gained."""
    right = float(known.scores.mean())
    parts = []
    for rate in RATES:
        for lost in (0.5, 0.8):
            down, up = lost * rate / max(right, 0.02), (1 - lost) * rate / max(1 - right, 0.02)
            parts.append((f"{rate:g} of the questions flip, {lost:g} of them lost", np.full(known.size, down),
                          np.full(known.size, up), 1.0))
    return Curves.of(parts)


def noise_curves(known: Known) -> Curves:
    """The candidate's margin is the baseline's and normal noise: thin margins flip. For banks with margins; where one
    is unknown, the average over the others."""
    margins = _filled(known)
    unit = max(float(np.median(margins)), 1e-9)
    parts = []
    for size in NOISE:
        with np.errstate(over="ignore"):
            z = margins / (size * unit)
        for lean in LEANINGS:
            down, up = ndtr(lean - z), ndtr(-lean - z)
            down, up = ((1 - OFF_THE_MARGIN) * flips + OFF_THE_MARGIN * flips.mean() for flips in (down, up))
            parts.append((f"noise of {size:g} median margins, {lean:g} towards losses", down, up, 1.0))
    return Curves.of(parts)


def hardness_curves(known: Known) -> Curves:
    """What was hard for the baseline is lost, what was easy is gained: for banks with a difficulty.

    One slope: the difficulty is a probability of this very model, so the candidate's odds are the baseline's, shifted.
    """
    assert known.difficulty is not None
    ease = logit(np.clip(known.difficulty, 0.02, 0.98))
    parts = []
    for level, weight in LEVELS.items():
        parts.append((f"by the history, level {level:g}", expit(level - ease), expit(level + ease), weight))
    return Curves.of(parts)


def rerun_curves(known: Known) -> Curves:
    """The candidate is a further run of the baseline, or nearly: it is right with probability (right + a)/(R + 2a) by
    the baseline's own R runs, for several a, or somewhat less often; so what flips by itself is expected to flip."""
    parts = []
    for added in ADDED_ANSWERS:
        often = (known.scores * known.runs + added) / (known.runs + 2 * added)
        for lean in RERUN_LEANINGS:
            right = often * (1 - lean)
            parts.append((f"as the baseline's reruns ({added:g} answers added), {lean:g} of the right ones lost",
                          1 - right, right, 1.0))
    return Curves.of(parts)


def default_library(known: Known) -> Curves:
    """The curves for a bank when no pair is at hand."""
    libraries = [(even_curves(known), 1 - MARGIN_SHARE)]
    if known.runs > 1:
        libraries.append((rerun_curves(known), MARGIN_SHARE))
    if known.margins is not None:
        libraries.append((noise_curves(known), MARGIN_SHARE))
    if known.difficulty is not None:
        libraries.append((hardness_curves(known), MARGIN_SHARE))
    return Curves.together(libraries)


def _filled(known: Known) -> np.ndarray:
    """|margin|, those that are unknown at the median; infinite ones, of a choice without any likelihood, are as thick
    as the thickest other."""
    assert known.margins is not None
    margins = np.abs(known.margins)
    if np.isnan(margins).all():
        raise InputError("no question has a margin: the baseline's log carries no log-likelihoods of its choices")
    margins = np.where(np.isinf(margins), np.max(margins, where=np.isfinite(margins), initial=1.0), margins)
    return np.where(np.isnan(margins), np.nanmedian(margins), margins)


# ---- fitted to pairs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pair:
    """A pair of runs whose flips are known: `known` of the bank, and the candidate's scores (N,)."""

    known: Known
    candidate: np.ndarray

    @property
    def differences(self) -> np.ndarray:
        """(N,) positive where the candidate is worse."""
        return self.known.scores - self.candidate


def fitted_library(known: Known, pairs: Sequence[Pair]) -> Curves:
    """The default library beside curves fitted to each of the pairs, stretched and shrunk.

    By margins where this bank and the pair have them (isotonic), else by the history's difficulty (logistic), else the
    pair's rates of flips alone. Raises InputError where no pair is given.
    """
    if not pairs:
        raise InputError("no pair to fit a curve to")
    fitted = []
    for pair in pairs:
        if known.margins is not None and pair.known.margins is not None:
            fitted.append(_by_margin(known, pair))
        elif known.difficulty is not None and pair.known.difficulty is not None:
            fitted.append(_by_difficulty(known, pair))
        else:
            fitted.append(_by_rate(known, pair))
    return Curves.together([(default_library(known), 1 - FITTED_SHARE),
                            *((one, FITTED_SHARE / len(fitted)) for one in fitted)])


def _by_margin(known: Known, pair: Pair) -> Curves:
    """Isotonic in |margin|, lost and gained each for itself, evaluated at stretched margins."""
    here, there = _filled(known), _filled(pair.known)
    right, d = pair.known.scores >= 0.5, pair.differences
    sides = [_isotonic(there[of], np.maximum(sign * d[of], 0)) for sign, of in ((1, right), (-1, ~right))]
    return Curves.of([(f"fitted to margins, stretched by {stretch:g}", sides[0](here * stretch),
                       sides[1](here * stretch), weight) for stretch, weight in STRETCHES.items()])


def _isotonic(margins: np.ndarray, flipped: np.ndarray):
    """A falling function of |margin|; where it is fitted as 0, half a flip is shared out over all."""
    from sklearn.isotonic import IsotonicRegression

    if margins.size < 2:
        return lambda x: np.full(x.shape, 0.05)
    fit = IsotonicRegression(y_min=0, y_max=1, increasing=False, out_of_bounds="clip").fit(margins, flipped)
    floor = 0.5 / margins.size
    return lambda x: np.maximum(fit.predict(x), floor)


def _by_difficulty(known: Known, pair: Pair) -> Curves:
    """Logistic in the logit of the difficulty, lost and gained each for itself, with shifted levels."""
    assert known.difficulty is not None and pair.known.difficulty is not None
    here, there = (logit(np.clip(one, 0.02, 0.98)) for one in (known.difficulty, pair.known.difficulty))
    right, d = pair.known.scores >= 0.5, pair.differences
    sides = [_logistic(there[of], np.maximum(sign * d[of], 0) >= 0.5) for sign, of in ((1, right), (-1, ~right))]
    return Curves.of([(f"fitted to the history's difficulty, moved by {shift:g}", expit(sides[0](here) + shift),
                       expit(sides[1](here) + shift), weight) for shift, weight in SHIFTS.items()])


def _logistic(ease: np.ndarray, flipped: np.ndarray):
    """The logit of a flip's probability, as a function of ease and its square."""
    from sklearn.linear_model import LogisticRegression

    if flipped.all() or not flipped.any():
        level = logit((flipped.sum() + 0.5) / (flipped.size + 1))
        return lambda x: np.full(x.shape, level)
    fit = LogisticRegression(C=10.0).fit(np.column_stack([ease, ease**2]), flipped)
    return lambda x: fit.decision_function(np.column_stack([x, x**2]))


def _by_rate(known: Known, pair: Pair) -> Curves:
    right, d = pair.known.scores, pair.differences
    down = (np.maximum(d, 0).sum() + 0.5) / (right.sum() + 1)
    up = (np.maximum(-d, 0).sum() + 0.5) / ((1 - right).sum() + 1)
    return Curves.of([(f"the pair's rates, moved by {shift:g}", np.full(known.size, expit(logit(down) + shift)),
                       np.full(known.size, expit(logit(up) + shift)), weight) for shift, weight in SHIFTS.items()])
