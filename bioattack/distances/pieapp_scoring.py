"""Scores of whole images from PieAPP's network, a bounded number of patches at a time."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from bioattack.distances.distance import Prepared
from bioattack.distances.pieapp_network import LEAST_WEIGHT, NetworkWeights, project_patches, score_patches
from bioattack.distances.pieapp_patches import cut_patches, patch_corners
from bioattack.distances.pieapp_weights import PieAppWeights

# From scores (batch,), less that of equal images, to what is wanted of them.
Finish: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
_Pair: TypeAlias = tuple[tf.Tensor, tf.Tensor]


class PatchScorer:
    """PieAPP's network on all patches of images.

    Values are computed chunk by chunk. Gradients are computed chunk by chunk as well, with the activations of
    one chunk alone in memory: image by image where all patches of an image fit into a chunk, which costs no
    more than one forward and one backward pass; patch by patch otherwise, where each chunk goes forward a
    second time, because an image's weighted mean is known only after its last patch.

    Args:
        weights: Of the network.
        stride: Pixels from one patch to the next.
        grid: ``"plain"`` or ``"official"``.
        chunk_size: Patches in the network at a time.
    """

    def __init__(self, weights: PieAppWeights, *, stride: int, grid: str, chunk_size: int) -> None:
        self._weights = {
            name: tf.Variable(value, trainable=False, dtype=tf.float32)
            for name, value in weights.arrays.items()
        }
        self._design = weights.design
        self._relu_after_weight = weights.relu_after_weight
        self._stride, self._grid, self._chunk_size = stride, grid, chunk_size

    def project(self, pixels: tf.Tensor) -> _Pair:
        """Returns projections of all patches, twice ``(batch, patches, hidden)``; see ``project_patches``."""
        network, corners = self._network(pixels.dtype), self._corners(pixels)

        def project_chunk(start: tf.Tensor, stop: tf.Tensor) -> _Pair:
            return self._project(network, pixels, start, stop)

        total = tf.shape(pixels)[0] * len(corners)
        width = self._design.hidden
        chunks = _in_chunks(
            project_chunk, total, chunk_size=self._chunk_size, shapes=[(width,)] * 2, dtype=pixels.dtype
        )
        score, weight = (tf.reshape(chunk, (-1, len(corners), width)) for chunk in chunks)
        return score, weight

    def score_of_equal_images(self, dtype: tf.DType) -> tf.Tensor:
        """Returns the network's score where nothing differs, a scalar."""
        return self._score_of_nothing(self._network(dtype), dtype)

    def measure(self, prepared: Prepared, pixels: tf.Tensor, finish: Finish) -> tf.Tensor:
        """Returns ``finish`` of each image's score less that of equal images, ``(batch,)``.

        Args:
            prepared: ``score`` and ``weight``, ``(batch, patches, hidden)``, projections of the references.
            pixels: ``(batch, height, width, 3)``, blue, green, red, 0 to 255.
            finish: What is done to the scores, row by row.
        """
        network = self._network(pixels.dtype)
        references = (prepared["score"], prepared["weight"])
        num_images, num_patches = pixels.shape[0], len(self._corners(pixels))
        if num_images is not None and num_images * num_patches <= self._chunk_size:
            return finish(self._whole_images(network, references, pixels))

        @tf.custom_gradient
        def measure_in_chunks(pixels: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            scores, importance = self._patch_values(network, references, pixels)

            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                if num_patches <= self._chunk_size:
                    return self._gradient_by_image(network, references, pixels, (finish, upstream))
                with tf.GradientTape() as tape:
                    tape.watch((scores, importance))
                    values = finish(_weighted_mean(scores, importance))
                along = tape.gradient(values, (scores, importance), upstream)
                return self._gradient_by_patch(network, references, pixels, along)

            return finish(_weighted_mean(scores, importance)), gradient

        return measure_in_chunks(pixels)

    def _network(self, dtype: tf.DType) -> NetworkWeights:
        # Read outside of all loops: a loop that reads variables is not left out where its result is not used.
        return {name: tf.cast(value.read_value(), dtype) for name, value in self._weights.items()}

    def _corners(self, pixels: tf.Tensor) -> np.ndarray:
        height, width = pixels.shape[1:3]
        if height is None or width is None:
            raise ValueError(f"height and width of the images must be known. Received: shape {pixels.shape}")
        return patch_corners(height, width, self._stride, grid=self._grid)

    def _project(
        self, network: NetworkWeights, pixels: tf.Tensor, start: tf.Tensor, stop: tf.Tensor
    ) -> _Pair:
        # Never one patch alone: it would go through other kernels, which round otherwise, and projections are
        # subtracted from each other. A second copy is left out of what is returned.
        corners, number = self._corners(pixels), stop - start
        place = start + tf.minimum(tf.range(tf.maximum(number, 2)), number - 1)
        patches = cut_patches(pixels, place // len(corners), tf.gather(corners, place % len(corners)))
        score, weight = project_patches(network, patches, self._design.first_stride)
        return score[:number], weight[:number]

    def _score_of_nothing(self, network: NetworkWeights, dtype: tf.DType) -> tf.Tensor:
        nothing = tf.zeros((1, self._design.hidden), dtype)
        return score_patches(network, nothing, nothing, relu_after_weight=False)[0][0]

    def _some_patches(
        self, network: NetworkWeights, references: _Pair, pixels: tf.Tensor, start: tf.Tensor, stop: tf.Tensor
    ) -> _Pair:
        """Scores, less that of nothing, and weights of patches, counted through all images."""
        projected = self._project(network, pixels, start, stop)
        score, weight = (
            tf.reshape(reference, (-1, self._design.hidden))[start:stop] - ours
            for reference, ours in zip(references, projected, strict=True)
        )
        scores, importance = score_patches(network, score, weight, relu_after_weight=self._relu_after_weight)
        return scores - self._score_of_nothing(network, pixels.dtype), importance

    def _whole_images(self, network: NetworkWeights, references: _Pair, pixels: tf.Tensor) -> tf.Tensor:
        num_patches = len(self._corners(pixels))
        total = tf.shape(pixels)[0] * num_patches
        values = self._some_patches(network, references, pixels, tf.zeros_like(total), total)
        return _weighted_mean(*(tf.reshape(value, (-1, num_patches)) for value in values))

    def _patch_values(self, network: NetworkWeights, references: _Pair, pixels: tf.Tensor) -> _Pair:
        num_patches = len(self._corners(pixels))

        def score_chunk(start: tf.Tensor, stop: tf.Tensor) -> _Pair:
            return self._some_patches(network, references, pixels, start, stop)

        total = tf.shape(pixels)[0] * num_patches
        chunks = _in_chunks(
            score_chunk, total, chunk_size=self._chunk_size, shapes=[(), ()], dtype=pixels.dtype
        )
        scores, importance = (tf.reshape(chunk, (-1, num_patches)) for chunk in chunks)
        return scores, importance

    def _gradient_by_image(
        self, network: NetworkWeights, references: _Pair, pixels: tf.Tensor, outer: tuple[Finish, tf.Tensor]
    ) -> tf.Tensor:
        finish, upstream = outer

        def of_images(start: tf.Tensor, stop: tf.Tensor) -> tuple[tf.Tensor]:
            part = pixels[start:stop]
            with tf.GradientTape() as tape:
                tape.watch(part)
                their_references = (references[0][start:stop], references[1][start:stop])
                values = finish(self._whole_images(network, their_references, part))
            return (tf.convert_to_tensor(tape.gradient(values, part, upstream[start:stop])),)

        images_at_a_time = self._chunk_size // len(self._corners(pixels))
        shapes, num_images = [tuple(pixels.shape[1:])], tf.shape(pixels)[0]
        return _in_chunks(
            of_images, num_images, chunk_size=images_at_a_time, shapes=shapes, dtype=pixels.dtype
        )[0]

    def _gradient_by_patch(
        self, network: NetworkWeights, references: _Pair, pixels: tf.Tensor, along: _Pair
    ) -> tf.Tensor:
        flat = [tf.reshape(values, (-1,)) for values in along]
        total = tf.size(flat[0])

        def add_chunk(start: tf.Tensor, so_far: tf.Tensor) -> _Pair:
            stop = tf.minimum(start + self._chunk_size, total)
            with tf.GradientTape() as tape:
                tape.watch(pixels)
                values = self._some_patches(network, references, pixels, start, stop)
            gradient = tape.gradient(values, pixels, [part[start:stop] for part in flat])
            return stop, so_far + tf.convert_to_tensor(gradient)

        start = (tf.zeros_like(total), tf.zeros_like(pixels))
        return tf.while_loop(lambda done, _: done < total, add_chunk, start, parallel_iterations=1)[1]


def _weighted_mean(scores: tf.Tensor, importance: tf.Tensor) -> tf.Tensor:
    """Means over patches; weights that sum to next to nothing, or less, count as next to nothing."""
    total = tf.reduce_sum(importance, -1)
    least = np.array(LEAST_WEIGHT * scores.shape[-1], scores.dtype.as_numpy_dtype)
    return tf.reduce_sum(scores * importance, -1) / tf.maximum(total, least)


def _in_chunks(
    compute: Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]],
    total: tf.Tensor,
    *,
    chunk_size: int,
    shapes: Sequence[tuple[int, ...]],
    dtype: tf.DType,
) -> list[tf.Tensor]:
    """Joins what ``compute`` gives for places from start to stop, a tensor ``(places, *shape)`` a shape."""
    num_chunks = (total + chunk_size - 1) // chunk_size
    arrays = [
        tf.TensorArray(dtype, num_chunks, infer_shape=False, element_shape=(None, *shape)) for shape in shapes
    ]

    def step(chunk: tf.Tensor, arrays: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.TensorArray]]:
        start = chunk * chunk_size
        results = compute(start, tf.minimum(start + chunk_size, total))
        return chunk + 1, [array.write(chunk, each) for array, each in zip(arrays, results, strict=True)]

    start = (tf.zeros_like(total), arrays)
    arrays = tf.while_loop(lambda chunk, _: chunk < num_chunks, step, start, parallel_iterations=1)[1]
    return [array.concat() for array in arrays]
