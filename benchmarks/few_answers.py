"""Few answers of a candidate: error of the drop, coverage of intervals, and how soon a verdict is reached.

    python benchmarks/few_answers.py margins smollm2_blimp.csv.gz --rows 2000        real candidates, margins known
    python benchmarks/few_answers.py pair BASE.csv CAND.csv --history mmlu_pro.csv.gz --earlier B.csv C.csv
    python benchmarks/few_answers.py simulated smollm2_blimp.csv.gz --rows 2000      drops and flips of every size
    python benchmarks/few_answers.py reruns --rows 500             a further run of a baseline with four runs, made up
    python benchmarks/few_answers.py questions smollm2_blimp.csv.gz --rows 1000      to an 80 % decision

--output appends to a CSV. A cell of 2,000 runs on 2,680 questions takes a minute or two of one core. ESS is the
variance of paired simple random sampling without replacement over our mean squared error.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logsumexp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.degradation.few_answers import betting, curves, ease, simple_random, simulation
from llm_accuracy.degradation.few_answers.estimate import estimate
from llm_accuracy.degradation.few_answers.run import SHARE, Run, round_sizes
from llm_accuracy.errors import InputError

SHARES = (1, 2, 4, 10)  # fortieths of the bank: 2.5, 5, 10, 25 %
MARGIN, ALPHA = 0.01, 0.05
AT_ONCE = 100  # runs side by side
WATCHED = 0.5 ** np.arange(1, 11)  # bets of `watch` (degradation/e_values.py)


@dataclass(frozen=True, eq=False)
class Cell:
    """One candidate under one library: its name, what is known, its scores and the curves."""

    name: str
    known: curves.Known
    candidate: np.ndarray
    library: curves.Curves
    curve: str


def measure(cell: Cell, rows: int, seed: int) -> list[dict]:
    """One row for each budget."""
    d, n = cell.known.scores - cell.candidate, cell.known.size
    drop, budgets = float(d.mean()), [n * share // 40 for share in SHARES]
    parts: dict[int, list[np.ndarray]] = {budget: [] for budget in budgets}
    for first in range(0, rows, AT_ONCE):
        run = Run(cell.known, cell.library, min(AT_ONCE, rows - first), np.random.default_rng([seed, first]), SHARE)
        for budget in budgets:
            for size in round_sizes(budget - run.asked, n - run.asked, max(8, run.asked // 6)):
                run.answer(d[run.ask(size)])
            found, draws = estimate(run, ALPHA), betting.Draws.of(run)
            given = ~np.isnan(found.low)
            parts[budget].append(np.column_stack([
                found.drop - drop, ~betting.excludes(draws, drop, ALPHA, budget), given,
                given & (found.low - 1e-12 <= drop) & (drop <= found.high + 1e-12),
                (betting.log_e_safe(draws, MARGIN) >= -np.log(ALPHA)).any(1),
                (betting.log_e_worse(draws, MARGIN) >= -np.log(ALPHA)).any(1)]))
    return [_row(cell, d, budget, np.concatenate(parts[budget])) for budget in budgets]


def _row(cell: Cell, d: np.ndarray, budget: int, found: np.ndarray) -> dict:
    error, covered, given, asymptotic, safe, worse = found.T
    srs = (1 - budget / d.size) * d.var(ddof=1) / budget
    ess = srs / np.mean(error**2)
    return {"candidate": cell.name, "curve": cell.curve, "n": d.size, "asked": budget, "runs": error.size,
            "flips": float((np.abs(d) > 0).mean()), "drop": float(d.mean()), "ess": ess,
            "ess_se": ess * np.std(error**2) / np.mean(error**2) / error.size**0.5,
            "bias_z": np.mean(error) / np.std(error) * error.size**0.5, "exact_coverage": covered.mean(),
            "asymptotic_given": given.mean(),
            "asymptotic_coverage": asymptotic.sum() / given.sum() if given.any() else np.nan,
            "said_safe": safe.mean(), "said_worse": worse.mean()}


# ---- the candidates ----------------------------------------------------------------------------------------


def margin_bank(path: Path) -> tuple[curves.Known, pd.DataFrame]:
    """(what is known of the column `base` of margins, the table)."""
    table = pd.read_csv(path)
    base = table["base"].to_numpy(float)
    return curves.Known((base > 0).astype(float), np.abs(base)), table


def margin_cells(path: Path) -> list[Cell]:
    """Every variant by default curves, by its own cross-fitted curve, and by every other variant's."""
    known, table = margin_bank(path)
    variants = {name: (table[name] > 0).to_numpy(float) for name in table.columns[3:]}
    cells = [Cell(name, known, scores, curves.default_library(known), "default") for name, scores in variants.items()]
    for name, scores in variants.items():
        cells.append(Cell(name, known, scores, own_curve(known, scores), "its own, cross-fitted"))
        for other, theirs in variants.items():
            if other != name:
                library = curves.fitted_library(known, [curves.Pair(known, theirs)])
                cells.append(Cell(name, known, scores, library, f"of {other}"))
    return cells


def own_curve(known: curves.Known, candidate: np.ndarray, folds: int = 5) -> curves.Curves:
    """The fitted library of a pair under test itself, each fold's curves from the others."""
    fold = np.random.default_rng(0).permutation(known.size) % folds
    parts = []
    for part in range(folds):
        others = fold != part
        assert known.margins is not None
        pair = curves.Pair(curves.Known(known.scores[others], known.margins[others]), candidate[others])
        parts.append(curves.fitted_library(known, [pair]))
    at = np.arange(known.size)
    down, up = (np.stack([getattr(one, side) for one in parts])[fold, :, at].T for side in ("down", "up"))
    return curves.Curves(down, up, parts[0].prior, parts[0].names)


def rerun_cells(n: int = 1000) -> list[Cell]:
    """A baseline of four runs, so many of whose answers are coin tosses; the candidate is a fifth run of it."""
    cells = []
    for share in (0.05, 0.1, 0.2):
        rng = np.random.default_rng(4)
        often = np.where(rng.random(n) < share, 0.5, (rng.random(n) < 0.7).astype(float))
        scores, candidate = rng.binomial(4, often) / 4, rng.binomial(1, often).astype(float)
        for runs, said in ((1, "reruns not used"), (4, "reruns")):
            known = curves.Known(scores, runs=runs)
            cells.append(Cell(f"tosses {share:g}", known, candidate, curves.default_library(known), said))
    return cells


def simulated_cells(path: Path) -> list[Cell]:
    """Flips of every size where margins say, anywhere, losses on thick margins, and a bug in one task."""
    known, table = margin_bank(path)
    task = table["task"].isin(sorted(table["task"].unique())[:4]).to_numpy()
    cells = []
    for where in (simulation.THIN, simulation.EVEN, simulation.THICK, simulation.ONE_TASK):
        for flip in (0.005, 0.02, 0.05, 0.15):
            for drop in (0.0, 0.003, 0.01, 0.02):
                try:
                    scores = simulation.candidate_like(known, flip, drop, np.random.default_rng(7), where, task)
                except InputError:
                    continue  # more losses than there are questions to lose
                if drop <= flip:
                    cells.append(Cell(f"{where}, flips {flip:g}, drop {drop:g}", known, scores,
                                      curves.default_library(known), "default"))
    return cells


def read_scores(path: Path) -> pd.Series:
    return pd.read_csv(path, dtype={"prompt_id": str}).set_index("prompt_id")["score"]


def pair_cells(files: list[Path], history: Path | None, leave: list[str], earlier: list[Path] | None) -> list[Cell]:
    """A real pair without margins: by default curves, with a history's difficulty, and with an earlier pair's curve."""
    base, candidate = (read_scores(file) for file in files)
    candidate = candidate.reindex(base.index)
    name = Path(files[0]).name.removesuffix(".baseline.csv")
    plain = curves.Known(base.to_numpy(float))
    cells = [Cell(name, plain, candidate.to_numpy(float), curves.default_library(plain), "default, no history")]
    if history is None:
        return cells
    matrix = pd.read_csv(history)
    names = matrix["model"].astype(str)
    kept = ~names.map(lambda model: any(part.lower() in model.lower() for part in leave))
    print(f"history: {int(kept.sum())} models, without {', '.join(names[~kept]) or 'none'}")
    answers = matrix.loc[kept].drop(columns=["model", "created_date", "sha", "family"], errors="ignore")

    def known_of(scores: pd.Series) -> curves.Known:
        missing = scores.index.difference(answers.columns)
        if len(missing):
            raise InputError(f"{history}: no column for {len(missing):,} questions, first {missing[0]}")
        mine, theirs = scores.to_numpy(float), answers[scores.index].to_numpy(float)
        others = ease.without_itself(mine, theirs)
        print(f"{int((~others).sum())} of the history's models are this baseline, left out")
        return curves.Known(mine, difficulty=ease.ease(mine, theirs[others]))

    known = known_of(base)
    cells.append(Cell(name, known, candidate.to_numpy(float), curves.default_library(known), "default, history"))
    if earlier:
        before = read_scores(earlier[0])
        after = read_scores(earlier[1]).reindex(before.index)
        library = curves.fitted_library(known, [curves.Pair(known_of(before), after.to_numpy(float))])
        cells.append(Cell(name, known, candidate.to_numpy(float), library, "of another pair, history"))
    return cells


# ---- questions to a decision -------------------------------------------------------------------------------


def srs_watched(known: curves.Known, candidate: np.ndarray, rows: int, seed: int) -> float:
    """Questions after which 80 % of the runs of paired simple random sampling have decided "safe" by the e-value of
    `watch`, corrected for the finite bank."""
    d, n = known.scores - candidate, known.size
    rng, stops = np.random.default_rng([seed, 1]), []
    for _ in range(rows):
        drawn = d[rng.permutation(n)][:-1]
        before = np.cumsum(drawn) - drawn
        m = (n * MARGIN - before) / (n - np.arange(n - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = np.where(m < 1, (m - drawn) / (1 - m), -1.0)
            logs = np.cumsum(np.log1p(np.maximum(WATCHED[:, None] * odds, -1 + 1e-12)), 1)
        reached = (logsumexp(logs, axis=0) - np.log(WATCHED.size) >= -np.log(ALPHA)) | (m > 1)
        stops.append(reached.argmax() + 1 if reached.any() else n)
    return float(np.sort(stops)[int(np.ceil(0.8 * rows)) - 1])


def resampled(known: curves.Known, n: int, rng: np.random.Generator) -> curves.Known:
    """A larger bank like this one."""
    at = rng.integers(0, known.size, n)
    assert known.margins is not None
    return curves.Known(known.scores[at], known.margins[at] * np.exp(rng.normal(0, 0.05, n)))


def questions(path: Path, rows: int, seed: int, sizes: list[int], flips: list[float]) -> list[dict]:
    """Questions to an 80 % chance of "safe at 1 point" where the drop is 0; beside them, how often a plain threshold on
    as many random ones as by default curves passes this candidate, and one whose drop is the point."""
    small, found = margin_bank(path)[0], []
    for n in sizes:
        known = small if n == small.size else resampled(small, n, np.random.default_rng(3))
        none = curves.Known(known.scores)
        for flip in flips:
            rng = np.random.default_rng([seed, n])
            candidate, earlier = (simulation.candidate_like(known, flip, 0, rng, simulation.THIN) for _ in range(2))
            d = known.scores - candidate
            fixed = simple_random.questions_needed(n, int((d > 0).sum()), int((d < 0).sum()), MARGIN, ALPHA)
            row = {"n": n, "flips": flip, "srs_fixed_exact": fixed,
                   "srs_watched": srs_watched(known, candidate, rows, seed), "runs": rows}
            for name, what, library in (
                    ("no_margins", none, curves.default_library(none)),
                    ("margins_default", known, curves.default_library(known)),
                    ("margins_matching", known, curves.fitted_library(known, [curves.Pair(known, earlier)]))):
                stops = [simulation.decisions(what, candidate, library, min(AT_ONCE, rows - first), seed + first,
                                              margin=MARGIN, alpha=ALPHA, enough=0.9)
                         for first in range(0, rows, AT_ONCE)]
                safe = np.sort(np.concatenate([one.safe for one in stops]))
                row[name] = float(safe[int(np.ceil(0.8 * safe.size)) - 1])
            worse = known.scores - simulation.candidate_like(known, max(flip, MARGIN), MARGIN, rng, simulation.THIN)
            for name, other in (("threshold_passes", d), ("threshold_passes_at_margin", worse)):
                row[name] = simple_random.threshold_passes(n, int(row["margins_default"]), int((other > 0).sum()),
                                                           int((other < 0).sum()), MARGIN)
            found.append(row)
            print(row, flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    parser = cli.parser(__doc__)
    parser.add_argument("part", choices=("margins", "pair", "simulated", "reruns", "questions"))
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="none for reruns")
    parser.add_argument("--history", type=Path, metavar="FILE", help="pair: a models × questions matrix")
    parser.add_argument("--leave", nargs="+", default=[], metavar="PART", help="pair: models of it left out, by name")
    parser.add_argument("--earlier", nargs=2, type=Path, metavar="FILE", help="pair: baseline and candidate before it")
    parser.add_argument("--only", metavar="TEXT", help="cells whose candidate or curve has this in its name")
    parser.add_argument("--sizes", nargs="+", type=int, default=[2680, 12032], help="questions: banks")
    parser.add_argument("--flips", nargs="+", type=float, default=[0.009, 0.02, 0.04, 0.08], help="questions: rates")
    parser.add_argument("--rows", type=cli.at_least(1), default=2000, help="simulated runs of each cell")
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    parser.add_argument("--output", type=Path, metavar="CSV", help="append here")
    options = parser.parse_args(argv)
    if not options.files and options.part != "reruns":
        raise InputError(f"{options.part}: name a FILE")
    if options.part == "questions":
        rows = questions(options.files[0], options.rows, options.seed, options.sizes, options.flips)
    else:
        if options.part == "pair":
            cells = pair_cells(options.files, options.history, options.leave, options.earlier)
        elif options.part == "reruns":
            cells = rerun_cells()
        else:
            cells = {"margins": margin_cells, "simulated": simulated_cells}[options.part](options.files[0])
        rows = []
        for cell in cells:
            if options.only and options.only not in f"{cell.name}|{cell.curve}":
                continue
            rows += measure(cell, options.rows, options.seed)
            print(pd.DataFrame(rows[-len(SHARES):]).to_string(index=False, header=len(rows) == len(SHARES),
                                                              float_format="%.4g", max_colwidth=34), flush=True)
    if options.output:
        there = options.output.exists()
        pd.DataFrame(rows).to_csv(options.output, mode="a", header=not there, index=False, float_format="%.6g")
    return 0


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
