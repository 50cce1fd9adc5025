"""Ways to make maps larger."""

import jax
import numpy as np
import pytest
import quick

from jaxvision import models

KEY = jax.random.key(0)


@pytest.mark.parametrize("method", models.layers.UPSAMPLING)
def test_every_upsampling_has_the_size_that_is_asked_for(method: str) -> None:
    layer = models.layers.Upsample(method=method)
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    variables = jax.jit(layer.init, static_argnums=2)(KEY, x, (6, 8))
    whole = quick.jit(lambda x: layer.apply(variables, x, (6, 8)))(x)
    cut = quick.jit(lambda x: layer.apply(variables, x, (5, 7)))(x)
    assert whole.shape == (1, 6, 8, 4)
    assert cut.shape == (1, 5, 7, 4)
    if method in ("nearest", "bed_of_nails"):
        np.testing.assert_array_equal(whole[:, ::2, ::2], x)
        assert (np.asarray(whole)[:, 1::2].any()) == (method == "nearest")
    if method not in ("nearest", "bilinear"):
        np.testing.assert_array_equal(cut, whole[:, :5, :7])
