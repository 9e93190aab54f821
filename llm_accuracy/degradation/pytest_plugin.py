"""The pytest fixture `assert_not_degraded`, registered when the package is installed."""

from __future__ import annotations

import pytest


@pytest.fixture
def assert_not_degraded():
    """`checks.assert_not_degraded(baseline, candidate, margin="1pt", …)`."""
    from .checks import assert_not_degraded

    return assert_not_degraded
