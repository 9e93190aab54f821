"""The one exception that users are meant to see."""


class InputError(ValueError):
    """Something the user provided cannot be used.

    The message is one line: what is wrong, where (file, row, column) and what to do about it.
    Scripts print it and exit with code 2 (`llm_accuracy.cli.run`).
    """
