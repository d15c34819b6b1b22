"""Any Keras model as the network whose features a distance compares."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from bioattack.distances.trunks import Trunk


class KerasTrunk(Trunk):
    """A Keras model's own features.

    Args:
        model: A functional model of images ``(batch, height, width, channels)``. Models of this project take
            RGB in [0, 1]; those of ``keras.applications`` want ``colours``.
        layers: Names of the layers whose outputs are features. ``None``: for each size of feature maps the
            last layer that gives it, among those with more channels than an image has.
        colours: Turns RGB in [0, 1] into what the model wants, for example
            ``lambda images: keras.applications.vgg16.preprocess_input(255 * images)``.

    Raises:
        ValueError: If a layer is missing, or gives no feature maps.

    >>> model = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="stage")])
    >>> KerasTrunk(model).layers
    ('stage',)
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        layers: Sequence[str] | None = None,
        colours: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        self.name = model.name
        names = _stage_layers(model) if layers is None else list(layers)
        known = {layer.name: layer for layer in model.layers}
        for name in names:
            if name not in known:
                raise ValueError(f"layers must be of the model {model.name}, which has no layer {name!r}")
            if len(known[name].output.shape) != 4:
                raise ValueError(f"layers must give feature maps. Received: {name!r} of {model.name}")
        if not names:
            raise ValueError(f"layers must name some layers: {model.name} has no feature maps of its own")
        self.layers = tuple(names)
        self._model = keras.Model(model.inputs[0], [known[name].output for name in names])
        self._colours = colours

    def taps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Returns the layers' outputs; the model computes in its own dtype."""
        inputs = images if self._colours is None else self._colours(images)
        outputs: Any = self._model(tf.cast(inputs, self._model.compute_dtype), training=False)
        maps = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return [tf.cast(each, images.dtype) for each in maps]


def _stage_layers(model: keras.Model) -> list[str]:
    """The last layer at each size of feature maps."""
    last: dict[tuple[int | None, int | None], str] = {}
    for layer in model.layers:
        shape: tuple[int, ...] = tuple(getattr(layer.output, "shape", ()))
        if len(shape) == 4 and shape[-1] > 3 and not isinstance(layer, keras.layers.ZeroPadding2D):
            last[shape[1], shape[2]] = layer.name
    return list(last.values())
