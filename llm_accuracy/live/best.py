"""The command best: of models whose answers are all there (a matrix), or of models that are asked (--run)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import claims, cli
from ..cli import is_given
from ..degradation.commands import flags
from ..errors import InputError
from ..querying import best_command
from ..redaction import hidden
from . import again, best_gate
from .command import OF_EXPORT, add_export, check_export
from .drivers import DRIVERS, Request
from .paired_command import OUTPUTS, add_files
from .run_folder import BEST, RunFolder, as_written

if TYPE_CHECKING:
    from .several_run import SeveralWanted

DESCRIPTION = best_command.DESCRIPTION.replace("""--k MODEL MODEL … --history M1.csv

""", """--k MODEL MODEL … --history M1.csv
    llm-accuracy best --run RUN --history runs/ \\
        --lm-eval "--model hf --model_args pretrained=A --tasks mmlu" \\
        --lm-eval "--model hf --model_args pretrained=B --tasks mmlu"   live models, a flag for each
    llm-accuracy best --run RUN --inspect task.py@mmlu --k openai/a openai/b    one task, each of these models
    llm-accuracy best --run RUN --resume                                        (also --report, --audit, --export)

""")
AGAIN = ("resume", "report", "audit", "export")
DEFAULTS = {"tolerance": "0.5pt", "alpha": 0.05, "seed": 0}  # set when it is known that they were not given
LIVE = ("asked", "model", "questions", "metric", "filter", "budget", "max_minutes", *AGAIN, "as_begun", *OF_EXPORT)


class Add(argparse.Action):
    """--lm-eval ARGS and the like, once a model, in their order."""

    def __call__(self, parser, namespace, values, option_string=None):
        asked = [*(getattr(namespace, self.dest) or []), ((option_string or "").lstrip("-"), values or "")]
        setattr(namespace, self.dest, asked)


def build_parser() -> argparse.ArgumentParser:
    parser = best_command.build_parser()
    parser.description = DESCRIPTION
    matrix = next(action for action in parser._actions if action.dest == "matrix")
    matrix.nargs, matrix.required = "?", False
    for action in parser._actions:
        if action.dest in DEFAULTS:
            action.default = None
        if action.dest == "history":
            action.nargs, action.metavar, action.type = "+", "PATH", cli.path
            action.help = "other models' answers, a matrix (live models: or logs, factors): which questions tell " \
                          "models apart"
    best_gate.add_flags(parser)
    add_files(parser)
    flags.add_output_flags(parser)
    live = parser.add_argument_group("models that are asked")
    live.add_argument("--run", dest="folder", type=cli.path, metavar="RUN",
                      help="keep the search in this folder; the models are asked by one of these, once a model:")
    for way in DRIVERS.values():
        live.add_argument(f"--{way.name}", action=Add, dest="asked", nargs=None if way.metavar else 0,
                          metavar=way.metavar, help=way.help)
    live.add_argument("--model", nargs="+", metavar="MODEL", help="inspect: the models to load (default: those of --k)")
    live.add_argument("--questions", type=cli.path, metavar="CSV",
                      help="files, command: the bank, question[,task], where no history names it")
    live.add_argument("--metric", help="the score to use where there are several (inspect: the scorer)")
    live.add_argument("--filter", help="lm-eval: the filter to use where a task has several")
    live.add_argument("--budget", metavar="B", help="questions of a model at most, or a share (default: all)")
    live.add_argument("--max-minutes", type=cli.number(), metavar="M", help="begin no further round after this time")
    again = live.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with RUN")
    again.add_argument("--report", action="store_true", help="write result.json and report.html again")
    again.add_argument("--audit", action="store_true", help="recompute every question, probability and look")
    again.add_argument("--export", choices=["eee"],
                       help="write every model as a record of Every Eval Ever, into RUN/eee")
    add_export(parser)
    live.add_argument("--as-begun", action="store_true", help="resume although the history's files have changed")
    return parser


def main(argv: list[str]) -> int:
    """argv: the command's name and its arguments."""
    options = build_parser().parse_args(argv[1:])
    if options.folder is None:
        return _replayed(options)
    if options.matrix is not None:
        raise InputError(f"{options.matrix} has all answers, --run asks for them: give one or the other")
    try:
        return _asked(options)
    except KeyboardInterrupt:
        return again.interrupted(options.folder)
    except InputError as error:
        raise InputError(hidden(str(error))) from None


def _replayed(options: argparse.Namespace) -> int:
    live = [name for name in LIVE if is_given(getattr(options, name))]
    if live:
        flag = options.asked[0][0] if live[0] == "asked" else live[0].replace("_", "-")
        raise InputError(f"--{flag}: --run RUN names the folder that the search is kept in")
    if options.matrix is None:
        raise InputError("which models? Give a MATRIX of all answers, or --run RUN and a driver's flag for each model")
    if options.history is not None:
        if len(options.history) > 1:
            raise InputError("--history: beside a matrix, one matrix of other models")
        options.history = options.history[0]
    _set_defaults(options)
    outputs = best_gate.Outputs.of(options, [path for path in (options.matrix, options.history) if path])
    if options.k:
        outputs.gate.check(options.k)
    result = best_command.replayed(options)
    outputs.gate.check(result["models"])
    return outputs.write(result, best_command.lines(result), [])


def _set_defaults(options: argparse.Namespace) -> None:
    for name, value in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)


def _asked(options: argparse.Namespace) -> int:
    run = RunFolder(options.folder)
    read = [*(options.history or []), *([options.questions] if options.questions else []), *_read_before(run)]
    outputs = best_gate.Outputs.of(options, [*flags.files_of([options.folder]), *read])
    check_export(options)
    if any(getattr(options, name) for name in AGAIN):
        return _again(options, run, outputs)
    if options.as_begun:
        raise InputError("--as-begun goes with --resume")
    if run.begun and not any(is_given(value) for name, value in vars(options).items() if name != "folder"):
        run.manifest(BEST)
        print(*again.status(run), sep="\n")
        return 0
    if not options.asked:
        raise InputError(f"how are the models asked? Give one of {', '.join('--' + name for name in DRIVERS)}, once a "
                         "model (or --resume)")
    from .live_line import Live
    from .loop import go_on
    from .several_run import begin

    live = Live()
    try:
        result = go_on(begin(run, _wanted(options, outputs.gate), live.say), live)
    finally:
        run.release()
    return _told(outputs, run, result)


def _read_before(run: RunFolder) -> list[Path]:
    """The history that a run began with, which no output of it may replace."""
    if not run.begun:
        return []
    return [Path(path) for path in run.manifest(BEST)["history"]["paths"]]


def _wanted(options: argparse.Namespace, gate: best_gate.Gate) -> SeveralWanted:
    """Raises InputError for words that cannot be used."""
    from ..degradation.defaults import check_alpha
    from .several_run import SeveralWanted

    again.check_minutes(options.max_minutes, [way for way, _ in options.asked])
    _set_defaults(options)
    check_alpha(options.alpha)
    plan = {"tolerance": best_command.tolerance_of(options.tolerance), "alpha": options.alpha, "seed": options.seed,
            "about": claims.chosen(options.about), "max_minutes": options.max_minutes}
    requests = _requests(options)
    names = list(options.k or [])
    if options.asked[0][0] != "files" and names and len(names) != len(requests):
        raise InputError(f"--k names {len(names)} models, {len(requests)} are asked: name each")
    return SeveralWanted(requests, names, list(options.history or []), options.budget, plan, options.questions,
                         gate.check)


def _requests(options: argparse.Namespace) -> list[Request]:
    """One a model; of --files one for all."""
    asked, names, models = options.asked, options.k or [], options.model or []
    ways = {way for way, _ in asked}
    if "files" in ways and len(asked) > 1:
        raise InputError("--files asks all models by two files: give it once, alone, and name the models with --k")
    if models and ways != {"inspect"}:
        raise InputError("--model is for --inspect; models that are asked in other ways are named with --k")
    if "command" in ways and not names:
        raise InputError("--k names the models, in the order of the flags that ask them: a program does not say its "
                         "model's name")
    loaded = models or names
    if ways == {"inspect"} and len(asked) == 1 and len(loaded) > 1:
        asked = asked * len(loaded)
    if ways == {"inspect"} and len(loaded) not in (0, len(asked)) and len(loaded) != 1:
        raise InputError(f"--inspect is there {len(asked)} times, with {len(loaded)} models: give it once, or once a "
                         "model")
    if ways == {"inspect"} and len(loaded) == 1:
        loaded = loaded * len(asked)
    if "files" in ways:
        loaded = []
    return [Request(way, words, options.folder, loaded[i] if i < len(loaded) else None, options.metric,
                    options.filter) for i, (way, words) in enumerate(asked)]


def _again(options: argparse.Namespace, run: RunFolder, outputs: best_gate.Outputs) -> int:
    from .live_line import Live
    from .loop import go_on
    from .several_run import audit, reopen, resume

    if not options.resume:
        _leave_away(options)
    manifest = run.manifest(BEST)
    _check_begun(options, manifest)
    outputs.gate.check(manifest["models"])
    if options.audit:
        print("\n".join(audit(run)))
        return 0
    live = Live()
    try:
        if options.report or options.export:
            run.lock()
            contest = reopen(run)
            if options.export:
                from .export import export_models

                print(*export_models(contest, options.organization, options.relationship, options.benchmark), sep="\n")
                return 0
            result = contest.write()
        else:
            options.k = options.k or run.manifest(BEST)["models"]
            requests = _requests(options) if options.asked else []
            result = go_on(resume(run, requests, options.history, options.as_begun, live.say), live)
    finally:
        run.release()
    return _told(outputs, run, result)


def _leave_away(options: argparse.Namespace) -> None:
    """Raises InputError for a flag that --report, --audit or --export would ignore."""
    what = next(name for name in AGAIN if getattr(options, name))
    for name in ("asked", "history", "as_begun", *(OUTPUTS if what != "report" else ())):
        if is_given(getattr(options, name)):
            flag = options.asked[0][0] if name == "asked" else name.replace("_", "-")
            raise InputError(f"--{flag} has no place beside --{what}: leave it away")


def _check_begun(options: argparse.Namespace, manifest: dict[str, Any]) -> None:
    """Raises InputError for a flag with another value than the run began with."""
    from ..querying.session import budget_of

    with as_written(options.folder / "manifest.json"):
        plan, asked = manifest["plan"], manifest["asked"]
        begun = {name: plan[name] for name in ("tolerance", "alpha", "seed", "about", "max_minutes")}
        begun |= {"k": manifest["models"], "budget": plan["questions"], "questions": None}
        begun |= {name: asked[0][name] for name in ("metric", "filter")}
        models = [one["model"] for one in asked]
    now = {name: getattr(options, name) for name in begun}
    if options.tolerance is not None:
        now["tolerance"] = best_command.tolerance_of(options.tolerance)
    if options.budget is not None:
        now["budget"] = budget_of(options.budget, manifest["bank"]["questions"])
    for name, value in now.items():
        if value is not None and value != begun[name]:
            then = "" if begun[name] is None else f" ({begun[name]})"
            raise InputError(f"--{name.replace('_', '-')}: fixed when the run began{then}; leave it away, or begin "
                             "another run")
    if options.model and options.model not in (models, models[:1]):
        raise InputError(f"--model {' '.join(options.model)}: the run began with "
                         f"{' '.join(map(str, filter(None, models))) or 'none'}; leave it away, or begin another run")


def _told(outputs: best_gate.Outputs, run: RunFolder, result: dict[str, Any]) -> int:
    from .several_report import text_of

    said = text_of(result)
    if not result["ended"]:
        said.append(f"the search has not ended: add --resume to go on with {run.path}")
    return outputs.write(result, said, [str(run / "report.html")])
