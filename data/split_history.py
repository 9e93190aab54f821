"""Import anyone's results as a dataset: the older half of the models becomes the history.

    python data/split_history.py MATRIX.csv.gz --dataset NAME
    python data/split_history.py ANSWERS.csv --from long --dataset NAME
    python data/split_history.py OUTPUT_FOLDER … --from lm-eval --metric acc --dataset NAME
    python data/split_history.py LOGS --from inspect --dataset NAME          (pip install inspect_ai)
    python data/split_history.py benchmark_output/runs/SUITE --from helm --metric exact_match --dataset NAME
    python data/split_history.py NAME=FOLDER NAME=FOLDER … --from lm-eval --dataset NAME
    python data/split_history.py MATRIX.csv.gz --dataset NAME --leave-out FAMILY

wide (the default): model,created_date,sha[,family], then one column per question; cells are scores in [0, 1] or
blank. long: model,question,score[,task][,category][,created_date][,sha][,family]. lm-eval: folders written with
--log_samples, one per model. helm: per_instance_stats.json with run_spec.json beside it. Logs know no release
dates: give them in a CSV model,created_date[,sha][,family] with --model-info.

An answer given twice with different scores is refused unless --conflicts says which counts; equal repetitions
count once. With --bank QUESTIONS.csv (question[,task[,category]]) answers to other questions are refused, or
dropped with --unknown drop. Whatever was resolved is printed.

Models are sorted by date (a stable sort, undated ones last, in the order of the file). With --split-by family no
family stands on both sides; with weak-to-strong the least accurate third is the history and the most accurate third
is new, with strong-to-weak the other way round (to see what a shift does); with --shuffle SEED a random order takes
the place of the dates. The history (M1) may have blanks; new models (M2) must not: by default incomplete ones are
dropped (--incomplete models); --incomplete questions drops the questions that any of them lacks instead, zero counts
blanks as wrong. What goes is named. --leave-out makes one family the new models and everybody else the history,
whatever the dates: the honest split where a small matrix holds many variants of one model. --history-only makes all
of them history, for asking a live model. Writes DATA_DIR/NAME/M1.csv, M2.csv and, where tasks are known,
questions.csv. Seconds; answers from long files and logs take about 300 bytes of memory each.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.files import plain_name
from llm_accuracy.scores import readers
from llm_accuracy.scores.flags import add_choice_flags, choices_of


def main(argv=None):
    args = flags().parse_args(argv)
    plain_name(args.dataset, "--dataset")
    readers.named_paths(args.sources)  # before anything slow is imported
    responses, resolved = readers.read(args.kind, args.sources, args.metric, args.filter, args.conflicts, args.bank,
                                       args.unknown, choices_of(args, skip=args.skip))
    from llm_accuracy.scores.dataset import write_dataset
    from llm_accuracy.scores.splitting import complete, families_line, order_line, span, split, with_families
    from llm_accuracy.scores.tables import with_info

    if args.model_info:
        responses = with_info(responses, args.model_info)
    responses = with_families(responses)
    source = responses.source
    if responses.n_models < 4:
        raise InputError(f"{source}: {responses.n_models} models; at least 4 are needed")
    if args.history_only:
        return all_history(args, responses, resolved)
    history, new = split(responses, args.share, args.leave_out, args.split_by, args.shuffle)
    history, new, said = complete(history, new, args.incomplete)
    print(*resolved, sep="\n", end="\n" * bool(resolved))
    print(f"{source}: {responses.n_models} models x {responses.n_questions} questions, "
          f"{1 - responses.observed.mean():.2%} blank")
    print(families_line(responses))
    print(f"history M1: {history.n_models} models, {span(history)}; new models M2: {new.n_models}, {span(new)}")
    order = "" if args.leave_out else order_line(responses, args.shuffle, args.split_by, args.share)
    print(*filter(None, [order, said]), sep="\n", end="\n" * bool(order or said))
    if not history.n_models:
        raise InputError(f"--share {args.share}: none of {responses.n_models} models would be history: raise it")
    if not new.n_models or not new.n_questions:
        raise InputError(f"{source}: no complete new model is left; try --incomplete zero")
    folder = args.data_dir / args.dataset
    if not args.dry_run:
        write_dataset(folder, history, new, args.overwrite)
        print(f"wrote {folder}/M1.csv, M2.csv" + (" and questions.csv" if new.tasks is not None else ""))


def all_history(args, responses, resolved):
    """--history-only: every model is history; there are no new models to try methods on."""
    from llm_accuracy.scores.dataset import write_dataset
    from llm_accuracy.scores.splitting import families_line, span

    print(*resolved, sep="\n", end="\n" * bool(resolved))
    print(f"{responses.source}: {responses.n_models} models x {responses.n_questions} questions, "
          f"{1 - responses.observed.mean():.2%} blank\n{families_line(responses)}\n"
          f"history M1: all {responses.n_models} models, {span(responses)}; no new models M2")
    if not args.dry_run:
        write_dataset(args.data_dir / args.dataset, responses, None, args.overwrite)
        print(f"wrote {args.data_dir / args.dataset}/M1.csv")


def flags() -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="file or folder; NAME=PATH names the model of a "
                                                                     "log")
    parser.add_argument("--from", dest="kind", choices=readers.formats(), default="wide",
                        help="what SOURCE is: " + "; ".join(f"{name}: {readers.READERS[name].what}".replace("%", "%%")
                                                            for name in readers.formats()))
    add_choice_flags(parser)
    parser.add_argument("--skip", nargs="+", default=[], metavar="TASK", help="tasks of logs, or patterns, not to read")
    parser.add_argument("--conflicts", choices=readers.CONFLICTS, default="refuse",
                        help="one answer given twice with different scores (default: refuse)")
    parser.add_argument("--bank", type=Path, metavar="CSV", help="the questions there are: question[,task[,category]]")
    parser.add_argument("--unknown", choices=("refuse", "drop"), default="refuse",
                        help="answers to questions that are not in --bank (default: refuse)")
    parser.add_argument("--model-info", type=Path, metavar="CSV", help="model,created_date[,sha][,family]")
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument("--data-dir", type=Path, default=Path("data/processed"), metavar="DIR")
    parser.add_argument("--share", type=cli.number(0, 1), help="share of the models that are history (default: .5, by "
                        "strength a third)")
    parser.add_argument("--leave-out", metavar="FAMILY", help="this family is new, all others are history")
    parser.add_argument("--split-by", choices=readers.SPLIT_BY, default="date",
                        help="family: no family on both sides; weak-to-strong: the least accurate third is the "
                        "history, the most accurate is new, or the other way round (default: date)")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="split in a random order, whatever the dates")
    parser.add_argument("--history-only", action="store_true",
                        help="every model is history, for a live session; nothing is split and no M2.csv is written")
    parser.add_argument("--incomplete", choices=readers.INCOMPLETE, default="models",
                        help="where new models lack scores: drop the models (default), or the questions, or count "
                        "blanks as wrong")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, write nothing")
    return parser


if __name__ == "__main__":
    cli.run(main)
