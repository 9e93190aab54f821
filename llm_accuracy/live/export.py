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
from ..visible import shortened
from .loop import OpenRun
from .run_folder import RunFolder

if TYPE_CHECKING:
    from .evaluate import Evaluation
    from .paired_run import Comparison
    from .several_run import Contest

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
    return _alone(evaluation, result, name, Interval(result["low"], result["high"], 1 - result["alpha"], method),
                  result["rests_on"], (organization or "", relationship or ""), details)


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
    return _alone(comparison, result, name, Interval(result["low"], result["high"], 1 - result["alpha"],
                                                     "betting on the difference from a baseline known in full, "
                                                     "exact, valid at any stopping time"), result["asked"],
                  (organization or "", relationship or ""), details)


def export_models(contest: Contest, organization: str | None, relationship: str | None,
                  benchmark: str | None) -> list[Path]:
    """The same of a search for the best: a record for every model, whose intervals hold for all of them together.

    Raises InputError as `export` does, and where nothing was answered.
    """
    name = _named(contest, organization, relationship, benchmark)
    result, manifest = contest.write(), contest.manifest
    if not result["questions"]:
        raise InputError(f"{contest.run.path}: no accuracy to publish: no round was answered by all models")
    method = "betting on questions drawn without replacement, exact, for all models together at any stopping time"
    asked = {one["name"]: one for one in manifest["asked"] if "name" in one}
    shutil.rmtree(contest.run / "eee", ignore_errors=True)
    paths = []
    for model, one in result["models"].items():
        behind = {} if one["behind"] is None else {
            "behind_the_best": f"{one['behind']:.6f}, {one['behind_low']:.6f} to {one['behind_high']:.6f}"}
        details = {"questions_asked": str(one["asked"]), "seed": str(result["seed"]), "claim": result["claim"],
                   "history": f"{manifest['history']['kind']}, {manifest['history']['models']} models",
                   "models_compared": ", ".join(result["models"]), "best": result["winner"] or "open",
                   "tolerance": str(result["tolerance"]), **behind}
        paths.append(_written(contest, asked.get(model, manifest["asked"][0]), result | {"model": model} | one, name,
                              Interval(one["low"], one["high"], 1 - result["alpha"], method), one["asked"],
                              (organization or "", relationship or ""), details))
    return paths


def _alone(run: OpenRun, result: dict[str, Any], name: str, interval: Interval, asked: int, who: tuple[str, str],
           details: dict[str, str]) -> Path:
    """The one record of a run."""
    shutil.rmtree(run.run / "eee", ignore_errors=True)
    return _written(run, run.manifest["asked"], result, name, interval, asked, who, details)


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


def _written(run: OpenRun, way: dict[str, Any], result: dict[str, Any], name: str, interval: Interval, asked: int,
             who: tuple[str, str], details: dict[str, str]) -> Path:
    """A model's record; way: how it was asked, as the manifest has it."""
    manifest = run.manifest
    program = PROGRAMS.get(way["driver"])
    library = (program, str(manifest["versions"].get(program, "unknown"))) if program else ("llm-accuracy", __version__)
    ended = next(record.get("at") for record in run.asking.log.of("end"))
    try:
        when = datetime.fromisoformat(str(ended)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{run.asking.log.path}: it ended at {shortened(ended)}, which is no time; restore the file"
                         ) from None
    details = {"estimator": f"llm-accuracy {__version__}", "questions_in_bank": str(run.asking.bank.size),
               "rounds": str(result["rounds"]), "stopped": run.asking.ended or "",
               "bank_fingerprint": manifest["bank"]["the questions' names"] or "", **details}
    organization, relationship = who
    return write_record(run.run / "eee", Estimate(
        result["model"], name, result["estimate"], interval, asked, organization, name, library,
        when, relationship, metric=way["metric"] or "accuracy",
        details=details))
