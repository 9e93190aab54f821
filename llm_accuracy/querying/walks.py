"""The baselines: walk the bank once and toss a coin for every question (active inference, Zrnic & Candès).

At question t = 1 … N a walk with weight u_t and budget n_b asks with probability

    π_t = clip(min(η u_t, t n_b/N − asked before t), 0, 1),  η = n_b / Σ u,   π_t^τ = (1−τ) π_t + τ n_b/N

(the uniform policy always asks with n_b/N) and estimates, with a prediction f_t,

    θ̂ = (1/N) Σ [f_t + ξ_t (z_t − f_t)/π_t^τ],   SE² = (1/N²) Σ ξ_t (1 − π_t^τ)/(π_t^τ)² (z_t − f_t)².

The coins do not depend on f, so each walk yields both f = 0 (Horvitz–Thompson) and f = p̂ (the history's mean).
The number of questions asked is random; mixed walks can exceed the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..parallel import even_slices, side_by_side
from .beliefs import Bank, gain
from .estimates import Estimate
from .factors import Prior
from .loops import STEPS, Loops
from .passes import P_FLOOR, Passes
from .policies import WALKING


@dataclass(frozen=True)
class Walk:
    """One policy at one budget; tau is the uniform share of every coin (meaningless for "unif")."""

    policy: str
    budget: int
    tau: float = 0.0

    @property
    def exempt(self) -> bool:
        """Whether the coins ignore how many questions have been asked so far."""
        return self.policy == "unif"


@dataclass
class WalkResult:
    """theta, se (predictions, models, walks) for f = 0, then f = p̂ (or the one prediction of a factor walk);
    labels (models, walks) questions asked; pi (models, walks, N) only if recorded."""

    theta: np.ndarray
    se: np.ndarray
    labels: np.ndarray
    pi: np.ndarray | None = None


COLUMNS_AT_ONCE = STEPS  # questions whose columns are made contiguous at a time
MODELS_AT_ONCE = 256   # of a factor walk, or of a walk in C
CELLS_AT_ONCE = 1 << 21  # floats of logits at a time: what fits into a cache


def _columns(table: np.ndarray, start: int) -> np.ndarray:
    """(models, N) → the next questions' columns, (COLUMNS_AT_ONCE or fewer, models)."""
    # Copied twice: rows first, so that the columns are collected from within a cache.
    return np.ascontiguousarray(np.ascontiguousarray(table[:, start : start + COLUMNS_AT_ONCE]).T)


class _Coins:
    """The coins of the walks at every question: tossed with uniforms (models, N), or those of finished walks, (models,
    walks, N), again. Raises ValueError for neither."""

    def __init__(self, uniforms: np.ndarray | None, finished: np.ndarray | None):
        if uniforms is None and finished is None:
            raise ValueError("a walk needs uniform numbers, or the coins of a finished walk")
        self.uniforms, self.finished = uniforms, finished
        self.columns = np.empty((0, 0))

    def toss(self, t: int, pi: np.ndarray, coin: np.ndarray) -> None:
        """Write the coins of question t, which fall with probabilities `pi`, into `coin`; both (walks, models)."""
        if self.finished is not None:
            coin[...] = self.finished[:, :, t].T
        elif self.uniforms is not None:
            if t % COLUMNS_AT_ONCE == 0:
                self.columns = _columns(self.uniforms, t)
            np.less(self.columns[t % COLUMNS_AT_ONCE], pi, out=coin)


class _Sums:
    """θ̂ and its variance, summed over the questions that were asked, at most a quarter of the bank.

    Rows are walks × models, flattened. The sums are updated once for every COLUMNS_AT_ONCE questions.
    """

    def __init__(self, scores: np.ndarray, n_walks: int, n_predictions: int):
        n_models, self.n_questions = scores.shape
        self.scores, self.block = scores, 0
        self.shape = (n_walks, n_models)
        self.theta, self.variance = np.zeros((2, n_predictions, n_walks * n_models))
        self.labels = np.zeros(n_walks * n_models)
        self.asked: list[tuple] = []

    def add(self, t: int, rows: np.ndarray, pi: np.ndarray, predictions: tuple) -> None:
        """Question t was asked in `rows` (distinct) with probabilities `pi`; predictions are numbers or arrays
        over `rows`."""
        if t // COLUMNS_AT_ONCE != self.block:
            self._sum_up()
            self.block = t // COLUMNS_AT_ONCE
        self.asked.append((t % COLUMNS_AT_ONCE, rows, pi, predictions))

    def _sum_up(self) -> None:
        if not self.asked:
            return
        at, rows_of, pi_of, predictions = zip(*self.asked, strict=True)
        lengths, rows, pi = [len(some) for some in rows_of], np.concatenate(rows_of), np.concatenate(pi_of)
        columns = _columns(self.scores, self.block * COLUMNS_AT_ONCE)
        spared = 1 - pi
        z = columns[np.repeat(at, lengths), rows % self.shape[1]].astype(np.float64)
        for k, of_step in enumerate(zip(*predictions, strict=True)):
            f = np.repeat(of_step, lengths) if np.isscalar(of_step[0]) else np.concatenate(of_step)
            weighted = (z - f) / pi
            self.theta[k] += np.bincount(rows, weighted, len(self.labels))
            weighted *= weighted
            weighted *= spared
            self.variance[k] += np.bincount(rows, weighted, len(self.labels))
        self.labels += np.bincount(rows, minlength=len(self.labels))
        self.asked = []

    def result(self, prediction_sums: Sequence, pi: np.ndarray | None) -> WalkResult:
        """prediction_sums: Σ_t f_t of each prediction, a number or an array over the rows."""
        self._sum_up()
        n = self.n_questions
        theta = [((sums + one) / n).reshape(self.shape).T
                 for sums, one in zip(prediction_sums, self.theta, strict=True)]
        se = [(np.sqrt(one) / n).reshape(self.shape).T for one in self.variance]
        return WalkResult(np.stack(theta), np.stack(se), self.labels.reshape(self.shape).T, pi)


class _Terms:
    """What the coins of walks are made of. Everything is stored as π^τ = (1−τ) π + τ n_b/N, so that no step has to mix:
    wanted (N, walks, 1) is η u_t; left, what the count allows, begins at the floor, grows by the allowance with every
    question, and falls by `kept` with every one that is asked; floor, allowance, kept (walks, 1)."""

    def __init__(self, walks: Sequence[Walk], history_mean: np.ndarray):
        n = len(history_mean)
        weights = np.stack([WALKING[w.policy](history_mean) for w in walks], axis=1)  # (N, walks)
        budgets = np.array([w.budget for w in walks], dtype=float)
        exempt = np.array([w.exempt for w in walks])
        # An exempt walk asks with n_b/N, which is η u_t for u = 1: no count limits it, no uniform share is mixed in.
        taus = np.where(exempt, 0.0, [w.tau for w in walks])
        kept, floor = 1 - taus, taus * budgets / n
        wanted = floor + kept * np.minimum(budgets * weights / np.maximum(weights.sum(0), np.finfo(float).tiny), 1)
        allowance = kept * np.where(exempt, np.inf, budgets / n)
        self.wanted, self.floor, self.allowance, self.kept = (
            np.ascontiguousarray(one[..., None]) for one in (wanted, floor, allowance, kept))


def walk(scores: np.ndarray, history_mean: np.ndarray, walks: Sequence[Walk], uniforms: np.ndarray | None = None,
         coins: np.ndarray | None = None, record: bool = False, loops: Loops | None = None) -> WalkResult:
    """Walk the bank with every policy, τ and budget at once.

    scores (models, N); history_mean (N,) p̂; uniforms (models, N) in [0, 1), shared by the walks of a model;
    or coins (models, walks, N), 0/1, of finished walks, to replay them. With loops in C (`loops.for_work`) walks that
    are neither replayed nor recorded take a fifth of the time, with the same results to the last bit.
    """
    terms = _Terms(walks, history_mean)
    if loops is not None and uniforms is not None and not record:
        return _walk_in_c(scores, history_mean, terms, uniforms, loops)
    shape = (len(walks), len(scores))  # inner loops run over the models
    left, pi, coin = np.broadcast_to(terms.floor, shape).copy(), np.empty(shape), np.empty(shape, bool)
    cost = np.repeat(terms.kept, len(scores))
    sums = _Sums(scores, len(walks), 2)
    pis = np.empty((len(history_mean), *shape)) if record else None
    toss = _Coins(uniforms, coins)
    for t, mean in enumerate(history_mean):
        left += terms.allowance
        np.minimum(left, terms.wanted[t], out=pi)
        np.maximum(pi, terms.floor, out=pi)
        toss.toss(t, pi, coin)
        rows = np.flatnonzero(coin)
        left.reshape(-1)[rows] -= cost.take(rows)
        sums.add(t, rows, pi.reshape(-1).take(rows), (0.0, mean))
        if pis is not None:
            pis[t] = pi
    return sums.result((0.0, history_mean.sum()), None if pis is None else pis.transpose(2, 1, 0))


def _walk_in_c(scores: np.ndarray, history_mean: np.ndarray, terms: _Terms, uniforms: np.ndarray,
               loops: Loops) -> WalkResult:
    """`walk`, some models at a time, one part per core: models do not interact."""
    sums, means = _Sums(scores, len(terms.kept), 2), history_mean.astype(np.float64)
    wanted, floor, allowance, kept = (one[..., 0] for one in (terms.wanted, terms.floor, terms.allowance, terms.kept))

    def part(models: slice) -> tuple[np.ndarray, np.ndarray]:
        u, z = (np.ascontiguousarray(table[models], np.float64) for table in (uniforms, scores))
        left = np.repeat(terms.floor, len(z), axis=1)
        labels, four = np.zeros_like(left), np.zeros((4, *left.shape))
        loops.walk(u, z, wanted, means, floor, allowance, kept, left, labels, four)
        return labels, four

    parts = side_by_side(part, even_slices(len(scores), -(-len(scores) // MODELS_AT_ONCE)), "cpu")
    labels, four = (np.concatenate(columns, axis=-1) for columns in zip(*parts, strict=True))
    sums.labels = labels.reshape(-1)
    sums.theta, sums.variance = four.reshape(2, 2, -1)
    return sums.result((0.0, history_mean.sum()), None)


class _WalkBeliefs:
    """The beliefs of the rows of factor walks, which are walks × models.

    u (rows, K), sigma (rows, K, K). The logits of all questions are computed only for rows whose Σ_j 2 min(p_j, 1−p_j)
    is needed after an answer, and only CELLS_AT_ONCE of them at a time.
    """

    def __init__(self, bank: Bank, prior: Prior, rows: int, passes: Passes):
        like = {"dtype": bank.V.dtype, "device": bank.V.device}
        self.V, self.passes = bank.V[: bank.n_questions], passes
        self.u = torch.as_tensor(prior.mean).to(**like).repeat(rows, 1)
        self.sigma = torch.as_tensor(prior.covariance).to(**like).repeat(rows, 1, 1)
        self.room = torch.empty(max(1, CELLS_AT_ONCE // bank.n_questions), bank.n_questions, **like)
        self._uncertain = self._uncertainty(self.u[:1]).repeat(rows).cpu().numpy()
        self._stale = np.zeros(rows, bool)

    def p(self, question: int) -> torch.Tensor:
        """(rows,) float64, the prediction for one question."""
        return torch.sigmoid((self.u @ self.V[question]).to(torch.float64)).clamp(P_FLOOR, 1 - P_FLOOR)

    def update(self, rows: torch.Tensor, question: int, answers: torch.Tensor, p: torch.Tensor) -> None:
        """Condition some rows on their answers to one question; rows (R,) distinct indices, answers, p (R,)."""
        sigma = self.sigma[rows]
        step, shrink = gain(sigma, self.V[question].expand(len(rows), -1), answers, p)
        self.sigma[rows] = sigma.addcmul_(shrink.unsqueeze(2), shrink.unsqueeze(1), value=-1)
        self.u.index_add_(0, rows, step)
        self._stale[rows.cpu().numpy()] = True

    def uncertain(self, needed: np.ndarray) -> np.ndarray:
        """(rows,) Σ_j 2 min(p_j, 1−p_j), up to date where `needed` (rows,) bool is True."""
        due = np.flatnonzero(self._stale & needed)
        if len(due):
            self._uncertain[due] = self._uncertainty(self.u[torch.as_tensor(due, device=self.u.device)]).cpu().numpy()
            self._stale[due] = False
        return self._uncertain

    def _uncertainty(self, u: torch.Tensor) -> torch.Tensor:
        parts = [self.passes.uncertainty_pass(torch.mm(some, self.V.T, out=self.room[: len(some)]))
                 for some in u.split(len(self.room))]
        return torch.cat(parts).to(torch.float64).clamp_min(P_FLOOR)


def _together(part: Callable[[slice, slice], WalkResult], models: int, walks: int, device: str) -> WalkResult:
    """part(slice of the models, slice of the walks) for all slices, side by side, since neither models nor walks
    interact. On the CPU every walk is a part of its own and slices depend on the number of models only: the last digits
    of a walk depend on what it is computed with."""
    if device != "cpu":
        return part(slice(0, models), slice(0, walks))
    slices = even_slices(models, -(-models // MODELS_AT_ONCE))
    works = [(one, slice(walk, walk + 1)) for walk in range(walks) for one in slices]
    found = list(side_by_side(lambda work: part(*work), works, device))

    def put(name: str, models_axis: int, walks_axis: int) -> np.ndarray:
        of_walks = (found[at : at + len(slices)] for at in range(0, len(found), len(slices)))
        return np.concatenate([np.concatenate([getattr(one, name) for one in parts], models_axis)
                               for parts in of_walks], walks_axis)

    return WalkResult(put("theta", 1, 2), put("se", 1, 2), put("labels", 0, 1),
                      None if found[0].pi is None else put("pi", 0, 1))


def factor_walk(scores: np.ndarray, bank: Bank, prior: Prior, walks: Sequence[Walk],
                uniforms: np.ndarray | None = None, coins: np.ndarray | None = None,
                record: bool = False, steps: int | None = None) -> WalkResult:
    """Active inference with the factor model: u_t = 2 min(p_t, 1−p_t) from the online beliefs, η_t = n_b / Σ_j u_j
    over all N questions at the current beliefs, f_t = p_t, and an update whenever a question is asked.

    Arguments as for `walk`. Takes N steps whatever the budget, but only the rows that asked are updated. `steps`
    stops the walk early, for timing.
    """
    device = bank.V.device.type
    passes = Passes.for_work(len(scores) * bank.n_questions**2 / 4, device, bank.V.dtype)

    def part(models: slice, some: slice) -> WalkResult:
        return _factor_walk(scores[models], bank, prior, walks[some], None if uniforms is None else uniforms[models],
                            None if coins is None else coins[models, some], record, steps, passes)

    return _together(part, len(scores), len(walks), device)


def _factor_walk(scores: np.ndarray, bank: Bank, prior: Prior, walks: Sequence[Walk], uniforms: np.ndarray | None,
                 coins: np.ndarray | None, record: bool, steps: int | None, passes: Passes) -> WalkResult:
    n_models, n = scores.shape
    shape = (len(walks), n_models)
    beliefs = _WalkBeliefs(bank, prior, n_models * len(walks), passes)
    budgets, taus = (np.array([[getattr(w, name)] for w in walks], dtype=float) for name in ("budget", "tau"))
    answers = torch.as_tensor(scores, device=bank.V.device)
    sums, labels, predicted = _Sums(scores, len(walks), 1), np.zeros(shape), np.zeros(n_models * len(walks))
    pis = np.empty((n, *shape)) if record else None
    toss, coin = _Coins(uniforms, coins), np.empty(shape, bool)
    for t in range(steps or n):
        p = beliefs.p(t)
        p_t = p.cpu().numpy()
        left = (t + 1) * budgets / n - labels  # where nothing is left to ask, `wanted` does not matter
        uncertain = beliefs.uncertain(left.reshape(-1) > 0)
        wanted = budgets * (2 * np.minimum(p_t, 1 - p_t) / uncertain).reshape(shape)
        pi = np.clip(np.minimum(wanted, left), 0, 1)
        pi = (1 - taus) * pi + taus * budgets / n
        toss.toss(t, pi, coin)
        labels += coin
        predicted += p_t
        if pis is not None:
            pis[t] = pi
        rows = np.flatnonzero(coin)
        if len(rows):
            sums.add(t, rows, pi.reshape(-1).take(rows), (p_t[rows],))
            at = torch.as_tensor(rows, device=bank.V.device)
            beliefs.update(at, t, answers[at % n_models, t].to(bank.V.dtype), p[at].to(bank.V.dtype))
    return sums.result((predicted,), None if pis is None else pis.transpose(2, 1, 0))


def simple_random_sampling(scores: np.ndarray, uniforms: np.ndarray, budget: int) -> Estimate:
    """T questions without replacement and the mean of their answers: SE² = (1 − T/N) s²/T, t quantile.

    scores, uniforms (models, N): a model's questions are those with its T smallest numbers.
    """
    n = scores.shape[1]
    chosen = np.argpartition(uniforms, budget - 1, axis=1)[:, :budget]
    answers = np.take_along_axis(scores, chosen, 1).astype(np.float64)
    if budget == 1:
        return Estimate(answers[:, 0], np.full(len(answers), 0.0 if n == 1 else np.inf), np.inf)
    se = answers.std(1, ddof=1) * np.sqrt((1 - budget / n) / budget)
    return Estimate(answers.mean(1), se, budget - 1)
