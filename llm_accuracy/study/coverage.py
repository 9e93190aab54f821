"""Who is covered: every model's share of covering intervals, smoothed over its neighbours, and what luck would do."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from .. import locks
from ..errors import InputError
from ..files import atomic
from ..querying.intervals import binomial_se
from ..querying.policies import named
from ..querying.setting import ALPHA
from ..scores.dataset import Dataset
from ..scores.matrix import Responses
from . import columns, grids, ledger
from .provenance import refuse_mixed, refuse_stale

ARM = list(columns.ARM)
PUBLISHED_NEIGHBOURS, PUBLISHED_MODELS = 501, 2213  # the window of arXiv 2601.20251 and its new models


def cells_of(args: argparse.Namespace) -> dict[grids.Cell, pd.DataFrame]:
    """The rows of faq_final.py's per-model log that were asked for, by dataset and scenario.

    Raises InputError if there is none.
    """
    path = args.logs_dir / "faq_final_models.csv"
    log = ledger.read(path, "faq_final.py")
    batch = log["method"].map({name: args.batch or named(name).batch for name in args.policies})
    log = log[log["batch"] == batch]
    found = {cell: log[(log["dataset"] == cell.dataset) & (log["scenario"] == cell.scenario)]
             for cell in grids.cells(args)}
    if not (found := {cell: rows for cell, rows in found.items() if len(rows)}):
        raise InputError(f"{path}: no trial of these datasets, scenarios and policies"
                         + (f" in batches of {args.batch}" if args.batch else ""))
    refuse_mixed(pd.concat(found.values()), path)
    return found


def write(args: argparse.Namespace, cells: dict[grids.Cell, pd.DataFrame]) -> pd.DataFrame:
    """Every model's coverage in some cells, to LOGS_DIR/faq_coverage.csv."""
    new = {name: Dataset(args.data_dir, name).new_models() for name in dict.fromkeys(cell.dataset for cell in cells)}
    table = pd.concat([per_model(rows, new[cell.dataset]) for cell, rows in cells.items()], ignore_index=True)
    path = args.logs_dir / "faq_coverage.csv"
    with locks.writing(path):
        text = table.to_csv(index=False, float_format="%.4g", lineterminator="\n")
        with atomic(path, "w") as stream:
            stream.write(_beside(text, table, new, path))
    return table


def _beside(text: str, table: pd.DataFrame, new: dict[str, Responses], path: Path) -> str:
    """The table as it is written, after the rows of other arms that are on disk, letter by letter as they were. Every
    arm that is written is written with all of its models. Raises InputError where those rows are of other models."""
    if not path.is_file():
        return text
    before = ledger.read(path, "faq_coverage.py")
    arms = pd.MultiIndex.from_frame(table[ARM].astype(str))
    others = ~pd.MultiIndex.from_frame(before[ARM].astype(str)).isin(arms)
    for name, models in new.items():
        known = dict(zip(models.models, models.accuracy(), strict=True))
        kept = before[others & (before["dataset"] == name)]
        if (np.abs(kept["model"].map(known).astype(float) - kept["accuracy"]) < 1e-3).sum() < len(kept):
            raise InputError(f"{path}: its other rows of {name} are of other models or answers than "
                             f"{models.source} has now; move it away, then judge them again (--policies, --scenarios)")
    header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)[: len(before) + 1]
    return header + "".join(itertools.compress(rows, others)) + text.partition("\n")[2]


def per_model(log: pd.DataFrame, new: Responses) -> pd.DataFrame:
    """One row per arm and new model: its coverage over the seeds, release date and accuracy, `columns.COVERAGE`.

    log  rows of a per-model log, all of one dataset
    Raises InputError if the log was made with other models than `new`, or with other answers of theirs.
    """
    from .fingerprints import digest, short  # takes torch, seconds

    accuracy = new.accuracy()
    tables = []
    for (_, count), rows in log.groupby(["scenario", "models"], sort=False):
        if count <= new.n_models:
            refuse_stale(rows, {"new_models": short(digest(new.take(slice(count))))}, Path("faq_final_models.csv"))
    for key, rows in log.groupby(ARM, sort=False):
        covered = np.array([list(letters) for letters in rows["covered"]]) == columns.COVERED  # (seeds, models)
        if covered.shape[1] > new.n_models:
            raise InputError(f"the log knows {covered.shape[1]} new models of {key[0]}, {new.source} has "
                             f"{new.n_models}: they are not the same models")
        models = slice(covered.shape[1])
        tables.append(pd.DataFrame({
            **dict(zip(ARM, key, strict=True)), "model": new.models[models],
            "created_date": new.dates[models], "accuracy": accuracy[models], "seeds": len(covered),
            "coverage": covered.mean(0), "share": f"{key[ARM.index('budget')] / new.n_questions:.4f}"}))
    return pd.concat(tables, ignore_index=True)[list(columns.COVERAGE)]


def neighbours(models: int) -> int:
    """The published window holds 501 of 2,213 models; of fewer models the same share, an odd number, at least 5."""
    scaled = round(PUBLISHED_NEIGHBOURS * min(1.0, models / PUBLISHED_MODELS))
    return max(5, scaled + 1 - scaled % 2)


def smooth(values: np.ndarray, window: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of every value's neighbours in the given order, Gaussian weights of their rank
    distance with standard deviation window/6, window values wide and cut off at the ends.

    values (M,) → (M,), (M,); window defaults to `neighbours(M)`.
    """
    window = window or neighbours(len(values))
    distance = np.subtract.outer(np.arange(len(values)), np.arange(len(values)))
    weight = np.where(abs(distance) <= window // 2, np.exp(-0.5 * (distance / (window / 6)) ** 2), 0.0)
    weight /= weight.sum(1, keepdims=True)
    mean = weight @ values
    return mean, np.sqrt(np.maximum(weight @ values**2 - mean**2, 0))


def luck(models: int, seeds: int, share: float = 0.5, alpha: float = ALPHA) -> float:
    """The coverage that the worst of `models` models has over `seeds` intervals if every interval covers with
    probability 1−α: its quantile `share` (½: the median).

    The worst of M independent binomial counts is at most k with probability 1 − (1 − F(k))^M.
    """
    counts = np.arange(seeds + 1)
    at_most = -np.expm1(models * np.log1p(-np.minimum(stats.binom.cdf(counts, seeds, 1 - alpha), 1 - 1e-16)))
    return float(counts[np.searchsorted(at_most, share)]) / seeds


def audit(table: pd.DataFrame) -> pd.DataFrame:
    """One row per arm of `per_model`: mean coverage ± its binomial SE; by_date and by_accuracy, the mean
    coverage of the last fifth of the models minus that of the first ± SE (NaN without dates, or below 10 models);
    the worst model, and what luck alone would make of the worst: its median, and its 1 % quantile."""
    rows = []
    for key, arm in table.groupby(ARM, sort=False):
        models, seeds, mean = len(arm), int(arm["seeds"].iloc[0]), arm["coverage"].mean()
        by_date, by_date_se = _drift(arm[arm["created_date"].fillna("") != ""], "created_date")
        by_accuracy, by_accuracy_se = _drift(arm, "accuracy")
        rows.append(dict(zip(ARM, key, strict=True)) | {
            "share": arm["share"].iloc[0], "models": models, "seeds": seeds, "coverage": mean,
            "coverage_se": binomial_se(mean, models * seeds), "by_date": by_date, "by_date_se": by_date_se,
            "by_accuracy": by_accuracy, "by_accuracy_se": by_accuracy_se, "worst": arm["coverage"].min(),
            "luck": luck(models, seeds), "luck_1pct": luck(models, seeds, 0.01)})
    return pd.DataFrame(rows)


def _drift(arm: pd.DataFrame, by: str) -> tuple[float, float]:
    coverage = arm.sort_values(by, kind="stable")["coverage"].to_numpy()
    fifth = len(coverage) // 5
    if fifth < 2:
        return float("nan"), float("nan")
    first, last = coverage[:fifth], coverage[-fifth:]
    return float(last.mean() - first.mean()), float(np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / fifth))


def markdown_rows(table: pd.DataFrame) -> list[list[str]]:
    """The audit as header and rows of text."""
    found = audit(table)
    lines = [["dataset", "scenario", "budget", "coverage", "last minus first fifth by date", "by accuracy",
              "worst model", "luck's worst (median)", "luck's worst (1 %)"]]
    for row in found.itertuples():
        lines.append([row.dataset, row.scenario, f"{row.budget} ({float(row.share):.1%})",
                      f"{row.coverage:.3f} ± {row.coverage_se:.3f}", f"{row.by_date:+.3f} ± {row.by_date_se:.3f}",
                      f"{row.by_accuracy:+.3f} ± {row.by_accuracy_se:.3f}", f"{row.worst:.2f}", f"{row.luck:.2f}",
                      f"{row.luck_1pct:.2f}"])
    return lines
