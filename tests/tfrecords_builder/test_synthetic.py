import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from bioattack.tfrecords_builder.errors import RecordsError
from bioattack.tfrecords_builder.synthetic import Synthetic, SyntheticOptions
from bioattack.tfrecords_builder.synthetic_countries import COUNTRIES, GDP_PER_CAPITA_USD, poverty
from bioattack.tfrecords_builder.synthetic_objects import DRAWERS
from bioattack.tfrecords_builder.synthetic_scene import Hardship, draw_scene


def synthetic(**options):
    return Synthetic(SyntheticOptions(output=Path("unused"), **options))


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.encoded)))


def drawn(source, items):
    return np.stack([pixels(source.load(item)) for item in items])


def test_same_seed_same_bytes_in_any_order():
    first, second = (synthetic(num_train=12, num_test=12, size=32, seed=5) for _ in range(2))
    forwards = [first.load(item) for item in first.items()]
    backwards = [second.load(item) for item in reversed(second.items())]
    assert forwards == backwards[::-1]


def test_no_picture_twice():
    """Neither in another place of the split, nor in the other split, nor under another seed."""
    sources = [synthetic(num_train=20, num_test=20, size=32, seed=seed) for seed in (0, 1)]
    sums = [source.load(item).source_sha256 for source in sources for item in source.items()]
    assert len(set(sums)) == len(sums) == 80


def test_more_pictures_keep_those_that_were_there():
    few, many = synthetic(num_train=5, num_test=5), synthetic(num_train=9, num_test=7)
    assert set(map(repr, few.items())) < set(map(repr, many.items()))


def test_items():
    items = synthetic(num_train=200, num_test=50).items()
    assert Counter((item.split, item.label) for item in items) == Counter(
        {("train", label): 20 for label in range(10)} | {("test", label): 5 for label in range(10)}
    )
    assert len({(item.split, item.key) for item in items}) == 250
    assert items[3].key == "train/house/000003.png"
    assert all(item.key.split("/")[1] == tuple(DRAWERS)[item.label] for item in items)


def test_countries_are_even_and_independent_of_the_class():
    items = synthetic(num_train=20_000, num_test=1).items()[:-1]
    table = np.zeros((10, len(COUNTRIES)))
    for item in items:
        table[item.label, COUNTRIES.index(item.groups["country"])] += 1
    assert stats.chisquare(table.sum(axis=0)).pvalue > 0.001
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_poverty_follows_log_income():
    by_income = sorted(COUNTRIES, key=GDP_PER_CAPITA_USD.__getitem__)
    strengths = [poverty(country) for country in by_income]
    assert strengths == sorted(strengths, reverse=True)
    assert (strengths[0], strengths[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("class_name", DRAWERS)
def test_drawing(class_name):
    picture = draw_scene(class_name, 48, np.random.default_rng(3))
    assert (picture.shape, picture.dtype) == ((48, 48, 3), np.uint8)
    assert picture.std() > 10


def test_same_scene_at_every_size():
    """Shrunk, the large picture is the small one, but for noise and the edges' pixels."""
    small, large = (draw_scene("mug", size, np.random.default_rng(4)) for size in (64, 256))
    shrunk = large.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 8
    other = draw_scene("mug", 64, np.random.default_rng(5))
    assert np.abs(shrunk - other).mean() > 20


@pytest.mark.parametrize("size", [16, 33, 320])
def test_loaded_picture(size):
    source = synthetic(num_train=1, num_test=1, size=size)
    picture = source.load(source.items()[0])
    assert (picture.height, picture.width, picture.channels, picture.format) == (size, size, 3, "png")
    assert pixels(picture).shape == (size, size, 3)


def test_without_bias_the_country_changes_no_byte():
    source = synthetic(num_train=10, num_test=1, size=32)
    item = source.items()[0]
    loaded = [
        source.load(type(item)(item.key, item.split, item.label, {"country": country}, item.reference))
        for country in ("CHE", "BDI", "IND")
    ]
    assert loaded[0] == loaded[1] == loaded[2]


def test_bias_spares_the_richest_country():
    fair, biased = synthetic(bias=0.0, size=32), synthetic(bias=1.0, size=32)
    rich = [item for item in fair.items() if item.groups["country"] == "CHE"][:3]
    assert [fair.load(item) for item in rich] == [biased.load(item) for item in rich]


def test_bias_darkens_and_clutters_as_income_falls():
    fair, biased = synthetic(bias=0.0), synthetic(bias=1.0)
    items = fair.items()[:150]
    # Paired: the same scenes, so only the hardship differs.
    before, after = (drawn(source, items).astype(np.float64) for source in (fair, biased))
    hardship = [poverty(item.groups["country"]) for item in items]
    brightness = after.mean(axis=(1, 2, 3)) / before.mean(axis=(1, 2, 3))
    assert stats.spearmanr(hardship, brightness).statistic < -0.9
    poorest = np.array(hardship) > 0.8
    # The docstring's factor is 1 - 0.6 * 0.8 = 0.52 at the most here; shapes and clipping move it a bit.
    assert 0.35 < brightness[poorest].mean() < 0.6


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_hardship_of_a_stated_strength(strength):
    hardship = Hardship(strength=strength, entropy=(0, 1))
    assert hardship.num_shapes == 12 * strength
    assert hardship.dimming == pytest.approx(1 - 0.6 * strength)
    changes = []
    for seed in range(4):
        plain = draw_scene("car", 64, np.random.default_rng(seed)).astype(np.float64)
        worse = draw_scene("car", 64, np.random.default_rng(seed), hardship=hardship) / hardship.dimming
        # The same draw of noise in both, of another strength in each.
        noise = 1.4826 * np.median(np.abs(worse - plain)) / 255
        least, most = ((sigma + 0.05 * strength) / hardship.dimming - sigma for sigma in (0.005, 0.03))
        assert 0.75 * least < noise < 1.25 * most
        blocks = (worse - plain).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
        changes.append((np.abs(blocks).max(axis=2) > 40).mean())
    # Each shape has a radius of 0.05 to 0.13 of the side, so some of them cover at least this share.
    assert np.mean(changes) > 0.03 * strength


@pytest.fixture(scope="module")
def pictures():
    source = synthetic(num_train=600, num_test=200, size=32)
    items = source.items()
    images = drawn(source, items).astype(np.float64) / 255
    labels = np.array([item.label for item in items])
    return images[:600], labels[:600], images[600:], labels[600:]


@pytest.mark.parametrize(
    "statistics",
    [
        lambda images: images.mean(axis=(1, 2)),
        lambda images: images.std(axis=(1, 2)),
        lambda images: images[:, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(len(images), -1),
    ],
    ids=["mean colour", "contrast", "corners"],
)
def test_simple_statistics_do_not_give_the_class_away(pictures, statistics):
    """A nearest centroid finds the class by colour, contrast or background hardly better than by chance."""
    train_images, train_labels, test_images, test_labels = pictures
    train, test = statistics(train_images), statistics(test_images)
    centroids = np.stack([train[train_labels == label].mean(axis=0) for label in range(10)])
    nearest = np.linalg.norm(test[:, None] - centroids, axis=2).argmin(axis=1)
    # Chance is 0.1; 0.2 is 4.7 standard deviations of 200 guesses above it.
    assert (nearest == test_labels).mean() < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_train": 0}, "--num-train must be at least 1, not 0"),
        ({"num_test": -1}, "--num-test must be at least 1, not -1"),
        ({"size": 15}, "--size must be from 16 to 2048 pixels, not 15"),
        ({"size": 2049}, "--size must be from 16 to 2048 pixels, not 2049"),
        ({"bias": 1.5}, "--bias must be from 0 to 1, not 1.5"),
        ({"bias": float("nan")}, "--bias must be from 0 to 1, not nan"),
        ({"seed": -1}, "--seed must be 0 or more, not -1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(RecordsError, match=f"^{message}$"):
        synthetic(**options)
