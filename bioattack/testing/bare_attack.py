"""An attack by itself, without the engine, for tests that follow its steps beside a plainer version."""

import numpy as np
import tensorflow as tf

from bioattack.attacks.attack import AttackedModel, Slots, State, StreamedAttack
from bioattack.classifier import Classifier


def run_bare(
    attack: StreamedAttack,
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epsilon: float = float("inf"),
) -> tuple[State, State]:
    """Runs an attack on images that all stay until the last is over.

    Args:
        attack: The attack.
        classifier: The classifier.
        images: ``(images, height, width, channels)``, float32, [0, 1].
        labels: ``(images,)``.
        epsilon: Radius for all of them.

    Returns:
        The state before the first step, and that after the last.
    """
    number = len(images)
    slots = Slots(
        tf.constant(images),
        tf.constant(labels, tf.int32),
        tf.fill([number], -1),
        tf.fill([number], np.float32(epsilon)),
        tf.stack([tf.range(number), tf.fill([number], 7)], axis=1),
    )
    model = AttackedModel(classifier)
    state = first = attack.start(model, slots)
    advance = tf.function(lambda state: attack.advance(model, slots, dict(state)), autograph=False)
    for _ in range(attack.num_steps + 1):
        state = advance(state)
        if bool(tf.reduce_all(state["is_over"])):
            break
    return first, state
