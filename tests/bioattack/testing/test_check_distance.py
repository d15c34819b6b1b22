"""The harness tells a distance that breaks a promise, and which."""

import pytest
import tensorflow as tf

from bioattack.distances.distance import Distance
from bioattack.testing.check_distance import check_distance


class Healthy(Distance):
    name = "healthy"
    least_size = 3

    def compare(self, prepared, images):
        return tf.reduce_mean(tf.square(images - prepared["reference"]), (1, 2, 3))


class NotZero(Healthy):
    def compare(self, prepared, images):
        return super().compare(prepared, images) + 0.1


class NotLowest(Healthy):
    def compare(self, prepared, images):
        return tf.reduce_mean(images - prepared["reference"], (1, 2, 3))


class InfiniteGradient(Healthy):
    def compare(self, prepared, images):
        return tf.sqrt(super().compare(prepared, images))


class WrongGradient(Healthy):
    def compare(self, prepared, images):
        wrong = super().compare(prepared, images)
        return wrong + tf.stop_gradient(wrong)


class Imprecise(Healthy):
    def compare(self, prepared, images):
        factor = 1.01 if images.dtype == tf.float32 else 1.0
        return factor * super().compare(prepared, images)


class MixesRows(Healthy):
    def compare(self, prepared, images):
        own = super().compare(prepared, images)
        return own * (1 + tf.reduce_mean(own))


class OnlyEager(Healthy):
    def compare(self, prepared, images):
        return super().compare(prepared, images) * (1.0 if tf.executing_eagerly() else 1.1)


class PreparesForAll(Healthy):
    def prepare(self, reference):
        return super().prepare(reference) | {"window": tf.ones((1, 3))}


class Unchecked(Healthy):
    def check_size(self, images):
        pass


@pytest.mark.parametrize(
    ("distance", "message"),
    [
        (NotZero, "from itself"),
        (NotLowest, "nothing is nearer"),
        (InfiniteGradient, "the gradient at noise and noise in float32 is finite"),
        (WrongGradient, "finite differences"),
        (Imprecise, "near float64"),
        (MixesRows, "a row alone"),
        (OnlyEager, "inside tf.function"),
        (PreparesForAll, "window has one row"),
        (Unchecked, "must be refused"),
    ],
)
def test_what_is_wrong_is_said(distance, message):
    with pytest.raises(AssertionError, match=message):
        check_distance(distance(), (6, 5, 3))


def test_a_healthy_distance_passes():
    check_distance(Healthy(), (6, 5, 3))
