"""What is believed about the models under evaluation, and the ways of learning: one class each.

Per row (one model under evaluation) there is a Gaussian belief N(u, Σ) about the model's factors, and with it the
logits V u of all questions. After question I is answered with z, with x = Σ v_I and k = 1 + w_I v_Iᵀ x,

    u ← u + x (z − p_I) / k        Σ ← Σ − w_I x xᵀ / k
    V u ← V u + V x (z − p_I) / k  diag(V Σ Vᵀ) ← diag(V Σ Vᵀ) − w_I (V x)² / k

which are the updates of arXiv 2601.20251 carried through to the logits: a step costs one (rows × K)(K × N)
product and one pass over rows × N, whereas recomputing the logits and diag(V Σ Vᵀ) costs O(rows N K²).

Without replacement an answered question gets the logit −∞: its p and its score are then 0 without a mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .factors import Prior
from .mixture import MOST_CELLS, HistoryMixture, next_solve
from .passes import BLOCK, P_FLOOR, Passes, root_variance


@dataclass
class Bank:
    """The questions' factors, padded with zeros to whole blocks (`of`) and put on a device.

    V  (N padded, K)
    """

    V: torch.Tensor
    n_questions: int

    @staticmethod
    def of(V: np.ndarray, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Bank:
        """V (N, K) → Bank."""
        n, rank = V.shape
        padded = torch.empty(-(-n // BLOCK) * BLOCK, rank, dtype=dtype, device=device)
        padded[:n] = torch.as_tensor(np.ascontiguousarray(V), dtype=dtype)
        padded[n:] = 0
        return Bank(padded, n)

    @staticmethod
    def unpadded(V: np.ndarray) -> Bank:
        """V (N, K) → Bank for solves and predictions, which need no whole blocks.

        A copy, aligned as PyTorch's own memory is: where an array happens to lie in a process's memory must not show in
        last digits, or a run could not be resumed by another. A very large float32 V is shared: such arrays have pages
        of their own and always lie alike.
        """
        shared = torch.from_numpy(np.require(V, np.float32, ["C", "W"]))
        return Bank(shared.clone() if V.size <= MOST_CELLS else shared, len(V))


class Past:
    """Questions asked of every row and their answers, (rows, T) each, for learning that needs them again.

    asked, answers  filled from the left
    learned         number of steps already learned from
    """

    def __init__(self, bank: Bank, rows: int, budget: int, learned: int = 0):
        self.asked = torch.zeros(rows, budget, dtype=torch.int64, device=bank.V.device)
        self.answers = torch.zeros(rows, budget, dtype=bank.V.dtype, device=bank.V.device)
        self.learned = learned


def _times(sigma: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Σ v per row; a product and a sum are four times as fast as a batched matrix-vector product here."""
    return (sigma * v.unsqueeze(1)).sum(2)


def gain(sigma: torch.Tensor, v: torch.Tensor, answers: torch.Tensor,
         p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What an answer changes: (x (z − p) / k, to be added to u, and y, where y yᵀ is to be subtracted from Σ),
    (rows, K) each.

    x = Σ v, k = 1 + w vᵀx; y yᵀ = w x xᵀ / k is symmetric to the last bit. sigma (rows, K, K), v (rows, K).
    """
    x = _times(sigma, v)
    w = p * (1 - p)
    k = 1 + w * (x * v).sum(1)
    return x * ((answers - p) / k).unsqueeze(1), x * torch.sqrt(w / k).unsqueeze(1)


class Beliefs:
    """A Gaussian belief about every row's factors that learns from one answer at a time, as the paper's FAQ does.

    u         (rows, K)      posterior mean of the model's factors
    sigma     (rows, K, K)   posterior covariance
    logits    (rows, N)      V u, −∞ where the question may not be asked again
    variance  (rows, N)      diag(V Σ Vᵀ), kept only if scores need it

    stepwise  whether each answer is learned from as it arrives (else the whole past is, whenever it is `ripe`)
    learns    whether anything is learned, so that asking in order to learn makes sense
    """

    stepwise = True
    learns = True

    def __init__(self, bank: Bank, prior: Prior, rows: int, keep_variance: bool = False,
                 passes: Passes | None = None):
        like = {"dtype": bank.V.dtype, "device": bank.V.device}
        mean = torch.as_tensor(prior.mean).to(**like)
        covariance = torch.as_tensor(prior.covariance).to(**like)
        self.V, self.Vt, self.n_questions = bank.V, bank.V.T, bank.n_questions
        self.passes = passes or Passes(compiled=False)
        self.u = mean.repeat(rows, 1)
        self.sigma = covariance.repeat(rows, 1, 1)
        self.logits = (bank.V @ mean).repeat(rows, 1)
        self.logits[:, bank.n_questions:] = -torch.inf
        self.variance = ((bank.V @ covariance) * bank.V).sum(1).repeat(rows, 1) if keep_variance else None

    @property
    def p(self) -> torch.Tensor:
        """(rows, N) predicted score, 0 where the question may not be asked again."""
        return torch.sigmoid(self.logits)

    @property
    def root_w(self) -> torch.Tensor:
        """(rows, N) √(p (1−p)), 0 where the question may not be asked again."""
        return root_variance(self.logits)

    def toward_mean(self, w: torch.Tensor | None = None) -> torch.Tensor:
        """v_jᵀ Σ g for every question, g = (1/N) Σ_k w_k v_k, the gradient of the mean in u; w, (rows, N), if it is
        known already; (rows, N)."""
        g = (self.passes.weights(self.logits) if w is None else w) @ self.V / self.n_questions
        return _times(self.sigma, g) @ self.Vt

    # Learning.

    def update(self, asked: torch.Tensor, answers: torch.Tensor, p: torch.Tensor) -> None:
        """Condition every row on its answer; asked (rows,), answers, p (rows,) at the asked questions."""
        if self.passes.loops is not None:
            step, shrink = self.passes.loops.learn(self.V, asked, answers, p, self.u, self.sigma)
        else:
            step, shrink = gain(self.sigma, self.V[asked], answers, p)
            self.u += step
            self.sigma.addcmul_(shrink.unsqueeze(2), shrink.unsqueeze(1), value=-1)
        self.logits.addmm_(step, self.Vt)
        if self.variance is not None:
            self.passes.shrink_pass(self.variance, shrink @ self.Vt)

    def ripe(self, steps: int) -> bool:
        """Whether learning after this many answers is worth its cost."""
        return True

    def learn(self, past: Past, steps: int) -> None:
        """Learn from those answers up to `steps` that have not been learned from yet, one at a time."""
        new = slice(past.learned, steps)
        for questions, answers in zip(past.asked[:, new].T, past.answers[:, new].T, strict=True):
            p = torch.sigmoid((self.u * self.V[questions]).sum(1))
            self.update(questions, answers, p.clamp(P_FLOOR, 1 - P_FLOOR))
        self.refresh()
        past.learned = steps

    def refresh(self) -> None:
        """Recompute the logits from u, so that float32 rounding does not accumulate over thousands of steps."""
        closed = torch.isneginf(self.logits)
        torch.mm(self.u, self.Vt, out=self.logits)
        self.logits.masked_fill_(closed, -torch.inf)


class HistoryBeliefs(Beliefs):
    """A mixture around the history's models (`mixture`), re-solved from all answers from time to time."""

    stepwise = False

    def __init__(self, bank: Bank, prior: Prior, rows: int, keep_variance: bool = False,
                 passes: Passes | None = None):
        super().__init__(bank, prior, rows, keep_variance, passes)
        self.mixture, self._solve_at = HistoryMixture(bank.V, prior), 1

    def ripe(self, steps: int) -> bool:
        return steps >= self._solve_at

    def learn(self, past: Past, steps: int) -> None:
        """Solve for the posterior given all answers up to `steps`."""
        self._set(*self.mixture.solve(self.u, past.asked[:, :steps], past.answers[:, :steps]))
        self._solve_at, past.learned = next_solve(steps), steps

    def _set(self, u: torch.Tensor, sigma: torch.Tensor) -> None:
        self.u.copy_(u)
        self.sigma.copy_(sigma)
        self.refresh()
        if self.variance is not None:
            for row, covariance in enumerate(sigma):
                self.variance[row] = ((self.V @ covariance) * self.V).sum(1)


class KnownBeliefs(Beliefs):
    """The beliefs of an oracle: the logits (rows, N) that it is given, whatever the answers."""

    learns = False

    def __init__(self, bank: Bank, logits: torch.Tensor, passes: Passes | None = None):
        self.V, self.n_questions, self.variance = bank.V, bank.n_questions, None
        self.passes = passes or Passes(compiled=False)
        self.logits = torch.full((len(logits), len(bank.V)), -torch.inf, dtype=bank.V.dtype, device=bank.V.device)
        self.logits[:, : bank.n_questions] = torch.as_tensor(logits).to(self.logits)

    def update(self, *_) -> None:
        pass

    def learn(self, past: Past, steps: int) -> None:
        past.learned = steps

    def refresh(self) -> None:
        pass
