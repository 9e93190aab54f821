"""Import anyone's results as a dataset: the older half of the models becomes the history.

    python data/split_history.py MATRIX.csv.gz --dataset NAME
    python data/split_history.py ANSWERS.csv --from long --dataset NAME
    python data/split_history.py OUTPUT_FOLDER … --from lm-eval --metric acc --dataset NAME
    python data/split_history.py LOGS --from inspect --dataset NAME          (pip install inspect_ai)
    python data/split_history.py benchmark_output/runs/SUITE --from helm --metric exact_match --dataset NAME
    python data/split_history.py MATRIX.csv.gz --dataset NAME --leave-out FAMILY

wide (the default): model,created_date,sha[,family], then one column per question; cells are scores in [0, 1] or
blank. long: model,question,score[,task][,category][,created_date][,sha][,family]. lm-eval: folders written with
--log_samples, one per model. helm: per_instance_stats.json with run_spec.json beside it. Logs know no release
dates: give them in a CSV model,created_date[,sha][,family] with --model-info.

An answer given twice with different scores is refused unless --conflicts says which counts; equal repetitions
count once. With --bank QUESTIONS.csv (question[,task[,category]]) answers to other questions are refused, or
dropped with --unknown drop. Whatever was resolved is printed.

Models are sorted by date (a stable sort, undated ones last). The history (M1) may have blanks; new models (M2)
must not, so incomplete ones are dropped, or with --incomplete zero their blanks count as wrong. --leave-out makes
one family the new models and everybody else the history, whatever the dates: the honest split where a small matrix
holds many variants of one model. Writes DATA_DIR/NAME/M1.csv, M2.csv and, where tasks are known, questions.csv.
Seconds; answers from long files and logs take about 300 bytes of memory each.
"""

import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from llm_accuracy import cli
from llm_accuracy.errors import InputError
from llm_accuracy.scores import readers
from llm_accuracy.scores.dataset import write_dataset
from llm_accuracy.scores.matrix import MISSING, Responses, family_of, split_by_date
from llm_accuracy.scores.tables import with_info


def main(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    parser.add_argument("--from", dest="kind", choices=readers.FORMATS, default="wide", help="what SOURCE is")
    parser.add_argument("--metric", help="the score to take where a log has several (inspect: the scorer)")
    parser.add_argument("--filter", help="lm-eval: the filter to take where a task has several")
    parser.add_argument("--conflicts", choices=readers.CONFLICTS, default="refuse",
                        help="one answer given twice with different scores (default: refuse)")
    parser.add_argument("--bank", type=Path, metavar="CSV", help="the questions there are: question[,task[,category]]")
    parser.add_argument("--unknown", choices=("refuse", "drop"), default="refuse",
                        help="answers to questions that are not in --bank (default: refuse)")
    parser.add_argument("--model-info", type=Path, metavar="CSV", help="model,created_date[,sha][,family]")
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument("--data-dir", type=Path, default=Path("data/processed"), metavar="DIR")
    parser.add_argument("--share", type=float, default=0.5, help="share of the models that are history (default .5)")
    parser.add_argument("--leave-out", metavar="FAMILY", help="this family is new, all others are history")
    parser.add_argument("--incomplete", choices=("drop", "zero"), default="drop",
                        help="new models that lack scores: drop them (default) or count blanks as wrong")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, write nothing")
    args = parser.parse_args(argv)
    if not 0 < args.share < 1:
        raise InputError(f"--share {args.share}: must lie between 0 and 1")
    responses, resolved = readers.read(args.kind, args.sources, args.metric, args.filter, args.conflicts, args.bank,
                                       args.unknown)
    if args.model_info:
        responses = with_info(responses, args.model_info)
    responses = with_families(responses)
    source = responses.source
    if responses.n_models < 4:
        raise InputError(f"{source}: {responses.n_models} models; at least 4 are needed")
    history, new = split(responses, args)
    new, said = complete(new, args.incomplete)
    print(*resolved, sep="\n", end="\n" * bool(resolved))
    print(f"{source}: {responses.n_models} models x {responses.n_questions} questions, "
          f"{1 - responses.observed.mean():.2%} blank")
    print_families(responses)
    print(f"history M1: {history.n_models} models, {span(history)}; new models M2: {new.n_models}, {span(new)}")
    if said:
        print(said)
    if not new.n_models:
        raise InputError(f"{source}: no complete new model is left; try --incomplete zero")
    folder = args.data_dir / args.dataset
    if not args.dry_run:
        write_dataset(folder, history, new, args.overwrite)
        print(f"wrote {folder}/M1.csv, M2.csv" + (" and questions.csv" if new.tasks is not None else ""))


def with_families(responses: Responses) -> Responses:
    """Families as the matrix names them; where it does not, by the default rule."""
    named = [family or family_of(model) for family, model in zip(responses.families, responses.models, strict=True)]
    return replace(responses, families=np.array(named))


def split(responses: Responses, args) -> tuple[Responses, Responses]:
    if args.leave_out is None:
        return split_by_date(responses, args.share)
    new = responses.families == args.leave_out
    if not new.any() or new.all():
        raise InputError(f"{responses.source}: --leave-out {args.leave_out}: {int(new.sum())} of {len(new)} models are "
                         "of this family; run with --dry-run to see the families")
    return responses.take(~new), responses.take(new)


def complete(new: Responses, how: str) -> tuple[Responses, str]:
    lacking = ~new.complete
    if not lacking.any():
        return new, ""
    names = ", ".join(new.models[lacking])
    if how == "drop":
        return new.take(~lacking), f"dropped {lacking.sum()} new models that lack scores: {names}"
    blank = ~new.observed
    filled = np.where(blank, 0, new.scores).astype(new.scores.dtype)
    assert (filled != MISSING).all()
    return replace(new, scores=filled), f"{blank.sum()} blanks of {lacking.sum()} new models count as wrong: {names}"


def print_families(responses: Responses) -> None:
    sizes = Counter(responses.families.tolist())
    several = [f"{family} ({size})" for family, size in sizes.most_common() if size > 1]
    said = f"families: {len(sizes)}" + (f", {len(several)} with siblings: {', '.join(several)}" if several else "")
    print(textwrap.fill(said, 80, subsequent_indent="  ", break_on_hyphens=False))


def span(responses: Responses) -> str:
    dated = sorted(responses.dates[responses.dates != ""])
    return f"{dated[0]} to {dated[-1]}" if dated else "undated"


if __name__ == "__main__":
    cli.run(main)
