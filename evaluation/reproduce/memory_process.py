"""A process that trains a small network for a while and says how much memory that took.

``python -m bioattack.evaluation.reproduce.memory_process MODE RECORDS LIMIT``, where the mode is
``arrays`` (all pictures in memory), ``records`` (read as they are needed) or ``nothing`` (one
batch: what such a process takes whatever the data).
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bioattack.models.registry import build_model
from bioattack.tfrecords_builder.reading import Records, open_records

MODES = ("nothing", "records", "arrays")
NUM_EPOCHS, BATCH_SIZE, WIDTH = 2, 32, 8


def main(arguments: list[str]) -> None:
    """Trains and prints ``{"peak_bytes", "epoch_s", "data_bytes"}``."""
    mode, directory, limit = arguments
    records = open_records(Path(directory))
    num_images = min(int(limit), records.num_examples("train")) if mode != "nothing" else BATCH_SIZE
    model = build_model(
        "resnet18",
        image_shape=records.image_shape,
        num_classes=records.num_classes,
        options={"width": WIDTH},
        seed=0,
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    clock = Clock()
    how: dict[str, Any] = {"epochs": NUM_EPOCHS, "verbose": 0, "callbacks": [clock]}
    if mode == "records":
        steps = records.steps_per_epoch("train", BATCH_SIZE, limit=num_images)
        dataset = records.training_dataset(
            "train", batch_size=BATCH_SIZE, seed=0, first_epoch=0, limit=num_images
        )
        model.fit(dataset, steps_per_epoch=steps, shuffle=False, **how)
    else:
        images, labels = _load(records, num_images)
        model.fit(images, labels, batch_size=BATCH_SIZE, **how)
    data_bytes = 4 * num_images * int(np.prod(records.image_shape))
    found = {"peak_bytes": peak_bytes(), "epoch_s": clock.seconds, "data_bytes": data_bytes}
    sys.stdout.write(json.dumps(found) + "\n")


class Clock(keras.callbacks.Callback):
    """Keeps the time of the last epoch: the first one traces."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Stops."""
        self.seconds = time.perf_counter() - self._start


def _load(records: Records, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """All pictures in one array, which is filled in place."""
    images = np.empty((num_images, *records.image_shape), np.float32)
    labels = np.empty(num_images, np.int32)
    place = 0
    for some, of_some in records.dataset("train", batch_size=BATCH_SIZE, limit=num_images):
        number = int(tf.shape(some)[0])
        images[place : place + number], labels[place : place + number] = some, of_some
        place += number
    return images, labels


def peak_bytes() -> int:
    """The most memory that this process has held; on Linux without what the one that started it had held."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1:])
