import pytest

from bioattack.models.building import check_sizes, layer_seed


@pytest.mark.parametrize(
    ("image_shape", "num_classes", "message"),
    [
        ((32, 32), 10, r"image_shape must be \(height, width, channels\). Received: image_shape=\(32, 32\)"),
        ((32, 0, 3), 10, "width must be an integer of 1 or more. Received: width=0"),
        ((32, 32, None), 10, "channels must be an integer of 1 or more. Received: channels=None"),
        ((32, 32, 3), 1, "num_classes must be an integer of 2 or more. Received: num_classes=1"),
        ((32, 32, 3), True, "num_classes must be an integer of 2 or more. Received: num_classes=True"),
    ],
)
def test_wrong_sizes_are_refused(image_shape, num_classes, message):
    with pytest.raises(ValueError, match=message):
        check_sizes(image_shape, num_classes)


def test_layer_seeds_differ_and_fit_every_backend():
    seeds = {layer_seed(seed, name) for seed in range(20) for name in ("conv1", "conv2", "logits")}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert layer_seed(None, "conv1") is None
