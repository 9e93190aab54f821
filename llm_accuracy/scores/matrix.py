"""The responses matrix: models × questions, one score per cell; how it is read, written and split.

On disk a matrix is a wide CSV (plain or gzip): `model,created_date,sha[,family]`, then one column per
question; a cell is a score in [0, 1] or blank.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..files import DAMAGED, atomic, check_zip, first_line, numbered_lines, reading
from .score_values import RULES

if TYPE_CHECKING:
    import pandas as pd

METADATA = ("model", "created_date", "sha", "family")
MISSING = -1
_CELLS = {b"1": 1, b"0": 0, b"1.0": 1, b"0.0": 0, b"": MISSING}  # as cells are mostly written
_CACHE_FROM_BYTES = 1 << 20
_COMPACT = ("models", "questions", "scores", "dates", "shas", "families")  # what the copies in .cache hold
Labels = Sequence[str] | np.ndarray


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Responses:
    """Scores of models on questions.

    models     (M,) str, unique
    questions  (N,) str, unique
    scores     (M, N) int8, 0 / 1 / -1 = missing; or float32 in [0, 1] with NaN = missing
    dates      (M,) str, ISO dates, "" = undated
    shas       (M,) str, revision of the model, "" = unknown
    families   (M,) str, models of one family are siblings, "" = unknown
    tasks      (N,) str or None, the task each question belongs to
    categories (N,) str or None, the category each question's task belongs to

    Dates, revisions and families that are not given (None) are unknown for every model.

    Raises InputError for duplicate names or scores outside [0, 1], ValueError for shapes that disagree.
    """

    models: np.ndarray
    questions: np.ndarray
    scores: np.ndarray
    dates: np.ndarray
    shas: np.ndarray
    families: np.ndarray
    tasks: np.ndarray | None
    categories: np.ndarray | None
    source: str

    def __init__(self, models: Labels, questions: Labels, scores: np.ndarray, dates: Labels | None = None,
                 shas: Labels | None = None, families: Labels | None = None, tasks: Labels | None = None,
                 categories: Labels | None = None, source: str = "responses"):
        unknown = np.full(len(models), "")
        known = {"models": models, "questions": questions, "dates": unknown if dates is None else dates,
                 "shas": unknown if shas is None else shas, "families": unknown if families is None else families,
                 "tasks": tasks, "categories": categories}
        for name, labels in known.items():
            object.__setattr__(self, name, None if labels is None else np.asarray(labels, dtype=str))
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "source", source)
        n_models, n_questions = len(self.models), len(self.questions)
        if self.scores.shape != (n_models, n_questions):
            raise ValueError(f"scores are {self.scores.shape}, names say {(n_models, n_questions)}")
        for name in ("tasks", "categories"):
            if (labels := getattr(self, name)) is not None and len(labels) != n_questions:
                raise ValueError(f"{len(labels)} {name} for {n_questions} questions")
        _refuse_duplicates(self.models, "model", self.source)
        _refuse_duplicates(self.questions, "question", self.source)
        if self.scores.dtype not in (np.int8, np.float32):
            raise ValueError(f"scores are {self.scores.dtype}: int8 or float32 is needed")

    def __repr__(self) -> str:
        kind = "0/1" if self.scores.dtype == np.int8 else "scores in [0, 1]"
        blank = 1 - self.observed.mean() if self.scores.size else 0.0
        return (f"Responses({self.n_models} models × {self.n_questions} questions, {kind}, {blank:.1%} blank, "
                f"{self.source!r})")

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, dates: Sequence[str] | None = None, shas: Sequence[str] | None = None,
                   families: Sequence[str] | None = None, tasks: Sequence[str] | None = None,
                   categories: Sequence[str] | None = None, source: str = "DataFrame") -> Responses:
        """From a table of models × questions: the index names the models, the columns the questions; a cell is a
        number in [0, 1], a boolean, or missing (NaN, None, NA).

        dates, shas, families  one per row, in the table's order; tasks, categories: one per column

        The scores are int8 if all are 0, 1 or missing, else float32. Raises InputError, with model and question,
        for a cell that is not a score, for missing or repeated names, for the wrong number of labels, and for an
        empty table.
        """
        from .frames import scores_of_frame

        models, questions, scores = scores_of_frame(frame, source)
        for name, labels, names in (("dates", dates, models), ("shas", shas, models), ("families", families, models),
                                    ("tasks", tasks, questions), ("categories", categories, questions)):
            if labels is not None and len(labels) != len(names):
                raise InputError(f"{source}: {len(labels)} {name} for {len(names)} "
                                 f"{'models' if names is models else 'questions'}: give one each, in the table's order")
        return cls(models, questions, scores, dates, shas, families, tasks, categories, source)

    def to_frame(self) -> pd.DataFrame:
        """(M, N) float32, NaN = missing; index `model`, columns `question`. Without dates, families and tasks."""
        import pandas as pd

        return pd.DataFrame(_as_float(self.scores), pd.Index(self.models.astype(object), name="model"),
                            pd.Index(self.questions.astype(object), name="question"))

    @property
    def n_models(self) -> int:
        """M"""
        return len(self.models)

    @property
    def n_questions(self) -> int:
        """N"""
        return len(self.questions)

    @property
    def observed(self) -> np.ndarray:
        """(M, N) bool, True where a score is present."""
        return self.scores != MISSING if self.scores.dtype == np.int8 else ~np.isnan(self.scores)

    @property
    def complete(self) -> np.ndarray:
        """(M,) bool, True where a model has every score."""
        if self.scores.dtype == np.int8:
            return self.scores.min(axis=1, initial=0) != MISSING
        return ~np.isnan(self.scores).any(axis=1)

    def accuracy(self) -> np.ndarray:
        """(M,) mean observed score of each model, NaN where it has none."""
        observed = self.observed
        counts = observed.sum(axis=1)
        totals = np.where(observed, self.scores, 0).sum(axis=1, dtype=np.float64)
        return np.divide(totals, counts, out=np.full(self.n_models, np.nan), where=counts > 0)

    def take(self, rows: np.ndarray | slice) -> Responses:
        """The models at `rows` (indices, mask or slice), in that order."""
        return replace(self, models=self.models[rows], scores=self.scores[rows], dates=self.dates[rows],
                       shas=self.shas[rows], families=self.families[rows])

    def masked(self, keep: np.ndarray) -> Responses:
        """Only the entries where `keep` (M, N) is True; the others become missing."""
        blank = MISSING if self.scores.dtype == np.int8 else np.float32(np.nan)
        return replace(self, scores=np.where(keep, self.scores, blank).astype(self.scores.dtype))


def _refuse_duplicates(names: np.ndarray, what: str, source: str) -> None:
    unique, counts = np.unique(names, return_counts=True)
    if len(unique) < len(names):
        repeated = str(unique[counts > 1][0])
        places = np.flatnonzero(names == repeated) + 1
        where = "columns" if what == "question" else "rows"
        raise InputError(f"{source}: {what} {repeated!r} occurs {len(places)} times ({where} "
                         f"{', '.join(map(str, places[:5]))} of the {what}s): rename or remove the copies")


# --- order and split -----------------------------------------------------------------------------------

def split_by_date(responses: Responses, share: float = 0.5) -> tuple[Responses, Responses]:
    """(older, newer): a stable sort by date, undated models last, the first ⌊share·M⌋ rows are the older."""
    dated_order = np.lexsort((np.arange(responses.n_models), responses.dates, responses.dates == ""))
    cut = int(responses.n_models * share)
    return responses.take(dated_order[:cut]), responses.take(dated_order[cut:])


def family_of(model: str) -> str:
    """The default rule for which models are siblings: the lower-cased name without `@host`, `-sys`,
    quantisation and date suffixes. `Llama-3.1-8B-Instruct-fp8@together` → `llama-3.1-8b-instruct`."""
    name = model.lower().split("@")[0]
    suffix = re.compile(
        r"[-_.:](sys|fp8|fp16|bf16|f16|int[48]|[48]bit|q\d+(_k)?(_[sml]|_\d)?|iq\d\w*|awq|gptq|gguf|nf4|"
        r"(19|20)\d{2}-?\d{2}-?\d{2}|\d{4}|latest|preview)$")
    while (shorter := suffix.sub("", name)) != name and shorter:
        name = shorter
    return name


# --- reading -------------------------------------------------------------------------------------------

def read_matrix(path: Path | str, cache: bool = True) -> Responses:
    """Read a wide CSV (`.csv`, `.csv.gz`).

    For large files a compact copy is kept in a `.cache` folder next to them, keyed by the content, and read instead
    from then on; where that folder cannot be written, nothing is cached.

    Raises InputError for a missing or empty file, a header without `model`, ragged rows, duplicate names and
    cells that are neither blank nor a number in [0, 1].
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    compact = None
    if cache and path.stat().st_size >= _CACHE_FROM_BYTES:
        compact = path.parent / ".cache" / f"{path.name}.{_content_key(path)}.npz"
        if (known := _read_compact(compact, str(path))) is not None:
            return known
    with reading(path) as stream:
        responses = _parse(stream, str(path))
    if compact is not None:
        _write_compact(compact, responses)
    return responses


def _content_key(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()[:24]


def _parse(stream: IO[bytes], source: str) -> Responses:
    where = f"{source}: line 1"
    header = _fields(_text(first_line(stream, source), where, "utf-8-sig"), where)
    columns = {name: i for i, name in enumerate(header[: len(METADATA)]) if name in METADATA}
    n_meta = len(columns)
    if "model" not in columns or set(columns.values()) != set(range(n_meta)):
        raise InputError(f"{source}: the header must begin with {','.join(METADATA)} (model is required, the "
                         f"others are optional), not {','.join(header[:4])!r}")
    questions = header[n_meta:]
    if not questions:
        raise InputError(f"{source}: the header names no question after {','.join(header)!r}")
    fields: list[list[str]] = []
    rows: list[np.ndarray] = []
    for below, line in numbered_lines(stream, source):
        number = below + 1
        line = line.rstrip(b"\r\n")
        if not line:
            continue
        meta, cells = _split_line(line, n_meta, f"{source}: line {number}")
        fields.append(meta)
        rows.append(_parse_cells(cells, questions, f"{source}: line {number} ({meta[columns['model']]})"
                                 if len(meta) == n_meta else f"{source}: line {number}"))
    if not rows:
        raise InputError(f"{source}: no model below the header")
    continuous = any(row.dtype == np.float32 for row in rows)
    scores = np.stack([_as_float(row) for row in rows] if continuous else rows)
    column = {name: np.array([meta[i] for meta in fields]) for name, i in columns.items()}
    return Responses(column["model"], np.array(questions), scores, column.get("created_date"),
                     column.get("sha"), column.get("family"), source=source)


def _text(line: bytes, where: str, encoding: str = "utf-8") -> str:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 (byte {error.start}); save the table as UTF-8") from None


def _fields(line: str, where: str) -> list[str]:
    """The cells of one line. Raises InputError where it is none of a CSV, such as lines that end with \\r alone."""
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise InputError(f"{where}: not a line of a CSV ({error})") from None


def _split_line(line: bytes, n_meta: int, where: str) -> tuple[list[str], bytes]:
    """(metadata fields, the unparsed cells)."""
    if b'"' in line:
        fields = _fields(_text(line, where), where)
        return fields[:n_meta], ",".join(fields[n_meta:]).encode()
    *meta, cells = line.split(b",", n_meta)
    return [_text(field, where) for field in meta], cells


def _parse_cells(cells: bytes, questions: Sequence[str], where: str) -> np.ndarray:
    n = len(questions)
    raw = np.frombuffer(cells, np.uint8)
    # Nearly every row of a complete 0/1 matrix is single digits between commas: no need to split it.
    if len(raw) == 2 * n - 1 and (raw[1::2] == ord(",")).all() and ((raw[::2] | 1) == ord("1")).all():
        return (raw[::2] - ord("0")).astype(np.int8)
    parts = cells.split(b",")
    if len(parts) != n:
        raise InputError(f"{where}: {len(parts)} scores, the header names {n} questions: complete the row")
    distinct = set(parts)
    if distinct <= _CELLS.keys():
        return np.array([_CELLS[part] for part in parts], np.int8)
    read = {part: RULES["wide"].number(part.decode(errors="replace")) for part in distinct}
    if odd := next((i for i, part in enumerate(parts) if read[part] is None), -1) + 1:
        raise InputError(f"{where}, column {questions[odd - 1]}: {parts[odd - 1].decode(errors='replace')[:60]!r} is "
                         f"not a "
                         "score: blank or a number in [0, 1] is needed")
    values = np.array([read[part] for part in parts], np.float32)
    whole = np.isnan(values) | (values == 0) | (values == 1)
    return np.where(np.isnan(values), MISSING, values).astype(np.int8) if whole.all() else values


def _as_float(row: np.ndarray) -> np.ndarray:
    """Scores as float32, NaN = missing."""
    return row if row.dtype == np.float32 else np.where(row == MISSING, np.nan, row).astype(np.float32)


def _read_compact(path: Path, source: str) -> Responses | None:
    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as stored:
            return Responses(**{name: stored[name] for name in _COMPACT}, source=source)
    except (*DAMAGED, InputError):
        return None  # absent or incomplete: the CSV is authoritative, and the copy is made again


def _write_compact(path: Path, responses: Responses) -> None:
    try:
        with atomic(path) as part:
            np.savez_compressed(part, **{name: getattr(responses, name) for name in _COMPACT})
    except InputError:
        pass  # a read-only folder: only speed is lost


# --- writing -------------------------------------------------------------------------------------------

def write_matrix(path: Path, responses: Responses) -> None:
    """Write the wide CSV that `read_matrix` reads; whole or not at all."""
    with atomic(path) as stream:
        write_rows(stream, responses)


def write_rows(stream: IO[bytes], responses: Responses) -> None:
    """Write the same to an open file."""
    family = [responses.families] if (responses.families != "").any() else []
    names = METADATA[: 3 + len(family)]
    text = np.array([b"", b"0", b"1"], dtype=object)
    stream.write(_csv_line([*names, *responses.questions]) + b"\n")
    for i, row in enumerate(responses.scores):
        meta = [column[i] for column in (responses.models, responses.dates, responses.shas, *family)]
        cells = (text[row + 1].tolist() if row.dtype == np.int8
                 else [b"" if np.isnan(x) else b"%.9g" % x for x in row.tolist()])
        stream.write(_csv_line(meta) + b"," + b",".join(cells) + b"\n")


def _csv_line(fields: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue().encode()
