"""Did it get worse? One run of `degradation.few_answers`, made from its log: what is known of the baseline, and
the candidate's answers as they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..degradation.few_answers import replay
from ..degradation.few_answers.curves import Curves, Known
from ..errors import InputError
from ..files import DAMAGED, atomic, check_zip
from .bank import Bank, digest
from .query_log import QueryLog
from .recorded import Recorded

DECIDED = "the verdict is decided"


@dataclass(frozen=True)
class PairedPlan(replay.Plan):
    """`replay.Plan`, and after how many minutes no further round is begun."""

    max_minutes: float | None = None

    def check(self, n_questions: int) -> None:
        """Raises InputError for what no command line gives, of a bank of so many questions."""
        if not (1 <= self.budget <= n_questions and 0 < self.margin < 0.5 and 0 < self.share <= 1 and self.seed >= 0
                and (self.max_minutes or 0) >= 0):
            raise InputError(f"no plan of a run on {n_questions:,} questions: {self}")

    @property
    def watched(self) -> bool:
        """The verdict holds whenever one stops."""
        return True


@dataclass(frozen=True, eq=False)
class Baseline:
    """What is known before the candidate is asked: `known` of the bank's questions, in its order, the library of
    curves, and whether a higher score is better."""

    known: Known
    library: Curves
    higher_is_better: bool = True

    def save(self, path: Path) -> None:
        arrays = {"scores": self.known.scores, "down": self.library.down, "up": self.library.up,
                  "prior": self.library.prior, "names": np.array(self.library.names),
                  "higher_is_better": np.array(self.higher_is_better), "runs": np.array(self.known.runs)}
        arrays |= {name: column for name in ("margins", "difficulty")
                   if (column := getattr(self.known, name)) is not None}
        with atomic(path, "wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    @staticmethod
    def load(path: Path) -> Baseline:
        """Raises InputError for a file that is none."""
        check_zip(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            library = Curves(arrays["down"], arrays["up"], arrays["prior"], tuple(arrays["names"].tolist()))
            known = Known(arrays["scores"], arrays.get("margins"), arrays.get("difficulty"),
                          int(arrays["runs"]))
            if any(arrays[name].shape or arrays[name].dtype.kind != kind
                   for name, kind in (("higher_is_better", "b"), ("runs", "i"))):
                raise ValueError("its runs or its direction are none")
            made = Baseline(known, library, bool(arrays["higher_is_better"]))
            made._check()
            return made
        except DAMAGED as error:
            raise InputError(f"{path}: no baseline of a run ({error}); restore the file") from None

    def _check(self) -> None:
        """Raises ValueError for arrays that `save` does not write."""
        scores, curves = self.known.scores, self.library
        size, many = scores.size, (len(curves.names), scores.size)
        right = {"scores": scores.shape == (size,) and size and _within(scores),
                 "margins": (found := self.known.margins) is None or (found.shape == (size,) and found.dtype.kind == "f"
                                                                      and not np.isnan(found).all()),
                 "difficulty": (found := self.known.difficulty) is None or (found.shape == (size,) and _within(found)),
                 "down": curves.down.shape == many and _within(curves.down),
                 "up": curves.up.shape == many and _within(curves.up),
                 "prior": curves.prior.shape == many[:1] and _within(curves.prior) and (curves.prior > 0).all(),
                 "runs": self.known.runs >= 1}
        if wrong := [name for name, fine in right.items() if not fine]:
            raise ValueError(f"its {wrong[0]} are none")

    def fingerprints(self) -> dict[str, str | None]:
        """Of its parts, by the name that a message gives them."""
        curves = np.concatenate([self.library.down.ravel(), self.library.up.ravel(), self.library.prior])
        return {"the baseline's scores": digest(self.known.scores),
                "the baseline's margins": digest(self.known.margins),
                "the questions' difficulty": digest(self.known.difficulty), "the curves": digest(curves),
                "the curves' names": digest(np.array(self.library.names)),
                "the baseline's runs and direction": digest(np.array([self.known.runs, self.higher_is_better]))}


def _within(array: np.ndarray) -> bool:
    """Whether it holds numbers in [0, 1] and nothing else."""
    return array.dtype.kind == "f" and bool(((array >= 0) & (array <= 1)).all())


class PairedAsking(Recorded):
    """The comparison that a log has recorded, ready to go on; `paired` is the run of the design.

    Raises InputError where the log was not made of this bank, this baseline and this plan.
    """

    plan: PairedPlan
    elsewhere = "to the baseline"
    other_words = "the difference between the answers may be one between prompts"

    def __init__(self, bank: Bank, baseline: Baseline, plan: PairedPlan, log: QueryLog, audit: bool = False):
        super().__init__(bank, plan, log)
        self.baseline = baseline
        self.paired = replay.begun(baseline.known, baseline.library, plan)
        self.sizes = replay.sizes(plan, bank.size)
        self.decided: int | None = None  # questions asked when it was
        self.least: float | None = None  # questions that "not degraded" takes at least, where it has been computed
        self._in_flight: list[str] = []
        self._judged: replay.Judged | None = None
        self._found: dict[str, Any] | None = None  # by the rounds that are answered
        self._replay(audit)

    def draw(self) -> dict[str, Any]:
        if self.round >= len(self.sizes):
            return {"questions": []}
        asked = self.paired.ask(self.sizes[self.round])[0]
        self.round += 1
        drawn = self.paired.rounds[-1]
        self._in_flight = self.bank.questions[asked].tolist()
        return {"round": self.round, "questions": list(self._in_flight), "p": drawn.p[0].tolist(),
                "probability": drawn.q[0].tolist(), "expected": drawn.known[0].tolist()}

    @property
    def outstanding(self) -> list[str]:
        return [question for question in self._in_flight if question not in self.answers]

    def told(self, question: str, score: float) -> None:
        """An answer counts when its round is answered."""
        if question not in self._in_flight:
            raise InputError(f"{self.log.path}: an answer to {question!r}, which its round has not asked")
        if not self.outstanding:
            scores = np.array([self.answers[name] for name in self._in_flight])
            asked = self.paired.rounds[-1].asked[0]
            oriented = scores if self.baseline.higher_is_better else 1 - scores
            self.paired.answer((self.baseline.known.scores[asked] - oriented)[None])
            self._judge()

    def _judge(self) -> None:
        self._judged = replay.judged(self.paired, self.plan, self._judged)
        self.decided = replay.since(self.decided, self.paired, self._judged)
        self._found = replay.found_by(self.paired, self.baseline.library, self.plan, self._judged, self.decided)

    def finding(self) -> dict[str, Any] | None:
        """What the rounds that are answered say (`replay.found_by`); None before the first."""
        return self._found

    def seen(self) -> dict[str, Any] | None:
        names = ("asked", "drop", "ci_low", "ci_high", "p_safe", "p_worse", "lost", "gained", "verdict")
        return None if self._found is None else {name: self._found[name] for name in names}

    def enough(self) -> str | None:
        return DECIDED if self.plan.stop and self.decided is not None else None


def by_hand(asking: PairedAsking) -> float | None:
    """The drop from nothing but the log and the baseline's scores: θ̂ = Σ a_t φ_t/N, a_t ∝ 1/(n_t (n_t − 1)),
    φ_t = Σ_asked d + Σ_open p + (d − p)/q, over the rounds that are answered. None where no round is."""
    scores = dict(zip(asking.bank.questions.tolist(), asking.baseline.known.scores.tolist(), strict=True))
    total, weights, phis, left = 0.0, [], [], asking.bank.size
    for record in asking.logged:
        if any(question not in asking.answers for question in record["questions"]):
            break
        for question, p, q, expected in zip(record["questions"], record["p"], record["probability"],
                                            record["expected"], strict=True):
            answer = asking.answers[question]
            d = scores[question] - (answer if asking.baseline.higher_is_better else 1 - answer)
            phis.append(total + expected + (d - p) / q)
            weights.append(float("inf") if left == 1 else 1 / (left * (left - 1)))
            total, left = total + d, left - 1
    if not phis:
        return None
    if left == 0:
        return phis[-1] / asking.bank.size
    return float(np.dot(weights, phis) / sum(weights) / asking.bank.size)
