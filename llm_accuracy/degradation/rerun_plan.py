"""A plan from a pilot with reruns: how many items, and how many runs of each, as printed and as written."""

from __future__ import annotations

from ..claims import ANSWERS, QUESTIONS, WORDS
from .defaults import check_numbers
from .pairing import Pairs
from .plans import Known, reruns_table
from .reruns import Noise, split_noise
from .words import as_json, note_text, percent


class RerunPlan:
    """`known` n, drop and power, one of them `unknown`; of a pilot with at least two runs of both models."""

    def __init__(self, pairs: Pairs, noise: Noise, known: Known, unknown: str, alpha: float):
        check_numbers(n=known["n"] or 1, drop=known["drop"] or 0.0, target=known["power"] or 0.5, alpha=alpha)
        self.noise, self.items, self.alpha, self.unknown = noise, pairs.size, alpha, unknown
        self.known = {name: value for name, value in known.items() if name != "flip"}
        self.table = reruns_table(known, unknown, noise, alpha)
        assert pairs.answers is not None
        self.runs = min(one.shape[1] for one in pairs.answers)
        self.notes = list(pairs.notes)
        if pairs.clusters is not None:
            self.notes.append("the pilot's items come in clusters; the plan treats them as independent and so asks for "
                              "too few")

    @property
    def n(self) -> int:
        """Items for as many runs as planned for that the pilot has, at most, for the claim on new questions."""
        if self.unknown != "n":
            return int(self.known["n"] or 0)
        rows = self.table[self.table["runs"] <= self.runs]
        return int(rows["questions"].iloc[-1])

    def text(self) -> str:
        given = [f"{self.known['n']:,} items" if self.known["n"] else "",
                 f"a drop of {100 * self.known['drop']:.4g} points" if self.known["drop"] else "",
                 f"power {percent(self.known['power'])}" if self.known["power"] else ""]
        what = {"n": "items", "drop": "smallest drop, in points", "power": "power"}[self.unknown]
        told = " and ".join(filter(None, given))
        lines = [f"{what.capitalize()}, for {told} at error rate {percent(self.alpha)}:", "",
                 f"  {'runs of each':>12}{WORDS[QUESTIONS]:>28}{WORDS[ANSWERS]:>25}"]
        lines += [f"  {int(row['runs']):>12,}{self._shown(row['questions']):>28}{self._shown(row['answers']):>25}"
                  for row in self.table.to_dict("records")]
        total = self.noise.answers + self.noise.items
        share = f" ({percent(round(self.noise.answers / total, 3))} of it)" if total > 0 else ""
        lines += ["", note_text(f"variance of an item's difference in the pilot of {self.items:,} items: answers "
                                f"{self.noise.answers:.3g} of one run each{share}, items {self.noise.items:.3g}; more "
                                "runs of an item reduce the first only"),
                  note_text("by the normal approximation, for the test of averaged runs")]
        return "\n".join([*lines, *map(note_text, self.notes)])

    def _shown(self, value: float) -> str:
        if self.unknown == "n":
            return f"{int(value):,}"
        return f"{100 * value:.3g}" + ("%" if self.unknown == "power" else "")

    def to_json(self) -> str:
        return as_json({**self.known, "unknown": self.unknown, "alpha": self.alpha, "answer_noise": self.noise.answers,
                        "item_noise": self.noise.items, "pilot_items": self.items, "pilot_runs": self.runs,
                        "table": self.table.to_dict("records"), "notes": self.notes})


def rerun_plan(pairs: Pairs, known: Known, unknown: str, alpha: float) -> RerunPlan | None:
    """None unless every item of the pilot has two runs of both models."""
    noise = None if pairs.answers is None else split_noise(*pairs.answers)
    return None if noise is None else RerunPlan(pairs, noise, known, unknown, alpha)
