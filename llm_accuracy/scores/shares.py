"""Scores as shares of a range that the user stated (--range), for a matrix, whose scores lie in [0, 1]."""

from __future__ import annotations

from dataclasses import replace

from .task_scores import TaskScores


def as_shares(models: dict[str, dict[str, TaskScores]], notes: list[str]) -> dict[str, dict[str, TaskScores]]:
    """The models with scores as shares of the range that the user stated (--range); tasks whose scores all lie in
    [0, 1] stay as they are where there are others."""
    inside: dict[str, bool] = {}
    for tasks in models.values():
        for task, log in tasks.items():
            inside[task] = inside.get(task, True) and bool(log.frame["score"].dropna().between(0, 1).all())
    done = {name: dict(tasks) for name, tasks in models.items()}
    for name, tasks in models.items():
        for task, log in tasks.items():
            if log.scale in (None, (0, 1)):
                continue
            low, high = log.scale  # type: ignore[misc]
            stay = inside[task] and len(inside) > 1
            note = (f"{task}: all scores lie in [0, 1] and are taken as they are, although --range says {low:g} to "
                    f"{high:g}" if stay else f"{task}: scores are shares of {low:g} to {high:g} (--range)")
            notes += [note] if note not in notes else []
            if not stay:
                done[name][task] = replace(log, frame=log.frame.assign(score=(log.frame["score"] - low) / (high - low)))
    return done
