"""The logistic factor model P(z_ij = 1) = σ(u_iᵀ v_j): fit to the history, judge, save, turn into a prior."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from .errors import InputError
from .responses import atomic

LEARNING_RATE = 1e-2


class Prior(NamedTuple):
    """What is believed of a new model before it answers: u ~ N(mean (K,), covariance (K, K)), float64, or the
    mixture around the history's rows (M, K) that mixture.py makes of them."""

    mean: np.ndarray
    covariance: np.ndarray
    rows: np.ndarray | None = None


@dataclass
class Factors:
    """U (M, K) of the history's models, V (N, K) of the questions, float32.

    questions     (N,) names, in the order of V
    history_mean  (N,) mean observed score of each question; where nothing was observed, the mean of the
                  other questions' means
    about         how it was fitted (rank, weight decay, epochs, rows, losses)
    """

    U: np.ndarray
    V: np.ndarray
    questions: np.ndarray
    history_mean: np.ndarray
    about: dict = field(default_factory=dict)

    @property
    def prior(self) -> Prior:
        """Mean and sample covariance of the fitted rows u_i."""
        U = self.U.astype(np.float64)
        covariance = np.cov(U, rowvar=False).reshape(U.shape[1], U.shape[1]) if len(U) > 1 else np.zeros(
            (U.shape[1],) * 2)
        return Prior(U.mean(0), covariance, U)

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as stream:
            np.savez(stream, U=self.U, V=self.V, questions=self.questions, history_mean=self.history_mean,
                     about=json.dumps(self.about))

    @staticmethod
    def load(path: Path, made_by: str) -> Factors:
        """Raises InputError if the file is absent (naming the script that makes it) or torn."""
        if not path.is_file():
            raise InputError(f"{path}: no such file; python {made_by} makes it")
        try:
            with np.load(path, allow_pickle=False) as stored:
                return Factors(stored["U"], stored["V"], stored["questions"], stored["history_mean"],
                               json.loads(str(stored["about"])))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not a complete factor model ({error}); delete it and run "
                             f"python {made_by} again") from None


def history_mean(scores: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(N,) mean observed score of each question, imputed as in `Factors`; ½ where nothing at all is known."""
    counts = observed.sum(0)
    totals = np.where(observed, scores, 0).sum(0, dtype=np.float64)
    means = np.divide(totals, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    overall = np.nanmean(means) if (counts > 0).any() else 0.5
    return np.where(counts > 0, means, overall)


# --- fitting -------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Fit:
    """One fit of a batch: rank K, weight decay λ, the random stream of its N(0, 1) start, and the entries it
    sees, `seen` (M, N) bool."""

    rank: int
    weight_decay: float
    rng: np.random.Generator
    seen: np.ndarray


def fit(scores: np.ndarray, fits: list[Fit], epochs: int, device: str = "cpu",
        tick: Callable[[], None] | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fit models of one rank side by side: the protocol of arXiv 2601.20251, full-batch AdamW (rate 1e-2,
    decoupled weight decay λ) on the mean binary cross-entropy over the seen entries, from N(0, 1).

    scores  (M, N), anything where not seen
    Returns (U (M, K), V (N, K)) per fit, float32. `tick` is called after every epoch.
    """
    n_models, n_questions = scores.shape
    start = [(one.rng.standard_normal((n_models, one.rank), dtype=np.float32),
              one.rng.standard_normal((n_questions, one.rank), dtype=np.float32)) for one in fits]
    seen = torch.as_tensor(np.stack([one.seen for one in fits]), device=device)  # (fits, M, N)
    target = torch.as_tensor(np.where(seen.cpu().numpy().any(0), scores, 0), device=device).to(torch.float32)
    count = seen.sum((1, 2), dtype=torch.float32).clamp_min(1)[:, None, None]
    weight = None if bool(seen.all()) else seen.to(torch.float32)
    U, V = (torch.as_tensor(np.stack(parts), device=device) for parts in zip(*start, strict=True))
    # One parameter group per fit: AdamW's arithmetic is per entry, so only λ tells the fits apart.
    groups = [{"params": [U[i], V[i]], "weight_decay": one.weight_decay} for i, one in enumerate(fits)]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    gradient = torch.empty(len(fits), n_models, n_questions, device=device)
    for _ in range(epochs):
        # ∂loss/∂logit = (σ(u v) − z) / count on the seen entries.
        torch.bmm(U, V.transpose(1, 2), out=gradient)
        gradient.sigmoid_().sub_(target)
        if weight is not None:
            gradient.mul_(weight)
        dU, dV = gradient.bmm(V).div_(count), gradient.transpose(1, 2).bmm(U).div_(count)
        for i, group in enumerate(groups):
            group["params"][0].grad, group["params"][1].grad = dU[i], dV[i]
        optimizer.step()
        if tick is not None:
            tick()
    return [(U[i].cpu().numpy(), V[i].cpu().numpy()) for i in range(len(fits))]


def loss_and_accuracy(scores: np.ndarray, seen: np.ndarray, U: np.ndarray, V: np.ndarray) -> tuple[float, float]:
    """(mean binary cross-entropy, share predicted right at p ≥ ½) over the entries seen; NaN if there are none."""
    if not seen.any():
        return float("nan"), float("nan")
    loss = right = 0.0
    for start in range(0, len(U), 256):  # a block of models at a time: the logits need not all be held
        rows = slice(start, start + 256)
        logits = torch.as_tensor(U[rows]) @ torch.as_tensor(V).T
        z = torch.as_tensor(np.where(seen[rows], scores[rows], 0), dtype=torch.float32)
        here = torch.as_tensor(seen[rows])
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


def one_standard_error(cv: pd.DataFrame) -> pd.DataFrame:
    """Choose (rank, weight_decay) per (dataset, scenario) by the one-standard-error rule of arXiv 2601.20251:
    among the settings whose mean validation accuracy exceeds the best setting's mean − std/√folds (population
    std over its folds), the smallest rank, then the largest weight decay.

    cv has one row per (dataset, scenario, rank, weight_decay, fold) with val_acc. Where no fold had an entry to
    judge by, every setting qualifies. Returns the chosen rows' means, one per (dataset, scenario).
    """
    numbers = cv.assign(decay=cv["weight_decay"].astype(float))
    chosen = []
    for _, cell in numbers.groupby(["dataset", "scenario"], sort=False):
        by_setting = cell.groupby(["rank", "weight_decay", "decay"], as_index=False)["val_acc"].agg(
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
