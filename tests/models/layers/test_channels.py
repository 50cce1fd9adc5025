import jax
import numpy as np
import pytest
import quick

from jaxvision.models import layers


def test_channel_shuffle_transposes_groups():
    @quick.jit
    def calls(x):
        shuffled = {groups: layers.channel_shuffle(x, groups) for groups in (1, 2, 3, 6)}
        return {
            groups: (y, layers.channel_shuffle(y, 6 // groups)) for groups, y in shuffled.items()
        }

    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)
    for groups, (y, back) in jax.device_get(calls(x)).items():
        for i, group in enumerate(np.split(x, groups, axis=-1)):
            np.testing.assert_array_equal(y[..., i::groups], group, err_msg=f"{groups} groups")
        np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("groups", [0, 4])
def test_channel_shuffle_refuses_what_does_not_divide(groups):
    with pytest.raises(ValueError, match=f"groups must divide the channels, here 6, got {groups}"):
        jax.eval_shape(lambda x: layers.channel_shuffle(x, groups), np.zeros((1, 1, 1, 6)))
