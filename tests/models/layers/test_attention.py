import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.models import layers

KEY = jax.random.key(0)


def start(layer, x):
    """Initializes a layer; gives what it makes of x, and its variables."""
    return jax.jit(layer.init_with_output)(KEY, x)


def test_squeeze_excite():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    y, variables = start(layers.SqueezeExcite(reduced=3), x)
    reduce, expand = (variables["params"][name] for name in ("reduce", "expand"))
    hidden = np.maximum(x.mean((1, 2)) @ reduce["kernel"] + reduce["bias"], 0)
    factor = 1 / (1 + np.exp(-(hidden @ expand["kernel"] + expand["bias"])))
    np.testing.assert_allclose(y, x * factor[:, None, None], rtol=1e-5)


def test_stochastic_depth_drops_examples_as_a_whole():
    x = jnp.ones((64, 3, 3, 2))
    layer = layers.StochasticDepth(0.5)
    y = layer.apply({}, x, train=True, rngs={"dropout": KEY}).reshape(64, -1)
    assert set(np.unique(y)) == {0, 2}
    np.testing.assert_array_equal(y.min(1), y.max(1))
    np.testing.assert_array_equal(layer.apply({}, x, train=False), x)
