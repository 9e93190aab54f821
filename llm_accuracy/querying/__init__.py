"""How good is it, from few questions: which ones to ask, and what the answers say, with what certainty."""

from ..lazy import names_of

_HOMES = {"Session": "session", "Finding": "session", "Factors": "factors", "Policy": "policies"}
__all__ = list(_HOMES)
__getattr__ = names_of(__name__, _HOMES)
