"""The responses matrix: models × questions, one score per cell; how it is read, written, split and masked.

On disk a matrix is a wide CSV (plain or gzip): `model,created_date,sha[,family]`, then one column per
question; a cell is a score in [0, 1] or blank. A *dataset* is a folder (or a zip of one) with

    M1.csv                      history: the older models
    M2.csv                      new models, complete
    M1_nfobs=<n|None>_p=<p>.csv history as seen in one scenario of missingness (optional), or
    masks/nfobs=<n>_p=<p>.npz   the same as a packed mask
    questions.csv               question,task[,category] (optional)
    truth.npz                   log-odds of the new models' answers (simulated boards only)

which is the layout of the archive published with arXiv 2601.20251.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .errors import InputError

METADATA = ("model", "created_date", "sha", "family")
MISSING = -1
_CELLS = {b"": MISSING, b"0": 0, b"1": 1, b"0.0": 0, b"1.0": 1, b"False": 0, b"True": 1, b"nan": MISSING,
          b"NaN": MISSING}
_CACHE_FROM_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
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

    Raises InputError for duplicate names or scores outside [0, 1], ValueError for shapes that disagree.
    """

    models: np.ndarray
    questions: np.ndarray
    scores: np.ndarray
    dates: np.ndarray | None = None
    shas: np.ndarray | None = None
    families: np.ndarray | None = None
    tasks: np.ndarray | None = None
    categories: np.ndarray | None = None
    source: str = "responses"

    def __post_init__(self):
        for name in ("models", "questions", "dates", "shas", "families", "tasks", "categories"):
            value = getattr(self, name)
            if value is None and name in ("dates", "shas", "families"):
                value = np.full(len(self.models), "")
            object.__setattr__(self, name, None if value is None else np.asarray(value, dtype=str))
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

    @property
    def n_models(self) -> int:
        return len(self.models)

    @property
    def n_questions(self) -> int:
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
        raise InputError(f"{source}: {what} {repeated!r} stands {len(places)} times ({where} "
                         f"{', '.join(map(str, places[:5]))} of the {what}s): rename or remove the copies")


# --- order and split -----------------------------------------------------------------------------------

def split_by_date(responses: Responses, share: float = 0.5) -> tuple[Responses, Responses]:
    """(older, newer): a stable sort by date, undated models last, the first ⌊share·M⌋ rows are the older."""
    dated_order = np.lexsort((np.arange(responses.n_models), responses.dates, responses.dates == ""))
    cut = int(responses.n_models * share)
    return responses.take(dated_order[:cut]), responses.take(dated_order[cut:])


def family_of(model: str) -> str:
    """The default rule for who is a sibling of whom: the lower-cased name without `@host`, `-sys`,
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

    Large files leave a compact copy in a `.cache` folder beside them, keyed by the content, which is read
    instead from then on; where that folder cannot be written, nothing is cached.

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
    try:
        with _open_binary(path) as stream:
            responses = _parse(stream, str(path))
    except (gzip.BadGzipFile, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a complete gzip file ({error}); fetch it again") from None
    if compact is not None:
        _write_compact(compact, responses)
    return responses


def _open_binary(path: Path):
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _content_key(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()[:24]


def _parse(stream: Iterable[bytes], source: str) -> Responses:
    lines = iter(stream)
    header = next(csv.reader([next(lines, b"").decode("utf-8-sig")]), [])
    columns = {name: i for i, name in enumerate(header[: len(METADATA)]) if name in METADATA}
    n_meta = len(columns)
    if "model" not in columns or set(columns.values()) != set(range(n_meta)):
        raise InputError(f"{source}: the header must begin with {','.join(METADATA)} (model is needed, the "
                         f"others may be left out), not {','.join(header[:4])!r}")
    questions = header[n_meta:]
    if not questions:
        raise InputError(f"{source}: the header names no question after {','.join(header)!r}")
    fields: list[list[str]] = []
    rows: list[np.ndarray] = []
    for number, line in enumerate(lines, start=2):
        line = line.rstrip(b"\r\n")
        if not line:
            continue
        meta, cells = _split_line(line, n_meta)
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


def _split_line(line: bytes, n_meta: int) -> tuple[list[str], bytes]:
    """(metadata fields, the cells as they stand)."""
    if b'"' in line:
        fields = next(csv.reader([line.decode()]))
        return fields[:n_meta], ",".join(fields[n_meta:]).encode()
    *meta, cells = line.split(b",", n_meta)
    return [field.decode() for field in meta], cells


def _parse_cells(cells: bytes, questions: Sequence[str], where: str) -> np.ndarray:
    n = len(questions)
    raw = np.frombuffer(cells, np.uint8)
    # Nearly every row of a complete 0/1 matrix is single digits between commas: no need to split it.
    if len(raw) == 2 * n - 1 and (raw[1::2] == ord(",")).all() and ((raw[::2] | 1) == ord("1")).all():
        return (raw[::2] - ord("0")).astype(np.int8)
    parts = cells.split(b",")
    if len(parts) != n:
        raise InputError(f"{where}: {len(parts)} scores, the header names {n} questions: complete the row")
    values = [_CELLS.get(part) for part in parts]
    if None not in values:
        return np.array(values, np.int8)
    return _parse_floats(parts, questions, where)


def _parse_floats(parts: list[bytes], questions: Sequence[str], where: str) -> np.ndarray:
    values = np.empty(len(parts), np.float32)
    for i, part in enumerate(parts):
        known = _CELLS.get(part)
        try:
            value = (np.nan if known == MISSING else known) if known is not None else float(part)
        except ValueError:
            value = np.inf
        if not (0 <= value <= 1 or np.isnan(value)):
            raise InputError(f"{where}, column {questions[i]}: {part.decode(errors='replace')!r} is not a "
                             "score: blank or a number in [0, 1] is needed")
        values[i] = value
    return values


def _as_float(row: np.ndarray) -> np.ndarray:
    return row if row.dtype == np.float32 else np.where(row == MISSING, np.nan, row).astype(np.float32)


def _read_compact(path: Path, source: str) -> Responses | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Responses(*(stored[name] for name in
                               ("models", "questions", "scores", "dates", "shas", "families")), source=source)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # absent or torn: the CSV is the truth, and the copy is made again


def _write_compact(path: Path, responses: Responses) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        with atomic(path) as part:
            np.savez_compressed(part, **{name: getattr(responses, name) for name in
                                         ("models", "questions", "scores", "dates", "shas", "families")})
    except OSError:
        pass  # a read-only folder: only speed is lost


# --- writing -------------------------------------------------------------------------------------------

@contextmanager
def atomic(path: Path, mode: str = "wb"):
    """Open a file that takes its name only when it is complete."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open(mode, **({} if "b" in mode else {"newline": ""})) as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_matrix(path: Path, responses: Responses) -> None:
    """Write the wide CSV that `read_matrix` reads; whole or not at all."""
    family = [responses.families] if (responses.families != "").any() else []
    names = METADATA[: 3 + len(family)]
    text = np.array([b"", b"0", b"1"], dtype=object)
    with atomic(path) as stream:
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


def write_dataset(folder: Path, history: Responses, new: Responses, overwrite: bool = False) -> None:
    """Write M1.csv, M2.csv and, where tasks are known, questions.csv into `folder`.

    Raises InputError if one of them is there and `overwrite` is not set, or if the questions differ.
    """
    _same_questions(history, new)
    targets = [folder / "M1.csv", folder / "M2.csv"] + [folder / "questions.csv"] * (new.tasks is not None)
    refuse_existing(targets, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    write_matrix(folder / "M1.csv", history)
    write_matrix(folder / "M2.csv", new)
    if new.tasks is not None:
        with atomic(folder / "questions.csv", "w") as stream:
            columns = {"question": new.questions, "task": new.tasks} | (
                {} if new.categories is None else {"category": new.categories})
            csv.writer(stream, lineterminator="\n").writerows([columns, *zip(*columns.values(), strict=True)])


def refuse_existing(targets: Iterable[Path], overwrite: bool) -> None:
    """Raise InputError if a file that is about to be written is there already and was not to be replaced."""
    there = [str(path) for path in targets if path.exists()]
    if there and not overwrite:
        raise InputError(f"{', '.join(there)}: already there; choose another name, or pass --overwrite")


def _same_questions(history: Responses, new: Responses) -> None:
    if np.array_equal(history.questions, new.questions):
        return
    only_one = sorted(set(history.questions) ^ set(new.questions))
    what = (f"{len(only_one)} questions stand in one of them only, first '{only_one[0]}'" if only_one
            else "the same questions stand in another order")
    raise InputError(f"{history.source} and {new.source}: {what}; both must list the same questions")


# --- scenarios of missingness --------------------------------------------------------------------------

@dataclass(frozen=True)
class Scenario:
    """How much of the history is seen: `n_full` rows fully, every other entry with probability `p`."""

    n_full: int | None
    p: float

    @property
    def key(self) -> str:
        return f"nfobs={self.n_full}_p={self.p}"

    @staticmethod
    def parse(key: str) -> Scenario:
        """Raises InputError unless `key` reads like nfobs=50_p=0.1 or nfobs=None_p=1.0, spelt canonically."""
        match = re.fullmatch(r"nfobs=(None|\d+)_p=([0-9.e+-]+)", key)
        try:
            scenario = Scenario(None if match[1] == "None" else int(match[1]), float(match[2]))
        except (TypeError, ValueError):
            raise InputError(f"scenario {key!r}: write it as nfobs=50_p=0.1 or nfobs=None_p=1.0") from None
        if not 0 < scenario.p <= 1:
            raise InputError(f"scenario {key!r}: p must lie in (0, 1]")
        if (scenario.n_full is None) != (scenario.p == 1):
            raise InputError(f"scenario {key!r}: nfobs=None goes with p=1.0 (all observed), and only with it")
        if scenario.key != key:
            raise InputError(f"scenario {key!r}: write it as {scenario.key}")
        return scenario


ALL_OBSERVED = Scenario(None, 1.0)


def mask(shape: tuple[int, int], scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    """(M, N) bool, True = seen: `n_full` rows at random wholly, the other entries independently with p."""
    if scenario == ALL_OBSERVED:
        return np.ones(shape, bool)
    seen = rng.random(shape, dtype=np.float32) < scenario.p
    seen[rng.permutation(shape[0])[: scenario.n_full]] = True
    return seen


def write_mask(path: Path, seen: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as stream:
        np.savez_compressed(stream, shape=seen.shape, bits=np.packbits(seen))


def read_mask(path: Path) -> np.ndarray:
    """(M, N) bool. Raises InputError if the file is torn."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            shape = tuple(stored["shape"])
            return np.unpackbits(stored["bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a complete mask ({error}); delete it and run "
                         "python data/simulate_missingness.py again") from None


# --- datasets ------------------------------------------------------------------------------------------

class Dataset:
    """One dataset under a data folder, as a folder or a zip.

    Raises InputError if it is not there, saying which step makes it.
    """

    def __init__(self, data_dir: Path | str, name: str):
        self.name, self.folder = name, Path(data_dir) / name
        archive = Path(data_dir) / f"{name}.zip"
        self.archive = archive if archive.is_file() else None
        if not self.folder.is_dir() and self.archive is None:
            known = ", ".join(datasets_in(data_dir)) or "none"
            raise InputError(
                f"{self.folder}: no such dataset (there: {known}); python data/simulate_leaderboard.py makes "
                f"'simulated', python data/split_history.py MATRIX.csv --dataset {name} imports your own")

    def history(self, scenario: str = ALL_OBSERVED.key) -> Responses:
        """M1 as it is seen in `scenario`.

        Raises InputError if the scenario has neither its own CSV nor a mask.
        """
        wanted = Scenario.parse(scenario)
        if (own := self._read(f"M1_{wanted.key}.csv")) is not None:
            return own
        full = self._read_needed("M1.csv")
        if wanted == ALL_OBSERVED:
            return full
        path = self.mask_path(wanted)
        if not path.is_file():
            raise InputError(f"{path}: no such file; python data/simulate_missingness.py --datasets "
                             f"{self.name} --scenarios {wanted.key} makes it")
        seen = read_mask(path)
        if seen.shape != full.scores.shape:
            raise InputError(f"{path}: a mask of {seen.shape} for a history of {full.scores.shape}; delete "
                             "it and run python data/simulate_missingness.py again")
        return full.masked(seen)

    def new_models(self, first: int | None = None) -> Responses:
        """M2 (its first `first` models), with the tasks of questions.csv.

        Raises InputError if a score is missing or the questions are not those of M1.
        """
        new = self._read_needed("M2.csv")
        _same_questions(self._read_needed("M1.csv"), new)
        if not new.complete.all():
            model = new.models[np.flatnonzero(~new.complete)[0]]
            raise InputError(f"{new.source}: {int((~new.complete).sum())} models lack scores, first "
                             f"'{model}'; new models must be complete: data/split_history.py --incomplete")
        return replace(new.take(slice(first)), **self._labels(new.questions))

    def truth(self, new: Responses) -> np.ndarray:
        """The log-odds with which a simulated board's new models answer, (models, N) float32; `new` says which.

        Raises InputError if the dataset has no truth.npz or it is of other models.
        """
        path = self.folder / "truth.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                row = {name: i for i, name in enumerate(stored["models"])}
                logits = stored["logits"][[row[name] for name in new.models]]
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; true probabilities are known of simulated boards only "
                             "(data/simulate_leaderboard.py writes them)") from None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not the true log-odds of {new.source} ({error}); make the dataset "
                             "again") from None
        if logits.shape[1] != new.n_questions:
            raise InputError(f"{path}: {logits.shape[1]} questions, {new.source} has {new.n_questions}; make the "
                             "dataset again")
        return logits

    def has_table(self, scenario: Scenario) -> bool:
        """Whether M1 as seen in `scenario` is there as a CSV of its own."""
        file = f"M1_{scenario.key}.csv"
        if (self.folder / file).is_file() or self.archive is None:
            return (self.folder / file).is_file()
        with zipfile.ZipFile(self.archive) as archive:
            return _member(archive, file) is not None

    def mask_path(self, scenario: Scenario) -> Path:
        return self.folder / "masks" / f"{scenario.key}.npz"

    def _labels(self, questions: np.ndarray) -> dict[str, np.ndarray]:
        """`tasks` and, where questions.csv has them, `categories`."""
        path = self.folder / "questions.csv"
        text = path.read_text() if path.is_file() else self._member_text("questions.csv")
        if text is None:
            return {}
        row_of = {row["question"]: row for row in csv.DictReader(io.StringIO(text))}
        lacking = [q for q in questions if q not in row_of]
        if lacking:
            raise InputError(f"{path}: no task for question '{lacking[0]}' ({len(lacking)} in all)")
        labels = {"tasks": "task", "categories": "category"}
        return {name: np.array([row_of[q][column] for q in questions]) for name, column in labels.items()
                if column in row_of[questions[0]]}

    def _read_needed(self, file: str) -> Responses:
        found = self._read(file)
        if found is None:
            raise InputError(f"{self.folder / file}: no such file; a dataset needs M1.csv and M2.csv "
                             "(data/split_history.py or data/simulate_leaderboard.py makes both)")
        return found

    def _read(self, file: str) -> Responses | None:
        if (self.folder / file).is_file():
            return read_matrix(self.folder / file)
        return self._read_member(file) if self.archive else None

    def _member_text(self, file: str) -> str | None:
        if self.archive is None:
            return None
        with zipfile.ZipFile(self.archive) as archive:
            member = _member(archive, file)
            return None if member is None else archive.read(member).decode()

    def _read_member(self, file: str) -> Responses | None:
        """A file of the zip, at its top or inside its one folder, through a cache keyed by its CRC."""
        try:
            with zipfile.ZipFile(self.archive) as archive:
                member = _member(archive, file)
                if member is None:
                    return None
                source = f"{self.archive}:{member.filename}"
                compact = self.archive.parent / ".cache" / (
                    f"{self.name}.{file}.{member.CRC:08x}{member.file_size:x}.npz")
                if (known := _read_compact(compact, source)) is not None:
                    return known
                with archive.open(member) as stream:
                    responses = _parse(stream, source)
        except zipfile.BadZipFile as error:
            raise InputError(f"{self.archive}: not a complete zip ({error}); fetch it again") from None
        _write_compact(compact, responses)
        return responses


def _member(archive: zipfile.ZipFile, file: str) -> zipfile.ZipInfo | None:
    return next((info for info in archive.infolist() if Path(info.filename).name == file), None)


def datasets_in(data_dir: Path | str) -> list[str]:
    """Names of the datasets (folders with an M1.csv, zips) in a data folder."""
    root = Path(data_dir)
    folders = {path.parent.name for path in root.glob("*/M1*.csv")}
    return sorted(folders | {path.stem for path in root.glob("*.zip")})
