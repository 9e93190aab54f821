"""How the degradation tests are told: the first line, the table under it, JSON, and the files of a suite."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict

from .paired import DEGRADED, NOT_DEGRADED, PairedResult

WIDTH = 80


# ---- numbers in words --------------------------------------------------------------------------------------


def p_text(p: float | None, log10_p: float | None = None) -> str:
    """A p-value to three digits, never 0."""
    if p is None or math.isnan(p):
        return "-"
    if log10_p is not None and log10_p < -300:
        return f"10^{log10_p:.1f}"
    return f"{p:.3f}" if p >= 0.0995 else f"{p:.4f}" if p >= 0.001 else f"{p:.2e}"


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def amount(value: float, result: PairedResult) -> str:
    """A drop or limit: in points (hundredths) where scores lie in [0, 1], else in the units of the score."""
    if not result.in_points:
        return f"{value:.4g}"
    decimals = 2 if result.n < 50_000 else 3
    return f"{100 * value:.{decimals}f}".replace("-0." + "0" * decimals, "0." + "0" * decimals)


def unit(result: PairedResult) -> str:
    return " points" if result.in_points else ""


def margin_text(result: PairedResult) -> str:
    points = f"{100 * result.margin:g}"
    return f"{points} point{'' if points == '1' else 's'}" if result.in_points else f"{result.margin:g}"


# ---- one pair ----------------------------------------------------------------------------------------------


def headline(result: PairedResult) -> str:
    """What was decided, at what error rate, on how many items, and the drop with its one-sided limits."""
    drop, lower, upper = (amount(x, result) for x in (result.drop, result.drop_lower, result.drop_upper))
    at = f"at error rate {percent(result.alpha)} ({result.n:,} items)"
    limits = f"{drop}{unit(result)}, at least {lower} and at most {upper}"
    if result.verdict == DEGRADED:
        within = f"; that is within the margin of {margin_text(result)}" if result.within_margin else ""
        return f"DEGRADED {at}: the candidate is worse by {limits}{within}."
    if result.verdict == NOT_DEGRADED:
        return f"NOT DEGRADED by {margin_text(result)} or more {at}: drop {limits}."
    return f"UNDECIDED {at}: drop {limits}; the margin is {margin_text(result)}."


def pair_table(result: PairedResult, baseline: str, candidate: str, excluded: dict[str, int]) -> str:
    """The numbers behind the first line, at most 80 columns wide."""
    r = result
    exact = r.p_exact is not None
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in excluded.items()) or "none"
    rows = [
        ("baseline", f"{_score(r.mean_baseline)}  {shorten(baseline, 46)}"),
        ("candidate", f"{_score(r.mean_candidate)}  {shorten(candidate, 46)}"),
        ("items", f"{r.n:,} compared" + (f" in {r.units:,} clusters" if r.units != r.n else "")
         + f"; left out: {left_out}"),
        ("flips", f"{r.b + r.c:,} ({percent(r.flip_rate)} of items): {r.b:,} worse (b), {r.c:,} better (c)"),
        ("drop", f"{amount(r.drop, r)}{unit(r)}, 95% interval [{amount(r.ci_low, r)}, {amount(r.ci_high, r)}]"
         f" ({r.ci_method})"),
        ("worse?", f"p = {p_text(r.p, r.log10_p)}  one-sided " + (
            f"exact McNemar (mid-p {p_text(r.p_mid)})" if exact else f"sign flips, {r.permutation_method}")),
        ("safe?", f"p = {p_text(r.p_noninferiority)}  that the drop is {margin_text(r)} or more"),
        ("same?", f"p = {p_text(r.p_equivalence)}  that it is {margin_text(r)} or more either way"),
        ("better?", f"p = {p_text(r.p_improvement)}; two-sided p = {p_text(r.p_two_sided)}"),
    ]
    lines = []
    for label, text in rows:
        lines += textwrap.wrap(f"  {label:<10} {text}", WIDTH, subsequent_indent=" " * 13)
    return "\n".join(lines)


def remarks(result: PairedResult, notes: tuple[str, ...] = ()) -> list[str]:
    """What a reader must know beside the numbers: what could not be shown at all, and the notes of the reader."""
    said = []
    if not result.can_reject:
        said.append(f"with {result.b + result.c} differing items the smallest possible p is "
                    f"{p_text(result.smallest_p)}: no outcome could have been called degraded")
    if result.p_improvement <= result.alpha:
        said.append(f"the candidate is better than the baseline (p = {p_text(result.p_improvement)}); if that is "
                    "unexpected, check that the two were not swapped")
    return [*said, *notes]


def pair_json(result: PairedResult, **more) -> str:
    """The result as one JSON object; what does not apply is null."""
    content = {**more, **asdict(result)}
    content = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def shorten(text: str, width: int) -> str:
    """A long path keeps its end."""
    return text if len(text) <= width else "…" + text[-(width - 1) :]


def _score(value: float) -> str:
    return "     -" if math.isnan(value) else f"{value:6.4g}" if abs(value) >= 10 else f"{value:6.4f}"
