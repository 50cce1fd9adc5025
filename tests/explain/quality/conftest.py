import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def fixture():
    """What quantus, SciPy and scikit-image compute."""
    path = pathlib.Path(__file__).parents[2] / "fixtures" / "explanation_quality.json"
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def network(fixture):
    """A network of two layers, images, maps and labels."""
    case = fixture["faithfulness"]
    first, second, images, maps = (
        np.array(case[name], np.float32) for name in ("first", "second", "images", "maps")
    )

    def f(x):
        return jnp.tanh(x.reshape(len(x), -1) @ first) @ second

    return f, images, maps, np.array(case["labels"])
