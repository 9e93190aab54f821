"""flips: several runs of one model, the noise floor and the items worth asking."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import write_whole
from ..defaults import MAX_EXCLUDED
from ..words import as_json, cell, note_text
from . import flags
from .command import Command

if TYPE_CHECKING:
    from ..repeats import Successes
    from ..scales import Model

COUNTS, HISTOGRAM, SELECTION, SAMPLES = ("success_counts.json", "success_histogram.pdf", "selection.json",
                                         "samples.json")


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("runs", nargs="+", metavar="RUN",
                    help="CSVs, harness outputs, or folders of several; at least two runs in all")
    to.add_argument("--task", metavar="NAME", help="only this task")
    flags.add_choice_flags(to)
    to.add_argument("--max-excluded", type=flags.share, default=MAX_EXCLUDED, metavar="SHARE",
                    help=f"largest share of items without a score in some run (default {MAX_EXCLUDED})")
    to.add_argument("--output-dir", type=Path, default=Path("flips"), metavar="DIR",
                    help="where the files go (default: flips)")
    flags.add_output_flags(to)


def run(options: argparse.Namespace) -> int:
    flags.check_targets(options.json, options.overwrite, inputs=flags.inputs_of(options), folder=options.output_dir,
                        names=(COUNTS, HISTOGRAM, SELECTION, SAMPLES))

    from .. import repeats
    from ..reading import read_all_runs

    choices = flags.choices(options)
    runs = read_all_runs(options.runs, choices, options.task)
    tasks = repeats.count_successes(runs, options.max_excluded)
    notes = copies(runs)
    whole, sources = repeats.together(tasks), list(runs)

    from .. import figures

    files: dict[str, str | bytes] = {
        COUNTS: as_json(repeats.counts_content(tasks, sources)),
        HISTOGRAM: figures.as_bytes(figures.success_histogram(whole), "pdf"),
        SELECTION: as_json(repeats.selection_content(tasks, sources)),
    }
    samples = repeats.harness_samples(tasks) if all(".csv" not in source for source in sources) else None
    if samples:
        files[SAMPLES] = as_json(samples)
    for name, content in files.items():
        write_whole(options.output_dir / name, content)
    to = flags.prose(options.json)
    print("\n".join([text(tasks, whole, repeats.WARNING), *map(note_text, notes)]), file=to)
    print(f"files: {', '.join(str(options.output_dir / name) for name in files)}", file=to)
    flags.write_json(as_json({"runs": whole.runs, "sources": sources, "all": whole.summary(),
                              "tasks": {task: found.summary() for task, found in tasks.items()},
                              "notes": notes, "warning": repeats.WARNING}), options.json)
    return 0


def copies(runs: dict[str, Model]) -> list[str]:
    """A line for every run with the content of one before it: given twice, it would make the noise floor too low."""
    from ...scores.contents import identical

    said, names = [], list(runs)
    for at, name in enumerate(names):
        for before in names[:at]:
            if all(identical(runs[before][task], runs[name][task], task) for task in runs[name]):
                said.append(f"{before} and {name} are the same content, item by item: if one run was given twice, the "
                            "noise floor is too low")
                break
    return said


def text(tasks: dict[str, Successes], whole: Successes, warning: str) -> str:
    """The printed report: the noise floor, a row for each task, and what the chosen items must not be used for."""
    a = whole.summary()
    lines = [f"{whole.runs} runs of {a['items']:,} items: {100 * a['never_flip']:.3g}% never flip; the noise floor is "
             "a flip rate",
             f"of {100 * a['flip_rate']:.3g}% between two runs ({100 * a['flip_rate_low']:.3g}% to "
             f"{100 * a['flip_rate_high']:.3g}% over {whole.runs * (whole.runs - 1) // 2} pairs).", "",
             f"  {'task':<28}{'items':>8}{'always right':>14}{'wrong':>8}{'kept':>8}{'flip rate':>11}"]
    for task, found in {"ALL": whole, **tasks}.items():
        row = found.summary()
        lines.append(f"  {cell(task, 28)}{row['items']:>8,}{100 * row['always_right']:>13.1f}%"
                     f"{100 * row['always_wrong']:>7.1f}%{row['kept']:>8,}{100 * row['flip_rate']:>10.2f}%")
    lines.append("")
    if a["excluded"]:
        lines.append(note_text(f"{a['excluded']:,} items without a score in every run were left out"))
    return "\n".join([*lines, note_text(warning)])


COMMAND = Command(
    "flips", "several runs of one model: the noise floor, and the items worth asking", add, run,
    description="Runs of the same model that differ by seed or temperature only. Writes how often each item "
                "succeeds, and the items that flipped: the others cost time and add no power.",
)
