"""`evaluate RUN --baseline BASE` and `ask BASE --run RUN`: flags, files and exit codes of a comparison."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import claims
from ..cli import is_given
from ..degradation.commands import flags
from ..degradation.defaults import MARGIN, check_alpha
from ..degradation.verdicts import CONDITIONS, fails
from ..errors import InputError
from ..files import write_whole
from .drivers import Request
from .run_folder import COMPARISON, RunFolder

if TYPE_CHECKING:
    from ..degradation.reading import Source
    from .paired_run import Comparison, PairedWanted

FIXED = ("margin", "earlier", "tasks", "need_margins", "no_margins", "uniform_share", "keep_going",
         "allow_same", "about")  # flags of a comparison that are fixed when it begins
OUTPUTS = ("fail_on", "json", "junit", "markdown", "overwrite")
BUDGET = "25%"  # questions at most, where nothing is said


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `evaluate` for a comparison."""
    to = parser.add_argument_group("did it get worse")
    to.add_argument("--baseline", metavar="MODEL",
                    help="logs or a CSV of a model that has answered every question: the model is asked where it may "
                         "have changed, until it is decided whether it got worse (--history is then optional)")
    to.add_argument("--margin", metavar="M", help="the smallest drop that matters: 1pt (default), .01, recovery=99%%")
    to.add_argument("--earlier", nargs="+", metavar="MODEL",
                    help="earlier candidates of this baseline, to learn from which questions flip")
    to.add_argument("--tasks", nargs="+", metavar="TASK", help="only these tasks of the baseline")
    to.add_argument("--need-margins", action="store_true", help="refuse a baseline without log-likelihoods")
    to.add_argument("--no-margins", action="store_true", help="do not use the baseline's log-likelihoods")
    to.add_argument("--uniform-share", type=float, metavar="S", help="share of every draw that is uniform (.3)")
    to.add_argument("--keep-going", action="store_true", help="use the whole budget, do not stop at the decision")
    to.add_argument("--allow-same", action="store_true", help="do not refuse a candidate that is the baseline")
    claims.add_flag(to)
    to.add_argument("--fail-on", choices=CONDITIONS, help="exit 1 on this outcome")
    add_files(to)
    flags.add_output_flags(to)  # type: ignore[arg-type]


def add_files(to) -> None:
    to.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a CI system's job page")
    to.add_argument("--junit", type=Path, metavar="FILE", help="write the verdict as JUnit XML")


def given(options: argparse.Namespace, names: tuple[str, ...]) -> list[str]:
    """Those of these flags that are on the command line, as they are written."""
    return [f"--{name.replace('_', '-')}" for name in names if is_given(getattr(options, name, None))]


def wanted_of(options: argparse.Namespace, request: Request) -> PairedWanted:
    """What `evaluate --baseline` asks for. Raises InputError for words that cannot be used."""
    from ..degradation.reading import Source
    from ..scores.task_scores import Choices

    for flag, value in (("half-width", options.half_width), ("exact", options.exact),
                        ("max-budget", options.max_budget), ("cost", options.cost),
                        ("factors", options.factors), ("questions", options.questions),
                        ("first-round", options.first_round), ("growth", options.growth)):
        if value is not None:
            raise InputError(f"--{flag} has no place beside --baseline: the run ends when the verdict is decided, "
                             "or at --budget")
    chosen = {"*": (options.metric, options.filter)} if options.metric or options.filter else {}
    tasks = tuple(options.tasks) if options.tasks else None
    source = Source(None, Choices(chosen, source="--metric and --filter", flags="--metric or --filter", tasks=tasks))
    return wanted(options, request, source)


def wanted(options: argparse.Namespace, request: Request, source: Source) -> PairedWanted:
    """The same, with the baseline from a source. Raises InputError for words that cannot be used."""
    from .paired_run import PairedWanted

    margin = str(MARGIN) if options.margin is None else options.margin
    budget = BUDGET if options.budget is None else options.budget
    if not options.baseline.strip():
        raise InputError("--baseline: an empty text names no model; name its logs or a CSV")
    return PairedWanted(request, source, options.baseline, margin, budget, wanted_plan(options),
                        list(options.earlier or []), list(options.history or []), not options.no_margins,
                        options.need_margins, options.allow_same)


def wanted_plan(options: argparse.Namespace) -> dict[str, Any]:
    """What of the plan is known before the baseline is read. Raises InputError for words that cannot be used."""
    from ..degradation.few_answers.run import SHARE

    alpha = 0.05 if options.alpha is None else options.alpha
    check_alpha(alpha)
    if options.no_margins and options.need_margins:
        raise InputError("--no-margins and --need-margins: give one or the other")
    return {"stop": not options.keep_going, "alpha": alpha, "seed": options.seed or 0,
            "share": SHARE if options.uniform_share is None else options.uniform_share,
            "about": claims.chosen(options.about),
            "max_minutes": options.max_minutes}


@dataclass(frozen=True)
class Outputs:
    """Where the verdict goes besides RUN, and on which one the exit code is 1."""

    fail_on: str | None = None
    json: str | None = None
    junit: Path | None = None
    markdown: Path | None = None
    overwrite: bool = False

    @staticmethod
    def of(options: argparse.Namespace, run: Path, read: list[str] | None = None) -> Outputs:
        """Raises InputError where a file is in the way, or is what is read: the run's own, or an input's (`read`: of
        the run's beginning)."""
        made = Outputs(*(getattr(options, name) for name in OUTPUTS))
        flags.check_targets(made.json, made.overwrite, made.markdown, made.junit,
                            inputs=[*flags.inputs_of(options), *flags.files_of([run]), *map(Path, read or [])])
        return made

    def write(self, result: dict[str, Any], run: Path) -> int:
        """Print the verdict, write the files; returns the exit code."""
        from ..degradation.junit import Case, junit
        from ..degradation.markdown import code
        from ..degradation.words import as_json, note_text
        from .paired_report import text_of

        said = text_of(result)
        text = "\n".join([f"{result['model']} against {result['baseline']}", *said,
                          *(note_text(note) for note in result["notes"])])
        if not result["ended"]:
            text += f"\n  the run has not ended: add --resume to go on with {run}"
        made: dict[Path, str] = {}
        if self.junit:
            case = Case(result["model"], result["verdict"], result["within_margin"], said[0], text)
            made[self.junit] = junit("llm-accuracy evaluate --baseline", [case], self.fail_on)
        if self.markdown:
            made[self.markdown] = (f"**{said[0]}**\n\n{code(result['model'])} against {code(result['baseline'])}\n\n"
                                   f"```\n{text.replace('```', '` ` `')}\n```\n")
        for path, content in made.items():
            write_whole(path, content)
        print(text, file=flags.prose(self.json))
        print(run / "report.html", file=flags.prose(self.json))
        flags.write_json(as_json(result), self.json)
        return int(fails(result["verdict"], result["within_margin"], self.fail_on))


# --- what is done ----------------------------------------------------------------------------------------

def begin_or_resume(run: RunFolder, begins: PairedWanted | None, request: Request | None, outputs: Outputs, *,
                    as_begun: bool = False, show_questions: bool = False) -> int:
    """Ask until the end: of a new run (as `begins` says), or of one that exists."""
    from .live_line import Live
    from .loop import go_on
    from .paired_run import begin, resume

    live = Live()
    try:
        comparison: Comparison = (begin(run, begins, live.say) if begins is not None else
                                  resume(run, request, as_begun, live.say, show_questions))
        comparison.show_questions = show_questions
        result = go_on(comparison, live)
    finally:
        run.release()
    return outputs.write(result, run.path)


def again(options: argparse.Namespace, run: RunFolder, request: Request | None) -> int:
    """--resume, --report, --audit and --export of a comparison."""
    from .paired_run import audit, reopen

    manifest = run.manifest(COMPARISON)
    begun = manifest["baseline"]
    if options.baseline not in (None, begun["name"]):
        raise InputError(f"the run began with --baseline {begun['name']}; leave --baseline away, or begin another run")
    outputs = Outputs.of(options, options.run, [*begun["paths"], *manifest.get("history", {}).get("paths", [])])
    if options.audit:
        print("\n".join(audit(run)))
        return 0
    if options.resume:
        return begin_or_resume(run, None, request, outputs, as_begun=options.as_begun,
                               show_questions=options.show_questions)
    from .export import export_comparison, rewritten

    result = rewritten(run, reopen, export_comparison, options)
    return 0 if result is None else outputs.write(result, run.path)
