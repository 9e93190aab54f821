"""Tables of answers → one matrix.

Every reader yields tables of answers with the columns model, question, score (NaN = blank) and, if known, line,
task, category, created_date, sha and family; `pivot` makes the matrix. Nothing is resolved silently: repeated,
conflicting and unknown answers are counted, and refused or resolved by the chosen rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ..errors import InputError
from .matrix import MISSING, Responses
from .score_values import MATRIX

_INFO = ("created_date", "sha", "family")


@dataclass(frozen=True)
class Wanted:
    """What a user says of a table: the metric and the filter where it has several, what words are worth (--value), and
    what the scores range over (--range)."""

    metric: str | None = None
    filter: str | None = None
    values: dict[str, float] = field(default_factory=dict)
    scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class AnswerTable:
    """A table of answers; `files[row.file]` and `row.line` (0 = unknown) say where each one is."""

    rows: pd.DataFrame
    files: list[str]
    source: str

    @staticmethod
    def of(rows: pd.DataFrame, file: object) -> AnswerTable:
        """The answers of one file."""
        return AnswerTable(rows.assign(file=0), [str(file)], str(file))

    @staticmethod
    def join(tables: list[AnswerTable], source: str) -> AnswerTable:
        """One table of several, in their order; `source` is what errors call it."""
        rows = pd.concat([table.rows.assign(file=i) for i, table in enumerate(tables)], ignore_index=True)
        return AnswerTable(rows, [table.source for table in tables], source)

    def only(self, rows: pd.Series) -> AnswerTable:
        """The rows where `rows` is True."""
        return replace(self, rows=self.rows[rows])

    def place(self, row: pd.Series) -> str:
        """Where a row is, for a message: file and, if known, line."""
        line = row.get("line", 0)
        return f"{self.files[row['file']]}: line {int(line)}" if line > 0 else self.files[row["file"]]


def pivot(answers: AnswerTable, conflicts: str = "refuse", bank: pd.DataFrame | None = None, unknown: str = "refuse",
          notes: list[str] | None = None) -> tuple[Responses, list[str]]:
    """(M, N) matrix of a table of answers; models and questions in order of first appearance, or in the
    bank's order; and what was resolved, one line each, added to `notes`.

    conflicts  two different scores for one model and question: refuse, or take the first, last or mean
    bank       all valid questions (`tables.read_bank`); answers to `unknown` ones: refuse or drop

    Raises InputError for scores outside [0, 1] and for what these rules refuse.
    """
    notes = [] if notes is None else notes
    outside = answers.rows[~answers.rows["score"].between(MATRIX.low, MATRIX.high) & answers.rows["score"].notna()]
    if len(outside):
        first = outside.iloc[0]
        raise InputError(f"{answers.place(first)}: score {first['score']:g} of {first['model']} is not in [0, 1]; "
                         "what its scores range over is said with --range LOW HIGH")
    if bank is not None:
        answers = _known(answers, bank, unknown, notes)
    rows, source = answers.rows, answers.source
    models = pd.unique(rows["model"])
    questions = pd.unique(rows["question"]) if bank is None else bank["question"].to_numpy()
    labels = _labels(rows, questions, source) if bank is None else bank.drop(columns="question")
    m = pd.Index(models).get_indexer(rows["model"])
    q = pd.Index(questions).get_indexer(rows["question"])
    answers = replace(answers, rows=rows.assign(cell=m.astype(np.int64) * len(questions) + q))
    given = answers.only(rows["score"].notna())
    if blanks := len(rows) - len(given.rows):
        notes.append(f"{blanks} answers without a score are blanks")
    resolved = _resolve(given, conflicts, notes)
    whole = bool(resolved.isin((0.0, 1.0)).all())
    scores = np.full(len(models) * len(questions), MISSING if whole else np.nan, np.int8 if whole else np.float32)
    scores[resolved.index] = resolved.to_numpy()
    given_info = rows[["model", *(name for name in _INFO if name in rows)]].replace("", None)
    by_model = given_info.groupby("model", sort=False)
    for name in given_info.columns[1:]:
        if (several := by_model[name].nunique() > 1).any():
            model = several.index[several][0]
            raise InputError(f"{source}: {model} has several values in column {name} "
                             f"({', '.join(map(str, by_model[name].unique()[model][:3]))}); give each model one")
    info = by_model.first()
    column = {name: info[name].fillna("").to_numpy(str) if name in info else None for name in _INFO}
    return Responses(models.astype(str), questions.astype(str), scores.reshape(len(models), len(questions)),
                     column["created_date"], column["sha"], column["family"], labels.get("task"),
                     labels.get("category"), source=source), notes


def _known(answers: AnswerTable, bank: pd.DataFrame, unknown: str, notes: list[str]) -> AnswerTable:
    """Only the answers to questions of the bank."""
    rows = answers.rows
    inside = rows["question"].isin(bank["question"])
    if inside.all():
        return answers
    odd = rows[~inside].iloc[0]
    said = f"{int((~inside).sum())} answers to {rows['question'][~inside].nunique()} questions the bank does not list"
    if unknown == "refuse" or not inside.any():
        raise InputError(f"{answers.source}: {said}, first {odd['question']!r} ({answers.place(odd)}); complete the "
                         "bank, or drop them with --unknown drop")
    notes.append(f"{said} are dropped, first {odd['question']!r}")
    return answers.only(inside)


def _resolve(given: AnswerTable, conflicts: str, notes: list[str]) -> pd.Series:
    """cell → its one score."""
    rows = given.rows
    by_cell = rows.groupby("cell", sort=False)["score"]
    repeated = len(rows) - by_cell.ngroups
    if not repeated:
        return rows.set_index("cell")["score"]
    spread = by_cell.agg(["min", "max"])
    conflicting = spread.index[spread["min"] != spread["max"]]
    extra = int((rows["cell"].value_counts()[conflicting] - 1).sum())
    if repeated - extra:
        notes.append(f"{repeated - extra} answers repeat an equal one and count once")
    if len(conflicting) and conflicts == "refuse":
        pair = rows[rows["cell"] == conflicting[0]].drop_duplicates("score")
        one, other = pair.iloc[0], pair.iloc[1]
        raise InputError(f"{given.source}: {len(conflicting)} answers are given twice with different scores, first "
                         f"{one['model']} on {one['question']}: {one['score']:g} ({given.place(one)}) and "
                         f"{other['score']:g} ({given.place(other)}); choose with --conflicts first, last or mean")
    if len(conflicting):
        notes.append(f"{len(conflicting)} answers are given twice with different scores: the {conflicts} counts")
    return by_cell.agg("mean" if conflicts == "mean" else "last" if conflicts == "last" else "first")


def _labels(rows: pd.DataFrame, questions: np.ndarray, source: str) -> dict[str, np.ndarray]:
    """task and category of every question. Raises InputError if the answers disagree."""
    labels = {}
    for name in ("task", "category"):
        if name not in rows or not rows[name].astype(bool).any():
            continue
        by_question = rows.groupby("question", sort=False)[name]
        if (several := by_question.nunique() > 1).any():
            odd = several.index[several][0]
            raise InputError(f"{source}: question {odd!r} has several values in column {name} "
                             f"({', '.join(map(str, by_question.unique()[odd][:3]))}); give each its own name")
        labels[name] = by_question.first()[questions].fillna("").to_numpy(str)
    return labels


def columns_of(responses: Responses, bank: pd.DataFrame | None, unknown: str) -> tuple[Responses, list[str]]:
    """The bank's questions of a wide matrix, with their labels; a question without a column is blank."""
    if bank is None:
        return responses, []
    notes: list[str] = []
    columns = pd.DataFrame({"question": responses.questions, "line": 1})
    known = _known(AnswerTable.of(columns, responses.source), bank, unknown, notes)
    at = pd.Index(responses.questions).get_indexer(bank["question"])
    if lacking := int((at < 0).sum()):
        notes.append(f"{lacking} questions of the bank have no column and are blank, {len(known.rows)} have one")
    blank = MISSING if responses.scores.dtype == np.int8 else np.float32(np.nan)
    scores = np.where(at >= 0, responses.scores[:, at], blank).astype(responses.scores.dtype)
    labels = {"task": "tasks", "category": "categories"}
    return replace(responses, questions=bank["question"].to_numpy(str), scores=scores, **{
        field: bank[name].to_numpy(str) for name, field in labels.items() if name in bank}), notes


# --- of logs -------------------------------------------------------------------------------------------

def table_of(model: str, task: str, source: object, scores: dict[str, float]) -> AnswerTable:
    """One model's answers to one task, question id → score."""
    return AnswerTable.of(pd.DataFrame({"model": model, "question": [f"{task}/{key}" for key in scores],
                                    "score": list(scores.values()), "task": task}), source)
