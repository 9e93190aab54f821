"""The paper's study on a real board: its scenarios, scaled, its protocol, and every figure beside the published one.

    python paper_on_board.py open_llm_leaderboard_v2.csv.gz --as bbh+gpqa+ifeval+math+musr --paper PAPER --dry-run
    python paper_on_board.py open_llm_leaderboard_v2.csv.gz --as bbh+gpqa+ifeval+math+musr --paper PAPER

MATRIX is model[,created_date,sha,family],question..., as boards.py takes it; PAPER the folder of published tables. The
older half of the models is the history. Of each published scenario it keeps the share of the rows that are seen in
full (of 2,212), and p such that every other row keeps as many observed entries. Factors by the published protocol
(AdamW, 2,000 epochs, K by accuracy), ten budgets, FAQ with replacement at settings tuned on held-out history.

What two cores can pay: cross-validation over the whole grid with the whole history, over two weight decays and two
folds elsewhere; FAQ tuned over 20 of the paper's 400 settings, 8 elsewhere, 1 seed, 3 budgets; FAQ 10 seeds, 3
elsewhere; baseline walks 5 seeds, 2 elsewhere; naive draws without replacement 3; active inference with factors 2
seeds, 2 tau, 3 budgets; growing rounds 20 seeds, 5 elsewhere. Nothing is tuned on the new models.

The project's own scripts do the work and are shown as they run. Run again, finished trials are not repeated. Writes
its tables to LOGS_DIR/beside_published.md, and between the marks of --page. About half an hour on two idle cores.
"""

import tempfile
import time
from pathlib import Path

from llm_accuracy import cli

MARK = "paper on board"


def main(argv=None):
    args = flags().parse_args(argv)
    from llm_accuracy.files import around
    from llm_accuracy.study import published

    published.read(args.paper)
    if args.page:
        around(args.page, MARK)
    if args.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            price(args, Path(folder))
        return
    started = time.monotonic()
    study = split(args, args.data_dir, args.logs_dir, cli.step)
    steps = [study.hiding()] if args.tables else [study.hiding(), *study.fitting(), *study.trials()]
    for script, words in steps:
        cli.step(script, *words)
    write(args, study)
    print(f"all of it took {cli.duration(time.monotonic() - started)}")


def split(args, data_dir, logs_dir, call):
    """The study of the board, split anew each time: a matrix that has changed must not go unnoticed."""
    from llm_accuracy.study import boards
    from llm_accuracy.study.paper_on_board import Study

    name = boards.Source(args.matrix).name
    call("data/split_history.py", args.matrix, "--dataset", name, "--data-dir", data_dir, "--overwrite")
    return Study.read(name, args.stands_for, data_dir, logs_dir)


def price(args, aside):
    """Say what the whole would cost, by rough factors in a passing folder."""
    study, total = split(args, aside, aside / "logs", cli.said), 0.0
    for script, words in [study.hiding(), *study.fitting(dry_run=True), *study.trials(dry_run=True)]:
        for line in cli.said(script, *words).splitlines():
            if " to run" in line:
                print(f"{script}: {line}", flush=True)
                total += cli.seconds(line)
    print(f"all of it: about {cli.duration(total)} on this machine")


def write(args, study):
    from llm_accuracy.files import around, atomic
    from llm_accuracy.study import paper_on_board, summaries

    found = paper_on_board.Found.read(study, args.paper)
    for name, table in (("summary", found.summary), ("audit", found.audit)):
        with atomic(args.logs_dir / f"{name}.csv", "w") as stream:
            table.to_csv(stream, index=False, float_format="%.7g", lineterminator="\n")
    body = "".join(f"\n### {heading}\n\n{summaries.markdown(lines)}" for heading, lines in
                   paper_on_board.sections(found, args.paper))
    pages = [(args.logs_dir / "beside_published.md", "", "")]
    if args.page:
        pages.append((args.page, *around(args.page, MARK)))
    print(body)
    for path, before, after in pages:
        with atomic(path, "w") as stream:
            stream.write(before + body + after)
        print(f"wrote {path}")


def flags():
    parser = cli.parser(__doc__)
    parser.add_argument("matrix", type=Path, metavar="MATRIX", help="the board")
    parser.add_argument("--paper", type=Path, required=True, metavar="PAPER", help="folder of published tables")
    parser.add_argument("--as", dest="stands_for", required=True, metavar="NAME",
                        help="the published dataset that it stands beside")
    cli.add_study_flags(parser, "data-dir", "logs-dir", "dry-run")
    parser.set_defaults(data_dir=Path("local/paper_on_board/data"), logs_dir=Path("local/paper_on_board"))
    parser.add_argument("--tables", action="store_true", help="only the tables, of trials that are in LOGS_DIR already")
    parser.add_argument("--page", type=Path, metavar="FILE",
                        help=f"also put the tables between this page's marks <!-- {MARK} --> and <!-- /{MARK} -->")
    return parser


if __name__ == "__main__":
    cli.run(main)
