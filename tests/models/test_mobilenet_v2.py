import csv
import io
import itertools
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from bioattack.models.mobilenet_v2 import mobilenet_v2
from bioattack.models.weights import load_published_weights


# Folding a batch normalisation into its convolution leaves 1 of its 4 numbers a filter, the bias.
def test_it_is_keras_own_network_with_its_normalisations_folded():
    model = mobilenet_v2((96, 96, 3), 1000)
    theirs = keras.applications.MobileNetV2((96, 96, 3), weights=None, classifier_activation=None)
    num_normalised = sum(
        layer.gamma.shape[0] for layer in theirs.layers if isinstance(layer, keras.layers.BatchNormalization)
    )
    assert model.count_params() == theirs.count_params() - 3 * num_normalised == 3_487_816
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            ours = model.get_layer(layer.name)
            assert ours.kernel.shape == layer.kernel.shape
            assert ours.strides == layer.strides


def test_it_computes_what_keras_own_network_computes():
    keras.utils.set_random_seed(0)
    # At a multiple of 32 Keras' own padding is TensorFlow's SAME.
    theirs = keras.applications.MobileNetV2((64, 64, 3), weights=None, classes=7, classifier_activation=None)
    random = np.random.default_rng(0)
    model = mobilenet_v2((64, 64, 3), 7)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            values = [random.uniform(0.5, 1.5, size), *random.normal(0, 0.2, (2, size))]
            layer.set_weights([*values, random.uniform(0.5, 1.5, size)])
    for name, normalisation in _convolutions(theirs):
        kernel, ours = np.asarray(theirs.get_layer(name).kernel), model.get_layer(name)
        gamma, beta, mean, variance = map(np.asarray, normalisation.weights)
        scale = gamma / np.sqrt(variance + normalisation.epsilon)
        is_depthwise = isinstance(ours, keras.layers.DepthwiseConv2D)
        ours.set_weights([kernel * (scale[:, None] if is_depthwise else scale), beta - mean * scale])
    model.get_layer("logits").set_weights(theirs.get_layer("predictions").get_weights())
    images = random.random((3, 64, 64, 3), dtype=np.float32)
    np.testing.assert_allclose(model(images), theirs(2 * images - 1), rtol=1e-3, atol=1e-4)


def _convolutions(model):
    """The names of Keras' convolutions, each with the normalisation behind it."""
    for layer, following in itertools.pairwise(model.layers):
        if isinstance(following, keras.layers.BatchNormalization):
            yield layer.name, following


def read_pictures(folder, name, *, index_column, size):
    """The labelled pictures of a zip file, resized as they are, without a crop, by Pillow."""
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if int(row[index_column]) >= 0]
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        paths = {path.rpartition("/")[2]: path for path in archive.namelist()}
        pictures = [Image.open(io.BytesIO(archive.read(paths[row["file"]]))).convert("RGB") for row in rows]
    resized = [picture.resize(size, Image.Resampling.BILINEAR) for picture in pictures]
    return np.stack(resized).astype("float32") / 255, np.array([int(row[index_column]) for row in rows])


# 69 of 80 and 74 of 95 without a crop: measured with another forward pass when the weights were converted.
@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "index_column", "num_correct"),
    [("nips2017_dev80", "true_index", 69), ("imagenet_natural", "ilsvrc_index", 74)],
)
def test_published_weights_reach_their_accuracy(realdata, name, index_column, num_correct):
    images, labels = read_pictures(realdata / "imagenet", name, index_column=index_column, size=(224, 224))
    model = mobilenet_v2((224, 224, 3), 1000)
    load_published_weights(model, realdata / "weights" / "mobilenet_v2_imagenet.npz")
    predicted = model.predict(images, batch_size=20, verbose=0).argmax(axis=1)
    assert int((predicted == labels).sum()) == num_correct
