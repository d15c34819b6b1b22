import math

import numpy as np
import pytest

from bioattack.models.layers.retinal_constants import retinal_constants

# Receptive-field constant, a and b: from the public code of Vuyyuru et al. 2020, run as it is (it finds them
# with SciPy: Brent's method, and least squares with bounds).
PUBLISHED = [
    (24, 24, 0.683785107858, 0.0481658808521191, 0.540772509632357),
    (32, 32, 0.735036258722, 0.0344880789653165, 0.526398725902517),
    (48, 48, 0.788537232387, 0.0219453173635059, 0.513039124230774),
    (64, 64, 0.816140117075, 0.0160785622520515, 0.506710754056313),
    (96, 96, 0.844315812644, 0.0104706962209721, 0.500602116549518),
    (128, 128, 0.858619512081, 0.00776135763955407, 0.497626928962941),
    (160, 160, 0.867271043080, 0.00616545897980326, 0.495866405066221),
    (224, 224, 0.877222298455, 0.00436852790342943, 0.493876540220692),
    (240, 240, 0.878887465152, 0.0040718139037118, 0.493547168101188),
    (320, 320, 0.884730469672, 0.00303951795074549, 0.492399427428222),
    (320, 160, 0.216817760770, 0.0123309179596066, 0.991732810132441),
    (64, 32, 0.183759064681, 0.0689761578789954, 1.05279745244446),
]


@pytest.mark.parametrize(("source", "target", "field_constant", "quadratic", "linear"), PUBLISHED)
def test_constants_are_those_of_the_public_code(source, target, field_constant, quadratic, linear):
    found = retinal_constants(source, target)
    np.testing.assert_allclose(found[:3], (field_constant, quadratic, linear), rtol=0, atol=1e-9)


def _radii(constants, num_rings):
    """The recurrence that the constants are made from, and its two approximations."""
    radii = [0.0]
    for _ in range(num_rings - 1):
        step = (math.pi * constants.field_constant) ** -0.5
        radii.append(radii[-1] + step * math.exp(constants.growth * radii[-1] / 2))
    rings = np.arange(num_rings)
    quadratic = constants.quadratic * rings**2 + constants.linear * rings
    logarithm = np.log1p(-constants.growth * constants.first_step * rings / 2)
    return np.array(radii), quadratic, -2 / constants.growth * logarithm


def test_laws_at_320_pixels():
    radii, quadratic, logarithmic = _radii(retinal_constants(320, 320), 160)
    assert radii[-1] == pytest.approx(160, abs=1e-9)
    assert logarithmic[-1] == pytest.approx(160, abs=1e-9)
    # Both measured on the public code.
    assert quadratic[-1] == pytest.approx(155.13, abs=0.01)
    assert np.abs(quadratic - radii).max() == pytest.approx(4.87, abs=0.01)
    assert np.abs(logarithmic - radii).max() == pytest.approx(0.089, abs=0.001)


@pytest.mark.parametrize("side", [6, 7, 33])
@pytest.mark.parametrize("density_ratio", [1.5, 10.0, 100.0])
def test_other_sides_and_ratios_reach_the_border(side, density_ratio):
    constants = retinal_constants(side, side, density_ratio=density_ratio)
    radii, _, logarithmic = _radii(constants, side // 2)
    assert radii[-1] == pytest.approx(side / 2, abs=1e-9)
    assert logarithmic[-1] == pytest.approx(side / 2, abs=1e-9)
    # Density goes with the square of the spacing: the logarithmic law's derivatives are 1 to its root.
    assert math.exp(constants.growth * radii[-1] / 2) == pytest.approx(math.sqrt(density_ratio))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_side": 5, "target_side": 32}, "source_side must be 6 or more. Received: source_side=5"),
        ({"source_side": 32, "target_side": 0}, "target_side must be 6 or more. Received: target_side=0"),
        (
            {"source_side": 32, "target_side": 32, "density_ratio": 1.0},
            "density_ratio must be above 1. Received: density_ratio=1.0",
        ),
    ],
)
def test_what_has_no_law_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        retinal_constants(**arguments)
