"""Scales of scores, and scores as shares of one: of a range that the user stated (--range), for a matrix, whose scores
lie in [0, 1]. What a pair's scales are is decided in degradation/scales.py."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .task_scores import TaskScores


@dataclass(frozen=True)
class Scale:
    """From the worst (or, where lower is better, the best) possible score to the other end."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    def share(self, scores):
        """Scores as shares of the scale."""
        return (scores - self.low) / self.width


UNIT = Scale(0.0, 1.0)


def inside(scores, scale: Scale) -> bool:
    """Whether all scores are possible on a scale."""
    return bool(((scores >= scale.low) & (scores <= scale.high)).all())


def as_shares(models: dict[str, dict[str, TaskScores]], notes: list[str]) -> dict[str, dict[str, TaskScores]]:
    """The models with scores as shares of the range that the user stated (--range); tasks whose scores all lie in
    [0, 1] stay as they are where there are others."""
    unit: dict[str, bool] = {}
    for tasks in models.values():
        for task, log in tasks.items():
            unit[task] = unit.get(task, True) and inside(log.frame["score"].dropna(), UNIT)
    done = {name: dict(tasks) for name, tasks in models.items()}
    for name, tasks in models.items():
        for task, log in tasks.items():
            if log.scale is None or (stated := Scale(*log.scale)) == UNIT:
                continue
            stay = unit[task] and len(unit) > 1
            note = (f"{task}: all scores lie in [0, 1] and are taken as they are, although --range says {stated}"
                    if stay else f"{task}: scores are shares of {stated} (--range)")
            notes += [note] if note not in notes else []
            if not stay:
                done[name][task] = replace(log, frame=log.frame.assign(score=stated.share(log.frame["score"])))
    return done
