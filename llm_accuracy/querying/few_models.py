"""Factors of a history that is too small to be fitted: of a handful of models, of one, of none.

How models differ cannot be learned from three of them. What can be is how hard a question is, and what is known anyway
is its task. So the factors of a question are stated, not fitted,

    logit P(z_j = 1) = a + b m_j + c_task(j),      a ~ N(0, LEVEL²), b ~ N(1, SLOPE²), c ~ N(0, TASK²),

m_j the logit of the history's mean score of the question, shrunk to the mean of all as if WORTH further models had it.
Without any history m is left out. Everything else (rounds, estimates, intervals) is as with fitted factors: valid
whatever is stated here, and narrower where it is right.
"""

from __future__ import annotations

import numpy as np

from ..scores.matrix import Responses
from .factors import Factors, Prior, history_mean

FEWEST = 4        # models that factors are fitted to; with fewer they are stated
LEVEL, SLOPE = 1.0, 0.5
UNKNOWN = 1.5     # standard deviation of a where there is no history to tell the level
TASK = 0.7
WORTH = 1.0       # models
MOST_TASKS = 100  # that have a factor of their own, the largest; the questions of others differ by m alone


def few_models(history: Responses | None, questions: np.ndarray, tasks: np.ndarray | None) -> Factors:
    """The stated factors of a bank.

    history    scores of its models on exactly these questions, in this order; None of no model
    questions  (N,) names
    tasks      (N,) names of the questions' tasks, or None
    """
    n_questions, n_models = len(questions), 0 if history is None else history.n_models
    columns, mean, deviation = [np.ones(n_questions)], [0.0], [LEVEL if n_models else UNKNOWN]
    means = np.full(n_questions, 0.5)
    if history is not None:
        seen = history.observed
        means = history_mean(history.scores, seen)
        counts = seen.sum(0)
        overall = float(means.mean())
        shrunk = np.clip((counts * means + WORTH * overall) / (counts + WORTH), 1e-3, 1 - 1e-3)
        columns.append(np.log(shrunk / (1 - shrunk)))
        mean.append(1.0)
        deviation.append(SLOPE)
    for task in _largest(tasks):
        columns.append((np.asarray(tasks) == task).astype(float))
        mean.append(0.0)
        deviation.append(TASK)
    prior = Prior(np.array(mean), np.diag(np.square(deviation)))
    about = {"protocol": "stated", "rank": len(mean), "rows": n_models}
    return Factors(prior.mean[None].astype(np.float32), np.column_stack(columns).astype(np.float32),
                   np.asarray(questions, str), means, about, prior)


def _largest(tasks: np.ndarray | None) -> list[str]:
    """The names of the largest tasks, none where there is only one."""
    if tasks is None:
        return []
    names, sizes = np.unique(np.asarray(tasks, str), return_counts=True)
    return [] if len(names) < 2 else [str(name) for name in names[np.argsort(-sizes, kind="stable")][:MOST_TASKS]]
