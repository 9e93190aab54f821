"""What was answered: matrices of many models, and one model's scores by task, from any source."""

from ..lazy import names_of

_HOMES = {"read_matrix": "matrix", "read_model": "readers", "Dataset": "dataset"}
__all__ = list(_HOMES)
__getattr__ = names_of(__name__, _HOMES)
