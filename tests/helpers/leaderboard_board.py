"""A small leaderboard for the stand-in hub, laid out as the real one: contents table, details, conversions."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hub_server import Repo

from llm_accuracy.leaderboard.suites import CONTENTS, PUBLISHED, SUITES, Task, dataset_of, folder_of

OLD, NEW = "2024-06-16T22-11-25.600579", "2025-01-27T10-10-36.877664"
SUBJECTS = ("biology", "law", "physics")


@dataclass
class Entry:
    """One model of the board; `layout`: "2024" (.json, few fields) or "2025" (.jsonl, filter and metrics)."""

    name: str
    date: str
    layout: str = "2025"
    base: str = ""
    merged: bool = False
    flagged: bool = False
    skip: tuple[str, ...] = ()            # tasks without a file
    short: tuple[str, ...] = ()           # tasks whose last line is missing
    older_run: bool = False               # another, different run before
    parquet: bool = False
    permuted: tuple[str, ...] = ()        # tasks whose questions are numbered in another order
    hashes: str = ""                      # salt of the question hashes
    published_off: float = 0.0
    submitted: str = ""                   # to the leaderboard; else on the day of the upload
    answers: dict[str, np.ndarray] = field(default_factory=dict)


def answers_of(name: str, task: Task, run: str = NEW) -> np.ndarray:
    """(size,) 0/1, a function of names only."""
    seed = int.from_bytes(hashlib.sha256(f"{name}|{task.name}|{run}".encode()).digest()[:4])
    rng = np.random.default_rng(seed)
    return (rng.random(task.size) < 0.2 + 0.6 * rng.random()).astype(int)


def samples(entry: Entry, task: Task, run: str = NEW, prompt: int = 40) -> list[dict]:
    """The records of one samples file, out of doc_id order as the real ones may be."""
    right = answers_of(entry.name, task, run)
    entry.answers.setdefault(task.name, right)
    rows = []
    for i, score in enumerate(right.tolist()):
        asked = (i + 1) % task.size if task.name in entry.permuted else i
        doc = {"question": f"{task.name} {asked}", "options": ["A", "B"]}
        if task.category == "mmlu_pro":
            doc["category"] = SUBJECTS[asked * len(SUBJECTS) // task.size]
        row = {"doc_id": i, "doc": doc, "target": "A",
               "arguments": [["few shots " * (prompt // 10), " A"]] if entry.layout == "2024" else
               {"gen_args_0": {"arg_0": "few shots " * (prompt // 10), "arg_1": " A"}},
               "resps": [[["-1.5", "False"]]], "filtered_resps": [["-1.5", "False"]],
               "doc_hash": hashlib.sha256(f"{entry.hashes}{task.name} {asked}".encode()).hexdigest(),
               "prompt_hash": "0" * 64, "target_hash": "1" * 64}
        if entry.layout == "2025":
            row |= {"filter": "none", "metrics": [task.metric]}
        row |= scores_of(task, score, i)
        rows.append(row)
    np.random.default_rng(task.size).shuffle(rows)
    return rows


def scores_of(task: Task, score: int, i: int) -> dict:
    if task.category == "ifeval":
        strict = [bool(score), i % 3 == 0]
        return {"prompt_level_strict_acc": all(strict), "inst_level_strict_acc": strict,
                "prompt_level_loose_acc": bool(score), "inst_level_loose_acc": strict}
    other = {"acc": {"acc_norm": 0.0}, "acc_norm": {"acc": 0.0}}.get(task.metric, {})
    return {**other, task.metric: score if task.metric == "exact_match" else float(score)}


def jsonl(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def parquet(rows: list[dict]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=1000)
    return out.getvalue()


def details(entry: Entry, suites=tuple(SUITES), prompt: int = 40) -> Repo:
    folder = folder_of(entry.name)
    main, converted = {}, {}
    suffix = "json" if entry.layout == "2024" else "jsonl"
    for task in (task for suite in suites for task in SUITES[suite]):
        if task.name in entry.skip:
            continue
        for run in ([OLD] if entry.older_run else []) + [NEW]:
            rows = samples(entry, task, run, prompt)
            if run == NEW and task.name in entry.short:
                rows = rows[:-1]
            main[f"{folder}/samples_leaderboard_{task.name}_{run}.{suffix}"] = jsonl(rows)
            if run == NEW and entry.parquet:
                split = "latest" if task.size % 2 else NEW.replace("-", "_")
                converted[f"{folder}__leaderboard_{task.name}/{split}/0000.parquet"] = parquet(rows)
        entry.answers[task.name] = answers_of(entry.name, task, NEW)
    main[f"{folder}/results_{NEW}.json"] = b"{}"
    main["README.md"] = readme(entry, main)
    main[".gitattributes"] = b"*.json filter=lfs\n"
    return Repo({"main": main} | ({"refs/convert/parquet": converted} if converted else {}))


def readme(entry: Entry, files: dict) -> bytes:
    folder = folder_of(entry.name)
    lines = ["---", f"pretty_name: Evaluation run of {entry.name}", "configs:"]
    for path in sorted(files):
        if NEW in path and "samples" in path:
            task = path.split("samples_")[1].rsplit("_", 1)[0]
            lines += [f"- config_name: {folder}__{task}", "  data_files:"]
            for split in (NEW.replace("-", "_"), "latest"):
                lines += [f"  - split: {split}", "    path:", f"    - '**/{path.split('/')[1]}'"]
    return "\n".join([*lines, "---", ""]).encode()


def published(entry: Entry) -> dict[str, float]:
    """The raw scores as the leaderboard computes them, from the answers and not through the scraper."""
    right, asked = {}, {}
    for task in (task for suite in SUITES.values() for task in suite):
        if task.name not in entry.answers:
            continue
        column = PUBLISHED[task.category]
        z = entry.answers[task.name]
        if task.category == "ifeval":
            other = np.arange(task.size) % 3 == 0
            right[column] = ((z.astype(bool) & other).mean() + (z.sum() + other.sum()) / (2 * task.size)) / 2
            asked[column] = 1
            continue
        right[column] = right.get(column, 0) + int(z.sum())
        asked[column] = asked.get(column, 0) + task.size
    return {column: right[column] / asked[column] + entry.published_off for column in right}


def contents(entries: list[Entry]) -> Repo:
    rows = [{"eval_name": entry.name.replace("/", "_"), "Precision": "bfloat16", "fullname": entry.name,
             "Model sha": hashlib.sha1(entry.name.encode()).hexdigest(), "Upload To Hub Date": entry.date,
             "Submission Date": entry.submitted or entry.date, "Base Model": entry.base or entry.name,
             "Merged": entry.merged, "Flagged": entry.flagged, "Average ⬆️": 1.0,
             **{column: published(entry).get(column) for column in PUBLISHED.values()}}
            for entry in entries]
    return Repo({"main": {"data/train-00000-of-00001.parquet": parquet(rows), "README.md": b"---\n---\n"}}, gated=False)


def board(entries: list[Entry], suites=tuple(SUITES), prompt: int = 40) -> dict[str, Repo]:
    repos = {dataset_of(entry.name): details(entry, suites, prompt) for entry in entries}
    return {CONTENTS: contents(entries), **repos}
