import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

from bioattack.attacks.request import AttackRequest, FoolboxRequest
from bioattack.errors import InputError
from bioattack.evaluation import figure_style
from bioattack.evaluation.attack_figure import (
    FIGURE_ATTACKS,
    ShownPicture,
    attack_figure,
    attack_picture,
    write_attack_figure,
)
from bioattack.testing.check_attack import made_up_batch, made_up_classifier


@pytest.fixture
def original():
    image = np.random.default_rng(0).uniform(0.3, 0.7, (12, 10, 3)).astype(np.float32)
    return ShownPicture("original", image, "tench, Tinca tinca", 0.987)


def changed(original, change, **fields):
    facts = {"name": "some attack", "predicted": "goldfish, Carassius", "confidence": 0.25, **fields}
    return ShownPicture(image=(original.image + change).astype(np.float32), **facts)


def draw(original, attacked, **arguments):
    with figure_style.house_style():
        return attack_figure(original, attacked, **arguments)


def pictures_of(figure):
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def words_of(figure):
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return "\n".join(texts)


def test_all_differences_are_on_one_scale(original):
    small, large = np.zeros(original.image.shape), np.full(original.image.shape, -0.2)
    small[0, 0] = (0.1, 0.0, -0.05)
    figure = draw(original, [changed(original, small), changed(original, large)], difference_scale=0.2)
    first, second = (pictures_of(figure)[place] for place in (2, 4))
    np.testing.assert_allclose(first[0, 0], (0.75, 0.5, 0.375), atol=1e-6)
    np.testing.assert_allclose(first[1:], 0.5, atol=1e-6)
    np.testing.assert_allclose(second, 0.0, atol=1e-6)
    assert "cut off" not in words_of(figure)


def test_the_scale_is_the_median_of_the_largest_changes_and_what_is_cut_off_is_told(original):
    changes = [np.full(original.image.shape, size) for size in (0.01, 0.02, 0.3)]
    figure = draw(original, [changed(original, change) for change in changes])
    grey = [pictures_of(figure)[place].mean() for place in (2, 4, 6)]
    np.testing.assert_allclose(grey, (0.75, 1.0, 1.0), atol=1e-5)
    assert "difference, in 1/255" in words_of(figure)
    assert "cut off" in words_of(figure)
    scale = next(inner for axes in figure.axes for inner in axes.child_axes)
    assert scale.get_xlim() == pytest.approx((-5.1, 5.1), rel=1e-4)


def test_class_probability_and_distances_are_told(original):
    change = np.zeros(original.image.shape)
    change[0, 0, 0], change[1, 1, 1] = 0.03, -0.04
    withstood = changed(original, change, name="weak attack", predicted=original.predicted, confidence=0.5)
    figure = draw(original, [changed(original, change, setting="8/255"), withstood])
    words = words_of(figure)
    assert "“tench” 98.7 %" in words
    assert "some attack 8/255" in words
    assert "“goldfish” 25.0 %\nL2 0.05\nL∞ 0.04 (10.2/255)" in words
    assert "weak attack\n“tench” 50.0 %\nnot fooled\nL2 0.05" in words


@pytest.mark.parametrize("num_channels", [1, 3])
def test_the_file_is_the_same_each_time_and_not_too_large(original, num_channels, tmp_path):
    random = np.random.default_rng(1)
    original = dataclasses.replace(original, image=random.random((300, 200, num_channels), dtype=np.float32))
    attacked = [
        changed(original, random.normal(0, 0.01, original.image.shape), name=f"attack {number} $x_1$ 日本")
        for number in range(3)
    ]
    paths = [write_attack_figure(original, attacked, path=tmp_path / name) for name in ("one.png", "two.png")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size <= 600_000
    with Image.open(paths[0]) as picture:
        assert picture.width > 800
        assert picture.height > picture.width


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_out_of_range_is_refused(original, scale):
    with pytest.raises(InputError, match="difference_scale must be above 0"):
        draw(original, [changed(original, 0.1)], difference_scale=scale)


def test_nothing_changed_is_drawn_grey(original):
    figure = draw(original, [changed(original, 0.0)])
    np.testing.assert_allclose(pictures_of(figure)[2], 0.5)


def test_what_does_not_fit_is_refused(original):
    with pytest.raises(InputError, match="needs at least one attack"):
        draw(original, [])
    other = dataclasses.replace(original, name="other size", image=original.image[1:])
    with pytest.raises(
        InputError, match=r"of other size has shape \(11, 10, 3\), the original \(12, 10, 3\)"
    ):
        draw(original, [other])


ATTACKS = {
    "nearest": FoolboxRequest("L2DeepFoolAttack", (("steps", "20"),), "l2", (math.inf,)),
    "bounded": FoolboxRequest("LinfFastGradientAttack", (), "linf", (0.1, 0.2)),
    "ours": AttackRequest("pgd", "linf", (0.1,), num_steps=10, relative_step=0.25),
    "hopeless": AttackRequest("pgd", "linf", (1e-7,), num_steps=2),
}


def test_attacks_of_both_kinds_are_run_on_one_picture():
    classifier = made_up_classifier()
    batch = made_up_batch(classifier)
    image, label = batch.images[-1], int(batch.labels[-1])
    names = ("ant", "bee", "cat", "dog")
    original, attacked = attack_picture(
        classifier, image, label, attacks=ATTACKS, class_names=names, image_id="a", seed=3
    )
    assert original.predicted == names[label]
    assert [shown.name for shown in attacked] == list(ATTACKS)
    assert [shown.setting for shown in attacked] == ["", "51/255", "25.5/255", "2.55e-05/255"]
    for shown in attacked:
        logits = classifier.logits(shown.image[None]).numpy()[0].astype(np.float64)
        probabilities = np.exp(logits) / np.exp(logits).sum()
        assert shown.predicted == names[logits.argmax()]
        assert shown.confidence == pytest.approx(probabilities.max(), rel=1e-5)
    assert [shown.predicted != original.predicted for shown in attacked] == [True, True, True, False]
    assert np.abs(attacked[2].image - image).max() <= 0.1 + 1e-6
    _, again = attack_picture(
        classifier, image, label, attacks=ATTACKS, class_names=names, image_id="a", seed=3
    )
    for one, other in zip(attacked, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_a_picture_that_is_wrong_already_is_refused():
    classifier = made_up_classifier()
    batch = made_up_batch(classifier)
    with pytest.raises(
        InputError, match=r"takes picture a.png for class . and not for class .: choose a picture"
    ):
        attack_picture(classifier, batch.images[0], int(batch.labels[0]), attacks=ATTACKS, image_id="a.png")


def test_the_usual_attacks_exist():
    from bioattack.attacks.foolbox_names import build_foolbox_attack, foolbox_norm

    requests = [request for request in FIGURE_ATTACKS.values() if isinstance(request, FoolboxRequest)]
    for request in requests:
        build_foolbox_attack(request.class_name, dict(request.options))
        assert foolbox_norm(request.class_name, dict(request.options)) == request.norm
    assert len(requests) == 5
