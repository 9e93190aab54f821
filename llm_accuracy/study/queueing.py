"""A plan (`cluster`) handed to a queue: Slurm's, or this machine's, both through submitit."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import submitit

from .. import cli, locks
from ..errors import InputError
from ..files import atomic
from .cluster import PARTS, Gather, Job, Task, leftovers, plan, stale, tables_wanted, tasks_of
from .workers import cores, ended_in_order, errors_in

POLL = 0.2              # seconds
SETTLED = 1.5           # seconds until Slurm knows why a job waits
WARNED_BEFORE = 60      # seconds before its time is up a task is told, and queued again
# Why a job waits that no time will start: Slurm takes some jobs that it can never run.
NEVER = re.compile(r"Partition(Config|TimeLimit|NodeLimit)|BadConstraints|Invalid(Account|QOS)|(QOS|Account)NotAllowed|"
                   r"(QOS|Assoc)Max\w*(PerJob|WallDuration)\w*|DependencyNeverSatisfied|JobHeld\w+|.* held")
ADVICE = {"array": "--task-minutes with a larger number makes fewer tasks", "partition": "sinfo lists the partitions",
          "node configuration": "fewer --cpus or --gpus, or less --mem-gb", "time limit": "a shorter --time-minutes",
          "QOS policy": "--task-minutes with a larger number makes fewer tasks, --steps takes some of the steps"}


def submit(args: argparse.Namespace) -> None:
    """Say what is queued; if nothing is, gather what earlier tasks have finished, and queue what is missing.

    Raises InputError where squeue or sbatch refuse, or, with args.local, where a task fails.
    """
    folder = args.logs_dir / PARTS / "jobs"
    record = folder / "jobs.json"
    if args.dry_run:
        _show(plan(args))
        return
    if "%" in str(folder) and not args.local:
        raise InputError(f"--logs-dir {args.logs_dir}: Slurm puts numbers in the place of % in its logs' names; choose "
                         "a folder without it")
    with locks.writing(folder / "submit"):
        before = _read(record)
        # Another machine may have submitted them, where this one has no squeue: then this one's run is asked for.
        if (shutil.which("squeue") or not args.local) and (queued := _queued(before)):
            print(*queued, sep="\n")
            if any(map(_never, queued)):
                raise InputError("some of this never starts: scancel " + " ".join(before) + ", then submit with other "
                                 "flags")
            print("still queued, so nothing is submitted; the same line later goes on")
            return
        for line in _unfinished(before, folder):
            print(line)
        for line in leftovers(args.logs_dir):
            print(line)
        record.unlink(missing_ok=True)
        _forget(folder)
        jobs = plan(args)
        _show(jobs)
        if not jobs and not stale(args):
            print("nothing is missing")
            return
        if args.local:
            _run_here(jobs, args, folder)
        else:
            _Submission(args, folder, record).submit(jobs)


def _show(jobs: list[Job]) -> None:
    print(f"{'step':<10} {'missing':>8} {'about':>12} {'tasks':>6} {'each':>12}")
    for job in jobs:
        print(f"{job.step.name:<10} {job.units:>8} {cli.duration(job.seconds):>12} {job.tasks:>6} "
              f"{cli.duration(60 * job.minutes_each):>12}")


# --- Slurm ---------------------------------------------------------------------------------------------

class _Submission:
    """One submission: every array after the ends of the steps that it reads."""

    def __init__(self, args: argparse.Namespace, folder: Path, record: Path):
        self.args, self.folder, self.record = args, folder, record
        self.jobs: dict[str, dict] = {}  # Slurm's number → step, tasks
        self.ends: dict[str, str] = {}   # step → the job after whose end its results are there
        self.last_of_log: dict[str, str] = {}

    def submit(self, jobs: list[Job]) -> None:
        for job in jobs:
            step = job.step
            minutes = self.args.time_minutes or math.ceil(3 * job.minutes_each + 10)
            end = self._array(step.name, list(tasks_of(job, self.args)), minutes, self._needed(step.after))
            if step.log:  # one gathering of a log after the other
                end = self._array(f"{step.name}-end", [Gather(self.args.logs_dir, step.name)], 30, [end],
                                  beside=self.last_of_log.get(step.log), small=True)
                self.last_of_log[step.log] = end
            self.ends[step.name] = end
        if tables := [Task(table.script, table.command(self.args), 1) for table in tables_wanted(self.args)]:
            self._array("tables", [_Tables(tables)], 60, sorted(set(self.ends.values())), small=True)
        time.sleep(SETTLED)
        if never := [line for line in _queued(self.jobs) if _never(line)]:
            self._take_back()
            raise InputError(f"Slurm would never start {never[0]}: see scontrol show partition, and submit with other "
                             "flags; nothing is queued")

    def _take_back(self) -> None:
        """Half a plan is none."""
        if self.jobs:
            subprocess.run(["scancel", *self.jobs], capture_output=True)
            self.record.unlink(missing_ok=True)

    def _needed(self, steps: tuple[str, ...]) -> list[str]:
        return [self.ends[name] for name in steps if name in self.ends]

    def _array(self, name: str, tasks: list, minutes: int, after: list[str], beside: str | None = None,
               small: bool = False) -> str:
        """Queue tasks as one array; returns its number.

        after: jobs that must have succeeded; beside: one that must have ended; small: one core will do
        """
        more: dict[str, str] = {"kill-on-invalid-dep": "yes"}
        conditions = [f"afterok:{number}" for number in after] + ([f"afterany:{beside}"] if beside else [])
        if conditions:
            more["dependency"] = ",".join(conditions)
        for flag in ("partition", "account", "qos"):
            if getattr(self.args, flag):
                more[flag] = getattr(self.args, flag)
        try:
            # Tasks are unpickled wherever they run, also where sbatch hands no environment on (SBATCH_EXPORT=NONE).
            python = shlex.join(["/usr/bin/env", *(f"{name}={os.environ.get(name, '')}" for name in (
                "PATH", "PYTHONPATH")), "SUBMITIT_EXECUTOR=slurm", sys.executable])
            executor = submitit.SlurmExecutor(self.folder, max_num_timeout=self.args.requeues, python=python)
            executor.update_parameters(
                job_name=f"llm-accuracy-{name}", time=minutes, cpus_per_task=1 if small else self.args.cpus,
                array_parallelism=self.args.throttle or 64, signal_delay_s=WARNED_BEFORE, additional_parameters=more,
                **({"gpus_per_node": self.args.gpus} if self.args.gpus and not small else {}),
                **({"mem": f"{math.ceil(1024 * self.args.mem_gb)}M"} if self.args.mem_gb else {}))
            with executor.batch():
                queued = [executor.submit(task) for task in tasks]
        except (RuntimeError, OSError, submitit.core.utils.FailedJobError, subprocess.SubprocessError) as error:
            self._take_back()
            why = " ".join(str(error).split())[-400:]
            advice = "".join(f"; {what}" for word, what in ADVICE.items() if word in why)
            raise InputError(f"Slurm does not take the job of {name}: {why}{advice}") from None
        number = queued[0].job_id.partition("_")[0]
        self.jobs[number] = {"step": name, "tasks": len(tasks)}
        with atomic(self.record, "w") as stream:
            stream.write(json.dumps(self.jobs, indent=1) + "\n")
        print(f"{name}: job {number}, {len(tasks)} tasks" + (f" after {', '.join(after)}" if after else ""), flush=True)
        return number


class _Tables:
    """The tables beside the logs, one after the other."""

    def __init__(self, tasks: list[Task]):
        self.tasks = tasks

    def __call__(self) -> None:
        for task in self.tasks:
            task()


def _read(record: Path) -> dict[str, dict]:
    """The jobs of the last submission. Raises InputError for a file that is none of ours."""
    if not record.is_file():
        return {}
    try:
        jobs = json.loads(record.read_text(encoding="utf-8"))
        return {str(number): {"step": str(job["step"]), "tasks": int(job["tasks"])} for number, job in jobs.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"{record}: not the jobs of a submission; see with squeue that none is queued, and delete it"
                         ) from None


def _queued(jobs: dict[str, dict]) -> list[str]:
    """What of the last submission is still queued, a line for each step."""
    if not jobs:
        return []
    try:
        done = subprocess.run(["squeue", "--noheader", "--array", "--me", "--format=%F|%T|%r"], capture_output=True,
                              text=True)
    except FileNotFoundError:
        raise InputError("squeue: no such command; run this where Slurm is, or with --local") from None
    if done.returncode:
        raise InputError(f"squeue: {' '.join(done.stderr.split())[:400]}")
    states: dict[str, Counter[str]] = {}
    for line in done.stdout.split("\n"):
        number, _, rest = line.strip().partition("|")
        if number in jobs:
            state, _, reason = rest.partition("|")
            why = f" ({reason})" if state == "PENDING" and reason not in ("None", "") else ""
            states.setdefault(number, Counter())[state.lower() + why] += 1
    return [f"{jobs[number]['step']}: job {number}, of {jobs[number]['tasks']} tasks "
            + ", ".join(f"{count} {state}" for state, count in counts.items()) for number, counts in states.items()]


def _never(line: str) -> bool:
    """Whether a line of `_queued` has a job that waits for what will not come."""
    return any(NEVER.fullmatch(reason) for reason in re.findall(r"pending \(([^)]*)", line))


def _unfinished(jobs: dict[str, dict], folder: Path) -> list[str]:
    """Of jobs that are no longer queued, the tasks that did not succeed, a line for each step."""
    lines = []
    for number, job in jobs.items():
        ids = [number] if job["tasks"] == 1 else [f"{number}_{index}" for index in range(job["tasks"])]
        lost = [(one, why) for one in ids if (why := _trouble(folder, one))]
        if lost:
            lines.append(f"{job['step']}: {len(lost)} of {job['tasks']} tasks did not finish, first {lost[0][0]}: "
                         f"{lost[0][1]}")
    return lines


def _trouble(folder: Path, job_id: str) -> str:
    """Why a task of a job that is no longer queued has no result, and where its words are; "" where it succeeded."""
    paths = submitit.core.utils.JobPaths(folder, job_id)
    if not paths.result_pickle.is_file():
        if not paths.stderr.is_file():
            return (f"never started (cancelled, a step before it failed, or {folder} cannot be written from where it "
                    "runs)")
        return f"cancelled, killed or out of time; its words are in {paths.stderr}"
    try:
        outcome, result = submitit.core.utils.pickle_load(paths.result_pickle)
    except Exception as error:  # whatever a damaged pickle raises
        return f"its result is damaged ({type(error).__name__}); its words are in {paths.stderr}"
    if outcome == "success":
        return ""
    said = paths.stderr.read_text("utf-8", "replace").splitlines() if paths.stderr.is_file() else []
    return f"{[str(result).strip().splitlines()[-1], *errors_in(said)][-1]}; its words are in {paths.stderr}"


# --- this machine --------------------------------------------------------------------------------------

def _run_here(jobs: list[Job], args: argparse.Namespace, folder: Path) -> None:
    """Step after step, so many tasks at a time; a step that fails ends it, as a dependency would."""
    executor = submitit.LocalExecutor(folder, max_num_timeout=args.requeues)
    for job in jobs:
        minutes = args.time_minutes or math.ceil(3 * job.minutes_each + 10)
        executor.update_parameters(timeout_min=minutes, signal_delay_s=min(WARNED_BEFORE, 30 * minutes))
        _all(executor, list(tasks_of(job, args)), job.step.name, args.throttle or max(1, cores() // args.cpus))
        if job.step.log:
            Gather(args.logs_dir, job.step.name)()
    for table in tables_wanted(args):
        Task(table.script, table.command(args), args.cpus)()


def _all(executor: submitit.LocalExecutor, tasks: list, name: str, at_once: int) -> None:
    waiting, lost = list(reversed(tasks)), []
    running: list[submitit.Job] = []
    with cli.Progress(len(tasks), name, "task") as progress, _stopped(running):
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(executor.submit(waiting.pop()))
            time.sleep(POLL)
            for job in [job for job in running if job.done()]:
                running.remove(job)
                progress.advance()
                if why := _trouble(executor.folder, job.job_id):
                    lost.append(f"{job.job_id}: {why}")
                _forget(executor.folder, job.job_id)
    if lost:
        raise InputError(f"{name}: {len(lost)} of {len(tasks)} tasks did not finish, first {lost[0]}; the same line "
                         "goes on")


@contextmanager
def _stopped(running: list[submitit.Job]) -> Iterator[None]:
    """Whoever leaves, by Ctrl-C or by SIGTERM, stops what is running first."""
    with ended_in_order():
        try:
            yield
        finally:
            for job in running:
                job.cancel()
            while any(not job.done() for job in running):
                time.sleep(POLL)


def _forget(folder: Path, job_id: str = "*") -> None:
    """Remove what submitit has pickled of ended jobs: numbers come again, above all those of processes, and a new job
    must find neither the work nor the result of an old one. The words stay."""
    for kind in ("submitted", "result"):
        for path in folder.glob(f"{job_id}_*{kind}.pkl"):
            path.unlink(missing_ok=True)
