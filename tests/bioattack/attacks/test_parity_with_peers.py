"""Our attacks find the same images as ART's and CleverHans', where these are installed."""

import importlib
import warnings

import numpy as np
import pytest
import tensorflow as tf

from bioattack.testing.check_parity import TOLERANCE, check_parity, made_up_scene

ORDER = {"linf": np.inf, "l2": 2}


def peer(module, name):
    """An object of a peer, or the skipped test's line that says how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ART says at its import which other libraries it does not find
            return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        pytest.skip(f'{error}: pip install -e ".[peers]"')


# ART and CleverHans clip to [0, 1] before they project, we and Foolbox after; in L2 that is another point
# where pixels reach the bounds, so that there the scene keeps away from them.
@pytest.mark.parametrize(("norm", "reaches_bounds"), [("linf", True), ("l2", False)])
@pytest.mark.parametrize("is_targeted", [False, True])
def test_same_images_as_art(norm, reaches_bounds, is_targeted):
    descent = peer("art.attacks.evasion", "ProjectedGradientDescent")
    classifier_class = peer("art.estimators.classification", "TensorFlowV2Classifier")
    scene = made_up_scene(norm, reaches_bounds=reaches_bounds)
    aims = np.full_like(scene.labels, (scene.labels[0] + 1) % 10) if is_targeted else None
    estimator = classifier_class(
        model=lambda images, training=False: scene.classifier.logits(images),  # noqa: ARG005
        nb_classes=10,
        input_shape=(28, 28, 1),
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    how = {
        "norm": ORDER[norm],
        "eps": scene.epsilon,
        "eps_step": 0.1 * scene.epsilon,
        "targeted": is_targeted,
    }

    def theirs(num_steps):
        attack = descent(estimator, max_iter=num_steps, verbose=False, **how)
        return attack.generate(scene.images, aims if is_targeted else scene.labels)

    target = {"target": int(aims[0])} if is_targeted else {}
    check_parity(scene, scene.ours(attack="pgd", relative_step=0.1, **target), theirs, targets=aims)


@pytest.mark.parametrize(("norm", "reaches_bounds"), [("linf", True), ("l2", False)])
@pytest.mark.parametrize("is_targeted", [False, True])
def test_same_images_as_cleverhans(norm, reaches_bounds, is_targeted):
    descent = peer("cleverhans.tf2.attacks.projected_gradient_descent", "projected_gradient_descent")
    scene = made_up_scene(norm, reaches_bounds=reaches_bounds)
    aims = np.full_like(scene.labels, (scene.labels[0] + 1) % 10) if is_targeted else None
    network = tf.function(scene.classifier.logits)
    how = {"clip_min": 0.0, "clip_max": 1.0, "rand_init": False, "targeted": is_targeted}
    how["y"] = aims if is_targeted else scene.labels

    def theirs(num_steps):
        sizes = scene.epsilon, 0.1 * scene.epsilon, num_steps, ORDER[norm]
        return descent(network, tf.constant(scene.images), *sizes, **how).numpy()

    target = {"target": int(aims[0])} if is_targeted else {}
    check_parity(scene, scene.ours(attack="pgd", relative_step=0.1, **target), theirs, targets=aims)


@pytest.mark.parametrize("norm", ORDER)
def test_same_images_as_cleverhans_in_one_step_and_with_momentum(norm):
    one_step = peer("cleverhans.tf2.attacks.fast_gradient_method", "fast_gradient_method")
    momentum = peer("cleverhans.tf2.attacks.momentum_iterative_method", "momentum_iterative_method")
    scene = made_up_scene(norm)
    network = tf.function(scene.classifier.logits)
    how = {"clip_min": 0.0, "clip_max": 1.0, "y": scene.labels}
    images, epsilon = tf.constant(scene.images), scene.epsilon
    check_parity(
        scene._replace(num_steps=1),
        scene.ours(attack="fgsm"),
        lambda _: one_step(network, images, epsilon, ORDER[norm], **how).numpy(),
    )
    # Foolbox's method of that name adds up signs instead of gradients over their L1 norm (Dong et al. 2018).
    # Opposite gradients may cancel in the sum, and its sign is chance then: one value in a thousand may part.
    ours = scene.ours(attack="mifgsm")(10)
    theirs = momentum(network, images, epsilon, epsilon / 10, 10, ORDER[norm], **how).numpy()
    assert np.mean(np.abs(ours - theirs) > TOLERANCE) < 1e-3
