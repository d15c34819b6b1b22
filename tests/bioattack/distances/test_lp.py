import numpy as np
import pytest

from bioattack.attacks.lengths import lengths
from bioattack.distances import make_distance
from bioattack.testing.check_distance import check_distance

NORMS = ("l1", "l2", "linf", "rms")


@pytest.mark.parametrize("norm", NORMS)
def test_norm_keeps_its_promises(norm):
    check_distance(make_distance(norm), (9, 8, 3))
    check_distance(make_distance(norm), (5, 7, 1))


@pytest.mark.parametrize("norm", NORMS)
def test_norm_is_the_column_of_the_results_table(norm):
    # The long table measures perturbations with `lengths`, in NumPy.
    random = np.random.default_rng(0)
    reference, images = random.uniform(size=(2, 4, 6, 5, 3))
    wanted = [lengths(image - original)[norm] for original, image in zip(reference, images, strict=True)]
    np.testing.assert_allclose(make_distance(norm)(reference, images), wanted, rtol=1e-12)
