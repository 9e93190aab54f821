"""Around a degradation test: the subcommands of mcnemar_tests.py that plan it, watch it run, choose its items, and
make its inputs."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ... import cli
from ...errors import InputError
from ...files import check_new, read_json, write_whole
from ...scores.readers import read_runs
from .. import e_values, growing, planning, repeats
from ..paired import DEGRADED, NOT_DEGRADED, UNDECIDED, judge_pair
from ..pairing import MAX_EXCLUDED
from ..report import as_json, note_text, p_text, percent, shorten
from .flags import (
    add_decision_flags,
    add_harness_flags,
    add_output_flags,
    add_reading_flags,
    check_targets,
    fails,
    harness_choices,
    one_task,
    prose,
    read_pair,
    write_json,
)


def add_commands(commands) -> None:
    """Add the subcommands of this module to the script's."""
    add_plan(commands)
    add_watch(commands)
    add_flips(commands)
    add_run_examples(commands)


# ---- plan --------------------------------------------------------------------------------------------------

UNKNOWNS = ("n", "flip", "drop", "power")
NAMES = {"n": "items", "flip": "largest flip rate", "drop": "smallest drop", "power": "power"}


def add_plan(commands) -> None:
    plan = commands.add_parser(
        "plan", help="how many questions: of items, flip rate, drop, power, give three",
        description="Of --n, --flip (or --pilot), --drop and --power give three; the fourth is computed, exactly "
                    "and by the normal approximation. --power is .8 where a second one is missing.")
    plan.add_argument("--n", type=cli.at_least(1), metavar="N", help="items (of each task)")
    plan.add_argument("--flip", type=float, metavar="F", help="share of items on which the models differ")
    plan.add_argument("--drop", type=float, metavar="D", help="accuracy lost, .01 is one point")
    plan.add_argument("--power", type=float, metavar="P", help="probability of calling that drop degraded")
    plan.add_argument("--alpha", type=float, default=0.05, metavar="A", help="error rate (default .05)")
    plan.add_argument("--tasks", type=cli.at_least(1), nargs="+", default=[1], metavar="T",
                      help="a suite of T equal tasks, by simulation; several T: a table of power")
    plan.add_argument("--damage", choices=("all", "one"), default="all",
                      help="the drop is on all tasks of the suite (default), or on one of them")
    plan.add_argument("--seed", type=cli.at_least(0), default=0, metavar="S", help="of the simulation (default 0)")
    plan.add_argument("--pilot", nargs=2, metavar=("A", "B"),
                      help="estimate the flip rate from two runs on the same items")
    plan.add_argument("--task", metavar="NAME", help="which task of the pilot")
    add_reading_flags(plan)
    plan.add_argument("--plot", type=Path, metavar="FILE", help="power against items, as .png, .pdf or .svg")
    plan.add_argument("--csv", type=Path, metavar="FILE", help="the printed table as CSV")
    add_output_flags(plan)
    plan.set_defaults(run=run_plan)


def run_plan(options: argparse.Namespace) -> int:
    check_targets(options)
    for target in (options.plot, options.csv):
        if target:
            check_new(target, options.overwrite)
    if options.plot and options.plot.suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"--plot {options.plot}: the name must end in .png, .pdf or .svg")
    pilot, notes = read_pilot(options) if options.pilot else (None, [])
    flip = pilot["flip_rate"] if pilot else options.flip
    known = dict(n=options.n, flip=flip, drop=options.drop, power=options.power)
    if known["power"] is None and sum(value is None for value in known.values()) == 2:
        known["power"] = 0.8
    missing = [name for name in UNKNOWNS if known[name] is None]
    if len(missing) != 1:
        raise InputError("give three of --n, --flip (or --pilot), --drop and --power; "
                         + (f"{', '.join('--' + name for name in missing)} are missing" if missing
                            else "all four are given, so nothing is left to compute"))
    unknown, tasks = missing[0], options.tasks[0]
    check_plan(options, known, unknown)
    values = {**known, unknown: answer(unknown, known, tasks, options)}
    if isinstance(values[unknown], float) and math.isnan(values[unknown]):
        raise InputError(f"no {NAMES[unknown]} gives a power of {percent(known['power'])} with {told(known)}: "
                         "take more items or a lower power")
    result = {**values, "unknown": unknown, "tasks": tasks, "damage": options.damage, "alpha": options.alpha,
              "normal": normal_answer(unknown, known, tasks, options), "pilot": pilot, "notes": notes}
    if pilot:
        result["range"] = over_pilot(unknown, known, pilot, tasks, options)
    if len(options.tasks) > 1:
        table = suites_table(values, options)
    else:
        table = plan_table(values, tasks, options)
    result["table"] = table.to_dict("records")
    if options.plot:
        from .. import figures

        flips = [pilot["flip_low"], pilot["flip_high"]] if pilot else []
        figure = figures.power_against_items(values, options.alpha, tasks, options.damage == "one",
                                                       flips, table)
        write_whole(options.plot, figures.as_bytes(figure, options.plot.suffix[1:]))
    if options.csv:
        write_whole(options.csv, table.to_csv(index=False))
    tell_plan(result, table, options)
    write_json(as_json(result), options)
    return 0


def check_plan(options: argparse.Namespace, known: dict, unknown: str) -> None:
    """Raise InputError for what no function of `planning` would be asked."""
    if len(options.tasks) > 1 and unknown != "power":
        raise InputError("several numbers of --tasks make a table of power: give --n, the flip rate and --drop")
    drop = known["drop"] if known["drop"] is not None else 0.0
    flip = known["flip"] if known["flip"] is not None else max(drop, 1e-9)
    target = known["power"] if known["power"] is not None else 0.5
    planning.check(n=known["n"] or 1, flip=flip, drop=drop, target=target, alpha=options.alpha)
    if known["drop"] == 0 and unknown in ("n", "flip"):
        raise InputError("drop = 0 cannot be detected: give the smallest drop that should be")


def read_pilot(options: argparse.Namespace) -> tuple[dict, list[str]]:
    """({n, flips, flip_rate, flip_low, flip_high}, notes) from two runs on the same items."""
    if options.flip is not None:
        raise InputError("--pilot stands instead of --flip: give one or the other")
    options.baseline, options.candidate = options.pilot
    pairs = read_pair(options)
    scores = judge_pair(pairs.baseline, pairs.candidate)
    if scores.n11 is None:
        raise InputError(f"{options.baseline} and {options.candidate}: a plan needs single runs scored 0 or 1, "
                         "not averages; name one run of each")
    notes = list(pairs.notes)
    if pairs.clusters is not None:
        notes.append("the pilot's items come in clusters; the plan takes them as independent and so asks for "
                     "too few")
    flips = scores.b + scores.c
    low, high = planning.flip_rate_interval(flips, scores.n)
    if flips == 0:
        notes.append("the two runs never differ: planned for the largest flip rate that fits them")
    rate = flips / scores.n if flips else high
    notes.append("two runs of one model give the noise floor: a changed model flips at least as often, so plan "
                 "with a pilot of the change where there is one")
    return dict(n=scores.n, flips=flips, flip_rate=rate, flip_low=low, flip_high=high), notes


def answer(unknown: str, known: dict, tasks: int, options: argparse.Namespace):
    n, flip, drop, target = (known[name] for name in UNKNOWNS)
    if tasks > 1:
        return planning.suite_answer(unknown, tasks=tasks, one=options.damage == "one", alpha=options.alpha, n=n,
                                     flip=flip, drop=drop, target=target, seed=options.seed)
    if unknown == "n":
        return planning.sample_size(flip, drop, target, options.alpha)
    if unknown == "flip":
        return planning.highest_flip_rate(n, drop, target, options.alpha)
    if unknown == "drop":
        return planning.detectable_drop(n, flip, target, options.alpha)
    return planning.power(n, flip, drop, options.alpha)


def normal_answer(unknown: str, known: dict, tasks: int, options: argparse.Namespace):
    n, flip, drop, target = (known[name] for name in UNKNOWNS)
    found = planning.suite_normal(unknown, tasks=tasks, one=options.damage == "one", alpha=options.alpha, n=n,
                                  flip=flip, drop=drop, target=target)
    return None if math.isnan(found) else found


def over_pilot(unknown: str, known: dict, pilot: dict, tasks: int, options: argparse.Namespace) -> list:
    """The answer at both ends of the flip rate's 95 % interval; None where there is none."""
    found = []
    for flip in (pilot["flip_low"], pilot["flip_high"]):
        value = answer(unknown, {**known, "flip": max(flip, known["drop"] or 1e-9)}, tasks, options)
        found.append(None if math.isnan(value) else value)
    return found


def plan_table(values: dict, tasks: int, options: argparse.Namespace) -> pd.DataFrame:
    """Around the number of items: power, exact (simulated for a suite) and normal, and the detectable drop."""
    target = values["power"]
    rows = []
    for items in sorted({max(1, round(values["n"] * times)) for times in (0.25, 0.5, 0.75, 1, 1.5, 2, 4)}):
        known = {**values, "n": items, "power": None}
        row = {"items": items, "power": answer("power", known, tasks, options),
               "power_normal": normal_answer("power", known, tasks, options)}
        if tasks == 1:
            row["smallest_drop"] = answer("drop", {**values, "n": items, "drop": None, "power": min(target, 0.999)},
                                          1, options)
        rows.append(row)
    return pd.DataFrame(rows)


def suites_table(values: dict, options: argparse.Namespace) -> pd.DataFrame:
    """Power of each test against the number of tasks."""
    rows = []
    for tasks in options.tasks:
        drop = [values["drop"]] + [0.0 if options.damage == "one" else values["drop"]] * (tasks - 1)
        found = planning.suite_power([values["n"]] * tasks, [values["flip"]] * tasks, drop, options.alpha,
                                     seed=options.seed)
        rows.append({"tasks": tasks, **found.power, "suites": found.suites, "damage": options.damage,
                     "items": values["n"], "flip": values["flip"], "drop": values["drop"], "alpha": options.alpha})
    return pd.DataFrame(rows)


def told(known: dict) -> str:
    parts = {"n": lambda n: f"{n:,} items", "flip": lambda f: f"a flip rate of {percent(f)}",
             "drop": lambda d: f"a drop of {100 * d:.4g} points"}
    return ", ".join(say(known[name]) for name, say in parts.items() if known[name] is not None)


def shown(unknown: str, value) -> str:
    if value is None:
        return "none"
    if unknown == "n":
        return f"{value:,}"
    return f"{100 * value:.3g} points" if unknown == "drop" else f"{100 * value:.3g}%"


def tell_plan(result: dict, table: pd.DataFrame, options: argparse.Namespace) -> None:
    to, unknown, tasks = prose(options), result["unknown"], result["tasks"]
    each = f" in each of {tasks} tasks" if tasks > 1 else ""
    where = f" on {'one task' if options.damage == 'one' else 'every task'}" if tasks > 1 else ""
    if len(options.tasks) == 1:
        print(f"{result['n']:,} items{each} find a drop of {100 * result['drop']:.4g} points{where} with "
              f"probability {100 * result['power']:.3g}%,\nat a flip rate of {percent(result['flip'])} and error "
              f"rate {percent(options.alpha)}.\n", file=to)
        normal = shown(unknown, result["normal"])
        print(f"  {NAMES[unknown]:<18} {shown(unknown, result[unknown])}   (normal approximation: {normal})", file=to)
    if result["pilot"]:
        pilot = result["pilot"]
        print(f"  {'flip rate':<18} {percent(pilot['flip_rate'])}: {pilot['flips']:,} of {pilot['n']:,} items of the "
              f"pilot, 95% [{100 * pilot['flip_low']:.3g}%, {100 * pilot['flip_high']:.3g}%]", file=to)
        low, high = (shown(unknown, value) for value in result["range"])
        print(f"  {'over its interval':<18} {low} to {high}", file=to)
    if len(options.tasks) > 1:
        print(f"Power against the number of tasks, {options.n:,} items each; a drop of "
              f"{100 * result['drop']:.4g} points on {'one' if options.damage == 'one' else 'every'} task:", file=to)
        print(f"\n{'tasks':>8}" + "".join(f"{test:>11}" for test in planning.TESTS), file=to)
        for row in table.to_dict("records"):
            print(f"{row['tasks']:>8}" + "".join(f"{100 * row[test]:>10.1f}%" for test in planning.TESTS), file=to)
    else:
        last = "  smallest drop" if tasks == 1 else ""
        print(f"\n{'items':>12}{'power':>9}{'normal':>9}{last}", file=to)
        for row in table.to_dict("records"):
            drop = row.get("smallest_drop", math.nan)
            drop = f"{'none' if math.isnan(drop) else f'{100 * drop:.3g}':>15}" if tasks == 1 else ""
            print(f"{row['items']:>12,}{100 * row['power']:>8.1f}%{100 * row['power_normal']:>8.1f}%{drop}", file=to)
        if tasks == 1:
            print(f"  (smallest drop, in points: found with probability {100 * min(result['power'], 0.999):.3g}%)",
                  file=to)
    if tasks > 1 or len(options.tasks) > 1:
        print(note_text(f"power of suites is simulated, {planning.SUITES:,} suites each: its standard error is at "
                        "most 1.6%"), file=to)
    for note in result["notes"]:
        print(note_text(note), file=to)


# ---- watch -------------------------------------------------------------------------------------------------


def add_watch(commands) -> None:
    watch = commands.add_parser(
        "watch", help="stop as soon as the verdict is certain, while results arrive",
        description="An e-value per item: look as often as you like, the error stays below alpha. Without files, "
                    'JSON lines {"prompt_id": …, "baseline": 0, "candidate": 1} are read from standard input.')
    watch.add_argument("baseline", nargs="?", metavar="BASELINE", help="CSV, or samples_<task>_<time>.jsonl")
    watch.add_argument("candidate", nargs="?", metavar="CANDIDATE")
    watch.add_argument("--task", metavar="NAME", help="which task of a CSV with several")
    watch.add_argument("--follow", type=float, metavar="SECONDS",
                       help="the files are still growing: wait for more, until nothing came for SECONDS")
    watch.add_argument("--every", type=cli.at_least(1), default=1, metavar="K", help="print every K-th item")
    watch.add_argument("--keep-going", action="store_true", help="do not stop at the decision")
    watch.add_argument("--lower-is-better", action="store_true", help="a score of 1 is an error")
    add_decision_flags(watch)
    add_harness_flags(watch)
    add_output_flags(watch)
    watch.set_defaults(run=run_watch)


def run_watch(options: argparse.Namespace) -> int:
    check_targets(options)
    state = e_values.Watch(options.margin, options.alpha)
    if bool(options.baseline) != bool(options.candidate):
        raise InputError("watch needs BASELINE and CANDIDATE, or neither for JSON lines on standard input")
    rows, skipped, item = [], 0, None
    for arrived in watched_items(options):
        if arrived is None:
            skipped += 1
            continue
        if item is None:
            print(f"{'items':>8}  {'item':<24}{'lost':>6}{'gained':>8}{'e worse':>12}{'e safe':>12}",
                  file=prose(options), flush=True)
        item, *scores = arrived
        state.add(*(scores[::-1] if options.lower_is_better else scores))
        decided = state.decided_at == state.n
        if state.n % options.every == 0 or decided:
            tell_item(state, item, options, rows)
        if decided and not options.keep_going:
            break
    if item is None:
        raise InputError("nothing to watch: no item has a score in both runs")
    if not (state.n % options.every == 0 or state.decided_at == state.n):
        tell_item(state, item, options, rows)
    tell_watch(state, skipped, options)
    final = watch_row(state, item, skipped=skipped, alpha=state.alpha, margin=state.margin, final=True)
    if options.json == "-":
        print(json.dumps(final), flush=True)
    else:
        write_json("".join(json.dumps(row) + "\n" for row in [*rows, final]), options)
    return fails(state.verdict, False, options.fail_on)


def watched_items(options: argparse.Namespace) -> Iterator[growing.Item | None]:
    if not options.baseline:
        yield from growing.read_stream(sys.stdin, "standard input")
        return
    runs = [growing.Growing(path, harness_choices(options), options.task)
            for path in (options.baseline, options.candidate)]
    first = True
    for item in growing.follow(*runs, options.follow):
        if first and False in [run.higher_is_better() for run in runs] and not options.lower_is_better:
            raise InputError(f"{runs[0].path}: of this metric lower is better: add --lower-is-better")
        first = False
        yield item


def watch_row(state: e_values.Watch, item: str, **more) -> dict:
    return {"n": state.n, "prompt_id": item, "b": state.b, "c": state.c, "e_worse": state.e_worse,
            "e_safe": state.e_safe, "p_worse": 1 / state.largest_worse, "p_safe": 1 / state.largest_safe,
            "verdict": state.verdict, "decided_at": state.decided_at, **more}


def tell_item(state: e_values.Watch, item: str, options: argparse.Namespace, rows: list[dict]) -> None:
    row = watch_row(state, item)
    if options.json == "-":
        print(json.dumps(row), flush=True)
    elif options.json:
        rows.append(row)
    print(f"{state.n:>8,}  {shorten(item, 23):<24}{state.b:>6,}{state.c:>8,}{state.e_worse:>12.4g}"
          f"{state.e_safe:>12.4g}", file=prose(options), flush=True)


def tell_watch(state: e_values.Watch, skipped: int, options: argparse.Namespace) -> None:
    to, margin = prose(options), f"{100 * state.margin:g} point" + ("" if state.margin == 0.01 else "s")
    at = f"(error rate {percent(state.alpha)}, whenever one looks)"
    said = {DEGRADED: f"DEGRADED after {state.decided_at or 0:,} items {at}",
            NOT_DEGRADED: f"NOT DEGRADED by {margin} or more after {state.decided_at or 0:,} items {at}",
            UNDECIDED: f"UNDECIDED after {state.n:,} items {at}; the margin is {margin}"}
    drop = 100 * (state.b - state.c) / state.n
    print(f"\n{said[state.verdict]}.", file=to)
    print(f"  worse?  e at most {state.largest_worse:.4g}, p = {p_text(1 / state.largest_worse)} at any time;  "
          f"safe?  {state.largest_safe:.4g}, p = {p_text(1 / state.largest_safe)}", file=to)
    print(f"  drop so far {drop:.2f} points: {state.b:,} lost, {state.c:,} gained of {state.n:,}", file=to)
    if skipped:
        print(note_text(f"{skipped:,} items without a score in both runs were left out"), file=to)
    print(note_text("this is about the population the items come from, taken in random order or one fixed "
                    "before; for an answer about one finite bank, finish it and use pair"), file=to)


# ---- flips -------------------------------------------------------------------------------------------------

COUNTS, HISTOGRAM, SELECTION, SAMPLES = ("success_counts.json", "success_histogram.pdf", "selection.json",
                                         "samples.json")


def add_flips(commands) -> None:
    flips = commands.add_parser(
        "flips", help="several runs of one model: the noise floor, and the items worth asking",
        description="Runs of the same model that differ by seed or temperature only. Writes how often each item "
                    "succeeds, and the items that flipped: the others cost time and add no power.")
    flips.add_argument("runs", nargs="+", metavar="RUN",
                       help="CSVs, harness outputs, or folders of several; at least two runs in all")
    flips.add_argument("--task", metavar="NAME", help="only this task")
    add_harness_flags(flips)
    flips.add_argument("--max-excluded", type=float, default=MAX_EXCLUDED, metavar="SHARE",
                       help=f"largest share of items without a score in some run (default {MAX_EXCLUDED})")
    flips.add_argument("--output-dir", type=Path, default=Path("flips"), metavar="DIR",
                       help="where the files go (default: flips)")
    add_output_flags(flips)
    flips.set_defaults(run=run_flips)


def run_flips(options: argparse.Namespace) -> int:
    check_targets(options)
    folder = options.output_dir
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output-dir {folder} is a file; name a folder")
    for name in (COUNTS, HISTOGRAM, SELECTION, SAMPLES):
        check_new(folder / name, options.overwrite, make_parent=True)
    choices, runs = harness_choices(options), {}
    for path in options.runs:
        for name, run in read_runs(path, choices, options.task).items():
            if name in runs:
                raise InputError(f"{name} is named twice; runs must be different ones")
            runs[name] = run if options.task is None else {options.task: run[one_task([run], [name], options.task)]}
    tasks = repeats.count_successes(runs, options.max_excluded)
    whole = repeats.together(tasks)
    sources = list(runs)

    from .. import figures

    figure = figures.success_histogram(whole)
    samples = repeats.harness_samples(tasks) if all(".csv" not in source for source in sources) else None
    files = {
        COUNTS: as_json(repeats.counts_content(tasks, sources)),
        HISTOGRAM: figures.as_bytes(figure, "pdf"),
        SELECTION: as_json(repeats.selection_content(tasks, sources)),
        **({SAMPLES: as_json(samples)} if samples else {}),
    }
    for name, content in files.items():
        write_whole(folder / name, content)
    tell_flips(tasks, whole, list(files), options)
    write_json(as_json({"runs": whole.runs, "sources": sources, "all": whole.summary(),
                        "tasks": {task: found.summary() for task, found in tasks.items()},
                        "warning": repeats.WARNING}), options)
    return 0


def tell_flips(tasks: dict, whole: repeats.Successes, files: list[str], options: argparse.Namespace) -> None:
    to, a = prose(options), whole.summary()
    print(f"{whole.runs} runs of {a['items']:,} items: {100 * a['never_flip']:.3g}% never flip; the noise floor is a "
          f"flip rate\nof {100 * a['flip_rate']:.3g}% between two runs ({100 * a['flip_rate_low']:.3g}% to "
          f"{100 * a['flip_rate_high']:.3g}% over {whole.runs * (whole.runs - 1) // 2} pairs).\n", file=to)
    print(f"  {'task':<28}{'items':>8}{'always right':>14}{'wrong':>8}{'kept':>8}{'flip rate':>11}", file=to)
    for task, found in {"ALL": whole, **tasks}.items():
        row = found.summary()
        print(f"  {shorten(task, 27):<28}{row['items']:>8,}{100 * row['always_right']:>13.1f}%"
              f"{100 * row['always_wrong']:>7.1f}%{row['kept']:>8,}{100 * row['flip_rate']:>10.2f}%", file=to)
    print(file=to)
    if a["excluded"]:
        print(note_text(f"{a['excluded']:,} items without a score in every run were left out"), file=to)
    print(note_text(repeats.WARNING), file=to)
    print(f"files: {', '.join(str(options.output_dir / name) for name in files)}", file=to)


# ---- run-examples ------------------------------------------------------------------------------------------

MODELS = "checkpoint_list.json"


def add_run_examples(commands) -> None:
    examples = commands.add_parser(
        "run-examples", help="make the inputs: run lm-evaluation-harness on some models and seeds",
        description="Runs the harness with --log_samples once for each model and seed, into "
                    "OUTPUT_DIR/NAME/seedS, and writes a checkpoint_list.json for suite. Runs that are there are "
                    "kept; the same command continues. What follows -- goes to the harness, for example\n"
                    "-- --batch_size 8 --gen_kwargs temperature=0.3,do_sample=true")
    examples.add_argument("--models", nargs="+", required=True, metavar="NAME=ARGS",
                          help="the baseline first, e.g. base=pretrained=org/model int8=pretrained=org/model-int8")
    examples.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="tasks of the harness")
    examples.add_argument("--seeds", nargs="+", type=cli.at_least(0), default=[0], metavar="S")
    examples.add_argument("--model-type", default="hf", metavar="TYPE", help="the harness's --model (default hf)")
    examples.add_argument("--samples", type=Path, metavar="FILE",
                          help="only these documents, {task: [numbers]}: the samples.json of flips")
    examples.add_argument("--harness", default="lm_eval", metavar="COMMAND", help="how it is started (default lm_eval)")
    examples.add_argument("--output-dir", type=Path, default=Path("runs"), metavar="DIR")
    examples.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    examples.add_argument("more", nargs="*", metavar="-- FLAGS", help="flags for the harness")
    examples.set_defaults(run=run_examples)


def run_examples(options: argparse.Namespace) -> int:
    models = {}
    for model in options.models:
        name, equals, arguments = model.partition("=")
        if not (name and equals and arguments) or "/" in name or name in models:
            raise InputError(f"--models {model}: expected a new NAME=ARGS, such as base=pretrained=org/model")
        models[name] = arguments
    chosen = ["--samples", json.dumps(read_samples(options.samples, options.tasks))] if options.samples else []
    for name, arguments in models.items():
        for seed in options.seeds:
            folder = options.output_dir / name / f"seed{seed}"
            command = [*shlex.split(options.harness), "--model", options.model_type, "--model_args", arguments,
                       "--tasks", ",".join(options.tasks), "--seed", str(seed), "--log_samples", "--output_path",
                       str(folder), *chosen, *options.more]
            print(shlex.join(command), flush=True)
            if options.dry_run or (folder.is_dir() and any(folder.rglob("results_*.json"))):
                continue
            run_harness(command)
            if not any(folder.rglob("samples_*.jsonl")):
                raise InputError(f"{folder}: the harness left no samples there")
    if options.dry_run:
        return 0
    target = options.output_dir / MODELS
    earlier = read_json(target) if target.exists() else {}
    folders = {name: list(dict.fromkeys([*earlier.get(name, []), *(f"{name}/seed{seed}" for seed in options.seeds)]))
               for name in models}
    write_whole(target, as_json({**earlier, **folders}))
    first = [str(options.output_dir / folder) for folder in folders[next(iter(models))]]
    if len(models) > 1:
        print(f"next: python mcnemar_tests.py suite {target}")
    if len(first) > 1:
        print(f"      python mcnemar_tests.py flips {' '.join(first)}")
    return 0


def read_samples(path: Path, tasks: list[str]) -> dict[str, list[int]]:
    """{task: document numbers}, sorted and unique: given otherwise, the harness logs wrong numbers."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(ids, list) and all(type(i) is int for i in ids)
                                                for ids in content.values()):
        raise InputError(f'{path}: expected {{"task": [document numbers]}}')
    missing = [task for task in tasks if not content.get(task)]
    if missing:
        raise InputError(f"{path}: no documents of {', '.join(missing)}; it has {', '.join(content)}")
    return {task: sorted(set(content[task])) for task in tasks}


def run_harness(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdout=sys.stderr, check=False)
    except OSError as error:
        raise InputError(f"{command[0]} cannot be started ({error.strerror}): pip install lm_eval, or say how with "
                         "--harness") from None
    if done.returncode:
        raise InputError(f"the harness ended with code {done.returncode}, see above: {shlex.join(command)}")
