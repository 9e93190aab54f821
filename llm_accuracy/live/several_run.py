"""Begin, resume and audit a search for the best of several live models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..claims import QUESTIONS
from ..errors import InputError
from ..files import DAMAGED, atomic
from ..querying.best import usefulness
from ..querying.best_command import interval
from ..querying.session import budget_of
from .audits import same_result, whole_log
from .bank import Bank, digest
from .drivers import DRIVERS, Driver, Request, check_name
from .drivers.panel import Panel, PanelFiles
from .evaluate import bank_of
from .history import History, aligned, check_choice, other_limits, read_history
from .loop import (
    OpenRun,
    Say,
    asked_of,
    beginning,
    check_files,
    check_way,
    compare,
    files_of,
    locked_again,
    opened_again,
    versions,
)
from .query_log import QueryLog
from .recorded import counted
from .run_folder import BEST, FORMAT, RunFolder, as_written
from .several import Several, SeveralPlan, by_hand

USEFUL = "useful.npy"
BY_FILES = "files"


@dataclass
class SeveralWanted:
    """What the command line asks for; see `best` for the flags.

    requests  one a model, in their order; of --files one for all
    names     of the models; [] where the drivers know them
    budget    questions of each model at most, as it was written
    plan      further fields of `SeveralPlan`
    check     raises InputError for names of models that do not go with what else was asked for
    """

    requests: list[Request]
    names: list[str]
    history: list[Path]
    budget: str | None
    plan: dict[str, Any]
    questions: Path | None = None
    check: Callable[[list[str]], None] = lambda names: None


@dataclass
class Contest(OpenRun):
    """A search that is open."""

    asking: Several

    def result(self) -> dict[str, Any]:
        from .several_report import result_of

        return result_of(self.asking, self.manifest)

    def page(self, result: dict[str, Any]) -> str:
        from .several_report import page

        return page(self.asking, self.manifest, result)

    def line(self, result: dict[str, Any]) -> str:
        left = sum(one["left"] for one in result["models"].values())
        leader = result["models"][result["leader"]]
        known = interval(leader["estimate"], leader["low"], leader["high"])
        return (f"{counted(result['questions'], 'question')}, {left} of {len(result['models'])} models left, "
                f"{result['leader']} ahead, {known} % right")


# --- beginning -----------------------------------------------------------------------------------------

def begin(run: RunFolder, wanted: SeveralWanted, say: Say) -> Contest:
    """A new search: everything is checked and read before the folder holds anything but its lock.

    Raises InputError for whatever cannot be used.
    """
    read = [path for path in (*wanted.history, wanted.questions) if path is not None]
    return beginning(run, lambda: _begun(run, wanted, say), read)


def _begun(run: RunFolder, wanted: SeveralWanted, say: Say) -> Contest:
    first = wanted.requests[0]
    history = read_history(wanted.history, first.metric, first.filter)
    check_choice(first, wanted.history)
    names, members = _members(wanted, say)
    wanted.check(names)
    SeveralPlan(tuple(names), 1, **wanted.plan)
    driver = PanelFiles(first, names) if first.driver == BY_FILES else Panel(members, _folders(run, names))
    bank = bank_of(driver, history, wanted.questions)
    if wanted.plan["about"] == QUESTIONS:
        _check_independent(bank)
    history = aligned(history, bank)
    bank = bank.prompted(history.prompts)
    useful, said = what_tells_apart(history, names)
    notes = [*history.notes, *first.notes, *said]
    for one in members.values():
        notes += [note for note in other_limits(history, getattr(one, "limits", None)) if note not in notes]
    for note in notes:
        say(note)
    most = bank.size if wanted.budget is None else budget_of(wanted.budget, bank.size)
    plan = SeveralPlan(tuple(names), most, **wanted.plan)
    asked = [asked_of(request, one) | {"name": name, "loaded": one.model, "bank": _prints(one)}
             for name, request, one in zip(names, wanted.requests, members.values(), strict=False)]
    manifest = {
        "format": FORMAT, "kind": BEST, "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": names, "asked": asked or [asked_of(first, driver)], "plan": asdict(plan),
        "bank": {"questions": bank.size} | bank.fingerprints(),
        "history": {"kind": history.kind, "models": len(history.models),
                    "paths": [str(path.absolute()) for path in wanted.history if str(path) != "none"],
                    "files": files_of(wanted.history)},
        "known": known(useful), "notes": notes, "versions": versions() | driver.versions}
    bank.save(run / "questions.csv")
    if useful is not None:
        with atomic(run / USEFUL, "wb") as stream:
            np.save(stream, useful)
    (run / "queries.jsonl").unlink(missing_ok=True)
    run.write_manifest(json.loads(json.dumps(manifest)))
    return Contest(run, manifest, Several(bank, useful, plan, QueryLog(run / "queries.jsonl")), driver)


def _members(wanted: SeveralWanted, say: Say) -> tuple[list[str], dict[str, Driver]]:
    """(the models' names, their drivers; none of --files). Raises InputError for names that are not one for each."""
    if wanted.requests[0].driver == BY_FILES:
        _check_names(wanted.names)
        return wanted.names, {}
    opened: list[Driver] = []
    for i, request in enumerate(wanted.requests):
        folder = _folder(wanted.requests[0].folder, i)
        opened.append(DRIVERS[request.driver].open(replace(request, folder=folder), say,
                                                   f" ({i + 1} of {len(wanted.requests)})"))
    names = wanted.names or [driver.model for driver in opened]
    _check_names(names)
    return names, dict(zip(names, opened, strict=True))


def _check_names(names: list[str]) -> None:
    for name in names:
        check_name(name)
    if len(names) < 2:
        raise InputError("which is best? Two models are needed, or more: a driver's flag for each, or --files and --k")
    for name in names:
        check_name(name)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]} is there twice: name the models, in their order, with --k")


def _folder(run: Path, i: int) -> Path:
    return run / "models" / str(i + 1)


def _folders(run: RunFolder, names: list[str]) -> dict[str, Path]:
    return {name: _folder(run.path, i) for i, name in enumerate(names)}


def _prints(driver: Driver) -> dict[str, Any] | None:
    return None if (own := driver.bank()) is None else own.fingerprints()


def _check_independent(bank: Bank) -> None:
    """Raises InputError where two questions have one content: they are no independent draws of a population."""
    if bank.contents is None:
        return
    known = [content for content in bank.contents.tolist() if content]
    twice = next((content for content, count in Counter(known).items() if count > 1), None)
    if twice is not None:
        same = bank.questions[bank.contents == twice][:2].tolist()
        raise InputError(f"--about questions: {' and '.join(same)} have one content, so they are no independent draws "
                         "of new questions; leave --about away, or take one of them out of the task")


def what_tells_apart(history: History, names: list[str]) -> tuple[np.ndarray | None, list[str]]:
    """((N,) √(p(1 − p)) of each question by the history, notes); None without one. Candidates in it are left out."""
    if history.factors is not None:
        p = np.clip(np.asarray(history.factors.history_mean, float), 0.02, 0.98)
        return np.sqrt(p * (1 - p)), ["history: the factors' means say which questions tell models apart"]
    if history.responses is None:
        return None, ["no history: questions are drawn at random"]
    scores = np.where(history.responses.observed, history.responses.scores, np.nan).astype(float)
    candidates = {name.lower() for name in names}
    kept = np.array([str(name).lower() not in candidates for name in history.models])
    notes = []
    if left_out := int((~kept).sum()):
        notes.append(f"history: {left_out:,} of its models are candidates; their answers there are not used")
    if not kept.any():
        return None, [*notes, "no history: questions are drawn at random"]
    return usefulness(scores[kept]), [*notes, f"history: {int(kept.sum()):,} models say which questions tell models "
                                              "apart"]


def known(useful: np.ndarray | None) -> dict[str, str | None]:
    """Its fingerprint, by the name that a message gives it."""
    return {"which questions tell models apart": digest(useful)}


# --- opening again -------------------------------------------------------------------------------------

def reopen(run: RunFolder, audit: bool = False) -> Contest:
    """A search as its files have it: everything that was drawn is drawn again and compared.

    Raises InputError where a file was changed, saying which, or does not follow from the others.
    """
    manifest = run.manifest(BEST)
    with as_written(run / "manifest.json"):
        bank = Bank.load(run / "questions.csv")
        compare(bank.fingerprints() | {"how many they are": bank.size}, manifest["bank"] | {
            "how many they are": manifest["bank"]["questions"]}, run / "questions.csv")
        useful = _useful(run / USEFUL, bank.size)
        compare(known(useful), manifest["known"], run / USEFUL)
        plan = SeveralPlan(**manifest["plan"] | {"models": tuple(manifest["models"])})
        plan.check(bank.size)
        return Contest(run, manifest, Several(bank, useful, plan, whole_log(run), audit))


def _useful(path: Path, size: int) -> np.ndarray | None:
    try:
        found = np.load(path, allow_pickle=False)
        if not (isinstance(found, np.ndarray) and found.dtype.kind == "f" and found.shape == (size,)
                and (np.isfinite(found) & (found > 0)).all()):
            raise ValueError(f"{size} numbers above 0 are needed")
        return found
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read ({error}); restore the file") from None


def resume(run: RunFolder, requests: list[Request], history: list[Path] | None, as_begun: bool, say: Say) -> Contest:
    """A search to go on with, its models open; see `evaluate.resume`. requests: the drivers' flags, where they were
    given again, [] else."""
    contest = locked_again(run, BEST, reopen, say)
    manifest = contest.manifest
    if requests and len(requests) != len(manifest["asked"]):
        raise InputError(f"the run began with {len(manifest['asked'])} models and is given {len(requests)}: resume "
                         "with the same, or leave them away")
    for one, request in zip(manifest["asked"], requests, strict=False):
        check_way(one, request)
    if not as_begun:
        check_files(manifest["history"], history, "history")
    if contest.asking.ended is None:
        contest.driver = _opened_again(run, manifest, requests, say)
    return contest


def _opened_again(run: RunFolder, manifest: dict[str, Any], requests: list[Request], say: Say) -> Panel | PanelFiles:
    asked, names = manifest["asked"], manifest["models"]
    if asked[0]["driver"] == BY_FILES:
        return PanelFiles(Request(BY_FILES, "", run.path), names)
    given: list[Request | None] = [*requests] or [None] * len(asked)
    members = {one["name"]: opened_again(one, one["loaded"], one["bank"] or {}, request, _folder(run.path, i), False,
                                           say, f" ({i + 1} of {len(asked)})")
               for i, (one, request) in enumerate(zip(asked, given, strict=True))}
    return Panel(members, _folders(run, names))


# --- auditing ------------------------------------------------------------------------------------------

def audit(run: RunFolder) -> list[str]:
    """Recompute every draw, its probability, and every look from the log; returns what was compared.

    Raises InputError for the first thing that does not follow.
    """
    contest = reopen(run, audit=True)
    asking = contest.asking
    said = [f"{sum(len(record['questions']) for record in asking.logged):,} questions in {asking.round} rounds: every "
            "one follows from the history, the seed and the answers before it, with its probability and the models "
            "that were left",
            f"{len(list(asking.log.of('look')))} looks in the log: each follows from the answers"]
    plain = by_hand(asking)
    if not plain:
        return [*said, "nothing can be said yet"]
    for name, value, estimate in zip(asking.plan.models, plain.values(), asking.search.estimates, strict=True):
        if abs(value - estimate) > 1e-9:
            raise InputError(f"{run.path}: by hand the log gives {name} {value}, by the run it is {estimate}")
    said.append("the means by hand, from q and the answers alone: " +
                ", ".join(f"{name} {value:.4f}" for name, value in plain.items()))
    best = f"{asking.winner} is best" if asking.winner else f"{len(asking.left)} models are left"
    return [*said, same_result(contest, best)]
