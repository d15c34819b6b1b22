"""Several looks at one image: where they go, folding them into the batch, averaging what comes of them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

GAZES_WHEN_TESTED = ("fixed", "random")


def five_gazes(offset: float) -> tuple[tuple[float, float], ...]:
    """Gives the centre and four points around it, as (row, column) offsets from the centre in pixels.

    >>> five_gazes(80)
    ((0.0, 0.0), (-80.0, 80.0), (80.0, -80.0), (-80.0, -80.0), (80.0, 80.0))
    """
    size = float(offset)
    return ((0.0, 0.0), (-size, size), (size, -size), (-size, -size), (size, size))


@keras.saving.register_keras_serializable(package="bioattack")
class FixationGazes(keras.layers.Layer):
    """Says where each image is looked at: once, at random, in training, and at several points otherwise.

    Args:
        fixed: Gazes of the test, each a (row, column) offset from the image's centre in pixels.
        lowest: Least offset that is drawn, an integer in pixels; rows and columns are drawn apart.
        highest: Greatest offset that is drawn, itself included.
        per_batch: One draw for a whole batch in training, instead of one for each image.
        when_tested: ``"fixed"``, or ``"random"`` for as many random gazes, drawn anew in every call: attack
            such a model through the expectation over several draws.
        seed: Of the random gazes; ``None``: from the global state.

    Call arguments:
        images: ``(batch, height, width, channels)``; only their number matters.
        training: Whether to draw one random gaze each.

    Returns:
        float32 ``(batch, num_gazes, 2)``, (row, column) in pixels; one gaze in training.

    Raises:
        ValueError: If an argument is out of its range.

    Gradient:
        None.

    Source:
        The reference code of Vuyyuru et al. 2020: the order of the five gazes, the integers drawn, and one
        fixation for each step of training.

    >>> FixationGazes(fixed=five_gazes(8), lowest=-8, highest=7)(ops.zeros((3, 32, 32, 3))).shape
    TensorShape([3, 5, 2])
    """

    def __init__(
        self,
        *,
        fixed: Sequence[Sequence[float]],
        lowest: int,
        highest: int,
        per_batch: bool = False,
        when_tested: str = "fixed",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fixed = [[float(number) for number in gaze] for gaze in fixed]
        if not self.fixed or any(len(gaze) != 2 for gaze in self.fixed):
            raise ValueError(f"fixed must be (row, column) pairs, one or more. Received: fixed={fixed!r}")
        if lowest > highest:
            raise ValueError(
                f"lowest must be at most highest. Received: lowest={lowest!r}, highest={highest!r}"
            )
        if when_tested not in GAZES_WHEN_TESTED:
            raise ValueError(
                f"when_tested must be one of {', '.join(GAZES_WHEN_TESTED)}. "
                f"Received: when_tested={when_tested!r}"
            )
        self.lowest, self.highest = lowest, highest
        self.per_batch = per_batch
        self.when_tested = when_tested
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Returns the gazes."""
        batch_size = ops.shape(images)[0]
        if training:
            return self._draw(1 if self.per_batch else batch_size, num_gazes=1, batch_size=batch_size)
        if self.when_tested == "random":
            return self._draw(batch_size, num_gazes=len(self.fixed), batch_size=batch_size)
        fixed = ops.convert_to_tensor(self.fixed, dtype="float32")[None]
        return ops.broadcast_to(fixed, (batch_size, len(self.fixed), 2))

    def _draw(self, num_draws: Any, *, num_gazes: int, batch_size: Any) -> Any:
        number = self.highest - self.lowest + 1
        draws = keras.random.uniform((num_draws, num_gazes, 2), dtype="float32", seed=self.seed_generator)
        gazes = self.lowest + ops.minimum(ops.floor(draws * number), number - 1.0)
        return ops.broadcast_to(gazes, (batch_size, num_gazes, 2))

    def compute_output_spec(self, images: Any, training: bool | None = None) -> Any:
        """The gazes of the test; training has one only."""
        num_gazes = 1 if training else len(self.fixed)
        return keras.KerasTensor((images.shape[0], num_gazes, 2), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the layer."""
        return {
            **super().get_config(),
            "fixed": self.fixed,
            "lowest": self.lowest,
            "highest": self.highest,
            "per_batch": self.per_batch,
            "when_tested": self.when_tested,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="bioattack")
class FoldFixations(keras.layers.Layer):
    """Repeats each image once for each of its gazes, and lays both out along the batch.

    So a network that follows sees ``batch * num_gazes`` images in one call, and one batch normalisation sees
    them all.

    Call arguments:
        images: ``(batch, height, width, channels)``.
        gazes: ``(batch, num_gazes, 2)``, or anything else with those two axes in front.

    Returns:
        ``(batch * num_gazes, height, width, channels)`` and ``(batch * num_gazes, 2)``; those of one image
        stand next to each other.

    >>> images, gazes = FoldFixations()(ops.zeros((2, 8, 8, 3)), ops.zeros((2, 5, 2)))
    >>> images.shape, gazes.shape
    (TensorShape([10, 8, 8, 3]), TensorShape([10, 2]))
    """

    def __init__(self, **kwargs: Any) -> None:
        # Under mixed precision the gazes would be rounded.
        super().__init__(autocast=False, **{"dtype": "float32", **kwargs})

    def call(self, images: Any, gazes: Any) -> Any:
        """Returns the repeated images and the gazes, each with one axis for both."""
        # The number of gazes is known whenever this runs: one in training, all of them otherwise.
        return ops.repeat(images, gazes.shape[1], axis=0), ops.reshape(gazes, (-1, *gazes.shape[2:]))

    def compute_output_spec(self, images: Any, gazes: Any) -> Any:
        """As many as there are images and gazes."""
        return (
            keras.KerasTensor((None, *images.shape[1:]), dtype=images.dtype),
            keras.KerasTensor((None, *gazes.shape[2:]), dtype=gazes.dtype),
        )


@keras.saving.register_keras_serializable(package="bioattack")
class MeanOverFixations(keras.layers.Layer):
    """Averages the logits over the looks at each image, undoing ``FoldFixations``.

    Call arguments:
        logits: ``(batch * num_gazes, classes)``.
        gazes: ``(batch, num_gazes, 2)``, as they were folded.

    Returns:
        ``(batch, classes)``.

    Source:
        The reference code of Vuyyuru et al. 2020 averages logits, before any softmax.

    >>> MeanOverFixations()(ops.convert_to_tensor([[1.0], [3.0]]), ops.zeros((1, 2, 2))).numpy().tolist()
    [[2.0]]
    """

    def call(self, logits: Any, gazes: Any) -> Any:
        """Returns the mean logits."""
        by_image = ops.reshape(logits, (-1, gazes.shape[1], logits.shape[-1]))
        return ops.mean(by_image, axis=1)

    def compute_output_spec(self, logits: Any, gazes: Any) -> Any:
        """One row for each image."""
        return keras.KerasTensor((gazes.shape[0], logits.shape[-1]), dtype=logits.dtype)
