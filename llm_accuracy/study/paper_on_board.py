"""The paper's study on a real board of another size: its scenarios scaled, its protocol, tuning within a cost limit.

What is run are the project's own scripts (`steps`); what came of it stands beside the published tables (`sections`).
The published figures are about other models and more questions, so they are neighbours, not targets: differences are
not judged in standard errors here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import read_csv
from ..querying.policies import WALKING
from ..querying.rivals import SRS, installed
from ..scores.dataset import Dataset
from ..scores.scenario import ALL_OBSERVED, Scenario
from . import columns, coverage, grids, ledger, published, summaries, tuning
from .columns import ACTIVE
from .fingerprints import digest, short
from .grids import DEFAULT_SCENARIO, TIERS
from .provenance import refuse_mixed, refuse_stale
from .tables import TRIALS

SCENARIOS = TIERS["paper"].scenarios
PUBLISHED_ROWS = 2212  # history models of arXiv 2601.20251
PUBLISHED_QUESTIONS = {"mmlu-pro": 12032, "bbh+gpqa+ifeval+math+musr": 9574}

# The cost limit. With the whole history cross-validation has the paper's grid; elsewhere its ranks, the weight decays
# that the published fits chose there, and 2 folds. FAQ is tuned at 3 budgets over twenty of the paper's 400 settings,
# elsewhere over eight of them, without schedules (rho, gamma), which cost most.
SPARSE_CV = ("--weight-decays", "10.0", "1.0", "--folds", 2)
FEW_BUDGETS = ("2.5%", "10%", "25%")
SETTINGS = tuple(f"beta0={beta}_rho={rho}_gamma={gamma}_tau={tau}"
                 for beta, rho, gamma in ((0.25, 0.0, 0.0), (1.0, 0.0, 0.0), (0.25, 0.25, 0.0), (1.0, 0.25, 0.0),
                                          (1.0, 0.0, 0.75))
                 for tau in TIERS["paper"].taus)
FEW_SETTINGS = tuple(key for key in SETTINGS if "_rho=0.0_gamma=0.0_" in key)
SEEDS = {"whole": 10, "ours": 20, "sparse": 3, "walks": 5, "sparse walks": 2, "few": 5, "ablations": 3, ACTIVE: 2}
ACTIVE_TAUS = (0.05, 0.5)
OURS = "rounds"  # this project's method beside the paper's

PAIRED = (SRS, "unif")  # as many seeds as FAQ, which is compared with the published uniform seed by seed

Step = tuple[str, tuple[object, ...]]  # a script and its arguments


def scaled(scenario: Scenario, rows: int, questions: int, published_questions: int) -> Scenario:
    """A published scenario on a smaller history: the same share of its rows seen in full, and p such that every other
    row keeps as many observed entries as it did, to three digits.

    Raises InputError where a row has not that many questions.
    """
    if scenario == ALL_OBSERVED or scenario.n_full is None:
        return scenario
    p = float(f"{scenario.p * published_questions / questions:.3g}")
    if p >= 1:
        raise InputError(f"{questions} questions: scenario {scenario.key} shows {scenario.p * published_questions:.0f} "
                         "of a row; choose a board with more")
    return Scenario(round(scenario.n_full * rows / PUBLISHED_ROWS), p)


@dataclass(frozen=True)
class Study:
    """A split board, the published dataset that it stands for, and the folders."""

    name: str
    stands_for: str
    data_dir: Path
    logs_dir: Path
    rows: int
    models: int
    questions: int

    @staticmethod
    def read(name: str, stands_for: str, data_dir: Path, logs_dir: Path) -> Study:
        """Of a dataset that is there. Raises InputError for a dataset that was not published."""
        if stands_for not in PUBLISHED_QUESTIONS:
            raise InputError(f"--as {stands_for}: published are {', '.join(PUBLISHED_QUESTIONS)}")
        dataset = Dataset(data_dir, name)
        history, new = dataset.history(), dataset.new_models()
        return Study(name, stands_for, data_dir, logs_dir, history.n_models, new.n_models, new.n_questions)

    @property
    def scenarios(self) -> dict[str, str]:
        """{scenario here: the published one}, in the paper tier's order."""
        return {scaled(Scenario.parse(key), self.rows, self.questions, PUBLISHED_QUESTIONS[self.stands_for]).key: key
                for key in SCENARIOS}

    @property
    def sparse(self) -> list[str]:
        return [key for key in self.scenarios if key != DEFAULT_SCENARIO]

    def believed(self, log: str, script: str) -> pd.DataFrame:
        """A log's rows of this board. Raises InputError where they were computed from other scores than it has."""
        path, dataset = self.logs_dir / log, Dataset(self.data_dir, self.name)
        rows = ledger.read(path, script)
        rows = rows[(rows["dataset"] == self.name) & rows["scenario"].isin(self.scenarios)]
        of_history = script in ("factor_models_cv.py", "faq_val.py")
        for (scenario, *models), cell in rows.groupby(["scenario"] if "models" not in rows else ["scenario", "models"]):
            history = dataset.history(scenario)
            now = {"history": history.take(slice(grids.train_rows(history.n_models))) if of_history else history}
            if not of_history:
                now["new_models"] = dataset.new_models(int(models[0]))
            refuse_stale(cell, {name: short(digest(scores)) for name, scores in now.items()}, path)
        return rows

    def where(self, scenarios: Sequence[str]) -> tuple[object, ...]:
        return ("--tier", "paper", "--datasets", self.name, "--scenarios", *scenarios, "--data-dir", self.data_dir,
                "--logs-dir", self.logs_dir)

    def hiding(self) -> Step:
        return "data/simulate_missingness.py", self.where(list(self.scenarios))[:-2]

    def fitting(self, dry_run: bool = False) -> Iterator[Step]:
        """Cross-validation and the factor models. `dry_run`: rough factors, after what the search would cost."""
        every = self.where(list(self.scenarios))
        yield "factor_models_cv.py", (*self.where([DEFAULT_SCENARIO]), *["--dry-run"] * dry_run)
        yield "factor_models_cv.py", (*self.where(self.sparse), *SPARSE_CV, *["--dry-run"] * dry_run)
        for which in ("val", "final"):
            yield f"factor_models_{which}.py", (*every, *(("--rank", 8, "--weight-decay", 1.0, "--protocol", "map")
                                                         if dry_run else ()))

    def trials(self, dry_run: bool = False) -> Iterator[Step]:
        """Tuning, every method, the ablations."""
        whole, sparse = self.where([DEFAULT_SCENARIO]), self.where(self.sparse)
        few, paid = ("--budgets", *FEW_BUDGETS), ["--dry-run"] * dry_run
        for cell, settings in ((whole, SETTINGS), (sparse, FEW_SETTINGS)):
            yield "faq_val.py", (*cell, *few, "--seeds", 1, "--models", 100, "--settings", *settings, *paid)
        for cell, name, seeds in ((whole, "faq", "whole"), (whole, OURS, "ours"), (whole, "uniform+factors", "few"),
                                  (sparse, "faq", "sparse"), (sparse, OURS, "few")):
            yield "faq_final.py", (*cell, "--policies", name, "--seeds", SEEDS[seeds], *paid)
        for cell, most, walks in ((whole, SEEDS["whole"], SEEDS["walks"]),
                                  (sparse, SEEDS["sparse"], SEEDS["sparse walks"])):
            yield "baselines_all.py", (*cell, "--policies", *PAIRED, "--seeds", most, *paid)
            yield "baselines_all.py", (*cell, "--policies", *WALKING, "--seeds", walks, *paid)
        yield "baselines_all.py", (*whole, "--policies", *installed(), "--seeds", SEEDS["walks"], *paid)
        yield "ablations_all.py", (*whole, "--arms", "replacement", "--seeds", SEEDS["ablations"], *paid)
        yield "ablations_all.py", (*self.where(list(self.scenarios)), *few, "--arms", ACTIVE, "--taus", *ACTIVE_TAUS,
                                   "--seeds", SEEDS[ACTIVE], *paid)


# --- what came of it -----------------------------------------------------------------------------------

@dataclass(frozen=True)
class Found:
    """The logs of a study, summarized."""

    study: Study
    summary: pd.DataFrame
    beside: pd.DataFrame
    observed: Mapping[str, int]
    audit: pd.DataFrame

    @staticmethod
    def read(study: Study, paper: Path) -> Found:
        logs = pd.concat([study.believed(name, script) for name, script in TRIALS.items()])
        refuse_mixed(logs, study.logs_dir)
        summary = summaries.summarize(logs.drop_duplicates(list(columns.TRIAL)))
        ours = published.ours(summary)
        ours = ours[ours["name"] != "FAQ, ablation"]  # the trials of "FAQ" once more
        ours = ours.assign(dataset=study.stands_for, scenario=ours["scenario"].map(study.scenarios))
        dataset = Dataset(study.data_dir, study.name)
        observed = {key: int(dataset.history(key).observed.sum()) for key in study.scenarios}
        per_model = study.believed("faq_final_models.csv", "faq_final.py")
        mine = per_model["method"].isin(["faq", OURS]) & (per_model["scenario"] == DEFAULT_SCENARIO)
        audit = coverage.audit(coverage.per_model(per_model[mine], dataset.new_models()))
        return Found(study, summary, published.compare(ours, published.read(paper)), observed, audit)


def sections(found: Found, paper: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """(heading, header and rows of text) of the page."""
    yield "Scenarios", _scenario_lines(found, paper)
    for measure, heading in (("ESS", "Effective sample size, against the published uniform sampling"),
                             ("coverage", "Coverage"), ("width", "Mean width")):
        yield f"{heading}: the whole history", _by_budget(found, measure)
    yield "Against simple random sampling: the whole history", _against_srs(found)
    for name in ("FAQ", "best baseline"):
        for measure in ("ESS", "coverage"):
            yield f"{name[0].upper()}{name[1:]} in every scenario: {measure}", _by_scenario(found, name, measure)
    label = summaries.labels()[OURS].capitalize()
    yield f"{label} in every scenario, against simple random sampling", _default_by_scenario(found)
    yield "FAQ's settings", _settings(found, paper)
    yield "Coverage audit by accuracy: the whole history", _audit_lines(found)


def _scenario_lines(found: Found, paper: Path) -> list[list[str]]:
    study = found.study
    choices = tuning.chosen_factors(study.believed("factor_models_cv.csv", "factor_models_cv.py"))
    choices.index = pd.Index([_key(row) for row in choices.to_dict("records")])
    lines = [["scenario", "as published", "entries seen", "a row", "K, decay", "published",
              "held-out accuracy", "published"]]
    theirs = read_csv(paper / "factor_model_selected_settings.csv", "the published table",
                      ("n_full_obs", "mcar_obs_prob", "K", "lmbda", "val_acc"))
    theirs = theirs[theirs["dataset"] == study.stands_for]
    theirs.index = pd.Index([_key(row) for row in theirs.to_dict("records")])
    for key, original in study.scenarios.items():
        own, other = choices.loc[key], theirs.loc[original]
        lines.append([key, original, f"{found.observed[key]:,}", f"{found.observed[key] / study.rows:,.1f}",
                      f"{own['K']:.0f}, {float(own['lmbda']):g}", f"{other['K']:.0f}, {other['lmbda']:g}",
                      *("-" if np.isnan(row["val_acc"]) else f"{row['val_acc']:.3f}" for row in (own, other))])
    return lines


def _key(row: Mapping) -> str:
    """The scenario of a row of the tables of choices."""
    full = row["n_full_obs"]
    return Scenario(None if np.isnan(full) else int(full), float(row["mcar_obs_prob"])).key


def _percent(fortieths: int) -> str:
    return f"{fortieths / grids.SHARE_DENOMINATOR:.1%}"


DIGITS = {"ESS": 2, "coverage": 3, "width": 4}


def _by_budget(found: Found, measure: str) -> list[list[str]]:
    """Two lines a method, ours and the published, each ± its standard error; a column a budget."""
    cells = found.beside[(found.beside["scenario"] == DEFAULT_SCENARIO) & (found.beside["measure"] == measure)]
    budgets = sorted(cells["fortieths"].unique())
    lines = [["method", *map(_percent, budgets)]]
    for name, rows in cells.groupby("name", sort=False):
        at = rows.set_index("fortieths")
        for who in ("ours", "published"):
            lines.append([f"{name}, {who}", *(summaries.plus_minus(at.loc[k, who], at.loc[k, f"{who}_se"],
                                                                   DIGITS[measure]) if k in at.index else ""
                                              for k in budgets)])
    return lines


def _against_srs(found: Found) -> list[list[str]]:
    """One line a method, a column a budget: coverage, ESS by width / by error."""
    rows = summaries.compared(found.summary[found.summary["scenario"] == DEFAULT_SCENARIO])
    budgets = sorted(rows["budget"].unique())
    share = rows.groupby("budget")["share"].first().astype(float)
    lines = [["coverage, ESS by width / by error", *(f"{share[b]:.1%} ({b})" for b in budgets)]]
    for name, of_method in rows.groupby("name", sort=False):
        at = of_method.set_index("budget")
        lines.append([name, *(f"{at.loc[b, 'coverage']:.3f}, {at.loc[b, 'ess_width']:.2f} / "
                              f"{at.loc[b, 'ess_mse']:.2f}" if b in at.index else "" for b in budgets)])
    return lines


def _by_scenario(found: Found, name: str, measure: str) -> list[list[str]]:
    """Ours / published; one line a scenario, one column a budget."""
    cells = found.beside[(found.beside["name"] == name) & (found.beside["measure"] == measure)]
    budgets = TIERS["paper"].shares
    lines = [["scenario: ours / published", *map(_percent, budgets)]]
    for key, original in found.study.scenarios.items():
        at = cells[cells["scenario"] == original].set_index("fortieths")
        digits = DIGITS[measure]
        lines.append([key, *(f"{at.loc[k, 'ours']:.{digits}f} / {at.loc[k, 'published']:.{digits}f}"
                             if k in at.index else "" for k in budgets)])
    return lines


def _default_by_scenario(found: Found) -> list[list[str]]:
    rows = summaries.compared(found.summary)
    rows = rows[rows["method"] == OURS]
    budgets = sorted(rows["budget"].unique())
    share = rows.groupby("budget")["share"].first().astype(float)
    lines = [["coverage, ESS by width", *(f"{share[b]:.1%}" for b in budgets)]]
    for key in found.study.scenarios:
        at = rows[rows["scenario"] == key].set_index("budget")
        lines.append([key, *(f"{at.loc[b, 'coverage']:.3f}, {at.loc[b, 'ess_width']:.2f}" if b in at.index else ""
                             for b in budgets)])
    return lines


def _settings(found: Found, paper: Path) -> list[list[str]]:
    """What FAQ was tuned to with the whole history and in every scenario, at the tuned budgets."""
    study = found.study
    mine = tuning.chosen_settings(study.believed("faq_val.csv", "faq_val.py"))
    lines = [["scenario", "budget", "beta0, rho, gamma, tau", "published"]]
    order = list(study.scenarios)
    for row in sorted(mine.to_dict("records"), key=lambda row: order.index(_key(row))):
        key = _key(row)
        theirs = published.best_settings(paper, grids.Cell(study.stands_for, study.scenarios[key]))
        k = round(float(row["prop_budget"]) * grids.SHARE_DENOMINATOR)
        other = theirs[k]
        lines.append([key, _percent(k), f"{row['beta0']}, {row['rho']}, {row['gamma']}, {row['tau']}",
                      f"{other.beta0}, {other.rho}, {other.gamma}, {other.tau}"])
    return lines


def _audit_lines(found: Found) -> list[list[str]]:
    known = summaries.labels()
    lines = [["method", "budget", "coverage", "most minus least accurate fifth", "worst model",
              "luck's worst (median)", "luck's worst (1 %)"]]
    for row in found.audit.sort_values(["method", "budget"]).itertuples():
        lines.append([known[row.method], f"{row.budget} ({float(row.share):.1%})",
                      summaries.plus_minus(row.coverage, row.coverage_se, 3),
                      f"{row.by_accuracy:+.3f} ±{row.by_accuracy_se:.3f}", f"{row.worst:.2f}", f"{row.luck:.2f}",
                      f"{row.luck_1pct:.2f}"])
    return lines
