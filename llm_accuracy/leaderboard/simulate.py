"""A simulated leaderboard that behaves like a real one, and the twin of a real one.

The real one is the MMLU-Pro half of the Open LLM Leaderboard v2 as its published factor model describes it
(arXiv 2601.20251: 2,212 models, 12,032 questions, 64 factors). In the simulated one the logit of a right answer is

    level_i + slope_i · easiness_j + sharpness_i · contrast_j · (direction_i · loading_j)

* Models are grown as a family tree in date order: a new base, a fine-tune (its parent's traits plus a step) or a
  merge of two siblings. Rows are therefore near-duplicates to varying degrees, and sharp bases are copied the most.
  Younger models are better. A smaller board is a sample of the models of a full-sized tree.
* One derived model in nine is broken and guesses: it prefers one letter whatever the question, so it is right where
  that letter is the answer.
* Every task has its own easiness, and its loadings on every factor are slightly shifted.
* level and easiness are solved for so that accuracy and difficulty have the real distributions; sharpness, slope and
  contrast are drawn from the real ones. Everything else follows from the tree: `statistics` measures it, and
  `comparison` compares it with the real values. The performance of a method is never an input.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from ..errors import InputError
from ..files import check_zip
from ..randomness import stream
from ..scores.matrix import Responses

FIRST_DAY, DAYS = np.datetime64("2024-06-01"), 303  # the life of the leaderboard: to 2025-03-31
MIN_MODELS, MIN_QUESTIONS, MIN_TWIN_MODELS = 20, 50, 10
MAX_CELLS = 500_000_000  # 4 GB of logits, 8 GB in all

# --- the real board, as inputs -------------------------------------------------------------------------
# Quantiles at 0, 5, …, 100 %: accuracy over models, difficulty (the share of models that are right) over questions.
ACCURACY = (.1043, .1146, .1233, .1698, .2145, .2499, .2737, .2934, .3061, .3146, .3279, .3397, .3553, .3660, .3744,
            .3865, .4127, .4378, .4645, .5216, .7277)
DIFFICULTY = (.0035, .0217, .0363, .0536, .0733, .0959, .1216, .1491, .1777, .2104, .2450, .2870, .3332, .3863, .4391,
              .5067, .5806, .6576, .7410, .8204, .9372)
# Of the models that do not guess, regress each one's logits on the questions' mean logits: the slope (1 on average
# over all models) and the residual standard deviation (sharpness), quantiles over models.
SPREAD_AT = (0, .05, .25, .5, .75, .95, 1)
SLOPE = (.09, .37, .64, 1.03, 1.52, 1.96, 2.40)
SHARPNESS = (.78, 1.39, 2.25, 3.61, 5.56, 7.26, 8.81)
# That residual standard deviation by tenth of the questions, hardest first; middling ones separate models more.
CONTRAST = np.array([3.48, 4.01, 4.32, 4.46, 4.48, 4.49, 4.50, 4.48, 4.36, 3.93]) / 4.26
TASK_SIZES = np.array([717, 789, 1132, 410, 844, 969, 818, 381, 1101, 1351, 924, 499, 1299, 798])
BETWEEN_TASKS = .147  # of the variance of difficulty
GUESSERS = .11        # of the derived models; about a tenth of all

# --- the knobs of the tree, set so that `comparison` agrees --------------------------------------------
TREE = 2212                     # smaller boards are a sample of the models of a tree of this size
FACTORS = 54                    # with ten letters, level and slope about the rank of the real board's model
FLATNESS, OFFSET = .4, .5       # variance of factor k ∝ (k + OFFSET)^-FLATNESS; the families make it steeper
START, GROWTH = 14.0, .2        # P(the next model is a base) = (START + GROWTH · bases) / (START + models)
CROWDING = .5                   # P(a family gets the next model) ∝ size^CROWDING · exp(tanh(the base's sharpness))
MERGES = .25                    # of the derived models
STEP, STEP_SPREAD = .26, .55    # length of a step from parent to child: median, standard deviation of the log
ABILITY_STEP = .6               # the same step in ability, relative to that in direction
DRIFT = .75                     # ability gained over the leaderboard's life, in standard deviations of the bases'
TASK_LEAN = .01                 # of the variance of the loadings
LETTERS, LETTER_HEIGHT = 10, 8  # options of a question; a guesser's preference for its letter, in logits
FAVOURITE = .4                  # P(a guesser's letter is the first); the k-th: FAVOURITE · (1 - FAVOURITE)^(k-1)


@dataclass(frozen=True, eq=False)
class Board:
    """What models would answer, as probabilities.

    logits (M, N) float64: log-odds of a right answer; the other fields are those of `Responses`, in date order.
    """

    logits: np.ndarray
    models: np.ndarray
    questions: np.ndarray
    dates: np.ndarray
    families: np.ndarray | None = None
    tasks: np.ndarray | None = None

    def draw(self, seed: int) -> Responses:
        """One Bernoulli(σ(logit)) draw of every cell, in float64, row by row from one stream."""
        rng = stream("simulate", "answers", seed)
        scores = np.empty(self.logits.shape, np.int8)
        for rows in _blocks(self.logits.shape):
            scores[rows] = rng.random(scores[rows].shape) < expit(self.logits[rows])
        return Responses(self.models, self.questions, scores, self.dates, families=self.families, tasks=self.tasks)


def simulate_leaderboard(n_models: int, n_questions: int, seed: int = 0) -> Responses:
    """Answers of a simulated leaderboard, models by date. Raises InputError for a size out of bounds."""
    return simulated_board(n_models, n_questions, seed).draw(seed)


def twin(factors: Path | str, seed: int = 0) -> Responses:
    """Answers of the twin of a real board; see `twin_board`."""
    return twin_board(factors).draw(seed)


def twin_board(factors: Path | str) -> Board:
    """The board σ(U Vᵀ) of fitted factors: an .npz with U (M, K), rows in date order, and V (N, K).

    It follows the factor model exactly, so the model is well specified: model-based variances and oracle gaps look
    better on a twin than on the board that the factors were fitted to. Raises InputError if the file is not such an
    .npz.
    """
    check_zip(factors)
    try:
        stored = np.load(factors, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it is one bare array")
        with stored:
            u, v = (stored[name].astype(np.float64) for name in ("U", "V"))
    except FileNotFoundError:
        raise InputError(f"{factors}: no such file; --from-factors needs an .npz of fitted factors U and V") from None
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        said = str(error).splitlines()[0].strip("'\"") if str(error) else type(error).__name__
        raise InputError(f"{factors}: not a complete .npz with arrays U and V ({said}); fetch it again") from None
    if u.ndim != 2 or v.ndim != 2 or u.shape[1] != v.shape[1] or not (u.size and v.size):
        raise InputError(f"{factors}: U is {u.shape} and V is {v.shape}; (models, K) and (questions, K) are needed")
    if len(u) < MIN_TWIN_MODELS:
        raise InputError(f"{factors}: {len(u)} models; at least {MIN_TWIN_MODELS} are needed")
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        raise InputError(f"{factors}: U or V holds values that are not finite; fit the factors again")
    n_models = len(u)
    dates = _dates(np.arange(n_models) / max(n_models - 1, 1))
    return Board(u @ v.T, _numbered("model", n_models), np.array([f"q{j}" for j in range(len(v))]), dates)


# --- the simulated board -------------------------------------------------------------------------------

def simulated_board(n_models: int, n_questions: int, seed: int = 0) -> Board:
    """A simulated board of M models × N questions. Raises InputError for a size out of bounds."""
    check_size(n_models, n_questions)
    bank = _questions(n_questions, stream("simulate", "questions", seed))
    tree = _sample(_family_tree(max(n_models, TREE), stream("simulate", "tree", seed)), n_models,
                   stream("simulate", "sample", seed))
    slope, specific = _specific(tree, bank, stream("simulate", "guessers", seed))
    # From worst to best: the guessers, then the others by ability.
    accuracy = _quantiles(np.lexsort((tree.ability, ~tree.guesses)), ACCURACY)
    logits = _calibrated(slope, specific, accuracy, bank.difficulty)
    models = [f"{family}-{kind}-{i:04d}" for i, (family, kind) in enumerate(zip(tree.family, tree.kind, strict=True))]
    questions = [f"{task}-{j:05d}" for j, task in enumerate(bank.task)]
    return Board(logits, np.array(models), np.array(questions), _dates(tree.time), tree.family, bank.task)


def check_size(n_models: int, n_questions: int) -> None:
    """Raises InputError for a size out of bounds."""
    if n_models < MIN_MODELS or n_questions < MIN_QUESTIONS:
        raise InputError(f"{n_models} models x {n_questions} questions: at least {MIN_MODELS} x {MIN_QUESTIONS} are "
                         "needed for families and tasks to mean something")
    if n_models * n_questions > MAX_CELLS:
        raise InputError(f"{n_models} models x {n_questions} questions: {n_models * n_questions:,} cells; at most "
                         f"{MAX_CELLS:,} are made at once")


@dataclass(frozen=True, eq=False)
class _Bank:
    """task (N,) str, difficulty (N,) = share of models right, loading (N, K), letter (N,) of the right answer."""

    task: np.ndarray
    difficulty: np.ndarray
    loading: np.ndarray
    letter: np.ndarray


def _questions(n: int, rng: np.random.Generator) -> _Bank:
    shares = TASK_SIZES / TASK_SIZES.sum()
    task = np.searchsorted(np.cumsum(shares), (np.arange(n) + .5) / n)
    effect = rng.standard_normal(len(shares))
    effect -= shares @ effect
    effect /= np.sqrt(shares @ effect ** 2)
    easiness = np.sqrt(BETWEEN_TASKS) * effect[task] + np.sqrt(1 - BETWEEN_TASKS) * rng.standard_normal(n)
    order = np.argsort(easiness)
    lean = rng.standard_normal((len(shares), FACTORS))[task]
    loading = np.sqrt(TASK_LEAN) * lean + np.sqrt(1 - TASK_LEAN) * rng.standard_normal((n, FACTORS))
    tenths = (np.arange(len(CONTRAST)) + .5) / len(CONTRAST)
    loading *= np.interp(_ranks(order), tenths, CONTRAST)[:, None]
    names = np.array([f"task{k + 1:02d}" for k in range(len(shares))])
    return _Bank(names[task], _quantiles(order, DIFFICULTY), loading, rng.integers(LETTERS, size=n))


@dataclass(frozen=True, eq=False)
class _Models:
    """time (M,) in [0, 1], increasing; family, kind (M,) str; traits (M, K + 3), standard normal for the bases."""

    time: np.ndarray
    family: np.ndarray
    kind: np.ndarray
    traits: np.ndarray

    @property
    def guesses(self) -> np.ndarray:
        return self.kind == "guess"

    @property
    def direction(self) -> np.ndarray:
        return self.traits[:, :FACTORS]

    @property
    def ability(self) -> np.ndarray:
        return self.traits[:, FACTORS] + DRIFT * self.time

    @property
    def sharpness(self) -> np.ndarray:
        return self.traits[:, FACTORS + 1]

    @property
    def slope(self) -> np.ndarray:
        return self.traits[:, FACTORS + 2]


def _family_tree(n: int, rng: np.random.Generator) -> _Models:
    """Grow n models in date order. A child's traits are (parent + step · noise) / √(1 + step²): a fine-tune's keep
    the bases' unit variance, a merge's lie between its parents'."""
    time, traits = np.sort(rng.random(n)), rng.standard_normal((n, FACTORS + 3))
    scale = np.ones(FACTORS + 3)
    scale[FACTORS] = ABILITY_STEP
    kind, family = np.empty(n, "<U5"), np.empty(n, int)
    members: list[list[int]] = []  # of every family, those that can be parents
    for i in range(n):
        n_parents = sum(map(len, members))
        if rng.random() < (START + GROWTH * len(members)) / (START + n_parents):
            kind[i], family[i] = "base", len(members)
            members.append([i])
            continue
        weight = np.array([len(m) ** CROWDING * np.exp(np.tanh(traits[m[0], FACTORS + 1])) for m in members])
        family[i] = rng.choice(len(members), p=weight / weight.sum())
        siblings = members[family[i]]
        if rng.random() < MERGES and len(siblings) > 1:
            share, (one, other) = rng.uniform(.2, .8), rng.choice(siblings, 2, replace=False)
            kind[i], origin = "merge", share * traits[one] + (1 - share) * traits[other]
        else:
            kind[i], origin = "tune", traits[rng.choice(siblings)]
        step = scale * STEP * np.exp(STEP_SPREAD * rng.standard_normal())
        traits[i] = (origin + step * traits[i]) / np.sqrt(1 + step ** 2)
        if rng.random() < GUESSERS:
            kind[i] = "guess"
        else:
            siblings.append(i)
    return _Models(time, _numbered("family", len(members))[family], kind, traits)


def _sample(tree: _Models, n: int, rng: np.random.Generator) -> _Models:
    keep = np.sort(rng.choice(len(tree.time), n, replace=False))
    return _Models(tree.time[keep], tree.family[keep], tree.kind[keep], tree.traits[keep])


def _specific(models: _Models, bank: _Bank, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """slope (M,), and (M, N) the part of the logits that is neither level nor slope."""
    guess, real = models.guesses, ~models.guesses
    ability = models.ability[real]
    ability = (ability - ability.mean()) / ability.std()
    # Rank correlations on the real board: slope with sharpness .84, with accuracy .60 (the weak ones follow the
    # questions' easiness least, hence the bend), sharpness with accuracy .33.
    blur = models.sharpness[real] + .35 * ability
    follow = .75 * blur - .6 * np.logaddexp(0, -1.5 * ability) + .4 * models.slope[real]
    slope, sharpness = np.empty(len(guess)), np.empty(len(guess))
    sharpness[real] = _quantiles(np.argsort(blur), SHARPNESS, SPREAD_AT)
    slope[real] = _quantiles(np.argsort(follow), SLOPE, SPREAD_AT)
    # Models that guess the same letter are broken in the same way.
    n_guess = int(guess.sum())
    letter = np.minimum(rng.geometric(FAVOURITE, n_guess) - 1, LETTERS - 1)
    style = rng.standard_normal((LETTERS, FACTORS))[letter] + .5 * rng.standard_normal((n_guess, FACTORS))
    sharpness[guess], slope[guess] = rng.uniform(1, 2.5, n_guess), rng.uniform(.1, .4, n_guess)
    direction = models.direction.copy()
    direction[guess] = style / np.sqrt(1 + .5 ** 2)
    variance = (np.arange(FACTORS) + OFFSET) ** -FLATNESS
    specific = (sharpness[:, None] * direction * np.sqrt(variance / variance.sum())) @ bank.loading.T
    specific[guess] += LETTER_HEIGHT * (letter[:, None] == bank.letter)
    return slope / slope.mean(), specific


def _calibrated(slope: np.ndarray, specific: np.ndarray, accuracy: np.ndarray, difficulty: np.ndarray,
                passes: int = 15) -> np.ndarray:
    """(M, N) logits level_i + slope_i · easiness_j + specific_ij whose σ has the given means of rows and columns.

    Newton steps on levels and easinesses in turn, the last ones on levels: the accuracies are met exactly, the
    difficulties closely (the most extreme cannot be reached where guessers guess; ±12 logits bound the attempt).
    Overwrites `specific`.
    """
    difficulty = difficulty * (accuracy.mean() / difficulty.mean())
    level, easiness = logit(accuracy), logit(difficulty)
    for last in [False] * passes + [True]:
        right, pull = np.zeros(len(easiness)), np.zeros(len(easiness))
        for rows in _blocks(specific.shape):
            fixed = specific[rows] + slope[rows, None] * easiness
            for _ in range(6 if last else 2):
                p = expit(fixed + level[rows, None])
                w = p * (1 - p)
                level[rows] += np.clip((accuracy[rows] - p.mean(axis=1)) / np.maximum(w.mean(axis=1), 1e-3), -1, 1)
            right += p.sum(axis=0)
            pull += slope[rows] @ w
        if not last:
            step = (difficulty * len(slope) - right) / np.maximum(pull, 1e-3 * len(slope))
            easiness = np.clip(easiness + np.clip(step, -1, 1), -12, 12)
    for rows in _blocks(specific.shape):
        specific[rows] += slope[rows, None] * easiness + level[rows, None]
    return specific


def _ranks(order: np.ndarray) -> np.ndarray:
    """Mid-ranks in (0, 1) of the things that `order` sorts."""
    ranks = np.empty(len(order))
    ranks[order] = (np.arange(len(order)) + .5) / len(order)
    return ranks


def _quantiles(order: np.ndarray, values: tuple[float, ...], at: tuple[float, ...] | None = None) -> np.ndarray:
    """Assign the things that `order` sorts the quantiles of a distribution, given by its `values` at shares `at`."""
    return np.interp(_ranks(order), np.linspace(0, 1, len(values)) if at is None else at, values)


def _dates(time: np.ndarray) -> np.ndarray:
    return (FIRST_DAY + np.floor(time * DAYS).astype(int)).astype(str)


def _numbered(stem: str, n: int) -> np.ndarray:
    width = len(str(n - 1))
    return np.array([f"{stem}{i:0{width}d}" for i in range(n)])


def _blocks(shape: tuple[int, int], cells: int = 1 << 20) -> Iterator[slice]:
    """Slices of rows of about `cells` cells: temporaries stay small."""
    size = max(1, cells // shape[1])
    return (slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size))


# --- is it like the real one? --------------------------------------------------------------------------

@dataclass(frozen=True)
class Fact:
    """A summary statistic of the real board, and how far a simulated one may deviate: by at most `band`, or with
    `factor` by at most that factor. `other`: the same statistic on BBH+GPQA+IFEval+MATH+MuSR."""

    name: str
    real: float
    band: float
    factor: bool = False
    other: float | None = None

    def holds(self, value: float) -> bool:
        if self.factor:
            return self.real / self.band <= value <= self.real * self.band
        return abs(value - self.real) <= self.band

    @property
    def allowed(self) -> str:
        return f"x/ {self.band:.3g}" if self.factor else f"+- {self.band:.3g}"


# Each band holds the boards of 300 × 2,000 of 29 of the first 30 seeds. On average over them the first factor is a
# quarter too strong, near relatives are a third too near and distant ones a quarter too distant.
_QUANTILES = (0, .05, .25, .5, .75, .95, 1)
_NEIGHBOURS_AMONG = 300
FACTS = (
    *(Fact(f"accuracy of models, {q:.0%}", real, band, other=other) for q, real, band, other in zip(
        _QUANTILES, (.104, .115, .250, .328, .386, .522, .728), (.01, .01, .01, .01, .01, .01, .02),
        (.226, .251, .336, .399, .439, .540, .634), strict=True)),
    *(Fact(f"difficulty of questions, {q:.0%}", real, band, other=other) for q, real, band, other in zip(
        _QUANTILES, (.004, .022, .096, .245, .507, .820, .937), (.005, .01, .01, .01, .01, .02, .03),
        (.001, .016, .157, .351, .624, .846, .994), strict=True)),
    *(Fact(f"variance of the logit, factor {k}", real, band, True, other) for k, real, band, other in zip(
        range(1, 6), (7.83, 3.83, 1.88, 1.27, 1.05), (1.5, 1.6, 2, 2, 2), (6.4, 2.5, 1.6, 1.5, .99), strict=True)),
    Fact("variance of the logit, factors 6-10", 3.25, 1.8, True),
    Fact("variance of the logit, all factors", 28.2, 1.35, True, 26),
    Fact("share of p within .01 of 0 or 1", .500, .04),
    Fact("mean of p(1-p)", .056, .006),
    Fact("mean of sqrt(p(1-p))", .167, .015),
    *(Fact(f"squared distance to next of 300, {q:.0%}", real, band, True) for q, real, band in
      ((.25, 2.3, 2.2), (.5, 3.8, 1.8), (.75, 6.5, 1.8))),
    Fact("accuracy of newer half minus older", .024, .05),
    Fact("variance of difficulty between tasks", .147, .06),
)


def statistics(board: Board) -> dict[str, float]:
    """The statistics of FACTS, by name, from a board's probabilities (question means are taken off the logits; the
    distance is the mean over questions, from a model to the nearest of 300 spread over the board's life).
    The statistic of tasks is left out if the board has none."""
    logits, (n_models, n_questions) = board.logits, board.logits.shape
    accuracy, difficulty, total = np.empty(n_models), np.zeros(n_questions), np.zeros(3)
    for rows in _blocks(logits.shape):
        p = expit(logits[rows])
        w = p * (1 - p)
        accuracy[rows] = p.mean(axis=1)
        difficulty += p.sum(axis=0) / n_models
        total += ((p < .01) | (p > .99)).sum(), w.sum(), np.sqrt(w).sum()
    gram = _gram(logits)
    spectrum = np.linalg.eigvalsh(gram)[::-1] / n_models
    values = [*np.quantile(accuracy, _QUANTILES), *np.quantile(difficulty, _QUANTILES), *spectrum[:5],
              spectrum[5:10].sum(), np.trace(gram) / n_models, *total / logits.size,
              *np.quantile(_nearest(gram), (.25, .5, .75)),
              accuracy[n_models // 2:].mean() - accuracy[:n_models // 2].mean()]
    if board.tasks is not None:
        _, task, size = np.unique(board.tasks, return_inverse=True, return_counts=True)
        values.append(np.var((np.bincount(task, difficulty) / size)[task]) / np.var(difficulty))
    return {fact.name: float(value) for fact, value in zip(FACTS, values, strict=board.tasks is not None)}


def _gram(logits: np.ndarray) -> np.ndarray:
    """(M, M) mean over questions of the products of two models' logits, each question's mean taken off."""
    gram = np.zeros((len(logits), len(logits)))
    for columns in _blocks(logits.shape[::-1]):
        part = logits[:, columns] - logits[:, columns].mean(axis=0)
        gram += part @ part.T
    return gram / logits.shape[1]


def _nearest(gram: np.ndarray) -> np.ndarray:
    """Squared distance of each of 300 models to the nearest of the others."""
    some = np.linspace(0, len(gram) - 1, min(_NEIGHBOURS_AMONG, len(gram))).astype(int)
    gram = gram[np.ix_(some, some)]
    distance = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


def comparison(values: dict[str, float]) -> str:
    """A table, 80 columns wide: every fact with a board's value, marked `<` if that is outside the fact's band."""
    lines = [f"{'':<42}{'BBH+...':>8}{'MMLU-Pro':>10}{'here':>8}  allowed"]
    for fact in FACTS:
        if fact.name in values:
            value = values[fact.name]
            numbers = ["" if x is None else f"{x:.3f}" if x < 1 else f"{x:.2f}" for x in
                       (fact.other, fact.real, value)]
            lines.append(f"{fact.name:<42}{numbers[0]:>8}{numbers[1]:>10}{numbers[2]:>8}  {fact.allowed:<7}"
                         f"{'' if fact.holds(value) else '<'}".rstrip())
    return "\n".join(lines)
