"""The one exception a user is meant to see."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where (file, row, column) and what to do.
    Scripts print it and exit with code 2 (`llm_accuracy.cli.run`).
    """
