from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import quick

from jaxvision.models import layers


def test_branches_are_stacked():
    step = layers.ConvStep
    row, column = step(3, (1, 3)), step(4, (3, 1))
    pool = partial(layers.max_pool, window=3, stride=1, padding=1)
    layer = layers.Branches(
        branches=((step(2),), (step(5, 3), (row, column)), (pool,)), norm=None, activation="tanh"
    )

    @quick.jit
    def calls(x):
        y, variables = layer.init_with_output(jax.random.key(0), x, train=False)
        params = variables["params"]
        assert len(params) == 4

        def conv(name, x):
            kernel = params[name]["conv"]["kernel"]
            like = layers.conv(kernel.shape[-1], kernel.shape[:2])
            return jnp.tanh(like.apply({"params": params[name]["conv"]}, x))

        inner = conv("branch1_conv0", x)
        return y, [
            conv("branch0_conv0", x),
            conv("branch1_conv1a", inner),
            conv("branch1_conv1b", inner),
            pool(x),
        ]

    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    y, expected = jax.device_get(calls(x))
    np.testing.assert_allclose(y, np.concatenate(expected, axis=-1), atol=1e-6)


def test_branches_may_halve():
    halving = (layers.ConvStep(2, 3, 2, 0),)
    pool = (partial(layers.max_pool, window=3, stride=2),)
    layer = layers.Branches(branches=(halving, pool))
    y, _ = jax.eval_shape(
        partial(layer.init_with_output, train=True), jax.random.key(0), np.zeros((1, 8, 9, 3))
    )
    assert y.shape == (1, 3, 4, 5)
