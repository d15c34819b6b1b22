from pathlib import Path

import pytest

from bioattack.errors import InputError
from bioattack.evaluation.reproduce.config import SCALES, ReproduceConfig

REFUSED = [
    ({"name": "table3"}, "there is no experiment 'table3'; there are fixations, comparison, table1"),
    ({"preset": "large"}, "--preset must be one of demo, small, paper. Received: 'large'"),
    ({"seeds": 0}, "--seeds must be between 1 and 1000. Received: 0"),
    ({"seed": -1}, "--seed must be between 0 and 2147483646. Received: -1"),
    ({"epochs": 0}, "--epochs must be at least 1. Received: 0"),
    ({"limit": 0}, "--limit must be at least 1. Received: 0"),
]


def config(**changes):
    return ReproduceConfig(**{"name": "table1", "output": Path("out")} | changes)


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_what_cannot_be_is_refused_at_once(changes, message):
    with pytest.raises(InputError, match=message):
        config(**changes)


def test_seeds_are_counted_from_the_first():
    assert config(seeds=3, seed=5).all_seeds == (5, 6, 7)


def test_what_is_given_replaces_the_presets_own():
    scale = config(preset="small", epochs=3, limit=50).scale()
    assert (scale.epochs, scale.test_limit, scale.honest_limit) == (3, 50, 50)
    assert config(preset="small", limit=5000).scale().honest_limit == SCALES["small"].honest_limit
    assert config(preset="paper").scale() == SCALES["paper"]


def test_the_paper_is_as_published():
    paper = SCALES["paper"]
    assert (paper.image_size, paper.epochs, paper.batch_size) == (320, 400, 64)
    assert paper.epsilons == (0.001, 0.005, 0.01, 0.02, 0.05)
