import pytest

from bioattack.models.small_cnn import small_cnn


def test_published_network():
    model = small_cnn((32, 32, 3), 10)
    # The count: Sooksatra and Rivas' layers, 896 + 18,496 + 524,416 + 8,256 + 650.
    assert model.count_params() == 552_714
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[1:] == ["Conv2D", "MaxPooling2D", "ReLU"] * 2 + ["Flatten", "Dense", "Dense", "Dense"]
    assert model.get_layer("flatten").output.shape == (None, 8 * 8 * 64)


def test_augmentation_can_be_asked_for():
    model = small_cnn((28, 28, 1), 10, augmentation="crop")
    assert model.get_layer("augmentation").flip is False


def test_images_too_small_for_two_poolings_are_refused():
    with pytest.raises(
        ValueError, match=r"image_shape must be 4 x 4 or larger. Received: image_shape=\(3, 8, 1\)"
    ):
        small_cnn((3, 8, 1), 10)
