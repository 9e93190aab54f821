"""Begin, resume and audit a comparison: did a live model get worse than a baseline that has answered everything?"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..claims import QUESTIONS
from ..degradation.few_answers import bank as banks
from ..degradation.few_answers import curves, replay
from ..degradation.few_answers.curves import Known
from ..degradation.margins import Margin
from ..degradation.reading import Source
from ..degradation.scales import on_their_scale
from ..errors import InputError
from ..outward import at_least, at_most
from ..scores.readers import named_path
from .audits import same_result, whole_log
from .bank import Bank
from .baseline import Model, check_earlier, in_order, matched, same_model, with_difficulty
from .drivers import DRIVERS, Request, check_name
from .loop import (
    OpenRun,
    Say,
    asked_of,
    beginning,
    check_files,
    check_way,
    compare,
    driver_again,
    files_of,
    locked_again,
    versions,
)
from .paired import Baseline, PairedAsking, PairedPlan, by_hand
from .query_log import QueryLog
from .recorded import counted, same_value
from .run_folder import COMPARISON, FORMAT, RunFolder, as_written


@dataclass
class PairedWanted:
    """What the command line asks for; see `command` and `ask` for the flags.

    source    how the baseline and earlier candidates are read
    budget    questions at most, as it was written
    plan      further fields of `PairedPlan`
    """

    request: Request
    source: Source
    baseline: str
    margin: str
    budget: str
    plan: dict[str, Any]
    earlier: list[str] = field(default_factory=list)
    history: list[Path] = field(default_factory=list)
    use_margins: bool = True
    need_margins: bool = False
    allow_same: bool = False


@dataclass
class Comparison(OpenRun):
    """A comparison that is open."""

    asking: PairedAsking

    def result(self) -> dict[str, Any]:
        from .paired_report import result_of

        return result_of(self.asking, self.manifest)

    def page(self, result: dict[str, Any]) -> str:
        from .paired_report import page

        return page(self.asking, self.manifest, result, self.show_questions)

    def line(self, result: dict[str, Any]) -> str:
        return (f"drop {100 * result['drop']:+.2f} ({at_least(100 * result['ci_low'])} to "
                f"{at_most(100 * result['ci_high'])}), "
                f"{result['lost']} lost, {result['gained']} gained, {result['verdict']}")


# --- beginning -----------------------------------------------------------------------------------------

def begin(run: RunFolder, wanted: PairedWanted, say: Say) -> Comparison:
    """A new comparison: everything is checked, read and fitted before the folder holds anything but its lock.

    Raises InputError for whatever cannot be used.
    """
    read = [named_path(name)[1] for name in (wanted.baseline, *wanted.earlier)]
    return beginning(run, lambda: _begun(run, wanted, say), [*map(Path, read), *wanted.history])


def _begun(run: RunFolder, wanted: PairedWanted, say: Say) -> Comparison:
    from ..degradation.commands.ask import budget_of
    from .history import check_choice

    stated = Margin.parse(wanted.margin)
    source = replace(wanted.source, choices=replace(wanted.source.choices, margins=wanted.use_margins))
    model, *earlier = on_their_scale(source.read([wanted.baseline, *wanted.earlier]))
    check_choice(wanted.request, [*_paths(wanted), *wanted.history])
    driver = DRIVERS[wanted.request.driver].open(wanted.request, say)
    check_name(driver.model)
    bank, known_model, notes = matched(driver, model, wanted.baseline, wanted.request.driver == "inspect")
    known_bank = in_order(
        banks.bank_of(known_model, wanted.baseline, wanted.use_margins, wanted.need_margins), bank, known_model)
    banks.check_earlier(model, dict(zip(wanted.earlier, earlier, strict=True)))
    check_earlier(driver, dict(zip(wanted.earlier, earlier, strict=True)))
    pairs, learned = banks.earlier_pairs(known_bank, known_model, list(zip(wanted.earlier, earlier, strict=True)))
    known, known_notes = with_difficulty(known_bank.known, bank, wanted.history, wanted.request.metric,
                                         wanted.request.filter, driver.model)
    pairs = [replace(pair, known=_part(known, pair, known_bank, known_model, log, name))
             for pair, log, name in zip(pairs, earlier, wanted.earlier, strict=True)]
    library = curves.fitted_library(known, pairs) if pairs else curves.default_library(known)
    mean, margin = float(known.scores.mean()), banks.margin_of(stated, known.scores, known_bank.higher_is_better)
    plan = PairedPlan(budget_of(wanted.budget, bank.size), margin=margin, **wanted.plan)
    if plan.about == QUESTIONS:
        banks.check_independent(known_model, wanted.baseline, stated)
    baseline = Baseline(known, library, known_bank.higher_is_better)
    if any(log.scale not in (None, (0.0, 1.0)) for log in known_model.values()):
        notes.append("the baseline's scores are taken as shares of their --range; the candidate's answers must be "
                     "shares, too")
    notes = list(dict.fromkeys([*notes, *known_bank.notes, *learned, *known_notes, *wanted.request.notes,
                                *same_model(driver, known_model, wanted.allow_same)]))
    for note in notes:
        say(note)
    paths = _paths(wanted)
    manifest = {
        "format": FORMAT, "kind": COMPARISON, "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": driver.model, "asked": asked_of(wanted.request, driver), "plan": plan_of(plan),
        "bank": {"questions": bank.size} | bank.fingerprints(),
        "baseline": {"name": wanted.baseline, "earlier": wanted.earlier, "mean": mean, "stated_margin": wanted.margin,
                     "margins_known": known.margins is not None, "difficulty_known": known.difficulty is not None,
                     "paths": [str(path.absolute()) for path in paths], "files": files_of(paths)},
        "history": {"paths": [str(path.absolute()) for path in wanted.history if str(path) != "none"],
                    "files": files_of(wanted.history)},
        "known": baseline.fingerprints(), "least_questions": replay.least_questions(known, library, plan),
        "notes": notes, "versions": versions() | driver.versions}
    bank.save(run / "questions.csv")
    baseline.save(run / "baseline.npz")
    (run / "queries.jsonl").unlink(missing_ok=True)
    (run / "responses.jsonl").unlink(missing_ok=True)
    run.write_manifest(json.loads(json.dumps(manifest)))
    asking = PairedAsking(bank, baseline, plan, QueryLog(run / "queries.jsonl"))
    return Comparison(run, manifest, asking, driver)


def _paths(wanted: PairedWanted) -> list[Path]:
    """What the baseline and the earlier candidates are read from."""
    return [wanted.source.matrix] if wanted.source.matrix else [
        Path(named_path(name)[1]) for name in (wanted.baseline, *wanted.earlier)]


def plan_of(plan: PairedPlan) -> dict[str, Any]:
    """As the manifest keeps it."""
    return {name: getattr(plan, name) for name in ("budget", "stop", "margin", "alpha", "share", "seed", "max_minutes",
                                                 "about")}


def _part(known: Known, pair: curves.Pair, bank: banks.Bank, model: Model, log: Model, name: str) -> Known:
    """What is known of the questions that an earlier candidate has answered."""
    if known.difficulty is None:
        return pair.known
    there = ~np.isnan(banks.candidate_scores(bank, model, log, name)[0])
    return replace(pair.known, difficulty=known.difficulty[there])


# --- opening again -------------------------------------------------------------------------------------

def reopen(run: RunFolder, audit: bool = False) -> Comparison:
    """A comparison as its files have it: everything that was drawn is drawn again and compared.

    Raises InputError where a file was changed, saying which, or does not follow from the others.
    """
    manifest = run.manifest(COMPARISON)
    with as_written(run / "manifest.json"):
        bank = Bank.load(run / "questions.csv")
        compare(bank.fingerprints(), manifest["bank"], run / "questions.csv")
        baseline = Baseline.load(run / "baseline.npz")
        prints = baseline.fingerprints()
        if lacking := [name for name in prints if name not in manifest["known"]]:
            raise InputError(f"{run / 'manifest.json'}: no fingerprint of {lacking[0]}; go on with the version that "
                             f"wrote it ({manifest['versions']['llm-accuracy']} or before)")
        compare(prints, manifest["known"], run / "baseline.npz")
        plan = PairedPlan(**manifest["plan"])
        plan.check(bank.size)
        _check_stated(run, manifest, bank, baseline, plan)
        return Comparison(run, manifest, PairedAsking(bank, baseline, plan, whole_log(run), audit))


def _check_stated(run: RunFolder, manifest: dict[str, Any], bank: Bank, baseline: Baseline, plan: PairedPlan) -> None:
    """Raises InputError where what a manifest says of the baseline is not what baseline.npz gives: `compare`, an export
    and the page take it from there."""
    known, stated = baseline.known, manifest["baseline"]
    margin = banks.margin_of(Margin.parse(stated["stated_margin"]), known.scores, baseline.higher_is_better)
    here = {"mean": float(known.scores.mean()), "margins_known": known.margins is not None,
            "difficulty_known": known.difficulty is not None,
            "margin": margin, "questions": bank.size}
    there = {**stated, "margin": plan.margin, "questions": manifest["bank"]["questions"]}
    for name, value in here.items():
        if not same_value(there[name], value):
            raise InputError(f"{run / 'manifest.json'}: {name} is {there[name]}, by baseline.npz it is {value}; "
                             "restore it, or begin anew")


def resume(run: RunFolder, request: Request | None, as_begun: bool, say: Say, show_questions: bool = False
           ) -> Comparison:
    """A comparison to go on with, its driver open; see `evaluate.resume`."""
    comparison = locked_again(run, COMPARISON, reopen, say)
    check_way(comparison.manifest["asked"], request)
    if not as_begun:
        check_files(comparison.manifest["baseline"], None, "baseline")
        if "history" in comparison.manifest:  # runs begun before keep none
            check_files(comparison.manifest["history"], None, "history")
    if comparison.asking.ended is None:
        comparison.driver = driver_again(comparison, request, show_questions, say)
    return comparison


# --- auditing ------------------------------------------------------------------------------------------

def audit(run: RunFolder) -> list[str]:
    """Recompute every draw, its probability, and every look from the log and the baseline; returns what was compared.

    Raises InputError for the first thing that does not follow.
    """
    comparison = reopen(run, audit=True)
    asking, found = comparison.asking, comparison.asking.finding()
    asked, looks = len(asking.answers) + len(asking.outstanding), len(list(asking.log.of("look")))
    said = [f"{counted(asked, 'question')} in {counted(asking.round, 'round')}: every one follows "
            "from the baseline, the curves, the seed and the answers before it, with its p and its probability",
            f"{counted(looks, 'look')} in the log: each drop, interval and verdict follows from the "
            "answers"]
    least = replay.least_questions(asking.baseline.known, asking.baseline.library, asking.plan)
    if not same_value(comparison.manifest["least_questions"], least):
        raise InputError(f"{run / 'manifest.json'}: least_questions is {comparison.manifest['least_questions']}, by "
                         f"baseline.npz it is {least}; restore it, or begin anew")
    if found is None:
        return [*said, "nothing can be said yet"]
    plain = by_hand(asking)
    if plain is None or abs(plain - found["drop"]) > 1e-9:
        raise InputError(f"{run.path}: by hand the log gives a drop of {plain}, by the run it is {found['drop']}")
    said.append(f"the drop by hand, from p, q and the answers alone: {plain:.6f}")
    return [*said, same_result(comparison, f"{found['verdict']}, {found['drop']:.4f}, {found['ci_low']:.4f} to "
                               f"{found['ci_high']:.4f}")]
