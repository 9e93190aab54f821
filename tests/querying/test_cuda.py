"""The same on a CUDA device: the golden replays, a trial one question at a time and one in rounds, and a fit.

Skipped where there is none: `python -m pytest -m cuda`.
"""

import numpy as np
import pytest
import torch

from llm_accuracy.querying import factors
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.estimates import published
from llm_accuracy.querying.evaluation import evaluate, evaluate_in_rounds, kinds_of, replay
from llm_accuracy.querying.factors import PROTOCOLS, Fit, Prior
from llm_accuracy.querying.policies import GrowingRounds
from llm_accuracy.querying.querier import Querier
from llm_accuracy.querying.round_estimates import estimate
from llm_accuracy.querying.setting import Setting
from llm_accuracy.randomness import stream

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]

MODELS, QUESTIONS, RANK, STEPS = 12, 500, 6, 60


@pytest.fixture(scope="module")
def board():
    """U and V of a small board and what its newest models answer."""
    rng = np.random.default_rng(3)
    U, V = rng.standard_normal((80, RANK)), rng.standard_normal((QUESTIONS, RANK))
    new = rng.standard_normal((MODELS, RANK))
    return U, V, (rng.random((MODELS, QUESTIONS)) < 1 / (1 + np.exp(-new @ V.T))).astype(np.float32)


def prior_of(U):
    return Prior(U.mean(0), np.cov(U.T), U)


@pytest.mark.parametrize("case", [0, 1, 2])
def test_golden_replays(shared, case):
    golden = np.load(shared / "golden" / "faq_replay.npz")
    asked = golden[f"asked_{case}"]
    setting = Setting(*(round(float(value), 6) for value in golden[f"hyper_{case}"]))
    querier = Querier(Bank.of(golden["V"], "cuda", torch.float64), Prior(golden["mu0"], golden["sigma0"]),
                      [setting] * len(asked), asked.shape[1])
    trace = replay(querier, asked, np.take_along_axis(golden["scores"], asked.astype(int), 1))
    found = published(trace, len(golden["V"]))
    for ours, name in ((trace.q, "q"), (trace.p, "p"), (found.theta, "theta"), (found.se, "se")):
        reference = golden[f"{name}_{case}"]
        assert np.abs(ours - reference).max() <= 1e-5 * np.abs(reference).max()


@pytest.mark.parametrize("setting", [Setting(), Setting(0.5, 0.5, 0.25, 0.05)])
@pytest.mark.parametrize("sampling", ["with", "without"])
def test_what_a_trial_asked_is_replayed_on_the_cpu(board, setting, sampling):
    U, V, scores = board
    draws = np.random.default_rng(4).random((MODELS, STEPS))
    found = evaluate(Bank.of(V, "cuda", torch.float64), prior_of(U), [setting] * MODELS, draws, scores, sampling)
    querier = Querier(Bank.of(V, dtype=torch.float64), prior_of(U), [setting] * MODELS, STEPS, sampling)
    slow = replay(querier, found.asked, found.answers)
    for ours, reference in zip(found[2:], slow[2:], strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_growing_rounds_are_those_of_the_cpu(board, dtype):
    U, V, scores = board
    draws, plan = np.random.default_rng(5).random((MODELS, 12)), GrowingRounds()
    cpu, cuda = (evaluate_in_rounds(bank, prior_of(U), plan, 0.1, [20, STEPS], draws, scores,
                                    kinds_of(bank, prior_of(U), plan))
                 for bank in (Bank.of(V, device, dtype) for device in ("cpu", "cuda")))
    alike = (cpu.asked == cuda.asked).all(1)  # rounding may tip a draw, and all that follow it
    assert alike.mean() > (0.5 if dtype == torch.float32 else 0.9)
    np.testing.assert_allclose(estimate(cuda.rounds).theta[alike], estimate(cpu.rounds).theta[alike], rtol=1e-4)
    assert all(len(set(row)) == STEPS for row in cuda.asked.tolist())


def test_a_fit_is_that_of_the_cpu(board):
    scores = board[2].astype(np.int8)
    seen = np.random.default_rng(6).random(scores.shape) < 0.9
    losses = []
    for device in ("cpu", "cuda"):
        [(U, V)] = factors.fit(scores, [Fit(3, 4.0, stream("cuda"), seen)], PROTOCOLS["map"], device=device)
        losses.append(factors.loss_and_accuracy(scores, ~seen, U, V, device)[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
