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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..errors import InputError
from ..parallel import even_slices, side_by_side
from .factors import Prior
from .mixture import HistoryMixture, next_solve
from .passes import BLOCK, P_FLOOR, Passes, mixed_scores, oracle_scores, root_variance
from .policies import DRAWING, MIXTURE, ORACLES
from .setting import Setting

SAMPLING = ("with", "without", "naive-without")
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

    def first(self, steps: int) -> Trace:
        """The evaluation that stopped after so many steps."""
        return Trace(*(column[:, :steps] for column in self))


class Step(NamedTuple):
    """One question asked of every row; arrays (rows,), float64 unless said.

    asked     int64, the question
    q, p      its drawing probability and its predicted score
    expected  Σ_j p_j over the questions that might have been asked, this one included
    """

    asked: torch.Tensor
    q: torch.Tensor
    p: torch.Tensor
    expected: torch.Tensor


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


def _times(sigma: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Σ v per row; a product and a sum beat a batched matrix-vector product fourfold here."""
    return (sigma * v.unsqueeze(1)).sum(2)


def gain(sigma: torch.Tensor, v: torch.Tensor, answers: torch.Tensor,
         p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What an answer changes: (x (z − p) / k to be added to u, y with y yᵀ to be taken from Σ), (rows, K) each.

    x = Σ v, k = 1 + w vᵀx; y yᵀ = w x xᵀ / k is symmetric to the last bit. sigma (rows, K, K), v (rows, K).
    """
    x = _times(sigma, v)
    w = p * (1 - p)
    k = 1 + w * (x * v).sum(1)
    return x * ((answers - p) / k).unsqueeze(1), x * torch.sqrt(w / k).unsqueeze(1)


class Beliefs:
    """What is believed about every row's model; what a drawing policy looks at.

    u         (rows, K)      posterior mean of the model's factors
    sigma     (rows, K, K)   posterior covariance
    logits    (rows, N)      V u, −∞ where the question may not be asked again
    variance  (rows, N)      diag(V Σ Vᵀ), kept only where a policy needs it
    """

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

    def toward_mean(self) -> torch.Tensor:
        """v_jᵀ Σ g for every question, g = (1/N) Σ_k w_k v_k, the gradient of the mean in u; (rows, N)."""
        g = self.passes.weights(self.logits) @ self.V / self.n_questions
        return _times(self.sigma, g) @ self.Vt

    def update(self, asked: torch.Tensor, answers: torch.Tensor, p: torch.Tensor) -> None:
        """Condition every row on its answer; asked (rows,), answers, p (rows,) at the asked questions."""
        step, shrink = gain(self.sigma, self.V[asked], answers, p)
        self.u += step
        self.sigma.addcmul_(shrink.unsqueeze(2), shrink.unsqueeze(1), value=-1)
        self.logits.addmm_(step, self.Vt)
        if self.variance is not None:
            self.passes.shrink_pass(self.variance, shrink @ self.Vt)

    def set(self, u: torch.Tensor, sigma: torch.Tensor) -> None:
        """Replace the belief about the factors, (rows, K) and (rows, K, K), and all that follows from it."""
        self.u.copy_(u)
        self.sigma.copy_(sigma)
        self.refresh()
        if self.variance is not None:
            for row, covariance in enumerate(sigma):
                self.variance[row] = ((self.V @ covariance) * self.V).sum(1)

    def refresh(self) -> None:
        """Form the logits afresh from u, so that float32 rounding does not add up over thousands of steps."""
        closed = torch.isneginf(self.logits)
        torch.mm(self.u, self.Vt, out=self.logits)
        self.logits.masked_fill_(closed, -torch.inf)


class Known(Beliefs):
    """What an oracle believes: the logits (rows, N) it is given, whatever is answered."""

    def __init__(self, bank: Bank, logits: torch.Tensor, passes: Passes):
        self.V, self.n_questions, self.passes, self.variance = bank.V, bank.n_questions, passes, None
        self.logits = torch.full((len(logits), len(bank.V)), -torch.inf, dtype=bank.V.dtype, device=bank.V.device)
        self.logits[:, : bank.n_questions] = logits.to(self.logits)

    def update(self, *_) -> None:
        pass

    def refresh(self) -> None:
        pass


# --- scores of the questions, by the block -------------------------------------------------------------

class _Survey:
    """Block sums of a policy's scores and of p at one moment, and the scores inside any block.

    sums, p_sums  (rows, blocks)
    inside        block index (rows,) → scores (rows, BLOCK)
    """

    def __init__(self, sums: torch.Tensor, p_sums: torch.Tensor, inside: Callable[[torch.Tensor], torch.Tensor],
                 stored: torch.Tensor | None = None):
        self.stored = stored  # (rows, N) scores, where `inside` reads them instead of the logits
        self.sums, self.p_sums, self.inside = sums.to(torch.float64), p_sums.to(torch.float64), inside

    def drop(self, asked: torch.Tensor, p: torch.Tensor) -> None:
        """Take the asked questions, which `inside` now scores 0, and their p (rows,) out of the sums.

        A block's scores are summed anew: what rounding leaves of a difference would be drawn from an empty block.
        """
        block = asked // BLOCK
        if self.stored is not None:
            self.stored.scatter_(1, asked.unsqueeze(1), 0)
        left = self.inside(block).sum(1, keepdim=True, dtype=torch.float64)
        self.sums.scatter_(1, block.unsqueeze(1), left)
        self.p_sums.scatter_add_(1, block.unsqueeze(1), -p.unsqueeze(1)).clamp_min_(0)


def _blocks(array: torch.Tensor) -> torch.Tensor:
    return array.view(len(array), -1, BLOCK)


def _survey_oracle(beliefs: Beliefs, beta: torch.Tensor | None, row: torch.Tensor) -> _Survey:
    """h = √w^β: nothing is stored but the sums."""
    logits = _blocks(beliefs.logits)
    sums, p_sums = beliefs.passes.oracle_pass(logits, None if beta is None else beta.unsqueeze(2))
    return _Survey(sums, p_sums, lambda block: oracle_scores(logits[row, block], beta))


def _survey_exploring(beliefs: Beliefs, alpha: torch.Tensor, beta: torch.Tensor | None,
                      row: torch.Tensor) -> _Survey:
    """h = ((1−α) h_o + α h_a)^β with h_o and h_a normalised: a pass for their sums; for β ≠ 1 a second one."""
    arrays = [_blocks(array) for array in (beliefs.logits, beliefs.toward_mean(), beliefs.variance)]
    oracle, learning, p_sums = beliefs.passes.learning_pass(*arrays)
    tiny = torch.finfo(oracle.dtype).tiny
    total = learning.sum(1, keepdim=True)
    alpha = torch.where(total > 0, alpha, 0.0)  # a certain posterior has nothing to learn
    factors = ((1 - alpha) / oracle.sum(1, keepdim=True).clamp_min(tiny), alpha / total.clamp_min(tiny))
    if beta is None:  # the mixture's sums are the mixture of the sums
        sums = factors[0] * oracle + factors[1] * learning
    else:
        sums = beliefs.passes.mixed_pass(*arrays, *(factor.unsqueeze(2) for factor in (*factors, beta)))
    return _Survey(sums, p_sums, lambda block: mixed_scores(*(array[row, block] for array in arrays), *factors, beta))


def _survey_policy(scores: torch.Tensor, beliefs: Beliefs, row: torch.Tensor) -> _Survey:
    """Scores that a policy has stored, (rows, N)."""
    blocks = _blocks(scores)
    return _Survey(blocks.sum(2), _blocks(beliefs.p).sum(2), lambda block: blocks[row, block], scores)


class Querier:
    """Many evaluations side by side: `ask` draws a question for every row, `tell` takes the answers.

    bank, prior  the questions' factors, and what is believed of a model that has answered nothing
    settings     one per row
    budget       T, the steps the schedules α_s and β_s are stretched over
    sampling     "with" replacement (the paper), "without", or "naive-without": asked questions are not drawn
                 again but their predictions stay in the total (the published ablation)
    policy       a name in policies.DRAWING
    batch        B: the scores stay as they are for B questions, then all B answers are learned from
    passes       compiled or plain; by default whatever pays for `budget` steps
    known        (rows, N) logits of an oracle, which learns nothing; None for everyone else

    After `ask` (or `look`) the attributes asked, q, p and total (rows,) describe the step, see `Trace`.

    Where answers take their time there is `ask_batch` instead: its steps have numbers, `step` says what was asked at
    each, and `answer` takes the answers of a step, in any order; when none is outstanding, the querier learns.

    Raises InputError for an unknown policy or way of sampling.
    """

    def __init__(self, bank: Bank, prior: Prior, settings: list[Setting], budget: int,
                 sampling: str = "with", policy: str = "faq", passes: Passes | None = None, batch: int = 1,
                 known: torch.Tensor | None = None):
        if sampling not in SAMPLING:
            raise InputError(f"--sampling {sampling!r}: one of {', '.join(SAMPLING)} is needed")
        if policy not in DRAWING:
            raise InputError(f"policy {policy!r} is not registered: one of {', '.join(DRAWING)} is needed")
        if (known is not None) != (policy in ORACLES):
            raise InputError(f"policy {policy!r}: {' and '.join(ORACLES)}, and only they, are given what they know")
        if sampling != "with" and budget > bank.n_questions:
            raise InputError(f"{budget} draws without replacement from {bank.n_questions} questions")
        device = bank.V.device
        self.bank, self.budget, self.sampling, self.rows = bank, budget, sampling, len(settings)
        self.policy, self.batch = DRAWING[policy], batch if known is None else 1
        self.mixture = HistoryMixture(bank.V, prior) if policy in MIXTURE else None
        self.own_scores = policy not in ("faq", *MIXTURE, *ORACLES) or sampling == "naive-without"
        # An oracle has nothing to explore.
        self.exploring_steps = 0 if known is not None else -(-max(setting.rho for setting in settings) * budget // 1)
        passes = passes or Passes.for_work(self.rows * bank.V.shape[0] * budget, device.type)
        self.beliefs = (Known(bank, known, passes) if known is not None else
                        Beliefs(bank, prior, self.rows, self.own_scores or self.exploring_steps > 0, passes))
        self.beta0, self.rho, self.gamma, self.tau = (
            torch.tensor([[getattr(setting, name)] for setting in settings], dtype=bank.V.dtype, device=device)
            for name in ("beta0", "rho", "gamma", "tau"))
        self._plain = all(setting.beta0 == 1 and setting.gamma == 0 for setting in settings)
        self._open = torch.full((self.rows, bank.V.shape[0] // BLOCK), BLOCK, dtype=torch.float64, device=device)
        self._open[:, -1] -= bank.V.shape[0] - bank.n_questions
        self._row = torch.arange(self.rows, device=device)
        self._answered = torch.zeros(self.rows, dtype=torch.float64, device=device)
        # Only the naive variant must tell "asked" from "certain": elsewhere the logit −∞ says both.
        self._closed = torch.isneginf(self.beliefs.logits) if sampling == "naive-without" else None
        # The step counter lives on the device too, so that a recorded CUDA graph can advance it.
        self.steps_taken, self._at = 0, torch.zeros(1, dtype=bank.V.dtype, device=device)
        self._solve_at = 1  # answers after which the mixture is solved for again
        self._frozen: _Survey | None = None  # the scores, while nothing is learned
        self._past = None  # questions and answers so far, (rows, T) each, where learning goes back to them
        self._steps: dict[int, Step] = {}  # what `ask_batch` asked
        self._outstanding: set[int] = set()
        if self.mixture is not None or self.batch > 1:
            self._keep_past()

    def _keep_past(self) -> None:
        like = {"device": self.bank.V.device}
        self._learned = self.steps_taken  # answers that the beliefs rest on already
        self._past = (torch.zeros(self.rows, self.budget, dtype=torch.int64, **like),
                      torch.zeros(self.rows, self.budget, dtype=self.bank.V.dtype, **like))

    # Whole rounds: ask_batch, then an answer for each of its steps.

    def ask_batch(self, uniforms: torch.Tensor) -> range:
        """Draw a round of questions from the scores of now, one uniform number each, (rows, n); returns the numbers of
        their steps.

        Raises InputError while answers are outstanding, or for more questions than the budget.
        """
        if self._outstanding:
            raise InputError(f"{len(self._outstanding)} questions asked are not answered yet")
        if self.steps_taken + uniforms.shape[1] > self.budget:
            raise InputError(f"{self.steps_taken + uniforms.shape[1]} questions; the budget is {self.budget}")
        if self._past is None:
            self._keep_past()
        first = self.steps_taken
        for uniform in uniforms.T:
            self.ask(uniform)
            number = self._put_aside()
            self._steps[number] = Step(self.asked, self.q, self.p, self.expected)
            self._outstanding.add(number)
        return range(first, self.steps_taken)

    def step(self, number: int) -> Step:
        """What `ask_batch` asked at a step."""
        return self._steps[number]

    def answer(self, step: int, answers: torch.Tensor) -> None:
        """Take the answers (rows,) to the questions of a step, in any order; the last of a round lets it learn.

        Raises InputError for a step whose answers are not outstanding.
        """
        if step not in self._outstanding:
            raise InputError(f"step {step}: no question of it is waiting for an answer")
        self._hear(step, answers)
        self._outstanding.discard(step)
        if not self._outstanding and self.ripe:
            self.learn()

    def _put_aside(self) -> int:
        """Close the questions just asked, whose answers are to come; returns the number of the step."""
        if self.sampling != "with":
            self._close()
        self._past[0][:, self.steps_taken] = self.asked
        self.steps_taken += 1
        return self.steps_taken - 1

    def _hear(self, step: int, answers: torch.Tensor) -> None:
        self._past[1][:, step] = answers
        self._count(answers)

    # One step is ask (or look, when the questions are given) and then tell.

    def ask(self, uniform: torch.Tensor) -> torch.Tensor:
        """Draw a question for every row by inverse CDF from one uniform number each, (rows,) → (rows,)."""
        survey = self._survey_once()
        share, floor = self._mixture(survey.sums)
        target = uniform.to(torch.float64)
        block, before = _inverse_cdf(share * survey.sums + floor * self._open, target)
        inside = survey.inside(block).to(torch.float64)
        offset, _ = _inverse_cdf(share * inside + floor * self._is_open(block), target, before)
        self._remember(block * BLOCK + offset, inside.gather(1, offset.unsqueeze(1)), share, floor, survey)
        return self.asked

    def look(self, asked: torch.Tensor) -> None:
        """Take the questions as given instead of drawing them: the audit of a finished evaluation."""
        survey = self._survey_once()
        share, floor = self._mixture(survey.sums)
        inside = survey.inside(asked // BLOCK).to(torch.float64)
        self._remember(asked, inside.gather(1, (asked % BLOCK).unsqueeze(1)), share, floor, survey)

    def tell(self, answers: torch.Tensor) -> None:
        """Take the answers (rows,) to the questions of the last `ask` or `look`."""
        if self._past is not None:
            self._hear(self._put_aside(), answers)
            if self.steps_taken % self.batch == 0 and self.ripe:
                self.learn()
            return
        if self.sampling != "with":
            self._close()
            self._count(answers)
        self.steps_taken += 1
        like = self.bank.V.dtype
        self.beliefs.update(self.asked, answers.to(like), self.p.to(like))
        if self.steps_taken % REFRESH_EVERY == 0 and not self._capturing():
            self.beliefs.refresh()

    @property
    def ripe(self) -> bool:
        """Whether solving for the posterior again is worth its cost."""
        return self.mixture is None or self.steps_taken >= self._solve_at

    def learn(self) -> None:
        """Learn from all answers at once (mixture), or from those of the last batch one after the other."""
        t, self._frozen = self.steps_taken, None
        if self.mixture is not None:
            self.beliefs.set(*self.mixture.solve(self.beliefs.u, *(column[:, :t] for column in self._past)))
            self._solve_at = next_solve(t)
            return
        for questions, answers in zip(*(column[:, self._learned : t].T for column in self._past), strict=True):
            p = torch.sigmoid((self.beliefs.u * self.bank.V[questions]).sum(1))
            self.beliefs.update(questions, answers, p.clamp(P_FLOOR, 1 - P_FLOOR))
        self.beliefs.refresh()
        self._learned = t

    @property
    def every_step_alike(self) -> bool:
        """Whether a step can be recorded once and replayed: not if learning happens only now and then."""
        return self._past is None

    def _capturing(self) -> bool:
        """Whether a CUDA graph is being recorded: what happens now and then must not become part of it."""
        return self.bank.V.is_cuda and torch.cuda.is_current_stream_capturing()

    @property
    def exploring(self) -> bool:
        """Whether some α_s may be positive at the coming step."""
        return self.steps_taken < self.exploring_steps

    def _survey_once(self) -> _Survey:
        """The scores of now; the same ones, less what has been asked, until something is learned."""
        self._at += 1
        if self._past is None:
            return self._survey()
        if self._frozen is None:
            self._frozen = self._survey()
        return self._frozen

    def _survey(self) -> _Survey:
        if self.own_scores:
            self.beliefs.alpha, self.beliefs.beta = self._schedule()
            self.beliefs.exploring = self.exploring
            scores = self.policy(self.beliefs).masked_fill(self.closed, 0)
            return _survey_policy(scores, self.beliefs, self._row)
        if self.exploring:
            alpha, beta = self._schedule()
            return _survey_exploring(self.beliefs, alpha, None if self._plain else beta, self._row)
        self.beliefs.variance = None  # α_s stays 0 from here on
        return _survey_oracle(self.beliefs, None if self._plain else self._schedule()[1], self._row)

    def _schedule(self) -> tuple[torch.Tensor, torch.Tensor]:
        """α_s and β_s of this step, (rows, 1)."""
        at = self._at / self.budget
        tiny = torch.finfo(at.dtype).tiny
        alpha = torch.where(self.rho > 0, 1 - at / self.rho.clamp_min(tiny), 0.0).clamp_min(0)
        return alpha, self.beta0 * torch.where(self.gamma > 0, at / self.gamma.clamp_min(tiny), 1.0).clamp_max(1)

    @property
    def closed(self) -> torch.Tensor:
        """(rows, N) bool, True where a question may not be asked again."""
        return torch.isneginf(self.beliefs.logits) if self._closed is None else self._closed

    def _mixture(self, sums: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """q = share · h + floor over the open questions: (1−τ)/Σh and τ/n_t, both (rows, 1)."""
        total = sums.sum(1, keepdim=True)
        tau = torch.where(total > 0, self.tau.to(torch.float64), 1.0)
        return (1 - tau) / total.clamp_min(torch.finfo(torch.float64).tiny), tau / self._open.sum(1, keepdim=True)

    def _is_open(self, block: torch.Tensor) -> torch.Tensor:
        """(rows, BLOCK) 1.0 where a question of each row's block may be asked."""
        if self._closed is not None:
            return (~_blocks(self._closed)[self._row, block]).to(torch.float64)
        return (_blocks(self.beliefs.logits)[self._row, block] > -torch.inf).to(torch.float64)

    def _remember(self, asked: torch.Tensor, score: torch.Tensor, share: torch.Tensor, floor: torch.Tensor,
                  survey: _Survey) -> None:
        logit = self.beliefs.logits.gather(1, asked.unsqueeze(1)).squeeze(1).to(torch.float64)
        self.asked = asked
        self.p = torch.sigmoid(logit).clamp(P_FLOOR, 1 - P_FLOOR)
        self.q = (share * score + floor).squeeze(1)
        self.expected = survey.p_sums.sum(1)  # Σ p of the questions that may still be asked
        self.total = self._answered + self.expected

    def _close(self) -> None:
        """Bar the questions just asked from being asked again."""
        self._open.scatter_add_(1, (self.asked // BLOCK).unsqueeze(1), torch.full_like(self.q, -1).unsqueeze(1))
        if self._closed is not None:
            self._closed.scatter_(1, self.asked.unsqueeze(1), True)
        else:
            self.beliefs.logits.scatter_(1, self.asked.unsqueeze(1), -torch.inf)
        if self._frozen is not None:
            self._frozen.drop(self.asked, self.p if self._closed is None else torch.zeros_like(self.p))

    def _count(self, answers: torch.Tensor) -> None:
        """Answers enter the total, but where their predictions stay in it."""
        if self.sampling == "without":
            self._answered += answers.to(torch.float64)


def _inverse_cdf(q: torch.Tensor, target: torch.Tensor,
                 before: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(index, mass before it): the entry of q (rows, n) in which `target` − `before` falls.

    Rounding may put the target just outside; it is moved back in, so that an entry with q = 0 is never chosen.
    """
    cumulative = q.cumsum(1)
    inside = target if before is None else (target - before).clamp_min(0)
    inside = torch.minimum(inside, cumulative[:, -1] * (1 - 1e-12)).unsqueeze(1)
    index = (cumulative <= inside).sum(1, keepdim=True)
    return index.squeeze(1), (cumulative.gather(1, index) - q.gather(1, index)).squeeze(1)


# --- whole evaluations ---------------------------------------------------------------------------------

class _Recorder:
    """A querier with everything its steps read and write laid out on its device beforehand, so that a step needs
    nothing from the host: on CUDA it is recorded once as a graph and replayed."""

    def __init__(self, querier: Querier, steps: int):
        self.querier, self.device = querier, querier.bank.V.device
        self.record = torch.empty(len(Trace._fields), steps, querier.rows, dtype=torch.float64, device=self.device)
        self.steps, self.at = steps, torch.zeros(1, dtype=torch.int64, device=self.device)

    def move(self, array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        """(rows, steps) → (steps, rows) on the device."""
        return torch.as_tensor(np.ascontiguousarray(array.T), dtype=dtype, device=self.device)

    def now(self, table: torch.Tensor) -> torch.Tensor:
        """The row (rows,) of a (steps, rows) table that belongs to this step."""
        return table.index_select(0, self.at).squeeze(0)

    def note(self, answers: torch.Tensor) -> None:
        """Write the step down and learn from it."""
        q = self.querier
        step = torch.stack([q.asked.to(torch.float64), answers.to(torch.float64), q.q, q.p, q.total])
        self.record.index_copy_(1, self.at, step.unsqueeze(1))
        q.tell(answers)
        self.at += 1

    def repeat(self, step: Callable[[], None]) -> Trace:
        if self.device.type == "cuda" and self.querier.every_step_alike:
            self._replay_graphs(step)
        else:
            for _ in range(self.steps):
                step()
        asked, *others = self.record.transpose(1, 2).cpu().numpy()
        return Trace(asked.astype(np.int64), *others)

    def _replay_graphs(self, step: Callable[[], None]) -> None:
        """One CUDA graph per phase (exploring, then not): no launch overhead, no synchronisation."""
        querier, graph, phase = self.querier, None, None
        for _ in range(self.steps):
            if querier.exploring != phase:
                # The first step of a phase runs eagerly: it warms the kernels up, on the capture's own stream.
                graph, phase = None, querier.exploring
                stream = torch.cuda.Stream()
                stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(stream):
                    step()
                torch.cuda.current_stream().wait_stream(stream)
                continue
            if graph is None:
                graph, taken = torch.cuda.CUDAGraph(), querier.steps_taken
                with torch.cuda.graph(graph):
                    step()
                querier.steps_taken = taken  # capturing executes nothing
            graph.replay()
            querier.steps_taken += 1
            if querier.steps_taken % REFRESH_EVERY == 0:
                querier.beliefs.refresh()


def run(querier: Querier, uniforms: np.ndarray, scores: np.ndarray) -> Trace:
    """Evaluate rows whose answers are all known: draw, look the answer up, learn, T times.

    uniforms  (rows, T) in [0, 1), one number a draw
    scores    (rows, N) each row's complete scores
    """
    recorder = _Recorder(querier, uniforms.shape[1])
    draws = recorder.move(uniforms, torch.float64)
    known = torch.as_tensor(scores, device=recorder.device)

    def step() -> None:
        asked = querier.ask(recorder.now(draws))
        recorder.note(known.gather(1, asked.unsqueeze(1)).squeeze(1))

    return recorder.repeat(step)


def evaluate(bank: Bank, prior: Prior, settings: Sequence[Setting], uniforms: np.ndarray, scores: np.ndarray,
             sampling: str = "with", policy: str = "faq", budget: int | None = None,
             passes: Passes | None = None, batch: int = 1, known: np.ndarray | None = None) -> Trace:
    """`run` for any number of rows: split into parts that fit the caches, one part per core at a time.

    settings (rows,), uniforms (rows, T), scores (rows, N). Rows do not interact, so the split changes nothing.
    budget  what the schedules are stretched over, where that is more than the steps taken
    passes  by default whatever pays
    known   (rows, N) logits of an oracle
    """
    rows, steps = uniforms.shape
    device = bank.V.device.type

    def part(chosen: slice) -> Trace:
        querier = Querier(bank, prior, list(settings[chosen]), budget or steps, sampling, policy, chosen_passes, batch,
                          None if known is None else torch.as_tensor(known[chosen]))
        return run(querier, uniforms[chosen], scores[chosen])

    chosen_passes = passes or Passes.side_by_side(rows * bank.V.shape[0] * steps, device)
    parts = _parts(rows, bank.V.shape[0], torch.get_num_threads(), device, chosen_passes.compiled)
    traces = list(side_by_side(part, parts, device))
    return Trace(*(np.concatenate(columns) for columns in zip(*traces, strict=True)))


# Floats of logits per part: plain passes want their temporaries in the cache, compiled ones have none; on CUDA
# a part must only leave room for a handful of such arrays.
_CELLS_AT_ONCE = {("cpu", False): 1 << 20, ("cpu", True): 1 << 22, ("cuda", False): 1 << 28, ("cuda", True): 1 << 29}


def _parts(rows: int, questions: int, threads: int, device: str, compiled: bool) -> list[slice]:
    """Slices of nearly equal length, on the CPU as many as a multiple of the threads where that is possible."""
    most = max(1, _CELLS_AT_ONCE[device, compiled] // questions)
    count = -(-rows // most)
    if device == "cpu":
        count = -(-count // threads) * threads
    return even_slices(rows, count)


def group_totals(querier: Querier, asked: np.ndarray, answers: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """What `Trace.total` is within subsets of the bank, for finished evaluations without replacement.

    groups (N, G) bool; arguments as for `replay`. Returns (rows, T, G): Σ_{j∈G} of the answers known before each
    step and of the predictions of the others.
    """
    member = torch.zeros(querier.bank.V.shape[0], groups.shape[1], dtype=torch.float64, device=querier.bank.V.device)
    member[: len(groups)] = torch.as_tensor(groups.astype(np.float64))
    known = np.cumsum(answers[:, :, None] * groups[asked], 1) - answers[:, :, None] * groups[asked]
    expected = np.empty_like(known)
    for step in range(asked.shape[1]):
        expected[:, step] = (querier.beliefs.p.to(torch.float64) @ member).cpu().numpy()
        querier.look(torch.as_tensor(asked[:, step], device=member.device))
        querier.tell(torch.as_tensor(answers[:, step], device=member.device))
    return known + expected


def replay(querier: Querier, asked: np.ndarray, answers: np.ndarray) -> Trace:
    """Recompute q, p and the totals of finished evaluations from the questions asked and their answers.

    asked (rows, T) int, answers (rows, T) in [0, 1]. The querier must be a fresh one with the evaluation's
    own bank, prior and settings; its `beliefs` are afterwards the posterior.
    """
    recorder = _Recorder(querier, asked.shape[1])
    questions, given = recorder.move(asked, torch.int64), recorder.move(answers, torch.float64)

    def step() -> None:
        querier.look(recorder.now(questions))
        recorder.note(recorder.now(given))

    return recorder.repeat(step)
