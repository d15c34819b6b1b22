from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bioattack.evaluation.reproduce.experiment import Row, Variant
from bioattack.evaluation.reproduce.learning_curves import draw_learning_curves

ROWS = (Row(Variant("plain", "small_cnn"), "Plain"), Row(Variant("other", "small_cnn"), "Other"))


@pytest.fixture
def workplace(tmp_path):
    """Two networks of two seeds; accuracy after epoch e is e/10 more than at the seed's start."""
    for row in ROWS:
        for seed in (0, 1):
            folder = tmp_path / f"{row.variant.label}-{seed}"
            folder.mkdir()
            lines = [f"{epoch},{epoch / 10 + seed / 5},{epoch / 20 + seed / 3},2.0" for epoch in (1, 2, 3)]
            (folder / "history.csv").write_text(
                "\n".join(["epoch,accuracy,test_accuracy,loss", *lines]) + "\n"
            )
    return SimpleNamespace(
        config=SimpleNamespace(all_seeds=(0, 1)),
        pictures=SimpleNamespace(class_names=["a", "b"]),
        run_folder=lambda variant, seed: tmp_path / f"{variant.label}-{seed}",
        figure=lambda name: tmp_path / f"{name}.png",
    )


def test_a_figure_is_drawn(workplace, tmp_path):
    figure = draw_learning_curves(workplace, "comparison-learning", ROWS)
    assert figure.path == "figures/comparison-learning.png"
    with Image.open(tmp_path / "comparison-learning.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    # A colour for each seed; the file's palette may round it a little.
    for colour in ((0, 114, 178), (213, 94, 0)):
        assert (np.abs(pixels - colour).max(axis=-1) < 12).sum() > 20
