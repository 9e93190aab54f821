"""Does the laptop tier's simulated board behave like a real one, and where does it flatter?

    python benchmarks/simulator.py open_llm_leaderboard_v2.csv.gz                about 5 minutes
    python benchmarks/simulator.py open_llm_leaderboard_v2.csv.gz --seeds 5
    python benchmarks/simulator.py open_llm_leaderboard_v2.csv.gz --facts        seconds: the boards alone

Both boards are split and asked as boards.py does (the laptop tier's cross-validation, every method but the costly
ones), into LOGS_DIR. Printed side by side: facts of the answers, then coverage and ESS by width / by error of every
method at every budget, with the ratio of ESS, simulated to real.

The facts are of as many models and questions of either board, drawn at random, history and new models together.
"Factors above chance": principal components of the answers, models' and questions' means taken off, whose variance
exceeds the largest that the board has with every question's answers shuffled over the models (nine shuffles); their
share of the variance; and their effective number, (sum of variances)^2 / sum of squares. "Nearest other model": the
other model that gives the most equal answers. "Redrawn": the same in a board of independent answers with the
probabilities of factors (rank 16) fitted to the sample; what the board has beyond it is alike in ways that the factors
do not say, as the errors of relatives are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import memory

from llm_accuracy import cli
from llm_accuracy.querying import factors
from llm_accuracy.querying.policies import WALKING
from llm_accuracy.querying.rivals import SRS, installed
from llm_accuracy.randomness import stream
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.study import boards

SIMULATED = "simulated"
METHODS = ("faq", "rounds", "uniform+factors", SRS, *WALKING, *installed())
RANK, WEIGHT_DECAY, SHUFFLES = 16, 8.0, 9
ALIKE = (0.90, 0.95, 0.98)


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("matrix", type=Path, metavar="MATRIX", help="the real board")
    parser.add_argument("--facts", action="store_true", help="only the facts of the answers")
    cli.add_study_flags(parser, "seeds", "data-dir", "logs-dir")
    parser.set_defaults(seeds=20, data_dir=Path("local/simulator/data"), logs_dir=Path("local/simulator"))
    args = parser.parse_args(argv)
    name = boards.Source(args.matrix).name
    cli.step("data/simulate_leaderboard.py", "--data-dir", args.data_dir, "--overwrite")
    cli.step("data/split_history.py", args.matrix, "--dataset", name, "--data-dir", args.data_dir, "--overwrite")
    two = [boards.Board.read(one, args.data_dir, args.logs_dir, args.seeds) for one in (SIMULATED, name)]
    if not args.facts:
        for script, words in [*boards.fitting(two), *boards.trials(two, METHODS)]:
            cli.step(script, *words)
    print("\n" + boards.text(fact_lines(two)))
    if not args.facts:
        print("\n" + boards.text(ess_lines(boards.table(two, METHODS), name)))


def fact_lines(two: list[boards.Board]) -> list[list[str]]:
    """Header and rows of text."""
    every = [answers(board) for board in two]
    models, questions = (min(scores.shape[axis] for scores in every) for axis in (0, 1))
    columns = [facts(sample(scores, models, questions)) for scores in every]
    return [[f"{models} models x {questions} questions of each", *(board.name for board in two)],
            *([name, *(column[name] for column in columns)] for name in columns[0])]


def answers(board: boards.Board) -> np.ndarray:
    """(M, N) float64: history and new models, the complete ones."""
    dataset = Dataset(board.data_dir, board.name)
    scores = np.concatenate([np.where(part.observed, part.scores, np.nan)
                             for part in (dataset.history(), dataset.new_models())])
    return scores[~np.isnan(scores).any(1)]


def sample(scores: np.ndarray, models: int, questions: int) -> np.ndarray:
    rng = stream("simulator", "sample")
    rows, columns = (rng.permutation(size)[:few] for size, few in zip(scores.shape, (models, questions), strict=True))
    return scores[np.ix_(np.sort(rows), np.sort(columns))]


def facts(scores: np.ndarray) -> dict[str, str]:
    accuracy, difficulty = scores.mean(1), scores.mean(0)
    count, share, effective = spectrum(scores)
    found = {"accuracy of models, 5 / 50 / 95 %": quantiles(accuracy),
             "difficulty of questions, 5 / 50 / 95 %": quantiles(difficulty),
             "questions that at most 1 % of the models get right, or wrong":
                 f"{((difficulty <= 0.01) | (difficulty >= 0.99)).mean():.3f}",
             "factors above chance": f"{count}", "their share of the variance": f"{share:.3f}",
             "their effective number": f"{effective:.1f}"}
    for which, board in (("", scores), (", redrawn", redrawn(scores))):
        agreement = nearest(board)
        found[f"nearest other model: equal answers, 5 / 50 / 95 %{which}"] = quantiles(agreement)
        for level in ALIKE:
            found[f"models with another that gives {level:.0%} equal answers{which}"] = (
                f"{(agreement >= level).mean():.3f}")
    return found


def quantiles(values: np.ndarray) -> str:
    return " / ".join(f"{value:.2f}" for value in np.quantile(values, (0.05, 0.5, 0.95)))


def spectrum(scores: np.ndarray) -> tuple[int, float, float]:
    """(number of principal components above chance, their share of the variance, their effective number)."""
    rng = stream("simulator", "shuffles")
    variances = components(scores)
    chance = max(components(rng.permuted(scores, axis=0))[0] for _ in range(SHUFFLES))
    signal = variances[variances > chance]
    return len(signal), signal.sum() / variances.sum(), signal.sum() ** 2 / (signal**2).sum()


def components(scores: np.ndarray) -> np.ndarray:
    """Variances of the principal components, models' and questions' means taken off, largest first."""
    centred = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    return np.linalg.eigvalsh(centred @ centred.T)[::-1]


def nearest(scores: np.ndarray) -> np.ndarray:
    """(M,) share of equal answers, 1 − mean |difference|, with the nearest other model."""
    agreement = np.stack([1 - np.abs(scores - row).mean(1) for row in scores])
    np.fill_diagonal(agreement, -1)
    return agreement.max(1)


def redrawn(scores: np.ndarray) -> np.ndarray:
    """Independent answers with the probabilities of factors fitted to (M, N) scores."""
    one = factors.Fit(RANK, WEIGHT_DECAY, stream("simulator", "factors"), np.ones(scores.shape, bool))
    protocol = factors.PROTOCOLS["map"]
    [(u, v)] = factors.fit(scores, [one], protocol, protocol.epochs, "cpu", lambda *_: None)
    p = 1 / (1 + np.exp(-np.asarray(u, float) @ np.asarray(v, float).T))
    return (stream("simulator", "redrawn").random(p.shape) < p).astype(float)


def ess_lines(table: pd.DataFrame, real: str) -> list[list[str]]:
    """Header and rows of text: coverage, ESS by width / by error of both boards, and the ratios of ESS."""
    lines = [["budget", "method", SIMULATED, real, "ratio by width / by error"]]
    at = table.set_index(["called", "name", "dataset"])
    for called, name in dict.fromkeys(zip(table["called"], table["name"], strict=True)):
        one, other = (at.loc[(called, name, board)] for board in (SIMULATED, real))
        ratios = (one[measure] / other[measure] for measure in ("ess_width", "ess_mse"))
        lines.append([called, name, cell(one), cell(other), " / ".join(f"{ratio:.2f}" for ratio in ratios)])
    return lines


def cell(row: pd.Series) -> str:
    return (f"{row['coverage']:.3f}, {row['ess_width']:.2f} / {row['ess_mse']:.2f} "
            f"±{row['ess_mse_se']:.2f}").replace("±0.", "±.")


if __name__ == "__main__":
    cli.run(memory.with_peak(main))
