import jax
import numpy as np
import quick

from jaxvision.models import layers


def test_squeeze_excite(fill):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    layer = layers.SqueezeExcite(reduced=3)
    variables = fill(layer, x)
    y = quick.jit(layer.apply)(variables, x)
    reduce, expand = (variables["params"][name] for name in ("reduce", "expand"))
    hidden = np.maximum(x.mean((1, 2)) @ reduce["kernel"] + reduce["bias"], 0)
    factor = 1 / (1 + np.exp(-(hidden @ expand["kernel"] + expand["bias"])))
    np.testing.assert_allclose(y, x * factor[:, None, None], rtol=1e-5)


def test_stochastic_depth_drops_examples_as_a_whole():
    layer = layers.StochasticDepth(0.5)

    @quick.jit
    def calls(x):
        keys = {"dropout": jax.random.key(0)}
        return layer.apply({}, x, train=True, rngs=keys), layer.apply({}, x, train=False)

    x = np.ones((64, 3, 3, 2), np.float32)
    trained, still = jax.device_get(calls(x))
    y = trained.reshape(64, -1)
    assert set(np.unique(y)) == {0, 2}
    np.testing.assert_array_equal(y.min(1), y.max(1))
    np.testing.assert_array_equal(still, x)
