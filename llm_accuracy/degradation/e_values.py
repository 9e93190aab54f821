"""Watch a comparison while it runs: e-values that may be inspected after every item (arXiv 2602.10144).

Stopping as soon as a p-value is small rejects far too often. An e-value may be inspected at any time: under
its null it ever reaches 1/α with probability at most α (Ville). Two are kept, on 0/1 scores, b items
lost and c gained by the candidate, m = b + c:

    worse   H0: P(baseline right | they differ) ≤ ½.  E = 2^(m+1)·Beta(b+1, c+1)·P[Be(b+1, c+1) > ½], the
            likelihood ratio against q = ½, averaged over q uniform on (½, 1).
    safe    H0: drop ≥ margin.  The capital Π_i (1 + λ(margin − d_i)), d_i = baseline − candidate, of someone
            who bets that the drop is smaller; averaged over λ in (0, 1/(1 − margin)).

The answer is about the population that the items come from, in random order (`order`): sorted by task, a bank with
a net drop of 0 raises a false alarm in up to every run. For one finite bank the E are not exactly e-values (for a
bank {lost, gained} in random order, stopping at the first loss gives a mean of 1.083): for an answer about that bank,
finish it and test it with `pair`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, logsumexp

from .defaults import ALPHA, MARGIN, check_alpha, check_share
from .mcnemar import at_least
from .verdicts import DEGRADED, NOT_DEGRADED, UNDECIDED

BETS = 0.5 ** np.arange(1, 11)  # λ as shares of the largest one that cannot lose everything


def log_e_worse(b, c):
    """ln E of H0 q ≤ ½ against the uniform mixture over q > ½; b and c elementwise."""
    b, c = np.asarray(b, float), np.asarray(c, float)
    m = b + c
    with np.errstate(divide="ignore"):  # an e-value too small for a float is 0
        # P[Be(b + 1, c + 1) > ½] = P[Bin(m + 1, ½) ≤ b]
        return (m + 1) * np.log(2) + betaln(b + 1, c + 1) + np.log(at_least(c + 1, b))


def log_capital(n, b, c, margin: float, bet: float):
    """ln Π(1 + λ(margin − d_i)) of one bet λ over n items of which b are lost and c gained."""
    same = np.subtract(n, np.add(b, c))
    return (np.multiply(b, np.log1p(bet * (margin - 1))) + np.multiply(c, np.log1p(bet * (margin + 1)))
            + np.multiply(same, np.log1p(bet * margin)))


def log_e_safe(n, b, c, margin: float):
    """ln E of H0 drop ≥ margin: the capital averaged over `BETS`; n, b and c elementwise, 0 < margin < 1."""
    bets = BETS / (1 - margin)
    return logsumexp([log_capital(n, b, c, margin, bet) for bet in bets], axis=0) - np.log(bets.size)


@dataclass
class Watch:
    """Counts and e-values so far. `verdict` is the first one reached, and stays: both errors are at most alpha
    however often one looks. p-values valid at any time are 1/(the largest e-value so far).

    n        items so far, of which `missing` were answered by one of the two only
    b, c     items lost and gained by the candidate, of those that both answered
    against  missing items that are lost if they count against the candidate, as "safe" requires
    """

    margin: float = MARGIN
    alpha: float = ALPHA
    n: int = 0
    b: int = 0
    c: int = 0
    missing: int = 0
    against: int = 0
    e_worse: float = 1.0
    e_safe: float = 1.0
    largest_worse: float = 1.0
    largest_safe: float = 1.0
    verdict: str = UNDECIDED
    decided_at: int | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_share(self.margin)

    def add(self, baseline: float, candidate: float, passed: tuple[int, int] = (0, 0)) -> None:
        """One more item, scores 0 or 1, higher is better; NaN = missing, in one of the two at most. `passed`: how
        many items one of the two has passed over so far, and how many of them are lost at worst; "safe" counts these
        until they come."""
        self.n += 1
        if np.isnan(baseline) or np.isnan(candidate):
            self.missing += 1
            self.against += int((np.isnan(baseline) or baseline == 1) and (np.isnan(candidate) or candidate == 0))
        else:
            self.b += int(baseline > candidate)
            self.c += int(candidate > baseline)
        # Above e^600 the number would overflow, and nothing is left to decide.
        self.e_worse = float(np.exp(min(log_e_worse(self.b, self.c), 600)))
        n, lost = self.n + passed[0], self.b + self.against + passed[1]
        self.e_safe = float(np.exp(min(log_e_safe(n, lost, self.c, self.margin), 600)))
        self.largest_worse = max(self.largest_worse, self.e_worse)
        self.largest_safe = max(self.largest_safe, self.e_safe)
        if self.verdict == UNDECIDED:
            if self.e_worse >= 1 / self.alpha:
                self.verdict, self.decided_at = DEGRADED, self.n
            elif self.e_safe >= 1 / self.alpha:
                self.verdict, self.decided_at = NOT_DEGRADED, self.n

    @property
    def within_margin(self) -> bool:
        """Whether a drop of the margin or more was excluded, whatever the verdict."""
        return self.largest_safe >= 1 / self.alpha
