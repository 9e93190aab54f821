"""Begin, resume and audit an evaluation: how good is a model?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import check_apart
from ..querying.factors import Factors
from ..scores.matrix import Responses
from .asking import Asking, plain_estimate
from .audits import same_result, whole_log
from .bank import Bank
from .drivers import DRIVERS, Driver, Request, check_name
from .history import NONE, History, aligned, check_choice, fitted, itself, of_factors, other_limits, read_history, worth
from .loop import (
    OpenRun,
    Say,
    asked_of,
    beginning,
    check_files,
    check_way,
    compare,
    driver_again,
    files_of,
    go_on,
    locked_again,
    versions,
)
from .plans import EXACT, Plan, few, plan_of, stop_of
from .query_log import QueryLog
from .recorded import counted
from .results import line_of, result_of
from .run_folder import ACCURACY, FORMAT, RunFolder, as_written

__all__ = ["Evaluation", "Wanted", "audit", "begin", "go_on", "reopen", "resume"]


@dataclass
class Evaluation(OpenRun):
    """An evaluation that is open."""

    asking: Asking
    responses: Responses | None = None

    def result(self) -> dict[str, Any]:
        return result_of(self.asking, self.manifest, self.responses)

    def page(self, result: dict[str, Any]) -> str:
        from .report import page

        return page(self.asking, self.manifest, result, self.show_questions)

    def line(self, result: dict[str, Any]) -> str:
        return line_of(result) + (", provisional" if result["provisional"] and not self.asking.complete else "")


# --- beginning -----------------------------------------------------------------------------------------

@dataclass
class Wanted:
    """What the command line asks for; see `command` for the flags."""

    request: Request
    history: list[Path]
    stop: dict[str, Any]
    plan: dict[str, Any]
    questions: Path | None = None
    cost: Path | None = None
    factors: Path | None = None


def begin(run: RunFolder, wanted: Wanted, say: Say) -> Evaluation:
    """A new run: everything is checked, read and fitted before the folder holds anything but its lock.

    Raises InputError for whatever cannot be used.
    """
    read = [path for path in (*wanted.history, wanted.questions, wanted.cost) if path is not None and str(path) != NONE]
    if wanted.factors is not None:
        check_apart([wanted.factors], read)
        if wanted.factors.exists() and not wanted.factors.is_file():
            raise InputError(f"--factors {wanted.factors}: not a file; name one that is kept for the factors")
        if Path(os.path.realpath(wanted.factors)).is_relative_to(os.path.realpath(run.path)):
            raise InputError(f"--factors {wanted.factors} lies in {run.path}, which keeps the factors anyway: choose "
                             "another place for them, to be used by other runs")
    return beginning(run, lambda: _begun(run, wanted, say), read)


def _begun(run: RunFolder, wanted: Wanted, say: Say) -> Evaluation:
    request, stop, settings = wanted.request, wanted.stop, wanted.plan
    Plan(stop_of(None, **stop)[0], **settings)  # what is wrong with words is said before anything is read or loaded
    history = read_history(wanted.history, request.metric, request.filter)
    check_choice(request, wanted.history)
    driver = DRIVERS[request.driver].open(request, say)
    check_name(driver.model)
    bank = bank_of(driver, history, wanted.questions)
    stop_of(bank.size, **stop)
    if wanted.cost is not None:
        bank = bank.priced(wanted.cost)
    history = aligned(history, bank)
    bank = bank.prompted(history.prompts)
    notes = [*history.notes, *request.notes, *itself(history.models, driver.model),
             *other_limits(history, getattr(driver, "limits", None))]
    for note in notes:
        say(note)
    told: list[str] = []
    factors = factors_of(history, bank, settings.get("seed", 0), wanted.factors, told.append)
    n_models = len(factors.U) if history.factors is not None else len(history.models)
    told += worth(factors, n_models, bank.tasks)
    plan = plan_of(bank.size, factors, **stop, **settings, priced=bank.costs is not None)
    told += few(plan, bank.size, n_models)
    if plan.watched:
        kind = ("exact (betting), which holds at every look" if plan.interval == EXACT else
                "one that holds after every round")
        told.append(f"interval: {kind}; about {plan.planned:,} of {bank.size:,} questions are expected to give "
                    f"± {100 * (plan.half_width or 0):g} point{'s' * (plan.half_width != 0.01)}")
    for text in told:
        say(text)
    notes += told
    manifest = {
        "format": FORMAT, "begun": datetime.now(UTC).isoformat(timespec="seconds"), "model": driver.model,
        "asked": asked_of(request, driver),
        "plan": plan.to_dict(), "bank": {"questions": bank.size} | bank.fingerprints(),
        "history": {"kind": history.kind, "models": n_models,
                    "paths": [str(path.absolute()) for path in wanted.history if str(path) != "none"],
                    "metric": request.metric, "filter": request.filter, "files": files_of(wanted.history)},
        "factors": of_factors(factors), "notes": notes, "versions": versions() | driver.versions}
    bank.save(run / "questions.csv")
    factors.save(run / "factors.npz")
    (run / "queries.jsonl").unlink(missing_ok=True)
    (run / "responses.jsonl").unlink(missing_ok=True)
    run.write_manifest(manifest)
    asking = Asking(bank, factors, plan, driver.model, QueryLog(run / "queries.jsonl"))
    return Evaluation(run, manifest, asking, driver, responses=history.responses)


def bank_of(driver: Driver, history: History, listed: Path | None) -> Bank:
    """The driver's questions, or those of --questions, or the history's. Raises InputError where nobody names any."""
    own = driver.bank()
    if own is not None:
        if listed is not None:
            raise InputError("--questions goes with --files and --command; a harness's tasks name their own questions")
        return own
    if listed is not None:
        return Bank.listed(listed)
    if history.questions is None:
        raise InputError("which questions? Without a history, --questions names a CSV question[,task]")
    tasks = None if history.responses is None else history.responses.tasks
    return Bank.of(history.questions, tasks)


def factors_of(history: History, bank: Bank, seed: int, kept: Path | None, note: Say) -> Factors:
    """The history's factors; with a file to keep them in, those in it if they were fitted to this history, else fitted
    now and kept there."""
    if kept is not None and kept.exists() and history.factors is None:
        there = Factors.load(kept, "evaluate_model.py")
        if there.about.get("history") == history.fingerprint and history.responses is not None:
            note(f"factors: those in {kept}, fitted to this history")
            return aligned(History("fitted factors", factors=there), bank).factors or there
        note(f"factors: those in {kept} were fitted to something else; fitted anew")
    factors = fitted(history, bank, seed, note)
    if kept is not None:
        factors.save(kept)
    return factors


# --- opening again -------------------------------------------------------------------------------------

def reopen(run: RunFolder, audit: bool = False) -> Evaluation:
    """A run as its files have it: everything that was drawn is drawn again and compared.

    audit  compares every estimate in the log and result.json, too

    Raises InputError where a file was changed, saying which, or does not follow from the others.
    """
    manifest = run.manifest(ACCURACY)
    with as_written(run / "manifest.json"):
        bank = Bank.load(run / "questions.csv")
        compare(bank.fingerprints(), manifest["bank"], run / "questions.csv")
        factors = Factors.load(run / "factors.npz", "evaluate_model.py")
        compare(of_factors(factors), manifest["factors"], run / "factors.npz")
        if np.asarray(factors.questions, str).tolist() != bank.questions.tolist():
            raise InputError(f"{run / 'factors.npz'}: not of the questions in questions.csv; restore both")
        plan = Plan(**manifest["plan"])
        log = whole_log(run)
        return Evaluation(run, manifest, Asking(bank, factors, plan, manifest["model"], log, audit))


def resume(run: RunFolder, request: Request | None, history: list[Path] | None, as_begun: bool, say: Say,
           show_questions: bool = False) -> Evaluation:
    """A run to go on with, its driver open.

    request   the driver's flags, where they were given again: they must be those of the beginning
    as_begun  go on although the history's files have changed

    Raises InputError as `reopen` does, and where the history or the model's questions have changed.
    """
    evaluation = locked_again(run, ACCURACY, reopen, say)
    manifest = evaluation.manifest
    check_way(manifest["asked"], request)
    if not as_begun:
        check_files(manifest["history"], history, "history")
    if evaluation.asking.ended is None:
        evaluation.driver = driver_again(evaluation, request, show_questions, say)
    evaluation.responses = _responses(manifest, evaluation.asking.bank)
    return evaluation


def _responses(manifest: dict[str, Any], bank: Bank) -> Responses | None:
    """The history's scores, where they can still be read, to look for a model with the same answers."""
    paths = [Path(path) for path in manifest["history"]["paths"]]
    if not paths or not all(path.exists() for path in paths) or paths[0].suffix == ".npz":
        return None
    try:
        history = read_history(paths, manifest["history"]["metric"], manifest["history"]["filter"])
        return aligned(history, bank).responses
    except InputError:
        return None


# --- auditing ------------------------------------------------------------------------------------------

def audit(run: RunFolder) -> list[str]:
    """Recompute every q or π, every p and every estimate from the log and the factors; returns what was compared.

    Raises InputError for the first thing that does not follow.
    """
    evaluation = reopen(run, audit=True)
    asking = evaluation.asking
    found = asking.finding()
    looks = len(list(asking.log.of("look")))
    said = [f"{counted(len(asking.session.asked), 'question')} in {counted(asking.round, 'round')}: every one follows "
            "from the factors, the seed and the answers before it, with its p and its probability",
            f"{counted(looks, 'estimate')} in the log: each follows from the answers"]
    if found is None:
        return [*said, "nothing can be estimated yet"]
    if asking.plan.in_rounds:
        plain = plain_estimate(asking.logged, asking.answers, asking.bank.size)
        if plain is None or abs(min(max(plain, 0.0), 1.0) - found.theta) > 1e-9:
            raise InputError(f"{run.path}: by hand the log gives {plain}, the estimate is {found.theta}")
        said.append(f"the estimate by hand, from p, π and the answers alone: {plain:.6f}")
    return [*said, same_result(evaluation, f"{found.theta:.4f}, {found.low:.4f} to {found.high:.4f}")]
