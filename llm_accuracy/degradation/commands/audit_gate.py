"""audit-gate: what a threshold gate is worth, and the paired gate of equal cost beside it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ... import cli
from ...errors import InputError
from ...files import write_whole
from ..defaults import ALPHA, check_alpha
from ..words import WIDTH, as_json, cell, note_text, percent, shorten
from . import flags
from .command import Command


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("gates", nargs="*", metavar="FILE",
                    help="YAML or JSON: a list of {name, expected, tolerance, n}, or configurations of harness suites; "
                         "the flags below say what a file does not")
    to.add_argument("--expected", type=float, metavar="P", help="the accuracy that is expected, such as .85")
    to.add_argument("--tolerance", type=float, metavar="T", help="how far below it the gate still passes, such as .05")
    to.add_argument("--n", type=cli.at_least(1), metavar="N", help="how many questions the gate asks")
    to.add_argument("--relative", action="store_true", help="the tolerance is a share of the expected accuracy")
    to.add_argument("--two-sided", action="store_true", help="the gate fails above expected + tolerance, too")
    to.add_argument("--drops", nargs="+", type=float, default=[1.0, 3.0, 5.0], metavar="POINTS",
                    help="real drops, in points (default 1 3 5)")
    to.add_argument("--flip", type=float, default=0.1, metavar="RATE",
                    help="share of questions on which two equally good models differ, for the paired gate "
                         "(default .1)")
    to.add_argument("--alpha", type=float, default=ALPHA, metavar="A", help="level of the paired gate (default .05)")
    to.add_argument("--csv", type=Path, metavar="FILE", help="write the table as CSV")
    to.add_argument("--plot", type=Path, metavar="FILE", help="write the figure (.pdf, .png, .svg)")
    flags.add_output_flags(to)


def run(options: argparse.Namespace) -> int:
    flags.check_targets(options.json, options.overwrite, options.csv, options.plot, inputs=flags.inputs_of(options))
    if options.plot and options.plot.suffix not in (".pdf", ".png", ".svg"):
        raise InputError(f"--plot {options.plot}: the name must end in .pdf, .png or .svg")
    if not options.gates and None in (options.expected, options.tolerance, options.n):
        raise InputError("audit-gate needs --expected, --tolerance and --n, or a FILE of gates")
    check_alpha(options.alpha)
    if not 0 < options.flip < 1:
        raise InputError(f"--flip {options.flip:g} must lie between 0 and 1")
    if not all(0 < drop < 100 for drop in options.drops):
        raise InputError("--drops are points, between 0 and 100")

    places = [os.path.realpath(path) for path in options.gates]
    if twice := [path for at, path in enumerate(options.gates) if places[at] in places[:at]]:
        raise InputError(f"{twice[0]} is given twice: its gates would count twice")

    from ..gates import Stated, audit, made, read_gates, summary

    stated = Stated(options.expected, options.tolerance, options.n, options.relative, options.two_sided)
    gates = [gate for path in options.gates for gate in read_gates(path, stated)]
    if not options.gates:
        gates = [made({}, stated, "the gate", "the gate")]
    audits = [audit(gate, tuple(options.drops), options.flip, options.alpha) for gate in gates]
    content = {"alpha": options.alpha, "flip": options.flip, "gates": audits, "median": summary(audits)}
    files: dict[Path, str | bytes] = {}
    if options.csv:
        files[options.csv] = table(audits)
    if options.plot:
        from ..figures import as_bytes
        from ..gate_figures import audited

        files[options.plot] = as_bytes(audited(gates, audits, options.flip, options.alpha), options.plot.suffix[1:])
    for path, made_of in files.items():
        write_whole(path, made_of)
    flags.write_json(as_json(content), options.json)
    print(text(content), file=flags.prose(options.json))
    return 0


def table(audits: list[dict]) -> str:
    """The audits as CSV, a row for each gate."""
    import pandas as pd

    from ..cells import harmless

    rows = [{**{key: value for key, value in one.items() if not isinstance(value, dict)},
             **{f"{kind}_{drop}": value for kind in ("power", "paired_power") for drop, value in one[kind].items()}}
            for one in audits]
    return harmless(pd.DataFrame(rows)).to_csv(index=False)


def text(content: dict) -> str:
    """The table as printed, 80 columns for three drops, and what it rests on."""
    audits, median = content["gates"], content["median"]
    drops = list(audits[0]["power"])
    each = max(6, *(len(drop) + 2 for drop in drops))
    width = 7 + each * len(drops)
    items = max(7, *(len(f"{one['n']:,}") + 1 for one in audits))
    first = 25 - items
    sides = [("threshold gate", "false_alarm", "power"), ("paired gate", "paired_false_alarm", "paired_power")]
    lines: list[str] = []
    for shown in [sides] if 30 + 2 * width <= WIDTH else [sides[:1], sides[1:]]:  # beside each other, or one below
        lines += ["" for _ in lines[:1]]
        lines += [f"{'':<30}" + "".join(f"{title:>{width}}" for title, *_ in shown),
                  f"{'gate':<{first}}{'n':>{items}}{'pass':>5}"
                  + len(shown) * (f"{'alarm':>7}" + "".join(f"{f'-{d}':>{each}}" for d in drops))]
        for one in audits:
            lines.append(f"{cell(one['name'], first)}{one['n']:>{items},}{one['passes_from'] / one['n']:>5.2f}"
                         + "".join(rates(one, alarm, kind, each) for _, alarm, kind in shown))
        if len(audits) > 1:
            lines.append(f"{f'median of {len(audits)}':<30}"
                         + "".join(rates(median, alarm, kind, each) for _, alarm, kind in shown))
    lines += ["", note_text("alarm: how often it fails a model as good as expected; "
                            + ", ".join(f"-{d}" for d in drops)
                            + f": how often it fails one that is so many points worse, in percent. The paired gate is "
                              f"the exact test at level {percent(content['alpha'])} on the same questions, with the "
                              f"baseline's answers kept; two equally good models are taken to differ on "
                              f"{percent(content['flip'])} of the questions (--flip)"),
              note_text("questions are taken as drawn at random, and the expected accuracy as the true one")]
    for what in ("fail", "pass"):
        if never := [one["name"] for one in audits if one["never"] == what]:
            lines.append(note_text(f"{len(never)} of these gates can never {what}: {shorten(', '.join(never), 60)}"))
    if lacking := [one["name"] for one in audits if None in (one["paired_false_alarm"], *one["paired_power"].values())]:
        lines.append(note_text(f"- of {len(lacking)} gates ({shorten(', '.join(lacking), 60)}): with such an accuracy "
                               "so many questions cannot be lost or gained; give a smaller --flip"))
    return "\n".join(lines)


def rates(one: dict, alarm: str, kind: str, width: int) -> str:
    """The cells of one gate's false alarms and power, in percent."""
    def shown(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{100 * value:.1f}" if value >= 0.0005 or value == 0 else "<.1"

    return f"{shown(one[alarm]):>7}" + "".join(f"{shown(value):>{width}}" for value in one[kind].values())


COMMAND = Command(
    "audit-gate", "what a threshold gate is worth: false alarms and power, beside a paired gate", add, run,
    description="A gate that fails below expected - tolerance on n questions: how often it fails a model that is as "
                "good as expected, and one that is 1, 3 or 5 points worse, exactly; and the same of the exact paired "
                "test on the same questions.",
)
