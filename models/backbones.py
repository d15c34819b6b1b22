"""The convolutional networks that fixation models put behind an eye, by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from bioattack.models.building import check_choice, classify, layer_seed
from bioattack.models.resnet18 import ResNet18Features
from bioattack.models.resnet20 import ResNet20Features

BACKBONES = ("resnet18", "resnet20")


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network from images to pooled features or logits, to be used once or several times.

    Args:
        name: ``"resnet18"`` (the networks of ImageNet10) or ``"resnet20"`` (those of CIFAR-10).
        width: Filters of the first stage.
        stem_width: Of ``resnet18``: filters of the first convolution; ``None``: ``width``.
        stem_stride: Of ``resnet18``: stride of the first convolution; ``None``: by the image size.
        pool_stride: Of ``resnet18``: stride of the pooling; ``None``: by the image size.
        batch_norm_momentum: Of every batch normalisation, in (0, 1).
        seed: Initial weights are a function of it and of the layers' names.

    Raises:
        ValueError: If an argument is out of its range.
    """

    name: str = "resnet18"
    width: int = 64
    stem_width: int | None = None
    stem_stride: int | None = 2
    pool_stride: int | None = 2
    batch_norm_momentum: float = 0.99
    seed: int | None = None

    def __post_init__(self) -> None:
        check_choice("backbone", self.name, choices=BACKBONES)
        self.features("")

    def features(self, prefix: str) -> Callable[[Any], Any]:
        """Gives the builder of pooled features; ``prefix`` keeps the layer names of several apart."""
        shared: dict[str, Any] = {
            "width": self.width,
            "batch_norm_momentum": self.batch_norm_momentum,
            "seed": self.seed,
        }
        if self.name == "resnet20":
            return ResNet20Features(**shared, prefix=prefix)
        return ResNet18Features(
            **shared,
            stem_width=self.stem_width,
            stem_stride=self.stem_stride,
            pool_stride=self.pool_stride,
            prefix=prefix,
        )

    def initializer(self, layer_name: str) -> keras.initializers.Initializer:
        """Gives the initial weights of a dense layer at the end of this network."""
        seed = layer_seed(self.seed, layer_name)
        if self.name == "resnet20":
            return keras.initializers.HeNormal(seed=seed)
        return keras.initializers.GlorotUniform(seed=seed)

    def classify(self, features: Any, num_classes: int) -> Any:
        """Ends the whole model in its logits."""
        return classify(features, num_classes, initializer=self.initializer("logits"))

    def network(
        self, image_shape: tuple[int, int, int], num_outputs: int | None, *, name: str
    ) -> keras.Model:
        """Builds a whole network as one model, so that several calls share its weights.

        Args:
            image_shape: ``(height, width, channels)``.
            num_outputs: Numbers that it gives for each image, from a dense layer without activation;
                ``None``: it ends in the pooled features.
            name: Of the model, and in front of its layers' names.
        """
        images = keras.Input(image_shape, name=f"{name}_images")
        outputs = self.features(f"{name}_")(images)
        if num_outputs is not None:
            outputs = keras.layers.Dense(
                num_outputs,
                kernel_initializer=self.initializer(f"{name}_outputs"),
                dtype="float32",
                name=f"{name}_outputs",
            )(outputs)
        return keras.Model(images, outputs, name=name)
