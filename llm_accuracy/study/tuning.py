"""Which FAQ setting to use: chosen from a validation log, per dataset, scenario and budget."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..querying.setting import DEFAULT_SETTING, Setting
from . import ledger
from .grids import Cell

SELECT_BY = {"variance": "mean_se2", "published-width": "width_published"}
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


class Tuned:
    """FAQ's chosen settings for one way of sampling; where nothing was tuned, the default setting."""

    def __init__(self, path: Path, select_by: str, sampling: str):
        self.path = path
        self.table = None
        if path.is_file():
            log = ledger.read(path, "faq_val.py")
            self.table = best_settings(log[(log["method"] == "faq") & (log["sampling"] == sampling)], select_by)

    def setting(self, cell: Cell, budget: int, n_questions: int) -> tuple[Setting, str]:
        """(setting, remark): of this budget, else of the nearest tuned share, else the default; the remark says
        which, and is empty if the very budget was tuned."""
        if self.table is None:
            return DEFAULT_SETTING, f"no validation log at {self.path}: default setting {DEFAULT_SETTING.key}"
        rows = self.table[(self.table["dataset"] == cell.dataset) & (self.table["scenario"] == cell.scenario)]
        if rows.empty:
            return DEFAULT_SETTING, f"{cell.dataset} {cell.scenario} was not tuned: default {DEFAULT_SETTING.key}"
        exact = rows[rows["budget"] == budget]
        if len(exact):
            return Setting.parse(exact.iloc[0]["setting"]), ""
        nearest = rows.loc[(rows["budget"] - budget).abs().idxmin()]
        return Setting.parse(nearest["setting"]), (
            f"{cell.dataset} {cell.scenario}: budget {budget} was not tuned, the setting of "
            f"{nearest['budget']} ({nearest['budget'] / n_questions:.1%}) is used")
