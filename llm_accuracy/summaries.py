"""From logs of trials to one tidy table: mean width, coverage, effective sample size, per cell and method."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .intervals import binomial_se, ess_mse, mean_and_se

CELL = ["dataset", "scenario", "budget"]
ARM = [*CELL, "method", "sampling", "variance", "setting"]
WALK = "walk"


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per arm (dataset, scenario, budget, method, sampling, variance, setting), over its seeds:

    mean_width ± width_se, coverage ± coverage_se (binomial over models × seeds), ess_width ± its SE: (SRS width /
    mean width)² per seed; ess_mse ± its SE: SRS variance / mean squared error, pooled over seeds;
    ess_vs_published_uniform ± SE: (width of unif with f = 0 / width)², paired by seed, NaN where that was not run.
    """
    published = _published_uniform(trials)
    rows = []
    for key, arm in trials.groupby(ARM, sort=False):
        arm = arm.sort_values("seed")
        width, width_se = mean_and_se(arm["mean_width"])
        by_width, by_width_se = mean_and_se((arm["srs_width"] / arm["mean_width"]) ** 2)
        by_mse, by_mse_se = ess_mse(arm["srs_variance"].to_numpy(), arm["mse"].to_numpy())
        against = published.reindex(pd.MultiIndex.from_frame(arm[[*CELL, "seed"]])).to_numpy()
        by_uniform, by_uniform_se = mean_and_se((against / arm["mean_width"].to_numpy()) ** 2)
        models, seeds = int(arm["models"].iloc[0]), len(arm)
        coverage = float(np.average(arm["coverage"], weights=arm["models"]))
        rows.append(dict(zip(ARM, key, strict=True)) | {
            "share": arm["share"].iloc[0], "models": models, "seeds": seeds, "mean_width": width, "width_se": width_se,
            "coverage": coverage, "coverage_se": binomial_se(coverage, int(arm["models"].sum())),
            "ess_width": by_width, "ess_width_se": by_width_se, "ess_mse": by_mse, "ess_mse_se": by_mse_se,
            "ess_vs_published_uniform": by_uniform, "ess_vs_published_uniform_se": by_uniform_se,
            "unique": float(arm["unique"].mean()), "rmse": float(np.sqrt(arm["mse"].mean()))})
    return pd.DataFrame(rows)


def _published_uniform(trials: pd.DataFrame) -> pd.Series:
    """Mean width of the published "uniform", indexed by (dataset, scenario, budget, seed)."""
    unif = trials[(trials["method"] == "unif") & (trials["setting"] == "f=zero")]
    return unif.set_index([*CELL, "seed"])["mean_width"]


def best_baseline(summary: pd.DataFrame) -> pd.DataFrame:
    """Per (dataset, scenario, budget) the walk with the smallest mean width, chosen after the fact, as
    method "best baseline"; its own name and setting go to the column `setting`."""
    walks = summary[(summary["sampling"] == WALK) & ~_is_published_uniform(summary)]
    best = walks.loc[walks.groupby(CELL)["mean_width"].idxmin()]
    return best.assign(setting=best["method"] + " " + best["setting"], method="best baseline")


def _is_published_uniform(summary: pd.DataFrame) -> pd.Series:
    return (summary["method"] == "unif") & (summary["setting"] == "f=zero")


NAMES = {"srs": "uniform (SRS)", "unif": "uniform (published)", "best baseline": "best baseline", "faq": "FAQ",
         "uniform+factors": "uniform + factors"}


def compared(summary: pd.DataFrame) -> pd.DataFrame:
    """The arms that a reader compares: uniform sampling, best baseline after the fact, every drawing policy."""
    walks = summary["sampling"] == WALK
    kept = [summary[~walks], summary[_is_published_uniform(summary)]]
    if walks.any():
        kept.append(best_baseline(summary))
    table = pd.concat(kept, ignore_index=True)
    table["name"] = [NAMES.get(method, method) for method in table["method"]]
    drawn = ~table["method"].isin(["srs", "unif", "best baseline"])
    several = table[drawn].groupby([*CELL, "method"])["sampling"].transform("nunique") > 1
    table.loc[several[several].index, "name"] += ", " + table["sampling"]
    order = {name: i for i, name in enumerate(["srs", "unif", "best baseline", "uniform+factors"])}
    rank = table["method"].map(lambda method: order.get(method, len(order)))
    return table.assign(rank=rank).sort_values([*CELL, "rank", "name"]).drop(columns="rank").reset_index(drop=True)


HEADER = f"{'method':<20} {'budget':>6} {'width':>7} {'coverage':>12} {'ESS by width':>13} {'ESS by error':>13}"


def text_table(table: pd.DataFrame) -> str:
    """The compared arms of every cell as plain text, 80 columns wide."""
    lines = []
    for (dataset, scenario), cell in table.groupby(["dataset", "scenario"], sort=False):
        lines += [f"{dataset}, {scenario}: {cell['models'].iloc[0]} new models, {cell['seeds'].max()} seeds", HEADER]
        for row in cell.itertuples():
            lines.append(f"{row.name:<20.20} {row.budget:>6} {row.mean_width:>7.4f} "
                         f"{_plus_minus(row.coverage, row.coverage_se, 3):>12} "
                         f"{_plus_minus(row.ess_width, row.ess_width_se, 2):>13} "
                         f"{_plus_minus(row.ess_mse, row.ess_mse_se, 2):>13}")
        lines.append("")
    return "\n".join(lines)


def _plus_minus(value: float, se: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text if np.isnan(se) else f"{text} ±{se:.{digits}f}".replace("±0.", "±.")
