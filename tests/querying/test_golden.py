"""Replays of runs of the published research code, every draw recorded; agreement within 1e-5 of the largest."""

import numpy as np
import pytest
import torch

from llm_accuracy.querying import walks
from llm_accuracy.querying.beliefs import Bank
from llm_accuracy.querying.estimates import published
from llm_accuracy.querying.evaluation import replay
from llm_accuracy.querying.factors import Prior
from llm_accuracy.querying.intervals import interval
from llm_accuracy.querying.querier import Querier
from llm_accuracy.querying.setting import Setting


def assert_close(ours, golden):
    assert np.abs(ours - golden).max() <= 1e-5 * np.abs(golden).max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", [0, 1, 2])
def test_faq(shared, case, dtype):
    golden = np.load(shared / "golden" / "faq_replay.npz")
    asked = golden[f"asked_{case}"]
    setting = Setting(*(round(float(value), 6) for value in golden[f"hyper_{case}"]))
    bank = Bank.of(golden["V"], dtype=dtype)
    querier = Querier(bank, Prior(golden["mu0"], golden["sigma0"]), [setting] * len(asked), asked.shape[1])
    trace = replay(querier, asked, np.take_along_axis(golden["scores"], asked.astype(int), 1))
    found = published(trace, len(golden["V"]))
    for ours, name in ((trace.q, "q"), (trace.p, "p"), (found.theta, "theta"), (found.se, "se"),
                       (querier.beliefs.u.numpy(), "u_final"), (querier.beliefs.sigma.numpy(), "sigma_final")):
        assert_close(ours, golden[f"{name}_{case}"])


@pytest.mark.parametrize("case", range(5))
def test_baselines(shared, case):
    golden = np.load(shared / "golden" / "baselines_replay.npz")
    policy, tau = str(golden["cases"][case]).split("|")
    one = walks.Walk(policy, int(golden["budget"]), 0.0 if policy == "unif" else float(tau))
    found = walks.walk(golden["scores"], golden["phat"].astype(float), [one],
                       coins=golden[f"asked_{case}"][:, None], record=True)
    assert_close(found.pi[:, 0], golden[f"pi_{case}"])
    for i, prediction in enumerate(("zero", "mean")):
        assert_close(found.theta[i, :, 0], golden[f"theta_{prediction}_{case}"])
        assert_close(found.se[i, :, 0], golden[f"se_{prediction}_{case}"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", [0, 1])
def test_active_inference_with_factors(shared, case, dtype):
    golden = np.load(shared / "golden" / "active_inference_replay.npz")
    one = walks.Walk("factors", int(golden["budget"]), float(golden[f"tau_{case}"]))
    found = walks.factor_walk(golden["scores"], Bank.of(golden["V"], dtype=dtype),
                              Prior(golden["mu0"], golden["sigma0"]), [one],
                              coins=golden[f"asked_{case}"][:, None], record=True)
    assert_close(found.pi[:, 0], golden[f"pi_{case}"])
    band = interval(found.theta[0, :, 0], found.se[0, :, 0], 0.05)
    ours = [found.labels.mean(), band.width.mean(), band.covers(golden["scores"].mean(1)).mean()]
    assert_close(np.array(ours), golden[f"mean_labels_width_coverage_{case}"])
