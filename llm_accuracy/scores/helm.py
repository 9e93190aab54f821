"""Runs of HELM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from ..files import read_json
from .answers import AnswerTable, Wanted, mean_of, table_of


def read_helm(path: Path, wanted: Wanted, notes: list[str]) -> Iterator[AnswerTable]:
    """Runs of HELM: per_instance_stats.json with run_spec.json beside it. Perturbed instances are left out,
    train trials averaged; the metric is exact_match unless another is named. Raises InputError for another layout and
    for a metric that does not occur."""
    metric = wanted.metric or "exact_match"
    files = sorted(path.rglob("per_instance_stats.json")) if path.is_dir() else [path]
    for file in files:
        run = read_json(file.with_name("run_spec.json"))
        try:
            model = run["adapter_spec"]["model"]
            task = re.sub(r"[:,]model(_deployment)?=[^,]*", "", run["name"])
            scores, names, perturbed = _helm_scores(read_json(file), metric)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: not the layout of HELM (missing {error})") from None
        if perturbed:
            notes.append(f"{file}: {perturbed} perturbed instances are left out")
        if not scores:
            raise InputError(f"{file}: no metric {metric!r}; choose with --metric, e.g. {', '.join(sorted(names)[:8])}")
        yield table_of(model, task, file, mean_of(scores, "trials", file, notes))


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
