"""Watch a comparison while it runs: e-values that may be looked at after every item (arXiv 2602.10144).

Peeking at a p-value and stopping when it is small rejects far too often. An e-value may be peeked at: under
its null it reaches 1/α at any time with probability at most α (Ville). Two are kept, on 0/1 scores, b items
lost and c gained by the candidate, m = b + c:

    worse   H0: P(baseline right | they differ) ≤ ½.  E = 2^(m+1)·Beta(b+1, c+1)·P[Be(b+1, c+1) > ½], the
            likelihood ratio against q = ½, averaged over q uniform on (½, 1).
    safe    H0: drop ≥ margin.  The capital Π_i (1 + λ(margin − d_i)), d_i = baseline − candidate, of one who
            bets that the drop is smaller; averaged over λ in (0, 1/(1 − margin)).

The question answered is about the population that the items come from, in an order that is random or was
fixed before. For one finite bank the E are not exactly e-values (for a bank {lost, gained} in random order,
stopping at the first loss gives a mean of 1.083): run to its end and test with `pair` for an answer about
that bank.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import betaln, logsumexp

from .errors import InputError
from .eval_logs import Choices, read_sample, sample_direction, score_number
from .paired import DEGRADED, NOT_DEGRADED, UNDECIDED

BETS = 0.5 ** np.arange(1, 11)  # λ as shares of the largest one that cannot lose everything


def log_e_worse(b, c):
    """ln E of H0 q ≤ ½ against the uniform mixture over q > ½; b and c elementwise."""
    b, c = np.asarray(b, float), np.asarray(c, float)
    m = b + c
    with np.errstate(divide="ignore"):  # an e-value too small for a float is 0
        # P[Be(b + 1, c + 1) > ½] = P[Bin(m + 1, ½) ≤ b]
        return (m + 1) * np.log(2) + betaln(b + 1, c + 1) + stats.binom.logcdf(b, m + 1, 0.5)


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
    """Counts and e-values so far. `verdict` is the first that was shown, and stays: both errors at most alpha
    however often one looks; p-values valid at any time are 1/(the largest e-value so far)."""

    margin: float = 0.01
    alpha: float = 0.05
    n: int = 0
    b: int = 0
    c: int = 0
    e_worse: float = 1.0
    e_safe: float = 1.0
    largest_worse: float = 1.0
    largest_safe: float = 1.0
    verdict: str = UNDECIDED
    decided_at: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise InputError(f"alpha = {self.alpha} must lie between 0 and .5")
        if not 0 < self.margin < 1:
            raise InputError(f"margin = {self.margin} must lie between 0 and 1")

    def add(self, baseline: float, candidate: float) -> None:
        """One more item, scores 0 or 1, higher is better."""
        self.n += 1
        self.b += int(baseline > candidate)
        self.c += int(candidate > baseline)
        # Above e^600 the number would overflow, and nothing is left to decide.
        self.e_worse = float(np.exp(min(log_e_worse(self.b, self.c), 600)))
        self.e_safe = float(np.exp(min(log_e_safe(self.n, self.b, self.c, self.margin), 600)))
        self.largest_worse = max(self.largest_worse, self.e_worse)
        self.largest_safe = max(self.largest_safe, self.e_safe)
        if self.verdict == UNDECIDED:
            if self.e_worse >= 1 / self.alpha:
                self.verdict, self.decided_at = DEGRADED, self.n
            elif self.e_safe >= 1 / self.alpha:
                self.verdict, self.decided_at = NOT_DEGRADED, self.n


# ---- items as they arrive ----------------------------------------------------------------------------------

Item = tuple[str, float, float]  # prompt id, baseline's score, candidate's score


def read_stream(lines: Iterable[str], name: str) -> Iterator[Item | None]:
    """Items of JSON lines {"prompt_id": …, "baseline": …, "candidate": …}; None for one without a score.

    Raises InputError, with the line, for anything else and for a prompt_id given twice.
    """
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}: line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error})") from None
        if not isinstance(record, dict) or not {"prompt_id", "baseline", "candidate"} <= record.keys():
            raise InputError(f'{where}: expected {{"prompt_id": …, "baseline": 0, "candidate": 1}}')
        item = str(record["prompt_id"])
        if item in seen:
            raise InputError(f"{where}: prompt_id {item} came before; every item counts once")
        seen.add(item)
        scores = [_zero_one(record[key], f"{where}: {key}") for key in ("baseline", "candidate")]
        yield None if None in scores else (item, *scores)


def _zero_one(value, where: str) -> float | None:
    number = score_number(value, where)
    if np.isnan(number):
        return None
    if number not in (0.0, 1.0):
        raise InputError(f"{where} = {value!r}: watch takes scores of 0 or 1; use pair for others")
    return number


class Growing:
    """A score file that another process may still be writing: CSV, or samples of lm-evaluation-harness."""

    def __init__(self, path: Path | str, choices: Choices | None = None, task: str | None = None):
        self.path, self.choices, self.task = Path(path), choices or Choices(), task
        self.place, self.lines, self.header = 0, 0, None
        self.metric: tuple[str, str] | None = None
        self.scores: dict[str, float | None] = {}
        self.hashes: dict[str, dict] = {}
        if not self.path.is_file():
            raise InputError(f"{path}: no such file; watch reads one CSV or samples_<task>_<time>.jsonl a model")

    def higher_is_better(self) -> bool | None:
        """By the results file beside finished samples; None where nothing says so."""
        return sample_direction(self.path, self.metric[0]) if self.metric else None

    def read_new(self) -> list[str]:
        """The items of the whole lines that were added since the last call."""
        with self.path.open("rb") as file:
            file.seek(0, io.SEEK_END)
            if file.tell() < self.place:
                raise InputError(f"{self.path}: it became shorter while it was watched; start again")
            file.seek(self.place)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]  # a line without its end is still being written
        self.place += len(text)
        new = []
        for line in text.decode("utf-8", errors="replace").splitlines():
            self.lines += 1
            if line.strip():
                item = self._read_csv(line) if self.path.name.endswith(".csv") else self._read_sample(line)
                if item is not None:
                    new.append(item)
        return new

    def _read_csv(self, line: str) -> str | None:
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if self.header is None:
            self.header = [cell.lstrip("\ufeff").lower() for cell in cells]
            if not {"prompt_id", "score"} <= set(self.header) or {"run", "cluster"} & set(self.header):
                raise InputError(f"{self.path}: row 1: watch needs the columns prompt_id,score[,task] and takes no "
                                 f"runs or clusters; it has {','.join(self.header)}")
            return None
        if len(cells) != len(self.header):
            raise InputError(f"{self.path}: row {self.lines}: {len(cells)} cells under {len(self.header)} columns")
        row = dict(zip(self.header, cells, strict=True))
        if self.task and row.get("task", self.task) != self.task:
            return None
        item = row["prompt_id"] if self.task or "task" not in row else f"{row['task']}/{row['prompt_id']}"
        return self._keep(item, row["score"], {})

    def _read_sample(self, line: str) -> str | None:
        record, self.metric = read_sample(line, self.path, self.lines, self.choices, self.metric)
        if record is None:
            return None
        return self._keep(str(record["doc_id"]), record["score"], record)

    def _keep(self, item: str, value, hashes: dict) -> str:
        if item in self.scores:
            raise InputError(f"{self.path}: row {self.lines}: item {item} stands twice")
        self.scores[item] = _zero_one(value, f"{self.path}: row {self.lines}: score")
        self.hashes[item] = hashes
        return item


def follow(baseline: Growing, candidate: Growing, patience: float | None, interval: float = 1.0) -> Iterator[
        Item | None]:
    """Items of two growing files, as soon as both have them; None for one without a score.

    patience  seconds without news after which the files are taken to be complete; None: read once
    """
    last = time.monotonic()
    while True:
        before = set(baseline.scores)
        fresh = baseline.read_new()
        # In the order of the file that completes the pair.
        late = candidate.read_new()
        ready = [item for item in late if item in before] + [
            item for item in fresh if item in candidate.scores]
        for item in ready:
            for name in ("doc_hash", "target_hash"):
                hashes = [run.hashes[item].get(name) for run in (baseline, candidate)]
                if None not in hashes and hashes[0] != hashes[1]:
                    raise InputError(f"{baseline.path} and {candidate.path}: item {item}: another {name[:-5]}: not "
                                     "the same questions, so the runs cannot be paired")
            scores = baseline.scores[item], candidate.scores[item]
            yield None if None in scores else (item, *scores)
        if fresh or late:
            last = time.monotonic()
        if patience is None or time.monotonic() - last >= patience:
            return
        time.sleep(interval)
