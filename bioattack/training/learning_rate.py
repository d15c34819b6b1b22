"""The courses of the learning rate, as Keras schedules: they follow the optimizer's own count of steps."""

import keras

# Vuyyuru et al. 2020, public code: 160, 240, 320 and 360 of 400 epochs; 80, 120, 160 and 180 of 200.
_PAPER_BOUNDARIES = (0.4, 0.6, 0.8, 0.9)
_PAPER_FACTORS = (1.0, 0.1, 0.01, 0.001, 0.0005)

_WARM_UP_FRACTION = 0.1
_WARM_UP_START = 0.1


def paper_factor(epoch: int, *, num_epochs: int) -> float:
    """Returns the published factor on the learning rate in one epoch.

    Args:
        epoch: Counted from 0. The factor falls after the epochs at 0.4, 0.6, 0.8 and 0.9 of the whole, those
            epochs themselves still having the larger one.
        num_epochs: Length of the whole run.

    Source:
        Vuyyuru et al. 2020, public code for ImageNet10, with its boundaries as fractions of 400 epochs.

    >>> [paper_factor(epoch, num_epochs=400) for epoch in (0, 160, 161, 361)]
    [1.0, 1.0, 0.1, 0.0005]
    """
    passed = sum(epoch > round(fraction * num_epochs) for fraction in _PAPER_BOUNDARIES)
    return _PAPER_FACTORS[passed]


def learning_rate_schedule(
    name: str, *, learning_rate: float, num_epochs: int, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Makes the course of the learning rate over the steps of a run.

    Args:
        name: ``"paper"``; ``"short"``: a tenth of the steps from a tenth of the rate up to the whole, then
            half a cosine down to 0; or ``"constant"``.
        learning_rate: The largest one.
        num_epochs: Length of the run, 1 or more.
        steps_per_epoch: Steps in each epoch, 1 or more.
    """
    num_steps = num_epochs * steps_per_epoch
    if name == "constant":
        return keras.optimizers.schedules.PiecewiseConstantDecay([num_steps], [learning_rate, learning_rate])
    if name == "short":
        warm_up = max(1, round(_WARM_UP_FRACTION * num_steps))
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=_WARM_UP_START * learning_rate,
            warmup_target=learning_rate,
            warmup_steps=warm_up,
            decay_steps=max(1, num_steps - warm_up),
        )
    # Keras holds a value up to and including its boundary: the last step of the epoch is the boundary.
    boundaries = [(round(fraction * num_epochs) + 1) * steps_per_epoch - 1 for fraction in _PAPER_BOUNDARIES]
    values = [learning_rate * factor for factor in _PAPER_FACTORS]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
