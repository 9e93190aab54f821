"""Small real boards: evaluate every model with its own family left out of the history.

    python leave_one_family_out.py MATRIX.csv.gz                     e.g. 124 models × 450 questions: minutes
    python leave_one_family_out.py MATRIX.csv.gz --seeds 200 --budgets 20 5% 10% 25% 50% --rank 4

Where a board holds few models, and variants of the same ones, splitting it by date wastes half of it and leaves
siblings on both sides. Here every family (a column of the matrix, or the model's name without quantisation, date and
-sys suffixes) is new in turn, with factors fitted to all the others. Prints and writes to
LOGS_DIR/leave_one_family_out.csv, for every budget and method: coverage with its binomial standard error, the worst
model's coverage and what luck alone would give, effective sample sizes against simple random sampling without
replacement by width, by width at equal coverage (half-widths scaled until they cover 95 %), and by error.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from llm_accuracy import cli, factors, intervals
from llm_accuracy.errors import InputError
from llm_accuracy.estimates import estimate
from llm_accuracy.factors import Factors, Fit
from llm_accuracy.querying import Bank, evaluate
from llm_accuracy.randomness import stream, uniforms
from llm_accuracy.responses import Responses, atomic, family_of, read_matrix
from llm_accuracy.settings import ALPHA, MIXTURE_SETTING, Setting, parse_budgets

# name: policy, sampling, variance, setting
METHODS = {
    "faq-mix": ("faq-mix", "without", "pooled", MIXTURE_SETTING),
    "FAQ (paper)": ("faq", "with", "published", Setting()),
    "uniform + factors": ("uniform+factors", "without", "pooled", Setting(tau=1.0)),
}
ROWS_AT_ONCE = 4096
FITS_AT_ONCE = 8


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("matrix", type=Path)
    parser.add_argument("--budgets", nargs="+", default=["20", "5%", "10%", "25%", "50%"], metavar="B")
    parser.add_argument("--seeds", type=cli.at_least(1), default=20)
    parser.add_argument("--rank", type=cli.at_least(1), default=4)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--protocol", choices=sorted(factors.PROTOCOLS), default="adamw")
    parser.add_argument("--epochs", type=cli.at_least(1), help="default: the protocol's")
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS))
    parser.add_argument("--logs-dir", type=Path, default=Path("logs"), metavar="DIR")
    args = parser.parse_args(argv)
    board = read_matrix(args.matrix)
    name = args.matrix.name.split(".")[0]
    families = np.array([board.families[i] or family_of(model) for i, model in enumerate(board.models)])
    known = list(dict.fromkeys(families))
    if len(known) < 3:
        raise InputError(f"{args.matrix}: {len(known)} families; at least 3 are needed to leave one out")
    budgets = parse_budgets(args.budgets, board.n_questions, name)
    found = {(method, budget): [] for method in args.methods for budget in budgets}
    truth = []
    with cli.Progress(len(known), "evaluate", "family") as progress:
        for start in range(0, len(known), FITS_AT_ONCE):
            for family, model in fitted(board, families, known[start : start + FITS_AT_ONCE], name, args):
                new = board.take(families == family)
                new = new.take(new.complete)
                if new.n_models:
                    truth.append(new.scores.mean(1, dtype=float))
                    for method in args.methods:
                        every = run(new, model, name, method, budgets, args.seeds)
                        for budget, one in zip(budgets, every, strict=True):
                            found[method, budget].append(one)
                progress.advance()
    complete = [model for family in known for model in board.take(families == family).models[
        board.take(families == family).complete]]
    table = pd.DataFrame([judge(name, method, budget, parts, np.concatenate(truth), board.n_questions, complete)
                          for (method, budget), parts in found.items()])
    path = args.logs_dir / "leave_one_family_out.csv"
    keep(path, table)
    show(table, len(known), args)
    print(f"wrote {path}")


def fitted(board: Responses, families: np.ndarray, left_out: list[str], name: str, args):
    """(family, Factors of all other models), for some families side by side."""
    fits = [Fit(args.rank, args.weight_decay, stream("leave-out", name, family, args.rank, args.weight_decay),
                board.observed & (families != family)[:, None]) for family in left_out]
    made = factors.fit(board.scores, fits, factors.PROTOCOLS[args.protocol], args.epochs)
    for family, one, (U, V) in zip(left_out, fits, made, strict=True):
        mean = factors.history_mean(board.scores, one.seen)
        yield family, Factors(U[families != family], V, board.questions, mean)


def run(new: Responses, model: Factors, name: str, method: str, budgets: tuple[int, ...], seeds: int) -> list:
    """Per budget (theta (seeds, models), half-width (seeds, models) unclipped in the t quantile's units, se)."""
    policy, sampling, variance, setting = METHODS[method]
    per_seed = max(1, ROWS_AT_ONCE // new.n_models)
    columns = [[] for _ in budgets]
    for first in range(0, seeds, per_seed):
        some = range(first, min(seeds, first + per_seed))
        draws = np.concatenate([uniforms(name, "leave-one-out", seed, new.models, max(budgets)) for seed in some])
        scores = np.tile(new.scores.astype(np.float32), (len(some), 1))
        trace = evaluate(Bank.of(model.V), model.prior, [setting] * len(draws), draws, scores, sampling, policy)
        for column, budget in zip(columns, budgets, strict=True):
            one = estimate(trace, budget, new.n_questions, sampling, variance, model.V.shape[1])
            half = stats.t.ppf(1 - ALPHA / 2, one.df) * one.se
            column.append([array.reshape(len(some), new.n_models) for array in (one.theta, half)])
    return [tuple(np.concatenate(parts) for parts in zip(*column, strict=True)) for column in columns]


def judge(name: str, method: str, budget: int, parts: list, truth: np.ndarray, n: int, models: list[str]) -> dict:
    theta, half = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))  # (seeds, models)
    band = intervals.Interval(np.clip(theta - half, 0, 1), np.clip(theta + half, 0, 1))
    covered = band.covers(truth)
    per_model = covered.mean(0)
    srs = intervals.srs_variance(truth, truth, n, budget)  # 0/1 scores: the mean square is the mean
    srs_width = 2 * stats.norm.ppf(1 - ALPHA / 2) * np.sqrt(srs)
    scale = intervals.half_width_factor(theta - truth, half)
    seeds = len(theta)
    luck = stats.binom.ppf(0.5 ** (1 / len(truth)) if len(truth) > 1 else 0.5, seeds, 0.05)
    errors, error_se = intervals.ess_mse(np.full(seeds, srs.mean()), ((theta - truth) ** 2).mean(1))
    return {"dataset": name, "budget": budget, "method": method, "models": len(truth), "seeds": seeds,
            "coverage": covered.mean(), "coverage_se": intervals.binomial_se(covered.mean(), covered.size),
            "worst": per_model.min(), "worst_model": models[int(per_model.argmin())], "worst_by_luck": 1 - luck / seeds,
            "zero_width": (band.width == 0).mean(), "mean_width": band.width.mean(),
            "ess_width": float(intervals.ess_width(srs_width, band.width).mean()),
            "ess_equal_coverage": float((srs_width.mean() / (2 * half.mean() * scale)) ** 2),
            "ess_mse": errors, "ess_mse_se": error_se}


def keep(path: Path, table: pd.DataFrame) -> None:
    """Replace this dataset's rows of the log."""
    if path.is_file():
        before = pd.read_csv(path)
        table = pd.concat([before[~before["dataset"].isin(table["dataset"])], table])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, "w") as out:
        table.to_csv(out, index=False, float_format="%.5g", lineterminator="\n")


def show(table: pd.DataFrame, families: int, args) -> None:
    first = table.iloc[0]
    print(f"{first['dataset']}: {first['models']} models in {families} families, {first['seeds']} seeds, "
          f"rank {args.rank}; median of the worst by luck alone {first['worst_by_luck']:.2f}")
    print(f"{'method':<18} {'budget':>6} {'coverage':>12} {'worst':>5} {'ESS width':>9} {'equal cov.':>10} "
          f"{'by error':>11}")
    for row in table.itertuples():
        print(f"{row.method:<18} {row.budget:>6} {row.coverage:>6.3f} ±{row.coverage_se:.3f} {row.worst:>5.2f} "
              f"{row.ess_width:>9.2f} {row.ess_equal_coverage:>10.2f} {row.ess_mse:>5.2f} ±{row.ess_mse_se:.2f}")


if __name__ == "__main__":
    cli.run(main)
