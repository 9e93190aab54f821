"""Factorized Active Querying: one engine for every drawing policy, with or without replacement, for one model
or thousands, live or replayed.

A *row* is one evaluation: one new model under one setting and one stream of draws. All rows advance together,
one question each per step. Per row the engine holds a Gaussian belief N(u, Σ) about the model's factors and
the logits V u of all questions. After question I is answered with z, with x = Σ v_I and k = 1 + w_I v_Iᵀ x,

    u ← u + x (z − p_I) / k        Σ ← Σ − w_I x xᵀ / k
    V u ← V u + V x (z − p_I) / k  diag(V Σ Vᵀ) ← diag(V Σ Vᵀ) − w_I (V x)² / k

which are the updates of arXiv 2601.20251 carried through to the logits: a step costs one (rows × K)(K × N)
product and one pass over rows × N, where forming the logits and diag(V Σ Vᵀ) afresh costs O(rows N K²).

Without replacement an answered question gets the logit −∞: its p and its score are then 0 without a mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .errors import InputError
from .factors import Prior
from .policies import DRAWING
from .settings import Setting

SAMPLING = ("with", "without", "naive-without")
P_FLOOR = 1e-12
LOGIT_CAP = math.log((1 - P_FLOOR) / P_FLOOR)
BLOCK = 128  # questions per block of the two-level inverse CDF
REFRESH_EVERY = 256  # steps after which the logits are formed afresh from u, against float32 drift


class Trace(NamedTuple):
    """Everything an evaluation's estimate is computed from; arrays (rows, steps), float64 unless said.

    asked    int64, the question drawn at each step
    answers  its score
    q, p     the probability with which it was drawn, and the predicted score, both before the answer
    total    Σ_j p_j over the bank; without replacement Σ_{asked before} z_j + Σ_{others} p_j
    """

    asked: np.ndarray
    answers: np.ndarray
    q: np.ndarray
    p: np.ndarray
    total: np.ndarray


@dataclass
class Bank:
    """The questions' factors, padded with zeros to whole blocks and put on a device.

    V  (N padded, K)
    """

    V: torch.Tensor
    n_questions: int

    @staticmethod
    def of(V: np.ndarray, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Bank:
        n, rank = V.shape
        padded = torch.zeros(-(-n // BLOCK) * BLOCK, rank, dtype=dtype, device=device)
        padded[:n] = torch.as_tensor(np.ascontiguousarray(V), dtype=dtype)
        return Bank(padded, n)


class Beliefs:
    """What is believed about every row's model; what a drawing policy looks at.

    u         (rows, K)      posterior mean of the model's factors
    sigma     (rows, K, K)   posterior covariance
    logits    (rows, N)      V u, −∞ where the question may not be asked again
    variance  (rows, N)      diag(V Σ Vᵀ), kept only where a policy needs it
    root_w    (rows, N)      √(p (1−p)), 0 where the question may not be asked again
    alpha, beta  (rows, 1)   the schedule's α_s and β_s at this step
    exploring    whether any α_s is positive at this step
    """

    def __init__(self, bank: Bank, prior: Prior, rows: int, keep_variance: bool):
        like = {"dtype": bank.V.dtype, "device": bank.V.device}
        mean = torch.as_tensor(prior.mean).to(**like)
        covariance = torch.as_tensor(prior.covariance).to(**like)
        self.V, self.n_questions = bank.V, bank.n_questions
        self.u = mean.repeat(rows, 1)
        self.sigma = covariance.repeat(rows, 1, 1)
        self.logits = (bank.V @ mean).repeat(rows, 1)
        self.logits[:, bank.n_questions:] = -torch.inf
        self.variance = ((bank.V @ covariance) * bank.V).sum(1).repeat(rows, 1) if keep_variance else None
        self.alpha = self.beta = torch.zeros(rows, 1, **like)
        self.exploring = False
        self.root_w: torch.Tensor = torch.empty_like(self.logits)

    @property
    def p(self) -> torch.Tensor:
        """(rows, N) predicted score, 0 where the question may not be asked again."""
        return torch.sigmoid(self.logits)

    def through_covariance(self, g: torch.Tensor) -> torch.Tensor:
        """V Σ g, (rows, K) → (rows, N)."""
        return torch.bmm(self.sigma, g.unsqueeze(2)).squeeze(2) @ self.V.T

    def update(self, asked: torch.Tensor, answers: torch.Tensor, p: torch.Tensor, w: torch.Tensor) -> None:
        """Condition on the answers; asked (rows,), answers, p, w (rows,) at the asked questions."""
        v = self.V[asked]  # (rows, K)
        x = torch.bmm(self.sigma, v.unsqueeze(2)).squeeze(2)
        k = 1 + w * (x * v).sum(1)
        step = x * ((answers - p) / k).unsqueeze(1)
        shrink = x * torch.sqrt(w / k).unsqueeze(1)  # y yᵀ is symmetric to the last bit, x (c x)ᵀ is not
        self.u += step
        self.sigma.baddbmm_(shrink.unsqueeze(2), shrink.unsqueeze(1), alpha=-1)
        self.logits.addmm_(step, self.V.T)
        if self.variance is not None:
            self.variance.sub_((shrink @ self.V.T).square_()).clamp_min_(0)

    def update_some(self, rows: torch.Tensor, question: int, answers: torch.Tensor, p: torch.Tensor) -> None:
        """Condition some rows on their answers to one question; rows (R,) indices, answers, p (R,)."""
        v = self.V[question]
        x = self.sigma[rows] @ v
        w = p * (1 - p)
        k = 1 + w * (x @ v)
        step = x * ((answers - p) / k).unsqueeze(1)
        shrink = x * torch.sqrt(w / k).unsqueeze(1)
        self.u.index_add_(0, rows, step)
        self.sigma.index_add_(0, rows, shrink.unsqueeze(2) * shrink.unsqueeze(1), alpha=-1)
        self.logits.index_add_(0, rows, step @ self.V.T)

    def refresh(self) -> None:
        """Form the logits afresh from u, so that float32 rounding does not add up over thousands of steps."""
        closed = torch.isneginf(self.logits)
        torch.mm(self.u, self.V.T, out=self.logits)
        self.logits.masked_fill_(closed, -torch.inf)


class Querier:
    """Many evaluations side by side: `ask` draws a question for every row, `tell` takes the answers.

    bank, prior  the questions' factors, and what is believed of a model that has answered nothing
    settings     one per row
    budget       T, the steps the schedules α_s and β_s are stretched over
    sampling     "with" replacement (the paper), "without", or "naive-without": asked questions are not drawn
                 again but their predictions stay in the total (the published ablation)
    policy       a name in policies.DRAWING

    Raises InputError for an unknown policy or way of sampling.
    """

    def __init__(self, bank: Bank, prior: Prior, settings: list[Setting], budget: int,
                 sampling: str = "with", policy: str = "faq"):
        if sampling not in SAMPLING:
            raise InputError(f"--sampling {sampling!r}: one of {', '.join(SAMPLING)} is needed")
        if policy not in DRAWING:
            raise InputError(f"policy {policy!r} is not registered: one of {', '.join(DRAWING)} is needed")
        if sampling != "with" and budget > bank.n_questions:
            raise InputError(f"{budget} draws without replacement from {bank.n_questions} questions")
        self.bank, self.budget, self.sampling = bank, budget, sampling
        self.score = DRAWING[policy]
        self.rows, self.step = len(settings), 0
        self._longest_rho = max(setting.rho for setting in settings)
        self._own_policy = policy not in ("faq", "uniform+factors")
        self.beliefs = Beliefs(bank, prior, self.rows, keep_variance=self._own_policy or self._longest_rho > 0)
        self._schedule = {name: self._column([getattr(setting, name) for setting in settings])
                          for name in ("beta0", "rho", "gamma", "tau")}
        blocks = bank.V.shape[0] // BLOCK
        self._open = torch.full((self.rows, blocks), BLOCK, dtype=torch.float64, device=bank.V.device)
        self._open[:, -1] -= bank.V.shape[0] - bank.n_questions
        self._row = torch.arange(self.rows, device=bank.V.device)
        self._answered = torch.zeros(self.rows, dtype=torch.float64, device=bank.V.device)
        # Only the naive variant must tell "asked" from "certain": elsewhere the logit −∞ says both.
        self._closed = torch.isneginf(self.beliefs.logits) if sampling == "naive-without" else None

    def _column(self, values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=self.bank.V.dtype, device=self.bank.V.device).unsqueeze(1)

    # One step is ask (or look, when the questions are given) and then tell.

    def ask(self, uniform: torch.Tensor) -> torch.Tensor:
        """Draw a question for every row by inverse CDF from one uniform number each, (rows,) → (rows,)."""
        scores = self._scores()
        blocks = scores.view(self.rows, -1, BLOCK)
        in_block = blocks.sum(2, dtype=torch.float64)
        share, floor = self._mixture(in_block)
        target = uniform.to(torch.float64)
        block, before = _inverse_cdf(share * in_block + floor * self._open, target)
        inside = blocks[self._row, block].to(torch.float64)
        candidates = self._is_open(block)
        inner, _ = _inverse_cdf(share * inside + floor * candidates, target, before)
        self._remember(block * BLOCK + inner, scores, share, floor)
        return self.asked

    def look(self, asked: torch.Tensor) -> None:
        """Take the questions as given instead of drawing them: the audit of a finished evaluation."""
        scores = self._scores()
        share, floor = self._mixture(scores.view(self.rows, -1, BLOCK).sum(2, dtype=torch.float64))
        self._remember(asked, scores, share, floor)

    def tell(self, answers: torch.Tensor) -> None:
        """Take the answers (rows,) to the questions of the last `ask` or `look`."""
        like = self.bank.V.dtype
        if self.sampling != "with":
            self._close(answers)
        self.beliefs.update(self.asked, answers.to(like), self.p.to(like), self.w.to(like))
        if self.step % REFRESH_EVERY == 0:
            self.beliefs.refresh()

    def _scores(self) -> torch.Tensor:
        """(rows, N) the policy's scores, 0 where a question may not be asked again."""
        self.step += 1
        beliefs, at = self.beliefs, self.step / self.budget
        rho, gamma = self._schedule["rho"], self._schedule["gamma"]
        never = torch.finfo(rho.dtype).tiny
        beliefs.exploring = at < self._longest_rho
        if not (beliefs.exploring or self._own_policy):
            beliefs.variance = None  # α_s stays 0 from here on
        beliefs.alpha = torch.where(rho > 0, 1 - at / rho.clamp_min(never), 0).clamp_min(0)
        growth = torch.where(gamma > 0, at / gamma.clamp_min(never), 1).clamp_max(1)
        beliefs.beta = self._schedule["beta0"] * growth
        closed = self.closed
        # √(p(1−p)) = e^{−|x|/2} / (1 + e^{−|x|}) keeps its relative accuracy where p rounds to 1.
        half = torch.exp(beliefs.logits.abs().clamp_max_(LOGIT_CAP).mul_(-0.5))
        beliefs.root_w = torch.div(half, half.square().add_(1), out=half).masked_fill_(closed, 0)
        return self.score(beliefs).masked_fill(closed, 0)

    @property
    def closed(self) -> torch.Tensor:
        """(rows, N) bool, True where a question may not be asked again."""
        return torch.isneginf(self.beliefs.logits) if self._closed is None else self._closed

    def _mixture(self, in_block: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """q = share · h + floor over the open questions: (1−τ)/Σh and τ/n_t, both (rows, 1)."""
        total = in_block.sum(1, keepdim=True)
        n_open = self._open.sum(1, keepdim=True)
        tau = torch.where(total > 0, self._schedule["tau"].to(torch.float64), 1.0)
        return (1 - tau) / total.clamp_min(torch.finfo(torch.float64).tiny), tau / n_open

    def _is_open(self, block: torch.Tensor) -> torch.Tensor:
        """(rows, BLOCK) 1.0 where a question of each row's block may be asked."""
        return (~self.closed.view(self.rows, -1, BLOCK)[self._row, block]).to(torch.float64)

    def _remember(self, asked: torch.Tensor, scores: torch.Tensor, share: torch.Tensor,
                  floor: torch.Tensor) -> None:
        logit = self.beliefs.logits[self._row, asked].to(torch.float64)
        self.asked = asked
        self.p = torch.sigmoid(logit).clamp(P_FLOOR, 1 - P_FLOOR)
        self.w = self.p * (1 - self.p)
        self.q = share.squeeze(1) * scores[self._row, asked].to(torch.float64) + floor.squeeze(1)
        self.total = self._answered + self.beliefs.p.view(self.rows, -1, BLOCK).sum(2).sum(1, dtype=torch.float64)

    def _close(self, answers: torch.Tensor) -> None:
        """Bar the questions just asked from being asked again."""
        self._open[self._row, self.asked // BLOCK] -= 1
        if self._closed is not None:
            self._closed[self._row, self.asked] = True
            return
        self.beliefs.logits[self._row, self.asked] = -torch.inf
        self._answered += answers.to(torch.float64)


def _inverse_cdf(q: torch.Tensor, target: torch.Tensor,
                 before: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(index, mass before it): the entry of q (rows, n) in which `target` − `before` falls.

    Rounding may put the target just outside; it is moved back in, so that an entry with q = 0 is never chosen.
    """
    cumulative = q.cumsum(1)
    inside = target if before is None else (target - before).clamp_min(0)
    inside = torch.minimum(inside, cumulative[:, -1] * (1 - 1e-12)).unsqueeze(1)
    index = (cumulative <= inside).sum(1)
    mass = cumulative.gather(1, index.unsqueeze(1)) - q.gather(1, index.unsqueeze(1))
    return index, mass.squeeze(1)


# --- whole evaluations ---------------------------------------------------------------------------------

def run(querier: Querier, uniforms: np.ndarray, scores: np.ndarray) -> Trace:
    """Evaluate rows whose answers are all known: draw, look the answer up, learn, T times.

    uniforms  (rows, T) in [0, 1), one number a draw
    scores    (rows, N) each row's complete scores
    """
    device = querier.bank.V.device
    draws = torch.as_tensor(np.ascontiguousarray(uniforms.T), device=device)
    answers = torch.as_tensor(scores, device=device)
    rows = torch.arange(querier.rows, device=device)

    def step(s: int) -> torch.Tensor:
        return answers[rows, querier.ask(draws[s])].to(torch.float64)

    return _record(querier, len(draws), step)


def replay(querier: Querier, asked: np.ndarray, answers: np.ndarray) -> Trace:
    """Recompute q, p and the totals of finished evaluations from the questions asked and their answers.

    asked (rows, T) int, answers (rows, T) in [0, 1]. The querier must be a fresh one with the evaluation's
    own bank, prior and settings; its `beliefs` are afterwards the posterior.
    """
    device = querier.bank.V.device
    questions = torch.as_tensor(np.ascontiguousarray(asked.T), dtype=torch.int64, device=device)
    given = torch.as_tensor(np.ascontiguousarray(answers.T), dtype=torch.float64, device=device)

    def step(s: int) -> torch.Tensor:
        querier.look(questions[s])
        return given[s]

    return _record(querier, len(questions), step)


def _record(querier: Querier, steps: int, answer: Callable[[int], torch.Tensor]) -> Trace:
    """Take the steps; everything stays on the device until the end."""
    record = torch.empty(len(Trace._fields), steps, querier.rows, dtype=torch.float64,
                         device=querier.bank.V.device)
    for s in range(steps):
        z = answer(s)
        record[:, s] = torch.stack([querier.asked.to(torch.float64), z, querier.q, querier.p, querier.total])
        querier.tell(z)
    asked, *others = record.transpose(1, 2).cpu().numpy()
    return Trace(asked.astype(np.int64), *others)
