"""How results are reported: every line and cell is made here, once, for the terminal, JSON, summary.md and the page."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

from ..visible import visible
from .markdown import code, escaped
from .pair_tests import TESTS, PairTest
from .paired import PairedResult
from .pairing import Pairs
from .suite import SuiteResult
from .verdicts import DEGRADED, NOT_DEGRADED, TOO_FEW
from .words import WIDTH, as_json, cell, note_text, p_text, percent, shorten

SHOWN_TASKS = 12
ALL = "ALL"  # the pooled row: the micro-average over the items of all tasks


def amount(value: float, result: PairedResult) -> str:
    """A drop or limit: in points (hundredths) where scores lie in [0, 1], else in the units of the score."""
    if not result.in_points:
        return f"{value:.4g}"
    decimals = 2 if result.n < 50_000 else 3 + int(math.log10(result.n / 50_000) / 2)  # as errors fall with √n
    return f"{100 * value:.{decimals}f}".replace("-0." + "0" * decimals, "0." + "0" * decimals)


def unit(result: PairedResult) -> str:
    return " points" if result.in_points else ""


def margin_text(result: PairedResult) -> str:
    points = f"{100 * result.margin:g}"
    return f"{points} point{'' if points == '1' else 's'}" if result.in_points else f"{result.margin:g}"


def interval_text(result: PairedResult) -> str:
    """The interval; "none" of scores that never vary on an unknown scale."""
    if not math.isfinite(result.ci_low):
        return "none"
    return f"[{amount(result.ci_low, result)}, {amount(result.ci_high, result)}]"


# ---- one pair ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairReport:
    """The report of one pair.

    headline  what was decided
    rows      the numbers behind it, (label, text)
    notes     what was noticed while reading the files; `remarks` are these, preceded by caveats about the result
    source    baseline and candidate (None where only counts were given), task, items left out by reason
    """

    result: PairedResult
    headline: str
    rows: list[tuple[str, str]]
    notes: list[str]
    remarks: list[str]
    source: dict

    def text(self) -> str:
        """The printed report, at most 80 columns wide except for the first line."""
        lines = [self.headline, ""]
        for label, text in self.rows:
            lines += textwrap.wrap(f"  {label:<10} {text}", WIDTH, subsequent_indent=" " * 13)
        return visible("\n".join([*lines, *map(note_text, self.remarks)]), keep="\n")

    def to_json(self) -> str:
        """The result as one JSON object; what does not apply is null."""
        return as_json({**self.source, "notes": self.notes, **self.result.to_dict()})

    def to_markdown(self, command: str) -> str:
        """A summary that a CI job can post: the decision, the numbers behind it, and every note."""
        lines = [f"## {escaped(self.headline)}", "", "| | |", "|---|---|"]
        lines += [f"| {escaped(label)} | {escaped(shorten(text, 300))} |" for label, text in self.rows]
        if self.remarks:
            lines += ["", *(f"- note: {escaped(note)}" for note in self.remarks)]
        return "\n".join([*lines, "", code(command), ""])


def report_pair(result: PairedResult, pairs: Pairs | None = None, *, baseline: str | None = None,
                candidate: str | None = None, notes: tuple[str, ...] = ()) -> PairReport:
    """The report of the result of `pairs` (None: of counts); `notes` precede those of the pairs."""
    excluded = pairs.excluded if pairs else {}
    noticed = [*notes, *(pairs.notes if pairs else ())]
    return PairReport(
        result, headline(result), pair_rows(result, excluded, baseline, candidate), noticed,
        [*remarks(result), *noticed],
        dict(baseline=baseline, candidate=candidate, task=pairs.task if pairs else None, excluded=excluded),
    )


def headline(result: PairedResult) -> str:
    """The decision, its error rate, the number of items, and the drop with its one-sided limits."""
    drop, lower, upper = (amount(x, result) for x in (result.drop, result.drop_lower, result.drop_upper))
    at = f"at error rate {percent(result.alpha)} ({result.n:,} items)"
    limits = f"{drop}{unit(result)}, " + (f"at least {lower} and at most {upper}"
                                          if math.isfinite(result.drop_upper) else "without a limit")
    if result.verdict == DEGRADED:
        within = f"; that is within the margin of {margin_text(result)}" if result.within_margin else ""
        return f"DEGRADED {at}: the candidate is worse by {limits}{within}."
    if result.verdict == NOT_DEGRADED:
        assumed = ", if answers are missing at random" if _assumed(result) else ""
        return f"NOT DEGRADED by {margin_text(result)} or more {at}{assumed}: drop {limits}."
    return f"UNDECIDED{_reason(result)} {at}: drop {limits}; the margin is {margin_text(result)}."


def _assumed(result: PairedResult) -> bool:
    """Whether answers are missing, and assumed to be missing at random."""
    return result.missing_at_random and (result.worst_upper, result.best_lower) != (result.drop_upper,
                                                                                     result.drop_lower)


def _reason(result: PairedResult | SuiteResult) -> str:
    return f": {result.reason}," if result.reason else ""


def pair_rows(
    result: PairedResult, excluded: dict[str, int], baseline: str | None = None, candidate: str | None = None
) -> list[tuple[str, str]]:
    """The numbers behind the first line, (label, text): what was compared, the drop, and every test of TESTS."""
    r = result
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in excluded.items()) or "none"
    rows = [] if baseline is None or candidate is None else [
        ("baseline", f"{_score(r.mean_baseline)}  {shorten(baseline, 58)}"),
        ("candidate", f"{_score(r.mean_candidate)}  {shorten(candidate, 58)}"),
    ]
    rows += [
        ("items", f"{r.n:,} compared" + (f" in {r.units:,} clusters" if r.units != r.n else "")
         + f"; left out: {left_out}"),
        ("flips", f"{r.b + r.c:,} ({percent(r.flip_rate)} of items): {r.b:,} worse (b), {r.c:,} better (c)"),
        ("drop", f"{amount(r.drop, r)}{unit(r)}, 95% interval {interval_text(r)} ({r.ci_method})"),
        *_missing_rows(r),
        ("about", _claims(r)),
    ]
    tests: dict[str, str] = {}
    for test in TESTS.values():
        tests[test.label] = tests.get(test.label, "") + _test_words(test, r)
    # Of the table's own tests those that do not apply go without saying; of a test that was added they do not.
    return rows + [(label, words or "does not apply to these scores") for label, words in tests.items()
                   if words or label in TESTS]


def _missing_rows(r: PairedResult) -> list[tuple[str, str]]:
    """What the missing answers could do, if there are any."""
    if r.missing == 0 and r.worst_upper == r.drop_upper and r.best_lower == r.drop_lower:
        return []
    what = f"{r.missing:,} items not answered by both" if r.missing else "answers in some runs"
    used = "assumed to be missing at random" if r.missing_at_random else "\"safe\" counts them against it"
    return [("missing", f"{what}: counted against the candidate, drop {amount(r.worst_drop, r)} and at most "
             f"{amount(r.worst_upper, r)}{unit(r)}; in its favour, at least {amount(r.best_lower, r)}; {used}")]


def _claims(r: PairedResult) -> str:
    """What the tests and the interval are about, and what else the data allow to be said."""
    said = f"{r.claim}; of these very questions and answers the drop is {amount(r.drop, r)}{unit(r)}, without error"
    if r.answers_low is None or r.answers_high is None or r.answer_noise is None or r.item_noise is None:
        return f"{said}; nothing on new answers to them, without two runs of both models"
    return (f"{said}; new answers to them, 95% interval [{amount(r.answers_low, r)}, {amount(r.answers_high, r)}]; "
            f"variance of an item's difference: answers {r.answer_noise:.3g} (one run each), items {r.item_noise:.3g}")


def _test_words(test: PairTest, result: PairedResult) -> str:
    """The words of a test in its row; empty if it does not apply, or if another is shown instead."""
    p = result.p_of(test.name)
    if p is None or (test.instead and result.p_of(test.instead) is not None):
        return ""
    shown = p_text(p, result.log10_p if test.name == result.decided_by else None)
    null = test.null.format(margin=margin_text(result))
    return test.words.format(p=shown, null=null, margin=margin_text(result), method=result.permutation_method)


def remarks(result: PairedResult) -> list[str]:
    """Caveats about the numbers: what could not have been shown at all, and what looks odd."""
    said = []
    if _assumed(result):
        said.append("--missing-at-random: whether an answer is missing is taken to have nothing to do with whether it "
                    "is right; otherwise the drop may be as large as "
                    f"{amount(result.worst_upper, result)}{unit(result)}")
    if result.verdict == DEGRADED and result.best_lower <= 0 < result.drop_lower:
        said.append("degraded on what both answered; if whatever is missing were in the candidate's favour, it would "
                    f"not be shown to be worse (at least {amount(result.best_lower, result)}{unit(result)})")
    said += _of_sizes(result)
    if result.reason == TOO_FEW:
        said.append(_needed(result))
    if not result.can_reject:
        said.append(f"with {result.b + result.c} differing items the smallest possible p is "
                    f"{p_text(result.smallest_p)}: no outcome could have been called degraded")
    if not math.isfinite(result.drop_upper):
        said.append("the scores never vary and their range is unknown: no drop can be excluded")
    if result.p_improvement <= result.alpha:
        said.append(f"the candidate beats the baseline (p = {p_text(result.p_improvement)}); if that "
                    "is unexpected, check that the two were not swapped")
    return said


def _of_sizes(r: PairedResult) -> list[str]:
    """What is assumed of clusters of unequal sizes: what a larger one would lose, no sample can tell."""
    if r.units_effective > r.units * (1 - 1e-9):
        return []
    return ["clusters differ in size: limits, 'safe' and 'means' take it that there is none larger than the largest "
            "here, also where the questions come from"]


def _needed(r: PairedResult) -> str:
    """How many independent units it takes to exclude the margin."""
    units = f"{r.n:,} items" if r.units == r.n else (f"{r.units:,} clusters of unequal sizes (as good as "
                                                     f"{r.units_effective:,.0f} equal ones)")
    return (f"even if no item differed, {units} could not exclude a drop of {margin_text(r)} (p = "
            f"{p_text(r.p_none_differs)}): ask more questions, or allow a larger margin")


def _score(value: float) -> str:
    return f"{value:6.4g}" if abs(value) >= 10 else f"{value:6.4f}"


# ---- a suite -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SuiteReport:
    """The report of all candidates of a suite; the keys of dictionaries are candidates.

    headlines   what was decided
    candidates  cells: items, drop, interval, p pooled, max-drop, Fisher, adjusted, verdict
    tasks       cells of each task: its name, n, b, c, drop, interval, p, p over all tasks
    """

    results: dict[str, SuiteResult]
    pairs: dict[str, list[Pairs]]
    baseline: str
    notes: list[str]
    headlines: dict[str, str]
    candidates: dict[str, tuple[str, ...]]
    tasks: dict[str, list[tuple]]

    def text(self) -> str:
        """The printed report: the decision and the tasks of every candidate, then the notes."""
        parts = [f"{self.headlines[name]}\n{suite_table(result)}\n" for name, result in self.results.items()]
        return visible("\n".join([*parts, *map(note_text, self.notes)]), keep="\n")

    def to_json(self) -> str:
        """All results as one JSON object."""
        candidates = {}
        for name, result in self.results.items():
            candidates[name] = result.to_dict()
            for task_pairs in self.pairs[name]:
                candidates[name]["tasks"][task_pairs.task]["excluded"] = task_pairs.excluded
        return as_json({"baseline": self.baseline, "notes": self.notes, "candidates": candidates})

    def to_markdown(self, command: str) -> str:
        """A summary that a CI job can post: the decisions, one table of models, and the tasks in folded sections."""
        first = next(iter(self.results.values())).pooled
        lines = [f"## Degradation tests against {_cell(self.baseline)}", "",
                 f"One-sided, error rate {percent(first.alpha)} over {len(self.results)} candidate(s) and all tasks; "
                 f"margin {margin_text(first)}.", ""]
        lines += [f"- {_cell(line)}" for line in self.headlines.values()]
        lines += ["", "| model | items | drop | 95% interval | p pooled | p max-drop | p Fisher | p adjusted | "
                  "verdict |", "|---|---:|---:|---|---:|---:|---:|---:|---|"]
        lines += [f"| {' | '.join([_cell(name), *cells])} |" for name, cells in self.candidates.items()]
        for name, rows in self.tasks.items():
            lines += ["", f"<details><summary>{escaped(name)}: tasks</summary>", "",
                      "| task | n | b | c | drop | 95% interval | p | p (max-z, all tasks) |",
                      "|---|---:|---:|---:|---:|---|---:|---:|"]
            lines += [f"| {' | '.join([_cell(task), *map(str, cells)])} |" for task, *cells in rows]
            lines += ["", "</details>"]
        if self.notes:
            lines += ["", *(f"- note: {_cell(note)}" for note in self.notes)]
        return "\n".join([*lines, "", code(command), ""])


def report_suite(results: dict[str, SuiteResult], pairs: dict[str, list[Pairs]], baseline: str) -> SuiteReport:
    """The report of the results of all candidates, {name: result}, with their pairs, {name: one for each task}."""
    notes = list(dict.fromkeys(note for suite in pairs.values() for task in suite for note in task.notes))
    notes += [f"{name}: {result.shared:,} items belong to questions or clusters that occur in several tasks; "
              "each is tested as one unit" for name, result in results.items() if result.shared]
    notes += [line for name, result in results.items() for line in _safe_notes(name, result)]
    notes += _chance_notes(results)
    candidates: dict[str, tuple[str, ...]] = {
        name: (f"{r.pooled.n:,}", amount(r.pooled.drop, r.pooled), interval_text(r.pooled),
               p_text(r.p_pooled, r.pooled.log10_p), p_text(r.p_max_drop), p_text(r.p_fisher), p_text(r.p_adjusted),
               r.verdict)
        for name, r in results.items()}
    tasks: dict[str, list[tuple]] = {
        name: [(task, row.n, row.b, row.c, amount(row.drop, row), interval_text(row), p_text(row.p, row.log10_p),
                p_text(r.p_step_down[task])) for task, row in r.tasks.items()]
        for name, r in results.items()}
    headlines = {name: suite_headline(name, result) for name, result in results.items()}
    return SuiteReport(results, pairs, baseline, notes, headlines, candidates, tasks)


def _safe_notes(name: str, result: SuiteResult) -> list[str]:
    """What "safe" rests on: the tasks that are not shown safe, and missing answers."""
    said = [f"{name}: {label} {text}" for label, text in _missing_rows(result.pooled)]
    said += [f"{name}: {text}" for text in _of_sizes(result.pooled)]
    count, tasks = len(result.not_shown_safe), len(result.tasks)
    if count and tasks > 1 and (result.within_margin or result.per_task):
        named = ", ".join(result.not_shown_safe[:3]) + (", …" if count > 3 else "")
        how = "" if result.per_task else "; --safe-per-task asks for that"
        said.append(f"{name}: a drop of {margin_text(result.pooled)} is not excluded on each of the tasks: not on "
                    f"{count} of {tasks} ({named}){how}")
    return said


def _chance_notes(results: dict[str, SuiteResult]) -> list[str]:
    """How probable it is that some candidate at the margin is called safe."""
    alpha, count = next(iter(results.values())).pooled.alpha, len(results)
    if count == 1:
        return []
    if any(result.p_safe_adjusted != result.p_safe for result in results.values()):
        return [f"safe: adjusted for {count} candidates (Holm): a candidate at the margin passes with probability "
                f"{percent(alpha)} at most, over all of them"]
    return [f"safe: each candidate at the margin passes with probability {percent(alpha)} at most; that one of {count} "
            f"does, {percent(1 - (1 - alpha) ** count)} if they are independent, "
            f"{percent(min(1.0, alpha * count))} at most; --adjust-safe keeps it to "
            f"{percent(alpha)}"]


def suite_headline(name: str, result: SuiteResult) -> str:
    """The decision on one candidate in one line."""
    name, pooled = visible(name), result.pooled
    tasks = f"{len(result.tasks)} task{'' if len(result.tasks) == 1 else 's'}"
    at = f"at error rate {percent(pooled.alpha)} ({tasks}, {pooled.n:,} items)"
    drop = f"average drop {amount(pooled.drop, pooled)}{unit(pooled)}, 95% interval {interval_text(pooled)}"
    if result.verdict == DEGRADED:
        where = "on every task" if result.per_task else "on average"
        within = f"; {where} within the margin of {margin_text(pooled)}" if result.within_margin else ""
        return f"{name}: DEGRADED {at}, by {visible(result.decisive)}: {drop}{within}."
    if result.verdict == NOT_DEGRADED:
        where = "on every task" if result.per_task else "on average"
        assumed = ", if answers are missing at random" if _assumed(pooled) else ""
        return f"{name}: NOT DEGRADED by {margin_text(pooled)} or more {where} {at}{assumed}: {drop}."
    return f"{name}: UNDECIDED{_reason(result)} {at}: {drop}; the margin is {margin_text(pooled)}."


def suite_table(result: SuiteResult) -> str:
    """The p-values of the suite, the pooled row and the tasks, worst first, at most 80 columns wide."""
    tests = (f"p pooled {p_text(result.p_pooled, result.pooled.log10_p)}, "
             f"max-drop {p_text(result.p_max_drop)}, Fisher {p_text(result.p_fisher)}; "
             f"combined {p_text(result.p_combined)}, adjusted for candidates {p_text(result.p_adjusted)}; "
             f"all against '{TESTS[result.pooled.decided_by].null}'")
    lines = textwrap.wrap(tests, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    lines.append(f"  {'task':<24}{'n':>7}{'b':>6}{'c':>6}{'drop':>8}  {'95% interval':<17}{'p':>8}")
    worst = sorted(result.tasks, key=lambda task: result.tasks[task].p)
    for task, row in [(ALL, result.pooled), *((task, result.tasks[task]) for task in worst[:SHOWN_TASKS])]:
        lines.append(f"  {cell(task, 24)}{row.n:>7}{row.b:>6}{row.c:>6}{amount(row.drop, row):>8}  "
                     f"{interval_text(row):<17}{p_text(row.p, row.log10_p):>8}")
    if len(worst) > SHOWN_TASKS:
        lines.append(f"  … and {len(worst) - SHOWN_TASKS} more tasks with larger p, see summary.csv")
    flagged = [task for task in worst if result.p_step_down[task] <= result.pooled.alpha]
    if flagged:
        named = ", ".join(f"{visible(task)} (p = {p_text(result.p_step_down[task])})" for task in flagged)
        lines += textwrap.wrap(f"worse, adjusted for all tasks: {named}", WIDTH - 2, initial_indent="  ",
                               subsequent_indent="  ")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return escaped(text)
