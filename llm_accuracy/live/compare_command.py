"""The command `llm-accuracy compare`: flags and printing; `compare` does it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import claims, cli
from ..degradation.commands import flags
from ..degradation.defaults import check_alpha
from ..degradation.margins import Margin, check_below_half
from ..degradation.verdicts import fails
from ..degradation.words import as_json
from ..errors import InputError
from .run_folder import RunFolder

DESCRIPTION = """How do models differ that were each asked few questions?

    llm-accuracy compare RUN1 RUN2                  folders of `evaluate`: the difference, its interval, a verdict
    llm-accuracy compare RUN1 RUN2 RUN3 …           all differences at once, and ranks
    llm-accuracy compare BASE CANDIDATE --margin 2pt --fail-on not-shown-safe

The first run is the baseline of the verdicts. Runs are of the same questions, each asked its own few; runs with
--baseline may be among them. To ask several models the same few questions, see `best`; to ask one where it may differ
from another whose answers are all there, `evaluate --baseline`: both take far fewer."""


def build_parser(prog: str = "llm-accuracy") -> argparse.ArgumentParser:
    parser = cli.parser(DESCRIPTION)
    parser.prog = f"{prog} compare"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="two or more folders of evaluations")
    claims.add_flag(parser)
    flags.add_decision_flags(parser)
    flags.add_output_flags(parser)
    return parser


def read_by(runs: list[Path]) -> list[Path]:
    """What runs that are there began with, baselines and histories: no output may replace it."""
    manifests = [folder.manifest() for run in runs if (folder := RunFolder(run)).begun]
    parts = [manifest.get(part) for manifest in manifests for part in ("baseline", "history")]
    return [Path(path) for part in parts if isinstance(part, dict) and isinstance(part.get("paths"), list)
            for path in part["paths"]]


def main(argv: list[str]) -> int:
    """argv: the command's name and its arguments."""
    options = build_parser().parse_args(argv[1:])
    flags.check_targets(options.json, options.overwrite, inputs=[*flags.files_of(options.runs), *read_by(options.runs)])
    check_alpha(options.alpha)
    stated = Margin.parse(options.margin)
    if stated.kind == "recovery":
        raise InputError("--margin recovery: the baseline's score is not known in full here; state points (1pt)")
    check_below_half(stated.of_scale, 1.0)
    if len(options.runs) < 2:
        raise InputError("compare: two runs are needed, or more")

    from .compare import compared, lines

    result = compared(options.runs, stated.of_scale, options.alpha, claims.chosen(options.about))
    print(*lines(result), sep="\n", file=flags.prose(options.json))
    flags.write_json(as_json(result), options.json)
    return int(any(fails(one["verdict"], one["within_margin"], options.fail_on) for one in result["verdicts"]))
