"""What all tests share: quiet TensorFlow, and the real data where it is at hand."""

import os
from pathlib import Path

import pytest

# Read when TensorFlow is first imported, by whichever test does so.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real pictures and weights named by BIOATTACK_REALDATA."""
    folder = os.environ.get("BIOATTACK_REALDATA")
    if not folder:
        pytest.skip("needs real pictures and weights: name their folder in BIOATTACK_REALDATA")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"BIOATTACK_REALDATA names {folder!r}, which is not a folder")
    return path
