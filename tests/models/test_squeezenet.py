import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from bioattack.models.squeezenet import squeezenet
from bioattack.models.weights import load_published_weights


# Iandola et al. 2016, table 1: 1,248,424 parameters and these sizes at 227 x 227.
def test_sizes_are_the_published_ones():
    model = squeezenet((227, 227, 3), 1000)
    assert model.count_params() == 1_248_424
    sizes = {"conv1": 111, "pool1": 55, "fire4_concat": 55, "pool4": 27, "pool8": 13, "conv_final": 15}
    for name, size in sizes.items():
        assert model.get_layer(name).output.shape[1:3] == (size, size)
    channels = {2: 128, 3: 128, 4: 256, 5: 256, 6: 384, 7: 384, 8: 512, 9: 512}
    for number, count in channels.items():
        assert model.get_layer(f"fire{number}_concat").output.shape[-1] == count


@pytest.mark.parametrize("size", [7, 8, 9, 10, 28, 32, 33])
def test_pooling_keeps_what_is_left_over_at_the_edge(size):
    model = squeezenet((size, size, 3), 5)
    wide = model.get_layer("conv1").output.shape[1]
    # Caffe's rule: the last window may begin inside and end outside.
    assert model.get_layer("pool1").output.shape[1] == max(1, -(-(wide - 3) // 2) + 1)


def test_pixels_are_turned_into_caffes():
    model = squeezenet((9, 9, 3), 5)
    pixels = model.get_layer("caffe_pixels")
    inner = pixels(np.array([[[[3.0, 2.0, 1.0]]]], "float32") / 255)
    np.testing.assert_allclose(inner, [[[[3 - 104, 2 - 117, 1 - 123]]]], rtol=1e-5)
    # Red is read where the published network has red: swapped channels are another picture.
    images = np.random.default_rng(0).random((1, 9, 9, 3), dtype=np.float32)
    assert not np.allclose(model(images), model(images[..., ::-1]))


def test_small_pictures_are_refused():
    with pytest.raises(ValueError, match=r"image_shape must be 7 x 7 or larger. Received: .*\(6, 9, 3\)"):
        squeezenet((6, 9, 3), 5)


# 43 of 80 and 62 of 95, resized to 256 x 256 and cropped: measured with another forward pass when the weights
# were converted.
@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "index_column", "num_correct"),
    [("nips2017_dev80", "true_index", 43), ("imagenet_natural", "ilsvrc_index", 62)],
)
def test_published_weights_reach_their_accuracy(realdata, name, index_column, num_correct):
    with (realdata / "imagenet" / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if int(row[index_column]) >= 0]
    labels, pictures = np.array([int(row[index_column]) for row in rows]), []
    with zipfile.ZipFile(realdata / "imagenet" / f"{name}.zip") as archive:
        paths = {path.rpartition("/")[2]: path for path in archive.namelist()}
        for row in rows:
            picture = Image.open(io.BytesIO(archive.read(paths[row["file"]]))).convert("RGB")
            picture = picture.resize((256, 256), Image.Resampling.BILINEAR)
            pictures.append(np.asarray(picture.crop((14, 14, 241, 241)), np.float32) / 255)
    model = squeezenet((227, 227, 3), 1000)
    load_published_weights(model, realdata / "weights" / "squeezenet_v10_imagenet.npz")
    predicted = model.predict(np.stack(pictures), batch_size=20, verbose=0).argmax(axis=1)
    assert int((predicted == labels).sum()) == num_correct
