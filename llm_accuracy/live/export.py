"""An evaluation as a record of Every Eval Ever, to be published: the estimate with its interval, and how it was found.

Answers are not in it: the collection's instances hold what questions ask, and benchmarks must not leak.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from .. import __version__
from ..errors import InputError
from ..scores.every_eval_ever import Estimate, Interval, write_record
from .evaluate import Evaluation
from .plans import FIXED

MOST_TASKS = 4  # whose names together name a benchmark
PROGRAMS = {"lm-eval": "lm_eval", "inspect": "inspect_ai"}  # the name in the manifest's versions, by driver


def export(evaluation: Evaluation, organization: str | None, relationship: str | None, benchmark: str | None) -> Path:
    """Write RUN/eee/data/<benchmark>/<developer>/<model>/….json; returns its path.

    benchmark  by default the tasks' names

    Raises InputError before the evaluation has ended, and where the evaluator or the benchmark has no name.
    """
    asking, manifest = evaluation.asking, evaluation.manifest
    if asking.ended is None:
        raise InputError(f"{evaluation.run.path}: the evaluation has not ended, and its interval holds at its end; "
                         "--resume it first")
    if not organization or not relationship:
        raise InputError("--export eee needs --organization NAME, who has evaluated, and --relationship, to the "
                         "model's developer")
    tasks = [] if asking.bank.tasks is None else sorted(set(asking.bank.tasks.tolist()))
    name = benchmark or ("+".join(tasks) if len(tasks) <= MOST_TASKS else "")
    if not name:
        raise InputError("--export eee needs --benchmark NAME: the questions "
                         f"{f'are of {len(tasks)} tasks' if tasks else 'have no task'}")
    result = evaluation.write()
    shutil.rmtree(evaluation.run / "eee", ignore_errors=True)  # one record a run
    program = PROGRAMS.get(manifest["asked"]["driver"])
    library = (program, manifest["versions"][program]) if program else ("llm-accuracy", __version__)
    ended = next(record["at"] for record in asking.log.of("end"))
    details = {"estimator": f"llm-accuracy {__version__}", "questions_asked": str(result["asked"]),
               "questions_in_bank": str(result["of"]), "rounds": str(result["rounds"]),
               "seed": str(manifest["plan"]["seed"]), "stopped": result["stopped"],
               "history": f"{manifest['history']['kind']}, {manifest['history']['models']} models",
               "bank_fingerprint": manifest["bank"]["the questions' names"] or ""}
    method = ("growing rounds, systematic samples with a difference estimator, at a budget chosen beforehand"
              if asking.plan.interval == FIXED else f"confidence sequence, {asking.plan.interval}")
    return write_record(evaluation.run / "eee", Estimate(
        result["model"], name, result["estimate"],
        Interval(result["low"], result["high"], 1 - result["alpha"], method), result["rests_on"], organization, name,
        library, datetime.fromisoformat(ended).timestamp(), relationship,
        metric=manifest["asked"]["metric"] or "accuracy", details=details))
