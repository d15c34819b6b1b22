"""A records folder of a few tiny pictures, made in a second, for tests of what comes after the records."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from bioattack.tfrecords_builder.manifest import (
    MANIFEST_NAME,
    ImageSize,
    Manifest,
    Shard,
    SplitInfo,
    shard_name,
)
from bioattack.tfrecords_builder.schema import Example, serialise

CLASS_NAMES = ("red", "green", "blue")


def write_small_records(
    directory: Path,
    *,
    num_train: int = 60,
    num_test: int = 15,
    size: int = 16,
    num_classes: int = 3,
    countries: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """Writes noisy pictures whose tint is their class: easy to learn, in no two pictures the same.

    The shards are framed by TensorFlow's own writer, independently of the record builder.

    Args:
        directory: Folder to make.
        num_train: Pictures in the split ``train``.
        num_test: Pictures in the split ``test``; with 0 there is no such split.
        size: Height and width in pixels.
        num_classes: 2 or 3.
        countries: With some, each picture is of one of them, in turn, in the group ``country``.
        seed: Of the noise.

    Returns:
        The folder.
    """
    directory.mkdir(parents=True)
    random = np.random.default_rng(seed)
    class_names = CLASS_NAMES[:num_classes]
    splits = {}
    for split, num_examples in (("train", num_train), ("test", num_test)):
        if not num_examples:
            continue
        examples = [
            _example(
                f"{split}/{index:05d}.png",
                label=index % num_classes,
                size=size,
                random=random,
                groups={"country": countries[index % len(countries)]} if countries else {},
            )
            for index in range(num_examples)
        ]
        splits[split] = SplitInfo(
            num_examples=num_examples,
            per_class=tuple(
                np.bincount([example.label for example in examples], minlength=num_classes).tolist()
            ),
            shards=(_write_shard(directory, split, examples),),
        )
    manifest = Manifest(
        kind="synthetic",
        class_names=class_names,
        image=ImageSize(height=size, width=size, channels=3),
        groups=("country",) if countries else (),
        splits=splits,
        source={},
        skipped=(),
        left_out={},
        duplicates={"num_pairs": 0, "examples": []},
        arguments={"size": size, "seed": seed},
        versions={},
        plan_sha256="",
    )
    (directory / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return directory


def _example(
    filename: str, *, label: int, size: int, random: np.random.Generator, groups: dict[str, str]
) -> Example:
    pixels = random.integers(0, 160, (size, size, 3), dtype=np.uint8)
    pixels[:, :, label] += 60
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="png")
    return Example(
        encoded=encoded.getvalue(),
        format="png",
        height=size,
        width=size,
        channels=3,
        label=label,
        class_name=CLASS_NAMES[label],
        filename=filename,
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        groups=groups,
    )


def _write_shard(directory: Path, split: str, examples: list[Example]) -> Shard:
    path = directory / shard_name(split, 0, 1)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(serialise(example))
    content = path.read_bytes()
    return Shard(path.name, len(examples), len(content), hashlib.sha256(content).hexdigest())
