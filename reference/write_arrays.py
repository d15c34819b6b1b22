"""Writes what tensorflow-addons' bilinear samplers give, values and gradients, for ours to be held against.

    make reference                                   makes the environment, writes the arrays afresh, compares
    .venv-reference/bin/python reference/write_arrays.py tests/data/reference_sampling.npz
                                                     writes the arrays that the ordinary tests read

It runs in the environment of ``reference/requirements.txt``, where nothing of ours can be imported: it shares
no code with what it checks. The comparison is ``tests/models/layers/test_reference_sampling.py``.

At the border the two differ by intention: tensorflow-addons moves positions outside the image onto its
border, ours read 0 there. Cases that go outside are therefore asked of the image with one pixel of 0 around
it, where the two must agree at every position; the others stay inside and are asked of the image as it is.
"""

import argparse
import dataclasses
import os
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it has come to its end, and which versions it was made for
    import tensorflow_addons as tfa

# Rows and columns of positions are drawn at least this far from the integers, where gradients jump.
MARGIN = 0.02


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked of which function.

    Args:
        name: In front of the names of its arrays.
        function: ``"interpolate_bilinear"`` or ``"dense_image_warp"``.
        shape: ``(batch, height, width, channels)`` of the images.
        picture: ``"noise"`` or ``"smooth"``.
        positions: ``"inside"``, ``"across"`` the border to two pixels outside, or ``"quarters"`` of pixels
            inside, the integers among them.
    """

    name: str
    function: str
    shape: tuple[int, int, int, int]
    picture: str
    positions: str


CASES = (
    Case("points_inside_noise", "interpolate_bilinear", (2, 5, 7, 2), "noise", "inside"),
    Case("points_inside_smooth", "interpolate_bilinear", (1, 9, 6, 3), "smooth", "inside"),
    Case("points_on_quarters", "interpolate_bilinear", (1, 6, 6, 1), "noise", "quarters"),
    Case("points_across_noise", "interpolate_bilinear", (2, 6, 4, 1), "noise", "across"),
    Case("points_across_smooth", "interpolate_bilinear", (1, 4, 11, 2), "smooth", "across"),
    Case("warp_inside_noise", "dense_image_warp", (1, 8, 5, 2), "noise", "inside"),
    Case("warp_across_smooth", "dense_image_warp", (2, 5, 6, 1), "smooth", "across"),
    Case("smallest_image", "interpolate_bilinear", (1, 2, 2, 1), "noise", "across"),
)


def main() -> None:
    """Writes all cases into one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path, help="the .npz file")
    output = parser.parse_args().output
    tf.get_logger().setLevel("ERROR")  # that each shape is traced anew
    arrays = {}
    for number, case in enumerate(CASES):
        arrays |= _arrays(case, np.random.default_rng(number))
    np.savez_compressed(output, **arrays)
    print(
        f"wrote {len(CASES)} cases to {output} ({output.stat().st_size} bytes), "
        f"TensorFlow {tf.__version__}, tensorflow-addons {tfa.__version__}"
    )


def _arrays(case: Case, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws images and positions; asks for values and the gradients of half the sum of their squares."""
    images = tf.constant(_draw_images(case, random))
    axes = [_draw_positions(case, random, size=size) for size in case.shape[1:3]]
    positions = tf.constant(np.stack(axes, axis=-1))
    with tf.GradientTape() as tape:
        tape.watch([images, positions])
        values = _sample(case, images, positions)
        loss = tf.reduce_sum(values**2) / 2
    gradients = tape.gradient(loss, [images, positions])
    found = {
        "images": images,
        "positions": positions,
        "values": values,
        "image_gradients": gradients[0],
        "position_gradients": gradients[1],
    }
    return {f"{case.name}/{name}": tensor.numpy() for name, tensor in found.items()}


def _draw_images(case: Case, random: np.random.Generator) -> np.ndarray:
    if case.picture == "noise":
        return random.uniform(size=case.shape).astype(np.float32)
    batch, height, width, channels = np.meshgrid(*map(np.arange, case.shape), indexing="ij")
    waves = np.sin(0.7 * height + 0.4 * channels + batch) * np.cos(0.5 * width - 0.9 * channels)
    return (0.5 + 0.5 * waves).astype(np.float32)


def _draw_positions(case: Case, random: np.random.Generator, *, size: int) -> np.ndarray:
    """Positions along one axis, ``(batch, height, width)``: as many as there are pixels."""
    shape = case.shape[:3]
    if case.positions == "quarters":
        # Short of the last pixel, which tensorflow-addons counts to the cell before it.
        return (random.integers(0, 4 * (size - 1), size=shape) / 4).astype(np.float32)
    first, last = (-2, size) if case.positions == "across" else (0, size - 2)
    cells = random.integers(first, last + 1, size=shape)
    return (cells + random.uniform(MARGIN, 1 - MARGIN, size=shape)).astype(np.float32)


def _sample(case: Case, images: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """What tensorflow-addons reads at the positions, ``(batch, height, width, channels)``."""
    if case.positions == "across":
        images = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        positions += 1.0
    batch, height, width, _ = case.shape
    if case.function == "interpolate_bilinear":
        points = tf.reshape(positions, (batch, height * width, 2))
        return tf.reshape(tfa.image.interpolate_bilinear(images, points), case.shape)
    return _warp(images, positions)[:, :height, :width]


def _warp(images: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """``dense_image_warp``, told how far from each pixel to read; it wants this for every pixel."""
    height, width = images.shape[1:3]
    missing = [(0, 0), (0, height - positions.shape[1]), (0, width - positions.shape[2]), (0, 0)]
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).astype(np.float32)
    return tfa.image.dense_image_warp(images, grid - tf.pad(positions, missing))


if __name__ == "__main__":
    main()
