"""The checks of the masking audit; ``registry`` lists them, one line each."""
