"""A records folder of a few rows of a table, made in a moment, and models that know its rule."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bioattack.tfrecords_builder.build import build_source
from bioattack.tfrecords_builder.source import BuildOptions, Item, Row, Source
from bioattack.tfrecords_builder.table import Attribute, Table

CLASS_NAMES = ("no", "yes")
SEXES, JOBS = ("Female", "Male"), ("clerk", "cook", "smith")
#: Years of age, a rate that is a real number, and two categories.
SMALL_TABLE = Table(
    (
        Attribute("age", "continuous", 17.0, 90.0, 50.0, 20.0),
        Attribute("sex", "categorical", 0.0, 1.0, 0.5, 0.5, is_protected=True, categories=SEXES),
        Attribute("rate", "continuous", 0.0, 5.0, 2.5, 1.5, is_integer=False),
        Attribute("job", "categorical", 0.0, 2.0, 1.0, 0.8, categories=JOBS),
    )
)
#: A row is "yes" where its product with these exceeds the threshold; odd numbers, so that nothing ties.
WEIGHTS, THRESHOLD = (0.0973, 0.81, 0.517, -0.29), 6.4137


def small_rows(number: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws rows and their labels.

    Args:
        number: How many.
        seed: Of the draw.

    Returns:
        ``(number, 4)`` float32 in the ranges of ``SMALL_TABLE``, and ``(number,)`` int32; one row in ten has
        the label of the other class.
    """
    random = np.random.default_rng(seed)
    columns = (
        random.integers(17, 91, number),
        random.integers(0, 2, number),
        random.uniform(0, 5, number),
        random.integers(0, 3, number),
    )
    features = np.stack(columns, axis=1).astype(np.float32)
    is_yes = features @ np.array(WEIGHTS, np.float32) > THRESHOLD
    return features, (is_yes ^ (random.uniform(size=number) < 0.1)).astype(np.int32)


class SmallTable(Source):
    """The rows as a source: 40 to train on, the others to test, ``sex`` as a group."""

    def __init__(self, options: BuildOptions, *, num_test: int, seed: int) -> None:
        super().__init__(options)
        self.channels = 0
        self.class_names = CLASS_NAMES
        self.groups = ("sex",)
        self.table = SMALL_TABLE
        self.num_test = num_test
        self.seed = seed

    def items(self) -> list[Item]:
        """See ``Source.items``."""
        items = []
        for split, number in (("train", 40), ("test", self.num_test)):
            features, labels = small_rows(number, seed=self.seed + (split == "test"))
            for place, (row, label) in enumerate(zip(features, labels, strict=True)):
                group = {"sex": SEXES[int(row[1])]}
                items.append(Item(f"{split}/{place:05d}", split, int(label), group, tuple(row.tolist())))
        return items

    def load(self, item: Item) -> Row:
        """See ``Source.load``."""
        return Row(item.reference, hashlib.sha256(repr(item.reference).encode()).hexdigest())

    def checksums(self) -> dict[str, Any]:
        """See ``Source.checksums``."""
        return {"seed": self.seed}


def write_small_table(directory: Path, *, num_test: int = 30, seed: int = 0) -> Path:
    """Writes the records.

    Args:
        directory: Folder to make.
        num_test: Rows in the split ``test``.
        seed: Of the rows.

    Returns:
        The folder.
    """
    options = BuildOptions(output=directory, seed=seed, workers=1, quiet=True)
    build_source("adult", SmallTable(options, num_test=num_test, seed=seed))
    return directory


def save_row_model(path: Path, *, weights: tuple[float, ...] = WEIGHTS, threshold: float = THRESHOLD) -> Path:
    """Saves a linear model that knows the rule, as a ``.keras`` file.

    Args:
        path: The file.
        weights: One for each attribute.
        threshold: What a row's product with them must exceed.

    Returns:
        The file.
    """
    layer = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((len(weights),)), layer])
    kernel = np.stack([np.zeros(len(weights)), weights], axis=1)
    layer.set_weights([kernel.astype(np.float32), np.array([threshold, 0.0], np.float32)])
    model.save(path)
    return path


def with_attribute(**changes: Any) -> Table:
    """Gives the table with its first attribute, age, changed."""
    first, *others = SMALL_TABLE.attributes
    return Table((dataclasses.replace(first, **changes), *others))
