"""Reading records of an adversarial dataset with the numbers that the attack found, not their pictures."""

import dataclasses
from pathlib import Path
from typing import Any

import tensorflow as tf

from bioattack.tfrecords_builder.attacked_records import EXACT
from bioattack.tfrecords_builder.reading import Records, open_records
from bioattack.tfrecords_builder.selection import Selection

# Of the exact numbers among the texts of a record; no text that is asked for is called so.
_EXACT = "exact values"


def decode_exact(encoded: tf.Tensor, exact: tf.Tensor, *, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Gives a picture as it was found by an attack, or decodes one that was not attacked.

    Args:
        encoded: A JPEG or PNG file.
        exact: Its values as little-endian float32, or an empty string.
        image_shape: Height, width and channels.

    Returns:
        Float32 of that shape, in [0, 1].
    """

    def from_file() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=image_shape[2], expand_animations=False)
        return tf.cast(tf.ensure_shape(image, image_shape), tf.float32) / 255.0

    def from_numbers() -> tf.Tensor:
        return tf.reshape(tf.io.decode_raw(exact, tf.float32, little_endian=True), image_shape)

    return tf.cond(tf.strings.length(exact) > 0, from_numbers, from_file)


@dataclasses.dataclass(frozen=True)
class ExactRecords(Records):
    """Records whose pictures come with the float32 values that an attack found.

    Everything else is as in ``Records``; rows of a table are exact as they are.
    """

    def _parse(
        self,
        window: tf.Tensor,
        texts: dict[str, str],
        seeds: tf.Tensor | None,
        index: tf.Tensor,
        *,
        selection: Selection | None,
    ) -> Any:
        wanted = texts if self.table is not None else texts | {_EXACT: EXACT}
        return super()._parse(window, wanted, seeds, index, selection=selection)

    def _decode(self, encoded: tf.Tensor, label: tf.Tensor, texts: dict[str, tf.Tensor]) -> Any:
        others = {name: value for name, value in texts.items() if name != _EXACT}
        image = decode_exact(encoded, texts[_EXACT], image_shape=self.image_shape)
        return {"image": image, "label": label, **others} if others else (image, label)


def open_exact_records(directory: Path) -> ExactRecords:
    """Opens an adversarial dataset.

    Args:
        directory: A folder of records that were written by ``attacked_records``.

    Raises:
        RecordsError: As ``open_records``.
    """
    records = open_records(directory)
    return ExactRecords(records.directory, records.manifest)
