"""Softmax heads on inner features of a classifier, which help it to learn and are dropped afterwards."""

import keras

from bioattack.models.building import layer_seed


def auxiliary_features(classifier: keras.Model) -> tuple[str, ...]:
    """Returns the names of the layers that get a head of their own in training; mostly none."""
    return tuple(getattr(classifier, "auxiliary_features", ()))


def with_auxiliary_heads(classifier: keras.Model, *, seed: int | None) -> keras.Model:
    """Adds a dense layer to each of the classifier's auxiliary features.

    Args:
        classifier: Built functional network whose attribute ``auxiliary_features`` names layers of its own
            with outputs ``(batch, features)``.
        seed: The heads' initial weights are a function of it.

    Returns:
        A model from images to a list of logits ``(batch, num_classes)``: the classifier's own, then those of
        the heads. It shares every layer with the classifier.

    Raises:
        ValueError: If there is no such layer, or its output has another form.

    Source:
        Vuyyuru et al. 2020, public code: one head on the pooled features of each cortical scale.

    >>> images = keras.Input((8,))
    >>> inner = keras.layers.Dense(5, name="inner")(images)
    >>> classifier = keras.Model(images, keras.layers.Dense(3)(inner))
    >>> classifier.auxiliary_features = ("inner",)
    >>> with_auxiliary_heads(classifier, seed=0).count_params() - classifier.count_params()
    18
    """
    num_classes = classifier.output_shape[-1]
    heads = []
    for name in auxiliary_features(classifier):
        head = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.GlorotUniform(seed=layer_seed(seed, f"auxiliary_{name}")),
            dtype="float32",
            name=f"auxiliary_{name}",
        )
        heads.append(head(_features(classifier, name)))
    return keras.Model(classifier.input, [classifier.output, *heads], name="with_auxiliary_heads")


def _features(classifier: keras.Model, name: str) -> keras.KerasTensor:
    layers = {layer.name: layer for layer in classifier.layers}
    # The output of a model within a model is that of its own graph, not of the place where it is called.
    if name not in layers or isinstance(layers[name], keras.Model):
        raise ValueError(f"auxiliary_features must name layers of {classifier.name}. Received: {name!r}")
    features = layers[name].output
    if len(features.shape) != 2:
        raise ValueError(
            f"auxiliary_features must name layers with outputs (batch, features). Received: {name!r}, whose"
            f" output has the shape {features.shape}"
        )
    return features
