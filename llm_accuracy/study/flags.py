"""Flags that the study's scripts share, so that they mean the same in every script.

Parsing must not wait for torch: --help and refused arguments take a moment, not seconds. The registries of querying/
that name the choices are light.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import cli
from ..errors import InputError
from ..files import plain_name
from ..querying.estimators import ESTIMATORS
from ..querying.policies import POLICIES, SAMPLING, WALKING
from ..querying.protocols import PROTOCOLS
from ..querying.rivals import RIVALS, SRS, installed
from ..querying.setting import Setting
from ..scores.scenario import Scenario
from .columns import ACTIVE
from .grids import TIERS


def learning() -> list[str]:
    """The policies that learn from answers: all but the oracles."""
    return [name for name, policy in POLICIES.items() if not policy.knows]


def every_method() -> list[str]:
    """All that can be compared on a board: policies that learn, baselines, rivals."""
    return [*learning(), ACTIVE, SRS, *WALKING, *RIVALS]


def installed_methods() -> list[str]:
    """Those that need no package that is not installed."""
    return [name for name in every_method() if name not in RIVALS or name in installed()]


def parser(doc: str | None, *names: str) -> argparse.ArgumentParser:
    """A parser that prints the script's docstring, with the named common flags (all of them by default)."""
    return cli.add_study_flags(cli.parser(doc), *names)


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The arguments, with scenarios and settings read once, so that a misspelt one is refused at once.

    Without --logs-dir, the results of a data set that is in no tier, or in another --data-dir, go to local/NAME, which
    git ignores: the committed ones stay as they are. Raises InputError for what cannot be read.
    """
    given, data_dir = parser.get_default("logs_dir"), parser.get_default("data_dir")
    parser.set_defaults(logs_dir=None)
    args = parser.parse_args(argv)
    for name in getattr(args, "datasets", None) or ():
        plain_name(name, "--datasets")
    args.logs_dir_given = getattr(args, "logs_dir", None) is not None
    if hasattr(args, "logs_dir") and args.logs_dir is None:
        args.logs_dir = _logs_dir(args, given, data_dir)
    for key in getattr(args, "scenarios", None) or ():
        Scenario.parse(key)
    for key in filter(None, [getattr(args, "setting", None), *(getattr(args, "settings", None) or ())]):
        Setting.parse(key)
    return args


def _logs_dir(args: argparse.Namespace, default: Path, data_dir: Path | None) -> Path:
    """The default of --logs-dir. Raises InputError for data sets whose results would go to several places."""
    committed = set().union(*(tier.datasets for tier in TIERS.values()))
    datasets = getattr(args, "datasets", None) or []
    if data_dir is not None and args.data_dir.resolve() != data_dir.resolve():  # not what the committed ones are of
        committed, datasets = set(), datasets or list(TIERS[getattr(args, "tier", "laptop")].datasets)
    own = [name for name in datasets if name not in committed]
    if not own:
        return default
    if len(datasets) > 1:
        raise InputError(f"--datasets {' '.join(datasets)}: {own[0]} is a data set of your own, whose results go to "
                         f"local/{own[0]}; name one at a time, or say with --logs-dir where those of all go")
    return own_folder(own[0], "--datasets")


def own_folder(name: str, what: object) -> Path:
    """Where the results of a user's own data go, said in one line. Raises InputError for an odd name."""
    folder = Path("local") / plain_name(name, str(what))
    print(f"results are in {folder}: {name} is a data set of your own (--logs-dir says otherwise)")
    return folder


def add_method_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--sampling", choices=SAMPLING,
                    help="draw without replacement, with (the paper), or naive-without (the published ablation), or in "
                    "rounds; default: the policy's own")
    to.add_argument("--batch", type=cli.at_least(1), metavar="B",
                    help="ask B questions at a time and learn from all B answers at once (default 1); of growing "
                    "rounds, the size of the first")
    to.add_argument("--variance", choices=dict.fromkeys(variance for _, variance in ESTIMATORS),
                    help="unbiased or published (with replacement); pooled, empirical, or betting which is exact "
                    "(without); moderated (rounds)")


def add_protocol_flags(to: argparse.ArgumentParser, default: str | None = None) -> None:
    to.add_argument("--protocol", choices=PROTOCOLS, default=default,
                    help=f"how to fit (default: {default or 'that of the tier'})")
    to.add_argument("--epochs", type=cli.at_least(1), metavar="E", help="(default: the protocol's)")


def factor_fit(doc: str | None, argv: list[str] | None) -> argparse.Namespace:
    """What factor_models_val.py and factor_models_final.py take."""
    to = parser(doc, "tier", "datasets", "scenarios", "data-dir", "logs-dir", "factors-dir", "device", "shard",
                "dry-run")
    to.add_argument("--rank", type=cli.at_least(1), metavar="K", help="rank, instead of the one chosen by CV")
    to.add_argument("--weight-decay", type=cli.as_written(cli.number()), metavar="L",
                    help="weight decay, instead of the one chosen by CV")
    add_protocol_flags(to)
    args = parse(to, argv)
    if (args.rank is None) != (args.weight_decay is None):
        raise InputError("--rank and --weight-decay: give both or neither")
    return args


def announce(units: int, unit: str, seconds: float | None, parts: int | None = None) -> None:
    """What --dry-run prints. parts: how many shards can have work."""
    about = f", about {cli.duration(seconds)} on this machine" if seconds is not None else ""
    shards = f", in at most {parts} part{'s' * (parts != 1)}" if parts is not None else ""
    print(f"{units} {unit}{'s' * (units != 1)} to run{about}{shards}")
