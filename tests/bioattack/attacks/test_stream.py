import numpy as np
import pytest
import tensorflow as tf

from bioattack.attacks.attack import AttackedModel
from bioattack.attacks.stream import read_stream
from bioattack.errors import InputError
from bioattack.testing.check_attack import made_up_batch, made_up_classifier


@pytest.fixture(scope="module")
def model():
    return AttackedModel(made_up_classifier())


@pytest.fixture
def batches(model):
    batch = made_up_batch(model.classifier, num_images=8)
    return [
        {
            "image": batch.images[some],
            "label": batch.labels[some],
            "image_id": batch.image_ids[some],
            "country": np.array([f"c{place}" for place in range(8)])[some],
        }
        for some in (slice(0, 3), slice(3, 6), slice(6, 8))
    ]


def test_images_come_with_their_clean_logits_and_all_that_came_with_them(model, batches):
    images = [image for some in read_stream(batches, model) for image in some]
    assert [image.image_id for image in images] == [f"image {place}" for place in range(8)]
    assert [image.is_correct for image in images] == [False, False] + [True] * 6
    for image in images:
        expected = model.logits(tf.constant(image.pixels[None])).numpy()[0]
        np.testing.assert_allclose(image.clean_logits, expected, atol=1e-5)
        assert image.extra["country"] == f"c{image.image_id[-1]}"


def test_a_data_set_of_tensorflow_is_a_stream(model, batches):
    flat = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    stream = tf.data.Dataset.from_tensor_slices(flat).batch(3).as_numpy_iterator()
    images = [image for some in read_stream(stream, model) for image in some]
    assert [image.image_id for image in images] == [f"image {place}" for place in range(8)]


def test_batches_that_were_read_before_are_left_out(model, batches):
    images = [image for some in read_stream(batches, model, first_batch=2) for image in some]
    assert [image.image_id for image in images] == ["image 6", "image 7"]
    assert list(read_stream(batches, model, first_batch=3)) == []


def test_an_empty_batch_is_no_image(model, batches):
    empty = {name: values[:0] for name, values in batches[0].items()}
    images = [image for some in read_stream([empty, *batches], model) for image in some]
    assert len(images) == 8


def test_the_image_at_fault_is_named(model, batches):
    broken = batches[1]["image"].copy()
    broken[2, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="image image 5 holds NaN"):
        list(read_stream([batches[0], batches[1] | {"image": broken}], model))
