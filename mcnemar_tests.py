#!/usr/bin/env python3
"""12  Did it get worse? Degradation tests that can gate a release (arXiv 2602.10144).

    python mcnemar_tests.py pair baseline.csv candidate.csv
    python mcnemar_tests.py pair runs/base runs/int4 --task leaderboard_mmlu_pro --json - --fail-on degraded
    python mcnemar_tests.py pair --counts 25282 1241 1042
    python mcnemar_tests.py suite model_paths.json --output-dir results
    python mcnemar_tests.py suite runs/base runs/int8 runs/int4 --fail-on not-shown-safe
    python mcnemar_tests.py plan --flip .1 --drop .01 --power .8
    python mcnemar_tests.py watch baseline.csv candidate.csv --follow 600
    python mcnemar_tests.py flips seed0.csv seed1.csv seed2.csv --output-dir flips
    python mcnemar_tests.py run-examples --models base=pretrained=ORG/A int8=pretrained=ORG/B --tasks gsm8k

A model is a CSV `prompt_id,score[,run][,cluster][,task]`, a folder of such files (several runs), an output
folder of lm-evaluation-harness with --log_samples (or one of its results files), or, with --matrix, a row of
a models × questions table. `suite` also takes a JSON list of models, the first of them the baseline.

The verdict is one of three: degraded (shown to be worse), not degraded beyond the margin (a drop of the
margin or more is excluded), undecided. Exit code: 0, or 1 where the --fail-on condition holds, or 2 for bad
input. A pair takes seconds, a suite of 40 tasks and 20 models less than half a minute.

Around a test: `plan` says how many questions it needs, `watch` stops as soon as the verdict is certain,
`flips` finds the questions worth asking from several runs of one model, `run-examples` makes the inputs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llm_accuracy import cli
from llm_accuracy.degradation import report
from llm_accuracy.degradation.commands import workflow
from llm_accuracy.degradation.commands.flags import (
    add_test_flags,
    check_targets,
    command_line,
    fails,
    harness_choices,
    one_task,
    prose,
    read_pair,
    read_rows,
    write_json,
)
from llm_accuracy.degradation.paired import DRAWS, judge_counts, judge_pair
from llm_accuracy.degradation.pairing import Pairs, pair_up
from llm_accuracy.degradation.suite import SUITE_DRAWS, SuiteResult, adjust_candidates, judge_suite
from llm_accuracy.errors import InputError
from llm_accuracy.files import check_new, write_whole
from llm_accuracy.scores.readers import read_model, read_model_list
from llm_accuracy.scores.task_scores import TaskScores


def build_parser() -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pair = commands.add_parser("pair", help="one task, two models")
    pair.add_argument("baseline", nargs="?", metavar="BASELINE")
    pair.add_argument("candidate", nargs="?", metavar="CANDIDATE")
    pair.add_argument("--counts", nargs=3, type=cli.at_least(0), metavar=("N", "B", "C"),
                      help="instead of files: N items, B lost and C gained by the candidate")
    pair.add_argument("--task", metavar="NAME", help="which task, where the models have several")
    add_test_flags(pair, DRAWS)
    pair.set_defaults(run=run_pair)
    suite = commands.add_parser("suite", help="many tasks, one or many candidates")
    suite.add_argument("models", nargs="*", metavar="MODEL",
                       help="a JSON list of models, or a baseline and candidates")
    suite.add_argument("--baseline", metavar="NAME", help="which model is the baseline (default: the first)")
    suite.add_argument("--tasks", nargs="+", metavar="NAME", help="only these tasks")
    suite.add_argument("--output-dir", type=Path, default=Path("degradation"), metavar="DIR",
                       help="where the tables go (default: degradation)")
    add_test_flags(suite, SUITE_DRAWS)
    suite.set_defaults(run=run_suite)
    workflow.add_commands(commands)
    return parser


# ---- pair --------------------------------------------------------------------------------------------------


def run_pair(options: argparse.Namespace) -> int:
    check_targets(options)
    tests = dict(alpha=options.alpha, margin=options.margin, interval=options.interval)
    if options.counts:
        if options.baseline or options.matrix or options.items:
            raise InputError("--counts stands instead of BASELINE and CANDIDATE (and --items): give one or the other")
        pairs, task, excluded, notes = None, None, {}, []
        result = judge_counts(*options.counts, **tests)
    else:
        if not (options.baseline and options.candidate):
            raise InputError("pair needs BASELINE and CANDIDATE (or --counts N B C)")
        pairs = read_pair(options)
        result = judge_pair(pairs.baseline, pairs.candidate, clusters=pairs.clusters, draws=options.draws,
                            higher_is_better=pairs.higher_is_better, seed=options.seed, **tests)
        task, excluded = pairs.task, pairs.excluded
        notes = [*swap_notes(options.baseline, options.candidate), *pairs.notes]
    names = dict(baseline=options.baseline, candidate=options.candidate)
    print(report.headline(result), report.pair_table(result, excluded, **names), sep="\n\n", file=prose(options))
    for note in report.remarks(result, tuple(notes)):
        print(report.note_text(note), file=prose(options))
    if options.report:
        from llm_accuracy.degradation.page import pair_page

        write_whole(options.report, pair_page(result, pairs, excluded, notes, command_line(), **names))
    write_json(report.pair_json(result, **names, task=task, excluded=excluded, notes=notes), options)
    return fails(result.verdict, result.within_margin, options.fail_on)


# ---- suite -------------------------------------------------------------------------------------------------

TABLES = ("summary.csv", "model_comparison.csv", "summary_with_stderr.csv", "summary_without_stderr.csv",
          "model_differences.csv", "summary.md")


def run_suite(options: argparse.Namespace) -> int:
    check_targets(options)
    if options.output_dir.exists() and not options.output_dir.is_dir():
        raise InputError(f"--output-dir {options.output_dir} is a file; name a folder")
    for name in TABLES:
        check_new(options.output_dir / name, options.overwrite, make_parent=True)
    models = read_models(options)
    baseline = options.baseline or next(iter(models))
    if baseline not in models:
        raise InputError(f"--baseline {baseline}: no such model; there are {', '.join(models)}")
    if options.tasks:
        models = {name: {task: tasks[one_task([tasks], [name], task)] for task in options.tasks}
                  for name, tasks in models.items()}
    pairs = {name: pair_tasks(models[baseline], tasks, baseline, name, options.max_excluded)
             for name, tasks in models.items() if name != baseline}
    settings = dict(alpha=options.alpha, margin=options.margin, interval=options.interval,
                    draws=options.draws, seed=options.seed)
    results = adjust_candidates({name: judge_suite(suite, **settings) for name, suite in pairs.items()})
    notes = list(dict.fromkeys(note for suite in pairs.values() for task in suite for note in task.notes))
    notes += shared_notes(results)
    write_suite(models, pairs, results, baseline, notes, options)
    tell_suite(results, notes, options)
    return max(fails(result.verdict, result.within_margin, options.fail_on) for result in results.values())


def read_models(options: argparse.Namespace) -> dict[str, dict[str, TaskScores]]:
    """All models of the suite, the baseline by default the first."""
    names, choices = options.models, harness_choices(options)
    if options.matrix:
        models = read_rows(options, names or None)
    elif len(names) == 1 and names[0].endswith(".json"):
        models = read_model_list(names[0], choices)
    else:
        short = [Path(name).name for name in names]
        labels = short if len(set(short)) == len(short) else names
        models = {label: read_model(name, choices) for label, name in zip(labels, names, strict=True)}
    if len(models) < 2:
        raise InputError("suite needs a JSON list of models, or a baseline and at least one candidate")
    return models


def pair_tasks(
    baseline: dict[str, TaskScores], candidate: dict[str, TaskScores], baseline_name: str, name: str,
    max_excluded: float,
) -> list[Pairs]:
    odd = sorted(baseline.keys() ^ candidate.keys())
    if odd:
        lacking = name if odd[0] in baseline else baseline_name
        raise InputError(f"{lacking} has no task {odd[0]} ({len(odd)} tasks are in one of {baseline_name}, "
                         f"{name} only); run it, or name the tasks to compare with --tasks")
    return [pair_up(baseline[task], candidate[task], task, max_excluded) for task in baseline]


def shared_notes(results: dict[str, SuiteResult]) -> list[str]:
    return [f"{name}: {result.shared:,} items belong to questions or clusters that stand in several tasks; "
            "each is tested as one unit" for name, result in results.items() if result.shared]


def tell_suite(results: dict[str, SuiteResult], notes: list[str], options: argparse.Namespace) -> None:
    to = prose(options)
    for name, result in results.items():
        print(report.suite_headline(name, result), report.suite_table(result), "", sep="\n", file=to)
    for note in notes:
        print(report.note_text(note), file=to)
    print(f"tables: {options.output_dir}/", file=to)


def write_suite(
    models: dict[str, dict[str, TaskScores]], pairs: dict[str, list[Pairs]], results: dict[str, SuiteResult],
    baseline: str, notes: list[str], options: argparse.Namespace,
) -> None:
    """All tables are made before the first is written."""
    frames = (report.summary_frame(results, baseline), report.comparison_frame(models),
              report.category_frame(models, stderr=True), report.category_frame(models, stderr=False),
              report.differences_frame(results, pairs))
    texts = [frame.to_csv(index=False) for frame in frames]
    texts.append(report.suite_markdown(results, baseline, notes, command_line()))
    if options.report:
        from llm_accuracy.degradation.page import suite_page

        page = suite_page(results, pairs, baseline, notes, command_line())
    content = report.suite_json(results, pairs, baseline=baseline, notes=notes)
    for name, text in zip(TABLES, texts, strict=True):
        write_whole(options.output_dir / name, text)
    if options.report:
        write_whole(options.report, page)
    write_json(content, options)


def swap_notes(baseline: str, candidate: str) -> list[str]:
    """A warning where the file names say the opposite of the order."""
    before, after = Path(baseline).name.lower(), Path(candidate).name.lower()
    if ("candidate" in before or "optimized" in before) or ("baseline" in after and "baseline" not in before):
        return [f"the first argument is the baseline; by their names {before} and {after} may be swapped"]
    return []


def main(argv: list[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    return options.run(options)


if __name__ == "__main__":
    cli.run(main)
