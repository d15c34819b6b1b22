import io
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from bioattack.attacks import engine as engine_module
from bioattack.attacks.attack import AttackedModel
from bioattack.attacks.gradient_descent import ProjectedGradientDescent
from bioattack.attacks.request import AttackRequest
from bioattack.attacks.run import attack_images, make_engine
from bioattack.classifier import load_classifier
from bioattack.errors import InputError
from bioattack.testing.check_attack import made_up_batch, made_up_classifier

# At these some of the made-up images fall and some do not.
EPSILON = {"linf": 0.03, "l2": 0.25, "rms": 0.02, "l1": 1.5}


def request(attack="pgd", norm="linf", **how):
    return AttackRequest(attack, norm, **({"epsilons": (EPSILON[norm],), "num_steps": 8} | how))


REQUESTS = (
    {f"pgd {norm}": request(norm=norm) for norm in EPSILON}
    | {f"{attack} linf": request(attack) for attack in ("bim", "mifgsm", "pgd-margin", "apgd")}
    | {
        "square": request("square", num_steps=40),
        "fgsm l2": request("fgsm", "l2", num_steps=1),
        "last iterate": request(judged="last"),
        "at a target": request(target=2),
        "at three targets": request("pgd-dlr-targeted"),
        "three restarts": request(num_restarts=3),
        "three epsilons": request(epsilons=(0.01, 0.02, 0.03)),
        "three epsilons apart": request(epsilons=(0.01, 0.02, 0.03), is_independent=True),
        "least epsilon": request(least_epsilon_width=1e-3),
        "8 bits": request(is_quantised=True, epsilons=(8 / 255,)),
        "8 bits l2": request(norm="l2", is_quantised=True),
    }
)


@pytest.fixture(scope="module")
def classifier():
    return made_up_classifier()


@pytest.fixture(scope="module")
def batch(classifier):
    made_up = made_up_batch(classifier, num_images=60)
    # On the grid of 8 bits, as pictures are that come out of a file.
    images = np.round(made_up.images * 255).astype(np.float32) / np.float32(255)
    right = classifier.logits(images).numpy().argmax(1)
    return made_up_batch_with(made_up, images, np.where(made_up.is_attacked, right, (right + 1) % 4))


def made_up_batch_with(made_up, images, labels):
    return type(made_up)(images, labels, made_up.image_ids, made_up.is_attacked)


def attacked_with(classifier, batch, request, *, batch_size=16, seed=0, order=None):
    order = np.arange(len(batch.images)) if order is None else order
    names = [batch.image_ids[place] for place in order]
    return attack_images(
        classifier,
        batch.images[order],
        batch.labels[order],
        request,
        image_ids=names,
        batch_size=batch_size,
        seed=seed,
    )


def lengths_of(perturbations, norm):
    values = np.abs(perturbations.astype(np.float64)).reshape(*perturbations.shape[:2], -1)
    if norm == "linf":
        return values.max(2)
    if norm == "l1":
        return values.sum(2)
    return np.sqrt((values**2).sum(2) if norm == "l2" else (values**2).mean(2))


@pytest.mark.parametrize("name", REQUESTS)
def test_every_attack_keeps_its_promises(classifier, batch, name):
    request = REQUESTS[name]
    attacked = attacked_with(classifier, batch, request)
    images, labels = attacked.adversarial_images, batch.labels
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    size = lengths_of(images - batch.images, request.norm)
    assert (size <= np.array(attacked.epsilons)[:, None] * (1 + 1e-5) + 1e-7).all()
    np.testing.assert_array_equal(attacked.is_correct, batch.is_attacked)
    assert (size[:, ~batch.is_attacked] == 0).all()
    assert (attacked.num_steps[:, ~batch.is_attacked] == 0).all()
    for logits, seen in ((attacked.logits, images), (attacked.logits_8bit, np.round(images * 255) / 255)):
        expected = np.stack([classifier.logits(some.astype(np.float32)).numpy() for some in seen])
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    predicted = attacked.logits.argmax(2)
    # A picture that is of the target's class cannot be led there.
    aim = (
        predicted != labels
        if request.target is None
        else (predicted == request.target) & (predicted != labels)
    )
    np.testing.assert_array_equal(attacked.is_fooled, attacked.is_correct & aim)
    assert attacked.is_fooled.any()
    assert not attacked.is_fooled[0, batch.is_attacked].all()


@pytest.mark.parametrize("name", REQUESTS)
def test_outcomes_do_not_depend_on_the_batch(classifier, batch, name):
    alone = attacked_with(classifier, batch, REQUESTS[name], batch_size=1)
    mixed = np.random.default_rng(0).permutation(len(batch.images))
    same, of = 0, 0
    for batch_size, order in ((3, None), (16, mixed), (200, None)):
        other = attacked_with(classifier, batch, REQUESTS[name], batch_size=batch_size, order=order)
        place = slice(None) if order is None else np.argsort(order)
        same += np.sum(other.is_fooled[:, place] == alone.is_fooled)
        of += alone.is_fooled.size
        images = other.adversarial_images[:, place]
        assert np.mean(np.abs(images - alone.adversarial_images) > 1e-4) < 0.01
    assert same >= 0.999 * of


@pytest.mark.parametrize("name", ["pgd linf", "pgd l1", "three restarts"])
def test_same_seed_same_bytes_and_another_seed_another_start(classifier, batch, name):
    first, again, other = (
        attacked_with(classifier, batch, REQUESTS[name], seed=seed).adversarial_images for seed in (0, 0, 1)
    )
    assert first.tobytes() == again.tobytes()
    moved = np.flatnonzero(batch.is_attacked)
    assert (np.abs(first - other)[:, moved].max((0, 2, 3, 4)) > 0).all()


def test_an_image_has_the_same_start_at_every_epsilon_and_in_every_company(classifier, batch):
    starts = [
        attacked_with(
            classifier,
            batch,
            request(relative_step=1e-30, num_steps=1, judged="last", epsilons=(epsilon,)),
            batch_size=batch_size,
        ).adversarial_images[0]
        - batch.images
        for epsilon, batch_size in ((0.01, 16), (0.02, 7))
    ]
    inside = (batch.images > 0.02) & (batch.images < 0.98) & batch.is_attacked[:, None, None, None]
    np.testing.assert_allclose(2 * starts[0][inside], starts[1][inside], atol=1e-6)


def test_nothing_is_traced_again(monkeypatch):
    traced = []
    advance = ProjectedGradientDescent.advance
    monkeypatch.setattr(
        ProjectedGradientDescent, "advance", lambda *given: traced.append("advance") or advance(*given)
    )
    made_up = made_up_classifier()
    counted = load_classifier(
        lambda images: traced.append("model") or made_up.logits(images), image_shape=(8, 8, 3)
    )
    batch = made_up_batch(made_up, num_images=40)
    attacked_with(counted, batch, request(), batch_size=16)
    once = list(traced)
    assert once.count("advance") == 1
    for number, batch_size in ((40, 7), (40, 64), (11, 4), (1, 1)):
        attacked_with(counted, batch, request(), batch_size=batch_size, order=np.arange(number))
    assert traced == once


EIGHT = tuple(0.005 * number for number in range(1, 9))


@pytest.mark.parametrize("how", [{}, {"num_restarts": 2}, {"norm": "l2"}, {"attack": "mifgsm"}])
def test_eight_epsilons_are_the_running_union_of_eight_runs(classifier, batch, how):
    scale = EPSILON[how.get("norm", "linf")] / 0.03
    epsilons = tuple(scale * epsilon for epsilon in EIGHT)
    together = attacked_with(classifier, batch, request(**how, epsilons=epsilons))
    apart = [attacked_with(classifier, batch, request(**how, epsilons=(epsilon,))) for epsilon in epsilons]
    fooled = np.stack([attacked.is_fooled[0] for attacked in apart])
    union = np.logical_or.accumulate(fooled)
    np.testing.assert_array_equal(together.is_fooled, union)
    assert len(np.unique(union.sum(1))) > 3
    is_8bit = fooled & np.stack([one.logits_8bit[0].argmax(1) != batch.labels for one in apart])
    for place, (number, _) in itertools.product(range(len(batch.images)), enumerate(epsilons)):
        # From where it fell the image is carried on, one that rounding leaves as soon as there is one; before
        # that it is that of the run at this epsilon.
        first = int(fooled[:, place].argmax()) if union[number, place] else number
        if is_8bit[: number + 1, place].any():
            first = int(is_8bit[:, place].argmax())
        np.testing.assert_allclose(
            together.adversarial_images[number, place], apart[first].adversarial_images[0, place], atol=1e-4
        )
    union_8bit = np.logical_or.accumulate(is_8bit)
    in_8bit = together.is_fooled & (together.logits_8bit.argmax(2) != batch.labels)
    np.testing.assert_array_equal(in_8bit, union_8bit)
    # Otherwise the test would say nothing: rounding undoes some, and these are attacked again.
    assert (union & ~union_8bit).any()
    assert together.num_steps[1:][union_8bit[:-1]].max() == 0
    assert together.num_steps[1:][union[:-1] & ~union_8bit[:-1]].min() > 0
    np.testing.assert_allclose(
        together.adversarial_accuracy(), np.mean(batch.is_attacked & ~union, axis=1), atol=1e-12
    )


def test_independent_epsilons_are_separate_runs(classifier, batch):
    together = attacked_with(classifier, batch, request(epsilons=EIGHT, is_independent=True))
    for number, epsilon in enumerate(EIGHT):
        apart = attacked_with(classifier, batch, request(epsilons=(epsilon,)))
        np.testing.assert_array_equal(together.is_fooled[number], apart.is_fooled[0])
        np.testing.assert_array_equal(together.num_steps[number], apart.num_steps[0])


def test_restarts_are_met_only_by_what_withstood(classifier, batch):
    once, thrice = (attacked_with(classifier, batch, request(num_restarts=number)) for number in (1, 3))
    fell = once.is_fooled[0]
    np.testing.assert_array_equal(thrice.num_steps[0][fell], once.num_steps[0][fell])
    assert thrice.is_fooled[0][fell].all()
    standing = batch.is_attacked & ~thrice.is_fooled[0]
    assert (thrice.num_steps[0][standing] == 3 * 8).all()


def test_targets_are_tried_in_the_order_of_their_clean_logits(classifier, batch):
    attacked = attacked_with(classifier, batch, request("pgd-dlr-targeted", epsilons=(0.02, 0.06)))
    standing = np.flatnonzero(batch.is_attacked & ~attacked.is_fooled[0])
    assert (attacked.num_steps[0][standing] == 3 * 8).all()
    assert attacked.num_steps[0][attacked.is_fooled[0]].min() < 8


def test_what_is_quantised_still_fools_as_a_png_file(classifier, batch):
    attacked = attacked_with(classifier, batch, REQUESTS["8 bits"])
    for place in np.flatnonzero(attacked.is_fooled[0]):
        file = io.BytesIO()
        saved = np.round(attacked.adversarial_images[0, place] * 255).astype(np.uint8)
        Image.fromarray(saved).save(file, "PNG")
        loaded = np.asarray(Image.open(file)) / np.float32(255)
        np.testing.assert_array_equal(loaded, attacked.adversarial_images[0, place])
        assert np.abs(loaded - batch.images[place]).max() <= 8 / 255 + 1e-6
        assert classifier.logits(loaded[None]).numpy().argmax() != batch.labels[place]


def test_epsilon_zero_is_the_clean_image(classifier, batch):
    attacked = attacked_with(classifier, batch, request(epsilons=(0, 0.03)))
    np.testing.assert_array_equal(attacked.adversarial_images[0], batch.images)
    assert not attacked.is_fooled[0].any()
    assert attacked.adversarial_accuracy()[0] == batch.is_attacked.mean()
    alone = attacked_with(classifier, batch, request(epsilons=(0.03,)))
    np.testing.assert_array_equal(attacked.is_fooled[1], alone.is_fooled[0])


def stream_of(batch, *, size=7, number=None, **more):
    number = len(batch.images) if number is None else number
    for start in range(0, number, size):
        some = slice(start, min(start + size, number))
        yield {
            "image": batch.images[some],
            "label": batch.labels[some],
            "image_id": batch.image_ids[some],
        } | {name: values[some] for name, values in more.items()}


def engine_for(classifier, request, *, batch_size=4, **more):
    return make_engine(classifier, request, num_classes=4, batch_size=batch_size, seed=0, **more)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("batch_size", [3, 16, 200])
def test_results_come_in_the_order_of_the_images(classifier, batch, name, batch_size):
    engine = engine_for(classifier, REQUESTS[name], batch_size=batch_size)
    complete = list(engine.run(stream_of(batch)))
    names = [result.image.image_id for results in complete for result in results]
    assert names == batch.image_ids
    statistics = engine.statistics
    assert statistics.num_images == len(batch.images)
    assert statistics.idle_slot_passes == 0
    assert statistics.slot_passes >= statistics.num_passes + statistics.num_looks


def test_the_batch_shrinks_where_the_stream_is_dry(classifier, batch):
    engine = engine_for(classifier, request(judged="last", num_steps=6), batch_size=20)
    list(engine.run(stream_of(batch)))
    # 45 images, all with six steps and a last look: twenty, twenty and five at a time.
    assert batch.is_attacked.sum() == 45
    assert (engine.statistics.num_passes, engine.statistics.num_looks) == (3 * 6, 3)
    assert engine.statistics.slot_passes == (20 + 20 + 5) * (6 + 1)


def test_memory_is_bounded_and_one_slow_image_does_not_stop_the_others(classifier, batch, monkeypatch):
    monkeypatch.setattr(engine_module, "_WINDOW_BYTES", 1)
    images = np.concatenate([batch.images[batch.is_attacked]] * 8)
    labels = np.concatenate([batch.labels[batch.is_attacked]] * 8)
    # The first withstands for 300 steps; all others have fallen already.
    fallen_at = np.r_[np.inf, np.zeros(len(images) - 1)]
    num_read, most_ahead, num_out = 0, 0, 0

    def stream():
        nonlocal num_read
        for start in range(0, len(images), 5):
            some = slice(start, start + 5)
            num_read += len(images[some])
            names = [str(place) for place in range(start, start + len(images[some]))]
            yield {
                "image": images[some],
                "label": labels[some],
                "image_id": names,
                "fallen_at": fallen_at[some],
            }

    engine = engine_for(classifier, request(num_steps=300, epsilons=(1e-4,)))
    for results in engine.run(stream()):
        num_out += len(results)
        most_ahead = max(most_ahead, num_read - num_out)
    assert num_out == num_read == len(images)
    assert most_ahead <= 8 * 4 + 5 < len(images)


@pytest.mark.parametrize("num_wrong", [0, 31, 32, 33, 50])
def test_many_wrong_images_in_a_row_are_passed_over(classifier, batch, monkeypatch, num_wrong):
    monkeypatch.setattr(engine_module, "_WINDOW_BYTES", 1)
    right = classifier.logits(batch.images).numpy().argmax(1)
    labels = np.where(np.arange(60) < num_wrong, (right + 1) % 4, right)
    labels[5] = right[5]
    mixed = made_up_batch_with(batch, batch.images, labels)
    engine = engine_for(classifier, request())
    results = [result for complete in engine.run(stream_of(mixed)) for result in complete]
    assert [result.image.image_id for result in results] == batch.image_ids
    np.testing.assert_array_equal([bool(result.outcomes) for result in results], labels == right)
    # Not one by one: the batch was filled up again.
    assert engine.statistics.slot_passes > 2 * engine.statistics.num_passes


def test_what_has_fallen_before_is_attacked_below_only(classifier, batch):
    fallen_at = np.where(np.arange(60) % 2, 0.02, np.inf)
    engine = engine_for(classifier, request(epsilons=(0.01, 0.02, 0.03)))
    results = [
        result for complete in engine.run(stream_of(batch, fallen_at=fallen_at)) for result in complete
    ]
    for place, result in enumerate(results):
        if batch.is_attacked[place]:
            epsilons = [outcome.epsilon for outcome in result.outcomes]
            assert epsilons == ([0.01] if place % 2 else [0.01, 0.02, 0.03])


def test_clean_logits_that_are_known_are_not_asked_for_again(classifier, batch):
    known = classifier.logits(batch.images).numpy()
    plain, told = (
        [
            result.outcomes[0].finding.adversarial_image
            for complete in engine_for(classifier, request()).run(stream_of(batch, **more))
            for result in complete
            if result.outcomes
        ]
        for more in ({}, {"clean_logits": known})
    )
    np.testing.assert_array_equal(plain, told)
    wrong = np.roll(known, 1, axis=1)
    engine = engine_for(classifier, request())
    results = [result for complete in engine.run(stream_of(batch, clean_logits=wrong)) for result in complete]
    np.testing.assert_array_equal(
        [bool(result.outcomes) for result in results], wrong.argmax(1) == batch.labels
    )


OPENING = {
    "bim": request("bim"),
    "bim l2": request("bim", "l2"),
    "mifgsm": request("mifgsm"),
    "fgsm": request("fgsm", num_steps=1),
    "last iterate": request(has_random_start=False, judged="last"),
    "at a target": request("bim", target=2),
    "three epsilons": request("bim", epsilons=(0.01, 0.02, 0.03)),
    "three epsilons apart": request("bim", epsilons=(0.01, 0.02, 0.03), is_independent=True),
}


@pytest.mark.parametrize("name", OPENING)
def test_the_pass_that_classifies_an_image_is_the_first_of_all_its_trials(classifier, batch, name):
    known = classifier.logits(batch.images).numpy()
    engines = [engine_for(classifier, OPENING[name], batch_size=16) for _ in range(2)]
    # What is known of an image already is not asked for again: then every trial makes its first pass itself.
    opened, plain = (
        [result for complete in engine.run(stream_of(batch, **more)) for result in complete]
        for engine, more in zip(engines, ({}, {"clean_logits": known}), strict=True)
    )
    assert engines[0].statistics.slot_passes < engines[1].statistics.slot_passes
    for one, other in zip(opened, plain, strict=True):
        np.testing.assert_allclose(one.image.clean_logits, other.image.clean_logits, atol=1e-5)
        assert one.image.opening is None
        assert len(one.outcomes) == len(other.outcomes)
        for mine, its in zip(one.outcomes, other.outcomes, strict=True):
            assert (mine.is_fooled, mine.num_steps) == (its.is_fooled, its.num_steps)
            # Of the class that is aimed at: nothing to try.
            if its.finding is None:
                assert mine.finding is None
                continue
            assert mine.finding.has_zero_gradient == its.finding.has_zero_gradient
            np.testing.assert_allclose(
                mine.finding.adversarial_image, its.finding.adversarial_image, atol=1e-4
            )


def test_an_image_that_is_wrong_before_is_not_moved_by_the_first_pass(classifier, batch):
    engine = engine_for(classifier, request("bim"), attacks_all=True)
    for result in [result for complete in engine.run(stream_of(batch)) for result in complete]:
        (outcome,) = result.outcomes
        if not result.image.is_correct:
            assert (outcome.is_fooled, outcome.num_steps) == (True, 0)
            np.testing.assert_array_equal(outcome.finding.adversarial_image, result.image.pixels)


@pytest.mark.parametrize("num_images", [1, 3])
def test_a_batch_larger_than_the_stream(classifier, batch, num_images):
    order = np.flatnonzero(batch.is_attacked)[:num_images]
    attacked = attacked_with(classifier, batch, request(), batch_size=64, order=order)
    alone = attacked_with(classifier, batch, request(), batch_size=1, order=order)
    np.testing.assert_array_equal(attacked.is_fooled, alone.is_fooled)
    assert attacked.statistics.slot_passes <= num_images * 10


def test_images_all_wrong_cost_no_pass(classifier, batch):
    attacked = attacked_with(classifier, batch, request(), order=np.flatnonzero(~batch.is_attacked))
    assert attacked.statistics.num_passes == 0
    assert not attacked.is_fooled.any()


def test_all_are_attacked_where_that_is_asked_for(classifier, batch):
    how = request(judged="last", num_steps=6)
    of_right, of_all = (
        [
            result
            for complete in engine_for(classifier, how, **more).run(stream_of(batch))
            for result in complete
        ]
        for more in ({}, {"attacks_all": True})
    )
    assert sum(result.image.is_correct for result in of_all) == 45
    for one, other in zip(of_right, of_all, strict=True):
        (outcome,) = other.outcomes
        assert outcome.num_steps == 6
        assert outcome.finding.length == pytest.approx(outcome.epsilon, rel=1e-3)
        if one.image.is_correct:
            np.testing.assert_allclose(
                outcome.finding.adversarial_image, one.outcomes[0].finding.adversarial_image, atol=1e-5
            )
        else:
            assert one.outcomes == ()
            assert not np.array_equal(outcome.finding.adversarial_image, other.image.pixels)


def linear_classifier(call, **how):
    return load_classifier(call, name="made", image_shape=(4, 4, 3), **how)


def two_logits(images):
    first = tf.reduce_mean(images, (1, 2, 3))
    return tf.stack([0.5 - first, first - 0.5], 1)


GREY = np.full((3, 4, 4, 3), 0.4, np.float32)
BAD = {
    "negative": ({"images": GREY - 0.5}, r"span \[-0.1, -0.1\]: they look standardised"),
    "up to 255": ({"images": GREY * 255}, r"span \[102, 102\]: divide by 255"),
    "a little above 1": ({"images": GREY + 0.7}, r"these span \[1.1, 1.1\]: clip them"),
    "integers": ({"images": np.ones((3, 4, 4, 3), np.uint8)}, "Received: uint8; divide by 255"),
    "float64": ({"images": GREY.astype(np.float64)}, "Received: float64; convert them"),
    "NaN": (
        {"images": np.where(np.arange(3)[:, None, None, None] == 1, np.float32("nan"), GREY)},
        "image 1 ",
    ),
    "no channels": ({"images": GREY[..., 0]}, r"\(batch, height, width, channels\)"),
    "label too large": (
        {"labels": np.array([0, 0, 2])},
        r"image 2 has label 2, .* 2 classes apart \(0 to 1\)",
    ),
    "label negative": ({"labels": np.array([0, -1, 0])}, "image 1 has label -1"),
    "labels no integers": ({"labels": np.array([0.0, 0, 0])}, "one class index for each image"),
    "fewer labels": ({"labels": np.array([0, 0])}, "equally many. Received: 3, 2 and 3"),
    "no images": ({"images": GREY[:0], "labels": np.zeros(0, int)}, "the stream is empty"),
    "no gradient": (
        {"call": lambda images: tf.stop_gradient(two_logits(images))},
        "no gradient with respect",
    ),
    "rounding": (
        {"call": lambda images: two_logits(tf.cast(tf.cast(images, tf.int32), tf.float32))},
        "no grad",
    ),
    "NaN logits": ({"call": lambda images: two_logits(images) / 0 * 0}, "NaN or infinite logits for image 0"),
    "two classes": ({"attack": "pgd-dlr-targeted"}, "compares at least three logits and this model has two"),
    "no such attack": ({"attack": "pdg"}, "there is no attack 'pdg'; there are fgsm, bim, pgd"),
    "no such loss": ({"attack": "pgd-mse"}, "there is no loss 'mse' for pgd; there are ce, margin, dlr"),
    "no such norm": ({"norm": "l3"}, "has no norm 'l3'; it has linf, l2, rms, l1"),
    "unsorted": ({"epsilons": (0.1, 0.05)}, "rising and without repeats. Received: 0.1 0.05"),
    "repeated": ({"epsilons": (0.1, 0.1)}, "rising and without repeats"),
    "negative epsilon": ({"epsilons": (-0.1,)}, "at least 0"),
    "no epsilon": ({"epsilons": ()}, "Received: none"),
    "infinite epsilon": ({"epsilons": (float("inf"),)}, "finite"),
    "epsilon of 255 levels": (
        {"epsilons": (8.0,)},
        r"epsilons must be in \[0, 1\]: in linf .* 8/255 is 0.0314",
    ),
    "rms of 255 levels": (
        {"epsilons": (0.1, 2), "norm": "rms"},
        r"in rms .* 8/255 is 0.0314; .* Received: 2",
    ),
    "no steps": ({"num_steps": 0}, "num_steps must be at least 1"),
    "no restarts": ({"num_restarts": 0}, "num_restarts must be at least 1"),
    "no draws": ({"num_draws": 0}, "num_draws must be at least 1"),
    "backwards": ({"relative_step": -0.1}, "relative_step must be above 0"),
    "judged": ({"judged": "best"}, "judged must be one of any, last"),
    "target too large": ({"target": 2}, "target must be a class from 0 to 1. Received: target=2"),
    "target negative": ({"target": -1}, "target must be a class index"),
    "width": ({"least_epsilon_width": 0.2}, "0 < width < largest. Received: width=0.2, largest=0.1"),
    "batch": ({"batch_size": 0}, "batch_size must be at least 1"),
}


# Of these a model that says nothing of its classes has to be asked before anything else is done.
BAD_OF_A_FUNCTION = [
    *("negative", "up to 255", "integers", "float64", "NaN", "no channels", "fewer labels", "NaN logits"),
    *("label too large", "no images"),
]


@pytest.mark.parametrize("name", BAD_OF_A_FUNCTION)
def test_bad_input_of_a_bare_function_is_one_sentence(name):
    given, sentence = BAD[name]
    how = {"call": two_logits, "images": GREY, "labels": np.zeros(3, int)} | given
    classifier = load_classifier(how.pop("call"), name="made")
    assert classifier.num_classes is None
    with pytest.raises(InputError, match=sentence) as raised:
        attack_images(classifier, request=AttackRequest(epsilons=(0.1,)), **how)
    assert "\n" not in str(raised.value)


def test_a_function_that_fails_on_the_images_is_named():
    kernel = np.ones((12, 2), np.float32)
    classifier = load_classifier(lambda images: tf.reshape(images, (-1, 12)) @ kernel[:, :1], name="made")
    with pytest.raises(InputError, match="model made gives an output of shape"):
        attack_images(classifier, GREY, np.zeros(3, int), AttackRequest())
    classifier = load_classifier(lambda images: tf.reshape(images, (-1, 7)) @ kernel[:7], name="made")
    with pytest.raises(InputError, match=r"model made cannot be called on inputs of 4 x 4 x 3 \("):
        attack_images(classifier, GREY, np.zeros(3, int), AttackRequest())


def test_images_of_another_size_than_the_model_takes_are_refused():
    inputs = keras.Input((4, None, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    classifier = load_classifier(model, name="made")
    images = np.zeros((3, 5, 4, 3), np.float32)
    sentence = "model made takes inputs of 4 x any x 3, and these are of 5 x 4 x 3; bring them to its size"
    with pytest.raises(InputError, match=sentence):
        attack_images(classifier, images, np.zeros(3, int), AttackRequest())
    assert attack_images(classifier, GREY, np.zeros(3, int), AttackRequest("bim")).is_correct.all()


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name):
    given, sentence = BAD[name]
    how = {"call": two_logits, "images": GREY, "labels": np.zeros(3, int), "batch_size": 2} | given
    call, images, labels, batch_size = (how.pop(key) for key in ("call", "images", "labels", "batch_size"))
    classifier = linear_classifier(call)
    with pytest.raises(InputError, match=sentence) as raised:
        attack_images(
            classifier, images, labels, AttackRequest(**({"epsilons": (0.1,)} | how)), batch_size=batch_size
        )
    assert "\n" not in str(raised.value)


def test_an_empty_stream_is_an_error_too(classifier):
    with pytest.raises(InputError, match="the stream is empty"):
        list(engine_for(classifier, request()).run([]))


def test_nan_on_the_way_names_image_and_step():
    def call(images):
        brightness = tf.reduce_mean(images, (1, 2, 3))
        return tf.stack([0 * brightness, 0.7 - brightness + 0 * tf.sqrt(0.62 - brightness)], 1)

    images = np.stack([np.full((4, 4, 3), grey, np.float32) for grey in (0.3, 0.55)])
    request = AttackRequest("bim", epsilons=(0.1,), num_steps=10, relative_step=0.1)
    sentence = r"model made gives NaN or infinite logits on the way from image 1 \(step 8\)"
    with pytest.raises(InputError, match=sentence):
        attack_images(linear_classifier(call), images, np.array([1, 1]), request)


def test_a_gradient_of_zero_is_told():
    # The gradient is 0 where the first channel is dark, and nowhere else.
    def call(images):
        first = tf.nn.relu(tf.reduce_mean(images[..., 0], (1, 2)) - 0.5)
        return tf.stack([0.3 - first, first], 1)

    images = np.stack([np.full((4, 4, 3), grey, np.float32) for grey in (0.3, 0.6)])
    request = AttackRequest("bim", epsilons=(0.02,))
    attacked = attack_images(linear_classifier(call), images, np.array([0, 0]), request)
    np.testing.assert_array_equal(attacked.has_zero_gradient[0], [True, False])
    np.testing.assert_array_equal(attacked.adversarial_images[0, 0], images[0])


def test_a_gradient_of_zero_at_every_image_is_a_warning():
    cut = linear_classifier(lambda images: two_logits(tf.stop_gradient(images)) + 0 * images[:, 0, 0, :2])
    labels = np.array([0, 0, 1])  # The third is wrong before, and not attacked.
    with pytest.warns(
        UserWarning, match="model made has a gradient of exactly 0 at every attacked image"
    ) as told:
        attacked = attack_images(cut, GREY, labels, AttackRequest(epsilons=(0.05, 0.3)))
    assert attacked.adversarial_accuracy().tolist() == [2 / 3, 2 / 3]
    assert "--audit" in str(told[0].message)
    assert told[0].filename == __file__
    # Where nothing is attacked, or no gradient is asked for, there is nothing to warn of.
    attack_images(cut, GREY, np.ones(3, int), AttackRequest(epsilons=(0.05,)))
    attack_images(cut, GREY, labels, AttackRequest("square", epsilons=(0.05,), num_steps=2))


def test_draws_are_averaged():
    def call(images):
        return two_logits(images) + tf.random.normal((tf.shape(images)[0], 2))

    tf.random.set_seed(0)
    classifier = linear_classifier(call)
    images = tf.fill((2000, 4, 4, 3), 0.4)
    for num_draws in (1, 16):
        logits = AttackedModel(classifier, num_draws=num_draws).logits(images).numpy()
        assert logits.std(0) == pytest.approx(1 / np.sqrt(num_draws), rel=0.1)
        assert logits.mean(0) == pytest.approx([0.1, -0.1], abs=0.1)
