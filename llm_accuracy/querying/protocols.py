"""How factor models are fitted: plain numbers, no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How a factor model is fitted, full batch, with Adam's steps.

    start      standard deviation of the normal start
    rate       learning rate; `annealed` lets it fall to 0 along a cosine
    beta2      memory of Adam's second moment
    penalised  what weight decay λ means: False, AdamW's decoupled decay by the factor 1 − rate·λ; True, the
               maximum of the posterior with u_i, v_j ~ N(0, I/λ), i.e. λ/2 (‖U‖² + ‖V‖²) added to the summed loss
    epochs     by default
    """

    start: float
    rate: float
    annealed: bool
    beta2: float
    penalised: bool
    epochs: int


@dataclass(frozen=True)
class Alternating(Protocol):
    """The same objective as a penalised protocol's, by steps of all models, then of all questions, that minimise a
    bound of it: p(1−p) ≤ 1/4 makes one Hessian, VᵀV/4 + λI, of every model's (Böhning 1992). An epoch is
    one step of each.

    rate   how many times the bound's own step; below 2 the objective never rises
    beta2  and `annealed` mean nothing
    """


PROTOCOLS: dict[str, Protocol] = {
    # arXiv 2601.20251: N(0, 1) start, AdamW at 1e-2, 2,000 epochs.
    "adamw": Protocol(start=1.0, rate=1e-2, annealed=False, beta2=0.999, penalised=False, epochs=2000),
    # Reaches a lower validation loss in a twentieth of the epochs: benchmarks/run.py --only factor_fit.
    "map": Protocol(start=0.1, rate=1e-1, annealed=True, beta2=0.9, penalised=True, epochs=100),
    # The loss of "map" on left-out models in a fifth to a half of its time: benchmarks/optimisers.py.
    "bound": Alternating(start=0.1, rate=1.9, annealed=False, beta2=0.0, penalised=True, epochs=25),
}
