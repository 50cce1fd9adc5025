import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import explain


def test_weights_are_brightness_around_gray() -> None:
    kernel = np.zeros((2, 1, 1, 3), np.float32)
    kernel[:, 0, 0] = [[1, 0, -4], [-2, 0, 2]]

    @quick.jit
    def both(kernel):
        return explain.filter_images(kernel), explain.filter_images(kernel, "all")

    each, together = both(jnp.asarray(kernel))
    assert each.shape == (3, 2, 1, 1)
    np.testing.assert_allclose(each[..., 0, 0], [[0.75, 0], [0.5, 0.5], [0, 0.75]])
    np.testing.assert_allclose(together[..., 0, 0], [[0.625, 0.25], [0.5, 0.5], [0, 0.75]])


@pytest.mark.parametrize(
    ("shape", "scale", "message"),
    [
        ((3, 3, 64, 8), "each", r"1 or 3 channels, got \(3, 3, 64, 8\)"),
        ((3, 3, 3), "each", r"got \(3, 3, 3\)"),
        ((3, 3, 3, 8), "al", "did you mean 'all'"),
    ],
)
def test_what_is_no_picture_is_named(shape, scale, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        explain.filter_images(jnp.zeros(shape), scale)
