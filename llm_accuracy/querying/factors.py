"""The logistic factor model P(z_ij = 1) = σ(u_iᵀ v_j): fit to the history, judge, save, turn into a prior."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.optim.adamw import adamw

from ..arguments import real, whole
from ..errors import InputError
from ..files import DAMAGED, atomic, check_zip
from ..parallel import even_slices, one_thread_each, side_by_side
from ..randomness import stream
from ..scores.matrix import Responses
from .protocols import PROTOCOLS, Alternating, Protocol


class Prior(NamedTuple):
    """What is believed about a new model before it answers: u ~ N(mean (K,), covariance (K, K)), float64, or the
    mixture around the history's rows (M, K) that mixture.py makes of them."""

    mean: np.ndarray
    covariance: np.ndarray
    rows: np.ndarray | None = None


@dataclass(repr=False)
class Factors:
    """U (M, K) of the history's models, V (N, K) of the questions, float32.

    questions     (N,) names, in the order of V
    history_mean  (N,) mean observed score of each question; for a question without observations, the mean of the
                  other questions' means
    about         how it was fitted (rank, weight decay, epochs, rows, losses)
    stated        what is believed of a new model, where that does not come from the rows of U: of a history of too few
                  models to say how models differ (`few_models`)
    """

    U: np.ndarray
    V: np.ndarray
    questions: np.ndarray
    history_mean: np.ndarray
    about: dict = field(default_factory=dict)
    stated: Prior | None = None

    def problem(self) -> str | None:
        """Why this is no factor model: shapes that disagree, numbers that are not finite."""
        for name in ("U", "V", "questions", "history_mean"):
            if not isinstance(getattr(self, name), np.ndarray):
                return f"{name} is no NumPy array"
        for name, numbers in (("U", self.U), ("V", self.V)):
            if numbers.ndim != 2 or numbers.dtype.kind not in "fiu":
                return f"{name} is not a table of real numbers"
            if not numbers.size:
                return f"{name} is {numbers.shape[0]} x {numbers.shape[1]}, so there is nothing in it"
            if not np.isfinite(numbers).all():
                return f"{name} holds numbers that are not finite (a smaller weight decay may help)"
        if self.U.shape[1] != self.V.shape[1]:
            return f"U has {self.U.shape[1]} columns, V {self.V.shape[1]}"
        if self.questions.shape != (len(self.V),):
            return f"{self.questions.shape} names of questions for {len(self.V)} rows of V"
        if self.questions.dtype.kind != "U":
            return "the names of the questions are no texts"
        if len(np.unique(self.questions)) < len(self.questions):
            return "a question occurs twice"
        mean = self.history_mean
        if mean.shape != (len(self.V),) or mean.dtype.kind not in "fiu":
            return f"{mean.shape} means of the history for {len(self.V)} questions"
        if not ((mean >= 0) & (mean <= 1)).all():
            return "a mean score of the history is outside [0, 1]"
        return None

    @staticmethod
    def fit(scores: Responses | pd.DataFrame | np.ndarray, rank: int, weight_decay: float, protocol: str = "map",
            epochs: int | None = None, seed: int = 0) -> Factors:
        """The factors of a history: scores of its models on the questions.

        scores        models × questions in [0, 1], NaN = missing: a DataFrame (index: models, columns: questions),
                      `Responses`, or an array, whose questions are named q0, q1, …
        rank          K, at most the number of models
        weight_decay  λ ≥ 0 as the protocol means it (`Protocol`)
        protocol      "map" or "adamw" (the paper's), for `epochs` instead of its own number
        seed          of the random start

        Raises InputError for scores outside [0, 1], repeated names, or impossible settings.
        """
        if isinstance(scores, np.ndarray):
            if scores.ndim != 2:
                raise InputError(f"scores of shape {scores.shape}: models x questions are needed")
            scores = pd.DataFrame(scores, [f"model{i}" for i in range(len(scores))],
                                  [f"q{j}" for j in range(scores.shape[1])])
        history = scores if isinstance(scores, Responses) else Responses.from_frame(scores)
        if protocol not in PROTOCOLS:
            raise InputError(f"protocol {protocol!r}: there are {', '.join(PROTOCOLS)}")
        rank, weight_decay = whole("rank", rank), real("weight decay", weight_decay)
        epochs, seed = None if epochs is None else whole("epochs", epochs, 1), whole("seed", seed)
        if not 1 <= rank <= history.n_models:
            raise InputError(f"rank {rank}: a history of {history.n_models} models carries ranks from 1 to that many")
        seen = history.observed
        one = Fit(rank, weight_decay, stream("factors", seed, protocol, rank, weight_decay), seen)
        [(U, V)] = fit(history.scores, [one], PROTOCOLS[protocol], epochs)
        about = {"protocol": protocol, "rank": rank, "weight_decay": weight_decay, "rows": history.n_models,
                 "epochs": epochs or PROTOCOLS[protocol].epochs}
        return Factors(U, V, history.questions, history_mean(history.scores, seen), about)

    def __repr__(self) -> str:
        return f"Factors({len(self.U)} models × {len(self.V)} questions, rank {self.V.shape[1]})"

    @property
    def told(self) -> bool:
        """Whether there is a history: those of no model are stated without one."""
        return self.stated is None or self.about.get("rows") != 0

    @property
    def prior(self) -> Prior:
        """The stated one, or mean and sample covariance of the fitted rows u_i."""
        if self.stated is not None:
            return self.stated
        U = self.U.astype(np.float64)
        covariance = np.cov(U, rowvar=False).reshape(U.shape[1], U.shape[1]) if len(U) > 1 else np.zeros(
            (U.shape[1],) * 2)
        return Prior(U.mean(0), covariance, U)

    def save(self, path: Path) -> None:
        """Write an .npz, completely or not at all. Raises InputError for what `load` would not take."""
        if problem := self.problem():
            raise InputError(f"{path}: not a factor model, so it is not written: {problem}")
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"U": self.U, "V": self.V, "questions": self.questions, "history_mean": self.history_mean,
                  "about": np.array(json.dumps(self.about))}
        if self.stated is not None:
            arrays |= {"prior_mean": self.stated.mean, "prior_covariance": self.stated.covariance}
        with atomic(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    @staticmethod
    def load(path: Path | str, made_by: str = "factor_models_final.py") -> Factors:
        """Read an .npz. Raises InputError if it is absent (naming the script that makes it) or incomplete."""
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file; python {made_by} makes it")
        check_zip(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                parts = {name: stored[name] for name in ("U", "V", "questions", "history_mean")}
                about = json.loads(str(stored["about"]))
                if not isinstance(about, dict):
                    raise ValueError("what it says about its fit is not a table")
                stated = Prior(stored["prior_mean"], stored["prior_covariance"]) if "prior_mean" in stored else None
        except InputError:
            raise
        except DAMAGED as error:
            raise InputError(f"{path}: not a complete factor model ({error}); delete it and run "
                             f"python {made_by} again") from None
        found = Factors(**parts, about=about, stated=stated)
        if problem := found.problem():
            raise InputError(f"{path}: not a factor model: {problem}; delete it and run python {made_by} again")
        return found


def history_mean(scores: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(N,) mean observed score of each question, imputed as in `Factors`; ½ if nothing at all is known."""
    counts = observed.sum(0)
    totals = np.where(observed, scores, 0).sum(0, dtype=np.float64)
    means = np.divide(totals, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    overall = np.nanmean(means) if (counts > 0).any() else 0.5
    return np.where(counts > 0, means, overall)


# --- fitting -------------------------------------------------------------------------------------------

THREADS_PAY_FROM = 1 << 22  # models × questions; with fewer, threads wait for one another longer than they work
CELLS_IN_BLOCK = 1 << 20    # models × questions of a block of a larger fit: what fits into a cache


@dataclass(frozen=True)
class Fit:
    """One fit of a batch: rank K, weight decay λ, the random stream of its start, and the entries it sees,
    `seen` (M, N) bool."""

    rank: int
    weight_decay: float
    rng: np.random.Generator
    seen: np.ndarray


def fit(scores: np.ndarray, fits: list[Fit], protocol: Protocol, epochs: int | None = None, device: str = "cpu",
        tick: Callable[[], None] | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fit models of one rank side by side to the binary cross-entropy over the entries each sees.

    scores  (M, N) in [0, 1]; unseen entries may hold anything
    epochs  used instead of the protocol's
    Returns (U (M, K), V (N, K)) per fit, float32. `tick` is called after every epoch.

    On the CPU, neither the fits side by side nor the number of threads change a result: larger ones go through the
    questions block by block, one block a thread, and add the blocks up in order. So they need hardly more memory than
    the scores.
    """
    small = scores.size < THREADS_PAY_FROM
    # Where few entries are seen, decay alone takes most factors towards 0, and arithmetic below 1e-38 is several times
    # as slow: such numbers count as 0.
    torch.set_flush_denormal(True)
    try:
        if isinstance(protocol, Alternating):
            return [_fit_alternating(scores, one, protocol, epochs or protocol.epochs, device, tick) for one in fits]
        if device == "cpu" and not small:
            return [_fit_in_blocks(scores, one, protocol, epochs or protocol.epochs, tick) for one in fits]
        with one_thread_each("cpu") if small else nullcontext():
            return _fit(scores, fits, protocol, epochs or protocol.epochs, device, tick)
    finally:
        torch.set_flush_denormal(False)


def _fit(scores: np.ndarray, fits: list[Fit], protocol: Protocol, epochs: int, device: str,
         tick: Callable[[], None] | None) -> list[tuple[np.ndarray, np.ndarray]]:
    n_models, n_questions = scores.shape
    start = [_start(scores, one, protocol) for one in fits]
    seen = np.stack([one.seen for one in fits])  # (fits, M, N)
    target = torch.as_tensor(np.where(seen.any(0), scores, 0), dtype=torch.float32, device=device)
    weight = None if seen.all() else torch.as_tensor(seen, dtype=torch.float32, device=device)
    count = torch.as_tensor(seen.sum((1, 2)), dtype=torch.float32, device=device).clamp_min(1)[:, None, None]
    decay = torch.tensor([one.weight_decay for one in fits], device=device)[:, None, None]
    U, V = (torch.as_tensor(np.stack(parts), device=device) for parts in zip(*start, strict=True))
    # Adam's arithmetic is per entry, so only λ tells the fits apart.
    optimizers = [_AdamW([U[i], V[i]], one.weight_decay, protocol) for i, one in enumerate(fits)]
    residual = torch.empty(len(fits), n_models, n_questions, device=device)
    for epoch in range(epochs):
        # ∂/∂logit of the summed loss: σ(u v) − z on the seen entries. No gather by mask.
        torch.bmm(U, V.transpose(1, 2), out=residual)
        residual.sigmoid_().sub_(target)
        if weight is not None:
            residual.mul_(weight)
        gradients = [residual.bmm(V), residual.transpose(1, 2).bmm(U)]
        for gradient, parameters in zip(gradients, (U, V), strict=True):
            if protocol.penalised:
                gradient.addcmul_(decay, parameters)
            gradient.div_(count)
        for i, optimizer in enumerate(optimizers):
            optimizer.step([gradient[i] for gradient in gradients], _rate(protocol, epoch, epochs))
        if tick is not None:
            tick()
    return [(U[i].cpu().numpy(), V[i].cpu().numpy()) for i in range(len(fits))]


def _start(scores: np.ndarray, one: Fit, protocol: Protocol) -> list[np.ndarray]:
    return [protocol.start * one.rng.standard_normal((size, one.rank), dtype=np.float32) for size in scores.shape]


class _AdamW:
    """torch.optim.AdamW by PyTorch's function of the same arithmetic: the first instance of the class imports PyTorch's
    compiler, .8 s of every process that fits."""

    def __init__(self, parameters: list[torch.Tensor], weight_decay: float, protocol: Protocol):
        self.parameters, self.beta2 = parameters, protocol.beta2
        self.weight_decay = 0.0 if protocol.penalised else weight_decay
        self.means, self.squares = ([torch.zeros_like(one) for one in parameters] for _ in range(2))
        self.steps = [torch.zeros(()) for _ in parameters]

    def step(self, gradients: list[torch.Tensor], rate: float) -> None:
        adamw(self.parameters, gradients, self.means, self.squares, [], self.steps, amsgrad=False, beta1=0.9,
              beta2=self.beta2, lr=rate, weight_decay=self.weight_decay, eps=1e-8, maximize=False)


def _rate(protocol: Protocol, epoch: int, epochs: int) -> float:
    return protocol.rate * (1 + np.cos(np.pi * epoch / epochs)) / 2 if protocol.annealed else protocol.rate


def _fit_in_blocks(scores: np.ndarray, one: Fit, protocol: Protocol, epochs: int,
                   tick: Callable[[], None] | None) -> tuple[np.ndarray, np.ndarray]:
    """One fit, as `_fit`, that holds the logits of one block of questions a thread."""
    U, V = map(torch.from_numpy, _start(scores, one, protocol))
    optimizer = _AdamW([U, V], one.weight_decay, protocol)
    complete, count = bool(one.seen.all()), max(1, int(one.seen.sum()))
    of_U, of_V = torch.empty_like(U), torch.empty_like(V)  # the gradients

    def gradient(block: slice) -> torch.Tensor:
        """∂/∂U of the block's summed loss; writes ∂/∂V of its questions."""
        residual = (U @ V[block].T).sigmoid_().sub_(torch.from_numpy(scores[:, block]))
        if not complete:  # what is not seen may be NaN, so it is not multiplied away
            residual.masked_fill_(torch.from_numpy(~one.seen[:, block]), 0.0)
        torch.mm(residual.T, U, out=of_V[block])
        return residual @ V[block]

    blocks = even_slices(scores.shape[1], -(-scores.size // CELLS_IN_BLOCK))
    for epoch in range(epochs):
        of_U.zero_()
        for part in side_by_side(gradient, blocks, "cpu"):
            of_U += part
        for one_gradient, parameters in ((of_U, U), (of_V, V)):
            if protocol.penalised:
                one_gradient.add_(parameters, alpha=one.weight_decay)
            one_gradient.div_(count)
        with one_thread_each("cpu"):
            optimizer.step([of_U, of_V], _rate(protocol, epoch, epochs))
        if tick is not None:
            tick()
    return U.numpy(), V.numpy()


def _fit_alternating(scores: np.ndarray, one: Fit, protocol: Alternating, epochs: int, device: str,
                     tick: Callable[[], None] | None) -> tuple[np.ndarray, np.ndarray]:
    """One fit by the steps of `Alternating`, of which U's hold the logits of one block of questions a thread."""
    U, V = (torch.from_numpy(start).to(device) for start in _start(scores, one, protocol))
    complete = bool(one.seen.all())

    def residual(block: slice) -> torch.Tensor:
        """∂/∂logit of the block's summed loss, 0 where nothing is seen."""
        found = (U @ V[block].T).sigmoid_().sub_(torch.from_numpy(scores[:, block]).to(device))
        return found if complete else found.masked_fill_(torch.from_numpy(~one.seen[:, block]).to(device), 0.0)

    def factor(others: torch.Tensor) -> torch.Tensor:
        bound = others.T @ others / 4
        # More on the diagonal bounds no less: so much that float32 can factorise it where λ is 0.
        bound.diagonal().add_(one.weight_decay + 1e-5 * float(bound.diagonal().mean()) + 1e-12)
        return torch.linalg.cholesky(bound)

    def step(block: slice) -> None:
        gradient = (residual(block).T @ U).add_(V[block], alpha=one.weight_decay)
        V[block] -= protocol.rate * torch.cholesky_solve(gradient.T, of_questions).T

    blocks = even_slices(scores.shape[1], -(-scores.size // CELLS_IN_BLOCK))
    for _ in range(epochs):
        gradient = one.weight_decay * U
        for part in side_by_side(lambda block: residual(block) @ V[block], blocks, device):
            gradient += part
        with one_thread_each("cpu"):
            U -= protocol.rate * torch.cholesky_solve(gradient.T, factor(V)).T
            of_questions = factor(U)
        for _ in side_by_side(step, blocks, device):
            pass
        if tick is not None:
            tick()
    return U.cpu().numpy(), V.cpu().numpy()


def loss_and_accuracy(scores: np.ndarray, seen: np.ndarray, U: np.ndarray, V: np.ndarray,
                      device: str = "cpu") -> tuple[float, float]:
    """(mean binary cross-entropy, share predicted correctly at p ≥ ½) over the seen entries; NaN if there are none."""
    if not seen.any():
        return float("nan"), float("nan")
    loss = right = 0.0
    for start in range(0, len(U), 256):  # a block of models at a time, so that not all logits are held at once
        rows = slice(start, start + 256)
        logits = torch.as_tensor(U[rows], device=device) @ torch.as_tensor(V, device=device).T
        z = torch.as_tensor(np.where(seen[rows], scores[rows], 0), dtype=torch.float32, device=device)
        here = torch.as_tensor(seen[rows], device=device)
        bce = torch.nn.functional.softplus(logits) - z * logits
        loss += float((bce * here).sum(dtype=torch.float64))
        right += float((((logits >= 0) == (z >= 0.5)) & here).sum())
    return loss / int(seen.sum()), right / int(seen.sum())


# --- choosing rank and weight decay --------------------------------------------------------------------

def entry_folds(observed: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """(M, N) int8: the observed entries dealt at random into equal folds 0 … folds−1, −1 where missing."""
    fold = np.full(observed.shape, -1, np.int8)
    count = int(observed.sum())
    fold[observed] = rng.permutation(np.arange(count) % folds)
    return fold


CRITERIA = {"accuracy": ("val_acc", 1.0), "loss": ("val_loss", -1.0)}


def one_standard_error(cv: pd.DataFrame, criterion: str = "accuracy") -> pd.DataFrame:
    """Choose (rank, weight_decay) per (dataset, scenario) by the one-standard-error rule of arXiv 2601.20251:
    among the settings whose mean validation accuracy exceeds the best setting's mean − std/√folds (population
    std over its folds), the smallest rank, then the largest weight decay.

    cv         one row per (dataset, scenario, rank, weight_decay, fold) with val_acc and val_loss
    criterion  "accuracy" (the paper) or "loss": accuracy does not see whether p is calibrated, and on small
               histories prefers factors shrunk to nothing
    Where no fold had an entry to judge by, every setting qualifies. Returns the chosen rows' means, one per
    (dataset, scenario).
    """
    column, sign = CRITERIA[criterion]
    numbers = cv.assign(decay=cv["weight_decay"].astype(float), merit=sign * cv[column])
    chosen = []
    for _, cell in numbers.groupby(["dataset", "scenario"], sort=False):
        by_setting = cell.groupby(["rank", "weight_decay", "decay"], as_index=False)["merit"].agg(
            mean="mean", std=lambda x: x.std(ddof=0), folds="count")
        if by_setting["mean"].notna().any():
            best = by_setting.loc[by_setting["mean"].idxmax()]
            cutoff = best["mean"] - best["std"] / np.sqrt(best["folds"])
            by_setting = by_setting[by_setting["mean"] >= cutoff]
        pick = by_setting.sort_values(["rank", "decay"], ascending=[True, False]).iloc[0]
        of_pick = cell[(cell["rank"] == pick["rank"]) & (cell["decay"] == pick["decay"])]
        keys = ["dataset", "scenario", "rank", "weight_decay"]
        losses = ["train_loss", "val_loss", "train_acc", "val_acc"]
        chosen.append({**of_pick.iloc[0][keys].to_dict(), **of_pick[losses].mean().to_dict()})
    return pd.DataFrame(chosen)
