import keras
import numpy as np
import pytest

from bioattack.models.layers.padded_shortcut import PaddedShortcut
from bioattack.testing.check_layer import LayerExpectations, check_layer


@pytest.mark.parametrize(("stride", "num_channels", "shape"), [(2, 4, (4, 3, 4)), (1, 2, (7, 6, 2))])
def test_layer_is_well_made(stride, num_channels, shape):
    check_layer(
        PaddedShortcut,
        {"stride": stride, "num_channels": num_channels},
        input_shape=(7, 6, 2),
        expected=LayerExpectations(output_shape=shape),
    )


def test_every_second_pixel_between_zero_channels():
    inputs = np.random.default_rng(0).random((2, 4, 4, 2), dtype="float32")
    outputs = np.asarray(PaddedShortcut(stride=2, num_channels=5)(inputs))
    np.testing.assert_array_equal(outputs[..., 1:3], inputs[:, ::2, ::2])
    assert not outputs[..., [0, 3, 4]].any()


@pytest.mark.parametrize("name", ["stride", "num_channels"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more. Received: {name}=0"):
        PaddedShortcut(**{"stride": 2, "num_channels": 4, name: 0})


def test_more_channels_than_the_output_has_are_refused():
    with pytest.raises(ValueError, match=r"at most 2 channels. Received: input_shape=\(None, 8, 8, 3\)"):
        PaddedShortcut(stride=2, num_channels=2)(keras.Input((8, 8, 3)))
