"""Success after a defence, counted by hand."""

import numpy as np
import pytest
import tensorflow as tf

from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.evaluation.defences import BITS_SWEEP, JPEG_SWEEP, success_after_defences, sweep_table


@pytest.fixture(scope="module")
def classifier():
    """Class 1 where the mean is above one half."""
    return load_classifier(
        lambda images: tf.reduce_mean(images - 0.5, (1, 2, 3))[:, None] * (0.0, 1.0),
        name="bright",
    )


def grey(*values):
    return np.stack([np.full((8, 8, 3), value, np.float32) for value in values])


def test_what_is_rounded_across_the_border_no_longer_fools(classifier):
    # 0.45 is dark; with 1 bit it is black, with 2 bits one third. 0.52 has been brightened: with 2 bits it is
    # two thirds and with 1 bit white. 0.45 as an attacked picture of class 1 fools however many bits.
    images = grey(0.45, 0.52, 0.45)
    found = success_after_defences(
        classifier,
        images,
        np.array([0, 0, 1]),
        is_correct=np.array([True, True, False]),
        image_ids=["a", "b", "c"],
        defences=("bits:1", "bits:2"),
        batch_size=2,
    )
    assert found["success"].tolist() == [False, True, False] * 2
    assert found["strength"].tolist() == [1, 1, 1, 2, 2, 2]
    assert found["image_id"].tolist() == ["a", "b", "c"] * 2


def test_the_rate_is_over_the_pictures_that_were_right(classifier):
    found = success_after_defences(
        classifier,
        grey(0.4, 0.6, 0.7, 0.8),
        np.array([0, 0, 0, 1]),
        is_correct=np.array([True, True, True, True]),
        image_ids=list("abcd"),
        defences=("jpeg:90",),
    ).assign(attack="pgd")
    (row,) = sweep_table(found).to_dict("records")
    assert (row["attack"], row["defence"], row["num_images"], row["num_success"]) == ("pgd", "jpeg:90", 4, 2)
    # Wilson's interval of 2 of 4, from its formula.
    assert row["low"] == pytest.approx(0.1500, abs=1e-4)
    assert row["high"] == pytest.approx(0.8500, abs=1e-4)


def test_unequal_numbers_are_refused(classifier):
    with pytest.raises(InputError, match=r"must be equally many\. Received: 1, 2, 1 and 1"):
        success_after_defences(
            classifier, grey(0.4), np.array([0, 1]), is_correct=np.array([True]), image_ids=["a"]
        )


def test_an_unknown_defence_is_refused_before_anything_is_classified(classifier):
    with pytest.raises(InputError, match="there is no defence 'png:3'"):
        success_after_defences(
            classifier,
            grey(0.4),
            np.array([0]),
            is_correct=np.array([True]),
            image_ids=["a"],
            defences=("jpeg:50", "png:3"),
        )


def test_the_sweeps_go_from_mild_to_strong():
    for sweep in (JPEG_SWEEP, BITS_SWEEP):
        strengths = [int(name.partition(":")[2]) for name in sweep]
        assert strengths == sorted(strengths, reverse=True)
