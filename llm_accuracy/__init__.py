"""How good is a language model, and did it get worse: few questions, with guarantees."""

__version__ = "0.1.0"
