"""Samplers that ours is held against; as a script, tensorflow-addons' against ``tf.gather_nd``.

    .venv-reference/bin/python benchmarks/warp_peers.py POSITIONS.npz REPEATS

Imported by ``benchmarks/warp.py`` and run by it in the reference environment (``make reference``), so nothing
of ours, nor Keras 3, is imported here. The script prints seconds as one line of JSON.
"""

import json
import sys
import warnings

import numpy as np
import tensorflow as tf
from ratio import interleave


def sample_with_gather_nd(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Bilinear sampling as it is mostly written in TensorFlow: 0 outside, four times ``tf.gather_nd``.

    Args:
        images: ``(batch, height, width, channels)``, float32.
        rows: ``(batch, target_height, target_width)``, in pixels.
        columns: The same.
    """
    height, width = images.shape[1:3]
    top, left = tf.floor(rows), tf.floor(columns)
    row_weight, column_weight = (rows - top)[..., None], (columns - left)[..., None]
    batch = tf.broadcast_to(tf.range(tf.shape(images)[0])[:, None, None], tf.shape(rows))

    def read(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        is_inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
        row, column = tf.clip_by_value(row, 0, height - 1), tf.clip_by_value(column, 0, width - 1)
        positions = tf.stack([batch, tf.cast(row, tf.int32), tf.cast(column, tf.int32)], axis=-1)
        return tf.gather_nd(images, positions) * tf.cast(is_inside, images.dtype)[..., None]

    above = read(top, left) * (1 - column_weight) + read(top, left + 1) * column_weight
    below = read(top + 1, left) * (1 - column_weight) + read(top + 1, left + 1) * column_weight
    return above * (1 - row_weight) + below * row_weight


def main() -> None:
    """Times both samplers on the images and positions of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has come to its end
        import tensorflow_addons as tfa
    path, repeats = sys.argv[1:]
    with np.load(path) as file:
        images, rows, columns = (tf.constant(file[name]) for name in ("images", "rows", "columns"))

    @tf.function(autograph=False)
    def with_addons(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        points = tf.stack([rows, columns], axis=-1)
        points = tf.reshape(points, (points.shape[0], -1, 2))
        return tf.reshape(tfa.image.interpolate_bilinear(images, points), (*rows.shape, images.shape[-1]))

    with_gather_nd = tf.function(sample_with_gather_nd, autograph=False)
    works = {
        "tensorflow-addons": lambda: with_addons(images, rows, columns).numpy(),
        "tf.gather_nd": lambda: with_gather_nd(images, rows, columns).numpy(),
    }
    print(json.dumps(interleave(works, int(repeats))))


if __name__ == "__main__":
    main()
