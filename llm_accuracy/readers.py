"""Anyone's results → one matrix: wide or long CSV, lm-evaluation-harness, inspect_ai and HELM output.

Every reader yields tables of answers with the columns model, question, score (NaN = blank) and, if known, line,
task, category, created_date, sha and family; `pivot` makes the matrix. Nothing is resolved silently: repeated,
conflicting and unknown answers are counted, and refused or resolved by the rule that was asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError
from .eval_logs import Choices, read_harness
from .responses import MISSING, Responses, read_matrix

FORMATS = ("wide", "long", "lm-eval", "inspect", "helm")
CONFLICTS = ("refuse", "first", "last", "mean")
_WORDS = {"true": 1.0, "false": 0.0, "": np.nan, "nan": np.nan, "null": np.nan, "none": np.nan}
LOOSE_IFEVAL = "prompt_level_loose_acc"
_INFO = ("created_date", "sha", "family")


def read(kind: str, paths: list[Path], metric: str | None = None, filter_: str | None = None,
         conflicts: str = "refuse", bank: Path | None = None, unknown: str = "refuse") -> tuple[Responses, list[str]]:
    """(matrix, what was resolved and how, one line each).

    kind       one of FORMATS
    metric     the score to take where a log has several
    filter_    lm-eval: the filter to take where a task has several
    conflicts  two different scores for one model and question: refuse, or take the first, last or mean
    bank       a CSV question[,task[,category]]: the questions there are, in this order
    unknown    answers to questions that `bank` does not list: refuse or drop

    Raises InputError for what cannot be read or is not resolved by these rules.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    source = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if kind == "wide":
        if len(paths) > 1:
            raise InputError(f"{source}: --from wide takes one matrix")
        return _columns_of(read_matrix(paths[0]), _read_bank(bank), unknown)
    reader = {"long": read_long, "lm-eval": read_lm_eval, "inspect": read_inspect, "helm": read_helm}[kind]
    notes: list[str] = []
    tables = [table for path in paths for table in reader(path, metric, filter_, notes)]
    if not sum(len(table.rows) for table in tables):
        raise InputError(f"{source}: no answers found; is it what --from {kind} reads?"
                         + "".join(f" ({note})" for note in notes[:1]))
    return pivot(AnswerTable.join(tables, source), conflicts, _read_bank(bank), unknown, notes)


@dataclass(frozen=True)
class AnswerTable:
    """A table of answers; `files[row.file]` and `row.line` (0 = unknown) say where one stands."""

    rows: pd.DataFrame
    files: list[str]
    source: str

    @staticmethod
    def of(rows: pd.DataFrame, file: object) -> AnswerTable:
        return AnswerTable(rows.assign(file=0), [str(file)], str(file))

    @staticmethod
    def join(tables: list[AnswerTable], source: str) -> AnswerTable:
        rows = pd.concat([table.rows.assign(file=i) for i, table in enumerate(tables)], ignore_index=True)
        return AnswerTable(rows, [table.source for table in tables], source)

    def only(self, rows: pd.Series) -> AnswerTable:
        return replace(self, rows=self.rows[rows])

    def place(self, row: pd.Series) -> str:
        line = row.get("line", 0)
        return f"{self.files[row['file']]}: line {int(line)}" if line > 0 else self.files[row["file"]]


def pivot(answers: AnswerTable, conflicts: str = "refuse", bank: pd.DataFrame | None = None, unknown: str = "refuse",
          notes: list[str] | None = None) -> tuple[Responses, list[str]]:
    """(M, N) matrix of a table of answers; models and questions in the order they first appear, or the bank's."""
    notes = [] if notes is None else notes
    outside = answers.rows[~answers.rows["score"].between(0, 1) & answers.rows["score"].notna()]
    if len(outside):
        first = outside.iloc[0]
        raise InputError(f"{answers.place(first)}: score {first['score']:g} of {first['model']} is not in [0, 1]")
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
    info = rows.groupby("model", sort=False)[[name for name in _INFO if name in rows]].first()
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
            raise InputError(f"{source}: question {odd!r} stands in several of column {name} "
                             f"({', '.join(map(str, by_question.unique()[odd][:3]))}); give each its own name")
        labels[name] = by_question.first()[questions].fillna("").to_numpy(str)
    return labels


def _read_bank(path: Path | None) -> pd.DataFrame | None:
    if path is None:
        return None
    bank = _read_table(path, ("question",))
    if (twice := bank["question"].duplicated()).any():
        raise InputError(f"{path}: line {int(twice.idxmax()) + 2}: question {bank['question'][twice].iloc[0]!r} "
                         "stands twice")
    return bank[[name for name in ("question", "task", "category") if name in bank]]


def _columns_of(responses: Responses, bank: pd.DataFrame | None, unknown: str) -> tuple[Responses, list[str]]:
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


def with_info(responses: Responses, path: Path) -> Responses:
    """Dates, revisions and families from a CSV model[,created_date][,sha][,family]; others keep what they have.

    Raises InputError where a model stands twice, or where no model of the matrix is listed.
    """
    info = _read_table(path, ("model",))
    if (twice := info["model"].duplicated()).any():
        raise InputError(f"{path}: line {int(twice.idxmax()) + 2}: model {info['model'][twice].iloc[0]!r} stands twice")
    info = info.set_index("model").reindex(responses.models)
    if info.isna().all(axis=None):
        raise InputError(f"{path}: lists none of the models, such as {responses.models[0]!r}")
    fields = {"created_date": "dates", "sha": "shas", "family": "families"}
    return replace(responses, **{
        field: np.where(info[name].notna(), info[name].fillna(""), getattr(responses, field)).astype(str)
        for name, field in fields.items() if name in info})


def _read_table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """A CSV as text, blanks as ""."""
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not a readable CSV ({str(error).strip()})") from None
    for name in needed:
        if name not in rows:
            raise InputError(f"{path}: the header must name {', '.join(needed)}, not {','.join(map(str, rows))!r:.80}")
    return rows


# --- long CSV ------------------------------------------------------------------------------------------

def read_long(path: Path, metric: str | None, filter_: str | None, notes: list[str]) -> Iterator[AnswerTable]:
    """`model,question,score[,task][,category][,created_date][,sha][,family]`, one answer a line."""
    rows = _read_table(path, ("model", "question", "score"))
    for name in ("model", "question"):
        if (blank := rows[name].str.strip() == "").any():
            raise InputError(f"{path}: line {int(blank.idxmax()) + 2}: {name} is blank; every answer needs one")
    text = rows["score"].str.strip().str.lower()
    numbers = pd.to_numeric(text, errors="coerce")
    words = text.isin(list(_WORDS))
    if (bad := ~words & numbers.isna()).any():
        raise InputError(f"{path}: line {int(bad.idxmax()) + 2}: {rows['score'][bad].iloc[0]!r} is not a score: a "
                         "number in [0, 1], true, false or a blank is needed")
    rows["score"] = numbers.where(~words, text.map(_WORDS))
    yield AnswerTable.of(rows.assign(line=np.arange(2, len(rows) + 2)), path)


# --- logs of evaluation tools --------------------------------------------------------------------------

def _table(model: str, task: str, source: object, scores: dict[str, float]) -> AnswerTable:
    """One model's answers to one task, question id → score."""
    return AnswerTable.of(pd.DataFrame({"model": model, "question": [f"{task}/{key}" for key in scores],
                                    "score": list(scores.values()), "task": task}), source)


def _mean(scores: dict[str, list[float]], what: str, source: object, notes: list[str]) -> dict[str, float]:
    """Repetitions of a question are averaged, and said so."""
    most = max(map(len, scores.values()), default=1)
    if most > 1:
        notes.append(f"{source}: up to {most} {what} a question, averaged")
    return {key: float(np.mean(values)) for key, values in scores.items()}


def _load_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error})") from None


def read_lm_eval(folder: Path, metric: str | None, filter_: str | None, notes: list[str]) -> Iterator[AnswerTable]:
    """Output of lm-evaluation-harness (`--log_samples`): every folder below with samples_<task>_<time>.jsonl is
    one model, of which the newest run is read; its name is the one in results_<time>.json, else the folder's.

    IFEval counts as in the histories of the leaderboard, by its loose accuracy, unless `metric` says otherwise.
    """
    known = {} if metric else {"leaderboard_ifeval*": (LOOSE_IFEVAL, filter_)}
    choices = Choices({**known, "*": (metric, filter_)}, source="--metric and --filter", flags="--metric or --filter")
    for where in sorted({path.parent for path in folder.rglob("samples_*.json*")} if folder.is_dir() else ()):
        tasks = read_harness(where, choices)
        for task, scores in tasks.items():
            notes += [note for note in scores.notes if note not in notes]
            name = _model_name(Path(scores.source)) or where.name
            yield _table(name, task, scores.source, scores.frame["score"].to_dict())


def _model_name(samples: Path) -> str | None:
    """The model's name in the results file that belongs to a samples file."""
    results = samples.with_name(f"results_{samples.stem.rsplit('_', 1)[1]}.json")
    return _load_json(results).get("model_name") if results.is_file() else None


def read_inspect(path: Path, metric: str | None, filter_: str | None, notes: list[str]) -> Iterator[AnswerTable]:
    """Logs of inspect_ai (.eval or .json), read by inspect_ai itself; a folder may hold many.

    Letters count as inspect_ai counts them (C = 1, P = ½, I and N = 0); epochs are averaged.
    """
    try:
        from inspect_ai.log import list_eval_logs, read_eval_log
        from inspect_ai.scorer import value_to_float
    except ImportError:
        raise InputError("--from inspect reads logs with inspect_ai's own reader: pip install inspect_ai") from None
    number = value_to_float()
    logs = [str(path)] if path.is_file() else list_eval_logs(str(path), recursive=True, descending=False)
    for info in logs:
        log = read_eval_log(info)
        source = log.location or str(info)
        if log.status != "success":
            notes.append(f"{source}: left out, its status is {log.status}")
            continue
        scores: dict[str, list[float]] = {}
        for sample in log.samples or []:
            given = sample.scores or {}
            name = metric or (next(iter(given)) if len(given) == 1 else None)
            if name not in given:
                raise InputError(f"{source}: sample {sample.id}: scorers {', '.join(given) or 'none'}; choose one with "
                                 "--metric")
            scores.setdefault(str(sample.id), []).append(number(given[name].value))
        yield _table(log.eval.model, log.eval.task, source, _mean(scores, "epochs", source, notes))


def read_helm(path: Path, metric: str | None, filter_: str | None, notes: list[str]) -> Iterator[AnswerTable]:
    """Runs of HELM: per_instance_stats.json with run_spec.json beside it. Perturbed instances are left out,
    train trials averaged; the metric is exact_match unless another is named."""
    wanted = metric or "exact_match"
    files = sorted(path.rglob("per_instance_stats.json")) if path.is_dir() else [path]
    for file in files:
        run = _load_json(file.with_name("run_spec.json"))
        try:
            model = run["adapter_spec"]["model"]
            task = re.sub(r"[:,]model(_deployment)?=[^,]*", "", run["name"])
            scores, names, perturbed = _helm_scores(_load_json(file), wanted)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: not the layout of HELM (missing {error})") from None
        if perturbed:
            notes.append(f"{file}: {perturbed} perturbed instances are left out")
        if not scores:
            raise InputError(f"{file}: no metric {wanted!r}; choose with --metric, e.g. {', '.join(sorted(names)[:8])}")
        yield _table(model, task, file, _mean(scores, "trials", file, notes))


def _helm_scores(instances: list[dict], wanted: str) -> tuple[dict[str, list[float]], set[str], int]:
    scores: dict[str, list[float]] = {}
    names: set[str] = set()
    perturbed = 0
    for instance in instances:
        if instance.get("perturbation"):
            perturbed += 1
            continue
        for stat in instance["stats"]:
            names.add(stat["name"]["name"])
            if stat["name"]["name"] == wanted and stat["count"] and not stat["name"].get("perturbation"):
                scores.setdefault(instance["instance_id"], []).append(stat["sum"] / stat["count"])
    return scores, names, perturbed
