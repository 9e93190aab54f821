"""What a threshold gate is worth: "fail the build if the accuracy on n questions is below .85 − .05".

If n questions are drawn and the true accuracy is p, K ~ Bin(n, p) are right. The gate fails if K/n < expected −
tolerance (two-sided: or K/n > expected + tolerance). So its false-alarm rate, where the accuracy is as expected, and
its power, where it fell by a drop, are binomial tails. The bounds are computed in exact arithmetic from the decimals as
written.

Beside it, the exact paired test at level alpha on the same n questions: it asks as many of the candidate, and uses the
answers that the baseline gave to them when `expected` was measured. Its flips: a share `flip` of the questions between
equally good models, in either direction alike, and the drop on top. No more questions can be lost than were right, nor
gained than were wrong: where flip/2 + drop > expected or flip/2 > 1 − expected, there is no such pair.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import read_json, reading
from .defaults import LARGEST_N
from .planning import power


@dataclass(frozen=True)
class Gate:
    """A threshold gate: `expected` accuracy and the `tolerance` below it, both in [0, 1], on `n` questions."""

    name: str
    expected: float
    tolerance: float
    n: int
    relative: bool = False  # the tolerance is a share of the expected accuracy
    two_sided: bool = False  # a score above expected + tolerance fails, too

    def passing(self) -> tuple[int, int]:
        """(least, most) right answers with which the gate passes."""
        expected, width = Fraction(str(self.expected)), Fraction(str(self.tolerance))
        width *= expected if self.relative else 1
        low = max(0, math.ceil(self.n * (expected - width)))
        high = min(self.n, math.floor(self.n * (expected + width))) if self.two_sided else self.n
        return low, high

    @property
    def never(self) -> str | None:
        """What the gate can never do, whatever the model: fail, or pass."""
        low, high = self.passing()
        return "pass" if low > high else "fail" if (low, high) == (0, self.n) else None

    def paired(self, drop: float, flip: float, alpha: float) -> float | None:
        """How often the paired test on as many questions fails a model that is worse by `drop`; None where so many
        questions cannot be lost or gained."""
        if flip / 2 + drop > self.expected + 1e-12 or flip / 2 > 1 - self.expected + 1e-12:
            return None
        return power(self.n, flip + drop, drop, alpha)

    def fails(self, accuracy: float) -> float:
        """The probability that the gate fails at this true accuracy."""
        from scipy import stats

        low, high = self.passing()
        below, above = stats.binom.cdf(low - 1, self.n, accuracy), stats.binom.sf(high, self.n, accuracy)
        return float(min(1.0, below + above))


def audit(gate: Gate, drops: tuple[float, ...], flip: float, alpha: float) -> dict:
    """False-alarm rate and power (drop in points → probability, None where the drop is larger than the accuracy) of a
    gate, and those of the paired test (None where so many questions cannot flip)."""
    shares = {f"{drop:.12g}": drop / 100 for drop in drops}
    return {
        "name": gate.name, "expected": gate.expected, "tolerance": gate.tolerance, "n": gate.n,
        "relative": gate.relative, "two_sided": gate.two_sided, "passes_from": gate.passing()[0],
        "passes_to": gate.passing()[1], "never": gate.never, "false_alarm": gate.fails(gate.expected),
        "power": {name: gate.fails(gate.expected - drop) if drop <= gate.expected else None
                  for name, drop in shares.items()},
        "paired_false_alarm": gate.paired(0.0, flip, alpha),
        "paired_power": {name: gate.paired(drop, flip, alpha) for name, drop in shares.items()},
    }


def summary(audits: list[dict]) -> dict:
    """Medians over gates of the rates of `audit`."""
    def median(values):
        there = [value for value in values if value is not None]
        return float(np.median(there)) if there else None

    drops = list(audits[0]["power"])
    return {"gates": len(audits), "false_alarm": median(one["false_alarm"] for one in audits),
            "power": {drop: median(one["power"][drop] for one in audits) for drop in drops},
            "paired_false_alarm": median(one["paired_false_alarm"] for one in audits),
            "paired_power": {drop: median(one["paired_power"][drop] for one in audits) for drop in drops}}


# ---- reading them -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stated:
    """What the command line says where a file says nothing; None: nothing either."""

    expected: float | None = None
    tolerance: float | None = None
    n: int | None = None
    relative: bool = False
    two_sided: bool = False


def read_gates(path: Path | str, stated: Stated) -> list[Gate]:
    """The gates of a YAML or JSON file: {name, expected, tolerance, n}, one or a list (also as {"gates": …} or
    {name: …}), or configurations of harness suites {model_name, tasks: [{name, metrics: [{name, value}]}], limit}.

    Raises InputError, with the entry, for whatever is missing and not stated on the command line.
    """
    content = read_json(path) if str(path).endswith(".json") else _read_yaml(Path(path))
    if isinstance(content, dict) and "gates" in content:
        if odd := sorted(str(key) for key in content if key != "gates"):
            raise InputError(f"{path}: {odd[0]} beside gates means nothing: write it into each of them")
        content = content["gates"]
    if isinstance(content, dict) and content and all(isinstance(v, dict) for v in content.values()):
        content = [{"name": name, **entry} for name, entry in content.items()]
    entries = content if isinstance(content, list) else [content]
    gates = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}: gate {number}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected name, expected, tolerance and n, found {str(entry)[:40]!r}")
        for one in _of_suite(entry, where) if "tasks" in entry else [entry]:
            gates.append(made(one, stated, f"{where} ({one.get('name', 'no name')})", str(one.get("name", number))))
    if not gates:
        raise InputError(f"{path}: no gates in the file")
    return gates


def _of_suite(entry: dict, where: str) -> list[dict]:
    """One gate for each task and metric of a harness configuration; what is said of a metric comes before what is said
    of its task, and that before what is said of all."""
    found = []
    try:
        for task in entry["tasks"]:
            for metric in task["metrics"]:
                said: dict = {}
                for part in (entry, task, metric):
                    own = {key: part[key] for key in _WAYS if key in part}
                    other = {other for one in own for other in _WAYS[one]} - own.keys()
                    said = {key: value for key, value in said.items() if key not in other} | own
                name = " ".join(map(str, [entry.get("model_name", ""), task["name"], metric["name"]])).strip()
                found.append({**said, "name": name, "expected": metric["value"]})
    except (TypeError, KeyError, AttributeError):
        raise InputError(f"{where}: expected tasks: [{{name, metrics: [{{name, value}}]}}]") from None
    return found


# What a configuration says of a gate → other ways of saying it.
_WAYS: dict[str, tuple[str, ...]] = {"limit": ("n",), "n": ("limit",), "tolerance": ("rtol",), "rtol": ("tolerance",),
                                     "relative": (), "two_sided": ()}


def made(entry: dict, stated: Stated, where: str, name: str) -> Gate:
    """A gate of one entry. Raises InputError for what is missing or impossible."""
    known = {"name", "expected", "tolerance", "rtol", "n", "limit", "relative", "two_sided"}
    if odd := sorted(map(str, entry.keys() - known)):
        raise InputError(f"{where}: {odd[0]} is not known; a gate has name, expected, tolerance (or rtol, a share of "
                         "expected), n (or limit), relative, two_sided")
    for one, other in (("tolerance", "rtol"), ("n", "limit")):
        if one in entry and other in entry:
            raise InputError(f"{where}: both {one} and {other}: give one")
    relative = entry.get("relative", "rtol" in entry or ("tolerance" not in entry and stated.relative))
    two_sided = entry.get("two_sided", stated.two_sided)
    if not (isinstance(relative, bool) and isinstance(two_sided, bool)):
        raise InputError(f"{where}: relative and two_sided are true or false")
    if "rtol" in entry and not relative:
        raise InputError(f"{where}: rtol is a share of expected, and relative is false: give tolerance")
    expected = _number(entry.get("expected", stated.expected), f"{where}: expected", 1.0)
    tolerance = _number(entry.get("tolerance", entry.get("rtol", stated.tolerance)), f"{where}: tolerance", 1.0)
    n = _number(entry.get("n", entry.get("limit", stated.n)), f"{where}: n", LARGEST_N)
    if n != int(n) or n < 1:
        raise InputError(f"{where}: n = {n:g}: how many questions are asked, a whole number of 1 or more")
    return Gate(name, expected, tolerance, int(n), relative, two_sided)


def _number(value, where: str, largest: float) -> float:
    flag = where.rpartition(" ")[2]
    if value is None:
        raise InputError(f"{where} is missing: write it there, or give --{flag} for all")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where} = {value!r} is not a number")
    if not 0 <= value <= largest:
        more = " (85 % is .85)" if largest == 1 else ""
        raise InputError(f"{where} = {value:g} must lie between 0 and {largest:,.0f}{more}")
    return value


MERGE = "tag:yaml.org,2002:merge"  # "<<: *other", which may be overridden


def _read_yaml(path: Path):
    try:
        import yaml
    except ImportError:
        raise InputError(f"{path}: reading YAML takes PyYAML: pip install 'llm-accuracy[yaml]', or write "
                         "JSON") from None

    class Loader(yaml.SafeLoader):
        """A key given twice is an error: one of its values would be lost. So is 0250, which YAML reads as 168, and
        1:30, which it reads as 90."""

        def construct_yaml_int(self, node):
            text = self.construct_scalar(node)
            if re.fullmatch(r"[-+]?0[0-9_]+|.*:.*", text):
                raise ValueError(f"line {node.start_mark.line + 1}: {text} is not a number as one writes it")
            return super().construct_yaml_int(node)

        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != MERGE]
            twice = next((key for key in keys if keys.count(key) > 1), None)
            if twice is not None:
                raise ValueError(f"the key {str(twice)[:60]} is given twice, line {node.start_mark.line + 1}")
            return super().construct_mapping(node, deep)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    try:
        with reading(path, "YAML file") as stream:
            return yaml.load(stream.read().decode(), Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable YAML file ({' '.join(str(error).split())})") from None
