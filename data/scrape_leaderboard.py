"""Step 1a: per-question answers of thousands of models, from the Open LLM Leaderboard's details datasets.

    python data/scrape_leaderboard.py --datasets mmlu-pro --limit 50 --dry-run     what it would cost
    python data/scrape_leaderboard.py --datasets mmlu-pro --limit 50               fifty models spread over score
    python data/scrape_leaderboard.py                                              both suites, all models

The details are gated: accept their conditions on the hub once and log in (`hf auth login`, or set HF_TOKEN).
One MMLU-Pro file is about 380 MB, nearly all of it repeated prompts; it is read as it arrives and dropped, and
where the hub has converted it to parquet only the needed columns are fetched. Nothing raw is kept and the hub
cache is not used. All models of both suites: over a terabyte by streaming, 60 MB kept. Stop it at any time and
give the same command again: finished tasks are kept, a broken file is taken up where it broke.

Writes RAW_DIR/<dataset>/models/*.json (one per model), docs/*.csv (hash and category of every question),
failures.csv (model, task, reason) and published_scores.csv (every mean beside the leaderboard's own); then
DATA_DIR/<dataset>/M1.csv, M2.csv, questions.csv and manifest.json. Models with a task missing are left out; the
older half by upload date is the history M1.
"""

import csv
import hashlib
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli, leaderboard
from llm_accuracy.errors import InputError
from llm_accuracy.hub import Hub, Unavailable
from llm_accuracy.leaderboard import Answers, BadSamples, Task
from llm_accuracy.responses import Dataset, Responses, atomic, split_by_date, write_dataset

MADE_BY = "data/scrape_leaderboard.py"
SPEED_SAMPLE = 4 << 20  # bytes
CONTENT_COLUMNS = ["fullname", "Model sha", "Upload To Hub Date", "Submission Date", "Base Model", "Merged", "Flagged",
                   *leaderboard.PUBLISHED.values()]


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "datasets", "data-dir", "dry-run")
    parser.add_argument("--raw-dir", type=Path, default=Path("data/raw"), metavar="DIR")
    parser.add_argument("--models", nargs="+", metavar="ORG/NAME", help="these models only")
    parser.add_argument("--limit", type=cli.at_least(1), metavar="N", help="N models, spread evenly over score")
    parser.add_argument("--since", metavar="DATE", help="models uploaded on this day or later, e.g. 2024-06-01")
    parser.add_argument("--one-per-base-model", action="store_true",
                        help="of the fine-tunes and merges of one base, only the first uploaded")
    parser.add_argument("--jobs", type=cli.at_least(1), default=4, help="models read at the same time (default 4)")
    parser.add_argument("--retries", type=cli.at_least(0), default=5, help="per request (default 5)")
    parser.add_argument("--wait", type=float, default=1.0, metavar="S", help="before the first retry (default 1 s)")
    parser.add_argument("--checkpoint", type=float, default=10.0, metavar="S",
                        help="a kill loses at most this many seconds of a file (default 10)")
    parser.add_argument("--no-parquet", action="store_true", help="always stream the JSON lines")
    parser.add_argument("--refresh", action="store_true",
                        help="read the table of models again, and models that failed at their newest revision")
    parser.add_argument("--overwrite", action="store_true", help="replace M1.csv and M2.csv made by something else")
    args = parser.parse_args(argv)
    suites = args.datasets or list(leaderboard.SUITES)
    for suite in suites:
        if suite not in leaderboard.SUITES:
            raise InputError(f"--datasets {suite}: the suites are {' and '.join(leaderboard.SUITES)}")
        refuse_foreign(args.data_dir / suite, args.overwrite)
    hub = Hub(retries=args.retries, first_wait=args.wait)
    contents = Contents.load(hub, args.raw_dir, args.refresh)
    for suite in suites:
        tasks = leaderboard.SUITES[suite]
        chosen = choose(contents.models, tasks, args)
        if args.dry_run:
            price(hub, suite, tasks, chosen, args)
            continue
        scrape = Scrape(hub, tasks, args.raw_dir / suite, not args.no_parquet, args.checkpoint, args.refresh)
        failures = scrape.run(chosen, args.jobs, suite)
        assemble(suite, tasks, chosen, failures, contents.revision, args.raw_dir / suite, args.data_dir)


# --- which models --------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Model:
    """One model of the contents table; `published`: one dict of raw scores per evaluation of it."""

    name: str
    date: str
    sha: str
    root: str
    published: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Contents:
    """The leaderboard's table of models at one revision, kept as RAW_DIR/contents.<revision>.csv."""

    revision: str
    models: list[Model]

    @staticmethod
    def load(hub: Hub, raw_dir: Path, refresh: bool) -> "Contents":
        kept = sorted(raw_dir.glob("contents.*.csv"))
        if refresh or not kept:
            try:
                kept = [Contents._fetch(hub, raw_dir)]
            except (Unavailable, KeyError) as error:
                raise InputError(f"{leaderboard.CONTENTS}: the table of models cannot be read: {error}") from None
            for older in set(raw_dir.glob("contents.*.csv")) - set(kept):
                older.unlink()
        with kept[-1].open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return Contents(kept[-1].stem.removeprefix("contents."), _models(rows))

    @staticmethod
    def _fetch(hub: Hub, raw_dir: Path) -> Path:
        revision = hub.revision(leaderboard.CONTENTS)
        tables = [file for file in hub.files(leaderboard.CONTENTS, revision) if file.path.endswith(".parquet")]
        if not tables:
            raise Unavailable("it holds no parquet file")
        raw_dir.mkdir(parents=True, exist_ok=True)
        path = raw_dir / f"contents.{revision}.csv"
        with atomic(path, "w") as stream:
            out = csv.writer(stream, lineterminator="\n")
            out.writerow(CONTENT_COLUMNS)
            for file in sorted(tables, key=lambda file: file.path):
                columns = hub.table(file, CONTENT_COLUMNS).to_pydict()
                out.writerows(zip(*(columns[name] for name in CONTENT_COLUMNS), strict=True))
        return path


def _models(rows: list[dict]) -> list[Model]:
    """One Model per name (a model may have been evaluated in several precisions), sorted by name."""
    base = {row["fullname"]: row["Base Model"] for row in rows}
    by_name: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["Submission Date"]):
        by_name.setdefault(row["fullname"], []).append(row)
    return [Model(name, min(row["Upload To Hub Date"] for row in same)[:10], same[-1]["Model sha"], _root(name, base),
                  tuple({c: float(row[c]) for c in leaderboard.PUBLISHED.values() if row[c]} for row in same))
            for name, same in sorted(by_name.items())]


def _root(name: str, base: dict[str, str]) -> str:
    """The base model of the base model … ; a model without a known base is its own."""
    seen = {name}
    while (parent := base.get(name, "")) and parent != "Removed" and parent not in seen:
        seen.add(parent)
        name = parent
    return name


def choose(models: list[Model], tasks: tuple[Task, ...], args) -> list[Model]:
    """Raises InputError for a name that the table does not have, and if nothing is left."""
    if args.models:
        unknown = sorted(set(args.models) - {model.name for model in models})
        if unknown:
            raise InputError(f"--models {unknown[0]}: not in {leaderboard.CONTENTS}; write it as org/name, as there")
        models = [model for model in models if model.name in set(args.models)]
    if args.since:
        models = [model for model in models if model.date >= args.since]
    if args.one_per_base_model:
        first: dict[str, Model] = {}
        for model in sorted(models, key=lambda model: (model.date or "9999", model.name)):
            first.setdefault(model.root, model)
        models = sorted(first.values(), key=lambda model: model.name)
    if args.limit and args.limit < len(models):
        ranked = sorted(models, key=lambda model: (_mean_published(model, tasks), model.name))
        spread = np.linspace(0, len(ranked) - 1, args.limit).round().astype(int)
        models = sorted((ranked[i] for i in spread), key=lambda model: model.name)
    if not models:
        raise InputError("no model is left to scrape; relax --since or --models")
    return models


def _mean_published(model: Model, tasks: tuple[Task, ...]) -> float:
    wanted = {task.published for task in tasks}
    return sum(model.published[-1].get(column, 0.0) for column in sorted(wanted)) / len(wanted)


# --- reading -------------------------------------------------------------------------------------------

class Scrape:
    """Reads the answers of many models to a suite's tasks, several at a time.

    A record (models/<org>__<model>.json) is rewritten whole after every task; a task under way leaves its state in
    .partial/ every `checkpoint` seconds, which names the revision and the byte to go on from.
    """

    def __init__(self, hub: Hub, tasks: tuple[Task, ...], folder: Path, parquet: bool, checkpoint: float,
                 refresh: bool):
        self.hub, self.tasks, self.folder = hub, tasks, folder
        self.parquet, self.checkpoint, self.refresh = parquet, checkpoint, refresh
        self.lock = threading.Lock()
        for name in ("models", "docs", ".partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def run(self, models: list[Model], jobs: int, what: str) -> dict[tuple[str, str], str]:
        """(model, task) → why it could not be read."""
        failures: dict[tuple[str, str], str] = {}
        with cli.Progress(len(models) * len(self.tasks), what, "task") as self.progress:
            pool = ThreadPoolExecutor(jobs)
            try:
                running = [pool.submit(self.model, model) for model in models]
                for done in as_completed(running):
                    failures |= done.result()
            except BaseException:
                self.hub.stop.set()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
        self._clean()
        return failures

    def model(self, model: Model) -> dict[tuple[str, str], str]:
        record = self._read_record(model)
        todo = [task for task in self.tasks if task.name not in record["tasks"]]
        self._advance(len(self.tasks) - len(todo))
        if not todo:
            return {}
        left = len(todo)
        try:
            if not record["failed"]:
                self._open(record)
                for task in todo:
                    if task.name in record["failed"]:
                        break
                    self._task(record, task)
                    if task.name in record["failed"]:
                        break
                    self._advance(1)
                    left -= 1
            return {(model.name, task): reason for task, reason in record["failed"].items()}
        except Unavailable as error:
            task = next((task.name for task in self.tasks if task.name not in record["tasks"]), "")
            return {(model.name, task if "files" in record else ""): str(error)}
        finally:
            self._advance(left)

    def _open(self, record: dict) -> None:
        """Pin the revision, find the newest run of every task; tasks without one are failures."""
        repo = record["dataset"]
        record["revision"] = record["revision"] or self.hub.revision(repo)
        listed = {file.path: file for file in self.hub.files(repo, record["revision"])}
        chosen = {task.name: leaderboard.newest_file(task, listed) for task in self.tasks}
        record["files"] = {name: listed[path] for name, path in chosen.items() if path}
        record["failed"] = {name: "no samples file" for name, path in chosen.items() if path is None}
        record["converted"] = None
        if record["failed"]:
            self._write_record(record)

    def _task(self, record: dict, task: Task) -> None:
        file = record["files"][task.name]
        try:
            answers, via = self._from_parquet(record, task, file) or (self._from_lines(record, task, file), "stream")
            kept = answers.finished()
        except BadSamples as error:
            record["failed"][task.name] = str(error)
            self._write_record(record)
        else:
            docs = self.folder / "docs" / f"{task.name}.{kept['docs']}.csv"
            if not docs.is_file():
                with self.lock, atomic(docs, "w") as stream:
                    stream.write("doc_hash,category\n" + "\n".join(answers.docs()) + "\n")
            record["tasks"][task.name] = {"file": file.path, "via": via, **kept}
            self._write_record(record)
        self._partial(record, task).unlink(missing_ok=True)

    def _from_parquet(self, record: dict, task: Task, file) -> tuple[Answers, str] | None:
        """The answers from the hub's parquet conversion, None where it does not have this run whole."""
        if not self.parquet or self._partial(record, task).is_file():
            return None
        if record["converted"] is None:
            record["converted"] = self.hub.converted(record["dataset"])
        for folder in leaderboard.parquet_folders(record["model"], task, file.path):
            parts = sorted((f for f in record["converted"] if f.path.startswith(folder)), key=lambda f: f.path)
            if not parts:
                continue
            answers = Answers(task)
            try:
                for part in parts:
                    leaderboard.add_table(answers, self.hub.table(part, task.columns))
                answers.finished()
            except (Unavailable, KeyError, BadSamples):
                return None  # the file itself has the last word
            return answers, f"parquet {parts[0].revision}"
        return None

    def _from_lines(self, record: dict, task: Task, file) -> Answers:
        partial = self._partial(record, task)
        answers, offset = self._resume(partial, task, file)
        saved = time.monotonic()
        for line, offset in self.hub.lines(file, offset):
            answers.add_line(line)
            if (now := time.monotonic()) - saved >= self.checkpoint:
                saved = now
                with atomic(partial, "w") as stream:
                    json.dump({"file": file.path, "revision": file.revision, "offset": offset, **answers.state()},
                              stream)
        return answers

    @staticmethod
    def _resume(partial: Path, task: Task, file) -> tuple[Answers, int]:
        try:
            state = json.loads(partial.read_text())
            if (state["file"], state["revision"]) == (file.path, file.revision):
                return Answers.resume(task, state), state["offset"]
        except (OSError, ValueError, KeyError):
            pass
        return Answers(task), 0

    def _partial(self, record: dict, task: Task) -> Path:
        return self.folder / ".partial" / f"{leaderboard.folder_of(record['model'])}.{task.name}.json"

    def _record_path(self, model: str) -> Path:
        return self.folder / "models" / f"{leaderboard.folder_of(model)}.json"

    def _read_record(self, model: Model) -> dict:
        path = self._record_path(model.name)
        fresh = {"model": model.name, "dataset": leaderboard.dataset_of(model.name), "revision": None, "tasks": {},
                 "failed": {}}
        if not path.is_file():
            return fresh
        record = read_record(path)
        return fresh if record["failed"] and self.refresh else record

    def _write_record(self, record: dict) -> None:
        kept = {name: record[name] for name in ("model", "dataset", "revision", "tasks", "failed")}
        kept["tasks"] = {task.name: record["tasks"][task.name] for task in self.tasks if task.name in record["tasks"]}
        with atomic(self._record_path(record["model"]), "w") as stream:
            json.dump(kept, stream, indent=1)
            stream.write("\n")

    def _advance(self, n: int) -> None:
        with self.lock:
            self.progress.advance(n)

    def _clean(self) -> None:
        """Nothing is under way any more: what a killed run left half-written can go."""
        for torn in [*self.folder.glob("models/.*.part"), *self.folder.glob("docs/.*.part"),
                     *self.folder.glob(".partial/.*.part")]:
            torn.unlink(missing_ok=True)
        if not any((self.folder / ".partial").iterdir()):
            (self.folder / ".partial").rmdir()


def read_record(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not a record of a model ({error}); delete it and scrape again") from None


# --- what it costs -------------------------------------------------------------------------------------

def price(hub: Hub, suite: str, tasks: tuple[Task, ...], models: list[Model], args) -> None:
    """Print the bytes and hours that `models` would cost, from a listing of at most five of them."""
    sample = [models[i] for i in sorted({int(i) for i in np.linspace(0, len(models) - 1, 5)})]
    streamed, fetched, speeds = [], [], []
    for model in sample:
        try:
            whole, needed, speed = price_model(hub, model, tasks, not args.no_parquet)
        except Unavailable as error:
            print(f"  {model.name}: {error}")
            continue
        streamed.append(whole)
        fetched.append(needed)
        speeds.append(speed)
    if not streamed:
        raise InputError(f"{suite}: none of the {len(sample)} models looked at can be read")
    times = len(models) / len(sample)
    size, fetch, speed = times * sum(streamed), times * sum(fetched), float(np.median(speeds))
    print(f"{suite}: {len(models)} models, about {gigabytes(size)} of sample files, of which {gigabytes(fetch)} would be "
          f"transferred\n  (from {len(streamed)} of {len(sample)} models looked at; the rest would fail)\n"
          f"  about {cli.duration(fetch / speed / args.jobs)} at {speed / 1e6:.1f} MB/s a connection, {args.jobs} at a "
          f"time; about {gigabytes(len(models) * 1.1 * sum(task.size for task in tasks))} kept")


def price_model(hub: Hub, model: Model, tasks: tuple[Task, ...], parquet: bool) -> tuple[int, int, float]:
    """(bytes of the sample files, bytes that would be transferred, bytes per second of a short read)."""
    repo = leaderboard.dataset_of(model.name)
    listed = {file.path: file for file in hub.files(repo, hub.revision(repo))}
    converted = hub.converted(repo) if parquet else []
    whole = needed = 0
    for task in tasks:
        path = leaderboard.newest_file(task, listed)
        if path is None:
            raise Unavailable(f"no samples file of {task.name}")
        whole += listed[path].size
        parts = next((parts for folder in leaderboard.parquet_folders(model.name, task, path)
                      if (parts := [f for f in converted if f.path.startswith(folder)])), None)
        needed += sum(hub.column_bytes(f, task.columns) for f in parts) if parts else listed[path].size
    start, read = time.monotonic(), 0
    for _, read in hub.lines(listed[path]):
        if read > SPEED_SAMPLE or time.monotonic() - start > 5:
            break
    return whole, needed, read / (time.monotonic() - start)


def gigabytes(n: float) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


# --- the dataset ---------------------------------------------------------------------------------------

def assemble(suite: str, tasks: tuple[Task, ...], models: list[Model], failures: dict, contents: str,
             raw: Path, data_dir: Path) -> None:
    """M1, M2, questions and manifest from the models' records."""
    write_rows(raw / "failures.csv", ("model", "task", "reason"),
               [(*key, reason) for key, reason in sorted(failures.items())])
    failed = {model for model, _ in failures}
    whole = [model for model in models if model.name not in failed]
    scores, records, dropped, hashes = gather(raw, tasks, whole)
    dropped |= {model: f"{task}: {reason}" if task else reason for (model, task), reason in sorted(failures.items())}
    if len(records) < 2:
        raise InputError(f"{suite}: {len(records)} of {len(models)} models are complete, two are needed; "
                         f"{raw}/failures.csv says why")
    kept = [model for model in whole if model.name in records]
    rows = check_published(tasks, kept, records)
    write_rows(raw / "published_scores.csv", ("model", "benchmark", "scraped", "published", "agrees"), rows)
    questions, labels, categories = question_columns(raw, tasks, hashes)
    responses = Responses(
        np.array([model.name for model in kept]), questions, scores, np.array([model.date for model in kept]),
        np.array([model.sha for model in kept]), np.array([model.root for model in kept]), labels, categories,
        source=suite)
    write(suite, responses, data_dir, dict(
        contents={"dataset": leaderboard.CONTENTS, "revision": contents},
        models={"chosen": len(models), "complete": len(kept), "dropped": dropped},
        doc_hashes=hashes, published=dict(Counter(f"{row[1]}: {'agrees' if row[4] else 'differs'}" for row in rows)),
        revisions={model.name: records[model.name]["revision"] for model in kept}))
    report(suite, models, kept, failures, dropped, hashes, rows)


def gather(raw: Path, tasks: tuple[Task, ...], models: list[Model]):
    """(scores (M, N) int8, {model: record without its scores}, {model: why it is dropped}, hashes).

    The questions must be the same for all. A model whose hashes are the usual ones in another order is dropped;
    one with other hashes is kept and counted: some tasks shuffle the choices anew in every run.
    """
    scores = np.empty((len(models), sum(task.size for task in tasks)), np.int8)
    records = {}
    for i, model in enumerate(models):
        record = read_record(raw / "models" / f"{leaderboard.folder_of(model.name)}.json")
        scores[i] = leaderboard.scores_of(record, tasks)
        for kept in record["tasks"].values():
            del kept["scores"]
        records[model.name] = record
    dropped, hashes = {}, {}
    for task in tasks:
        kept = {name: record["tasks"][task.name] for name, record in records.items()}
        docs = leaderboard.usual(r["docs"] for r in kept.values())
        doc_set = next(r["doc_set"] for r in kept.values() if r["docs"] == docs)
        permuted = [n for n, r in kept.items() if r["docs"] != docs and r["doc_set"] == doc_set]
        dropped |= {name: f"{task.name}: the usual questions in another order" for name in permuted}
        others = sum(r["docs"] != docs for r in kept.values()) - len(permuted)
        hashes[task.name] = {"docs": docs, "models_with_other_hashes": others}
    keep = np.array([model.name not in dropped for model in models], bool)
    return scores[keep], {n: r for n, r in records.items() if n not in dropped}, dropped, hashes


def question_columns(raw: Path, tasks: tuple[Task, ...], hashes: dict):
    """(names, tasks, categories) of the questions: MMLU-Pro's 14 subjects are the tasks of category mmlu_pro."""
    names, labels, categories = [], [], []
    for task in tasks:
        with (raw / "docs" / f"{task.name}.{hashes[task.name]['docs']}.csv").open(newline="") as stream:
            subjects = [row["category"] for row in csv.DictReader(stream)]
        names += [f"{task.name}_{i}" for i in range(task.size)]
        labels += [subject or task.name for subject in subjects]
        categories += [task.category] * task.size
    return np.array(names), np.array(labels), np.array(categories)


def check_published(tasks: tuple[Task, ...], models: list[Model], records: dict) -> list[tuple]:
    """(model, benchmark, scraped, published, agrees): a mean agrees if it is off by less than half a question in
    one of the model's published evaluations."""
    asked = Counter()
    for task in tasks:
        asked[task.published] += task.size
    rows = []
    for model in models:
        for column, scraped in leaderboard.raw_scores(records[model.name], tasks).items():
            published = [p[column] for p in model.published if column in p]
            nearest = min(published, key=lambda value: abs(value - scraped), default=float("nan"))
            rows.append((model.name, column, scraped, nearest, int(abs(nearest - scraped) < 0.5 / asked[column])))
    return rows


def write(suite: str, responses: Responses, data_dir: Path, facts: dict) -> None:
    """The dataset's files, in an order that a kill at any moment leaves a folder this script may finish."""
    folder = data_dir / suite
    history, new = split_by_date(responses)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"made_by": MADE_BY, "suite": suite, "questions": responses.n_questions,
                "split": {"by": "upload date", "M1": history.n_models, "M2": new.n_models}, **facts,
                "versions": {name: version(name) for name in ("huggingface_hub", "pyarrow", "numpy")},
                "files": None}
    write_json(folder / "manifest.json", manifest)
    write_dataset(folder, history, new, overwrite=True)
    manifest["files"] = {name: sha256(folder / name) for name in ("M1.csv", "M2.csv", "questions.csv")}
    write_json(folder / "manifest.json", manifest)
    dataset = Dataset(data_dir, suite)  # reads both back, which checks them and leaves the compact cache
    assert dataset.history().n_models + dataset.new_models().n_models == responses.n_models


def refuse_foreign(folder: Path, overwrite: bool) -> None:
    """Raise InputError if the folder holds a dataset that this script did not make, or that was edited since."""
    there = [folder / name for name in ("M1.csv", "M2.csv", "questions.csv") if (folder / name).exists()]
    if not there or overwrite:
        return
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        ours = manifest["made_by"] == MADE_BY and (
            manifest["files"] is None or all(sha256(path) == manifest["files"][path.name] for path in there))
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise InputError(f"{there[0]}: already there and not as this script wrote it; choose another --data-dir, "
                         "or pass --overwrite")


def report(suite, models, kept, failures, dropped, hashes, rows) -> None:
    print(f"{suite}: {len(kept)} of {len(models)} models are complete")
    reasons = Counter(reason for reason in failures.values())
    for reason, n in reasons.most_common(5):
        print(f"  {n} x {reason}")
    differ = Counter(row[1] for row in rows if not row[4])
    for column in sorted({row[1] for row in rows}):
        print(f"  {column}: {sum(row[1] == column for row in rows) - differ[column]} means agree with the published "
              f"ones, {differ[column]} differ")


def write_rows(path: Path, header: tuple, rows: list[tuple]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, "w") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])


def write_json(path: Path, value: dict) -> None:
    with atomic(path, "w") as stream:
        json.dump(value, stream, indent=1)
        stream.write("\n")


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    cli.run(main)
