"""What every run shares: its files written again after each round, a driver opened again, and the loop: draw, log, ask,
log, learn, look."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InputError
from ..files import write_whole
from ..redaction import REDACTED, hidden
from .drivers import DRIVERS, Driver, Request
from .drivers.driver import Round
from .drivers.files import Files
from .live_line import Live
from .recorded import Clock, Recorded, in_words
from .run_folder import RunFolder

Say = Callable[[str], None]
PAGE_AGE = 3.0    # seconds
OF_A_ROUND = ("ask.csv", "responses.jsonl")  # files that a driver needs while a round is in flight
MOST_FILES = 2000  # of what was given beforehand, whose fingerprints are kept one by one


@dataclass
class OpenRun:
    """A run that is open: its folder, manifest, state and the way to the model. Subclasses say what it has found."""

    run: RunFolder
    manifest: dict[str, Any]
    asking: Recorded
    driver: Driver | None = None
    show_questions: bool = False
    _page_at: float = -math.inf

    def result(self) -> dict[str, Any]:
        """Everything that result.json says."""
        raise NotImplementedError

    def page(self, result: dict[str, Any]) -> str:
        """report.html."""
        raise NotImplementedError

    def line(self, result: dict[str, Any]) -> str:
        """What has been found so far, in a few words."""
        raise NotImplementedError

    def write(self, more_to_come: bool = False) -> dict[str, Any]:
        """Rewrite result.json and report.html; returns the result. more_to_come: the page, whose figures take longer
        than a small round, only if it is a few seconds old."""
        result = self.result()
        write_whole(self.run / "result.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        if not more_to_come or time.monotonic() - self._page_at > PAGE_AGE:
            write_whole(self.run / "report.html", self.page(result))
            self._page_at = time.monotonic()
        return result


# --- beginning -----------------------------------------------------------------------------------------

def beginning(run: RunFolder, begun: Callable[[], Any], read: list[Path]) -> Any:
    """What `begun` makes of a new, locked folder; a run that cannot begin leaves nothing of it. read: files and
    folders that it reads.

    Raises InputError for a folder that holds something, or lies in one that is read, and whatever `begun` raises.
    """
    run.check_empty()
    run.check_apart(read)
    run.lock()
    try:
        run.check_new()  # another process may have been quicker
        return begun()
    except BaseException:
        if run.begun:
            run.release()
        else:
            run.clear()
        raise


def asked_of(request: Request, driver: Driver) -> dict[str, Any]:
    """Who is asked and how, for the manifest; without keys."""
    return {"driver": request.driver, "words": hidden(request.words), "model": request.model,
            "metric": request.metric, "filter": request.filter, "settings": _redacted(driver.settings),
            "flags": _redacted(request.flags)}


def files_of(paths: list[Path]) -> dict[str, str]:
    """{file: fingerprint of its bytes} of what was given; of more than MOST_FILES files one of all."""
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
    return json.loads(hidden(json.dumps(settings, default=str)))


# --- opening again ------------------------------------------------------------------------------------

def locked_again(run: RunFolder, kind: str, reopen: Callable[[RunFolder], Any], say: Say) -> Any:
    """A run of this kind, locked and opened again by `reopen`; says what a crash has left.

    Raises InputError for another kind, where another process holds it, and as `reopen` does.
    """
    run.manifest(kind)
    run.lock()
    opened = reopen(run)
    log = opened.asking.log
    if log.torn:
        say(f"{log.path}: {log.torn} bytes of an unfinished line were left by a crash; they are cut off")
    return opened


def driver_again(run: OpenRun, given: Request | None, show_questions: bool, say: Say) -> Driver:
    """The driver of a run that has not ended, opened again; `given`: its flags, where they were given again.

    Raises InputError where it is another model, other questions, or another way of asking.
    """
    manifest = run.manifest
    return opened_again(manifest["asked"], manifest["model"], manifest["bank"], given, run.run.path, show_questions,
                        say)


def opened_again(asked: dict[str, Any], model: str, bank: dict[str, Any], given: Request | None, folder: Path,
                 show_questions: bool, say: Say, which: str = "") -> Driver:
    """The driver of a `model`, as `asked` of it, the manifest's; `bank`: the fingerprints of its questions; which of
    several it is.

    Raises InputError as `driver_again` does.
    """
    driver = DRIVERS[asked["driver"]].open(_request(asked, given, folder, show_questions), say, which)
    if driver.model != model:
        raise InputError(f"the model is {driver.model} now and was {model}: begin another run for it")
    if (own := driver.bank()) is not None:
        prints = own.fingerprints()
        del prints["the costs"], prints["the history's prompts"]
        compare(prints, bank, "the model's questions")
    for name, value in _redacted(driver.settings).items():
        if asked["settings"].get(name) != value:
            raise InputError(f"{name} is {value!r} now and was {asked['settings'].get(name)!r}: what "
                             "is asked in another way is another evaluation; ask as before, or begin another run")
    return driver


def _request(asked: dict[str, Any], given: Request | None, folder: Path, show_questions: bool) -> Request:
    words = asked["words"]
    if given is not None:  # by the same way: `check_way`
        words = given.words
    elif REDACTED in words:
        raise InputError(f"the run began with a key in --{asked['driver']}, which is not kept: give "
                         f"--{asked['driver']} again, with the key")
    return Request(asked["driver"], words, folder, asked["model"], asked["metric"], asked["filter"], show_questions)


def check_way(asked: dict[str, Any], given: Request | None) -> None:
    """Raises InputError for another way to the model than the run began with, also where nothing more is asked."""
    if given is not None and (given.driver, hidden(given.words)) != (asked["driver"], asked["words"]):
        raise InputError(f"the run began with --{asked['driver']} {asked['words']!r}: resume with the same, or begin "
                         "another run")


def check_files(begun: dict[str, Any], given: list[Path] | None, what: str) -> None:
    """Raises InputError, with what changed, unless the files of `what` (history, baseline) are those that the run began
    with. Files that are gone do no harm: the run has its own copy of what it knows."""
    way_out = f"put it back, or add --as-begun to go on with the {what} that the run began with"
    if given is not None and [str(path.absolute()) for path in given if str(path) != "none"] != begun["paths"]:
        raise InputError(f"the run began with --{what} {' '.join(begun['paths']) or 'none'}; leave --{what} away, or "
                         "begin another run")
    paths = [Path(path) for path in begun["paths"]]
    if not all(path.exists() for path in paths):
        return
    now, then = files_of(paths), begun["files"]
    changed = [name for name in then if name in now and now[name] != then[name]]
    new, gone = sorted(now.keys() - then.keys()), sorted(then.keys() - now.keys())
    for names, how in ((changed, "changed"), (new, "is new"), (gone, "is gone")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise InputError(f"the {what} is not what the run began with: {names[0]}{more} {how}; {way_out}")


def compare(now: Mapping[str, object], then: dict[str, Any], where: object) -> None:
    """Raises InputError, with the names, for fingerprints that differ."""
    changed = [name for name, fingerprint in now.items() if fingerprint != then.get(name)]
    if changed:
        raise InputError(f"{where}: {', '.join(changed)} changed since the run began; put back what was there, or "
                         "begin another run")


# --- asking --------------------------------------------------------------------------------------------

def go_on(evaluation: OpenRun, live: Live) -> dict[str, Any]:
    """Ask round after round until the plan's end, or until the driver waits for somebody; returns the result.

    Raises InputError where the driver fails; everything that it had answered is in the log.
    """
    asking, driver = evaluation.asking, evaluation.driver
    if asking.ended is not None or driver is None:
        for name in OF_A_ROUND:  # of a process that was killed after the end
            (evaluation.run / name).unlink(missing_ok=True)
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
                    _say_news(asking, live)
                asking.look(clock.seconds)
                live.show(evaluation.line(evaluation.write(more_to_come=True)), asking, clock)
            if reason := asking.reason(clock.seconds):
                asking.end(reason)
                break
            asking.ask()
        result = evaluation.write()
        driver.close(result)
        return result
    finally:
        live.close()


def _say_news(asking: Recorded, live: Live) -> None:
    for text in asking.news:
        live.say(text)
    asking.news.clear()


def _ask(evaluation: OpenRun, driver: Driver, live: Live, clock: Clock) -> str | None:
    """One round; what somebody else has to do before it can be finished, if so."""
    asking = evaluation.asking

    def take(answers) -> int:
        new = asking.take(answers)
        _say_news(asking, live)
        live.count(asking, clock)
        return new

    round_ = Round(asking.round, asking.outstanding, lambda done, of: live.progress(asking, clock, done, of))
    if not isinstance(driver, Files):
        live.asks(asking, clock)
    driver.ask(round_, asking.bank, take)
    live.heard(asking, clock)
    if isinstance(driver, Files):
        if not asking.outstanding:
            return None
        return driver.write(replace(round_, questions=asking.outstanding), asking.bank)
    if asking.outstanding:
        raise InputError(f"{len(asking.outstanding)} questions of round {asking.round} were not answered, first "
                         f"{in_words(asking.outstanding[0])}; add --resume to ask them again")
    return None
