"""Whole evaluations: many models whose answers are known, drawn and judged; finished ones, recomputed.

`evaluate` is the simulation, `replay` the audit of a finished evaluation, `group_totals` what sub-scores need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..parallel import even_slices, side_by_side
from .beliefs import Bank
from .designs import kinds_of_questions
from .factors import Prior
from .passes import Passes
from .policies import GrowingRounds, Policy
from .predictors import FactorPredictor
from .querier import REFRESH_EVERY, Querier
from .recalibration import Recalibrated
from .rounds import Rounds, RoundTrace, evaluate_rounds
from .setting import Setting
from .trace import Trace

WARM_UP = 3  # steps before a CUDA graph is captured


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
        querier, graph, phase, eager, stream = self.querier, None, None, 0, torch.cuda.Stream()
        for _ in range(self.steps):
            if querier.exploring != phase:
                graph, phase, eager = None, querier.exploring, WARM_UP
            if eager:
                # The first steps of a phase run eagerly: they warm the kernels up, on the capture's own stream.
                eager -= 1
                stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(stream):
                    step()
                torch.cuda.current_stream().wait_stream(stream)
                continue
            if graph is None:
                graph, taken = torch.cuda.CUDAGraph(), querier.steps_taken
                with torch.cuda.graph(graph, stream=stream):
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
             sampling: str = "with", policy: str | Policy = "faq", budget: int | None = None,
             passes: Passes | None = None, batch: int = 1, known: np.ndarray | None = None,
             together: int | None = None) -> Trace:
    """`run` for any number of rows: split into parts that fit the caches, one part per core at a time.

    settings (rows,), uniforms (rows, T), scores (rows, N). Rows do not interact, but the last digits of a row depend on
    how many it is computed with, and where it stands among them.
    together  rows of one part belong to one group of so many; parts depend on this and on N only, so that a group comes
              out the same to the last digit whatever other groups are evaluated beside it, by however many threads
              (by default all rows are one group)
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

    chosen_passes = passes or Passes.for_work(rows * bank.V.shape[0] * steps, device, bank.V.dtype)
    parts = _parts(rows, bank.V.shape[0], together, device, chosen_passes.compiled)
    traces = list(side_by_side(part, parts, device))
    return Trace(*(np.concatenate(columns) for columns in zip(*traces, strict=True)))


# Floats of logits per part: plain passes want their temporaries in the cache, compiled ones have none; on CUDA
# a part must only leave room for a handful of such arrays.
_CELLS_AT_ONCE = {("cpu", False): 1 << 18, ("cpu", True): 1 << 22, ("cuda", False): 1 << 28, ("cuda", True): 1 << 29}


def _parts(rows: int, questions: int, together: int | None, device: str, compiled: bool) -> list[slice]:
    """Slices of nearly equal length, on the CPU each within one group of `together` rows."""
    group = together if together and device == "cpu" else rows
    most = max(1, _CELLS_AT_ONCE[device, compiled] // questions)
    within = even_slices(group, -(-group // most))
    return [slice(start + part.start, start + part.stop) for start in range(0, rows, group) for part in within]


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


# --- in rounds -----------------------------------------------------------------------------------------

def kinds_of(bank: Bank, prior: Prior, plan: GrowingRounds) -> np.ndarray:
    """(N,) the kinds of a bank's questions that the rounds go through."""
    V = bank.V[: bank.n_questions].cpu().numpy().astype(np.float64)
    return kinds_of_questions(V, prior.covariance, plan.kinds)


def evaluate_in_rounds(bank: Bank, prior: Prior, plan: GrowingRounds, tau: float, budgets: Sequence[int],
                       uniforms: np.ndarray, scores: np.ndarray, strata: np.ndarray,
                       together: int | None = None) -> RoundTrace:
    """`rounds.evaluate_rounds` for any number of rows, with the history as the prior (a mixture), recalibrated by the
    answers, as a session's are: split into parts that fit the caches, one part per core at a time.

    uniforms (rows, ≥ rounds), scores (rows, N); budgets all at once, they share their first rounds; strata: `kinds_of`;
    together as for `evaluate`.
    """
    n_questions, device = bank.n_questions, bank.V.device.type

    def part(chosen: slice) -> RoundTrace:
        rows = len(scores[chosen])
        engine = Rounds(Recalibrated(FactorPredictor(bank, prior, rows)), rows, n_questions, tau, strata=strata,
                        device=bank.V.device)
        return evaluate_rounds(engine, budgets, plan.first, plan.growth, uniforms[chosen], scores[chosen])

    parts = _parts(len(scores), n_questions, together, device, False)
    return RoundTrace.together(list(side_by_side(part, parts, device)))
