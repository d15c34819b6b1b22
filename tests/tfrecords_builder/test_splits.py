import hashlib
from collections import Counter

import pytest

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.source import Item
from bioattack.tfrecords_builder.splits import (
    choose_num_shards,
    into_shards,
    key_hash,
    make_test_split,
    take_limit,
)


def _items(*counts, split=""):
    return [Item(f"{label}/{n}", split, label) for label, count in enumerate(counts) for n in range(count)]


def _counts(items):
    return Counter((item.split, item.label) for item in items)


def test_each_class_is_divided():
    divided = make_test_split(_items(10, 5, 2, 1), test_fraction=0.2, seed=0)
    assert [item.key for item in divided] == [item.key for item in _items(10, 5, 2, 1)]
    assert _counts(divided) == {
        ("train", 0): 8, ("test", 0): 2, ("train", 1): 4, ("test", 1): 1,
        ("train", 2): 1, ("test", 2): 1, ("train", 3): 1,
    }  # fmt: skip


def test_division_depends_on_keys_and_seed_alone():
    items = _items(50, 50)
    divided = make_test_split(items, test_fraction=0.2, seed=1)
    turned = make_test_split(items[::-1], test_fraction=0.2, seed=1)
    assert turned[::-1] == divided
    assert make_test_split(items, test_fraction=0.2, seed=2) != divided


def test_no_test_split():
    assert set(_counts(make_test_split(_items(3, 3), test_fraction=0, seed=0))) == {
        ("train", 0),
        ("train", 1),
    }


def test_never_all_of_a_class():
    assert _counts(make_test_split(_items(3), test_fraction=0.99, seed=0)) == {
        ("train", 0): 1,
        ("test", 0): 2,
    }


def test_all_may_be_the_test_split():
    assert _counts(make_test_split(_items(3, 1), test_fraction=1, seed=0)) == {("test", 0): 3, ("test", 1): 1}


@pytest.mark.parametrize("fraction", [-0.1, 1.1, 20.0, float("nan")])
def test_test_fraction_is_checked(fraction):
    with pytest.raises(RecordsError, match=r"--test-fraction must be between 0 and 1. Received"):
        make_test_split(_items(3), test_fraction=fraction, seed=0)


def test_limit_is_even_over_the_classes_of_each_split():
    items = _items(10, 10, 2, split="train") + _items(5, 5, 5, split="test")
    taken = take_limit(items, limit=8, seed=0)
    assert _counts(taken) == {
        ("train", 0): 3, ("train", 1): 3, ("train", 2): 2, ("test", 0): 3, ("test", 1): 3, ("test", 2): 2,
    }  # fmt: skip
    smaller = take_limit(items, limit=4, seed=0)
    assert {item.key for item in smaller} < {item.key for item in taken}
    assert take_limit(items, limit=None, seed=0) == items


def test_limit_is_checked():
    with pytest.raises(RecordsError, match=r"--limit must be at least 1. Received: 0"):
        take_limit(_items(1), limit=0, seed=0)


def test_shard_and_order_follow_from_the_hash():
    items = _items(40, 40, split="train")
    shards = into_shards(items, 4)
    assert sorted(item.key for shard in shards for item in shard) == sorted(item.key for item in items)
    for index, shard in enumerate(shards):
        # The rule of the manifest's documentation, computed here with hashlib alone.
        hashes = [int(hashlib.sha256(f"train/{item.key}".encode()).hexdigest(), 16) for item in shard]
        assert hashes == sorted(hashes)
        assert {number % 4 for number in hashes} == {index}
        assert hashes == [key_hash("train", item.key) for item in shard]
    assert into_shards(items[::-1], 4) == shards


@pytest.mark.parametrize(
    ("num_examples", "mean_bytes", "expected"),
    [
        (1, 1000, 1),
        (64, 1000, 1),
        (65, 1000, 2),
        (5000, 3000, 8),
        (13_000, 180_000, 24),
        (1_281_167, 110_000, 1400),
    ],
)
def test_default_number_of_shards(num_examples, mean_bytes, expected):
    assert choose_num_shards(num_examples, mean_bytes) == expected
