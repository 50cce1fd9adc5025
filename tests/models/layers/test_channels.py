import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import layers

KEY = jax.random.key(0)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_channel_shuffle_transposes_groups(groups):
    x = jax.random.normal(KEY, (2, 3, 4, 6))
    y = layers.channel_shuffle(x, groups)
    for i in range(groups):
        np.testing.assert_array_equal(y[..., i::groups], jnp.split(x, groups, axis=-1)[i])
    np.testing.assert_array_equal(layers.channel_shuffle(y, 6 // groups), x)


@pytest.mark.parametrize("groups", [0, 4])
def test_channel_shuffle_refuses_what_does_not_divide(groups):
    with pytest.raises(ValueError, match=f"groups must divide the channels, here 6, got {groups}"):
        layers.channel_shuffle(jnp.zeros((1, 1, 1, 6)), groups)
