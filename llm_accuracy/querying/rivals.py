"""Strong rivals from survey sampling: what a history buys without choosing questions. One record each.

They draw without replacement, with probabilities that no answer changes (two-batch: none of its own batch), and have
intervals of their own. A record registered here is known to baselines_all.py (--policies), to the logs, and so to
tables and figures:

    register(Rival("mine", "my rival", lambda scores, budget, uniforms, history: Found(Estimate(…), asked)))

With N questions, T asked, scores z, and m_j the history's mean score of question j:

    stratified   T/2 strata of equal size by m, two questions of each:   θ̂ = Σ (N_h/N) z̄_h
    difference   T random questions:                                     θ̂ = m̄ + mean of (z − m)
    greg         T random questions teach a ridge regression f of z on the history's leading components:
                                                                         θ̂ = mean of f over the bank + mean of (z − f)
    two-batch    the first half of T stratified, teaching f; then the other half stratified by f, with the differences
                 to f; the two estimates weighed as growing rounds are (`round_estimates`)
    ppi++        T random questions, by the package ppi_py where it is installed:
                                                                         θ̂ = z̄ + λ (mean of m of the others − m̄ asked)

The module is light: `rival_estimates` has the formulas and is imported when they are needed.

Sources: Cochran, Sampling Techniques (1977), chapters 5 and 7; Särndal, Swensson & Wretman, Model Assisted Survey
Sampling (1992), chapter 6; Angelopoulos, Duchi & Zrnic, PPI++ (arXiv 2311.01453).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import InputError
from ..lazy import given
from .policies import POLICIES, WALKING

if TYPE_CHECKING:
    import numpy as np

    from .rival_estimates import Found, History

    # (scores (rows, N), T, uniforms (rows, N) in [0, 1), History) → Found
    Estimating = Callable[[np.ndarray, int, np.ndarray, History], Found]

SRS = "srs"  # simple random sampling, which is in every table


@dataclass(frozen=True)
class Rival:
    """name      on the command line and in the logs
    label     in tables and figures
    estimate  itself, or as ".module:name" of this room
    least     the fewest questions that it can judge
    variance  the logs' word for what its interval rests on
    needs     (module, distribution) of a package that only it needs; where that is not installed, it is not run
    """

    name: str
    label: str
    estimate: Estimating | str
    least: int = 2
    variance: str = "design"
    needs: tuple[str, str] | None = None

    @property
    def installed(self) -> bool:
        """Whether it can be run here."""
        return self.needs is None or find_spec(self.needs[0]) is not None

    def check(self) -> None:
        """Raises InputError where it cannot be run."""
        if not self.installed:
            raise InputError(f"{self.name} {self.lacks}")

    @property
    def lacks(self) -> str:
        """What is said where it cannot be run."""
        package = self.needs[1] if self.needs else ""
        return f"needs {package}, which is not installed: pip install {package}"

    def of(self, scores: np.ndarray, budget: int, uniforms: np.ndarray, history: History) -> Found:
        """What it says of each row of scores (rows, N) after `budget` questions, chosen by uniforms (rows, N).

        Raises InputError where it is not installed.
        """
        self.check()
        return given(self.estimate, __package__)(scores, budget, uniforms, history)


RIVALS: dict[str, Rival] = {}


def register(rival: Rival) -> Rival:
    """Make a rival known everywhere. Raises InputError if a method of that name is known already."""
    if rival.name == SRS or any(rival.name in known for known in (RIVALS, POLICIES, WALKING)):
        raise InputError(f"rival {rival.name!r}: a method of that name is registered already")
    RIVALS[rival.name] = rival
    return rival


register(Rival("stratified", "stratified", ".rival_estimates:stratified"))
register(Rival("difference", "difference", ".rival_estimates:difference"))
register(Rival("greg", "regression", ".rival_estimates:greg", least=3, variance="left-out"))
register(Rival("two-batch", "two batches", ".rival_estimates:two_batch", least=6))
register(Rival("ppi++", "PPI++", ".rival_estimates:ppi", least=3, variance="ppi", needs=("ppi_py", "ppi-python")))


def installed() -> list[str]:
    """The names of those that can be run here."""
    return [name for name, rival in RIVALS.items() if rival.installed]
