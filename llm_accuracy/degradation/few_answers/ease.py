"""How easy every question is for the baseline, by what a history's models answered.

A candidate is a relative of its baseline: where it answers anew, it answers as a model like the baseline would. So what
matters is not how many models get a question right but how likely *this* model was to: the ridge regression of the
baseline's scores on the models' answers, which gives its relatives the weight that they deserve. Each question's own
score is left out of what is expected of it, by the closed form for a linear smoother (Allen's PRESS, 1974); the penalty
has the least error of that kind. A logistic curve makes probabilities of it.
"""

from __future__ import annotations

import numpy as np

PENALTIES = 10.0 ** np.arange(-1, 5.5, 0.5)
MOST_DIRECTIONS = 500  # singular vectors of a history; beyond them, the leading ones, by random projections
SAME = 1e-9  # scores that differ by less are one


def ease(scores: np.ndarray, history: np.ndarray) -> np.ndarray:
    """(N,) in (0, 1): how likely the baseline is to be right, by the M models' answers and its own to other questions.

    scores   (N,) of the baseline, in [0, 1]
    history  (M, N) of other models, NaN where a model has not answered; M ≥ 1

    Where the baseline is always or never right, or the history says nothing of it, the same for all: the mean score.
    """
    mean = float(scores.mean())
    if np.ptp(scores) < SAME:
        return np.full(scores.size, mean)
    expected = left_out(scores, _centred(history))
    level, slope = _logistic(expected, scores)
    if slope <= 0:
        return np.full(scores.size, mean)
    return 1 / (1 + np.exp(-(level + slope * expected)))


def without_itself(scores: np.ndarray, history: np.ndarray) -> np.ndarray:
    """(M,) which rows of a history are not the baseline itself, whichever way its metric is turned: they differ from it
    in some answer. A row that is the baseline would tell its answers from themselves, and nothing of where they change.
    """
    seen = ~np.isnan(history)
    filled = np.where(seen, history, 0.0)
    same, turned = ((np.abs(filled - one) <= SAME) | ~seen for one in (scores, 1 - scores))
    return ~(same.all(1) | turned.all(1))


def _centred(history: np.ndarray) -> np.ndarray:
    """(N, M) what every answer says beyond its model's mean; 0 where there is none."""
    seen = ~np.isnan(history)
    filled = np.where(seen, history, 0.0)
    means = filled.sum(1) / np.maximum(seen.sum(1), 1)
    return np.where(seen, filled - means[:, None], 0.0).T


def left_out(scores: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(N,) ridge regression's prediction of every score from the (N, M) features, fitted without it; the mean of all is
    taken as known, so that a history that says nothing gives one constant."""
    y = scores - scores.mean()
    if min(features.shape) <= MOST_DIRECTIONS:
        u, sizes, _ = np.linalg.svd(features, full_matrices=False)
    else:
        from sklearn.utils.extmath import randomized_svd

        u, sizes, _ = randomized_svd(features, MOST_DIRECTIONS, random_state=0)
    along, best, found = u.T @ y, np.inf, np.zeros(y.size)
    for penalty in PENALTIES:
        kept = sizes**2 / (sizes**2 + penalty)
        residual = (y - u @ (kept * along)) / np.maximum(1 - u**2 @ kept, SAME)
        if (error := float(residual @ residual)) < best:
            best, found = error, scores - residual
    return found


def _logistic(x: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """(level, slope) of scores on x; a score in between counts as so much of a right answer."""
    from sklearn.linear_model import LogisticRegression

    right = np.repeat([1, 0], scores.size)
    fit = LogisticRegression(C=1e3).fit(np.tile(x, 2)[:, None], right, np.concatenate([scores, 1 - scores]))
    return float(fit.intercept_[0]), float(fit.coef_[0, 0])
