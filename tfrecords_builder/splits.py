"""Everything that is decided by the hash of a key: test split, choice under a limit, shard, order in it."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.source import Item

SHARD_BYTES = 96 * 2**20
HANDFUL_OF_SHARDS = 8
EXAMPLES_PER_SMALL_SHARD = 64


def key_hash(split: str, key: str) -> int:
    """A number of 256 bits that decides an example's shard and its place in it."""
    return int.from_bytes(hashlib.sha256(f"{split}/{key}".encode()).digest())


def _seeded_hash(seed: int, purpose: str, key: str) -> bytes:
    return hashlib.sha256(f"{purpose}:{seed}:{key}".encode()).digest()


def _by_class(items: Iterable[Item]) -> dict[int, list[Item]]:
    classes: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        classes[item.label].append(item)
    return classes


def make_test_split(items: Sequence[Item], *, test_fraction: float, seed: int) -> list[Item]:
    """Divides pictures into train and test, class by class, by the hash of their keys.

    Of each class the nearest whole number to ``test_fraction`` becomes test, at least one where the class
    has two pictures or more, and never all, except that 1 makes all pictures test.

    Raises:
        RecordsError: If ``test_fraction`` is not in [0, 1].
    """
    if not 0 <= test_fraction <= 1:
        raise RecordsError(f"--test-fraction must be between 0 and 1. Received: {test_fraction}")
    if test_fraction == 1:
        return [replace(item, split="test") for item in items]
    is_test: set[str] = set()
    for members in _by_class(items).values():
        num_test = min(max(round(len(members) * test_fraction), 1), len(members) - 1) if test_fraction else 0
        members.sort(key=lambda item: _seeded_hash(seed, "test", item.key))
        is_test.update(item.key for item in members[:num_test])
    return [replace(item, split="test" if item.key in is_test else "train") for item in items]


def take_limit(items: Sequence[Item], *, limit: int | None, seed: int) -> list[Item]:
    """Takes at most ``limit`` pictures of each split, evenly over the classes, by the hash of their keys.

    Raises:
        RecordsError: If ``limit`` is below 1.
    """
    if limit is None:
        return list(items)
    if limit < 1:
        raise RecordsError(f"--limit must be at least 1. Received: {limit}")
    taken = []
    for split in sorted({item.split for item in items}):
        ranked = []
        for members in _by_class(item for item in items if item.split == split).values():
            members.sort(key=lambda item: _seeded_hash(seed, "limit", item.key))
            ranked += [(rank, item.label, item) for rank, item in enumerate(members)]
        ranked.sort(key=lambda entry: entry[:2])
        taken += [item for _, _, item in ranked[:limit]]
    return taken


def choose_num_shards(num_examples: int, mean_bytes: float) -> int:
    """The default number of shards: about 96 MB each, and for parallel reading up to eight at least."""
    handful = min(HANDFUL_OF_SHARDS, math.ceil(num_examples / EXAMPLES_PER_SMALL_SHARD))
    return max(handful, math.ceil(num_examples * mean_bytes / SHARD_BYTES), 1)


def into_shards(items: Iterable[Item], num_shards: int) -> list[list[Item]]:
    """Distributes one split's items over its shards, each in its stored order."""
    hashed = [(key_hash(item.split, item.key), item) for item in items]
    hashed.sort(key=lambda pair: pair[0])
    shards: list[list[Item]] = [[] for _ in range(num_shards)]
    for number, item in hashed:
        shards[number % num_shards].append(item)
    return shards
