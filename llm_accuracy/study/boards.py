"""Every board in a folder: split, factors, every method at small and large budgets, and what they reached.

A *board* is a matrix of many models' scores. What is run are the project's own scripts (`steps`), so a board's logs are
those of a study, finished trials are not repeated, and the command of every step can be run by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import around, atomic
from ..querying.policies import POLICIES, WALKING
from ..querying.rivals import RIVALS, SRS
from ..querying.setting import DEFAULT_SETTING
from ..scores.dataset import Dataset
from . import columns, grids, ledger, summaries
from .columns import ACTIVE
from .provenance import refuse_mixed
from .tables import TRIALS

BUDGETS = ("20", "50", "100", "5%", "10%", "25%")  # those below the number of questions
LARGE = ((4e9, 2), (4e8, 5))  # new models × questions × largest budget from which on so many seeds are enough
FEW_SEEDS = {ACTIVE: 2}  # a step for every question of the bank, whatever the budget
ROUGHLY = ("--rank", 4, "--weight-decay", 4.0, "--epochs", 2)  # of factors that only price what is to be run
SUFFIXES = (".csv.gz", ".csv")
ARM = list(columns.ARM)


@dataclass(frozen=True)
class Source:
    """A matrix in a file."""

    path: Path

    @property
    def name(self) -> str:
        return next(self.path.name.removesuffix(suffix) for suffix in SUFFIXES if self.path.name.endswith(suffix))


def found(folder: Path, names: Sequence[str] | None) -> list[Source]:
    """The matrices of a folder, or those named, in order of their names.

    Raises InputError if the folder or a board is not there, or two files have one name.
    """
    paths = sorted(path for suffix in SUFFIXES for path in folder.glob(f"*{suffix}") if ".items." not in path.name)
    known: dict[str, Source] = {}
    for source in map(Source, paths):
        if source.name in known:
            raise InputError(f"{source.path}: a board of that name is there already, {known[source.name].path}")
        known[source.name] = source
    if not known:
        raise InputError(f"{folder}: no matrix there (*.csv.gz or *.csv; what is named *.items.* is none)")
    if unknown := [name for name in names or () if name not in known]:
        raise InputError(f"--boards {unknown[0]}: there are {', '.join(known)}")
    return [known[name] for name in names or known]


def dataset_name(source: Source, args: argparse.Namespace) -> str:
    """Of the board, split as asked for: another split is another dataset, in files and logs."""
    parts = [source.name] + [args.split_by] * (args.split_by != "date")
    parts += [f"shuffle{args.shuffle}"] * (args.shuffle is not None)
    return "-".join(parts + [args.incomplete] * (args.incomplete != "models"))


@dataclass(frozen=True)
class Board:
    """A split board: its folders, its size, and how many seeds it is given."""

    name: str
    data_dir: Path
    logs_dir: Path
    models: int
    questions: int
    seeds: int
    asked_for: int

    @staticmethod
    def read(name: str, data_dir: Path, logs_dir: Path, seeds: int) -> Board:
        """Of a dataset that is there."""
        new = Dataset(data_dir, name).new_models()
        size = new.n_models * new.n_questions * max(_budgets(new.n_questions, name).values())
        most = next((few for least, few in LARGE if size >= least), seeds)
        return Board(name, data_dir, logs_dir, new.n_models, new.n_questions, min(seeds, most), seeds)

    @property
    def budgets(self) -> dict[str, int]:
        """{as it is called: number of questions}"""
        return _budgets(self.questions, self.name)

    def seeds_of(self, method: str) -> int:
        return min(self.seeds, FEW_SEEDS.get(method, self.seeds))

    def says(self) -> str:
        fewer = f" of {self.asked_for}: a large board" if self.seeds < self.asked_for else ""
        return f"{self.name}: {self.models} new models x {self.questions} questions, {self.seeds} seeds{fewer}"


def _budgets(n_questions: int, name: str) -> dict[str, int]:
    few = [text for text in BUDGETS if not text.isdigit() or int(text) < n_questions]
    return {text: grids.parse_budgets([text], n_questions, name)[0] for text in few}


# --- what is run ---------------------------------------------------------------------------------------

Step = tuple[str, tuple[object, ...]]  # a script and its arguments


def splitting(source: Source, args: argparse.Namespace, data_dir: Path) -> Step:
    """Makes the dataset anew each time: a matrix that has changed must not go unnoticed."""
    given = ["--split-by", args.split_by, "--incomplete", args.incomplete]
    given += [] if args.shuffle is None else ["--shuffle", args.shuffle]
    return "data/split_history.py", (source.path, "--dataset", dataset_name(source, args), "--data-dir", data_dir,
                                     *given, "--overwrite")


def fitting(boards: Sequence[Board], dry_run: bool = False) -> Iterator[Step]:
    """Cross-validation over the small grid (the laptop tier's), and the factors of the whole history. `dry_run`: rough
    factors, after what the real ones would cost is printed."""
    for together in _alike(boards, lambda board: (board.data_dir, board.logs_dir)):
        where = _where(together)
        yield "factor_models_cv.py", (*where, *["--dry-run"] * dry_run)
        yield "factor_models_final.py", (*where, *(ROUGHLY if dry_run else ()))


def trials(boards: Sequence[Board], chosen: Sequence[str], dry_run: bool = False) -> Iterator[Step]:
    """Every method on every board; boards that take the same budgets and seeds go together."""
    more = ["--dry-run"] * dry_run
    for together in _alike(boards, lambda board: (board.data_dir, board.logs_dir, tuple(board.budgets), board.seeds)):
        first = together[0]
        grid = (*_where(together), "--budgets", *first.budgets)
        for name in (name for name in chosen if name in POLICIES):
            setting = [] if POLICIES[name].setting else ["--setting", DEFAULT_SETTING.key]
            yield "faq_final.py", (*grid, "--seeds", first.seeds_of(name), "--policies", name, *setting, *more)
        if baselines := [name for name in chosen if name in (SRS, *WALKING, *RIVALS)]:
            yield "baselines_all.py", (*grid, "--seeds", first.seeds, "--policies", *baselines, *more)
        if ACTIVE in chosen:
            yield "ablations_all.py", (*grid, "--seeds", first.seeds_of(ACTIVE), "--arms", ACTIVE, *more)


def _where(boards: Sequence[Board]) -> tuple[object, ...]:
    return ("--datasets", *(board.name for board in boards), "--scenarios", grids.DEFAULT_SCENARIO, "--data-dir",
            boards[0].data_dir, "--logs-dir", boards[0].logs_dir, "--device", "cpu")


def _alike(boards: Sequence[Board], key) -> Iterator[list[Board]]:
    groups: dict[object, list[Board]] = {}
    for board in boards:
        groups.setdefault(key(board), []).append(board)
    yield from groups.values()


# --- what came of it -----------------------------------------------------------------------------------

def table(boards: Sequence[Board], chosen: Sequence[str]) -> pd.DataFrame:
    """One row per board, budget and method that a reader compares, `columns.BOARDS`."""
    parts = []
    for folder in dict.fromkeys(board.logs_dir for board in boards):
        mine = [board for board in boards if board.logs_dir == folder]
        rows, per_model = (pd.concat([_asked_for(ledger.read(path, script), mine, chosen)
                                      for name, script in TRIALS.items()
                                      if (path := folder / name.replace(".csv", f"{kind}.csv")).is_file()])
                           for kind in ("", "_models"))
        refuse_mixed(rows, folder)
        summary = summaries.summarize(rows).drop(columns="coverage_se")
        parts.append(summaries.compared(summary.merge(misses(per_model), on=ARM)))
    every = pd.concat(parts, ignore_index=True)
    called = pd.DataFrame([(board.name, label, budget) for board in boards for label, budget in board.budgets.items()],
                          columns=["dataset", "called", "budget"])
    return called.merge(every, on=["dataset", "budget"], sort=False)[list(columns.BOARDS)]


def _asked_for(log: pd.DataFrame, boards: Sequence[Board], chosen: Sequence[str]) -> pd.DataFrame:
    """A log's rows of these boards, methods and seeds."""
    known = {board.name: board for board in boards}
    log = log[log["dataset"].isin(known) & log["method"].isin(chosen)]
    few = [seed < known[name].seeds_of(method)
           for name, method, seed in zip(log["dataset"], log["method"], log["seed"], strict=True)]
    return log[np.array(few, bool)]


def misses(per_model: pd.DataFrame) -> pd.DataFrame:
    """Of every arm of a per-model log: coverage_se, clustered by model (a model's seeds are one observation), and the
    shares of intervals above which and below which the truth lies."""
    rows = []
    for key, arm in per_model.groupby(ARM, sort=False):
        letters = np.array([list(text) for text in arm["covered"]])  # (seeds, models)
        of_model = (letters == columns.COVERED).mean(0)
        rows.append(dict(zip(ARM, key, strict=True)) | {
            "coverage_se": of_model.std(ddof=1) / np.sqrt(len(of_model)) if len(of_model) > 1 else np.nan,
            "above": (letters == columns.ABOVE).mean(), "below": (letters == columns.BELOW).mean()})
    return pd.DataFrame(rows)


MEASURES = ("coverage", "ess_width", "ess_mse")


def over_boards(every: pd.DataFrame) -> pd.DataFrame:
    """Means over boards of a budget and method, ± the standard error of such a mean, the boards taken as given; and the
    lowest of the boards' coverages."""
    rows = []
    for (called, name), cell in every.groupby(["called", "name"], sort=False):
        row = {"called": called, "name": name, "boards": len(cell), "lowest": cell["coverage"].min()}
        for measure in MEASURES:
            row[measure] = cell[measure].mean()
            row[f"{measure}_se"] = np.sqrt((cell[f"{measure}_se"] ** 2).sum(skipna=False)) / len(cell)
        rows.append(row | {side: cell[side].mean() for side in ("above", "below")})
    return pd.DataFrame(rows)


HEADER = ["budget", "method", "coverage", "missed above / below", "ESS by width", "ESS by error"]


def lines_of(rows: pd.DataFrame) -> list[list[str]]:
    """Header and rows of text, of one board or of the means over boards."""
    over = "lowest" in rows
    lines = [HEADER + ["lowest coverage of a board"] * over]
    for row in rows.itertuples():
        budget = row.called if "budget" not in rows or row.called.isdigit() else f"{row.called} ({row.budget})"
        lines.append([budget, row.name, summaries.plus_minus(row.coverage, row.coverage_se, 3),
                      f"{row.above:.3f} / {row.below:.3f}", summaries.plus_minus(row.ess_width, row.ess_width_se, 2),
                      summaries.plus_minus(row.ess_mse, row.ess_mse_se, 2), *([f"{row.lowest:.3f}"] if over else [])])
    return lines


def compact(rows: pd.DataFrame) -> list[list[str]]:
    """One line a method, one column a budget: coverage, ESS by width / by error."""
    budgets = list(dict.fromkeys(rows["called"]))
    lines = [["coverage, ESS by width / by error", *budgets]]
    for name, of_method in rows.groupby("name", sort=False):
        cell = of_method.set_index("called")
        lines.append([name, *(f"{cell['coverage'][b]:.3f}, {cell['ess_width'][b]:.2f} / {cell['ess_mse'][b]:.2f}"
                              if b in cell.index else "" for b in budgets)])
    return lines


def text(lines: Sequence[Sequence[str]]) -> str:
    """Aligned for a terminal."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)


def sections(every: pd.DataFrame, boards: Sequence[Board], show=text) -> Iterator[tuple[str, str]]:
    """(heading, table): means over boards, then board by board; show: `text` or `summaries.markdown`."""
    means = over_boards(every)
    count = f"{means['boards'].max()} boards" if len(boards) > 1 else "one board"
    yield f"Means over {count}", show(compact(means))
    yield f"Means over {count}, with standard errors", show(lines_of(means))
    for board in boards:
        yield board.says(), show(lines_of(every[every["dataset"] == board.name]))


def briefly(every: pd.DataFrame, boards: Sequence[Board]) -> Iterator[tuple[str, str]]:
    """`sections` with one line a method of each board."""
    yield from list(sections(every, boards, summaries.markdown))[:2]
    for board in boards:
        yield board.says(), summaries.markdown(compact(every[every["dataset"] == board.name]))


def write(every: pd.DataFrame, boards: Sequence[Board], logs_dir: Path, page: Path | None = None,
          said: Iterable[str] = (), split_by: str = "date", mark: str = "boards") -> list[Path]:
    """LOGS_DIR/boards.csv and boards.md; and what boards.md holds into a page, between its marks: of another split than
    by date, one line a method and board."""
    paths = [logs_dir / "boards.csv", logs_dir / "boards.md"]
    with atomic(paths[0], "w") as stream:
        every.to_csv(stream, index=False, float_format="%.7g", lineterminator="\n")
    first = "".join(f"{line}\n" for line in said)
    body = first + "".join(f"\n## {heading}\n\n{made}" for heading, made in sections(every, boards, summaries.markdown))
    with atomic(paths[1], "w") as stream:
        stream.write(body)
    if page is not None:
        before, after = place(page, split_by, mark)
        if split_by != "date":
            body = first + "".join(f"\n### {heading}\n\n{made}" for heading, made in briefly(every, boards))
        with atomic(page, "w") as stream:
            stream.write(before + body + after)
        paths.append(page)
    return paths


def place(page: Path, split_by: str, mark: str = "boards") -> tuple[str, str]:
    """What stands before and after the tables of a split on a page: between <!-- mark --> and <!-- /mark -->, or those
    of `mark split_by`. Raises InputError for a page without the place."""
    return around(page, mark if split_by == "date" else f"{mark} {split_by}")
