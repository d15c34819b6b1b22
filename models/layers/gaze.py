"""Where to look: fixed sets of points, and gazes that a network chooses."""

from typing import Any

import keras
from keras import ops

from bioattack.models.layers.fixations import five_gazes

FIXATION_COUNTS = (1, 3, 5, 9)
GAZE_GRADIENTS = ("full", "stop")


def gaze_grid(number: int, offset: float) -> tuple[tuple[float, float], ...]:
    """Gives fixation points: the centre, with two corners, with four, or a grid of 3 x 3.

    Each set is the beginning of the next one, and five of them are ``five_gazes``.

    Args:
        number: 1, 3, 5 or 9.
        offset: From the centre to the outer points, on each axis, in pixels.

    Returns:
        (row, column) offsets from the centre in pixels.

    Raises:
        ValueError: If there is no set of so many points.

    >>> gaze_grid(3, 80)
    ((0.0, 0.0), (-80.0, 80.0), (80.0, -80.0))
    """
    if number not in FIXATION_COUNTS:
        raise ValueError(
            f"number must be one of {', '.join(map(str, FIXATION_COUNTS))}. Received: number={number!r}"
        )
    size = float(offset)
    return (*five_gazes(size), (-size, 0.0), (0.0, -size), (0.0, size), (size, 0.0))[:number]


@keras.saving.register_keras_serializable(package="bioattack")
class BoundedGazes(keras.layers.Layer):
    """Turns the free numbers of a gaze network into gazes that stay within a box: ``reach * tanh(numbers)``.

    Args:
        reach: Greatest offset from the centre on each axis, in pixels, above 0.
        gaze_l2: What is added to the loss, 0 or more: ``gaze_l2`` times the mean over the batch of the sum
            over the gazes of ``|tanh(numbers)|**2``. The gaze counts in units of ``reach``; in pixels, 0.01
            would outweigh every other loss.

    Call arguments:
        numbers: ``(batch, 2 * num_gazes)``, float: row and column of the first gaze, of the second, ...

    Returns:
        ``(batch, num_gazes, 2)``, offsets from the image's centre in pixels, row first.

    Raises:
        ValueError: If an argument is out of its range.

    Gradient:
        With respect to the numbers.

    Source:
        Burhanpurkar 2021, section 3.3.2, which leaves open how gazes are bounded and what is penalised.

    >>> BoundedGazes(80.0)(ops.convert_to_tensor([[0.0, 99.0, -99.0, 0.0]])).numpy().tolist()
    [[[0.0, 80.0], [-80.0, 0.0]]]
    """

    def __init__(self, reach: float, *, gaze_l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not reach > 0:
            raise ValueError(f"reach must be above 0. Received: reach={reach!r}")
        if not gaze_l2 >= 0:
            raise ValueError(f"gaze_l2 must be 0 or more. Received: gaze_l2={gaze_l2!r}")
        self.reach = reach
        self.gaze_l2 = gaze_l2

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that the numbers come in pairs."""
        if len(input_shape) != 2 or input_shape[1] is None or input_shape[1] % 2:
            raise ValueError(f"numbers must be (batch, 2 * num_gazes). Received: input_shape={input_shape}")
        super().build(input_shape)

    def call(self, numbers: Any) -> Any:
        """Returns the gazes."""
        fractions = ops.tanh(numbers)
        if self.gaze_l2:
            squares = ops.sum(ops.square(ops.cast(fractions, "float32")), axis=1)
            self.add_loss(self.gaze_l2 * ops.mean(squares))
        return self.reach * ops.reshape(fractions, (-1, numbers.shape[1] // 2, 2))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One pair of numbers for each gaze."""
        return (input_shape[0], (input_shape[1] or 0) // 2, 2)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {**super().get_config(), "reach": self.reach, "gaze_l2": self.gaze_l2}


@keras.saving.register_keras_serializable(package="bioattack")
class GazeGradient(keras.layers.Layer):
    """Hands gazes on unchanged, and decides whether an attack sees how they depend on the image.

    With ``"stop"``, the gradient of the loss with respect to the image leaves out that a changed image is
    looked at elsewhere. If an attack finds more adversarial images so, the full gradient misleads it: the
    gaze network masks gradients. In training the gradient always passes.

    Args:
        mode: ``"full"`` or ``"stop"``.

    Call arguments:
        gazes: ``(batch, num_gazes, 2)``, or any other tensor.
        training: Whether the gradient passes in any case.

    Returns:
        The gazes.

    Raises:
        ValueError: If the mode is neither.

    Gradient:
        1, or 0 outside training with ``"stop"``.

    >>> GazeGradient("stop")(ops.ones((1, 5, 2))).shape
    TensorShape([1, 5, 2])
    """

    def __init__(self, mode: str = "full", **kwargs: Any) -> None:
        # Under mixed precision the gazes would be rounded.
        super().__init__(autocast=False, **kwargs)
        if mode not in GAZE_GRADIENTS:
            raise ValueError(f"mode must be one of {', '.join(GAZE_GRADIENTS)}. Received: mode={mode!r}")
        self.mode = mode

    def call(self, gazes: Any, training: bool | None = None) -> Any:
        """Returns the gazes."""
        return gazes if training or self.mode == "full" else ops.stop_gradient(gazes)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {**super().get_config(), "mode": self.mode}
