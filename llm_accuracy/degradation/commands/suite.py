"""suite: many tasks, one or many candidates."""

from __future__ import annotations

import argparse
from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...files import write_whole
from ..defaults import DRAWS_OF_A_SUITE, check_alpha
from ..margins import Margin
from ..verdicts import fails
from . import flags
from .command import Command

if TYPE_CHECKING:
    from ..reading import Model, Source

TABLES = ("summary.csv", "model_comparison.csv", "summary_with_stderr.csv", "summary_without_stderr.csv",
          "model_differences.csv", "summary.md")


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("models", nargs="*", metavar="MODEL",
                    help="a JSON list of models, or a baseline and candidates")
    to.add_argument("--baseline", metavar="NAME", help="which model is the baseline (default: the first)")
    to.add_argument("--tasks", nargs="+", metavar="NAME", help="only these tasks; others are not read")
    to.add_argument("--skip", nargs="+", metavar="TASK", default=[], help="not these tasks (or patterns, such as "
                                                                          "'mmlu_*')")
    to.add_argument("--output-dir", type=Path, default=Path("degradation"), metavar="DIR",
                    help="where the tables go (default: degradation)")
    to.add_argument("--safe-per-task", action="store_true",
                    help="\"safe\" only where a drop of the margin is excluded on every task, not on average")
    to.add_argument("--adjust-safe", action="store_true",
                    help="adjust \"safe\" for the number of candidates, as \"degraded\" is")
    flags.add_test_flags(to, DRAWS_OF_A_SUITE)


def run(options: argparse.Namespace) -> int:
    outputs = options.report, options.markdown, options.junit
    flags.check_targets(options.json, options.overwrite, *outputs, inputs=flags.inputs_of(options),
                        folder=options.output_dir, names=TABLES)
    if not options.matrix and not (len(options.models) == 1 and options.models[0].endswith(".json")):
        check_models(options.models)
    check_alpha(options.alpha)
    margin = Margin.parse(options.margin)

    from ..reading import check_all_distinct, pair_models, read_models
    from ..report import report_suite
    from ..scales import on_one_scale
    from ..side_by_side import judge_all
    from ..suite import adjust_candidates
    from ..tables import check_names, suite_tables

    source = flags.source(options, options.tasks, options.skip)
    models = read_models(source, options.models)
    check_models(models)
    written = [Path(target) for target in (*outputs, options.json) if target and target != "-"]
    flags.check_apart(written, {Path(log.source) for suite in models.values() for log in suite.values()})
    baseline = options.baseline or next(iter(models))
    if baseline not in models:
        raise InputError(f"--baseline {baseline}: no such model; there are {', '.join(models)}")
    check_names({task: scores.category for task, scores in models[baseline].items()})
    if options.samples and not (options.tasks or options.skip):
        check_all_there(source, models[baseline], baseline)
    read, models = models, on_one_scale(models, baseline)
    paired = pair_models(models, baseline, options.max_excluded, margin)
    pairs = check_all_distinct({name: suite for name, (suite, _) in paired.items()}, read, baseline, options.allow_same)
    settings = dict(alpha=options.alpha, interval=options.interval, draws=options.draws, seed=options.seed,
                    missing_at_random=options.missing_at_random, per_task=options.safe_per_task)
    results = adjust_candidates(judge_all(pairs, {name: margin for name, (_, margin) in paired.items()}, **settings),
                                options.adjust_safe)
    report = report_suite(results, pairs, baseline)

    # Everything is made before the first file is written.
    texts = [*suite_tables(results, pairs, models, baseline), report.to_markdown(flags.command_line())]
    files = {options.output_dir / name: text for name, text in zip(TABLES, texts, strict=True)}
    if options.report:
        from ..page import suite_page

        files[options.report] = suite_page(report, flags.command_line())
    if options.markdown:
        files[options.markdown] = texts[-1]
    if options.junit:
        from ..junit import Case, junit
        from ..report import suite_table

        cases = [Case(name, result.verdict, result.within_margin, report.headlines[name], suite_table(result))
                 for name, result in results.items()]
        files[options.junit] = junit("llm-accuracy suite", cases, options.fail_on)
    for path, text in files.items():
        write_whole(path, text)
    if options.json:
        flags.write_json(report.to_json(), options.json)
    print(report.text(), file=flags.prose(options.json))
    print(f"tables: {options.output_dir}/", file=flags.prose(options.json))
    return int(any(fails(result.verdict, result.within_margin, options.fail_on) for result in results.values()))


def check_models(models: Sized) -> None:
    if len(models) < 2:
        raise InputError("suite needs a JSON list of models, or a baseline and at least one candidate")


def check_all_there(source: Source, model: Model, name: str) -> None:
    """Raise InputError where a task of the sample that was asked is missing altogether."""
    drawn = source.choices.selection
    lacking = [task for task in getattr(drawn, "tasks", {}) if task not in model]
    if lacking:
        raise InputError(f"{name}: no task {lacking[0]}, which the sample has: run it, or name the tasks to compare "
                         "with --tasks")


COMMAND = Command("suite", "many tasks, one or many candidates", add, run)
