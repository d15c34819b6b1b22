"""The built-in data set: ten classes of drawn objects in cluttered scenes; needs no data at all."""

import dataclasses
import hashlib
import io
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.gdp import INCOME_COLUMNS, built_in_gdp
from bioattack.tfrecords_builder.source import SPLITS, BuildOptions, Item, Picture, Source
from bioattack.tfrecords_builder.synthetic_countries import (
    COUNTRIES,
    GDP_PER_CAPITA_USD,
    GDP_PER_CAPITA_YEAR,
    poverty,
)
from bioattack.tfrecords_builder.synthetic_objects import DRAWERS
from bioattack.tfrecords_builder.synthetic_scene import Hardship, draw_scene

# To be raised with every change to what is drawn: it goes into the manifest.
DRAWING_VERSION = 2
_SMALLEST_SIZE, _LARGEST_SIZE = 16, 2048
# Streams of chance of one picture.
_SCENE, _COUNTRY, _HARDSHIP = range(3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticOptions(BuildOptions):
    """What the built-in data set can be told.

    Args:
        num_train: Pictures of the train split.
        num_test: Pictures of the test split.
        size: Side of the pictures in pixels, 16 to 2048.
        bias: How much light and clutter worsen as a country's income falls, from 0 (not at all) to 1.
        seed: Of everything that is drawn.
    """

    num_train: int = 2000
    num_test: int = 500
    size: int = 64
    bias: float = 0.0
    seed: int = 0


class Synthetic(Source):
    """Ten classes of procedurally drawn objects, balanced, each picture with a country.

    A picture depends on the seed, its split and its number alone. Its country is drawn evenly from
    ``synthetic_countries``, independently of the class. With poverty ``p`` (0 for the richest country, 1 for
    the poorest, linear in the logarithm of GDP per capita) and bias ``b`` the scene that the picture would
    show at ``b = 0`` is made worse by ``Hardship(strength=b * p)``: ``round(12 * b * p)`` shapes are added to
    its clutter, then its pixels are multiplied by ``1 - 0.6 * b * p``, and then ``0.05 * b * p`` of the pixel
    range is added to the standard deviation of its noise. At ``b = 0`` the country changes no byte.

    Args:
        options: A ``SyntheticOptions``.

    Raises:
        RecordsError: If an option is out of its range.
    """

    Options: ClassVar[type[BuildOptions]] = SyntheticOptions
    example: ClassVar[str] = "--output records --num-train 2000 --num-test 500"
    channels = 3
    class_names = tuple(DRAWERS)
    groups = INCOME_COLUMNS

    def __init__(self, options: BuildOptions) -> None:
        super().__init__(options)
        if not isinstance(options, SyntheticOptions):
            raise TypeError(f"options must be SyntheticOptions. Received: {type(options).__name__}")
        _check(options)
        self._options = options

    def items(self) -> list[Item]:
        """Lists the pictures to be drawn; the classes take turns."""
        counts = dict(zip(SPLITS, (self._options.num_train, self._options.num_test), strict=True))
        return [self._item(split, index) for split in SPLITS for index in range(counts[split])]

    def _item(self, split: str, index: int) -> Item:
        label = index % len(self.class_names)
        country = COUNTRIES[
            int(np.random.default_rng(self._entropy(split, index, _COUNTRY)).integers(len(COUNTRIES)))
        ]
        return Item(
            key=f"{split}/{self.class_names[label]}/{index:06d}.png",
            split=split,
            label=label,
            groups=dict(zip(INCOME_COLUMNS, (country, *_income(country)), strict=True)),
            reference=index,
        )

    def load(self, item: Item) -> Picture:
        """Draws one picture and encodes it as PNG."""
        pixels = draw_scene(
            self.class_names[item.label],
            self._options.size,
            np.random.default_rng(self._entropy(item.split, item.reference, _SCENE)),
            hardship=self._hardship(item),
        )
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return Picture(
            encoded=file.getvalue(),
            format="png",
            height=self._options.size,
            width=self._options.size,
            channels=self.channels,
            source_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        )

    def _hardship(self, item: Item) -> Hardship | None:
        strength = self._options.bias * poverty(item.groups["country"])
        if strength == 0.0:
            return None
        return Hardship(strength=strength, entropy=self._entropy(item.split, item.reference, _HARDSHIP))

    def _entropy(self, split: str, index: int, stream: int) -> tuple[int, ...]:
        return (self._options.seed, SPLITS.index(split), index, stream)

    def checksums(self) -> dict[str, Any]:
        """Says what draws the pictures, and the incomes behind the bias."""
        return {
            "drawing_version": DRAWING_VERSION,
            "gdp_per_capita_usd": {country: GDP_PER_CAPITA_USD[country] for country in COUNTRIES},
            "gdp_per_capita_source": f"World Bank, World Development Indicators, {GDP_PER_CAPITA_YEAR}",
        }


def _income(country: str) -> tuple[str, str]:
    """GDP per capita in the year that the bias follows, and income group, as the kind ``geo`` writes them."""
    group = built_in_gdp(GDP_PER_CAPITA_YEAR).incomes[country].income_group
    return repr(float(GDP_PER_CAPITA_USD[country])), group


def _check(options: SyntheticOptions) -> None:
    for name, count in (("num-train", options.num_train), ("num-test", options.num_test)):
        if count < 1:
            raise RecordsError(f"--{name} must be at least 1, not {count}")
    if not _SMALLEST_SIZE <= options.size <= _LARGEST_SIZE:
        raise RecordsError(
            f"--size must be from {_SMALLEST_SIZE} to {_LARGEST_SIZE} pixels, not {options.size}"
        )
    if not 0.0 <= options.bias <= 1.0:
        raise RecordsError(f"--bias must be from 0 to 1, not {options.bias:g}")
    if options.seed < 0:
        raise RecordsError(f"--seed must be 0 or more, not {options.seed}")
