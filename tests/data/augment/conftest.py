import pathlib

import numpy as np
import pytest

FIXTURE = pathlib.Path(__file__).parents[2] / "fixtures" / "augment.npz"


@pytest.fixture(scope="session")
def torchvision():
    """Images, and what torchvision makes of them (tests/fixtures/make_augment.py)."""
    with np.load(FIXTURE) as stored:
        return {
            name: stored[name] / np.float32(np.iinfo(stored[name].dtype).max)
            for name in stored.files
        }
