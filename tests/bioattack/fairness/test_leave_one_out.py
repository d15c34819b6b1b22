"""LUF, LUF_t and LUF_l against the definitions, one at a time and all at once, and their identity."""

import numpy as np
import pytest

from bioattack.errors import InputError
from bioattack.fairness.leave_one_out import (
    LUF,
    LUF_L,
    LUF_T,
    LeaveOneOut,
    compare_leave_one_out,
    leave_one_out,
)
from bioattack.fairness.score_intervals import Drawing


def _softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def _models(seed=0, *, num_left_out=7, num_images=60, noise=0.5):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_images, 4))
    others = logits + noise * generator.normal(size=(num_left_out, num_images, 4))
    return _softmax(logits), _softmax(others)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_the_definitions(seed):
    full, others = _models(seed)
    scores = {score.name: score.value for score in leave_one_out(full, others).scores()}
    largest = [max(abs(full[x, y] - other[x, y]) for other in others for y in range(4)) for x in range(60)]
    changed = [[other[x].argmax() != full[x].argmax() for other in others] for x in range(60)]
    assert scores[LUF] == pytest.approx(np.mean(largest), abs=1e-9)
    assert scores[LUF_T] == pytest.approx(np.mean(np.sum(changed, axis=1)), abs=1e-9)
    assert scores[LUF_L] == pytest.approx(np.mean(np.sum(changed, axis=0)), abs=1e-9)
    assert scores[LUF_T] * 60 == pytest.approx(scores[LUF_L] * 7, abs=1e-9)


def test_published_scores_keep_the_identity():
    """Sooksatra and Rivas 2022, Table III: 10,000 test images, 100 left out, printed to two places."""
    for by_image, by_model in ((29.26, 2926.1), (29.35, 2934.89)):
        assert by_image * 10_000 / 100 == pytest.approx(by_model, abs=0.5 * 0.01 * 100)


def test_models_that_do_not_change_score_nothing():
    full, _ = _models()
    scores = leave_one_out(full, np.stack([full] * 3)).scores()
    assert [(score.value, score.low, score.high) for score in scores] == [(0, 0, 0)] * 3


def test_most_that_can_be():
    full = np.tile([[1.0, 0.0]], (5, 1))
    scores = leave_one_out(full, np.tile(full[:, ::-1], (4, 1, 1))).scores()
    assert [score.value for score in scores] == [1, 4, 5]


def test_intervals_are_the_bootstraps():
    full, others = _models(num_images=400, num_left_out=30)
    gathered = leave_one_out(full, others)
    for score in gathered.scores(Drawing(num_draws=4000)):
        values = gathered.parts()[score.name]
        half = 1.96 * values.std() / np.sqrt(len(values))
        assert (score.value - score.low, score.high - score.value) == pytest.approx((half, half), rel=0.1)
        assert (score.num_images, score.num_left_out) == (400, 30)


def test_more_noise_is_found_and_its_absence_is_not():
    little, much, again = (_models(noise=noise, num_left_out=20)[1] for noise in (0.1, 0.8, 0.1))
    full = _models()[0]
    first = leave_one_out(full, little)
    found = compare_leave_one_out(first, leave_one_out(full, much))
    assert all(one.p_value < 0.01 and 0 < one.low < one.difference < one.high for one in found)
    same = compare_leave_one_out(first, leave_one_out(full, again))
    assert all(one.difference == 0 and one.p_value == 1 for one in same)


def test_families_must_have_the_same_images_and_left_out_samples():
    first = leave_one_out(*_models())
    with pytest.raises(InputError, match="60 and 50 images"):
        compare_leave_one_out(first, leave_one_out(*_models(num_images=50)))
    with pytest.raises(InputError, match="7 and 3 left-out samples"):
        compare_leave_one_out(first, leave_one_out(*_models(num_left_out=3)))


def test_bad_arrays():
    full, others = _models()
    with pytest.raises(InputError, match=r"must be \(images, classes\). Received: \(60,\)"):
        LeaveOneOut(full[:, 0])
    with pytest.raises(InputError, match="sum to 2, not to 1"):
        LeaveOneOut(2 * full)
    gathered = LeaveOneOut(full)
    with pytest.raises(InputError, match="there is none"):
        gathered.scores()
    with pytest.raises(InputError, match=r"must be \(60, 4\)"):
        gathered.add(others[0][:-1])
