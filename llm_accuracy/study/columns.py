"""The columns of the study's logs and tables: the one place that names them. It imports nothing heavy.

A log's row has a *key*, which says what was run and is unique; then its *results*; then what it was
*made from*: fingerprints that are no part of the key but are compared before a row is taken as done (`ledger`).
`unknown` is written where an old row's could not be recomputed (migrate_logs.py): such rows may be drawn and tabulated,
never continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

CELL = ("dataset", "scenario", "budget")
ARM = (*CELL, "method", "sampling", "variance", "setting", "batch")  # what is summarized over its seeds
TRIAL = (*ARM, "seed")
RESULTS = ("share", "models", "mean_width", "coverage", "mse", "mean_se2", "unique", "half_width_factor",
           "width_at_equal_coverage", "srs_width", "srs_variance")
PUBLISHED = ("width_published", "coverage_published")  # the same estimates with the published, unclipped interval
NOT_PUBLISHED = dict.fromkeys(PUBLISHED, "")
PER_MODEL = ("models", "covered", "error_over_se")
# covered: a letter a model; ABOVE, BELOW: not covered, the truth above or below the interval (0: older rows, either)
COVERED, ABOVE, BELOW = "1", "+", "-"

# history: the scores that the factors and the history's means come from; new_models: those of the models evaluated;
# factors: the factor model's numbers; protocol: how it was fitted, and the engine's constants.
MADE_FROM = ("history", "new_models", "factors", "protocol")
UNKNOWN, UNUSED = "unknown", "none"

CV_KEY = ("dataset", "scenario", "protocol", "rank", "weight_decay", "fold")
CV_RESULTS = ("rows", "epochs", "train_loss", "val_loss", "train_acc", "val_acc")
CV_MADE_FROM = ("history", "fitting")  # fitting: epochs, number of folds, and the protocol's constants

ACTIVE = "active+factors"  # the method of ablations_all.py that walks with the factor model
SELECT_BY = {"variance": "mean_se2", "published-width": "width_published"}  # what a tuned setting minimises

# summary.csv, one row per arm over its seeds, and faq_coverage.csv, one row per arm and new model
SUMMARY = (*ARM, "share", "models", "seeds", "mean_width", "width_se", "coverage", "coverage_se", "ess_width",
           "ess_width_se", "ess_mse", "ess_mse_se", "width_at_equal_coverage", "width_at_equal_coverage_se",
           "ess_vs_published_uniform", "ess_vs_published_uniform_se", "unique", "rmse")
COVERAGE = (*ARM, "model", "created_date", "accuracy", "seeds", "coverage", "share")

# boards.py, one row per board, budget as it is called (20, 5%) and method; above, below: shares of intervals that the
# truth lies above or below of; coverage_se is clustered by model
BOARDS = ("dataset", "called", "budget", "share", "method", "name", "models", "seeds", "coverage", "coverage_se",
          "above", "below", "ess_width", "ess_width_se", "ess_mse", "ess_mse_se")

# leave_one_family_out.py. In its log, `matrix` and `factors` are fingerprints already, and part of the key.
# covered: per model; width, squared_error: per seed, summed over the models; half_width: summed over both;
# ratios: how many |error| / half-width are 0, up to 1 RATIO_STEP, up to 2, … (the last: beyond)
PARTS_KEY = ("dataset", "matrix", "factors", "budget", "method", "sampling", "variance", "setting", "families",
             "seeds")
PARTS_RESULTS = ("share", "models", "covered", "zero_width", "half_width", "width", "squared_error", "ratios")
FAMILIES = ("dataset", "matrix", "factors", "budget", "method", "share", "families", "models", "seeds", "coverage",
            "coverage_se", "worst", "worst_model", "worst_by_luck", "zero_width", "mean_width", "ess_width",
            "ess_width_se", "ess_equal_coverage", "ess_mse", "ess_mse_se")

# figures/history_logs.py: what intervals a history gives (half_width, ess_…), beside the forecasts from it. matrix: a
# fingerprint of the board; draw: which random choice of as many of its models; history: their number
WORTH_KEY = ("dataset", "matrix", "split", "draw", "history", "budget")
WORTH_RESULTS = ("questions", "models", "evaluations", "half_width", "ess_width", "ess_mse", "coverage",
                 "forecast_half_width", "forecast_ess_width", "forecast_ess_mse", "forecast_coverage",
                 "forecast_random_needs")

# Choices, in the columns of the tables published with arXiv 2601.20251
PUBLISHED_SCENARIO = ("dataset", "n_full_obs", "mcar_obs_prob")
CHOSEN_FACTORS = (*PUBLISHED_SCENARIO, "K", "lmbda", "split", "train_loss", "val_loss", "train_acc", "val_acc")
CHOSEN_SETTINGS = (*PUBLISHED_SCENARIO, "prop_budget", "beta0", "rho", "gamma", "tau", "seed", "mean_width",
                   "coverage_partial", "coverage_full", "mean_width_simp", "coverage_partial_simp",
                   "coverage_full_simp", "num_resampled")

# Read as text, whatever they look like.
TEXT = ("dataset", "scenario", "method", "sampling", "variance", "setting", "covered", *MADE_FROM, *CV_MADE_FROM)


def standard_error(measure: str) -> str:
    """The column beside a measure that holds its standard error."""
    return {"mean_width": "width_se"}.get(measure, f"{measure}_se")


@dataclass(frozen=True)
class Columns:
    """Those of one log, in their order in the file."""

    key: Sequence[str]
    results: Sequence[str]
    made_from: Sequence[str] = ()

    @property
    def header(self) -> tuple[str, ...]:
        return (*self.key, *self.results, *self.made_from)

    @property
    def free_text(self) -> tuple[str, ...]:
        """Those that hold neither a number nor one of TEXT."""
        return "error_over_se", "model", "created_date"

    @property
    def before(self) -> tuple[str, ...]:
        """The header that older versions wrote: without batch, fingerprints, and with names like faq-mix:B64."""
        return tuple(name for name in self.header if name != "batch" and name not in self.made_from)


def _logs() -> Iterator[tuple[str, Columns]]:
    yield "factor_models_cv", Columns(CV_KEY, CV_RESULTS, CV_MADE_FROM)
    for name in ("faq_val", "faq_final", "baselines_all", "ablations_all"):
        yield name, Columns(TRIAL, RESULTS if name == "baselines_all" else (*RESULTS, *PUBLISHED), MADE_FROM)
        yield f"{name}_models", Columns(TRIAL, PER_MODEL, MADE_FROM)


LOGS = dict(_logs())  # name without .csv; shards of these are gathered by summarize_results.py --merge
TABLES = {"summary": Columns(ARM, SUMMARY[len(ARM):]),
          "faq_coverage": Columns(COVERAGE[: len(ARM) + 1], COVERAGE[len(ARM) + 1 :])}
PARTS = Columns(PARTS_KEY, PARTS_RESULTS)
WORTH = Columns(WORTH_KEY, WORTH_RESULTS)


def refuse_old(path: Path, header: Sequence[str]) -> None:
    """Raises InputError for the header of a log or table as older versions wrote it, saying how to migrate it."""
    known = (LOGS | TABLES).get(path.stem)
    if known is not None and tuple(header) == known.before:
        raise InputError(f"{path}: written by an older version; to migrate it: python migrate_logs.py "
                         f"{path.parent}")
