"""Factorized Active Querying: one engine for every drawing policy, with or without replacement, for one model
or thousands, live or replayed.

A *row* is one evaluation: one new model under one setting and one stream of draws. All rows advance together,
one question each per step. What a row believes, and how it learns, is in `beliefs`; the scores that a policy derives
from that are in `policies` and `surveys`; whole evaluations are in `evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import InputError
from .beliefs import Bank, Beliefs, KnownBeliefs, Past
from .factors import Prior
from .passes import BLOCK, P_FLOOR, Passes
from .policies import Policy, named
from .scorings import Moment
from .setting import Setting
from .surveys import Survey, blocks, survey_exploring, survey_oracle, survey_stored
from .trace import Step

REFRESH_EVERY = 256  # steps after which the logits are recomputed from u, against float32 drift


class Schedule:
    """The rows' settings as functions of the step, as tensors (rows, 1)."""

    def __init__(self, settings: Sequence[Setting], budget: int, learns: bool, like: torch.Tensor):
        self.budget = budget
        self.beta0, self.rho, self.gamma, self.tau = (
            torch.tensor([[getattr(setting, name)] for setting in settings], dtype=like.dtype, device=like.device)
            for name in ("beta0", "rho", "gamma", "tau"))
        self.plain = all(setting.beta0 == 1 and setting.gamma == 0 for setting in settings)
        self.exploring_steps = -(-max(setting.rho for setting in settings) * budget // 1) if learns else 0
        # The step counter lives on the device too, so that a recorded CUDA graph can advance it.
        self._at = torch.zeros(1, dtype=like.dtype, device=like.device)

    def advance(self) -> None:
        self._at += 1

    def moment(self, exploring: bool) -> Moment:
        """α_s and β_s of this step."""
        at = self._at / self.budget
        tiny = torch.finfo(at.dtype).tiny
        alpha = torch.where(self.rho > 0, 1 - at / self.rho.clamp_min(tiny), 0.0).clamp_min(0)
        beta = self.beta0 * torch.where(self.gamma > 0, at / self.gamma.clamp_min(tiny), 1.0).clamp_max(1)
        return Moment(alpha, beta, exploring)


class Querier:
    """Many evaluations side by side: `ask` draws a question for every row, `tell` takes the answers.

    bank, prior  the questions' factors, and what is believed about a model that has answered nothing
    settings     one per row
    budget       T, the number of steps that the schedules α_s and β_s extend over
    sampling     "with" replacement (the paper), "without", or "naive-without": asked questions are not drawn
                 again but their predictions stay in the total (the published ablation)
    policy       a record in policies.POLICIES, or its name
    batch        B: the scores stay unchanged for B questions, then all B answers are learned from
    passes       compiled or plain; by default whichever is faster for `budget` steps
    known        (rows, N) logits of an oracle, which learns nothing; None for everyone else

    After `ask` (or `look`) the attributes asked, q, p and total (rows,) describe the step, see `Trace`.

    Where answers take time, use `ask_batch` instead: its steps have numbers, `step` returns what was asked at each, and
    `answer` takes the answers of a step, in any order; once none is outstanding, the querier learns.

    Raises InputError for an unknown policy or way of sampling.
    """

    def __init__(self, bank: Bank, prior: Prior, settings: list[Setting], budget: int,
                 sampling: str = "with", policy: str | Policy = "faq", passes: Passes | None = None, batch: int = 1,
                 known: torch.Tensor | None = None):
        self.policy = named(policy)
        self.policy.check(sampling)
        if (known is not None) != (self.policy.knows is not None):
            raise InputError(f"policy {self.policy.name!r}: an oracle, and only an oracle, must be given what it knows")
        if sampling != "with" and budget > bank.n_questions:
            raise InputError(f"{budget} draws without replacement from {bank.n_questions} questions")
        self.bank, self.budget, self.sampling, self.rows = bank, budget, sampling, len(settings)
        passes = passes or Passes.for_work(self.rows * bank.V.shape[0] * budget, bank.V.device.type, bank.V.dtype)
        learns = known is None
        self.schedule = Schedule(settings, budget, learns, bank.V)
        self.batch = batch if learns else 1
        self._scores = self.policy.function("scores")
        self._stores_scores = not self.policy.streamed or sampling == "naive-without"
        keep_variance = self._stores_scores or self.schedule.exploring_steps > 0
        believe = self.policy.function("believe")
        self.beliefs: Beliefs = (believe(bank, prior, self.rows, keep_variance, passes) if learns
                                 else KnownBeliefs(bank, known, passes))
        self._open = torch.full((self.rows, bank.V.shape[0] // BLOCK), BLOCK, dtype=torch.float64,
                                device=bank.V.device)
        self._open[:, -1] -= bank.V.shape[0] - bank.n_questions
        self._tau = self.schedule.tau.to(torch.float64)
        self._row = torch.arange(self.rows, device=bank.V.device)
        self._answered = torch.zeros(self.rows, dtype=torch.float64, device=bank.V.device)
        # Only the naive variant must tell "asked" from "certain": elsewhere the logit −∞ says both.
        self._closed = torch.isneginf(self.beliefs.logits) if sampling == "naive-without" else None
        self.steps_taken = 0
        self._frozen: Survey | None = None  # the scores, while nothing is learned
        self._past = None if self.beliefs.stepwise and self.batch == 1 else Past(bank, self.rows, budget)
        self._asked_steps: dict[int, Step] = {}  # by `ask_batch`
        self._outstanding: set[int] = set()

    # Whole rounds: ask_batch, then an answer for each of its steps.

    def ask_batch(self, uniforms: torch.Tensor) -> range:
        """Draw a round of questions from the current scores, with one uniform number each, (rows, n); returns the
        numbers of their steps.

        Raises InputError while answers are outstanding, or for more questions than the budget.
        """
        if self._outstanding:
            raise InputError(f"{len(self._outstanding)} questions asked are not answered yet")
        if self.steps_taken + uniforms.shape[1] > self.budget:
            raise InputError(f"{self.steps_taken + uniforms.shape[1]} questions; the budget is {self.budget}")
        past, first = self._keep_past(), self.steps_taken
        for uniform in uniforms.T:
            self.ask(uniform)
            number = self._put_aside(past)
            self._asked_steps[number] = Step(self.asked, self.q, self.p, self.expected)
            self._outstanding.add(number)
        return range(first, self.steps_taken)

    def step(self, number: int) -> Step:
        """What `ask_batch` asked at a step."""
        return self._asked_steps[number]

    def answer(self, step: int, answers: torch.Tensor) -> None:
        """Take the answers (rows,) to the questions of a step, in any order; after the last of a round it learns.

        Raises InputError for a step whose answers are not outstanding.
        """
        if step not in self._outstanding:
            raise InputError(f"step {step}: no question of it is waiting for an answer")
        past = self._keep_past()
        self._hear(past, step, answers)
        self._outstanding.discard(step)
        if not self._outstanding:
            self._learn(past)

    def _keep_past(self) -> Past:
        """The record of questions and answers, begun now if there is none, for learning that needs them again."""
        if self._past is None:
            self._past = Past(self.bank, self.rows, self.budget, learned=self.steps_taken)
        return self._past

    def _put_aside(self, past: Past) -> int:
        """Close the questions just asked, whose answers are still to come; returns the number of the step."""
        if self.sampling != "with":
            self._close()
        past.asked[:, self.steps_taken] = self.asked
        self.steps_taken += 1
        return self.steps_taken - 1

    def _hear(self, past: Past, step: int, answers: torch.Tensor) -> None:
        past.answers[:, step] = answers
        self._count(answers)

    def _learn(self, past: Past) -> None:
        if self.beliefs.ripe(self.steps_taken):
            self._frozen = None
            self.beliefs.learn(past, self.steps_taken)

    # One step is ask (or look, when the questions are given) and then tell.

    def ask(self, uniform: torch.Tensor) -> torch.Tensor:
        """Draw a question for every row by inverse CDF from one uniform number each, (rows,) → (rows,)."""
        survey, target = self._survey_once(), uniform.to(torch.float64)
        loops = self.beliefs.passes.loops
        if loops is not None and survey.scoring is not None:
            self.asked, self.q, self.p, self.expected = loops.draw(
                survey.scoring, survey.sums, survey.p_sums, self._open, self._tau, target.contiguous())
            self.total = self._answered + self.expected
            return self.asked
        share, floor = self._mixture(survey.sums)
        block, before = _inverse_cdf(share * survey.sums + floor * self._open, target)
        inside = survey.inside(block).to(torch.float64)
        offset, _ = _inverse_cdf(share * inside + floor * self._is_open(block), target, before)
        self._remember(block * BLOCK + offset, inside.gather(1, offset.unsqueeze(1)), share, floor, survey)
        return self.asked

    def look(self, asked: torch.Tensor) -> None:
        """Use the given questions instead of drawing them, to audit a finished evaluation."""
        survey = self._survey_once()
        share, floor = self._mixture(survey.sums)
        inside = survey.inside(asked // BLOCK).to(torch.float64)
        self._remember(asked, inside.gather(1, (asked % BLOCK).unsqueeze(1)), share, floor, survey)

    def tell(self, answers: torch.Tensor) -> None:
        """Take the answers (rows,) to the questions of the last `ask` or `look`."""
        if self._past is not None:
            self._hear(self._past, self._put_aside(self._past), answers)
            if self.steps_taken % self.batch == 0:
                self._learn(self._past)
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
    def every_step_alike(self) -> bool:
        """Whether a step can be recorded once and replayed; it cannot if learning happens only occasionally."""
        return self._past is None

    def _capturing(self) -> bool:
        """Whether a CUDA graph is being recorded: occasional work must not become part of it."""
        return self.bank.V.is_cuda and torch.cuda.is_current_stream_capturing()

    @property
    def exploring(self) -> bool:
        """Whether some α_s may be positive at the next step."""
        return self.steps_taken < self.schedule.exploring_steps

    def _survey_once(self) -> Survey:
        """The current scores; they stay the same, without the questions asked since, until something is learned."""
        self.schedule.advance()
        if self._past is None:
            return self._survey()
        if self._frozen is None:
            self._frozen = self._survey()
        return self._frozen

    def _survey(self) -> Survey:
        if self._stores_scores:
            scores = self._scores(self.beliefs, self.schedule.moment(self.exploring))
            return survey_stored(scores.masked_fill(self.closed, 0), self.beliefs, self._row)
        plain = self.schedule.plain
        if self.exploring:
            alpha, beta, _ = self.schedule.moment(True)
            return survey_exploring(self.beliefs, alpha, None if plain else beta, self._row)
        self.beliefs.variance = None  # α_s stays 0 from here on
        return survey_oracle(self.beliefs, None if plain else self.schedule.moment(False).beta, self._row)

    @property
    def closed(self) -> torch.Tensor:
        """(rows, N) bool, True where a question may not be asked again."""
        return torch.isneginf(self.beliefs.logits) if self._closed is None else self._closed

    def _mixture(self, sums: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """q = share · h + floor over the open questions: (1−τ)/Σh and τ/n_t, both (rows, 1)."""
        total = sums.sum(1, keepdim=True)
        tau = torch.where(total > 0, self._tau, 1.0)
        return (1 - tau) / total.clamp_min(torch.finfo(torch.float64).tiny), tau / self._open.sum(1, keepdim=True)

    def _is_open(self, block: torch.Tensor) -> torch.Tensor:
        """(rows, BLOCK) 1.0 where a question of each row's block may be asked."""
        if self._closed is not None:
            return (~blocks(self._closed)[self._row, block]).to(torch.float64)
        return (blocks(self.beliefs.logits)[self._row, block] > -torch.inf).to(torch.float64)

    def _remember(self, asked: torch.Tensor, score: torch.Tensor, share: torch.Tensor, floor: torch.Tensor,
                  survey: Survey) -> None:
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
        """Add answers to the total, except where their predictions stay in it."""
        if self.sampling == "without":
            self._answered += answers.to(torch.float64)


def _inverse_cdf(q: torch.Tensor, target: torch.Tensor,
                 before: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """(index, mass before it): the entry of q (rows, n) into which `target` − `before` falls.

    Rounding may put the target just outside; it is moved back, so that an entry with q = 0 is never chosen.
    """
    cumulative = q.cumsum(1)
    inside = target if before is None else (target - before).clamp_min(0)
    inside = torch.minimum(inside, cumulative[:, -1] * (1 - 1e-12)).unsqueeze(1)
    index = (cumulative <= inside).sum(1, keepdim=True)
    return index.squeeze(1), (cumulative.gather(1, index) - q.gather(1, index)).squeeze(1)
