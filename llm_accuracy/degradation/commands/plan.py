"""plan: how many questions a test needs, from three of items, flip rate, drop and power."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ... import claims, cli
from ...errors import InputError
from ...files import write_whole
from ..defaults import ALPHA, MARGIN, check_alpha, check_plan
from ..words import as_json, note_text, percent
from . import flags
from .command import Command

if TYPE_CHECKING:
    from ..rerun_plan import RerunPlan


FEW_FLIPS = (0.01, 0.04)


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("--n", type=cli.at_least(1), metavar="N", help="items (of each task)")
    to.add_argument("--flip", type=float, metavar="F", help="share of items on which the models differ")
    to.add_argument("--drop", type=float, metavar="D", help="accuracy lost, .01 is one point")
    to.add_argument("--power", type=float, metavar="P", help="probability of calling that drop degraded")
    to.add_argument("--alpha", type=float, default=ALPHA, metavar="A", help="error rate (default .05)")
    to.add_argument("--tasks", type=cli.at_least(1), nargs="+", default=[1], metavar="T",
                    help="a suite of T equal tasks, by simulation; several T: a table of power")
    to.add_argument("--damage", choices=("all", "one"), default="all",
                    help="the drop is on all tasks of the suite (default), or on one of them")
    to.add_argument("--seed", type=cli.at_least(0), default=0, metavar="S", help="seed of the simulation (default 0)")
    to.add_argument("--pilot", nargs=2, metavar=("A", "B"),
                    help="estimate the flip rate from two runs on the same items")
    to.add_argument("--task", metavar="NAME", help="which task of the pilot")
    to.add_argument("--few", metavar="BASELINE",
                    help="how many answers of a candidate `ask` would need on this baseline to say \"not degraded\": "
                         "the designs side by side, for the flip rates of --few-flips and a true drop of --drop "
                         "(default 0)")
    to.add_argument("--few-flips", type=float, nargs="+", metavar="F",
                    help="with --few: shares of the questions that flip (default .01 .04)")
    to.add_argument("--margin", metavar="M", help="with --few: as of `ask` (default .01)")
    to.add_argument("--about", choices=claims.ABOUT, help="with --few: as of `ask`: this bank (default), or new "
                                                          "questions like its own")
    flags.add_reading_flags(to)
    to.add_argument("--write-samples", type=Path, metavar="FILE",
                    help="draw so many items of the bank, by --seed and stratified by task: the --samples of the "
                         "harness and of pair")
    to.add_argument("--bank", metavar="RUN", help="a run of all items to draw from (default: the first of --pilot)")
    to.add_argument("--plot", type=Path, metavar="FILE",
                    help="power against items (with --few: questions against flips), as .png, .pdf or .svg")
    to.add_argument("--csv", type=Path, metavar="FILE", help="the printed table as CSV")
    flags.add_output_flags(to)


def run(options: argparse.Namespace) -> int:
    flags.check_targets(options.json, options.overwrite, options.plot, options.csv, options.write_samples,
                        inputs=flags.inputs_of(options))
    if options.write_samples and not (options.bank or options.pilot):
        raise InputError("--write-samples draws from a bank: name a run of all its items with --bank")
    if options.bank and not options.write_samples:
        raise InputError("--bank is what --write-samples draws from, and there is no --write-samples")
    if options.plot and options.plot.suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"--plot {options.plot}: the name must end in .png, .pdf or .svg")
    if options.pilot and options.flip is not None:
        raise InputError("--pilot replaces --flip: give one or the other")
    check_alpha(options.alpha)
    check_flags(options)
    if options.few:
        return few(options)
    known = dict(n=options.n, flip=math.nan if options.pilot else options.flip, drop=options.drop, power=options.power)
    unknown = complete(known)
    if len(options.tasks) > 1 and unknown != "power":
        raise InputError("several numbers of --tasks make a table of power: give --n, the flip rate and --drop")
    if not options.pilot:
        check_plan(**known, alpha=options.alpha)

    from .. import plans

    pilot, ends = None, None
    notes: list[str] = []
    if options.pilot:
        from ..reading import read_pair
        from ..rerun_plan import rerun_plan

        source = flags.source(options)
        first, second = options.pilot
        pairs, _ = read_pair(source, first, second, options.task, options.max_excluded)
        if (found := rerun_plan(pairs, known, unknown, options.alpha)) is not None:
            return reruns(options, found)
        pilot, notes = plans.pilot_of(pairs, first, second)
        ends = pilot["flip_low"], pilot["flip_high"]
        known["flip"] = pilot["flip_rate"]
    setting = plans.Setting(options.alpha, options.tasks[0], options.damage == "one", options.seed)
    values = plans.solve(known, unknown, setting)
    result = {**values, "unknown": unknown, "tasks": setting.tasks, "damage": options.damage, "alpha": options.alpha,
              "normal": setting.normal(unknown, known), "pilot": pilot, "notes": notes}
    if ends:
        result["range"] = plans.over_pilot(known, unknown, setting, ends)
    if len(options.tasks) > 1:
        table = plans.tasks_table(values, options.tasks, one=setting.one, alpha=options.alpha, seed=options.seed)
    else:
        table = plans.items_table(values, setting)
    result["table"] = table.to_dict("records")
    samples = sample(options, values) if options.write_samples else None
    if options.plot:
        from .. import figures

        figure = figures.power_against_items(values, options.alpha, setting.tasks, setting.one, ends, table)
        write_whole(options.plot, figures.as_bytes(figure, options.plot.suffix[1:]))
    if options.csv:
        write_whole(options.csv, table.to_csv(index=False))
    if samples:
        write_whole(options.write_samples, as_json(samples))
    print(text(result, over_tasks=len(options.tasks) > 1), file=flags.prose(options.json))
    if samples:
        print(drawn_text(samples, options.write_samples), file=flags.prose(options.json))
    flags.write_json(as_json(result), options.json)
    return 0


def check_flags(options: argparse.Namespace) -> None:
    """Raise InputError for flags that mean nothing here."""
    if not options.few:
        for flag, given in (("--few-flips", options.few_flips), ("--margin", options.margin),
                            ("--about", options.about)):
            if given is not None:
                raise InputError(f"{flag} is for --few, and there is none")
    if not (options.few or options.pilot or options.bank):
        why = "nothing is read: it is for --pilot, --bank or --few"
        flags.check_unused(options, why)
        if options.task:
            raise InputError(f"--task: {why}")


def reruns(options: argparse.Namespace, plan: RerunPlan) -> int:
    """The plan of a pilot with reruns."""
    if options.plot or len(options.tasks) > 1 or options.tasks != [1]:
        raise InputError("a pilot with several runs of each model plans one task, without --plot and --tasks; for "
                         "those name one run of each model")
    samples = sample(options, {"n": plan.n}) if options.write_samples else None
    if options.csv:
        write_whole(options.csv, plan.table.to_csv(index=False))
    if samples:
        write_whole(options.write_samples, as_json(samples))
    print(plan.text(), file=flags.prose(options.json))
    if samples:
        print(drawn_text(samples, options.write_samples), file=flags.prose(options.json))
    flags.write_json(plan.to_json(), options.json)
    return 0


def sample(options: argparse.Namespace, values: dict) -> dict:
    """The content of the file of --write-samples: the plan's items, of all tasks of the bank."""
    from ...scores.drawn import content_of

    found = flags.source(options).read([options.bank or options.pilot[0]], options.task)[0]
    banks = {task: list(scores.frame.index) for task, scores in found.items() if options.task in (None, task)}
    if options.tasks[0] > 1 and len(banks) != options.tasks[0]:
        raise InputError(f"--tasks {options.tasks[0]}, and the bank has {len(banks)} tasks ({', '.join(banks)[:60]}): "
                         "plan for as many")
    return content_of(banks, int(values["n"]) * options.tasks[0], options.seed)


def drawn_text(samples: dict, path: Path) -> str:
    from ...scores.drawn import RECORD

    record = samples[RECORD]
    sizes = {task: size for task, size in record["n"].items() if size}
    each = ", ".join(f"{task} {size:,}" for task, size in list(sizes.items())[:6]) + (", …" if len(sizes) > 6 else "")
    return note_text(f"{path}: {sum(sizes.values()):,} items, drawn with seed {record['seed']} ({each}); give it to "
                     "the harness as --samples (run-examples does) and to pair or suite as --samples")


def few(options: argparse.Namespace) -> int:
    """The designs of few answers, side by side."""
    if options.max_excluded is not None:
        raise InputError("--max-excluded: few answers leave nothing out: what is not answered counts as wrong")
    given = [f"--{name.replace('_', '-')}" for name in ("n", "flip", "pilot", "task", "write_samples")
             if getattr(options, name) is not None]
    given += [f"--{name}" for name, default in (("tasks", [1]), ("damage", "all"))
              if getattr(options, name) != default]
    if given:
        raise InputError(f"--few plans for a baseline's own questions: leave {', '.join(given)} away")
    from ..few_answers import bank as banks
    from ..few_answers import plans as designs
    from ..margins import Margin

    stated = Margin.parse(MARGIN if options.margin is None else options.margin)
    drop, power = (default if known is None else known for known, default in
                   ((options.drop, 0.0), (options.power, 0.8)))
    source, about = flags.source(options), claims.chosen(options.about)
    model = replace(source, choices=replace(source.choices, margins=True)).read([options.few])[0]
    bank = banks.bank_of(model, options.few)
    if about == claims.QUESTIONS:
        banks.check_independent(model, options.few, stated)
    rows = [designs.designs(bank.known, flip, drop, stated.of_scale, options.alpha, power, options.seed, about)
            for flip in options.few_flips or FEW_FLIPS]
    print("\n".join(designs.lines(rows, bank.known)), file=flags.prose(options.json))
    for note in bank.notes:
        print(note_text(note), file=flags.prose(options.json))
    if options.plot:
        from .. import figures

        figure = figures.few_questions(rows, bank.known.size)
        write_whole(options.plot, figures.as_bytes(figure, options.plot.suffix[1:]))
    if options.csv:
        write_whole(options.csv, designs.table(rows).to_csv(index=False))
    flags.write_json(as_json({"few": options.few, "designs": [row.content() for row in rows],
                              "notes": list(bank.notes)}), options.json)
    return 0


def complete(known: dict) -> str:
    """The name of the unknown number; if another number is missing as well as the power, the power is set to .8."""
    if known["power"] is None and sum(value is None for value in known.values()) == 2:
        known["power"] = 0.8
    missing = [name for name, value in known.items() if value is None]
    if len(missing) != 1:
        raise InputError("give three of --n, --flip (or --pilot), --drop and --power; "
                         + (f"{', '.join('--' + name for name in missing)} are missing" if missing
                            else "all four are given, so nothing is left to compute"))
    return missing[0]


# ---- as printed --------------------------------------------------------------------------------------------


def text(result: dict, over_tasks: bool) -> str:
    """The plan: its answer, the pilot, the table (`over_tasks`: of power against the number of tasks), the notes."""
    from ..planning import SUITES

    lines = [] if over_tasks else answer_lines(result)
    if result["pilot"]:
        pilot = result["pilot"]
        low, high = (shown(result["unknown"], value) for value in result["range"])
        lines += [f"  {'flip rate':<18} {percent(pilot['flip_rate'])}: {pilot['flips']:,} of {pilot['n']:,} items of "
                  f"the pilot, 95% [{100 * pilot['flip_low']:.3g}%, {100 * pilot['flip_high']:.3g}%]",
                  f"  {'over its interval':<18} {low} to {high}"]
    lines += tasks_lines(result) if over_tasks else items_lines(result)
    if result["tasks"] > 1 or over_tasks:
        lines.append(note_text(f"power of suites is simulated, {SUITES:,} suites each: its standard error is at "
                               "most 1.6%"))
    return "\n".join([*lines, *map(note_text, result["notes"])])


def answer_lines(result: dict) -> list[str]:
    from ..plans import NAMES

    unknown, tasks = result["unknown"], result["tasks"]
    each = f" in each of {tasks} tasks" if tasks > 1 else ""
    where = f" on {'one task' if result['damage'] == 'one' else 'every task'}" if tasks > 1 else ""
    return [f"{result['n']:,} items{each} find a drop of {100 * result['drop']:.4g} points{where} with "
            f"probability {100 * result['power']:.3g}%,",
            f"at a flip rate of {percent(result['flip'])} and error rate {percent(result['alpha'])}.", "",
            f"  {NAMES[unknown]:<18} {shown(unknown, result[unknown])}   (normal approximation: "
            f"{shown(unknown, result['normal'])})"]


def shown(unknown: str, value: float | None) -> str:
    if value is None:
        return "none"
    if unknown == "n":
        return f"{value:,}"
    return f"{100 * value:.3g} points" if unknown == "drop" else f"{100 * value:.3g}%"


def tasks_lines(result: dict) -> list[str]:
    from ..planning import SUITE_TESTS

    lines = [f"Power against the number of tasks, {result['n']:,} items each; a drop of "
             f"{100 * result['drop']:.4g} points on {'one' if result['damage'] == 'one' else 'every'} task:", "",
             f"{'tasks':>8}" + "".join(f"{test:>11}" for test in SUITE_TESTS)]
    return lines + [f"{row['tasks']:>8}" + "".join(f"{100 * row[test]:>10.1f}%" for test in SUITE_TESTS)
                    for row in result["table"]]


def items_lines(result: dict) -> list[str]:
    alone = result["tasks"] == 1
    lines = ["", f"{'items':>12}{'power':>9}{'normal':>9}{'  smallest drop' if alone else ''}"]
    for row in result["table"]:
        drop = row.get("smallest_drop", math.nan)
        drop = f"{'none' if math.isnan(drop) else f'{100 * drop:.3g}':>15}" if alone else ""
        lines.append(f"{row['items']:>12,}{100 * row['power']:>8.1f}%{100 * row['power_normal']:>8.1f}%{drop}")
    if alone:
        lines.append(f"  (smallest drop, in points: found with probability {100 * min(result['power'], 0.999):.3g}%)")
    return lines


COMMAND = Command(
    "plan", "how many questions: of items, flip rate, drop, power, give three", add, run,
    description="Give three of --n, --flip (or --pilot), --drop and --power; the fourth is computed, exactly "
                "and by the normal approximation. --power defaults to .8 if another one is missing.",
)
