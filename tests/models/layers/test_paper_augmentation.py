import collections

import keras
import numpy as np
import pytest

from bioattack.models.layers.paper_augmentation import PaperAugmentation
from bioattack.models.layers.separable_sampling import resample_separably
from bioattack.testing.check_layer import LayerExpectations, check_layer


@pytest.mark.parametrize(
    "init_kwargs",
    [{}, {"seed": 3}, {"seed": 3, "per_batch": True}, {"seed": 3, "flip": False, "smallest_fraction": 0.5}],
)
def test_layer_is_well_made(init_kwargs):
    check_layer(
        PaperAugmentation,
        init_kwargs,
        input_shape=(12, 10, 3),
        expected=LayerExpectations(output_shape=(12, 10, 3)),
    )


# 320 and 32: the experiments' crops (300 to 320, 30 to 32; the reference code: 300 to 319, 30 to 31).
@pytest.mark.parametrize(
    ("size", "per_batch", "sides"),
    [
        (320, False, (300, 320)),
        (32, False, (30, 32)),
        (64, False, (60, 64)),
        (320, True, (300, 319)),
        (32, True, (30, 31)),
        (1, True, (1, 1)),
    ],
)
def test_crop_sides(size, per_batch, sides):
    assert PaperAugmentation(per_batch=per_batch).crop_sides(size) == sides


def _all_crops(image, sides):
    """Every picture that the layer may make of an image, cut in NumPy and resized by Keras."""
    size = image.shape[0]
    crops = {}
    for side in sides:
        for row in range(size - side + 1):
            for column in range(size - side + 1):
                crop = image[row : row + side, column : column + side]
                resized = np.asarray(keras.ops.image.resize(crop, (size, size), interpolation="bilinear"))
                crops[side, row, column, False] = resized
                crops[side, row, column, True] = resized[:, ::-1]
    return crops


def _identify(picture, crops):
    """The one crop that a picture is."""
    matches = [key for key, crop in crops.items() if np.allclose(picture, crop, atol=1e-5)]
    assert len(matches) == 1, f"{len(matches)} crops match"
    return matches[0]


def test_each_image_is_a_resized_crop_drawn_evenly():
    image = np.random.default_rng(0).random((16, 16, 3), dtype="float32")
    crops = _all_crops(image, sides=(15, 16))
    num = 1200
    outputs = np.asarray(PaperAugmentation(seed=0)(np.tile(image, (num, 1, 1, 1)), training=True))
    found = collections.Counter(_identify(picture, crops) for picture in outputs)
    assert set(found) == set(crops)
    for (side, *_), count in found.items():
        # Side 16 fits once, side 15 four times; each is mirrored half of the time.
        probability = 0.25 if side == 16 else 0.25 / 4
        assert abs(count - num * probability) < 5 * np.sqrt(num * probability * (1 - probability))


def test_per_batch_draws_one_crop_and_a_flip_for_each_image():
    image = np.random.default_rng(0).random((16, 16, 3), dtype="float32")
    crops = _all_crops(image, sides=(15,))
    layer = PaperAugmentation(seed=0, per_batch=True)
    batches = []
    for _ in range(6):
        outputs = np.asarray(layer(np.tile(image, (12, 1, 1, 1)), training=True))
        keys = [_identify(picture, crops) for picture in outputs]
        assert len({key[:3] for key in keys}) == 1
        assert {key[3] for key in keys} == {False, True}
        batches.append(keys[0][:3])
    assert len(set(batches)) > 1


def test_without_flip_no_image_is_mirrored():
    ramp = np.broadcast_to(np.arange(16, dtype="float32")[:, None], (64, 16, 16, 1)).copy()
    outputs = np.asarray(PaperAugmentation(seed=0, flip=False)(ramp, training=True))
    assert (np.diff(outputs, axis=2) >= 0).all()


def test_outside_training_images_pass_unchanged():
    images = np.random.default_rng(0).random((2, 8, 8, 3), dtype="float32")
    layer = PaperAugmentation(seed=0)
    state = np.asarray(layer.seed_generator.state)
    for training in (False, None):
        np.testing.assert_array_equal(layer(images, training=training), images)
    np.testing.assert_array_equal(layer.seed_generator.state, state)


def test_random_state_is_in_the_variables_of_a_model():
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, PaperAugmentation(seed=0)(images))
    batch = np.random.default_rng(0).random((4, 8, 8, 3), dtype="float32")
    model(batch, training=True)
    saved = [np.asarray(variable) for variable in model.variables]
    wanted = np.asarray(model(batch, training=True))
    for variable, value in zip(model.variables, saved, strict=True):
        variable.assign(value)
    assert len(saved) == 1
    np.testing.assert_array_equal(model(batch, training=True), wanted)


def test_resampling_is_bilinear():
    random = np.random.default_rng(0)
    images = random.random((2, 7, 9, 3))
    rows, columns = random.uniform(0, 6, (2, 5)), random.uniform(0, 8, (2, 4))
    outputs = np.asarray(
        resample_separably(
            keras.ops.convert_to_tensor(images),
            rows=keras.ops.convert_to_tensor(rows),
            columns=keras.ops.convert_to_tensor(columns),
        )
    )
    for index, i, j in np.ndindex(2, 5, 4):
        row, column = rows[index, i], columns[index, j]
        top, left = int(row), int(column)
        down, right = row - top, column - left
        # The four neighbours, weighted by the opposite areas.
        wanted = (
            images[index, top, left] * (1 - down) * (1 - right)
            + images[index, top + 1, left] * down * (1 - right)
            + images[index, top, left + 1] * (1 - down) * right
            + images[index, top + 1, left + 1] * down * right
        )
        np.testing.assert_allclose(outputs[index, i, j], wanted, atol=1e-12)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01])
def test_wrong_fraction_is_refused(fraction):
    with pytest.raises(ValueError, match=r"smallest_fraction must be above 0.*Received: smallest_fraction="):
        PaperAugmentation(smallest_fraction=fraction)


def test_images_of_unknown_size_are_refused():
    with pytest.raises(
        ValueError, match=r"fixed height and width. Received: input_shape=\(None, None, 8, 3\)"
    ):
        PaperAugmentation()(keras.Input((None, 8, 3)))
