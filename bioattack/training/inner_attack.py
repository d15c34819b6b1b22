"""The attack inside a step of training: a loop of gradient steps that is traced with the step itself."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bioattack.attacks.balls import Ball, get_ball
from bioattack.attacks.random_numbers import random_bits

# Images to be moved, to the number of each that is to grow.
Objective = Callable[[Any], Any]

# In a loop of the graph, TensorFlow 2.21 takes another gradient of maximum pooling on the CPU, ten times as
# slow: with it a step on `small_cnn` takes 1.7 times as long. So the steps are traced one by one, to the same
# bits; beyond this number the tracing would take longer than it saves in a short training.
_MOST_UNROLLED = 10


def gradient_of(objective: Objective, images: Any) -> Any:
    """Returns the gradient of each image's objective with respect to the image.

    Args:
        objective: From ``(batch, ...)`` float32 to ``(batch,)``, image by image.
        images: Where to take the gradient.

    >>> images = tf.constant([[1.0, 2.0]])
    >>> gradient_of(lambda shown: tf.reduce_sum(shown**2, axis=1), images).numpy().tolist()
    [[2.0, 4.0]]
    """
    images = tf.convert_to_tensor(images)
    # Of the images alone: the weights are none of the attack's business, and cost as much again.
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(objective(images))
    return tape.gradient(total, images, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def repeat(step: Callable[[Any, Any], Any], images: Any, *, num_steps: int) -> Any:
    """Calls ``step(number, images)`` on its own result, without Python between the steps.

    Args:
        step: Gives images of the same shape; numbers are float32 and count from 0.
        images: What the first step gets.
        num_steps: How often.
    """

    def body(number: Any, moved: Any) -> tuple[Any, Any]:
        return number + 1.0, tf.ensure_shape(step(number, moved), images.shape)

    if num_steps > _MOST_UNROLLED:
        start = (tf.constant(0.0), images)
        return tf.while_loop(lambda *_: True, body, start, maximum_iterations=num_steps)[1]
    for number in range(num_steps):
        _, images = body(tf.constant(float(number)), images)
    return images


def ascend_in_ball(
    objective: Objective, images: Any, *, starts: Any, options: Any, ball: Ball | None = None
) -> Any:
    """Climbs by steps of equal length, back into the ball and into [0, 1] after each.

    Args:
        objective: From images to the number of each that is to grow; only its direction counts.
        images: ``(batch, height, width, channels)`` float32, in [0, 1]: the centres of the balls.
        starts: Where to begin, of the same shape.
        options: With ``epsilon``, ``num_steps``, ``relative_step`` and ``norm``.
        ball: Another one than that of ``norm``, such as that of rows of a table.

    Returns:
        The last images, inside the balls, in [0, 1].

    Source:
        Madry et al. 2018.
    """
    around = ball or get_ball(options.norm)
    epsilons = tf.fill([tf.shape(images)[0]], tf.constant(options.epsilon, tf.float32))
    length = options.relative_step * options.epsilon

    def step(_: Any, moved: Any) -> Any:
        direction = around.ascend(gradient_of(objective, moved), moved)
        return around.project(moved + length * direction, images, epsilons)

    return repeat(step, starts, num_steps=options.num_steps)


def random_point(images: Any, *, keys: Any, options: Any, ball: Ball | None = None) -> Any:
    """Draws a point of the ball around each image, uniform over the ball and then clipped to [0, 1].

    Args:
        images: The centres.
        keys: ``(batch, 2)`` int32, as ``start_keys`` gives them.
        options: With ``epsilon`` and ``norm``.
        ball: As for ``ascend_in_ball``.
    """
    around = ball or get_ball(options.norm)
    epsilons = tf.fill([tf.shape(images)[0]], tf.constant(options.epsilon, tf.float32))
    return around.project(images + options.epsilon * around.draw(keys, images.shape[1:]), images, epsilons)


def gaussian_point(images: Any, *, keys: Any, deviation: float) -> Any:
    """Adds normal noise to each image.

    Args:
        images: ``(batch, height, width, channels)`` float32.
        keys: ``(batch, 2)`` int32, as ``start_keys`` gives them.
        deviation: Standard deviation of every value.
    """
    shape = images.shape[1:]
    noise = tf.map_fn(
        lambda key: tf.random.stateless_normal(shape, key, alg="philox"),
        keys,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )
    return images + deviation * noise


def start_keys(seed: int, *, step: Any, num_images: Any) -> Any:
    """Gives a key for each image of a step's batch, as a function of seed, step and place in the batch alone.

    A run that goes on after it was killed therefore draws what it would have drawn. Where a distribution
    strategy splits the batch in equal parts, every image has the key it would have on one device.
    What TensorFlow draws from a key is the same on every device, but differs where XLA compiles the step.

    Args:
        seed: Of the run.
        step: int32, the number of steps done.
        num_images: Of this replica's part of the batch.

    Returns:
        ``(num_images, 2)`` int32.

    >>> start_keys(7, step=0, num_images=3).shape
    TensorShape([3, 2])
    """
    first = tf.distribute.get_replica_context().replica_id_in_sync_group * num_images
    places = (first + tf.range(num_images))[tf.newaxis]
    beginning = tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])[tf.newaxis]
    return tf.bitcast(random_bits(beginning, places)[0], tf.int32)
