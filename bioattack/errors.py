"""The error that a command turns into one sentence and exit code 2."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where, and what to do."""
