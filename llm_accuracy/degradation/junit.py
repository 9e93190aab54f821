"""Verdicts as JUnit XML, which CI systems show as tests. Imports next to nothing.

A test case is a candidate. It fails where the gate does (`--fail-on`; where none is given, if the candidate is
degraded); an undecided one that does not fail is skipped, with the verdict as the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from ..visible import visible
from .verdicts import DEGRADED, UNDECIDED, fails

# What XML 1.0 cannot hold, lone surrogates among them.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One candidate: its name, verdict, the line that says it, and the whole report."""

    name: str
    verdict: str
    within_margin: bool
    headline: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """One test case, judged: whether it failed or was skipped, and of which kind a failure is."""

    name: str
    failed: bool
    skipped: bool
    kind: str
    headline: str
    text: str


def junit(suite: str, cases: Iterable[Case], condition: str | None) -> str:
    """The XML of the cases, under the name of what was run."""
    outcomes = []
    for case in cases:
        failed = fails(case.verdict, case.within_margin, condition or DEGRADED)
        outcomes.append(Outcome(case.name, failed, case.verdict == UNDECIDED and not failed, case.verdict,
                                case.headline, case.text))
    return written(suite, outcomes)


def written(suite: str, outcomes: Sequence[Outcome]) -> str:
    """The same of cases that are judged."""
    counts = {"tests": len(outcomes), "failures": sum(one.failed for one in outcomes), "errors": 0,
              "skipped": sum(one.skipped for one in outcomes)}
    root = ElementTree.Element("testsuites")
    of_all = ElementTree.SubElement(root, "testsuite", {"name": _xml(suite), **{k: str(v) for k, v in counts.items()}})
    for case in outcomes:
        one = ElementTree.SubElement(of_all, "testcase", {"classname": _xml(suite), "name": _xml(case.name)})
        if case.failed:
            found = ElementTree.SubElement(one, "failure", {"type": case.kind, "message": _xml(case.headline)})
            found.text = _xml(case.text)
        elif case.skipped:
            ElementTree.SubElement(one, "skipped", {"message": _xml(case.headline)})
        ElementTree.SubElement(one, "system-out").text = _xml(case.text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ['<?xml version="1.0" encoding="UTF-8"?>\n', "\n"])


def _xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", visible(text, keep="\n"))
