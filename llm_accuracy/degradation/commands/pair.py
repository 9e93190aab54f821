"""pair: one task, two models."""

from __future__ import annotations

import argparse
from pathlib import Path

from ... import cli
from ...errors import InputError
from ...files import write_whole
from ..defaults import DRAWS_OF_A_PAIR, MOST_COUNTED, check_alpha
from ..margins import Margin
from ..verdicts import fails
from . import flags
from .command import Command


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("baseline", nargs="?", metavar="BASELINE")
    to.add_argument("candidate", nargs="?", metavar="CANDIDATE")
    to.add_argument("--counts", nargs=3, type=cli.at_least(0, MOST_COUNTED), metavar=("N", "B", "C"),
                    help="instead of files: N items, B lost and C gained by the candidate")
    to.add_argument("--task", metavar="NAME", help="which task, where the models have several")
    flags.add_test_flags(to, DRAWS_OF_A_PAIR)


def run(options: argparse.Namespace) -> int:
    flags.check_targets(options.json, options.overwrite, options.report, options.markdown, options.junit,
                        inputs=flags.inputs_of(options))
    if options.counts and (options.baseline or options.matrix or options.items or options.samples):
        raise InputError("--counts replaces BASELINE and CANDIDATE (and --items, --samples): give one or the other")
    if not (options.counts or (options.baseline and options.candidate)):
        raise InputError("pair needs BASELINE and CANDIDATE (or --counts N B C)")
    check_alpha(options.alpha)
    margin = Margin.parse(options.margin)
    if options.counts:
        why = "--counts are items lost and gained, and no scores are read"
        flags.check_unused(options, why)
        own = {"--task": options.task, "--allow-same": options.allow_same,
               "--missing-at-random": options.missing_at_random}
        if given := [flag for flag, value in own.items() if value]:
            raise InputError(f"{given[0]}: {why}")

    from ...redaction import redacted
    from ...visible import visible
    from ..paired import judge_counts, judge_pairs
    from ..reading import read_pair
    from ..report import report_pair

    tests = dict(alpha=options.alpha, interval=options.interval)
    if options.counts:
        pairs = None
        report = report_pair(judge_counts(*options.counts, margin=margin.of_scale, **tests))
    else:
        source = flags.source(options)
        pairs, drop = read_pair(source, options.baseline, options.candidate, options.task, options.max_excluded,
                                margin, options.allow_same)
        result = judge_pairs(pairs, margin=drop, draws=options.draws, seed=options.seed,
                             missing_at_random=options.missing_at_random, **tests)
        report = report_pair(result, pairs, baseline=visible(redacted(options.baseline)),
                             candidate=visible(redacted(options.candidate)),
                             notes=swap_notes(options.baseline, options.candidate))
    # Everything is made before the first file is written.
    files: dict[Path, str] = {}
    if options.report:
        from ..page import pair_page

        files[options.report] = pair_page(report, pairs, flags.command_line())
    if options.markdown:
        files[options.markdown] = report.to_markdown(flags.command_line())
    if options.junit:
        from ..junit import Case, junit

        result = report.result
        case = Case(report.source["candidate"] or "counts", result.verdict, result.within_margin, report.headline,
                    report.text())
        files[options.junit] = junit("llm-accuracy pair", [case], options.fail_on)
    for path, text in files.items():
        write_whole(path, text)
    print(report.text(), file=flags.prose(options.json))
    flags.write_json(report.to_json(), options.json)
    return int(fails(report.result.verdict, report.result.within_margin, options.fail_on))


def swap_notes(baseline: str, candidate: str) -> tuple[str, ...]:
    """A warning if the file names contradict the order of the arguments."""
    before, after = Path(baseline).name.lower(), Path(candidate).name.lower()
    if ("candidate" in before or "optimized" in before) or ("baseline" in after and "baseline" not in before):
        return (f"the first argument is the baseline; by their names {before} and {after} may be swapped",)
    return ()


COMMAND = Command("pair", "one task, two models", add, run)
