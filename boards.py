"""Every board in a folder: split, fit, ask by every method, and one table of what they reached (`make boards`).

    python boards.py FOLDER                                        all methods, 20 seeds; five boards: 8 minutes
    python boards.py FOLDER --dry-run                              what is to be run, and about how long
    python boards.py FOLDER --boards bigcodebench helm_five --methods rounds faq srs stratified
    python boards.py FOLDER --split-by family                      no family both in the history and new
    python boards.py FOLDER --split-by weak-to-strong              weak models' history for strong ones
    python boards.py FOLDER --shuffle 1 --incomplete questions

A board is a matrix model[,created_date,sha,family],question… of scores in [0, 1] in FOLDER/NAME.csv.gz or .csv; what
is named NAME.items.csv is none. Its older half is the history: by date, undated models last in the order of the file
(a line says so), by families, by accuracy (thirds), or in a random order. New models that lack scores are left out and
named, unless --incomplete drops the questions that they lack, or counts blanks as wrong. Rank and weight decay of the
factors are chosen by cross-validation (the laptop tier's grid, K up to a quarter of the models). Budgets are 20, 50,
100, 5, 10 and 25 %. Of the paper's FAQ the setting is its default, τ = .05, with replacement. Active inference with
factors, a step for every question whatever the budget, has 2 seeds; so have boards like the twin, those like mmlu_pro
have 5.

The project's own scripts do the work and are shown as they run: into DATA_DIR, LOGS_DIR and its factor_models. Run
again, finished trials are not repeated. Prints and writes to LOGS_DIR/boards.csv and boards.md, for every board,
budget and method, and in the mean over boards: coverage ± standard error clustered by model, the shares of misses with
the truth above and below the interval, effective sample size by width and by error ± standard error over seeds.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from llm_accuracy import cli
from llm_accuracy.scores import readers
from llm_accuracy.study import flags as study_flags


def main(argv=None):
    args = flags().parse_args(argv)
    from llm_accuracy.study import boards

    sources, chosen = boards.found(args.folder, args.boards), args.methods or study_flags.installed_methods()
    if args.page:
        boards.place(args.page, args.split_by, args.mark)
    if args.dry_run:
        price(args, sources, chosen)
        return
    took, started = Counter(), time.monotonic()
    for source in sources:
        run(boards.splitting(source, args, args.data_dir), took)
    ready = [boards.Board.read(boards.dataset_name(source, args), args.data_dir, args.logs_dir, args.seeds)
             for source in sources]
    for step in [*boards.fitting(ready), *boards.trials(ready, chosen)]:
        run(step, took)
    table = boards.table(ready, chosen)
    for heading, rows in boards.sections(table, ready):
        print(f"\n{heading}\n{rows}")
    command = " ".join(["`python boards.py", *(sys.argv[1:] if argv is None else argv)]) + "`"
    for path in boards.write(table, ready, args.logs_dir, args.page, [command], args.split_by, args.mark):
        print(f"wrote {path}")
    print("processor time:", ", ".join(f"{what} {cli.duration(seconds)}" for what, seconds in took.most_common()))
    print(f"all of it took {cli.duration(time.monotonic() - started)}")


def run(step, took):
    """Run a step, and note the processor time that it took, by script and policy."""
    script, words = step
    before = os.times()
    cli.step(script, *words)
    after = os.times()
    took[name_of(script, words)] += after.children_user + after.children_system - sum(before[2:4])


def name_of(script, words):
    return words[words.index("--policies") + 1] if script == "faq_final.py" else script


def price(args, sources, chosen):
    """Say what would be run: by the logs where a board has been fitted, else with rough factors in a passing folder."""
    from llm_accuracy.study import boards

    with tempfile.TemporaryDirectory() as folder:
        aside, ready = Path(folder), []
        for source in sources:
            name = boards.dataset_name(source, args)
            where = args.data_dir, args.logs_dir
            if not list((args.logs_dir / "factor_models" / name).glob("*_final.npz")):
                where = aside, aside / "logs"
                ask(boards.splitting(source, args, aside))
            ready.append(boards.Board.read(name, *where, args.seeds))
            print(ready[-1].says())
        steps, total = boards.fitting([board for board in ready if board.data_dir == aside], dry_run=True), 0.0
        for step in [*steps, *boards.trials(ready, chosen, dry_run=True)]:
            for line in ask(step).splitlines():
                if " to run" in line:
                    print(f"{name_of(*step)}: {line}")
                    total += cli.seconds(line)
    print(f"all of it: about {cli.duration(total)} on this machine")


def ask(step):
    """What a script prints."""
    script, words = step
    return cli.said(script, *words)


def flags():
    parser = cli.parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the matrices are")
    parser.add_argument("--boards", nargs="+", metavar="NAME", help="some of them (default: all)")
    parser.add_argument("--methods", nargs="+", metavar="NAME", choices=study_flags.every_method(),
                        help=f"some of {', '.join(study_flags.every_method())} (default: all, but ppi++ where "
                        "ppi-python is not installed)")
    parser.add_argument("--split-by", choices=readers.SPLIT_BY, default="date", help="as in data/split_history.py")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="split in a random order")
    parser.add_argument("--incomplete", choices=readers.INCOMPLETE, default="models",
                        help="where new models lack scores: drop them, or the questions, or count blanks as wrong")
    cli.add_study_flags(parser, "seeds", "data-dir", "logs-dir", "dry-run")
    parser.set_defaults(seeds=20, data_dir=Path("local/boards/data"), logs_dir=Path("local/boards"))
    parser.add_argument("--page", type=Path, metavar="FILE", help="also put the tables between this page's marks "
                        "<!-- MARK --> and <!-- /MARK -->, or <!-- MARK SPLIT_BY -->")
    parser.add_argument("--mark", default="boards", help="(default: boards)")
    return parser


if __name__ == "__main__":
    cli.run(main)
