import keras
import numpy as np
import pytest

from bioattack.models.backbones import Backbone
from bioattack.models.branches import classify_branches, localise, merge_branches

NARROW = Backbone(width=2, batch_norm_momentum=0.9, seed=0)


def test_localisation_starts_near_the_numbers_it_is_given():
    start = [0.5, -1.0, 2.0]
    outputs = localise(NARROW, (32, 32, 3), start=start)(np.random.default_rng(0).random((4, 32, 32, 3)))
    np.testing.assert_allclose(outputs, np.tile(start, (4, 1)), atol=0.05)
    # Not alike for all images, or no gradient would tell them apart.
    assert np.ptp(outputs, axis=0).min() > 0


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("num_scales", [1, 2])
def test_classifiers_see_the_looks_of_each_image_in_order(is_shared, num_scales):
    inputs = [keras.Input((32, 32, 3)) for _ in range(num_scales)]
    branches = classify_branches(inputs, NARROW, num_branches=3, is_shared=is_shared, num_outputs=4)
    model = keras.Model(inputs, branches)
    rng = np.random.default_rng(1)
    views = [rng.random((2, 3, 32, 32, 3), dtype="float32") for _ in range(num_scales)]
    outputs = model([view.reshape(6, 32, 32, 3) for view in views])
    assert outputs.shape == (2, 3, 4)
    for index in range(3):
        classifier = model.get_layer("classifier" if is_shared else f"classifier_{index}")
        seen = [view[:, index] for view in views]
        expected = classifier(seen[0] if num_scales == 1 else seen)
        np.testing.assert_allclose(outputs[:, index], expected, atol=1e-5)


def test_merging_logits_begins_as_their_mean():
    logits = keras.Input((5, 4))
    models = {
        merge: keras.Model(logits, merge_branches(logits, NARROW, merge=merge, num_classes=4))
        for merge in ("logits", "mean", "features")
    }
    given = np.random.default_rng(2).normal(size=(3, 5, 4)).astype("float32")
    for merge in ("logits", "mean"):
        np.testing.assert_allclose(models[merge](given), given.mean(axis=1), atol=1e-6)
    assert np.abs(models["features"](given) - given.mean(axis=1)).max() > 0.1
    with pytest.raises(
        ValueError, match=r"merge must be one of logits, mean, features\. Received: merge='max'"
    ):
        merge_branches(logits, NARROW, merge="max", num_classes=4)
