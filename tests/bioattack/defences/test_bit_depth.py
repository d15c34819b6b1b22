"""Fewer bits: the levels themselves, and the gradient that stands for none."""

import numpy as np
import pytest
import tensorflow as tf

from bioattack.defences import BitDepth
from bioattack.errors import InputError


@pytest.mark.parametrize("bits", range(1, 9))
def test_every_value_goes_to_the_nearest_level_exactly(bits):
    levels = np.arange(2**bits, dtype=np.float32) / np.float32(2**bits - 1)
    images = np.random.default_rng(0).random((2, 9, 7, 3), dtype=np.float32)
    nearest = levels[np.abs(images[..., None] - levels).argmin(-1)]
    for call in (BitDepth(bits), tf.function(BitDepth(bits), autograph=False)):
        np.testing.assert_array_equal(call(images), nearest)


def test_8_bits_are_what_a_saved_picture_holds():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = pixels / np.float32(255)
    np.testing.assert_array_equal(BitDepth(8)(images), images)


def test_straight_through_passes_the_gradient_as_it_is():
    images = tf.constant(np.random.default_rng(0).random((1, 4, 4, 3), dtype=np.float32))
    upstream = tf.random.stateless_normal(images.shape, (0, 0))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(upstream * BitDepth(2)(images, gradient="straight-through"))
    np.testing.assert_array_equal(tape.gradient(total, images), upstream)


@pytest.mark.parametrize("bits", [0, 9, 2.0, False])
def test_a_number_of_bits_out_of_range_is_refused(bits):
    with pytest.raises(InputError, match=r"bits must be a whole number from 1 to 8\. Received: bits="):
        BitDepth(bits)


def test_it_has_no_smooth_gradient():
    with pytest.raises(InputError, match="gradient of bits must be one of none, straight-through"):
        BitDepth(3)(tf.zeros((1, 4, 4, 3)), gradient="smooth")
