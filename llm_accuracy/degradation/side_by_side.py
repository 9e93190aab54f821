"""The candidates of a large suite, judged in several processes; the results are those of one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..scores.workers import judge_in_order
from .pair_tests import OWN, TESTS
from .pairing import Pairs
from .suite import SuiteResult, judge_suite

WORTH_IT = 400  # pairs of a suite; judging them takes about ten seconds, starting a process two


def judge_all(suites: Mapping[str, list[Pairs]], margins: Mapping[str, float], **settings: Any
              ) -> dict[str, SuiteResult]:
    """{candidate: `judge_suite` of its pairs, with its margin}, with a progress bar if there are many pairs.

    A test that was registered is known to this process only: then all are judged here."""
    works = [(suite, {**settings, "margin": margins[name]}) for name, suite in suites.items()]
    large = sum(map(len, suites.values())) >= WORTH_IT
    results = judge_in_order(_judge, works, large, alone=TESTS.keys() != OWN)
    return dict(zip(suites, results, strict=True))


def _judge(suite: list[Pairs], settings: dict[str, Any]) -> SuiteResult:
    return judge_suite(suite, **settings)
