"""Step 1a: per-question answers of thousands of models, from the Open LLM Leaderboard's details datasets.

    python data/scrape_leaderboard.py --datasets mmlu-pro --limit 50 --dry-run     what it would cost
    python data/scrape_leaderboard.py --datasets mmlu-pro --limit 50               fifty models spread over score
    python data/scrape_leaderboard.py                                              both suites, all models

The details are gated: accept their conditions on the hub once and log in (`hf auth login`, or set HF_TOKEN).
One MMLU-Pro file is about 380 MB, nearly all of it repeated prompts; it is read as it arrives and dropped, and
where the hub has converted it to parquet only the needed columns are fetched. Nothing raw is kept and the hub
cache is not used. All models of both suites: over a terabyte by streaming, 120 MB kept. Stop it at any time and
give the same command again: finished tasks are kept, a broken file is taken up where it broke. One scraper at a time
may write to a RAW_DIR.

Writes RAW_DIR/<dataset>/models/*.json (one per model), docs/*.csv (hash and category of every question),
failures.csv (model, task, reason) and published_scores.csv (every mean beside the leaderboard's own); then
DATA_DIR/<dataset>/M1.csv, M2.csv, questions.csv and manifest.json. Models with a task missing are left out; the
older half by upload date is the history M1.
"""

import csv
import hashlib
import json
import re
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import atomic
from llm_accuracy.leaderboard import suites
from llm_accuracy.leaderboard.hub import Hub, Unavailable
from llm_accuracy.leaderboard.scraping import Contents, Model, Scrape, choose, read_record, write_rows
from llm_accuracy.leaderboard.suites import Task
from llm_accuracy.scores.dataset import Dataset, write_dataset
from llm_accuracy.scores.matrix import Responses, split_by_date

MADE_BY = "data/scrape_leaderboard.py"
SPEED_SAMPLE = 4 << 20  # bytes


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "data-dir")
    parser.add_argument("--raw-dir", type=Path, default=Path("data/raw"), metavar="DIR")
    parser.add_argument("--datasets", nargs="+", default=list(suites.SUITES), metavar="SUITE",
                        help=f"{' and '.join(suites.SUITES)} (default: both)")
    parser.add_argument("--dry-run", action="store_true", help="print the bytes and hours it would take; write nothing")
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
    if args.since and not re.fullmatch(r"\d{4}-\d\d-\d\d", args.since):
        raise InputError(f"--since {args.since}: write the day as 2024-06-01")
    if unknown := sorted(set(args.datasets) - set(suites.SUITES)):
        raise InputError(f"--datasets {unknown[0]}: the suites are {' and '.join(suites.SUITES)}")
    try:
        for suite in args.datasets:
            refuse_foreign(args.data_dir / suite, args.overwrite)
        work(args)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{error.filename or args.raw_dir}: {error.strerror}; what is finished is kept") from None


def work(args) -> None:
    hub = Hub(retries=args.retries, first_wait=args.wait)
    contents = Contents.load(hub, args.raw_dir, args.refresh, keep=not args.dry_run)
    flags = (args.models, args.since, args.one_per_base_model, args.limit)
    chosen = {suite: choose(contents.models, suites.SUITES[suite], *flags) for suite in args.datasets}
    if args.dry_run:
        for suite, models in chosen.items():
            price(hub, suite, models, args)
        return
    for suite, models in chosen.items():
        refuse_fewer(args.data_dir / suite, models, args.overwrite)
    for suite, models in chosen.items():
        raw, tasks = args.raw_dir / suite, suites.SUITES[suite]
        scrape = Scrape(hub, tasks, raw, not args.no_parquet, args.checkpoint, args.refresh)
        failures = scrape.run(models, args.jobs, suite)
        assemble(suite, tasks, models, failures, contents.revision, raw, args.data_dir)


# --- what it costs -------------------------------------------------------------------------------------

def price(hub: Hub, suite: str, models: list[Model], args) -> None:
    """Print the bytes and hours that `models` would cost, from a look at no more than five of them."""
    tasks = suites.SUITES[suite]
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
    print(f"{suite}: {len(models)} models ({len(streamed)} of {len(sample)} looked at can be read)\n"
          f"  about {in_bytes(size)} of sample files, of which about {in_bytes(fetch)} would be transferred\n"
          f"  about {cli.duration(fetch / speed / args.jobs)} at {speed / 1e6:.1f} MB/s a connection, {args.jobs} at a "
          f"time\n  about {in_bytes(len(models) * 1.1 * sum(task.size for task in tasks))} kept")


def price_model(hub: Hub, model: Model, tasks: tuple[Task, ...], parquet: bool) -> tuple[int, int, float]:
    """(bytes of the sample files, bytes that would be transferred, bytes per second of a short read)."""
    repo = suites.dataset_of(model.name)
    listed = {file.path: file for file in hub.files(repo, hub.revision(repo))}
    converted = hub.converted(repo) if parquet else []
    whole = needed = 0
    for task in tasks:
        path = suites.newest_file(task, listed)
        if path is None:
            raise Unavailable(f"no samples file of {task.name}")
        whole += listed[path].size
        parts = next((parts for folder in suites.parquet_folders(model.name, task, path)
                      if (parts := [f for f in converted if f.path.startswith(folder)])), None)
        needed += sum(hub.column_bytes(f, task.columns) for f in parts) if parts else listed[path].size
    start, read = time.monotonic(), 0
    for _, read in hub.lines(listed[path]):
        if read > SPEED_SAMPLE or time.monotonic() - start > 5:
            break
    return whole, needed, read / (time.monotonic() - start)


def in_bytes(n: float) -> str:
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
        contents={"dataset": suites.CONTENTS, "revision": contents},
        models={"chosen": len(models), "complete": len(kept), "dropped": dropped},
        doc_hashes=hashes, published=dict(Counter(f"{row[1]}: {'agrees' if row[4] else 'differs'}" for row in rows)),
        revisions={model.name: records[model.name]["revision"] for model in kept}))
    report(suite, models, kept, dropped, hashes, rows, raw, data_dir)


def gather(raw: Path, tasks: tuple[Task, ...], models: list[Model]):
    """(scores (M, N) int8, {model: record without its scores}, {model: why it is dropped}, hashes).

    The questions must be the same for all. A model whose hashes are the usual ones in another order is dropped;
    one with other hashes is kept and counted: some tasks shuffle the choices anew in every run.
    """
    scores = np.empty((len(models), sum(task.size for task in tasks)), np.int8)
    records = {}
    for i, model in enumerate(models):
        record = read_record(raw / "models" / f"{suites.folder_of(model.name)}.json")
        scores[i] = suites.scores_of(record, tasks)
        for kept in record["tasks"].values():
            del kept["scores"]
        records[model.name] = record
    dropped, hashes = {}, {}
    for task in tasks:
        kept = {name: record["tasks"][task.name] for name, record in records.items()}
        docs = suites.usual(r["docs"] for r in kept.values())
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
        for column, scraped in suites.raw_scores(records[model.name], tasks).items():
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
    for torn in folder.glob(".*.part"):
        torn.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict:
    """What this script wrote beside a dataset; {} where there is none."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        return manifest if manifest["made_by"] == MADE_BY else {}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def refuse_foreign(folder: Path, overwrite: bool) -> None:
    """Raise InputError if the folder holds a dataset that this script did not make, or that was edited since."""
    there = [folder / name for name in ("M1.csv", "M2.csv", "questions.csv") if (folder / name).exists()]
    manifest = read_manifest(folder)
    files = manifest.get("files")  # None while it is being written
    ours = bool(manifest) and (files is None or all(sha256(path) == files.get(path.name) for path in there))
    if there and not ours and not overwrite:
        raise InputError(f"{there[0]}: already there and not as this script wrote it; choose another --data-dir, "
                         "or pass --overwrite")


def refuse_fewer(folder: Path, models: list[Model], overwrite: bool) -> None:
    """Raise InputError if a dataset that is there has models that are not chosen now."""
    lost = sorted(set(read_manifest(folder).get("revisions", {})) - {model.name for model in models})
    if lost and not overwrite:
        raise InputError(f"{folder}: the dataset that is there has {len(lost)} models that are not chosen now, first "
                         f"{lost[0]}; choose another --data-dir, or pass --overwrite")


def report(suite: str, models: list[Model], kept: list[Model], dropped: dict[str, str], hashes: dict, rows: list[tuple],
           raw: Path, data_dir: Path) -> None:
    print(f"{suite}: {len(kept)} of {len(models)} models are complete")
    for reason, n in Counter(dropped.values()).most_common(5):
        print(f"  left out: {n} x {reason}")
    for column in dict.fromkeys(row[1] for row in rows):
        agree = [row[4] for row in rows if row[1] == column]
        print(f"  {column}: {sum(agree)} means agree with the published ones, {len(agree) - sum(agree)} differ")
    others = {task: found["models_with_other_hashes"] for task, found in hashes.items()}
    if most := max(others.values()):
        print(f"  question hashes other than the usual: in {sum(map(bool, others.values()))} of {len(others)} tasks, "
              f"at most {most} of {len(kept)} models (manifest.json)")
    print(f"  wrote {data_dir / suite}; reasons and checks are in {raw}")


def write_json(path: Path, value: dict) -> None:
    with atomic(path, "w") as stream:
        json.dump(value, stream, indent=1)
        stream.write("\n")


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    cli.run(main)
