import numpy as np

from bioattack.attacks.random_numbers import random_bits, random_numbers


def test_published_sequence():
    # The first numbers of SplitMix64 from seed 1234567, as other implementations are checked against them.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    np.testing.assert_array_equal(random_bits([[0, 1234567]], [[0, 1, 2, 3, 4]])[0], expected)


def splitmix(seed, number):
    mask = 2**64 - 1
    bits = (seed + (number + 1) * 0x9E3779B97F4A7C15) & mask
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & mask
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
    return bits ^ (bits >> 31)


def test_both_halves_of_the_key_count():
    keys = [[-1, 5], [2**31 - 1, -(2**31)], [0, 0]]
    seeds = [0xFFFFFFFF << 32 | 5, 0x7FFFFFFF << 32 | 0x80000000, 0]
    expected = [[splitmix(seed, number) for number in (7, 100000)] for seed in seeds]
    np.testing.assert_array_equal(random_bits(keys, [[7, 100000]] * 3), np.array(expected, np.uint64))


def test_numbers_are_uniform_and_independent():
    random = np.random.default_rng(0)
    keys = random.integers(-(2**31), 2**31, (200, 2)).astype(np.int32)
    numbers = random_numbers(keys, np.tile(np.arange(500), (200, 1))).numpy()
    assert numbers.dtype == np.float32
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
    # The standard deviation of the mean of 100,000 uniform numbers is 0.0009, of a correlation 0.003.
    assert abs(numbers.mean() - 0.5) < 0.004
    assert abs(numbers.var() - 1 / 12) < 0.002
    for one, other in ((numbers[:, 1:], numbers[:, :-1]), (numbers[1:], numbers[:-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.013
