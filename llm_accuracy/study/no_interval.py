"""Estimates of an accuracy that a model of the history answers for: no interval, no unbiasedness, whatever they err by.

Re-implementations of three ideas, in our words and code, not of the programs of their authors:

    fluid       a two-parameter logistic model of the history; asks the open question of most Fisher information at the
                ability estimated so far (posterior mean), again and again; what is not asked is what the model expects.
                After Hofmann et al., Fluid Language Model Benchmarking (arXiv 2509.11106), which stays with abilities
    anchors     questions clustered by their factors, of each cluster the one nearest its centre is asked, its answer
                counting for the cluster; mixed with answers and what the factor model, which has learned from these
                answers, expects of the rest. After "gp-IRT" of Maia Polo et al., tinyBenchmarks (arXiv 2402.14992); the
                share of either is what errs least for the history's own models, a fifth of them left out in turn
    regression  of fifty random sets of questions the one from which a regression over the history's models tells their
                accuracies best, one model left out at a time: on the mean of the answers and on the accuracy that the
                two-parameter model expects after them. After Kipnis et al., metabench (arXiv 2407.12844), which also
                filters questions and has an additive model

All take `history` (M, N) and `scores` (rows, N) of new models, floats in [0, 1] without blanks, and return what they
say of each row after each budget, {budget: (rows,)}. `seed` for those whose choice of questions is random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import special

from ..querying.beliefs import Bank
from ..querying.factors import Factors, Prior
from ..querying.predictors import FactorPredictor
from ..randomness import stream

ABILITIES = np.linspace(-4, 4, 81)  # a grid for the posterior of the ability, whose prior is N(0, 1)
STEPS, RATE = 300, 0.05             # of the fit of the two-parameter model
SPREADS = (0.5, 2.0)                # prior standard deviations of log a and b
FACTORS, WEIGHT_DECAY = 4, 2.0
FOLDS = 5
SETS = 50

Says = dict[int, np.ndarray]


class Logistic(NamedTuple):
    """P(z = 1) = σ(a (θ − b)): slope and difficulty of each question, (N,)."""

    slope: np.ndarray
    difficulty: np.ndarray

    def expected(self, ability: np.ndarray) -> np.ndarray:
        """(abilities, N)."""
        return special.expit(self.slope * (ability[:, None] - self.difficulty))

    @staticmethod
    def fit(history: np.ndarray) -> Logistic:
        """The joint mode of abilities ~ N(0, 1), log a ~ N(0, .5²), b ~ N(0, 2²)."""
        z = torch.as_tensor(history, dtype=torch.float32)
        share = z.mean(0).clamp(0.02, 0.98)
        ability = torch.logit(z.mean(1).clamp(0.02, 0.98))
        ability = ((ability - ability.mean()) / ability.std().clamp_min(0.1)).requires_grad_() if len(z) > 1 else \
            torch.zeros(len(z), requires_grad=True)
        log_slope = torch.zeros(z.shape[1], requires_grad=True)
        difficulty = (-torch.logit(share)).requires_grad_()
        optimizer = torch.optim.Adam([ability, log_slope, difficulty], RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            logits = log_slope.exp() * (ability[:, None] - difficulty)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, z, reduction="sum") + 0.5 * (
                (ability**2).sum() + (log_slope**2).sum() / SPREADS[0] ** 2 + (difficulty**2).sum() / SPREADS[1] ** 2)
            loss.backward()
            optimizer.step()
        return Logistic(log_slope.exp().detach().numpy().astype(float), difficulty.detach().numpy().astype(float))


def fluid(history: np.ndarray, scores: np.ndarray, budgets: Sequence[int], seed: int = 0) -> Says:
    """Nothing is random: every seed says the same."""
    model = Logistic.fit(history)
    grid = model.expected(ABILITIES)  # (abilities, N)
    log_right, log_wrong = np.log(np.clip(grid, 1e-9, 1)), np.log(np.clip(1 - grid, 1e-9, 1))
    rows, n = scores.shape
    posterior = np.tile(-0.5 * ABILITIES**2, (rows, 1))
    is_open, here, said = np.ones((rows, n), bool), np.arange(rows), {}
    for step in range(max(budgets) + 1):
        weight = special.softmax(posterior, axis=1)
        if step in budgets:
            said[step] = np.where(is_open, weight @ grid, scores).mean(1)
        if step == max(budgets):
            break
        p = model.expected(weight @ ABILITIES)
        asked = np.where(is_open, model.slope**2 * p * (1 - p), -1).argmax(1)
        is_open[here, asked] = False
        z = scores[here, asked][:, None]
        posterior += z * log_right[:, asked].T + (1 - z) * log_wrong[:, asked].T
    return said


class _Anchors(NamedTuple):
    """questions (T,), and the share of the bank that each stands for."""

    questions: np.ndarray
    weight: np.ndarray


def _anchors(factors: Factors, budget: int, seed: int) -> _Anchors:
    from sklearn.cluster import KMeans

    spread = np.linalg.cholesky(factors.prior.covariance + 1e-9 * np.eye(factors.V.shape[1]))
    points = np.column_stack([factors.V @ spread, factors.V @ factors.prior.mean])
    centres = KMeans(budget, random_state=seed, n_init=1, max_iter=30).fit(points).cluster_centers_
    nearest, free = [], np.ones(len(points), bool)
    for centre in centres:  # no question stands for two clusters
        distance = np.where(free, ((points - centre) ** 2).sum(1), np.inf)
        nearest.append(int(distance.argmin()))
        free[nearest[-1]] = False
    chosen = np.array(nearest)
    owner = ((points[:, None] - points[chosen]) ** 2).sum(2).argmin(1) if points.size * len(chosen) < 5e7 else np.array(
        [((points[chosen] - point) ** 2).sum(1).argmin() for point in points])
    return _Anchors(chosen, np.bincount(owner, minlength=len(chosen)) / len(points))


def _both(factors: Factors, anchors: _Anchors, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(clusters' weights times answers; answers and what the factors expect of the rest), (rows,) each."""
    prior: Prior = factors.prior._replace(rows=None)
    predictor = FactorPredictor(Bank.of(factors.V), prior, len(scores))
    answers = scores[:, anchors.questions]
    asked = torch.as_tensor(np.tile(anchors.questions, (len(scores), 1)))
    predictor.learn(asked, torch.as_tensor(answers))
    known = predictor.predict().mean.numpy().astype(float)
    known[:, anchors.questions] = answers
    return answers @ anchors.weight, known.mean(1)


def anchors(history: np.ndarray, scores: np.ndarray, budgets: Sequence[int], seed: int = 0) -> Says:
    rank = min(FACTORS, max(1, len(history) // 4))
    fold = stream("no interval", "folds", seed).permutation(len(history)) % min(FOLDS, len(history))
    whole = Factors.fit(history, rank, WEIGHT_DECAY)
    parts = [(Factors.fit(history[fold != part], min(rank, int((fold != part).sum())), WEIGHT_DECAY),
              history[fold == part]) for part in range(fold.max() + 1)]
    said = {}
    for budget in budgets:
        chosen = _anchors(whole, budget, seed)
        of = [(*_both(factors, _anchors(factors, budget, seed), left), left.mean(1)) for factors, left in parts]
        clustered, modelled, truth = (np.concatenate(column) for column in zip(*of, strict=True))
        apart = clustered - modelled
        share = np.clip((apart @ (truth - modelled)) / max(apart @ apart, 1e-12), 0, 1)
        ours, theirs = _both(whole, chosen, scores)
        said[budget] = share * ours + (1 - share) * theirs
    return said


def _regressors(model: Logistic, scores: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(rows, 3) of the answers to some questions: 1, their mean, the accuracy on the bank that the model expects."""
    p = np.clip(model.expected(ABILITIES), 1e-9, 1 - 1e-9)
    z = scores[:, asked]
    posterior = z @ np.log(p[:, asked]).T + (1 - z) @ np.log(1 - p[:, asked]).T - 0.5 * ABILITIES**2
    return np.column_stack([np.ones(len(z)), z.mean(1), special.softmax(posterior, axis=1) @ p.mean(1)])


def _left_out(x: np.ndarray, y: np.ndarray) -> float:
    """Mean squared error of least squares, one row left out at a time; ∞ with as few rows as coefficients."""
    if len(x) <= x.shape[1]:
        return np.inf
    hat = x @ np.linalg.pinv(x)
    return float((((y - hat @ y) / np.maximum(1 - np.diag(hat), 1e-3)) ** 2).mean())


def regression(history: np.ndarray, scores: np.ndarray, budgets: Sequence[int], seed: int = 0) -> Says:
    truth, said, model = history.mean(1), {}, Logistic.fit(history)
    for budget in budgets:
        rng = stream("no interval", "sets", seed, budget)
        sets = [rng.permutation(history.shape[1])[:budget] for _ in range(SETS)]
        asked = min(sets, key=lambda some: _left_out(_regressors(model, history, some), truth))
        slope = np.linalg.pinv(_regressors(model, history, asked)) @ truth
        said[budget] = np.clip(_regressors(model, scores, asked) @ slope, 0, 1)
    return said


ESTIMATES: dict[str, tuple[str, Callable[..., Says], bool]] = {  # name: (label, function, whether seeds matter)
    "fluid": ("maximum information (Fluid-style)", fluid, False),
    "anchors": ("anchors (gp-IRT-like)", anchors, True),
    "regression": ("regression from a chosen set (metabench-like)", regression, True),
}
