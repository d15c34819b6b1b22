import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances import make_distance
from bioattack.errors import InputError
from bioattack.evaluation.judges import Judges, make_judges
from bioattack.testing.made_up_distances import MadeUpFeatures

SHAPE = (8, 8, 3)


class CountedDistance(MadeUpFeatures):
    """Counts the rows that are measured."""

    def __init__(self):
        super().__init__()
        self.num_rows = tf.Variable(0)

    def compare(self, prepared, images):
        self.num_rows.assign_add(tf.shape(images)[0])
        return super().compare(prepared, images)


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    return tuple(generator.uniform(size=(40, *SHAPE)).astype(np.float32) for _ in range(2))


def test_every_picture_that_changed_is_measured_once(pictures):
    originals, images = pictures
    images[::4] = originals[::4]
    distance = CountedDistance()
    judges = Judges({"nptm": distance}, image_shape=SHAPE)
    found = judges.measure(originals, images)
    np.testing.assert_allclose(found["nptm"], MadeUpFeatures()(originals, images), rtol=1e-5)
    assert (found["nptm"][::4] == 0).all()
    assert int(distance.num_rows) == 30
    other = images.copy()
    other[1:7] = 1 - images[1:7]
    again = judges.measure(originals, other, known=(images, found))
    np.testing.assert_allclose(again["nptm"], MadeUpFeatures()(originals, other), rtol=1e-5)
    # Five of the six pictures were not measured before; the sixth is its original turned round.
    assert int(distance.num_rows) == 36


def test_they_are_made_by_name_and_columns_that_are_there_anyhow_are_left_out(pictures):
    judges = make_judges(("ciede2000", "l2", "psnr"), {}, image_shape=SHAPE)
    assert judges.names == ("ciede2000", "psnr")
    found = judges.measure(*pictures)
    for name in judges.names:
        np.testing.assert_allclose(found[name], make_distance(name)(*pictures), rtol=1e-5)
    assert Judges({}, image_shape=SHAPE).measure(*pictures) == {}


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("pieapp",), {"pieapp": (("weights", "missing.pth"),)}, "missing.pth"),
        (("nptm",), {}, "distance nptm needs a network that gives the features; name"),
        (("ssim",), {}, "ssim needs images of 11 x 11"),
        (
            ("ciede2000",),
            {"ciede2000": (("white", 1),)},
            "distance ciede2000 does not take the options white",
        ),
    ],
)
def test_what_cannot_measure_is_refused_before_anything_is_measured(names, options, message):
    with pytest.raises(InputError, match=message):
        make_judges(names, options, image_shape=SHAPE)


def test_judges_are_called_as_distances_are():
    with pytest.raises(InputError, match=r"judges are called as distances are: l1, .*Received: 'eye'"):
        Judges({"eye": MadeUpFeatures()}, image_shape=SHAPE)
