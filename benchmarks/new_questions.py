"""Few answers and new questions like these: errors of the verdicts over banks that are drawn, and questions they take.

    python benchmarks/new_questions.py nulls --rows 2000                   errors where the null is true: half an hour
    python benchmarks/new_questions.py power smollm2_blimp.csv.gz          questions to 80 %, of both claims: minutes

nulls: banks of questions that are right with probability .7 before, with margins, are drawn from a population whose
drop is the margin (then "not degraded" is wrong) or 0 (then "degraded" is); the candidate is asked in rounds, up to the
whole bank. Told are the shares of runs that ever said the wrong thing, by the e-value for new questions and by that for
the bank, which claims nothing about new questions. power: a bank of real margins, flips as noise beside them, no drop.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory
from few_answers import margin_bank

from llm_accuracy import cli
from llm_accuracy.degradation.few_answers import betting, curves, population, simulation
from llm_accuracy.degradation.few_answers.run import Run, round_sizes
from llm_accuracy.errors import InputError

ALPHA, RIGHT = 0.05, 0.7
AT_ONCE = 100  # runs on one bank's baseline; the candidate's answers differ from run to run
SIZES = ((150, 0.03), (600, 0.02))  # questions, margin
PLACES = ("losses alone", "anywhere, 4 % gained", "anywhere, 15 % gained", "thin margins", "thick margins", "one task")


def flips(place: str, x: np.ndarray, margins: np.ndarray, task: np.ndarray, drop: float) -> tuple[np.ndarray, ...]:
    """(P(lost), P(gained)) of every question, of a population whose drop is `drop`."""
    gained = {"losses alone": 0.0, "anywhere, 15 % gained": 0.15}.get(place, 0.04)
    if drop == 0 and place == "losses alone":
        gained = 0.005
    lost = np.full(x.size, (drop + gained) / RIGHT)
    up = np.full(x.size, gained / (1 - RIGHT))
    if place == "thin margins":     # half of all questions are thin: twice as often there, never elsewhere
        lost, up = (2 * one * (margins < np.log(2)) for one in (lost, up))
    elif place == "thick margins":  # losses only
        lost = 2 * lost * (margins >= np.log(2))
    elif place == "one task":       # losses in a fifth of the questions only
        lost = 5 * lost * task
    return x * lost, (1 - x) * up


def null(place: str, n: int, margin: float, drop: float, rows: int, seed: int) -> dict:
    """Runs on banks that are drawn anew for every AT_ONCE of them."""
    rng = np.random.default_rng([seed, n, PLACES.index(place)])
    said = {"new questions": 0, "bank": 0}
    for _ in range(0, rows, AT_ONCE):
        x, margins = (rng.random(n) < RIGHT).astype(float), rng.standard_exponential(n)
        lost, gained = flips(place, x, margins, np.arange(n) < n // 5, drop)
        chance = rng.random((AT_ONCE, n))
        d = (chance < lost).astype(float) - (chance > 1 - gained)
        known = curves.Known(x, margins)
        run = Run(known, curves.default_library(known), AT_ONCE, rng)
        wrong = np.zeros(AT_ONCE, bool)
        for size in round_sizes(n, n):
            asked = run.ask(size)
            run.answer(np.take_along_axis(d, asked, 1))
            log_e = population.log_e(population.Rounds(run), margin if drop else 0.0, 1 if drop else -1)
            wrong |= log_e >= -np.log(ALPHA)
        draws = betting.Draws.of(run)
        of_bank = betting.log_e_safe(draws, margin) if drop else betting.log_e_worse(draws, margin)
        said["new questions"] += int(wrong.sum())
        said["bank"] += int((of_bank >= -np.log(ALPHA)).any(1).sum())
    runs = -(-rows // AT_ONCE) * AT_ONCE
    return {"n": n, "margin": margin, "drop": drop, "flips fall": place, "runs": runs,
            **{name: count / runs for name, count in said.items()}}


def power(path: Path, rows: int, seed: int, rates: list[float], margins: list[float]) -> list[dict]:
    """Questions after which 80 % of the runs say "not degraded", of the bank and of new questions; inf: never."""
    known, found = margin_bank(path)[0], []
    for flip in rates:
        for margin in margins:
            rng = np.random.default_rng([seed, known.size])
            d = known.scores - simulation.candidate_like(known, flip, 0, rng, simulation.THIN)
            run = Run(known, curves.default_library(known), rows, np.random.default_rng(seed))
            stops = {"bank": np.full(rows, np.inf), "new questions": np.full(rows, np.inf)}
            for size in round_sizes(known.size, known.size, growth=1.1):
                run.answer(d[run.ask(size)])
                reached = {"bank": betting.log_e_safe(betting.Draws.of(run), margin).max(1),
                           "new questions": population.log_e(population.Rounds(run), margin)}
                for name, log_e in reached.items():
                    stops[name] = np.where((log_e >= -np.log(ALPHA)) & np.isinf(stops[name]), run.asked, stops[name])
                if np.isfinite(stops["new questions"]).mean() >= 0.8:
                    break
            found.append({"n": known.size, "flips": flip, "margin": margin, "runs": rows,
                          **{name: float(np.sort(at)[int(np.ceil(0.8 * rows)) - 1]) for name, at in stops.items()}})
            print(found[-1], flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(__doc__)
    parser.add_argument("part", choices=("nulls", "power"))
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="power: a table of margins")
    parser.add_argument("--rows", type=cli.at_least(1), default=None, help="runs of a cell (nulls 2000, power 40)")
    parser.add_argument("--flips", nargs="+", type=float, default=[0.009, 0.02, 0.04], help="power: rates")
    parser.add_argument("--margins", nargs="+", type=float, default=[0.01, 0.02], help="power: margins")
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    options = parser.parse_args(argv)
    if options.part == "power":
        if options.file is None:
            raise InputError("power: name a FILE")
        rows = power(options.file, options.rows or 40, options.seed, options.flips, options.margins)
    else:
        rows = []
        for n, margin in SIZES:
            for drop in (margin, 0.0):
                for place in PLACES:
                    rows.append(null(place, n, margin, drop, options.rows or 2000, options.seed))
                    print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_string(index=False))
    return 0


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
