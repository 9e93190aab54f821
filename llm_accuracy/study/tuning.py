"""What is chosen from the logs of validation: FAQ's setting per dataset, scenario and budget, and the factor model per
dataset and scenario."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..querying.setting import DEFAULT_SETTING, Setting
from ..scores.scenario import Scenario
from . import ledger
from .columns import CHOSEN_FACTORS, CHOSEN_SETTINGS, SELECT_BY
from .grids import TIERS, Cell

_CELL = ["dataset", "scenario", "sampling", "budget"]


def best_settings(log: pd.DataFrame, select_by: str) -> pd.DataFrame:
    """The setting with the smallest mean of the criterion over seeds, one row per (dataset, scenario, sampling,
    budget).

    select_by  "variance": mean squared standard error with the unbiased variance. "published-width": mean width
               as published, which rewards variances estimated at or below zero; only to reproduce the paper.
    """
    column = SELECT_BY[select_by]
    values = log.assign(criterion=pd.to_numeric(log[column], errors="coerce")).dropna(subset="criterion")
    means = values.groupby([*_CELL, "share", "setting"], as_index=False)["criterion"].mean()
    return means.loc[means.groupby(_CELL)["criterion"].idxmin()].reset_index(drop=True)


def of_method(log: pd.DataFrame, policy: str, sampling: str, batch: int = 1) -> pd.DataFrame:
    """The rows of a validation log that a method is tuned by."""
    return log[(log["method"] == policy) & (log["sampling"] == sampling) & (log["batch"] == batch)]


def of_cell(log: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    return log[(log["dataset"] == cell.dataset) & (log["scenario"] == cell.scenario)]


class Tuned:
    """A policy's chosen settings for one way of sampling; where nothing was tuned, the default setting."""

    def __init__(self, path: Path, select_by: str, sampling: str, policy: str = "faq"):
        self.path = path
        self.log = self.table = None
        if path.exists():
            self.log = of_method(ledger.read(path, "faq_val.py"), policy, sampling)
            self.table = best_settings(self.log, select_by)

    def rows_of(self, cell: Cell) -> pd.DataFrame:
        """The trials that a cell's settings are chosen from."""
        return pd.DataFrame({"models": []}) if self.log is None else of_cell(self.log, cell)

    def setting(self, cell: Cell, budget: int, n_questions: int) -> tuple[Setting, str]:
        """(setting, remark): of this budget, else of the nearest tuned share, else the default; the remark says
        which, and is empty if the very budget was tuned."""
        if self.table is None:
            return DEFAULT_SETTING, f"no validation log at {self.path}: default setting {DEFAULT_SETTING.key}"
        rows = of_cell(self.table, cell)
        if rows.empty:
            return DEFAULT_SETTING, f"{cell.dataset} {cell.scenario} was not tuned: default {DEFAULT_SETTING.key}"
        exact = rows[rows["budget"] == budget]
        if len(exact):
            return Setting.parse(exact.iloc[0]["setting"]), ""
        nearest = rows.loc[(rows["budget"] - budget).abs().idxmin()]
        return Setting.parse(nearest["setting"]), (
            f"{cell.dataset} {cell.scenario}: budget {budget} was not tuned, the setting of "
            f"{nearest['budget']} ({nearest['budget'] / n_questions:.1%}) is used")


# --- files of choices, in the columns of those published with arXiv 2601.20251 ------------------------

def chosen_factors(cv: pd.DataFrame) -> pd.DataFrame:
    """K and λ of every dataset and scenario of a cross-validation log, by the one-standard-error rule.

    By the criterion of the tier whose protocol the fits have; where there are fits of several protocols, by those
    that were logged last. Losses and accuracies, and `split`, the number of the fold, are means over the folds.
    """
    from ..querying.factors import one_standard_error  # takes torch, seconds

    rows = []
    for (dataset, scenario), cell in cv.groupby(["dataset", "scenario"], sort=False):
        protocol = cell["protocol"].iloc[-1]
        cell = cell[cell["protocol"] == protocol]
        [criterion] = {tier.select_factors_by for tier in TIERS.values() if tier.protocol == protocol} or {"loss"}
        [best] = one_standard_error(cell, criterion).to_dict("records")
        folds = cell[(cell["rank"] == best["rank"]) & (cell["weight_decay"] == best["weight_decay"])]["fold"]
        rows.append(_published_scenario(dataset, scenario) | best | {
            "K": best["rank"], "lmbda": best["weight_decay"], "split": folds.mean()})
    return pd.DataFrame(rows, columns=list(CHOSEN_FACTORS))


def chosen_settings(log: pd.DataFrame, policy: str = "faq", sampling: str = "with") -> pd.DataFrame:
    """FAQ's setting of every dataset, scenario and budget of a validation log, by the smallest mean variance.

    Widths and coverages are means over the seeds, as published (the published variance, unclipped) where the log
    has it; `seed` is the mean of their numbers. What the log does not hold stays empty.
    """
    log = of_method(log, policy, sampling)
    rows = []
    for best in best_settings(log, "variance").to_dict("records"):
        mine = log[(log[[*_CELL, "setting"]] == pd.Series(best)[[*_CELL, "setting"]]).all(axis=1)]
        setting = Setting.parse(best["setting"])
        rows.append(_published_scenario(best["dataset"], best["scenario"]) | {
            "prop_budget": best["share"], "beta0": setting.beta0, "rho": setting.rho, "gamma": setting.gamma,
            "tau": setting.tau, "seed": mine["seed"].mean(), "mean_width": mine["width_published"].mean(),
            "coverage_full": mine["coverage_published"].mean()})
    return pd.DataFrame(rows, columns=list(CHOSEN_SETTINGS))


def _published_scenario(dataset: str, scenario: str) -> dict[str, object]:
    seen = Scenario.parse(scenario)
    return {"dataset": dataset, "n_full_obs": np.nan if seen.n_full is None else float(seen.n_full),
            "mcar_obs_prob": seen.p}
