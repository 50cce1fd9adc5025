from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.models import layers

KEY = jax.random.key(0)


def test_branches_are_stacked():
    x = jax.random.normal(KEY, (2, 5, 6, 3))
    step = layers.ConvStep
    row, column = step(3, (1, 3)), step(4, (3, 1))
    pool = partial(layers.max_pool, window=3, stride=1, padding=1)
    layer = layers.Branches(
        branches=((step(2),), (step(5, 3), (row, column)), (pool,)), norm=None, activation="tanh"
    )
    y, variables = jax.jit(partial(layer.init_with_output, train=False))(KEY, x)
    params = variables["params"]

    def conv(name, x):
        kernel = params[name]["conv"]["kernel"]
        like = layers.conv(kernel.shape[-1], kernel.shape[:2])
        return jnp.tanh(like.apply({"params": params[name]["conv"]}, x))

    inner = conv("branch1_conv0", x)
    expected = [
        conv("branch0_conv0", x),
        conv("branch1_conv1a", inner),
        conv("branch1_conv1b", inner),
        pool(x),
    ]
    np.testing.assert_allclose(y, jnp.concatenate(expected, axis=-1), atol=1e-6)
    assert len(params) == 4


def test_branches_may_halve():
    halving = (layers.ConvStep(2, 3, 2, 0),)
    pool = (partial(layers.max_pool, window=3, stride=2),)
    layer = layers.Branches(branches=(halving, pool))
    y, _ = jax.eval_shape(partial(layer.init_with_output, train=True), KEY, jnp.ones((1, 8, 9, 3)))
    assert y.shape == (1, 3, 4, 5)
