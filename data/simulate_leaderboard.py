"""Step 1b: make up a leaderboard that behaves like a real one (no download), or draw the twin of a real one.

    python data/simulate_leaderboard.py                       300 models x 2,000 questions: 2 seconds
    python data/simulate_leaderboard.py --models 2212 --questions 12032 --dataset simulated-full
                                                              the real size: half a minute, .5 GB of memory
    python data/simulate_leaderboard.py --from-factors mmlu-pro_factors.npz --seed 0
                                                              the twin: 5 seconds, .5 GB of memory

Writes DATA_DIR/<dataset>/M1.csv (history: the older half of the models), M2.csv (new models: the newer half),
questions.csv (question,task) and truth.npz (the log-odds of the new models' answers, which only an oracle may see),
and prints the board's summary statistics beside those of two real leaderboards.
The twin answers with the probabilities sigmoid(U V^T) of fitted factors (an .npz with U, models by date, and V).
Its dates only keep the order, its tasks and families are unknown, and four fifths of its models are history. It is
well specified for the factor model, so methods look better on it than on the board that the factors were fitted to.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import atomic, check_new, plain_name


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--models", type=int, metavar="M", help="history and new models together (default 300)")
    parser.add_argument("--questions", type=int, metavar="N", help="(default 2000)")
    parser.add_argument("--dataset", metavar="NAME", help="default: simulated, or twin with --from-factors")
    parser.add_argument("--seed", type=cli.at_least(0), default=0)
    parser.add_argument("--from-factors", type=Path, metavar="FILE", help="draw the twin of these factors' board")
    parser.add_argument("--share", type=cli.number(0.1, 0.9),
                        help="share of the models that are history (default .5; twin .8)")
    parser.add_argument("--data-dir", type=Path, default=Path("data/processed"), metavar="DIR")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, write nothing")
    args = parser.parse_args(argv)
    folder = output_folder(args)
    if args.dry_run:
        n_models, n_questions = size(args)
        millions = n_models * n_questions / 1e6
        print(f"would write {folder}/M1.csv, M2.csv, truth.npz{'' if args.from_factors else ', questions.csv'}: "
              f"{n_models} models x {n_questions} questions, {cli.duration(2 + millions)} and "
              f"{.15 + .012 * millions:.1f} GB of memory")
        return
    make(folder, args)


def make(folder: Path, args: argparse.Namespace) -> None:
    import numpy as np

    from llm_accuracy.leaderboard import simulate
    from llm_accuracy.scores.dataset import write_dataset
    from llm_accuracy.scores.matrix import split_by_date

    start = time.monotonic()
    if args.from_factors:
        board = simulate.twin_board(args.from_factors)
    else:
        board = simulate.simulated_board(*size(args), args.seed)
    responses = board.draw(args.seed)
    print(f"{responses.n_models} models x {responses.n_questions} questions, "
          f"drawn in {cli.duration(time.monotonic() - start)}\n")
    print(simulate.comparison(simulate.statistics(board)) + "\n")
    if not args.from_factors:
        print("Accuracies and difficulties are solved for; the rest comes from the family tree.")
        sizes = sorted(((responses.families == f).sum() for f in set(responses.families)), reverse=True)
        print(f"{len(sizes)} families, the largest of {', '.join(map(str, sizes[:8]))} models")
    history, new = split_by_date(responses, share_of_history(args))
    write_dataset(folder, history, new, args.overwrite)
    row = {name: i for i, name in enumerate(board.models)}
    logits = board.logits[[row[name] for name in new.models]].astype(np.float32)
    with atomic(folder / "truth.npz", "wb") as out:
        np.savez_compressed(out, models=new.models, logits=logits)
    for file, part in (("M1.csv", history), ("M2.csv", new)):
        print(f"wrote {folder / file}: {part.n_models} models, {part.dates[0]} to {part.dates[-1]}, "
              f"mean accuracy {part.accuracy().mean():.3f}")


def size(args: argparse.Namespace) -> tuple[int, int]:
    """(models, questions). Raises InputError if they are out of bounds or the factors cannot be read."""
    from llm_accuracy.leaderboard import simulate

    if args.from_factors:
        return simulate.twin_board(args.from_factors).logits.shape
    sizes = 300 if args.models is None else args.models, 2000 if args.questions is None else args.questions
    simulate.check_size(*sizes)
    return sizes


def share_of_history(args: argparse.Namespace) -> float:
    return args.share if args.share is not None else 0.8 if args.from_factors else 0.5


def output_folder(args: argparse.Namespace) -> Path:
    """Where the dataset goes. Raises InputError for arguments that contradict each other and for files in the way."""
    if args.from_factors and (args.models is not None or args.questions is not None):
        raise InputError("--models and --questions do not go with --from-factors, which sets both: leave them out")
    name = ("twin" if args.from_factors else "simulated") if args.dataset is None else args.dataset
    folder = args.data_dir / plain_name(name, "--dataset")
    files = [folder / file for file in ("M1.csv", "M2.csv", "questions.csv", "truth.npz")]
    check_new(files, args.overwrite, make_parent=True)
    return folder


if __name__ == "__main__":
    cli.run(main)
