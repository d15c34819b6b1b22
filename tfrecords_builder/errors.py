"""The error of the record builder: one sentence for the user."""


class RecordsError(ValueError):
    """A source or a records folder cannot be used; the message says what, where, and what to do."""
