"""A model being asked: one command, real harnesses, any history."""

from ..lazy import names_of

_HOMES = {"Evaluation": "evaluate", "RunFolder": "run_folder", "Bank": "bank"}
__all__ = list(_HOMES)
__getattr__ = names_of(__name__, _HOMES)
