"""From logs of trials to one tidy table: mean width, coverage, effective sample size, per cell and method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..querying.intervals import binomial_se, ess_mse, mean_and_se
from ..querying.policies import DEFAULT_POLICY, POLICIES
from ..querying.rivals import RIVALS
from . import columns, ledger

CELL, ARM = list(columns.CELL), list(columns.ARM)
WALK = "walk"
ABLATION = columns.ACTIVE


def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per arm (dataset, scenario, budget, method, sampling, variance, setting, batch), over its seeds:

    mean_width ± width_se, coverage ± coverage_se (binomial over models × seeds), ess_width ± its SE: (SRS width /
    mean width)² per seed; ess_mse ± its SE: SRS variance / mean squared error, pooled over seeds;
    ess_vs_published_uniform ± SE: (width of unif with f = 0 / width)², paired by seed, NaN where that was not run;
    width_at_equal_coverage ± SE: after scaling every trial's half-widths to cover exactly 95 % of its models.
    """
    trials = with_published_variance(trials)
    published = _width_of_published_uniform(trials)
    rows = []
    for key, arm in trials.groupby(ARM, sort=False):
        arm = arm.sort_values("seed")
        width, width_se = mean_and_se(arm["mean_width"])
        by_width, by_width_se = mean_and_se((arm["srs_width"] / arm["mean_width"]) ** 2)
        by_mse, by_mse_se = ess_mse(arm["srs_variance"].to_numpy(), arm["mse"].to_numpy())
        against = published.reindex(pd.MultiIndex.from_frame(arm[[*CELL, "seed"]])).to_numpy()
        by_uniform, by_uniform_se = mean_and_se((against / arm["mean_width"].to_numpy()) ** 2)
        equal, equal_se = mean_and_se(arm["width_at_equal_coverage"])
        models, seeds = int(arm["models"].iloc[0]), len(arm)
        coverage = float(np.average(arm["coverage"], weights=arm["models"]))
        rows.append(dict(zip(ARM, key, strict=True)) | {
            "share": arm["share"].iloc[0], "models": models, "seeds": seeds, "mean_width": width, "width_se": width_se,
            "coverage": coverage, "coverage_se": binomial_se(coverage, int(arm["models"].sum())),
            "ess_width": by_width, "ess_width_se": by_width_se, "ess_mse": by_mse, "ess_mse_se": by_mse_se,
            "width_at_equal_coverage": equal, "width_at_equal_coverage_se": equal_se,
            "ess_vs_published_uniform": by_uniform, "ess_vs_published_uniform_se": by_uniform_se,
            "unique": float(arm["unique"].mean()), "rmse": float(np.sqrt(arm["mse"].mean()))})
    return pd.DataFrame(rows, columns=list(columns.SUMMARY))


def with_published_variance(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials, and once more as variance "published" those whose log has the published, unclipped width and
    coverage beside its own: same estimates, the other interval."""
    if "width_published" not in trials:
        return trials
    width = pd.to_numeric(trials["width_published"], errors="coerce")
    known = width.notna()
    beside = trials[known].assign(
        variance="published", mean_width=width[known], mean_se2=np.nan, half_width_factor=np.nan,
        width_at_equal_coverage=np.nan, coverage=pd.to_numeric(trials["coverage_published"][known]))
    return pd.concat([trials, beside], ignore_index=True).drop_duplicates([*ARM, "seed"])


def _width_of_published_uniform(trials: pd.DataFrame) -> pd.Series:
    """Indexed by (dataset, scenario, budget, seed)."""
    return published_uniform(trials).set_index([*CELL, "seed"])["mean_width"]


def published_uniform(table: pd.DataFrame) -> pd.DataFrame:
    """The published "uniform": every question with the same probability, f = 0."""
    return table[(table["method"] == "unif") & (table["setting"] == "f=zero")]


def best_baseline(summary: pd.DataFrame) -> pd.DataFrame:
    """Per (dataset, scenario, budget) the baseline walk with the smallest mean width, chosen after the fact, as
    method "best baseline"; its own name and setting go to the column `setting`."""
    walks = summary[(summary["sampling"] == WALK) & (summary["method"] != ABLATION)]
    best = _narrowest(walks.drop(published_uniform(walks).index))
    return best.assign(setting=best["method"] + " " + best["setting"], method="best baseline")


def best_ablation(summary: pd.DataFrame) -> pd.DataFrame:
    """Per (dataset, scenario, budget) active inference with factors at its best τ, chosen after the fact."""
    return _narrowest(summary[summary["method"] == ABLATION])


def _narrowest(arms: pd.DataFrame) -> pd.DataFrame:
    return arms.loc[arms.groupby(CELL)["mean_width"].idxmin()]


# --- what a reader compares ----------------------------------------------------------------------------

# The study's own arms; a rival's or a policy's label stands in its record.
NAMES = {"srs": "uniform (SRS)", "unif": "uniform (published)", "best baseline": "best baseline",
         ABLATION: "active + factors"}
_FIRST = ("srs", "unif", "best baseline", "uniform+factors", ABLATION, "faq", "faq-mix", DEFAULT_POLICY)
_SAMPLING = {"naive-without": "naive without"}


def labels() -> dict[str, str]:
    """What a reader sees of the methods in the logs, in the order in which tables and legends list them: yardsticks,
    the paper's method, the default one, other policies as they were registered, oracles."""
    found = (NAMES | {rival.name: rival.label for rival in RIVALS.values()}
             | {policy.name: policy.label for policy in POLICIES.values()})
    oracles = [policy.name for policy in POLICIES.values() if policy.knows]
    order = [*_FIRST, *(name for name in found if name not in oracles), *oracles]
    return {name: found[name] for name in order if name in found}


def most_history_first(scenario: str) -> tuple[float, float]:
    """A sort key of scenario names: by the models seen in full, then by the share of the others' entries."""
    full, share = (part.split("=")[1] for part in scenario.split("_"))
    return -np.inf if full == "None" else -float(full), -float(share)


def compared(summary: pd.DataFrame) -> pd.DataFrame:
    """The arms that a reader compares, each with a `name` of its own: uniform sampling, the best baseline and the
    best ablation after the fact, every rival and drawing policy. Widths of the published variance stay out where the
    default one is there."""
    drawn = summary[~summary["sampling"].eq(WALK)]
    drawn = drawn[drawn["variance"].ne("published") | ~_has_another_variance(drawn)]
    table = pd.concat([published_uniform(summary), best_baseline(summary), best_ablation(summary), drawn],
                      ignore_index=True)
    known = labels()
    table["name"] = _distinct_names(table, known)
    table = _relative_width(table)
    order = [*known, *sorted(set(table["method"]) - set(known))]
    scenarios = sorted(set(table["scenario"]), key=most_history_first)
    by = {"scenario": scenarios, "method": order}
    return table.sort_values(["dataset", "scenario", "budget", "method", "batch", "name"], ignore_index=True,
                             key=lambda column: column.map(by[column.name].index) if column.name in by else column)


def _relative_width(table: pd.DataFrame) -> pd.DataFrame:
    """Columns relative_width ± SE: width at equal coverage as a share of that of simple random sampling."""
    uniform = table[table["method"] == "srs"].set_index(CELL)["width_at_equal_coverage"]
    against = uniform.reindex(pd.MultiIndex.from_frame(table[CELL])).to_numpy()
    return table.assign(relative_width=table["width_at_equal_coverage"] / against,
                        relative_width_se=table["width_at_equal_coverage_se"] / against)


def _has_another_variance(arms: pd.DataFrame) -> pd.Series:
    others = [name for name in ARM if name != "variance"]
    return arms.groupby(others)["variance"].transform("nunique") > 1


def label(method: str, batch: int, known: dict[str, str]) -> str:
    """What a reader sees of a log's method and batch, e.g. FAQ-mix, 64 at a time; known: `labels()`."""
    policy = POLICIES.get(method)
    words = f", first {batch} at a time" if policy and policy.rounds else f", {batch} at a time"
    return known.get(method, method) + ("" if batch == (policy.batch if policy else 1) else words)


def batches(table: pd.DataFrame, policy: str = DEFAULT_POLICY) -> pd.DataFrame:
    """A policy's rows of `compared` at the budgets where it was also asked in larger batches."""
    mine = table[table["method"] == policy]
    return mine[mine.groupby(CELL)["batch"].transform("nunique") > 1]


def _distinct_names(table: pd.DataFrame, known: dict[str, str]) -> pd.Series:
    """The method and batch, and what else it takes to tell two arms of one cell apart: sampling, variance, setting."""
    names = pd.Series([label(method, batch, known) for method, batch in
                       zip(table["method"], table["batch"], strict=True)], index=table.index, dtype=object)
    drawn = ~table["method"].isin(NAMES)
    # Named alike in all of a dataset's cells, so that a line of a figure keeps its name.
    by = ["dataset", "method", "batch"]
    for column in ("sampling", "variance", "setting"):
        ambiguous = drawn & (table.groupby([*CELL, *by[1:]])[column].transform("nunique") > 1)
        if column != "setting":  # settings are tuned cell by cell: only the ambiguous cell shows them
            ambiguous = drawn & ambiguous.groupby([table[name] for name in by]).transform("any")
        words = table.loc[ambiguous, column].map(lambda value: _SAMPLING.get(value, value))
        names[ambiguous] += " (" + words + ")"
        by.append(column)
    return names


def text_table(table: pd.DataFrame) -> str:
    """The compared arms of every cell as plain text, 80 columns wide unless a name is long."""
    width = max(19, *map(len, table["name"]))
    lines = []
    for (dataset, scenario), cell in table.groupby(["dataset", "scenario"], sort=False):
        seeds = " to ".join(map(str, sorted({cell["seeds"].min(), cell["seeds"].max()})))
        lines += [f"{dataset}, {scenario}: {cell['models'].iloc[0]} new models, {seeds} seeds",
                  f"{'method':<{width}} {'budget':>6} {'width':>7} {'coverage':>12} {'ESS by width':>13} "
                  f"{'ESS by error':>13}"]
        for row in cell.itertuples():
            lines.append(f"{row.name:<{width}} {row.budget:>6} {row.mean_width:>7.4f} "
                         f"{plus_minus(row.coverage, row.coverage_se, 3):>12} "
                         f"{plus_minus(row.ess_width, row.ess_width_se, 2):>13} "
                         f"{plus_minus(row.ess_mse, row.ess_mse_se, 2):>13}")
        lines.append("")
    return "\n".join(lines)


_MARKDOWN = {"ess_width": ("ESS by width", 2), "ess_mse": ("ESS by error", 2), "coverage": ("coverage", 3),
             "mean_width": ("mean width", 4), "relative_width": ("width at equal coverage / uniform's", 3)}


def markdown_table(table: pd.DataFrame, measures: Sequence[str]) -> str:
    """The numbers of a figure as a Markdown table: one row per dataset, scenario, budget and method, ± one SE."""
    lines = [["dataset", "scenario", "budget", "method", "seeds", *(_MARKDOWN[name][0] for name in measures)]]
    for row in table.to_dict("records"):
        lines.append([row["dataset"], row["scenario"], f"{row['budget']} ({float(row['share']):.1%})", row["name"],
                      str(row["seeds"]), *(plus_minus(row[name], row[columns.standard_error(name)], _MARKDOWN[name][1])
                                           for name in measures)])
    return markdown(lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A header and rows of text as a Markdown table."""
    header, *rows = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows]) + "\n"


def read(path: Path) -> pd.DataFrame:
    """summary.csv as summarize_results.py writes it.

    Raises InputError if it is not there.
    """
    return ledger.read(path, "summarize_results.py")


def plus_minus(value: float, se: float, digits: int) -> str:
    """0.951 ±.004; without the second part where there is no standard error."""
    text = f"{value:.{digits}f}"
    return text if np.isnan(se) else f"{text} ±{se:.{digits}f}".replace("±0.", "±.")
