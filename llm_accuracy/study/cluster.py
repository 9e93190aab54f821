"""The study as a plan for many machines: its steps, what is missing of each, and in how many tasks it is run.

A task is one shard of one script. It appends to logs of its own, LOGS_DIR/parts/STEP/INDEX, because many machines
appending to one file on a network disk would tear it; at the end of a step they are gathered into LOGS_DIR. Whatever
becomes of a task, its finished trials stay: `leftovers` gathers them, and the next plan holds only what is missing.
`slurm/submit.py` hands a plan to a queue.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from .. import cli
from ..errors import InputError
from . import tables
from .workers import threads

ROOT = Path(__file__).resolve().parents[2]
PARTS = "parts"         # folder in LOGS_DIR
MOST_TASKS = 1000       # of one step: what Slurm takes in one array unless it is set up otherwise
WAIT_FOR_LOCK = 120.0   # seconds
_FITS = ("tier", "datasets", "scenarios", "data_dir", "logs_dir", "device")
_TRIALS = (*_FITS, "budgets", "seeds", "models")


@dataclass(frozen=True)
class Step:
    """One script with its own flags; `after` names the steps whose results it reads, `log` what it appends to."""

    name: str
    script: str
    takes: tuple[str, ...]
    flags: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    log: str = ""

    def command(self, args: argparse.Namespace) -> list[str]:
        """The script's arguments: those of the submission that it takes, then its own."""
        words = []
        for name in self.takes:
            value = getattr(args, name)
            values = [] if value is None else value if isinstance(value, list) else [value]
            flag = f"--{name.replace('_', '-')}"
            words += [f"{flag}={values[0]}"] if len(values) == 1 else [flag, *map(str, values)] if values else []  # =-x
        return words + list(self.flags)


STEPS = (
    Step("cv", "factor_models_cv.py", _FITS, log="factor_models_cv"),
    Step("val", "factor_models_val.py", _FITS, after=("cv",)),
    Step("final", "factor_models_final.py", _FITS, after=("cv",)),
    Step("tune", "faq_val.py", _TRIALS, after=("val",), log="faq_val"),
    Step("faq", "faq_final.py", _TRIALS, ("--policies", "faq"), after=("final", "tune"), log="faq_final"),
    Step("others", "faq_final.py", _TRIALS, ("--policies", "rounds", "faq-mix", "uniform+factors"),
         after=("final", "faq"), log="faq_final"),
    Step("baselines", "baselines_all.py", _TRIALS, after=("final",), log="baselines_all"),
    Step("ablations", "ablations_all.py", _TRIALS, after=("final", "tune", "faq"), log="ablations_all"),
)
EVALUATIONS = ("faq", "others", "baselines", "ablations")  # what the tables are made of
SUMMARY = Step("summary", "summarize_results.py", ("logs_dir",))
COVERAGE = Step("coverage", "faq_coverage.py", _FITS[:-1], after=("others",))  # of the default method, growing rounds


@dataclass(frozen=True)
class Job:
    """What is missing of a step: units (trials or fits), about how long they take on this machine, and in how many
    tasks they are run."""

    step: Step
    units: int
    seconds: float
    tasks: int

    @property
    def minutes_each(self) -> float:
        return self.seconds / 60 / self.tasks


def price(step: Step, args: argparse.Namespace) -> Job | None:
    """What --dry-run of the step says, in tasks of about args.task_minutes; None where nothing is missing.

    Before the steps that it reads have run, a step is priced with made-up factors of the largest rank.
    """
    said = io.StringIO()
    with redirect_stdout(said):
        run_here(step.script, [*step.command(args), "--dry-run"])
    found = re.search(r"(\d+) (?:trial|fit)s? to run", said.getvalue())
    parts = re.search(r"in at most (\d+) part", said.getvalue())
    if found is None or parts is None:
        raise RuntimeError(f"{step.script} --dry-run says {said.getvalue()!r}")
    units, seconds = int(found[1]), cli.seconds(said.getvalue()) * args.slower
    return Job(step, units, seconds, split(seconds, int(parts[1]), args.task_minutes)) if units else None


def split(seconds: float, parts: int, task_minutes: float) -> int:
    """Into how many tasks: of about `task_minutes`, one task where all of it takes less than half as long again, never
    more tasks than there is work for, nor than a queue takes."""
    enough = 1 if seconds <= 90 * task_minutes else math.ceil(seconds / 60 / task_minutes)
    return max(1, min(enough, parts, MOST_TASKS))


def run_here(script: str, words: Sequence[str]) -> None:
    """A script's `main`, in this process: torch is loaded once for all steps."""
    sys.path.insert(0, str(ROOT))
    try:
        runpy.run_path(str(ROOT / script))["main"](list(words))
    finally:
        sys.path.remove(str(ROOT))


def plan(args: argparse.Namespace) -> list[Job]:
    """What is missing of every step that is asked for, in order.

    Draws the masks of the scenarios first, which takes seconds: all steps read them; with --dry-run beside links to the
    data, in a folder of its own. Raises InputError as the scripts do.
    """
    if not args.dry_run:
        return _priced(args)
    with tempfile.TemporaryDirectory() as folder:
        _link(args.data_dir, Path(folder))
        try:
            return _priced(argparse.Namespace(**{**vars(args), "data_dir": Path(folder)}))
        except InputError as error:
            raise InputError(str(error).replace(folder, str(args.data_dir))) from None


def _priced(args: argparse.Namespace) -> list[Job]:
    with redirect_stdout(io.StringIO()):
        run_here("data/simulate_missingness.py",
                  Step("", "", ("tier", "datasets", "scenarios", "data_dir")).command(args))
    return [job for step in STEPS if step.name in args.steps and (job := price(step, args))]


def _link(source: Path, target: Path) -> None:
    """All files of a folder, as links to them: what is written beside them is written into `target` only."""
    for path in source.iterdir() if source.is_dir() else ():
        if path.is_dir():
            (target / path.name).mkdir()
            _link(path, target / path.name)
        else:
            (target / path.name).symlink_to(path.resolve())


def tables_wanted(args: argparse.Namespace) -> list[Step]:
    """The scripts that make the tables of the steps that are asked for."""
    return ([SUMMARY] if set(EVALUATIONS) & set(args.steps) else []) + (
        [COVERAGE] if set(COVERAGE.after) <= set(args.steps) else [])


def stale(args: argparse.Namespace) -> bool:
    """Whether a table that is asked for is not there, or older than a log of trials."""
    if not tables_wanted(args):
        return False
    try:
        made = (args.logs_dir / "summary.csv").stat().st_mtime
    except FileNotFoundError:
        return True
    return any(path.stat().st_mtime > made for name in tables.TRIALS if (path := args.logs_dir / name).is_file())


def leftovers(logs_dir: Path) -> Iterator[str]:
    """Gather what tasks of earlier submissions have finished; yields a line for each log."""
    for folder in sorted((logs_dir / PARTS).glob("*/")):
        if folder.name != "jobs":
            yield from _gather(logs_dir, folder.name)


def _gather(logs_dir: Path, step: str) -> Iterator[str]:
    """Append the parts of a step to the logs, then remove them."""
    folder = logs_dir / PARTS / step
    for name, parts, added in tables.gather(logs_dir, sorted(folder.glob("*/"))):
        yield f"{name}.csv: {added} rows from {parts} tasks of {step}"
    shutil.rmtree(folder, ignore_errors=True)


# --- what runs on the machines -------------------------------------------------------------------------

class Resumable(ABC):
    """Work that may be stopped at any moment and called again: submitit calls `checkpoint` when time is up."""

    @abstractmethod
    def __call__(self) -> None:
        """The work."""

    def checkpoint(self) -> object:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Task(Resumable):
    """One script in a process of its own, with so many threads."""

    def __init__(self, script: str, words: Sequence[str], cpus: int):
        self.script, self.words, self.cpus = script, list(words), cpus

    def __call__(self) -> None:
        print(f"$ python {self.script} {shlex.join(self.words)}", flush=True)
        done = subprocess.run([sys.executable, str(ROOT / self.script), *self.words], env=threads(self.cpus))
        if done.returncode:
            raise RuntimeError(f"{self.script} ended with exit code {done.returncode}")


class Gather(Resumable):
    """The end of a step: its parts go into the logs. Waits while another process writes them."""

    def __init__(self, logs_dir: Path, step: str):
        self.logs_dir, self.step = logs_dir, step

    def __call__(self) -> None:
        sys.argv = ["slurm/submit.py", "gather", self.step]  # for the .json beside the log
        until = time.monotonic() + WAIT_FOR_LOCK
        while True:
            try:
                print(*_gather(self.logs_dir, self.step), sep="\n", flush=True)
                return
            except InputError as error:
                if "is being written by" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(1)


def tasks_of(job: Job, args: argparse.Namespace) -> list[Task]:
    """The tasks of a job: its shards, each with a part of its own. Fits write files, each its own, and need no part."""
    words = job.step.command(args)

    def part(index: int) -> list[str]:
        return ["--part-dir", str(args.logs_dir / PARTS / job.step.name / str(index))] if job.step.log else []

    return [Task(job.step.script, [*words, "--shard", f"{index}/{job.tasks}", *part(index)], args.cpus)
            for index in range(job.tasks)]
