"""A run as a record of Every Eval Ever, to be published: the estimate with its interval, and how it was found.

Answers are not in it: the collection's instances hold what questions ask, and benchmarks must not leak.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import __version__
from ..errors import InputError
from ..scores.every_eval_ever import Estimate, Interval, write_record
from .loop import OpenRun
from .run_folder import RunFolder

if TYPE_CHECKING:
    from .evaluate import Evaluation
    from .paired_run import Comparison

Run = TypeVar("Run", bound=OpenRun)
MOST_TASKS = 4  # whose names together name a benchmark
PROGRAMS = {"lm-eval": "lm_eval", "inspect": "inspect_ai"}  # the name in the manifest's versions, by driver


def rewritten(run: RunFolder, reopen: Callable[[RunFolder], Run], exported: Callable[..., Path],
              options: argparse.Namespace) -> dict[str, Any] | None:
    """What --report writes again, the run's result; None where options.export has it `exported` instead."""
    run.lock()
    try:
        opened = reopen(run)
        opened.show_questions = options.show_questions
        if not options.export:
            return opened.write()
        print(exported(opened, options.organization, options.relationship, options.benchmark))
        return None
    finally:
        run.release()


def export(evaluation: Evaluation, organization: str | None, relationship: str | None, benchmark: str | None) -> Path:
    """Write RUN/eee/data/<benchmark>/<developer>/<model>/….json; returns its path.

    benchmark  by default the tasks' names

    Raises InputError before the evaluation has ended, and where the evaluator or the benchmark has no name.
    """
    manifest, plan = evaluation.manifest, evaluation.asking.plan
    name = _named(evaluation, organization, relationship, benchmark)
    result = evaluation.write()
    method = result["interval"] + (": systematic samples with a difference estimator" if plan.in_rounds else "")
    details = {"questions_asked": str(result["asked"]), "seed": str(manifest["plan"]["seed"]),
               "history": f"{manifest['history']['kind']}, {manifest['history']['models']} models"}
    return _written(evaluation, result, name, result["estimate"],
                    Interval(result["low"], result["high"], 1 - result["alpha"], method), result["rests_on"],
                    (organization or "", relationship or ""), details)


def export_comparison(comparison: Comparison, organization: str | None, relationship: str | None,
                      benchmark: str | None) -> Path:
    """The same of a comparison: the candidate's accuracy, which is the baseline's, known in full, less the drop.

    Raises InputError, besides, for a metric of which lower is better.
    """
    asking = comparison.asking
    name = _named(comparison, organization, relationship, benchmark)
    result = comparison.write()
    if not asking.baseline.higher_is_better or result["drop"] is None:
        raise InputError(f"{comparison.run.path}: no accuracy to publish: lower is better, or nothing is answered")
    details = {"questions_asked": str(result["asked"]), "seed": str(result["seed"]),
               "baseline": Path(result["baseline"]).name, "baseline_score": str(result["baseline_mean"]),
               "verdict": result["verdict"], "margin": str(result["margin"]), "drop": str(result["drop"]),
               "claim": result["claim"], "drop_interval": f"{result['ci_low']:.6f} to {result['ci_high']:.6f}"}
    return _written(comparison, result, name, result["estimate"],
                    Interval(result["low"], result["high"], 1 - result["alpha"],
                             "betting on the difference from a baseline known in full, "
                             "exact, valid at any stopping time"), result["asked"],
                    (organization or "", relationship or ""), details)


def _named(run: OpenRun, organization: str | None, relationship: str | None, benchmark: str | None) -> str:
    asking = run.asking
    if asking.ended is None:
        raise InputError(f"{run.run.path}: the evaluation has not ended, and its interval holds at its end; "
                         "--resume it first")
    if not organization or not relationship:
        raise InputError("--export eee needs --organization NAME, who has evaluated, and --relationship, to the "
                         "model's developer")
    tasks = [] if asking.bank.tasks is None else sorted(set(asking.bank.tasks.tolist()))
    name = benchmark or ("+".join(tasks) if len(tasks) <= MOST_TASKS else "")
    if not name:
        raise InputError("--export eee needs --benchmark NAME: the questions "
                         f"{f'are of {len(tasks)} tasks' if tasks else 'have no task'}")
    return name


def _written(run: OpenRun, result: dict[str, Any], name: str, score: float, interval: Interval, asked: int,
             who: tuple[str, str], details: dict[str, str]) -> Path:
    manifest = run.manifest
    shutil.rmtree(run.run / "eee", ignore_errors=True)  # one record a run
    program = PROGRAMS.get(manifest["asked"]["driver"])
    library = (program, manifest["versions"][program]) if program else ("llm-accuracy", __version__)
    ended = next(record["at"] for record in run.asking.log.of("end"))
    details = {"estimator": f"llm-accuracy {__version__}", "questions_in_bank": str(result["of"]),
               "rounds": str(result["rounds"]), "stopped": run.asking.ended or "",
               "bank_fingerprint": manifest["bank"]["the questions' names"] or "", **details}
    organization, relationship = who
    return write_record(run.run / "eee", Estimate(
        result["model"], name, score, interval, asked, organization, name, library,
        datetime.fromisoformat(ended).timestamp(), relationship, metric=manifest["asked"]["metric"] or "accuracy",
        details=details))
