import pytest

from bioattack.testing.small_records import write_small_records


@pytest.fixture(scope="session")
def small_records(tmp_path_factory):
    """60 training and 15 test pictures of 16 x 16 pixels in three classes."""
    return write_small_records(tmp_path_factory.mktemp("records") / "small")
