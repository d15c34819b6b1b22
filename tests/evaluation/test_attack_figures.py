from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bioattack.errors import InputError
from bioattack.evaluation.attack_config import AttackConfig, make_attack_plan
from bioattack.evaluation.attack_figures import write_figures
from bioattack.evaluation.robustness import Pictures
from bioattack.testing.check_attack import made_up_batch, made_up_classifier

NAMES = ("red", "green", "blue", "grey")


@pytest.fixture
def drawn(tmp_path):
    """Draws a figure of the made-up classifier and gives its path."""
    classifier, batch = made_up_classifier(), None
    batch = made_up_batch(classifier)
    pictures = Pictures(
        lambda: [{"image": batch.images, "label": batch.labels, "image_id": np.array(batch.image_ids)}],
        num_images=len(batch.labels),
        num_batches=1,
    )

    def draw(wanted, *attacks, **changes):
        config = AttackConfig(
            model=(Path("m"),), data=Path("d"), output=tmp_path, attack=attacks, figure=wanted, **changes
        )
        plan = make_attack_plan(config, image_shape=(8, 8, 3), class_names=NAMES)
        records = SimpleNamespace(class_names=NAMES)
        write_figures(wanted, [classifier], pictures, plan=plan, records=records)
        return tmp_path / "figures" / "attacks-made-up.png"

    return draw


def test_one_row_for_each_attack(drawn):
    heights = {}
    for attacks in (("pgd",), ("pgd", "fgsm", "foolbox:L2DeepFoolAttack")):
        with Image.open(drawn("first", *attacks)) as figure:
            heights[len(attacks)] = figure.height
    # The original has a row of its own.
    assert heights[3] / heights[1] == pytest.approx(4 / 2, rel=0.05)


def test_a_search_for_the_nearest_picture_is_not_bounded(drawn):
    # No image falls at so small an epsilon; DeepFool, unbounded, still finds one.
    bounded = drawn("first", "pgd", norm="l2", epsilons=(1e-6,)).read_bytes()
    searched = drawn("first", "foolbox:L2DeepFoolAttack", norm="l2", epsilons=(1e-6,)).read_bytes()
    assert bounded != searched


def test_worst_case_shows_each_of_its_attacks(drawn):
    with (
        Image.open(drawn("first", "worst-case", steps=3)) as all_three,
        Image.open(drawn("first", "pgd")) as one,
    ):
        assert all_three.height / one.height == pytest.approx(4 / 2, rel=0.05)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("nobody", "--figure: there is no picture 'nobody'"),
        # The first quarter is labelled wrongly.
        ("image 0", "choose a picture that it gets right"),
    ],
)
def test_pictures_that_cannot_be_shown_are_refused(drawn, wanted, message):
    with pytest.raises(InputError, match=message):
        drawn(wanted, "pgd")
