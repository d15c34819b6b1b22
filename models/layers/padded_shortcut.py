"""The residual shortcut without weights."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bioattack")
class PaddedShortcut(keras.layers.Layer):
    """Subsamples space and adds zero channels: the shortcut without weights ("option A").

    Args:
        stride: Every ``stride``-th pixel of each axis is kept, 1 or more.
        num_channels: Channels of the output, at least those of the input; half of the zeros go before the
            input's channels, half behind.

    Call arguments:
        inputs: ``(batch, height, width, channels)``, float, any value range.

    Returns:
        ``(batch, ceil(height / stride), ceil(width / stride), num_channels)``.

    Raises:
        ValueError: If an argument is out of its range or the input has more channels than the output.

    Gradient:
        With respect to the inputs.

    Source:
        He et al. 2016, section 3.3, option A.

    >>> PaddedShortcut(stride=2, num_channels=4)(keras.ops.ones((1, 5, 5, 2))).shape
    TensorShape([1, 3, 3, 4])
    """

    def __init__(self, *, stride: int, num_channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, number in (("stride", stride), ("num_channels", num_channels)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} must be an integer of 1 or more. Received: {name}={number!r}")
        self.stride = stride
        self.num_channels = num_channels

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks that the output has room for the input's channels."""
        if len(input_shape) != 4 or input_shape[3] is None or input_shape[3] > self.num_channels:
            raise ValueError(
                f"inputs must be (batch, height, width, channels) with at most {self.num_channels} channels. "
                f"Received: input_shape={input_shape}"
            )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Returns the subsampled inputs with zero channels around theirs."""
        missing = self.num_channels - inputs.shape[3]
        channels = (missing // 2, missing - missing // 2)
        return ops.pad(inputs[:, :: self.stride, :: self.stride, :], [(0, 0), (0, 0), (0, 0), channels])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {**super().get_config(), "stride": self.stride, "num_channels": self.num_channels}
