"""What a history is worth: intervals for new models with ever larger histories, and what a forecast said beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from .. import cli, locks
from ..errors import InputError
from ..files import read_csv
from ..querying import forecasting
from ..querying.session import questions_of
from ..randomness import stream
from ..scores import splitting
from ..scores.matrix import Responses, read_matrix
from . import fingerprints
from .columns import WORTH
from .ledger import Ledger

SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # of histories, below that of the whole one, which comes last
DRAWS = 5
BUDGETS = ("20", "50", "100", "200", "5%", "10%", "25%")
SPLITS = ("date", "family", "random")  # of all of the history; parts of it are taken by date only
LOG = "history_worth.csv"
NEW = 100  # no more new models than this, a random choice


@dataclass
class Board:
    """A matrix, split."""

    name: str
    split: str
    history: Responses
    new: Responses

    @staticmethod
    def read(path: Path, split: str) -> Board:
        """Of the new models those that have every score.

        Raises InputError if none has.
        """
        responses = splitting.with_families(read_matrix(path))
        history, new = splitting.split(responses, by="family" if split == "family" else "date",
                                       shuffle=0 if split == "random" else None)
        new = new.take(new.complete)
        if not new.n_models:
            raise InputError(f"{path}: no new model has all {new.n_questions} scores")
        name = path.name.split(".")[0]
        chosen = np.sort(stream("history worth", name, "new").permutation(new.n_models)[:NEW])
        return Board(name, split, history, new.take(chosen))

    @property
    def budgets(self) -> list[int]:
        """Those below half of the bank."""
        n = self.history.n_questions
        found = {questions_of(int(text) if text.isdigit() else text, n) for text in BUDGETS
                 if not text.isdigit() or int(text) <= n}
        return sorted(budget for budget in found if budget < n / 2)

    def histories(self, draws: int) -> Iterator[tuple[int, Responses]]:
        """(draw, history): nested random choices of each draw, by date only; then all of it."""
        for draw in range(draws if self.split == "date" else 0):
            order = stream("history worth", self.name, draw).permutation(self.history.n_models)
            yield from ((draw, self.history.take(np.sort(order[:size]))) for size in SIZES
                        if size < self.history.n_models)
        yield 0, self.history

    @cached_property
    def matrix(self) -> str:
        """Changes whenever names, scores or constants do."""
        return fingerprints.short(fingerprints.digest(self.history)) + fingerprints.of_engine(
            fingerprints.digest(self.new), forecasting.WEIGHT_DECAY)

    def key(self, draw: int, history: Responses, budget: int) -> dict:
        return {"dataset": self.name, "matrix": self.matrix, "split": self.split, "draw": draw,
                "history": history.n_models, "budget": budget}

    def rows(self, draw: int, history: Responses) -> list[dict]:
        """One a budget: what came, and what was forecast."""
        found = forecasting.came(history, self.new, self.budgets)
        said = forecasting.forecast(history, self.budgets)
        return [self.key(draw, history, budget) | {
            "questions": found.n_questions, "models": found.n_tried, "evaluations": found.evaluations,
            "half_width": one.half_width, "ess_width": one.ess_width, "ess_mse": one.ess_error,
            "coverage": one.coverage, "forecast_half_width": expected.half_width,
            "forecast_ess_width": expected.ess_width, "forecast_ess_mse": expected.ess_error,
            "forecast_coverage": expected.coverage,
            "forecast_random_needs": said.random_questions_for(expected.half_width)}
            for budget in self.budgets for one, expected in [(found.tried[budget], said.tried[budget])]]


def run(paths: Sequence[Path], logs_dir: Path, draws: int = DRAWS) -> pd.DataFrame:
    """Append what LOGS_DIR/history_worth.csv lacks; the rows of these boards."""
    with locks.writing(logs_dir / LOG):
        return _run(paths, logs_dir, draws)


def _run(paths: Sequence[Path], logs_dir: Path, draws: int) -> pd.DataFrame:
    log, boards = Ledger(logs_dir / LOG, WORTH), [Board.read(path, split) for path in paths for split in SPLITS]
    todo = [(board, draw, history) for board in boards for draw, history in board.histories(draws)
            if any(board.key(draw, history, budget) not in log for budget in board.budgets)]
    for board, row in ((board, row) for board in boards for row in log):
        if (row["dataset"], row["split"]) == (board.name, board.split) and row["matrix"] != board.matrix:
            raise InputError(f"{log.path}: its rows of {board.name} were computed from another board of that name, or "
                             "by another version; choose another --logs-dir, or move it away")
    with cli.Progress(len(todo), "histories", "choice") as progress:
        for board, draw, history in todo:
            log.append(row for row in board.rows(draw, history) if row not in log)
            progress.advance()
    rows = read(logs_dir / LOG)
    return rows[rows["dataset"].isin({board.name for board in boards})]


def read(path: Path) -> pd.DataFrame:
    """Raises InputError if it is not there, or holds several boards of one name."""
    rows = read_csv(path, "the log of histories", dtype={"dataset": str, "matrix": str, "split": str})
    for (name, _), matrices in rows.groupby(["dataset", "split"])["matrix"]:
        if matrices.nunique() > 1:
            raise InputError(f"{path}: its rows of {name} are of different boards, so they must not stand in one "
                             "table; run python figures/history_logs.py into another --logs-dir")
    return rows


# --- tables --------------------------------------------------------------------------------------------

def by_size(rows: pd.DataFrame) -> list[list[str]]:
    """A line a board and size of history, split by date: ESS by width / by error by budget, means over draws."""
    rows = rows[rows["split"] == "date"]
    budgets = [20, 50, 100, 200]
    lines = [["board", "history", *map(str, budgets)]]
    for (dataset, size), cell in rows.groupby(["dataset", "history"], sort=True):
        means = cell.groupby("budget")[["ess_width", "ess_mse"]].mean()
        lines.append([str(dataset), str(size), *(f"{means['ess_width'][b]:.2f} / {means['ess_mse'][b]:.2f}"
                                                if b in means.index else "" for b in budgets)])
    return lines


def checked(rows: pd.DataFrame) -> list[list[str]]:
    """A line a board and split, all of the history: forecast → what came of the half-width in points at 20, 100, 200
    questions and its ratio over all budgets, of ESS by width at 100."""
    lines = [["board", "split", "models", "± at 20", "± at 100", "± at 200", "came ÷ forecast", "ESS at 100"]]
    whole = rows[rows["history"] == rows.groupby(["dataset", "split"])["history"].transform("max")]
    for (dataset, split), cell in whole.groupby(["dataset", "split"], sort=True):
        at = cell.set_index("budget")
        ratio = at["half_width"] / at["forecast_half_width"]
        halves = [f"{100 * at['forecast_half_width'][b]:.1f} → {100 * at['half_width'][b]:.1f}" if b in at.index else ""
                  for b in (20, 100, 200)]
        worth = f"{at['forecast_ess_width'][100]:.2f} → {at['ess_width'][100]:.2f}" if 100 in at.index else ""
        lines.append([str(dataset), str(split), str(cell["history"].iloc[0]), *halves,
                      f"{ratio.mean():.2f} ({ratio.min():.2f}–{ratio.max():.2f})", worth])
    return lines


def errors(rows: pd.DataFrame) -> list[list[str]]:
    """A line a size of history, split by date, over boards, draws and budgets: what came of half-width and ESS by width
    over what was forecast, geometric mean and the middle 80 %."""
    lines = [["history", "boards", "half-width: came ÷ forecast", "ESS by width: came ÷ forecast"]]
    dated = rows[rows["split"] == "date"].copy()
    whole = dated["history"] == dated.groupby("dataset")["history"].transform("max")
    dated["size"] = dated["history"].astype(str).where(~whole, "all")
    for size in [*sorted(set(dated["size"]) - {"all"}, key=int), "all"]:
        cell = dated[dated["size"] == size]
        texts = []
        for of in ("half_width", "ess_width"):
            logs = np.log(cell[of] / cell[f"forecast_{of}"])
            low, high = np.exp(np.quantile(logs, [0.1, 0.9]))
            texts.append(f"{np.exp(logs.mean()):.2f} ({low:.2f}–{high:.2f})")
        lines.append([size, str(cell["dataset"].nunique()), *texts])
    return lines
