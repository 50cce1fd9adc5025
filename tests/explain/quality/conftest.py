import json
import pathlib

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
        hidden = x.reshape(len(x), -1) @ first
        return np.tanh(hidden) @ second if isinstance(x, np.ndarray) else _tanh(hidden) @ second

    return f, images, maps, np.array(case["labels"])


def _tanh(x):
    import jax.numpy as jnp

    return jnp.tanh(x)
