"""The checks of the masking audit, in the order in which they are run; nothing heavy is imported."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

_HERE = "bioattack.evaluation.audit_checks"


class Check(NamedTuple):
    """One check.

    Args:
        key: Its name in files.
        title: What holds of a model that passes, as people read it.
        function: ``"module:function"`` below this package; takes ``Evidence``, returns a ``Finding``.
    """

    key: str
    title: str
    function: str

    def load(self) -> Callable[[Any], Any]:
        """Imports the function."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(f"{_HERE}.{module}"), name)


CHECKS: tuple[Check, ...] = (
    Check("randomness", "The same picture gets the same answer twice", "outputs:check_randomness"),
    Check("companions", "A picture's answer does not hang on its batch", "outputs:check_companions"),
    Check("probabilities", "The scores are logits, not probabilities", "outputs:check_probabilities"),
    Check("card-accuracy", "Clean accuracy is what the card says", "outputs:check_card_accuracy"),
    Check("quantisation", "Less than an 8-bit step changes no answer", "outputs:check_quantisation"),
    Check("non-finite", "Scores and gradients are finite everywhere", "gradients:check_finite"),
    Check(
        "zero-gradient", "The cross-entropy has a gradient at every picture", "gradients:check_zero_gradient"
    ),
    Check("finite-differences", "The gradient is that of the model", "gradients:check_finite_differences"),
    Check("rising-loss", "The loss rises along the attack", "gradients:check_rising_loss"),
    Check("iterated", "Many steps are no weaker than one", "strength:check_iterated"),
    Check("more-steps", "More steps are no weaker than fewer", "strength:check_more_steps"),
    Check("more-restarts", "More starts are no weaker than one", "strength:check_more_restarts"),
    Check(
        "growing-epsilon", "A larger epsilon leaves no more pictures right", "strength:check_growing_epsilon"
    ),
    Check(
        "unbounded-epsilon", "Without a bound nothing is left but chance", "strength:check_unbounded_epsilon"
    ),
    Check("ball-inclusion", "A larger ball leaves no more pictures right", "strength:check_ball_inclusion"),
    Check("black-box", "An attack without gradient is no stronger", "rivals:check_black_box"),
    Check("transfer", "Attacks on another model are no stronger", "rivals:check_transfer"),
)
