import numpy as np
import tensorflow as tf

from bioattack.distances.psnr import PeakSignalToNoise
from bioattack.testing.check_distance import check_distance


def test_psnr_keeps_its_promises():
    check_distance(PeakSignalToNoise(), (9, 8, 3))


def test_score_is_that_of_tensorflow():
    reference, images = np.random.default_rng(0).uniform(size=(2, 3, 8, 9, 3)).astype(np.float32)
    wanted = tf.image.psnr(tf.constant(reference), tf.constant(images), max_val=1.0)
    np.testing.assert_allclose(PeakSignalToNoise().score(reference, images), wanted, rtol=1e-5)


def test_equal_images_reach_the_cap():
    images = np.full((1, 4, 4, 1), 0.3, np.float32)
    assert PeakSignalToNoise().score(images, images).numpy().tolist() == [100.0]
