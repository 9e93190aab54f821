"""Begin, resume and audit an evaluation, and the loop that all of them share: draw, log, ask, log, learn, estimate."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InputError
from ..files import read_json, write_whole
from ..querying.factors import Factors
from ..scores.matrix import Responses
from .asking import Asking, Clock, plain_estimate
from .bank import Bank
from .drivers import DRIVERS, Driver, Request
from .drivers.driver import Round
from .drivers.files import Files
from .history import History, aligned, fitted, itself, of_factors, other_limits, read_history, worth
from .live_line import Live
from .plans import FIXED, Plan, plan_of, stop_of
from .query_log import QueryLog
from .redaction import HIDDEN, redacted
from .results import result_of
from .run_folder import FORMAT, RunFolder

Say = Callable[[str], None]
PAGE_AGE = 3.0    # seconds
MOST_FILES = 2000  # of a history, whose fingerprints are kept one by one


@dataclass
class Evaluation:
    """A run that is open: its folder, manifest, state and the way to the model."""

    run: RunFolder
    manifest: dict[str, Any]
    asking: Asking
    driver: Driver | None = None
    responses: Responses | None = None
    show_questions: bool = False
    _page_at: float = -math.inf

    def write(self, more_to_come: bool = False) -> dict[str, Any]:
        """Rewrite result.json and report.html; returns the result. more_to_come: the page, whose figures take longer
        than a small round, only if it is a few seconds old."""
        result = result_of(self.asking, self.manifest, self.responses)
        write_whole(self.run / "result.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        if not more_to_come or time.monotonic() - self._page_at > PAGE_AGE:
            from .report import page

            write_whole(self.run / "report.html", page(self.asking, self.manifest, result, self.show_questions))
            self._page_at = time.monotonic()
        return result


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
    run.check_empty()
    run.lock()
    try:
        return _begun(run, wanted, say)
    except BaseException:
        if not run.begun:
            run.clear()
        raise


def _begun(run: RunFolder, wanted: Wanted, say: Say) -> Evaluation:
    request, stop, settings = wanted.request, wanted.stop, wanted.plan
    Plan(stop_of(None, **stop)[0], **settings)  # what is wrong with words is said before anything is read or loaded
    history = read_history(wanted.history, request.metric, request.filter)
    driver = DRIVERS[request.driver].open(request)
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
    plan = plan_of(bank.size, factors, **stop, **settings)
    if plan.watched:
        told.append(f"interval: {plan.interval}, chosen beforehand: about {plan.planned:,} of {bank.size:,} questions "
                    f"are expected to give ± {100 * (plan.half_width or 0):g} points")
    for text in told:
        say(text)
    notes += told
    manifest = {
        "format": FORMAT, "begun": datetime.now(UTC).isoformat(timespec="seconds"), "model": driver.model,
        "asked": {"driver": request.driver, "words": redacted(request.words), "model": request.model,
                  "metric": request.metric, "filter": request.filter, "settings": _redacted(driver.settings)},
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
    return Evaluation(run, manifest, asking, driver, history.responses)


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


def files_of(paths: list[Path]) -> dict[str, str]:
    """{file: fingerprint of its bytes} of a history; of more than MOST_FILES files one fingerprint of all."""
    found: dict[str, str] = {}
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                with file.open("rb") as stream:
                    found[str(file.absolute())] = hashlib.file_digest(stream, "blake2b").hexdigest()[:32]
    if len(found) > MOST_FILES:
        return {"all": hashlib.blake2b(json.dumps(found).encode()).hexdigest()[:32]}
    return found


def versions() -> dict[str, str]:
    """Of what the numbers follow from."""
    found = {"llm-accuracy": __version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "torch", "scikit-learn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _redacted(settings: dict[str, Any]) -> dict[str, Any]:
    return json.loads(redacted(json.dumps(settings, default=str)))


# --- opening again -------------------------------------------------------------------------------------

def reopen(run: RunFolder, audit: bool = False) -> Evaluation:
    """A run as its files have it: everything that was drawn is drawn again and compared.

    audit  compares every estimate in the log and result.json, too

    Raises InputError where a file was changed, saying which, or does not follow from the others.
    """
    manifest = run.manifest()
    bank = Bank.load(run / "questions.csv")
    _compare(bank.fingerprints(), manifest["bank"], run / "questions.csv")
    factors = Factors.load(run / "factors.npz", "evaluate_model.py")
    _compare(of_factors(factors), manifest["factors"], run / "factors.npz")
    plan = Plan(**manifest["plan"])
    log = QueryLog(run / "queries.jsonl")
    return Evaluation(run, manifest, Asking(bank, factors, plan, manifest["model"], log, audit))


def resume(run: RunFolder, request: Request | None, history: list[Path] | None, as_begun: bool, say: Say,
           show_questions: bool = False) -> Evaluation:
    """A run to go on with, its driver open.

    request   the driver's flags, where they were given again: they must be those of the beginning
    as_begun  go on although the history's files have changed

    Raises InputError as `reopen` does, and where the history or the model's questions have changed.
    """
    run.manifest()
    run.lock()
    evaluation = reopen(run)
    manifest, log = evaluation.manifest, evaluation.asking.log
    if log.torn:
        say(f"{log.path}: {log.torn} bytes of an unfinished line were left by a crash; they are cut off")
    if not as_begun:
        check_history(manifest, history)
    if evaluation.asking.ended is None:
        evaluation.driver = driver = DRIVERS[manifest["asked"]["driver"]].open(
            _request(manifest, request, run, show_questions))
        if driver.model != manifest["model"]:
            raise InputError(f"the model is {driver.model} now and was {manifest['model']}: begin another run for it")
        if (own := driver.bank()) is not None:
            prints = own.fingerprints()
            del prints["the costs"], prints["the history's prompts"]
            _compare(prints, manifest["bank"], "the model's questions")
        for name, value in _redacted(driver.settings).items():
            if manifest["asked"]["settings"].get(name) != value:
                raise InputError(f"{name} is {value!r} now and was {manifest['asked']['settings'].get(name)!r}: what "
                                 "is asked in another way is another evaluation; ask as before, or begin another run")
    evaluation.responses = _responses(manifest, evaluation.asking.bank)
    return evaluation


def _request(manifest: dict[str, Any], given: Request | None, run: RunFolder, show_questions: bool) -> Request:
    asked = manifest["asked"]
    words = asked["words"]
    if given is not None:
        if (given.driver, redacted(given.words)) != (asked["driver"], words):
            raise InputError(f"the run began with --{asked['driver']} {words!r}: resume with the same, or begin "
                             "another run")
        words = given.words
    elif HIDDEN in words:
        raise InputError(f"the run began with a key in --{asked['driver']}, which is not kept: give "
                         f"--{asked['driver']} again, with the key")
    return Request(asked["driver"], words, run.path, asked["model"], asked["metric"], asked["filter"], show_questions)


def check_history(manifest: dict[str, Any], given: list[Path] | None) -> None:
    """Raises InputError, with what changed, unless the history's files are those that the run began with. Files that
    are gone do no harm: the run has its own copy of the factors."""
    way_out = "put it back, or add --as-begun to go on with the factors that the run began with"
    begun = manifest["history"]
    if given is not None and [str(path.absolute()) for path in given if str(path) != "none"] != begun["paths"]:
        raise InputError(f"the run began with --history {' '.join(begun['paths']) or 'none'}; leave --history away, or "
                         "begin another run")
    paths = [Path(path) for path in begun["paths"]]
    if not all(path.exists() for path in paths):
        return
    now, then = files_of(paths), begun["files"]
    changed = [name for name in then if name in now and now[name] != then[name]]
    new, gone = sorted(now.keys() - then.keys()), sorted(then.keys() - now.keys())
    for names, what in ((changed, "changed"), (new, "is new"), (gone, "is gone")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise InputError(f"the history is not what the run began with: {names[0]}{more} {what}; {way_out}")


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


def _compare(now: dict[str, str | None], then: dict[str, Any], where: object) -> None:
    """Raises InputError, with the names, for fingerprints that differ."""
    changed = [name for name, fingerprint in now.items() if fingerprint != then.get(name)]
    if changed:
        raise InputError(f"{where}: {', '.join(changed)} changed since the run began; put back what was there, or "
                         "begin another run")


# --- asking --------------------------------------------------------------------------------------------

def go_on(evaluation: Evaluation, live: Live) -> dict[str, Any]:
    """Ask round after round until the plan's end, or until the driver waits for somebody; returns the result.

    Raises InputError where the driver fails; everything that it had answered is in the log.
    """
    asking, driver = evaluation.asking, evaluation.driver
    if asking.ended is not None or driver is None:
        return evaluation.write()
    clock = Clock(asking.spent)
    try:
        while True:
            if asking.outstanding:
                waiting = _ask(evaluation, driver, live, clock)
                if waiting:
                    live.say(waiting)
                    return evaluation.write()
            if asking.unseen:
                if asking.round == 1 and (told := asking.other_prompts()):
                    asking.note(told)
                    live.say(told)
                asking.look(clock.seconds)
                live.show(evaluation.write(more_to_come=True), asking, clock)
            if reason := _reason(asking, clock):
                asking.end(reason)
                break
            asking.ask()
        result = evaluation.write()
        driver.close(result)
        return result
    finally:
        live.close()


def _ask(evaluation: Evaluation, driver: Driver, live: Live, clock: Clock) -> str | None:
    """One round; what somebody else has to do before it can be finished, if so."""
    asking = evaluation.asking

    def take(answers) -> int:
        new = asking.take(answers)
        live.count(asking, clock)
        return new

    round_ = Round(asking.round, asking.outstanding, lambda done, of: live.progress(asking, clock, done, of))
    driver.ask(round_, asking.bank, take)
    if isinstance(driver, Files):
        if not asking.outstanding:
            return None
        return driver.write(replace(round_, questions=asking.outstanding), asking.bank)
    if asking.outstanding:
        raise InputError(f"{len(asking.outstanding)} questions of round {asking.round} were not answered, first "
                         f"{asking.outstanding[0]}; add --resume to ask them again")
    return None


def _reason(asking: Asking, clock: Clock) -> str | None:
    """Why no further round is asked, or None. Looks at answers only where the interval may be watched."""
    if asking.outstanding:
        return None
    if asking.plan.watched and asking.narrow():
        return f"the half-width of {100 * (asking.plan.half_width or 0):g} points is reached"
    if asking.complete:
        return ("all questions are asked" if len(asking.answers) == asking.bank.size else
                "the largest budget is used up" if asking.plan.watched else "the budget is used up")
    if asking.plan.max_minutes is not None and asking.round and clock.seconds >= 60 * asking.plan.max_minutes:
        return f"{asking.plan.max_minutes:g} minutes are over"
    return None


# --- auditing ------------------------------------------------------------------------------------------

def audit(run: RunFolder) -> list[str]:
    """Recompute every q or π, every p and every estimate from the log and the factors; returns what was compared.

    Raises InputError for the first thing that does not follow.
    """
    evaluation = reopen(run, audit=True)
    asking = evaluation.asking
    found = asking.finding()
    said = [f"{len(asking.session.asked):,} questions in {asking.round} rounds: every one follows from the factors, "
            "the seed and the answers before it, with its p and its probability",
            f"{len(list(asking.log.of('look')))} estimates in the log: each follows from the answers"]
    if found is None:
        return [*said, "nothing can be estimated yet"]
    if asking.plan.interval == FIXED:
        plain = plain_estimate(asking.logged, asking.answers, asking.bank.size)
        if plain is None or abs(min(max(plain, 0.0), 1.0) - found.theta) > 1e-9:
            raise InputError(f"{run.path}: by hand the log gives {plain}, the estimate is {found.theta}")
        said.append(f"the estimate by hand, from p, π and the answers alone: {plain:.6f}")
    path = run / "result.json"
    if path.exists() and not asking.outstanding:
        kept = read_json(path)
        for name, value in (("estimate", found.theta), ("low", found.low), ("high", found.high)):
            if kept.get(name) is None or abs(kept[name] - value) > 1e-9:
                raise InputError(f"{path}: {name} is {kept.get(name)}, by the log it is {value}; add --report to write "
                                 "it again")
        said.append(f"{path.name}: {found.theta:.4f}, {found.low:.4f} to {found.high:.4f}, is what the log gives")
    return said

