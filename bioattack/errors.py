"""The errors that a command turns into one sentence and exit code 2."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where, and what to do."""


class UnfitModelError(InputError):
    """An attack on this model would measure something else than robustness, as an audit of it shows, too."""
