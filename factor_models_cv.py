"""Step 3: choose rank K and weight decay λ of the factor model by cross-validation over entries.

    python factor_models_cv.py                                   laptop tier, about 2 minutes on two cores
    python factor_models_cv.py --tier paper --shard 0/16         one of 16 parts of the full grid (GPU)
    python factor_models_cv.py --datasets twin --ranks 32 64 --weight-decays 1.0 0.1 0.01 --folds 2

Reads M1 of every dataset and scenario, takes its first 80 % of rows, deals the observed entries into folds and
logs loss and accuracy of every (K, λ, fold) to LOGS_DIR/factor_models_cv.csv. Prints the setting that the
one-standard-error rule chooses. Finished fits are not repeated. --protocol adamw is the published one (the paper
tier's default, chosen by accuracy), map a penalised fit that is better and twenty times as fast (the laptop
tier's, chosen by loss); their λ are not on one scale.
"""

import itertools

from llm_accuracy import cli, parallel
from llm_accuracy.querying import factors
from llm_accuracy.randomness import stream
from llm_accuracy.scores.dataset import Dataset
from llm_accuracy.study import grids, ledger
from llm_accuracy.study import trials as study

KEY = ("dataset", "scenario", "protocol", "rank", "weight_decay", "fold")
CELLS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 30}  # models × questions × fits side by side
RESULTS = ("rows", "epochs", "train_loss", "val_loss", "train_acc", "val_acc")


def main(argv=None):
    parser = cli.add_study_flags(cli.parser(__doc__), "tier", "datasets", "scenarios", "data-dir", "logs-dir",
                                 "device", "shard", "dry-run")
    parser.add_argument("--ranks", nargs="+", type=cli.at_least(1), metavar="K")
    parser.add_argument("--weight-decays", nargs="+", type=float, metavar="L")
    parser.add_argument("--folds", type=cli.at_least(2), metavar="F")
    study.add_protocol_flags(parser)
    args = parser.parse_args(argv)
    protocol = study.protocol_of(args)
    device = cli.device(args.device)
    log = ledger.Ledger(args.logs_dir / "factor_models_cv.csv", KEY, RESULTS)

    todo = []  # (cell, history, rank, [(weight decay, fold)]): fits that go side by side
    for cell in grids.cells(args):
        history = Dataset(args.data_dir, cell.dataset).history(cell.scenario)
        history = history.take(slice(grids.train_rows(history.n_models)))
        todo += [(cell, history, *batch) for batch in batches(args, cell, history.scores.shape, device, log)]
    todo = study.my_share(todo, args)
    epochs = args.epochs or factors.PROTOCOLS[protocol].epochs
    if args.dry_run:
        seconds = sum(study.fit_seconds(history.scores, [rank] * len(fits), protocol, epochs, device)
                      for _, history, rank, fits in todo)
        study.announce(sum(len(fits) for *_, fits in todo), "fit", seconds)
        return

    n_folds = args.folds or grids.TIERS[args.tier].folds
    with cli.Progress(sum(len(fits) for *_, fits in todo), "cross-validation", "fit") as progress:
        def job(work):
            cell, history, rank, fits = work
            return cross_validate(cell, history, protocol, rank, fits, n_folds, epochs, device)

        for (*_, fits), rows in zip(todo, parallel.side_by_side(job, todo, device), strict=True):
            log.append(rows)
            progress.advance(len(fits))
    print_choice(args, log)


def batches(args, cell, shape, device, log):
    """(rank, [(weight decay, fold)]) that are not in the log yet, as many side by side as memory allows."""
    tier, protocol = grids.TIERS[args.tier], study.protocol_of(args)
    at_once = max(1, CELLS_AT_ONCE[device] // (shape[0] * shape[1]))
    for rank in args.ranks or tier.rank_grid(shape[0]):
        wanted = [(decay, fold) for decay, fold in itertools.product(args.weight_decays or tier.weight_decays,
                                                                     range(args.folds or tier.folds))
                  if key(cell, protocol, rank, decay, fold) not in log]
        for start in range(0, len(wanted), at_once):
            yield rank, wanted[start : start + at_once]


def key(cell, protocol, rank, decay, fold):
    return dict(zip(KEY, (cell.dataset, cell.scenario, protocol, rank, float(decay), fold), strict=True))


def cross_validate(cell, history, protocol, rank, wanted, n_folds, epochs, device):
    """Fit each (weight decay, fold) on all folds but its own, side by side, and judge on the one left out."""
    folds = factors.entry_folds(history.observed, n_folds, stream("folds", cell.dataset, cell.scenario))
    fits = [factors.Fit(rank, decay, stream("factors", cell.dataset, cell.scenario, "cv", protocol, rank, decay, fold),
                        (folds >= 0) & (folds != fold)) for decay, fold in wanted]
    trained = factors.fit(history.scores, fits, factors.PROTOCOLS[protocol], epochs, device)
    rows = []
    for (decay, fold), one, (U, V) in zip(wanted, fits, trained, strict=True):
        train_loss, train_acc = factors.loss_and_accuracy(history.scores, one.seen, U, V)
        val_loss, val_acc = factors.loss_and_accuracy(history.scores, folds == fold, U, V)
        rows.append(key(cell, protocol, rank, decay, fold) | {
            "rows": history.n_models, "epochs": epochs, "train_loss": train_loss, "val_loss": val_loss,
            "train_acc": train_acc, "val_acc": val_acc})
    return rows


def print_choice(args, log):
    table = ledger.read(log.path, "factor_models_cv.py")
    wanted = {(cell.dataset, cell.scenario) for cell in grids.cells(args)}
    chosen = factors.one_standard_error(table[table["protocol"] == study.protocol_of(args)],
                                        grids.TIERS[args.tier].select_factors_by)
    print(f"{'dataset':<16} {'scenario':<18} {'K':>3} {'decay':>7} {'val loss':>9} {'val acc':>8}")
    for row in chosen.itertuples():
        if (row.dataset, row.scenario) in wanted:
            print(f"{row.dataset:<16.16} {row.scenario:<18} {row.rank:>3} {row.weight_decay:>7} "
                  f"{row.val_loss:>9.4f} {row.val_acc:>8.4f}")


if __name__ == "__main__":
    cli.run(main)
