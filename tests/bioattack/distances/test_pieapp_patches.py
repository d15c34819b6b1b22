import numpy as np
import pytest
import tensorflow as tf

from bioattack.distances.pieapp_patches import cut_patches, patch_corners, patch_starts


@pytest.mark.parametrize("length", [64, 224, 256, 299, 320, 384, 512])
@pytest.mark.parametrize("stride", [6, 27])
def test_official_grid_differs_from_the_plain_one_where_it_is_known_to(length, stride):
    # Enumerated once from the official demonstration's own loops.
    plain, official = (patch_starts(length, stride, grid=grid) for grid in ("plain", "official"))
    differences = {(299, 6): (234, 235), (320, 27): (243, 256)}
    if (length, stride) in differences:
        last, moved = differences[length, stride]
        assert (plain[-1], official[-1]) == (last, moved)
        assert official[:-1] == plain[:-1]
    else:
        assert official == plain


def test_number_of_patches_at_the_size_of_the_paper():
    assert len(patch_corners(299, 299, 27, grid="plain")) == 81
    assert len(patch_corners(299, 299, 6, grid="plain")) == 1600


def test_every_patch_lies_within_the_image():
    for length in range(64, 700, 13):
        for stride in (1, 6, 27, 64, 100):
            for grid in ("plain", "official"):
                starts = patch_starts(length, stride, grid=grid)
                assert starts[0] == 0
                assert starts[-1] <= length - 64
                assert starts == sorted(set(starts))


def test_cuts_what_slices_cut():
    images = np.random.default_rng(0).uniform(size=(3, 70, 81, 2))
    rows, corners = np.array([0, 2, 2], np.int32), np.array([[0, 0], [6, 17], [3, 1]], np.int32)
    patches = cut_patches(tf.constant(images), tf.constant(rows), tf.constant(corners))
    for patch, row, (top, left) in zip(patches, rows, corners, strict=True):
        np.testing.assert_array_equal(patch, images[row, top : top + 64, left : left + 64])


@pytest.mark.parametrize(
    ("length", "stride", "grid", "message"),
    [
        (63, 27, "plain", "images must be 64 pixels or more. Received: 63"),
        (64, 0, "plain", "stride must be 1 or more. Received: stride=0"),
        (64, 27, "loose", "grid must be one of plain, official. Received: grid='loose'"),
    ],
)
def test_bad_arguments_are_refused(length, stride, grid, message):
    with pytest.raises(ValueError, match=message):
        patch_starts(length, stride, grid=grid)
