import pytest

from bioattack.testing.small_records import write_small_records


@pytest.fixture(scope="session")
def small_records(tmp_path_factory):
    """60 training and 15 test pictures of 16 x 16 pixels in three classes."""
    return write_small_records(tmp_path_factory.mktemp("records") / "small")


@pytest.fixture(scope="session")
def records_of_32_pixels(tmp_path_factory):
    """40 training and 20 test pictures of 32 x 32 pixels in three classes."""
    folder = tmp_path_factory.mktemp("records") / "of_32_pixels"
    return write_small_records(folder, num_train=40, num_test=20, size=32)
