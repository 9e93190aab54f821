"""evaluate: how good is a live model, from few questions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from .. import cli
from ..cli import is_given
from ..errors import InputError
from ..redaction import hidden
from ..visible import visible
from . import again, paired_command
from .drivers import DRIVERS, Request
from .run_folder import COMPARISON, RunFolder, as_written

OF_EXPORT = ("organization", "benchmark", "relationship")
RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")  # the schema's words
DESCRIPTION = r"""How good is a live model, from few of a benchmark's questions?

  llm-accuracy evaluate RUN --history runs/ --budget 5% \
      --lm-eval "--model hf --model_args pretrained=… --tasks mmlu_pro"
  llm-accuracy evaluate RUN --history M1.csv --half-width 1pt \
      --inspect task.py@mmlu --model openai/…
  llm-accuracy evaluate RUN --history M1.csv --budget 400 --command ./grade
  llm-accuracy evaluate RUN --history M1.csv --budget 400 --files
  llm-accuracy evaluate RUN                      where it stands
  llm-accuracy evaluate RUN --resume             or --report, --audit, --export
  llm-accuracy evaluate RUN --baseline runs/base --margin 1pt --lm-eval "…"
                                                 did it get worse?
  llm-accuracy evaluate --forecast --history runs/
                                                 what is this history worth?

RUN is a folder that holds the whole evaluation; stop it anywhere, --resume
goes on. docs/evaluate.md has the rest."""
USAGE = """%(prog)s RUN --history PATH … (--budget B | --half-width W)
           (--lm-eval ARGS | --inspect FILE@TASK | --command CMD | --files) …
       %(prog)s RUN [--resume | --report | --audit | --export eee]
       %(prog)s --forecast --history PATH …"""
INSIDE = {  # flags of the harnesses that this command does not have
    "--lm-eval": ("--model_args", "-a", "--num_fewshot", "-f", "--batch_size", "-b", "--device",
                  "--apply_chat_template", "--gen_kwargs", "--include_path", "--system_instruction",
                  "--fewshot_as_multiturn", "--trust_remote_code", "--confirm_run_unsafe_code", "-t", "-M"),
    "--inspect": ("-T", "-M", "-C", "--epochs", "--max-samples", "--retry-on-error", "--model-base-url")}
FORECAST = ("history", "questions", "budget", "half_width", "metric", "filter")  # what --forecast looks at


def build_parser() -> argparse.ArgumentParser:
    parser = cli.parser(DESCRIPTION)
    parser.prog, parser.usage = "llm-accuracy evaluate", USAGE
    parser.add_argument("run", type=cli.path, nargs="?", metavar="RUN", help="folder of the evaluation")
    parser.add_argument("--forecast", action="store_true",
                        help="instead of a run: the half-widths that budgets give with this history")
    again = parser.add_argument_group("a run that exists").add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with it")
    again.add_argument("--report", action="store_true", help="write result.json and report.html again")
    again.add_argument("--audit", action="store_true", help="recompute every question, probability and estimate")
    again.add_argument("--export", choices=["eee"], help="write it as a record of Every Eval Ever, into RUN/eee")
    add_export(parser)
    how = parser.add_argument_group("who is asked, and how").add_mutually_exclusive_group()
    for way in DRIVERS.values():
        taken: dict[str, Any] = dict(metavar=way.metavar) if way.metavar else dict(action="store_true")
        how.add_argument(f"--{way.name}", help=way.help, **taken)
    what = parser.add_argument_group("what is known")
    what.add_argument("--model", metavar="NAME", help="the model's name (inspect: the model to load; by default "
                      "as the harness calls it, of files and commands RUN's name)")
    what.add_argument("--history", nargs="+", type=cli.path, metavar="PATH",
                      help="logs, a matrix, an .npz of factors, or none: models that have answered these questions")
    what.add_argument("--questions", type=cli.path, metavar="CSV",
                      help="files, command: the bank, question[,task], where no history names it")
    what.add_argument("--metric", help="the score to use where there are several (inspect: the scorer)")
    what.add_argument("--filter", help="lm-eval: the filter to use where a task has several")
    what.add_argument("--factors", type=cli.path, metavar="NPZ",
                      help="keep the fitted factors here, and use them again while the history is the same")
    what.add_argument("--cost", type=cli.path, metavar="CSV",
                      help="question,cost (tokens, seconds): choose by information per cost")
    what.add_argument("--as-begun", action="store_true", help="resume although the history's files have changed")
    end = parser.add_argument_group("when to stop")
    end.add_argument("--budget", metavar="B", help="a number of questions or a share (5%%): the tighter interval")
    end.add_argument("--half-width", metavar="W", help="stop as soon as the interval is ± this: 1pt, or .01")
    end.add_argument("--exact", action="store_true", default=None,
                     help="with --half-width: an interval that rests on no normal limit")
    end.add_argument("--max-budget", metavar="B", help="with --half-width: questions at most")
    end.add_argument("--max-minutes", type=cli.number(), metavar="M", help="begin no further round after this time")
    paired_command.add_flags(parser)
    fine = parser.add_argument_group("details")
    fine.add_argument("--first-round", type=cli.at_least(1), metavar="B", help="questions in the first round (8)")
    fine.add_argument("--growth", type=float, metavar="G", help="how many times larger each round is (1.5)")
    fine.add_argument("--alpha", type=float, metavar="A", help="error rate of the intervals (.05)")
    fine.add_argument("--seed", type=cli.at_least(0), metavar="S", help="of the draws (0)")
    fine.add_argument("--show-questions", action="store_true", help="the report shows answers' questions, not ids only")
    return parser


def add_export(parser: argparse.ArgumentParser) -> None:
    """The flags of OF_EXPORT."""
    public = parser.add_argument_group("of an export")
    public.add_argument("--organization", metavar="NAME", help="who has evaluated")
    public.add_argument("--benchmark", metavar="NAME", help="its name (default: the tasks')")
    public.add_argument("--relationship", choices=RELATIONSHIPS, metavar="R",
                        help=f"of the evaluator to the model's developer: {', '.join(RELATIONSHIPS)}")


def check_export(options: argparse.Namespace) -> None:
    """Raises InputError for a flag of an export where there is none."""
    for name in OF_EXPORT:
        if is_given(getattr(options, name)) and not options.export:
            raise InputError(f"--{name} goes with --export")


def main(argv: list[str] | None = None) -> int:
    """Run `evaluate` with the words after it (or, where argv begins with it, with its own name) and return 0."""
    words = list(sys.argv[1:] if argv is None else argv)
    words = words[1:] if words[:1] == ["evaluate"] else words
    if hint := _hint(words):
        raise InputError(hint)
    options = build_parser().parse_args(words)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return again.interrupted(options.run)
    except InputError as error:
        raise InputError(hidden(str(error))) from None


def _run(options: argparse.Namespace) -> int:
    if _only_looks(options):
        with as_written(options.run / "manifest.json"):
            print(*again.status(RunFolder(options.run)), sep="\n")
        return 0
    _check(options)
    if options.forecast:
        from .forecast import forecast

        print(*forecast(options.history, options.questions, options.budget, options.half_width, options.metric,
                        options.filter), sep="\n")
        return 0
    run = RunFolder(options.run)
    exists = options.resume or options.report or options.audit or options.export
    if exists:
        with as_written(run / "manifest.json"):
            again.check_same(options, run.manifest())
    if exists and run.manifest().get("kind") == COMPARISON:
        return paired_command.again(options, run, _request(options))
    if extra := paired_command.given(options, (*paired_command.FIXED, *paired_command.OUTPUTS)):
        if options.baseline is None:
            raise InputError(f"{extra[0]} is for a comparison, with --baseline")
    if exists and options.baseline is not None:
        raise InputError(f"{options.run} holds no comparison: leave --baseline away")
    if options.baseline is not None:
        outputs, request = paired_command.Outputs.of(options, options.run), _request(options)
        assert request is not None
        return paired_command.begin_or_resume(run, paired_command.wanted_of(options, request), request, outputs,
                                              show_questions=options.show_questions)
    from .evaluate import Wanted, audit, begin, go_on, reopen, resume
    from .live_line import Live
    from .results import said_of

    live = Live()
    if options.audit:
        print(*audit(run), sep="\n")
        return 0
    if options.report or options.export:
        from .export import export, rewritten

        run.manifest()
        result = rewritten(run, reopen, export, options)
        if result is None:
            return 0
    else:
        request = _request(options)
        if options.resume:
            try:
                evaluation = resume(run, request, options.history, options.as_begun, live.say,
                                    options.show_questions)
            except BaseException:
                run.release()
                raise
        else:
            assert request is not None
            settings = {"first": options.first_round, "growth": options.growth, "alpha": options.alpha,
                        "seed": options.seed, "max_minutes": options.max_minutes}
            stop = {"budget": options.budget, "half_width": options.half_width, "max_budget": options.max_budget,
                    "exact": bool(options.exact)}
            settings = {name: value for name, value in settings.items() if value is not None}
            wanted = Wanted(request, options.history, stop, settings, options.questions, options.cost, options.factors)
            evaluation = begin(run, wanted, live.say)
        evaluation.show_questions = options.show_questions
        try:
            result = go_on(evaluation, live)
        finally:
            run.release()
    print(*said_of(result), sep="\n")
    print(visible(str(run / "report.html")))
    return 0


def _only_looks(options: argparse.Namespace) -> bool:
    """Whether nothing but a run that exists is named."""
    others = [name for name, value in vars(options).items() if is_given(value) and name != "run"]
    return options.run is not None and RunFolder(options.run).begun and not others


def _hint(words: list[str]) -> str | None:
    """What to write instead, where words belong to a harness and stand outside its quotes."""
    for flag, example in (("--lm-eval", "--model hf --model_args pretrained=… --tasks mmlu_pro"),
                          ("--inspect", "task.py@mmlu -T name=value")):
        if flag in words:
            after = words[words.index(flag) + 1:]
            if not after or (after[0].startswith("-") and " " not in after[0] and "=" not in after[0]):
                return f'{flag}: what it is given stands in quotes: {flag} "{example}"'
            tasks = ("--tasks",) * (flag == "--lm-eval" and "--baseline" not in words)
            own = next((word for word in after[1:] if word in (*INSIDE[flag], *tasks)), None)
            if own:
                return f'{own} belongs to {flag}, inside its quotes: {flag} "{example}"'
    return None


def _check(options: argparse.Namespace) -> None:
    """Raises InputError for flags that do not go together."""
    exists = next((name for name in ("resume", "report", "audit", "export") if getattr(options, name)), None)
    chosen = [name for name in DRIVERS if is_given(getattr(options, name.replace("-", "_")))]
    if options.forecast:
        others = [name for name, value in vars(options).items()
                  if is_given(value) and name not in (*FORECAST, "forecast", "run")]
        if options.run or others:
            extra = options.run or f"--{others[0].replace('_', '-')}"
            raise InputError(f"--forecast asks nothing: leave {extra} away (it looks at --history, --questions, "
                             "--budget, --half-width, --metric and --filter)")
        if options.history is None:
            raise InputError("--forecast: --history names what it is to be made from (none, with --questions)")
        return
    if options.run is None:
        lists = {name: " ".join(map(str, getattr(options, name) or [])) for name in ("history", "earlier", "tasks")}
        taken = next((f"; --{name} takes all words that follow it ({words}): write RUN first"
                      for name, words in lists.items() if " " in words), "")
        raise InputError(f"RUN is missing: the folder that the evaluation is kept in{taken}")
    if options.model is not None and not options.model.strip():
        raise InputError("--model: a name is needed")
    for names, place in ((OF_EXPORT, "export"), (("as_begun",), "resume")):
        for name in names:
            if is_given(getattr(options, name)) and exists != place:
                raise InputError(f"--{name.replace('_', '-')} goes with --{place}")
    if exists in ("audit", "report", "export"):
        _leave_away(options, f"--{exists}", {"history", *(name.replace("-", "_") for name in chosen)})
    if exists == "audit":
        _leave_away(options, "--audit", {"show_questions"})
    if exists in ("audit", "export"):
        _leave_away(options, f"--{exists}", paired_command.OUTPUTS)
    if exists:
        return
    if not chosen:
        raise InputError(f"how is the model asked? Give one of {', '.join('--' + name for name in DRIVERS)} (or "
                         "--resume)")
    again.check_minutes(options.max_minutes, chosen)
    if options.baseline is not None:
        return
    if options.cost is not None and options.exact:
        raise InputError("--cost does not go with --exact: questions that are asked one after the other, for that "
                         "interval, are not chosen by their cost")
    if options.history is None:
        raise InputError("--history: logs, a matrix or factors of models that have answered these questions (none, for "
                         "no history)")


def _leave_away(options: argparse.Namespace, what: str, flags: Iterable[str], more: tuple[str, ...] = ()) -> None:
    """Raises InputError for a flag that `what` does not look at: it would be ignored in silence."""
    for name in (*sorted(flags), *more):
        if is_given(getattr(options, name, None)):
            raise InputError(f"--{name.replace('_', '-')} has no place beside {what}: leave it away")


def _request(options: argparse.Namespace) -> Request | None:
    for name in DRIVERS:
        value = getattr(options, name.replace("-", "_"))
        if is_given(value):
            return Request(name, "" if value is True else value, options.run, options.model, options.metric,
                           options.filter, options.show_questions, again.fixed(options))
    return None
