"""Pictures drawn on the spot and sound classifiers that learn them within seconds, for tests."""

from typing import NamedTuple

import keras
import numpy as np

from bioattack.testing.made_up_pictures import made_up_image

NUM_CLASSES, SIZE = 5, 16


class Pictures(NamedTuple):
    """Pictures with their classes.

    Args:
        images: ``(n, 16, 16, 3)``, float32, [0, 1], on the grid of 8 bits.
        labels: ``(n,)``, int32, 0 to 4.
    """

    images: np.ndarray
    labels: np.ndarray


def draw_pictures(num_images: int, *, seed: int = 0) -> Pictures:
    """Mixes the picture of a class with one that nobody has seen, and adds noise."""
    random = np.random.default_rng(seed)
    classes = np.stack([_drawn(number) for number in range(NUM_CLASSES)])
    labels = random.integers(0, NUM_CLASSES, num_images)
    others = np.stack([_drawn(number) for number in random.integers(1000, 2**31, num_images)])
    share = random.uniform(0.35, 0.75, (num_images, 1, 1, 1))
    images = share * classes[labels] + (1 - share) * others + random.normal(0, 0.03, others.shape)
    return Pictures((np.round(255 * images.clip(0, 1)) / 255).astype(np.float32), labels.astype(np.int32))


def train_convolutional(pictures: Pictures, *, seed: int = 0, num_epochs: int = 6) -> keras.Model:
    """Two convolutions and a dense layer, with ReLU between."""
    layers = keras.layers

    def initializer(place: int) -> keras.initializers.Initializer:
        return keras.initializers.HeNormal(seed=seed + place)

    return _fit(
        [
            layers.Conv2D(
                16, 3, strides=2, padding="same", activation="relu", kernel_initializer=initializer(0)
            ),
            layers.Conv2D(
                32, 3, strides=2, padding="same", activation="relu", kernel_initializer=initializer(1)
            ),
            layers.Flatten(),
            layers.Dense(NUM_CLASSES, kernel_initializer=initializer(2)),
        ],
        pictures,
        num_epochs=num_epochs,
        learning_rate=3e-3,
    )


def train_linear(pictures: Pictures, *, seed: int = 0, num_epochs: int = 6) -> keras.Model:
    """A linear function of the pixels."""
    initializer = keras.initializers.GlorotUniform(seed=seed)
    layers = [keras.layers.Flatten(), keras.layers.Dense(NUM_CLASSES, kernel_initializer=initializer)]
    return _fit(layers, pictures, num_epochs=num_epochs, learning_rate=3e-3)


def _drawn(seed: int) -> np.ndarray:
    return np.asarray(made_up_image(int(seed), size=(SIZE, SIZE)), np.float32) / 255


def _fit(
    layers: list[keras.layers.Layer], pictures: Pictures, *, num_epochs: int, learning_rate: float
) -> keras.Model:
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *layers])
    model.compile(
        keras.optimizers.Adam(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # In the given order, so that nothing depends on the global seed.
    model.fit(pictures.images, pictures.labels, batch_size=64, epochs=num_epochs, shuffle=False, verbose=0)
    return model
