"""Flags that the study's scripts share, so that they mean the same in every script.

Parsing must not wait for torch: --help and refused arguments take a moment, not seconds. So the names in the
registries of querying/ are read from its source as long as nothing has imported it (`Registered`).
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .. import cli
from ..errors import InputError
from ..querying.setting import Setting
from ..scores.scenario import Scenario

_QUERYING = "llm_accuracy.querying"


class Registered:
    """The names in a registry of querying/, as argparse's choices.

    module   where it is
    loaded   the names, from the imported module: those that others have registered are among them
    written  the names, from the module's parsed source: those that it registers itself
    """

    def __init__(self, module: str, loaded: Callable, written: Callable[[ast.Module], Iterable[str]]):
        self.module, self.loaded, self.written = module, loaded, written

    def __iter__(self) -> Iterator[str]:
        module = sys.modules.get(f"{_QUERYING}.{self.module}")
        return iter(dict.fromkeys(self.written(self.source()) if module is None else self.loaded(module)))

    def source(self) -> ast.Module:
        path = Path(__file__).parents[1] / "querying" / f"{self.module}.py"
        return ast.parse(path.read_text(encoding="utf-8"))

    def __contains__(self, name: object) -> bool:
        return name in list(self)


def _calls(tree: ast.Module, function: str, position: int = 0, without: str = "") -> Iterator[str]:
    """The strings given at a position to the calls of a function, but for calls with the keyword `without`."""
    for node in ast.walk(tree):
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
                and len(node.args) > position and isinstance(node.args[position], ast.Constant)
                and without not in {keyword.arg for keyword in node.keywords}):
            yield str(node.args[position].value)


def _value(tree: ast.Module, name: str) -> list[str]:
    """The strings in the tuple, or the keys of the dictionary, that a module assigns to a name."""
    value = next(node.value for node in tree.body
                 if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name)
    parts = value.keys if isinstance(value, ast.Dict) else value.elts if isinstance(value, ast.Tuple) else []
    return [str(part.value) for part in parts if isinstance(part, ast.Constant)]


POLICIES = Registered("policies", lambda module: module.POLICIES, lambda tree: _calls(tree, "Policy"))
LEARNING = Registered(  # all but the oracles
    "policies", lambda module: (name for name, policy in module.POLICIES.items() if not policy.knows),
    lambda tree: _calls(tree, "Policy", without="knows"))
WALKING = Registered("policies", lambda module: module.WALKING, lambda tree: _calls(tree, "walking"))
SAMPLING = Registered("policies", lambda module: module.SAMPLING, lambda tree: _value(tree, "SAMPLING"))
VARIANCES = Registered("estimators", lambda module: (variance for _, variance in module.ESTIMATORS),
                       lambda tree: _calls(tree, "register", 1))
PROTOCOLS = Registered("factors", lambda module: module.PROTOCOLS, lambda tree: _value(tree, "PROTOCOLS"))


def parser(doc: str | None, *names: str) -> argparse.ArgumentParser:
    """A parser that prints the script's docstring, with the named common flags (all of them by default)."""
    return cli.add_study_flags(cli.parser(doc), *names)


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The arguments, with scenarios and settings read once, so that a misspelt one is refused at once.

    Raises InputError for one that cannot be read.
    """
    args = parser.parse_args(argv)
    for key in getattr(args, "scenarios", None) or ():
        Scenario.parse(key)
    for key in filter(None, [getattr(args, "setting", None), *(getattr(args, "settings", None) or ())]):
        Setting.parse(key)
    return args


def add_method_flags(to: argparse.ArgumentParser) -> None:
    to.add_argument("--sampling", choices=SAMPLING,
                    help="draw without replacement, with (the paper), or naive-without (the published ablation); "
                    "default: the policy's own")
    to.add_argument("--batch", type=cli.at_least(1), default=1, metavar="B",
                    help="ask B questions at a time and learn from all B answers at once (default 1)")
    to.add_argument("--variance", choices=VARIANCES,
                    help="unbiased or published (with replacement); pooled, empirical, or betting which is exact "
                    "(without)")


def add_protocol_flags(to: argparse.ArgumentParser, default: str | None = None) -> None:
    to.add_argument("--protocol", choices=PROTOCOLS, default=default,
                    help=f"how to fit (default: {default or 'that of the tier'})")
    to.add_argument("--epochs", type=cli.at_least(1), metavar="E", help="(default: the protocol's)")


def factor_fit(doc: str | None, argv: list[str] | None) -> argparse.Namespace:
    """What factor_models_val.py and factor_models_final.py take."""
    to = parser(doc, "tier", "datasets", "scenarios", "data-dir", "logs-dir", "factors-dir", "device", "shard",
                "dry-run")
    to.add_argument("--rank", type=cli.at_least(1), metavar="K", help="rank, instead of the one chosen by CV")
    to.add_argument("--weight-decay", metavar="L", help="weight decay, instead of the one chosen by CV")
    add_protocol_flags(to)
    args = parse(to, argv)
    if (args.rank is None) != (args.weight_decay is None):
        raise InputError("--rank and --weight-decay: give both or neither")
    return args


def announce(units: int, unit: str, seconds: float | None) -> None:
    """What --dry-run prints."""
    about = f", about {cli.duration(seconds)} on this machine" if seconds is not None else ""
    print(f"{units} {unit}s to run{about}")
