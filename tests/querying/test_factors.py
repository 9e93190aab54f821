"""Fitting the factor model, and choosing its rank and weight decay."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from llm_accuracy.errors import InputError
from llm_accuracy.querying import factors
from llm_accuracy.querying.factors import PROTOCOLS, Factors, Fit, entry_folds, fit, history_mean, one_standard_error
from llm_accuracy.randomness import stream


def board(seed=0, models=20, questions=40, rank=2):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(models, rank)) @ rng.normal(size=(rank, questions)) * 1.5
    return (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.int8), rng


def autograd_fit(scores, seen, rank, decay, rng, epochs):
    """The protocol written naively: autograd, masked indexing, one fit."""
    U = torch.tensor(rng.standard_normal((scores.shape[0], rank), dtype=np.float32), requires_grad=True)
    V = torch.tensor(rng.standard_normal((scores.shape[1], rank), dtype=np.float32), requires_grad=True)
    optimizer = torch.optim.AdamW([U, V], lr=1e-2, weight_decay=decay)
    z, mask = torch.tensor(scores, dtype=torch.float32), torch.tensor(seen)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits((U @ V.T)[mask], z[mask]).backward()
        optimizer.step()
    return U.detach().numpy(), V.detach().numpy()


def test_batched_fits_follow_the_naive_protocol():
    scores, rng = board()
    masks = [rng.random(scores.shape) < share for share in (0.8, 0.5, 1.1)]
    fits = [Fit(3, decay, stream("a", i), seen) for i, (decay, seen) in enumerate(zip((0.1, 1.0, 1e-4), masks,
                                                                                     strict=True))]
    for i, (U, V) in enumerate(fit(scores, fits, PROTOCOLS["adamw"], 60)):
        u, v = autograd_fit(scores, masks[i], 3, (0.1, 1.0, 1e-4)[i], stream("a", i), 60)
        np.testing.assert_allclose(U @ V.T, u @ v.T, atol=2e-3)


def test_map_finds_the_maximum_of_the_posterior():
    """The gradient of the penalised loss all but vanishes, and the loss is that of L-BFGS in float64."""
    from scipy.optimize import minimize

    scores, rng = board()
    seen = rng.random(scores.shape) < 0.8

    def objective(flat):
        U, V = flat[:40].reshape(20, 2), flat[40:].reshape(40, 2)
        logits = U @ V.T
        residual = (1 / (1 + np.exp(-logits)) - scores) * seen
        loss = ((np.logaddexp(0, logits) - scores * logits) * seen).sum() + 0.5 * (flat**2).sum()
        return loss, np.concatenate([(residual @ V + U).ravel(), (residual.T @ U + V).ravel()])

    ours = max(objective(np.concatenate([U.ravel(), V.ravel()]).astype(float))[0] for protocol in ("map", "bound")
               for U, V in fit(scores, [Fit(2, 1.0, stream("m"), seen)], PROTOCOLS[protocol], 400))
    starts = [minimize(objective, rng.normal(size=120), jac=True, method="L-BFGS-B").fun for _ in range(5)]
    assert ours <= min(starts) * (1 + 1e-3)


@pytest.mark.parametrize("decay", [0.0, 0.5, 20.0])
def test_no_step_of_the_bound_raises_the_objective(decay):
    scores, rng = board(models=30, questions=60, rank=3)
    seen = rng.random(scores.shape) < 0.6
    values = []
    for epochs in range(1, 25):
        [(U, V)] = fit(scores, [Fit(4, decay, stream("steps"), seen)], PROTOCOLS["bound"], epochs)
        logits = U.astype(float) @ V.T.astype(float)
        penalty = decay / 2 * ((U**2).sum() + (V**2).sum())
        values.append((np.logaddexp(0, logits) - scores * logits)[seen].sum() + penalty)
    assert (np.diff(values) <= 1e-6 * values[0]).all() and values[-1] < 0.99 * values[0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("share", [0.8, 1.1])
def test_a_fit_in_blocks_is_the_same_by_any_number_of_threads(monkeypatch, protocol, share):
    """And that of all questions at once, but for float32's last digits; what is not seen may be NaN."""
    scores, rng = board(models=40, questions=500, rank=3)
    seen = rng.random(scores.shape) < share
    known = np.where(seen, scores, np.nan).astype(np.float32)

    def fitted():
        return fit(known, [Fit(3, 1.0, stream("blocks"), seen)], PROTOCOLS[protocol], 40)[0]

    whole = fitted()
    monkeypatch.setattr(factors, "THREADS_PAY_FROM", 0)
    monkeypatch.setattr(factors, "CELLS_IN_BLOCK", 40 * 97)
    before, blocks = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            blocks.append(fitted())
    finally:
        torch.set_num_threads(before)
    for parts in zip(*blocks, strict=True):
        assert all((part == parts[0]).all() for part in parts)
    np.testing.assert_allclose(blocks[0][0] @ blocks[0][1].T, whole[0] @ whole[1].T, atol=2e-3)


def test_missing_entries_do_not_matter():
    scores, rng = board()
    seen = rng.random(scores.shape) < 0.5
    other = np.where(seen, scores, -1).astype(np.int8)
    one, two = (fit(s, [Fit(2, 0.1, stream("b"), seen)], PROTOCOLS["adamw"], 30)[0][0] for s in (scores, other))
    assert (one == two).all()


def test_nothing_observed_decays_to_the_prior_of_ignorance():
    scores, _ = board()
    [(U, V)] = fit(scores, [Fit(2, 10.0, stream("c"), np.zeros(scores.shape, bool))], PROTOCOLS["adamw"], 300)
    assert np.abs(U @ V.T).max() < 1e-6 and np.isfinite(U).all()


def test_loss_and_accuracy():
    scores, rng = board(models=300)
    U, V = rng.normal(size=(300, 2)).astype(np.float32), rng.normal(size=(40, 2)).astype(np.float32)
    seen = rng.random(scores.shape) < 0.7
    p = 1 / (1 + np.exp(-(U.astype(float) @ V.T)))
    likelihood = np.where(scores == 1, p, 1 - p)[seen]
    loss, accuracy = factors.loss_and_accuracy(scores, seen, U, V)
    assert loss == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)
    assert accuracy == pytest.approx((likelihood >= 0.5).mean())
    assert np.isnan(factors.loss_and_accuracy(scores, np.zeros_like(seen), U, V)).all()


def test_folds_deal_every_observed_entry_once():
    observed = np.random.default_rng(0).random((30, 50)) < 0.3
    folds = entry_folds(observed, 5, np.random.default_rng(1))
    assert ((folds >= 0) == observed).all()
    sizes = np.bincount(folds[observed], minlength=5)
    assert sizes.max() - sizes.min() <= 1


def test_history_mean_imputes_unseen_questions():
    scores = np.array([[1, 0, -1], [1, 1, -1]], np.int8)
    np.testing.assert_allclose(history_mean(scores, scores >= 0), [1, 0.5, 0.75])
    assert (history_mean(scores, np.zeros(scores.shape, bool)) == 0.5).all()


def test_prior_is_the_mean_and_sample_covariance():
    U = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    prior = Factors(U, U, np.array([]), np.array([])).prior
    np.testing.assert_allclose(prior.mean, U.mean(0), rtol=1e-5)
    np.testing.assert_allclose(prior.covariance, np.cov(U.T), rtol=1e-5)
    assert Factors(U[:, :1], U, np.array([]), np.array([])).prior.covariance.shape == (1, 1)


def test_saved_models_come_back_and_torn_ones_are_refused(tmp_path):
    path = tmp_path / "m" / "final.npz"
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c"])
    saved = Factors(rng.normal(size=(4, 2)), rng.normal(size=(3, 2)), names, rng.random(3), {"x": 1})
    saved.save(path)
    again = Factors.load(path, "factor_models_final.py")
    assert (again.V == saved.V).all() and again.about == {"x": 1}
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"not a complete factor model.*factor_models_final"):
            Factors.load(path, "factor_models_final.py")
    with pytest.raises(InputError, match=r"no such file; python factor_models_final\.py makes it"):
        Factors.load(tmp_path / "absent.npz", "factor_models_final.py")


# --- the one-standard-error rule -----------------------------------------------------------------------

def cv_table(rows):
    return pd.DataFrame([{"dataset": "d", "scenario": "s", "rank": rank, "weight_decay": decay, "fold": fold,
                          "train_loss": 0.0, "val_loss": 0.0, "train_acc": 1.0, "val_acc": accuracy}
                         for rank, decay, accuracies in rows for fold, accuracy in enumerate(accuracies)])


def test_one_standard_error_prefers_the_simplest_that_is_as_good():
    table = cv_table([(32, "0.1", (0.80, 0.82)), (16, "0.1", (0.805, 0.806)), (16, "1.0", (0.806, 0.805)),
                      (8, "1.0", (0.70, 0.71))])
    chosen = one_standard_error(table).iloc[0]
    assert (chosen["rank"], chosen["weight_decay"]) == (16, "1.0")


def test_the_criterion_can_be_the_loss():
    table = cv_table([(8, "1.0", (0.8, 0.8)), (1, "10.0", (0.8, 0.8))])
    assert one_standard_error(table).iloc[0]["rank"] == 1
    table.loc[table["rank"] == 1, "val_loss"] = 0.69
    assert one_standard_error(table, "loss").iloc[0]["rank"] == 8


def test_without_a_single_validation_entry_the_simplest_is_chosen():
    nothing = (np.nan, np.nan)
    chosen = one_standard_error(cv_table([(2, "0.1", nothing), (1, "0.1", nothing), (1, "10.0", nothing)])).iloc[0]
    assert (chosen["rank"], chosen["weight_decay"]) == (1, "10.0")


def test_selects_the_published_settings_from_the_published_log(shared):
    """All 16 of them (2 datasets, 8 scenarios)."""

    def read(name):
        table = pd.read_csv(shared / "paper" / name).rename(columns={"K": "rank", "lmbda": "weight_decay",
                                                                     "split": "fold"})
        return table.assign(scenario=table["n_full_obs"].fillna(-1).map(str) + table["mcar_obs_prob"].map(str))

    chosen = one_standard_error(read("factor_model_cv_logs.csv")).set_index(["dataset", "scenario"])
    published = read("factor_model_selected_settings.csv").set_index(["dataset", "scenario"])
    assert len(published) == 16
    for cell, row in published.iterrows():
        assert (chosen.loc[cell, "rank"], chosen.loc[cell, "weight_decay"]) == (row["rank"], row["weight_decay"])


def test_factors_of_a_table_are_those_of_its_numbers():
    rng = np.random.default_rng(21)
    z = (rng.random((12, 30)) < 0.5).astype(float)
    z[2, 5] = np.nan
    table = pd.DataFrame(z, [f"m{i}" for i in range(12)], [f"t/{j}" for j in range(30)])
    made, plain = Factors.fit(table, 2, 4.0), Factors.fit(z, 2, 4.0)
    np.testing.assert_array_equal(made.V, plain.V)
    assert made.questions[3] == "t/3" and plain.questions[3] == "q3"
    assert repr(made) == "Factors(12 models × 30 questions, rank 2)" and made.about["protocol"] == "map"
    np.testing.assert_allclose(made.history_mean[5], np.nanmean(z[:, 5]), rtol=1e-6)


@pytest.mark.parametrize("settings, words", [
    ((13, 1.0), "rank 13: a history of 12 models"), ((0, 1.0), "rank 0"), ((2, float("nan")), "weight decay nan"),
    ((2, -1.0), "weight decay -1"), ((2, 1.0, "sgd"), "protocol 'sgd': there are adamw, map"),
    ((1.5, 1.0), "rank 1.5: a whole number"), (("2", 1.0), "rank '2'"), ((None, 1.0), "rank None"),
    ((True, 1.0), "rank True"),
    ((2, "1"), "weight decay '1': a finite number"), ((2, True), "weight decay True"), ((2, 1j), "weight decay"),
    ((2, 1.0, "map", 0), "epochs 0: a whole number of 1"), ((2, 1.0, "map", -1), "epochs -1"),
    ((2, 1.0, "map", 1.5), "epochs 1.5"), ((2, 1.0, "map", 2, -1), "seed -1"), ((2, 1.0, "map", 2, None), "seed None")])
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        Factors.fit(np.zeros((12, 3)), *settings)


@pytest.mark.parametrize("scores, words", [
    (np.zeros(3), r"shape \(3,\): models x questions"), (np.zeros((1, 2, 3)), "models x questions")])
def test_scores_that_cannot_be_are_refused(scores, words):
    with pytest.raises(InputError, match=words):
        Factors.fit(scores, 1, 1.0)


def test_a_fit_starts_without_the_compiler():
    """PyTorch's optimiser classes import it, .8 s of every process that fits."""
    code = ("import sys; import numpy as np; from llm_accuracy.querying.factors import Factors; "
            "Factors.fit(np.eye(4), 1, 1.0, epochs=2); sys.exit('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
