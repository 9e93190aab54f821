"""FAQ's hyperparameters, and the error rate of all intervals."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import InputError

ALPHA = 0.05  # the nominal coverage of every interval is 1 − α


@dataclass(frozen=True)
class Setting:
    """FAQ's hyperparameters (arXiv 2601.20251).

    beta0  exponent of the scores: 1 = trust them fully, 0 = uniform
    rho    share of the budget during which scores still favour learning about the model
    gamma  share of the budget over which the exponent grows to beta0
    tau    share of every draw that is uniform over the questions
    """

    beta0: float = 1.0
    rho: float = 0.0
    gamma: float = 0.0
    tau: float = 0.05

    def __post_init__(self):
        if not (0 <= self.beta0 <= 1 and 0 < self.tau <= 1 and 0 <= self.rho < math.inf and 0 <= self.gamma < math.inf):
            raise InputError(f"setting {self.key}: needs 0 <= beta0 <= 1, rho >= 0, gamma >= 0, 0 < tau <= 1")

    @property
    def key(self) -> str:
        return f"beta0={self.beta0}_rho={self.rho}_gamma={self.gamma}_tau={self.tau}"

    @property
    def depends_on_budget(self) -> bool:
        """Whether α_s or β_s depends on s/T: if so, every budget needs its own trajectory."""
        return self.rho > 0 or self.gamma > 0

    @staticmethod
    def parse(key: str) -> Setting:
        """The setting of a key. Raises InputError unless `key` is written like beta0=1.0_rho=0.0_gamma=0.0_tau=0.05."""
        match = re.fullmatch(r"beta0=([^_]+)_rho=([^_]+)_gamma=([^_]+)_tau=([^_]+)", key)
        try:
            if match is None:
                raise ValueError
            return Setting(*(float(part) for part in match.groups()))
        except ValueError:
            raise InputError(f"setting {key!r}: write it as {Setting().key}") from None


DEFAULT_SETTING = Setting()
ROUNDS_SETTING = Setting(tau=0.1)  # of growing rounds: of a setting they use τ only
MIXTURE_SETTING = Setting(tau=0.25)  # of the policies whose prior is the history itself; needs no tuning
