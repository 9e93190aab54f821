"""The tables written beside the logs of a folder: the summary, the choices, ours beside the published."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from .. import locks
from ..errors import InputError
from ..files import atomic
from . import ledger, published, summaries, tuning
from .columns import LOGS, TRIAL
from .grids import TIERS
from .provenance import refuse_mixed

TRIALS = {"faq_final.csv": "faq_final.py", "baselines_all.csv": "baselines_all.py",
          "ablations_all.csv": "ablations_all.py"}
CHOICES: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "factor_model_selected_settings.csv": ("factor_models_cv.csv", tuning.chosen_factors),
    "faq_best_settings.csv": ("faq_val.csv", tuning.chosen_settings)}


def found(args: argparse.Namespace) -> list[str]:
    """The logs of trials that are there. Raises InputError if none is."""
    there = [name for name in TRIALS if (args.logs_dir / name).exists()]
    if not there:
        raise InputError(f"{args.logs_dir}: holds none of {', '.join(TRIALS)}; python faq_final.py and "
                         "python baselines_all.py make them")
    return there


def summarize(args: argparse.Namespace, logs: list[str]) -> pd.DataFrame:
    """Every arm of the logs, over its seeds; to LOGS_DIR/summary.csv if those of some datasets are not asked for."""
    trials = pd.concat([ledger.read(args.logs_dir / name, TRIALS[name]) for name in logs], ignore_index=True)
    trials = chosen(trials.drop_duplicates(list(TRIAL)), args)
    refuse_mixed(trials, args.logs_dir)
    summary = summaries.summarize(trials)
    if args.datasets or args.scenarios:
        print(f"{args.logs_dir / 'summary.csv'}: left as it is, for it holds all arms and these are some",
              file=sys.stderr)
    else:
        _write(summary, args.logs_dir / "summary.csv")
    return summary


def chosen(trials: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """The rows of the datasets and scenarios that were asked for. Raises InputError if there is none."""
    for column, wanted in (("dataset", args.datasets), ("scenario", args.scenarios)):
        if wanted:
            trials = trials[trials[column].isin(wanted)]
            if trials.empty:
                raise InputError(f"{args.logs_dir}: no trial with {column} {', '.join(wanted)} in the logs")
    return trials


def write_choices(logs_dir: Path) -> list[Path]:
    """What was chosen by validation, from the logs that are there; returns the files written."""
    paths = []
    for name, (log, choose) in CHOICES.items():
        if (logs_dir / log).exists():
            choices = choose(ledger.read(logs_dir / log, log.replace(".csv", ".py")))
            if len(choices):
                _write(choices, logs_dir / name)
                paths.append(logs_dir / name)
    return paths


def merge(args: argparse.Namespace) -> None:
    """Gather shards: every log that one of the folders holds, tables aside."""
    if absent := [folder for folder in args.merge if not folder.is_dir()]:
        raise InputError(f"--merge {absent[0]}: no such folder")
    if not any((folder / f"{name}.csv").exists() for folder in args.merge for name in LOGS):
        raise InputError(f"--merge {args.merge[0]}: holds no log of a shard ({', '.join(LOGS)}, .csv)")
    committed = set().union(*(tier.datasets for tier in TIERS.values()))
    for path in (folder / f"{name}.csv" for folder in args.merge for name in LOGS):
        if not args.logs_dir_given and path.is_file() and (own := set(ledger.read(path, "")["dataset"]) - committed):
            raise InputError(f"{path}: {min(own)} is a data set of your own; say with --logs-dir where its results are")
    for name, count, added in gather(args.logs_dir, args.merge, args.dry_run):
        print(f"would merge {count} {name}.csv into {args.logs_dir}" if args.dry_run
              else f"{args.logs_dir / name}.csv: {added} rows from {count} folders")


def gather(logs_dir: Path, folders: Sequence[Path], dry_run: bool = False) -> Iterator[tuple[str, int, int]]:
    """Append what the folders' logs have and those of `logs_dir` lack, under their locks; yields (log, folders that
    have it, rows appended). Raises InputError as `ledger.merge` does."""
    for name in LOGS:
        parts = [path for folder in folders if (path := folder / f"{name}.csv").exists()]
        if not parts:
            continue
        added = 0
        if not dry_run:
            with ExitStack() as alone:
                alone.enter_context(locks.writing(logs_dir / f"{name}.csv"))
                for path in (path for path in parts if os.access(path.parent, os.W_OK)):  # elsewhere nobody writes
                    alone.enter_context(locks.writing(path))
                added = ledger.merge(ledger.Ledger.named(logs_dir, name), parts)
        yield name, len(parts), added


def beside_published(summary: pd.DataFrame, theirs: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """Ours beside the published tables in --compare, to LOGS_DIR/beside_published.csv and .md."""
    ours = published.ours(summary)
    for dataset, rows in ours.groupby("dataset"):
        print(f"ours: {dataset}, {rows['models'].max()} new models, {rows['seeds'].min()} to {rows['seeds'].max()} "
              f"seeds; published: {published.SEEDS} seeds\ndiff/SE: the difference in standard errors over seeds "
              "(models taken as given);\n         - where one of them is 0 or comes from one seed\n")
    if args.stands_for:
        if len(names := ours["dataset"].unique()) > 1:
            raise InputError(f"--as {args.stands_for}: the logs hold {', '.join(names)}; choose one with --datasets")
        ours = ours.assign(dataset=args.stands_for)
    table = published.compare(ours, theirs)
    _write(table, args.logs_dir / "beside_published.csv")
    with atomic(args.logs_dir / "beside_published.md", "w") as stream:
        stream.write(published.markdown_table(table))
    return table


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path, "w") as stream:
        table.to_csv(stream, index=False, float_format="%.7g", lineterminator="\n")
