"""Adam with a learning rate of its own for parts of a network."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="bioattack")
class LayerwiseAdam(keras.optimizers.Adam):
    """Adam that trains the layers whose names begin in a certain way at a fraction of the learning rate.

    Adam takes the same steps whatever the gradients are multiplied by, so it is the rate that is multiplied.
    Without factors it is Keras' Adam, bit for bit.

    Args:
        learning_rate: A number or a schedule.
        learning_rate_factors: Beginning of a layer's name -> factor above 0. The layer may lie inside another
            layer or model; where two beginnings fit, the longer one counts. All other layers have factor 1.
        name: Of the optimizer.
        **kwargs: Keras' other arguments of Adam.

    Raises:
        ValueError: If a factor is not above 0, or, once the weights are known, no weight is of a layer whose
            name begins so.

    Source:
        Jaderberg et al. 2015 train the localisation network at a tenth of the rate of the classifier.

    >>> optimizer = LayerwiseAdam(1.0, learning_rate_factors={"slow": 0.1})
    >>> layers = [keras.layers.Dense(1, use_bias=False, name=name) for name in ("slow_1", "quick")]
    >>> weights = [weight for layer in layers for weight in (layer.build((1, 1)) or layer.weights)]
    >>> before = [float(weight[0, 0]) for weight in weights]
    >>> optimizer.apply([keras.ops.ones((1, 1))] * 2, weights)
    >>> [round(one - float(weight[0, 0]), 4) for one, weight in zip(before, weights, strict=True)]
    [0.1, 1.0]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        *,
        learning_rate_factors: Mapping[str, float] | None = None,
        name: str = "adam",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, name=name, **kwargs)
        self.learning_rate_factors = dict(learning_rate_factors or {})
        for prefix, factor in self.learning_rate_factors.items():
            if not prefix or not (math.isfinite(factor) and factor > 0):
                raise ValueError(
                    "learning_rate_factors must give numbers above 0 to beginnings of layer names."
                    f" Received: {prefix!r}: {factor!r}"
                )
        self._factors: list[float] = []

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the moving averages and looks up the factor of every weight."""
        if self.built:
            return
        super().build(variables)
        prefixes = [_longest_prefix(variable.path, self.learning_rate_factors) for variable in variables]
        for prefix in self.learning_rate_factors:
            if prefix not in prefixes:
                raise ValueError(
                    "learning_rate_factors must name layers with weights of their own."
                    f" Received: {prefix!r}, with which the name of none begins"
                )
        self._factors = [self.learning_rate_factors.get(prefix, 1.0) for prefix in prefixes]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Takes Adam's step at the rate of this weight."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the optimizer."""
        return {**super().get_config(), "learning_rate_factors": self.learning_rate_factors}


def _longest_prefix(path: str, prefixes: Mapping[str, float]) -> str:
    """The longest beginning of the names of the layers in a weight's path, or an empty text."""
    layers = path.split("/")[:-1]
    fitting = (prefix for prefix in prefixes if any(name.startswith(prefix) for name in layers))
    return max(fitting, key=len, default="")
