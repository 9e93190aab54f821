"""The figure of `audit-gate`: how often a threshold gate, and a paired one of equal cost, fail a model."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from .figures import WIDTH, look
from .gates import Gate


def audited(gates: list[Gate], audits: list[dict], flip: float, alpha: float) -> plt.Figure:
    """One gate: the rate at which it fails against the drop. Several: that rate for each, in order of the threshold
    gates' power, one panel for false alarms and one for each drop."""
    return _curves(gates[0], flip, alpha) if len(gates) == 1 else _ranked(audits)


def _curves(gate: Gate, flip: float, alpha: float) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(WIDTH / 2, 2.6), layout="constrained")
    drops = np.linspace(0, min(0.1, gate.expected, 1 - flip), 61)
    axes.plot(100 * drops, [100 * gate.fails(gate.expected - d) for d in drops], label="threshold gate",
              **look("threshold", marker=""))
    paired = [gate.paired(float(d), flip, alpha) for d in drops]
    axes.plot(100 * drops, [np.nan if rate is None else 100 * rate for rate in paired], label="paired gate",
              **look("exact"))
    axes.set(xlabel="real drop (points)", ylabel="fails (%)", ylim=(0, 102), xlim=(0, 100 * drops[-1]))
    axes.legend()
    return figure


def _ranked(audits: list[dict]) -> plt.Figure:
    drops = list(audits[0]["power"])
    panels = [("false alarms", "false_alarm", "paired_false_alarm", None),
              *((f"{d} point{'' if d == '1' else 's'} worse", "power", "paired_power", d) for d in drops)]
    figure, all_axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.6), layout="constrained", sharey=True,
                                    squeeze=False)
    ranked = sorted(audits, key=lambda one: (one["power"][drops[-1]] or 0, one["false_alarm"]))
    at = np.arange(1, len(ranked) + 1)
    for axes, (title, threshold, paired, drop) in zip(all_axes[0], panels, strict=True):
        for label, key, meaning in (("threshold gates", threshold, "threshold"), ("paired gates", paired, "exact")):
            rates = [one[key] if drop is None else one[key][drop] for one in ranked]
            axes.plot(at, [np.nan if rate is None else 100 * rate for rate in rates], label=label,
                      **look(meaning, marker="o" if meaning == "threshold" else "D", linestyle="none", markersize=3))
        axes.set(title=title, xlabel="gates, by power", ylim=(-3, 103))
    all_axes[0, 0].set_ylabel("fails (%)")
    all_axes[0, 0].legend()
    return figure
