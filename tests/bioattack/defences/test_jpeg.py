"""JPEG compression against Pillow, and what stands for its gradient against finite differences."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bioattack.defences import JpegCompression
from bioattack.defences.smooth_jpeg import jpeg_pipeline, smooth_round
from bioattack.errors import InputError


def photograph(height=37, width=51, channels=3, *, seed=0, noise=6, detail=6):
    """Smooth colours with a little noise: ``(1, height, width, channels)`` in 8 bits."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(30, 226, (detail, detail, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    pixels = np.clip(pixels + random.integers(-noise, noise + 1, pixels.shape), 0, 255)
    return pixels[None, ..., :channels].astype(np.uint8)


def through_pillow(pixels, quality):
    """The same picture saved by Pillow with its defaults, and read again."""
    picture, file = pixels[0, ..., 0] if pixels.shape[-1] == 1 else pixels[0], io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(pixels.shape)


@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_what_pillow_saves_to_the_last_bit(quality, channels):
    pixels = photograph(channels=channels)
    images = pixels / np.float32(255)
    expected = through_pillow(pixels, quality) / np.float32(255)
    for call in (JpegCompression(quality), tf.function(JpegCompression(quality), autograph=False)):
        np.testing.assert_array_equal(call(images).numpy(), expected)


def test_each_picture_is_compressed_by_itself_with_an_open_batch_size():
    images = np.concatenate([photograph(seed=seed) for seed in range(3)]) / np.float32(255)
    spec = [tf.TensorSpec((None, 37, 51, 3), tf.float32)]
    together = tf.function(JpegCompression(40), input_signature=spec, autograph=False)(images)
    for place in range(3):
        np.testing.assert_array_equal(together[place : place + 1], JpegCompression(40)(images[place, None]))


def test_values_between_8_bits_are_rounded_first_and_those_beyond_are_cut_off():
    images = photograph() / np.float32(255)
    moved = np.where(images > 0.5, images + 0.3 / 255, images - 0.3 / 255).astype(np.float32)
    np.testing.assert_array_equal(JpegCompression(80)(moved), JpegCompression(80)(images))
    black_and_white = np.where(np.indices(images.shape).sum(0) // 32 % 2, 1.4, -0.4).astype(np.float32)
    np.testing.assert_array_equal(
        JpegCompression(80)(black_and_white), JpegCompression(80)(black_and_white.clip(0, 1))
    )


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90])
@pytest.mark.parametrize(("height", "width", "channels"), [(61, 83, 3), (48, 64, 3), (20, 9, 1)])
def test_with_hard_rounding_the_pipeline_is_near_the_codec(quality, height, width, channels):
    pixels = photograph(height, width, channels, noise=3, detail=3)
    images = tf.constant(pixels / np.float32(255))
    ours = 255 * jpeg_pipeline(images, quality, rounding=tf.round).numpy()
    difference = np.abs(ours - through_pillow(pixels, quality))
    # The codec rounds colours, samples and transforms to whole numbers, too. Where that moves a coefficient
    # across one half, the block is a whole step of the table away.
    assert np.median(difference) < 1
    assert difference.mean() < 2


@pytest.mark.parametrize("quality", [10, 30, 50])
@pytest.mark.parametrize("channels", [1, 3])
def test_where_no_coefficient_is_near_one_half_it_is_the_codec_to_its_other_roundings(quality, channels):
    pixels = photograph(128, 96, channels, noise=0, detail=2)
    is_far = []

    def hard_rounding(coefficients):
        off = np.abs(coefficients - np.round(coefficients))
        is_far.append((off < 0.42).all(axis=(2, 4, 5))[0])
        return tf.round(coefficients)

    ours = 255 * jpeg_pipeline(tf.constant(pixels / np.float32(255)), quality, rounding=hard_rounding)
    difference = np.abs(ours - through_pillow(pixels, quality))[0].max(-1)
    # Within each 16 x 16 pixels, away from the neighbours' chroma.
    squares = difference.reshape(8, 16, 6, 16).transpose(0, 2, 1, 3)[:, :, 2:14, 2:14]
    is_clear = np.all([is_far_in_squares(one) for one in is_far], axis=0)
    assert is_clear.sum() >= 2
    assert squares[is_clear].max() < (1 if channels == 1 else 3.5)


def is_far_in_squares(blocks):
    """The same for 16 x 16 pixels: luma has four blocks in them and chroma one."""
    return blocks if blocks.shape == (8, 6) else blocks.reshape(8, 2, 6, 2).all(axis=(1, 3))


def test_smooth_rounding_is_near_rounding_and_its_gradient_is_the_derivative():
    values = tf.constant(np.random.default_rng(0).uniform(-3, 3, 200))
    with tf.GradientTape() as tape:
        tape.watch(values)
        rounded = smooth_round(values)
    assert np.abs(rounded - np.round(values)).max() <= 0.125
    step = 1e-6
    slope = (smooth_round(values + step) - smooth_round(values - step)) / (2 * step)
    np.testing.assert_allclose(tape.gradient(rounded, values), slope, atol=1e-6)


def test_the_gradient_of_the_pipeline_is_its_slope():
    random = np.random.default_rng(0)
    images = tf.constant(random.uniform(0.2, 0.8, (1, 11, 13, 3)))
    weights, direction = tf.constant(random.normal(size=(2, *images.shape)))

    def value(moved):
        return tf.reduce_sum(weights * jpeg_pipeline(moved, 60, rounding=smooth_round))

    with tf.GradientTape() as tape:
        tape.watch(images)
        found = value(images)
    slope = (value(images + 1e-7 * direction) - value(images - 1e-7 * direction)) / 2e-7
    gradient = tf.reduce_sum(direction * tape.gradient(found, images))
    np.testing.assert_allclose(gradient, slope, rtol=1e-4)


@pytest.mark.parametrize("gradient", ["none", "straight-through", "smooth"])
def test_values_are_the_codecs_whatever_the_gradient(gradient):
    defence, images = JpegCompression(60), tf.constant(photograph() / np.float32(255))
    upstream = tf.random.stateless_normal(images.shape, (0, 0))
    with tf.GradientTape() as tape:
        tape.watch(images)
        defended = defence(images, gradient=gradient)
        smoothed = defence.smoothed(images)
        sums = tf.reduce_sum(upstream * defended), tf.reduce_sum(upstream * smoothed)
    np.testing.assert_array_equal(defended, defence(images))
    if gradient == "none":
        assert tape.gradient(sums[0], images) is None
        return
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        found = tf.reduce_sum(upstream * defence(images, gradient=gradient))
        smooth = tf.reduce_sum(upstream * defence.smoothed(images))
    expected = upstream if gradient == "straight-through" else tape.gradient(smooth, images)
    np.testing.assert_array_equal(tape.gradient(found, images), expected)


@pytest.mark.parametrize("quality", [0, 101, 75.0, True, "75"])
def test_a_quality_out_of_range_is_refused(quality):
    with pytest.raises(
        InputError, match=r"quality must be a whole number from 1 to 100\. Received: quality="
    ):
        JpegCompression(quality)


def test_an_unknown_gradient_is_refused():
    with pytest.raises(InputError, match="gradient of jpeg must be one of none, straight-through, smooth"):
        JpegCompression(50)(tf.zeros((1, 8, 8, 3)), gradient="steep")
