"""The curve of worst-case loss against transport cost, and what is said where it is none."""

import pytest
from PIL import Image

from bioattack.evaluation.reproduce.income_transport import draw_transport, transport_warnings
from bioattack.training.dro_summary import SweepPoint


def points(*rows):
    return [
        SweepPoint(weight, radius, loss, loss - weight * radius, success_rate=0.5)
        for weight, radius, loss in rows
    ]


FALLING = points((0.1, 0.3, 4.0), (1.0, 0.2, 3.0), (10.0, 0.05, 1.0))


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (FALLING, None),
        (FALLING[::-1], None),
        (points((0.1, 0.3, 4.0), (1.0, 0.4, 3.0), (10.0, 0.1, 1.0)), "At λ = 1 cost or loss is larger"),
        (points((0.1, 0.3, 4.0), (1.0, 0.2, 5.0), (10.0, 0.25, 1.0)), "At λ = 1, 10 cost or loss"),
    ],
)
def test_cost_and_loss_that_do_not_fall_with_lambda_are_said(found, named):
    warnings = transport_warnings(found)
    assert [warning.startswith(named) for warning in warnings] == [True] * (named is not None)


def test_the_curve_is_drawn_and_the_same_each_time(tmp_path):
    for name in ("first.png", "second.png"):
        draw_transport(tmp_path / name, FALLING, distance="ssim")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as image:
        assert min(image.size) > 300
