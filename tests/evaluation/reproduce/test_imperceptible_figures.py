"""Drawings of the second paper: what is magnified, and the same bytes for the same data."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bioattack.evaluation.reproduce.imperceptible_curves import draw_ablation, draw_spread, draw_sweeps
from bioattack.evaluation.reproduce.imperceptible_side_by_side import (
    Column,
    _where_changed,
    draw_magnified,
    draw_pictures,
    draw_saliency,
)


@pytest.fixture
def rows():
    """Two originals of 40 x 50 pixels, each attacked twice in its lower right part."""
    random = np.random.default_rng(0)
    found = []
    for name in ("cat", "dog"):
        original = random.random((40, 50, 3))
        changed = original.copy()
        changed[28:36, 38:46] += 0.1
        slightly = original.copy()
        slightly[29:35, 39:45] += 0.01
        images = (original, changed, slightly)
        columns = zip(("original", "first", "second"), images, strict=True)
        found.append([Column(title, image, name, image[..., 0]) for title, image in columns])
    return found


def test_what_is_magnified_is_where_the_attacks_changed_most(rows):
    (corner,) = _where_changed(rows[0], number=1)
    # Squares of 12 pixels: all of the change is within.
    assert corner[0] <= 28
    assert corner[0] + 12 >= 36
    assert corner[1] <= 38
    assert corner[1] + 12 >= 46


def test_several_parts_do_not_overlap(rows):
    first, second = _where_changed(rows[0], number=2)
    assert max(abs(first[0] - second[0]), abs(first[1] - second[1])) >= 1


def test_the_scale_of_differences_is_said(rows, tmp_path):
    scale = draw_magnified(tmp_path / "a.png", rows)
    # The median of 0.1, 0.01, 0.1, 0.01.
    assert scale == pytest.approx(0.055)


def draw_sweep_example(path):
    rows = [
        {"attack": attack, "kind": kind, "strength": strength, "rate": rate, "defence": f"{kind}:{strength}"}
        for attack in ("pgd", "ours")
        for kind, strength, rate in (("jpeg", 90, 0.5), ("jpeg", 50, 0.2), ("bits", 4, 0.9), ("bits", 2, 0.1))
    ]
    known = [{"attack": "pgd", "kind": "jpeg", "strength": 70, "rate": 1.0}]
    draw_sweeps(path, pd.DataFrame(rows), titles={"pgd": "PGD", "ours": "Ours"}, adaptive=pd.DataFrame(known))


def draw_ablation_example(path):
    names = ("rate", "low", "high", "mean_l2", "low_l2", "high_l2")
    table = pd.DataFrame([dict.fromkeys(names, 0.5) | {"value": value} for value in (0, 1, 10)])
    draw_ablation(path, table, setting="λ", measures={"l2": ("L2", 1.0)})


@pytest.mark.parametrize(
    "draw",
    [
        lambda path, rows: draw_magnified(path, rows, num_magnified=2),
        lambda path, rows: draw_saliency(path, rows),
        lambda path, rows: draw_pictures(path, rows),
        lambda path, _: draw_spread(path, {"a": np.arange(9.0), "nothing": np.zeros(0)}, axis="LPIPS"),
        lambda path, _: draw_spread(
            path, {"near": 0.1 + np.arange(5.0), "far": 900 + np.arange(5.0)}, axis="L2"
        ),
        lambda path, _: draw_sweep_example(path),
        lambda path, _: draw_ablation_example(path),
    ],
)
def test_the_same_data_give_the_same_bytes(draw, rows, tmp_path):
    for name in ("a.png", "b.png"):
        draw(tmp_path / name, rows)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert len(np.unique(np.asarray(image.convert("L")))) > 2
