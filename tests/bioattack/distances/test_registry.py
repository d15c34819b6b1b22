import importlib
import subprocess
import sys

import pytest

from bioattack.distances import DISTANCES, Distance, distance_names, make_distance


@pytest.mark.parametrize("name", distance_names())
def test_every_name_is_a_distance_of_that_name(name):
    module, _, class_name = DISTANCES[name].partition(":")
    distance_class = getattr(importlib.import_module(module), class_name)
    assert issubclass(distance_class, Distance)
    # Those that stand on a network's features are named after it as well, once they are made.
    assert distance_class.name in ("", name)
    assert distance_class.__doc__


@pytest.mark.parametrize("name", ["l1", "l2", "linf", "rms", "psnr", "ssim", "ms-ssim", "ciede2000"])
def test_distances_without_weights_are_made_by_name_alone(name):
    assert make_distance(name).name == name


def test_options_reach_the_distance():
    assert make_distance("ssim", padding="symmetric").padding == "symmetric"
    with pytest.raises(TypeError, match="weights"):
        make_distance("ssim", weights="x.npz")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"distance must be one of l1, l2, .*Received: distance='ssmi'"):
        make_distance("ssmi")


def test_names_are_listed_without_tensorflow():
    code = (
        "import sys; from bioattack.distances import distance_names; assert distance_names()\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
