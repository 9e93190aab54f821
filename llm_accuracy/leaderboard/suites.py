"""The two suites of the Open LLM Leaderboard (v2): their tasks, and how one model's answers are read and stored.

A model's answers are in the gated dataset `open-llm-leaderboard/<org>__<model>-details`, one file per task and
run: `<org>__<model>/samples_leaderboard_<task>_<timestamp>.json` (2024) or `.jsonl` (later), JSON lines in both.
The split `latest` of each configuration is the newest timestamp. Nearly all of a file is the repeated few-shot
prompt; only the question's number, hash and category and the score are kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..scores.score_values import RULES

if TYPE_CHECKING:
    import numpy as np

ORGANISATION = "open-llm-leaderboard"
CONTENTS = f"{ORGANISATION}/contents"


# --- the suites ----------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Task:
    """One task: `size` questions, scored by `metric`; `category` is the benchmark it belongs to."""

    name: str
    size: int
    metric: str
    category: str

    @property
    def published(self) -> str:
        """The column of the contents table with the benchmark's raw score."""
        return PUBLISHED[self.category]

    @property
    def columns(self) -> list[str]:
        """The needed fields of a sample; IFEval's published score is computed from the strict metrics."""
        strict = ["prompt_level_strict_acc", "inst_level_strict_acc"] if self.category == "ifeval" else []
        return ["doc_id", "doc_hash", self.metric, *strict] + ["doc.category"] * (self.category == "mmlu_pro")


PUBLISHED = {"bbh": "BBH Raw", "gpqa": "GPQA Raw", "ifeval": "IFEval Raw", "math": "MATH Lvl 5 Raw",
             "musr": "MUSR Raw", "mmlu_pro": "MMLU-PRO Raw"}

_BBH = """boolean_expressions causal_judgement:187 date_understanding disambiguation_qa formal_fallacies
    geometric_shapes hyperbaton logical_deduction_five_objects logical_deduction_seven_objects
    logical_deduction_three_objects movie_recommendation navigate object_counting penguins_in_a_table:146
    reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks:178
    sports_understanding temporal_sequences tracking_shuffled_objects_five_objects
    tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies"""
_GPQA = "diamond:198 extended:546 main:448"
_MATH = """algebra_hard:307 counting_and_prob_hard:123 geometry_hard:132 intermediate_algebra_hard:280
    num_theory_hard:154 prealgebra_hard:193 precalculus_hard:135"""
_MUSR = "murder_mysteries object_placements:256 team_allocation"


def _tasks(category: str, metric: str, listed: str) -> tuple[Task, ...]:
    named = [name.partition(":") for name in listed.split()]
    return tuple(Task(f"{category}_{name}", int(size or 250), metric, category) for name, _, size in named)


SUITES: dict[str, tuple[Task, ...]] = {
    "mmlu-pro": (Task("mmlu_pro", 12032, "acc", "mmlu_pro"),),
    "bbh+gpqa+ifeval+math+musr": (
        *_tasks("bbh", "acc_norm", _BBH),
        *_tasks("gpqa", "acc_norm", _GPQA),
        Task("ifeval", 541, "prompt_level_loose_acc", "ifeval"),
        *_tasks("math", "exact_match", _MATH),
        *_tasks("musr", "acc_norm", _MUSR),
    ),
}


def dataset_of(model: str) -> str:
    """`org/name` → the dataset with its details."""
    return f"{ORGANISATION}/{folder_of(model)}-details"


def folder_of(model: str) -> str:
    return model.replace("/", "__")


def newest_file(task: Task, paths: Iterable[str]) -> str | None:
    """The task's samples file of the newest run (the split `latest`); None if there is none."""
    name = re.compile(rf"(?:.*/)?samples_leaderboard_{re.escape(task.name)}_(\d{{4}}-[^/_]*)\.jsonl?")
    runs = [(match[1], path) for path in paths if (match := name.fullmatch(path))]
    return max(runs)[1] if runs else None


def parquet_folders(model: str, task: Task, path: str) -> tuple[str, str]:
    """Where the hub's conversion of that run is: in the run's own split, or in the split of the newest run."""
    config = f"{folder_of(model)}__leaderboard_{task.name}"
    timestamp = PurePosixPath(path).stem.rpartition("_")[2]
    return f"{config}/{timestamp.replace('-', '_')}/", f"{config}/latest/"


# --- one task's answers --------------------------------------------------------------------------------

class BadSamples(ValueError):
    """The samples of a task cannot be used; the message says why."""


@dataclass
class Answers:
    """The answers of one model to one task, collected line by line in any order.

    rows    doc_id → (score 0/1, first 16 digits of doc_hash, label)
    strict  IFEval only: prompts right, instructions right, instructions seen, under the strict metric
    """

    task: Task
    rows: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    strict: list[int] = field(default_factory=lambda: [0, 0, 0])
    repeated: int = 0

    def add_line(self, line: bytes) -> None:
        """Add one line. Raises BadSamples if it is not a sample of this task."""
        if not line.strip():
            return
        try:
            sample = json.loads(line)
            doc_id = int(sample["doc_id"])
        except (ValueError, KeyError, TypeError):
            raise BadSamples(f"line {len(self.rows) + self.repeated + 1} is not a sample: "
                             f"{line[:60].decode(errors='replace')!r}") from None
        metric = sample.get(self.task.metric)
        doc = sample.get("doc")
        label = doc.get("category", "") if self.task.category == "mmlu_pro" and isinstance(doc, dict) else ""
        self.add(doc_id, metric, sample.get("doc_hash"), label, sample.get("prompt_level_strict_acc"),
                 sample.get("inst_level_strict_acc"))

    def add(self, doc_id: int, metric, doc_hash: str | None, label: str | None, prompt_strict=None,
            instructions_strict=None) -> None:
        """One sample. A repeated doc_id must repeat its score (a file with two filters would not)."""
        row = (_binary(metric, self.task.metric, doc_id), (doc_hash or "")[:16], label or "")
        if doc_id in self.rows:
            if self.rows[doc_id] != row:
                raise BadSamples(f"doc_id {doc_id} occurs twice with different answers")
            self.repeated += 1
            return
        self.rows[doc_id] = row
        if self.task.category == "ifeval" and prompt_strict is not None and instructions_strict is not None:
            self.strict[0] += bool(prompt_strict)
            self.strict[1] += sum(map(bool, instructions_strict))
            self.strict[2] += len(instructions_strict)

    def finished(self) -> dict:
        """What is stored: the scores as a string of digits in doc_id order, digests of the questions, and the
        score in the form that the leaderboard publishes.

        Raises BadSamples unless every question 0 … size − 1 has exactly one answer.
        """
        size, ids = self.task.size, sorted(self.rows)
        if len(ids) != size:
            raise BadSamples(f"{len(ids)} questions, {size} are expected")
        if ids != list(range(size)):
            odd = next(i for i, doc_id in enumerate(ids) if i != doc_id)
            raise BadSamples(f"the questions are not numbered 0 to {size - 1}: {odd} is missing")
        rows = [self.rows[i] for i in ids]
        right = sum(score for score, _, _ in rows)
        prompts, instructions, seen = self.strict
        published = (prompts / size + instructions / seen) / 2 if seen else right / size
        return {"n": size, "right": right, "published_form": published, "repeated": self.repeated,
                "docs": digest(self.docs()), "doc_set": digest(sorted(self.docs())),
                "scores": "".join(str(score) for score, _, _ in rows)}

    def docs(self) -> list[str]:
        """One line per question, in doc_id order: hash,label."""
        return [f"{self.rows[i][1]},{self.rows[i][2]}" for i in sorted(self.rows)]

    def state(self) -> dict:
        return {"rows": [[i, *row] for i, row in self.rows.items()], "strict": self.strict,
                "repeated": self.repeated}

    @staticmethod
    def resume(task: Task, state: dict) -> Answers:
        return Answers(task, {i: tuple(row) for i, *row in state["rows"]}, list(state["strict"]),
                       state["repeated"])


def _binary(value, metric: str, doc_id: int) -> int:
    """0 or 1, from a boolean, a number or, as in some files, a text."""
    if value is None:
        raise BadSamples(f"doc_id {doc_id} has no {metric}")
    score = RULES["leaderboard"].number(value) if isinstance(value, str) else value
    if score not in (0, 1):
        raise BadSamples(f"doc_id {doc_id}: {metric} is {value!r}, not 0 or 1")
    return int(score)


def digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def add_table(answers: Answers, table) -> None:
    """Add all samples of an Arrow table with the columns `answers.task.columns`."""
    columns = table.to_pydict()
    n = table.num_rows
    doc = columns.get("doc") or [None] * n
    for i in range(n):
        answers.add(int(columns["doc_id"][i]), columns[answers.task.metric][i], columns["doc_hash"][i],
                    (doc[i] or {}).get("category"), *(columns[name][i] for name in
                    ("prompt_level_strict_acc", "inst_level_strict_acc") if name in columns))


# --- many models ---------------------------------------------------------------------------------------

def usual(values: Iterable[str]) -> str:
    """The most frequent value; in a tie the smallest, so that the order of reading does not matter."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def scores_of(record: dict, tasks: Iterable[Task]) -> np.ndarray:
    """(N,) int8: one model's answers to all tasks of a suite, in the suite's order."""
    import numpy as np

    text = "".join(record["tasks"][task.name]["scores"] for task in tasks)
    return (np.frombuffer(text.encode(), np.uint8) - ord("0")).astype(np.int8)


def raw_scores(record: dict, tasks: Iterable[Task]) -> dict[str, float]:
    """Published column → the same score from the answers: right / asked over the benchmark's tasks (for IFEval
    the mean of the strict prompt- and instruction-level accuracies)."""
    sums: dict[str, list[float]] = {}
    for task in tasks:
        kept = record["tasks"][task.name]
        total = sums.setdefault(task.published, [0.0, 0])
        total[0] += kept["published_form"] * kept["n"]
        total[1] += kept["n"]
    return {column: right / asked for column, (right, asked) in sums.items()}
