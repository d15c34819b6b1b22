"""From serialised records to tensors, a window at a time."""

from typing import Any

import tensorflow as tf

from bioattack.tfrecords_builder import schema


def parse_pictures(
    window: tf.Tensor, texts: dict[str, str], seeds: tf.Tensor | None, index: tf.Tensor
) -> Any:
    """Parses a window of records at once, which is several times faster than one by one, and shuffles it.

    Args:
        window: ``(records,)``, serialised.
        texts: Name in the result -> feature in the record, of the strings that are wanted.
        seeds: Seed and epoch, or None for the stored order.
        index: Which window of the epoch this is.

    Returns:
        ``(encoded, labels, texts)``: strings and int32, ``(records,)`` each, and the strings by name.
    """
    window = _shuffle(window, seeds, index)
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in [schema.ENCODED, *texts.values()]}
    parsed = tf.io.parse_example(window, features | {schema.LABEL: tf.io.FixedLenFeature([], tf.int64)})
    values = {name: parsed[field] for name, field in texts.items()}
    return parsed[schema.ENCODED], tf.cast(parsed[schema.LABEL], tf.int32), values


def parse_table(
    window: tf.Tensor,
    texts: dict[str, str],
    seeds: tf.Tensor | None,
    index: tf.Tensor,
    *,
    num_features: int,
) -> Any:
    """As ``parse_pictures``, of rows of a table.

    Args:
        window: ``(records,)``, serialised.
        texts: As for ``parse_pictures``.
        seeds: As for ``parse_pictures``.
        index: As for ``parse_pictures``.
        num_features: How many features every row has.

    Returns:
        ``(features, labels, texts)``: float32 ``(records, features)``, int32 ``(records,)``, and the strings.
    """
    label = schema.row_field(schema.LABEL)
    fields = {name: tf.io.FixedLenFeature([], tf.string) for name in map(schema.row_field, texts.values())}
    fields |= {
        schema.FEATURES: tf.io.FixedLenFeature([num_features], tf.float32),
        label: tf.io.FixedLenFeature([], tf.int64),
    }
    parsed = tf.io.parse_example(_shuffle(window, seeds, index), fields)
    values = {name: parsed[schema.row_field(field)] for name, field in texts.items()}
    return parsed[schema.FEATURES], tf.cast(parsed[label], tf.int32), values


def _shuffle(window: tf.Tensor, seeds: tf.Tensor | None, index: tf.Tensor) -> tf.Tensor:
    if seeds is None:
        return window
    # Seed, epoch and number of the window, folded into the two numbers that the generator takes.
    window_seed = tf.random.experimental.stateless_fold_in(seeds, index)
    return tf.random.experimental.stateless_shuffle(window, seed=window_seed)
