"""ask: did it get worse, from few answers of the candidate, chosen where it may have changed."""

from __future__ import annotations

import argparse
import re

from ... import claims, cli
from ...errors import InputError
from ..defaults import check_alpha
from ..margins import Margin
from ..verdicts import fails
from ..words import as_json, note_text
from . import flags
from .command import Command


def add(to: argparse.ArgumentParser) -> None:
    to.add_argument("baseline", metavar="BASELINE", help="its answers to every question")
    to.add_argument("--replay", metavar="CANDIDATE",
                    help="a candidate that has answered everything: what would few of its answers have said?")
    to.add_argument("--budget", default="25%", metavar="B",
                    help="questions at most: a number, or a share of the bank (default 25%%)")
    to.add_argument("--keep-going", action="store_true", help="use the whole budget, do not stop at the decision")
    to.add_argument("--earlier", nargs="+", default=[], metavar="MODEL",
                    help="earlier candidates of this baseline, to learn from which questions flip")
    to.add_argument("--no-margins", action="store_true", help="do not use the baseline's log-likelihoods")
    to.add_argument("--need-margins", action="store_true", help="refuse a baseline without log-likelihoods")
    to.add_argument("--uniform-share", type=float, metavar="S",
                    help="share of every draw that is uniform, above 0 to 1 (1: plain random sampling)")
    to.add_argument("--tasks", nargs="+", metavar="TASK", help="only these tasks (default: all, as one bank)")
    to.add_argument("--seed", type=cli.at_least(0), default=0, metavar="S", help="seed of the draws (default 0)")
    to.add_argument("--allow-same", action="store_true",
                    help="do not refuse a candidate that is the baseline's own content")
    claims.add_flag(to)
    flags.add_decision_flags(to)
    flags.add_reading_flags(to)
    flags.add_output_flags(to)


def check_unused(options: argparse.Namespace) -> None:
    """Raises InputError for a flag that would be ignored, and a baseline without a name."""
    if options.max_excluded is not None:
        raise InputError("--max-excluded: ask leaves nothing out: what the candidate did not answer counts as wrong")
    if not options.baseline.strip():
        raise InputError("ask: BASELINE is an empty text; name its logs, a CSV, or its row of --matrix")


def run(options: argparse.Namespace) -> int:
    check_unused(options)
    flags.check_targets(options.json, options.overwrite, inputs=flags.inputs_of(options))
    if not options.replay:
        raise InputError("ask: --replay names a candidate that has answered everything (llm-accuracy ask and "
                         "mcnemar_tests.py ask also take --run, and ask one)")
    check_alpha(options.alpha)
    if options.no_margins and options.need_margins:
        raise InputError("--no-margins and --need-margins: give one or the other")
    stated = Margin.parse(options.margin)

    from dataclasses import replace

    from ...scores.contents import identical
    from ..few_answers import bank as banks
    from ..few_answers import curves
    from ..few_answers.replay import Plan, least_questions, lines, replay
    from ..few_answers.run import SHARE
    from ..scales import on_their_scale

    source = flags.source(options, options.tasks)
    source = replace(source, choices=replace(source.choices, margins=not options.no_margins))
    baseline, candidate, *earlier = on_their_scale(source.read([options.baseline, options.replay, *options.earlier]))
    bank = banks.bank_of(baseline, options.baseline, not options.no_margins, options.need_margins)
    scores, said = banks.candidate_scores(bank, baseline, candidate, options.replay)
    if not options.allow_same and all(identical(baseline[task], candidate[task], task)
                                      for task in baseline if task in candidate):
        raise InputError(f"{options.replay} is the same content as {options.baseline}, item by item: a model compared "
                         "with itself passes every gate; name the candidate's own results, or add --allow-same")
    banks.check_earlier(baseline, dict(zip(options.earlier, earlier, strict=True)), candidate)
    pairs, learned = banks.earlier_pairs(bank, baseline, list(zip(options.earlier, earlier, strict=True)))
    if options.about == claims.QUESTIONS:
        banks.check_independent(baseline, options.baseline, stated)
    known = bank.known
    library = curves.fitted_library(known, pairs) if pairs else curves.default_library(known)
    mean, margin = float(known.scores.mean()), banks.margin_of(stated, known.scores, bank.higher_is_better)
    share = SHARE if options.uniform_share is None else options.uniform_share
    plan = Plan(budget_of(options.budget, known.size), not options.keep_going, margin, options.alpha, share,
                options.seed, claims.chosen(options.about))
    result = replay(known, scores, library, plan)
    least = least_questions(known, library, plan)
    everything = known.scores - scores
    whole = None if (everything != everything).any() else float(everything.mean())
    result |= {"baseline": options.baseline, "candidate": options.replay, "least_questions": least,
               "drop_of_all_answers": whole, "notes": [*bank.notes, *said, *learned],
               "margins_known": known.margins is not None}
    to = flags.prose(options.json)
    tasks = len(set(bank.tasks.tolist()))
    print(f"{known.size:,} questions in {tasks} task{'s' * (tasks > 1)}, baseline {100 * mean:.2f} % right; margins "
          f"{'known' if known.margins is not None else 'not used'}", file=to)
    print("\n".join([*lines(result, least, whole), *(note_text(note) for note in result["notes"])]), file=to)
    flags.write_json(as_json(result), options.json)
    return int(fails(result["verdict"], result["within_margin"], options.fail_on))


def budget_of(text: str, n_questions: int) -> int:
    """A number of questions, or a share of the bank. Raises InputError for none, and for more than there are."""
    if found := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*%", text.strip()):
        if float(found[1]) > 100:
            raise InputError(f"--budget {text}: a share of the bank is 100% at most")
        asked = int(n_questions * float(found[1]) / 100 + 1e-9)
    elif re.fullmatch(r"[0-9]{1,15}", text.strip()):
        asked = int(text)
    else:
        raise InputError(f"--budget {text}: give a number of questions (400), or a share of the bank (5%)")
    if not 1 <= asked <= n_questions:
        raise InputError(f"--budget {text}: that is {asked:,} questions of {n_questions:,}; ask 1 to {n_questions:,}")
    return asked


COMMAND = Command(
    "ask", "the same question from few answers of the candidate, chosen where it may have changed", add, run,
    description="The baseline has answered everything; the candidate is asked where it may have changed. With "
                "--replay, on a candidate whose answers are all there. The error rate holds whenever one stops.",
)
